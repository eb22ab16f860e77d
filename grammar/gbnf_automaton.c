/* grammar/gbnf_automaton.c - a context-free grammar run over bytes: a state is the set
 * of stacks that what was read may have led to.
 *
 * A stack is a place (the symbol to be read next), the table inside a character that is
 * not complete, and the number of the stack below, to which the alternative comes back;
 * 0 is the bottom.  Stacks are kept by value and so share what lies below.  In a state
 * every stack stands at a class, or is 0: the text may end.  A rule at the end of its
 * alternative replaces it, so repetition needs no depth. */
#include "grammar/gbnf_rules.h"

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_STACKS = 1 << 11 }; /* of one state */

typedef struct stack {
    uint32_t place;
    uint32_t table; /* 0: the character begins */
    uint32_t below;
} stack;

typedef struct rules_automaton {
    automaton base;
    const rules *r;
    intern stacks;
    intern states;    /* uint32_t[], stacks in order */
    uint32_t n_first; /* stacks of the start */
    intern open;      /* stack[]: places that are gone through now, in order of sight */
    uint32_t *found;
    uint32_t n_found, cap_found;
} rules_automaton;

static int find(rules_automaton *a, uint32_t number, st_err *err)
{
    if (a->n_found == MOST_STACKS)
        return st_err_set(err, ST_ELIMIT, "the grammar leaves over %d ways open here",
                          MOST_STACKS);
    if (a->n_found == a->cap_found) {
        uint32_t cap = a->cap_found ? 2 * a->cap_found : 64;
        uint32_t *found = st_realloc_n(a->found, cap, sizeof *found);
        if (!found)
            return st_err_set(err, ST_ENOMEM, "out of memory for a grammar's states");
        a->found = found;
        a->cap_found = cap;
    }
    a->found[a->n_found++] = number;
    return 0;
}

static int find_stack(rules_automaton *a, stack s, st_err *err)
{
    uint32_t number;
    int rc = intern_put(&a->stacks, &s, sizeof s, &number, err);
    return rc < 0 ? rc : find(a, number, err);
}

static int open_place(rules_automaton *a, uint32_t place, uint32_t below, st_err *err)
{
    uint32_t number;
    stack s = {place, 0, below};
    return intern_put(&a->open, &s, sizeof s, &number, err);
}

static stack get(const intern *from, uint32_t number)
{
    stack s;
    size_t len;
    memcpy(&s, intern_get(from, number, &len), sizeof s);
    return s;
}

/* All alternatives of the rule at a place. */
static int open_rule(rules_automaton *a, stack s, st_err *err)
{
    const rules *r = a->r;
    uint32_t rule = r->symbols[s.place].index, below = s.below;
    int rc = 0;
    if (r->symbols[s.place + 1].kind != RULES_END) {
        stack back = {s.place + 1, 0, s.below};
        rc = intern_put(&a->stacks, &back, sizeof back, &below, err);
    }
    for (uint32_t i = r->first[rule]; rc == 0 && i < r->first[rule + 1]; i++)
        rc = open_place(a, r->starts[i], below, err);
    return rc;
}

/* From the open places to the classes that can be read next. */
static int close_over(rules_automaton *a, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 1; rc == 0 && i <= a->open.n; i++) {
        stack s = get(&a->open, i), back;
        switch (a->r->symbols[s.place].kind) {
        case RULES_CLASS:
            rc = find_stack(a, s, err);
            break;
        case RULES_RULE:
            rc = open_rule(a, s, err);
            break;
        case RULES_END:
            if (s.below == 0) {
                rc = find(a, 0, err);
            } else {
                back = get(&a->stacks, s.below);
                rc = open_place(a, back.place, back.below, err);
            }
            break;
        }
    }
    return rc;
}

static int by_number(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

/* The state of what was found. */
static int settle(rules_automaton *a, state_id *ret, st_err *err)
{
    uint32_t n = 0;
    if (a->n_found == 0) {
        *ret = STATE_DEAD;
        return 0;
    }
    qsort(a->found, a->n_found, sizeof *a->found, by_number);
    for (uint32_t i = 0; i < a->n_found; i++) {
        if (i == 0 || a->found[i] != a->found[i - 1])
            a->found[n++] = a->found[i];
    }
    return intern_put(&a->states, a->found, n * sizeof *a->found, ret, err);
}

static int automaton_step(automaton *base, state_id s, uint8_t byte, state_id *ret,
                          st_err *err)
{
    rules_automaton *a = (rules_automaton *)base;
    const rules *r = a->r;
    size_t size;
    const uint32_t *stacks = intern_get(&a->states, s, &size);
    int rc = 0;
    a->n_found = 0;
    intern_keep(&a->open, 0);
    for (size_t i = 0; rc == 0 && i < size / sizeof *stacks; i++) {
        if (stacks[i] == 0)
            continue;
        stack k = get(&a->stacks, stacks[i]);
        uint32_t table = k.table ? k.table : r->symbols[k.place].index;
        uint32_t to = r->next[(size_t)table * 256 + byte];
        if (to == RULES_DONE)
            rc = open_place(a, k.place + 1, k.below, err);
        else if (to != RULES_DEAD)
            rc = find_stack(a, (stack){k.place, to, k.below}, err);
    }
    if (rc == 0)
        rc = close_over(a, err);
    return rc < 0 ? rc : settle(a, ret, err);
}

static bool automaton_accepts(const automaton *base, state_id s)
{
    const rules_automaton *a = (const rules_automaton *)base;
    size_t size;
    const uint32_t *stacks = intern_get(&a->states, s, &size);
    return stacks[0] == 0;
}

static size_t automaton_bytes(const automaton *base)
{
    const rules_automaton *a = (const rules_automaton *)base;
    return intern_bytes(&a->stacks) + intern_bytes(&a->states) + intern_bytes(&a->open) +
           a->cap_found * sizeof *a->found;
}

static void automaton_forget(automaton *base)
{
    rules_automaton *a = (rules_automaton *)base;
    intern_keep(&a->states, STATE_START);
    intern_keep(&a->stacks, a->n_first);
    intern_keep(&a->open, 0);
}

static void rules_automaton_free(automaton *base)
{
    rules_automaton *a = (rules_automaton *)base;
    intern_done(&a->stacks);
    intern_done(&a->states);
    intern_done(&a->open);
    st_free(a->found);
    st_free(a);
}

static const automaton_ops ops = {
    .free = rules_automaton_free,
    .step = automaton_step,
    .accepts = automaton_accepts,
    .bytes = automaton_bytes,
    .forget = automaton_forget,
};

int rules_automaton_new(const rules *r, automaton **ret, st_err *err)
{
    rules_automaton *a = st_zalloc_n(1, sizeof *a);
    state_id start;
    if (!a)
        return st_err_set(err, ST_ENOMEM, "out of memory for a grammar's states");
    a->base.ops = &ops;
    a->r = r;
    int rc = 0;
    for (uint32_t i = r->first[r->root]; rc == 0 && i < r->first[r->root + 1]; i++)
        rc = open_place(a, r->starts[i], 0, err);
    if (rc == 0)
        rc = close_over(a, err);
    if (rc == 0)
        rc = settle(a, &start, err);
    if (rc < 0) {
        rules_automaton_free(&a->base);
        return rc;
    }
    a->n_first = a->stacks.n;
    *ret = &a->base;
    return 0;
}
