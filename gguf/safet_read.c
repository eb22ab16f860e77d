/* gguf/safet_read.c - read safetensors files.
 *
 * The header is JSON from a stranger: its length is checked against the file and a limit
 * before it is parsed.  Names and type names are borrowed from the parsed header, which
 * lives as long as the file.  After sorting by place the tensors must cover the data
 * section exactly: no byte belongs to two of them and none is hidden between them. */
#include "gguf/safetensors.h"

#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "gguf/safet_priv.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct safet {
    char *path;
    st_file_map map; /* empty for safet_open_bytes */
    const unsigned char *data;
    size_t len;
    json_t *header;        /* owns names and type names */
    json_t *meta;          /* borrowed; NULL when there is none */
    safet_tensor *tensors; /* in the order of their places */
    size_t n_tensors;
    st_map names;
};

size_t safet_dtype_bytes(const char *dtype)
{
    static const struct {
        const char *name;
        size_t bytes;
    } rows[] = {
        {"BOOL", 1},    {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
        {"F8_E8M0", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},     {"BF16", 2},
        {"I32", 4},     {"U32", 4}, {"F32", 4}, {"I64", 8},     {"U64", 8},
        {"F64", 8},     {"C64", 8},
    };
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        if (strcmp(rows[i].name, dtype) == 0)
            return rows[i].bytes;
    }
    return 0;
}

int safet_shape_bytes(const uint64_t *dims, uint32_t n_dims, size_t each, uint64_t *ret_n,
                      size_t *ret_bytes)
{
    size_t n = 1, bytes;
    for (uint32_t i = 0; i < n_dims; i++) {
        if (dims[i] > INT64_MAX || !st_mul_ok(n, (size_t)dims[i], &n))
            return ST_EFORMAT;
    }
    if (!st_mul_ok(n, each, &bytes))
        return ST_EFORMAT;
    *ret_n = n;
    *ret_bytes = bytes;
    return 0;
}

static int take_shape(safet_tensor *t, const json_t *shape, st_err *err)
{
    size_t n = json_array_size(shape);
    if (!json_is_array(shape) || n > SAFET_MAX_DIMS)
        return st_err_set(err, ST_EFORMAT, "'shape' is not a list of at most %d numbers",
                          SAFET_MAX_DIMS);
    for (size_t i = 0; i < n; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return st_err_set(err, ST_EFORMAT, "dimension %zu is not a count", i);
        t->dims[i] = (uint64_t)json_integer_value(dim);
    }
    t->n_dims = (uint32_t)n;
    return 0;
}

/* Begin and end, relative to the data section of `len` bytes. */
static int take_offsets(const json_t *offsets, size_t len, size_t ret_span[2],
                        st_err *err)
{
    json_int_t span[2] = {-1, -1};
    if (json_array_size(offsets) == 2) {
        for (size_t i = 0; i < 2; i++) {
            const json_t *at = json_array_get(offsets, i);
            span[i] = json_is_integer(at) ? json_integer_value(at) : -1;
        }
    }
    if (span[0] < 0 || span[1] < span[0])
        return st_err_set(err, ST_EFORMAT, "'data_offsets' are not a begin and an end");
    if ((uint64_t)span[1] > len) {
        st_err_set(err, ST_EFORMAT,
                   "its data end at %lld, beyond the file's %zu bytes of data",
                   (long long)span[1], len);
        st_err_hint(err, "the file is damaged or was not copied whole");
        return ST_EFORMAT;
    }
    ret_span[0] = (size_t)span[0];
    ret_span[1] = (size_t)span[1];
    return 0;
}

static int refuse_other_fields(const json_t *fields, st_err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)fields, name, value)
    {
        if (strcmp(name, "dtype") != 0 && strcmp(name, "shape") != 0 &&
            strcmp(name, "data_offsets") != 0)
            return st_err_set(err, ST_EFORMAT, "field '%s' is not known", name);
    }
    return 0;
}

static int take_tensor(safet_tensor *t, const json_t *fields, const unsigned char *data,
                       size_t len, st_err *err)
{
    size_t span[2] = {0}, bytes;
    if (!json_is_object(fields))
        return st_err_set(err, ST_EFORMAT, "not an object");
    t->dtype = json_string_value(json_object_get(fields, "dtype"));
    if (!t->dtype)
        return st_err_set(err, ST_EFORMAT, "'dtype' is missing");
    size_t each = safet_dtype_bytes(t->dtype);
    if (!each)
        return st_err_set(err, ST_EUNSUPPORTED, "number format '%s' is not supported",
                          t->dtype);
    int rc = take_shape(t, json_object_get(fields, "shape"), err);
    if (!rc)
        rc = take_offsets(json_object_get(fields, "data_offsets"), len, span, err);
    if (!rc)
        rc = refuse_other_fields(fields, err);
    if (rc)
        return rc;
    if (safet_shape_bytes(t->dims, t->n_dims, each, &t->n, &bytes) ||
        bytes != span[1] - span[0])
        return st_err_set(err, ST_EFORMAT, "its shape does not match its %zu bytes",
                          span[1] - span[0]);
    t->data = data + span[0];
    t->bytes = bytes;
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const safet_tensor *x = a;
    const safet_tensor *y = b;
    uintptr_t p = (uintptr_t)x->data;
    uintptr_t q = (uintptr_t)y->data;
    if (p != q)
        return p < q ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* Sorted tensors follow each other without a gap from begin to end of the data. */
static int check_cover(const safet *s, const unsigned char *data, size_t len, st_err *err)
{
    size_t end = 0;
    for (size_t i = 0; i < s->n_tensors; i++) {
        const safet_tensor *t = &s->tensors[i];
        size_t begin = (size_t)((const unsigned char *)t->data - data);
        if (begin != end)
            return st_err_set(err, ST_EFORMAT, "tensor '%s': %s before its data", t->name,
                              begin < end ? "an overlap" : "unused bytes");
        end = begin + t->bytes;
    }
    if (end != len)
        return st_err_set(err, ST_EFORMAT, "%zu bytes behind the last tensor", len - end);
    return 0;
}

static int take_meta(safet *s, json_t *meta, st_err *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(meta))
        return st_err_set(err, ST_EFORMAT, "__metadata__ is not an object");
    json_object_foreach(meta, key, value)
    {
        if (!json_is_string(value))
            return st_err_set(err, ST_EFORMAT, "__metadata__: '%s' is not a string", key);
    }
    s->meta = meta;
    return 0;
}

