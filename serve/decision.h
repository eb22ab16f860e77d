/* serve/decision.h - questions about a text, whatever dialect they came in.
 *
 *   body --decision_read_...--> decision --decision_start--> answers --> JSON
 *
 * Three shapes of one thing.  OpenAI's `input` and `questions`, TypeSafe's `state` and a
 * map of questions, SGLang's `input` and questions with a `question` each.  A decision is
 * answered in the shape that it came in.
 *
 * What questions are called is for the answer only: it does not get into a prompt.
 *
 * Threads: a decision has one owner at a time.  Memory: strings and JSON values are
 * borrowed from the body, which must outlive it, or kept in it; decision_done frees. */
#ifndef SERVE_DECISION_H
#define SERVE_DECISION_H
#include "expert/ask.h"
#include "serve/call.h"

enum {
    DECISION_MAX_QUESTIONS = 400,
    DECISION_MAX_CHOICES = QUESTION_MAX_OPTIONS,
    DECISION_MAX_LEVELS = 10,
    DECISION_MAX_TEXT = 10 << 20,  /* bytes of one text */
    DECISION_MAX_LABEL = 1 << 20,  /* bytes of instructions, a label, a description */
    DECISION_MAX_ITEMS = 131072,   /* of an input */
    DECISION_MAX_PARTS = 16384,    /* of all its messages */
    DECISION_MAX_DEPTH = 32,       /* containers in each other in an input_json */
    DECISION_MAX_VALUES = 10000,   /* in an input_json */
    DECISION_MAX_JSON = 256 << 10, /* bytes of an input_json, compact */
};

typedef enum decision_shape {
    DECISION_OPENAI,
    DECISION_SYSTEMONE,
    DECISION_SGLANG,
} decision_shape;

typedef struct decision_question {
    question q;             /* as it is asked */
    const char *name;       /* its name, key or id; NULL: none */
    const json_t **options; /* [q.n_options] as sent: what answers show */
    char param[PROBLEM_PARAM_MAX];
} decision_question;

typedef struct decision_block decision_block;

typedef struct decision {
    decision_shape shape;
    const char *model; /* NULL: not said */
    const char *cache_key;
    const char *text_param; /* "input" or "state" */
    st_buf text;            /* that is asked about */
    decision_question *questions;
    uint32_t n_questions;
    decision_block *kept;
} decision;

/* Read a body of one route, all problems at once.  On problems nothing is to be used but
 * decision_done. */
void decision_read(const json_t *body, decision *ret, problems *out); /* /v1/decisions */
void decision_read_systemone(const json_t *body, decision *ret, problems *out);
void decision_done(decision *d);

/* The bodies, for the description. */
extern const member decision_openai_body[], decision_systemone_body[],
    decision_sglang_body[];

/* Ask, answer and end the call; takes what is in `d`. */
void decision_start(call *c, decision *d);

#endif
