/* template/call.c - calling macros, builtin functions and methods.
 *
 * A builtin's parameters are a line of names; positional arguments fill them from the
 * left, named ones by name, "*" and "**" take what is left over. */
#include "template/run.h"

#include <stdio.h>
#include <string.h>

static bool same_name(const tstr *a, const tstr *b)
{
    return a == b || (a->len == b->len && memcmp(a->s, b->s, a->len) == 0);
}

/* --- macros --- */

typedef struct macro_args {
    const tcall *call;
    bool *used; /* named arguments that a parameter took */
} macro_args;

static bool take_named(macro_args *a, const tstr *name, val *ret)
{
    for (size_t i = 0; i < a->call->n_named; i++) {
        if (!a->used[i] && same_name(a->call->names[i], name)) {
            a->used[i] = true;
            *ret = a->call->named[i];
            return true;
        }
    }
    return false;
}

static int default_args(rt *r, frame *f, const node_macro *m)
{
    int rc = 0;
    for (size_t i = 0; i < m->n_params && !rc; i++) {
        size_t first = m->n_params - m->n_defaults;
        if (f->slots[i].type != V_MISSING)
            continue;
        if (i >= first)
            rc = eval(r, f, m->defaults[i - first], &f->slots[i]);
        else
            rc = val_undef(r, UNDEF_HINT, "parameter", val_str(m->params[i]->name),
                           &f->slots[i]);
    }
    return rc;
}

/* What no parameter took, as `kwargs`; an error where the macro has no use for it. */
static int rest_named(rt *r, frame *f, const node_macro *m, const macro_args *a)
{
    tdict *rest = m->has_kwargs ? tdict_new(r, 0) : NULL;
    int rc = m->has_kwargs && !rest ? r->err->code : 0;
    for (size_t i = 0; i < a->call->n_named && !rc; i++) {
        const tstr *name = a->call->names[i];
        if (a->used[i])
            continue;
        if (!rest)
            return rt_fail(r, ST_EFORMAT, "macro '%.*s' takes no keyword argument '%.*s'",
                           (int)(m->name && m->name->len < 80 ? m->name->len : 0),
                           m->name ? m->name->s : "",
                           (int)(name->len < 80 ? name->len : 80), name->s);
        rc = tdict_set(r, rest, val_str(name), a->call->named[i]);
    }
    if (!rc && rest)
        f->slots[m->kwargs_slot] = val_dict(rest);
    return rc;
}

static int rest_positional(rt *r, frame *f, const node_macro *m, const tcall *call)
{
    size_t n = call->n_pos > m->n_params ? call->n_pos - m->n_params : 0;
    if (!m->has_varargs && n)
        return rt_fail(r, ST_EFORMAT, "macro '%.*s' takes not more than %zu argument(s)",
                       (int)(m->name && m->name->len < 80 ? m->name->len : 0),
                       m->name ? m->name->s : "", m->n_params);
    if (!m->has_varargs)
        return 0;
    tlist *rest = tlist_new(r, L_TUPLE, n);
    if (!rest)
        return r->err->code;
    if (n)
        memcpy(rest->v, call->pos + m->n_params, n * sizeof *rest->v);
    rest->n = n;
    f->slots[m->varargs_slot] = val_list(rest);
    return 0;
}

static int bind_macro(rt *r, frame *f, const node_macro *m, const tcall *call)
{
    static const tstr caller = {.s = "caller", .len = 6, .n_chars = 6};
    macro_args a = {call, rt_take(r, call->n_named, sizeof(bool))};
    int rc = a.used ? 0 : r->err->code;
    for (size_t i = 0; i < m->n_params && !rc; i++) {
        if (i < call->n_pos)
            f->slots[i] = call->pos[i];
        else
            take_named(&a, m->params[i]->name, &f->slots[i]);
    }
    if (!rc && m->has_caller && !take_named(&a, &caller, &f->slots[m->caller_slot]))
        rc = val_undef(r, UNDEF_HINT, "No caller defined", val_of(V_MISSING),
                       &f->slots[m->caller_slot]);
    if (!rc)
        rc = rest_named(r, f, m, &a);
    return rc ? rc : rest_positional(r, f, m, call);
}

int macro_call(rt *r, tmacro *macro, const tcall *call, val *ret)
{
    tbuild b, *outer;
    const node *def = macro->def;
    frame *f = frame_new(r, macro->env, def->scope);
    int rc = f ? bind_macro(r, f, def->macro, call) : r->err->code;
    if (!rc)
        rc = frame_load(r, f);
    if (!rc)
        rc = default_args(r, f, def->macro);
    if (rc)
        return rc;
    capture_begin(r, &b, &outer);
    rc = exec(r, f, def->c);
    r->out = outer;
    return rc ? rc : tbuild_end(&b, ret);
}

int macro_attr(const tmacro *macro, const tstr *name, val *ret, bool *ret_found)
{
    *ret_found = tstr_is(name, "name") && macro->def->macro->name;
    if (*ret_found)
        *ret = val_str(macro->def->macro->name);
    return 0;
}

/* --- builtins --- */

/* Parameter number of `name` in "a b c"; PARAMS_MAX when there is none. */
static size_t param_index(const char *params, const tstr *name)
{
    size_t index = 0;
    while (*params) {
        size_t n = strcspn(params, " ");
        if (n == name->len && memcmp(params, name->s, n) == 0)
            return index;
        params += n + (params[n] == ' ');
        index++;
    }
    return PARAMS_MAX;
}

typedef struct shape {
    size_t n; /* named parameters */
    bool rest, named;
} shape;

