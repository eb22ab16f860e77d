/* template/scope.c - where each variable lives, found before anything runs.
 *
 * jinja2 compiles a template to Python functions and decides at compile time which name
 * is which variable; its rules are visible (a `set` inside a loop starts from the outer
 * value at each turn and is gone after it; a name that is first assigned in a scope is
 * undefined before).  This pass gives the same answers.
 *
 * For each scope: look at its nodes in order, without going into inner scopes, and note
 * each name that is read or assigned (`look_`); branches of an `if` work on copies that
 * are merged.  When a scope is complete, give its names their slots and go into the inner
 * scopes (`place_`), for which it is the parent. */
#include "template/ast.h"

#include "base/mem.h"
#include <string.h>

typedef struct symbol {
    const tstr *name;
    bool ref, stored;
    tslot load;
} symbol;

/* What is known of one scope's names.  Slot numbers are shared by all copies. */
typedef struct symbols {
    struct symbols *parent;
    symbol *v;
    size_t n, cap;
} symbols;

typedef struct resolver {
    parse_state *p;
    bool soft; /* inside an `if`: an unknown filter is an error only when it is run */
} resolver;

typedef int visit_fn(resolver *x, symbols *s, node *n);
static visit_fn look, place;

static int each_kid(resolver *x, symbols *s, const node *n, size_t from, size_t step,
                    visit_fn *visit)
{
    int rc = 0;
    for (size_t i = from; i < n->n_kids && !rc; i += step)
        rc = visit(x, s, n->kids[i]);
    return rc;
}

static int each_arg(resolver *x, symbols *s, const node_args *args, visit_fn *visit)
{
    int rc = 0;
    if (!args)
        return 0;
    for (size_t i = 0; i < args->n_pos && !rc; i++)
        rc = visit(x, s, args->pos[i]);
    for (size_t i = 0; i < args->n_named && !rc; i++)
        rc = visit(x, s, args->named[i]);
    if (!rc)
        rc = visit(x, s, args->more_pos);
    return rc ? rc : visit(x, s, args->more_named);
}

static symbol *symbol_get(resolver *x, symbols *s, const tstr *name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i].name == name)
            return &s->v[i];
    }
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 8;
        symbol *more = st_realloc_n(s->v, cap, sizeof *more);
        if (!more) {
            rt_fail(&x->p->r, ST_ENOMEM, "out of memory while parsing");
            return NULL;
        }
        s->v = more;
        s->cap = cap;
    }
    s->v[s->n] = (symbol){.name = name, .load = {.name = name}};
    return &s->v[s->n++];
}

/* Where `name` is known, from this scope outwards. */
static bool find_ref(const symbols *s, const tstr *name, unsigned *ret_up,
                     unsigned *ret_slot)
{
    for (unsigned up = 0; s; s = s->parent, up++) {
        for (size_t i = 0; i < s->n; i++) {
            if (s->v[i].name == name && s->v[i].ref) {
                *ret_up = up;
                *ret_slot = (unsigned)i;
                return true;
            }
        }
    }
    return false;
}

/* Start from the variable of that name outside, if there is one. */
static bool load_outer(const symbols *s, symbol *sym)
{
    unsigned up, slot;
    if (!s->parent || !find_ref(s->parent, sym->name, &up, &slot))
        return false;
    sym->load.load = LOAD_ALIAS;
    sym->load.up = up + 1;
    sym->load.slot = slot;
    return true;
}

static int note_store(resolver *x, symbols *s, const tstr *name)
{
    symbol *sym = symbol_get(x, s, name);
    if (!sym)
        return x->p->r.err->code;
    sym->stored = true;
    if (!sym->ref && !load_outer(s, sym))
        sym->load.load = LOAD_MISSING;
    sym->ref = true;
    return 0;
}

static int note_param(resolver *x, symbols *s, const tstr *name)
{
    symbol *sym = symbol_get(x, s, name);
    if (!sym)
        return x->p->r.err->code;
    sym->stored = sym->ref = true;
    sym->load.load = LOAD_PARAM;
    return 0;
}

