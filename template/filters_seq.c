/* template/filters_seq.c - filters on sequences: order, ends, groups, sums. */
#include "template/value.h"

#include <string.h>

int val_key(rt *r, val v, val path, bool fold, const val *def, val *ret)
{
    int rc = val_path(r, v, path, def, ret);
    if (!rc && fold && ret->type == V_STR)
        rc = str_case(r, ret->u.s, CASE_LOWER, ret);
    return rc;
}

/* --- sorting: a merge sort of positions, stable in both directions --- */

static int merge(rt *r, const val *keys, const size_t *from, size_t *to, size_t n_left,
                 size_t n, bool down)
{
    size_t i = 0, k = n_left, out = 0;
    while (i < n_left && k < n) {
        bool less;
        val left = keys[from[i]], right = keys[from[k]];
        int rc = down ? val_less(r, left, right, "<", &less)
                      : val_less(r, right, left, "<", &less);
        if (rc || (rc = rt_step(r, 1)))
            return rc;
        to[out++] = less ? from[k++] : from[i++];
    }
    while (i < n_left)
        to[out++] = from[i++];
    while (k < n)
        to[out++] = from[k++];
    return 0;
}

/* Positions of keys[0..n) in order. */
static int sorted(rt *r, const val *keys, size_t n, bool down, size_t **ret)
{
    size_t *a = rt_take(r, n, sizeof *a), *b = rt_take(r, n, sizeof *b);
    int rc = a && b ? 0 : r->err->code;
    for (size_t i = 0; i < n && !rc; i++)
        a[i] = i;
    for (size_t width = 1; width < n && !rc; width *= 2) {
        for (size_t at = 0; at < n && !rc; at += 2 * width) {
            size_t left = n - at < width ? n - at : width;
            size_t both = n - at < 2 * width ? n - at : 2 * width;
            rc = merge(r, keys, a + at, b + at, left, both, down);
        }
        size_t *swap = a;
        a = b;
        b = swap;
    }
    if (!rc)
        *ret = a;
    return rc;
}

/* Items in the order of their keys. */
static int sort_items(rt *r, const tlist *items, const val *keys, bool down, val *ret)
{
    size_t *order = NULL;
    tlist *out = tlist_new(r, L_LIST, items->n);
    int rc = out ? sorted(r, keys, items->n, down, &order) : r->err->code;
    for (size_t i = 0; i < items->n && !rc; i++)
        out->v[i] = items->v[order[i]];
    if (rc)
        return rc;
    out->n = items->n;
    *ret = val_list(out);
    return 0;
}

/* A list of the values at "path,path": sort() compares lists of keys. */
static int multi_key(rt *r, val item, val attribute, bool fold, val *ret)
{
    tlist *key = tlist_new(r, L_LIST, 1);
    int rc = key ? 0 : r->err->code;
    if (!rc && attribute.type != V_STR) {
        rc = val_key(r, item, attribute, fold, NULL, &key->v[0]);
        key->n = 1;
    }
    for (size_t from = 0; !rc && attribute.type == V_STR && from <= attribute.u.s->len;) {
        const tstr *s = attribute.u.s;
        const char *comma = memchr(s->s + from, ',', s->len - from);
        size_t to = comma ? (size_t)(comma - s->s) : s->len;
        const tstr *path = tstr_part(r, s, from, to - from);
        val one;
        rc = path ? val_key(r, item, val_str(path), fold, NULL, &one) : r->err->code;
        if (!rc)
            rc = tlist_add(r, key, one);
        from = to + 1;
    }
    if (!rc)
        *ret = val_list(key);
    return rc;
}

static int f_sort(rt *r, const targs *a, val *ret)
{
    tlist *items;
    int rc = val_items(r, a->v[0], &items);
    if (rc)
        return rc;
    val *keys = rt_take(r, items->n, sizeof *keys);
    rc = keys ? 0 : r->err->code;
    for (size_t i = 0; i < items->n && !rc; i++)
        rc = multi_key(r, items->v[i], a->v[3], !val_truth(a->v[2]), &keys[i]);
    return rc ? rc : sort_items(r, items, keys, val_truth(a->v[1]), ret);
}

