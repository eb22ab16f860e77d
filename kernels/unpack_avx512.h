/* kernels/unpack_avx512.h - packed blocks to bytes and float scales in registers.
 *
 * Included by the AVX-512 files only; everything is inlined with a constant type, so that
 * each caller has one straight path a format. */
#ifndef KERNELS_UNPACK_AVX512_H
#define KERNELS_UNPACK_AVX512_H
#include "kernels/layout.h"
#include <immintrin.h>

/* v shifted so that bit `from` lies at bit `to`; other bits are rubbish. */
ST_INLINE __m512i bits_move(__m512i v, int from, int to)
{
    return from > to   ? _mm512_srli_epi16(v, (unsigned)(from - to))
           : from < to ? _mm512_slli_epi16(v, (unsigned)(to - from))
                       : v;
}

ST_INLINE __m512i bits_or(__m512i u, __m512i v, int mask)
{
    return _mm512_ternarylogic_epi32(u, v, _mm512_set1_epi8((char)mask), 0xF8);
}

/* The 8 vectors of a block. */
ST_INLINE void block_unpack(st_dtype t, __m512i codes, const unsigned char *q, __m512i *u)
{
    const int planes = kfmt_of(t).planes;
    const int high = planes & Q_NIBBLES ? 4 : 0;
    const __m512i low4 = _mm512_set1_epi8(15);
    if (planes & Q_BYTES)
        for (int g = 0; g < 8; g++)
            u[g] = _mm512_load_si512(q + 64 * g);
    if (planes & Q_NIBBLES) {
        for (int v = 0; v < 4; v++) {
            __m512i w = _mm512_load_si512(q + 64 * v);
            u[v] = _mm512_and_si512(w, low4);
            u[v + 4] = _mm512_and_si512(_mm512_srli_epi16(w, 4), low4);
        }
        q += 256;
    }
    if (planes & Q_PAIRS) {
        for (int g = 0; g < 8; g++) {
            __m512i w = _mm512_load_si512(q + 64 * (g / 4));
            w = bits_move(w, 2 * (g % 4), high);
            u[g] = high ? bits_or(u[g], w, 0x30)
                        : _mm512_and_si512(w, _mm512_set1_epi8(3));
        }
        q += 128;
    }
    if (planes & Q_BITS) {
        const int to = high ? 4 : 2;
        __m512i w = _mm512_load_si512(q);
        for (int g = 0; g < 8; g++)
            u[g] = bits_or(u[g], bits_move(w, g, to), 1 << to);
    }
    if (kfmt_of(t).codes)
        for (int g = 0; g < 8; g++)
            u[g] = _mm512_shuffle_epi8(codes, u[g]);
}

ST_INLINE __m512i codes_load(st_dtype t)
{
    const uint8_t *codes = kfmt_codes[kfmt_of(t).codes == 2];
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)codes));
}

ST_INLINE __m512 half_load(const unsigned char *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

ST_INLINE __m128i bytes_load(const unsigned char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* bits [from, from + n) of each byte, at bit `to`. */
ST_INLINE __m128i bytes_field(__m128i v, int from, int n, int to)
{
    v = from > to   ? _mm_srli_epi16(v, from - to)
        : from < to ? _mm_slli_epi16(v, to - from)
                    : v;
    return _mm_and_si128(v, _mm_set1_epi8((char)(((1 << n) - 1) << to)));
}

ST_INLINE __m512 bytes_to_ps(__m128i v)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(v));
}

ST_INLINE __m512 negated(__m512 v)
{
    return _mm512_xor_ps(v, _mm512_set1_ps(-0.0f));
}

ST_INLINE void scales_k45(const unsigned char *rec, uint32_t b, __m512 *d, __m512 *m)
{
    const unsigned char *s = rec + 64;
    __m128i scale, min;
    if (b < 4) {
        scale = bytes_field(bytes_load(s + 16 * b), 0, 6, 0);
        min = bytes_field(bytes_load(s + 16 * (b + 4)), 0, 6, 0);
    } else {
        __m128i both = bytes_load(s + 16 * (b + 4));
        scale = _mm_or_si128(bytes_field(both, 0, 4, 0),
                             bytes_field(bytes_load(s + 16 * (b - 4)), 6, 2, 4));
        min = _mm_or_si128(bytes_field(both, 4, 4, 0),
                           bytes_field(bytes_load(s + 16 * b), 6, 2, 4));
    }
    d[0] = _mm512_mul_ps(half_load(rec), bytes_to_ps(scale));
    m[0] = negated(_mm512_mul_ps(half_load(rec + 32), bytes_to_ps(min)));
}

