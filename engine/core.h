/* engine/core.h - what the files of this room share; nobody else includes it.
 *
 * A sequence is a page table, a length, and the tree in the slots after it.  Between
 * steps it holds exactly the pages that cover its length and its tree.  Inside a step
 * (in_step) it may hold more:
 *
 *   idle --items_check--> in_step --pages_take--> prepared --passes--> finish --> idle
 *                            |                        |
 *                            '--- error: finish ------'
 *
 * Threads: the engine's owner.  Memory: all of it belongs to the engine. */
#ifndef ENGINE_CORE_H
#define ENGINE_CORE_H
#include "engine/engine.h"
#include "engine/kvpool.h"
#include "model/adapter.h"

enum {
    HEAD_ROWS = 16, /* rows of whole-vocabulary logits that are held at once */
    LSE_CHUNK =
        8192, /* vocabulary entries summed by one worker call; whole words of bits */
    FEW_SHARE = 16, /* up to a 16th of the vocabulary the head is multiplied id by id */
};
#define NO_ID UINT32_MAX

typedef struct lse_part { /* of one chunk of a row of logits */
    float max;
    double sum;     /* of exp(logit - max) */
    uint32_t best;  /* the first allowed id with the highest logit, or NO_ID: none is */
    float best_max; /* that logit */
    double held;    /* of exp(logit - best_max), over the allowed */
    uint32_t n_likely;
} lse_part;

struct seq {
    engine *engine;
    kv_page *pages; /* [engine->seq_pages] */
    uint32_t n_pages;
    uint32_t len;          /* tokens */
    uint32_t n_tree;       /* nodes of its tree, in the slots from len on */
    int32_t *tree_parents; /* [engine->max_batch] the first n_tree of them */
    kv_page kept_tail; /* the page that the tree's copy stands in for, or KV_NO_PAGE */
    bool used;         /* handed out by seq_new */
    const adapter *adapter; /* NULL: none */
    /* the step it is in */
    bool in_step;
    uint32_t done;     /* tokens of its item that have run */
    uint32_t next_out; /* outputs of its item that were given */
    kv_page replaced;  /* the page that this step's copy stands in for, or KV_NO_PAGE */
};

typedef struct piece { /* the part of an item that is in the current pass */
    const step_item *item;
    uint32_t out0; /* first output of the item given by this pass */
    uint32_t n_out;
    uint32_t row0; /* its first row of engine.hidden */
} piece;

typedef struct head_row { /* an output that wants the whole vocabulary */
    const step_item *item;
    uint32_t out;
} head_row;

struct engine {
    const model *model;
    workers *workers;
    model_work *work;
    kvpool *pool;
    model_kv kv;
    uint32_t n_ctx;
    uint32_t max_batch;
    uint32_t max_seqs;
    uint32_t seq_pages;  /* most pages of one sequence, with the slots of a tree */
    seq *seqs;           /* [max_seqs] */
    kv_page *page_table; /* of all sequences, then of the texts of engine_states */
    int32_t *trees;      /* [max_seqs, max_batch] */

    /* the current pass, at most max_batch of each */
    model_span *spans;
    piece *pieces;
    uint32_t *rows;
    uint32_t *order; /* [max_seqs] of the items of a step */
    float *hidden;   /* [max_batch, n_embd] */
    head_row head_rows[HEAD_ROWS];
    uint32_t n_head_rows;
    float *head_hidden;  /* [HEAD_ROWS, n_embd] their final states */
    float *logits;       /* [HEAD_ROWS, n_vocab] */
    lse_part *parts;     /* [HEAD_ROWS, chunks] */
    step_likely *likely; /* [HEAD_ROWS, chunks, STEP_MAX_LIKELY] */
    int32_t *few;        /* [n_vocab / FEW_SHARE + 1] the ids that one output may take */
    float *few_logits;
    double *sums; /* [n_layers + 1, n_embd] of engine_states */
};

static inline uint32_t kv_pages_for(uint32_t n_tokens)
{
    return n_tokens / KV_PAGE_TOKENS + (n_tokens % KV_PAGE_TOKENS != 0);
}

/* How many ids an output may take. */
uint32_t allowed_count(const uint32_t *bits, uint32_t n_vocab);
/* Logits and their normalisers for the rows of a pass.  No allocation. */
ST_NODISCARD int pass_outputs(engine *e, uint32_t n_pieces, st_err *err);
#endif
