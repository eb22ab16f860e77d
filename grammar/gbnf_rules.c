/* grammar/gbnf_rules.c - from the grammar as it was read to one that can be run: what
 * derives no text is cut, left recursion is turned round or refused.
 *
 * An edge u -> v says that v may begin where u begins; it is a tail edge when v is also
 * the last of its alternative, for then running v needs no place to come back to.  A
 * cycle with another edge would pile up places without reading a byte: refused. */
#include "grammar/gbnf_rules.h"

#include "base/mem.h"
#include "grammar/class_tables.h"
#include <string.h>

typedef struct maker {
    const gbnf *g;
    rules *r;
    uint32_t cap_rules; /* two for each of the grammar: itself and its tail */
    bool *productive;   /* [g->n_rules] */
    bool *nullable;     /* [cap_rules] */
    uint16_t *roots;
    uint32_t n_symbols, n_starts; /* written so far */
    st_err *err;
} maker;

static int out_of_memory(st_err *err)
{
    return st_err_set(err, ST_ENOMEM, "grammar: out of memory for its rules");
}

typedef struct uses { /* the alternatives in which each rule stands */
    uint32_t *first;  /* [n_rules + 1] */
    uint32_t *alts;
    uint32_t *missing; /* [n_alts] symbols that are not in the set yet */
    uint32_t *queue;   /* rules that came in */
} uses;

static int uses_init(uses *u, const gbnf *g)
{
    *u = (uses){st_zalloc_n((size_t)g->n_rules + 2, sizeof *u->first),
                st_alloc_n(g->n_symbols, sizeof *u->alts),
                st_zalloc_n(g->n_alts, sizeof *u->missing),
                st_alloc_n(g->n_rules, sizeof *u->queue)};
    if (!u->first || !u->alts || !u->missing || !u->queue)
        return ST_ENOMEM;
    for (uint32_t i = 0; i < g->n_symbols; i++) {
        if (g->symbols[i].is_rule)
            u->first[g->symbols[i].index + 2]++;
    }
    for (uint32_t i = 2; i < g->n_rules + 2; i++)
        u->first[i] += u->first[i - 1];
    for (uint32_t a = 0; a < g->n_alts; a++) {
        const gbnf_symbol *s = g->symbols + g->alts[a].begin;
        for (uint32_t i = 0; i < g->alts[a].n; i++) {
            if (s[i].is_rule)
                u->alts[u->first[s[i].index + 1]++] = a;
        }
    }
    return 0;
}

static void uses_done(uses *u)
{
    st_free(u->first);
    st_free(u->alts);
    st_free(u->missing);
    st_free(u->queue);
}

/* The rules with an alternative all of whose symbols are in the set; classes are in when
 * `classes`.  With them: rules that derive a text; without: the empty text. */
static int close_over(const gbnf *g, bool classes, bool *set, st_err *err)
{
    uses u;
    uint32_t n = 0;
    if (uses_init(&u, g) < 0) {
        uses_done(&u);
        return out_of_memory(err);
    }
    for (uint32_t a = 0; a < g->n_alts; a++) {
        const gbnf_symbol *s = g->symbols + g->alts[a].begin;
        for (uint32_t i = 0; i < g->alts[a].n; i++)
            u.missing[a] += s[i].is_rule || !classes;
        if (u.missing[a] == 0 && !set[g->alts[a].rule]) {
            set[g->alts[a].rule] = true;
            u.queue[n++] = g->alts[a].rule;
        }
    }
    for (uint32_t done = 0; done < n; done++) {
        uint32_t rule = u.queue[done];
        for (uint32_t i = u.first[rule]; i < u.first[rule + 1]; i++) {
            const gbnf_alt *alt = &g->alts[u.alts[i]];
            if (--u.missing[u.alts[i]] == 0 && !set[alt->rule]) {
                set[alt->rule] = true;
                u.queue[n++] = alt->rule;
            }
        }
    }
    uses_done(&u);
    return 0;
}

static bool alive(const maker *m, const gbnf_alt *alt)
{
    const gbnf_symbol *s = m->g->symbols + alt->begin;
    for (uint32_t i = 0; i < alt->n; i++) {
        if (s[i].is_rule && !m->productive[s[i].index])
            return false;
    }
    return true;
}

static bool turns_back(const maker *m, const gbnf_alt *alt) /* R ::= R ... */
{
    const gbnf_symbol *s = m->g->symbols + alt->begin;
    return alt->n > 0 && s->is_rule && s->index == alt->rule;
}

