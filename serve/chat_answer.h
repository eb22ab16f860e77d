/* serve/chat_answer.h - answers of /v1/chat/completions, whole or as a stream of chunks.
 *
 * Threads, memory: as talk.h. */
#ifndef SERVE_CHAT_ANSWER_H
#define SERVE_CHAT_ANSWER_H
#include "serve/talk.h"

typedef struct chat_own { /* talk.own */
    bool tells_usage;     /* stream_options.include_usage */
    st_buf line;          /* a chunk under way */
} chat_own;

void chat_own_free(void *own);

/* The view of a talk. */
bool chat_stream_more(talk *t, talk_text *x);
void chat_finish(talk *t);
void chat_stream_finish(talk *t);

/* "stop", "length" or "tool_calls". */
const char *chat_finish_reason(const talk *t, const talk_text *x);
/* The call after the last one that *at passed, of a text that has ended: whole or, in a
 * text that was cut, as far as it came. */
bool chat_call_next(const talk *t, const talk_text *x, size_t *at, toolcall_part *ret);
/* OpenAI's id of a call: the model's own, or a new one. */
void chat_call_id(const toolcall_part *part, char ret_id[ID_MAX]);
/* Where content begins and ends. */
void chat_content(const talk *t, const talk_text *x, size_t *ret_from, size_t *ret_to);
/* Tokens of g.tokens that content up to `to` is made of. */
uint32_t chat_tokens_until(const talk *t, const gen *g, size_t to);
#endif