static int f_dictsort(rt *r, const targs *a, val *ret)
{
    bool by_value = a->v[2].type == V_STR && tstr_is(a->v[2].u.s, "value");
    bool by_key = a->v[2].type == V_MISSING ||
                  (a->v[2].type == V_STR && tstr_is(a->v[2].u.s, "key"));
    if (a->v[0].type == V_UNDEF)
        return undef_use(r, a->v[0]);
    if (!by_value && !by_key)
        return rt_fail(r, ST_EFORMAT, "You can only sort by either \"key\" or \"value\"");
    if (a->v[0].type != V_DICT)
        return rt_fail(r, ST_EFORMAT, "'%s' object has no attribute 'items'",
                       val_type_name(a->v[0]));
    const tdict *d = a->v[0].u.dict;
    tlist *items = tlist_new(r, L_LIST, d->n);
    val *keys = rt_take(r, d->n, sizeof *keys);
    int rc = items && keys ? 0 : r->err->code;
    for (size_t i = 0; i < d->n && !rc; i++) {
        rc = tdict_pair(r, &d->p[i], &items->v[i]);
        if (!rc)
            rc = val_key(r, by_value ? d->p[i].value : d->p[i].key, val_of(V_NONE),
                         !val_truth(a->v[1]), NULL, &keys[i]);
        items->n = i + 1;
    }
    return rc ? rc : sort_items(r, items, keys, val_truth(a->v[3]), ret);
}

static int group_new(rt *r, val key, tlist **ret_members, val *ret)
{
    tlist *group = tlist_new(r, L_GROUP, 2), *members = tlist_new(r, L_LIST, 0);
    if (!group || !members)
        return r->err->code;
    group->v[0] = key;
    group->v[1] = val_list(members);
    group->n = 2;
    *ret_members = members;
    *ret = val_list(group);
    return 0;
}

static int f_groupby(rt *r, const targs *a, val *ret)
{
    tlist *items, *out = tlist_new(r, L_LIST, 0), *members = NULL;
    const val *def =
        a->v[2].type == V_MISSING || a->v[2].type == V_NONE ? NULL : &a->v[2];
    size_t *order = NULL, last = 0;
    int rc = out ? val_items(r, a->v[0], &items) : r->err->code;
    if (rc)
        return rc;
    val *keys = rt_take(r, items->n, sizeof *keys);
    rc = keys ? 0 : r->err->code;
    for (size_t i = 0; i < items->n && !rc; i++)
        rc = val_key(r, items->v[i], a->v[1], !val_truth(a->v[3]), def, &keys[i]);
    if (!rc)
        rc = sorted(r, keys, items->n, false, &order);
    for (size_t i = 0; i < items->n && !rc; i++) {
        bool same = false;
        val key, group;
        if (i)
            rc = val_equal(r, keys[last], keys[order[i]], &same);
        if (!rc && !same) {
            last = order[i];
            rc = val_key(r, items->v[last], a->v[1], false, def, &key);
            if (!rc)
                rc = group_new(r, key, &members, &group);
            if (!rc)
                rc = tlist_add(r, out, group);
        }
        if (!rc)
            rc = tlist_add(r, members, items->v[order[i]]);
    }
    if (!rc)
        *ret = val_list(out);
    return rc;
}

/* --- ends, extremes --- */

static int no_item(rt *r, const char *hint, val *ret)
{
    return val_undef(r, UNDEF_HINT, hint, val_of(V_MISSING), ret);
}

static int extreme(rt *r, const targs *a, bool max, val *ret)
{
    titer it;
    val v, key, best_key = val_of(V_MISSING);
    bool more;
    int rc = titer_init(r, a->v[0], &it);
    while (!rc && !(rc = titer_next(r, &it, &v, &more)) && more) {
        bool better = true;
        rc = val_key(r, v, a->v[2], !val_truth(a->v[1]), NULL, &key);
        if (!rc && best_key.type != V_MISSING)
            rc = max ? val_less(r, best_key, key, ">", &better)
                     : val_less(r, key, best_key, "<", &better);
        if (!rc && better) {
            best_key = key;
            *ret = v;
        }
    }
    if (rc || best_key.type != V_MISSING)
        return rc;
    return no_item(r, "No aggregated item, sequence was empty.", ret);
}

