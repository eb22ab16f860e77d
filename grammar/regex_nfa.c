/* grammar/regex_nfa.c - from the tree to nodes, back to front.
 *
 * Each part is made when what follows it is there, so that it can lead on to it; a
 * counted part is made as often as it counts. */
#include "grammar/regex_nfa.h"

#include "base/mem.h"
#include <string.h>

typedef struct maker {
    const regex_tree *t;
    regex_nfa *a;
    st_err *err;
} maker;

static int add(maker *m, nfa_kind kind, uint32_t arg, uint32_t to, uint32_t *ret)
{
    regex_nfa *a = m->a;
    if (a->n >= REGEX_MAX_NODES) {
        st_err_set(m->err, ST_ELIMIT, "the pattern's counts make it too large");
        st_err_hint(m->err, "use smaller counts, or minLength and maxLength");
        return ST_ELIMIT;
    }
    if (a->n == a->cap) {
        uint32_t cap = a->cap ? 2 * a->cap : 64;
        nfa_node *nodes = st_realloc_n(a->nodes, cap, sizeof *nodes);
        if (!nodes)
            return st_err_set(m->err, ST_ENOMEM, "out of memory for a pattern");
        a->nodes = nodes;
        a->cap = cap;
    }
    a->nodes[a->n] = (nfa_node){kind, arg, to};
    *ret = a->n++;
    return 0;
}

static int make(maker *m, uint32_t node, uint32_t to, uint32_t *ret);

/* Children are listed from first to last and made from last to first. */
static int make_row(maker *m, uint32_t child, uint32_t to, uint32_t *ret)
{
    const regex_node *nodes = m->t->nodes;
    uint32_t n = 0;
    for (uint32_t i = child; i; i = nodes[i].after)
        n++;
    uint32_t *list = st_alloc_n(n, sizeof *list);
    if (!list)
        return st_err_set(m->err, ST_ENOMEM, "out of memory for a pattern");
    n = 0;
    for (uint32_t i = child; i; i = nodes[i].after)
        list[n++] = i;
    int rc = 0;
    while (!rc && n-- > 0)
        rc = make(m, list[n], to, &to);
    st_free(list);
    if (!rc)
        *ret = to;
    return rc;
}

static int make_either(maker *m, uint32_t child, uint32_t to, uint32_t *ret)
{
    const regex_node *nodes = m->t->nodes;
    uint32_t all = 0, one;
    int rc = make(m, child, to, &all);
    for (uint32_t i = nodes[child].after; !rc && i; i = nodes[i].after) {
        rc = make(m, i, to, &one);
        if (!rc)
            rc = add(m, NFA_FORK, all, one, &all);
    }
    if (!rc)
        *ret = all;
    return rc;
}

static int make_repeat(maker *m, const regex_node *r, uint32_t to, uint32_t *ret)
{
    uint32_t at = to, body;
    int rc = 0;
    if (r->max == UINT32_MAX) {
        rc = add(m, NFA_FORK, to, 0, &at);
        if (!rc)
            rc = make(m, r->child, at, &body);
        if (!rc)
            m->a->nodes[at].to = body;
    }
    for (uint32_t i = r->min; !rc && r->max != UINT32_MAX && i < r->max; i++) {
        rc = make(m, r->child, at, &body);
        if (!rc)
            rc = add(m, NFA_FORK, to, body, &at);
    }
    for (uint32_t i = 0; !rc && i < r->min; i++)
        rc = make(m, r->child, at, &at);
    if (!rc)
        *ret = at;
    return rc;
}

/* A look's own nodes are made each time it is met; repeated ones are looks of their own
 * kind, with the same texts, so the last one stands for all. */
static int make_look(maker *m, const regex_node *r, uint32_t to, uint32_t *ret)
{
    nfa_look *look = &m->a->looks[r->set];
    int rc = make(m, r->child, m->a->match_more, &look->start);
    look->negated = r->kind == REGEX_NO_LOOK;
    return rc ? rc : add(m, NFA_LOOK, r->set, to, ret);
}

static int make(maker *m, uint32_t node, uint32_t to, uint32_t *ret)
{
    const regex_node *r = &m->t->nodes[node];
    switch (r->kind) {
    case REGEX_EMPTY:
        *ret = to;
        return 0;
    case REGEX_SET:
        return add(m, NFA_SET, r->set, to, ret);
    case REGEX_ROW:
        return make_row(m, r->child, to, ret);
    case REGEX_EITHER:
        return make_either(m, r->child, to, ret);
    case REGEX_REPEAT:
        return make_repeat(m, r, to, ret);
    case REGEX_BEGIN:
        return add(m, NFA_BEGIN, 0, to, ret);
    case REGEX_END:
        return add(m, NFA_END, 0, to, ret);
    case REGEX_WORD:
        return add(m, NFA_WORD, 0, to, ret);
    case REGEX_NO_WORD:
        return add(m, NFA_NO_WORD, 0, to, ret);
    case REGEX_LOOK:
    case REGEX_NO_LOOK:
        return make_look(m, r, to, ret);
    }
    return 0;
}

int regex_nfa_make(const regex_tree *t, regex_match how, uint32_t any, regex_nfa *ret,
                   st_err *err)
{
    regex_nfa a = {.n_looks = t->n_looks};
    maker m = {t, &a, err};
    uint32_t any_node;
    int rc = 0;
    a.looks = st_zalloc_n(t->n_looks, sizeof *a.looks);
    if (!a.looks)
        rc = st_err_set(err, ST_ENOMEM, "out of memory for a pattern");
    if (!rc)
        rc = add(&m, NFA_MATCH, 0, 0, &a.match);
    if (!rc)
        rc = add(&m, NFA_MATCH, 0, 0, &a.match_more);
    if (!rc)
        rc = make(&m, t->root, how == REGEX_SEARCH ? a.match_more : a.match, &a.start);
    if (!rc && how == REGEX_SEARCH) { /* anything may stand before */
        rc = add(&m, NFA_FORK, a.start, 0, &a.start);
        if (!rc)
            rc = add(&m, NFA_SET, any, a.start, &any_node);
        if (!rc)
            a.nodes[a.start].to = any_node;
    }
    if (rc < 0)
        regex_nfa_done(&a);
    else
        *ret = a;
    return rc;
}

void regex_nfa_done(regex_nfa *a)
{
    st_free(a->nodes);
    st_free(a->looks);
    *a = (regex_nfa){0};
}
