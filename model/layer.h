/* model/layer.h - one layer of the stack over the tokens of a batch.
 *
 * Each step is a job over rows (tokens) or over panels of weights, so the arithmetic of a
 * token is the same whatever else is in the batch and however the threads share it. */
#ifndef MODEL_LAYER_H
#define MODEL_LAYER_H
#include "model/work.h"

typedef struct pass { /* one forward pass */
    const model *m;
    model_work *wk;
    const model_kv *kv;
    const model_batch *batch;
    uint32_t n; /* tokens */
} pass;

/* wk->x in, wk->x out; keys and values of the tokens are stored on the way. */
void layer_run(const pass *p, const layer *l);

/* y = norm(x) of the model's kind; w->w is not NULL. */
void layer_norm_row(const model *m, const norm *w, const float *x, uint32_t n, float *y);

/* ret[x->n, n_embd] = f(x); x is quantised already where f's weights need it.  Uses
 * wk->up and wk->act. */
void ffn_run(const pass *p, const ffn *f, const kact *x, float *ret);
/* Activation of one row: act[n_ff] from up, and from itself when gated apart. */
void ffn_activate(const kern *k, const ffn *f, float *up, float *act);

/* wk->att rows = the convolution of l over h; what later tokens need goes to kv. */
void conv_run(const pass *p, const layer *l, const kkv *kv, const kact *h);

/* wk->out[n, n_embd] = experts of l->moe over x. */
void moe_run(const pass *p, const mixture *moe, const kact *x);
#endif
