/* kernels/vec_neon.h - 16 floats as four NEON registers; the names of vec_avx512.h, which
 * explains them.  Included by NEON files only. */
#ifndef KERNELS_VEC_NEON_H
#define KERNELS_VEC_NEON_H
#include "base/compiler.h"
#include <arm_neon.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct vec {
    float32x4_t v[4];
} vec;

enum { VEC_ACCS = 4 };

/* Apply an expression in i to the four registers of r. */
#define EACH4(r, expr)                                                                   \
    vec r;                                                                               \
    for (int i = 0; i < 4; i++)                                                          \
        r.v[i] = (expr);                                                                 \
    return r

ST_INLINE vec v_set(float x)
{
    EACH4(r, vdupq_n_f32(x));
}
ST_INLINE vec v_load(const float *p)
{
    EACH4(r, vld1q_f32(p + 4 * i));
}
ST_INLINE void v_store(float *p, vec v)
{
    for (int i = 0; i < 4; i++)
        vst1q_f32(p + 4 * i, v.v[i]);
}
ST_INLINE vec v_load_n(const float *p, uint32_t n)
{
    float room[16] = {0};
    memcpy(room, p, n * sizeof *p);
    return v_load(room);
}
ST_INLINE void v_store_n(float *p, vec v, uint32_t n)
{
    float room[16];
    v_store(room, v);
    memcpy(p, room, n * sizeof *p);
}
ST_INLINE vec v_load_half(const uint16_t *p)
{
    EACH4(r, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))));
}
ST_INLINE void v_store_half(uint16_t *p, vec v)
{
    for (int i = 0; i < 4; i++)
        vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(v.v[i])));
}
ST_INLINE vec v_add(vec x, vec y)
{
    EACH4(r, vaddq_f32(x.v[i], y.v[i]));
}
ST_INLINE vec v_sub(vec x, vec y)
{
    EACH4(r, vsubq_f32(x.v[i], y.v[i]));
}
ST_INLINE vec v_mul(vec x, vec y)
{
    EACH4(r, vmulq_f32(x.v[i], y.v[i]));
}
ST_INLINE vec v_div(vec x, vec y)
{
    EACH4(r, vdivq_f32(x.v[i], y.v[i]));
}
ST_INLINE vec v_fma(vec x, vec y, vec z)
{
    EACH4(r, vfmaq_f32(z.v[i], x.v[i], y.v[i]));
}
ST_INLINE vec v_max(vec x, vec y)
{
    EACH4(r, vbslq_f32(vcgtq_f32(x.v[i], y.v[i]), x.v[i], y.v[i]));
}
ST_INLINE vec v_min(vec x, vec y)
{
    EACH4(r, vbslq_f32(vcltq_f32(x.v[i], y.v[i]), x.v[i], y.v[i]));
}
ST_INLINE vec v_abs(vec v)
{
    EACH4(r, vabsq_f32(v.v[i]));
}
ST_INLINE vec v_round(vec v)
{
    EACH4(r, vrndnq_f32(v.v[i]));
}
ST_INLINE float32x4_t power_of_2(int32x4_t n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}
ST_INLINE float32x4_t scale_4(float32x4_t v, float32x4_t n)
{
    int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    v = vmulq_f32(v, power_of_2(half));
    return vmulq_f32(v, power_of_2(vsubq_s32(whole, half)));
}
ST_INLINE vec v_scale(vec v, vec n)
{
    EACH4(r, scale_4(v.v[i], n.v[i]));
}
ST_INLINE uint32x4_t is_negative(float32x4_t v)
{
    return vreinterpretq_u32_s32(vshrq_n_s32(vreinterpretq_s32_f32(v), 31));
}
ST_INLINE vec v_where_negative(vec x, vec y, vec z)
{
    EACH4(r, vbslq_f32(is_negative(x.v[i]), y.v[i], z.v[i]));
}
/* All ones in lanes j of register i with lo <= 4 i + j < hi. */
ST_INLINE uint32x4_t lanes_mask(int i, uint32_t lo, uint32_t hi)
{
    static const uint32_t lanes[4] = {0, 1, 2, 3};
    uint32x4_t at = vaddq_u32(vld1q_u32(lanes), vdupq_n_u32(4 * (uint32_t)i));
    return vandq_u32(vcgeq_u32(at, vdupq_n_u32(lo)), vcltq_u32(at, vdupq_n_u32(hi)));
}
ST_INLINE vec v_keep(vec v, uint32_t lo, uint32_t hi, vec other)
{
    EACH4(r, vbslq_f32(lanes_mask(i, lo, hi), v.v[i], other.v[i]));
}
ST_INLINE float32x4_t add_alternate_4(float32x4_t a, float32x4_t b)
{
    static const uint32_t even[4] = {0x80000000u, 0, 0x80000000u, 0};
    uint32x4_t flipped = veorq_u32(vreinterpretq_u32_f32(b), vld1q_u32(even));
    return vaddq_f32(a, vreinterpretq_f32_u32(flipped));
}
ST_INLINE vec v_add_alternate(vec x, vec y)
{
    EACH4(r, add_alternate_4(x.v[i], y.v[i]));
}
ST_INLINE vec v_swap_pairs(vec v)
{
    EACH4(r, vrev64q_f32(v.v[i]));
}
ST_INLINE vec v_flip(vec v, int h)
{
    if (h >= 2) {
        EACH4(r, v.v[i ^ (h == 2 ? 1 : 2)]);
    }
    if (h == 1) {
        EACH4(r, vextq_f32(v.v[i], v.v[i], 2));
    }
    return v_swap_pairs(v);
}
ST_INLINE float32x4_t twice_2(const float *p)
{
    float32x2_t v = vld1_f32(p);
    return vcombine_f32(vdup_lane_f32(v, 0), vdup_lane_f32(v, 1));
}
ST_INLINE vec v_load_twice(const float *p)
{
    EACH4(r, twice_2(p + 2 * i));
}
ST_INLINE float v_sum(vec v)
{
    float32x4_t x = vaddq_f32(vaddq_f32(v.v[0], v.v[2]), vaddq_f32(v.v[1], v.v[3]));
    float32x2_t y = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(y, 0) + vget_lane_f32(y, 1);
}
ST_INLINE float v_largest(vec v)
{
    float most[16];
    v_store(most, v);
    for (int n = 8; n; n /= 2)
        for (int i = 0; i < n; i++)
            most[i] = most[i] > most[i + n] ? most[i] : most[i + n];
    return most[0];
}
ST_INLINE uint32_t v_largest_bits(vec x, vec y)
{
    uint32x4_t most = vdupq_n_u32(0);
    for (int i = 0; i < 4; i++) {
        most = vmaxq_u32(most, vreinterpretq_u32_f32(vabsq_f32(x.v[i])));
        most = vmaxq_u32(most, vreinterpretq_u32_f32(vabsq_f32(y.v[i])));
    }
    return vmaxvq_u32(most);
}

