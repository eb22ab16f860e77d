/* stats/gemm_tile.h - the loops of matrix products that need the processor's width.
 *
 * A tile is GEMM_ROWS rows by GEMM_COLS columns of C, held in registers.  The same source
 * is compiled once for each instruction set; gemm.c picks. */
#ifndef STATS_GEMM_TILE_H
#define STATS_GEMM_TILE_H
#include <stddef.h>
#include <stdint.h>

enum { GEMM_ROWS = 6, GEMM_COLS = 32 };

/* c[r * ldc + j] += sum over p < k of a[p * GEMM_ROWS + r] * b[p * GEMM_COLS + j]. */
typedef void gemm_tile_fn(uint32_t k, const float *a, const float *b, float *c,
                          size_t ldc);

/* out[j] += sum over i < n of val[i] * rows[at[i] * ld + j], for j < width. */
typedef void gemm_gather_fn(uint64_t n, const uint32_t *at, const float *val,
                            const float *rows, size_t ld, uint32_t width, float *out);

gemm_tile_fn gemm_tile_plain, gemm_tile_avx2, gemm_tile_avx512;
gemm_gather_fn gemm_gather_plain, gemm_gather_avx2, gemm_gather_avx512;
#endif