static int note_load(resolver *x, symbols *s, const tstr *name)
{
    unsigned up, slot;
    if (find_ref(s, name, &up, &slot))
        return 0;
    symbol *sym = symbol_get(x, s, name);
    if (!sym)
        return x->p->r.err->code;
    sym->ref = true;
    sym->load.load = LOAD_RESOLVE;
    return 0;
}

/* --- branches --- */

static int copy_symbols(resolver *x, const symbols *s, symbols *ret)
{
    *ret = *s;
    ret->cap = s->n;
    ret->v = st_dup(s->v ? (const void *)s->v : "", s->n * sizeof *s->v);
    if (ret->v)
        return 0;
    return rt_fail(&x->p->r, ST_ENOMEM, "out of memory while parsing");
}

/* Slots that a branch added exist in the whole scope, unknown to the others. */
static int share_slots(resolver *x, symbols *to, const symbols *from)
{
    for (size_t i = to->n; i < from->n; i++) {
        if (!symbol_get(x, to, from->v[i].name))
            return x->p->r.err->code;
    }
    return 0;
}

static void merge_branch(symbols *s, const symbols *branch, bool *fresh)
{
    for (size_t i = 0; i < branch->n; i++) {
        if (branch->v[i].stored && !s->v[i].stored)
            fresh[i] = true;
    }
}

static int merge_branches(resolver *x, symbols *s, symbols branches[3])
{
    int rc = 0;
    for (size_t b = 0; b < 3 && !rc; b++)
        rc = share_slots(x, s, &branches[b]);
    bool *fresh = rc ? NULL : st_zalloc_n(s->n, sizeof *fresh);
    if (!fresh)
        return rc ? rc : rt_fail(&x->p->r, ST_ENOMEM, "out of memory while parsing");
    for (size_t b = 0; b < 3; b++)
        merge_branch(s, &branches[b], fresh);
    for (size_t b = 0; b < 3; b++) {
        for (size_t i = 0; i < branches[b].n; i++) {
            const symbol *from = &branches[b].v[i];
            if (from->ref)
                s->v[i].load = from->load;
            s->v[i].ref |= from->ref;
            s->v[i].stored |= from->stored;
        }
    }
    for (size_t i = 0; i < s->n; i++) {
        if (fresh[i] && !load_outer(s, &s->v[i]))
            s->v[i].load.load = LOAD_RESOLVE;
    }
    st_free(fresh);
    return 0;
}

/* Nodes i.. of an `if` (test, body, test, body...) in one branch. */
static int look_branch(resolver *x, symbols *branch, const node *n, size_t from,
                       size_t to);

static int look_if(resolver *x, symbols *s, const node *n, size_t from, size_t to,
                   node *other)
{
    symbols branches[3] = {{0}};
    int rc = look(x, s, n->kids[from]);
    for (size_t b = 0; b < 3 && !rc; b++) {
        rc = copy_symbols(x, s, &branches[b]);
        for (size_t k = 0; k < b && !rc; k++)
            rc = share_slots(x, &branches[b], &branches[k]);
        if (!rc && b == 0)
            rc = look(x, &branches[0], n->kids[from + 1]);
        else if (!rc && b == 1)
            rc = look_branch(x, &branches[1], n, from + 2, to);
        else if (!rc && other)
            rc = look(x, &branches[2], other);
    }
    if (!rc)
        rc = merge_branches(x, s, branches);
    for (size_t b = 0; b < 3; b++)
        st_free(branches[b].v);
    return rc;
}

/* Each elif is an `if` of its own inside the elif branch. */
static int look_branch(resolver *x, symbols *branch, const node *n, size_t from,
                       size_t to)
{
    int rc = 0;
    for (; from < to && !rc; from += 2)
        rc = look_if(x, branch, n, from, from + 2, NULL);
    return rc;
}

/* --- looking at one scope --- */

static int look_name(resolver *x, symbols *s, const node *n)
{
    if (n->type == N_NAME && n->store)
        return note_store(x, s, n->name);
    return note_load(x, s, n->name);
}

