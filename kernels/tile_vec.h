/* kernels/tile_vec.h - products of quantised blocks and tokens, on the registers of
 * vec_*.h.
 *
 * Written once.  The file that includes it has included unpack_vec.h and defined what
 * differs; `f` is a constant as far as an ISA needs it:
 *     TILE_SIZES(X)   X(1) X(2) ...: numbers of tokens that can share the weights
 *     tile_most(f)    the largest of these that fits the registers
 *     dots(f, n, h, u, x, sum)
 *                     sum[t] = products of block (or its half h) u and x[t], t < n, with
 *                     the offset taken off
 * What remains are the floats and the loops. */
#ifndef KERNELS_TILE_VEC_H
#define KERNELS_TILE_VEC_H
#include "kernels/unpack_vec.h"

ST_INLINE void block_mul(kfmt f, int n, const bvec *u, const vec *d, const vec *m,
                         const kqact *x, vec *a)
{
    ivec sum[TILE_TOKENS];
    vec part[TILE_TOKENS];
    dots(f, n, 0, u, x, sum);
    for (int t = 0; t < n; t++)
        part[t] = v_mul(d[0], v_from_i32(sum[t]));
    if (f.halves) {
        dots(f, n, 1, u + 4, x, sum);
        for (int t = 0; t < n; t++)
            part[t] = v_fma(d[1], v_from_i32(sum[t]), part[t]);
    }
    for (int t = 0; t < n; t++)
        a[t] = v_fma(part[t], v_set(x[t].d), a[t]);
    for (int h = 0; f.has_min && h <= f.halves; h++)
        for (int t = 0; t < n; t++)
            a[t] = v_fma(m[h], v_set(f.halves ? x[t].s2[h] : x[t].s), a[t]);
}

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
    const uint32_t most = (uint32_t)tile_most(f);
    for (uint32_t parts = (n + most - 1) / most; n; parts--) {
        const uint32_t size = (n + parts - 1) / parts;
        switch (size) {
#define SIZE_CASE(tokens)                                                                \
    case tokens:                                                                         \
        if (tokens <= most)                                                              \
            tokens_mul(f, tokens, s, nb, x, stride, at, acc);                            \
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

/* The blocks of a panel through registers: the strip of a few tokens is not worth its
 * stores. */
ST_INLINE void few_type(st_dtype t, const unsigned char *panel, uint32_t b0, uint32_t nb,
                        const kqact *x, size_t stride, uint32_t n, const uint8_t *at,
                        float (*acc)[KERN_PANEL])
{
    const kfmt f = kfmt_of(t);
    const uint32_t per = f.super / KERN_QBLOCK;
    const bvec table = table_load(t);
    vec a = v_load(acc[at[0]]); /* of a lone token */
    for (uint32_t b = b0; b < b0 + nb; b++, x += stride) {
        const unsigned char *q = panel + block_at(&f, b);
        bvec u[8];
        vec d[2], m[2];
        for (int g = 0; g < 8; g++)
            u[g] = codes_unpack(t, table, q, g);
        scales_unpack(t, panel + record_at(&f, b), b % per, d, m);
        if (n == 1)
            block_mul(f, 1, u, d, m, x, &a);
        for (uint32_t i = 0; n > 1 && i < n; i++) {
            a = v_load(acc[at[i]]);
            block_mul(f, 1, u, d, m, x + i, &a);
            v_store(acc[at[i]], a);
        }
    }
    if (n == 1)
        v_store(acc[at[0]], a);
}

ST_INLINE void few_vec(const kmat *w, const unsigned char *panel, uint32_t b0,
                       uint32_t nb, const kqact *x, size_t stride, uint32_t n,
                       const uint8_t *at, float (*acc)[KERN_PANEL])
{
    switch ((unsigned)w->type) {
#define FEW_CASE(name, ...)                                                              \
    case ST_##name:                                                                      \
        few_type(ST_##name, panel, b0, nb, x, stride, n, at, acc);                       \
        break;
        KFMT_MAP(FEW_CASE)
#undef FEW_CASE
    }
}
#endif
