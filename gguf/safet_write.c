/* gguf/safet_write.c - write safetensors files.
 *
 * The header is built as JSON while tensors are put; data are written from where the
 * caller keeps them, in the order they were put, each behind the last. */
#include "gguf/safetensors.h"

#include "base/file.h"
#include "base/mem.h"
#include "gguf/safet_priv.h"
#include <jansson.h>
#include <string.h>

enum { HEADER_MULTIPLE = 8 }; /* of the format: data start aligned */

struct safet_writer {
    json_t *meta;
    json_t *tensors;
    st_part *parts; /* [0] is left for the header */
    size_t n_parts;
    size_t cap_parts;
    size_t end; /* bytes of data so far */
};

int safet_writer_new(safet_writer **ret_writer, st_err *err)
{
    safet_writer *w = st_zalloc_n(1, sizeof *w);
    if (w) {
        w->meta = json_object();
        w->tensors = json_object();
        w->cap_parts = 16;
        w->n_parts = 1;
        w->parts = st_alloc_n(w->cap_parts, sizeof *w->parts);
    }
    if (!w || !w->meta || !w->tensors || !w->parts) {
        safet_writer_free(w);
        return st_err_set(err, ST_ENOMEM, "out of memory");
    }
    *ret_writer = w;
    return 0;
}

void safet_writer_free(safet_writer *w)
{
    if (!w)
        return;
    json_decref(w->meta);
    json_decref(w->tensors);
    st_free(w->parts);
    st_free(w);
}

int safet_put_meta(safet_writer *w, const char *key, const char *value, st_err *err)
{
    if (json_object_get(w->meta, key))
        return st_err_set(err, ST_EINVAL, "metadata '%s': put twice", key);
    if (json_object_set_new(w->meta, key, json_string(value)))
        return st_err_set(err, ST_EINVAL, "metadata '%s': not UTF-8, or out of memory",
                          key);
    return 0;
}

static int grow_parts(safet_writer *w)
{
    if (w->n_parts < w->cap_parts)
        return 0;
    st_part *bigger = st_realloc_n(w->parts, w->cap_parts * 2, sizeof *bigger);
    if (!bigger)
        return ST_ENOMEM;
    w->parts = bigger;
    w->cap_parts *= 2;
    return 0;
}

static json_t *describe(const char *dtype, const uint64_t *dims, uint32_t n_dims,
                        size_t begin, size_t end)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; i < n_dims; i++) {
        if (json_array_append_new(shape, json_integer((json_int_t)dims[i]))) {
            json_decref(shape);
            return NULL;
        }
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

int safet_put(safet_writer *w, const char *name, const char *dtype, const uint64_t *dims,
              uint32_t n_dims, const void *data, st_err *err)
{
    size_t each = safet_dtype_bytes(dtype);
    size_t bytes, end;
    uint64_t n;
    if (strcmp(name, "__metadata__") == 0 || json_object_get(w->tensors, name))
        return st_err_set(err, ST_EINVAL, "tensor '%s': put twice, or a reserved name",
                          name);
    if (!each || n_dims > SAFET_MAX_DIMS ||
        safet_shape_bytes(dims, n_dims, each, &n, &bytes) ||
        !st_add_ok(w->end, bytes, &end) || end > INT64_MAX)
        return st_err_set(err, ST_EINVAL, "tensor '%s': no such type or shape", name);
    if (grow_parts(w))
        return st_err_set(err, ST_ENOMEM, "tensor '%s': out of memory", name);
    if (json_object_set_new(w->tensors, name, describe(dtype, dims, n_dims, w->end, end)))
        return st_err_set(err, ST_EINVAL, "tensor '%s': not UTF-8, or out of memory",
                          name);
    w->parts[w->n_parts++] = (st_part){data, bytes};
    w->end = end;
    return 0;
}

/* The header with its length in front, padded with spaces; a block for st_free. */
static char *encode_header(const safet_writer *w, size_t *ret_len)
{
    json_t *all = json_object();
    int failed =
        json_object_size(w->meta) && json_object_set(all, "__metadata__", w->meta);
    failed = failed || json_object_update(all, w->tensors);
    char *block = NULL;
    size_t len = failed ? 0 : json_dumpb(all, NULL, 0, JSON_COMPACT);
    size_t padded = (len + HEADER_MULTIPLE - 1) / HEADER_MULTIPLE * HEADER_MULTIPLE;
    if (len)
        block = st_alloc(sizeof(uint64_t) + padded);
    if (block) {
        uint64_t size = padded;
        memcpy(block, &size, sizeof size);
        memset(block + sizeof size, ' ', padded);
        if (json_dumpb(all, block + sizeof size, len, JSON_COMPACT) != len) {
            st_free(block);
            block = NULL;
        }
    }
    *ret_len = sizeof(uint64_t) + padded;
    json_decref(all);
    return block;
}

int safet_write(safet_writer *w, const char *path, st_err *err)
{
    size_t len;
    char *header = encode_header(w, &len);
    if (!header)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", path);
    int rc = 0;
    if (len - sizeof(uint64_t) > SAFET_MAX_HEADER)
        rc = st_err_set(err, ST_ELIMIT, "%s: a header of %zu bytes", path, len);
    w->parts[0] = (st_part){header, len};
    if (!rc)
        rc = st_file_write_parts(path, w->parts, w->n_parts, err);
    st_free(header);
    return rc;
}
