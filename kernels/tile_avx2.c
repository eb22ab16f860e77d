/* kernels/tile_avx2.c - integer matrix products with VPMADDUBSW on 8 rows at a time.
 *
 * The instruction multiplies unsigned by signed bytes and adds pairs into 16 bits,
 * saturating.  So that nothing saturates, as many groups of columns are added in 16 bits
 * as the largest code allows (a pair is at most 2 * 127 * code): 8 for codes up to 15, 4
 * up to 31, 2 up to 63.  Formats around 128 use the sign: |w| <= 128 times x with the
 * sign of w fits once. */
#include "kernels/tile.h"

#include <immintrin.h>
#include <string.h>

enum { TOKENS = 4 };

ST_INLINE __m256i act_load(const kqact *x, int g)
{
    int32_t four;
    memcpy(&four, x->q + 4 * g, 4);
    return _mm256_set1_epi32(four);
}

ST_INLINE __m256i code_load(const uint8_t *u)
{
    return _mm256_load_si256((const __m256i *)(const void *)u);
}

ST_INLINE __m256i pairs_add(__m256i sum, __m256i pairs)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* Groups [g0, g1), `run` of them in 16 bits. */
ST_INLINE void sums_unsigned(int n, int run, const uint8_t (*u)[64], int at, int g0,
                             int g1, const kqact *x, __m256i *sum)
{
    for (int from = g0; from < g1; from += run) {
        __m256i pairs[TOKENS];
        for (int g = from; g < from + run; g++) {
            __m256i w = code_load(u[g] + at);
            for (int t = 0; t < n; t++) {
                __m256i p = _mm256_maddubs_epi16(w, act_load(&x[t], g));
                pairs[t] = g == from ? p : _mm256_add_epi16(pairs[t], p);
            }
        }
        for (int t = 0; t < n; t++)
            sum[t] = pairs_add(sum[t], pairs[t]);
    }
}

ST_INLINE void sums_signed(int n, const uint8_t (*u)[64], int at, const kqact *x,
                           __m256i *sum)
{
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    for (int g = 0; g < 8; g++) {
        __m256i w = _mm256_xor_si256(code_load(u[g] + at), flip);
        __m256i size = _mm256_abs_epi8(w);
        for (int t = 0; t < n; t++) {
            __m256i q = _mm256_sign_epi8(act_load(&x[t], g), w);
            sum[t] = pairs_add(sum[t], _mm256_maddubs_epi16(size, q));
        }
    }
}

/* run 0: the signed way, which needs no offset.  `row`: 0 or 8. */
ST_INLINE void block_mul(int n, int run, bool has_min, bool halves, int shift,
                         const kblock *s, uint32_t b, int row, const kqact *x, __m256 *a)
{
    for (int h = 0; h <= halves; h++) {
        __m256i sum[TOKENS];
        for (int t = 0; t < n; t++)
            sum[t] = _mm256_set1_epi32(
                has_min || !run ? 0 : (halves ? x[t].z2[h] : x[t].z) * (1 << shift));
        if (run)
            sums_unsigned(n, run, s[b].u, 4 * row, 4 * h, halves ? 4 * h + 4 : 8, x, sum);
        else
            sums_signed(n, s[b].u, 4 * row, x, sum);
        __m256 d = _mm256_load_ps(s[b].d[h] + row);
        for (int t = 0; t < n; t++)
            a[t] = _mm256_fmadd_ps(_mm256_mul_ps(d, _mm256_set1_ps(x[t].d)),
                                   _mm256_cvtepi32_ps(sum[t]), a[t]);
    }
    for (int h = 0; has_min && h <= halves; h++) {
        __m256 m = _mm256_load_ps(s[b].m[h] + row);
        for (int t = 0; t < n; t++)
            a[t] = _mm256_fmadd_ps(m, _mm256_set1_ps(halves ? x[t].s2[h] : x[t].s), a[t]);
    }
}

ST_INLINE void tokens_mul(int n, int run, bool has_min, bool halves, int shift,
                          const kblock *s, uint32_t nb, const kqact *x, size_t stride,
                          float (*acc)[KERN_PANEL])
{
    for (int row = 0; row < KERN_PANEL; row += 8) {
        __m256 a[TOKENS];
        for (int t = 0; t < n; t++)
            a[t] = _mm256_load_ps(acc[t] + row);
        for (uint32_t b = 0; b < nb; b++)
            block_mul(n, run, has_min, halves, shift, s, b, row, x + b * stride, a);
        for (int t = 0; t < n; t++)
            _mm256_store_ps(acc[t] + row, a[t]);
    }
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

void tile_avx2(const kfmt *f, const kblock *s, uint32_t nb, const kqact *x, size_t stride,
               uint32_t n, float (*acc)[KERN_PANEL])
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
