/* model/layer.h - one layer of the stack over the tokens of a batch.
 *
 * Each step is a job over rows (tokens) or over panels of weights, so the arithmetic of a
 * token is the same whatever else is in the batch and however the threads share it. */
#ifndef MODEL_LAYER_H
#define MODEL_LAYER_H
#include "model/work.h"

/* One forward pass.  Rows of wk->x, wk->qkv, wk->at and p->h are its tokens.  After a
 * layer has stored their keys and values, those that are still wanted (all, until the
 * last layer) go through the rest of it in stripes of at most wk->stripe rows: of these
 * are wk->att, wk->part, wk->act, wk->up and wk->out. */
typedef struct pass {
    const model *m;
    model_work *wk;
    const model_kv *kv;
    const model_batch *batch;
    uint32_t n;            /* tokens */
    const uint32_t *final; /* those wanted after the last layer, rising; NULL: all */
    uint32_t n_final;
    const uint32_t *live; /* tokens of the stripe; NULL: first, first + 1, ... */
    uint32_t first;
    uint32_t n_live;    /* rows of the stripe */
    const layer *layer; /* that runs */
    bool adapted;       /* some span carries an adapter */
    kact h;             /* what the next layer reads, quantised where it needs it */
} pass;

static inline uint32_t live_token(const pass *p, uint32_t row)
{
    return p->live ? p->live[row] : p->first + row;
}

/* p->h for the first layer that runs. */
void layer_enter(pass *p, const layer *first);
/* wk->x in, wk->x out; keys and values of the tokens are stored on the way.  p->h is
 * ready, and will be for `next`, which is NULL after the last layer. */
void layer_run(pass *p, const layer *l, const layer *next);

/* Queries of all tokens, unless nothing will attend; their keys and values to the pages.
 */
void attend_store(const pass *p, const layer *l, bool queries);
/* wk->out = output of the attention (or convolution) branch, without o's bias. */
void attend_run(const pass *p, const layer *l);
bool attend_quantised(const layer *l); /* does it read p->h in 8 bits? */

/* y = norm(x) of the model's kind; w->w is not NULL. */
void layer_norm_row(const model *m, const norm *w, const float *x, uint32_t n, float *y);

/* ret[x->n, n_embd] = f(x), without down's bias.  Uses wk->up and wk->act. */
void ffn_run(const pass *p, const ffn *f, const kact *x, float *ret);
bool ffn_quantised(const ffn *f); /* does it read x in 8 bits? */
/* Activation of one row, act[n_ff]: in place, times up when gated apart, or from up when
 * the gate is its first half. */
void ffn_activate(const kern *k, const ffn *f, float *up, float *act);

/* Store what later tokens need of p->h; then att rows of the live tokens. */
void conv_store(const pass *p, const layer *l, const kkv *kv);
void conv_mix(const pass *p, const layer *l, const kkv *kv, const kact *att);

/* wk->out[n_live, n_embd] = experts of moe over x. */
void moe_run(const pass *p, const mixture *moe, const kact *x);
bool moe_quantised(const mixture *moe);
#endif
