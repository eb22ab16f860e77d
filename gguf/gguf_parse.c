/* gguf/gguf_parse.c - check every byte of a GGUF header before anyone relies on it.
 *
 * A cursor walks the file once.  It never moves beyond the end, so a count is refused as
 * soon as the bytes left cannot hold that many of the smallest possible items; arrays of
 * our own are made only after that check.  Offsets are compared by subtraction from what
 * is known to be there, never by adding numbers from the file.
 *
 * Order: magic, version, counts, keys, alignment, tensor descriptions, then the data:
 * each tensor aligned, inside the file, and apart from every other. */
#include "gguf/gguf_priv.h"

#include "base/mem.h"
#include "base/utf8.h"
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "stint reads files in place and needs a little-endian machine"
#endif

enum {
    MIN_KEY_BYTES = 8 + 1 + 4 + 1,            /* name, type, smallest value */
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8, /* name, n_dims, one dim, type, offset */
};

typedef struct cursor {
    const unsigned char *at;
    size_t left;
} cursor;

uint32_t gguf_type_bytes(gguf_type type)
{
    static const unsigned char bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return (size_t)type < sizeof bytes ? bytes[type] : 0;
}

const char *gguf_type_name(gguf_type type)
{
    static const char *const names[] = {"u8",  "i8",  "u16",  "i16",    "u32",
                                        "i32", "f32", "bool", "string", "array",
                                        "u64", "i64", "f64"};
    return (size_t)type < ST_COUNT(names) ? names[type] : "unknown";
}

static bool take(cursor *c, void *ret, size_t n)
{
    if (c->left < n)
        return false;
    memcpy(ret, c->at, n);
    c->at += n;
    c->left -= n;
    return true;
}

/* A length and so many bytes; on failure the cursor stays. */
static bool take_str(cursor *c, gguf_str *ret)
{
    uint64_t len;
    cursor next = *c;
    if (!take(&next, &len, sizeof len) || len > next.left)
        return false;
    *ret = (gguf_str){(const char *)next.at, (size_t)len};
    next.at += len;
    next.left -= (size_t)len;
    *c = next;
    return true;
}

gguf_str gguf_next_str(const unsigned char **at)
{
    uint64_t len;
    memcpy(&len, *at, sizeof len);
    gguf_str s = {(const char *)*at + sizeof len, (size_t)len};
    *at += sizeof len + (size_t)len;
    return s;
}

static int ends_early(st_err *err, const char *what)
{
    st_err_set(err, ST_EFORMAT, "the file ends inside %s", what);
    st_err_hint(err, "the file is damaged or was not copied whole");
    return ST_EFORMAT;
}

/* A name: not empty, not too long, UTF-8 without NUL; a copy that the caller frees. */
static int take_name(cursor *c, const char *what, size_t i, size_t max, char **ret,
                     st_err *err)
{
    gguf_str s;
    if (!take_str(c, &s))
        return st_err_set(err, ST_EFORMAT,
                          "%s %zu: its name runs beyond the end of the file", what, i);
    if (s.len == 0 || s.len > max)
        return st_err_set(err, ST_EFORMAT, "%s %zu: a name of %zu bytes, not 1 to %zu",
                          what, i, s.len, max);
    if (memchr(s.data, 0, s.len) || !st_utf8_valid(s.data, s.len, NULL))
        return st_err_set(err, ST_EFORMAT, "%s %zu: its name is not text", what, i);
    char *name = st_dup(s.data, s.len);
    if (!name)
        return st_err_set(err, ST_ENOMEM, "%s %zu: out of memory", what, i);
    *ret = name;
    return 0;
}

/* ---- keys ---- */

static bool bools_ok(const unsigned char *at, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        if (at[i] > 1)
            return false;
    }
    return true;
}

