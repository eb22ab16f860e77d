/* grammar/regex_states.c - the subset construction, with anchors and look-ahead.
 *
 * A state is what stands before (for ^ and \b) and a set of items.  An item is a node of
 * the pattern that may be next, together with a duty: what the rest of the text must be
 * because of look-ahead met on the way there.  A look is an automaton of its own, made
 * first and deterministic, negated when it must not match; a duty is a set of states of
 * such automata, all of which must accept the rest.  States of a look that accept
 * everything are dropped from a duty, those that accept nothing end the item.
 *
 * Nodes that read nothing are passed before each character, when it is known what the
 * character is (a word's or not) or that there is none: so $ and \b are decided at once.
 */
#include "grammar/regex_states.h"

#include "base/mem.h"
#include "grammar/dfa_build.h"
#include <stdlib.h>
#include <string.h>

enum {
    MAX_WORK = 1 << 24, /* items looked at: a few hundred milliseconds at the worst */
    MAX_LOOK_STATES = 4000,
    NEXT_END = N_BEFORE, /* beside BEFORE_WORD and BEFORE_OTHER: what comes next */
};

#define ALL UINT64_MAX /* the only item of the state that accepts whatever follows */

typedef struct list {
    uint64_t *items;
    size_t n, cap;
} list;

typedef struct machine {
    const regex_tree *t;
    const regex_atoms *atoms;
    const regex_nfa *a;
    regex_table *looks; /* [n_looks] those made so far */
    intern duties;      /* sets of look << 32 | state; number 0: no duty */
    intern states;
    regex_table *table; /* under construction */
    uint32_t cap;
    uint32_t max_states;
    uint32_t *stamp; /* [n nodes] the last round in which it was met without a duty */
    uint32_t round;
    list open, seen, closed; /* of one round: still to pass, with duties, what reads */
    list pushed, key, duty;
    size_t *begin, *end; /* [n_atoms + 1] those of `pushed` that an atom leads to */
    uint64_t work;
    st_err *err;
} machine;

static int no_memory(machine *m)
{
    return st_err_set(m->err, ST_ENOMEM, "out of memory for a pattern");
}

static int too_complex(machine *m)
{
    st_err_set(m->err, ST_ELIMIT,
               "the pattern is too complex to be held: too many states");
    st_err_hint(m->err, "use smaller counts, or fewer parts that can begin alike");
    return ST_ELIMIT;
}

static int room_for(machine *m, list *l, size_t n)
{
    if (n <= l->cap)
        return 0;
    size_t cap = n + n / 2 + 16;
    uint64_t *items = st_realloc_n(l->items, cap, sizeof *items);
    if (!items)
        return no_memory(m);
    l->items = items;
    l->cap = cap;
    return 0;
}

static int append(machine *m, list *l, uint64_t item)
{
    int rc = room_for(m, l, l->n + 1);
    if (!rc)
        l->items[l->n++] = item;
    return rc;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sort and drop what is there twice; returns how many are left. */
static size_t sort_items(uint64_t *items, size_t n)
{
    size_t kept = 0;
    if (n > 16) {
        qsort(items, n, sizeof *items, ascending);
    } else {
        for (size_t i = 1; i < n; i++) {
            uint64_t item = items[i];
            size_t k = i;
            for (; k > 0 && items[k - 1] > item; k--)
                items[k] = items[k - 1];
            items[k] = item;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || items[i] != items[kept - 1])
            items[kept++] = items[i];
    }
    return kept;
}

/* The number of the duty in m->duty; false: it cannot be met. */
static int settle_duty(machine *m, uint32_t *ret, bool *ret_possible)
{
    size_t n = 0;
    *ret = 0;
    *ret_possible = true;
    for (size_t i = 0; i < m->duty.n; i++) {
        uint64_t one = m->duty.items[i];
        uint8_t fate = m->looks[one >> 32].fate[(uint32_t)one];
        *ret_possible = *ret_possible && (fate & FATE_YES);
        if (fate & FATE_NO)
            m->duty.items[n++] = one;
    }
    n = sort_items(m->duty.items, n);
    if (n == 0 || !*ret_possible)
        return 0;
    return intern_put(&m->duties, m->duty.items, n * sizeof *m->duty.items, ret, m->err);
}

/* Copy a duty to m->duty, each of its states after one more atom (REGEX_NO_ATOM: as it
 * is). */
static int load_duty(machine *m, uint32_t duty, uint32_t atom)
{
    size_t len = 0;
    const uint64_t *states = duty ? intern_get(&m->duties, duty, &len) : NULL;
    m->duty.n = len / sizeof *states;
    int rc = room_for(m, &m->duty, m->duty.n + 1);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < m->duty.n; i++) {
        uint32_t look = (uint32_t)(states[i] >> 32), state = (uint32_t)states[i];
        if (atom != REGEX_NO_ATOM)
            state = m->looks[look].next[(size_t)state * m->atoms->n + atom];
        m->duty.items[i] = (uint64_t)look << 32 | state;
    }
    return 0;
}

