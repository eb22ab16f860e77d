/* gguf/encode.h - numbers written as another format.  Threads: any. */
#ifndef GGUF_ENCODE_H
#define GGUF_ENCODE_H
#include "base/dtype.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Can encode_floats write this format? */
bool encode_can(st_dtype type);

/* Write n floats, a whole number of blocks, as F32, F16, BF16 or Q8_0; the bytes are
 * those of ggml's reference quantiser.  `ret_bytes` holds st_dtype_size(type, n).
 * ST_EUNSUPPORTED for other formats; ST_EFORMAT for a value that is not finite, or for
 * F16 one beyond 65504: it would poison every answer. */
ST_NODISCARD int encode_floats(st_dtype type, const float *x, uint64_t n, void *ret_bytes,
                               st_err *err);

/* n numbers named by a safetensors type (F32, F16, BF16), unaligned, as floats.
 * ST_EUNSUPPORTED for other types. */
ST_NODISCARD int decode_safet(const char *dtype, const void *data, uint64_t n,
                              float *ret_floats, st_err *err);
#endif
