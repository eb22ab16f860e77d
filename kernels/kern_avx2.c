/* kernels/kern_avx2.c - the table of AVX2. */
#include "kernels/vec_avx2.h"

#include "kernels/table_vec.h"
#include "kernels/tile.h"

#include "kernels/dots_maddubs.h"

static const kparts parts = {expand_part, blocks_part, widen_part, ftile_part, fone_part};

static void matmul_avx2(const kmat *w, const kact *x, uint32_t panel0, uint32_t panel1,
                        float *y, size_t ldy)
{
    matmul_panels(&parts, w, x, panel0, panel1, y, ldy);
}

static void rows_avx2(const kmat *w, const kact *x, uint32_t t, const int32_t *rows,
                      uint32_t n, float *y)
{
    matmul_rows(&parts, w, x, t, rows, n, y);
}

static void row_avx2(const kmat *w, uint32_t r, float *out)
{
    matmul_row(&parts, w, r, out);
}

const kern kern_avx2 = {.isa = ST_ISA_AVX2,
                        .matmul = matmul_avx2,
                        .rows = rows_avx2,
                        .row = row_avx2,
                        .attn = attn_part,
                        TABLE_VEC};
