/* engine/sched.h - many requests on one engine.
 *
 *   any thread:  sched_submit, sched_cancel, sched_drain, sched_stop, sched_stats_get
 *   the owner:   sched_step, sched_wait, prefixes; callbacks run inside sched_step and
 *                may submit and cancel, nothing else
 *
 * Every step runs some tokens of all live requests in one batch.  Who comes first:
 * interactive before bulk; then the client (`key`) that was served the fewest tokens;
 * then the older request.  In every eighth step the prompts of bulk come first, and one
 * request of bulk that came in by then keeps its place: it is slow beside interactive
 * work without end, and never stands still.  A request gives the same bytes whoever it
 * shares a batch with, however its prompt is cut, what is cached, and however often it
 * was preempted.
 *
 * Text that was run is kept in pages until they are needed, for the same key only.  What
 * all keys share is a pinned prefix, and only requests that name it.
 *
 * Threads: as above.  Memory: taken by sched_new and, for a request's tokens and
 * options, by its submit; a step allocates nothing but for held text, whose matcher and
 * masks are made when it becomes live and whose masker grows as it meets states. */
#ifndef ENGINE_SCHED_H
#define ENGINE_SCHED_H
#include "engine/options.h"
#include "engine/sampler.h"
#include "grammar/grammar.h"

typedef struct sched sched;
typedef struct sched_prefix sched_prefix;
typedef uint64_t sched_id; /* of a request; never 0, never given twice */

typedef struct sched_opts {
    uint32_t max_requests;  /* waiting and live; 0: 1024 */
    uint32_t max_live;      /* with a sequence of their own; 0: all of the engine's, at
                             * most half of its batch */
    uint32_t prefill_chunk; /* prompt tokens that share a step with tokens being made:
                             * bounds what a prompt adds to their latency; 0: 64, or with
                             * step_us no bound but that */
    uint32_t step_us;       /* how long a step should take at most: prompts, tries of
                             * options and texts are cut to what such steps were measured
                             * to hold, never under SCHED_LEAST_ROOM tokens.  A text of
                             * SCHED_STATES or SCHED_EMBED is run whole.  0: no bound */
    /* After a submit, a cancel, a drain or a stop, outside the lock, on the thread that
     * called it: to wake an owner that waits for more than one scheduler.  May be NULL */
    void (*on_work)(void *arg);
    void *on_work_arg;
} sched_opts;

enum {
    SCHED_LEAST_ROOM = 8, /* tokens: one costs hardly less */
    SCHED_MAX_TOP = STEP_MAX_LIKELY,
    SCHED_MAX_BIAS = 1024,
};

typedef enum sched_class { SCHED_INTERACTIVE, SCHED_BULK } sched_class;
typedef enum sched_kind {
    SCHED_GENERATE, /* tokens, one after the other */
    SCHED_OPTIONS,  /* probabilities of options; the tries of many share a pass */
    SCHED_STATES,
    SCHED_EMBED,
} sched_kind;

typedef struct sched_top { /* one of the likeliest next tokens */
    int32_t id;
    double logp; /* natural, under the unmodified logits, whatever a grammar allows */
} sched_top;

typedef struct sched_token {
    int32_t id;
    uint32_t index;   /* among the new ones, from 0 */
    double logp;      /* natural, under the unmodified logits; 0 unless asked for */
    double held_logp; /* the same among the ids that the grammar allows */
    bool forced; /* held text with one way on: nothing was computed for it; its logp is
                  * NaN and its held_logp 0, where they are asked for */
    const sched_top *top; /* the likeliest first, of equal ones the lower id; valid during
                           * on_token */
    uint32_t n_top; /* as many as were asked for and the vocabulary has; 0 where forced */
} sched_token;

/* Text held to a grammar.  Text with one way on is taken as the tokenizer would write it,
 * but for its last token, which what follows may merge with; every other token is the
 * sampler's choice among those that the grammar allows.  The tokenizer's end tokens and
 * the stop ids, which may be no text, are allowed exactly where the text may end, and
 * where nothing can follow it ends by itself.  Only a text that ends with SCHED_END_DONE
 * is whole; check it once more with grammar_validate.
 *
 * Text from the input is tried many tokens at a time where the choice is the likeliest
 * token.  That, and the tokens that are forced, save steps and change no byte. */
typedef struct sched_held {
    masker *masker;    /* NULL: free text; borrowed, used on the owner's thread */
    const tok *tok;    /* whose ids the masker's are */
    const char *input; /* what is likely to be copied from; borrowed; NULL: nothing */
    size_t input_len;
} sched_held;

/* -100 forbids an id and 100 forces it in effect, among what a grammar allows. */
typedef sampler_bias sched_bias;

typedef struct sched_generate {
    sampler_opts how;
    const sched_bias *bias; /* added before penalties, not to what logp and top are of; */
    uint32_t n_bias;        /* at most SCHED_MAX_BIAS; copied */
    const int32_t *stop_ids; /* end the text and are no part of it */
    uint32_t n_stop;
    uint32_t max_new; /* at least 1 */
    bool logp;
    uint32_t n_top; /* likeliest tokens to tell at each, at most SCHED_MAX_TOP */
    sched_held held;
    /* For each token as it is made; false ends the text after it.  May be NULL. */
    bool (*on_token)(void *arg, const sched_token *token);
} sched_generate;

typedef enum sched_end {
    SCHED_END_DONE,   /* all that was asked for; a held text is whole */
    SCHED_END_STOP,   /* a stop id, or on_token said so */
    SCHED_END_LENGTH, /* max_new, or the end of the context; a held text is not valid */
    SCHED_END_ERROR,
} sched_end;

