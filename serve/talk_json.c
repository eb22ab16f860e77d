/* serve/talk_json.c - what all routes that make text tell about it, as JSON. */
#include "serve/talk_json.h"

#include "base/clock.h"
#include <string.h>

/* What a logarithm of nothing is told as. */
#define LEAST_LOGP (-9999.0)

void talk_quote(st_buf *out, const char *text, size_t len)
{
    st_buf_char(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            st_buf_char(out, '\\');
            st_buf_char(out, (char)c);
        } else if (c == '\n') {
            st_buf_str(out, "\\n");
        } else if (c < 0x20) {
            st_buf_fmt(out, "\\u%04x", c);
        } else {
            st_buf_char(out, (char)c);
        }
    }
    st_buf_char(out, '"');
}

json_t *talk_text_json(const st_buf *text, size_t from, size_t to)
{
    return json_stringn(text->data ? text->data + from : "", to - from);
}

json_t *talk_with(json_t *object, const char *name, json_t *value)
{
    if (object && json_object_set_new(object, name, value) == 0)
        return object;
    if (!object)
        json_decref(value);
    json_decref(object);
    return NULL;
}

json_t *talk_push(json_t *list, json_t *value)
{
    if (list && json_array_append_new(list, value) == 0)
        return list;
    if (!list)
        json_decref(value);
    json_decref(list);
    return NULL;
}

/* ---- tokens ---- */

static bool piece(const tok *tk, int32_t id, st_buf *out)
{
    st_buf_init(out, 1 << 20);
    return tok_piece(tk, id, out, NULL) == 0;
}

json_t *talk_token_text(const tok *tk, int32_t id)
{
    st_buf bytes, text;
    text_join join = {0};
    st_buf_init(&text, 1 << 22);
    bool good = piece(tk, id, &bytes);
    text_join_add(&join, bytes.data ? bytes.data : "", bytes.len, &text);
    text_join_end(&join, &text);
    json_t *value = good && !text.code ? talk_text_json(&text, 0, text.len) : NULL;
    st_buf_done(&bytes);
    st_buf_done(&text);
    return value;
}

json_t *talk_token_bytes(const tok *tk, int32_t id)
{
    st_buf bytes;
    json_t *list = piece(tk, id, &bytes) ? json_array() : NULL;
    for (size_t i = 0; list && i < bytes.len; i++)
        list = talk_push(list, json_integer((unsigned char)bytes.data[i]));
    st_buf_done(&bytes);
    return list;
}

/* {"token", "bytes", "logprob", without what ends it */
static void token_add(const tok *tk, int32_t id, double logp, st_buf *out)
{
    st_buf bytes, text;
    text_join join = {0};
    st_buf_init(&text, 1 << 22);
    if (!piece(tk, id, &bytes))
        out->code = ST_ENOMEM;
    text_join_add(&join, bytes.data ? bytes.data : "", bytes.len, &text);
    text_join_end(&join, &text);
    if (text.code)
        out->code = text.code;
    st_buf_str(out, "{\"token\":");
    talk_quote(out, text.data ? text.data : "", text.len);
    st_buf_str(out, ",\"bytes\":[");
    for (size_t i = 0; i < bytes.len; i++)
        st_buf_fmt(out, i ? ",%u" : "%u", (unsigned char)bytes.data[i]);
    st_buf_fmt(out, "],\"logprob\":%.17g", logp > LEAST_LOGP ? logp : LEAST_LOGP);
    st_buf_done(&bytes);
    st_buf_done(&text);
}

void talk_logprobs_add(const talk *t, const gen *g, uint32_t from, uint32_t to,
                       st_buf *out)
{
    st_buf_char(out, '[');
    for (uint32_t i = from; i < to; i++) {
        const gen_token *k = &g->tokens[i];
        st_buf_str(out, i > from ? "," : "");
        token_add(t->lm->tok, k->id, k->logp, out);
        st_buf_str(out, ",\"top_logprobs\":[");
        for (uint32_t j = 0; j < k->n_top; j++) {
            const sched_top *one = &g->top[k->top + j];
            st_buf_str(out, j ? "," : "");
            token_add(t->lm->tok, one->id, one->logp, out);
            st_buf_char(out, '}');
        }
        st_buf_str(out, "]}");
    }
    st_buf_char(out, ']');
}

