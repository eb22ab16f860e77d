/* template/compare.c - types, truth, equality, order and membership, as Python has them.
 */
#include "template/value.h"

#include <math.h>
#include <string.h>

const char *val_type_name(val v)
{
    static const char *const names[] = {
        [V_MISSING] = "Undefined", [V_UNDEF] = "Undefined",
        [V_NONE] = "NoneType",     [V_BOOL] = "bool",
        [V_INT] = "int",           [V_FLOAT] = "float",
        [V_STR] = "str",           [V_DICT] = "dict",
        [V_RANGE] = "range",       [V_NAMESPACE] = "Namespace",
        [V_MACRO] = "Macro",       [V_LOOP] = "LoopContext",
        [V_CYCLER] = "Cycler",     [V_FUNC] = "builtin_function_or_method",
        [V_JOINER] = "Joiner"};
    static const char *const lists[] = {
        [L_LIST] = "list",       [L_TUPLE] = "tuple",    [L_GROUP] = "_GroupTuple",
        [L_ITER] = "generator",  [L_KEYS] = "dict_keys", [L_VALUES] = "dict_values",
        [L_ITEMS] = "dict_items"};
    if (v.type == V_LIST)
        return lists[v.u.list->kind];
    if (v.type == V_STR && v.u.s->markup)
        return "Markup";
    return names[v.type];
}

const char *val_type_repr(val v)
{
    static const char *const reprs[] = {[V_MISSING] = "jinja2.runtime.Undefined object",
                                        [V_UNDEF] = "jinja2.runtime.Undefined object",
                                        [V_NONE] = "None",
                                        [V_BOOL] = "bool object",
                                        [V_INT] = "int object",
                                        [V_FLOAT] = "float object",
                                        [V_STR] = "str object",
                                        [V_DICT] = "dict object",
                                        [V_RANGE] = "range object",
                                        [V_NAMESPACE] = "jinja2.utils.Namespace object",
                                        [V_FUNC] = "builtin_function_or_method object",
                                        [V_MACRO] = "jinja2.runtime.Macro object",
                                        [V_LOOP] = "jinja2.runtime.LoopContext object",
                                        [V_CYCLER] = "jinja2.utils.Cycler object",
                                        [V_JOINER] = "jinja2.utils.Joiner object"};
    static const char *const lists[] = {[L_LIST] = "list object",
                                        [L_TUPLE] = "tuple object",
                                        [L_ITER] = "generator object",
                                        [L_KEYS] = "dict_keys object",
                                        [L_VALUES] = "dict_values object",
                                        [L_ITEMS] = "dict_items object",
                                        [L_GROUP] = "jinja2.filters._GroupTuple object"};
    if (v.type == V_LIST)
        return lists[v.u.list->kind];
    if (v.type == V_STR && v.u.s->markup)
        return "markupsafe.Markup object";
    return reprs[v.type];
}

bool val_truth(val v)
{
    switch ((vtype)v.type) {
    case V_MISSING:
    case V_UNDEF:
    case V_NONE:
        return false;
    case V_BOOL:
        return v.u.b;
    case V_INT:
        return v.u.i != 0;
    case V_FLOAT:
        return v.u.f != 0;
    case V_STR:
        return v.u.s->len != 0;
    case V_LIST:
        return v.u.list->kind == L_ITER || v.u.list->n != 0;
    case V_DICT:
        return v.u.dict->n != 0;
    case V_RANGE:
        return trange_length(v.u.range) != 0;
    case V_NAMESPACE:
    case V_FUNC:
    case V_MACRO:
    case V_LOOP:
    case V_CYCLER:
    case V_JOINER:
        return true;
    }
    return true;
}

/* -1, 0, 1; 2 where a NaN has no order. */
static int compare_numbers(val a, val b)
{
    if (val_is_int(a) && val_is_int(b)) {
        tint x = val_as_int(a), y = val_as_int(b);
        return x < y ? -1 : x > y;
    }
    double x = val_as_float(a), y = val_as_float(b);
    if (isnan(x) || isnan(y))
        return 2;
    return x < y ? -1 : x > y;
}

/* UTF-8 orders bytes as it orders code points. */
static int compare_strings(const tstr *a, const tstr *b)
{
    size_t n = a->len < b->len ? a->len : b->len;
    int order = memcmp(a->s, b->s, n);
    if (order == 0 && a->len != b->len)
        order = a->len < b->len ? -1 : 1;
    return order;
}

static int equal_lists(rt *r, const tlist *a, const tlist *b, bool *ret)
{
    int rc = 0;
    bool same = a->n == b->n;
    for (size_t i = 0; i < a->n && same && !rc; i++)
        rc = val_equal(r, a->v[i], b->v[i], &same);
    if (!rc)
        *ret = same;
    return rc;
}

static int equal_dicts(rt *r, const tdict *a, tdict *b, bool *ret)
{
    int rc = 0;
    bool same = a->n == b->n;
    for (size_t i = 0; i < a->n && same && !rc; i++) {
        val *other;
        rc = tdict_find(r, b, a->p[i].key, &other);
        if (!rc && !other)
            same = false;
        else if (!rc)
            rc = val_equal(r, a->p[i].value, *other, &same);
    }
    if (!rc)
        *ret = same;
    return rc;
}

