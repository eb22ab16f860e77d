/* stats/sparse.h - rows of few non-zero numbers (CSR), and the same by column.
 *
 * Threads: immutable once built.  Memory: sparse_done frees. */
#ifndef STATS_SPARSE_H
#define STATS_SPARSE_H
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

typedef struct sparse {
    uint32_t n_rows, n_cols;
    uint64_t *start; /* [n_rows + 1]: row r is [start[r], start[r + 1]) */
    uint32_t *col;
    float *val;
} sparse;

void sparse_done(sparse *m);

/* ret_turned gets the transpose, entries of a line in rising order. */
ST_NODISCARD int sparse_turn(const sparse *m, sparse *ret_turned, st_err *err);

/* ret_picked gets the named rows, in that order. */
ST_NODISCARD int sparse_pick(const sparse *m, const uint32_t *rows, uint32_t n,
                             sparse *ret_picked, st_err *err);
#endif