static int look(resolver *x, symbols *s, node *n)
{
    int rc = 0;
    if (!n)
        return 0;
    switch ((node_type)n->type) {
    case N_NAME:
    case N_NSREF:
        return look_name(x, s, n);
    case N_SET: /* the value is read before the target is assigned */
        rc = look(x, s, n->b);
        return rc ? rc : look(x, s, n->a);
    case N_SET_BLOCK:
    case N_CALL_BLOCK:
        return look(x, s, n->a);
    case N_FILTER_BLOCK:
        return look(x, s, n->b);
    case N_WITH:
        return each_kid(x, s, n, 1, 2, look);
    case N_MACRO:
        return note_store(x, s, n->macro->name);
    case N_FOR:
        return look(x, s, n->loop->iter);
    case N_IF:
        return look_if(x, s, n, 0, n->n_kids, n->c);
    case N_SCOPED:
        return 0;
    case N_CONST:
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
    case N_BODY:
    case N_DATA:
    case N_PRINT:
    case N_BREAK:
    case N_CONTINUE:
        break;
    }
    rc = n->type == N_COND ? look(x, s, n->b) : look(x, s, n->a);
    if (!rc)
        rc = n->type == N_COND ? look(x, s, n->a) : look(x, s, n->b);
    if (!rc)
        rc = look(x, s, n->c);
    if (!rc)
        rc = each_kid(x, s, n, 0, 1, look);
    return rc ? rc : each_arg(x, s, n->args, look);
}

/* --- placing --- */

static int look_params(resolver *x, symbols *s, node *const *names, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = note_param(x, s, names[i]->name);
    return rc;
}

/* The target of a `for`: every name in it is a parameter of the body. */
static int look_target(resolver *x, symbols *s, const node *n)
{
    if (n->type == N_NAME && tstr_is(n->name, "loop"))
        return rt_fail(&x->p->r, ST_EFORMAT, "cannot assign to `loop`");
    if (n->type == N_NAME)
        return note_param(x, s, n->name);
    int rc = 0;
    for (size_t i = 0; i < n->n_kids && !rc; i++)
        rc = look_target(x, s, n->kids[i]);
    return rc;
}

/* The scope is complete: keep what running it needs. */
static int finish(resolver *x, const symbols *s, tscope **ret)
{
    tscope *scope = rt_take(&x->p->r, 1, sizeof *scope);
    if (!scope)
        return x->p->r.err->code;
    scope->n = s->n;
    scope->slots = rt_take(&x->p->r, s->n, sizeof *scope->slots);
    if (!scope->slots)
        return x->p->r.err->code;
    for (size_t i = 0; i < s->n; i++)
        scope->slots[i] = s->v[i].load;
    *ret = scope;
    return 0;
}

static int place_name(resolver *x, symbols *s, node *n)
{
    unsigned up, slot;
    if (!find_ref(s, n->name, &up, &slot)) {
        int rc = note_load(x, s, n->name);
        if (rc || !find_ref(s, n->name, &up, &slot))
            return rc;
    }
    n->up = up;
    n->slot = slot;
    return 0;
}

/* Whether `name` is read anywhere below: `loop` in a body, `caller` in a macro. */
static bool reads(const node *n, const char *name)
{
    if (!n)
        return false;
    if (n->type == N_NAME && !n->store && tstr_is(n->name, name))
        return true;
    bool found = reads(n->a, name) || reads(n->b, name) || reads(n->c, name);
    for (size_t i = 0; i < n->n_kids && !found; i++)
        found = reads(n->kids[i], name);
    for (size_t i = 0; n->args && i < n->args->n_pos && !found; i++)
        found = reads(n->args->pos[i], name);
    for (size_t i = 0; n->args && i < n->args->n_named && !found; i++)
        found = reads(n->args->named[i], name);
    if (n->args && !found)
        found = reads(n->args->more_pos, name) || reads(n->args->more_named, name);
    for (size_t i = 0; n->macro && i < n->macro->n_defaults && !found; i++)
        found = reads(n->macro->defaults[i], name);
    if (n->loop && !found)
        found = reads(n->loop->iter, name) || reads(n->loop->test, name) ||
                reads(n->loop->body, name) || reads(n->loop->other, name);
    return found;
}

