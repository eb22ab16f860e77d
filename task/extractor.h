/* task/extractor.h - a model that writes answers held to a contract's schema.
 *
 * Inputs are requests of the lm's scheduler (task/extract_write.h) and get the bytes that
 * they get alone.  The beginning that all prompts share is run once.  A text counts only
 * when it ended where the grammar lets it end and grammar_validate agrees; a text that
 * ran into max_tokens is ST_ELIMIT.
 *
 * Threads: one owner, who owns the lm too; extractor_new may be on another.  Memory:
 * contract and lm must outlive it. */
#ifndef TASK_EXTRACTOR_H
#define TASK_EXTRACTOR_H
#include "task/extract_prompt.h"
#include "task/fields.h"

typedef struct extractor extractor;

typedef struct extract_token { /* one that the model chose or that was forced */
    size_t end;                /* bytes of the text up to its end */
    double logp;               /* natural, under the whole vocabulary; forced: 0 */
    double held_logp;          /* among the tokens that the grammar allowed; forced: 0 */
    bool forced;
} extract_token;

typedef struct extract_reply {
    int code; /* 0, or why there is no text: */
    char why[200];
    char *text; /* [len], NUL-terminated */
    size_t len;
    extract_token *tokens;
    uint32_t n_tokens;
    uint32_t n_prompt;
    uint32_t n_cached;  /* of those, not run again */
    uint64_t queued_us; /* until it became live */
    uint32_t n_steps;   /* that chose tokens of it: one token each without saving */
    uint32_t n_forced;  /* tokens that no step chose */
} extract_reply;
void extract_reply_done(extract_reply *r);

/* `shared` (may be NULL): examples that stand in every prompt that will be asked. Touches
 * no engine. */
ST_NODISCARD int extractor_new(lm *l, const contract *c, const extract_ask *shared,
                               extractor **ret_extractor, st_err *err);
/* Pin what all prompts begin with in the scheduler of the lm. */
ST_NODISCARD int extractor_bind(extractor *x, st_err *err);
/* Nothing is under way any more. */
void extractor_free(extractor *x); /* NULL allowed */

/* Sums over the tokens that were chosen for field i: those that begin behind the value
 * before it and not behind its own. */
typedef struct field_score {
    double logp;
    double held_logp;
    uint32_t n;
} field_score;
field_score extract_score(const extract_reply *r, const fields *f, uint32_t i);
#endif
