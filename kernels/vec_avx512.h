/* kernels/vec_avx512.h - 16 floats as one AVX-512 register.
 *
 * vec_avx2.h and vec_neon.h define the same names with the same results, bit for bit, so
 * that ops_vec.h and attn_vec.h are written once.  Included by AVX-512 files only. */
#ifndef KERNELS_VEC_AVX512_H
#define KERNELS_VEC_AVX512_H
#include "base/compiler.h"
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef __m512 vec;

enum { VEC_ACCS = 16 }; /* accumulators that fit into the registers */

ST_INLINE vec v_set(float x)
{
    return _mm512_set1_ps(x);
}
ST_INLINE vec v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
ST_INLINE void v_store(float *p, vec v)
{
    _mm512_storeu_ps(p, v);
}
/* The first n < 16 lanes; the others are zero. */
ST_INLINE vec v_load_n(const float *p, uint32_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
ST_INLINE void v_store_n(float *p, vec v, uint32_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
}
ST_INLINE vec v_load_half(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
ST_INLINE void v_store_half(uint16_t *p, vec v)
{
    _mm256_storeu_si256(
        (__m256i *)(void *)p,
        _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
ST_INLINE vec v_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}
ST_INLINE vec v_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}
ST_INLINE vec v_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}
ST_INLINE vec v_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}
ST_INLINE vec v_fma(vec a, vec b, vec c) /* a * b + c */
{
    return _mm512_fmadd_ps(a, b, c);
}
/* a > b ? a : b, and a < b ? a : b: b where either is NaN */
ST_INLINE vec v_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}
ST_INLINE vec v_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}
ST_INLINE vec v_abs(vec v)
{
    return _mm512_abs_ps(v);
}
ST_INLINE vec v_round(vec v) /* to nearest even */
{
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* v * 2^n for whole n from -200 to 200 */
ST_INLINE vec v_scale(vec v, vec n)
{
    return _mm512_scalef_ps(v, n);
}
/* a where x < 0 (sign bit), else b */
ST_INLINE vec v_where_negative(vec x, vec a, vec b)
{
    return _mm512_mask_mov_ps(b, _mm512_movepi32_mask(_mm512_castps_si512(x)), a);
}
/* v in lanes [lo, hi), else other */
ST_INLINE vec v_keep(vec v, uint32_t lo, uint32_t hi, vec other)
{
    return _mm512_mask_mov_ps(other, (__mmask16)((1u << hi) - (1u << lo)), v);
}
/* a - b in even lanes, a + b in odd ones */
ST_INLINE vec v_add_alternate(vec a, vec b)
{
    return _mm512_mask_sub_ps(_mm512_add_ps(a, b), 0x5555, a, b);
}
/* Lanes 2i and 2i + 1 exchanged. */
ST_INLINE vec v_swap_pairs(vec v)
{
    return _mm512_permute_ps(v, 0xB1);
}
/* Lane i ^ (1 << h) in lane i; h = 0..3 is known to the compiler. */
ST_INLINE vec v_flip(vec v, int h)
{
    return h == 0   ? _mm512_permute_ps(v, 0xB1)
           : h == 1 ? _mm512_permute_ps(v, 0x4E)
           : h == 2 ? _mm512_shuffle_f32x4(v, v, 0xB1)
                    : _mm512_shuffle_f32x4(v, v, 0x4E);
}
/* p[0], p[0], p[1], p[1], ... p[7], p[7] */
ST_INLINE vec v_load_twice(const float *p)
{
    const __m512i index =
        _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(index, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}
/* Sum by halves: lane i + lane i + 8, then 4, 2, 1. */
ST_INLINE float v_sum(vec v)
{
    __m256 y = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    x = _mm_add_ss(x, _mm_movehdup_ps(x));
    return _mm_cvtss_f32(x);
}
ST_INLINE float v_largest(vec v)
{
    __m256 y = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    x = _mm_max_ss(x, _mm_movehdup_ps(x));
    return _mm_cvtss_f32(x);
}
/* Largest magnitude of a and b as bits: a NaN or an infinity is the largest. */
ST_INLINE uint32_t v_largest_bits(vec a, vec b)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
    __m512i v = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(a), magnitude),
                                 _mm512_and_si512(_mm512_castps_si512(b), magnitude));
    __m256i y =
        _mm256_max_epu32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    __m128i x = _mm_max_epu32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
    x = _mm_max_epu32(x, _mm_shuffle_epi32(x, 0x4E));
    x = _mm_max_epu32(x, _mm_shuffle_epi32(x, 0xB1));
    return (uint32_t)_mm_cvtsi128_si32(x);
}

