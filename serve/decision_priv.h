/* serve/decision_priv.h - what the readers of decisions share, and the answers.
 *
 * A reader checks with tables (serve/body.h) and by hand, adds problems and goes on, so
 * that all of them are told.  What has a problem is left out of the decision. */
#ifndef SERVE_DECISION_PRIV_H
#define SERVE_DECISION_PRIV_H
#include "serve/decision.h"
#include "serve/param.h"

/* --- memory of a decision; NULL, and out_of_memory, when there is none --- */

void *decision_alloc(decision *d, size_t count, size_t size, problems *out);
/* The bytes of a buffer, which is empty afterwards. */
const char *decision_keep(decision *d, st_buf *text, problems *out);

/* --- texts (decision_text.c) --- */

/* One value as compact JSON, members in their order, numbers as short as they are exact.
 */
int decision_json_write(st_buf *out, const json_t *value);
/* The same as text of a decision; strings stay what they are. */
const char *decision_text(decision *d, const json_t *value, problems *out);
/* As JSON also of a string. */
const char *decision_json(decision *d, const json_t *value, problems *out);
/* Say that there is more of `what` than there may be. */
void decision_too_long(problems *out, const char *at, size_t most, const char *what,
                       size_t got);
/* Is a text at most `most` bytes? */
bool decision_fits(const json_t *text, size_t most, const char *at, problems *out);

enum decision_part { /* what a content may hold; bits */
                     PART_TEXT = 1,
                     PART_IMAGE = 2, /* known, and refused as such */
                     PART_JSON = 4,
                     PART_OUTPUT = 8,
                     PART_REFUSAL = 16,
                     PART_BREAKPOINT = 32, /* may carry prompt_cache_breakpoint */
};

/* Append a string or an array of parts; *n_parts counts them. */
void decision_content(const json_t *content, unsigned may, const char *at,
                      uint32_t *n_parts, st_buf *out, problems *p);

/* An array of items as the text that is asked about (decision_input.c). */
void decision_input(decision *d, const json_t *input, problems *out);

/* --- questions --- */

/* Begin the next question: name, type, place.  NULL: no memory. */
decision_question *decision_add(decision *d, question_type type, const char *name,
                                const char *at, uint32_t n_options, problems *out);
static inline question_option *decision_options(const decision_question *q)
{
    return (question_option *)(uintptr_t)q->q.options; /* they are ours */
}
/* Room for n questions. */
bool decision_room(decision *d, size_t n, problems *out);

void decision_read_openai(const json_t *body, decision *d, problems *out);
void decision_read_sglang(const json_t *body, decision *d, problems *out);

/* --- answers --- */

typedef struct decided { /* one question's */
    const char *route;   /* of a task: "experts", ...; NULL: the language model */
    ask_method method;
    uint32_t n_orders;
    bool calibrated;
    double mass;   /* NaN: not known */
    double *probs; /* [n_options]; two of a predicate */
    ask_answer answer;
} decided;

typedef struct decision_result {
    const char *model;
    const char *version;
    const char *task; /* NULL: none */
    uint32_t n_prompt;
    uint32_t n_cached;
    const decided *answers; /* [n_questions] */
} decision_result;

/* NULL: no memory. */
json_t *decision_answer(const decision *d, const decision_result *r);
#endif
