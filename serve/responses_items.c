/* serve/responses_items.c - answers of /v1/responses: items and events. */
#include "serve/responses_items.h"

#include "base/mem.h"
#include "serve/chat_answer.h"
#include "serve/talk_json.h"
#include <string.h>

void responses_own_free(void *own)
{
    responses_own *o = own;
    json_decref(o->output);
    json_decref(o->choice);
    st_free(o);
}

/* One event of a stream; `data` is released.  A whole answer has none. */
static bool event(talk *t, const char *type, json_t *data)
{
    responses_own *o = t->own;
    if (!t->ask.stream) {
        json_decref(data);
        return true;
    }
    data = talk_with(data, "type", json_string(type));
    data = talk_with(data, "sequence_number", json_integer(o->n_events++));
    return talk_send(t, type, data);
}

/* ---- the response ---- */

static json_t *or_null(json_t *value)
{
    return value ? json_incref(value) : json_null();
}

static json_t *usage_json(const talk *t)
{
    talk_sums s = talk_sums_of(t);
    return json_pack("{s:I, s:{s:I, s:i}, s:I, s:{s:i}, s:I}", "input_tokens",
                     (json_int_t)s.n_prompt, "input_tokens_details", "cached_tokens",
                     (json_int_t)s.n_cached, "cache_write_tokens", 0, "output_tokens",
                     (json_int_t)s.n_new, "output_tokens_details", "reasoning_tokens", 0,
                     "total_tokens", (json_int_t)s.n_prompt + s.n_new);
}

/* What the request said, told again. */
static json_t *asked_add(const talk *t, json_t *answer)
{
    const json_t *body = call_body(t->c);
    json_t *format = body_get(body_get(body, "text"), "format");
    const char *copied[] = {"instructions", "max_output_tokens", "metadata"};
    const char *said[] = {"user", "prompt_cache_key", "safety_identifier"};
    for (size_t i = 0; i < ST_COUNT(copied); i++)
        answer = talk_with(answer, copied[i], or_null(body_get(body, copied[i])));
    for (size_t i = 0; i < ST_COUNT(said); i++) /* these are no nulls in OpenAI's shape */
        if (body_get(body, said[i]))
            answer = talk_with(answer, said[i], or_null(body_get(body, said[i])));
    json_t *more = json_pack(
        "{s:f, s:f, s:b, s:o, s:o, s:s, s:{s:o}, s:n, s:n, s:b, s:b, s:{s:o, s:n}, s:i, "
        "s:s}",
        "temperature", (double)t->ask.how.temperature, "top_p", (double)t->ask.how.top_p,
        "parallel_tool_calls", !t->one_call, "tool_choice",
        body_get(body, "tool_choice") ? or_null(body_get(body, "tool_choice"))
                                      : json_string("auto"),
        "tools",
        body_get(body, "tools") ? or_null(body_get(body, "tools")) : json_array(),
        "truncation", "disabled", "text", "format",
        format ? json_incref(format) : json_pack("{s:s}", "type", "text"),
        "previous_response_id", "conversation", "store", 0, "background", 0, "reasoning",
        "effort", t->effort ? json_string(t->effort) : json_null(), "summary",
        "top_logprobs", (int)t->ask.n_top, "service_tier", "default");
    if (answer && json_object_update_new(answer, more) == 0)
        return answer;
    if (!answer)
        json_decref(more);
    json_decref(answer);
    return NULL;
}

static json_t *response_json(const talk *t, const char *status, bool ended)
{
    const responses_own *o = t->own;
    bool cut = strcmp(status, "incomplete") == 0;
    json_t *answer =
        json_pack("{s:s, s:s, s:I, s:s, s:n, s:o, s:s, s:o}", "id", t->id, "object",
                  "response", "created_at", (json_int_t)t->created, "status", status,
                  "error", "incomplete_details",
                  cut ? json_pack("{s:s}", "reason", "max_output_tokens") : json_null(),
                  "model", t->model, "output",
                  ended ? (o->output ? json_incref(o->output) : NULL) : json_array());
    if (ended)
        answer = talk_with(answer, "usage", usage_json(t));
    return asked_add(t, answer);
}

