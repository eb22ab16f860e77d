/* kernels/expand_avx512.c - quantising activations and expanding weights, AVX-512. */
#include "kernels/avx512.h"
#include "kernels/kern_c.h"
#include "kernels/unpack_avx512.h"

ST_INLINE void expand_type(st_dtype t, const unsigned char *panel, uint32_t b0, uint32_t nb,
                           kstrip *s)
{
    const kfmt f = kfmt_of(t);
    const uint32_t per = f.super / KERN_QBLOCK;
    const __m512i codes = codes_load(t);
    for (uint32_t b = 0; b < nb; b++) {
        __m512i u[8];
        __m512 d[2], m[2];
        block_unpack(t, codes, panel + block_at(&f, b0 + b), u);
        for (int g = 0; g < 8; g++)
            _mm512_store_si512(s->u[b][g], u[g]);
        scales_unpack(t, panel + record_at(&f, b0 + b), (b0 + b) % per, d, m);
        for (int h = 0; h <= f.halves; h++) {
            _mm512_store_ps(s->d[b][h], d[h]);
            if (f.has_min)
                _mm512_store_ps(s->m[b][h], m[h]);
        }
    }
}

void expand_avx512(const kmat *w, const unsigned char *panel, uint32_t b0, uint32_t nb,
                   kstrip *s)
{
    switch ((unsigned)w->type) {
#define EXPAND_CASE(name, ...)                                                           \
    case ST_##name:                                                                      \
        expand_type(ST_##name, panel, b0, nb, s);                                        \
        break;
        KFMT_MAP(EXPAND_CASE)
#undef EXPAND_CASE
    }
}

/* Column c of a float panel. */
ST_INLINE __m512 column_load(st_dtype type, const unsigned char *panel, size_t c)
{
    if (type == ST_F32)
        return _mm512_load_ps(panel + 4 * c * KERN_PANEL);
    const unsigned char *p = panel + 2 * c * KERN_PANEL;
    if (type == ST_F16)
        return half_load(p);
    __m256i h = _mm256_load_si256((const __m256i *)(const void *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

void widen_avx512(st_dtype type, const unsigned char *panel, uint32_t c0, uint32_t nc,
                  kfstrip s)
{
    for (uint32_t c = 0; c < nc; c++)
        _mm512_store_ps(s[c], column_load(type, panel, (size_t)c0 + c));
}

ST_INLINE void fone_type(st_dtype type, const unsigned char *panel, uint32_t cols,
                         const float *x, float *acc)
{
    __m512 a = _mm512_setzero_ps();
    for (uint32_t c = 0; c < cols; c++)
        a = _mm512_fmadd_ps(column_load(type, panel, c), _mm512_set1_ps(x[c]), a);
    _mm512_store_ps(acc, a);
}

void fone_avx512(st_dtype type, const unsigned char *panel, uint32_t cols, const float *x,
                 float *acc)
{
    if (type == ST_F32)
        fone_type(ST_F32, panel, cols, x, acc);
    else if (type == ST_F16)
        fone_type(ST_F16, panel, cols, x, acc);
    else
        fone_type(ST_BF16, panel, cols, x, acc);
}

ST_INLINE void ftile_tokens(int n, const float *s, uint32_t nc,
                            const float *x, size_t ldx, float (*acc)[KERN_PANEL])
{
    __m512 a[12];
    for (int t = 0; t < n; t++)
        a[t] = _mm512_load_ps(acc[t]);
    for (uint32_t c = 0; c < nc; c++) {
        __m512 w = _mm512_load_ps(s + (size_t)c * KERN_PANEL);
        for (int t = 0; t < n; t++)
            a[t] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[(size_t)t * ldx + c]), a[t]);
    }
    for (int t = 0; t < n; t++)
        _mm512_store_ps(acc[t], a[t]);
}

void ftile_avx512(const float *s, uint32_t nc, const float *x, size_t ldx,
                  uint32_t n, float (*acc)[KERN_PANEL])
{
    uint32_t t = 0;
    for (; t + 12 <= n; t += 12)
        ftile_tokens(12, s, nc, x + t * ldx, ldx, acc + t);
    for (; t + 4 <= n; t += 4)
        ftile_tokens(4, s, nc, x + t * ldx, ldx, acc + t);
    for (; t < n; t++)
        ftile_tokens(1, s, nc, x + t * ldx, ldx, acc + t);
}

/* Largest of 32 magnitudes as bits: a NaN or an infinity is the largest. */
ST_INLINE uint32_t block_max(__m512 x0, __m512 x1)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
    __m512i v = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(x0), magnitude),
                                 _mm512_and_si512(_mm512_castps_si512(x1), magnitude));
    __m256i y = _mm256_max_epu32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    __m128i z = _mm_max_epu32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
    z = _mm_max_epu32(z, _mm_shuffle_epi32(z, 0x4E));
    z = _mm_max_epu32(z, _mm_shuffle_epi32(z, 0xB1));
    return (uint32_t)_mm_cvtsi128_si32(z);
}

/* The sums by absolute differences of q + 128 from 0, 8 bytes each. */
ST_INLINE void block_quant(const float *x, kqact *a)
{
    __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + 16);
    uint32_t bits = block_max(x0, x1);
    float most = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)bits)));
    if (bits >= 0x7F800000 || most < KQACT_TINY) {
        kqact_make(x, KERN_QBLOCK, a);
        return;
    }
    __m512 inverse = _mm512_set1_ps(127.0f / most);
    __m128i q0 = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x0, inverse)));
    __m128i q1 = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x1, inverse)));
    const __m128i flip = _mm_set1_epi8((char)0x80), zero = _mm_setzero_si128();
    __m128i s0 = _mm_sad_epu8(_mm_xor_si128(q0, flip), zero);
    __m128i s1 = _mm_sad_epu8(_mm_xor_si128(q1, flip), zero);
    int32_t sum0 = _mm_cvtsi128_si32(s0) + _mm_extract_epi32(s0, 2) - 2048;
    int32_t sum1 = _mm_cvtsi128_si32(s1) + _mm_extract_epi32(s1, 2) - 2048;
    _mm_store_si128((__m128i *)(void *)a->q, q0);
    _mm_store_si128((__m128i *)(void *)(a->q + 16), q1);
    a->d = most / 127.0f;
    a->s = a->d * (float)(sum0 + sum1);
    a->s2[0] = a->d * (float)sum0;
    a->s2[1] = a->d * (float)sum1;
    a->z = -(sum0 + sum1);
    a->z2[0] = -sum0;
    a->z2[1] = -sum1;
    a->unused = 0;
}

void quant_avx512(const kact *x, uint32_t row0, uint32_t row1)
{
    const uint32_t whole = x->cols / KERN_QBLOCK, rest = x->cols % KERN_QBLOCK;
    for (uint32_t t = row0; t < row1; t++) {
        const float *row = x->x + t * (size_t)x->cols;
        kqact *a = x->q + t;
        for (uint32_t b = 0; b < whole; b++, a += x->n)
            block_quant(row + (size_t)b * KERN_QBLOCK, a);
        if (rest)
            kqact_make(row + (size_t)whole * KERN_QBLOCK, rest, a);
    }
}
