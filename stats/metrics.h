/* stats/metrics.h - how good are answers and their probabilities.
 *
 * Probabilities are [n, k] rows of doubles; the answer of a row is its largest, the first
 * of equals.  Labels are in [0, k).
 *
 * Threads: any. */
#ifndef STATS_METRICS_H
#define STATS_METRICS_H
#include "base/err.h"
#include <stdint.h>

#define METRICS_FLOOR 1e-6 /* a probability below counts as this in the NLL */
enum { METRICS_BINS = 15 };

typedef struct metrics_label {
    uint32_t n_true;      /* rows with the label */
    uint32_t n_predicted; /* rows answered with it */
    uint32_t n_right;
    double precision; /* 0 when never predicted */
    double recall;    /* 0 when there are no rows */
    double f1;
} metrics_label;

typedef struct metrics {
    uint32_t n;
    double accuracy;
    double macro_f1; /* over labels that occur in rows or answers */
    double nll;
    double brier;      /* mean over rows of the sum of squared differences */
    double confidence; /* mean probability of the answer */
    double ece;        /* bins of equal width */
    double ece_mass;   /* bins of equal row count */
    double ece_noise;  /* mean equal-width ECE if every confidence were true */
} metrics;

uint32_t metrics_answer(const double *probs, uint32_t k);

/* All of it; ret_labels[k] may be NULL.  n > 0.  ST_ENOMEM. */
ST_NODISCARD int metrics_of(const double *probs, const int32_t *labels, uint32_t n,
                            uint32_t k, metrics *ret_metrics, metrics_label *ret_labels,
                            st_err *err);

/* Expected calibration error of confidences in [0, 1] and whether each was right. */
double metrics_ece(const double *confidence, const unsigned char *right, uint32_t n);

/* The same with bins of equal count, rows ordered by confidence. */
ST_NODISCARD int metrics_ece_mass(const double *confidence, const unsigned char *right,
                                  uint32_t n, double *ret_ece, st_err *err);

/* Mean ECE over draws where each row is right with just its confidence (fixed seed). */
ST_NODISCARD int metrics_ece_noise(const double *confidence, uint32_t n, double *ret_ece,
                                   st_err *err);

typedef struct metrics_interval {
    double low, high;
} metrics_interval;

/* Wilson's interval for right out of n (n > 0) at normal quantile z (1.96: 95 %). */
metrics_interval metrics_wilson(uint32_t right, uint32_t n, double z);

/* Percentile bootstrap of the mean of values[n]: `draws` resamples, `level` e.g. 0.95. */
ST_NODISCARD int metrics_bootstrap(const double *values, uint32_t n, uint32_t draws,
                                   double level, uint64_t seed,
                                   metrics_interval *ret_interval, st_err *err);
#endif
