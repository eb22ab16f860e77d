/* grammar/gbnf_automaton.c - a context-free grammar run over bytes: a state is the set
 * of stacks that what was read may have led to.
 *
 * A stack is a place (the symbol to be read next), the table inside a character that is
 * not complete, and the number of the stack below, to which the alternative comes back;
 * 0 is the bottom.  Stacks are kept by value and so share what lies below.  In a state
 * every stack stands at a class, or is 0: the text may end.  A rule at the end of its
 * alternative replaces it, so repetition needs no depth.
 *
 * Of each state it is noted whether plain text leads on for ever (some stacks at classes
 * with all of it come back to such), and whether it leads back to the state. */
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
    uint8_t *room; /* [cap_room] of each state: ROOM_... */
    uint32_t cap_room;
    intern plain; /* uint32_t[], sets of stacks: numbers are forgotten at once */
} rules_automaton;

enum { ROOM_NONE, ROOM_ENDLESS, ROOM_LOOPS };

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

/* What was found, each once and in order. */
static void sort_found(rules_automaton *a)
{
    uint32_t n = 0;
    if (a->n_found > 0)
        qsort(a->found, a->n_found, sizeof *a->found, by_number);
    for (uint32_t i = 0; i < a->n_found; i++) {
        if (i == 0 || a->found[i] != a->found[i - 1])
            a->found[n++] = a->found[i];
    }
    a->n_found = n;
}

static rules_plain plain_at(const rules_automaton *a, uint32_t number)
{
    if (number == 0)
        return RULES_NONE;
    stack s = get(&a->stacks, number);
    return s.table ? RULES_SOME : a->r->plain[a->r->symbols[s.place].index];
}

/* Keep of what was found the stacks at classes with all plain text. */
static void keep_plain(rules_automaton *a)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < a->n_found; i++) {
        if (plain_at(a, a->found[i]) == RULES_ALL)
            a->found[n++] = a->found[i];
    }
    a->n_found = n;
}

/* What was found, as a number that is the same for the same. */
static int number_found(rules_automaton *a, uint32_t *ret, st_err *err)
{
    return intern_put(&a->plain, a->found, a->n_found * sizeof *a->found, ret, err);
}

/* From the stacks that were found, over a character that all of them take. */
static int go_plain(rules_automaton *a, st_err *err)
{
    int rc = 0;
    intern_keep(&a->open, 0);
    for (uint32_t i = 0; rc == 0 && i < a->n_found; i++) {
        stack s = get(&a->stacks, a->found[i]);
        rc = open_place(a, s.place + 1, s.below, err);
    }
    a->n_found = 0;
    if (rc == 0)
        rc = close_over(a, err);
    sort_found(a);
    return rc;
}

/* The room of the state that was found. */
static int find_room(rules_automaton *a, uint8_t *ret, st_err *err)
{
    uint32_t state, next, first, second;
    bool mixed = false;
    int rc = number_found(a, &state, err);
    for (uint32_t i = 0; i < a->n_found; i++)
        mixed = mixed || plain_at(a, a->found[i]) == RULES_SOME;
    keep_plain(a);
    *ret = ROOM_NONE;
    if (rc < 0 || a->n_found == 0)
        return rc;
    rc = go_plain(a, err);
    if (rc == 0)
        rc = number_found(a, &next, err);
    keep_plain(a);
    if (rc == 0)
        rc = number_found(a, &first, err);
    if (rc == 0 && next == state && !mixed)
        *ret = ROOM_LOOPS;
    if (rc < 0 || *ret == ROOM_LOOPS || a->n_found == 0)
        return rc;
    rc = go_plain(a, err);
    keep_plain(a);
    if (rc == 0)
        rc = number_found(a, &second, err);
    if (rc == 0 && first == second)
        *ret = ROOM_ENDLESS;
    return rc;
}

static int note_room(rules_automaton *a, state_id s, st_err *err)
{
    if (s >= a->cap_room) {
        uint32_t cap = s + s / 2 + 64;
        uint8_t *room = st_realloc_n(a->room, cap, 1);
        if (!room)
            return st_err_set(err, ST_ENOMEM, "out of memory for a grammar's states");
        a->room = room;
        a->cap_room = cap;
    }
    intern_keep(&a->plain, 0);
    return find_room(a, &a->room[s], err);
}

/* The state of what was found. */
static int settle(rules_automaton *a, state_id *ret, st_err *err)
{
    uint32_t known = a->states.n;
    sort_found(a);
    if (a->n_found == 0) {
        *ret = STATE_DEAD;
        return 0;
    }
    int rc = intern_put(&a->states, a->found, a->n_found * sizeof *a->found, ret, err);
    if (rc < 0 || *ret <= known)
        return rc;
    rc = note_room(a, *ret, err);
    if (rc < 0)
        intern_keep(&a->states, known); /* its room is not known */
    return rc;
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

static uint32_t automaton_room(const automaton *base, state_id s)
{
    const rules_automaton *a = (const rules_automaton *)base;
    return a->room[s] == ROOM_NONE ? 0 : UINT32_MAX;
}

static bool automaton_loops(const automaton *base, state_id s)
{
    const rules_automaton *a = (const rules_automaton *)base;
    return a->room[s] == ROOM_LOOPS;
}

static size_t automaton_bytes(const automaton *base)
{
    const rules_automaton *a = (const rules_automaton *)base;
    return intern_bytes(&a->stacks) + intern_bytes(&a->states) + intern_bytes(&a->open) +
           intern_bytes(&a->plain) + a->cap_found * sizeof *a->found + a->cap_room;
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
    intern_done(&a->plain);
    st_free(a->found);
    st_free(a->room);
    st_free(a);
}

static const automaton_ops ops = {
    .free = rules_automaton_free,
    .step = automaton_step,
    .accepts = automaton_accepts,
    .bytes = automaton_bytes,
    .forget = automaton_forget,
    .room = automaton_room,
    .loops = automaton_loops,
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
