/* grammar/gbnf_earley.c - Earley's sets of items, one for each place of the text.
 *
 * An item is an alternative read up to a dot, and the place where it began.  When one is
 * complete, the items of that place that waited for its rule go on; `waits` finds them.
 * An alternative that is complete where it began derives the empty text: rules that do
 * are stepped over when they are predicted, so that case needs no search.
 *
 * Where a single item waits and would be complete itself, it is passed over for what
 * would be complete in the end (Leo, 1991): rules that end with themselves take no more
 * time than those that begin so. */
#include "grammar/gbnf_earley.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_ITEMS = 1 << 22 }; /* 80 MB */

typedef struct item {
    uint32_t alt;
    uint32_t dot;
    uint32_t origin; /* number of a set */
} item;

typedef struct wait { /* an item that waits for a rule */
    uint32_t rule;
    uint32_t item; /* of all items */
    bool passed;   /* `top` is what is complete in the end */
    item top;
} wait;

typedef struct earley {
    const gbnf *g;
    bool *nullable;
    uint32_t *predicted; /* [n_rules] 1 + the last set in which it was */
    st_buf items;        /* item, set after set */
    st_buf waits;        /* wait, set after set, by rule */
    st_buf sets;         /* where each set's waits begin; size_t */
    intern known;        /* the items of the set under way */
    size_t first;        /* the first of them */
    uint32_t set;
    st_err *err;
} earley;

static int out_of_memory(const earley *e)
{
    return st_err_set(e->err, ST_ENOMEM, "out of memory to validate a text");
}

/* Rules that derive the empty text: those with an alternative of such rules only. */
static void find_nullable(earley *e)
{
    const gbnf *g = e->g;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t a = 0; a < g->n_alts; a++) {
            const gbnf_symbol *s = g->symbols + g->alts[a].begin;
            uint32_t i = 0;
            while (i < g->alts[a].n && s[i].is_rule && e->nullable[s[i].index])
                i++;
            if (i == g->alts[a].n && !e->nullable[g->alts[a].rule])
                e->nullable[g->alts[a].rule] = changed = true;
        }
    }
}

static size_t n_items(const earley *e)
{
    return e->items.len / sizeof(item);
}

static item item_at(const earley *e, size_t i)
{
    return ((const item *)(const void *)e->items.data)[i];
}

static const gbnf_symbol *symbol_behind(const earley *e, item x)
{
    const gbnf_alt *alt = &e->g->alts[x.alt];
    return x.dot < alt->n ? &e->g->symbols[alt->begin + x.dot] : NULL;
}

/* An item of the set under way, if it is new. */
static int add(earley *e, item x)
{
    uint32_t n = e->known.n, number;
    int rc = intern_put(&e->known, &x, sizeof x, &number, e->err);
    if (rc < 0 || number <= n)
        return rc;
    if (n_items(e) == MOST_ITEMS)
        return st_err_set(e->err, ST_ELIMIT, "the grammar is too ambiguous to validate");
    return st_buf_add(&e->items, &x, sizeof x) < 0 ? out_of_memory(e) : 0;
}

static int predict(earley *e, item x, uint32_t rule)
{
    const gbnf_rule *r = &e->g->rules[rule];
    int rc = 0;
    if (e->predicted[rule] != e->set + 1) {
        e->predicted[rule] = e->set + 1;
        for (uint32_t i = 0; rc == 0 && i < r->n; i++)
            rc = add(e, (item){r->begin + i, 0, e->set});
    }
    if (rc == 0 && e->nullable[rule])
        rc = add(e, (item){x.alt, x.dot + 1, x.origin});
    return rc;
}

/* The first of those that wait for the rule, or NULL. */
static const wait *rule_in(const wait *begin, const wait *end, uint32_t rule)
{
    const wait *last = end;
    while (begin < end) {
        const wait *mid = begin + (end - begin) / 2;
        if (mid->rule < rule)
            begin = mid + 1;
        else
            end = mid;
    }
    return begin < last && begin->rule == rule ? begin : NULL;
}

/* The same in a set that is done. */
static const wait *find_wait(const earley *e, uint32_t set, uint32_t rule,
                             const wait **ret_end)
{
    const size_t *sets = (const void *)e->sets.data;
    const wait *w = (const void *)e->waits.data;
    *ret_end = w + sets[set + 1];
    return rule_in(w + sets[set], *ret_end, rule);
}

/* The items that waited for the rule go on. */
static int complete(earley *e, item x)
{
    uint32_t rule = e->g->alts[x.alt].rule;
    int rc = 0;
    if (x.origin == e->set)
        return 0;
    const wait *end, *w = find_wait(e, x.origin, rule, &end);
    if (w && w->passed)
        return add(e, w->top);
    for (; rc == 0 && w && w < end && w->rule == rule; w++) {
        item y = item_at(e, w->item);
        rc = add(e, (item){y.alt, y.dot + 1, y.origin});
    }
    return rc;
}

static int by_rule(const void *a, const void *b)
{
    const wait *x = a, *y = b;
    return x->rule < y->rule ? -1 : x->rule > y->rule;
}

/* Would the item that waits be complete, and does nothing else wait for its rule? */
static bool alone(const earley *e, const wait *w, const wait *begin, const wait *end)
{
    item x = item_at(e, w->item);
    return (w == begin || w[-1].rule != w->rule) &&
           (w + 1 == end || w[1].rule != w->rule) && x.dot + 1 == e->g->alts[x.alt].n &&
           (e->set > 0 || w->rule != e->g->root); /* the text waits for it too */
}

