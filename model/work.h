/* model/work.h - the activations of one forward pass, and work shared by threads.
 *
 * Every buffer is taken once by model_work_new, in one block.  Names say what stands in a
 * row: x is the residual stream; h and part what a branch reads; att and act are inputs
 * of the second matrix of a branch; out is what a branch gives.
 *
 * Threads: one owner; the rows of a buffer are split between the workers of a job. */
#ifndef MODEL_WORK_H
#define MODEL_WORK_H
#include "model/parts.h"

/* One product of a job: y[t * ldy + r] = W[r] . x[t]. */
typedef struct product {
    const kmat *w;
    kact x;
    float *y;
    size_t ldy;
} product;

/* The slot of the pages that token i of a span is kept in. */
static inline uint32_t span_slot(const model_span *span, uint32_t i)
{
    return span->start + span->n_tree + i;
}

/* Where a token of the batch stands. */
typedef struct token_at {
    uint32_t span;
    uint32_t i; /* in the span */
    uint32_t position;
    bool wanted; /* its final state */
} token_at;

struct model_work {
    const model *m;
    workers *w; /* NULL: the calling thread only */
    unsigned n_threads;
    uint32_t max_tokens;
    uint32_t max_pairs; /* tokens times experts of a token; 0: no experts */
    void *block;
    token_at *at;  /* [max_tokens] */
    float *x;      /* [max_tokens, n_embd] */
    kact h;        /* [max_tokens, n_embd]; q is filled when weights need it */
    float *h_rows; /* behind h.x */
    float *qkv;    /* [max_tokens, widest q + k + v] */
    /* rows of a stripe; with experts a stripe is the whole batch, and act and up have
     * max_pairs rows */
    uint32_t stripe; /* most rows */
    kact part;       /* [stripe, n_embd], what the second branch reads */
    kact att;        /* [stripe, widest n_head * dim_v] */
    kact act;        /* [stripe, widest feed-forward] */
    float *part_rows;
    float *att_rows;
    float *act_rows;
    float *up;                /* [stripe, widest up] */
    float *out;               /* [stripe, n_embd] */
    uint32_t rope_width;      /* the wider half of both ropes */
    float *cos, *sin;         /* [2 ropes][max_tokens, rope_width] */
    float *scratch;           /* [n_threads][KERN_ATTN_SCRATCH] */
    uint32_t *ancestors;      /* [n_threads][ATTEND_ROWS][max_tokens] */
    struct adapt_tile *tiles; /* [max_tokens] */
    uint32_t *final;          /* [max_tokens] tokens whose final state is wanted */
    /* experts */
    float *router;       /* [max_tokens, n_expert] logits, then weights */
    float *weight;       /* [max_pairs] of a token's experts, best first */
    uint32_t *expert;    /* [max_pairs] */
    uint32_t *place;     /* [max_pairs] row of the pair in the gathered buffers */
    uint32_t *first;     /* [n_expert + 1] rows of an expert */
    float *gathered;     /* [max_pairs, n_embd] rows of h, grouped by expert */
    void *gathered_q;    /* their 8-bit form, expert by expert */
    kact *in_parts;      /* [n_expert] rows of `gathered` of each expert */
    kact *act_parts;     /* [n_expert] rows of `act_rows` of each expert */
    float *gathered_out; /* [max_pairs, n_embd] */
    float *shared_out;   /* [max_tokens, n_embd] */
    product *products;   /* [2 * n_expert] */
};

/* Rows of a stripe: enough to reuse each weight, few enough that activations stay small
 * and near; a multiple of the tokens that share an expanded panel. */
enum { STRIPE_ROWS = 192 };
enum { ATTEND_ROWS = 16 }; /* most tokens that attend together */
enum { WORK_ALIGN = 64 };  /* of every buffer and of each expert's part of gathered_q */

/* Call `fn` once for each chunk of rows [row0, row1) of n, on the workers. */
typedef void rows_fn(void *arg, uint32_t row0, uint32_t row1, uint32_t worker);
void work_rows(model_work *wk, uint32_t n, rows_fn *fn, void *arg);

/* Run products whose activations are ready. */
void work_products(model_work *wk, const product *products, uint32_t n);

/* Does a matrix read the 8-bit rows of its activations?  An absent one does not. */
bool work_quantised(const kmat *w);
/* The 8-bit form of rows [row0, row1) of x. */
void work_quantise_rows(const kern *k, const kact *x, uint32_t row0, uint32_t row1);
/* Quantise the rows of `x` on the workers when `w` reads them so. */
void work_quantise(model_work *wk, const kact *x, const kmat *w);
#endif
