/* template/filters_pick.c - filters that choose or look into items, numbers, defaults;
 * and the table of all filters. */
#include "template/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- map --- */

typedef struct mapping {
    bool attribute;
    val path;
    const val *def;
    const tbuiltin *filter;
    tcall call; /* further arguments of the filter */
} mapping;

static int named_call(rt *r, const tlist *rest, size_t skip, const tdict *named,
                      tcall *ret)
{
    tcall call = {.pos = rest->v + skip, .n_pos = rest->n - skip, .n_named = named->n};
    call.names = rt_take(r, named->n, sizeof *call.names);
    call.named = rt_take(r, named->n, sizeof *call.named);
    if (!call.names || !call.named)
        return r->err->code;
    for (size_t i = 0; i < named->n; i++) {
        call.names[i] = named->p[i].key.u.s;
        call.named[i] = named->p[i].value;
    }
    *ret = call;
    return 0;
}

static int prepare_map(rt *r, const targs *a, mapping *ret)
{
    mapping m = {0};
    val *path = tdict_text(r, a->named, "attribute", 9);
    if (!a->rest->n && path) {
        m.def = tdict_text(r, a->named, "default", 7);
        if (a->named->n > (m.def ? 2u : 1u))
            return rt_fail(r, ST_EFORMAT, "map: unexpected keyword argument");
        if (m.def && m.def->type == V_NONE)
            m.def = NULL;
        m.attribute = true;
        m.path = *path;
        *ret = m;
        return 0;
    }
    if (!a->rest->n)
        return rt_fail(r, ST_EFORMAT, "map requires a filter argument");
    if (a->rest->v[0].type == V_STR)
        m.filter = filter_find(a->rest->v[0].u.s);
    if (!m.filter)
        return rt_fail(r, ST_EFORMAT, "No filter named '%.*s'.",
                       a->rest->v[0].type == V_STR ? (int)a->rest->v[0].u.s->len % 80 : 0,
                       a->rest->v[0].type == V_STR ? a->rest->v[0].u.s->s : "");
    int rc = named_call(r, a->rest, 1, a->named, &m.call);
    if (!rc)
        *ret = m;
    return rc;
}

static int f_map(rt *r, const targs *a, val *ret)
{
    titer it;
    val v;
    bool more;
    mapping m;
    tlist *out = tlist_new(r, L_ITER, 0);
    if (!out)
        return r->err->code;
    *ret = val_list(out);
    if (!val_truth(a->v[0]))
        return 0;
    int rc = prepare_map(r, a, &m);
    if (!rc)
        rc = titer_init(r, a->v[0], &it);
    while (!rc && !(rc = titer_next(r, &it, &v, &more)) && more) {
        rc = m.attribute ? val_path(r, v, m.path, m.def, &v)
                         : builtin_call(r, m.filter, &v, &m.call, &v);
        if (!rc)
            rc = tlist_add(r, out, v);
    }
    return rc;
}

/* --- select and reject --- */

typedef struct picker {
    const tbuiltin *test; /* NULL: truth */
    tcall call;
    bool attribute, keep;
    val path;
} picker;

static int prepare_pick(rt *r, const targs *a, picker *p)
{
    size_t skip = p->attribute ? 1 : 0;
    if (p->attribute && !a->rest->n)
        return rt_fail(r, ST_EFORMAT, "Missing parameter for attribute name");
    if (p->attribute)
        p->path = a->rest->v[0];
    if (a->rest->n <= skip)
        return 0;
    val name = a->rest->v[skip];
    p->test = name.type == V_STR ? test_find(name.u.s) : NULL;
    if (!p->test)
        return rt_fail(r, ST_EFORMAT, "No test named '%.*s'.",
                       name.type == V_STR && name.u.s->len < 80 ? (int)name.u.s->len : 0,
                       name.type == V_STR ? name.u.s->s : "");
    return named_call(r, a->rest, skip + 1, a->named, &p->call);
}

static int pick_one(rt *r, const picker *p, val v, bool *ret)
{
    val tested = v, result = val_of(V_NONE);
    int rc = p->attribute ? val_path(r, v, p->path, NULL, &tested) : 0;
    if (!rc && p->test)
        rc = builtin_call(r, p->test, &tested, &p->call, &result);
    if (!rc)
        *ret = val_truth(p->test ? result : tested) == p->keep;
    return rc;
}