/* What is complete in the end once the rule is for which only w waits. */
static void pass_over(const earley *e, wait *w, const wait *begin, const wait *end)
{
    const wait *above, *behind;
    item x = item_at(e, w->item);
    if (!alone(e, w, begin, end))
        return;
    w->passed = true;
    w->top = (item){x.alt, x.dot + 1, x.origin};
    for (const wait *turn = begin; x.origin == e->set; turn++) {
        above = rule_in(begin, end, e->g->alts[x.alt].rule);
        if (!above || !alone(e, above, begin, end)) {
            w->top = (item){x.alt, x.dot + 1, x.origin};
            return;
        }
        if (turn == end)
            return; /* round in a circle */
        x = item_at(e, above->item);
    }
    w->top = (item){x.alt, x.dot + 1, x.origin};
    above = find_wait(e, x.origin, e->g->alts[x.alt].rule, &behind);
    if (above && above->passed)
        w->top = above->top;
}

/* The items of the set that wait, by rule. */
static int list_waits(earley *e)
{
    size_t before = e->waits.len / sizeof(wait);
    for (size_t i = e->first; i < n_items(e); i++) {
        const gbnf_symbol *s = symbol_behind(e, item_at(e, i));
        wait w = {.rule = s ? s->index : 0, .item = (uint32_t)i};
        if (s && s->is_rule && st_buf_add(&e->waits, &w, sizeof w) < 0)
            return out_of_memory(e);
    }
    size_t n = e->waits.len / sizeof(wait);
    wait *w = (void *)e->waits.data;
    if (n > before)
        qsort(w + before, n - before, sizeof *w, by_rule);
    for (size_t i = before; i < n; i++)
        pass_over(e, &w[i], w + before, w + n);
    return st_buf_add(&e->sets, &n, sizeof n) < 0 ? out_of_memory(e) : 0;
}

/* All that follows from the items of the set without reading on. */
static int fill_set(earley *e)
{
    int rc = 0;
    for (size_t i = e->first; rc == 0 && i < n_items(e); i++) {
        item x = item_at(e, i);
        const gbnf_symbol *s = symbol_behind(e, x);
        if (!s)
            rc = complete(e, x);
        else if (s->is_rule)
            rc = predict(e, x, s->index);
    }
    return rc < 0 ? rc : list_waits(e);
}

static bool in_class(const gbnf *g, uint32_t number, uint32_t c)
{
    size_t n;
    const gbnf_range *x = gbnf_class(g, number, &n);
    for (size_t i = 0; i < n; i++) {
        if (c >= x[i].lo && c <= x[i].hi)
            return true;
    }
    return false;
}

/* The next set begins with the items that the character leads on; none: no text. */
static int scan(earley *e, uint32_t c)
{
    size_t first = e->first, end = n_items(e);
    int rc = 0;
    intern_keep(&e->known, 0);
    e->first = end;
    e->set++;
    for (size_t i = first; rc == 0 && i < end; i++) {
        item x = item_at(e, i);
        const gbnf_symbol *s = symbol_behind(e, x);
        if (s && !s->is_rule && in_class(e->g, s->index, c))
            rc = add(e, (item){x.alt, x.dot + 1, x.origin});
    }
    return rc;
}

static bool complete_at_end(const earley *e)
{
    for (size_t i = e->first; i < n_items(e); i++) {
        item x = item_at(e, i);
        if (x.origin == 0 && !symbol_behind(e, x) && e->g->alts[x.alt].rule == e->g->root)
            return true;
    }
    return false;
}

static int read_text(earley *e, const char *text, size_t len)
{
    const gbnf_rule *root = &e->g->rules[e->g->root];
    size_t zero = 0;
    int rc = st_buf_add(&e->sets, &zero, sizeof zero) < 0 ? out_of_memory(e) : 0;
    e->predicted[e->g->root] = 1;
    for (uint32_t i = 0; rc == 0 && i < root->n; i++)
        rc = add(e, (item){root->begin + i, 0, 0});
    if (rc == 0)
        rc = fill_set(e);
    for (size_t at = 0, used; rc == 0 && at < len; at += used) {
        uint32_t c = st_utf8_decode(text + at, len - at, &used);
        if (c == ST_UTF8_BAD)
            return st_err_set(e->err, ST_EFORMAT, "not UTF-8 at byte %zu", at);
        rc = scan(e, c);
        if (rc == 0 && n_items(e) == e->first)
            return st_err_set(e->err, ST_EFORMAT, "no rule goes on at byte %zu", at);
        if (rc == 0)
            rc = fill_set(e);
    }
    if (rc == 0 && !complete_at_end(e))
        rc = st_err_set(e->err, ST_EFORMAT, "the text ends too early, at byte %zu", len);
    return rc;
}

int gbnf_earley(const gbnf *g, const char *text, size_t len, st_err *err)
{
    earley e = {.g = g, .err = err};
    e.nullable = st_zalloc_n(g->n_rules, sizeof *e.nullable);
    e.predicted = st_zalloc_n(g->n_rules, sizeof *e.predicted);
    st_buf_init(&e.items, SIZE_MAX / 2);
    st_buf_init(&e.waits, SIZE_MAX / 2);
    st_buf_init(&e.sets, SIZE_MAX / 2);
    int rc = e.nullable && e.predicted ? 0 : out_of_memory(&e);
    if (rc == 0) {
        find_nullable(&e);
        rc = read_text(&e, text, len);
    }
    st_free(e.nullable);
    st_free(e.predicted);
    st_buf_done(&e.items);
    st_buf_done(&e.waits);
    st_buf_done(&e.sets);
    intern_done(&e.known);
    return rc;
}
