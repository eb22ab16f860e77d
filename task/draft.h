/* task/draft.h - a text with slots.
 *
 *     Dear {{name}}, your order {{order_id}} will be late: {{reason}}
 *
 * What is not between "{{" and "}}" is the text itself; a slot's name has letters,
 * digits, '_' and '-', and blanks around it are allowed.  A slot may stand in several
 * places.  The model writes the slots as a JSON object; the text is put together from it,
 * so what is literal is literal.
 *
 * Threads: immutable once parsed.  Memory: draft_free. */
#ifndef TASK_DRAFT_H
#define TASK_DRAFT_H
#include "task/fields.h"

enum { DRAFT_MAX_SLOTS = 64, DRAFT_MAX_PLACES = 256 };

typedef struct draft draft;

/* ST_EINVAL says at which character and what was expected. */
ST_NODISCARD int draft_parse(const char *text, draft **ret, st_err *err);
void draft_free(draft *d); /* NULL allowed */

const char *draft_template(const draft *d);
uint32_t draft_n_slots(const draft *d); /* different ones, in the order of the text */
const char *draft_slot(const draft *d, uint32_t i);

/* Append the text with its slots filled from an object.  ST_EFORMAT: a slot is missing,
 * or no text, number or boolean. */
ST_NODISCARD int draft_render(const draft *d, const fields *slots, st_buf *out,
                              st_err *err);
#endif
