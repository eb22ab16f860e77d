/* engine/options_run.c - one request's trie, looked at round by round.
 *
 * logp of a node is known when its parent's row has been read.  A round is a list of rows
 * to read; the items that options_run_next makes take them in the list's order:
 *
 *   start --> [row 0, or, when every row is wanted, all of them]
 *     next: the prompt's tokens, then rows of the round with what they hang on
 *     take: logp of their children
 *   the round has been read --> plan the next one; an empty one: done
 *
 * tree[] are the rows in the slots of the sequence's tree.  When a round does not fit the
 * tree any more, a new one is begun, and the ancestors of its rows are run once more. */
#include "engine/trie.h"

#include "base/mem.h"
#include <assert.h>
#include <math.h>
#include <string.h>

struct options_run {
    uint32_t max_nodes;
    uint32_t max_batch; /* of the engine: tokens of an item, nodes of a tree */
    options_request q;
    /* how far it is */
    uint32_t n_fed;   /* of its tokens */
    uint32_t n_tree;  /* rows in the sequence's tree */
    uint32_t n_round; /* rows of this round */
    uint32_t n_taken; /* rows of this round that have been read */
    uint32_t cost;    /* tokens run */
    double left_share;
    double *logp;    /* [max_nodes] */
    double *bound;   /* [max_nodes + 1] by row: of a candidate, scaled; else negative */
    bool *is_read;   /* [max_nodes + 1] by row: logp of its children is known */
    uint32_t *round; /* [max_nodes + 1] */
    uint32_t *slot;  /* [max_nodes + 1] by row; true when tree[slot] is that row */
    uint32_t *tree;  /* [max_batch] */
    /* the last item */
    uint32_t item_n;
    uint32_t item_fed; /* n_fed and n_tree after it */
    uint32_t item_tree;
    uint32_t item_rows; /* rows that it reads */
    int32_t *feed;      /* [max_batch] */
    int32_t *parents;   /* [max_batch] */
    uint32_t *out;      /* [max_batch] */
    uint32_t *out_end;  /* [max_batch] */
    float *lse;         /* [max_batch] */
    int32_t *ids;       /* [max_nodes] */
    float *logits;      /* [max_nodes] */
};

int options_run_new(const engine *e, uint32_t max_nodes, options_run **ret_run,
                    st_err *err)
{
    size_t batch = engine_max_batch(e), rows = (size_t)max_nodes + 1;
    options_run *r = st_zalloc_n(1, sizeof *r);
    if (!r)
        goto fail;
    r->max_nodes = max_nodes;
    r->max_batch = engine_max_batch(e);
    r->logp = st_alloc_n(rows, sizeof *r->logp);
    r->bound = st_alloc_n(rows, sizeof *r->bound);
    r->is_read = st_alloc_n(rows, sizeof *r->is_read);
    r->round = st_alloc_n(rows, sizeof *r->round);
    r->slot = st_alloc_n(rows, sizeof *r->slot);
    r->tree = st_alloc_n(batch, sizeof *r->tree);
    r->feed = st_alloc_n(batch, sizeof *r->feed);
    r->parents = st_alloc_n(batch, sizeof *r->parents);
    r->out = st_alloc_n(batch, sizeof *r->out);
    r->out_end = st_alloc_n(batch, sizeof *r->out_end);
    r->lse = st_alloc_n(batch, sizeof *r->lse);
    r->ids = st_alloc_n(rows, sizeof *r->ids);
    r->logits = st_alloc_n(rows, sizeof *r->logits);
    if (r->logp && r->bound && r->is_read && r->round && r->slot && r->tree && r->feed &&
        r->parents && r->out && r->out_end && r->lse && r->ids && r->logits) {
        *ret_run = r;
        return 0;
    }
fail:
    options_run_free(r);
    return st_err_set(err, ST_ENOMEM, "no memory to score options of %u tokens",
                      max_nodes);
}

void options_run_free(options_run *r)
{
    if (!r)
        return;
    st_free(r->logits);
    st_free(r->ids);
    st_free(r->lse);
    st_free(r->out_end);
    st_free(r->out);
    st_free(r->parents);
    st_free(r->feed);
    st_free(r->tree);
    st_free(r->slot);
    st_free(r->round);
    st_free(r->is_read);
    st_free(r->bound);
    st_free(r->logp);
    st_free(r);
}

