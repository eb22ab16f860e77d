/* model/attend.c - the attention branch: queries, keys and values, and what tokens see.
 *
 * Keys and values of all tokens are stored before any token attends, so tokens of one
 * batch see each other as they would see earlier ones. */
#include "model/adapt.h"

typedef struct step { /* argument of every job of the branch */
    const pass *p;
    const layer *l;
    kkv kv;
    kact att;
    bool queries;  /* false: nothing attends, only keys and values are stored */
    bool quantise; /* att rows, for o */
} step;

enum { ROWS_A_THREAD = 4 }; /* fewer rows are split by key heads */

static void norm_heads(const model *m, const norm *w, bool whole_row, float *x,
                       uint32_t n_head, uint32_t dim)
{
    if (!w->w)
        return;
    if (whole_row) {
        layer_norm_row(m, w, x, n_head * dim, x);
        return;
    }
    for (uint32_t h = 0; h < n_head; h++)
        layer_norm_row(m, w, x + (size_t)h * dim, dim, x + (size_t)h * dim);
}

static void rotate(const step *s, uint32_t t, float *q, float *k)
{
    const layer *l = s->l;
    const model_work *wk = s->p->wk;
    if (l->rope == ROPE_OFF)
        return;
    const rope *r = &s->p->m->ropes[l->rope];
    size_t at = ((size_t)l->rope * wk->max_tokens + t) * wk->rope_width;
    for (uint32_t h = 0; s->queries && h < l->n_head; h++)
        s->p->m->kern->rope(q + (size_t)h * l->dim_k, wk->cos + at, wk->sin + at, r->half,
                            r->halves);
    for (uint32_t h = 0; h < l->n_kv; h++)
        s->p->m->kern->rope(k + (size_t)h * l->dim_k, wk->cos + at, wk->sin + at, r->half,
                            r->halves);
}

static void add_bias(const kern *k, const linear *lin, float *y)
{
    if (lin->bias)
        k->add(y, lin->bias, lin->w.rows);
}

/* Biases, norms and positions of queries and keys; keys and values to their page. */
static void qkv_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const step *s = arg;
    const model *m = s->p->m;
    const layer *l = s->l;
    (void)worker;
    for (uint32_t t = row0; t < row1; t++) {
        float *q = s->p->wk->qkv + (size_t)t * layer_qkv_dim(l);
        float *k = q + layer_q_dim(l), *v = k + layer_k_dim(l);
        const token_at *at = &s->p->wk->at[t];
        const model_span *span = &s->p->batch->spans[at->span];
        add_bias(m->kern, &l->qkv, q);
        if (s->queries)
            add_bias(m->kern, &l->q, q);
        add_bias(m->kern, &l->k, k);
        add_bias(m->kern, &l->v, v);
        if (m->norm_after_rope)
            rotate(s, t, q, k);
        if (s->queries)
            norm_heads(m, &l->q_norm, l->q_norm_row, q, l->n_head, l->dim_k);
        norm_heads(m, &l->k_norm, l->q_norm_row, k, l->n_kv, l->dim_k);
        if (!m->norm_after_rope)
            rotate(s, t, q, k);
        for (uint32_t h = 0; l->v_norm && h < l->n_kv; h++)
            m->kern->rms_norm(v + (size_t)h * l->dim_v, NULL, m->eps, l->dim_v,
                              v + (size_t)h * l->dim_v);
        m->kern->kv_store(&s->kv, span->pages, span_slot(span, at->i), k, v);
    }
}

/* Slots of a token and its ancestors in a tree that are at `lo` or later, oldest first.
 */
static uint32_t list_ancestors(const model_span *span, const token_at *at, uint32_t lo,
                               uint32_t *ret_slots)
{
    uint32_t n = at->position + 1 - (lo > span->start ? lo : span->start);
    uint32_t j = span->n_tree + at->i;
    for (uint32_t left = n; left-- > 0; j = (uint32_t)span->parents[j])
        ret_slots[left] = span->start + j;
    return n;
}