/* Neither is a number or a string. */
static int equal_others(rt *r, val a, val b, bool *ret)
{
    *ret = false;
    if (val_is_tuple(a) && val_is_tuple(b))
        return equal_lists(r, a.u.list, b.u.list, ret);
    if (a.type != b.type)
        return 0;
    if (a.type == V_LIST && a.u.list->kind == L_LIST && b.u.list->kind == L_LIST)
        return equal_lists(r, a.u.list, b.u.list, ret);
    if (a.type == V_DICT)
        return equal_dicts(r, a.u.dict, b.u.dict, ret);
    if (a.type == V_RANGE) {
        size_t n = trange_length(a.u.range);
        *ret = n == trange_length(b.u.range) &&
               (n == 0 || (a.u.range->start == b.u.range->start &&
                           (n == 1 || a.u.range->step == b.u.range->step)));
        return 0;
    }
    if (a.type == V_FUNC) {
        *ret = a.u.func->fn == b.u.func->fn &&
               memcmp(&a.u.func->self.u, &b.u.func->self.u, sizeof(void *)) == 0;
        return 0;
    }
    *ret = a.type <= V_NONE || a.u.list == b.u.list; /* undefined, None, or identity */
    return 0;
}

int val_equal(rt *r, val a, val b, bool *ret)
{
    if (val_is_num(a) && val_is_num(b)) {
        *ret = compare_numbers(a, b) == 0;
        return 0;
    }
    if (a.type == V_STR && b.type == V_STR) {
        *ret = a.u.s->len == b.u.s->len && memcmp(a.u.s->s, b.u.s->s, a.u.s->len) == 0;
        return rt_step(r, *ret ? a.u.s->len / STEP_BYTES : 0);
    }
    if (a.type == V_STR || b.type == V_STR) {
        *ret = false;
        return 0;
    }
    int rc = rt_enter(r);
    if (rc)
        return rc;
    rc = equal_others(r, a, b, ret);
    r->depth--;
    return rc;
}

static int less_lists(rt *r, const tlist *a, const tlist *b, const char *op, bool *ret)
{
    size_t n = a->n < b->n ? a->n : b->n;
    for (size_t i = 0; i < n; i++) {
        bool same;
        int rc = val_equal(r, a->v[i], b->v[i], &same);
        if (rc)
            return rc;
        if (!same)
            return val_less(r, a->v[i], b->v[i], op, ret);
    }
    *ret = a->n < b->n;
    return 0;
}

int val_less(rt *r, val a, val b, const char *op, bool *ret)
{
    if (val_is_num(a) && val_is_num(b)) {
        *ret = compare_numbers(a, b) == -1;
        return 0;
    }
    if (a.type == V_STR && b.type == V_STR) {
        *ret = compare_strings(a.u.s, b.u.s) < 0;
        return rt_step(r, (*ret ? a : b).u.s->len / STEP_BYTES);
    }
    if (a.type == V_UNDEF || b.type == V_UNDEF)
        return undef_use(r, a.type == V_UNDEF ? a : b);
    bool lists = val_is_list(a, L_LIST) && val_is_list(b, L_LIST);
    if (lists || (val_is_tuple(a) && val_is_tuple(b))) {
        int rc = rt_enter(r);
        if (rc)
            return rc;
        rc = less_lists(r, a.u.list, b.u.list, op, ret);
        r->depth--;
        return rc;
    }
    return rt_fail(r, ST_EFORMAT, "'%s' not supported between instances of '%s' and '%s'",
                   op, val_type_name(a), val_type_name(b));
}

static int string_contains(rt *r, val item, const tstr *where, bool *ret)
{
    if (item.type != V_STR)
        return rt_fail(r, ST_EFORMAT,
                       "'in <string>' requires string as left operand, not %s",
                       val_type_name(item));
    *ret = tstr_find(where, item.u.s, 0) != SIZE_MAX;
    return rt_step(r, where->len / STEP_BYTES);
}

int val_contains(rt *r, val item, val where, bool *ret)
{
    titer it;
    val one;
    bool more = true, same = false;
    if (where.type == V_STR)
        return string_contains(r, item, where.u.s, ret);
    if (where.type == V_DICT || val_is_list(where, L_KEYS)) {
        if (where.type == V_DICT) {
            val *value;
            int rc = tdict_find(r, where.u.dict, item, &value);
            return rc ? rc : (*ret = value != NULL, 0);
        }
    }
    if (!val_iterable(where))
        return rt_fail(r, ST_EFORMAT, "argument of type '%s' is not iterable",
                       val_type_name(where));
    int rc = titer_init(r, where, &it);
    while (!rc && !same && !(rc = titer_next(r, &it, &one, &more)) && more)
        rc = val_equal(r, one, item, &same);
    if (!rc)
        *ret = same;
    return rc;
}

typedef struct search {
    unsigned depth, budget; /* what may still be looked at; spent: the safe answer */
} search;

static bool find_data(search *f, val v);

static bool find_in_list(search *f, const tlist *list)
{
    bool found = false;
    for (size_t i = 0; i < list->n && !found; i++)
        found = find_data(f, list->v[i]);
    return found;
}

static bool find_in_dict(search *f, const tdict *d)
{
    bool found = false;
    for (size_t i = 0; i < d->n && !found; i++)
        found = find_data(f, d->p[i].key) || find_data(f, d->p[i].value);
    return found;
}

static bool find_data(search *f, val v)
{
    if (v.type == V_STR)
        return tstr_has_data(v.u.s);
    if (v.type != V_LIST && v.type != V_DICT && v.type != V_NAMESPACE)
        return v.data;
    if (f->depth == 0 || f->budget == 0)
        return true;
    f->depth--;
    f->budget--;
    bool found = v.type == V_LIST ? find_in_list(f, v.u.list) : find_in_dict(f, v.u.dict);
    f->depth++;
    return found;
}

bool val_has_data(val v)
{
    search f = {.depth = 64, .budget = 10000};
    return find_data(&f, v);
}