/* f16 d times (6-bit scale - 32). */
ST_INLINE __m512 scale_mul(const unsigned char *rec, __m128i scale)
{
    __m512i v = _mm512_sub_epi32(_mm512_cvtepu8_epi32(scale), _mm512_set1_epi32(32));
    return _mm512_mul_ps(half_load(rec), _mm512_cvtepi32_ps(v));
}

ST_INLINE __m512 scales_iq4_xs(const unsigned char *rec, uint32_t b)
{
    const unsigned char *s = rec + 32;
    __m128i low = bytes_load(s + 16 * (2 + b / 2)), high = bytes_load(s + 16 * (b / 4));
    low = b % 2 ? bytes_field(low, 4, 4, 0) : bytes_field(low, 0, 4, 0);
    high = _mm_slli_epi16(_mm_srl_epi16(high, _mm_cvtsi32_si128((int)(b % 4 * 2))), 4);
    return scale_mul(rec, _mm_or_si128(low, _mm_and_si128(high, _mm_set1_epi8(0x30))));
}

ST_INLINE __m512 scales_q3(const unsigned char *rec, uint32_t j)
{
    const unsigned char *s = rec + 32;
    __m128i low = bytes_load(s + 16 * (j % 8)), high = bytes_load(s + 16 * (8 + j % 4));
    low = j / 8 ? bytes_field(low, 4, 4, 0) : bytes_field(low, 0, 4, 0);
    high = _mm_slli_epi16(_mm_srl_epi16(high, _mm_cvtsi32_si128((int)(j / 4 * 2))), 4);
    return scale_mul(rec, _mm_or_si128(low, _mm_and_si128(high, _mm_set1_epi8(0x30))));
}

ST_INLINE void scales_half(st_dtype t, const unsigned char *rec, uint32_t j, __m512 *d,
                           __m512 *m)
{
    if (t == ST_Q3_K) {
        *d = scales_q3(rec, j);
    } else if (t == ST_Q6_K) {
        __m512i v = _mm512_cvtepi8_epi32(bytes_load(rec + 32 + 16 * j));
        *d = _mm512_mul_ps(half_load(rec), _mm512_cvtepi32_ps(v));
    } else {
        __m128i v = bytes_load(rec + 64 + 16 * j);
        *d = _mm512_mul_ps(half_load(rec), bytes_to_ps(bytes_field(v, 0, 4, 0)));
        v = bytes_field(v, 4, 4, 0);
        *m = negated(_mm512_mul_ps(half_load(rec + 32), bytes_to_ps(v)));
    }
}

/* 2^(e - 128): shifted into place, the two smallest are subnormal. */
ST_INLINE __m512 scales_e8m0(const unsigned char *rec)
{
    __m512i e = _mm512_cvtepu8_epi32(bytes_load(rec));
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __m512i tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    __mmask16 small = _mm512_cmplt_epu32_mask(e, _mm512_set1_epi32(2));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, small, tiny));
}

/* Scales of block b of a record's blocks; d and m have two where the type has halves. */
ST_INLINE void scales_unpack(st_dtype t, const unsigned char *rec, uint32_t b, __m512 *d,
                             __m512 *m)
{
    if (t == ST_Q4_K || t == ST_Q5_K) {
        scales_k45(rec, b, d, m);
    } else if (t == ST_IQ4_XS) {
        d[0] = scales_iq4_xs(rec, b);
    } else if (t == ST_MXFP4) {
        d[0] = scales_e8m0(rec);
    } else if (kfmt_of(t).halves) {
        scales_half(t, rec, 2 * b, &d[0], &m[0]);
        scales_half(t, rec, 2 * b + 1, &d[1], &m[1]);
    } else {
        d[0] = half_load(rec);
        if (kfmt_of(t).has_min)
            m[0] = half_load(rec + 32);
    }
}
#endif
