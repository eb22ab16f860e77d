/* engine/states.c - pooled vectors of whole texts, many texts to a pass.
 *
 * Texts come and go within a pass, so they need no sequence: each borrows pages from the
 * pool and a stretch of the engine's page table.  A text longer than a batch (decoders
 * only) has passes of its own, chunk after chunk over the same pages.  A text that goes
 * on from a prefix shares its whole pages and has a copy of the one that is not full.
 *
 * Sums are doubles added token after token, so a mean does not depend on the batching. */
#include "engine/core.h"

#include <math.h>
#include <string.h>

typedef struct text_job { /* one call of engine_states or engine_embed */
    engine *e;
    const int32_t *const *texts;
    const uint32_t *n_tokens;
    uint32_t n_texts;
    const step_states *want; /* NULL: embeddings */
    float *vectors;          /* of embeddings [n_texts, n_embd] */
    /* the current pass: texts [first, first + n), the first one from token `offset` on */
    uint32_t first;
    uint32_t n;
    uint32_t offset;
    uint32_t n_pages; /* of the page table, borrowed */
} text_job;

/* Add tokens [from, to) of rows x, whose row 0 is token `base`, to `sum`. */
static void rows_sum(const float *x, uint32_t base, uint32_t n_rows, uint32_t from,
                     uint32_t to, uint32_t n_embd, double *sum)
{
    from = from > base ? from : base;
    to = to < base + n_rows ? to : base + n_rows;
    for (uint32_t t = from; t < to; t++) {
        const float *row = x + (size_t)(t - base) * n_embd;
        for (uint32_t i = 0; i < n_embd; i++)
            sum[i] += (double)row[i];
    }
}

static void mean_store(const double *sum, uint32_t n, uint32_t n_embd, float *ret)
{
    for (uint32_t i = 0; i < n_embd; i++)
        ret[i] = (float)(sum[i] / n);
}

/* Pool the rows of one text at one layer.  Row 0 of x is token `base` of the text. */
static void text_pool(const text_job *job, uint32_t text, uint32_t layer, const float *x,
                      uint32_t base, uint32_t n_rows)
{
    const step_states *want = &job->want[text];
    uint32_t n_embd = model_about(job->e->model)->n_embd;
    if (layer < want->first_layer || layer > want->last_layer)
        return;
    uint32_t to = want->to ? want->to : job->n_tokens[text];
    size_t at = (size_t)(layer - want->first_layer) * n_embd;
    if (want->ret_last && to > base && to <= base + n_rows)
        memcpy(want->ret_last + at, x + (size_t)(to - 1 - base) * n_embd,
               n_embd * sizeof *x);
    if (!want->ret_mean)
        return;
    double *sum = job->e->sums + at;
    if (base == 0)
        memset(sum, 0, n_embd * sizeof *sum);
    rows_sum(x, base, n_rows, want->from, to, n_embd, sum);
    if (base + n_rows == job->n_tokens[text])
        mean_store(sum, to - want->from, n_embd, want->ret_mean + at);
}

static void layer_tap(void *arg, uint32_t layer, const float *x, uint32_t n_tokens)
{
    const text_job *job = arg;
    size_t row = 0;
    (void)n_tokens;
    for (uint32_t i = 0; i < job->n; i++) {
        text_pool(job, job->first + i, layer,
                  x + row * model_about(job->e->model)->n_embd, i == 0 ? job->offset : 0,
                  job->e->spans[i].n);
        row += job->e->spans[i].n;
    }
}

static uint32_t prefix_len(const text_job *job, uint32_t text)
{
    const seq *prefix = job->want ? job->want[text].prefix : NULL;
    return prefix ? prefix->len : 0;
}

static const adapter *adapter_for(const text_job *job, uint32_t text)
{
    return job->want ? job->want[text].adapter : NULL;
}

/* Pages for a text and its prefix.  ST_EBUSY takes nothing. */
static int pages_borrow(const text_job *job, uint32_t text, kv_page *pages)
{
    kvpool *pool = job->e->pool;
    uint32_t start = prefix_len(job, text), shared = start / KV_PAGE_TOKENS;
    uint32_t own = kv_pages_for(start + job->n_tokens[text]) - shared;
    int rc = kvpool_take(pool, own, pages + shared);
    if (rc < 0 || start == 0)
        return rc;
    const kv_page *from = job->want[text].prefix->pages;
    for (uint32_t i = 0; i < shared; i++) {
        pages[i] = from[i];
        kvpool_ref(pool, from[i]);
    }
    if (start % KV_PAGE_TOKENS)
        kvpool_copy(pool, pages[shared], from[shared]);
    return 0;
}

