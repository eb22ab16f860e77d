/* serve/talk_json.h - what all routes that make text tell about it, as JSON.
 *
 * Values are new references, NULL when memory ran out.
 *
 * Threads: as talk.h. */
#ifndef SERVE_TALK_JSON_H
#define SERVE_TALK_JSON_H
#include "serve/talk.h"

/* A text as a JSON string behind what is there. */
void talk_quote(st_buf *out, const char *text, size_t len);
json_t *talk_text_json(const st_buf *text, size_t from, size_t to);

/* The tokens [from, to) of a text: [{"token", "bytes", "logprob", "top_logprobs"}]; as
 * text, where it is told for each token as it is made. */
void talk_logprobs_add(const talk *t, const gen *g, uint32_t from, uint32_t to,
                       st_buf *out);
json_t *talk_logprobs(const talk *t, const gen *g, uint32_t from, uint32_t to);
/* The spelling of a token, and its bytes. */
json_t *talk_token_text(const tok *tk, int32_t id);
json_t *talk_token_bytes(const tok *tk, int32_t id);

/* The object with one more member, the list with one more value; NULL where something
 * was NULL, and all is released. */
json_t *talk_with(json_t *object, const char *name, json_t *value);
json_t *talk_push(json_t *list, json_t *value);

/* {"prompt_tokens", "completion_tokens", "total_tokens", ...}: prompts count once. */
json_t *talk_usage(const talk *t);
/* llama-server's, of one text so far. */
json_t *talk_timings(const gen *g);
/* [1, 2, 3] of the ids [from, n_ids). */
json_t *talk_ids(const gen *g, uint32_t from);

typedef struct talk_sums { /* of all texts */
    uint32_t n_prompt, n_cached, n_new, n_agreed, n_refused;
} talk_sums;
talk_sums talk_sums_of(const talk *t);

/* talk_view.fail: "data: {"error": ...}". */
void talk_fail_openai(talk *t, const problems *p);
/* Send "data: " and the value, which is released; NULL, or a line that ran out of memory,
 * breaks the stream.  False: no more can be sent. */
bool talk_send(talk *t, const char *event, json_t *data);
bool talk_send_line(talk *t, const st_buf *line);
#endif
