/* base/dtype.c - how numbers are stored in a tensor: the GGUF type ids. */
#include "base/dtype.h"

#include "base/compiler.h"
#include "base/mem.h"
#include <string.h>

static const st_dtype_info table[] = {
#define ST_DTYPE_ROW(name, id, block, bytes, supported)                                  \
    {#name, id, block, bytes, supported},
    ST_DTYPE_MAP(ST_DTYPE_ROW)
#undef ST_DTYPE_ROW
};

const st_dtype_info *st_dtype_get(uint32_t id)
{
    for (size_t i = 0; i < ST_COUNT(table); i++)
        if (table[i].id == id)
            return &table[i];
    return NULL;
}

const st_dtype_info *st_dtype_by_name(const char *name)
{
    for (size_t i = 0; i < ST_COUNT(table); i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

bool st_dtype_size(st_dtype type, uint64_t n, size_t *ret_bytes)
{
    const st_dtype_info *info = st_dtype_get((uint32_t)type);
    return info && n % info->block == 0 && n / info->block <= SIZE_MAX &&
           st_mul_ok((size_t)(n / info->block), info->bytes, ret_bytes);
}

typedef union {
    uint32_t u;
    float f;
} bits32;

float st_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = h >> 10 & 31;
    uint32_t fraction = h & 0x3FF;
    bits32 v;
    if (exponent == 31) {
        v.u = sign | 0x7F800000u | fraction << 13;
    } else if (exponent) {
        v.u = sign | (exponent + 112) << 23 | fraction << 13;
    } else {
        v.f = (float)fraction * 0x1p-24f; /* zero and subnormals */
        v.u |= sign;
    }
    return v.f;
}

uint16_t st_f32_to_f16(float f)
{
    bits32 v = {.f = f};
    uint16_t sign = (uint16_t)(v.u >> 16 & 0x8000);
    uint32_t mag = v.u & 0x7FFFFFFF;
    if (mag > 0x7F800000)
        return sign | 0x7E00; /* NaN */
    if (mag >= 0x477FF000)
        return sign | 0x7C00; /* rounds to 2^16 or more */
    if (mag >= 0x38800000) { /* a normal half */
        mag += 0xFFF + (mag >> 13 & 1);
        return sign | (uint16_t)((mag - 0x38000000) >> 13);
    }
    bits32 sub = {.u = mag};
    sub.f += 0.5f; /* aligns the last kept bit to 2^-24 and rounds to nearest even */
    return sign | (uint16_t)(sub.u - 0x3F000000);
}
