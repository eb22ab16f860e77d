/* model/layer.c - one layer of the stack over the tokens of a batch. */
#include "model/layer.h"

#include <string.h>

typedef struct step { /* argument of every job of a layer */
    const pass *p;
    const layer *l;
    const norm *pre;
    const norm *post;
    const norm *out;
    const linear *lin; /* whose bias is to be added */
    kkv kv;
} step;

void layer_norm_row(const model *m, const norm *w, const float *x, uint32_t n, float *y)
{
    if (m->norm_kind == NORM_RMS)
        m->kern->rms_norm(x, w->w, m->eps, n, y);
    else
        m->kern->layer_norm(x, w->w, w->b, m->eps, n, y);
}

/* ---- into and out of a branch ---- */

static void pre_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const step *s = arg;
    uint32_t n_embd = s->p->m->info.n_embd;
    (void)worker;
    for (uint32_t t = row0; t < row1; t++)
        layer_norm_row(s->p->m, s->pre, s->p->wk->x + (size_t)t * n_embd, n_embd,
                       s->p->wk->h_rows + (size_t)t * n_embd);
}

/* What a branch reads: the residual stream, through its norm when there is one. */
static kact enter(const pass *p, const norm *pre)
{
    kact h = p->wk->h;
    step s = {.p = p, .pre = pre};
    h.n = p->n;
    if (pre->w)
        work_rows(p->wk, p->n, pre_rows, &s);
    else
        h.x = p->wk->x;
    return h;
}

static void leave_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const step *s = arg;
    const model *m = s->p->m;
    uint32_t n_embd = m->info.n_embd;
    (void)worker;
    for (uint32_t t = row0; t < row1; t++) {
        float *b = s->p->wk->out + (size_t)t * n_embd;
        float *x = s->p->wk->x + (size_t)t * n_embd;
        if (s->post->w)
            layer_norm_row(m, s->post, b, n_embd, b);
        if (m->residual_scale == 1.0f)
            m->kern->add(x, b, n_embd);
        else
            m->kern->axpy(x, m->residual_scale, b, n_embd);
        if (s->out->w)
            layer_norm_row(m, s->out, x, n_embd, x);
    }
}

/* Add wk->out to the residual stream. */
static void leave(const pass *p, const norm *post, const norm *out)
{
    step s = {.p = p, .post = post, .out = out};
    work_rows(p->wk, p->n, leave_rows, &s);
}

/* ---- attention ---- */

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
    size_t at = ((size_t)l->rope * wk->max_tokens + t) * r->half;
    for (uint32_t h = 0; h < l->n_head; h++)
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
        add_bias(m->kern, &l->q, q);
        add_bias(m->kern, &l->k, k);
        add_bias(m->kern, &l->v, v);
        if (m->norm_after_rope)
            rotate(s, t, q, k);
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

/* The positions that a token sees. */
static void set_view(const step *s, const token_at *at, uint32_t worker, kattn *a)
{
    const model_span *span = &s->p->batch->spans[at->span];
    uint32_t window = s->l->window, pos = at->position;
    a->pages = span->pages;
    if (!s->p->m->info.causal) {
        uint32_t half = window / 2, end = span->start + span->n;
        a->lo = window && pos > half ? pos - half : 0;
        a->hi = window && end - pos > half ? pos + half + 1 : end;
        return;
    }
    a->lo = window && pos >= window ? pos - window + 1 : 0;
    a->hi = pos + 1;
    if (span->parents) {
        uint32_t *slots = s->p->wk->ancestors + (size_t)worker * s->p->wk->max_tokens;
        a->n_extra = list_ancestors(span, at, a->lo, slots);
        a->extra = slots;
        a->hi = span->start; /* may be before lo: the ancestors count on from there */
    }
}

/* One item is one token's heads that share a key head. */
static void attend_items(void *arg, uint32_t item0, uint32_t item1, uint32_t worker)
{
    const step *s = arg;
    const layer *l = s->l;
    const model_work *wk = s->p->wk;
    uint32_t group = l->n_head / l->n_kv;
    for (uint32_t item = item0; item < item1; item++) {
        uint32_t t = item / l->n_kv, head0 = item % l->n_kv * group;
        kattn a = {.kv = &s->kv,
                   .n_head = l->n_head,
                   .scale = l->scale,
                   .softcap = s->p->m->attn_softcap,
                   .sinks = l->sinks};
        set_view(s, &wk->at[t], worker, &a);
        s->p->m->kern->attn(&a, head0, head0 + group,
                            wk->qkv + (size_t)t * layer_qkv_dim(l) + head0 * l->dim_k,
                            wk->att_rows + ((size_t)t * l->n_head + head0) * l->dim_v,
                            wk->scratch + (size_t)worker * KERN_ATTN_SCRATCH);
    }
}

