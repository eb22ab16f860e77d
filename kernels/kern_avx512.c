/* kernels/kern_avx512.c - the tables of AVX-512, with and without VNNI. */
#include "kernels/vec_avx512.h"

#include "kernels/table_vec.h"
#include "kernels/tile.h"

#include "kernels/dots_maddubs.h"

static const kparts parts = {expand_part, blocks_part, widen_part, ftile_part, fone_part};
static const kparts parts_vnni = {expand_part, blocks_vnni, widen_part, ftile_part,
                                  fone_part};

static void matmul_avx512(const kmat *w, const kact *x, uint32_t panel0, uint32_t panel1,
                          float *y, size_t ldy)
{
    matmul_panels(&parts, w, x, panel0, panel1, y, ldy);
}

static void rows_avx512(const kmat *w, const kact *x, uint32_t t, const int32_t *rows,
                        uint32_t n, float *y)
{
    matmul_rows(&parts, w, x, t, rows, n, y);
}

static void row_avx512(const kmat *w, uint32_t r, float *out)
{
    matmul_row(&parts, w, r, out);
}

static void matmul_vnni(const kmat *w, const kact *x, uint32_t panel0, uint32_t panel1,
                        float *y, size_t ldy)
{
    matmul_panels(&parts_vnni, w, x, panel0, panel1, y, ldy);
}

static void rows_vnni(const kmat *w, const kact *x, uint32_t t, const int32_t *rows,
                      uint32_t n, float *y)
{
    matmul_rows(&parts_vnni, w, x, t, rows, n, y);
}

const kern kern_avx512 = {.isa = ST_ISA_AVX512,
                          .matmul = matmul_avx512,
                          .rows = rows_avx512,
                          .row = row_avx512,
                          .attn = attn_part,
                          TABLE_VEC};
const kern kern_vnni = {.isa = ST_ISA_AVX512_VNNI,
                        .matmul = matmul_vnni,
                        .rows = rows_vnni,
                        .row = row_avx512,
                        .attn = attn_vnni,
                        TABLE_VEC};