/* Fill the spans with the next texts.  ST_EBUSY when not even the first gets its pages.
 */
static int pass_fill(text_job *job, st_err *err)
{
    engine *e = job->e;
    kv_page *pages = e->page_table + (size_t)e->max_seqs * e->seq_pages;
    uint32_t used = 0;
    for (job->n = 0; job->first + job->n < job->n_texts && used < e->max_batch;
         job->n++) {
        uint32_t text = job->first + job->n, n = job->n_tokens[text];
        uint32_t start = prefix_len(job, text), room = e->max_batch - used;
        uint32_t n_pages = kv_pages_for(start + n);
        if (n > room && (job->n > 0 || n <= e->max_batch))
            break;
        if (n_pages > e->seq_pages + e->max_batch - job->n_pages ||
            pages_borrow(job, text, pages + job->n_pages) < 0)
            break;
        e->spans[job->n] = (model_span){.tokens = job->texts[text],
                                        .n = n < room ? n : room,
                                        .start = start,
                                        .adapter = adapter_for(job, text),
                                        .pages = pages + job->n_pages};
        used += e->spans[job->n].n;
        job->n_pages += n_pages;
    }
    if (job->n > 0)
        return 0;
    st_err_set(err, ST_EBUSY, "%u free pages do not hold a text of %u tokens",
               kvpool_n_free(e->pool), job->n_tokens[job->first]);
    st_err_hint(err, "free a sequence, or give the engine more kv_bytes");
    return ST_EBUSY;
}

static void pass_end(text_job *job)
{
    engine *e = job->e;
    const kv_page *pages = e->page_table + (size_t)e->max_seqs * e->seq_pages;
    for (uint32_t i = 0; i < job->n_pages; i++)
        kvpool_unref(e->pool, pages[i]);
    job->n_pages = 0;
}

/* The part of the first text's span that comes after what has run.  False at its end. */
static bool span_advance(text_job *job)
{
    model_span *span = &job->e->spans[0];
    uint32_t left = job->n_tokens[job->first] - job->offset - span->n;
    if (job->n > 1 || left == 0)
        return false;
    job->offset += span->n;
    span->tokens += span->n;
    span->start += span->n;
    if (span->n > left)
        span->n = left;
    return true;
}

static int prefix_check(const text_job *job, uint32_t i, st_err *err)
{
    const seq *prefix = job->want ? job->want[i].prefix : NULL;
    if (prefix && (prefix->engine != job->e || !prefix->used))
        return st_err_set(err, ST_EINVAL,
                          "text %u goes on from no sequence of this engine", i);
    if (adapter_for(job, i) && adapter_model(adapter_for(job, i)) != job->e->model)
        return st_err_set(err, ST_EINVAL, "text %u has an adapter of another model", i);
    if (prefix && prefix->adapter != adapter_for(job, i))
        return st_err_set(err, ST_EINVAL, "text %u goes on with another adapter", i);
    if (prefix && prefix->len && !model_about(job->e->model)->causal)
        return st_err_set(err, ST_EINVAL, "an encoder takes a whole text at once");
    return 0;
}

static int want_check(const text_job *job, uint32_t i, st_err *err)
{
    const step_states *want = &job->want[i];
    uint32_t n_layers = model_about(job->e->model)->n_layers, n = job->n_tokens[i];
    uint32_t to = want->to ? want->to : n;
    if (want->first_layer > want->last_layer || want->last_layer > n_layers)
        return st_err_set(err, ST_EINVAL, "text %u wants layers %u to %u of %u", i,
                          want->first_layer, want->last_layer, n_layers);
    if (want->from >= to || to > n)
        return st_err_set(err, ST_EINVAL, "text %u wants tokens %u to %u of %u", i,
                          want->from, to, n);
    return 0;
}

static int texts_check(const text_job *job, st_err *err)
{
    const engine *e = job->e;
    for (uint32_t i = 0; i < job->n_texts; i++) {
        uint32_t n = job->n_tokens[i];
        int rc = prefix_check(job, i, err);
        if (rc)
            return rc;
        if (n == 0)
            return st_err_set(err, ST_EINVAL, "text %u has no token", i);
        if (n > e->n_ctx - prefix_len(job, i)) {
            st_err_set(err, ST_ELIMIT, "text %u has %u tokens, the context holds %u", i,
                       n + prefix_len(job, i), e->n_ctx);
            st_err_hint(err, "shorten or split the text");
            return ST_ELIMIT;
        }
        if (job->want && (rc = want_check(job, i, err)))
            return rc;
    }
    return 0;
}

