/* serve/talk_messages.h - OpenAI's messages as a conversation that templates read.
 *
 * Contents of parts become one text; a part that is no text is a problem at its place.
 * "developer" is the system's role.
 *
 * Threads: one at a time. */
#ifndef SERVE_TALK_MESSAGES_H
#define SERVE_TALK_MESSAGES_H
#include "serve/body.h"

extern const member talk_message[]; /* one of `messages` */

/* A new array; NULL with problems.  `at`: the messages' place. */
json_t *talk_messages_read(const json_t *messages, const char *at, problems *out);

/* Append the text of a string or of an array of parts ("text", "input_text",
 * "output_text", "refusal"). */
void talk_content_add(const json_t *content, const char *at, st_buf *text, problems *out);

/* The last that the user said in such a conversation, or NULL. */
const json_t *talk_last_said(const json_t *turns);
/* Do the turns together name what the schema names? */
bool talk_messages_tell(const json_t *turns, const json_t *schema);
/* Put a text behind what the first turn says, which is of that role, or in a turn of its
 * own before it. */
bool talk_messages_lead(json_t *turns, const char *role, const char *text);
#endif
