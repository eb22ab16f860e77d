/* expert/readout_combine.c - from scores of rotations to probabilities of options. */
#include "expert/readout.h"

#include <math.h>
#include <string.h>

/* x[n] -= ln sum exp(x); returns that logarithm. */
static double normalise(double *x, uint32_t n)
{
    double max = -HUGE_VAL;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    if (!isfinite(max)) { /* the model rules out every option: no preference */
        for (uint32_t i = 0; i < n; i++)
            x[i] = -log((double)n);
        return -HUGE_VAL;
    }
    for (uint32_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    double lse = max + log(sum);
    for (uint32_t i = 0; i < n; i++)
        x[i] -= lse;
    return lse;
}

double readout_combine(const readout_opts *opts, uint32_t n, const double *logp,
                       const double *neutral, double *ret_probs)
{
    double row[QUESTION_MAX_OPTIONS];
    double mass = 0;
    memset(ret_probs, 0, n * sizeof *ret_probs);
    for (uint32_t r = 0; r < opts->rotations; r++) {
        const double *from = logp + (size_t)r * n;
        memcpy(row, from, n * sizeof *row);
        mass += exp(normalise(row, n)) / opts->rotations;
        for (uint32_t i = 0; opts->pmi && i < n; i++)
            row[i] = from[i] - neutral[(size_t)r * n + i];
        if (opts->pmi)
            (void)normalise(row, n);
        for (uint32_t i = 0; i < n; i++)
            ret_probs[i] += row[i] / (opts->rotations * opts->temperature);
    }
    (void)normalise(ret_probs, n);
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += ret_probs[i] = exp(ret_probs[i]);
    for (uint32_t i = 0; i < n; i++)
        ret_probs[i] /= sum;
    if (opts->mode == READOUT_NAMES || opts->mode == READOUT_HELD)
        return (double)NAN;
    return mass < 1 ? mass : 1;
}
