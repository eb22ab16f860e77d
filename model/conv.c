/* model/conv.c - a gated convolution over the last few tokens, in place of attention.
 *
 * What a token leaves for later ones, z, stands in its slot of the pages as one value of
 * n_embd elements, so that sharing, forking and trees of tokens work as for attention.
 * Earlier tokens are always read from the pages, also those of the same batch: how a text
 * was cut does not matter. */
#include "model/layer.h"

#include <string.h>

typedef struct conv_step {
    const pass *p;
    const layer *l;
    const kkv *kv;
    const kact *att;
} conv_step;

/* b * u of a token, into its u and its slot. */
static void store_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const conv_step *s = arg;
    uint32_t n_embd = s->p->m->info.n_embd;
    const kern *k = s->p->m->kern;
    (void)worker;
    for (uint32_t t = row0; t < row1; t++) {
        const token_at *at = &s->p->wk->at[t];
        const model_span *span = &s->p->batch->spans[at->span];
        float *b = s->p->wk->qkv + (size_t)t * 3 * n_embd, *z = b + 2 * (size_t)n_embd;
        if (s->l->conv.in.bias)
            k->add(b, s->l->conv.in.bias, 3 * n_embd);
        k->mul(z, b, n_embd);
        k->kv_store(s->kv, span->pages, span_slot(span, at->i), z, z);
    }
}

/* The slot of the token before slot `*slot`, which is the *i-th after the span's start
 * when *i >= 0; false at the start of the sequence. */
static bool step_back(const model_span *span, int64_t *i, uint32_t *slot)
{
    if (*i >= 0)
        *i = span->parents ? span->parents[*i] : *i - 1;
    else if (*slot > 0)
        *slot -= 1;
    else
        return false;
    if (*i >= 0)
        *slot = span->start + (uint32_t)*i;
    else if (*slot >= span->start)
        *slot = span->start - 1; /* from the span's first token into the sequence */
    return *slot != UINT32_MAX;
}

/* sum += taps[j] * the value kept in a slot */
static void add_kept(const kkv *kv, const uint32_t *pages, uint32_t slot,
                     const float *taps, uint32_t n_taps, float *sum)
{
    size_t size = kv->type == ST_F16 ? 2 : 4;
    const unsigned char *z = kv->v + pages[slot / KV_PAGE_TOKENS] * kv->page_stride +
                             slot % KV_PAGE_TOKENS * (size_t)kv->dim_v * size;
    for (uint32_t c = 0; c < kv->dim_v; c++, z += size) {
        float v;
        uint16_t h;
        if (kv->type == ST_F16) {
            memcpy(&h, z, sizeof h);
            v = st_f16_to_f32(h);
        } else {
            memcpy(&v, z, sizeof v);
        }
        sum[c] += taps[(size_t)c * n_taps] * v;
    }
}

static void mix_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const conv_step *s = arg;
    const conv *cv = &s->l->conv;
    uint32_t n_embd = s->p->m->info.n_embd;
    (void)worker;
    for (uint32_t row = row0; row < row1; row++) {
        uint32_t t = live_token(s->p, row);
        const token_at *at = &s->p->wk->at[t];
        const model_span *span = &s->p->batch->spans[at->span];
        const float *c = s->p->wk->qkv + (size_t)t * 3 * n_embd + n_embd, *z = c + n_embd;
        float *y = s->p->wk->att_rows + (size_t)row * n_embd;
        int64_t i = span->n_tree + at->i;
        uint32_t slot = span_slot(span, at->i);
        for (uint32_t e = 0; e < n_embd; e++)
            y[e] = cv->taps[(size_t)e * cv->n_taps + cv->n_taps - 1] * z[e];
        for (uint32_t j = cv->n_taps - 1; j-- > 0 && step_back(span, &i, &slot);)
            add_kept(s->kv, span->pages, slot, cv->taps + j, cv->n_taps, y);
        s->p->m->kern->mul(y, c, n_embd);
        if (work_quantised(&s->l->o.w))
            work_quantise_rows(s->p->m->kern, s->att, row, row + 1);
    }
}

void conv_store(const pass *p, const layer *l, const kkv *kv)
{
    conv_step s = {p, l, kv, NULL};
    work_rows(p->wk, p->n, store_rows, &s);
}

void conv_mix(const pass *p, const layer *l, const kkv *kv, const kact *att)
{
    conv_step s = {p, l, kv, att};
    work_rows(p->wk, p->n_live, mix_rows, &s);
}