static const tstr *find_name(const parse_state *p, const char *name)
{
    for (size_t i = 0; i < p->n_interned; i++) {
        if (tstr_is(p->interned[i], name))
            return p->interned[i];
    }
    return NULL;
}

/* A parameter that is there because the body reads it. */
static int special_param(resolver *x, symbols *s, const node *body, const char *name,
                         bool *ret_has, size_t *ret_slot)
{
    *ret_has = reads(body, name);
    if (!*ret_has)
        return 0;
    int rc = note_param(x, s, find_name(x->p, name));
    for (size_t i = 0; i < s->n; i++) {
        if (tstr_is(s->v[i].name, name))
            *ret_slot = i;
    }
    return rc;
}

static int place_special(resolver *x, symbols *s, node *n)
{
    node_macro *m = n->macro;
    int rc = special_param(x, s, n->c, "caller", &m->has_caller, &m->caller_slot);
    if (!rc)
        rc = special_param(x, s, n->c, "kwargs", &m->has_kwargs, &m->kwargs_slot);
    if (!rc)
        rc = special_param(x, s, n->c, "varargs", &m->has_varargs, &m->varargs_slot);
    for (size_t i = 0; i < m->n_params && !rc;
         i++) { /* an explicit one is an ordinary one */
        m->has_kwargs &= !tstr_is(m->params[i]->name, "kwargs");
        m->has_varargs &= !tstr_is(m->params[i]->name, "varargs");
        m->has_caller &= !tstr_is(m->params[i]->name, "caller");
    }
    return rc;
}

/* Parameters come first and in order, so parameter i has slot i. */
static int place_macro(resolver *x, symbols *outer, node *n)
{
    symbols s = {.parent = outer};
    node_macro *m = n->macro;
    bool soft = x->soft;
    x->soft = false;
    int rc = look_params(x, &s, m->params, m->n_params);
    if (!rc && s.n != m->n_params)
        rc = rt_fail(&x->p->r, ST_EFORMAT, "duplicate parameter of a macro");
    if (!rc)
        rc = place_special(x, &s, n);
    for (size_t i = 0; i < m->n_defaults && !rc; i++)
        rc = look(x, &s, m->defaults[i]);
    if (!rc)
        rc = look(x, &s, n->c);
    for (size_t i = 0; i < m->n_defaults && !rc; i++)
        rc = place(x, &s, m->defaults[i]);
    if (!rc)
        rc = place(x, &s, n->c);
    if (!rc)
        rc = finish(x, &s, &n->scope);
    x->soft = soft;
    st_free(s.v);
    return rc;
}

/* A body in a scope of its own; what `n` has beside the body is placed inside too where
 * `also` is given. */
static int place_inner(resolver *x, symbols *outer, node *body, node *also,
                       bool look_also, tscope **ret)
{
    symbols s = {.parent = outer};
    bool soft = x->soft;
    x->soft = false;
    int rc = look(x, &s, body);
    if (!rc && look_also)
        rc = look(x, &s, also);
    if (!rc)
        rc = place(x, &s, body);
    if (!rc)
        rc = place(x, &s, also);
    if (!rc)
        rc = finish(x, &s, ret);
    x->soft = soft;
    st_free(s.v);
    return rc;
}

/* The body or the test of a `for`. */
static int place_loop_part(resolver *x, symbols *outer, node_for *f, bool test,
                           tscope **ret)
{
    symbols s = {.parent = outer};
    bool soft = x->soft;
    x->soft = false;
    int rc = look_target(x, &s, f->target); /* first, so its slots are the same in both */
    if (!test) {
        f->extended = f->recursive || reads(f->body, "loop");
        if (!rc && f->extended && find_name(x->p, "loop"))
            rc = note_param(x, &s, find_name(x->p, "loop"));
    }
    if (!rc)
        rc = look(x, &s, test ? f->test : f->body);
    if (!rc)
        rc = place(x, &s, f->target);
    if (!rc)
        rc = place(x, &s, test ? f->test : f->body);
    if (!rc)
        rc = finish(x, &s, ret);
    x->soft = soft;
    st_free(s.v);
    return rc;
}

