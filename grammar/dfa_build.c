/* grammar/dfa_build.c - from a table of any states to a trimmed automaton. */
#include "grammar/dfa_build.h"

#include "base/hash.h"
#include "base/mem.h"
#include <string.h>

int dfa_out_of_memory(st_err *err)
{
    return st_err_set(err, ST_ENOMEM, "out of memory for an automaton");
}

static int too_many(st_err *err)
{
    st_err_set(err, ST_ELIMIT, "the automaton has more than %d states",
               (int)DFA_MAX_STATES);
    st_err_hint(err, "use smaller counts, or fewer parts that can begin alike");
    return ST_ELIMIT;
}

static int draft_room(dfa_draft *w, st_err *err)
{
    if (w->n_states < w->cap)
        return 0;
    uint32_t cap = w->cap ? 2 * w->cap : 16;
    if (w->n_states >= DRAFT_MAX_STATES ||
        (size_t)w->n_states * w->n_classes >= DRAFT_MAX_CELLS)
        return too_many(err);
    uint32_t *next = st_realloc_n(w->next, (size_t)cap * w->n_classes, sizeof *next);
    if (next)
        w->next = next;
    uint32_t *label = st_realloc_n(w->label, cap, sizeof *label);
    if (label)
        w->label = label;
    if (!next || !label)
        return dfa_out_of_memory(err);
    w->cap = cap;
    return 0;
}

int dfa_draft_add(dfa_draft *w, uint32_t label, uint32_t *ret_state, st_err *err)
{
    int rc = draft_room(w, err);
    if (rc < 0)
        return rc;
    memset(dfa_draft_row(w, w->n_states), 0, w->n_classes * sizeof *w->next);
    w->label[w->n_states] = label;
    *ret_state = w->n_states++;
    return 0;
}

int dfa_draft_init(dfa_draft *w, const uint8_t class_of[256], uint32_t n_classes,
                   st_err *err)
{
    uint32_t dead;
    *w = (dfa_draft){.n_classes = n_classes};
    memcpy(w->class_of, class_of, sizeof w->class_of);
    return dfa_draft_add(w, 0, &dead, err);
}

void dfa_draft_done(dfa_draft *w)
{
    st_free(w->next);
    st_free(w->label);
    *w = (dfa_draft){0};
}

/* new_of[s]: the state's number in the order in which a search from the start meets it,
 * from 1 on; 0: not met.  Ways into states with !keep are not gone.  `order` is the
 * reverse.  Returns how many were met, state 0 included. */
static uint32_t number_states(const dfa_draft *w, const uint8_t *keep, uint32_t *new_of,
                              uint32_t *order)
{
    uint32_t n = 1;
    memset(new_of, 0, w->n_states * sizeof *new_of);
    order[0] = DFA_DEAD;
    if (w->start == DFA_DEAD || (keep && !keep[w->start]))
        return n;
    order[n] = w->start;
    new_of[w->start] = n++;
    for (uint32_t i = 1; i < n; i++) {
        const uint32_t *row = dfa_draft_row(w, order[i]);
        for (uint32_t c = 0; c < w->n_classes; c++) {
            uint32_t to = row[c];
            if (to == DFA_DEAD || new_of[to] || (keep && !keep[to]))
                continue;
            order[n] = to;
            new_of[to] = n++;
        }
    }
    return n;
}