static int f_min(rt *r, const targs *a, val *ret)
{
    return extreme(r, a, false, ret);
}

static int f_max(rt *r, const targs *a, val *ret)
{
    return extreme(r, a, true, ret);
}

static int f_first(rt *r, const targs *a, val *ret)
{
    titer it;
    bool more;
    int rc = titer_init(r, a->v[0], &it);
    if (!rc)
        rc = titer_next(r, &it, ret, &more);
    if (rc || more)
        return rc;
    return no_item(r, "No first item, sequence was empty.", ret);
}

static int f_last(rt *r, const targs *a, val *ret)
{
    tlist *items;
    if (val_is_list(a->v[0], L_ITER))
        return rt_fail(r, ST_EFORMAT, "'generator' object is not reversible");
    int rc = val_items(r, a->v[0], &items);
    if (rc)
        return rc;
    if (!items->n)
        return no_item(r, "No last item, sequence was empty.", ret);
    *ret = items->v[items->n - 1];
    return 0;
}

static int f_length(rt *r, const targs *a, val *ret)
{
    size_t n;
    int rc = val_length(r, a->v[0], &n);
    if (!rc)
        *ret = val_int((tint)n);
    return rc;
}

/* --- whole sequences --- */

static int f_list(rt *r, const targs *a, val *ret)
{
    tlist *items;
    int rc = val_items(r, a->v[0], &items);
    if (!rc)
        *ret = val_list(items);
    return rc;
}

static int f_reverse(rt *r, const targs *a, val *ret)
{
    tlist *items;
    val v = a->v[0], none = val_of(V_NONE);
    if (v.type == V_STR)
        return val_slice(r, v, none, none, val_int(-1), ret);
    int rc = val_items(r, v, &items);
    for (size_t i = 0; !rc && i < items->n / 2; i++) {
        val swap = items->v[i];
        items->v[i] = items->v[items->n - 1 - i];
        items->v[items->n - 1 - i] = swap;
    }
    if (rc)
        return rc;
    if (!val_is_list(v, L_ITER))
        items->kind = L_ITER;
    *ret = val_list(items);
    return 0;
}

static int f_items(rt *r, const targs *a, val *ret)
{
    static const tstr name = {.s = "items", .len = 5, .n_chars = 5};
    tcall none = {0};
    tlist *out;
    val v = a->v[0];
    if (v.type == V_UNDEF) {
        out = tlist_new(r, L_ITER, 0);
        return out ? (*ret = val_list(out), 0) : r->err->code;
    }
    if (v.type != V_DICT)
        return rt_fail(r, ST_EFORMAT, "Can only get item pairs from a mapping.");
    int rc = val_attr(r, v, &name, &v);
    if (!rc)
        rc = val_call(r, v, &none, ret);
    if (!rc)
        ret->u.list->kind = L_ITER;
    return rc;
}

static int f_join(rt *r, const targs *a, val *ret)
{
    tbuild b;
    titer it;
    val v;
    bool more;
    const tstr *sep = NULL;
    int rc = a->v[1].type == V_MISSING ? 0 : val_string(r, a->v[1], &sep);
    if (!rc)
        rc = titer_init(r, a->v[0], &it);
    tbuild_init(&b, r);
    for (size_t i = 0; !rc && !(rc = titer_next(r, &it, &v, &more)) && more; i++) {
        if (i && sep)
            rc = tbuild_str(&b, sep);
        if (!rc)
            rc = val_path(r, v, a->v[2], NULL, &v);
        if (!rc)
            rc = val_print(&b, v);
    }
    return rc ? rc : tbuild_end(&b, ret);
}

static int f_sum(rt *r, const targs *a, val *ret)
{
    titer it;
    val v, sum = a->v[2].type == V_MISSING ? val_int(0) : a->v[2];
    bool more;
    if (sum.type == V_STR)
        return rt_fail(r, ST_EFORMAT,
                       "sum() can't sum strings [use ''.join(seq) instead]");
    int rc = titer_init(r, a->v[0], &it);
    while (!rc && !(rc = titer_next(r, &it, &v, &more)) && more) {
        rc = val_path(r, v, a->v[1], NULL, &v);
        if (!rc)
            rc = val_binary(r, OP_ADD, sum, v, &sum);
    }
    if (!rc)
        *ret = sum;
    return rc;
}

