/* kernels/dequant.c - exact dequantisation of GGUF blocks, straight from the file.
 *
 * Written from the format's description and apart from the packed layout, so that each
 * checks the other.  Every formula has one rounding at most, where the reference has. */
#include "kernels/kernels.h"

#include <string.h>

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
static const int8_t mxfp4_values[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                        0, -1, -2, -3, -4, -6, -8, -12}; /* doubled */

static float half_at(const unsigned char *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return st_f16_to_f32(h);
}

static void deq_f32(const unsigned char *p, float *out)
{
    memcpy(out, p, 4);
}

static void deq_f16(const unsigned char *p, float *out)
{
    *out = half_at(p);
}

static void deq_bf16(const unsigned char *p, float *out)
{
    uint16_t b;
    memcpy(&b, p, 2);
    *out = st_bf16_to_f32(b);
}

static void deq_q4_0(const unsigned char *p, float *out)
{
    float d = half_at(p);
    for (int j = 0; j < 16; j++) {
        out[j] = (float)((p[2 + j] & 15) - 8) * d;
        out[j + 16] = (float)((p[2 + j] >> 4) - 8) * d;
    }
}

static void deq_q4_1(const unsigned char *p, float *out)
{
    float d = half_at(p), m = half_at(p + 2);
    for (int j = 0; j < 16; j++) {
        out[j] = (float)(p[4 + j] & 15) * d + m;
        out[j + 16] = (float)(p[4 + j] >> 4) * d + m;
    }
}

static int q5_code(const unsigned char *qh, const unsigned char *qs, int j)
{
    int low = j < 16 ? qs[j] & 15 : qs[j - 16] >> 4;
    return low | (qh[j / 8] >> j % 8 & 1) << 4;
}

static void deq_q5_0(const unsigned char *p, float *out)
{
    float d = half_at(p);
    for (int j = 0; j < 32; j++)
        out[j] = (float)(q5_code(p + 2, p + 6, j) - 16) * d;
}

static void deq_q5_1(const unsigned char *p, float *out)
{
    float d = half_at(p), m = half_at(p + 2);
    for (int j = 0; j < 32; j++)
        out[j] = (float)q5_code(p + 4, p + 8, j) * d + m;
}

static void deq_q8_0(const unsigned char *p, float *out)
{
    float d = half_at(p);
    for (int j = 0; j < 32; j++)
        out[j] = (float)(int8_t)p[2 + j] * d;
}

static void deq_iq4_nl(const unsigned char *p, float *out)
{
    float d = half_at(p);
    for (int j = 0; j < 16; j++) {
        out[j] = (float)iq4_values[p[2 + j] & 15] * d;
        out[j + 16] = (float)iq4_values[p[2 + j] >> 4] * d;
    }
}

