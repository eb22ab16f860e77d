/* model/moe.c - experts: choose a few for each token, run each over the tokens that chose
 * it, add up.
 *
 * A pair is (token, one of its experts).  Pairs are grouped by expert into `gathered`, so
 * that an expert's weights are read once; a token's results are added in the order of its
 * choice, so grouping does not touch the arithmetic. */
#include "model/layer.h"

#include <math.h>
#include <string.h>

typedef struct moe_step {
    const pass *p;
    const mixture *moe;
    const kact *x;
    uint32_t n_pairs;
} moe_step;

/* ---- choosing ---- */

/* Turn logits into the scores that weights come from. */
static void score(const kern *k, const mixture *moe, float *logits)
{
    if (moe->gating == MOE_SOFTMAX)
        k->softmax(logits, moe->n_expert);
    else if (moe->gating == MOE_SIGMOID)
        for (uint32_t e = 0; e < moe->n_expert; e++)
            logits[e] = 1.0f / (1.0f + expf(-logits[e]));
}

static bool chosen(const uint32_t *experts, uint32_t n, uint32_t e)
{
    for (uint32_t i = 0; i < n; i++)
        if (experts[i] == e)
            return true;
    return false;
}

/* The best expert that is not chosen yet; the lowest number among equals.  Scores that
 * are not numbers come last. */
static uint32_t best(const mixture *moe, const float *scores, const uint32_t *experts,
                     uint32_t n)
{
    uint32_t found = UINT32_MAX;
    float top = -INFINITY;
    for (uint32_t e = 0; e < moe->n_expert; e++) {
        float v = scores[e] + (moe->choice_bias ? moe->choice_bias[e] : 0.0f);
        if ((found == UINT32_MAX || v > top) && !chosen(experts, n, e)) {
            found = e;
            top = isnan(v) ? -INFINITY : v;
        }
    }
    return found;
}

static void weigh(const kern *k, const mixture *moe, float *weights)
{
    float sum = 0.0f;
    if (moe->gating == MOE_SOFTMAX_CHOSEN)
        k->softmax(weights, moe->n_used);
    for (uint32_t i = 0; i < moe->n_used; i++)
        sum += weights[i];
    for (uint32_t i = 0; i < moe->n_used; i++) {
        if (moe->normalise)
            weights[i] /= sum;
        weights[i] *= moe->scale;
    }
}

static void choose_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const moe_step *s = arg;
    const mixture *moe = s->moe;
    const kern *k = s->p->m->kern;
    (void)worker;
    for (uint32_t t = row0; t < row1; t++) {
        float *scores = s->p->wk->router + (size_t)t * moe->n_expert;
        float *weights = s->p->wk->weight + (size_t)t * moe->n_used;
        uint32_t *experts = s->p->wk->expert + (size_t)t * moe->n_used;
        if (moe->router.bias)
            k->add(scores, moe->router.bias, moe->n_expert);
        score(k, moe, scores);
        for (uint32_t i = 0; i < moe->n_used; i++) {
            experts[i] = best(moe, scores, experts, i);
            weights[i] = scores[experts[i]];
        }
        weigh(k, moe, weights);
    }
}

/* ---- grouping ---- */

/* first[e] .. first[e + 1] become the rows of expert e, place[pair] the row of a pair. */
static void group(const moe_step *s)
{
    model_work *wk = s->p->wk;
    uint32_t *first = wk->first;
    memset(first, 0, (s->moe->n_expert + 1) * sizeof *first);
    for (uint32_t i = 0; i < s->n_pairs; i++)
        first[wk->expert[i] + 1]++;
    for (uint32_t e = 0; e < s->moe->n_expert; e++)
        first[e + 1] += first[e];
    for (uint32_t i = 0; i < s->n_pairs; i++)
        wk->place[i] = first[wk->expert[i]]++;
    memmove(first + 1, first, s->moe->n_expert * sizeof *first);
    first[0] = 0;
}

/* Each expert's rows as activations of their own: floats at x, 8-bit form in q. */
static void part_rows(const moe_step *s, const float *x, void *q, uint32_t cols,
                      kact *parts)
{
    const uint32_t *first = s->p->wk->first;
    unsigned char *at = q;
    for (uint32_t e = 0; e < s->moe->n_expert; e++) {
        size_t bytes = 0;
        uint32_t n = first[e + 1] - first[e];
        parts[e] = (kact){.n = n,
                          .cols = cols,
                          .x = x + (size_t)first[e] * cols,
                          .q = (void *)at,
                          .fine = true};
        kact_bytes(n, cols, &bytes); /* no overflow: work.c counted the whole */
        at += (bytes + WORK_ALIGN - 1) / WORK_ALIGN * WORK_ALIGN;
    }
}

/* Quantise the row of pair i in its expert's part, when its weights need it. */
static void quantise_pair(const moe_step *s, const kact *parts, bool wanted, uint32_t i)
{
    const model_work *wk = s->p->wk;
    uint32_t e = wk->expert[i], row = wk->place[i] - wk->first[e];
    if (!wanted)
        return;
    s->p->m->kern->quant(&parts[e], row, row + 1);
    kact_refine(&parts[e], row, row + 1);
}

