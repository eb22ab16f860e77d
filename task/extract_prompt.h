/* task/extract_prompt.h - what a model is asked that writes an answer.
 *
 *   system     the instructions, and a line for each field: its name, its description and
 *              its values (outline_describe); of a draft also the template
 *   user, assistant    an example: its input, and its output as the grammar writes it
 *   user       the input
 *   assistant  (repair only) the answer that failed its checks
 *   user       (repair only) which checks, and why
 *
 * The system turn and examples that are the same for all inputs come first, so that they
 * are run once.  A model without a chat format gets the same as plain text.
 *
 * Threads: any. */
#ifndef TASK_EXTRACT_PROMPT_H
#define TASK_EXTRACT_PROMPT_H
#include "expert/lm.h"
#include "task/contract.h"

typedef struct shot { /* an example, borrowed */
    const char *input;
    size_t len;
    const char *output; /* JSON text */
    size_t output_len;
} shot;

typedef struct extract_ask { /* all borrowed */
    const char *text;
    size_t len;
    const shot *const *shots; /* [n_shots] the nearest last */
    uint32_t n_shots;
    struct grammar *held; /* what is written is held to; NULL: the contract's */
    const char *failed;   /* repair: the answer, */
    size_t failed_len;
    const char *why; /* and a line for each check that failed; NULL */
    bool looped; /* once more, after a text that did not end: drawn, not the likeliest */
} extract_ask;

/* The system turn of a task. */
ST_NODISCARD int extract_prompt_system(const contract *c, st_buf *out, st_err *err);

/* Append the prompt's ids. */
ST_NODISCARD int extract_prompt_encode(const lm *l, const char *system,
                                       const extract_ask *ask, tok_ids *ids, st_err *err);
#endif
