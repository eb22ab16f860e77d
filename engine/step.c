/* engine/step.c - one step: check every item, take every page, run the passes.
 *
 * All that can fail because of the caller or a lack of pages fails before the first
 * forward pass, so a failed step leaves each sequence as it was.  A pass takes items in
 * their order until max_batch tokens are in it; a chain may be cut anywhere, because the
 * model's results do not depend on it.
 *
 * A tree uses the slots after its sequence's end and gives them back.  A tree that does
 * not fit one pass is run in groups: the next nodes in order and whichever of their
 * ancestors were in an earlier group, once more.  With nodes in depth-first order a group
 * repeats one path at most.
 *
 * Writing into a page that others hold: the writer gets a copy first.  A chain keeps the
 * copy; a tree gives it back and returns to the shared page. */
#include "engine/core.h"

#include <assert.h>

typedef struct pass { /* what is in the forward pass being built */
    uint32_t n_tokens;
    uint32_t n_pieces;
    uint32_t n_out;
} pass;

static int tree_check(const engine *e, const step_item *it, st_err *err)
{
    for (uint32_t i = 0; i < it->n; i++) {
        uint32_t depth = 0;
        if (it->parents[i] < -1 || it->parents[i] >= (int64_t)i)
            return st_err_set(err, ST_EINVAL, "node %u of a tree has parent %d", i,
                              it->parents[i]);
        for (int32_t p = it->parents[i]; p >= 0; p = it->parents[p])
            depth++;
        if (depth >= e->max_batch || it->s->len + depth >= e->n_ctx)
            return st_err_set(err, ST_ELIMIT,
                              "a tree %u tokens deep after %u tokens passes "
                              "the context of %u or the batch of %u",
                              depth + 1, it->s->len, e->n_ctx, e->max_batch);
    }
    return 0;
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
    if ((it->ret_logits || it->ret_lse) && !model_about(e->model)->has_head)
        return st_err_set(err, ST_EUNSUPPORTED, "the model '%s' gives no logits",
                          model_about(e->model)->arch);
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
    if (!it->parents && it->n > e->n_ctx - s->len) {
        st_err_set(err, ST_ELIMIT, "%u tokens and %u more pass the context of %u", s->len,
                   it->n, e->n_ctx);
        st_err_hint(err, "shorten the text, or ask for a longer context");
        return ST_ELIMIT;
    }
    if (!model_about(e->model)->causal && (it->parents || s->len > 0))
        return st_err_set(err, ST_EINVAL, "an encoder takes a whole text at once");
    int rc = ids_check(e, it->tokens, it->n, "token", err);
    if (rc == 0 && it->parents)
        rc = tree_check(e, it, err);
    return rc < 0 ? rc : outputs_check(e, it, err);
}

/* Take what the item writes to.  ST_EBUSY changes nothing. */
static int pages_take(engine *e, const step_item *it)
{
    seq *s = it->s;
    uint32_t slots = it->parents && it->n > e->max_batch ? e->max_batch : it->n;
    uint32_t tail = s->len / KV_PAGE_TOKENS;
    uint32_t need = kv_pages_for(s->len + slots);
    bool copy = slots > 0 && s->len % KV_PAGE_TOKENS != 0 &&
                kvpool_holders(e->pool, s->pages[tail]) > 1;
    uint32_t more = need > s->n_pages ? need - s->n_pages : 0;
    assert(need + 1 <= e->seq_pages);
    if (kvpool_take(e->pool, more + copy, s->pages + s->n_pages) < 0)
        return ST_EBUSY;
    s->n_pages += more;
    if (copy) {
        kv_page own = s->pages[s->n_pages];
        kvpool_copy(e->pool, own, s->pages[tail]);
        s->kept_tail = s->pages[tail];
        s->pages[tail] = own;
        if (!it->parents)
            kvpool_unref(e->pool, s->kept_tail);
    }
    return 0;
}

/* Give back what a step took beyond the sequence's length; `restore` also undoes the copy
 * of a tail.  A chain's old tail is still held by those it was shared with. */
