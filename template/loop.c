/* template/loop.c - `for` and the `loop` variable.
 *
 * A loop that nobody asks for `loop` goes through its values one by one; otherwise they
 * are listed first, since `loop` knows its length and neighbours.  One frame serves all
 * turns and is loaded again at each. */
#include "template/run.h"

/* One value against the loop's `if`. */
static int passes(rt *r, frame *tests, const node_for *def, val v, bool *ret)
{
    val test;
    *ret = true;
    if (!def->test)
        return 0;
    int rc = frame_load(r, tests);
    if (!rc)
        rc = assign(r, tests, def->target, v);
    if (!rc)
        rc = eval(r, tests, def->test, &test);
    if (!rc)
        *ret = val_truth(test);
    return rc;
}

static int list_passing(rt *r, frame *tests, const node_for *def, val seq, tlist **ret)
{
    titer it;
    val v;
    bool more, take;
    tlist *list = tlist_new(r, L_LIST, 0);
    int rc = list ? titer_init(r, seq, &it) : r->err->code;
    while (!rc && !(rc = titer_next(r, &it, &v, &more)) && more) {
        rc = passes(r, tests, def, v, &take);
        if (!rc && take)
            rc = tlist_add(r, list, v);
    }
    if (!rc)
        *ret = list;
    return rc;
}

/* One turn; *ret_stop after a break.  As in jinja2, a turn that `break` or `continue`
 * cut short does not keep the loop's `else` from running. */
static int turn(rt *r, frame *body, const node *n, val v, bool *ret_stop, bool *ret_any)
{
    int rc = frame_load(r, body);
    if (!rc)
        rc = assign(r, body, n->loop->target, v);
    if (!rc)
        rc = exec(r, body, n->loop->body);
    *ret_stop = rc == RUN_BREAK;
    *ret_any |= rc == 0;
    return rc < 0 ? rc : 0;
}

static int run_plain(rt *r, frame *tests, frame *body, const node *n, val seq,
                     bool *ret_any)
{
    titer it;
    val v;
    bool more, take, stop = false;
    int rc = titer_init(r, seq, &it);
    while (!rc && !stop && !(rc = titer_next(r, &it, &v, &more)) && more) {
        rc = passes(r, tests, n->loop, v, &take);
        if (rc || !take)
            continue;
        rc = turn(r, body, n, v, &stop, ret_any);
    }
    return rc;
}

static int run_extended(rt *r, frame *body, const node *n, tloop *loop, bool *ret_any)
{
    val self = val_of(V_LOOP);
    bool stop = false;
    int rc = 0;
    self.u.loop = loop;
    for (loop->i = 0; loop->i < loop->items->n && !rc && !stop; loop->i++) {
        for (size_t k = 0; k < n->scope->n; k++) {
            if (n->scope->slots[k].load == LOAD_PARAM &&
                tstr_is(n->scope->slots[k].name, "loop"))
                body->slots[k] = self;
        }
        rc = turn(r, body, n, loop->items->v[loop->i], &stop, ret_any);
        if (stop)
            break;
    }
    return rc;
}

/* The loop over `seq`, with its else. */
static int run_loop(rt *r, frame *f, const node *n, val seq, size_t level)
{
    const node_for *def = n->loop;
    frame *body = frame_new(r, f, n->scope);
    frame *tests = body && def->test ? frame_new(r, f, def->test_scope) : NULL;
    bool any = false;
    int rc = body && (tests || !def->test) ? 0 : r->err->code;
    if (!rc && !def->extended) {
        rc = run_plain(r, tests, body, n, seq, &any);
    } else if (!rc) {
        tloop *loop = rt_take(r, 1, sizeof *loop);
        if (!loop)
            return r->err->code;
        *loop = (tloop){.def = n, .env = f, .level = level, .seen = val_of(V_MISSING)};
        rc = list_passing(r, tests, def, seq, &loop->items);
        if (!rc)
            rc = run_extended(r, body, n, loop, &any);
    }
    if (rc || any || !def->other)
        return rc;
    frame *other = frame_new(r, f, def->other_scope);
    rc = other ? frame_load(r, other) : r->err->code;
    return rc ? rc : exec(r, other, def->other);
}

int exec_for(rt *r, frame *f, const node *n)
{
    val seq;
    int rc = eval(r, f, n->loop->iter, &seq);
    return rc ? rc : run_loop(r, f, n, seq, 0);
}

int loop_again(rt *r, tloop *loop, val iter, val *ret)
{
    tbuild b, *outer;
    if (!loop->def->loop->recursive)
        return rt_fail(r, ST_EFORMAT,
                       "The loop must have the 'recursive' marker to be called "
                       "recursively.");
    capture_begin(r, &b, &outer);
    int rc = run_loop(r, loop->env, loop->def, iter, loop->level + 1);
    r->out = outer;
    return rc ? rc : tbuild_end(&b, ret);
}

static int neighbour(rt *r, tloop *loop, bool before, val *ret)
{
    if (before ? loop->i > 0 : loop->i + 1 < loop->items->n) {
        *ret = loop->items->v[before ? loop->i - 1 : loop->i + 1];
        return 0;
    }
    return val_undef(r, UNDEF_HINT,
                     before ? "there is no previous item" : "there is no next item",
                     val_of(V_MISSING), ret);
}

int loop_attr(rt *r, tloop *loop, const tstr *name, val *ret, bool *ret_found)
{
    size_t n = loop->items->n, i = loop->i;
    const struct {
        const char *name;
        val v;
    } attrs[] = {
        {"index", val_int((tint)i + 1)},       {"index0", val_int((tint)i)},
        {"revindex", val_int((tint)(n - i))},  {"revindex0", val_int((tint)(n - i) - 1)},
        {"first", val_bool(i == 0)},           {"last", val_bool(i + 1 == n)},
        {"length", val_int((tint)n)},          {"depth", val_int((tint)loop->level + 1)},
        {"depth0", val_int((tint)loop->level)}};
    *ret_found = true;
    for (size_t k = 0; k < ST_COUNT(attrs); k++) {
        if (tstr_is(name, attrs[k].name)) {
            *ret = attrs[k].v;
            return 0;
        }
    }
    if (tstr_is(name, "previtem") || tstr_is(name, "nextitem"))
        return neighbour(r, loop, name->s[0] == 'p', ret);
    *ret_found = false;
    return 0;
}

static int m_cycle(rt *r, const targs *a, val *ret)
{
    if (!a->rest->n)
        return rt_fail(r, ST_EFORMAT, "no items for cycling given");
    *ret = a->rest->v[a->self.u.loop->i % a->rest->n];
    return 0;
}

static int m_changed(rt *r, const targs *a, val *ret)
{
    tloop *loop = a->self.u.loop;
    bool same = false;
    int rc = loop->seen.type == V_MISSING
                 ? 0
                 : val_equal(r, loop->seen, val_list(a->rest), &same);
    loop->seen = val_list(a->rest);
    if (!rc)
        *ret = val_bool(!same);
    return rc;
}

const tbuiltin *loop_methods(void)
{
    static const tbuiltin methods[] = {
        {"cycle", "*", 0, m_cycle}, {"changed", "*", 0, m_changed}, {0}};
    return methods;
}