/* The positions that a token sees; `slots` has room for its ancestors. */
static kview view_of(const step *s, const token_at *at, uint32_t *slots)
{
    const model_span *span = &s->p->batch->spans[at->span];
    uint32_t window = s->l->window, pos = at->position;
    kview v = {0};
    if (!s->p->m->info.causal) {
        uint32_t half = window / 2, end = span->start + span->n;
        v.lo = window && pos > half ? pos - half : 0;
        v.hi = window && end - pos > half ? pos + half + 1 : end;
        return v;
    }
    v.lo = window && pos >= window ? pos - window + 1 : 0;
    v.hi = pos + 1;
    if (span->parents) {
        v.n_extra = list_ancestors(span, at, v.lo, slots);
        v.extra = slots;
        v.hi = span->start; /* may be before lo: the ancestors count on from there */
    }
    return v;
}

/* The heads of key heads [kv0, kv1) of live rows [row0, row1), all of one span. */
static void attend_heads(const step *s, uint32_t row0, uint32_t row1, uint32_t kv0,
                         uint32_t kv1, uint32_t worker)
{
    const layer *l = s->l;
    const model_work *wk = s->p->wk;
    const uint32_t head0 = kv0 * (l->n_head / l->n_kv), t0 = live_token(s->p, row0);
    uint32_t *slots = wk->ancestors + (size_t)worker * ATTEND_ROWS * wk->max_tokens;
    kview views[ATTEND_ROWS];
    /* rows of queries that are not live lie between those that are */
    const uint32_t apart = row1 - row0 > 1 ? live_token(s->p, row0 + 1) - t0 : 1;
    kattn a = {.kv = &s->kv,
               .pages = s->p->batch->spans[wk->at[t0].span].pages,
               .views = views,
               .n = row1 - row0,
               .ldq = apart * layer_qkv_dim(l),
               .ldo = (size_t)l->n_head * l->dim_v,
               .n_head = l->n_head,
               .scale = l->scale,
               .softcap = s->p->m->attn_softcap,
               .sinks = l->sinks};
    for (uint32_t i = 0; i < a.n; i++)
        views[i] = view_of(s, &wk->at[live_token(s->p, row0 + i)],
                           slots + (size_t)i * wk->max_tokens);
    s->p->m->kern->attn(&a, head0, kv1 * (l->n_head / l->n_kv),
                        wk->qkv + t0 * layer_qkv_dim(l) + head0 * l->dim_k,
                        wk->att_rows + row0 * a.ldo + (size_t)head0 * l->dim_v,
                        wk->scratch + (size_t)worker * KERN_ATTN_SCRATCH);
}

/* Where the run of rows that may attend together and ends before `row1` starts: tokens of
 * one span at equal distances. */
static uint32_t run_start(const pass *p, uint32_t row0, uint32_t row1)
{
    const token_at *at = p->wk->at;
    uint32_t row = row1 - 1, t = live_token(p, row);
    const uint32_t apart = row > row0 ? t - live_token(p, row - 1) : 1;
    while (row > row0 && row1 - row < ATTEND_ROWS &&
           live_token(p, row) - live_token(p, row - 1) == apart &&
           at[live_token(p, row - 1)].span == at[t].span)
        row--;
    return row;
}

/* Later rows see more: they are given out first, so that the threads end together. */
static void attend_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const step *s = arg;
    const uint32_t n = s->p->n_live, first = n - row1;
    for (uint32_t end = n - row0; end > first;) {
        uint32_t start = run_start(s->p, first, end);
        attend_heads(s, start, end, 0, s->l->n_kv, worker);
        if (s->quantise)
            work_quantise_rows(s->p->m->kern, &s->att, start, end);
        end = start;
    }
}

/* One item is one row's heads that share a key head. */
static void attend_items(void *arg, uint32_t item0, uint32_t item1, uint32_t worker)
{
    const step *s = arg;
    for (uint32_t item = item0; item < item1; item++) {
        uint32_t row = item / s->l->n_kv, kv = item % s->l->n_kv;
        attend_heads(s, row, row + 1, kv, kv + 1, worker);
    }
}