/* The ways into each living state: from[begin[s]] .. from[begin[s + 1] - 1]. */
static int list_sources(const dfa_draft *w, uint32_t **ret_begin, uint32_t **ret_from,
                        st_err *err)
{
    size_t n = w->n_states, cells = n * w->n_classes;
    uint32_t *begin = st_zalloc_n(n + 1, sizeof *begin);
    if (!begin)
        return dfa_out_of_memory(err);
    for (size_t i = w->n_classes; i < cells; i++) {
        if (w->next[i] != DFA_DEAD)
            begin[w->next[i]]++;
    }
    for (size_t s = 0; s < n; s++)
        begin[s + 1] += begin[s];
    uint32_t *from = st_alloc_n(begin[n], sizeof *from);
    if (!from) {
        st_free(begin);
        return dfa_out_of_memory(err);
    }
    for (uint32_t s = w->n_states; s-- > 1;) {
        const uint32_t *row = dfa_draft_row(w, s);
        for (uint32_t c = 0; c < w->n_classes; c++) {
            if (row[c] != DFA_DEAD)
                from[--begin[row[c]]] = s;
        }
    }
    *ret_begin = begin;
    *ret_from = from;
    return 0;
}

/* keep[s]: a state with a label can be reached from s. */
static int find_living(const dfa_draft *w, uint8_t *keep, st_err *err)
{
    uint32_t *begin = NULL, *from = NULL, depth = 0;
    int rc = list_sources(w, &begin, &from, err);
    if (rc < 0)
        return rc;
    uint32_t *stack = st_alloc_n(w->n_states, sizeof *stack);
    if (stack) {
        for (uint32_t s = 1; s < w->n_states; s++) {
            keep[s] = w->label[s] != 0;
            if (keep[s])
                stack[depth++] = s;
        }
        while (depth) {
            uint32_t s = stack[--depth];
            for (uint32_t i = begin[s]; i < begin[s + 1]; i++) {
                if (keep[from[i]])
                    continue;
                keep[from[i]] = 1;
                stack[depth++] = from[i];
            }
        }
    }
    st_free(begin);
    st_free(from);
    st_free(stack);
    return stack ? 0 : dfa_out_of_memory(err);
}

/* The draft again with only the states of `order`. */
static int renumber(const dfa_draft *w, const uint32_t *new_of, const uint32_t *order,
                    uint32_t n, dfa_draft *ret, st_err *err)
{
    *ret = (dfa_draft){.n_states = n, .n_classes = w->n_classes, .cap = n};
    memcpy(ret->class_of, w->class_of, sizeof ret->class_of);
    ret->next = st_zalloc_n((size_t)n * w->n_classes, sizeof *ret->next);
    ret->label = st_zalloc_n(n, sizeof *ret->label);
    if (!ret->next || !ret->label) {
        dfa_draft_done(ret);
        return dfa_out_of_memory(err);
    }
    for (uint32_t i = 1; i < n; i++) {
        const uint32_t *row = dfa_draft_row(w, order[i]);
        uint32_t *to = dfa_draft_row(ret, i);
        for (uint32_t c = 0; c < w->n_classes; c++)
            to[c] = new_of[row[c]];
        ret->label[i] = w->label[order[i]];
    }
    ret->start = new_of[w->start];
    return 0;
}

/* What can be reached and leads on. */
static int trim(const dfa_draft *w, dfa_draft *ret, st_err *err)
{
    uint8_t *keep = st_zalloc_n(w->n_states, 1);
    uint32_t *new_of = st_alloc_n(w->n_states, 2 * sizeof *new_of);
    int rc = keep && new_of ? find_living(w, keep, err) : dfa_out_of_memory(err);
    if (!rc) {
        uint32_t *order = new_of + w->n_states;
        uint32_t n = number_states(w, keep, new_of, order);
        rc = renumber(w, new_of, order, n, ret, err);
    }
    st_free(keep);
    st_free(new_of);
    return rc;
}

