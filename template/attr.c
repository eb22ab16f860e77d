/* template/attr.c - `a.b`, `a[b]`, `a[b:c]`: the only ways into a value.
 *
 * A value's attributes are the methods in the tables, the members of our own objects, and
 * nothing else: there is no type, module or code behind a value that could be reached.
 * Methods that would change a list or a dictionary are known by name and refused. */
#include "template/value.h"

#include "template/run.h"
#include <string.h>

static bool is_private(const tstr *name)
{
    return name->len > 4 && memcmp(name->s, "__", 2) == 0 &&
           memcmp(name->s + name->len - 2, "__", 2) == 0;
}

static int number_attr(val obj, const tstr *name, val *ret, bool *ret_found)
{
    bool whole = val_is_int(obj);
    *ret_found = true;
    if (tstr_is(name, "real") || (whole && tstr_is(name, "numerator")))
        *ret = whole ? val_int(val_as_int(obj)) : obj;
    else if (tstr_is(name, "imag"))
        *ret = whole ? val_int(0) : val_float(0);
    else if (whole && tstr_is(name, "denominator"))
        *ret = val_int(1);
    else
        *ret_found = false;
    return 0;
}

/* Attributes that are no methods. */
static int own_attr(rt *r, val obj, const tstr *name, val *ret, bool *ret_found)
{
    *ret_found = false;
    if (val_is_num(obj))
        return number_attr(obj, name, ret, ret_found);
    if (obj.type == V_NAMESPACE) {
        val *value = tdict_text(r, obj.u.dict, name->s, name->len);
        *ret_found = value != NULL;
        if (value)
            *ret = *value;
    } else if (obj.type == V_LOOP) {
        return loop_attr(r, obj.u.loop, name, ret, ret_found);
    } else if (obj.type == V_MACRO) {
        return macro_attr(obj.u.macro, name, ret, ret_found);
    } else if (val_is_list(obj, L_GROUP)) {
        *ret_found = tstr_is(name, "grouper") || tstr_is(name, "list");
        if (*ret_found)
            *ret = obj.u.list->v[tstr_is(name, "list")];
    } else if (obj.type == V_CYCLER && tstr_is(name, "current")) {
        *ret_found = true;
        *ret = obj.u.cycler->items->v[obj.u.cycler->pos];
    }
    return 0;
}

/* Python's getattr(). */
int val_getattr(rt *r, val obj, const tstr *name, val *ret, bool *ret_found)
{
    *ret_found = true;
    if (is_private(name) || method_changes(obj, name))
        return val_undef(r, UNDEF_UNSAFE, val_type_name(obj), val_str(name), ret);
    const tbuiltin *fn = method_find(obj, name);
    if (!fn)
        return own_attr(r, obj, name, ret, ret_found);
    tfunc *func = rt_take(r, 1, sizeof *func);
    if (!func)
        return r->err->code;
    *func = (tfunc){fn, obj};
    *ret = val_of(V_FUNC);
    ret->u.func = func;
    return 0;
}

static int char_at(rt *r, const tstr *s, size_t at, val *ret)
{
    size_t from = tstr_byte(s, at);
    size_t to = s->len == s->n_chars ? from + 1 : from;
    while (to == from || (to < s->len && ((unsigned char)s->s[to] & 0xC0) == 0x80))
        to++;
    const tstr *one = tstr_part(r, s, from, to - from);
    if (!one || rt_step(r, from / STEP_BYTES))
        return r->err->code;
    *ret = val_str(one);
    return 0;
}

