/* template/tests.c - what stands after `is`. */
#include "template/value.h"

#define TEST(name, condition)                                                            \
    static int t_##name(rt *r, const targs *a, val *ret)                                 \
    {                                                                                    \
        val v = a->v[0];                                                                 \
        (void)r;                                                                         \
        *ret = val_bool(condition);                                                      \
        return 0;                                                                        \
    }
TEST(defined, v.type != V_UNDEF)
TEST(undefined, v.type == V_UNDEF)
TEST(none, v.type == V_NONE)
TEST(boolean, v.type == V_BOOL)
TEST(true, v.type == V_BOOL && v.u.b)
TEST(false, v.type == V_BOOL && !v.u.b)
TEST(integer, v.type == V_INT)
TEST(float, v.type == V_FLOAT)
TEST(number, val_is_num(v))
TEST(string, v.type == V_STR)
TEST(mapping, v.type == V_DICT)
TEST(iterable, val_iterable(v) || v.type == V_LOOP)
TEST(sequence, v.type == V_UNDEF || v.type == V_STR || v.type == V_DICT ||
                   v.type == V_RANGE || (v.type == V_LIST && v.u.list->kind <= L_GROUP))
TEST(callable, v.type == V_UNDEF || v.type == V_FUNC || v.type == V_MACRO ||
                   v.type == V_LOOP || v.type == V_JOINER)
TEST(escaped, v.type == V_STR && v.u.s->markup)
#undef TEST

/* A name in a table; what has no hash cannot be looked up. */
static int t_filter(rt *r, const targs *a, val *ret)
{
    uint64_t hash;
    int rc = val_hash(r, a->v[0], &hash);
    *ret = val_bool(!rc && a->v[0].type == V_STR && filter_find(a->v[0].u.s));
    return rc;
}

static int t_test(rt *r, const targs *a, val *ret)
{
    uint64_t hash;
    int rc = val_hash(r, a->v[0], &hash);
    *ret = val_bool(!rc && a->v[0].type == V_STR && test_find(a->v[0].u.s));
    return rc;
}

static int case_test(rt *r, const targs *a, const char *name, size_t n, val *ret)
{
    const tstr *s, method = {.s = name, .len = n, .n_chars = n};
    tcall none = {0};
    val fn;
    int rc = val_string(r, a->v[0], &s);
    if (!rc)
        rc = val_attr(r, val_str(s), &method, &fn);
    return rc ? rc : val_call(r, fn, &none, ret);
}

static int t_upper(rt *r, const targs *a, val *ret)
{
    return case_test(r, a, "isupper", 7, ret);
}

static int t_lower(rt *r, const targs *a, val *ret)
{
    return case_test(r, a, "islower", 7, ret);
}

/* v % n == rest */
static int remainder_is(rt *r, val v, val n, tint rest, val *ret)
{
    val m;
    bool same;
    int rc = val_binary(r, OP_MOD, v, n, &m);
    if (!rc)
        rc = val_equal(r, m, val_int(rest), &same);
    if (!rc)
        *ret = val_bool(same);
    return rc;
}

static int t_odd(rt *r, const targs *a, val *ret)
{
    return remainder_is(r, a->v[0], val_int(2), 1, ret);
}

static int t_even(rt *r, const targs *a, val *ret)
{
    return remainder_is(r, a->v[0], val_int(2), 0, ret);
}

static int t_divisibleby(rt *r, const targs *a, val *ret)
{
    return remainder_is(r, a->v[0], a->v[1], 0, ret);
}

static int t_in(rt *r, const targs *a, val *ret)
{
    bool in;
    int rc = val_contains(r, a->v[0], a->v[1], &in);
    if (!rc)
        *ret = val_bool(in);
    return rc;
}

/* Identity: what Python shares (numbers, strings) is compared by value. */
static int t_sameas(rt *r, const targs *a, val *ret)
{
    bool same = false;
    int rc = 0;
    if (a->v[0].type == a->v[1].type && a->v[0].type >= V_BOOL && a->v[0].type <= V_STR)
        rc = val_equal(r, a->v[0], a->v[1], &same);
    else if (a->v[0].type == a->v[1].type)
        same = a->v[0].type == V_NONE || a->v[0].u.list == a->v[1].u.list;
    if (!rc)
        *ret = val_bool(same);
    return rc;
}

static int t_eq(rt *r, const targs *a, val *ret)
{
    bool same;
    int rc = val_equal(r, a->v[0], a->v[1], &same);
    if (!rc)
        *ret = val_bool(same);
    return rc;
}

static int t_ne(rt *r, const targs *a, val *ret)
{
    int rc = t_eq(r, a, ret);
    if (!rc)
        ret->u.b = !ret->u.b;
    return rc;
}

static int order(rt *r, val a, val b, const char *op, bool or_same, val *ret)
{
    bool less, same = false;
    int rc = val_less(r, a, b, op, &less);
    if (!rc && !less && or_same)
        rc = val_equal(r, a, b, &same);
    if (!rc)
        *ret = val_bool(less || same);
    return rc;
}

static int t_lt(rt *r, const targs *a, val *ret)
{
    return order(r, a->v[0], a->v[1], "<", false, ret);
}

static int t_le(rt *r, const targs *a, val *ret)
{
    return order(r, a->v[0], a->v[1], "<=", true, ret);
}

static int t_gt(rt *r, const targs *a, val *ret)
{
    return order(r, a->v[1], a->v[0], ">", false, ret);
}

static int t_ge(rt *r, const targs *a, val *ret)
{
    return order(r, a->v[1], a->v[0], ">=", true, ret);
}

const tbuiltin *test_find(const tstr *name)
{
    static const tbuiltin table[] = {
        {"defined", "value", 1, t_defined},
        {"undefined", "value", 1, t_undefined},
        {"none", "value", 1, t_none},
        {"boolean", "value", 1, t_boolean},
        {"true", "value", 1, t_true},
        {"false", "value", 1, t_false},
        {"integer", "value", 1, t_integer},
        {"float", "value", 1, t_float},
        {"number", "value", 1, t_number},
        {"string", "value", 1, t_string},
        {"mapping", "value", 1, t_mapping},
        {"iterable", "value", 1, t_iterable},
        {"sequence", "value", 1, t_sequence},
        {"callable", "value", 1, t_callable},
        {"escaped", "value", 1, t_escaped},
        {"filter", "value", 1, t_filter},
        {"test", "value", 1, t_test},
        {"upper", "value", 1, t_upper},
        {"lower", "value", 1, t_lower},
        {"odd", "value", 1, t_odd},
        {"even", "value", 1, t_even},
        {"divisibleby", "value num", 2, t_divisibleby},
        {"in", "value seq", 2, t_in},
        {"sameas", "value other", 2, t_sameas},
        {"eq", "a b", 2, t_eq},
        {"equalto", "a b", 2, t_eq},
        {"==", "a b", 2, t_eq},
        {"ne", "a b", 2, t_ne},
        {"!=", "a b", 2, t_ne},
        {"lt", "a b", 2, t_lt},
        {"lessthan", "a b", 2, t_lt},
        {"<", "a b", 2, t_lt},
        {"le", "a b", 2, t_le},
        {"<=", "a b", 2, t_le},
        {"gt", "a b", 2, t_gt},
        {"greaterthan", "a b", 2, t_gt},
        {">", "a b", 2, t_gt},
        {"ge", "a b", 2, t_ge},
        {">=", "a b", 2, t_ge},
        {0},
    };
    return builtin_find(table, name);
}
