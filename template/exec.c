/* template/exec.c - statements: output, assignment, conditions, scopes, blocks.
 *
 * Printed text goes to rt.out.  A construct that keeps its text (set block, filter block,
 * macro, recursive loop) puts a builder of its own there and takes it away again. */
#include "template/run.h"

#include <string.h>

frame *frame_new(rt *r, frame *up, const tscope *scope)
{
    frame *f = tarena_take(&r->mem, sizeof *f + scope->n * sizeof f->slots[0]);
    if (!f) {
        rt_oom(r);
        return NULL;
    }
    f->up = up;
    f->scope = scope;
    for (size_t i = 0; i < scope->n; i++)
        f->slots[i] = val_of(V_MISSING);
    return f;
}

int frame_load(rt *r, frame *f)
{
    for (size_t i = 0; i < f->scope->n; i++) {
        const tslot *slot = &f->scope->slots[i];
        bool found;
        if (slot->load == LOAD_PARAM)
            continue;
        f->slots[i] = val_of(V_MISSING);
        if (slot->load == LOAD_RESOLVE) {
            int rc = context_find(r, slot->name, &f->slots[i], &found);
            if (rc)
                return rc;
        } else if (slot->load == LOAD_ALIAS) {
            const frame *from = f;
            for (unsigned up = slot->up; up > 0; up--)
                from = from->up;
            f->slots[i] = from->slots[slot->slot];
        }
    }
    return rt_step(r, f->scope->n / 8);
}

static val *name_slot(frame *f, const node *n)
{
    for (unsigned up = n->up; up > 0; up--)
        f = f->up;
    return &f->slots[n->slot];
}

static int assign_attr(rt *r, frame *f, const node *target, val v)
{
    val ns = *name_slot(f, target);
    if (ns.type != V_NAMESPACE)
        return rt_fail(r, ST_EFORMAT, "cannot assign attribute on non-namespace object");
    return tdict_set(r, ns.u.dict, val_str(target->attr), v);
}

static int assign_tuple(rt *r, frame *f, const node *target, val v)
{
    tlist *items;
    if (!val_iterable(v))
        return rt_fail(r, ST_EFORMAT, "cannot unpack non-iterable %s object",
                       val_type_name(v));
    int rc = val_items(r, v, &items);
    if (rc)
        return rc;
    if (items->n < target->n_kids)
        return rt_fail(r, ST_EFORMAT,
                       "not enough values to unpack (expected %zu, got %zu)",
                       target->n_kids, items->n);
    if (items->n > target->n_kids)
        return rt_fail(r, ST_EFORMAT, "too many values to unpack (expected %zu)",
                       target->n_kids);
    for (size_t i = 0; i < items->n && !rc; i++)
        rc = assign(r, f, target->kids[i], items->v[i]);
    return rc;
}

int assign(rt *r, frame *f, const node *target, val v)
{
    if (target->type == N_NSREF)
        return assign_attr(r, f, target, v);
    if (target->type == N_TUPLE)
        return assign_tuple(r, f, target, v);
    *name_slot(f, target) = v;
    return 0;
}

int capture_begin(rt *r, tbuild *b, tbuild **ret_outer)
{
    tbuild_init(b, r);
    *ret_outer = r->out;
    r->out = b;
    return 0;
}

/* Run `body` in a new scope and keep what it prints. */
static int exec_captured(rt *r, frame *f, const node *n, frame **ret_inner, val *ret)
{
    tbuild b, *outer;
    frame *inner = frame_new(r, f, n->scope);
    int rc = inner ? frame_load(r, inner) : r->err->code;
    if (rc)
        return rc;
    capture_begin(r, &b, &outer);
    rc = exec(r, inner, n->c);
    r->out = outer;
    if (rc)
        return rc;
    *ret_inner = inner;
    return tbuild_end(&b, ret);
}

static int exec_set_block(rt *r, frame *f, const node *n)
{
    frame *inner;
    val text;
    int rc = exec_captured(r, f, n, &inner, &text);
    if (!rc && n->b)
        rc = filter_apply(r, inner, n->b, text, &text);
    return rc ? rc : assign(r, f, n->a, text);
}

static int exec_filter_block(rt *r, frame *f, const node *n)
{
    frame *inner;
    val text;
    int rc = exec_captured(r, f, n, &inner, &text);
    if (!rc)
        rc = filter_apply(r, inner, n->b, text, &text);
    return rc ? rc : val_print(r->out, text);
}

static int exec_with(rt *r, frame *f, const node *n)
{
    frame *inner = frame_new(r, f, n->scope);
    int rc = inner ? frame_load(r, inner) : r->err->code;
    for (size_t i = 0; i + 1 < n->n_kids && !rc; i += 2) {
        val v;
        rc = eval(r, f, n->kids[i + 1], &v);
        if (!rc)
            rc = assign(r, inner, n->kids[i], v);
    }
    return rc ? rc : exec(r, inner, n->c);
}