/* The n values of a key, of its element type, at the cursor. */
static int take_values(cursor *c, gguf_key *key, st_err *err)
{
    size_t each = gguf_type_bytes(key->elem);
    key->data = c->at;
    if (key->n > c->left / (each ? each : sizeof(uint64_t)))
        return st_err_set(err, ST_EFORMAT,
                          "%llu values of type %s run beyond the end of the file",
                          (unsigned long long)key->n, gguf_type_name(key->elem));
    if (key->elem == GGUF_STRING) {
        gguf_str s;
        for (uint64_t i = 0; i < key->n; i++) {
            if (!take_str(c, &s))
                return st_err_set(err, ST_EFORMAT,
                                  "string %llu runs beyond the end of the file",
                                  (unsigned long long)i);
        }
        return 0;
    }
    if (key->elem == GGUF_BOOL && !bools_ok(c->at, key->n))
        return st_err_set(err, ST_EFORMAT, "a truth value that is neither 0 nor 1");
    c->at += key->n * each;
    c->left -= (size_t)key->n * each;
    return 0;
}

static int take_key_body(cursor *c, gguf_key *key, st_err *err)
{
    uint32_t type, elem;
    uint64_t n = 1;
    if (!take(c, &type, sizeof type))
        return ends_early(err, "its type");
    elem = type;
    if (type == GGUF_ARRAY && (!take(c, &elem, sizeof elem) || !take(c, &n, sizeof n)))
        return ends_early(err, "an array's type and length");
    if (type == GGUF_ARRAY && elem == GGUF_ARRAY)
        return st_err_set(err, ST_EUNSUPPORTED, "an array of arrays is not supported");
    if (elem != GGUF_STRING && !gguf_type_bytes((gguf_type)elem))
        return st_err_set(err, ST_EFORMAT, "value type %u is not known", elem);
    key->type = (gguf_type)type;
    key->elem = (gguf_type)elem;
    key->n = n;
    return take_values(c, key, err);
}

static int parse_key(gguf *g, cursor *c, st_err *err)
{
    char *name = NULL;
    bool fresh;
    gguf_key *key = &g->keys[g->n_keys];
    int rc = take_name(c, "key", g->n_keys, GGUF_MAX_KEY_BYTES, &name, err);
    if (rc)
        return rc;
    key->name = name;
    rc = st_map_put(&g->key_map, name, strlen(name), (uint32_t)g->n_keys, &fresh);
    g->n_keys++; /* the name is freed with the key from here on */
    if (rc)
        return st_err_set(err, rc, "key '%s': %s", name, st_code_text(rc));
    if (!fresh)
        return st_err_set(err, ST_EFORMAT, "key '%s': written twice", name);
    rc = take_key_body(c, key, err);
    if (rc)
        st_err_at(err, "key '%s'", name);
    return rc;
}

static int parse_keys(gguf *g, cursor *c, uint64_t n, st_err *err)
{
    int rc = 0;
    if (n > c->left / MIN_KEY_BYTES)
        return st_err_set(err, ST_EFORMAT, "%llu keys do not fit in the file",
                          (unsigned long long)n);
    if (n > GGUF_MAX_KEYS)
        return st_err_set(err, ST_ELIMIT, "%llu keys, more than %d",
                          (unsigned long long)n, GGUF_MAX_KEYS);
    g->keys = st_zalloc_n((size_t)n, sizeof *g->keys);
    if (!g->keys)
        return st_err_set(err, ST_ENOMEM, "out of memory for %llu keys",
                          (unsigned long long)n);
    while (!rc && g->n_keys < n)
        rc = parse_key(g, c, err);
    return rc;
}

static int find_alignment(gguf *g, st_err *err)
{
    uint32_t a;
    int rc = gguf_u32_or(g, "general.alignment", GGUF_ALIGNMENT, &a, err);
    if (rc)
        return rc;
    if (a < GGUF_MIN_ALIGNMENT || a > GGUF_MAX_ALIGNMENT || (a & (a - 1)))
        return st_err_set(
            err, ST_EFORMAT,
            "key 'general.alignment': %u is not a power of two from %d to %d", a,
            GGUF_MIN_ALIGNMENT, GGUF_MAX_ALIGNMENT);
    g->alignment = a;
    return 0;
}

/* ---- tensors ---- */