static int states_pass(text_job *job, st_err *err)
{
    engine *e = job->e;
    uint32_t last = 1; /* layer 0 comes with layer 1 */
    for (uint32_t i = 0; i < job->n; i++)
        if (job->want[job->first + i].last_layer > last)
            last = job->want[job->first + i].last_layer;
    model_batch batch = {
        .spans = e->spans,
        .n_spans = job->n,
        .n_layers = last,
        .tap = layer_tap,
        .tap_arg = job,
    };
    return model_forward(e->model, e->work, &e->kv, &batch, err);
}

static void vector_scale(float *v, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    double scale = sum > 0 ? 1 / sqrt(sum) : 0;
    for (uint32_t i = 0; i < n; i++)
        v[i] = (float)((double)v[i] * scale);
}

/* A decoder names no pooling: the mean, as other servers take it. */
static model_pooling embed_pooling(const engine *e)
{
    model_pooling pooling = model_about(e->model)->pooling;
    return pooling == MODEL_POOL_NONE ? MODEL_POOL_MEAN : pooling;
}

/* Ask for the rows that the model's pooling reads: all, the first, or the last. */
static uint32_t embed_rows(const text_job *job)
{
    engine *e = job->e;
    model_pooling pooling = embed_pooling(e);
    uint32_t n_rows = 0, at = 0;
    for (uint32_t i = 0; i < job->n; at += e->spans[i].n, i++) {
        uint32_t n = e->spans[i].n, base = e->spans[i].start;
        bool end = base + n == job->n_tokens[job->first + i];
        for (uint32_t t = 0; t < n; t++)
            if (pooling == MODEL_POOL_MEAN ||
                (pooling == MODEL_POOL_CLS && base + t == 0) ||
                (pooling == MODEL_POOL_LAST && end && t == n - 1))
                e->rows[n_rows++] = at + t;
    }
    return n_rows;
}

static void embed_pool(const text_job *job)
{
    engine *e = job->e;
    uint32_t n_embd = model_about(e->model)->n_embd;
    bool mean = embed_pooling(e) == MODEL_POOL_MEAN;
    bool cls = embed_pooling(e) == MODEL_POOL_CLS;
    const float *x = e->hidden;
    for (uint32_t i = 0; i < job->n; i++) {
        uint32_t text = job->first + i, n = e->spans[i].n, base = e->spans[i].start;
        uint32_t n_tokens = job->n_tokens[text];
        bool end = base + n == n_tokens;
        float *v = job->vectors + (size_t)text * n_embd;
        if (mean) {
            if (base == 0)
                memset(e->sums, 0, n_embd * sizeof *e->sums);
            rows_sum(x, base, n, 0, n_tokens, n_embd, e->sums);
            x += (size_t)n * n_embd;
            if (end)
                mean_store(e->sums, n_tokens, n_embd, v);
        } else if (cls ? base == 0 : end) {
            memcpy(v, x, n_embd * sizeof *v);
            x += n_embd;
        }
        if (end)
            vector_scale(v, n_embd);
    }
}

static int embed_pass(text_job *job, st_err *err)
{
    engine *e = job->e;
    model_batch batch = {
        .spans = e->spans,
        .n_spans = job->n,
        .out_rows = e->rows,
        .n_out = embed_rows(job),
        .ret_hidden = e->hidden,
    };
    int rc = model_forward(e->model, e->work, &e->kv, &batch, err);
    if (rc == 0)
        embed_pool(job);
    return rc;
}

static int texts_run(text_job *job, st_err *err)
{
    int rc = texts_check(job, err);
    while (rc == 0 && job->first < job->n_texts) {
        job->offset = 0;
        rc = pass_fill(job, err);
        if (rc < 0)
            break;
        do
            rc = job->want ? states_pass(job, err) : embed_pass(job, err);
        while (rc == 0 && span_advance(job));
        pass_end(job);
        job->first += job->n;
    }
    return rc;
}

int engine_states(engine *e, const int32_t *const *texts, const uint32_t *n_tokens,
                  const step_states *want, uint32_t n_texts, st_err *err)
{
    text_job job = {
        .e = e, .texts = texts, .n_tokens = n_tokens, .n_texts = n_texts, .want = want};
    return texts_run(&job, err);
}

int engine_embed(engine *e, const int32_t *const *texts, const uint32_t *n_tokens,
                 uint32_t n_texts, float *ret_vectors, st_err *err)
{
    text_job job = {.e = e,
                    .texts = texts,
                    .n_tokens = n_tokens,
                    .n_texts = n_texts,
                    .vectors = ret_vectors};
    return texts_run(&job, err);
}
