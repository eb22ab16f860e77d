/* template/eval.c - expressions.
 *
 * eval() walks the tree; every node is a step and a level of depth.  Operands of `and`,
 * `or`, comparisons and conditions are looked at only as far as Python would. */
#include "template/run.h"

#include <string.h>

static int eval_name(rt *r, frame *f, const node *n, val *ret)
{
    for (unsigned up = n->up; up > 0; up--)
        f = f->up;
    *ret = f->slots[n->slot];
    if (ret->type != V_MISSING)
        return 0;
    return val_undef(r, UNDEF_NAME, NULL, val_str(n->name), ret);
}

static int eval_list(rt *r, frame *f, const node *n, val *ret)
{
    tlist *list = tlist_new(r, n->type == N_TUPLE ? L_TUPLE : L_LIST, n->n_kids);
    if (!list)
        return r->err->code;
    for (size_t i = 0; i < n->n_kids; i++) {
        int rc = eval(r, f, n->kids[i], &list->v[i]);
        if (rc)
            return rc;
        list->n = i + 1;
    }
    *ret = val_list(list);
    return 0;
}

static int eval_dict(rt *r, frame *f, const node *n, val *ret)
{
    val key, value;
    tdict *d = tdict_new(r, n->n_kids / 2);
    int rc = d ? 0 : r->err->code;
    for (size_t i = 0; i + 1 < n->n_kids && !rc; i += 2) {
        rc = eval(r, f, n->kids[i], &key);
        if (!rc)
            rc = eval(r, f, n->kids[i + 1], &value);
        if (!rc)
            rc = tdict_set(r, d, key, value);
    }
    if (!rc)
        *ret = val_dict(d);
    return rc;
}

static int eval_item(rt *r, frame *f, const node *n, val *ret)
{
    val obj, key;
    int rc = eval(r, f, n->a, &obj);
    if (!rc)
        rc = eval(r, f, n->b, &key);
    return rc ? rc : val_item(r, obj, key, ret);
}

static int eval_slice(rt *r, frame *f, const node *n, val *ret)
{
    val obj, part[3] = {val_of(V_NONE), val_of(V_NONE), val_of(V_NONE)};
    int rc = eval(r, f, n->a, &obj);
    for (size_t i = 0; i < 3 && !rc; i++) {
        if (n->kids[i])
            rc = eval(r, f, n->kids[i], &part[i]);
    }
    return rc ? rc : val_slice(r, obj, part[0], part[1], part[2], ret);
}

static int add_named(rt *r, tcall *call, size_t *cap, const tstr *name, val v)
{
    for (size_t i = 0; i < call->n_named; i++) {
        const tstr *old = call->names[i];
        if (old->len == name->len && memcmp(old->s, name->s, name->len) == 0)
            return rt_fail(r, ST_EFORMAT,
                           "got multiple values for keyword argument '%.*s'",
                           (int)(name->len < 80 ? name->len : 80), name->s);
    }
    if (call->n_named == *cap) {
        size_t n = *cap, more = n * 2 + 4;
        call->names =
            tarena_grow(&r->mem, call->names, n * sizeof name, more * sizeof name);
        call->named = tarena_grow(&r->mem, call->named, n * sizeof v, more * sizeof v);
        if (!call->names || !call->named)
            return rt_oom(r);
        *cap = more;
    }
    call->names[call->n_named] = name;
    call->named[call->n_named++] = v;
    return rt_step(r, call->n_named);
}

/* f(*x, **y) */
static int add_unpacked(rt *r, frame *f, const node_args *args, tcall *call, size_t *cap)
{
    val more;
    tlist *items;
    int rc = 0;
    if (args->more_pos) {
        rc = eval(r, f, args->more_pos, &more);
        if (rc || (rc = val_items(r, more, &items)))
            return rc;
        size_t n = call->n_pos + items->n;
        val *pos = rt_take(r, n, sizeof *pos);
        if (!pos)
            return r->err->code;
        if (call->n_pos)
            memcpy(pos, call->pos, call->n_pos * sizeof *pos);
        if (items->n)
            memcpy(pos + call->n_pos, items->v, items->n * sizeof *pos);
        call->pos = pos;
        call->n_pos = n;
    }
    if (!args->more_named)
        return 0;
    rc = eval(r, f, args->more_named, &more);
    if (!rc && more.type != V_DICT)
        rc = rt_fail(r, ST_EFORMAT, "argument after ** must be a mapping, not %s",
                     val_type_name(more));
    for (size_t i = 0; !rc && i < more.u.dict->n; i++) {
        val key = more.u.dict->p[i].key;
        if (key.type != V_STR)
            return rt_fail(r, ST_EFORMAT, "keywords must be strings");
        rc = add_named(r, call, cap, key.u.s, more.u.dict->p[i].value);
    }
    return rc;
}

