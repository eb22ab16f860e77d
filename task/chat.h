/* task/chat.h - a conversation with functions as a prompt.
 *
 * A model whose template knows functions has them shown there, and its own earlier calls
 * and the functions' answers too.  Any other is told of them in its system turn, its
 * earlier calls are text of its own turns, and answers come in user turns.
 *
 * Threads: as lm.h. */
#ifndef TASK_CHAT_H
#define TASK_CHAT_H
#include "expert/lm.h"
#include "grammar/toolcall.h"

typedef struct chat_tools {
    const json_t *tools; /* OpenAI's array */
    const toolset *set;  /* the same, read */
    const toolcall_format *format;
} chat_tools;

/* Append the ids of a conversation in OpenAI's form: roles system, developer, user,
 * assistant (with "tool_calls", their arguments JSON text) and tool.  `with` NULL: no
 * functions; `more` as in lm_chat_with.  ST_EFORMAT names the message that is not so. */
ST_NODISCARD int chat_encode(const lm *l, const json_t *messages, const chat_tools *with,
                             const json_t *more, tok_ids *ids, st_err *err);
#endif