static int place_for(resolver *x, symbols *s, node *n)
{
    node_for *f = n->loop;
    int rc = place(x, s, f->iter);
    if (!rc && f->test)
        rc = place_loop_part(x, s, f, true, &f->test_scope);
    if (!rc)
        rc = place_loop_part(x, s, f, false, &n->scope);
    if (!rc && f->other)
        rc = place_inner(x, s, f->other, NULL, false, &f->other_scope);
    return rc;
}

static int place_with(resolver *x, symbols *outer, node *n)
{
    symbols s = {.parent = outer};
    bool soft = x->soft;
    int rc = each_kid(x, outer, n, 1, 2, place);
    x->soft = false;
    for (size_t i = 0; i < n->n_kids && !rc; i += 2)
        rc = note_param(x, &s, n->kids[i]->name);
    if (!rc)
        rc = look(x, &s, n->c);
    if (!rc)
        rc = each_kid(x, &s, n, 0, 2, place);
    if (!rc)
        rc = place(x, &s, n->c);
    if (!rc)
        rc = finish(x, &s, &n->scope);
    x->soft = soft;
    st_free(s.v);
    return rc;
}

static int check_known(resolver *x, const node *n)
{
    if (n->fn || x->soft)
        return 0;
    x->p->r.line = n->line;
    return rt_fail(&x->p->r, ST_EFORMAT, "No %s named '%.*s'.",
                   n->type == N_FILTER ? "filter" : "test",
                   (int)(n->name->len < 80 ? n->name->len : 80), n->name->s);
}

/* Everything that has no scope of its own. */
static int place_plain(resolver *x, symbols *s, node *n)
{
    bool soft = x->soft;
    x->soft |= n->type == N_IF || n->type == N_COND;
    int rc = n->type == N_FILTER || n->type == N_TEST ? check_known(x, n) : 0;
    if (!rc)
        rc = place(x, s, n->a);
    if (!rc)
        rc = place(x, s, n->b);
    if (!rc)
        rc = place(x, s, n->c);
    if (!rc)
        rc = each_kid(x, s, n, 0, 1, place);
    if (!rc)
        rc = each_arg(x, s, n->args, place);
    x->soft = soft;
    return rc;
}

static int place(resolver *x, symbols *s, node *n)
{
    int rc = 0;
    if (!n)
        return 0;
    if (n->type == N_NAME || n->type == N_NSREF)
        return place_name(x, s, n);
    if (n->type == N_FOR)
        return place_for(x, s, n);
    if (n->type == N_WITH)
        return place_with(x, s, n);
    if (n->type == N_SET_BLOCK) {
        rc = place(x, s, n->a);
        return rc ? rc : place_inner(x, s, n->c, n->b, false, &n->scope);
    }
    if (n->type == N_FILTER_BLOCK)
        return place_inner(x, s, n->c, n->b, true, &n->scope);
    if (n->type == N_SCOPED)
        return place_inner(x, s, n->c, NULL, false, &n->scope);
    if (n->type == N_CALL_BLOCK) {
        rc = place(x, s, n->a);
        return rc ? rc : place_macro(x, s, n);
    }
    if (n->type == N_MACRO) {
        unsigned up = 0, slot = 0;
        find_ref(s, n->macro->name, &up, &slot);
        n->up = up;
        n->slot = slot;
        return place_macro(x, s, n);
    }
    return place_plain(x, s, n);
}

int scope_resolve(parse_state *p, node *body, tscope **ret_root)
{
    resolver x = {.p = p};
    symbols s = {0};
    int rc = look(&x, &s, body);
    if (!rc)
        rc = place(&x, &s, body);
    if (!rc)
        rc = finish(&x, &s, ret_root);
    st_free(s.v);
    return rc;
}
