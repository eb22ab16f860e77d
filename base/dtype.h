/* base/dtype.h - how numbers are stored in a tensor: the GGUF type ids.
 *
 * Source: the GGUF format document (ggml_type).  A format stores `block` elements in
 * `bytes` bytes; a row of a tensor is a whole number of blocks.  Formats that stint
 * computes with are `supported`; the others are known by name and size only, so that a
 * file that has them can be listed and refused by name. */
#ifndef BASE_DTYPE_H
#define BASE_DTYPE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, GGUF id, elements a block, bytes a block, supported */
#define ST_DTYPE_MAP(X)                                                                  \
    X(F32, 0, 1, 4, 1)                                                                   \
    X(F16, 1, 1, 2, 1)                                                                   \
    X(Q4_0, 2, 32, 18, 1)                                                                \
    X(Q4_1, 3, 32, 20, 1)                                                                \
    X(Q5_0, 6, 32, 22, 1)                                                                \
    X(Q5_1, 7, 32, 24, 1)                                                                \
    X(Q8_0, 8, 32, 34, 1)                                                                \
    X(Q8_1, 9, 32, 36, 0)                                                                \
    X(Q2_K, 10, 256, 84, 1)                                                              \
    X(Q3_K, 11, 256, 110, 1)                                                             \
    X(Q4_K, 12, 256, 144, 1)                                                             \
    X(Q5_K, 13, 256, 176, 1)                                                             \
    X(Q6_K, 14, 256, 210, 1)                                                             \
    X(Q8_K, 15, 256, 292, 0)                                                             \
    X(IQ2_XXS, 16, 256, 66, 0)                                                           \
    X(IQ2_XS, 17, 256, 74, 0)                                                            \
    X(IQ3_XXS, 18, 256, 98, 0)                                                           \
    X(IQ1_S, 19, 256, 50, 0)                                                             \
    X(IQ4_NL, 20, 32, 18, 1)                                                             \
    X(IQ3_S, 21, 256, 110, 0)                                                            \
    X(IQ2_S, 22, 256, 82, 0)                                                             \
    X(IQ4_XS, 23, 256, 136, 1)                                                           \
    X(I8, 24, 1, 1, 0)                                                                   \
    X(I16, 25, 1, 2, 0)                                                                  \
    X(I32, 26, 1, 4, 0)                                                                  \
    X(I64, 27, 1, 8, 0)                                                                  \
    X(F64, 28, 1, 8, 0)                                                                  \
    X(IQ1_M, 29, 256, 56, 0)                                                             \
    X(BF16, 30, 1, 2, 1)                                                                 \
    X(TQ1_0, 34, 256, 54, 0)                                                             \
    X(TQ2_0, 35, 256, 66, 0)                                                             \
    X(MXFP4, 39, 32, 17, 1)

typedef enum st_dtype {
#define ST_DTYPE_ENUM(name, id, block, bytes, supported) ST_##name = (id),
    ST_DTYPE_MAP(ST_DTYPE_ENUM)
#undef ST_DTYPE_ENUM
} st_dtype;

typedef struct st_dtype_info {
    const char *name; /* "Q4_K" */
    uint32_t id;
    uint32_t block; /* elements a block */
    uint32_t bytes; /* bytes a block */
    bool supported; /* stint has kernels for it */
} st_dtype_info;

const st_dtype_info *st_dtype_get(uint32_t id);           /* NULL when unknown */
const st_dtype_info *st_dtype_by_name(const char *name);  /* NULL when unknown */

/* Bytes of `n` elements; false when n is not a whole number of blocks or overflows. */
bool st_dtype_size(st_dtype type, uint64_t n, size_t *ret_bytes);

float st_f16_to_f32(uint16_t h); /* exact */
uint16_t st_f32_to_f16(float f); /* round to nearest even; overflow gives infinity */
static inline float st_bf16_to_f32(uint16_t b)
{
    union {
        uint32_t u;
        float f;
    } v = {(uint32_t)b << 16};
    return v.f;
}
#endif
