/* engine/held.h - one text that is held to a grammar while it is made; private to this
 * room.
 *
 * What comes next is one of
 *
 *   HELD_DUE     a token about which there is no choice.  Text with one way on is
 *                written as the tokenizer would, after what was written before; all of
 *                its tokens but the last are due, and the last too where nothing can
 *                follow it.  So is the one id that a mask allows
 *   HELD_CHOICE  a token among those that the mask allows
 *   HELD_OVER    nothing: the text is whole
 *
 * Which it is depends on the tokens taken so far alone.  A walk goes on past a choice by
 * guessing it, so that many choices can be asked of the model in one step, each under its
 * own mask.
 *
 * Threads: the owner of the masker.  Memory: held_free; texts and masks grow as they are
 * needed, so every call but held_free may fail with ST_ENOMEM. */
#ifndef ENGINE_HELD_H
#define ENGINE_HELD_H
#include "engine/sched.h"

enum { HELD_GUESSES = 12 /* choices that a walk may go past */ };

typedef struct held_text held_text;

typedef enum held_kind { HELD_OVER, HELD_DUE, HELD_CHOICE } held_kind;

typedef struct held_walk {
    uint32_t n;       /* tokens after those that are known */
    uint32_t n_out;   /* choices, at least 1 */
    uint32_t n_right; /* guesses; the walk goes on past the first n_right choices */
    uint32_t out[HELD_GUESSES + 1]; /* tokens of the walk that stand before a choice */
    const uint32_t *allowed[HELD_GUESSES + 1]; /* as step_item.allowed; valid until the
                                                * next walk */
} held_walk;

/* `n_vocab` ids are the model's; stop ids end the text as the tokenizer's end tokens do
 * and are borrowed. */
ST_NODISCARD int held_new(const sched_held *ask, const int32_t *stop_ids, uint32_t n_stop,
                          uint32_t n_vocab, held_text **ret, st_err *err);
void held_free(held_text *h); /* NULL allowed */

bool held_is_end(const held_text *h, int32_t id);
/* What comes next; *ret_id where it is due.  ST_ELIMIT: nothing can, and the text is not
 * whole. */
ST_NODISCARD int held_next(held_text *h, held_kind *ret_kind, int32_t *ret_id,
                           st_err *err);
/* Go on by a token that is due or allowed and no end. */
ST_NODISCARD int held_take(held_text *h, int32_t id, st_err *err);

/* Where a choice comes next: walk on past at most `most_guesses` of them, by at most
 * most_tokens tokens, which are put into ret_tokens.  The text stays as it is. */
ST_NODISCARD int held_walk_on(held_text *h, uint32_t most_guesses, uint32_t most_tokens,
                              int32_t *ret_tokens, held_walk *ret_walk, st_err *err);
#endif