static kkv layer_kv(const pass *p, const layer *l)
{
    size_t size = p->kv->type == ST_F16 ? 2 : 4;
    kkv kv = {.page_stride = model_kv_page_bytes(p->m, p->kv->type),
              .n_kv_head = l->n_kv,
              .dim_k = l->dim_k,
              .dim_v = l->dim_v,
              .type = p->kv->type};
    kv.k = p->kv->base + l->kv_first * size;
    kv.v = kv.k + (size_t)KV_PAGE_TOKENS * layer_k_dim(l) * size;
    return kv;
}

static void multiply_qkv(const pass *p, const layer *l, const kact *h)
{
    model_work *wk = p->wk;
    size_t ldy = layer_qkv_dim(l);
    if (l->qkv.w.data) {
        work_quantise(wk, h, &l->qkv.w);
        work_products(wk, &(product){&l->qkv.w, *h, wk->qkv, ldy}, 1);
        return;
    }
    const kmat *w[] = {&l->q.w, &l->k.w, &l->v.w};
    const product products[] = {
        {w[0], *h, wk->qkv, ldy},
        {w[1], *h, wk->qkv + layer_q_dim(l), ldy},
        {w[2], *h, wk->qkv + layer_q_dim(l) + layer_k_dim(l), ldy},
    };
    work_quantise(wk, h,
                  work_quantised(w[0])   ? w[0]
                  : work_quantised(w[1]) ? w[1]
                                         : w[2]);
    work_products(wk, products, 3);
}

static void bias_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const step *s = arg;
    (void)worker;
    for (uint32_t t = row0; t < row1; t++)
        s->p->m->kern->add(s->p->wk->out + (size_t)t * s->lin->w.rows, s->lin->bias,
                           s->lin->w.rows);
}

static void attend(const pass *p, const layer *l, const kact *h)
{
    model_work *wk = p->wk;
    step s = {.p = p, .l = l, .kv = layer_kv(p, l), .lin = &l->o};
    kact att = wk->att;
    att.n = p->n;
    att.cols = l->n_head * l->dim_v;
    if (l->conv.n_taps) {
        conv_run(p, l, &s.kv, h);
    } else {
        multiply_qkv(p, l, h);
        work_rows(wk, p->n, qkv_rows, &s);
        work_rows(wk, p->n * l->n_kv, attend_items, &s);
    }
    work_quantise(wk, &att, &l->o.w);
    work_products(wk, &(product){&l->o.w, att, wk->out, p->m->info.n_embd}, 1);
    if (l->o.bias)
        work_rows(wk, p->n, bias_rows, &s);
}

/* ---- feed-forward ---- */

static void feed(const pass *p, const layer *l, const kact *h)
{
    if (l->moe) {
        moe_run(p, l->moe, h);
        return;
    }
    const kmat *w = l->ffn.gate.w.data ? &l->ffn.gate.w : &l->ffn.up.w;
    work_quantise(p->wk, h, work_quantised(w) ? w : &l->ffn.up.w);
    ffn_run(p, &l->ffn, h, p->wk->out);
}

static void scale_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const step *s = arg;
    size_t n_embd = s->p->m->info.n_embd;
    (void)worker;
    for (size_t i = row0 * n_embd; i < row1 * n_embd; i++)
        s->p->wk->x[i] *= *s->l->out_scale;
}

void layer_run(const pass *p, const layer *l)
{
    kact h = enter(p, &l->attn_pre);
    attend(p, l, &h);
    if (p->m->parallel) { /* the second branch reads what the first one read */
        if (l->ffn_pre.w)
            h = enter(p, &l->ffn_pre);
        leave(p, &l->attn_post, &l->attn_out);
    } else {
        leave(p, &l->attn_post, &l->attn_out);
        h = enter(p, &l->ffn_pre);
    }
    feed(p, l, &h);
    leave(p, &l->ffn_post, &l->ffn_out);
    if (l->out_scale)
        work_rows(p->wk, p->n, scale_rows, &(step){.p = p, .l = l});
}
