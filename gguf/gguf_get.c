/* gguf/gguf_get.c - typed values of keys.
 *
 * Integers of every width go through one wide form and are refused when they do not fit
 * what was asked for.  An array is never read as a type that it does not have. */
#include "gguf/gguf_priv.h"

#include "base/mem.h"
#include <math.h>
#include <string.h>

typedef struct wide { /* an integer of any width: value = bits, negative if `minus` */
    uint64_t bits;    /* two's complement */
    bool minus;
} wide;

static bool is_integer(gguf_type type)
{
    return type <= GGUF_I32 || type == GGUF_U64 || type == GGUF_I64;
}

static bool is_signed(gguf_type type)
{
    return type == GGUF_I8 || type == GGUF_I16 || type == GGUF_I32 || type == GGUF_I64;
}

static wide load_integer(gguf_type type, const void *at)
{
    uint64_t v = 0;
    uint32_t bytes = gguf_type_bytes(type);
    memcpy(&v, at, bytes);
    bool minus = is_signed(type) && v >> (bytes * 8 - 1);
    if (minus && bytes < 8)
        v |= ~(uint64_t)0 << (bytes * 8);
    return (wide){v, minus};
}

static bool as_i32(wide w, int32_t *ret)
{
    bool fits = w.minus ? w.bits >= (uint64_t)INT32_MIN : w.bits <= INT32_MAX;
    if (fits)
        *ret = (int32_t)(int64_t)w.bits;
    return fits;
}

/* F32 or F64 as float; false when a finite number overflows. */
static bool load_float(gguf_type type, const void *at, float *ret)
{
    double d;
    if (type == GGUF_F32) {
        memcpy(ret, at, sizeof *ret);
        return true;
    }
    memcpy(&d, at, sizeof d);
    *ret = (float)d;
    return isfinite(*ret) || !isfinite(d);
}

static int wrong_type(const gguf *g, const gguf_key *key, const char *want, st_err *err)
{
    return st_err_set(err, ST_EFORMAT, "%s: key '%s': %s%s, expected %s", g->path,
                      key->name, key->type == GGUF_ARRAY ? "array of " : "",
                      gguf_type_name(key->elem), want);
}

static int out_of_range(const gguf *g, const gguf_key *key, st_err *err)
{
    return st_err_set(err, ST_EFORMAT, "%s: key '%s': a value out of range", g->path,
                      key->name);
}

static int missing(const gguf *g, const char *name, st_err *err)
{
    return st_err_set(err, ST_ENOTFOUND, "%s: key '%s' is missing", g->path, name);
}

static int no_memory(const gguf *g, const gguf_key *key, st_err *err)
{
    return st_err_set(err, ST_ENOMEM, "%s: key '%s': out of memory", g->path, key->name);
}

static int key_u32(const gguf *g, const gguf_key *key, uint32_t *ret, st_err *err)
{
    if (!is_integer(key->type))
        return wrong_type(g, key, "an integer", err);
    wide w = load_integer(key->type, key->data);
    if (w.minus || w.bits > UINT32_MAX)
        return out_of_range(g, key, err);
    *ret = (uint32_t)w.bits;
    return 0;
}

int gguf_u32(const gguf *g, const char *name, uint32_t *ret, st_err *err)
{
    const gguf_key *key = gguf_find(g, name);
    return key ? key_u32(g, key, ret, err) : missing(g, name, err);
}

int gguf_u32_or(const gguf *g, const char *name, uint32_t def, uint32_t *ret, st_err *err)
{
    const gguf_key *key = gguf_find(g, name);
    if (key)
        return key_u32(g, key, ret, err);
    *ret = def;
    return 0;
}

int gguf_f32_or(const gguf *g, const char *name, float def, float *ret, st_err *err)
{
    const gguf_key *key = gguf_find(g, name);
    float f = def;
    if (key && key->type != GGUF_F32 && key->type != GGUF_F64)
        return wrong_type(g, key, "a floating-point number", err);
    if (key && (!load_float(key->type, key->data, &f) || !isfinite(f)))
        return out_of_range(g, key, err);
    *ret = f;
    return 0;
}

int gguf_bool_or(const gguf *g, const char *name, bool def, bool *ret, st_err *err)
{
    const gguf_key *key = gguf_find(g, name);
    if (key && key->type != GGUF_BOOL)
        return wrong_type(g, key, "a truth value", err);
    *ret = key ? *(const unsigned char *)key->data != 0 : def;
    return 0;
}

int gguf_string(const gguf *g, const char *name, gguf_str *ret, st_err *err)
{
    const gguf_key *key = gguf_find(g, name);
    if (!key)
        return missing(g, name, err);
    if (key->type != GGUF_STRING)
        return wrong_type(g, key, "a string", err);
    const unsigned char *at = key->data;
    *ret = gguf_next_str(&at);
    return 0;
}

int gguf_strings(const gguf *g, const char *name, gguf_str **ret, size_t *ret_n,
                 st_err *err)
{
    const gguf_key *key = gguf_find(g, name);
    if (!key)
        return missing(g, name, err);
    if (key->elem != GGUF_STRING)
        return wrong_type(g, key, "strings", err);
    gguf_str *list = st_alloc_n((size_t)key->n, sizeof *list);
    if (!list)
        return no_memory(g, key, err);
    const unsigned char *at = key->data;
    for (uint64_t i = 0; i < key->n; i++)
        list[i] = gguf_next_str(&at);
    *ret = list;
    *ret_n = (size_t)key->n;
    return 0;
}

int gguf_i32s(const gguf *g, const char *name, int32_t **ret, size_t *ret_n, st_err *err)
{
    const gguf_key *key = gguf_find(g, name);
    if (!key)
        return missing(g, name, err);
    if (!is_integer(key->elem))
        return wrong_type(g, key, "integers", err);
    int32_t *list = st_alloc_n((size_t)key->n, sizeof *list);
    if (!list)
        return no_memory(g, key, err);
    const unsigned char *at = key->data;
    for (uint64_t i = 0; i < key->n; i++, at += gguf_type_bytes(key->elem)) {
        if (!as_i32(load_integer(key->elem, at), &list[i])) {
            st_free(list);
            return out_of_range(g, key, err);
        }
    }
    *ret = list;
    *ret_n = (size_t)key->n;
    return 0;
}

int gguf_f32s(const gguf *g, const char *name, float **ret, size_t *ret_n, st_err *err)
{
    const gguf_key *key = gguf_find(g, name);
    if (!key)
        return missing(g, name, err);
    if (key->elem != GGUF_F32 && key->elem != GGUF_F64)
        return wrong_type(g, key, "floating-point numbers", err);
    float *list = st_alloc_n((size_t)key->n, sizeof *list);
    if (!list)
        return no_memory(g, key, err);
    const unsigned char *at = key->data;
    for (uint64_t i = 0; i < key->n; i++, at += gguf_type_bytes(key->elem)) {
        if (!load_float(key->elem, at, &list[i])) {
            st_free(list);
            return out_of_range(g, key, err);
        }
    }
    *ret = list;
    *ret_n = (size_t)key->n;
    return 0;
}
