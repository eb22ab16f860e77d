/* serve/responses_read.h - the input of /v1/responses as a conversation, its functions as
 * those of chat.
 *
 * Threads: one at a time. */
#ifndef SERVE_RESPONSES_READ_H
#define SERVE_RESPONSES_READ_H
#include "serve/body.h"

/* `input`: a text or items; `instructions` NULL: none.  A new array of messages; NULL
 * with problems. */
json_t *responses_turns(const json_t *input, const char *instructions, problems *out);
/* [{"type", "name", ...}] -> [{"type", "function": {"name", ...}}], a new array. */
json_t *responses_tools(const json_t *tools, problems *out);
/* tool_choice likewise, a new value; NULL for NULL. */
json_t *responses_choice(const json_t *choice);
#endif
