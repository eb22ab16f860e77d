/* kernels/table_vec.h - the part of a table that is written over vec_*.h. */
#ifndef KERNELS_TABLE_VEC_H
#define KERNELS_TABLE_VEC_H
#include "kernels/attn_vec.h"
#include "kernels/ops_vec.h"
#include "kernels/unpack_vec.h"

/* Functions for kparts. */
static void expand_part(const kmat *w, const unsigned char *panel, uint32_t b0,
                        uint32_t nb, kblock *s)
{
    expand_vec(w, panel, b0, nb, s);
}

static void widen_part(st_dtype type, const unsigned char *panel, uint32_t c0,
                       uint32_t nc, kfstrip s)
{
    widen_vec(type, panel, c0, nc, s);
}

static void ftile_part(const float *s, uint32_t nc, const float *x, size_t ldx,
                       uint32_t n, float (*acc)[KERN_PANEL])
{
    ftile_vec(s, nc, x, ldx, n, acc);
}

static void fone_part(st_dtype type, const unsigned char *panel, uint32_t cols,
                      const float *x, float *acc)
{
    fone_vec(type, panel, cols, x, acc);
}

#define TABLE_VEC                                                                        \
    .quant = quant_vec, .rms_norm = rms_norm_vec, .layer_norm = layer_norm_vec,          \
    .add = add_vec, .mul = mul_vec, .axpy = axpy_vec, .dot = dot_vec,                    \
    .silu_mul = silu_mul_vec, .gelu_tanh_mul = gelu_tanh_mul_vec,                        \
    .gelu_erf = gelu_erf_vec, .gelu_tanh = gelu_tanh_vec, .softmax = softmax_vec,        \
    .rope = rope_vec, .kv_store = kv_store_vec, .attn = attn_vec
#endif
