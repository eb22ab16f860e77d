/* base/clock.c - time. */
#include "base/clock.h"

#include <time.h>

uint64_t st_clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

int64_t st_clock_unix(void)
{
    return (int64_t)time(NULL);
}
