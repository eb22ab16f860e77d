/* kernels/kv8.h - keys and values in 8 bits: layout, and the arithmetic on them.
 *
 * A key (and a query) is rotated before it is rounded: blocks of 64 elements, or 32, go
 * through a Hadamard matrix, which leaves products of rotated vectors what they were
 * (times the block) and spreads the few channels that hold a key's largest values
 * (Ashkboos 2024, QuaRot).  Heads are padded with zeros to whole blocks.  One scale a
 * slot and head.
 *
 *     keys     [slot / 16][i / 4][slot % 16][i % 4], then 64 scales
 *     values   [slot / 4][i / 16][i % 16][slot % 4], then 64 scales
 *
 * so that a 32-bit lane holds four products of one sum.  For a block of at most 64
 * positions, in order of the format:
 *     score = sum(q * k) * (dk * (dq * (scale / block)))
 *     p     = exp(score - most)     mass = mass * keep + sum p
 *     w     = p * dv, rounded to 0..255 under one scale dw
 *     out   = fma(sum(w * v), dw, out * keep)
 * Sums of products are exact: whole numbers below 2^24, as integers or in floats, so
 * their order is free, and what is masked is zero.
 *
 * Private to the room. */
#ifndef KERNELS_KV8_H
#define KERNELS_KV8_H
#include "kernels/kern_c.h"

enum {
    KV8_MAX_DIM = KKV8_MAX_DIM,
    KV8_ROWS = 64, /* queries that go through a page together */
    KV8_TOP = 255, /* of a weight */
};
#define KV8_TINY 1e-36f /* what a block's largest must reach, or all are zero */

static inline uint32_t kv8_width(uint32_t dim) /* padded */
{
    return (dim + 31) / 32 * 32;
}
static inline uint32_t kv8_block(uint32_t width) /* of the rotation */
{
    return width % 64 == 0 ? 64 : 32;
}
static inline size_t kv8_head_bytes(uint32_t dim)
{
    return KV_PAGE_TOKENS * ((size_t)kv8_width(dim) + sizeof(float));
}
static inline size_t kv8_key_at(uint32_t width, uint32_t s, uint32_t i)
{
    return ((size_t)(s / 16) * (width / 4) + i / 4) * 64 + s % 16 * 4 + i % 4;
}
static inline size_t kv8_value_at(uint32_t width, uint32_t s, uint32_t i)
{
    return ((size_t)(s / 4) * (width / 16) + i / 16) * 64 + i % 16 * 4 + s % 4;
}
static inline float *kv8_scales(unsigned char *head, uint32_t dim)
{
    return (float *)(void *)(head + (size_t)KV_PAGE_TOKENS * kv8_width(dim));
}

/* Copy slot `from` of one head's keys or values to slot `to` of another's. */
void kv8_key_copy(uint32_t dim, unsigned char *head_to, uint32_t to,
                  const unsigned char *head_from, uint32_t from);
void kv8_value_copy(uint32_t dim, unsigned char *head_to, uint32_t to,
                    const unsigned char *head_from, uint32_t from);
/* Set a slot of a head's keys and values to zero. */
void kv8_clear(const kkv *kv, unsigned char *keys, unsigned char *values, uint32_t s);

void kv8_store_c(const kkv *kv, const uint32_t *pages, uint32_t slot, const float *k,
                 const float *v);
void kv8_attn_c(const kattn *a, uint32_t head0, uint32_t head1, const float *q,
                float *out);
#endif