typedef struct sched_result {
    sched_id id;
    sched_end end;
    const st_err *err;     /* set when end is SCHED_END_ERROR; ST_ECANCELLED, ST_ETIMEOUT
                            * (the deadline), ST_EBUSY (no pages, nobody to wait for) */
    const int32_t *tokens; /* [n_new] made; valid during the call */
    uint32_t n_new;
    uint32_t n_prompt; /* with its prefix */
    uint32_t n_cached; /* of those, found in pages when it first became live */
    uint32_t n_preempted;
    uint32_t n_steps;    /* that chose tokens of it */
    uint32_t n_forced;   /* of its new tokens, those that no step chose */
    uint32_t n_proposed; /* from the input, and how many of them were right */
    uint32_t n_agreed;
    uint64_t queued_us; /* from submit until it first became live */
    uint64_t first_us;  /* from submit to the first token; 0: none */
    uint64_t total_us;  /* from submit to now */
} sched_result;

typedef struct sched_request {
    sched_class class;
    uint64_t key; /* whose it is: fairness, and whose text may be reused */
    const struct adapter *adapter; /* NULL: none; outlives the request; text is reused for
                                    * requests with the same one only,
                                    * and a prefix is one that was pinned with it */
    sched_prefix *prefix;          /* NULL: none; its tokens come before `tokens` */
    const int32_t *tokens;         /* copied */
    uint32_t n;                    /* at least 1 */
    uint64_t deadline_us;          /* on st_clock_us(); 0: none */
    bool follows; /* submitted from the done of another one, as the next part of what was
                   * accepted with it, one for each: neither a full queue nor a drain
                   * refuses it */
    sched_kind kind;
    sched_generate generate;
    options_request options; /* its s, tokens and n are the scheduler's */
    step_states states;      /* its prefix and adapter are the scheduler's */
    float *ret_vector;       /* of SCHED_EMBED: [n_embd] */
    /* Once for every request that was accepted, on the owner's thread. */
    void (*done)(void *arg, const sched_result *result);
    void *arg; /* of done and on_token */
} sched_request;

typedef struct sched_stats {
    uint32_t waiting;
    uint32_t live;
    uint32_t pages; /* of the engine */
    uint32_t pages_free;
    uint32_t pages_pinned;
    uint32_t pages_cached; /* kept for reuse by nobody live: given up when needed */
    uint64_t steps;        /* stands still when the owner does */
    uint64_t tokens_prefilled;
    uint64_t tokens_decoded;
    uint64_t tokens_cached; /* of prompts, not run again */
    uint64_t preemptions;
    uint64_t finished;
    uint64_t failed;
    uint64_t refused;  /* by a full queue */
    uint64_t retry_us; /* until the queue of now is likely to have been worked off */
} sched_stats;

/* The engine must outlive it.  Between steps the owner may use the engine otherwise. */
ST_NODISCARD int sched_new(engine *e, const sched_opts *opts, sched **ret_sched,
                           st_err *err);
void sched_free(sched *s); /* NULL allowed; requests left end as ST_ECANCELLED */

/* Borrowed until done: the prefix, the options, ret_... (written before it) and arg.
 * ST_EBUSY when the queue is full or drained: a key may hold three times as many places
 * as are free, so one client alone never takes them all.  ST_ELIMIT for what can never
 * fit. */
ST_NODISCARD int sched_submit(sched *s, const sched_request *request, sched_id *ret_id,
                              st_err *err);
/* Takes effect before the next step.  Unknown or finished: nothing. */
void sched_cancel(sched *s, sched_id id);

/* One step of all live requests.  False when no request is left. */
bool sched_step(sched *s);
/* Wait for a submit, a cancel or a change of state, at most timeout_us; returns at once
 * while there is work.  True: sched_step has work. */
bool sched_wait(sched *s, uint64_t timeout_us);
void sched_drain(sched *s); /* accept no more; what was accepted is finished */
void sched_stop(sched *s);  /* accept no more; what was accepted is cancelled */
void sched_stats_get(sched *s, sched_stats *ret_stats);

/* A beginning that requests of any key may name.  It is run by the first that does and
 * its pages are kept until it is unpinned, which may be while requests that name it are
 * under way.  ST_ELIMIT when pinned pages would pass half of all. */
ST_NODISCARD int sched_prefix_pin(sched *s, const int32_t *tokens, uint32_t n,
                                  sched_prefix **ret_prefix, st_err *err);
/* The same, run with an adapter: for requests that have it too. */
ST_NODISCARD int sched_prefix_pin_adapted(sched *s, const struct adapter *a,
                                          const int32_t *tokens, uint32_t n,
                                          sched_prefix **ret_prefix, st_err *err);
/* Between steps: have it now, read from the files of an earlier run or run at once
 * (engine/kvfile.h).  ST_EBUSY when pages run out; it is then run in steps as ever. */
ST_NODISCARD int sched_prefix_run_kept(sched *s, sched_prefix *prefix, st_err *err);
/* The same without files: run at once.  *ret_seq holds the prefix until it is unpinned;
 * it is for reading with the engine between steps. */
ST_NODISCARD int sched_prefix_run(sched *s, sched_prefix *prefix, const seq **ret_seq,
                                  st_err *err);
void sched_prefix_unpin(sched *s, sched_prefix *prefix); /* NULL allowed */

/* Between steps, for an owner who uses the engine otherwise: give kept text up, until
 * `n_pages` are free or there is no more of it. */
void sched_spare(sched *s, uint32_t n_pages);
#endif