static int take_dims(cursor *c, gguf_tensor *t, st_err *err)
{
    size_t n = 1;
    if (!take(c, &t->n_dims, sizeof t->n_dims))
        return ends_early(err, "its shape");
    if (t->n_dims < 1 || t->n_dims > GGUF_MAX_DIMS)
        return st_err_set(err, ST_EFORMAT, "%u dimensions, not 1 to %d", t->n_dims,
                          GGUF_MAX_DIMS);
    for (uint32_t i = 0; i < GGUF_MAX_DIMS; i++) {
        t->dims[i] = 1;
        if (i < t->n_dims && !take(c, &t->dims[i], sizeof t->dims[i]))
            return ends_early(err, "its shape");
        if (t->dims[i] == 0)
            return st_err_set(err, ST_EFORMAT, "dimension %u is zero", i);
        if (t->dims[i] > SIZE_MAX || !st_mul_ok(n, (size_t)t->dims[i], &n) ||
            n > INT64_MAX)
            return st_err_set(err, ST_EFORMAT, "its dimensions multiply beyond 2^63");
    }
    t->n = n;
    return 0;
}

/* Shape, type and offset; `data` holds the offset until the data section is known. */
static int take_tensor_body(cursor *c, gguf_tensor *t, uint64_t *ret_offset, st_err *err)
{
    uint32_t type;
    int rc = take_dims(c, t, err);
    if (rc)
        return rc;
    if (!take(c, &type, sizeof type) || !take(c, ret_offset, sizeof *ret_offset))
        return ends_early(err, "its description");
    const st_dtype_info *info = st_dtype_get(type);
    if (!info)
        return st_err_set(err, ST_EUNSUPPORTED, "number format %u is not known", type);
    if (t->dims[0] % info->block)
        return st_err_set(err, ST_EFORMAT,
                          "a row of %llu is not a whole number of %s blocks",
                          (unsigned long long)t->dims[0], info->name);
    t->type = (st_dtype)type;
    if (!st_dtype_size(t->type, t->n, &t->bytes))
        return st_err_set(err, ST_EFORMAT, "its size is beyond 2^64 bytes");
    return 0;
}

static int parse_tensor(gguf *g, cursor *c, uint64_t *ret_offset, st_err *err)
{
    char *name = NULL;
    bool fresh;
    gguf_tensor *t = &g->tensors[g->n_tensors];
    int rc = take_name(c, "tensor", g->n_tensors, GGUF_MAX_NAME_BYTES, &name, err);
    if (rc)
        return rc;
    t->name = name;
    rc = st_map_put(&g->tensor_map, name, strlen(name), (uint32_t)g->n_tensors, &fresh);
    g->n_tensors++; /* the name is freed with the tensor from here on */
    if (rc)
        return st_err_set(err, rc, "tensor '%s': %s", name, st_code_text(rc));
    if (!fresh)
        return st_err_set(err, ST_EFORMAT, "tensor '%s': described twice", name);
    rc = take_tensor_body(c, t, ret_offset, err);
    if (rc)
        st_err_at(err, "tensor '%s'", name);
    return rc;
}

static int place_tensor(const gguf *g, gguf_tensor *t, const unsigned char *data,
                        size_t len, uint64_t offset, st_err *err)
{
    if (offset % g->alignment)
        return st_err_set(err, ST_EFORMAT,
                          "tensor '%s': offset %llu is not a multiple of %u", t->name,
                          (unsigned long long)offset, g->alignment);
    if (offset > len || t->bytes > len - (size_t)offset) {
        st_err_set(err, ST_EFORMAT,
                   "tensor '%s': %zu bytes at offset %llu run beyond the end of the file",
                   t->name, t->bytes, (unsigned long long)offset);
        st_err_hint(err, "the file is damaged or was not copied whole");
        return ST_EFORMAT;
    }
    t->data = data + offset;
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const gguf_tensor *const *x = a;
    const gguf_tensor *const *y = b;
    uintptr_t p = (uintptr_t)(*x)->data;
    uintptr_t q = (uintptr_t)(*y)->data;
    return p < q ? -1 : p > q;
}