static kkv layer_kv(const model *m, const model_kv *pages, const layer *l)
{
    kkv kv = {.page_stride = model_kv_page_bytes(m, pages->type),
              .n_kv_head = l->n_kv,
              .dim_k = l->dim_k,
              .dim_v = l->dim_v,
              .type = pages->type};
    kv.k = pages->base + l->kv_first[kv_kind(pages->type)];
    kv.v = kv.k + kkv_bytes(pages->type, l->n_kv, l->dim_k);
    return kv;
}

void model_kv_clear(const model *m, const model_kv *pages, uint32_t page, uint32_t from)
{
    for (uint32_t i = 0; i < m->info.n_layers; i++) {
        const kkv kv = layer_kv(m, pages, &m->layers[i]);
        kkv_clear(&kv, page, from);
    }
}

/* Without `q` only keys and values, where the file keeps them apart. */
static void multiply_qkv(const pass *p, const layer *l, bool q)
{
    model_work *wk = p->wk;
    size_t ldy = layer_qkv_dim(l);
    const product fused = {&l->qkv.w, p->h, wk->qkv, ldy};
    const product apart[] = {
        {&l->q.w, p->h, wk->qkv, ldy},
        {&l->k.w, p->h, wk->qkv + layer_q_dim(l), ldy},
        {&l->v.w, p->h, wk->qkv + layer_q_dim(l) + layer_k_dim(l), ldy},
    };
    const adapt_part parts[] = {
        {ADAPT_Q, p->h.x, apart[0].y, ldy},
        {ADAPT_K, p->h.x, apart[1].y, ldy},
        {ADAPT_V, p->h.x, apart[2].y, ldy},
    };
    if (l->qkv.w.data) {
        work_products(wk, &fused, 1);
        adapt_run(p, &(adapt_part){ADAPT_QKV, p->h.x, wk->qkv, ldy}, 1);
        return;
    }
    work_products(wk, q ? apart : apart + 1, q ? 3 : 2);
    adapt_run(p, q ? parts : parts + 1, q ? 3 : 2);
}

bool attend_quantised(const layer *l)
{
    return work_quantised(&l->qkv.w) || work_quantised(&l->q.w) ||
           work_quantised(&l->k.w) || work_quantised(&l->v.w) ||
           work_quantised(&l->conv.in.w);
}

/* Rows go on to o's 8-bit form where they were made, unless the heads of a row are
 * shared by threads. */
static void attend_live(const pass *p, step *s)
{
    model_work *wk = p->wk;
    if (p->n_live >= wk->n_threads * ROWS_A_THREAD) {
        work_rows(wk, p->n_live, attend_rows, s);
        return;
    }
    work_rows(wk, p->n_live * s->l->n_kv, attend_items, s);
    work_quantise(wk, &s->att, &s->l->o.w);
}

void attend_store(const pass *p, const layer *l, bool queries)
{
    step s = {.p = p, .l = l, .kv = layer_kv(p->m, p->kv, l), .queries = queries};
    if (l->conv.n_taps) {
        work_products(p->wk,
                      &(product){&l->conv.in.w, p->h, p->wk->qkv, layer_qkv_dim(l)}, 1);
        conv_store(p, l, &s.kv);
    } else {
        multiply_qkv(p, l, queries);
        work_rows(p->wk, p->n, qkv_rows, &s);
    }
}

void attend_run(const pass *p, const layer *l)
{
    model_work *wk = p->wk;
    step s = {.p = p, .l = l, .kv = layer_kv(p->m, p->kv, l), .att = wk->att};
    s.att.n = p->n_live;
    s.att.cols = l->n_head * l->dim_v;
    s.quantise = work_quantised(&l->o.w);
    if (l->conv.n_taps)
        conv_mix(p, l, &s.kv, &s.att);
    else
        attend_live(p, &s);
    work_products(wk, &(product){&l->o.w, s.att, wk->out, p->m->info.n_embd}, 1);
    adapt_run(p, &(adapt_part){ADAPT_O, wk->att_rows, wk->out, p->m->info.n_embd}, 1);
}
