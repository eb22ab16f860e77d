/* engine/options.h - exact probabilities of given continuations.
 *
 * The continuations (label texts as token ids) form a trie over a sequence's end; the
 * trie is run as one token tree in one pass with the prompt's tokens, so common prefixes
 * are computed once; it leaves nothing in the sequence.  log p(option) = sum over its
 * tokens of (logit - lse), the exact log-probability under the whole vocabulary, `end`
 * token included when >= 0, so that a label that begins another label competes with it
 * fairly.
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
uint32_t options_n_nodes(const options *o);

/* ret_logp[n]: natural log-probability of each option after the tokens of `s` plus
 * `tokens` (at least one, they stay in the sequence).  A failed call changes nothing.
 * ST_ELIMIT when more nodes have children than engine_max_batch. */
ST_NODISCARD int options_score(const options *o, seq *s, const int32_t *tokens,
                               uint32_t n, double *ret_logp, st_err *err);
#endif