static int add_look(machine *m, uint32_t look, regex_before before, uint32_t *duty,
                    bool *ret_possible)
{
    int rc = load_duty(m, *duty, REGEX_NO_ATOM);
    if (rc < 0)
        return rc;
    m->duty.items[m->duty.n++] = (uint64_t)look << 32 | m->looks[look].start[before];
    return settle_duty(m, duty, ret_possible);
}

static bool duty_met(const machine *m, uint32_t duty)
{
    size_t len = 0;
    const uint64_t *states = duty ? intern_get(&m->duties, duty, &len) : NULL;
    for (size_t i = 0; i < len / sizeof *states; i++) {
        if (!m->looks[states[i] >> 32].accept[(uint32_t)states[i]])
            return false;
    }
    return true;
}

/* Was this item met in this round?  If not, it is now. */
static int is_new(machine *m, uint64_t item, bool *ret)
{
    uint32_t node = (uint32_t)(item >> 32);
    *ret = false;
    m->work++;
    if (m->stamp[node] == m->round)
        return 0;
    *ret = true;
    if ((uint32_t)item == 0) {
        m->stamp[node] = m->round;
        return 0;
    }
    for (size_t i = 0; i < m->seen.n && *ret; i++)
        *ret = m->seen.items[i] != item;
    m->work += m->seen.n;
    return *ret ? append(m, &m->seen, item) : 0;
}

static bool may_pass(uint32_t kind, regex_before before, int next)
{
    bool edge = (before == BEFORE_WORD) != (next == BEFORE_WORD);
    return kind == NFA_BEGIN  ? before == BEFORE_NOTHING
           : kind == NFA_END  ? next == NEXT_END
           : kind == NFA_WORD ? edge
                              : !edge;
}

/* Pass one item: what it leads to without reading is open next. */
static int pass(machine *m, uint64_t item, regex_before before, int next)
{
    const nfa_node *node = &m->a->nodes[item >> 32];
    uint32_t duty = (uint32_t)item;
    bool on = true;
    int rc = 0;
    switch ((nfa_kind)node->kind) {
    case NFA_MATCH:
    case NFA_SET:
        return append(m, &m->closed, item);
    case NFA_FORK:
        rc = append(m, &m->open, (uint64_t)node->arg << 32 | duty);
        break;
    case NFA_LOOK:
        rc = add_look(m, node->arg, before, &duty, &on);
        break;
    case NFA_BEGIN:
    case NFA_END:
    case NFA_WORD:
    case NFA_NO_WORD:
        on = may_pass(node->kind, before, next);
        break;
    }
    return rc || !on ? rc : append(m, &m->open, (uint64_t)node->to << 32 | duty);
}

/* m->closed: the items that read, and matches, behind all that reads nothing.  *ret_all:
 * a match that takes whatever follows. */
static int close_items(machine *m, const uint64_t *items, size_t n, regex_before before,
                       int next, bool *ret_all)
{
    int rc = 0;
    m->round++;
    m->open.n = m->seen.n = m->closed.n = 0;
    *ret_all = false;
    for (size_t i = 0; !rc && i < n; i++)
        rc = append(m, &m->open, items[i]);
    while (!rc && m->open.n) {
        bool fresh;
        uint64_t item = m->open.items[--m->open.n];
        rc = is_new(m, item, &fresh);
        if (!rc && fresh)
            rc = pass(m, item, before, next);
        *ret_all = *ret_all || item == (uint64_t)m->a->match_more << 32;
        if (m->work > MAX_WORK)
            return too_complex(m);
    }
    return rc;
}

/* The table's state for what m->key holds. */
static int visit(machine *m, uint32_t *ret)
{
    regex_table *t = m->table;
    uint32_t state;
    int rc = intern_put(&m->states, m->key.items, m->key.n * sizeof *m->key.items, &state,
                        m->err);
    if (rc < 0)
        return rc;
    if (state >= t->n_states) {
        if (state >= m->max_states || (size_t)state * t->n_atoms >= DRAFT_MAX_CELLS)
            return too_complex(m);
        if (state >= m->cap) {
            uint32_t cap = 2 * m->cap;
            uint32_t *next =
                st_realloc_n(t->next, (size_t)cap * t->n_atoms, sizeof *next);
            if (next)
                t->next = next;
            uint8_t *accept = st_realloc_n(t->accept, cap, 1);
            if (accept)
                t->accept = accept;
            if (!next || !accept)
                return no_memory(m);
            m->cap = cap;
        }
        t->accept[state] = 0;
        t->n_states = state + 1;
    }
    *ret = state;
    return 0;
}

