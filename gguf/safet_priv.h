/* gguf/safet_priv.h - what reader and writer of safetensors share. */
#ifndef GGUF_SAFET_PRIV_H
#define GGUF_SAFET_PRIV_H
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/* The format allows 100 MB; real headers are below 1 MB, and the JSON tree costs up to
 * twenty times the text. */
enum { SAFET_MAX_HEADER = 16 << 20 };

size_t safet_dtype_bytes(const char *dtype); /* of one element; 0 when unknown */

/* Elements and bytes of a shape; ST_EFORMAT when they overflow. */
ST_NODISCARD int safet_shape_bytes(const uint64_t *dims, uint32_t n_dims, size_t each,
                                   uint64_t *ret_n, size_t *ret_bytes);
#endif
