/* engine/expsum.h - exponentials of a row of logits, and their sum.
 *
 * Threads: any. */
#ifndef ENGINE_EXPSUM_H
#define ENGINE_EXPSUM_H
#include <stdint.h>

/* ret[i] = exp((x[i] - shift) * scale) for arguments of at most 0, within 2e-7 of it; 0
 * where the argument is under -87 or is not a number.  `ret` may be NULL.  Returns the
 * sum, added in double in a fixed order. */
double exp_sum(const float *x, uint32_t n, float shift, float scale, float *ret);
#endif
