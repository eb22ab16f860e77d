/* kernels/block_vec.h - products of quantised blocks and tokens, on the registers of
 * vec_*.h.
 *
 * Written once.  The file that includes it has included unpack_vec.h and defined the
 * integer sums; `f` is a constant as far as an ISA needs it:
 *     dots(f, n, h, u, x, sum)
 *                     sum[t] = products of block (or its half h) u and x[t], t < n, with
 *                     the offset taken off */
#ifndef KERNELS_BLOCK_VEC_H
#define KERNELS_BLOCK_VEC_H
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

/* The codes of a block stay in registers while all tokens pass. */
ST_INLINE void direct_type(st_dtype t, const unsigned char *panel, uint32_t b0,
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

ST_INLINE void direct_vec(const kmat *w, const unsigned char *panel, uint32_t b0,
                          uint32_t nb, const kqact *x, size_t stride, uint32_t n,
                          const uint8_t *at, float (*acc)[KERN_PANEL])
{
    switch ((unsigned)w->type) {
#define DIRECT_CASE(name, ...)                                                           \
    case ST_##name:                                                                      \
        direct_type(ST_##name, panel, b0, nb, x, stride, n, at, acc);                    \
        break;
        KFMT_MAP(DIRECT_CASE)
#undef DIRECT_CASE
    }
}
#endif
