/* base/rng.h - small deterministic random numbers (splitmix64, Steele et al. 2014).
 *
 * The same seed gives the same numbers on every machine.  Not for secrets.
 * Threads: one owner. */
#ifndef BASE_RNG_H
#define BASE_RNG_H
#include <stdint.h>

typedef struct st_rng {
    uint64_t state;
} st_rng;

static inline uint64_t st_rng_u64(st_rng *rng)
{
    uint64_t z = rng->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Uniform in [0, n), n > 0, without modulo bias (Lemire 2019). */
static inline uint32_t st_rng_below(st_rng *rng, uint32_t n)
{
    uint64_t m = (st_rng_u64(rng) >> 32) * n;
    if ((uint32_t)m < n) {
        uint32_t floor = -n % n;
        while ((uint32_t)m < floor)
            m = (st_rng_u64(rng) >> 32) * n;
    }
    return (uint32_t)(m >> 32);
}

static inline double st_rng_unit(st_rng *rng) /* uniform in [0, 1) */
{
    return (double)(st_rng_u64(rng) >> 11) * 0x1p-53;
}
#endif