static int check_overlap(const gguf *g, st_err *err)
{
    const gguf_tensor **sorted = st_alloc_n(g->n_tensors, sizeof *sorted);
    int rc = 0;
    if (!sorted)
        return st_err_set(err, ST_ENOMEM, "out of memory for %zu tensors", g->n_tensors);
    for (size_t i = 0; i < g->n_tensors; i++)
        sorted[i] = &g->tensors[i];
    qsort(sorted, g->n_tensors, sizeof *sorted, by_place);
    for (size_t i = 1; i < g->n_tensors && !rc; i++) {
        const gguf_tensor *a = sorted[i - 1];
        const gguf_tensor *b = sorted[i];
        if ((size_t)((const char *)b->data - (const char *)a->data) < a->bytes)
            rc = st_err_set(err, ST_EFORMAT, "tensor '%s' overlaps tensor '%s'", b->name,
                            a->name);
    }
    st_free(sorted);
    return rc;
}

/* The data section starts at the next aligned byte of the file. */
static int place_tensors(gguf *g, const cursor *c, const uint64_t *offsets, st_err *err)
{
    size_t header = g->len - c->left;
    size_t pad = (g->alignment - header % g->alignment) % g->alignment;
    int rc = 0;
    if (pad > c->left)
        return ends_early(err, "the padding before the data");
    for (size_t i = 0; i < g->n_tensors && !rc; i++)
        rc = place_tensor(g, &g->tensors[i], c->at + pad, c->left - pad, offsets[i], err);
    return rc ? rc : check_overlap(g, err);
}

static int parse_tensors(gguf *g, cursor *c, uint64_t n, st_err *err)
{
    int rc = 0;
    if (n == 0)
        return 0;
    if (n > c->left / MIN_TENSOR_BYTES)
        return st_err_set(err, ST_EFORMAT, "%llu tensors do not fit in the file",
                          (unsigned long long)n);
    if (n > GGUF_MAX_TENSORS)
        return st_err_set(err, ST_ELIMIT, "%llu tensors, more than %d",
                          (unsigned long long)n, GGUF_MAX_TENSORS);
    g->tensors = st_zalloc_n((size_t)n, sizeof *g->tensors);
    uint64_t *offsets = st_alloc_n((size_t)n, sizeof *offsets);
    if (!g->tensors || !offsets)
        rc = st_err_set(err, ST_ENOMEM, "out of memory for %llu tensors",
                        (unsigned long long)n);
    while (!rc && g->n_tensors < n)
        rc = parse_tensor(g, c, &offsets[g->n_tensors], err);
    if (!rc)
        rc = place_tensors(g, c, offsets, err);
    st_free(offsets);
    return rc;
}

/* ---- the whole ---- */

static int check_version(uint32_t version, st_err *err)
{
    int rc = ST_EUNSUPPORTED;
    if (version == 2 || version == 3)
        return 0;
    if (version == 0) {
        rc = st_err_set(err, ST_EFORMAT, "GGUF version 0 does not exist");
    } else if (version == 1) {
        st_err_set(err, rc, "GGUF version 1 is not supported");
        st_err_hint(err, "convert the model again with a current converter");
    } else if ((version & 0xFFFF) == 0) {
        st_err_set(err, rc, "big-endian GGUF (version %u) is not supported",
                   version >> 24);
        st_err_hint(err, "use the little-endian file of the same model");
    } else {
        st_err_set(err, rc, "GGUF version %u is newer than 3", version);
        st_err_hint(err, "update stint, or convert the model to version 3");
    }
    return rc;
}

int gguf_parse(gguf *g, st_err *err)
{
    cursor c = {g->data, g->len};
    char magic[4];
    uint64_t n_tensors, n_keys;
    if (!take(&c, magic, sizeof magic) || memcmp(magic, GGUF_MAGIC, sizeof magic) != 0)
        return st_err_set(err, ST_EFORMAT, "not a GGUF file");
    if (!take(&c, &g->version, sizeof g->version))
        return ends_early(err, "the version");
    int rc = check_version(g->version, err);
    if (rc)
        return rc;
    if (!take(&c, &n_tensors, sizeof n_tensors) || !take(&c, &n_keys, sizeof n_keys))
        return ends_early(err, "the counts");
    rc = parse_keys(g, &c, n_keys, err);
    if (!rc)
        rc = find_alignment(g, err);
    if (!rc)
        rc = parse_tensors(g, &c, n_tensors, err);
    return rc;
}