static int visit_all(machine *m, uint32_t *ret)
{
    m->key.n = 0;
    int rc = append(m, &m->key, ALL);
    return rc ? rc : visit(m, ret);
}

static int visit_items(machine *m, regex_before before, uint64_t *items, size_t n,
                       uint32_t *ret)
{
    *ret = 0;
    if (n == 0)
        return 0;
    m->key.n = sort_items(items, n) + 1;
    int rc = room_for(m, &m->key, m->key.n);
    if (rc < 0)
        return rc;
    m->key.items[0] = before;
    memcpy(m->key.items + 1, items, (m->key.n - 1) * sizeof *items);
    return visit(m, ret);
}

/* Atoms that lead on from a closed item: those of its set, or any behind a match that
 * takes more. */
static uint32_t atoms_of(const machine *m, uint64_t item, const uint32_t **ret_atoms)
{
    const nfa_node *node = &m->a->nodes[item >> 32];
    *ret_atoms = NULL;
    if (node->kind == NFA_MATCH)
        return (uint32_t)(item >> 32) == m->a->match_more ? m->atoms->n : 0;
    *ret_atoms = m->atoms->list + m->atoms->begin[node->arg];
    return m->atoms->begin[node->arg + 1] - m->atoms->begin[node->arg];
}

static int push(machine *m, uint64_t item, uint32_t atom)
{
    const nfa_node *node = &m->a->nodes[item >> 32];
    uint32_t duty = (uint32_t)item;
    uint32_t to = node->kind == NFA_MATCH ? (uint32_t)(item >> 32) : node->to;
    bool on = true;
    int rc = 0;
    if (duty) {
        rc = load_duty(m, duty, atom);
        if (!rc)
            rc = settle_duty(m, &duty, &on);
    }
    if (!rc && on)
        m->pushed.items[m->end[atom]++] = (uint64_t)to << 32 | duty;
    return rc;
}

/* Where each closed item leads, sorted into m->pushed by atom. */
static int push_items(machine *m)
{
    const uint32_t *atoms;
    uint32_t n_atoms = m->atoms->n;
    memset(m->begin, 0, (n_atoms + 1) * sizeof *m->begin);
    for (size_t i = 0; i < m->closed.n; i++) {
        uint32_t count = atoms_of(m, m->closed.items[i], &atoms);
        for (uint32_t k = 0; k < count; k++)
            m->begin[(atoms ? atoms[k] : k) + 1]++;
    }
    for (uint32_t i = 0; i < n_atoms; i++)
        m->begin[i + 1] += m->begin[i];
    memcpy(m->end, m->begin, n_atoms * sizeof *m->end);
    m->work += m->begin[n_atoms];
    int rc = room_for(m, &m->pushed, m->begin[n_atoms]);
    for (size_t i = 0; !rc && i < m->closed.n; i++) {
        uint32_t count = atoms_of(m, m->closed.items[i], &atoms);
        for (uint32_t k = 0; !rc && k < count; k++)
            rc = push(m, m->closed.items[i], atoms ? atoms[k] : k);
    }
    return rc;
}

/* The ways of one state by the atoms that are `next` (a word's characters or others). */
static int step_state(machine *m, uint32_t state, const uint64_t *items, size_t n,
                      regex_before before, regex_before next)
{
    bool all;
    int rc = close_items(m, items, n, before, next, &all);
    if (!rc && !all)
        rc = push_items(m);
    for (uint32_t atom = 0; !rc && atom < m->atoms->n; atom++) {
        uint32_t to = 0;
        bool mine = !m->t->words || m->atoms->word[atom] == (next == BEFORE_WORD);
        if (mine && all)
            rc = visit_all(m, &to);
        else if (mine)
            rc = visit_items(m, next, m->pushed.items + m->begin[atom],
                             m->end[atom] - m->begin[atom], &to);
        if (!rc && mine)
            m->table->next[(size_t)state * m->atoms->n + atom] = to;
    }
    return rc;
}

