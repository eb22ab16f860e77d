/* gguf/safetensors.h - read and write safetensors files.
 *
 * Source: the safetensors format document: a little-endian u64 length, a JSON header of
 * that length (name -> dtype, shape, data_offsets; "__metadata__": string map), then the
 * data.  Checked like GGUF: header length against the file, offsets in order, inside the
 * file, without holes or overlaps, and equal to shape times element size.
 *
 * Threads: an open file is immutable.  Memory: pointers live until safet_close(). */
#ifndef GGUF_SAFETENSORS_H
#define GGUF_SAFETENSORS_H
#include "base/dtype.h"
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

enum { SAFET_MAX_DIMS = 8 };

typedef struct safet safet;

typedef struct safet_tensor {
    const char *name;
    const char *dtype; /* "F32", "F16", "BF16", "I64", "I32", "U8", ... as in the file */
    uint32_t n_dims;   /* 0..8 */
    uint64_t dims[SAFET_MAX_DIMS]; /* slowest first, as in the file */
    uint64_t n;        /* product of dims; 1 for a scalar */
    const void *data;  /* in the map, unaligned */
    size_t bytes;
} safet_tensor;

ST_NODISCARD int safet_open(const char *path, safet **ret_file, st_err *err);
ST_NODISCARD int safet_open_bytes(const void *data, size_t len, safet **ret_file,
                                  st_err *err);
void safet_close(safet *s); /* NULL allowed */
size_t safet_n_tensors(const safet *s);
const safet_tensor *safet_tensor_at(const safet *s, size_t i);
const safet_tensor *safet_find(const safet *s, const char *name); /* NULL when absent */
const char *safet_meta(const safet *s, const char *key);          /* NULL when absent */
size_t safet_n_meta(const safet *s);
const char *safet_meta_key(const safet *s, size_t i); /* NULL beyond the last */

typedef struct safet_writer safet_writer;

ST_NODISCARD int safet_writer_new(safet_writer **ret_writer, st_err *err);
void safet_writer_free(safet_writer *w); /* NULL allowed */
ST_NODISCARD int safet_put_meta(safet_writer *w, const char *key, const char *value,
                                st_err *err);
/* `data` must live until safet_write(). */
ST_NODISCARD int safet_put(safet_writer *w, const char *name, const char *dtype,
                           const uint64_t *dims, uint32_t n_dims, const void *data,
                           st_err *err);
ST_NODISCARD int safet_write(safet_writer *w, const char *path, st_err *err);
#endif
