/* kernels/tile_vec.h - tiles of tokens and expanded blocks, for an ISA whose registers do
 * not hold a block.
 *
 * The file that includes it has defined what block_vec.h asks for, and
 *     TILE_SIZES(X)   X(1) X(2) ...: numbers of tokens that can share the weights */
#ifndef KERNELS_TILE_VEC_H
#define KERNELS_TILE_VEC_H
#include "kernels/block_vec.h"

ST_INLINE void tokens_mul(kfmt f, int n, const kblock *s, uint32_t nb, const kqact *x,
                          size_t stride, const uint8_t *at, float (*acc)[KERN_PANEL])
{
    vec a[TILE_TOKENS];
    for (int t = 0; t < n; t++)
        a[t] = v_load(acc[at[t]]);
    for (uint32_t b = 0; b < nb; b++) {
        vec d[2], m[2];
        for (int h = 0; h <= f.halves; h++) {
            d[h] = v_load(s[b].d[h]);
            m[h] = v_load(s[b].m[h]);
        }
        block_mul(f, n, (const bvec *)(const void *)s[b].u, d, m, x + b * stride, a);
    }
    for (int t = 0; t < n; t++)
        v_store(acc[at[t]], a[t]);
}

/* Tokens in parts of nearly the same size, so that none is slow for being small. */
ST_INLINE void kind_tile(kfmt f, const kblock *s, uint32_t nb, const kqact *x,
                         size_t stride, uint32_t n, const uint8_t *at,
                         float (*acc)[KERN_PANEL])
{
    const uint32_t most = TILE_TOKENS;
    for (uint32_t parts = (n + most - 1) / most; n; parts--) {
        const uint32_t size = (n + parts - 1) / parts;
        switch (size) {
#define SIZE_CASE(tokens)                                                                \
    case tokens:                                                                         \
        tokens_mul(f, tokens, s, nb, x, stride, at, acc);                                \
        break;
            TILE_SIZES(SIZE_CASE)
#undef SIZE_CASE
        }
        x += size;
        at += size;
        n -= size;
    }
}

/* For an ISA that need not know more of a format than its minimum and halves. */
ST_INLINE void tile_vec(const kfmt *f, const kblock *s, uint32_t nb, const kqact *x,
                        size_t stride, uint32_t n, const uint8_t *at,
                        float (*acc)[KERN_PANEL])
{
    kfmt k = *f;
    k.has_min = k.halves = false;
    if (f->has_min && f->halves) {
        kind_tile(kfmt_of(ST_Q2_K), s, nb, x, stride, n, at, acc);
    } else if (f->has_min) {
        kind_tile(kfmt_of(ST_Q4_1), s, nb, x, stride, n, at, acc);
    } else if (f->halves) {
        k.halves = true;
        kind_tile(k, s, nb, x, stride, n, at, acc);
    } else {
        kind_tile(k, s, nb, x, stride, n, at, acc);
    }
}
#endif
