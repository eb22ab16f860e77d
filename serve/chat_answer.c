/* serve/chat_answer.c - a whole answer of /v1/chat/completions. */
#include "serve/chat_answer.h"

#include "base/mem.h"
#include "serve/talk_json.h"
#include <string.h>

void chat_own_free(void *own)
{
    chat_own *o = own;
    st_buf_done(&o->line);
    st_free(o);
}

void chat_content(const talk *t, const talk_text *x, size_t *ret_from, size_t *ret_to)
{
    *ret_from = t->calls ? x->g.seen.begin : 0;
    *ret_to = x->g.certain > *ret_from ? x->g.certain : *ret_from;
}

uint32_t chat_tokens_until(const talk *t, const gen *g, size_t to)
{
    uint32_t n = g->n_tokens;
    if (g->finish != GEN_GOING && !(t->calls && g->seen.begun))
        return n;
    while (n > 0 && g->tokens[n - 1].begin >= to)
        n--;
    return n;
}

const char *chat_finish_reason(const talk *t, const talk_text *x)
{
    if (x->g.finish == GEN_LENGTH)
        return "length";
    return t->calls && x->g.seen.begun ? "tool_calls" : "stop";
}

bool chat_call_next(const talk *t, const talk_text *x, size_t *at, toolcall_part *ret)
{
    const gen *g = &x->g;
    size_t before = *at;
    if (!t->calls || !g->seen.begun ||
        !toolcalls_part(t->spec.calls, g->text.data, g->text.len, &g->seen, at, ret))
        return false;
    if (*at == before)
        *at = SIZE_MAX;
    return true;
}

void chat_call_id(const toolcall_part *part, char ret_id[ID_MAX])
{
    if (part->id_len == 0)
        id_make("call_", ret_id);
    else
        snprintf(ret_id, ID_MAX, "%.*s", (int)part->id_len, part->id);
}

static json_t *calls_json(const talk *t, const talk_text *x)
{
    json_t *list = json_array();
    toolcall_part part;
    char id[ID_MAX];
    size_t at = x->g.seen.calls;
    while (list && at != SIZE_MAX && chat_call_next(t, x, &at, &part)) {
        chat_call_id(&part, id);
        json_t *one =
            json_pack("{s:s, s:s, s:{s:o, s:o}}", "id", id, "type", "function",
                      "function", "name", json_stringn(part.name, part.name_len),
                      "arguments", json_stringn(part.arguments, part.arguments_len));
        list = talk_push(list, one);
    }
    return list;
}

static json_t *message_json(const talk *t, const talk_text *x)
{
    size_t from, to;
    chat_content(t, x, &from, &to);
    json_t *calls = calls_json(t, x);
    bool called = json_array_size(calls) > 0;
    json_t *content =
        called && from == to ? json_null() : talk_text_json(&x->g.text, from, to);
    json_t *message =
        json_pack("{s:s, s:o, s:n}", "role", "assistant", "content", content, "refusal");
    if (!calls || (message && called && json_object_set(message, "tool_calls", calls))) {
        json_decref(message);
        message = NULL;
    }
    json_decref(calls);
    return message;
}

static json_t *choice_json(const talk *t, const talk_text *x)
{
    json_t *logprobs = json_null();
    size_t from, to;
    chat_content(t, x, &from, &to);
    if (t->ask.logprobs)
        logprobs = json_pack("{s:o, s:n}", "content",
                             talk_logprobs(t, &x->g, 0, chat_tokens_until(t, &x->g, to)),
                             "refusal");
    json_t *choice = json_pack("{s:I, s:o, s:o, s:s}", "index", (json_int_t)x->at,
                               "message", message_json(t, x), "logprobs", logprobs,
                               "finish_reason", chat_finish_reason(t, x));
    return t->ask.return_tokens ? talk_with(choice, "tokens", talk_ids(&x->g, 0))
                                : choice;
}

static json_t *answer_json(const talk *t)
{
    json_t *choices = json_array();
    for (uint32_t i = 0; choices && i < t->n_texts; i++)
        choices = talk_push(choices, choice_json(t, &t->texts[i]));
    json_t *answer =
        json_pack("{s:s, s:s, s:I, s:s, s:o, s:o, s:s, s:s}", "id", t->id, "object",
                  "chat.completion", "created", (json_int_t)t->created, "model", t->model,
                  "choices", choices, "usage", talk_usage(t), "service_tier", "default",
                  "system_fingerprint", t->print);
    return t->ask.timings ? talk_with(answer, "timings", talk_timings(&t->texts[0].g))
                          : answer;
}

void chat_finish(talk *t)
{
    if (t->ask.stream)
        chat_stream_finish(t);
    else
        call_reply_json(t->c, 200, answer_json(t));
}
