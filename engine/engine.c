/* engine/engine.c - an engine's memory: taken here, all of it, and given back here. */
#include "engine/core.h"

#include "base/mem.h"
#include <assert.h>

enum {
    DEFAULT_CTX = 4096,  /* tokens; a longer context is asked for */
    DEFAULT_BATCH = 512, /* enough tokens to reuse each weight read */
    DEFAULT_SEQS = 64,
    MIN_PAGES = 64, /* so that a pass of short texts is not cut by a page for each */
    MAX_CTX = 1 << 24,
    MAX_BATCH = 1 << 20,
    MAX_SEQS = 1 << 16,
};

st_dtype engine_kv_type(const model *m, const engine_opts *opts)
{
    if (!opts->kv_best)
        return opts->kv_type;
    if (!model_about(m)->causal)
        return ST_F32; /* they live for one pass: nothing to save, and the fastest */
    return model_kv_page_bytes(m, ST_Q8_0) ? ST_Q8_0 : ST_F16;
}

/* The numbers of an engine after defaults, or what is wrong with them. */
static int sizes_choose(engine *e, const engine_opts *opts, st_err *err)
{
    const model_info *info = model_about(e->model);
    uint32_t trained = info->n_ctx_train ? info->n_ctx_train : DEFAULT_CTX;
    e->n_ctx = opts->n_ctx ? opts->n_ctx : trained < DEFAULT_CTX ? trained : DEFAULT_CTX;
    e->max_batch = opts->max_batch ? opts->max_batch : DEFAULT_BATCH;
    e->max_seqs = opts->max_seqs ? opts->max_seqs : DEFAULT_SEQS;
    if (e->n_ctx > trained || e->n_ctx > MAX_CTX) {
        st_err_set(err, ST_EINVAL, "a context of %u tokens is longer than the model's %u",
                   e->n_ctx, trained);
        st_err_hint(err, "ask for at most %u", trained);
        return ST_EINVAL;
    }
    if (e->max_batch > MAX_BATCH || e->max_seqs > MAX_SEQS)
        return st_err_set(err, ST_EINVAL,
                          "a batch of %u tokens or %u sequences is too large",
                          e->max_batch, e->max_seqs);
    if (model_kv_page_bytes(e->model, engine_kv_type(e->model, opts)) == 0) {
        st_err_set(err, ST_EINVAL,
                   "this model's keys and values are not kept in that type");
        st_err_hint(err, "F32 and F16 always go");
        return ST_EINVAL;
    }
    if (!info->causal && e->max_batch < e->n_ctx)
        e->max_batch = e->n_ctx; /* an encoder's text is never split */
    e->seq_pages = kv_pages_for(e->n_ctx + e->max_batch) + 1;
    return 0;
}

static int pool_make(engine *e, const engine_opts *opts, st_err *err)
{
    const st_dtype kv_type = engine_kv_type(e->model, opts);
    size_t page_bytes = model_kv_page_bytes(e->model, kv_type);
    uint64_t n = 2 * (uint64_t)e->seq_pages;
    if (n < MIN_PAGES)
        n = MIN_PAGES;
    if (opts->kv_bytes)
        n = page_bytes ? opts->kv_bytes / page_bytes : 0;
    if (n == 0) {
        st_err_set(err, ST_EINVAL, "%zu bytes hold no key-value page of %zu bytes",
                   opts->kv_bytes, page_bytes);
        st_err_hint(err, "a full sequence needs %u pages", kv_pages_for(e->n_ctx));
        return ST_EINVAL;
    }
    if (n >= KV_NO_PAGE)
        n = KV_NO_PAGE - 1;
    int rc = kvpool_new(page_bytes, (uint32_t)n, &e->pool, err);
    if (rc == 0)
        e->kv = (model_kv){kvpool_base(e->pool), kv_type};
    return rc;
}

static int seqs_make(engine *e)
{
    size_t table, trees;
    e->seqs = st_zalloc_n(e->max_seqs, sizeof *e->seqs);
    if (!st_mul_ok(e->max_seqs, e->seq_pages, &table) ||
        !st_add_ok(table, (size_t)e->seq_pages + e->max_batch, &table) ||
        !st_mul_ok(e->max_seqs, e->max_batch, &trees))
        return ST_ENOMEM;
    e->page_table = st_alloc_n(table, sizeof *e->page_table);
    e->trees = st_alloc_n(trees, sizeof *e->trees);
    if (!e->seqs || !e->page_table || !e->trees)
        return ST_ENOMEM;
    for (uint32_t i = 0; i < e->max_seqs; i++) {
        e->seqs[i].engine = e;
        e->seqs[i].pages = e->page_table + (size_t)i * e->seq_pages;
        e->seqs[i].tree_parents = e->trees + (size_t)i * e->max_batch;
        e->seqs[i].kept_tail = KV_NO_PAGE;
        e->seqs[i].replaced = KV_NO_PAGE;
    }
    return 0;
}

