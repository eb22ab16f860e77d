/* model/work.c - the activations of one forward pass, and work shared by threads. */
#include "model/work.h"

#include "base/mem.h"
#include "model/adapt.h"
#include <string.h>

enum {
    CHUNKS_A_THREAD = 8
}; /* so that a descheduled thread delays an eighth of its share */

/* ---- the block ---- */

typedef struct room { /* a first walk with base NULL only counts */
    unsigned char *base;
    size_t used;
    bool overflow;
} room;

static void *take(room *r, size_t rows, size_t cols, size_t size)
{
    size_t n, bytes, end;
    if (!st_mul_ok(rows, cols, &n) || !st_mul_ok(n, size, &bytes) ||
        !st_add_ok(bytes, WORK_ALIGN - 1, &bytes) ||
        !st_add_ok(r->used, bytes / WORK_ALIGN * WORK_ALIGN, &end)) {
        r->overflow = true;
        return NULL;
    }
    void *p = r->base ? r->base + r->used : NULL;
    r->used = end;
    return p;
}

/* Room for the 8-bit form of rows that stand in up to n_parts separate parts. */
static void *take_q(room *r, size_t rows, uint32_t cols, size_t n_parts)
{
    size_t bytes = 0;
    if (rows > UINT32_MAX || !kact_bytes((uint32_t)rows, cols, &bytes) ||
        !st_add_ok(bytes, n_parts * WORK_ALIGN, &bytes))
        r->overflow = true;
    return take(r, bytes, 1, 1);
}

static kact take_act(room *r, size_t rows, uint32_t cols, size_t n_parts,
                     float **ret_rows)
{
    kact a = {.cols = cols, .fine = true};
    a.x = *ret_rows = take(r, rows, cols, sizeof(float));
    a.q = take_q(r, rows, cols, n_parts);
    return a;
}

typedef struct widths { /* the widest of all layers */
    uint32_t att, qkv, ff, up, expert_ff, n_used, n_expert;
} widths;

static uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static widths widths_of(const model *m)
{
    widths w = {0};
    for (uint32_t i = 0; i < m->info.n_layers; i++) {
        const layer *l = &m->layers[i];
        w.att = max_u32(w.att, l->n_head * l->dim_v);
        w.qkv = max_u32(w.qkv, layer_qkv_dim(l));
        const ffn *f = l->moe ? &l->moe->shared : &l->ffn;
        w.ff = max_u32(w.ff, f->n_ff);
        w.up = max_u32(w.up, f->up.w.rows);
        if (!l->moe)
            continue;
        w.expert_ff = max_u32(w.expert_ff, l->moe->experts[0].n_ff);
        w.n_used = max_u32(w.n_used, l->moe->n_used);
        w.n_expert = max_u32(w.n_expert, l->moe->n_expert);
    }
    return w;
}

static void lay_out_experts(model_work *wk, room *r, const widths *w)
{
    size_t n = wk->max_tokens, pairs = n * w->n_used, n_embd = wk->m->info.n_embd;
    if (w->n_expert == 0)
        return;
    if (pairs > UINT32_MAX)
        r->overflow = true;
    wk->max_pairs = (uint32_t)pairs;
    wk->router = take(r, n, w->n_expert, sizeof(float));
    wk->weight = take(r, pairs, 1, sizeof(float));
    wk->expert = take(r, pairs, 1, sizeof(uint32_t));
    wk->place = take(r, pairs, 1, sizeof(uint32_t));
    wk->first = take(r, w->n_expert + 1, 1, sizeof(uint32_t));
    wk->gathered = take(r, pairs, n_embd, sizeof(float));
    wk->gathered_q = take_q(r, pairs, wk->m->info.n_embd, w->n_expert);
    wk->in_parts = take(r, w->n_expert, 1, sizeof(kact));
    wk->act_parts = take(r, w->n_expert, 1, sizeof(kact));
    wk->gathered_out = take(r, pairs, n_embd, sizeof(float));
    wk->shared_out = take(r, n, n_embd, sizeof(float));
    wk->products = take(r, 2 * (size_t)w->n_expert, 1, sizeof(product));
}

static void lay_out(model_work *wk, room *r)
{
    const model *m = wk->m;
    widths w = widths_of(m);
    size_t n = wk->max_tokens, n_embd = m->info.n_embd;
    wk->stripe = w.n_expert || n < STRIPE_ROWS ? wk->max_tokens : STRIPE_ROWS;
    /* dense and expert rows use the same buffers, at different times */
    size_t stripe = wk->stripe, ff_rows = stripe * max_u32(w.n_used, 1);
    size_t ff = max_u32(max_u32(w.ff, w.expert_ff), 1);
    wk->at = take(r, n, 1, sizeof(token_at));
    wk->x = take(r, n, n_embd, sizeof(float));
    wk->h = take_act(r, n, m->info.n_embd, 1, &wk->h_rows);
    wk->part = take_act(r, stripe, m->info.n_embd, 1, &wk->part_rows);
    wk->att = take_act(r, stripe, w.att, 1, &wk->att_rows);
    wk->act = take_act(r, ff_rows, (uint32_t)ff, w.n_expert, &wk->act_rows);
    wk->qkv = take(r, n, w.qkv, sizeof(float));
    wk->up = take(r, ff_rows, max_u32(w.up, w.expert_ff), sizeof(float));
    wk->out = take(r, stripe, n_embd, sizeof(float));
    wk->rope_width = max_u32(m->ropes[0].half, m->ropes[1].half);
    wk->cos = take(r, 2 * n, wk->rope_width, sizeof(float));
    wk->sin = take(r, 2 * n, wk->rope_width, sizeof(float));
    wk->scratch = take(r, wk->n_threads, KERN_ATTN_SCRATCH, sizeof(float));
    wk->ancestors = take(r, (size_t)wk->n_threads * ATTEND_ROWS, n, sizeof(uint32_t));
    wk->tiles = take(r, n, 1, sizeof *wk->tiles);
    wk->final = take(r, n, 1, sizeof(uint32_t));
    lay_out_experts(wk, r, &w);
}

