/* expert/question.h - one typed thing asked about an input, as the experts see it.
 *
 * predicate, choice and score all come down to K options: a predicate has "true" and
 * "false", a score has its levels from lowest to highest, a choice its values, plus
 * QUESTION_NONE as the last option when the contract says `abstain: true`.
 *
 * Memory: plain views; the contract that made them owns the strings. */
#ifndef EXPERT_QUESTION_H
#define EXPERT_QUESTION_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QUESTION_MAX_OPTIONS = 255 };
#define QUESTION_NONE "__none__" /* "none of these" */

typedef enum question_type {
    QUESTION_PREDICATE,
    QUESTION_CHOICE,
    QUESTION_SCORE,
    QUESTION_EXTRACT, /* no options: the model writes an object */
    QUESTION_DRAFT,   /* no options: the model fills the slots of a text */
} question_type;

typedef struct question_option {
    const char *value;       /* unique, not empty */
    const char *description; /* NULL when the contract has none */
} question_option;

typedef struct question {
    question_type type;
    const char *instructions;
    const question_option *options;
    uint32_t n_options; /* with QUESTION_NONE when it is one */
    bool abstain;       /* the last option is QUESTION_NONE */
} question;

typedef struct question_row { /* a labelled example */
    const char *text;
    size_t len;
    int32_t label; /* index of its option */
} question_row;
#endif