static int pick(rt *r, const targs *a, bool keep, bool attribute, val *ret)
{
    titer it;
    val v;
    bool more, take;
    picker p = {.keep = keep, .attribute = attribute};
    tlist *out = tlist_new(r, L_ITER, 0);
    if (!out)
        return r->err->code;
    *ret = val_list(out);
    if (!val_truth(a->v[0]))
        return 0;
    int rc = prepare_pick(r, a, &p);
    if (!rc)
        rc = titer_init(r, a->v[0], &it);
    while (!rc && !(rc = titer_next(r, &it, &v, &more)) && more) {
        rc = pick_one(r, &p, v, &take);
        if (!rc && take)
            rc = tlist_add(r, out, v);
    }
    return rc;
}

static int f_select(rt *r, const targs *a, val *ret)
{
    return pick(r, a, true, false, ret);
}

static int f_reject(rt *r, const targs *a, val *ret)
{
    return pick(r, a, false, false, ret);
}

static int f_selectattr(rt *r, const targs *a, val *ret)
{
    return pick(r, a, true, true, ret);
}

static int f_rejectattr(rt *r, const targs *a, val *ret)
{
    return pick(r, a, false, true, ret);
}

/* --- attr, default --- */

static int f_attr(rt *r, const targs *a, val *ret)
{
    const tstr *name;
    bool found;
    if (a->v[0].type == V_UNDEF)
        return undef_use(r, a->v[0]);
    int rc = val_string(r, a->v[1], &name);
    if (!rc)
        rc = val_getattr(r, a->v[0], name, ret, &found);
    if (rc || found)
        return rc;
    return val_undef(r, UNDEF_ATTR, val_type_repr(a->v[0]), val_str(name), ret);
}

static int f_default(rt *r, const targs *a, val *ret)
{
    bool missing = a->v[0].type == V_UNDEF || (val_truth(a->v[2]) && !val_truth(a->v[0]));
    *ret = missing ? a->v[1] : a->v[0];
    return missing && a->v[1].type == V_MISSING ? val_text(r, "", ret) : 0;
}

const tbuiltin filters_pick[] = {
    {"map", "value * **", 1, f_map},
    {"select", "value * **", 1, f_select},
    {"reject", "value * **", 1, f_reject},
    {"selectattr", "value * **", 1, f_selectattr},
    {"rejectattr", "value * **", 1, f_rejectattr},
    {"attr", "obj name", 2, f_attr},
    {"default", "value default_value boolean", 1, f_default},
    {"d", "value default_value boolean", 1, f_default},
    {0},
};

/* --- numbers --- */

static int f_abs(rt *r, const targs *a, val *ret)
{
    val v = a->v[0];
    if (v.type == V_UNDEF)
        return undef_use(r, v);
    if (!val_is_num(v))
        return rt_fail(r, ST_EFORMAT, "bad operand type for abs(): '%s'",
                       val_type_name(v));
    if (v.type == V_FLOAT)
        return *ret = val_float(fabs(v.u.f)), 0;
    return val_as_int(v) < 0 ? val_negate(r, v, ret) : val_plus(r, v, ret);
}

/* int(text, base); *ret_ok false where it is no number. */
static int parse_int(rt *r, const tstr *s, tint base, tint *ret, bool *ret_ok)
{
    bool big = false;
    double f;
    if (base != 0 && (base < 2 || base > 36))
        return *ret_ok = false, 0;
    *ret_ok = tint_parse(s->s, s->len, (unsigned)base, ret, &big);
    if (big)
        return rt_fail(r, ST_ELIMIT, "integer over 128 bits");
    if (!*ret_ok && float_parse(s->s, s->len, &f) && isfinite(f)) {
        *ret_ok = true;
        return float_to_int(r, f, ret);
    }
    return 0;
}

