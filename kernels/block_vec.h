/* kernels/block_vec.h - products of quantised blocks and tokens, on the registers of
 * vec_*.h.
 *
 * Written once.  The file that includes it has included unpack_vec.h and defined the
 * integer sums; `f` is a constant:
 *     dots(f, h, u, x)    products of block (or its half h) u and x, the offset taken
 *                         off */
#ifndef KERNELS_BLOCK_VEC_H
#define KERNELS_BLOCK_VEC_H
#include "kernels/unpack_vec.h"

/* a + block x token */
ST_INLINE vec block_mul(kfmt f, const bvec *u, const vec *d, const vec *m, const kqact *x,
                        vec a)
{
    vec part = v_mul(d[0], v_from_i32(dots(f, 0, u, x)));
    if (f.halves)
        part = v_fma(d[1], v_from_i32(dots(f, 1, u + 4, x)), part);
    a = v_fma(part, v_set(x->d), a);
    for (int h = 0; f.has_min && h <= f.halves; h++)
        a = v_fma(m[h], v_set(f.halves ? x->s2[h] : x->s), a);
    return a;
}

/* The codes of a block stay in registers, or in the first cache, while all tokens pass.
 * Expanding a strip of blocks first was slower at any number of tokens. */
ST_INLINE void blocks_type(st_dtype t, const unsigned char *panel, uint32_t b0,
                           uint32_t nb, const kqact *x, size_t stride, uint32_t n,
                           const uint8_t *at, float (*acc)[KERN_PANEL])
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
            a = block_mul(f, u, d, m, x, a);
        for (uint32_t i = 0; n > 1 && i < n; i++)
            v_store(acc[at[i]], block_mul(f, u, d, m, x + i, v_load(acc[at[i]])));
    }
    if (n == 1)
        v_store(acc[at[0]], a);
}

ST_INLINE void blocks_vec(const kmat *w, const unsigned char *panel, uint32_t b0,
                          uint32_t nb, const kqact *x, size_t stride, uint32_t n,
                          const uint8_t *at, float (*acc)[KERN_PANEL])
{
    switch ((unsigned)w->type) {
#define BLOCKS_CASE(name, ...)                                                           \
    case ST_##name:                                                                      \
        blocks_type(ST_##name, panel, b0, nb, x, stride, n, at, acc);                    \
        break;
        KFMT_MAP(BLOCKS_CASE)
#undef BLOCKS_CASE
    }
}
#endif
