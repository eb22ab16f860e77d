/* grammar/dfa_minimise.c - which states of an automaton have the same language.
 *
 * Partition refinement after A. Valmari, "Fast brief practical DFA minimization"
 * (Information Processing Letters 112, 2012): blocks of states and cords of transitions
 * split each other.  Only transitions to living states are looked at, so a large sparse
 * table (a list of names) costs O(m log n) in its m transitions. */
#include "grammar/dfa_build.h"

#include "base/mem.h"
#include <string.h>

/* Sets of elements 0..n-1: set s holds item[first[s] .. past[s] - 1]. */
typedef struct partition {
    uint32_t n_sets;
    uint32_t *item;
    uint32_t *place; /* where an element is in `item` */
    uint32_t *set;   /* which set it is in */
    uint32_t *first, *past;
    uint32_t *marked;  /* [set] how many of its first items are marked */
    uint32_t *touched; /* sets with marked items */
    uint32_t n_touched;
} partition;

static void partition_done(partition *p)
{
    st_free(p->item);
}

static int partition_init(partition *p, uint32_t n, st_err *err)
{
    *p = (partition){0};
    p->item = st_zalloc_n((size_t)n + 1, 7 * sizeof *p->item);
    if (!p->item)
        return dfa_out_of_memory(err);
    uint32_t **arrays[] = {&p->place, &p->set,    &p->first,
                           &p->past,  &p->marked, &p->touched};
    for (size_t i = 0; i < ST_COUNT(arrays); i++)
        *arrays[i] = p->item + (i + 1) * ((size_t)n + 1);
    return 0;
}

static void mark(partition *p, uint32_t element)
{
    uint32_t s = p->set[element];
    uint32_t from = p->place[element], to = p->first[s] + p->marked[s];
    p->item[from] = p->item[to];
    p->place[p->item[from]] = from;
    p->item[to] = element;
    p->place[element] = to;
    if (p->marked[s]++ == 0)
        p->touched[p->n_touched++] = s;
}

/* Split the marked items off every touched set; the smaller half gets the new number. */
static void split(partition *p)
{
    while (p->n_touched) {
        uint32_t s = p->touched[--p->n_touched];
        uint32_t middle = p->first[s] + p->marked[s];
        uint32_t fresh = p->n_sets;
        if (middle < p->past[s]) {
            if (p->marked[s] <= p->past[s] - middle) {
                p->first[fresh] = p->first[s];
                p->past[fresh] = p->first[s] = middle;
            } else {
                p->past[fresh] = p->past[s];
                p->first[fresh] = p->past[s] = middle;
            }
            for (uint32_t i = p->first[fresh]; i < p->past[fresh]; i++)
                p->set[p->item[i]] = fresh;
            p->marked[fresh] = 0;
            p->n_sets++;
        }
        p->marked[s] = 0;
    }
}

/* The first sets: elements with equal keys, which are below n_keys. */
static int group(partition *p, const uint32_t *keys, uint32_t n, uint32_t n_keys,
                 st_err *err)
{
    uint32_t *begin = st_zalloc_n((size_t)n_keys + 1, sizeof *begin);
    if (!begin)
        return dfa_out_of_memory(err);
    for (uint32_t i = 0; i < n; i++)
        begin[keys[i] + 1]++;
    for (uint32_t k = 0; k < n_keys; k++) {
        if (begin[k + 1] > 0) {
            p->first[p->n_sets] = begin[k];
            p->past[p->n_sets++] = begin[k]; /* grows below */
        }
        begin[k + 1] += begin[k];
    }
    /* The number of a key's set: how many keys before it occur. */
    uint32_t set = 0;
    for (uint32_t k = 0; k < n_keys; k++) {
        bool used = begin[k + 1] > begin[k];
        begin[k] = set;
        set += used;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t s = begin[keys[i]];
        p->set[i] = s;
        p->place[i] = p->past[s];
        p->item[p->past[s]++] = i;
    }
    st_free(begin);
    return 0;
}

/* The transitions between living states, in the order of their sources. */
typedef struct arrows {
    uint32_t n;
    uint32_t *from; /* state - 1 */
    uint32_t *by;   /* class */
    uint32_t *into; /* [n_states] into_arrow[into[s] .. into[s + 1] - 1] lead to s */
    uint32_t *into_arrow;
} arrows;

static void arrows_done(arrows *a)
{
    st_free(a->from);
    st_free(a->into);
}

static int arrows_init(arrows *a, const dfa_draft *w, st_err *err)
{
    size_t cells = (size_t)w->n_states * w->n_classes;
    size_t n = 0;
    for (size_t i = w->n_classes; i < cells; i++)
        n += w->next[i] != DFA_DEAD;
    a->n = (uint32_t)n;
    a->from = st_alloc_n(n + 1, 3 * sizeof *a->from);
    a->into = st_zalloc_n((size_t)w->n_states + 1, sizeof *a->into);
    if (!a->from || !a->into)
        return dfa_out_of_memory(err);
    a->by = a->from + n;
    a->into_arrow = a->by + n;
    n = 0;
    for (uint32_t s = 1; s < w->n_states; s++) {
        const uint32_t *row = dfa_draft_row(w, s);
        for (uint32_t c = 0; c < w->n_classes; c++) {
            if (row[c] == DFA_DEAD)
                continue;
            a->from[n] = s - 1;
            a->by[n++] = c;
            a->into[row[c]]++;
        }
    }
    for (uint32_t s = 0; s < w->n_states; s++)
        a->into[s + 1] += a->into[s];
    for (uint32_t i = a->n; i-- > 0;)
        a->into_arrow[--a->into[dfa_draft_row(w, a->from[i] + 1)[a->by[i]]]] = i;
    return 0;
}

static void refine(partition *blocks, partition *cords, const arrows *a)
{
    uint32_t b = 1; /* block 0 is what all the others leave over */
    for (uint32_t c = 0; c < cords->n_sets; c++) {
        for (uint32_t i = cords->first[c]; i < cords->past[c]; i++)
            mark(blocks, a->from[cords->item[i]]);
        split(blocks);
        for (; b < blocks->n_sets; b++) {
            for (uint32_t i = blocks->first[b]; i < blocks->past[b]; i++) {
                uint32_t s = blocks->item[i] + 1;
                for (uint32_t k = a->into[s]; k < a->into[s + 1]; k++)
                    mark(cords, a->into_arrow[k]);
            }
            split(cords);
        }
    }
}

int dfa_minimise(const dfa_draft *w, uint32_t *block, uint32_t *ret_n, st_err *err)
{
    partition blocks = {0}, cords = {0};
    arrows a = {0};
    uint32_t n = w->n_states - 1, n_labels = 0;
    for (uint32_t s = 1; s < w->n_states; s++)
        n_labels = w->label[s] >= n_labels ? w->label[s] + 1 : n_labels;
    int rc = arrows_init(&a, w, err);
    if (!rc)
        rc = partition_init(&blocks, n, err);
    if (!rc)
        rc = partition_init(&cords, a.n, err);
    if (!rc)
        rc = group(&blocks, w->label + 1, n, n_labels, err);
    if (!rc)
        rc = group(&cords, a.by, a.n, w->n_classes, err);
    if (!rc) {
        refine(&blocks, &cords, &a);
        memcpy(block + 1, blocks.set, n * sizeof *block);
        *ret_n = blocks.n_sets;
    }
    arrows_done(&a);
    partition_done(&blocks);
    partition_done(&cords);
    return rc;
}
