/* base/clock.h - time.  Threads: any. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
#include <stdint.h>

uint64_t st_clock_us(void); /* monotonic microseconds from an arbitrary start */
int64_t st_clock_unix(void); /* seconds since 1970-01-01 UTC */
#endif
