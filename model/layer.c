/* model/layer.c - one layer of the stack over the tokens of a batch.
 *
 * What happens to a row between two products (residual, norms, 8-bit form) is one job, an
 * edge, so that the row is read once and threads meet rarely. */
#include "model/layer.h"

#include <string.h>

/* From the end of one branch to the start of the next; either half may be missing. */
typedef struct edge {
    const pass *p;
    const norm *post; /* NULL: no branch ends here */
    const norm *out;
    const float *bias;      /* of the branch's last product; may be NULL */
    const float *out_scale; /* of the layer that ends here; may be NULL */
    const norm *pre;        /* NULL: no branch starts here */
    bool quantise;          /* for the branch that starts */
    bool early;    /* it reads x as the branch that ends did, before that is added */
    kact h;        /* what it reads */
    float *rows;   /* room behind h.x, unless that is the residual stream itself */
    uint32_t row0; /* of h: the stripe's first */
} edge;

void layer_norm_row(const model *m, const norm *w, const float *x, uint32_t n, float *y)
{
    if (m->norm_kind == NORM_RMS)
        m->kern->rms_norm(x, w->w, m->eps, n, y);
    else
        m->kern->layer_norm(x, w->w, w->b, m->eps, n, y);
}

static void leave_row(const edge *e, float *b, float *x)
{
    const model *m = e->p->m;
    uint32_t n_embd = m->info.n_embd;
    if (e->bias)
        m->kern->add(b, e->bias, n_embd);
    if (e->post->w)
        layer_norm_row(m, e->post, b, n_embd, b);
    if (m->residual_scale == 1.0f)
        m->kern->add(x, b, n_embd);
    else
        m->kern->axpy(x, m->residual_scale, b, n_embd);
    if (e->out->w)
        layer_norm_row(m, e->out, x, n_embd, x);
    for (uint32_t i = 0; e->out_scale && i < n_embd; i++)
        x[i] *= *e->out_scale;
}

static void enter_row(const edge *e, uint32_t row, const float *x)
{
    const model *m = e->p->m;
    uint32_t n_embd = m->info.n_embd;
    float *h = e->rows + (size_t)row * n_embd;
    if (e->pre->w)
        layer_norm_row(m, e->pre, x, n_embd, h);
    else if (e->h.x == e->rows)
        memcpy(h, x, n_embd * sizeof *h);
    if (e->quantise)
        work_quantise_rows(m->kern, &e->h, row, row + 1);
}

static void edge_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const edge *e = arg;
    const pass *p = e->p;
    size_t n_embd = p->m->info.n_embd;
    (void)worker;
    for (uint32_t i = row0; i < row1; i++) {
        float *x = p->wk->x + live_token(p, i) * n_embd;
        if (e->pre && e->early)
            enter_row(e, e->row0 + i, x);
        if (e->post)
            leave_row(e, p->wk->out + i * n_embd, x);
        if (e->pre && !e->early)
            enter_row(e, e->row0 + i, x);
    }
}

static bool feed_quantised(const layer *l)
{
    return l->moe ? moe_quantised(l->moe) : ffn_quantised(&l->ffn);
}

/* The attention branch of l starts, for all tokens; in parallel layers the other one may
 * read the same.  Without a norm it reads x itself. */
static void start_layer(pass *p, const layer *l, edge *e)
{
    e->pre = &l->attn_pre;
    e->quantise = attend_quantised(l) || (p->m->parallel && feed_quantised(l));
    e->h = p->wk->h;
    e->h.n = p->n;
    e->rows = p->wk->h_rows;
    e->row0 = p->first;
    if (!e->pre->w)
        e->h.x = p->wk->x;
    p->h = e->h;
}

void layer_enter(pass *p, const layer *first)
{
    edge e = {.p = p};
    start_layer(p, first, &e);
    work_rows(p->wk, p->n_live, edge_rows, &e);
}

/* From attention to feed-forward, which reads *ret_h.  A parallel one reads what
 * attention read: that is p->h, unless it has a norm of its own or these are not all
 * tokens. */
static void cross(const pass *p, const layer *l, kact *ret_h)
{
    const bool whole = !p->live && p->n_live == p->n, same = !l->ffn_pre.w;
    edge e = {.p = p, .post = &l->attn_post, .out = &l->attn_out, .bias = l->o.bias};
    e.early = p->m->parallel;
    e.quantise = feed_quantised(l);
    e.h = p->wk->part;
    e.h.n = p->n_live;
    e.rows = p->wk->part_rows;
    if (!e.early || !same || !whole)
        e.pre = e.early && same ? &l->attn_pre : &l->ffn_pre;
    if (e.pre && !e.pre->w && !e.early && whole)
        e.h.x = p->wk->x;
    *ret_h = e.pre ? e.h : p->h;
    work_rows(p->wk, p->n_live, edge_rows, &e);
}

/* All of a layer that one row does without the others. */
static void stripe_run(pass *p, const layer *l, const layer *next)
{
    edge e = {.p = p, .post = &l->ffn_post, .out = &l->ffn_out};
    kact h;
    e.out_scale = l->out_scale;
    attend_run(p, l);
    cross(p, l, &h);
    if (l->moe) {
        moe_run(p, l->moe, &h);
    } else {
        ffn_run(p, &l->ffn, &h, p->wk->out);
        e.bias = l->ffn.down.bias;
    }
    if (next)
        start_layer(p, next, &e);
    work_rows(p->wk, p->n_live, edge_rows, &e);
}

void layer_run(pass *p, const layer *l, const layer *next)
{
    const bool narrow = !next && p->final;
    const uint32_t n = narrow ? p->n_final : p->n, most = p->wk->stripe;
    p->layer = l;
    attend_store(p, l, n > 0);
    for (uint32_t first = 0; first < n; first += most) {
        p->first = first;
        p->live = narrow ? p->final + first : NULL;
        p->n_live = n - first < most ? n - first : most;
        stripe_run(p, l, next);
    }
    p->live = NULL;
    p->first = 0;
    p->n_live = p->n;
}