/* An alternative without its first `skip` symbols, followed by rule `tail` if any. */
static void write_alt(maker *m, const gbnf_alt *alt, uint32_t skip, uint32_t tail)
{
    const gbnf_symbol *s = m->g->symbols + alt->begin;
    m->r->starts[m->n_starts++] = m->n_symbols;
    for (uint32_t i = skip; i < alt->n; i++)
        m->r->symbols[m->n_symbols++] =
            s[i].is_rule ? (rules_symbol){RULES_RULE, s[i].index}
                         : (rules_symbol){RULES_CLASS, m->roots[s[i].index]};
    if (tail != UINT32_MAX)
        m->r->symbols[m->n_symbols++] = (rules_symbol){RULES_RULE, tail};
    m->r->symbols[m->n_symbols++] = (rules_symbol){RULES_END, 0};
}

/* Rule i of the grammar is rule i here, and its tail, if it needs one, n_rules + i. */
static void write_rule(maker *m, uint32_t rule, bool as_tail)
{
    const gbnf *g = m->g;
    const gbnf_alt *alts = g->alts + g->rules[rule].begin;
    uint32_t n = g->rules[rule].n, tail = UINT32_MAX;
    m->r->first[as_tail ? g->n_rules + rule : rule] = m->n_starts;
    for (uint32_t i = 0; i < n; i++) {
        if (turns_back(m, &alts[i]) && alive(m, &alts[i]))
            tail = g->n_rules + rule;
    }
    if (as_tail && tail != UINT32_MAX) {
        m->r->starts[m->n_starts++] = m->n_symbols;
        m->r->symbols[m->n_symbols++] = (rules_symbol){RULES_END, 0};
        m->nullable[tail] = true;
    }
    for (uint32_t i = 0; i < n; i++) {
        bool back = turns_back(m, &alts[i]);
        if (back == as_tail && alive(m, &alts[i]) && (!back || alts[i].n > 1))
            write_alt(m, &alts[i], back, tail);
    }
}

static int write_all(maker *m)
{
    const gbnf *g = m->g;
    rules *r = m->r;
    /* Each alternative is written once, with a tail and an end; each tail has an empty
     * one more. */
    size_t n = (size_t)g->n_symbols + 2 * (size_t)g->n_alts + g->n_rules;
    r->symbols = st_alloc_n(n, sizeof *r->symbols);
    r->starts = st_alloc_n((size_t)g->n_alts + g->n_rules, sizeof *r->starts);
    r->first = st_alloc_n((size_t)m->cap_rules + 1, sizeof *r->first);
    if (!r->symbols || !r->starts || !r->first)
        return out_of_memory(m->err);
    for (uint32_t i = 0; i < g->n_rules; i++)
        write_rule(m, i, false);
    for (uint32_t i = 0; i < g->n_rules; i++)
        write_rule(m, i, true);
    r->n_rules = m->cap_rules;
    r->first[r->n_rules] = m->n_starts;
    r->root = g->root;
    return 0;
}

/* ---- left recursion: strongly connected rules (Tarjan), without recursion ---- */

typedef struct walk { /* a rule under way */
    uint32_t rule;
    uint32_t start; /* alternative under way */
    uint32_t place; /* in it */
} walk;

typedef struct search {
    uint32_t *order; /* [n_rules] when it was met, from 1; 0: not yet */
    uint32_t *low;   /* the earliest that it reaches */
    uint32_t *part;  /* its component, from 1; 0: open */
    uint32_t *open;  /* rules without a component */
    walk *path;
    uint32_t n_met, n_parts, n_open, depth;
} search;

static void enter(const rules *r, search *s, uint32_t rule)
{
    uint32_t start = r->first[rule];
    s->order[rule] = s->low[rule] = ++s->n_met;
    s->open[s->n_open++] = rule;
    s->path[s->depth++] =
        (walk){rule, start, start < r->first[rule + 1] ? r->starts[start] : 0};
}

/* The next rule that may begin where the one under way begins; false at its end. */
static bool next_edge(const maker *m, walk *w, uint32_t *ret_to, bool *ret_tail)
{
    const rules *r = m->r;
    while (w->start < r->first[w->rule + 1]) {
        const rules_symbol *x = &r->symbols[w->place];
        bool is_rule = x->kind == RULES_RULE;
        *ret_to = x->index;
        *ret_tail = is_rule && x[1].kind == RULES_END;
        if (is_rule && m->nullable[x->index]) {
            w->place++;
        } else {
            w->start++;
            if (w->start < r->first[w->rule + 1])
                w->place = r->starts[w->start];
        }
        if (is_rule)
            return true;
    }
    return false;
}

static void leave(search *s)
{
    uint32_t rule = s->path[--s->depth].rule;
    if (s->low[rule] == s->order[rule]) {
        s->n_parts++;
        do
            s->part[s->open[--s->n_open]] = s->n_parts;
        while (s->open[s->n_open] != rule);
    }
    if (s->depth > 0) {
        uint32_t above = s->path[s->depth - 1].rule;
        s->low[above] = s->low[rule] < s->low[above] ? s->low[rule] : s->low[above];
    }
}

