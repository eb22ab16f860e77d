/* model/model.h - a loaded model: bound tensors, and one forward pass over a batch.
 *
 * A model is immutable after model_load() and may be shared by any number of engines.
 * All mutable state is in the caller's hands: keys and values in pages, activations in a
 * model_work.  A family (llama, qwen2, bert, ...) is one file that says how its metadata
 * and tensor names bind to the one stack of parts.h; families.h lists them.
 *
 * A batch is a list of spans.  A span is some tokens of one sequence: a chain that
 * continues it, or, with parents, a tree of alternatives over it (each token sees the
 * sequence and its own ancestors only).  Results do not depend on how tokens are spread
 * over spans and batches.
 *
 * Threads: model_forward may run concurrently on different model_works. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H
#include "base/workers.h"
#include "gguf/gguf.h"
#include "kernels/kernels.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct model model;

typedef enum model_pooling { /* how an encoder's token vectors become one */
                             MODEL_POOL_NONE, /* a decoder */
                             MODEL_POOL_MEAN,
                             MODEL_POOL_CLS,
                             MODEL_POOL_LAST,
} model_pooling;

typedef struct model_info {
    const char *arch; /* general.architecture */
    const char *name; /* general.name, or "" */
    const char *id; /* SHA-256 of all that its numbers depend on but the program: file and
                     * options; "" when model_opts.digest was not given */
    uint32_t n_layers;
    uint32_t n_embd;
    uint32_t n_vocab;
    uint32_t n_ctx_train;
    bool causal;   /* false: encoder, a whole text is one span */
    bool has_head; /* can give logits */
    bool floats;   /* model_opts.int8 changes its numbers */
    model_pooling pooling;
    uint64_t n_params;
    size_t weight_bytes; /* resident bytes of weights */
    uint64_t
        macs_per_token; /* matrix products of one token through all layers, no head */
    uint64_t head_macs;
    size_t token_bytes; /* of packed weights that one token reads, the head's with them */
} model_info;

typedef struct model_opts {
    uint32_t n_ctx; /* context that will be used: picks long rope factors; at most the
                     * trained one counts.  0: that, at most 4096 */
    const kern *kernels; /* NULL: kern_best() */
    workers *workers;    /* used while packing; NULL: the calling thread only */
    bool int8; /* read the layers' F32, F16 and BF16 matrices as Q8_0: four times as fast,
                * an eighth of a percent off; what routes to experts stays as it is */
    const char *digest; /* of the gguf: its packed weights are kept in the cache
                         * (packed.h); NULL: they are not */
} model_opts;

/* Bind and pack.  ST_EUNSUPPORTED names the architecture or the tensor's format;
 * ST_EFORMAT names a missing tensor or a wrong shape, with what was expected.  The gguf
 * may be closed afterwards. */
ST_NODISCARD int model_load(const gguf *g, const model_opts *opts, model **ret_model,
                            st_err *err);
void model_free(model *m); /* NULL allowed */
const model_info *model_about(const model *m);

/* Keys and values.  A page holds KV_PAGE_TOKENS positions of all layers. */
typedef struct model_kv {
    unsigned char *base; /* page p starts at base + p * model_kv_page_bytes; 64-aligned */
    st_dtype type;       /* ST_F32, ST_F16, or ST_Q8_0: a scale a token and head */
} model_kv;
/* 0: this model's keys and values are not kept in that type (Q8_0 with convolutions or
 * very wide heads). */
size_t model_kv_page_bytes(const model *m, st_dtype kv_type);
/* Set slots [from, KV_PAGE_TOKENS) of a page to zero: nothing of what was there is left.
 */
void model_kv_clear(const model *m, const model_kv *pages, uint32_t page, uint32_t from);

typedef struct model_span {
    const int32_t *tokens; /* ids, 0 <= id < n_vocab, checked */
    uint32_t n;
    uint32_t start;         /* positions of the sequence that are already in its pages */
    const int32_t *parents; /* NULL: a chain.  Else of the tree's nodes [n_tree + n],
                             * those of this span last: parents[i] in [-1, i), -1 hangs on
                             * the sequence; position = start + depth */
    const uint32_t *pages;  /* page table, covers start + n_tree + n slots */
    uint32_t n_tree;        /* nodes of the tree that an earlier span has put in the slots
                             * from start on; 0 for a chain.  The slots after them are
                             * overwritten */
    const struct adapter *adapter; /* of this model (adapter.h); NULL: none */
} model_span;

/* Called after the embedding (layer 0) and after each layer l = 1..n with the residual
 * stream x [n_tokens, n_embd], before the final norm (after it for the last layer of an
 * encoder).  Tokens are in span order. */
typedef void model_tap(void *arg, uint32_t layer, const float *x, uint32_t n_tokens);

typedef struct model_batch {
    const model_span *spans;
    uint32_t n_spans;
    uint32_t n_layers; /* layers to run: 0 means all */
    model_tap *tap;    /* may be NULL */
    void *tap_arg;
    const uint32_t
        *out_rows;     /* tokens (index in the batch) whose final state is wanted */
    uint32_t n_out;    /* must be 0 when n_layers stops early */
    float *ret_hidden; /* [n_out, n_embd], final norm applied */
} model_batch;

typedef struct model_work model_work; /* activations of up to max_tokens tokens */
ST_NODISCARD int model_work_new(const model *m, uint32_t max_tokens, workers *w,
                                model_work **ret_work, st_err *err);
void model_work_free(model_work *work); /* NULL allowed */

/* Run the batch (at most max_tokens tokens).  Allocates nothing. */
ST_NODISCARD int model_forward(const model *m, model_work *work, const model_kv *kv,
                               const model_batch *batch, st_err *err);

/* Logits of final states: ret[i * n_ids + j] for hidden row i and vocabulary id ids[j];
 * ids NULL means all of them, n_ids = n_vocab.  At most max_tokens rows. */
ST_NODISCARD int model_head(const model *m, model_work *work, const float *hidden,
                            uint32_t n_rows, const int32_t *ids, uint32_t n_ids,
                            float *ret_logits, st_err *err);
#endif
