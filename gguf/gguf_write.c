/* gguf/gguf_write.c - build a GGUF file, version 3.
 *
 * Keys are encoded as they come; tensors are remembered and their data written from where
 * the caller keeps it.  What the reader would refuse is refused here. */
#include "gguf/gguf_priv.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include <string.h>

#define KEYS_LIMIT ((size_t)1 << 31) /* bytes of all keys; vocabularies are a few MB */

typedef struct pending { /* one tensor */
    char *name;
    st_dtype type;
    uint32_t n_dims;
    uint64_t dims[GGUF_MAX_DIMS];
    const void *data; /* the caller's */
    size_t bytes;
} pending;

struct gguf_writer {
    st_buf keys; /* encoded */
    size_t n_keys;
    char **names; /* of keys, owned; the map borrows them */
    size_t cap_names;
    st_map key_map;
    pending *tensors; /* names owned; the map borrows them */
    size_t n_tensors;
    size_t cap_tensors;
    st_map tensor_map;
};

int gguf_writer_new(gguf_writer **ret_writer, st_err *err)
{
    gguf_writer *w = st_zalloc_n(1, sizeof *w);
    if (!w)
        return st_err_set(err, ST_ENOMEM, "out of memory");
    st_buf_init(&w->keys, KEYS_LIMIT);
    *ret_writer = w;
    return 0;
}

void gguf_writer_free(gguf_writer *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n_keys; i++)
        st_free(w->names[i]);
    for (size_t i = 0; i < w->n_tensors; i++)
        st_free(w->tensors[i].name);
    st_free(w->names);
    st_free(w->tensors);
    st_map_done(&w->key_map);
    st_map_done(&w->tensor_map);
    st_buf_done(&w->keys);
    st_free(w);
}

/* Room for one more item in an array that doubles; NULL when out of memory. */
static void *grown(void *array, size_t n, size_t *cap, size_t size)
{
    size_t more = *cap ? *cap * 2 : 16;
    if (n < *cap)
        return array;
    void *bigger = st_realloc_n(array, more, size);
    if (bigger)
        *cap = more;
    return bigger;
}

static int check_name(const char *what, const char *name, size_t max, st_err *err)
{
    size_t len = strlen(name);
    if (len == 0 || len > max || !st_utf8_valid(name, len, NULL))
        return st_err_set(err, ST_EINVAL, "%s '%s': a name is UTF-8 of 1 to %zu bytes",
                          what, name, max);
    return 0;
}

/* A fresh copy of `name`, noted in the map as item `i`. */
static int note_name(st_map *map, const char *what, const char *name, size_t i,
                     char **ret, st_err *err)
{
    bool fresh;
    char *copy = st_strdup(name);
    int rc = copy ? st_map_put(map, copy, strlen(copy), (uint32_t)i, &fresh) : ST_ENOMEM;
    if (rc || !fresh) {
        st_free(copy);
        return rc ? st_err_set(err, rc, "%s '%s': %s", what, name, st_code_text(rc))
                  : st_err_set(err, ST_EINVAL, "%s '%s': put twice", what, name);
    }
    *ret = copy;
    return 0;
}

static void add_u32(st_buf *buf, uint32_t v)
{
    st_buf_add(buf, &v, sizeof v);
}

static void add_u64(st_buf *buf, uint64_t v)
{
    st_buf_add(buf, &v, sizeof v);
}

static void add_str(st_buf *buf, const char *s, size_t len)
{
    add_u64(buf, len);
    st_buf_add(buf, s, len);
}

/* Note the key and encode its name and type. */
static int begin_key(gguf_writer *w, const char *key, gguf_type type, st_err *err)
{
    int rc = check_name("key", key, GGUF_MAX_KEY_BYTES, err);
    if (rc)
        return rc;
    if (w->n_keys == GGUF_MAX_KEYS)
        return st_err_set(err, ST_ELIMIT, "key '%s': more than %d keys", key,
                          GGUF_MAX_KEYS);
    char **names = grown(w->names, w->n_keys, &w->cap_names, sizeof *names);
    if (!names)
        return st_err_set(err, ST_ENOMEM, "key '%s': out of memory", key);
    w->names = names;
    rc = note_name(&w->key_map, "key", key, w->n_keys, &names[w->n_keys], err);
    if (rc)
        return rc;
    w->n_keys++;
    add_str(&w->keys, key, strlen(key));
    add_u32(&w->keys, type);
    return 0;
}

static int begin_array(gguf_writer *w, const char *key, gguf_type elem, size_t n,
                       st_err *err)
{
    int rc = begin_key(w, key, GGUF_ARRAY, err);
    if (rc)
        return rc;
    add_u32(&w->keys, elem);
    add_u64(&w->keys, n);
    return 0;
}

/* A failed append sticks to the buffer, so it is looked at once a key. */
static int end_key(gguf_writer *w, const char *key, st_err *err)
{
    int rc = w->keys.code;
    return rc ? st_err_set(err, rc, "key '%s': %s", key, st_code_text(rc)) : 0;
}

static int put_plain(gguf_writer *w, const char *key, gguf_type type, const void *v,
                     st_err *err)
{
    int rc = begin_key(w, key, type, err);
    if (rc)
        return rc;
    st_buf_add(&w->keys, v, gguf_type_bytes(type));
    return end_key(w, key, err);
}

int gguf_put_u32(gguf_writer *w, const char *key, uint32_t v, st_err *err)
{
    return put_plain(w, key, GGUF_U32, &v, err);
}

int gguf_put_f32(gguf_writer *w, const char *key, float v, st_err *err)
{
    return put_plain(w, key, GGUF_F32, &v, err);
}

