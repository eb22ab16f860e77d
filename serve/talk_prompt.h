/* serve/talk_prompt.h - a conversation, with functions and a schema to be shown, as the
 * prompt of a talk.
 *
 * A schema is shown to the model in the system's turn unless the conversation names all
 * that it names, or the member show_schema says otherwise.
 *
 * Threads: as talk.h. */
#ifndef SERVE_TALK_PROMPT_H
#define SERVE_TALK_PROMPT_H
#include "serve/talk.h"

/* OpenAI's `tools` (borrowed) and `tool_choice`, either NULL.  With the choice "none" no
 * function is shown. */
void talk_tools(talk *t, json_t *tools, const json_t *choice);
/* Render and encode; after talk_hold. */
void talk_chat_prompt(talk *t, const json_t *turns, const char *param);
#endif