static int f_int(rt *r, const targs *a, val *ret)
{
    val v = a->v[0];
    tint base, i = 0;
    bool ok = false;
    int rc = arg_int(r, a->v[2], "base", 10, &base);
    if (rc)
        return rc;
    if (v.type == V_UNDEF)
        return undef_use(r, v);
    if (v.type == V_STR) {
        rc = parse_int(r, v.u.s, base, &i, &ok);
    } else if (val_is_int(v)) {
        i = val_as_int(v);
        ok = true;
    } else if (v.type == V_FLOAT && isfinite(v.u.f)) {
        rc = float_to_int(r, v.u.f, &i);
        ok = true;
    }
    if (rc)
        return rc;
    *ret = ok ? val_int(i) : a->v[1].type == V_MISSING ? val_int(0) : a->v[1];
    ret->data |= ok && val_has_data(v);
    return 0;
}

static int f_float(rt *r, const targs *a, val *ret)
{
    val v = a->v[0];
    double f = 0;
    bool ok = val_is_num(v);
    if (v.type == V_UNDEF)
        return undef_use(r, v);
    if (v.type == V_STR)
        ok = float_parse(v.u.s->s, v.u.s->len, &f);
    else if (ok)
        f = val_as_float(v);
    *ret = ok ? val_float(f) : a->v[1].type == V_MISSING ? val_float(0) : a->v[1];
    ret->data |= ok && val_has_data(v);
    return 0;
}

/* round() of a float to `digits` decimals, half to even on the exact value. */
static double round_float(double f, tint digits)
{
    char text[NUMBER_TEXT];
    if (!isfinite(f) || digits > 60)
        return f;
    if (digits >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)digits, f);
        return strtod(text, NULL);
    }
    if (digits < -308)
        return 0.0 * f;
    double unit = pow(10, (double)-digits), q = f / unit, whole = nearbyint(q);
    return whole * unit;
}

static int round_int(rt *r, tint i, tint digits, val *ret)
{
    tint unit = 1;
    for (; digits < 0; digits++) {
        if (__builtin_mul_overflow(unit, (tint)10, &unit))
            return *ret = val_int(0), 0;
    }
    tint rest = i % unit, half = unit / 2;
    rest = rest < 0 ? rest + unit : rest;
    tint down = i - rest;
    bool up = rest > half || (rest == half && unit > 1 && (down / unit) % 2 != 0);
    if (up && __builtin_add_overflow(down, unit, &down))
        return rt_fail(r, ST_ELIMIT, "integer over 128 bits");
    *ret = val_int(down);
    return 0;
}

static int f_round(rt *r, const targs *a, val *ret)
{
    val v = a->v[0];
    tint digits;
    const tstr *method = NULL;
    int rc = arg_int(r, a->v[1], "precision", 0, &digits);
    if (!rc && a->v[2].type != V_MISSING)
        rc = arg_text(r, a->v[2], "method", &method);
    if (rc)
        return rc;
    if (v.type == V_UNDEF)
        return undef_use(r, v);
    bool common = !method || tstr_is(method, "common"),
         up = method && tstr_is(method, "ceil");
    if (!common && !up && !tstr_is(method, "floor"))
        return rt_fail(r, ST_EFORMAT, "method must be common, ceil or floor");
    if (!val_is_num(v))
        return rt_fail(r, ST_EFORMAT, "type %s doesn't define __round__ method",
                       val_type_name(v));
    if (common && val_is_int(v)) {
        rc = round_int(r, val_as_int(v), digits, ret);
    } else if (common) {
        *ret = val_float(round_float(v.u.f, digits));
    } else {
        double unit = pow(10, (double)digits), f = val_as_float(v) * unit;
        double whole = up ? ceil(f) : floor(f); /* an integer in Python: no -0 */
        *ret = val_float((whole == 0 ? 0 : whole) / unit);
    }
    ret->data = v.data;
    return rc;
}

const tbuiltin filters_number[] = {
    {"abs", "x", 1, f_abs},
    {"int", "value default base", 1, f_int},
    {"float", "value default", 1, f_float},
    {"round", "value precision method", 1, f_round},
    {0},
};

const tbuiltin *filter_find(const tstr *name)
{
    static const tbuiltin *const tables[] = {filters_text, filters_seq, filters_pick,
                                             filters_number};
    const tbuiltin *fn = NULL;
    for (size_t i = 0; i < ST_COUNT(tables) && !fn; i++)
        fn = builtin_find(tables[i], name);
    return fn;
}
