/* engine/step.c - one step: check every item, take every page, run the passes.
 *
 * All that can fail because of the caller or a lack of pages fails before the first
 * forward pass, so a failed step leaves each sequence as it was.  A pass takes items in
 * their order until max_batch tokens are in it; an item may be cut anywhere, because the
 * model's results do not depend on it.
 *
 * A tree uses the slots after its sequence's end, and keeps them for the nodes that a
 * later step hangs on it.  An item with a chain and a tree is two spans of one pass.
 *
 * Writing into a page that others hold: the writer gets a copy first.  A chain keeps the
 * copy; a tree gives it back when it is dropped and returns to the shared page. */
#include "engine/core.h"

#include <assert.h>
#include <string.h>

typedef struct pass { /* what is in the forward pass being built */
    uint32_t n_tokens;
    uint32_t n_pieces;
    uint32_t n_out;
} pass;

/* Tokens of an item that stay in the sequence. */
static uint32_t chain_of(const step_item *it)
{
    return it->parents ? it->n_keep : it->n;
}

static int32_t parent_of(const step_item *it, uint32_t node)
{
    return node < it->n_tree ? it->s->tree_parents[node] : it->parents[node - it->n_tree];
}

static int tree_check(const engine *e, const step_item *it, st_err *err)
{
    uint32_t n = it->n - it->n_keep, end = it->s->len + it->n_keep;
    if (it->n_tree && (it->n_keep || it->n_tree != it->s->n_tree))
        return st_err_set(err, ST_EINVAL,
                          "%u tokens kept before a tree that goes on from node %u; the "
                          "sequence's tree has %u nodes",
                          it->n_keep, it->n_tree, it->s->n_tree);
    if (it->n_tree > e->max_batch || n > e->max_batch - it->n_tree)
        return st_err_set(err, ST_ELIMIT, "a tree of %u and %u nodes; it holds %u",
                          it->n_tree, n, e->max_batch);
    for (uint32_t i = it->n_tree; i < it->n_tree + n; i++) {
        uint32_t depth = 0;
        int32_t p = parent_of(it, i);
        if (p < -1 || p >= (int64_t)i)
            return st_err_set(err, ST_EINVAL, "node %u of a tree has parent %d", i, p);
        for (; p >= 0; p = parent_of(it, (uint32_t)p))
            depth++;
        if (depth >= e->n_ctx - end)
            return st_err_set(err, ST_ELIMIT,
                              "a tree %u tokens deep after %u tokens passes the context "
                              "of %u",
                              depth + 1, end, e->n_ctx);
    }
    return 0;
}

static int shape_check(const engine *e, const step_item *it, st_err *err)
{
    if (it->n_keep > it->n || (!it->parents && (it->n_keep || it->n_tree)))
        return st_err_set(err, ST_EINVAL,
                          "%u of %u tokens kept, a tree from node %u on: expected "
                          "parents, and at most the tokens that there are",
                          it->n_keep, it->n, it->n_tree);
    if (chain_of(it) > e->n_ctx - it->s->len) {
        st_err_set(err, ST_ELIMIT, "%u tokens and %u more pass the context of %u",
                   it->s->len, chain_of(it), e->n_ctx);
        st_err_hint(err, "shorten the text, or ask for a longer context");
        return ST_ELIMIT;
    }
    if (!model_about(e->model)->causal && (it->parents || it->s->len > 0))
        return st_err_set(err, ST_EINVAL, "an encoder takes a whole text at once");
    return it->parents ? tree_check(e, it, err) : 0;
}

static int ids_check(const engine *e, const int32_t *ids, uint32_t n, const char *what,
                     st_err *err)
{
    uint32_t n_vocab = model_about(e->model)->n_vocab;
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= n_vocab)
            return st_err_set(err, ST_EINVAL, "%s %u is id %d of a vocabulary of %u",
                              what, i, ids[i], n_vocab);
    return 0;
}