/* obj[i] of a sequence; *ret_found false where Python raises. */
static int item_at(rt *r, val obj, tint i, val *ret, bool *ret_found)
{
    size_t n;
    *ret_found = false;
    bool seq = obj.type == V_STR || obj.type == V_RANGE ||
               (obj.type == V_LIST && obj.u.list->kind <= L_GROUP);
    if (!seq)
        return 0;
    int rc = val_length(r, obj, &n);
    if (rc)
        return rc;
    if (i < 0)
        i += (tint)n;
    if (i < 0 || i >= (tint)n)
        return 0;
    *ret_found = true;
    if (obj.type == V_STR)
        return char_at(r, obj.u.s, (size_t)i, ret);
    if (obj.type == V_LIST)
        *ret = obj.u.list->v[i];
    else
        *ret = val_int(obj.u.range->start + i * obj.u.range->step);
    return 0;
}

static bool has_hash(val v)
{
    return v.type != V_DICT && !(v.type == V_LIST && !val_is_tuple(v));
}

/* Python's obj[key]. */
static int get_item(rt *r, val obj, val key, val *ret, bool *ret_found)
{
    *ret_found = false;
    if (obj.type == V_DICT) {
        val *value = NULL;
        int rc = has_hash(key) ? tdict_find(r, obj.u.dict, key, &value) : 0;
        if (!rc && value) {
            *ret = *value;
            *ret_found = true;
        }
        return rc;
    }
    return val_is_int(key) ? item_at(r, obj, val_as_int(key), ret, ret_found) : 0;
}

int val_attr(rt *r, val obj, const tstr *name, val *ret)
{
    bool found;
    if (obj.type == V_UNDEF)
        return undef_use(r, obj);
    int rc = val_getattr(r, obj, name, ret, &found);
    if (!rc && !found)
        rc = get_item(r, obj, val_str(name), ret, &found);
    if (rc || found)
        return rc;
    return val_undef(r, UNDEF_ATTR, val_type_repr(obj), val_str(name), ret);
}

int val_item(rt *r, val obj, val key, val *ret)
{
    bool found;
    if (obj.type == V_UNDEF)
        return undef_use(r, obj);
    int rc = get_item(r, obj, key, ret, &found);
    if (!rc && !found && key.type == V_STR)
        rc = val_getattr(r, obj, key.u.s, ret, &found);
    if (rc || found)
        return rc;
    return val_undef(r, UNDEF_ATTR, val_type_repr(obj), key, ret);
}

/* --- slices --- */

typedef struct slice {
    tint start, stop, step;
    size_t n; /* items taken */
} slice;

static int slice_index(rt *r, val v, tint def, tint n, tint low, tint high, tint *ret)
{
    if (v.type == V_NONE || v.type == V_MISSING) {
        *ret = def;
        return 0;
    }
    if (!val_is_int(v))
        return rt_fail(
            r, ST_EFORMAT,
            "slice indices must be integers or None or have an __index__ method");
    tint i = val_as_int(v);
    if (i < 0)
        i = i < -n ? low : i + n;
    *ret = i < low ? low : i > high ? high : i;
    return 0;
}

static int slice_make(rt *r, size_t len, val start, val stop, val step, slice *ret)
{
    tint n = (tint)len, by = 1, from = 0, to = 0;
    if (val_is_int(step))
        by = val_as_int(step);
    else if (step.type != V_NONE && step.type != V_MISSING)
        return rt_fail(
            r, ST_EFORMAT,
            "slice indices must be integers or None or have an __index__ method");
    if (by == 0)
        return rt_fail(r, ST_EFORMAT, "slice step cannot be zero");
    if (by > n + 1 || by < -n - 1)
        by = by > 0 ? n + 1 : -n - 1; /* the same items, and no overflow */
    tint low = by < 0 ? -1 : 0, high = by < 0 ? n - 1 : n;
    int rc = slice_index(r, start, by < 0 ? high : low, n, low, high, &from);
    if (rc || (rc = slice_index(r, stop, by < 0 ? low : high, n, low, high, &to)))
        return rc;
    trange range = {from, to, by};
    *ret = (slice){from, to, by, trange_length(&range)};
    return 0;
}

