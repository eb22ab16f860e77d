/* template/arith.c - the arithmetic operators, as Python has them.
 *
 * Integers have 128 bits; a result that does not fit is an error and never wraps. */
#include "template/value.h"

#include <math.h>
#include <string.h>

static int no_such_operation(rt *r, top op, val a, val b)
{
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
    const char *an = val_type_name(a), *bn = val_type_name(b);
    if (op == OP_ADD && a.type == V_STR)
        return rt_fail(r, ST_EFORMAT, "can only concatenate str (not \"%s\") to str", bn);
    if (op == OP_ADD && a.type == V_LIST && (a.u.list->kind <= L_TUPLE))
        return rt_fail(r, ST_EFORMAT, "can only concatenate %s (not \"%s\") to %s", an,
                       bn, an);
    return rt_fail(r, ST_EFORMAT, "unsupported operand type(s) for %s: '%s' and '%s'",
                   signs[op], an, bn);
}

static int overflow(rt *r)
{
    return rt_fail(r, ST_ELIMIT, "integer over 128 bits");
}

static int zero_division(rt *r, const char *text)
{
    return rt_fail(r, ST_EFORMAT, "%s", text);
}

static int int_power(rt *r, tint base, tint exponent, val *ret)
{
    tint value = 1;
    bool small = base >= -1 && base <= 1;
    if (small && exponent > 2)
        exponent = 2 + exponent % 2;
    for (; exponent > 0; exponent--) {
        if (__builtin_mul_overflow(value, base, &value))
            return overflow(r);
    }
    *ret = val_int(value);
    return 0;
}

static tint floor_div(tint x, tint y)
{
    tint q = x / y;
    return x % y != 0 && (x < 0) != (y < 0) ? q - 1 : q;
}

static int int_binary(rt *r, top op, tint x, tint y, val *ret)
{
    tint z = 0;
    bool bad = false;
    if (y == 0 && (op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD))
        return zero_division(r, op == OP_DIV   ? "division by zero"
                                : op == OP_MOD ? "integer modulo by zero"
                                               : "integer division or modulo by zero");
    switch (op) {
    case OP_ADD:
        bad = __builtin_add_overflow(x, y, &z);
        break;
    case OP_SUB:
        bad = __builtin_sub_overflow(x, y, &z);
        break;
    case OP_MUL:
        bad = __builtin_mul_overflow(x, y, &z);
        break;
    case OP_DIV:
        *ret = val_float((double)x / (double)y);
        return 0;
    case OP_FLOORDIV:
        bad = y == -1 && __builtin_sub_overflow((tint)0, x, &z);
        z = y == -1 ? z : floor_div(x, y);
        break;
    case OP_MOD:
        z = y == -1 ? 0 : x - floor_div(x, y) * y;
        break;
    case OP_POW:
        return int_power(r, x, y, ret);
    }
    if (bad)
        return overflow(r);
    *ret = val_int(z);
    return 0;
}

static double float_mod(double x, double y)
{
    double m = fmod(x, y);
    if (m == 0)
        return copysign(0, y);
    return (y < 0) != (m < 0) ? m + y : m;
}

static double float_floordiv(double x, double y)
{
    double m = fmod(x, y), div = (x - m) / y;
    if (m != 0 && (y < 0) != (m < 0))
        div -= 1;
    if (div == 0)
        return copysign(0, x / y);
    double whole = floor(div);
    return div - whole > 0.5 ? whole + 1 : whole;
}

static int float_power(rt *r, double x, double y, val *ret)
{
    if (x == 0 && y < 0)
        return zero_division(r, "0.0 cannot be raised to a negative power");
    if (x < 0 && isfinite(x) && isfinite(y) && floor(y) != y)
        return rt_fail(r, ST_EFORMAT, "complex numbers are not supported");
    double z = pow(x, y);
    if (isinf(z) && isfinite(x) && isfinite(y))
        return rt_fail(r, ST_EFORMAT, "(34, 'Numerical result out of range')");
    *ret = val_float(z);
    return 0;
}

static int float_binary(rt *r, top op, double x, double y, val *ret)
{
    double z = 0;
    if (y == 0 && (op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD))
        return zero_division(r, op == OP_DIV   ? "float division by zero"
                                : op == OP_MOD ? "float modulo"
                                               : "float floor division by zero");
    switch (op) {
    case OP_ADD:
        z = x + y;
        break;
    case OP_SUB:
        z = x - y;
        break;
    case OP_MUL:
        z = x * y;
        break;
    case OP_DIV:
        z = x / y;
        break;
    case OP_FLOORDIV:
        z = float_floordiv(x, y);
        break;
    case OP_MOD:
        z = float_mod(x, y);
        break;
    case OP_POW:
        return float_power(r, x, y, ret);
    }
    *ret = val_float(z);
    return 0;
}

