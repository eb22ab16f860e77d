/* stats/folds.h - split labelled rows into parts that look alike.  Threads: any. */
#ifndef STATS_FOLDS_H
#define STATS_FOLDS_H
#include "base/err.h"
#include <stdint.h>

/* Give every row a fold in [0, n_folds): each label's rows are shuffled and dealt out in
 * turn, so folds differ by at most one row a label.  Labels in [0, n_labels).  The same
 * seed gives the same folds.  ST_ENOMEM. */
ST_NODISCARD int folds_assign(const int32_t *labels, uint32_t n, uint32_t n_labels,
                              uint32_t n_folds, uint64_t seed, uint8_t *ret_fold,
                              st_err *err);

/* Choose at most `want` rows, as evenly over the labels as they allow; ret_rows[want] get
 * their numbers, rising; the result is how many.  ST_ENOMEM is negative. */
ST_NODISCARD int64_t folds_sample(const int32_t *labels, uint32_t n, uint32_t n_labels,
                                  uint32_t want, uint64_t seed, uint32_t *ret_rows,
                                  st_err *err);
#endif