int gguf_put_bool(gguf_writer *w, const char *key, bool v, st_err *err)
{
    unsigned char byte = v;
    return put_plain(w, key, GGUF_BOOL, &byte, err);
}

int gguf_put_string(gguf_writer *w, const char *key, const char *v, size_t len,
                    st_err *err)
{
    int rc = begin_key(w, key, GGUF_STRING, err);
    if (rc)
        return rc;
    add_str(&w->keys, v, len);
    return end_key(w, key, err);
}

int gguf_put_strings(gguf_writer *w, const char *key, const gguf_str *v, size_t n,
                     st_err *err)
{
    int rc = begin_array(w, key, GGUF_STRING, n, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        add_str(&w->keys, v[i].data, v[i].len);
    return end_key(w, key, err);
}

static int put_words(gguf_writer *w, const char *key, gguf_type elem, const void *v,
                     size_t n, st_err *err)
{
    int rc = n > KEYS_LIMIT / 4 ? ST_ELIMIT : begin_array(w, key, elem, n, err);
    if (rc)
        return st_err_set(err, rc, "key '%s': %zu values", key, n);
    st_buf_add(&w->keys, v, n * 4);
    return end_key(w, key, err);
}

int gguf_put_i32s(gguf_writer *w, const char *key, const int32_t *v, size_t n,
                  st_err *err)
{
    return put_words(w, key, GGUF_I32, v, n, err);
}

int gguf_put_f32s(gguf_writer *w, const char *key, const float *v, size_t n, st_err *err)
{
    return put_words(w, key, GGUF_F32, v, n, err);
}

/* Elements and bytes of a shape; ST_EINVAL as the reader would refuse it. */
static int check_shape(pending *t, const char *name, st_err *err)
{
    const st_dtype_info *info = st_dtype_get((uint32_t)t->type);
    size_t n = 1;
    if (!info || t->n_dims < 1 || t->n_dims > GGUF_MAX_DIMS)
        return st_err_set(err, ST_EINVAL, "tensor '%s': no such type or shape", name);
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] == 0 || !st_mul_ok(n, (size_t)t->dims[i], &n))
            return st_err_set(err, ST_EINVAL, "tensor '%s': dimension %u", name, i);
    }
    if (t->dims[0] % info->block || !st_dtype_size(t->type, n, &t->bytes))
        return st_err_set(err, ST_EINVAL, "tensor '%s': a row is not whole %s blocks",
                          name, info->name);
    return 0;
}

int gguf_put_tensor(gguf_writer *w, const char *name, st_dtype type, const uint64_t *dims,
                    uint32_t n_dims, const void *data, st_err *err)
{
    pending t = {.type = type, .n_dims = n_dims, .data = data};
    int rc = check_name("tensor", name, GGUF_MAX_NAME_BYTES, err);
    for (uint32_t i = 0; i < n_dims && i < GGUF_MAX_DIMS; i++)
        t.dims[i] = dims[i];
    if (!rc)
        rc = check_shape(&t, name, err);
    if (rc)
        return rc;
    if (w->n_tensors == GGUF_MAX_TENSORS)
        return st_err_set(err, ST_ELIMIT, "tensor '%s': more than %d tensors", name,
                          GGUF_MAX_TENSORS);
    pending *tensors = grown(w->tensors, w->n_tensors, &w->cap_tensors, sizeof *tensors);
    if (!tensors)
        return st_err_set(err, ST_ENOMEM, "tensor '%s': out of memory", name);
    w->tensors = tensors;
    rc = note_name(&w->tensor_map, "tensor", name, w->n_tensors, &t.name, err);
    if (!rc)
        tensors[w->n_tensors++] = t;
    return rc;
}

static size_t padding(size_t bytes)
{
    return (GGUF_ALIGNMENT - bytes % GGUF_ALIGNMENT) % GGUF_ALIGNMENT;
}

static void add_header(const gguf_writer *w, st_buf *out)
{
    static const char zeros[GGUF_ALIGNMENT];
    uint64_t offset = 0;
    st_buf_add(out, GGUF_MAGIC, sizeof GGUF_MAGIC);
    add_u32(out, 3);
    add_u64(out, w->n_tensors);
    add_u64(out, w->n_keys);
    st_buf_add(out, w->keys.data, w->keys.len);
    for (size_t i = 0; i < w->n_tensors; i++) {
        const pending *t = &w->tensors[i];
        add_str(out, t->name, strlen(t->name));
        add_u32(out, t->n_dims);
        st_buf_add(out, t->dims, t->n_dims * sizeof t->dims[0]);
        add_u32(out, t->type);
        add_u64(out, offset);
        offset += t->bytes + padding(t->bytes);
    }
    st_buf_add(out, zeros, padding(out->len));
}

int gguf_write(gguf_writer *w, const char *path, st_err *err)
{
    static const char zeros[GGUF_ALIGNMENT];
    st_buf header;
    size_t n = 0;
    int rc = w->keys.code;
    st_buf_init(&header, KEYS_LIMIT * 2);
    st_part *parts = st_alloc_n(w->n_tensors * 2 + 1, sizeof *parts);
    if (!rc)
        add_header(w, &header);
    if (!rc)
        rc = parts ? header.code : ST_ENOMEM;
    if (rc) {
        st_err_set(err, rc, "%s: %s", path, st_code_text(rc));
    } else {
        parts[n++] = (st_part){header.data, header.len};
        for (size_t i = 0; i < w->n_tensors; i++) {
            parts[n++] = (st_part){w->tensors[i].data, w->tensors[i].bytes};
            parts[n++] = (st_part){zeros, padding(w->tensors[i].bytes)};
        }
        rc = st_file_write_parts(path, parts, n, err);
    }
    st_free(parts);
    st_buf_done(&header);
    return rc;
}
