/* engine/options.c - the trie of the continuations.
 *
 * The continuations are sorted by their tokens; then each shares its beginning with the
 * one before it, and the trie's nodes appear in depth-first order without any search:
 *
 *   "card lost" "card stolen" "cash"    0 card(-1)  1 lost(0)  2 stolen(0)  3 cash(-1) */
#include "engine/trie.h"

#include "base/mem.h"
#include <stdlib.h>

typedef struct chain { /* a continuation while sorting */
    const int32_t *ids;
    uint32_t n; /* without the end token */
    uint32_t index;
    int32_t end;
} chain;

static uint32_t chain_len(const chain *c)
{
    return c->n + (c->end >= 0);
}

static int32_t chain_at(const chain *c, uint32_t i)
{
    return i < c->n ? c->ids[i] : c->end;
}

static uint32_t chains_common(const chain *a, const chain *b)
{
    uint32_t n = chain_len(a) < chain_len(b) ? chain_len(a) : chain_len(b), i = 0;
    while (i < n && chain_at(a, i) == chain_at(b, i))
        i++;
    return i;
}

static int chain_order(const void *left, const void *right)
{
    const chain *a = left, *b = right;
    uint32_t i = chains_common(a, b);
    bool a_ends = i == chain_len(a), b_ends = i == chain_len(b);
    if (a_ends || b_ends)
        return a_ends && b_ends ? (a->index > b->index) - (a->index < b->index)
               : a_ends         ? -1
                                : 1;
    return chain_at(a, i) < chain_at(b, i) ? -1 : 1;
}

/* Sorted chains, and the number of nodes that their trie has. */
static int chains_sort(const int32_t *const *ids, const uint32_t *n_ids, uint32_t n,
                       int32_t end, chain *chains, uint32_t *ret_nodes, st_err *err)
{
    uint64_t n_nodes = 0;
    for (uint32_t i = 0; i < n; i++) {
        chains[i] = (chain){ids[i], n_ids[i], i, end};
        if (n_ids[i] == 0 || n_ids[i] >= INT32_MAX)
            return st_err_set(err, ST_EINVAL, "option %u has %u tokens", i, n_ids[i]);
    }
    qsort(chains, n, sizeof *chains, chain_order);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t common = i > 0 ? chains_common(&chains[i - 1], &chains[i]) : 0;
        if (i > 0 && common == chain_len(&chains[i]) &&
            common == chain_len(&chains[i - 1])) {
            st_err_set(err, ST_EINVAL, "options %u and %u are the same tokens",
                       chains[i - 1].index, chains[i].index);
            st_err_hint(err, "give each option a text of its own");
            return ST_EINVAL;
        }
        n_nodes += chain_len(&chains[i]) - common;
    }
    if (n_nodes >= INT32_MAX)
        return st_err_set(err, ST_ELIMIT, "the options have too many tokens");
    *ret_nodes = (uint32_t)n_nodes;
    return 0;
}

static int arrays_make(options *o)
{
    o->nodes = st_zalloc_n(o->n_nodes, sizeof *o->nodes);
    o->leaf = st_alloc_n(o->n, sizeof *o->leaf);
    o->row_node = st_alloc_n((size_t)o->n_nodes + 1, sizeof *o->row_node);
    o->row_end = st_zalloc_n((size_t)o->n_nodes + 1, sizeof *o->row_end);
    o->children = st_alloc_n(o->n_nodes, sizeof *o->children);
    return o->nodes && o->leaf && o->row_node && o->row_end && o->children ? 0
                                                                           : ST_ENOMEM;
}

/* The nodes of sorted chains.  The path to the last node added is found by its parents.
 */
static void nodes_make(options *o, const chain *chains)
{
    uint32_t made = 0, longest = 0;
    for (uint32_t c = 0; c < o->n; c++) {
        uint32_t depth = c > 0 ? chain_len(&chains[c - 1]) : 0;
        uint32_t common = c > 0 ? chains_common(&chains[c - 1], &chains[c]) : 0;
        uint32_t len = chain_len(&chains[c]);
        int32_t at = (int32_t)made - 1;
        for (; depth > common; depth--)
            at = o->nodes[at].parent;
        for (; depth < len; depth++) {
            o->nodes[made].parent = at;
            o->nodes[made].token = chain_at(&chains[c], depth);
            at = (int32_t)made++;
        }
        o->nodes[at].is_option = true;
        o->leaf[chains[c].index] = (uint32_t)at;
        longest = len > longest ? len : longest;
    }
    o->depth = longest - 1;
}

static void options_count(options *o)
{
    for (uint32_t i = o->n_nodes; i-- > 0;) {
        const trie_node *v = &o->nodes[i];
        if (v->parent < 0)
            continue;
        trie_node *above = &o->nodes[v->parent];
        uint32_t nested = v->nested + v->is_option;
        above->nested = nested > above->nested ? nested : above->nested;
        above->below += v->below + v->is_option;
    }
}

/* Number the nodes with children, and lay the children of each side by side. */
static void rows_make(options *o)
{
    o->row_node[0] = -1;
    o->n_rows = 1;
    for (uint32_t i = 0; i < o->n_nodes; i++) {
        if (o->nodes[i].below > 0) {
            o->nodes[i].row = o->n_rows;
            o->row_node[o->n_rows++] = (int32_t)i;
        }
        o->row_end[parent_row(o, &o->nodes[i])]++;
    }
    for (uint32_t r = 0, sum = 0; r < o->n_rows; r++) {
        uint32_t n = o->row_end[r];
        o->row_end[r] = sum; /* where it begins, until it is filled */
        sum += n;
    }
    for (uint32_t i = 0; i < o->n_nodes; i++)
        o->children[o->row_end[parent_row(o, &o->nodes[i])]++] = i;
}

static void forks_find(options *o)
{
    for (uint32_t i = o->n_nodes; i-- > 0;) {
        trie_node *v = &o->nodes[i];
        v->forks |= v->row && row_width(o, v->row) > 1;
        o->n_forks += v->forks;
        o->is_nested |= v->row && v->is_option;
        if (v->parent >= 0)
            o->nodes[v->parent].forks |= v->forks;
    }
}

int options_new(const int32_t *const *ids, const uint32_t *n_ids, uint32_t n, int32_t end,
                options **ret_options, st_err *err)
{
    int rc = ST_ENOMEM;
    options *o = st_zalloc_n(1, sizeof *o);
    chain *chains = st_alloc_n(n, sizeof *chains);
    if (!o || !chains)
        goto fail;
    o->n = n;
    rc = n == 0 ? st_err_set(err, ST_EINVAL, "no options")
                : chains_sort(ids, n_ids, n, end, chains, &o->n_nodes, err);
    if (rc < 0 || (rc = arrays_make(o)) < 0)
        goto fail;
    nodes_make(o, chains);
    options_count(o);
    rows_make(o);
    forks_find(o);
    st_free(chains);
    *ret_options = o;
    return 0;
fail:
    st_free(chains);
    options_free(o);
    return st_err_set(err, rc, "no memory for %u options", n);
}

void options_free(options *o)
{
    if (!o)
        return;
    st_free(o->children);
    st_free(o->row_end);
    st_free(o->row_node);
    st_free(o->leaf);
    st_free(o->nodes);
    st_free(o);
}

uint32_t options_n(const options *o)
{
    return o->n;
}

uint32_t options_n_nodes(const options *o)
{
    return o->n_nodes;
}

uint32_t options_depth(const options *o)
{
    return o->depth;
}

uint32_t options_n_run(const options *o, bool held)
{
    return held ? o->n_forks : o->n_rows - 1;
}