typedef uint8x16_t b16;

ST_INLINE b16 b16_load(const unsigned char *p)
{
    return vld1q_u8(p);
}
/* The shift is a register here: negative is to the right. */
ST_INLINE b16 b16_field(b16 v, int from, int n, int to)
{
    v = vshlq_u8(v, vdupq_n_s8((int8_t)(to - from)));
    return vandq_u8(v, vdupq_n_u8((uint8_t)(((1 << n) - 1) << to)));
}
ST_INLINE b16 b16_or(b16 a, b16 b)
{
    return vorrq_u8(a, b);
}
ST_INLINE vec v_from_u16(uint16x8_t low, uint16x8_t high)
{
    return (vec){{vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))),
                  vcvtq_f32_u32(vmovl_u16(vget_high_u16(low))),
                  vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))),
                  vcvtq_f32_u32(vmovl_u16(vget_high_u16(high)))}};
}
ST_INLINE vec v_from_u8(b16 v)
{
    return v_from_u16(vmovl_u8(vget_low_u8(v)), vmovl_u8(vget_high_u8(v)));
}
ST_INLINE vec v_from_i8(b16 v)
{
    b16 up = veorq_u8(v, vdupq_n_u8(0x80));
    return v_sub(v_from_u8(up), v_set(128));
}
ST_INLINE float32x4_t lane_byte_4(const unsigned char *p, int i)
{
    int32x4_t v = vreinterpretq_s32_u8(vld1q_u8(p));
    v = vshlq_s32(v, vdupq_n_s32(24 - 8 * i));
    return vcvtq_f32_s32(vshrq_n_s32(v, 24));
}
ST_INLINE vec v_lane_byte(const unsigned char *p, int lane_byte)
{
    EACH4(r, lane_byte_4(p + 16 * i, lane_byte));
}
ST_INLINE vec v_from_bf16(const uint16_t *p)
{
    EACH4(r, vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)));
}
ST_INLINE float32x4_t e8m0_4(uint32x4_t e)
{
    uint32x4_t normal = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    uint32x4_t tiny = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));
    return vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), tiny, normal));
}
ST_INLINE vec v_from_e8m0(b16 v)
{
    uint16x8_t low = vmovl_u8(vget_low_u8(v)), high = vmovl_u8(vget_high_u8(v));
    return (vec){
        {e8m0_4(vmovl_u16(vget_low_u16(low))), e8m0_4(vmovl_u16(vget_high_u16(low))),
         e8m0_4(vmovl_u16(vget_low_u16(high))), e8m0_4(vmovl_u16(vget_high_u16(high)))}};
}
ST_INLINE int32_t v_store_i8(int8_t *p, vec v)
{
    int16x8_t a = vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(v.v[0])),
                               vqmovn_s32(vcvtnq_s32_f32(v.v[1])));
    int16x8_t b = vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(v.v[2])),
                               vqmovn_s32(vcvtnq_s32_f32(v.v[3])));
    vst1q_s8(p, vcombine_s8(vqmovn_s16(a), vqmovn_s16(b)));
    return vaddvq_s16(vaddq_s16(a, b));
}

