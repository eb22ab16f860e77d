/* tests/model_run.h - a model, its pages and its activations in one hand, for tests. */
#ifndef TESTS_MODEL_RUN_H
#define TESTS_MODEL_RUN_H
#include "base/mem.h"
#include "model/model.h"
#include <stdlib.h>
#include <string.h>

typedef struct runner {
    gguf *g;
    model *m;
    workers *w;
    model_work *work;
    model_kv kv;
    uint32_t *pages; /* backwards, so that page order is not slot order */
    uint32_t n_ctx;
    const char *digest; /* of the file, when its packed weights are to be kept */
    bool int8;          /* as model_opts.int8 */
} runner;

static void runner_close(runner *r)
{
    model_work_free(r->work);
    model_free(r->m);
    gguf_close(r->g);
    workers_free(r->w);
    st_free(r->kv.base);
    st_free(r->pages);
    *r = (runner){0};
}

static int runner_set_up(runner *r, uint32_t n_ctx, st_dtype kv_type, unsigned n_threads,
                         st_err *err)
{
    uint32_t n_pages = (n_ctx + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    model_opts opts = {.n_ctx = n_ctx, .digest = r->digest, .int8 = r->int8};
    int rc = workers_new(n_threads, &r->w, err);
    opts.workers = r->w;
    if (!rc)
        rc = model_load(r->g, &opts, &r->m, err);
    gguf_close(r->g); /* the model must not need it any more */
    r->g = NULL;
    if (!rc)
        rc = model_work_new(r->m, n_ctx, r->w, &r->work, err);
    if (rc)
        return rc;
    if (model_kv_page_bytes(r->m, kv_type) == 0)
        kv_type = ST_F16; /* not every model's go in 8 bits */
    r->n_ctx = n_ctx;
    r->kv.type = kv_type;
    r->kv.base = st_aligned_n(n_pages, model_kv_page_bytes(r->m, kv_type));
    r->pages = st_alloc_n(n_pages, sizeof *r->pages);
    if (!r->kv.base || !r->pages)
        return st_err_set(err, ST_ENOMEM, "out of memory for pages");
    memset(r->kv.base, 0x7f, n_pages * model_kv_page_bytes(r->m, kv_type));
    for (uint32_t i = 0; i < n_pages; i++)
        r->pages[i] = n_pages - 1 - i;
    return 0;
}

/* Open a file whole.  On failure the runner is closed. */
static int runner_open(const char *path, uint32_t n_ctx, st_dtype kv_type,
                       unsigned n_threads, runner *r, st_err *err)
{
    *r = (runner){0};
    int rc = gguf_open(path, &r->g, err);
    if (!rc)
        rc = runner_set_up(r, n_ctx, kv_type, n_threads, err);
    if (rc)
        runner_close(r);
    return rc;
}

static uint32_t runner_width(const runner *r)
{
    const model_info *info = model_about(r->m);
    return info->has_head && info->pooling == MODEL_POOL_NONE ? info->n_vocab
                                                              : info->n_embd;
}

/* Final states, or logits, of a span whose outputs are all rows. */
static int runner_span(runner *r, const model_span *span, float *ret, st_err *err)
{
    const model_info *info = model_about(r->m);
    uint32_t *rows = st_alloc_n(span->n, sizeof *rows);
    float *hidden = st_alloc_n((size_t)span->n * info->n_embd, sizeof *hidden);
    model_batch batch = {.spans = span,
                         .n_spans = 1,
                         .out_rows = rows,
                         .n_out = span->n,
                         .ret_hidden = hidden};
    int rc = rows && hidden ? 0 : st_err_set(err, ST_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < span->n && !rc; i++)
        rows[i] = i;
    if (!rc)
        rc = model_forward(r->m, r->work, &r->kv, &batch, err);
    if (!rc && runner_width(r) == info->n_embd)
        memcpy(ret, hidden, (size_t)span->n * info->n_embd * sizeof *ret);
    else if (!rc)
        rc = model_head(r->m, r->work, hidden, span->n, NULL, 0, ret, err);
    st_free(rows);
    st_free(hidden);
    return rc;
}

/* All tokens, `piece` at a time; ret [n, width]. */
static int runner_run(runner *r, const int32_t *tokens, uint32_t n, uint32_t piece,
                      float *ret, st_err *err)
{
    int rc = 0;
    for (uint32_t at = 0; at < n && !rc; at += piece) {
        model_span span = {.tokens = tokens + at,
                           .n = n - at < piece ? n - at : piece,
                           .start = at,
                           .pages = r->pages};
        rc = runner_span(r, &span, ret + (size_t)at * runner_width(r), err);
    }
    return rc;
}
#endif
