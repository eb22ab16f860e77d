/* engine/seq.c - sequences: a slot of the engine, a page table, a length. */
#include "engine/core.h"

#include <assert.h>
#include <string.h>

static void pages_release(seq *s, uint32_t from)
{
    for (uint32_t i = from; i < s->n_pages; i++)
        kvpool_unref(s->engine->pool, s->pages[i]);
    s->n_pages = from;
}

int seq_new(engine *e, seq **ret_seq, st_err *err)
{
    for (uint32_t i = 0; i < e->max_seqs; i++) {
        seq *s = &e->seqs[i];
        if (s->used)
            continue;
        s->used = true;
        s->len = 0;
        s->n_tree = 0;
        s->n_pages = 0;
        s->adapter = NULL;
        *ret_seq = s;
        return 0;
    }
    st_err_set(err, ST_EBUSY, "all %u sequences are in use", e->max_seqs);
    st_err_hint(err, "free one, or make the engine with more");
    return ST_EBUSY;
}

void seq_free(seq *s)
{
    if (!s)
        return;
    assert(s->used && !s->in_step);
    seq_tree_drop(s);
    pages_release(s, 0);
    s->len = 0;
    s->used = false;
}

engine *seq_engine(const seq *s)
{
    return s->engine;
}

uint32_t seq_len(const seq *s)
{
    return s->len;
}

int seq_set_adapter(seq *s, const adapter *a, st_err *err)
{
    if (s->len > 0 || s->n_tree > 0)
        return st_err_set(err, ST_EINVAL, "an adapter for a sequence that has tokens");
    if (a && adapter_model(a) != s->engine->model)
        return st_err_set(err, ST_EINVAL, "an adapter of another model");
    s->adapter = a;
    return 0;
}

const adapter *seq_adapter(const seq *s)
{
    return s->adapter;
}

uint32_t seq_tree_len(const seq *s)
{
    return s->n_tree;
}

void seq_tree_drop(seq *s)
{
    s->n_tree = 0;
    pages_release(s, kv_pages_for(s->len));
    if (s->kept_tail == KV_NO_PAGE)
        return;
    kv_page *tail = &s->pages[s->len / KV_PAGE_TOKENS];
    kvpool_unref(s->engine->pool, *tail);
    *tail = s->kept_tail;
    s->kept_tail = KV_NO_PAGE;
}

void seq_truncate(seq *s, uint32_t n)
{
    assert(n <= s->len && !s->in_step);
    seq_tree_drop(s);
    s->len = n;
    pages_release(s, kv_pages_for(n));
}

int seq_fork(seq *s, uint32_t n, seq **ret_fork, st_err *err)
{
    seq *fork;
    if (n > s->len)
        return st_err_set(err, ST_EINVAL, "a fork at token %u of a sequence of %u", n,
                          s->len);
    int rc = seq_new(s->engine, &fork, err);
    if (rc < 0)
        return rc;
    fork->len = n;
    fork->adapter = s->adapter;
    fork->n_pages = kv_pages_for(n);
    memcpy(fork->pages, s->pages, fork->n_pages * sizeof *fork->pages);
    for (uint32_t i = 0; i < fork->n_pages; i++)
        kvpool_ref(s->engine->pool, fork->pages[i]);
    *ret_fork = fork;
    return 0;
}
