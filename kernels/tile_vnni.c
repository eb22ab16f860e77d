/* kernels/tile_vnni.c - integer matrix products with VPDPBUSD.
 *
 * A register of weights holds 4 columns of 16 rows; one instruction multiplies it with 4
 * activations of a token, broadcast from memory, and adds into 16 sums.  Sums of a block
 * start from -offset * sum(q), so that weights may be unsigned, and become floats once a
 * block (or half).  12 tokens share each weight register: 12 integer and 12 float
 * accumulators, and the scales, fill the 32 registers. */
#include "kernels/tile.h"
#include "kernels/vec_avx512.h"

#include "kernels/unpack_vec.h"

#include <string.h>

ST_INLINE __m512i act_load(const kqact *x, int g)
{
    int32_t four;
    memcpy(&four, x->q + 4 * g, 4);
    return _mm512_set1_epi32(four);
}

/* Groups [g0, g1) of a block into the sums of n tokens. */
ST_INLINE void sums_add(int n, const uint8_t (*u)[64], int g0, int g1, const kqact *x,
                        __m512i *sum)
{
    for (int g = g0; g < g1; g++) {
        __m512i w = _mm512_load_si512(u[g]);
        for (int t = 0; t < n; t++)
            sum[t] = _mm512_dpbusd_epi32(sum[t], w, act_load(&x[t], g));
    }
}

ST_INLINE void scaled_add(int n, const float *scale, const kqact *x, const __m512i *sum,
                          __m512 *a)
{
    __m512 d = _mm512_load_ps(scale);
    for (int t = 0; t < n; t++)
        a[t] = _mm512_fmadd_ps(_mm512_mul_ps(d, _mm512_set1_ps(x[t].d)),
                               _mm512_cvtepi32_ps(sum[t]), a[t]);
}

ST_INLINE void block_mul(int n, bool has_min, bool halves, __m128i shift, const kblock *s,
                         uint32_t b, const kqact *x, __m512 *a)
{
    __m512i sum[12];
    for (int h = 0; h <= halves; h++) {
        for (int t = 0; t < n; t++)
            sum[t] = has_min
                         ? _mm512_setzero_si512()
                         : _mm512_sll_epi32(
                               _mm512_set1_epi32(halves ? x[t].z2[h] : x[t].z), shift);
        sums_add(n, s[b].u, 4 * h, halves ? 4 * h + 4 : 8, x, sum);
        scaled_add(n, s[b].d[h], x, sum, a);
    }
    for (int h = 0; has_min && h <= halves; h++) {
        __m512 m = _mm512_load_ps(s[b].m[h]);
        for (int t = 0; t < n; t++)
            a[t] = _mm512_fmadd_ps(m, _mm512_set1_ps(halves ? x[t].s2[h] : x[t].s), a[t]);
    }
}

ST_INLINE void tokens_mul(int n, bool has_min, bool halves, __m128i shift,
                          const kblock *s, uint32_t nb, const kqact *x, size_t stride,
                          float (*acc)[KERN_PANEL])
{
    __m512 a[12];
    for (int t = 0; t < n; t++)
        a[t] = _mm512_load_ps(acc[t]);
    for (uint32_t b = 0; b < nb; b++)
        block_mul(n, has_min, halves, shift, s, b, x + b * stride, a);
    for (int t = 0; t < n; t++)
        _mm512_store_ps(acc[t], a[t]);
}

ST_INLINE void kind_mul(bool has_min, bool halves, const kfmt *f, const kblock *s,
                        uint32_t nb, const kqact *x, size_t stride, uint32_t n,
                        float (*acc)[KERN_PANEL])
{
    const __m128i shift = _mm_cvtsi32_si128(f->shift);
    uint32_t t = 0;
    for (; t + 12 <= n; t += 12)
        tokens_mul(12, has_min, halves, shift, s, nb, x + t, stride, acc + t);
    switch (n - t) {
#define REST_CASE(rest)                                                                  \
    case rest:                                                                           \
        tokens_mul(rest, has_min, halves, shift, s, nb, x + t, stride, acc + t);         \
        break;
        REST_CASE(1)
        REST_CASE(2)
        REST_CASE(3)
        REST_CASE(4)
        REST_CASE(5)
        REST_CASE(6)
        REST_CASE(7)
        REST_CASE(8)
        REST_CASE(9)
        REST_CASE(10)
        REST_CASE(11)
#undef REST_CASE
    }
}