static bool begin(talk *t)
{
    if (!t->ask.stream || t->streams)
        return true;
    t->streams = true;
    call_stream_begin(t->c);
    return event(
               t, "response.created",
               json_pack("{s:o}", "response", response_json(t, "in_progress", false))) &&
           event(t, "response.in_progress",
                 json_pack("{s:o}", "response", response_json(t, "in_progress", false)));
}

/* ---- the message ---- */

static json_t *part_json(const talk *t, const talk_text *x, size_t from, size_t to)
{
    json_t *logprobs =
        t->ask.logprobs ? talk_logprobs(t, &x->g, 0, x->shown_tokens) : json_array();
    return json_pack("{s:s, s:o, s:[], s:o}", "type", "output_text", "text",
                     talk_text_json(&x->g.text, from, to), "annotations", "logprobs",
                     logprobs);
}

static json_t *message_json(const responses_own *o, const char *status, json_t *content)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "id", o->item_id, "type", "message",
                     "status", status, "role", "assistant", "content", content);
}

/* The place of an event: its item and the part of it. */
static json_t *place_json(const talk *t)
{
    const responses_own *o = t->own;
    return json_pack("{s:s, s:I, s:i}", "item_id", o->item_id, "output_index",
                     (json_int_t)json_array_size(o->output), "content_index", 0);
}

static json_t *item_event(const talk *t, json_t *item)
{
    const responses_own *o = t->own;
    return json_pack("{s:I, s:o}", "output_index", (json_int_t)json_array_size(o->output),
                     "item", item);
}

static bool message_begin(talk *t)
{
    responses_own *o = t->own;
    o->said = true;
    id_make("msg_", o->item_id);
    return event(t, "response.output_item.added",
                 item_event(t, message_json(o, "in_progress", json_array()))) &&
           event(t, "response.content_part.added",
                 talk_with(place_json(t), "part",
                           json_pack("{s:s, s:s, s:[], s:[]}", "type", "output_text",
                                     "text", "", "annotations", "logprobs")));
}

static bool message_more(talk *t, talk_text *x, size_t from, size_t to)
{
    if (x->shown < from)
        x->shown = from;
    uint32_t n = t->ask.logprobs ? chat_tokens_until(t, &x->g, to) : 0;
    if (x->shown >= to && n <= x->shown_tokens)
        return true;
    json_t *logprobs =
        n > x->shown_tokens ? talk_logprobs(t, &x->g, x->shown_tokens, n) : json_array();
    json_t *data =
        talk_with(place_json(t), "delta", talk_text_json(&x->g.text, x->shown, to));
    data = talk_with(data, "logprobs", logprobs);
    x->shown = to;
    x->shown_tokens = n > x->shown_tokens ? n : x->shown_tokens;
    return event(t, "response.output_text.delta", data);
}

static bool message_end(talk *t, talk_text *x, size_t from, size_t to)
{
    responses_own *o = t->own;
    bool cut = x->g.finish == GEN_LENGTH && !x->g.seen.begun;
    o->said_all = true;
    json_t *text = talk_with(place_json(t), "text", talk_text_json(&x->g.text, from, to));
    json_t *part = part_json(t, x, from, to);
    json_t *item =
        message_json(o, cut ? "incomplete" : "completed", json_pack("[O]", part));
    bool there =
        event(t, "response.output_text.done",
              talk_with(text, "logprobs", json_array())) &&
        event(t, "response.content_part.done", talk_with(place_json(t), "part", part)) &&
        event(t, "response.output_item.done",
              item_event(t, item ? json_incref(item) : NULL));
    o->output = talk_push(o->output, item);
    return there && o->output;
}

/* What the assistant says, which is nothing where it only calls. */
static bool said_more(talk *t, talk_text *x)
{
    responses_own *o = t->own;
    bool ended = x->g.finish != GEN_GOING;
    bool calls = t->calls && x->g.seen.begun, there = true;
    size_t from, to;
    chat_content(t, x, &from, &to);
    if (o->said_all)
        return true;
    if (!o->said && (to > from || (ended && !calls)))
        there = message_begin(t);
    if (there && o->said)
        there = message_more(t, x, from, to);
    if (there && o->said && (ended || calls))
        there = message_end(t, x, from, to);
    return there;
}

