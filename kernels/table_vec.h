/* kernels/table_vec.h - the part of a table that is written over vec_*.h. */
#ifndef KERNELS_TABLE_VEC_H
#define KERNELS_TABLE_VEC_H
#include "kernels/attn_vec.h"
#include "kernels/kv8_float.h"
#include "kernels/ops_vec.h"
#include "kernels/unpack_vec.h"

static void kv_store_part(const kkv *kv, const uint32_t *pages, uint32_t slot,
                          const float *k, const float *v)
{
    if (kv->type == ST_Q8_0)
        kv8_store(kv, pages, slot, k, v);
    else
        kv_store_vec(kv, pages, slot, k, v);
}

static void attn_part(const kattn *a, uint32_t head0, uint32_t head1, const float *q,
                      float *out, float *scratch)
{
    if (a->kv->type == ST_Q8_0)
        kv8_attn(a, head0, head1, q, out, scratch);
    else
        attn_vec(a, head0, head1, q, out, scratch);
}

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
    .rope = rope_vec, .kv_store = kv_store_part
#endif