void tile_vnni(const kfmt *f, const kblock *s, uint32_t nb, const kqact *x, size_t stride,
               uint32_t n, float (*acc)[KERN_PANEL])
{
    if (f->has_min && f->halves)
        kind_mul(true, true, f, s, nb, x, stride, n, acc);
    else if (f->has_min)
        kind_mul(true, false, f, s, nb, x, stride, n, acc);
    else if (f->halves)
        kind_mul(false, true, f, s, nb, x, stride, n, acc);
    else
        kind_mul(false, false, f, s, nb, x, stride, n, acc);
}

/* Sum of groups [g0, g0 + n) in two chains, from an initial value. */
ST_INLINE __m512i sums_one(const __m512i *u, int g0, int n, const kqact *x, __m512i from)
{
    __m512i other = _mm512_setzero_si512();
    for (int g = g0; g < g0 + n; g += 2) {
        from = _mm512_dpbusd_epi32(from, u[g], act_load(x, g));
        other = _mm512_dpbusd_epi32(other, u[g + 1], act_load(x, g + 1));
    }
    return _mm512_add_epi32(from, other);
}

ST_INLINE __m512 block_one(const kfmt f, const __m512i *u, const __m512 *d,
                           const __m512 *m, const kqact *x, __m512 a)
{
    const int n = f.halves ? 4 : 8;
    const __m512 dx = _mm512_set1_ps(x->d);
    for (int h = 0; h <= f.halves; h++) {
        int32_t z = f.has_min ? 0 : (f.halves ? x->z2[h] : x->z) * (1 << f.shift);
        __m512i sum = sums_one(u, 4 * h, n, x, _mm512_set1_epi32(z));
        a = _mm512_fmadd_ps(_mm512_mul_ps(d[h], dx), _mm512_cvtepi32_ps(sum), a);
    }
    for (int h = 0; f.has_min && h <= f.halves; h++)
        a = _mm512_fmadd_ps(m[h], _mm512_set1_ps(f.halves ? x->s2[h] : x->s), a);
    return a;
}

/* One block of a panel, from memory through registers, x one token's block. */
ST_INLINE __m512 panel_block(st_dtype t, bvec table, const unsigned char *q,
                             const unsigned char *rec, uint32_t in_record, const kqact *x,
                             __m512 a)
{
    bvec u[8];
    __m512 d[2], m[2];
    block_unpack(t, table, q, 0, u);
    scales_unpack(t, rec, in_record, d, m);
    return block_one(kfmt_of(t), u, d, m, x, a);
}

ST_INLINE void one_type(st_dtype t, const kmat *w, const unsigned char *panel,
                        const kqact *x, size_t stride, const kqact *fine, uint32_t n_fine,
                        float *acc)
{
    const kfmt f = kfmt_of(t);
    const uint32_t blocks = w->cols / KERN_QBLOCK, per = f.super / KERN_QBLOCK;
    const bvec table = table_load(t);
    const unsigned char *q = panel;
    __m512 a = _mm512_setzero_ps();
    for (uint32_t b0 = 0; b0 < blocks; b0 += f.bunch) {
        const uint32_t nb = blocks - b0 < f.bunch ? blocks - b0 : f.bunch;
        const unsigned char *rec = q;
        q += bunch_head(&f);
        for (uint32_t b = 0; b < nb; b++, q += f.block_bytes, x += stride)
            a = panel_block(t, table, q, rec + b / per * record_bytes(&f), b % per, x, a);
    }
    for (uint32_t k = 0; k < n_fine; k++) {
        const uint32_t b = fine[k].block;
        a = _mm512_add_ps(a, panel_block(t, table, panel + block_at(&f, b),
                                         panel + record_at(&f, b), b % per, &fine[k],
                                         _mm512_setzero_ps()));
    }
    _mm512_store_ps(acc, a);
}

void one_vnni(const kmat *w, const unsigned char *panel, const kqact *x, size_t stride,
              const kqact *fine, uint32_t n_fine, float *acc)
{
    switch ((unsigned)w->type) {
#define ONE_CASE(name, ...)                                                              \
    case ST_##name:                                                                      \
        one_type(ST_##name, w, panel, x, stride, fine, n_fine, acc);                     \
        break;
        KFMT_MAP(ONE_CASE)
#undef ONE_CASE
    }
}
