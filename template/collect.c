/* template/collect.c - lists and dictionaries.
 *
 * A dictionary is an array of pairs in order of insertion; past INDEX_FROM pairs it gets
 * a hash table beside it, made at the first look-up.  Keys that clash cost steps, so a
 * hostile choice of keys meets the step limit. */
#include "template/value.h"

#include "base/hash.h"
#include <string.h>

enum { INDEX_FROM = 12 };

tlist *tlist_new(rt *r, tlist_kind kind, size_t cap)
{
    tlist *list = rt_take(r, 1, sizeof *list);
    if (!list)
        return NULL;
    *list = (tlist){.kind = kind, .cap = cap};
    list->v = cap ? rt_take(r, cap, sizeof *list->v) : NULL;
    return cap && !list->v ? NULL : list;
}

int tlist_add(rt *r, tlist *list, val v)
{
    if (rt_step(r, 1))
        return ST_ELIMIT;
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 4;
        val *more = tarena_grow(&r->mem, list->v, list->n * sizeof v, cap * sizeof v);
        if (!more)
            return rt_oom(r);
        list->v = more;
        list->cap = cap;
    }
    list->v[list->n++] = v;
    return 0;
}

tdict *tdict_new(rt *r, size_t cap)
{
    tdict *d = rt_take(r, 1, sizeof *d);
    if (!d)
        return NULL;
    d->cap = cap;
    d->p = cap ? rt_take(r, cap, sizeof *d->p) : NULL;
    return cap && !d->p ? NULL : d;
}

static uint64_t hash_float(double f)
{
    tint whole;
    if (f >= -1e38 && f <= 1e38 && (double)(whole = (tint)f) == f)
        return st_hash64(&whole, sizeof whole, 1);
    return st_hash64(&f, sizeof f, 1);
}

int val_hash(rt *r, val v, uint64_t *ret)
{
    int rc = 0;
    if (v.type == V_STR) {
        *ret = st_hash64(v.u.s->s, v.u.s->len, 0);
    } else if (val_is_int(v)) {
        tint i = val_as_int(v);
        *ret = st_hash64(&i, sizeof i, 1); /* as the float of the same value */
    } else if (v.type == V_FLOAT) {
        *ret = hash_float(v.u.f);
    } else if (val_is_tuple(v)) {
        uint64_t h = v.u.list->n;
        if ((rc = rt_enter(r)))
            return rc;
        for (size_t i = 0; i < v.u.list->n && !rc; i++) {
            uint64_t one = 0;
            rc = val_hash(r, v.u.list->v[i], &one);
            h = h * 0x9E3779B97F4A7C15u + one;
        }
        r->depth--;
        *ret = h;
    } else if (v.type == V_DICT || (v.type == V_LIST && v.u.list->kind != L_ITER)) {
        return rt_fail(r, ST_EFORMAT, "unhashable type: '%s'", val_type_name(v));
    } else {
        *ret = v.type; /* None, functions: few, told apart by val_equal */
    }
    return rc;
}

/* Put pair number `at` into the table, which has room. */
static int index_put(rt *r, tdict *d, size_t at)
{
    uint64_t h;
    int rc = val_hash(r, d->p[at].key, &h);
    if (rc)
        return rc;
    size_t slot = h & (d->n_index - 1), probes = 0;
    while (d->index[slot]) {
        slot = (slot + 1) & (d->n_index - 1);
        probes++;
    }
    d->index[slot] = (uint32_t)at + 1;
    return rt_step(r, probes);
}

static int make_index(rt *r, tdict *d)
{
    size_t n = 32;
    while (n < d->n * 3)
        n *= 2;
    d->index = rt_take(r, n, sizeof *d->index);
    if (!d->index)
        return r->err->code;
    d->n_index = n;
    int rc = 0;
    for (size_t i = 0; i < d->n && !rc; i++)
        rc = index_put(r, d, i);
    return rc;
}

static int find_small(rt *r, tdict *d, val key, size_t *ret_at)
{
    for (size_t i = 0; i < d->n; i++) {
        bool same;
        int rc = val_equal(r, d->p[i].key, key, &same);
        if (rc)
            return rc;
        if (same) {
            *ret_at = i;
            return 0;
        }
    }
    *ret_at = SIZE_MAX;
    return 0;
}

static int find_indexed(rt *r, tdict *d, val key, uint64_t hash, size_t *ret_at)
{
    size_t slot = hash & (d->n_index - 1);
    for (; d->index[slot]; slot = (slot + 1) & (d->n_index - 1)) {
        bool same;
        int rc = val_equal(r, d->p[d->index[slot] - 1].key, key, &same);
        if (rc || (rc = rt_step(r, 1)))
            return rc;
        if (same) {
            *ret_at = d->index[slot] - 1;
            return 0;
        }
    }
    *ret_at = SIZE_MAX;
    return 0;
}

/* Pair number of the key, SIZE_MAX where it is not there. */
static int find_pair(rt *r, tdict *d, val key, size_t *ret_at)
{
    uint64_t hash;
    int rc = val_hash(r, key, &hash);
    if (rc)
        return rc;
    if (d->n <= INDEX_FROM)
        return find_small(r, d, key, ret_at);
    if (!d->index && (rc = make_index(r, d)))
        return rc;
    return find_indexed(r, d, key, hash, ret_at);
}

int tdict_find(rt *r, tdict *d, val key, val **ret_value)
{
    size_t at;
    int rc = find_pair(r, d, key, &at);
    if (!rc)
        *ret_value = at == SIZE_MAX ? NULL : &d->p[at].value;
    return rc;
}

val *tdict_text(rt *r, tdict *d, const char *key, size_t len)
{
    tstr s = {.s = key, .len = len, .n_chars = len};
    val *value;
    return tdict_find(r, d, val_str(&s), &value) ? NULL : value;
}

int tdict_add(rt *r, tdict *d, val key, val value)
{
    if (d->n == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 4;
        tpair *p = tarena_grow(&r->mem, d->p, d->n * sizeof *p, cap * sizeof *p);
        if (!p)
            return rt_oom(r);
        d->p = p;
        d->cap = cap;
    }
    d->p[d->n++] = (tpair){key, value};
    if (!d->index)
        return 0;
    if (d->n * 2 > d->n_index)
        return make_index(r, d);
    return index_put(r, d, d->n - 1);
}

int tdict_set(rt *r, tdict *d, val key, val value)
{
    size_t at;
    int rc = find_pair(r, d, key, &at);
    if (rc)
        return rc;
    if (at == SIZE_MAX)
        return tdict_add(r, d, key, value);
    d->p[at].value = value;
    return 0;
}

int tdict_pair(rt *r, const tpair *pair, val *ret)
{
    tlist *list = tlist_new(r, L_TUPLE, 2);
    if (!list)
        return r->err->code;
    list->v[0] = pair->key;
    list->v[1] = pair->value;
    list->n = 2;
    *ret = val_list(list);
    return 0;
}