static void find_parts(const maker *m, search *s)
{
    for (uint32_t i = 0; i < m->r->n_rules; i++) {
        if (s->order[i] == 0)
            enter(m->r, s, i);
        while (s->depth > 0) {
            walk *w = &s->path[s->depth - 1];
            uint32_t to;
            bool tail;
            if (!next_edge(m, w, &to, &tail))
                leave(s);
            else if (s->order[to] == 0)
                enter(m->r, s, to);
            else if (s->part[to] == 0 && s->order[to] < s->low[w->rule])
                s->low[w->rule] = s->order[to];
        }
    }
}

static int refuse(const maker *m, uint32_t rule)
{
    int len;
    const char *name = gbnf_name(m->g, rule % m->g->n_rules, &len);
    int rc = st_err_set(m->err, ST_EUNSUPPORTED,
                        "grammar: rule '%.*s' can begin with itself by way of others",
                        len > 60 ? 60 : len, name);
    st_err_hint(m->err, "write what repeats with * or +, or begin the rule with a text");
    return rc;
}

static int check_left(const maker *m)
{
    uint32_t n = m->r->n_rules;
    search s = {.order = st_zalloc_n(n, sizeof *s.order),
                .low = st_zalloc_n(n, sizeof *s.low),
                .part = st_zalloc_n(n, sizeof *s.part),
                .open = st_alloc_n(n, sizeof *s.open),
                .path = st_alloc_n(n, sizeof *s.path)};
    int rc = s.order && s.low && s.part && s.open && s.path ? 0 : out_of_memory(m->err);
    if (rc == 0)
        find_parts(m, &s);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        uint32_t start = m->r->first[i], to;
        walk w = {i, start, start < m->r->first[i + 1] ? m->r->starts[start] : 0};
        bool tail;
        while (rc == 0 && next_edge(m, &w, &to, &tail)) {
            if (!tail && s.part[to] == s.part[i])
                rc = refuse(m, i);
        }
    }
    st_free(s.order);
    st_free(s.low);
    st_free(s.part);
    st_free(s.open);
    st_free(s.path);
    return rc;
}

/* What the class has of plain text.  Its ranges are in order and do not touch. */
static rules_plain plain_of(const gbnf_range *x, size_t n)
{
    static const gbnf_range plain[] = {{0x20, 0x21},     {0x23, 0x5B},
                                       {0x5D, 0x7E},     {0xA0, 0x2027},
                                       {0x202A, 0xD7FF}, {0xE000, 0x10FFFF}};
    unsigned whole = 0, touched = 0;
    for (size_t p = 0; p < ST_COUNT(plain); p++) {
        for (size_t i = 0; i < n; i++) {
            touched += x[i].lo <= plain[p].hi && x[i].hi >= plain[p].lo;
            whole += x[i].lo <= plain[p].lo && x[i].hi >= plain[p].hi;
        }
    }
    return whole == ST_COUNT(plain) ? RULES_ALL : touched ? RULES_SOME : RULES_NONE;
}

static int note_plain(maker *m)
{
    const gbnf *g = m->g;
    m->r->plain = st_zalloc_n((size_t)RULES_MAX_TABLES + 2, 1);
    if (!m->r->plain)
        return out_of_memory(m->err);
    for (uint32_t i = 1; i <= g->classes.n; i++) {
        size_t n;
        const gbnf_range *x = gbnf_class(g, i, &n);
        m->r->plain[m->roots[i]] = (uint8_t)plain_of(x, n);
    }
    return 0;
}

static int make(maker *m)
{
    const gbnf *g = m->g;
    m->productive = st_zalloc_n(g->n_rules, sizeof *m->productive);
    m->nullable = st_zalloc_n(m->cap_rules, sizeof *m->nullable);
    if (!m->productive || !m->nullable)
        return out_of_memory(m->err);
    int rc = close_over(g, true, m->productive, m->err);
    if (rc == 0)
        rc = close_over(g, false, m->nullable, m->err);
    if (rc == 0 && !m->productive[g->root])
        return st_err_set(m->err, ST_EINVAL, "grammar: no text fits the rule root");
    if (rc == 0)
        rc = class_tables(g, &m->r->next, &m->roots, m->err);
    if (rc == 0)
        rc = note_plain(m);
    if (rc == 0)
        rc = write_all(m);
    return rc < 0 ? rc : check_left(m);
}

int rules_new(const gbnf *g, rules **ret, st_err *err)
{
    maker m = {.g = g, .cap_rules = 2 * g->n_rules, .err = err};
    m.r = st_zalloc_n(1, sizeof *m.r);
    int rc = m.r ? make(&m) : out_of_memory(err);
    st_free(m.productive);
    st_free(m.nullable);
    st_free(m.roots);
    if (rc < 0) {
        rules_free(m.r);
        return rc;
    }
    *ret = m.r;
    return 0;
}

void rules_free(rules *r)
{
    if (!r)
        return;
    st_free(r->symbols);
    st_free(r->first);
    st_free(r->starts);
    st_free(r->next);
    st_free(r->plain);
    st_free(r);
}