/* 16 bytes, and what they become. */
typedef __m128i b16;

ST_INLINE b16 b16_load(const unsigned char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}
/* bits [from, from + n) of each byte, moved to bit `to` */
ST_INLINE b16 b16_field(b16 v, int from, int n, int to)
{
    v = from > to ? _mm_srli_epi16(v, from - to) : _mm_slli_epi16(v, to - from);
    return _mm_and_si128(v, _mm_set1_epi8((char)(((1 << n) - 1) << to)));
}
ST_INLINE b16 b16_or(b16 a, b16 b)
{
    return _mm_or_si128(a, b);
}
ST_INLINE vec v_from_u8(b16 v)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(v));
}
ST_INLINE vec v_from_i8(b16 v)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(v));
}
/* Signed byte i of each of 16 aligned groups of four. */
ST_INLINE vec v_lane_byte(const unsigned char *p, int i)
{
    const unsigned up = 24 - 8 * (unsigned)i;
    return _mm512_cvtepi32_ps(
        _mm512_srai_epi32(_mm512_slli_epi32(_mm512_load_si512(p), up), 24));
}
ST_INLINE vec v_from_bf16(const uint16_t *p)
{
    __m256i h = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
/* 2^(e - 128): e - 1 is the exponent, the two smallest are subnormal */
ST_INLINE vec v_from_e8m0(b16 v)
{
    __m512i e = _mm512_cvtepu8_epi32(v);
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __m512i tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    __mmask16 small = _mm512_cmplt_epu32_mask(e, _mm512_set1_epi32(2));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, small, tiny));
}
/* Rounded to nearest even and stored as 16 bytes; the sum of these. */
ST_INLINE int32_t v_store_i8(int8_t *p, vec v)
{
    __m128i q = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v));
    __m128i up = _mm_xor_si128(q, _mm_set1_epi8((char)0x80)); /* q + 128 */
    __m128i sum = _mm_sad_epu8(up, _mm_setzero_si128());
    _mm_storeu_si128((__m128i *)(void *)p, q);
    return _mm_cvtsi128_si32(sum) + _mm_extract_epi32(sum, 2) - 2048;
}

/* 64 bytes, or 32 sums of pairs of products in 16 bits. */
typedef __m512i bvec;

ST_INLINE bvec bv_load(const unsigned char *p)
{
    return _mm512_load_si512(p);
}
ST_INLINE void bv_store(unsigned char *p, bvec v)
{
    _mm512_store_si512(p, v);
}
ST_INLINE bvec bv_field(bvec v, int from, int n, int to)
{
    v = from > to   ? _mm512_srli_epi16(v, (unsigned)(from - to))
        : from < to ? _mm512_slli_epi16(v, (unsigned)(to - from))
                    : v;
    return _mm512_and_si512(v, _mm512_set1_epi8((char)(((1 << n) - 1) << to)));
}
ST_INLINE bvec bv_or(bvec v, bvec w)
{
    return _mm512_or_si512(v, w);
}
ST_INLINE bvec bv_table(const uint8_t *table) /* 16 bytes for bv_look */
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table));
}
ST_INLINE bvec bv_look(bvec table, bvec index)
{
    return _mm512_shuffle_epi8(table, index);
}
ST_INLINE bvec bv_four(const int8_t *p) /* 4 bytes, 16 times */
{
    int32_t four;
    memcpy(&four, p, 4);
    return _mm512_set1_epi32(four);
}
/* Unsigned u times signed q, neighbours added in 16 bits, saturating. */
ST_INLINE bvec bv_pairs(bvec u, bvec q)
{
    return _mm512_maddubs_epi16(u, q);
}
/* The empty statement holds the sum in its register: gcc would make all products first
 * and spill them. */
ST_INLINE bvec bv_pairs_add(bvec sum, bvec u, bvec q)
{
    sum = _mm512_add_epi16(sum, bv_pairs(u, q));
    __asm__("" : "+v"(sum));
    return sum;
}

/* 16 whole numbers */
typedef __m512i ivec;

ST_INLINE ivec iv_set(int32_t i)
{
    return _mm512_set1_epi32(i);
}
ST_INLINE ivec iv_shift_right(ivec v, int n)
{
    return _mm512_srai_epi32(v, (unsigned)n);
}
/* sum + `times` neighbours in 16 bits */
ST_INLINE ivec iv_add_pairs(ivec sum, bvec p, int16_t times)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(p, _mm512_set1_epi16(times)));
}
ST_INLINE vec v_from_i32(ivec v)
{
    return _mm512_cvtepi32_ps(v);
}
#endif