static int number_binary(rt *r, top op, val a, val b, val *ret)
{
    bool ints = val_is_int(a) && val_is_int(b);
    int rc;
    if (ints && !(op == OP_POW && val_as_int(b) < 0))
        rc = int_binary(r, op, val_as_int(a), val_as_int(b), ret);
    else
        rc = float_binary(r, op, val_as_float(a), val_as_float(b), ret);
    if (!rc)
        ret->data = a.data || b.data;
    return rc;
}

static int join_strings(rt *r, val a, val b, val *ret)
{
    tbuild out;
    bool markup = a.u.s->markup || b.u.s->markup;
    if (markup) {
        int rc = val_escape(r, a, &a);
        if (rc || (rc = val_escape(r, b, &b)))
            return rc;
    }
    tbuild_init(&out, r);
    int rc = tbuild_str(&out, a.u.s);
    if (!rc)
        rc = tbuild_str(&out, b.u.s);
    if (!rc)
        rc = tbuild_end(&out, ret);
    if (!rc && markup)
        rc = val_markup(r, ret);
    return rc;
}

static int join_lists(rt *r, const tlist *a, const tlist *b, val *ret)
{
    size_t n = a->n + b->n;
    if (rt_step(r, n))
        return ST_ELIMIT;
    tlist *list = tlist_new(r, a->kind, n);
    if (!list)
        return r->err->code;
    if (a->n)
        memcpy(list->v, a->v, a->n * sizeof *a->v);
    if (b->n)
        memcpy(list->v + a->n, b->v, b->n * sizeof *b->v);
    list->n = n;
    *ret = val_list(list);
    return 0;
}

static int repeat_string(rt *r, const tstr *s, tint times, val *ret)
{
    tbuild b;
    tbuild_init(&b, r);
    int rc = 0;
    for (tint i = 0; i < times && s->len && !rc; i++) {
        rc = tbuild_str(&b, s);
        if (!rc)
            rc = rt_step(r, 1);
    }
    return rc ? rc : tbuild_end(&b, ret);
}

static int repeat_list(rt *r, const tlist *list, tint times, val *ret)
{
    tlist *out = tlist_new(r, list->kind, 0);
    int rc = out ? 0 : r->err->code;
    for (tint i = 0; i < times && list->n && !rc; i++) {
        for (size_t k = 0; k < list->n && !rc; k++)
            rc = tlist_add(r, out, list->v[k]);
    }
    if (!rc)
        *ret = val_list(out);
    return rc;
}

static bool is_plain_list(val v)
{
    return v.type == V_LIST && v.u.list->kind <= L_GROUP;
}

static int multiply(rt *r, val a, val b, val *ret)
{
    val seq = val_is_int(a) ? b : a, times = val_is_int(a) ? a : b;
    if (!val_is_int(times))
        return no_such_operation(r, OP_MUL, a, b);
    if (seq.type == V_STR)
        return repeat_string(r, seq.u.s, val_as_int(times), ret);
    if (is_plain_list(seq))
        return repeat_list(r, seq.u.list, val_as_int(times), ret);
    return no_such_operation(r, OP_MUL, a, b);
}

int val_binary(rt *r, top op, val a, val b, val *ret)
{
    if (val_is_num(a) && val_is_num(b))
        return number_binary(r, op, a, b, ret);
    if (op == OP_MOD && a.type == V_STR)
        return str_percent(r, a.u.s, b, ret);
    if (a.type == V_UNDEF || b.type == V_UNDEF)
        return undef_use(r, a.type == V_UNDEF ? a : b);
    if (op == OP_ADD && a.type == V_STR && b.type == V_STR)
        return join_strings(r, a, b, ret);
    if (op == OP_ADD && is_plain_list(a) && is_plain_list(b) &&
        val_is_tuple(a) == val_is_tuple(b))
        return join_lists(r, a.u.list, b.u.list, ret);
    if (op == OP_MUL)
        return multiply(r, a, b, ret);
    return no_such_operation(r, op, a, b);
}

static int unary_fail(rt *r, const char *sign, val v)
{
    if (v.type == V_UNDEF)
        return undef_use(r, v);
    return rt_fail(r, ST_EFORMAT, "bad operand type for unary %s: '%s'", sign,
                   val_type_name(v));
}

int val_negate(rt *r, val v, val *ret)
{
    if (!val_is_num(v))
        return unary_fail(r, "-", v);
    bool data = v.data;
    tint z = 0;
    if (v.type == V_FLOAT)
        *ret = val_float(-v.u.f);
    else if (__builtin_sub_overflow((tint)0, val_as_int(v), &z))
        return overflow(r);
    else
        *ret = val_int(z);
    ret->data = data;
    return 0;
}

int val_plus(rt *r, val v, val *ret)
{
    if (!val_is_num(v))
        return unary_fail(r, "+", v);
    bool data = v.data;
    *ret = v.type == V_FLOAT ? v : val_int(val_as_int(v));
    ret->data = data;
    return 0;
}