static int expand(machine *m, uint32_t state, list *items)
{
    size_t len, n;
    bool all;
    const uint64_t *key = intern_get(&m->states, state, &len);
    n = len / sizeof *key;
    regex_before before = n > 1 ? (regex_before)key[0] : BEFORE_OTHER;
    if (n == 1) { /* ALL */
        m->table->accept[state] = 1;
        for (uint32_t i = 0; i < m->atoms->n; i++)
            m->table->next[(size_t)state * m->atoms->n + i] = state;
        return 0;
    }
    items->n = 0;
    int rc = room_for(m, items, n);
    if (rc < 0)
        return rc;
    memcpy(items->items, key + 1, --n * sizeof *key);
    rc = close_items(m, items->items, n, before, NEXT_END, &all);
    for (size_t i = 0; !rc && i < m->closed.n; i++) {
        uint64_t item = m->closed.items[i];
        if (m->a->nodes[item >> 32].kind == NFA_MATCH && duty_met(m, (uint32_t)item))
            m->table->accept[state] = 1;
    }
    if (!rc && m->t->words)
        rc = step_state(m, state, items->items, n, before, BEFORE_WORD);
    return rc ? rc : step_state(m, state, items->items, n, before, BEFORE_OTHER);
}

/* Find out what can still become of each state; `negated`: turn it round first. */
static int find_fates(regex_table *t, bool negated)
{
    t->fate = st_zalloc_n(t->n_states, 1);
    if (!t->fate)
        return ST_ENOMEM;
    for (uint32_t s = 0; s < t->n_states; s++) {
        t->accept[s] ^= negated;
        t->fate[s] = t->accept[s] ? FATE_YES : FATE_NO;
    }
    for (bool again = true; again;) {
        again = false;
        for (uint32_t s = t->n_states; s-- > 0;) {
            uint8_t fate = t->fate[s];
            for (uint32_t i = 0; i < t->n_atoms; i++)
                fate |= t->fate[t->next[(size_t)s * t->n_atoms + i]];
            again = again || fate != t->fate[s];
            t->fate[s] = fate;
        }
    }
    return 0;
}

/* The table of what begins at a node; for looks (`n_before` > 1) with a start for each
 * thing that may stand before. */
static int make_table(machine *m, uint32_t node, uint32_t n_before, regex_table *ret)
{
    list items = {0};
    regex_table t = {.n_states = 1, .n_atoms = m->atoms->n};
    m->table = &t;
    m->cap = 16;
    m->max_states = n_before > 1 ? MAX_LOOK_STATES : DRAFT_MAX_STATES;
    intern_done(&m->states);
    t.next = st_alloc_n((size_t)m->cap * t.n_atoms, sizeof *t.next);
    t.accept = st_zalloc_n(m->cap, 1);
    int rc = t.next && t.accept ? 0 : no_memory(m);
    if (!rc)
        memset(t.next, 0, t.n_atoms * sizeof *t.next);
    for (uint32_t before = 0; !rc && before < n_before; before++) {
        uint64_t item = (uint64_t)node << 32;
        rc = visit_items(m, (regex_before)before, &item, 1, &t.start[before]);
    }
    for (uint32_t s = 1; !rc && s < t.n_states; s++)
        rc = expand(m, s, &items);
    st_free(items.items);
    *ret = t;
    return rc;
}

static int machine_init(machine *m)
{
    m->looks = st_zalloc_n(m->a->n_looks, sizeof *m->looks);
    m->stamp = st_zalloc_n(m->a->n, sizeof *m->stamp);
    m->begin = st_zalloc_n((size_t)m->atoms->n + 1, sizeof *m->begin);
    m->end = st_zalloc_n((size_t)m->atoms->n + 1, sizeof *m->end);
    return m->looks && m->stamp && m->begin && m->end ? 0 : no_memory(m);
}

static void machine_done(machine *m)
{
    list *lists[] = {&m->open, &m->seen, &m->closed, &m->pushed, &m->key, &m->duty};
    for (size_t i = 0; i < ST_COUNT(lists); i++)
        st_free(lists[i]->items);
    for (uint32_t i = 0; m->looks && i < m->a->n_looks; i++)
        regex_table_done(&m->looks[i]);
    st_free(m->looks);
    st_free(m->stamp);
    st_free(m->begin);
    st_free(m->end);
    intern_done(&m->duties);
    intern_done(&m->states);
}

int regex_table_make(const regex_tree *t, const regex_atoms *atoms, const regex_nfa *a,
                     regex_table *ret, st_err *err)
{
    machine m = {.t = t, .atoms = atoms, .a = a, .err = err};
    regex_table table = {0};
    int rc = machine_init(&m);
    for (uint32_t i = 0; !rc && i < a->n_looks; i++) {
        rc = make_table(&m, a->looks[i].start, N_BEFORE, &m.looks[i]);
        if (!rc && find_fates(&m.looks[i], a->looks[i].negated) < 0)
            rc = no_memory(&m);
    }
    if (!rc)
        rc = make_table(&m, a->start, 1, &table);
    machine_done(&m);
    if (rc < 0)
        regex_table_done(&table);
    else
        *ret = table;
    return rc;
}

void regex_table_done(regex_table *t)
{
    st_free(t->next);
    st_free(t->accept);
    st_free(t->fate);
    *t = (regex_table){0};
}