int eval_args(rt *r, frame *f, const node_args *args, tcall *ret)
{
    tcall call = {0};
    size_t cap = 0;
    int rc = 0;
    if (args && args->n_pos) {
        call.pos = rt_take(r, args->n_pos, sizeof *call.pos);
        if (!call.pos)
            return r->err->code;
    }
    for (size_t i = 0; args && i < args->n_pos && !rc; i++) {
        rc = eval(r, f, args->pos[i], &call.pos[i]);
        call.n_pos = i + 1;
    }
    for (size_t i = 0; args && i < args->n_named && !rc; i++) {
        val v;
        rc = eval(r, f, args->named[i], &v);
        if (!rc)
            rc = add_named(r, &call, &cap, args->names[i], v);
    }
    if (!rc && args)
        rc = add_unpacked(r, f, args, &call, &cap);
    if (!rc)
        *ret = call;
    return rc;
}

static int eval_call(rt *r, frame *f, const node *n, val *ret)
{
    val fn;
    tcall call;
    int rc = eval(r, f, n->a, &fn);
    if (!rc)
        rc = eval_args(r, f, n->args, &call);
    r->line = n->line;
    return rc ? rc : val_call(r, fn, &call, ret);
}

static int no_such(rt *r, const node *n)
{
    return rt_fail(r, ST_EFORMAT, "No %s named '%.*s' found.",
                   n->type == N_FILTER ? "filter" : "test",
                   (int)(n->name->len < 80 ? n->name->len : 80), n->name->s);
}

/* The filter or test of `n` on a value. */
static int apply(rt *r, frame *f, const node *n, val in, val *ret)
{
    tcall call;
    if (!n->fn)
        return no_such(r, n);
    int rc = eval_args(r, f, n->args, &call);
    r->line = n->line;
    return rc ? rc : builtin_call(r, n->fn, &in, &call, ret);
}

int filter_apply(rt *r, frame *f, const node *filter, val in, val *ret)
{
    if (!filter)
        return *ret = in, 0;
    int rc = filter->a ? filter_apply(r, f, filter->a, in, &in) : 0;
    return rc ? rc : apply(r, f, filter, in, ret);
}

static int eval_applied(rt *r, frame *f, const node *n, val *ret)
{
    val in;
    int rc = eval(r, f, n->a, &in);
    return rc ? rc : apply(r, f, n, in, ret);
}

static int eval_binary(rt *r, frame *f, const node *n, val *ret)
{
    val a, b;
    int rc = eval(r, f, n->a, &a);
    if (!rc)
        rc = eval(r, f, n->b, &b);
    r->line = n->line;
    return rc ? rc : val_binary(r, (top)n->op, a, b, ret);
}

static int eval_concat(rt *r, frame *f, const node *n, val *ret)
{
    tbuild b;
    int rc = 0;
    tbuild_init(&b, r);
    for (size_t i = 0; i < n->n_kids && !rc; i++) {
        val v;
        rc = eval(r, f, n->kids[i], &v);
        if (!rc)
            rc = val_print(&b, v);
    }
    return rc ? rc : tbuild_end(&b, ret);
}