static int exec_scoped(rt *r, frame *f, const node *n)
{
    frame *inner = frame_new(r, f, n->scope);
    int rc = inner ? frame_load(r, inner) : r->err->code;
    return rc ? rc : exec(r, inner, n->c);
}

static int exec_if(rt *r, frame *f, const node *n)
{
    for (size_t i = 0; i + 1 < n->n_kids; i += 2) {
        val test;
        int rc = eval(r, f, n->kids[i], &test);
        if (rc)
            return rc;
        if (val_truth(test))
            return exec(r, f, n->kids[i + 1]);
    }
    return n->c ? exec(r, f, n->c) : 0;
}

static int make_macro(rt *r, frame *f, const node *n, val *ret)
{
    tmacro *m = rt_take(r, 1, sizeof *m);
    if (!m)
        return r->err->code;
    *m = (tmacro){n, f};
    *ret = val_of(V_MACRO);
    ret->u.macro = m;
    return 0;
}

static int exec_call_block(rt *r, frame *f, const node *n)
{
    static const tstr caller = {.s = "caller", .len = 6, .n_chars = 6};
    val fn, body, text;
    tcall call;
    int rc = make_macro(r, f, n, &body);
    if (!rc)
        rc = eval(r, f, n->a->a, &fn);
    if (!rc)
        rc = eval_args(r, f, n->a->args, &call);
    if (rc)
        return rc;
    size_t k = call.n_named;
    const tstr **names = rt_take(r, k + 1, sizeof *names);
    val *named = rt_take(r, k + 1, sizeof *named);
    if (!names || !named)
        return r->err->code;
    for (size_t i = 0; i < k; i++) {
        names[i] = call.names[i];
        named[i] = call.named[i];
    }
    names[k] = &caller;
    named[k] = body;
    call.names = names;
    call.named = named;
    call.n_named = k + 1;
    r->line = n->line;
    rc = val_call(r, fn, &call, &text);
    return rc ? rc : val_print(r->out, text);
}

static int exec_body(rt *r, frame *f, const node *n)
{
    int rc = 0;
    for (size_t i = 0; i < n->n_kids && !rc; i++)
        rc = exec(r, f, n->kids[i]);
    return rc;
}

static int exec_print(rt *r, frame *f, const node *n)
{
    val v;
    int rc = eval(r, f, n->a, &v);
    r->line = n->line;
    return rc ? rc : val_print(r->out, v);
}

static int exec_set(rt *r, frame *f, const node *n)
{
    val v;
    int rc = eval(r, f, n->b, &v);
    r->line = n->line;
    return rc ? rc : assign(r, f, n->a, v);
}

static int exec_one(rt *r, frame *f, const node *n)
{
    switch ((node_type)n->type) {
    case N_BODY:
        return exec_body(r, f, n);
    case N_DATA:
        return tbuild_str(r->out, n->name);
    case N_PRINT:
        return exec_print(r, f, n);
    case N_SET:
        return exec_set(r, f, n);
    case N_SET_BLOCK:
        return exec_set_block(r, f, n);
    case N_IF:
        return exec_if(r, f, n);
    case N_FOR:
        return exec_for(r, f, n);
    case N_BREAK:
        return RUN_BREAK;
    case N_CONTINUE:
        return RUN_CONTINUE;
    case N_MACRO:
        return make_macro(r, f, n, name_slot(f, n));
    case N_CALL_BLOCK:
        return exec_call_block(r, f, n);
    case N_FILTER_BLOCK:
        return exec_filter_block(r, f, n);
    case N_WITH:
        return exec_with(r, f, n);
    case N_SCOPED:
        return exec_scoped(r, f, n);
    case N_CONST:
    case N_NAME:
    case N_NSREF:
    case N_TUPLE:
    case N_LIST:
    case N_DICT:
    case N_ATTR:
    case N_ITEM:
    case N_SLICE:
    case N_CALL:
    case N_FILTER:
    case N_TEST:
    case N_BINARY:
    case N_CONCAT:
    case N_COMPARE:
    case N_AND:
    case N_OR:
    case N_NOT:
    case N_NEG:
    case N_POS:
    case N_COND:
        break;
    }
    return rt_fail(r, ST_EINVAL, "not a statement");
}

int exec(rt *r, frame *f, const node *n)
{
    int rc = rt_enter(r);
    if (rc)
        return rc;
    r->line = n->line;
    rc = exec_one(r, f, n);
    r->depth--;
    return rc;
}
