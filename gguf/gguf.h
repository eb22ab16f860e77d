/* gguf/gguf.h - read and write GGUF files, versions 2 and 3, little-endian.
 *
 * Source: the GGUF format document (ggml).  A file is mapped and never trusted: counts,
 * offsets, types, dimension products, string lengths, alignment and array nesting are
 * checked against the file's size before they are used, and an error names the key or
 * tensor.  After gguf_open() succeeds every pointer handed out lies inside the map or
 * inside memory that the gguf owns.
 *
 * Threads: an open gguf is immutable and may be shared.  Memory: what the getters return
 * lives until gguf_close(). */
#ifndef GGUF_GGUF_H
#define GGUF_GGUF_H
#include "base/dtype.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GGUF_MAX_DIMS = 4 };

typedef enum gguf_type {
    GGUF_U8 = 0,
    GGUF_I8 = 1,
    GGUF_U16 = 2,
    GGUF_I16 = 3,
    GGUF_U32 = 4,
    GGUF_I32 = 5,
    GGUF_F32 = 6,
    GGUF_BOOL = 7,
    GGUF_STRING = 8,
    GGUF_ARRAY = 9,
    GGUF_U64 = 10,
    GGUF_I64 = 11,
    GGUF_F64 = 12,
} gguf_type;

typedef struct gguf gguf;

typedef struct gguf_str { /* not NUL-terminated, may hold any bytes */
    const char *data;
    size_t len;
} gguf_str;

typedef struct gguf_key {
    const char *name; /* NUL-terminated */
    gguf_type type;   /* GGUF_ARRAY for arrays */
    gguf_type elem;   /* of arrays: element type (never GGUF_ARRAY), else == type */
    uint64_t n;       /* elements; 1 for scalars */
    const void *data; /* the encoded value(s), unaligned; strings: length, bytes, ... */
} gguf_key;

typedef struct gguf_tensor {
    const char *name;             /* NUL-terminated */
    st_dtype type;                /* known by st_dtype_get(), not necessarily supported */
    uint32_t n_dims;              /* 1..4 */
    uint64_t dims[GGUF_MAX_DIMS]; /* dims[0] is the row length; 1 beyond n_dims */
    uint64_t n;                   /* product of dims */
    const void *data;             /* in the map */
    size_t bytes;
} gguf_tensor;

/* Map and check a file.  ST_EFORMAT with the place, ST_EUNSUPPORTED for version 1, a
 * newer version or big-endian, or a file error. */
ST_NODISCARD int gguf_open(const char *path, gguf **ret_gguf, st_err *err);
/* The same over bytes that outlive the gguf (tests, fuzzing). */
ST_NODISCARD int gguf_open_bytes(const void *data, size_t len, gguf **ret_gguf,
                                 st_err *err);
void gguf_close(gguf *g); /* NULL allowed */

const char *gguf_path(const gguf *g); /* as given; "bytes" for gguf_open_bytes */
uint32_t gguf_version(const gguf *g);
size_t gguf_file_bytes(const gguf *g);
/* SHA-256 of the whole file, hexadecimal.  Reads the file once; cached after. */
ST_NODISCARD int gguf_digest(gguf *g, const char **ret_hex, st_err *err);
/* The same, remembered between runs (base/cache.h) for this file in this state: device,
 * inode, length, time of modification and time of change.  Writing to a file sets its
 * time of change to the system's clock, and no program can set it otherwise; so when all
 * five are as they were, so are the bytes, unless the clock or the disk was tampered
 * with.  A file that has just been written is hashed and not remembered. */
ST_NODISCARD int gguf_digest_recall(gguf *g, const char **ret_hex, st_err *err);

/* These bytes of the file were read and will hardly be again: their memory is given back.
 * They stay valid. */
void gguf_forget(const gguf *g, const void *data, size_t bytes);

uint32_t gguf_type_bytes(gguf_type type);   /* of one value; 0: string, array, unknown */
const char *gguf_type_name(gguf_type type); /* "u32"; never NULL */

size_t gguf_n_keys(const gguf *g);
const gguf_key *gguf_key_at(const gguf *g, size_t i);
const gguf_key *gguf_find(const gguf *g, const char *name); /* NULL when absent */

/* Typed getters.  The value is converted between integer widths when it fits.  A missing
 * key is ST_ENOTFOUND, a wrong type or a value out of range ST_EFORMAT; both name the
 * key. The _or forms take a default for a missing key and still fail on a wrong type. */
ST_NODISCARD int gguf_u32(const gguf *g, const char *key, uint32_t *ret, st_err *err);
ST_NODISCARD int gguf_u32_or(const gguf *g, const char *key, uint32_t def, uint32_t *ret,
                             st_err *err);
ST_NODISCARD int gguf_f32_or(const gguf *g, const char *key, float def, float *ret,
                             st_err *err);
ST_NODISCARD int gguf_bool_or(const gguf *g, const char *key, bool def, bool *ret,
                              st_err *err);
ST_NODISCARD int gguf_string(const gguf *g, const char *key, gguf_str *ret, st_err *err);
bool gguf_has(const gguf *g, const char *key);

/* Whole arrays, decoded into a block that the caller frees with st_free.  Integer arrays
 * of any width convert as above; a scalar counts as an array of one element. */
ST_NODISCARD int gguf_strings(const gguf *g, const char *key, gguf_str **ret,
                              size_t *ret_n, st_err *err);
ST_NODISCARD int gguf_i32s(const gguf *g, const char *key, int32_t **ret, size_t *ret_n,
                           st_err *err);
ST_NODISCARD int gguf_f32s(const gguf *g, const char *key, float **ret, size_t *ret_n,
                           st_err *err);

size_t gguf_n_tensors(const gguf *g);
const gguf_tensor *gguf_tensor_at(const gguf *g, size_t i);
const gguf_tensor *gguf_find_tensor(const gguf *g,
                                    const char *name); /* NULL when absent */

/* ---- writing ---- */

typedef struct gguf_writer gguf_writer;

ST_NODISCARD int gguf_writer_new(gguf_writer **ret_writer, st_err *err);
void gguf_writer_free(gguf_writer *w); /* NULL allowed */
/* Keys and tensors are copied except tensor data, which must live until gguf_write().
 * A name used twice is ST_EINVAL. */
ST_NODISCARD int gguf_put_u32(gguf_writer *w, const char *key, uint32_t v, st_err *err);
ST_NODISCARD int gguf_put_f32(gguf_writer *w, const char *key, float v, st_err *err);
ST_NODISCARD int gguf_put_bool(gguf_writer *w, const char *key, bool v, st_err *err);
ST_NODISCARD int gguf_put_string(gguf_writer *w, const char *key, const char *v,
                                 size_t len, st_err *err);
ST_NODISCARD int gguf_put_strings(gguf_writer *w, const char *key, const gguf_str *v,
                                  size_t n, st_err *err);
ST_NODISCARD int gguf_put_i32s(gguf_writer *w, const char *key, const int32_t *v,
                               size_t n, st_err *err);
ST_NODISCARD int gguf_put_f32s(gguf_writer *w, const char *key, const float *v, size_t n,
                               st_err *err);
ST_NODISCARD int gguf_put_tensor(gguf_writer *w, const char *name, st_dtype type,
                                 const uint64_t *dims, uint32_t n_dims, const void *data,
                                 st_err *err);
/* Write version 3, alignment 32, atomically. */
ST_NODISCARD int gguf_write(gguf_writer *w, const char *path, st_err *err);
#endif
