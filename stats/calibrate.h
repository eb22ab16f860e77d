/* stats/calibrate.h - one temperature that makes probabilities true.  Threads: any. */
#ifndef STATS_CALIBRATE_H
#define STATS_CALIBRATE_H
#include <stdint.h>

/* The range of temperatures, in fitting and in use. */
#define CALIBRATE_MIN 0.25
#define CALIBRATE_MAX 8.0

/* The temperature in that range with the least NLL of softmax(logp / T) over the rows
 * (Guo 2017).  logp [n, k] is any logits; n > 0. */
double calibrate_temperature(const float *logp, const int32_t *labels, uint32_t n,
                             uint32_t k);
#endif
