/* expert/lm.h - a model file opened for use: weights, tokenizer, template, engine,
 * digest.
 *
 * Everything that reads a text with a model goes through one of these.  The digest is the
 * SHA-256 of the file: what is fitted on these bytes is bound to them.
 *
 * Threads: one owner (it holds an engine); path, model, tok, chat and digest are
 * immutable and may be read by any. */
#ifndef EXPERT_LM_H
#define EXPERT_LM_H
#include "engine/engine.h"
#include "template/template.h"
#include "tokenizer/tokenizer.h"

struct sched;
struct sched_opts;
struct sched_prefix;

enum { LM_BEGINNINGS = 4 }; /* that are remembered */

typedef struct lm_begun { /* a beginning that many texts share */
    tok_ids ids;
    struct sched_prefix *pin; /* NULL: an empty place */
    uint64_t used;            /* when it was asked for last */
} lm_begun;

typedef struct lm {
    char *path;
    model *model;
    tok *tok;
    engine *engine;
    tmpl *chat;          /* NULL when the file has no chat template */
    struct sched *sched; /* of the engine; NULL until lm_sched */
    char digest[65];     /* of the file, hexadecimal */
    lm_begun begun[LM_BEGINNINGS];
    uint64_t n_asked; /* beginnings, ever */
    bool keeps; /* beginnings are kept between runs: for what is asked many times, not
                 * for what fitting tries */
} lm;

typedef struct lm_opts {
    engine_opts engine;
    bool ctx_most; /* engine.n_ctx is the most: a model that was trained for fewer tokens
                    * holds those, and is not refused */
    bool int8; /* as in model_opts: what decides reads float weights in 8 bits, what shows
                * a model's own numbers (logits, embeddings) does not */
} lm_opts;

/* `opts` NULL: all defaults. */
ST_NODISCARD int lm_open(const char *path, const lm_opts *opts, lm **ret_lm, st_err *err);
void lm_close(lm *l); /* NULL allowed */

/* The scheduler of its engine, which all who have the lm share.  It is made at the first
 * call, with these options (NULL: for one caller); later calls give the same one. */
ST_NODISCARD int lm_sched(lm *l, const struct sched_opts *opts, struct sched **ret_sched,
                          st_err *err);

/* Append the ids of a chat prompt of one user turn (and a system turn when not NULL) with
 * the generation prompt: the model's template, where `user` is data throughout and can
 * become no control token.  Without a template: system, user and a newline as plain text.
 */
ST_NODISCARD int lm_prompt(const lm *l, const char *system, const char *user,
                           size_t user_len, tok_ids *ids, st_err *err);

/* The same for whole conversations: `messages` is an array of {"role", "content"}
 * objects; assistants' may have "tool_calls", their arguments objects.  `tools` is
 * OpenAI's array of functions, which the template shows in its own way; NULL: none.
 * ST_EUNSUPPORTED when the model has no chat template. */
ST_NODISCARD int lm_chat(const lm *l, const json_t *messages, const json_t *tools,
                         tok_ids *ids, st_err *err);
/* The same with `more` as in lm_render. */
ST_NODISCARD int lm_chat_with(const lm *l, const json_t *messages, const json_t *tools,
                              const json_t *more, tok_ids *ids, st_err *err);

/* The text of the same and where each byte comes from, not yet encoded.  `more`: further
 * variables, such as {"enable_thinking": false}; NULL: none.  `now_unix` is the date that
 * some templates show; 0: today. */
ST_NODISCARD int lm_render(const lm *l, const json_t *messages, const json_t *tools,
                           const json_t *more, int64_t now_unix, tmpl_out *out,
                           st_err *err);

/* The token that ends a reply in the model's chat format; -1 without a template. */
int32_t lm_turn_end(const lm *l);

/* A sequence with the beginning that many texts share, for reading between steps.  It is
 * pinned in the scheduler, and run (or, when `keeps`, read from what an earlier run kept)
 * unless it is one of those asked for last; it lasts until others are asked for.  As
 * sched_prefix_pin and engine_step; decoders only. */
ST_NODISCARD int lm_beginning(lm *l, const int32_t *ids, uint32_t n, const seq **ret_seq,
                              st_err *err);

/* Give up pages of kept text, for whoever uses the engine between steps and found too few
 * free.  False when there were none to give. */
bool lm_spare(lm *l);
#endif
