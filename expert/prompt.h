/* expert/prompt.h - the prompt of a question, and its options as tokens in their place.
 *
 * The whole prompt is one user turn of the model's chat format: instructions, options
 * from `shift` on, the input, and the request to answer.
 *
 * Threads: any, on different objects. */
#ifndef EXPERT_PROMPT_H
#define EXPERT_PROMPT_H
#include "expert/lm.h"
#include "expert/question.h"

enum { PROMPT_CODE_BYTES = 4 }; /* "ZZ", a NUL, one to spare */

typedef struct prompt_form {
    const lm *lm;
    const question *q;
    bool codes;                            /* letter the options */
    uint32_t shift;                        /* first option listed */
    const char (*code)[PROMPT_CODE_BYTES]; /* [n_options] by place in the list */
} prompt_form;

/* Append the ids of the prompt for an input. */
ST_NODISCARD int prompt_encode(const prompt_form *form, const char *text, size_t len,
                               tok_ids *ids, st_err *err);

/* What the model sees as the name of option i: its value, or words for "none". */
const char *prompt_option(const question *q, uint32_t i);

/* Append the ids that continue `prompt` when the reply goes on with a blank and `reply`.
 * ST_EUNSUPPORTED when the reply would change the prompt's own last tokens. */
ST_NODISCARD int prompt_reply(const lm *l, const tok_ids *prompt, const char *reply,
                              tok_ids *ids, st_err *err);

/* Find n codes (A..Z, AA..ZZ) that are each exactly one token of their own as the reply
 * to `prompt`.  ST_EUNSUPPORTED names the first option that is left without one. */
ST_NODISCARD int prompt_codes(const lm *l, const question *q, const tok_ids *prompt,
                              char (*ret_codes)[PROMPT_CODE_BYTES], int32_t *ret_ids,
                              st_err *err);
#endif