int model_work_new(const model *m, uint32_t max_tokens, workers *w, model_work **ret_work,
                   st_err *err)
{
    room r = {0};
    if (max_tokens == 0)
        return st_err_set(err, ST_EINVAL, "a batch needs room for at least one token");
    model_work *wk = st_zalloc_n(1, sizeof *wk);
    if (!wk)
        return st_err_set(err, ST_ENOMEM, "out of memory for activations");
    wk->m = m;
    wk->w = w;
    wk->n_threads = w ? workers_count(w) : 1;
    wk->max_tokens = max_tokens;
    lay_out(wk, &r);
    wk->block = r.overflow ? NULL : st_aligned_n(r.used, 1);
    if (!wk->block) {
        model_work_free(wk);
        return st_err_set(err, ST_ENOMEM,
                          "out of memory for the activations of %u tokens", max_tokens);
    }
    r = (room){.base = wk->block};
    lay_out(wk, &r);
    *ret_work = wk;
    return 0;
}

void model_work_free(model_work *work)
{
    if (!work)
        return;
    st_free(work->block);
    st_free(work);
}

/* ---- rows ---- */

typedef struct rows_job {
    rows_fn *fn;
    void *arg;
    uint32_t n;
    uint32_t a_chunk;
} rows_job;

static void rows_chunk(void *arg, uint32_t chunk, uint32_t worker)
{
    const rows_job *job = arg;
    uint32_t row0 = chunk * job->a_chunk;
    uint32_t left = job->n - row0;
    job->fn(job->arg, row0, row0 + (left < job->a_chunk ? left : job->a_chunk), worker);
}

void work_rows(model_work *wk, uint32_t n, rows_fn *fn, void *arg)
{
    uint32_t share = n / (wk->n_threads * CHUNKS_A_THREAD);
    rows_job job = {fn, arg, n, share ? share : 1};
    if (n == 0)
        return;
    if (wk->n_threads == 1)
        fn(arg, 0, n, 0);
    else
        workers_run(wk->w, (n + job.a_chunk - 1) / job.a_chunk, rows_chunk, &job);
}

/* ---- products ---- */

typedef struct products_job {
    const kern *kern;
    const product *products;
    uint32_t n;
    uint32_t panels_a_chunk;
} products_job;

static uint32_t chunks_of(const product *p, uint32_t panels_a_chunk)
{
    return (kmat_panels(p->w) + panels_a_chunk - 1) / panels_a_chunk;
}

static void products_chunk(void *arg, uint32_t chunk, uint32_t worker)
{
    const products_job *job = arg;
    const product *p = job->products;
    (void)worker;
    for (uint32_t n; chunk >= (n = chunks_of(p, job->panels_a_chunk)); p++)
        chunk -= n;
    uint32_t first = chunk * job->panels_a_chunk, left = kmat_panels(p->w) - first;
    uint32_t n = left < job->panels_a_chunk ? left : job->panels_a_chunk;
    job->kern->matmul(p->w, &p->x, first, first + n, p->y, p->ldy);
}

void work_products(model_work *wk, const product *products, uint32_t n)
{
    products_job job = {.kern = wk->m->kern, .products = products, .n = n};
    uint32_t panels = 0, n_chunks = 0;
    for (uint32_t i = 0; i < n; i++)
        panels += kmat_panels(products[i].w);
    job.panels_a_chunk = panels / (wk->n_threads * CHUNKS_A_THREAD);
    if (wk->n_threads == 1 || job.panels_a_chunk == 0)
        job.panels_a_chunk = wk->n_threads == 1 ? UINT32_MAX / 2 : 1;
    for (uint32_t i = 0; i < n; i++)
        n_chunks += chunks_of(&products[i], job.panels_a_chunk);
    if (wk->n_threads == 1) {
        for (uint32_t i = 0; i < n_chunks; i++)
            products_chunk(&job, i, 0);
        return;
    }
    workers_run(wk->w, n_chunks, products_chunk, &job);
}

bool work_quantised(const kmat *w)
{
    return w->data && w->type != ST_F32 && w->type != ST_F16 && w->type != ST_BF16;
}

typedef struct quantise_job {
    const kern *kern;
    const kact *x;
} quantise_job;

void work_quantise_rows(const kern *k, const kact *x, uint32_t row0, uint32_t row1)
{
    k->quant(x, row0, row1);
    kact_refine(x, row0, row1);
}

static void quantise_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const quantise_job *job = arg;
    (void)worker;
    work_quantise_rows(job->kern, job->x, row0, row1);
}

void work_quantise(model_work *wk, const kact *x, const kmat *w)
{
    quantise_job job = {wk->m->kern, x};
    if (work_quantised(w))
        work_rows(wk, x->n, quantise_rows, &job);
}
