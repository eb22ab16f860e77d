/* kernels/kern_avx2.c - the table of AVX2. */
#include "kernels/vec_avx2.h"

#include "kernels/table_vec.h"
#include "kernels/tile.h"

#include "kernels/dots_maddubs.h"

/* 2 x 4 sums, the weights of 16 rows, an activation and products: 16 registers. */
#define TILE_SIZES(X) X(1) X(2) X(3) X(4)

#include "kernels/tile_vec.h"

/* A format of the same kind: range of codes, offset, minimum, halves. */
static st_dtype kind_of(kfmt f)
{
    if (kfmt_most(f) == 255)
        return ST_Q8_0;
    if (f.halves)
        return f.has_min ? ST_Q2_K : f.shift == 2 ? ST_Q3_K : ST_Q6_K;
    if (kfmt_most(f) == 15)
        return f.has_min ? ST_Q4_1 : ST_Q4_0;
    return f.has_min ? ST_Q5_1 : ST_Q5_0;
}

static void tile_part(const kfmt *f, const kblock *s, uint32_t nb, const kqact *x,
                      size_t stride, uint32_t n, const uint8_t *at,
                      float (*acc)[KERN_PANEL])
{
    switch ((unsigned)kind_of(*f)) {
#define KIND_CASE(type)                                                                  \
    case type:                                                                           \
        kind_tile(kfmt_of(type), s, nb, x, stride, n, at, acc);                          \
        break;
        KIND_CASE(ST_Q8_0)
        KIND_CASE(ST_Q2_K)
        KIND_CASE(ST_Q3_K)
        KIND_CASE(ST_Q6_K)
        KIND_CASE(ST_Q4_1)
        KIND_CASE(ST_Q4_0)
        KIND_CASE(ST_Q5_1)
        KIND_CASE(ST_Q5_0)
#undef KIND_CASE
    }
}

static const kparts parts = {expand_part, tile_part,  direct_part, 2,
                             widen_part,  ftile_part, fone_part};

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