static int take_tensors(safet *s, const unsigned char *data, size_t len, st_err *err)
{
    const char *name;
    json_t *fields;
    s->tensors = st_zalloc_n(json_object_size(s->header), sizeof *s->tensors);
    if (!s->tensors)
        return st_err_set(err, ST_ENOMEM, "out of memory for %zu tensors",
                          json_object_size(s->header));
    json_object_foreach(s->header, name, fields)
    {
        int rc = 0;
        if (strcmp(name, "__metadata__") == 0) {
            rc = take_meta(s, fields, err);
        } else {
            safet_tensor *t = &s->tensors[s->n_tensors++];
            t->name = name;
            rc = take_tensor(t, fields, data, len, err);
            if (rc)
                st_err_at(err, "tensor '%s'", name);
        }
        if (rc)
            return rc;
    }
    qsort(s->tensors, s->n_tensors, sizeof *s->tensors, by_place);
    return check_cover(s, data, len, err);
}

static int take_names(safet *s, st_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < s->n_tensors && !rc; i++)
        rc = st_map_put(&s->names, s->tensors[i].name, strlen(s->tensors[i].name),
                        (uint32_t)i, NULL);
    return rc ? st_err_set(err, rc, "%s", st_code_text(rc)) : 0;
}

static int parse(safet *s, st_err *err)
{
    uint64_t header_len;
    json_error_t why;
    if (s->len < sizeof header_len + 2)
        return st_err_set(err, ST_EFORMAT, "not a safetensors file: too short");
    memcpy(&header_len, s->data, sizeof header_len);
    if (header_len > s->len - sizeof header_len)
        return st_err_set(err, ST_EFORMAT, "the header runs beyond the end of the file");
    if (header_len > SAFET_MAX_HEADER)
        return st_err_set(err, ST_ELIMIT, "a header of more than %d bytes",
                          SAFET_MAX_HEADER);
    const char *text = (const char *)s->data + sizeof header_len;
    if (text[0] != '{')
        return st_err_set(err, ST_EFORMAT, "not a safetensors file: no header object");
    s->header = json_loadb(text, (size_t)header_len, JSON_REJECT_DUPLICATES, &why);
    if (!s->header && !why.text[0]) /* jansson says why, but for this */
        return st_err_set(err, ST_ENOMEM, "header: out of memory");
    if (!s->header)
        return st_err_set(err, ST_EFORMAT, "header: byte %d: %s", why.position, why.text);
    const unsigned char *data = s->data + sizeof header_len + header_len;
    int rc = take_tensors(s, data, s->len - sizeof header_len - (size_t)header_len, err);
    return rc ? rc : take_names(s, err);
}

static int open_checked(safet *s, safet **ret_file, st_err *err)
{
    int rc = parse(s, err);
    if (rc) {
        st_err_at(err, "%s", s->path);
        safet_close(s);
        return rc;
    }
    *ret_file = s;
    return 0;
}

static safet *new_safet(const char *path)
{
    safet *s = st_zalloc_n(1, sizeof *s);
    char *copy = st_strdup(path);
    if (!s || !copy) {
        st_free(copy);
        st_free(s);
        return NULL;
    }
    s->path = copy;
    return s;
}

int safet_open(const char *path, safet **ret_file, st_err *err)
{
    safet *s = new_safet(path);
    if (!s)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", path);
    int rc = st_file_map_open(path, &s->map, err);
    if (rc) {
        safet_close(s);
        return rc;
    }
    s->data = s->map.data;
    s->len = s->map.len;
    return open_checked(s, ret_file, err);
}

int safet_open_bytes(const void *data, size_t len, safet **ret_file, st_err *err)
{
    safet *s = new_safet("bytes");
    if (!s)
        return st_err_set(err, ST_ENOMEM, "bytes: out of memory");
    s->data = data;
    s->len = len;
    return open_checked(s, ret_file, err);
}

void safet_close(safet *s)
{
    if (!s)
        return;
    st_map_done(&s->names);
    st_free(s->tensors);
    json_decref(s->header);
    st_file_map_close(&s->map);
    st_free(s->path);
    st_free(s);
}

size_t safet_n_tensors(const safet *s)
{
    return s->n_tensors;
}

const safet_tensor *safet_tensor_at(const safet *s, size_t i)
{
    return i < s->n_tensors ? &s->tensors[i] : NULL;
}

const safet_tensor *safet_find(const safet *s, const char *name)
{
    uint32_t i;
    return st_map_get(&s->names, name, strlen(name), &i) ? &s->tensors[i] : NULL;
}

const char *safet_meta(const safet *s, const char *key)
{
    return json_string_value(json_object_get(s->meta, key));
}

size_t safet_n_meta(const safet *s)
{
    return json_object_size(s->meta);
}

const char *safet_meta_key(const safet *s, size_t i)
{
    const char *key;
    json_t *value;
    json_object_foreach(s->meta, key, value)
    {
        if (i-- == 0)
            return key;
    }
    return NULL;
}