static int slice_string(rt *r, const tstr *s, const slice *cut, val *ret)
{
    tbuild b;
    if (cut->step == 1) {
        size_t from = tstr_byte(s, (size_t)cut->start);
        size_t to = tstr_byte(s, (size_t)cut->start + cut->n);
        const tstr *part = tstr_part(r, s, from, cut->n ? to - from : 0);
        if (!part || rt_step(r, to / STEP_BYTES))
            return r->err->code;
        *ret = val_str(part);
        return 0;
    }
    tlist *chars;
    int rc = val_items(r, val_str(s), &chars);
    tbuild_init(&b, r);
    for (size_t i = 0; i < cut->n && !rc; i++)
        rc = tbuild_str(&b, chars->v[cut->start + (tint)i * cut->step].u.s);
    return rc ? rc : tbuild_end(&b, ret);
}

static int slice_list(rt *r, const tlist *list, const slice *cut, val *ret)
{
    tlist *out = tlist_new(r, list->kind == L_GROUP ? L_TUPLE : list->kind, cut->n);
    if (!out)
        return r->err->code;
    for (size_t i = 0; i < cut->n; i++)
        out->v[i] = list->v[cut->start + (tint)i * cut->step];
    out->n = cut->n;
    *ret = val_list(out);
    return rt_step(r, cut->n / 4);
}

static int slice_range(rt *r, const trange *range, const slice *cut, val *ret)
{
    trange *out = rt_take(r, 1, sizeof *out);
    if (!out)
        return r->err->code;
    out->start = range->start + cut->start * range->step;
    out->step = range->step * cut->step;
    out->stop = range->start + cut->stop * range->step;
    *ret = val_of(V_RANGE);
    ret->u.range = out;
    return 0;
}

int val_slice(rt *r, val obj, val start, val stop, val step, val *ret)
{
    slice cut = {0};
    size_t n;
    if (obj.type == V_UNDEF)
        return undef_use(r, obj);
    if (obj.type == V_DICT)
        return rt_fail(r, ST_EFORMAT, "unhashable type: 'slice'");
    bool seq = obj.type == V_STR || obj.type == V_RANGE ||
               (obj.type == V_LIST && obj.u.list->kind <= L_GROUP);
    if (!seq)
        return rt_fail(r, ST_EFORMAT, "'%s' object is not subscriptable",
                       val_type_name(obj));
    int rc = val_length(r, obj, &n);
    if (rc || (rc = slice_make(r, n, start, stop, step, &cut)))
        return rc;
    if (obj.type == V_STR)
        return slice_string(r, obj.u.s, &cut, ret);
    if (obj.type == V_LIST)
        return slice_list(r, obj.u.list, &cut, ret);
    return slice_range(r, obj.u.range, &cut, ret);
}

/* One step of a dotted path: digits are a number. */
static int path_part(rt *r, val *obj, const tstr *part)
{
    tint i = 0;
    bool big = false, digits = part->len > 0;
    for (size_t k = 0; k < part->len; k++)
        digits &= part->s[k] >= '0' && part->s[k] <= '9';
    val key = val_str(part);
    if (digits && tint_parse(part->s, part->len, 10, &i, &big) && !big)
        key = val_int(i);
    return val_item(r, *obj, key, obj);
}

int val_path(rt *r, val obj, val path, const val *def, val *ret)
{
    int rc = 0;
    if (path.type == V_STR) {
        const tstr *s = path.u.s;
        for (size_t from = 0, to; from <= s->len && !rc; from = to + 1) {
            const char *dot = memchr(s->s + from, '.', s->len - from);
            to = dot ? (size_t)(dot - s->s) : s->len;
            const tstr *part = tstr_part(r, s, from, to - from);
            rc = part ? path_part(r, &obj, part) : r->err->code;
            if (!rc && def && obj.type == V_UNDEF)
                obj = *def;
        }
    } else if (path.type != V_NONE && path.type != V_MISSING) {
        rc = val_item(r, obj, path, &obj);
        if (!rc && def && obj.type == V_UNDEF)
            obj = *def;
    }
    if (!rc)
        *ret = obj;
    return rc;
}
