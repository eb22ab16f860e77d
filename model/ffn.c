/* model/ffn.c - the feed-forward branch: one or two products, an activation, one product.
 */
#include "model/adapt.h"

#include <math.h>
#include <string.h>

typedef struct ffn_step {
    const pass *p;
    const ffn *f;
    kact act;
    bool quantise; /* act rows, for down */
    size_t ld_up;
} ffn_step;

static void relu2(float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] = x[i] > 0.0f ? x[i] * x[i] : 0.0f;
}

/* gpt-oss: g = min(g, 7) * sigmoid(1.702 * min(g, 7)) * (clamp(u, -7, 7) + 1) */
static void swiglu_clamp_mul(float *g, const float *u, uint32_t n)
{
    const float limit = 7.0f, alpha = 1.702f;
    for (uint32_t i = 0; i < n; i++) {
        float gate = fminf(g[i], limit);
        float up = fmaxf(fminf(u[i], limit), -limit);
        g[i] = gate / (1.0f + expf(-alpha * gate)) * (up + 1.0f);
    }
}

static void silu(float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] = x[i] / (1.0f + expf(-x[i]));
}

static void xielu_run(const xielu *p, float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        float v = x[i];
        x[i] = v > 0.0f ? p->alpha_p * v * v + p->beta * v
                        : (expm1f(fminf(v, p->eps)) - v) * p->alpha_n + p->beta * v;
    }
}

/* x = act(x + bias); the bias may be NULL. */
static void activate_alone(const kern *k, const ffn *f, const float *bias, float *x,
                           uint32_t n)
{
    const bool fused = f->act == ACT_GELU_TANH || f->act == ACT_GELU_ERF;
    if (bias && !fused)
        k->add(x, bias, n);
    switch (f->act) {
    case ACT_SILU:
        silu(x, n);
        break;
    case ACT_GELU_TANH:
        k->gelu_tanh(x, bias, n);
        break;
    case ACT_GELU_ERF:
        k->gelu_erf(x, bias, n);
        break;
    case ACT_RELU2:
        relu2(x, n);
        break;
    case ACT_XIELU:
        xielu_run(&f->xielu, x, n);
        break;
    case ACT_SWIGLU_CLAMP: /* has no form without a gate */
        break;
    }
}

static void activate_gated(const kern *k, const ffn *f, float *g, const float *u,
                           uint32_t n)
{
    switch (f->act) {
    case ACT_SILU:
        k->silu_mul(g, u, n);
        break;
    case ACT_GELU_TANH:
        k->gelu_tanh_mul(g, u, n);
        break;
    case ACT_GELU_ERF:
    case ACT_RELU2:
    case ACT_XIELU:
        activate_alone(k, f, NULL, g, n);
        k->mul(g, u, n);
        break;
    case ACT_SWIGLU_CLAMP:
        swiglu_clamp_mul(g, u, n);
        break;
    }
}

void ffn_activate(const kern *k, const ffn *f, float *up, float *act)
{
    if (!f->gated) {
        activate_alone(k, f, f->up.bias, act, f->n_ff);
        return;
    }
    if (f->up.bias)
        k->add(up, f->up.bias, f->up.w.rows);
    if (!f->gate.w.data) { /* the gate is the first half of up */
        memcpy(act, up, f->n_ff * sizeof *act);
        up += f->n_ff;
    } else if (f->gate.bias) {
        k->add(act, f->gate.bias, f->n_ff);
    }
    activate_gated(k, f, act, up, f->n_ff);
}

static void activate_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const ffn_step *s = arg;
    const model_work *wk = s->p->wk;
    const kern *k = s->p->m->kern;
    (void)worker;
    for (uint32_t t = row0; t < row1; t++) {
        ffn_activate(k, s->f, wk->up + t * s->ld_up,
                     wk->act_rows + (size_t)t * s->f->n_ff);
        if (s->quantise)
            work_quantise_rows(k, &s->act, t, t + 1);
    }
}

bool ffn_quantised(const ffn *f)
{
    return work_quantised(&f->up.w) || work_quantised(&f->gate.w);
}

void ffn_run(const pass *p, const ffn *f, const kact *x, float *ret)
{
    model_work *wk = p->wk;
    ffn_step s = {p, f, wk->act, work_quantised(&f->down.w), f->up.w.rows};
    const product first[] = {
        {&f->up.w, *x, f->gated ? wk->up : wk->act_rows, s.ld_up},
        {&f->gate.w, *x, wk->act_rows, f->n_ff},
    };
    const adapt_part parts[] = {
        {ADAPT_UP, x->x, first[0].y, s.ld_up},
        {ADAPT_GATE, x->x, wk->act_rows, f->n_ff},
        {ADAPT_DOWN, wk->act_rows, ret, p->m->info.n_embd},
    };
    const bool adapts = f == &p->layer->ffn; /* not one of a mixture */
    s.act.n = x->n;
    s.act.cols = f->n_ff;
    work_products(wk, first, f->gate.w.data ? 2 : 1);
    if (adapts)
        adapt_run(p, parts, f->gate.w.data ? 2 : 1);
    work_rows(wk, x->n, activate_rows, &s);
    work_products(wk, &(product){&f->down.w, s.act, ret, p->m->info.n_embd}, 1);
    if (adapts)
        adapt_run(p, parts + 2, 1);
}
