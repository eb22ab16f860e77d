/* engine/engine.h - sequences over counted KV pages, stepped in batches.
 *
 *   immutable:  model ----------.
 *   mutable:    engine = kvpool + model_work + workers;  seq = page table + length
 *
 * Callers may not know how keys and values are stored, in which order tokens are run or
 * on how many threads: the same request gives the same bytes.  A sequence is forked by
 * sharing its pages; a shared page is read-only and copied when its tail is written.
 *
 * Threads: one owner thread an engine (it uses its workers inside a step); a model may
 * serve many engines.  Memory: pages, activations and sequence tables are taken by
 * engine_new; a step allocates nothing. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H
#include "model/model.h"

typedef struct engine engine;
typedef struct seq seq;

typedef struct engine_opts {
    unsigned n_threads; /* 0: st_cpu_count() */
    uint32_t n_ctx;     /* most tokens of one sequence; 0: the model's, at most 4096 */
    uint32_t max_batch; /* most tokens of one forward pass; 0: 512 */
    uint32_t max_seqs;  /* 0: 64 */
    size_t kv_bytes;    /* for pages; 0: room for 2 full sequences and a batch */
    st_dtype kv_type;   /* as in model_kv, where kv_best is not set */
    bool kv_best;       /* the smallest type that changes no answer: Q8_0, or F16 where a
                         * model's keys and values are not kept so; F32 for an encoder,
                         * whose live for one pass */
} engine_opts;

/* The type that an engine with these keeps keys and values in. */
st_dtype engine_kv_type(const model *m, const engine_opts *opts);

/* The model must outlive the engine. */
ST_NODISCARD int engine_new(const model *m, const engine_opts *opts, engine **ret_engine,
                            st_err *err);
void engine_free(engine *e); /* NULL allowed; frees its sequences */
const model *engine_model(const engine *e);
uint32_t engine_n_ctx(const engine *e);
uint32_t engine_max_batch(const engine *e);
uint32_t engine_max_seqs(const engine *e);
workers *engine_workers(engine *e);
uint32_t engine_pages(const engine *e);      /* of KV_PAGE_TOKENS tokens, all */
uint32_t engine_free_pages(const engine *e); /* of them free */

ST_NODISCARD int seq_new(engine *e, seq **ret_seq, st_err *err); /* ST_EBUSY: too many */
void seq_free(seq *s); /* NULL allowed; pages go back when their last holder does */
engine *seq_engine(const seq *s);
uint32_t seq_len(const seq *s);
/* Of an empty sequence: its tokens are run with the adapter, and those of its forks; NULL
 * (as from seq_new): with none.  ST_EINVAL: it has tokens, or the adapter is of another
 * model. */
ST_NODISCARD int seq_set_adapter(seq *s, const struct adapter *a, st_err *err);
const struct adapter *seq_adapter(const seq *s);
uint32_t seq_tree_len(const seq *s);   /* nodes of its tree */
void seq_tree_drop(seq *s);            /* give the tree's slots back */
void seq_truncate(seq *s, uint32_t n); /* forget tokens from n on, and the tree */
/* A second sequence with the first n tokens of s, sharing its pages. */
ST_NODISCARD int seq_fork(seq *s, uint32_t n, seq **ret_fork, st_err *err);

enum { STEP_MAX_LIKELY = 20 };

typedef struct step_likely { /* one of the ids with the highest logits */
    int32_t id;
    float logit;
} step_likely;

/* The tokens of an item, in the order in which they are given:
 *
 *   a chain (parents NULL)        all n continue the sequence and stay in it
 *   a tree of alternatives        the first n_keep are a chain that stays; the others are
 *   (parents)                     nodes over its end, each seeing the sequence and its
 * own ancestors; they add nothing to seq_len
 *
 * A sequence keeps the slots of its tree, seq_tree_len of them, so that a later item may
 * hang more nodes on it: n_tree says how many there are.  The next item with n_tree 0 (a
 * chain, or another tree) gives them back first, as do seq_tree_drop, seq_truncate and
 * seq_free.  A tree holds at most engine_max_batch nodes.
 *
 * What a step should give for one item.  Unused parts are NULL / 0. */