/* 2^(e - 128): the values are doubled. */
static float e8m0_half(uint32_t e)
{
    uint32_t bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static void deq_mxfp4(const unsigned char *p, float *out)
{
    float d = e8m0_half(p[0]);
    for (int j = 0; j < 16; j++) {
        out[j] = (float)mxfp4_values[p[1 + j] & 15] * d;
        out[j + 16] = (float)mxfp4_values[p[1 + j] >> 4] * d;
    }
}

static void deq_q2_k(const unsigned char *p, float *out)
{
    float d = half_at(p + 80), dmin = half_at(p + 82);
    for (int i = 0; i < 256; i++) {
        int q = p[16 + i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
        int scale = p[i / 16];
        out[i] = d * (float)(scale & 15) * (float)q - dmin * (float)(scale >> 4);
    }
}

static int q3_scale(const unsigned char *s, int j)
{
    int low = s[j % 8] >> j / 8 * 4 & 15;
    return (low | (s[8 + j % 4] >> j / 4 * 2 & 3) << 4) - 32;
}

static void deq_q3_k(const unsigned char *p, float *out)
{
    float d = half_at(p + 108);
    for (int i = 0; i < 256; i++) {
        int q = p[32 + i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
        int high = p[i % 32] >> i / 32 & 1;
        out[i] = d * (float)q3_scale(p + 96, i / 16) * (float)(q + 4 * high - 4);
    }
}

/* The 6-bit scales and minima of Q4_K and Q5_K. */
static int k4_scale(const unsigned char *s, int j)
{
    return j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
}

static int k4_min(const unsigned char *s, int j)
{
    return j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
}

static void deq_q4_k(const unsigned char *p, float *out)
{
    float d = half_at(p), dmin = half_at(p + 2);
    for (int i = 0; i < 256; i++) {
        int b = i / 32, q = p[16 + b / 2 * 32 + i % 32] >> b % 2 * 4 & 15;
        out[i] =
            d * (float)k4_scale(p + 4, b) * (float)q - dmin * (float)k4_min(p + 4, b);
    }
}

static void deq_q5_k(const unsigned char *p, float *out)
{
    float d = half_at(p), dmin = half_at(p + 2);
    for (int i = 0; i < 256; i++) {
        int b = i / 32, q = p[48 + b / 2 * 32 + i % 32] >> b % 2 * 4 & 15;
        q |= (p[16 + i % 32] >> b & 1) << 4;
        out[i] =
            d * (float)k4_scale(p + 4, b) * (float)q - dmin * (float)k4_min(p + 4, b);
    }
}

static void deq_q6_k(const unsigned char *p, float *out)
{
    float d = half_at(p + 208);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, k = i % 128 / 32, l = i % 32;
        int q = p[64 * half + 32 * (k % 2) + l] >> k / 2 * 4 & 15;
        q |= (p[128 + 32 * half + l] >> 2 * k & 3) << 4;
        out[i] = d * (float)(int8_t)p[192 + i / 16] * (float)(q - 32);
    }
}

static void deq_iq4_xs(const unsigned char *p, float *out)
{
    float d = half_at(p);
    for (int i = 0; i < 256; i++) {
        int b = i / 32, j = i % 32;
        int scale = p[4 + b / 2] >> b % 2 * 4 & 15;
        scale |= (p[2 + b / 4] >> b % 4 * 2 & 3) << 4;
        int code = j < 16 ? p[8 + 16 * b + j] & 15 : p[8 + 16 * b + j - 16] >> 4;
        out[i] = d * (float)(scale - 32) * (float)iq4_values[code];
    }
}

static const struct {
    st_dtype type;
    void (*block)(const unsigned char *p, float *out);
} kinds[] = {
    {ST_F32, deq_f32},     {ST_F16, deq_f16},       {ST_BF16, deq_bf16},
    {ST_Q4_0, deq_q4_0},   {ST_Q4_1, deq_q4_1},     {ST_Q5_0, deq_q5_0},
    {ST_Q5_1, deq_q5_1},   {ST_Q8_0, deq_q8_0},     {ST_Q2_K, deq_q2_k},
    {ST_Q3_K, deq_q3_k},   {ST_Q4_K, deq_q4_k},     {ST_Q5_K, deq_q5_k},
    {ST_Q6_K, deq_q6_k},   {ST_IQ4_NL, deq_iq4_nl}, {ST_IQ4_XS, deq_iq4_xs},
    {ST_MXFP4, deq_mxfp4},
};

int kern_dequant(st_dtype type, const void *blocks, uint64_t n, float *ret_out,
                 st_err *err)
{
    const st_dtype_info *info = st_dtype_get((uint32_t)type);
    const unsigned char *p = blocks;
    for (size_t k = 0; k < ST_COUNT(kinds); k++) {
        if (kinds[k].type != type)
            continue;
        if (n % info->block)
            return st_err_set(err, ST_EINVAL,
                              "%s: %llu elements are no whole blocks of %u", info->name,
                              (unsigned long long)n, info->block);
        for (uint64_t i = 0; i < n; i += info->block, p += info->bytes)
            kinds[k].block(p, ret_out + i);
        return 0;
    }
    if (!info)
        return st_err_set(err, ST_EUNSUPPORTED, "unknown tensor type %u", (unsigned)type);
    return st_err_set(err, ST_EUNSUPPORTED, "tensor type %s is not supported",
                      info->name);
}
