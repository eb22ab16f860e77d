/* stats/gemm.h - float matrix products on all workers: C = A B, or C += A B.
 *
 * A is [m, k] and B is [k, n], both with any row and column stride, so a transpose is a
 * swap of two numbers; C is [m, n] with rows `ldc` apart.  Every element of C is one sum
 * over k in rising order, in blocks: it does not depend on m, n, or the thread count.
 *
 * Threads: one owner; uses its workers while it runs.  Memory: scratch is taken by
 * gemm_new, a product allocates nothing. */
#ifndef STATS_GEMM_H
#define STATS_GEMM_H
#include "base/workers.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct gemm gemm;

typedef struct gemm_mat {
    const float *at;
    size_t row; /* floats from one row to the next */
    size_t col; /* floats from one column to the next */
} gemm_mat;

/* The workers (NULL: the calling thread only) are borrowed and must outlive it. */
ST_NODISCARD int gemm_new(workers *w, gemm **ret_gemm, st_err *err);
void gemm_free(gemm *g);        /* NULL allowed */
workers *gemm_workers(gemm *g); /* what it was given */

void gemm_run(gemm *g, uint32_t m, uint32_t n, uint32_t k, gemm_mat a, gemm_mat b,
              float *c, size_t ldc, bool add);

/* out[j] += sum over i < n of val[i] * rows[at[i] * ld + j], for j < width: the product
 * of a sparse row with a matrix.  Any thread, also inside a chunk. */
void gemm_gather(const gemm *g, uint64_t n, const uint32_t *at, const float *val,
                 const float *rows, size_t ld, uint32_t width, float *out);

static inline gemm_mat gemm_rows(const float *at, size_t row) /* as stored */
{
    return (gemm_mat){at, row, 1};
}

static inline gemm_mat gemm_turned(const float *at, size_t row) /* transposed */
{
    return (gemm_mat){at, 1, row};
}
#endif