static int compare(rt *r, compare_op op, val a, val b, bool *ret)
{
    bool less = false, same = false;
    int rc = 0;
    switch (op) {
    case CMP_EQ:
    case CMP_NE:
        rc = val_equal(r, a, b, &same);
        *ret = (op == CMP_EQ) == same;
        return rc;
    case CMP_LT:
        return val_less(r, a, b, "<", ret);
    case CMP_GT:
        rc = val_less(r, b, a, ">", ret);
        return rc;
    case CMP_LE:
    case CMP_GE:
        rc = op == CMP_LE ? val_less(r, a, b, "<=", &less)
                          : val_less(r, b, a, ">=", &less);
        if (!rc && !less)
            rc = val_equal(r, a, b, &same);
        *ret = less || same;
        return rc;
    case CMP_IN:
    case CMP_NOT_IN:
        rc = val_contains(r, a, b, &same);
        *ret = (op == CMP_IN) == same;
        return rc;
    }
    return 0;
}

static int eval_compare(rt *r, frame *f, const node *n, val *ret)
{
    val left, right;
    bool holds = true;
    int rc = eval(r, f, n->kids[0], &left);
    for (size_t i = 1; i < n->n_kids && !rc && holds; i++) {
        rc = eval(r, f, n->kids[i], &right);
        r->line = n->line;
        if (!rc)
            rc = compare(r, (compare_op)n->ops[i - 1], left, right, &holds);
        left = right;
    }
    if (!rc)
        *ret = val_bool(holds);
    return rc;
}

static int eval_logic(rt *r, frame *f, const node *n, val *ret)
{
    int rc = eval(r, f, n->a, ret);
    if (rc || val_truth(*ret) == (n->type == N_OR))
        return rc;
    return eval(r, f, n->b, ret);
}

static int eval_cond(rt *r, frame *f, const node *n, val *ret)
{
    val test;
    int rc = eval(r, f, n->b, &test);
    if (rc)
        return rc;
    if (val_truth(test))
        return eval(r, f, n->a, ret);
    if (n->c)
        return eval(r, f, n->c, ret);
    val none = val_of(V_MISSING);
    return val_undef(
        r, UNDEF_HINT,
        "the inline if-expression evaluated to false and no else section was "
        "defined.",
        none, ret);
}

static int eval_one(rt *r, frame *f, const node *n, val *ret)
{
    val v;
    int rc;
    switch ((node_type)n->type) {
    case N_CONST:
        *ret = n->value;
        return 0;
    case N_NAME:
        return eval_name(r, f, n, ret);
    case N_TUPLE:
    case N_LIST:
        return eval_list(r, f, n, ret);
    case N_DICT:
        return eval_dict(r, f, n, ret);
    case N_ATTR:
        rc = eval(r, f, n->a, &v);
        r->line = n->line;
        return rc ? rc : val_attr(r, v, n->name, ret);
    case N_ITEM:
        return eval_item(r, f, n, ret);
    case N_SLICE:
        return eval_slice(r, f, n, ret);
    case N_CALL:
        return eval_call(r, f, n, ret);
    case N_FILTER:
    case N_TEST:
        return eval_applied(r, f, n, ret);
    case N_BINARY:
        return eval_binary(r, f, n, ret);
    case N_CONCAT:
        return eval_concat(r, f, n, ret);
    case N_COMPARE:
        return eval_compare(r, f, n, ret);
    case N_AND:
    case N_OR:
        return eval_logic(r, f, n, ret);
    case N_COND:
        return eval_cond(r, f, n, ret);
    case N_NOT:
    case N_NEG:
    case N_POS:
        if ((rc = eval(r, f, n->a, &v)))
            return rc;
        if (n->type == N_NOT)
            return *ret = val_bool(!val_truth(v)), 0;
        return n->type == N_NEG ? val_negate(r, v, ret) : val_plus(r, v, ret);
    case N_NSREF:
    case N_BODY:
    case N_DATA:
    case N_PRINT:
    case N_SET:
    case N_SET_BLOCK:
    case N_IF:
    case N_FOR:
    case N_BREAK:
    case N_CONTINUE:
    case N_MACRO:
    case N_CALL_BLOCK:
    case N_FILTER_BLOCK:
    case N_WITH:
    case N_SCOPED:
        break;
    }
    return rt_fail(r, ST_EINVAL, "not an expression");
}

int eval(rt *r, frame *f, const node *n, val *ret)
{
    int rc = rt_enter(r);
    if (rc)
        return rc;
    r->line = n->line;
    rc = eval_one(r, f, n, ret);
    r->depth--;
    return rc;
}