static int outputs_check(const engine *e, const step_item *it, st_err *err)
{
    for (uint32_t i = 0; i < it->n_out; i++)
        if (it->out[i] >= it->n || (i > 0 && it->out[i] <= it->out[i - 1]))
            return st_err_set(err, ST_EINVAL, "output %u is token %u of %u: outputs rise",
                              i, it->out[i], it->n);
    if ((it->ret_logits || it->ret_best || it->ret_lse || it->n_likely > 0) &&
        !model_about(e->model)->has_head)
        return st_err_set(err, ST_EUNSUPPORTED, "the model '%s' gives no logits",
                          model_about(e->model)->arch);
    if (it->allowed && (it->n_ids > 0 || it->ids_end))
        return st_err_set(err, ST_EINVAL,
                          "wanted ids and allowed ones exclude each other");
    if ((it->ret_top && !it->ret_best) || (it->ret_held_lse && !it->allowed))
        return st_err_set(err, ST_EINVAL,
                          "the best logit without the best id, or a sum "
                          "over allowed ids without them");
    if (it->n_likely > STEP_MAX_LIKELY || it->n_likely > model_about(e->model)->n_vocab)
        return st_err_set(err, ST_EINVAL, "the %u likeliest ids are too many",
                          it->n_likely);
    for (uint32_t i = 0; it->allowed && i < it->n_out; i++)
        if (allowed_count(it->allowed[i], model_about(e->model)->n_vocab) == 0)
            return st_err_set(err, ST_EINVAL, "output %u may be no id", i);
    for (uint32_t i = 0; it->ids_end && i < it->n_out; i++)
        if (it->ids_end[i] > it->n_ids || (i > 0 && it->ids_end[i] < it->ids_end[i - 1]))
            return st_err_set(err, ST_EINVAL, "output %u ends at id %u of %u", i,
                              it->ids_end[i], it->n_ids);
    return ids_check(e, it->ids, it->n_ids, "wanted id", err);
}

static int item_check(const engine *e, const step_item *it, st_err *err)
{
    const seq *s = it->s;
    if (!s || s->engine != e || !s->used)
        return st_err_set(err, ST_EINVAL, "not a sequence of this engine");
    if (s->in_step)
        return st_err_set(err, ST_EINVAL, "a sequence is in two items of a step");
    int rc = shape_check(e, it, err);
    if (rc == 0)
        rc = ids_check(e, it->tokens, it->n, "token", err);
    return rc < 0 ? rc : outputs_check(e, it, err);
}

/* Take what the item writes to, and give back the tree that it replaces.  ST_EBUSY takes
 * nothing. */
static int pages_take(engine *e, const step_item *it)
{
    seq *s = it->s;
    if (it->n_tree == 0)
        seq_tree_drop(s);
    uint32_t first = s->len + s->n_tree, page = first / KV_PAGE_TOKENS;
    uint32_t need = kv_pages_for(first + it->n);
    bool copy = it->n > 0 && first % KV_PAGE_TOKENS != 0 &&
                kvpool_holders(e->pool, s->pages[page]) > 1;
    uint32_t more = need > s->n_pages ? need - s->n_pages : 0;
    assert(need + 1 <= e->seq_pages);
    if (kvpool_take(e->pool, more + copy, s->pages + s->n_pages) < 0)
        return ST_EBUSY;
    s->n_pages += more;
    if (copy) {
        kv_page own = s->pages[s->n_pages];
        kvpool_copy(e->pool, own, s->pages[page]);
        s->replaced = s->pages[page];
        s->pages[page] = own;
        if (chain_of(it) > 0)
            kvpool_unref(e->pool, s->replaced);
    }
    if (it->parents)
        memcpy(s->tree_parents + s->n_tree, it->parents,
               (it->n - it->n_keep) * sizeof *it->parents);
    return 0;
}

/* The item has run: its chain is in the sequence, its nodes in the tree. */
static void item_keep(engine *e, const step_item *it)
{
    seq *s = it->s;
    s->len += chain_of(it);
    s->n_tree += it->n - chain_of(it);
    if (s->replaced != KV_NO_PAGE && chain_of(it) == 0) {
        if (s->kept_tail == KV_NO_PAGE)
            s->kept_tail = s->replaced;
        else
            kvpool_unref(e->pool, s->replaced);
    }
    s->replaced = KV_NO_PAGE;
}

/* Give back what pages_take took.  A chain's old tail is still held by those it was
 * shared with. */
static void item_undo(engine *e, const step_item *it)
{
    seq *s = it->s;
    uint32_t end = s->len + s->n_tree, keep = kv_pages_for(end);
    for (uint32_t i = keep; i < s->n_pages; i++)
        kvpool_unref(e->pool, s->pages[i]);
    s->n_pages = keep;
    if (s->replaced == KV_NO_PAGE)
        return;
    if (chain_of(it) > 0)
        kvpool_ref(e->pool, s->replaced);
    kvpool_unref(e->pool, s->pages[end / KV_PAGE_TOKENS]);
    s->pages[end / KV_PAGE_TOKENS] = s->replaced;
    s->replaced = KV_NO_PAGE;
}