static int f_unique(rt *r, const targs *a, val *ret)
{
    titer it;
    val v, key, *old;
    bool more;
    tdict *seen = tdict_new(r, 0);
    tlist *out = tlist_new(r, L_ITER, 0);
    int rc = seen && out ? titer_init(r, a->v[0], &it) : r->err->code;
    while (!rc && !(rc = titer_next(r, &it, &v, &more)) && more) {
        rc = val_key(r, v, a->v[2], !val_truth(a->v[1]), NULL, &key);
        if (rc || (rc = tdict_find(r, seen, key, &old)) || old)
            continue;
        rc = tdict_add(r, seen, key, val_of(V_NONE));
        if (!rc)
            rc = tlist_add(r, out, v);
    }
    if (!rc)
        *ret = val_list(out);
    return rc;
}

static int f_batch(rt *r, const targs *a, val *ret)
{
    tlist *items, *row = NULL, *out = tlist_new(r, L_ITER, 0);
    tint size;
    int rc = out ? arg_int(r, a->v[1], "batch", 1, &size) : r->err->code;
    if (!rc)
        rc = val_items(r, a->v[0], &items);
    for (size_t i = 0; !rc && i < items->n; i++) {
        if (!row || (tint)row->n == size) {
            row = tlist_new(r, L_LIST, 0);
            rc = row ? tlist_add(r, out, val_list(row)) : r->err->code;
        }
        if (!rc)
            rc = tlist_add(r, row, items->v[i]);
    }
    bool fill = a->v[2].type != V_MISSING && a->v[2].type != V_NONE;
    while (!rc && row && fill && (tint)row->n < size)
        rc = tlist_add(r, row, a->v[2]);
    if (!rc)
        *ret = val_list(out);
    return rc;
}

static int f_slice(rt *r, const targs *a, val *ret)
{
    tlist *items, *out = tlist_new(r, L_ITER, 0);
    tint slices;
    int rc = out ? arg_int(r, a->v[1], "slice", 1, &slices) : r->err->code;
    if (!rc)
        rc = val_items(r, a->v[0], &items);
    if (!rc && slices <= 0)
        rc = rt_fail(r, ST_EFORMAT, "integer division or modulo by zero");
    bool fill = a->v[2].type != V_MISSING && a->v[2].type != V_NONE;
    size_t at = 0;
    for (tint i = 0; !rc && i < slices; i++) {
        tint n = (tint)items->n / slices, extra = (tint)items->n % slices;
        tlist *row = tlist_new(r, L_LIST, 0);
        rc = row ? tlist_add(r, out, val_list(row)) : r->err->code;
        for (tint k = 0; !rc && k < n + (i < extra); k++)
            rc = tlist_add(r, row, items->v[at++]);
        if (!rc && fill && i >= extra)
            rc = tlist_add(r, row, a->v[2]);
    }
    if (!rc)
        *ret = val_list(out);
    return rc;
}

const tbuiltin filters_seq[] = {
    {"sort", "value reverse case_sensitive attribute", 1, f_sort},
    {"dictsort", "value case_sensitive by reverse", 1, f_dictsort},
    {"groupby", "value attribute default case_sensitive", 2, f_groupby},
    {"min", "value case_sensitive attribute", 1, f_min},
    {"max", "value case_sensitive attribute", 1, f_max},
    {"first", "seq", 1, f_first},
    {"last", "seq", 1, f_last},
    {"length", "obj", 1, f_length},
    {"count", "obj", 1, f_length},
    {"list", "value", 1, f_list},
    {"reverse", "value", 1, f_reverse},
    {"items", "value", 1, f_items},
    {"join", "value d attribute", 1, f_join},
    {"sum", "iterable attribute start", 1, f_sum},
    {"unique", "value case_sensitive attribute", 1, f_unique},
    {"batch", "value linecount fill_with", 2, f_batch},
    {"slice", "value slices fill_with", 2, f_slice},
    {0},
};
