/* kernels/tile_avx512.c - integer matrix products with VPMADDUBSW, without VNNI.
 *
 * The instruction multiplies unsigned by signed bytes and adds pairs into 16 bits,
 * saturating.  So that nothing saturates, as many groups of columns are added in 16 bits
 * as the largest code allows (a pair is at most 2 * 127 * code): 8 for codes up to 15, 4
 * up to 31, 2 up to 63.  Formats around 128 use the sign: |w| <= 128 times x with the
 * sign of w fits once. */
#include "kernels/tile.h"

#include <immintrin.h>
#include <string.h>

enum { TOKENS = 8 };

ST_INLINE __m512i act_load(const kqact *x, int g)
{
    int32_t four;
    memcpy(&four, x->q + 4 * g, 4);
    return _mm512_set1_epi32(four);
}

ST_INLINE __m512i code_load(const uint8_t *u)
{
    return _mm512_load_si512(u);
}

ST_INLINE __m512i pairs_add(__m512i sum, __m512i pairs)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

/* Groups [g0, g1), `run` of them in 16 bits. */
ST_INLINE void sums_unsigned(int n, int run, const uint8_t (*u)[64], int g0, int g1,
                             const kqact *x, __m512i *sum)
{
    for (int from = g0; from < g1; from += run) {
        __m512i pairs[TOKENS];
        for (int g = from; g < from + run; g++) {
            __m512i w = code_load(u[g]);
            for (int t = 0; t < n; t++) {
                __m512i p = _mm512_maddubs_epi16(w, act_load(&x[t], g));
                pairs[t] = g == from ? p : _mm512_add_epi16(pairs[t], p);
            }
        }
        for (int t = 0; t < n; t++)
            sum[t] = pairs_add(sum[t], pairs[t]);
    }
}

ST_INLINE void sums_signed(int n, const uint8_t (*u)[64], const kqact *x, __m512i *sum)
{
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    for (int g = 0; g < 8; g++) {
        __m512i w = _mm512_xor_si512(code_load(u[g]), flip);
        __m512i size = _mm512_abs_epi8(w);
        __mmask64 negative = _mm512_movepi8_mask(w);
        for (int t = 0; t < n; t++) {
            __m512i q = act_load(&x[t], g);
            q = _mm512_mask_sub_epi8(q, negative, _mm512_setzero_si512(), q);
            sum[t] = pairs_add(sum[t], _mm512_maddubs_epi16(size, q));
        }
    }
}

/* run 0: the signed way, which needs no offset. */
ST_INLINE void block_mul(int n, int run, bool has_min, bool halves, int shift,
                         const kblock *s, uint32_t b, const kqact *x, __m512 *a)
{
    for (int h = 0; h <= halves; h++) {
        __m512i sum[TOKENS];
        for (int t = 0; t < n; t++)
            sum[t] = _mm512_set1_epi32(
                has_min || !run ? 0 : (halves ? x[t].z2[h] : x[t].z) * (1 << shift));
        if (run)
            sums_unsigned(n, run, s[b].u, 4 * h, halves ? 4 * h + 4 : 8, x, sum);
        else
            sums_signed(n, s[b].u, x, sum);
        __m512 d = _mm512_load_ps(s[b].d[h]);
        for (int t = 0; t < n; t++)
            a[t] = _mm512_fmadd_ps(_mm512_mul_ps(d, _mm512_set1_ps(x[t].d)),
                                   _mm512_cvtepi32_ps(sum[t]), a[t]);
    }
    for (int h = 0; has_min && h <= halves; h++) {
        __m512 m = _mm512_load_ps(s[b].m[h]);
        for (int t = 0; t < n; t++)
            a[t] = _mm512_fmadd_ps(m, _mm512_set1_ps(halves ? x[t].s2[h] : x[t].s), a[t]);
    }
}

ST_INLINE void tokens_mul(int n, int run, bool has_min, bool halves, int shift,
                          const kblock *s, uint32_t nb, const kqact *x, size_t stride,
                          float (*acc)[KERN_PANEL])
{
    __m512 a[TOKENS];
    for (int t = 0; t < n; t++)
        a[t] = _mm512_load_ps(acc[t]);
    for (uint32_t b = 0; b < nb; b++)
        block_mul(n, run, has_min, halves, shift, s, b, x + b * stride, a);
    for (int t = 0; t < n; t++)
        _mm512_store_ps(acc[t], a[t]);
}

ST_INLINE void kind_mul(int run, bool has_min, bool halves, int shift, const kblock *s,
                        uint32_t nb, const kqact *x, size_t stride, uint32_t n,
                        float (*acc)[KERN_PANEL])
{
    uint32_t t = 0;
    for (; t + TOKENS <= n; t += TOKENS)
        tokens_mul(TOKENS, run, has_min, halves, shift, s, nb, x + t, stride, acc + t);
    for (; t < n; t++)
        tokens_mul(1, run, has_min, halves, shift, s, nb, x + t, stride, acc + t);
}

void tile_avx512(const kfmt *f, const kblock *s, uint32_t nb, const kqact *x,
                 size_t stride, uint32_t n, float (*acc)[KERN_PANEL])
{
    const int shift = f->shift;
    const bool nibbles = f->planes == Q_NIBBLES;
    if (!f->has_min && shift == 7)
        kind_mul(0, false, false, shift, s, nb, x, stride, n, acc);
    else if (f->halves && f->has_min) /* Q2_K: codes up to 3 */
        kind_mul(4, true, true, shift, s, nb, x, stride, n, acc);
    else if (f->halves && shift == 2) /* Q3_K: 7 */
        kind_mul(4, false, true, shift, s, nb, x, stride, n, acc);
    else if (f->halves) /* Q6_K: 63 */
        kind_mul(2, false, true, shift, s, nb, x, stride, n, acc);
    else if (nibbles && f->has_min) /* Q4_1, Q4_K: 15 */
        kind_mul(8, true, false, shift, s, nb, x, stride, n, acc);
    else if (nibbles && shift == 3) /* Q4_0: 15 */
        kind_mul(8, false, false, shift, s, nb, x, stride, n, acc);
    else if (f->has_min) /* Q5_1, Q5_K: 31 */
        kind_mul(4, true, false, shift, s, nb, x, stride, n, acc);
    else /* Q5_0: 31, MXFP4: 28 */
        kind_mul(4, false, false, shift, s, nb, x, stride, n, acc);
}