static void pages_back(engine *e, const step_item *it, bool restore)
{
    seq *s = it->s;
    uint32_t keep = kv_pages_for(s->len);
    for (uint32_t i = keep; i < s->n_pages; i++)
        kvpool_unref(e->pool, s->pages[i]);
    s->n_pages = keep;
    if (s->kept_tail != KV_NO_PAGE && restore) {
        uint32_t tail = s->len / KV_PAGE_TOKENS;
        if (!it->parents)
            kvpool_ref(e->pool, s->kept_tail);
        kvpool_unref(e->pool, s->pages[tail]);
        s->pages[tail] = s->kept_tail;
    }
    s->kept_tail = KV_NO_PAGE;
}

static uint32_t group_find(const engine *e, uint32_t n, int32_t node)
{
    while (n > 0 && e->tree_nodes[n - 1] != (uint32_t)node)
        n--;
    return n; /* position + 1, or 0 */
}

/* Fill the tree arrays with nodes from `from` on and their missing ancestors, as many as
 * a pass holds.  Returns the nodes in the group; *ret_next is the first one left out. */
static uint32_t group_fill(engine *e, const step_item *it, uint32_t from,
                           uint32_t *ret_next)
{
    uint32_t n = 0, next = from;
    for (; next < it->n; next++) {
        uint32_t missing = 1;
        int32_t p = it->parents[next];
        for (; p >= 0 && group_find(e, n, p) == 0; p = it->parents[p])
            missing++;
        if (n + missing > e->max_batch)
            break;
        int32_t node = (int32_t)next;
        for (uint32_t at = n + missing; at-- > n; node = it->parents[node]) {
            e->tree_nodes[at] = (uint32_t)node;
            e->tree_tokens[at] = it->tokens[node];
            e->tree_parents[at] = (int32_t)at - 1;
        }
        e->tree_parents[n] = p < 0 ? -1 : (int32_t)group_find(e, n, p) - 1;
        n += missing;
    }
    *ret_next = next;
    return n;
}

/* Add the next part of an item to the pass: nothing when it does not fit there. */
static void piece_add(engine *e, const step_item *it, pass *p)
{
    seq *s = it->s;
    uint32_t room = e->max_batch - p->n_tokens;
    uint32_t from = s->done, left = it->n - from, n = left < room ? left : room;
    bool whole = it->parents || !model_about(e->model)->causal; /* not to be cut */
    bool split = it->parents && it->n > e->max_batch;
    if (n == 0 || (whole && (split ? p->n_tokens > 0 : left > room)))
        return;
    model_span *span = &e->spans[p->n_pieces];
    *span = (model_span){it->tokens + from, n, s->len + from, NULL, s->pages};
    s->done = from + n;
    if (it->parents) {
        span->start = s->len;
        span->parents = it->parents;
    }
    if (split) {
        span->tokens = e->tree_tokens;
        span->parents = e->tree_parents;
        span->n = group_fill(e, it, from, &s->done);
    }
    piece *part = &e->pieces[p->n_pieces++];
    *part = (piece){it, s->next_out, 0, p->n_out};
    while (s->next_out < it->n_out && it->out[s->next_out] < s->done) {
        uint32_t node = it->out[s->next_out++];
        uint32_t at = split ? group_find(e, span->n, (int32_t)node) - 1 : node - from;
        e->rows[p->n_out++] = p->n_tokens + at;
        part->n_out++;
    }
    p->n_tokens += span->n;
}

/* Run passes until every item is done. */
static int passes_run(engine *e, const step_item *items, uint32_t n_items, st_err *err)
{
    for (;;) {
        pass p = {0};
        for (uint32_t i = 0; i < n_items && p.n_tokens < e->max_batch; i++)
            piece_add(e, &items[i], &p);
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
    bool busy = rc == ST_EBUSY;
    if (busy) {
        st_err_set(err, rc, "%u free pages do not hold the step", kvpool_n_free(e->pool));
        st_err_hint(err, "free a sequence, or give the engine more kv_bytes");
    }
    if (rc == 0)
        rc = passes_run(e, items, n_items, err);
    for (uint32_t i = taken; i-- > 0;) {
        if (rc == 0 && !items[i].parents)
            items[i].s->len += items[i].n;
        pages_back(e, &items[i], busy || items[i].parents);
    }
    while (marked-- > 0)
        items[marked].s->in_step = false;
    return rc;
}