static shape params_shape(const char *params)
{
    shape s = {0};
    while (*params) {
        size_t n = strcspn(params, " ");
        if (params[0] == '*')
            *(n == 2 ? &s.named : &s.rest) = true;
        else
            s.n++;
        params += n + (params[n] == ' ');
    }
    return s;
}

static int bind_positional(rt *r, const tbuiltin *fn, const shape *s, targs *a, val v,
                           size_t i)
{
    if (i < s->n) {
        a->v[i] = v;
        return 0;
    }
    if (!s->rest)
        return rt_fail(r, ST_EFORMAT, "%s() takes at most %zu arguments", fn->name, s->n);
    return tlist_add(r, a->rest, v);
}

static int bind_named(rt *r, const tbuiltin *fn, const shape *s, targs *a,
                      const tstr *name, val v)
{
    size_t i = param_index(fn->params, name);
    if (i < s->n) {
        if (a->v[i].type != V_MISSING)
            return rt_fail(r, ST_EFORMAT, "%s() got multiple values for argument '%.*s'",
                           fn->name, (int)(name->len < 60 ? name->len : 60), name->s);
        a->v[i] = v;
        return 0;
    }
    if (s->named)
        return tdict_set(r, a->named, val_str(name), v);
    return rt_fail(r, ST_EFORMAT, "%s() got an unexpected keyword argument '%.*s'",
                   fn->name, (int)(name->len < 60 ? name->len : 60), name->s);
}

/* `self`: the value of a filter or test is its first argument, a method's stands apart.
 */
static int bind(rt *r, const tbuiltin *fn, const val *first, const tcall *call, targs *a)
{
    shape s = params_shape(fn->params);
    size_t used = first ? 1 : 0;
    for (size_t i = 0; i < PARAMS_MAX; i++)
        a->v[i] = val_of(V_MISSING);
    a->rest = s.rest ? tlist_new(r, L_TUPLE, 0) : NULL;
    a->named = s.named ? tdict_new(r, 0) : NULL;
    if ((s.rest && !a->rest) || (s.named && !a->named))
        return r->err->code;
    int rc = first ? bind_positional(r, fn, &s, a, *first, 0) : 0;
    for (size_t i = 0; i < call->n_pos && !rc; i++)
        rc = bind_positional(r, fn, &s, a, call->pos[i], used + i);
    for (size_t i = 0; i < call->n_named && !rc; i++)
        rc = bind_named(r, fn, &s, a, call->names[i], call->named[i]);
    for (size_t i = 0; i < fn->n_required && !rc; i++) {
        if (a->v[i].type == V_MISSING)
            rc = rt_fail(r, ST_EFORMAT, "%s() missing a required argument", fn->name);
    }
    return rc;
}

int builtin_call(rt *r, const tbuiltin *fn, const val *self, const tcall *call, val *ret)
{
    targs a = {.self = val_of(V_MISSING)};
    int rc = bind(r, fn, self, call, &a);
    return rc ? rc : fn->fn(r, &a, ret);
}

static int call_method(rt *r, const tfunc *f, const tcall *call, val *ret)
{
    targs a = {.self = f->self};
    int rc = bind(r, f->fn, NULL, call, &a);
    return rc ? rc : f->fn->fn(r, &a, ret);
}

static int call_loop(rt *r, tloop *loop, const tcall *call, val *ret)
{
    if (call->n_pos != 1 || call->n_named)
        return rt_fail(r, ST_EFORMAT, "loop() takes one argument");
    return loop_again(r, loop, call->pos[0], ret);
}

/* A joiner is empty at its first call. */
static int call_joiner(tcycler *j, val *ret)
{
    *ret = j->items->v[j->pos];
    j->pos = 1;
    return 0;
}

static int call_any(rt *r, val fn, const tcall *call, val *ret)
{
    switch ((vtype)fn.type) {
    case V_FUNC:
        return call_method(r, fn.u.func, call, ret);
    case V_MACRO:
        return macro_call(r, fn.u.macro, call, ret);
    case V_LOOP:
        return call_loop(r, fn.u.loop, call, ret);
    case V_JOINER:
        return call_joiner(fn.u.cycler, ret);
    case V_MISSING:
    case V_UNDEF:
        return undef_use(r, fn);
    case V_NONE:
    case V_BOOL:
    case V_INT:
    case V_FLOAT:
    case V_STR:
    case V_LIST:
    case V_DICT:
    case V_RANGE:
    case V_NAMESPACE:
    case V_CYCLER:
        break;
    }
    return rt_fail(r, ST_EFORMAT, "'%s' object is not callable", val_type_name(fn));
}

int val_call(rt *r, val fn, const tcall *call, val *ret)
{
    int rc = rt_enter(r);
    if (rc)
        return rc;
    rc = call_any(r, fn, call, ret);
    r->depth--;
    return rc;
}

/* --- arguments --- */

int arg_int(rt *r, val v, const char *what, tint def, tint *ret)
{
    if (v.type == V_MISSING) {
        *ret = def;
        return 0;
    }
    if (v.type == V_UNDEF)
        return undef_use(r, v);
    if (!val_is_int(v))
        return rt_fail(r, ST_EFORMAT, "%s: an integer is required, not '%s'", what,
                       val_type_name(v));
    *ret = val_as_int(v);
    return 0;
}

int arg_text(rt *r, val v, const char *what, const tstr **ret)
{
    if (v.type == V_UNDEF)
        return undef_use(r, v);
    if (v.type != V_STR)
        return rt_fail(r, ST_EFORMAT, "%s: a string is required, not '%s'", what,
                       val_type_name(v));
    *ret = v.u.s;
    return 0;
}
