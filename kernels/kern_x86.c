/* kernels/kern_x86.c - the tables of x86-64. */
#include "kernels/avx512.h"
#include "kernels/kern_c.h"

static const kparts parts_avx512 = {expand_avx512, tile_avx512, NULL, widen_avx512,
                                    ftile_avx512, fone_avx512};
static const kparts parts_vnni = {expand_avx512, tile_vnni, one_vnni, widen_avx512,
                                  ftile_avx512, fone_avx512};

static void matmul_avx512(const kmat *w, const kact *x, uint32_t panel0, uint32_t panel1,
                          float *y, size_t ldy)
{
    matmul_panels(&parts_avx512, w, x, panel0, panel1, y, ldy);
}

static void rows_avx512(const kmat *w, const kact *x, uint32_t t, const int32_t *rows,
                        uint32_t n, float *y)
{
    matmul_rows(&parts_avx512, w, x, t, rows, n, y);
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

static void row_avx512(const kmat *w, uint32_t r, float *out)
{
    matmul_row(&parts_avx512, w, r, out);
}

#define AVX512_OPS                                                                       \
    .quant = quant_avx512, .row = row_avx512, .rms_norm = rms_norm_c,                    \
    .layer_norm = layer_norm_c, .add = add_c, .mul = mul_c, .axpy = axpy_c,              \
    .dot = dot_c, .silu_mul = silu_mul_c, .gelu_tanh_mul = gelu_tanh_mul_c,              \
    .gelu_erf = gelu_erf_c, .gelu_tanh = gelu_tanh_c, .softmax = softmax_c,              \
    .rope = rope_c, .kv_store = kv_store_c, .attn = attn_c

static const kern kern_avx512 = {
    .isa = ST_ISA_AVX512, .matmul = matmul_avx512, .rows = rows_avx512, AVX512_OPS};
static const kern kern_vnni = {
    .isa = ST_ISA_AVX512_VNNI, .matmul = matmul_vnni, .rows = rows_vnni, AVX512_OPS};

const kern *kern_native(st_isa isa)
{
    switch (isa) {
    case ST_ISA_AVX512_VNNI:
        return &kern_vnni;
    case ST_ISA_AVX512:
        return &kern_avx512;
    case ST_ISA_AVX2:
    case ST_ISA_NEON:
    case ST_ISA_C:
        break;
    }
    return NULL;
}
