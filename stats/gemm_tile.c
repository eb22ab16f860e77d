/* stats/gemm_tile.c - the inner loops of matrix products, compiled for each ISA.
 *
 * GEMM_TILE and GEMM_GATHER name the functions.  Vectors are the compiler's generic ones,
 * so the source has no intrinsics; columns are taken in strips as wide as the registers
 * allow (GEMM_STRIP vectors of GEMM_LANES floats for each of the six rows). */
#include "stats/gemm_tile.h"
#include <string.h>

typedef float lanes __attribute__((vector_size(GEMM_LANES * sizeof(float))));

enum { STRIP_COLS = GEMM_STRIP * GEMM_LANES };

static inline lanes lanes_load(const float *p)
{
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void lanes_add(float *p, lanes v)
{
    v += lanes_load(p);
    memcpy(p, &v, sizeof v);
}

static void strip(uint32_t k, const float *a, const float *b, float *c, size_t ldc)
{
    lanes sum[GEMM_ROWS][GEMM_STRIP];
    memset(sum, 0, sizeof sum);
    for (uint32_t p = 0; p < k; p++, a += GEMM_ROWS, b += GEMM_COLS) {
        lanes bv[GEMM_STRIP];
        for (int s = 0; s < GEMM_STRIP; s++)
            bv[s] = lanes_load(b + s * GEMM_LANES);
        for (int r = 0; r < GEMM_ROWS; r++)
            for (int s = 0; s < GEMM_STRIP; s++)
                sum[r][s] += a[r] * bv[s];
    }
    for (int r = 0; r < GEMM_ROWS; r++)
        for (int s = 0; s < GEMM_STRIP; s++)
            lanes_add(c + r * ldc + s * GEMM_LANES, sum[r][s]);
}

void GEMM_TILE(uint32_t k, const float *a, const float *b, float *c, size_t ldc)
{
    for (int j = 0; j < GEMM_COLS; j += STRIP_COLS)
        strip(k, a, b + j, c + j, ldc);
}

enum { GATHER = 4 * GEMM_LANES }; /* columns kept in registers while the rows go by */

static void gather_block(uint64_t n, const uint32_t *at, const float *val,
                         const float *rows, size_t ld, float *out)
{
    lanes sum[4];
    for (int s = 0; s < 4; s++)
        sum[s] = lanes_load(out + s * GEMM_LANES);
    for (uint64_t i = 0; i < n; i++) {
        const float *row = rows + at[i] * ld;
        for (int s = 0; s < 4; s++)
            sum[s] += val[i] * lanes_load(row + s * GEMM_LANES);
    }
    for (int s = 0; s < 4; s++)
        memcpy(out + s * GEMM_LANES, &sum[s], sizeof sum[s]);
}

static void gather_tail(uint64_t n, const uint32_t *at, const float *val,
                        const float *rows, size_t ld, uint32_t width, float *out)
{
    for (uint64_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < width; j++)
            out[j] += val[i] * rows[at[i] * ld + j];
}

void GEMM_GATHER(uint64_t n, const uint32_t *at, const float *val, const float *rows,
                 size_t ld, uint32_t width, float *out)
{
    uint32_t j = 0;
    for (; j + GATHER <= width; j += GATHER)
        gather_block(n, at, val, rows + j, ld, out + j);
    if (j < width)
        gather_tail(n, at, val, rows + j, ld, width - j, out + j);
}