json_t *talk_logprobs(const talk *t, const gen *g, uint32_t from, uint32_t to)
{
    st_buf text;
    st_buf_init(&text, SIZE_MAX / 2);
    talk_logprobs_add(t, g, from, to, &text);
    json_t *list =
        text.code ? NULL : json_loadb(text.data, text.len, JSON_ALLOW_NUL, NULL);
    st_buf_done(&text);
    return list;
}

json_t *talk_ids(const gen *g, uint32_t from)
{
    json_t *list = json_array();
    for (uint32_t i = from; list && i < g->n_ids; i++)
        list = talk_push(list, json_integer(g->ids[i]));
    return list;
}

/* ---- sums ---- */

talk_sums talk_sums_of(const talk *t)
{
    talk_sums s = {0};
    for (uint32_t i = 0; i < t->n_texts; i++) {
        const gen *g = &t->texts[i].g;
        if (i % t->n == 0) {
            s.n_prompt += g->n_prompt;
            s.n_cached += g->n_cached;
        }
        s.n_new += g->n_new;
        s.n_agreed += g->n_agreed;
        s.n_refused += g->n_proposed - g->n_agreed;
    }
    return s;
}

json_t *talk_usage(const talk *t)
{
    talk_sums s = talk_sums_of(t);
    json_t *usage =
        json_pack("{s:I, s:I, s:I, s:{s:I}}", "prompt_tokens", (json_int_t)s.n_prompt,
                  "completion_tokens", (json_int_t)s.n_new, "total_tokens",
                  (json_int_t)s.n_prompt + s.n_new, "prompt_tokens_details",
                  "cached_tokens", (json_int_t)s.n_cached);
    if (!t->predicted)
        return usage;
    return talk_with(usage, "completion_tokens_details",
                     json_pack("{s:I, s:I}", "accepted_prediction_tokens",
                               (json_int_t)s.n_agreed, "rejected_prediction_tokens",
                               (json_int_t)s.n_refused));
}

static double each(double ms, uint32_t n)
{
    return n > 0 ? ms / n : 0;
}

static double a_second(double ms, uint32_t n)
{
    return ms > 0 ? n * 1000.0 / ms : 0;
}

json_t *talk_timings(const gen *g)
{
    uint32_t n_run = g->n_prompt - g->n_cached;
    uint32_t n = g->n_ids;
    double after_us = (double)(st_clock_us() - g->begun_us);
    if (g->total_us > 0)
        after_us = (double)(g->total_us - g->first_us);
    double before =
        g->first_us > g->queued_us ? (double)(g->first_us - g->queued_us) / 1000 : 0;
    double after = after_us / 1000;
    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:I, s:f, s:f, s:f}", "cache_n",
                     (json_int_t)g->n_cached, "prompt_n", (json_int_t)n_run, "prompt_ms",
                     before, "prompt_per_token_ms", each(before, n_run),
                     "prompt_per_second", a_second(before, n_run), "predicted_n",
                     (json_int_t)n, "predicted_ms", after, "predicted_per_token_ms",
                     each(after, n), "predicted_per_second", a_second(after, n));
}

bool talk_send(talk *t, const char *event, json_t *data)
{
    bool sent = call_stream_event(t->c, event, data);
    json_decref(data);
    return sent;
}

bool talk_send_line(talk *t, const st_buf *line)
{
    return line->code == 0 ? call_stream_text(t->c, line->data, line->len)
                           : call_stream_event(t->c, NULL, NULL);
}

void talk_fail_openai(talk *t, const problems *p)
{
    char nothing[] = "", why[] = "out of memory";
    const problem memory = {.kind = PROBLEM_SERVER, .param = nothing, .message = why};
    json_t *error = problem_json(p->n > 0 ? &p->list[0] : &memory);
    talk_send(t, NULL, json_pack("{s:o}", "error", error));
}
