/* kernels/kern_c.h - the C twin's functions, which other tables may point to.
 *
 * Private to the room. */
#ifndef KERNELS_KERN_C_H
#define KERNELS_KERN_C_H
#include "kernels/layout.h"

#define KQACT_TINY 1e-36f /* 127 / x is finite above it */

void kqact_make(const float *x, uint32_t n, kqact *a);
void quant_c(const kact *x, uint32_t row0, uint32_t row1);
void matmul_c(const kmat *w, const kact *x, uint32_t panel0, uint32_t panel1, float *y,
              size_t ldy);
void rows_c(const kmat *w, const kact *x, uint32_t t, const int32_t *rows, uint32_t n,
            float *y);
void row_c(const kmat *w, uint32_t r, float *out);

void rms_norm_c(const float *x, const float *w, float eps, uint32_t n, float *y);
void layer_norm_c(const float *x, const float *w, const float *b, float eps, uint32_t n,
                  float *y);
void add_c(float *y, const float *x, uint32_t n);
void mul_c(float *y, const float *x, uint32_t n);
void axpy_c(float *y, float a, const float *x, uint32_t n);
float dot_c(const float *a, const float *b, uint32_t n);
void silu_mul_c(float *g, const float *u, uint32_t n);
void gelu_tanh_mul_c(float *g, const float *u, uint32_t n);
void gelu_erf_c(float *x, const float *b, uint32_t n);
void gelu_tanh_c(float *x, const float *b, uint32_t n);
void softmax_c(float *x, uint32_t n);
void rope_c(float *x, const float *cos, const float *sin, uint32_t half, bool neox);
void kv_store_c(const kkv *kv, const uint32_t *pages, uint32_t slot, const float *k,
                const float *v);
void attn_c(const kattn *a, uint32_t head0, uint32_t head1, const float *q, float *out,
            float *scratch);

/* Where a KV head lies, in bytes from the start of its page. */
static inline size_t kkv_width(const kkv *kv) /* of an F32 or F16 element */
{
    return kv->type == ST_F16 ? 2 : 4;
}
static inline unsigned char *kkv_keys(const kkv *kv, uint32_t page, uint32_t head)
{
    return kv->k + page * kv->page_stride + head * kkv_bytes(kv->type, 1, kv->dim_k);
}
static inline unsigned char *kkv_values(const kkv *kv, uint32_t page, uint32_t head)
{
    return kv->v + page * kv->page_stride + head * kkv_bytes(kv->type, 1, kv->dim_v);
}
#endif
