/* gguf/encode.c - numbers written as another format.
 *
 * Q8_0: 32 numbers share d = max|x| / 127, kept as F16; each is round(x / d), halves away
 * from zero, with the d before it was rounded to F16. */
#include "gguf/encode.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { Q8_BLOCK = 32, Q8_BYTES = 34 };

#define F16_MAX 65519.0f /* rounds to 65504, the largest half */
#define BF16_MAX 3.38953139e38f

bool encode_can(st_dtype type)
{
    return type == ST_F32 || type == ST_F16 || type == ST_BF16 || type == ST_Q8_0;
}

static uint16_t bf16_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return (uint16_t)((u + (0x7FFF + (u >> 16 & 1))) >> 16); /* to nearest even */
}

static void encode_q8_0(const float *x, uint64_t n, unsigned char *out)
{
    for (uint64_t i = 0; i < n; i += Q8_BLOCK, out += Q8_BYTES) {
        float most = 0;
        for (int j = 0; j < Q8_BLOCK; j++)
            most = fmaxf(most, fabsf(x[i + j]));
        float d = most / 127.0f;
        float inverse = isfinite(1.0f / d) ? 1.0f / d : 0.0f; /* 0: all are (near) zero */
        uint16_t half = st_f32_to_f16(d);
        memcpy(out, &half, sizeof half);
        for (int j = 0; j < Q8_BLOCK; j++)
            out[2 + j] = (unsigned char)(int8_t)roundf(x[i + j] * inverse);
    }
}

static int check_range(const float *x, uint64_t n, float max, st_err *err)
{
    for (uint64_t i = 0; i < n; i++) {
        if (!(fabsf(x[i]) <= max)) /* also NaN */
            return st_err_set(err, ST_EFORMAT, "value %llu is %g, which does not fit",
                              (unsigned long long)i, (double)x[i]);
    }
    return 0;
}

static float max_of(st_dtype type)
{
    switch (type) {
    case ST_F16:
        return F16_MAX;
    case ST_Q8_0:
        return F16_MAX * 127.0f; /* a block's scale is a half */
    case ST_BF16:
        return BF16_MAX;
    default:
        return FLT_MAX;
    }
}

static void encode_halves(st_dtype type, const float *x, uint64_t n, unsigned char *out)
{
    for (uint64_t i = 0; i < n; i++) {
        uint16_t half = type == ST_F16 ? st_f32_to_f16(x[i]) : bf16_of(x[i]);
        memcpy(out + i * sizeof half, &half, sizeof half);
    }
}

int encode_floats(st_dtype type, const float *x, uint64_t n, void *ret_bytes, st_err *err)
{
    const st_dtype_info *info = st_dtype_get(type);
    if (!info || !encode_can(type) || n % info->block)
        return st_err_set(err, ST_EUNSUPPORTED, "cannot write %llu numbers as %s",
                          (unsigned long long)n, info ? info->name : "an unknown format");
    int rc = check_range(x, n, max_of(type), err);
    if (rc)
        return rc;
    if (type == ST_F32)
        memcpy(ret_bytes, x, (size_t)n * sizeof *x);
    else if (type == ST_Q8_0)
        encode_q8_0(x, n, ret_bytes);
    else
        encode_halves(type, x, n, ret_bytes);
    return 0;
}

int decode_safet(const char *dtype, const void *data, uint64_t n, float *ret_floats,
                 st_err *err)
{
    const unsigned char *at = data;
    bool f16 = strcmp(dtype, "F16") == 0;
    if (strcmp(dtype, "F32") == 0) {
        memcpy(ret_floats, data, (size_t)n * sizeof *ret_floats);
        return 0;
    }
    if (!f16 && strcmp(dtype, "BF16") != 0)
        return st_err_set(err, ST_EUNSUPPORTED, "weights of type %s are not supported",
                          dtype);
    for (uint64_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, at + i * sizeof half, sizeof half);
        ret_floats[i] = f16 ? st_f16_to_f32(half) : st_bf16_to_f32(half);
    }
    return 0;
}