static int scratch_make(engine *e)
{
    const model_info *info = model_about(e->model);
    size_t n = e->max_batch;
    size_t chunks = info->n_vocab / LSE_CHUNK + 1, few = info->n_vocab / FEW_SHARE + 1;
    size_t states, vocab, hidden;
    if (!st_mul_ok((size_t)info->n_layers + 1, info->n_embd, &states) ||
        !st_mul_ok(HEAD_ROWS, info->has_head ? info->n_vocab : 1, &vocab) ||
        !st_mul_ok(n, info->n_embd, &hidden))
        return ST_ENOMEM;
    e->spans = st_alloc_n(n, sizeof *e->spans);
    e->pieces = st_alloc_n(n, sizeof *e->pieces);
    e->rows = st_alloc_n(n, sizeof *e->rows);
    e->order = st_alloc_n(e->max_seqs, sizeof *e->order);
    e->hidden = st_aligned_n(hidden, sizeof *e->hidden);
    e->head_hidden =
        st_aligned_n((size_t)HEAD_ROWS * info->n_embd, sizeof *e->head_hidden);
    e->logits = st_aligned_n(vocab, sizeof *e->logits);
    e->few = st_alloc_n(few, sizeof *e->few);
    e->few_logits = st_aligned_n(few, sizeof *e->few_logits);
    e->parts = st_alloc_n(HEAD_ROWS * chunks, sizeof *e->parts);
    e->likely = st_alloc_n(HEAD_ROWS * chunks * STEP_MAX_LIKELY, sizeof *e->likely);
    e->sums = st_alloc_n(states, sizeof *e->sums);
    bool ok = e->spans && e->pieces && e->rows && e->order && e->hidden &&
              e->head_hidden && e->logits && e->few && e->few_logits && e->parts &&
              e->likely && e->sums;
    return ok ? 0 : ST_ENOMEM;
}

int engine_new(const model *m, const engine_opts *opts, engine **ret_engine, st_err *err)
{
    static const engine_opts defaults = {0};
    int rc = ST_ENOMEM;
    engine *e = st_zalloc_n(1, sizeof *e);
    if (!e)
        return st_err_set(err, rc, "no memory for an engine");
    e->model = m;
    if (!opts)
        opts = &defaults;
    if ((rc = sizes_choose(e, opts, err)) < 0 || (rc = pool_make(e, opts, err)) < 0 ||
        (rc = workers_new(opts->n_threads, &e->workers, err)) < 0 ||
        (rc = model_work_new(m, e->max_batch, e->workers, &e->work, err)) < 0)
        goto fail;
    if ((rc = seqs_make(e)) < 0 || (rc = scratch_make(e)) < 0) {
        st_err_set(err, rc,
                   "no memory for an engine of %u sequences and %u tokens a batch",
                   e->max_seqs, e->max_batch);
        goto fail;
    }
    *ret_engine = e;
    return 0;
fail:
    engine_free(e);
    return rc;
}

void engine_free(engine *e)
{
    if (!e)
        return;
    for (uint32_t i = 0; e->seqs && e->page_table && i < e->max_seqs; i++)
        if (e->seqs[i].used)
            seq_free(&e->seqs[i]);
    assert(!e->pool || kvpool_n_free(e->pool) == kvpool_n_pages(e->pool));
    st_free(e->sums);
    st_free(e->likely);
    st_free(e->parts);
    st_free(e->few_logits);
    st_free(e->few);
    st_free(e->logits);
    st_free(e->head_hidden);
    st_free(e->hidden);
    st_free(e->order);
    st_free(e->rows);
    st_free(e->pieces);
    st_free(e->spans);
    st_free(e->trees);
    st_free(e->page_table);
    st_free(e->seqs);
    model_work_free(e->work);
    workers_free(e->workers);
    kvpool_free(e->pool);
    st_free(e);
}

const model *engine_model(const engine *e)
{
    return e->model;
}

uint32_t engine_n_ctx(const engine *e)
{
    return e->n_ctx;
}

uint32_t engine_max_batch(const engine *e)
{
    return e->max_batch;
}

uint32_t engine_max_seqs(const engine *e)
{
    return e->max_seqs;
}

workers *engine_workers(engine *e)
{
    return e->workers;
}

uint32_t engine_pages(const engine *e)
{
    return kvpool_n_pages(e->pool);
}

uint32_t engine_free_pages(const engine *e)
{
    return kvpool_n_free(e->pool);
}