/* Add to the pass what it holds of the rest of an item's chain or, after the chain, of
 * its tree.  False when that is nothing. */
static bool piece_add(engine *e, const step_item *it, pass *p)
{
    seq *s = it->s;
    uint32_t room = e->max_batch - p->n_tokens, chain = chain_of(it);
    uint32_t from = s->done, left = (from < chain ? chain : it->n) - from;
    uint32_t n = left < room ? left : room;
    if (n == 0 || (!model_about(e->model)->causal && left > room))
        return false;
    model_span *span = &e->spans[p->n_pieces];
    *span = (model_span){.tokens = it->tokens + from,
                         .n = n,
                         .start = s->len + from,
                         .pages = s->pages,
                         .adapter = s->adapter};
    if (from >= chain) {
        span->start = s->len + chain;
        span->n_tree = s->n_tree + from - chain;
        span->parents = s->tree_parents;
    }
    s->done = from + n;
    piece *part = &e->pieces[p->n_pieces++];
    *part = (piece){it, s->next_out, 0, p->n_out};
    while (s->next_out < it->n_out && it->out[s->next_out] < s->done) {
        e->rows[p->n_out++] = p->n_tokens + it->out[s->next_out++] - from;
        part->n_out++;
    }
    p->n_tokens += n;
    return true;
}

/* Items with the same adapter come one after the other: its factors are read once for all
 * of their tokens.  There are no more items than sequences. */
static void items_order(engine *e, const step_item *items, uint32_t n_items)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_items; i++) {
        const adapter *a = items[i].s->adapter;
        bool had = false;
        for (uint32_t k = 0; a && k < n && !had; k++)
            had = items[e->order[k]].s->adapter == a;
        for (uint32_t k = i; k < (a ? n_items : i + 1) && !had; k++)
            if (items[k].s->adapter == a)
                e->order[n++] = k;
    }
}

/* Run passes until every item is done. */
static int passes_run(engine *e, const step_item *items, uint32_t n_items, st_err *err)
{
    items_order(e, items, n_items);
    for (;;) {
        pass p = {0};
        for (uint32_t i = 0; i < n_items && p.n_tokens < e->max_batch; i++)
            while (piece_add(e, &items[e->order[i]], &p))
                continue;
        if (p.n_pieces == 0)
            return 0;
        model_batch batch = {
            .spans = e->spans,
            .n_spans = p.n_pieces,
            .out_rows = e->rows,
            .n_out = p.n_out,
            .ret_hidden = e->hidden,
        };
        int rc = model_forward(e->model, e->work, &e->kv, &batch, err);
        if (rc == 0 && p.n_out > 0)
            rc = pass_outputs(e, p.n_pieces, err);
        if (rc < 0)
            return rc;
    }
}

/* Check the items and mark their sequences; *ret_marked of them are marked either way. */
static int items_check(const engine *e, const step_item *items, uint32_t n_items,
                       uint32_t *ret_marked, st_err *err)
{
    for (uint32_t i = 0; i < n_items; i++) {
        int rc = item_check(e, &items[i], err);
        *ret_marked = i;
        if (rc < 0) {
            st_err_at(err, "item %u", i);
            return rc;
        }
        items[i].s->in_step = true;
        items[i].s->done = 0;
        items[i].s->next_out = 0;
    }
    *ret_marked = n_items;
    return 0;
}

int engine_step(engine *e, const step_item *items, uint32_t n_items, st_err *err)
{
    uint32_t marked = 0, taken = 0;
    int rc = items_check(e, items, n_items, &marked, err);
    while (rc == 0 && taken < n_items) {
        rc = pages_take(e, &items[taken]);
        if (rc == 0)
            taken++;
    }
    if (rc == ST_EBUSY) {
        st_err_set(err, rc, "%u free pages do not hold the step", kvpool_n_free(e->pool));
        st_err_hint(err, "free a sequence, or give the engine more kv_bytes");
    }
    if (rc == 0)
        rc = passes_run(e, items, n_items, err);
    for (uint32_t i = taken; i-- > 0;) {
        if (rc == 0)
            item_keep(e, &items[i]);
        else
            item_undo(e, &items[i]);
    }
    while (marked-- > 0)
        items[marked].s->in_step = false;
    return rc;
}
