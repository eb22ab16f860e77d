/* engine/options.c - the trie of the continuations, and one pass over it.
 *
 * The continuations are sorted by their tokens; then each shares its beginning with the
 * one before it, and the trie's nodes appear in depth-first order without any search:
 *
 *   "card lost" "card stolen" "cash"      node  0 card(-1)  1 lost(0)  2 stolen(0)  3
 * cash(-1)
 *
 * Only nodes with children are run: a leaf's probability comes from its parent's output.
 * Each output row is asked for the logits of its children alone, and for the normaliser
 * over the whole vocabulary.  Row 0 is the last token before the continuations. */
#include "engine/options.h"

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

typedef struct node {
    int32_t parent; /* -1: the root, the end of the sequence */
    int32_t token;
    int32_t run;   /* its place among the nodes that are run, or -1 for a leaf */
    uint32_t edge; /* its place among the logits */
} node;

struct options {
    uint32_t n; /* continuations */
    uint32_t n_nodes;
    uint32_t n_run;
    node *nodes;       /* depth-first */
    uint32_t *leaf;    /* [n] the node each continuation ends in */
    int32_t *tokens;   /* [n_run] the token tree */
    int32_t *parents;  /* [n_run] */
    int32_t *ids;      /* [n_nodes] children of row 0, of row 1, ... */
    uint32_t *ids_end; /* [1 + n_run] where the children of a row end */
};

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
    o->nodes = st_alloc_n(o->n_nodes, sizeof *o->nodes);
    o->leaf = st_alloc_n(o->n, sizeof *o->leaf);
    o->tokens = st_alloc_n(o->n_nodes, sizeof *o->tokens);
    o->parents = st_alloc_n(o->n_nodes, sizeof *o->parents);
    o->ids = st_alloc_n(o->n_nodes, sizeof *o->ids);
    o->ids_end = st_zalloc_n((size_t)o->n_nodes + 1, sizeof *o->ids_end);
    return o->nodes && o->leaf && o->tokens && o->parents && o->ids && o->ids_end
               ? 0
               : ST_ENOMEM;
}

/* The nodes of sorted chains.  The path to the last node added is found by its parents.
 */
static void nodes_make(options *o, const chain *chains)
{
    uint32_t made = 0;
    for (uint32_t c = 0; c < o->n; c++) {
        uint32_t depth = c > 0 ? chain_len(&chains[c - 1]) : 0;
        uint32_t common = c > 0 ? chains_common(&chains[c - 1], &chains[c]) : 0;
        int32_t at = (int32_t)made - 1;
        for (; depth > common; depth--)
            at = o->nodes[at].parent;
        for (; depth < chain_len(&chains[c]); depth++) {
            if (at >= 0)
                o->nodes[at].run = 0;
            o->nodes[made] = (node){at, chain_at(&chains[c], depth), -1, 0};
            at = (int32_t)made++;
        }
        o->leaf[chains[c].index] = (uint32_t)at;
    }
}

/* Number the nodes that are run, and lay their children's ids side by side. */
static void rows_make(options *o)
{
    for (uint32_t i = 0; i < o->n_nodes; i++) {
        node *v = &o->nodes[i];
        if (v->run < 0)
            continue;
        v->run = (int32_t)o->n_run;
        o->tokens[o->n_run] = v->token;
        o->parents[o->n_run] = v->parent < 0 ? -1 : o->nodes[v->parent].run;
        o->n_run++;
    }
    for (uint32_t i = 0; i < o->n_nodes; i++) {
        int32_t parent = o->nodes[i].parent;
        o->ids_end[parent < 0 ? 0 : o->nodes[parent].run + 1]++;
    }
    for (uint32_t r = 0, sum = 0; r <= o->n_run; r++) {
        uint32_t n = o->ids_end[r];
        o->ids_end[r] = sum; /* where row r begins, until it is filled */
        sum += n;
    }
    for (uint32_t i = 0; i < o->n_nodes; i++) {
        int32_t parent = o->nodes[i].parent;
        o->nodes[i].edge = o->ids_end[parent < 0 ? 0 : o->nodes[parent].run + 1]++;
        o->ids[o->nodes[i].edge] = o->nodes[i].token;
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
    rows_make(o);
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
    st_free(o->ids_end);
    st_free(o->ids);
    st_free(o->parents);
    st_free(o->tokens);
    st_free(o->leaf);
    st_free(o->nodes);
    st_free(o);
}

uint32_t options_n_nodes(const options *o)
{
    return o->n_nodes;
}

/* Run the tokens and the tree in one item.  logits [n_nodes], lse [1 + n_run]; feed
 * has room for n + n_run, out for 1 + n_run. */
static int rows_run(const options *o, seq *s, const int32_t *tokens, uint32_t n,
                    int32_t *feed, uint32_t *out, float *logits, float *lse, st_err *err)
{
    memcpy(feed, tokens, n * sizeof *feed);
    memcpy(feed + n, o->tokens, o->n_run * sizeof *feed);
    for (uint32_t i = 0; i <= o->n_run; i++)
        out[i] = n - 1 + i;
    step_item item = {.s = s,
                      .tokens = feed,
                      .n = n + o->n_run,
                      .parents = o->parents,
                      .n_keep = n,
                      .out = out,
                      .n_out = 1 + o->n_run,
                      .ids = o->ids,
                      .n_ids = o->n_nodes,
                      .ids_end = o->ids_end,
                      .ret_logits = logits,
                      .ret_lse = lse};
    int rc = engine_step(seq_engine(s), &item, 1, err);
    if (rc == 0)
        seq_tree_drop(s);
    return rc;
}

int options_score(const options *o, seq *s, const int32_t *tokens, uint32_t n,
                  double *ret_logp, st_err *err)
{
    int rc = ST_ENOMEM;
    if (n == 0)
        return st_err_set(err, ST_EINVAL,
                          "options are scored after at least one new token");
    float *logits = st_alloc_n(o->n_nodes, sizeof *logits);
    float *lse = st_alloc_n((size_t)o->n_run + 1, sizeof *lse);
    double *logp = st_alloc_n(o->n_nodes, sizeof *logp);
    int32_t *feed = st_alloc_n((size_t)n + o->n_run, sizeof *feed);
    uint32_t *out = st_alloc_n((size_t)o->n_run + 1, sizeof *out);
    if (!logits || !lse || !logp || !feed || !out) {
        st_err_set(err, rc, "no memory to score %u options", o->n);
        goto done;
    }
    rc = rows_run(o, s, tokens, n, feed, out, logits, lse, err);
    if (rc < 0)
        goto done;
    for (uint32_t i = 0; i < o->n_nodes; i++) {
        const node *v = &o->nodes[i];
        double above = v->parent < 0 ? 0 : logp[v->parent];
        uint32_t row = v->parent < 0 ? 0 : (uint32_t)o->nodes[v->parent].run + 1;
        logp[i] = above + (double)logits[v->edge] - (double)lse[row];
    }
    for (uint32_t i = 0; i < o->n; i++)
        ret_logp[i] = logp[o->leaf[i]];
done:
    st_free(out);
    st_free(feed);
    st_free(logp);
    st_free(lse);
    st_free(logits);
    return rc;
}