static void gather_pairs(void *arg, uint32_t pair0, uint32_t pair1, uint32_t worker)
{
    const moe_step *s = arg;
    const model_work *wk = s->p->wk;
    const ffn *like = &s->moe->experts[0];
    uint32_t n_embd = s->p->m->info.n_embd;
    bool wanted = work_quantised(&like->up.w) || work_quantised(&like->gate.w);
    (void)worker;
    for (uint32_t i = pair0; i < pair1; i++) {
        memcpy(wk->gathered + (size_t)wk->place[i] * n_embd,
               s->x->x + (size_t)(i / s->moe->n_used) * n_embd, n_embd * sizeof(float));
        quantise_pair(s, wk->in_parts, wanted, i);
    }
}

/* ---- running ---- */

static void multiply_up(const moe_step *s)
{
    model_work *wk = s->p->wk;
    uint32_t n = 0;
    for (uint32_t e = 0; e < s->moe->n_expert; e++) {
        const ffn *f = &s->moe->experts[e];
        const kact *x = &wk->in_parts[e];
        size_t at = (size_t)wk->first[e] * f->n_ff;
        if (x->n == 0)
            continue;
        wk->products[n++] = (product){&f->up.w, *x, wk->up + at, f->n_ff};
        wk->products[n++] = (product){&f->gate.w, *x, wk->act_rows + at, f->n_ff};
    }
    work_products(wk, wk->products, n);
}

static void activate_pairs(void *arg, uint32_t pair0, uint32_t pair1, uint32_t worker)
{
    const moe_step *s = arg;
    const model_work *wk = s->p->wk;
    bool wanted = work_quantised(&s->moe->experts[0].down.w);
    (void)worker;
    for (uint32_t i = pair0; i < pair1; i++) {
        const ffn *f = &s->moe->experts[wk->expert[i]];
        size_t at = (size_t)wk->place[i] * f->n_ff;
        ffn_activate(s->p->m->kern, f, wk->up + at, wk->act_rows + at);
        quantise_pair(s, wk->act_parts, wanted, i);
    }
}

static void multiply_down(const moe_step *s)
{
    model_work *wk = s->p->wk;
    uint32_t n = 0, n_embd = s->p->m->info.n_embd;
    for (uint32_t e = 0; e < s->moe->n_expert; e++)
        if (wk->act_parts[e].n)
            wk->products[n++] =
                (product){&s->moe->experts[e].down.w, wk->act_parts[e],
                          wk->gathered_out + (size_t)wk->first[e] * n_embd, n_embd};
    work_products(wk, wk->products, n);
}

static void run_experts(moe_step *s)
{
    model_work *wk = s->p->wk;
    part_rows(s, wk->gathered, wk->gathered_q, s->p->m->info.n_embd, wk->in_parts);
    part_rows(s, wk->act_rows, wk->act.q, s->moe->experts[0].n_ff, wk->act_parts);
    work_rows(wk, s->n_pairs, gather_pairs, s);
    multiply_up(s);
    work_rows(wk, s->n_pairs, activate_pairs, s);
    multiply_down(s);
}

/* The shared expert's weight, from a router of one row. */
static float shared_weight(const moe_step *s, uint32_t t)
{
    const int32_t row = 0;
    float logit;
    s->p->m->kern->rows(&s->moe->shared_gate.w, s->x, t, &row, 1, &logit);
    return 1.0f / (1.0f + expf(-logit));
}

static void add_shared(const moe_step *s, uint32_t t, float *out)
{
    const kern *k = s->p->m->kern;
    uint32_t n_embd = s->p->m->info.n_embd;
    float *y = s->p->wk->shared_out + (size_t)t * n_embd;
    if (s->moe->shared.down.bias)
        k->add(y, s->moe->shared.down.bias, n_embd);
    k->axpy(out, s->moe->shared_gate.w.data ? shared_weight(s, t) : 1.0f, y, n_embd);
}

static void add_up_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const moe_step *s = arg;
    const model_work *wk = s->p->wk;
    const kern *k = s->p->m->kern;
    uint32_t n_embd = s->p->m->info.n_embd, n_used = s->moe->n_used;
    (void)worker;
    for (uint32_t t = row0; t < row1; t++) {
        float *out = wk->out + (size_t)t * n_embd;
        memset(out, 0, n_embd * sizeof *out);
        for (uint32_t i = t * n_used; i < (t + 1) * n_used; i++) {
            float *y = wk->gathered_out + (size_t)wk->place[i] * n_embd;
            const float *bias = s->moe->experts[wk->expert[i]].down.bias;
            if (bias)
                k->add(y, bias, n_embd);
            k->axpy(out, wk->weight[i], y, n_embd);
        }
        if (s->moe->shared.n_ff)
            add_shared(s, t, out);
    }
}

bool moe_quantised(const mixture *moe)
{
    return work_quantised(&moe->router.w) || ffn_quantised(&moe->shared) ||
           work_quantised(&moe->shared_gate.w);
}

void moe_run(const pass *p, const mixture *moe, const kact *x)
{
    model_work *wk = p->wk;
    moe_step s = {p, moe, x, x->n * moe->n_used};
    work_products(wk, &(product){&moe->router.w, *x, wk->router, moe->n_expert}, 1);
    work_rows(wk, x->n, choose_rows, &s);
    group(&s);
    run_experts(&s);
    if (moe->shared.n_ff)
        ffn_run(p, &moe->shared, x, wk->shared_out);
    work_rows(wk, x->n, add_up_rows, &s);
}
