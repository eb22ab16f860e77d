/* engine/prefix.h - pages of text that was run, kept for those who may reuse it.
 *
 *   pin (tokens, a sequence)     a contract's prefix
 *    '-- node -- node -- node    pages of one key's text after its whole pages
 *   (no pin)
 *    '-- node -- node
 *
 * A node belongs to one key and to the adapter its text was run with: no walk of other
 * text reaches it.  Pins are reached
 * by holding them.  Nodes that no sequence uses are given up, least recently used first;
 * a pin's pages only when it is freed.  A pin is of use once its sequence is full.
 *
 * Threads: the engine's owner.  Memory: all taken by prefix_tree_new, a pin's by pin_new.
 */
#ifndef ENGINE_PREFIX_H
#define ENGINE_PREFIX_H
#include "engine/core.h"

typedef struct prefix_tree prefix_tree;

typedef struct prefix_pin {
    uint64_t id; /* never given twice */
    int32_t *tokens;
    uint32_t n;
    seq *s; /* holds the first seq_len of them */
} prefix_pin;

ST_NODISCARD int prefix_tree_new(engine *e, prefix_tree **ret_tree, st_err *err);
void prefix_tree_free(prefix_tree *t); /* NULL allowed */

/* `a`: what its sequence is run with, or NULL. */
ST_NODISCARD int prefix_pin_new(prefix_tree *t, const adapter *a, const int32_t *tokens,
                                uint32_t n, prefix_pin **ret_pin, st_err *err);
void prefix_pin_free(prefix_pin *pin); /* NULL allowed */
bool prefix_pin_is_full(const prefix_pin *pin);

/* Give an empty sequence the longest beginning of tokens[0, n) that is kept for `key`
 * after `pin` (NULL: none; else full), less than n tokens. */
void prefix_tree_attach(prefix_tree *t, uint64_t key, const prefix_pin *pin, seq *s,
                        const int32_t *tokens, uint32_t n);
/* Keep the whole pages of a sequence that holds tokens[0, seq_len), and (`tail`: it is
 * about to be freed, and has no tree) the last one, whatever it holds. */
void prefix_tree_keep(prefix_tree *t, uint64_t key, const prefix_pin *pin, const seq *s,
                      const int32_t *tokens, bool tail);

uint32_t prefix_tree_spare(const prefix_tree *t); /* pages that evict could free */
/* Free at least n pages, or as many as can be; returns how many. */
uint32_t prefix_tree_evict(prefix_tree *t, uint32_t n);
#endif