/* One state for each block, the start first and the others as they are met. */
static int merge_states(dfa_draft *w, st_err *err)
{
    uint32_t n_blocks;
    uint32_t *block = st_alloc_n(w->n_states, 3 * sizeof *block);
    if (!block)
        return dfa_out_of_memory(err);
    uint32_t *new_of = block + w->n_states, *order = new_of + w->n_states;
    block[0] = 0;
    int rc = dfa_minimise(w, block, &n_blocks, err);
    if (!rc && n_blocks + 1 < w->n_states) {
        /* States come in the order of a search from the start: the first of each block
         * are in that order too. */
        uint32_t *number = order; /* [block] */
        memset(number, 0, n_blocks * sizeof *number);
        uint32_t n = 1;
        new_of[0] = 0;
        for (uint32_t s = 1; s < w->n_states; s++) {
            if (number[block[s]] == 0) {
                number[block[s]] = n;
                w->label[n] = w->label[s];
                memmove(dfa_draft_row(w, n), dfa_draft_row(w, s),
                        w->n_classes * sizeof *w->next);
                n++;
            }
            new_of[s] = number[block[s]];
        }
        w->n_states = n;
        size_t cells = (size_t)n * w->n_classes;
        for (size_t i = 0; i < cells; i++)
            w->next[i] = new_of[w->next[i]];
    }
    st_free(block);
    return rc;
}

static bool same_column(const dfa_draft *w, uint32_t a, uint32_t b)
{
    for (uint32_t s = 1; s < w->n_states; s++) {
        const uint32_t *row = dfa_draft_row(w, s);
        if (row[a] != row[b])
            return false;
    }
    return true;
}

/* class_to[c] -> its number among classes that differ, in the order of their first byte.
 */
static int merge_classes(const dfa_draft *w, uint8_t class_to[256], uint32_t *ret_n,
                         uint8_t ret_first[256], st_err *err)
{
    uint64_t *hash = st_zalloc_n(w->n_classes, sizeof *hash);
    bool seen[256] = {false};
    if (!hash)
        return dfa_out_of_memory(err);
    for (uint32_t s = 1; s < w->n_states; s++) {
        const uint32_t *row = dfa_draft_row(w, s);
        for (uint32_t c = 0; c < w->n_classes; c++)
            hash[c] = (hash[c] ^ row[c]) * 0x9E3779B97F4A7C15u;
    }
    uint32_t n = 0;
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint8_t c = w->class_of[byte];
        if (seen[c])
            continue;
        seen[c] = true;
        uint32_t k = 0;
        while (k < n &&
               (hash[ret_first[k]] != hash[c] || !same_column(w, ret_first[k], c)))
            k++;
        if (k == n)
            ret_first[n++] = c;
        class_to[c] = (uint8_t)k;
    }
    *ret_n = n;
    st_free(hash);
    return 0;
}

static int to_dfa(const dfa_draft *w, dfa **ret, st_err *err)
{
    uint8_t class_to[256], first[256];
    uint32_t n = 0;
    int rc = merge_classes(w, class_to, &n, first, err);
    if (rc < 0)
        return rc;
    dfa *d = st_zalloc_n(1, sizeof *d);
    if (d) {
        *d = (dfa){.n_states = w->n_states, .n_classes = n, .start = w->start};
        d->next = st_alloc_n((size_t)w->n_states * n, sizeof *d->next);
        d->label = st_dup(w->label, w->n_states * sizeof *w->label);
    }
    if (!d || !d->next || !d->label) {
        dfa_free(d);
        return dfa_out_of_memory(err);
    }
    for (uint32_t byte = 0; byte < 256; byte++)
        d->class_of[byte] = class_to[w->class_of[byte]];
    for (uint32_t s = 0; s < w->n_states; s++) {
        const uint32_t *row = dfa_draft_row(w, s);
        for (uint32_t k = 0; k < n; k++)
            d->next[(size_t)s * n + k] = row[first[k]];
    }
    *ret = d;
    return 0;
}

int dfa_finish(const dfa_draft *w, bool merge, dfa **ret, st_err *err)
{
    dfa_draft t;
    int rc = trim(w, &t, err);
    if (rc < 0)
        return rc;
    if (merge && t.n_states > 1)
        rc = merge_states(&t, err);
    if (!rc && t.n_states > DFA_MAX_STATES)
        rc = too_many(err);
    if (!rc)
        rc = to_dfa(&t, ret, err);
    dfa_draft_done(&t);
    return rc;
}
