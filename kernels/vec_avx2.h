/* kernels/vec_avx2.h - 16 floats as two AVX2 registers; the names of vec_avx512.h, which
 * explains them.  Included by AVX2 files only. */
#ifndef KERNELS_VEC_AVX2_H
#define KERNELS_VEC_AVX2_H
#include "base/compiler.h"
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct vec {
    __m256 a; /* lanes 0..7 */
    __m256 b;
} vec;

enum { VEC_ACCS = 4 };

ST_INLINE vec v_set(float x)
{
    __m256 v = _mm256_set1_ps(x);
    return (vec){v, v};
}
ST_INLINE vec v_load(const float *p)
{
    return (vec){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
ST_INLINE void v_store(float *p, vec v)
{
    _mm256_storeu_ps(p, v.a);
    _mm256_storeu_ps(p + 8, v.b);
}
/* All ones in lanes i with lo <= i + from < hi. */
ST_INLINE __m256i lanes_mask(int from, uint32_t lo, uint32_t hi)
{
    __m256i i = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                                 _mm256_set1_epi32(from));
    return _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)lo), i),
                               _mm256_cmpgt_epi32(_mm256_set1_epi32((int)hi), i));
}
ST_INLINE vec v_load_n(const float *p, uint32_t n)
{
    return (vec){_mm256_maskload_ps(p, lanes_mask(0, 0, n)),
                 _mm256_maskload_ps(p + 8, lanes_mask(8, 0, n))};
}
ST_INLINE void v_store_n(float *p, vec v, uint32_t n)
{
    _mm256_maskstore_ps(p, lanes_mask(0, 0, n), v.a);
    _mm256_maskstore_ps(p + 8, lanes_mask(8, 0, n), v.b);
}
ST_INLINE vec v_load_half(const uint16_t *p)
{
    return (vec){
        _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p)),
        _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p + 8)))};
}
ST_INLINE void v_store_half(uint16_t *p, vec v)
{
    _mm_storeu_si128((__m128i *)(void *)p,
                     _mm256_cvtps_ph(v.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(void *)(p + 8),
                     _mm256_cvtps_ph(v.b, _MM_FROUND_TO_NEAREST_INT));
}
ST_INLINE vec v_add(vec x, vec y)
{
    return (vec){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
ST_INLINE vec v_sub(vec x, vec y)
{
    return (vec){_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
ST_INLINE vec v_mul(vec x, vec y)
{
    return (vec){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
ST_INLINE vec v_div(vec x, vec y)
{
    return (vec){_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
ST_INLINE vec v_fma(vec x, vec y, vec z)
{
    return (vec){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
ST_INLINE vec v_max(vec x, vec y)
{
    return (vec){_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
ST_INLINE vec v_min(vec x, vec y)
{
    return (vec){_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
ST_INLINE vec v_abs(vec v)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (vec){_mm256_andnot_ps(sign, v.a), _mm256_andnot_ps(sign, v.b)};
}
ST_INLINE vec v_round(vec v)
{
    return (vec){_mm256_round_ps(v.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                 _mm256_round_ps(v.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/* By two factors, so that each is a normal number and the product is rounded once. */
ST_INLINE __m256 scale_8(__m256 v, __m256 n)
{
    const __m256i bias = _mm256_set1_epi32(127);
    __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1);
    __m256i rest = _mm256_sub_epi32(i, half);
    v = _mm256_mul_ps(
        v, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
    return _mm256_mul_ps(
        v, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}
ST_INLINE vec v_scale(vec v, vec n)
{
    return (vec){scale_8(v.a, n.a), scale_8(v.b, n.b)};
}
ST_INLINE vec v_where_negative(vec x, vec y, vec z)
{
    return (vec){_mm256_blendv_ps(z.a, y.a, x.a), _mm256_blendv_ps(z.b, y.b, x.b)};
}
ST_INLINE vec v_keep(vec v, uint32_t lo, uint32_t hi, vec other)
{
    return (vec){
        _mm256_blendv_ps(other.a, v.a, _mm256_castsi256_ps(lanes_mask(0, lo, hi))),
        _mm256_blendv_ps(other.b, v.b, _mm256_castsi256_ps(lanes_mask(8, lo, hi)))};
}
ST_INLINE vec v_add_alternate(vec x, vec y)
{
    return (vec){_mm256_addsub_ps(x.a, y.a), _mm256_addsub_ps(x.b, y.b)};
}
ST_INLINE vec v_swap_pairs(vec v)
{
    return (vec){_mm256_permute_ps(v.a, 0xB1), _mm256_permute_ps(v.b, 0xB1)};
}
ST_INLINE vec v_flip(vec v, int h)
{
    if (h == 3)
        return (vec){v.b, v.a};
    if (h == 2)
        return (vec){_mm256_permute2f128_ps(v.a, v.a, 1),
                     _mm256_permute2f128_ps(v.b, v.b, 1)};
    return h == 1 ? (vec){_mm256_permute_ps(v.a, 0x4E), _mm256_permute_ps(v.b, 0x4E)}
                  : (vec){_mm256_permute_ps(v.a, 0xB1), _mm256_permute_ps(v.b, 0xB1)};
}
ST_INLINE __m256 twice_4(const float *p)
{
    __m128 v = _mm_loadu_ps(p);
    return _mm256_set_m128(_mm_unpackhi_ps(v, v), _mm_unpacklo_ps(v, v));
}
ST_INLINE vec v_load_twice(const float *p)
{
    return (vec){twice_4(p), twice_4(p + 4)};
}
ST_INLINE float v_sum(vec v)
{
    __m256 y = _mm256_add_ps(v.a, v.b);
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    x = _mm_add_ss(x, _mm_movehdup_ps(x));
    return _mm_cvtss_f32(x);
}
ST_INLINE float v_largest(vec v)
{
    __m256 y = _mm256_max_ps(v.a, v.b);
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    x = _mm_max_ss(x, _mm_movehdup_ps(x));
    return _mm_cvtss_f32(x);
}
ST_INLINE __m256i magnitude_8(__m256 x)
{
    return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7FFFFFFF));
}
ST_INLINE uint32_t v_largest_bits(vec x, vec y)
{
    __m256i v = _mm256_max_epu32(_mm256_max_epu32(magnitude_8(x.a), magnitude_8(x.b)),
                                 _mm256_max_epu32(magnitude_8(y.a), magnitude_8(y.b)));
    __m128i z = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    z = _mm_max_epu32(z, _mm_shuffle_epi32(z, 0x4E));
    z = _mm_max_epu32(z, _mm_shuffle_epi32(z, 0xB1));
    return (uint32_t)_mm_cvtsi128_si32(z);
}

typedef __m128i b16;

ST_INLINE b16 b16_load(const unsigned char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}
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
    return (vec){_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v)),
                 _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(v, 8)))};
}
ST_INLINE vec v_from_i8(b16 v)
{
    return (vec){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)),
                 _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)))};
}
ST_INLINE __m256 lane_byte_8(const unsigned char *p, int i)
{
    __m256i v = _mm256_load_si256((const __m256i *)(const void *)p);
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(v, 24 - 8 * i), 24));
}
ST_INLINE vec v_lane_byte(const unsigned char *p, int i)
{
    return (vec){lane_byte_8(p, i), lane_byte_8(p + 32, i)};
}
ST_INLINE __m256 bf16_8(const uint16_t *p)
{
    __m128i h = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
ST_INLINE vec v_from_bf16(const uint16_t *p)
{
    return (vec){bf16_8(p), bf16_8(p + 8)};
}
ST_INLINE __m256 e8m0_8(__m128i v)
{
    __m256i e = _mm256_cvtepu8_epi32(v);
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, small));
}
ST_INLINE vec v_from_e8m0(b16 v)
{
    return (vec){e8m0_8(v), e8m0_8(_mm_srli_si128(v, 8))};
}
ST_INLINE int32_t v_store_i8(int8_t *p, vec v)
{
    __m256i w = _mm256_packs_epi32(_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b));
    w = _mm256_permute4x64_epi64(w, 0xD8); /* packing works within halves */
    __m128i q =
        _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
    __m128i up = _mm_xor_si128(q, _mm_set1_epi8((char)0x80)); /* q + 128 */
    __m128i sum = _mm_sad_epu8(up, _mm_setzero_si128());
    _mm_storeu_si128((__m128i *)(void *)p, q);
    return _mm_cvtsi128_si32(sum) + _mm_extract_epi32(sum, 2) - 2048;
}

typedef struct bvec {
    __m256i a; /* bytes 0..31, rows 0..7 */
    __m256i b;
} bvec;

ST_INLINE __m256i load_32(const unsigned char *p)
{
    return _mm256_load_si256((const __m256i *)(const void *)p);
}
ST_INLINE bvec bv_load(const unsigned char *p)
{
    return (bvec){load_32(p), load_32(p + 32)};
}
ST_INLINE void bv_store(unsigned char *p, bvec v)
{
    _mm256_store_si256((__m256i *)(void *)p, v.a);
    _mm256_store_si256((__m256i *)(void *)(p + 32), v.b);
}
ST_INLINE __m256i field_32(__m256i v, int from, int n, int to)
{
    v = from > to   ? _mm256_srli_epi16(v, from - to)
        : from < to ? _mm256_slli_epi16(v, to - from)
                    : v;
    return _mm256_and_si256(v, _mm256_set1_epi8((char)(((1 << n) - 1) << to)));
}
ST_INLINE bvec bv_field(bvec v, int from, int n, int to)
{
    return (bvec){field_32(v.a, from, n, to), field_32(v.b, from, n, to)};
}
ST_INLINE bvec bv_or(bvec v, bvec w)
{
    return (bvec){_mm256_or_si256(v.a, w.a), _mm256_or_si256(v.b, w.b)};
}
ST_INLINE bvec bv_table(const uint8_t *table)
{
    __m256i v = _mm256_broadcastsi128_si256(
        _mm_loadu_si128((const __m128i *)(const void *)table));
    return (bvec){v, v};
}
ST_INLINE bvec bv_look(bvec table, bvec index)
{
    return (bvec){_mm256_shuffle_epi8(table.a, index.a),
                  _mm256_shuffle_epi8(table.b, index.b)};
}
ST_INLINE bvec bv_four(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, 4);
    __m256i v = _mm256_set1_epi32(four);
    return (bvec){v, v};
}
ST_INLINE bvec bv_pairs(bvec u, bvec q)
{
    return (bvec){_mm256_maddubs_epi16(u.a, q.a), _mm256_maddubs_epi16(u.b, q.b)};
}
/* The empty statement holds the sum in its register: gcc would make all products first
 * and spill them. */
ST_INLINE bvec bv_pairs_add(bvec sum, bvec u, bvec q)
{
    bvec p = bv_pairs(u, q);
    sum.a = _mm256_add_epi16(sum.a, p.a);
    sum.b = _mm256_add_epi16(sum.b, p.b);
    __asm__("" : "+x"(sum.a), "+x"(sum.b));
    return sum;
}

typedef bvec ivec;

ST_INLINE ivec iv_set(int32_t i)
{
    __m256i v = _mm256_set1_epi32(i);
    return (ivec){v, v};
}
ST_INLINE ivec iv_shift_right(ivec v, int n)
{
    return (ivec){_mm256_srai_epi32(v.a, n), _mm256_srai_epi32(v.b, n)};
}
ST_INLINE ivec iv_add_pairs(ivec sum, bvec p, int16_t times)
{
    const __m256i by = _mm256_set1_epi16(times);
    return (ivec){_mm256_add_epi32(sum.a, _mm256_madd_epi16(p.a, by)),
                  _mm256_add_epi32(sum.b, _mm256_madd_epi16(p.b, by))};
}
ST_INLINE vec v_from_i32(ivec v)
{
    return (vec){_mm256_cvtepi32_ps(v.a), _mm256_cvtepi32_ps(v.b)};
}
#endif