typedef struct bvec {
    uint8x16_t v[4];
} bvec;

ST_INLINE bvec bv_load(const unsigned char *p)
{
    return (bvec){{vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)}};
}
ST_INLINE void bv_store(unsigned char *p, bvec v)
{
    for (int i = 0; i < 4; i++)
        vst1q_u8(p + 16 * i, v.v[i]);
}
ST_INLINE bvec bv_field(bvec v, int from, int n, int to)
{
    for (int i = 0; i < 4; i++)
        v.v[i] = b16_field(v.v[i], from, n, to);
    return v;
}
ST_INLINE bvec bv_or(bvec v, bvec w)
{
    for (int i = 0; i < 4; i++)
        v.v[i] = vorrq_u8(v.v[i], w.v[i]);
    return v;
}
ST_INLINE bvec bv_table(const uint8_t *table)
{
    uint8x16_t v = vld1q_u8(table);
    return (bvec){{v, v, v, v}};
}
ST_INLINE bvec bv_look(bvec table, bvec index)
{
    for (int i = 0; i < 4; i++)
        index.v[i] = vqtbl1q_u8(table.v[i], index.v[i]);
    return index;
}

typedef struct ivec {
    int32x4_t v[4];
} ivec;

ST_INLINE ivec iv_set(int32_t i)
{
    int32x4_t v = vdupq_n_s32(i);
    return (ivec){{v, v, v, v}};
}
ST_INLINE vec v_from_i32(ivec v)
{
    EACH4(r, vcvtq_f32_s32(v.v[i]));
}
#endif
