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
    bool early; /* it reads x as the branch that ends did, before that is added */
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
    const pass *p = e->p;
    uint32_t n_embd = p->m->info.n_embd;
    float *h = p->wk->h_rows + (size_t)row * n_embd;
    if (e->pre->w)
        layer_norm_row(p->m, e->pre, x, n_embd, h);
    else if (p->h.x == p->wk->h_rows)
        memcpy(h, x, n_embd * sizeof *h);
    if (e->quantise)
        work_quantise_rows(p->m->kern, &p->h, row, row + 1);
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
            enter_row(e, i, x);
        if (e->post)
            leave_row(e, p->wk->out + i * n_embd, x);
        if (e->pre && !e->early)
            enter_row(e, i, x);
    }
}

/* A branch without a norm reads x itself, where its rows are the live ones. */
static void edge_run(pass *p, edge *e)
{
    e->p = p;
    if (e->pre) {
        p->h = p->wk->h;
        p->h.n = p->n_live;
        if (!e->pre->w && !p->live && !e->early)
            p->h.x = p->wk->x;
    }
    work_rows(p->wk, p->n_live, edge_rows, e);
}

static bool feed_quantised(const layer *l)
{
    return l->moe ? moe_quantised(l->moe) : ffn_quantised(&l->ffn);
}

/* The attention branch of l starts; in parallel layers the other one may read it too. */
static void start_layer(const model *m, const layer *l, edge *e)
{
    e->pre = &l->attn_pre;
    e->quantise = attend_quantised(l) || (m->parallel && feed_quantised(l));
}

void layer_enter(pass *p, const layer *first)
{
    edge e = {0};
    start_layer(p->m, first, &e);
    edge_run(p, &e);
}

/* From attention to feed-forward.  A parallel one reads what attention read: that is
 * still in p->h, unless it has a norm of its own or rows fell away. */
static void cross(pass *p, const layer *l, bool narrowed)
{
    edge e = {.post = &l->attn_post, .out = &l->attn_out, .bias = l->o.bias};
    e.early = p->m->parallel;
    e.quantise = feed_quantised(l);
    if (!e.early || l->ffn_pre.w)
        e.pre = &l->ffn_pre;
    else if (narrowed)
        e.pre = &l->attn_pre;
    edge_run(p, &e);
}

void layer_run(pass *p, const layer *l, const layer *next)
{
    edge e = {.post = &l->ffn_post, .out = &l->ffn_out, .out_scale = l->out_scale};
    attend_run(p, l, !next);
    if (p->n_live == 0)
        return;
    cross(p, l, p->live != NULL);
    if (l->moe) {
        moe_run(p, l->moe, &p->h);
    } else {
        ffn_run(p, &l->ffn, &p->h, p->wk->out);
        e.bias = l->ffn.down.bias;
    }
    if (next)
        start_layer(p->m, next, &e);
    edge_run(p, &e);
}
