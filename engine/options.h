/* engine/options.h - probabilities of given continuations, of many requests at once.
 *
 * The continuations (label texts as token ids) form a trie over a sequence's end.  Common
 * prefixes are run once, as nodes of the sequence's token tree, and a node is run only
 * when the probabilities of its children are wanted.  Two questions can be asked:
 *
 *   free   log p(option) = sum over its tokens of (logit - lse)
 *          what the model would say by itself: under the whole vocabulary, `end` token
 *          included when >= 0, so that a label that begins another competes with it
 *          fairly.  Every node with a child is run, and a row of the head for each
 *   held   log p(option) = sum over its tokens of (logit - lse over its siblings and it)
 *          the distribution that constrained decoding draws from: each token among those
 *          that some option goes on with.  Sums to 1.  Where there is one way on, nothing
 *          is run: only forks are, and what leads to them
 *
 * unseen = 0: every number is exact.
 *
 * unseen > 0: nodes are looked at best first.  The probability p(v) of a node is known
 * before it is run, and the options below it together have no more than
 *
 *   bound(v) = p(v) * the most options below v that begin one another (with end tokens:
 * 1)
 *
 * With `seen` the sum of p over options whose probability is known, and `left` the sum of
 * bounds over known nodes that have not been looked at, it ends when left <= unseen *
 * (seen + left).  An option below a node v that was not looked at is given an equal share
 * of bound(v).  Then the probabilities normalised over the options are within `unseen` of
 * the exact ones, each of them and the sum over any set of them.  How much that saves is
 * a matter of the model: free, a node's bound is far above what its options turn out to
 * have when the model would rather say something else.
 *
 * Nodes go by rounds.  A round is the known nodes in order of falling bound (of equal
 * ones the first in the trie) up to the one after which the rest of `left` is within the
 * bound: each of them would be looked at one by one too.  A round is a matter of one
 * request's own probabilities and not of the passes that it is cut into, so who else is
 * in a pass and how many nodes fit it change no byte.
 *
 * Many questions on one input: run the input once, fork its sequence for each question,
 * and score the forks together.  None of them sees, or changes a byte of, another.
 *
 * Threads: the engine's owner. */
#ifndef ENGINE_OPTIONS_H
#define ENGINE_OPTIONS_H
#include "engine/engine.h"

typedef struct options options;

/* Build the trie of n continuations; each has at least one token; two equal ones are
 * ST_EINVAL (named by index).  `end` is appended to each; -1 for none. */
ST_NODISCARD int options_new(const int32_t *const *ids, const uint32_t *n_ids, uint32_t n,
                             int32_t end, options **ret_options, st_err *err);
void options_free(options *o); /* NULL allowed */
uint32_t options_n(const options *o);
uint32_t options_n_nodes(const options *o);
/* Nodes that are run for exact numbers, and the most of them on one option's way. */
uint32_t options_n_run(const options *o, bool held);
uint32_t options_depth(const options *o);

typedef struct options_request {
    const options *options;
    seq *s;                /* the tokens stay in it, the tree does not */
    const int32_t *tokens; /* what comes before the options; at least one */
    uint32_t n;
    bool held;
    double unseen;      /* in [0, 0.5] */
    double *ret_logp;   /* [options_n] natural logarithms */
    double *ret_unseen; /* left / (seen + left); may be NULL */
} options_request;

/* Requests of one engine, each with a sequence of its own, parts of as many as fit in
 * each step: no more start than the free pages are sure to hold.  ST_EINVAL: no token, a
 * bad `unseen`, or held options of which one begins another without an end token;
 * ST_ELIMIT: the longest option passes the context or a batch.  A failed call leaves the
 * sequences as they were, without their trees. */
ST_NODISCARD int options_score_many(const options_request *requests, uint32_t n,
                                    st_err *err);

/* One request, free and exact. */
ST_NODISCARD int options_score(const options *o, seq *s, const int32_t *tokens,
                               uint32_t n, double *ret_logp, st_err *err);

/* One request a part of a step at a time, for whoever shares steps among many: start,
 * then next - engine_step - take until next has nothing.  All memory is taken by
 * options_run_new; a run may be started again at any time. */
typedef struct options_run options_run;

/* For tries of at most max_nodes nodes, in steps of the engine `e`. */
ST_NODISCARD int options_run_new(const engine *e, uint32_t max_nodes,
                                 options_run **ret_run, st_err *err);
void options_run_free(options_run *r); /* NULL allowed */

/* What the request points to must outlive the run, and until it is done nobody else gives
 * the sequence to a step.  Errors as of options_score_many, and ST_ELIMIT for a trie with
 * too many nodes. */
ST_NODISCARD int options_run_start(options_run *r, const options_request *request,
                                   st_err *err);
/* The next item, of at most max_tokens (> 0) tokens, valid until the next call with `r`.
 * False when the run is done.  Asked again without take, it may give another part. */
bool options_run_next(options_run *r, uint32_t max_tokens, step_item *ret_item);
/* The step with that item succeeded.  The last one gives the request its results and
 * drops the tree. */
void options_run_take(options_run *r);
bool options_run_is_done(const options_run *r);
uint32_t options_run_cost(const options_run *r); /* tokens run so far, prompt and nodes */
#endif