static int request_check(const options_run *r, const options_request *q, st_err *err)
{
    const options *o = q->options;
    uint32_t n_ctx = engine_n_ctx(seq_engine(q->s)), len = seq_len(q->s);
    if (q->n == 0)
        return st_err_set(err, ST_EINVAL,
                          "options are scored after at least one new token");
    if (!(q->unseen >= 0 && q->unseen <= 0.5))
        return st_err_set(err, ST_EINVAL,
                          "a share of %g may stay unseen; expected 0 to 0.5", q->unseen);
    if (q->held && o->is_nested)
        return st_err_set(err, ST_EINVAL,
                          "an option begins another: to be held to them they need an end "
                          "token");
    if (o->n_nodes > r->max_nodes)
        return st_err_set(err, ST_ELIMIT, "options of %u tokens; there is room for %u",
                          o->n_nodes, r->max_nodes);
    if (o->depth > r->max_batch || (uint64_t)len + q->n + o->depth > n_ctx) {
        st_err_set(err, ST_ELIMIT,
                   "%u tokens, %u more and an option of %u pass the context of %u or the "
                   "batch of %u",
                   len, q->n, o->depth + 1, n_ctx, r->max_batch);
        st_err_hint(err, "shorten the text, or ask for a longer context");
        return ST_ELIMIT;
    }
    return 0;
}

/* Is a row looked at?  Held, the one way on from a row is certain. */
static bool is_wanted(const options_run *r, uint32_t row)
{
    return row == 0 || !r->q.held || row_width(r->q.options, row) > 1;
}

int options_run_start(options_run *r, const options_request *request, st_err *err)
{
    int rc = request_check(r, request, err);
    if (rc < 0)
        return rc;
    const options *o = request->options;
    r->q = *request;
    r->n_fed = r->n_tree = r->n_taken = r->n_round = r->cost = 0;
    r->left_share = 0;
    memset(r->is_read, 0, o->n_rows * sizeof *r->is_read);
    for (uint32_t row = 0; row < (r->q.unseen > 0 ? 1 : o->n_rows); row++)
        if (is_wanted(r, row))
            r->round[r->n_round++] = row;
    return 0;
}

bool options_run_is_done(const options_run *r)
{
    return r->n_taken == r->n_round;
}

/* ---- items ---- */

static bool in_tree(const options_run *r, uint32_t row)
{
    return r->slot[row] < r->item_tree && r->tree[r->slot[row]] == row;
}

static uint32_t row_above(const options_run *r, uint32_t row)
{
    return parent_row(r->q.options, &r->q.options->nodes[r->q.options->row_node[row]]);
}

/* Put a row's node into the item, after those that it hangs on; false when it is not
 * there yet for lack of room. */
static bool node_add(options_run *r, uint32_t row, uint32_t max_tokens, step_item *it)
{
    while (!in_tree(r, row)) {
        uint32_t top = row, above;
        while ((above = row_above(r, top)) != 0 && !in_tree(r, above))
            top = above;
        if (it->n == max_tokens || r->item_tree == r->max_batch)
            return false;
        r->feed[it->n] = r->q.options->nodes[r->q.options->row_node[top]].token;
        r->parents[it->n - it->n_keep] = above == 0 ? -1 : (int32_t)r->slot[above];
        r->slot[top] = r->item_tree;
        r->tree[r->item_tree++] = top;
        it->n++;
    }
    return true;
}

/* Ask the item's last token for the children of a row. */
static void output_add(options_run *r, uint32_t row, step_item *it)
{
    const options *o = r->q.options;
    for (uint32_t c = row_begin(o, row); c < o->row_end[row]; c++)
        r->ids[it->n_ids++] = o->nodes[o->children[c]].token;
    r->out[it->n_out] = it->n - 1;
    r->out_end[it->n_out++] = it->n_ids;
    r->item_rows++;
}

/* A part of the prompt; with its end, the rows that come at once. */
static void prompt_add(options_run *r, uint32_t max_tokens, step_item *it)
{
    uint32_t left = r->q.n - r->n_fed;
    it->n = left < max_tokens ? left : max_tokens;
    it->tokens = r->q.tokens + r->n_fed;
    r->item_fed = r->n_fed + it->n;
    if (r->item_fed < r->q.n)
        return;
    output_add(r, 0, it);
    if (r->n_round == 1 || it->n == max_tokens)
        return;
    memcpy(r->feed, it->tokens, it->n * sizeof *r->feed);
    it->n_keep = it->n;
}

static void rows_add(options_run *r, uint32_t max_tokens, step_item *it)
{
    while (r->n_taken + r->item_rows < r->n_round) {
        uint32_t row = r->round[r->n_taken + r->item_rows], had = it->n;
        if (!node_add(r, row, max_tokens, it))
            break;
        assert(it->n > had); /* rows are read when they are run first */
        output_add(r, row, it);
    }
    it->tokens = r->feed;
    it->parents = r->parents;
}

bool options_run_next(options_run *r, uint32_t max_tokens, step_item *ret_item)
{
    step_item it = {.s = r->q.s,
                    .out = r->out,
                    .ids = r->ids,
                    .ids_end = r->out_end,
                    .ret_logits = r->logits,
                    .ret_lse = r->q.held ? NULL : r->lse};
    assert(max_tokens > 0);
    if (options_run_is_done(r))
        return false;
    if (max_tokens > r->max_batch)
        max_tokens = r->max_batch;
    r->item_fed = r->n_fed;
    r->item_tree = r->n_tree;
    r->item_rows = 0;
    if (r->n_fed < r->q.n)
        prompt_add(r, max_tokens, &it);
    else if (r->n_tree == r->max_batch) /* full: the rest of the round gets a new tree */
        r->n_tree = r->item_tree = 0;
    it.n_tree = r->n_tree;
    if (r->n_fed == r->q.n || it.n_keep > 0)
        rows_add(r, max_tokens, &it);
    r->item_n = it.n;
    *ret_item = it;
    return true;
}

