/* serve/chat_stream.c - an answer of /v1/chat/completions as a stream of chunks.
 *
 * Chunks are written by hand: there is one for nearly every token, on the thread that
 * makes all tokens. */
#include "serve/chat_answer.h"

#include "base/mem.h"
#include "serve/talk_json.h"
#include <string.h>

/* ---- one chunk ---- */

static st_buf *chunk_begin(talk *t, const talk_text *x)
{
    st_buf *b = &((chat_own *)t->own)->line;
    st_buf_reset(b);
    st_buf_fmt(
        b,
        "data: {\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":%lld,"
        "\"model\":",
        t->id, (long long)t->created);
    talk_quote(b, t->model, strlen(t->model));
    st_buf_fmt(b, ",\"system_fingerprint\":\"%s\",\"choices\":[", t->print);
    if (x)
        st_buf_fmt(b, "{\"index\":%u,\"delta\":{", x->at);
    return b;
}

static void json_put(st_buf *b, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (text)
        st_buf_str(b, text);
    else
        b->code = ST_ENOMEM;
    json_decref(value);
    st_free(text);
}

/* Behind the delta; with the probabilities of tokens up to n_tokens. */
static bool chunk_send(talk *t, talk_text *x, uint32_t n_tokens, const char *finish)
{
    const chat_own *own = t->own;
    st_buf *b = &((chat_own *)t->own)->line;
    st_buf_str(b, "},\"logprobs\":");
    if (n_tokens > x->shown_tokens) {
        st_buf_str(b, "{\"content\":");
        talk_logprobs_add(t, &x->g, x->shown_tokens, n_tokens, b);
        st_buf_str(b, ",\"refusal\":null}");
        x->shown_tokens = n_tokens;
    } else {
        st_buf_str(b, "null");
    }
    if (t->ask.return_tokens) {
        st_buf_str(b, ",\"tokens\":");
        json_put(b, talk_ids(&x->g, x->shown_ids));
        x->shown_ids = x->g.n_ids;
    }
    if (finish)
        st_buf_fmt(b, ",\"finish_reason\":\"%s\"}]", finish);
    else
        st_buf_str(b, ",\"finish_reason\":null}]");
    if (own->tells_usage)
        st_buf_str(b, ",\"usage\":null");
    if (t->ask.timings) {
        st_buf_str(b, ",\"timings\":");
        json_put(b, talk_timings(&x->g));
    }
    st_buf_str(b, "}\n\n");
    return talk_send_line(t, b);
}

/* ---- what has come ---- */

static bool begin(talk *t, talk_text *x)
{
    if (!t->streams) {
        call_stream_begin(t->c);
        t->streams = true;
    }
    if (x->begun)
        return true;
    x->begun = true;
    st_buf_str(chunk_begin(t, x),
               "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
    return chunk_send(t, x, 0, NULL);
}

static bool content_more(talk *t, talk_text *x)
{
    size_t from, to;
    chat_content(t, x, &from, &to);
    if (x->shown < from)
        x->shown = from;
    uint32_t n = t->ask.logprobs ? chat_tokens_until(t, &x->g, to) : 0;
    if (x->shown >= to && n <= x->shown_tokens)
        return true;
    st_buf *b = chunk_begin(t, x);
    st_buf_str(b, "\"content\":");
    talk_quote(b, x->g.text.data ? x->g.text.data + x->shown : "", to - x->shown);
    x->shown = to;
    return chunk_send(t, x, n, NULL);
}

static bool call_begin(talk *t, talk_text *x, const toolcall_part *p)
{
    chat_call_id(p, x->call_id);
    x->call_open = true;
    x->call_shown = 0;
    st_buf *b = chunk_begin(t, x);
    st_buf_fmt(b, "\"tool_calls\":[{\"index\":%u,\"id\":", x->n_calls);
    talk_quote(b, x->call_id, strlen(x->call_id));
    st_buf_str(b, ",\"type\":\"function\",\"function\":{\"name\":");
    talk_quote(b, p->name, p->name_len);
    st_buf_str(b, ",\"arguments\":\"\"}}]");
    return chunk_send(t, x, 0, NULL);
}

static bool arguments_more(talk *t, talk_text *x, const toolcall_part *p)
{
    if (p->arguments_len <= x->call_shown)
        return true;
    st_buf *b = chunk_begin(t, x);
    st_buf_fmt(b,
               "\"tool_calls\":[{\"index\":%u,\"function\":{\"arguments\":", x->n_calls);
    talk_quote(b, p->arguments + x->call_shown, p->arguments_len - x->call_shown);
    st_buf_str(b, "}}]");
    x->call_shown = p->arguments_len;
    return chunk_send(t, x, 0, NULL);
}

static bool calls_more(talk *t, talk_text *x)
{
    toolcall_part part;
    bool there = true;
    if (!t->calls || !x->g.seen.begun)
        return true;
    if (x->n_calls == 0 && !x->call_open)
        x->call_at = x->g.seen.calls;
    for (size_t at = x->call_at; there; x->call_at = at) {
        if (!chat_call_next(t, x, &at, &part))
            return true;
        there = (x->call_open || call_begin(t, x, &part)) && arguments_more(t, x, &part);
        if (at == SIZE_MAX) /* goes on later */
            return there;
        x->call_open = false;
        x->n_calls++;
    }
    return there;
}

bool chat_stream_more(talk *t, talk_text *x)
{
    return begin(t, x) && content_more(t, x) && calls_more(t, x);
}

/* ---- the end ---- */

static bool usage_send(talk *t)
{
    st_buf *b = chunk_begin(t, NULL);
    st_buf_str(b, "],\"usage\":");
    json_put(b, talk_usage(t));
    st_buf_str(b, "}\n\n");
    return talk_send_line(t, b);
}

void chat_stream_finish(talk *t)
{
    static const char last[] = "data: [DONE]\n\n";
    const chat_own *own = t->own;
    bool there = true;
    for (uint32_t i = 0; there && i < t->n_texts; i++) {
        talk_text *x = &t->texts[i];
        there = chat_stream_more(t, x);
        if (there) {
            chunk_begin(t, x);
            there = chunk_send(t, x, 0, chat_finish_reason(t, x));
        }
    }
    if (there && own->tells_usage)
        there = usage_send(t);
    if (there)
        call_stream_text(t->c, last, sizeof last - 1);
    call_stream_end(t->c);
}