typedef struct step_item {
    seq *s;
    const int32_t *tokens;
    uint32_t n;
    const int32_t *parents; /* [n - n_keep]: parents[i] in [-1, n_tree + i), a node by its
                             * place in the whole tree; -1: the end of the sequence, after
                             * the n_keep tokens.  No encoder takes a tree */
    uint32_t n_keep;        /* with parents; 0 when n_tree is not */
    uint32_t n_tree;        /* with parents: 0, or seq_tree_len: the tree goes on */
    const uint32_t *out;    /* tokens of the item (index 0..n-1, rising) with outputs */
    uint32_t n_out;
    const int32_t *ids; /* vocabulary ids wanted; NULL with n_ids 0: all */
    uint32_t n_ids;
    const uint32_t
        *ids_end; /* NULL: every output gets all `ids`.  Else output i gets
                   * ids[ids_end[i - 1] .. ids_end[i]), logits packed likewise */
    const uint32_t *const *allowed; /* NULL, or [n_out] without ids: bit i % 32 of word
                                     * i / 32 of each says whether id i may be the next,
                                     * [(n_vocab + 31) / 32] words, at least one bit.
                                     * ret_logits are -INFINITY for the others; where few
                                     * may be, the head is multiplied for those alone */
    float *ret_logits; /* [n_out, n_ids or n_vocab], or [n_ids] with ids_end */
    float *ret_hidden; /* [n_out, n_embd], final norm applied */
    int32_t *ret_best; /* [n_out] the allowed id with the highest logit (sampler_best) */
    float *ret_top;    /* [n_out] its logit; with ret_best */
    float *ret_lse;    /* [n_out] natural log of the sum over the whole vocabulary of
                        * exp(logit): logit - lse is the exact log-probability */
    step_likely *ret_likely; /* [n_out, n_likely] the likeliest of the whole vocabulary,
                              * whatever is allowed; of equal ones the lower id first */
    uint32_t n_likely;       /* at most STEP_MAX_LIKELY, and the vocabulary */
    float *ret_held_lse;     /* [n_out] the same over the allowed ids; with `allowed` */
} step_item;

/* Pooled hidden states of whole texts. */
typedef struct step_states {
    uint32_t first_layer; /* states after layers first..last (0: embedding), inclusive; */
    uint32_t last_layer;  /* the model is not run beyond last */
    uint32_t from, to;    /* mean over tokens [from, to) of the text; to 0: its end */
    float *ret_mean;      /* [last - first + 1, n_embd]; may be NULL */
    float *ret_last;      /* the same for token to - 1; may be NULL */
    const seq *prefix;    /* NULL, or what the text goes on from: the bytes are those of
                           * both run as one.  It is not changed.  Decoders only */
    const struct adapter *adapter; /* NULL: none; as the prefix's */
} step_states;

/* Run the items, in as many forward passes as max_batch needs.  A sequence may appear in
 * one item only.  ST_EBUSY when pages run out, ST_ELIMIT when an item would pass n_ctx or
 * a tree max_batch, ST_EINVAL for an id outside the vocabulary: no sequence has changed
 * then, but a tree that was to be given back may be gone.  An encoder takes a whole text
 * as one chain in an empty sequence. */
ST_NODISCARD int engine_step(engine *e, const step_item *items, uint32_t n_items,
                             st_err *err);

/* Pooled states of n texts (token ids), in batches; no sequence is kept.  A text that is
 * longer than n_ctx, its prefix included, is ST_ELIMIT. */
ST_NODISCARD int engine_states(engine *e, const int32_t *const *texts,
                               const uint32_t *n_tokens, const step_states *want,
                               uint32_t n_texts, st_err *err);

/* Embeddings as the model's maker defines them: the model's pooling over the last layer's
 * output (after the final norm), scaled to unit length; of a model that names none, the
 * mean over all tokens.  ret [n_texts, n_embd]. */
ST_NODISCARD int engine_embed(engine *e, const int32_t *const *texts,
                              const uint32_t *n_tokens, uint32_t n_texts,
                              float *ret_vectors, st_err *err);
#endif