/* ---- rounds ---- */

/* Bounds of the rows that may be looked at next, in parts of the largest known option or
 * candidate, and what there is in all. */
static double candidates_find(options_run *r, double *ret_seen)
{
    const options *o = r->q.options;
    double top = -HUGE_VAL, left = 0, seen = 0;
    for (uint32_t i = 0; i < o->n_nodes; i++)
        if (r->is_read[parent_row(o, &o->nodes[i])] && r->logp[i] > top)
            top = r->logp[i];
    for (uint32_t i = 0; i < o->n_nodes; i++) {
        const trie_node *v = &o->nodes[i];
        if (v->row)
            r->bound[v->row] = -1;
        if (!r->is_read[parent_row(o, v)] || !(top > -HUGE_VAL))
            continue;
        double p = exp(r->logp[i] - top);
        if (v->is_option)
            seen += p;
        if (v->row && !r->is_read[v->row])
            left += r->bound[v->row] = p * v->nested;
    }
    *ret_seen = seen;
    return left;
}

/* The candidate with the largest bound, the first of equal ones; 0: none. */
static uint32_t candidate_best(const options_run *r)
{
    uint32_t best = 0;
    double most = -1;
    for (uint32_t row = 1; row < r->q.options->n_rows; row++) {
        if (r->bound[row] > most) {
            most = r->bound[row];
            best = row;
        }
    }
    return best;
}

static void round_plan(options_run *r)
{
    double seen, left = candidates_find(r, &seen);
    double limit = r->q.unseen * (seen + left);
    r->left_share = left > 0 ? left / (seen + left) : 0;
    r->n_round = r->n_taken = 0;
    while (left > limit) {
        uint32_t row = candidate_best(r);
        if (row == 0)
            break;
        r->round[r->n_round++] = row;
        left -= r->bound[row];
        r->bound[row] = -1;
    }
}

/* ln sum exp, in order; 0 when all are ruled out, as they stay then. */
static double log_sum(const float *x, uint32_t n)
{
    double max = -HUGE_VAL, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        max = (double)x[i] > max ? (double)x[i] : max;
    for (uint32_t i = 0; i < n && max > -HUGE_VAL; i++)
        sum += exp((double)x[i] - max);
    return max > -HUGE_VAL ? max + log(sum) : 0;
}

/* The children of a row, and what is certain below them. */
static void row_read(options_run *r, uint32_t row, const float *logits, double lse)
{
    const options *o = r->q.options;
    double above = row > 0 ? r->logp[o->row_node[row]] : 0;
    r->is_read[row] = true;
    for (uint32_t c = row_begin(o, row); c < o->row_end[row]; c++) {
        uint32_t at = o->children[c];
        double logp = above + (double)*logits++ - lse;
        r->logp[at] = logp;
        for (uint32_t down; (down = o->nodes[at].row) != 0 && !is_wanted(r, down);) {
            r->is_read[down] = true;
            at = o->children[row_begin(o, down)];
            r->logp[at] = logp;
        }
    }
}

static double option_logp(const options_run *r, uint32_t leaf)
{
    const options *o = r->q.options;
    const trie_node *v = &o->nodes[leaf];
    if (r->is_read[parent_row(o, v)])
        return r->logp[leaf];
    while (!r->is_read[parent_row(o, v)])
        v = &o->nodes[v->parent];
    return r->logp[v - o->nodes] + log((double)v->nested / v->below);
}

static void run_end(options_run *r)
{
    for (uint32_t i = 0; i < r->q.options->n; i++)
        r->q.ret_logp[i] = option_logp(r, r->q.options->leaf[i]);
    if (r->q.ret_unseen)
        *r->q.ret_unseen = r->left_share;
    seq_tree_drop(r->q.s);
}

void options_run_take(options_run *r)
{
    const float *logits = r->logits;
    r->n_fed = r->item_fed;
    r->n_tree = r->item_tree;
    r->cost += r->item_n;
    for (uint32_t i = 0; i < r->item_rows; i++) {
        uint32_t row = r->round[r->n_taken++], n = row_width(r->q.options, row);
        row_read(r, row, logits, r->q.held ? log_sum(logits, n) : (double)r->lse[i]);
        logits += n;
    }
    if (r->n_taken < r->n_round)
        return;
    if (r->q.unseen > 0)
        round_plan(r);
    if (options_run_is_done(r))
        run_end(r);
}

uint32_t options_run_cost(const options_run *r)
{
    return r->cost;
}