/* ---- calls ---- */

static json_t *call_json(const talk *t, const talk_text *x, const toolcall_part *p,
                         const char *status)
{
    const responses_own *o = t->own;
    bool done = strcmp(status, "in_progress") != 0;
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "id", o->item_id, "type",
                     "function_call", "status", status, "call_id", x->call_id, "name",
                     json_stringn(p->name, p->name_len), "arguments",
                     done ? json_stringn(p->arguments, p->arguments_len)
                          : json_string(""));
}

static json_t *arguments_event(const talk *t, const char *name, const char *text,
                               size_t len)
{
    const responses_own *o = t->own;
    return json_pack("{s:s, s:I, s:o}", "item_id", o->item_id, "output_index",
                     (json_int_t)json_array_size(o->output), name,
                     json_stringn(text, len));
}

static bool call_begin(talk *t, talk_text *x, const toolcall_part *p)
{
    responses_own *o = t->own;
    chat_call_id(p, x->call_id);
    id_make("fc_", o->item_id);
    x->call_open = true;
    x->call_shown = 0;
    return event(t, "response.output_item.added",
                 item_event(t, call_json(t, x, p, "in_progress")));
}

static bool call_end(talk *t, talk_text *x, const toolcall_part *p)
{
    responses_own *o = t->own;
    json_t *item = call_json(t, x, p, p->whole ? "completed" : "incomplete");
    x->call_open = false;
    bool there =
        event(t, "response.function_call_arguments.done",
              talk_with(arguments_event(t, "arguments", p->arguments, p->arguments_len),
                        "name", json_stringn(p->name, p->name_len))) &&
        event(t, "response.output_item.done",
              item_event(t, item ? json_incref(item) : NULL));
    o->output = talk_push(o->output, item);
    return there && o->output;
}

static bool calls_more(talk *t, talk_text *x)
{
    toolcall_part part;
    bool ended = x->g.finish != GEN_GOING, there = true;
    if (x->n_calls == 0 && !x->call_open)
        x->call_at = x->g.seen.calls;
    size_t at = x->call_at;
    while (there && x->call_at != SIZE_MAX && chat_call_next(t, x, &at, &part)) {
        size_t shown = x->call_shown;
        if (!x->call_open) {
            there = call_begin(t, x, &part);
            shown = 0;
        }
        if (there && part.arguments_len > shown)
            there = event(t, "response.function_call_arguments.delta",
                          arguments_event(t, "delta", part.arguments + shown,
                                          part.arguments_len - shown));
        x->call_shown = part.arguments_len;
        if (at == SIZE_MAX && !ended)
            return there;
        there = there && call_end(t, x, &part);
        x->call_at = at;
        x->n_calls++;
    }
    return there;
}

/* ---- the view ---- */

bool responses_more(talk *t, talk_text *x)
{
    return begin(t) && said_more(t, x) && calls_more(t, x);
}

void responses_finish(talk *t)
{
    talk_text *x = &t->texts[0];
    bool cut = x->g.finish == GEN_LENGTH;
    bool there = responses_more(t, x);
    json_t *answer = response_json(t, cut ? "incomplete" : "completed", true);
    if (!t->ask.stream) {
        call_reply_json(t->c, 200, answer);
        return;
    }
    if (there)
        event(t, cut ? "response.incomplete" : "response.completed",
              json_pack("{s:o}", "response", answer));
    else
        json_decref(answer);
    call_stream_end(t->c);
}

void responses_fail(talk *t, const problems *p)
{
    bool known = p->n > 0;
    event(t, "error",
          json_pack("{s:s, s:s, s:s?}", "code",
                    known ? problem_code(p->list[0].kind, DIALECT_OPENAI)
                          : "internal_error",
                    "message", known ? p->list[0].message : "out of memory", "param",
                    known && *p->list[0].param ? p->list[0].param : NULL));
}
