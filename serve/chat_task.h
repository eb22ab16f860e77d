/* serve/chat_task.h - a task's name as the model of a chat: what the user said last is
 * its input, its answer the content: the option's value, or the JSON that it writes.
 *
 * Threads: as talk.h. */
#ifndef SERVE_CHAT_TASK_H
#define SERVE_CHAT_TASK_H
#include "serve/talk.h"

/* Members that a task does not heed. */
void chat_task_check(talk *t, const json_t *body);
/* Answers the call and frees the talk. */
void chat_task(talk *t);
#endif
