/* serve/call_answer.c - the answer of a call, which ends it. */
#include "base/mem.h"
#include "serve/call_priv.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Room for the call's own headers and for those that every answer has. */
enum { MAX_ANSWER_HEADERS = CALL_MAX_HEADERS + 8 };

typedef struct answer_headers {
    http_header list[MAX_ANSWER_HEADERS];
    uint32_t n;
} answer_headers;

static void header_add(answer_headers *h, const char *name, const char *value)
{
    h->list[h->n++] = (http_header){name, value};
}

static void headers_make(const call *c, const char *type, answer_headers *h)
{
    h->n = 0;
    header_add(h, "content-type", type);
    header_add(h, "x-request-id", c->id);
    if (c->dialect == DIALECT_TYPESAFE)
        header_add(h, "x-typesafe-request-id", c->id);
    if (server_state_get(c->server) >= SERVER_DRAINING)
        header_add(h, "connection", "close");
    for (uint32_t i = 0; i < c->n_headers; i++)
        header_add(h, c->headers[i].name, c->headers[i].value);
}

void call_set_header(call *c, const char *name, const char *value)
{
    call_header_copy copy = {st_strdup(name), st_strdup(value)};
    if (c->n_headers == CALL_MAX_HEADERS || !copy.name || !copy.value) {
        st_free(copy.name);
        st_free(copy.value);
        c->lost_header = true;
        return;
    }
    c->headers[c->n_headers++] = copy;
}

void call_reply_nothing_left(http_exchange *x)
{
    static const char body[] = "{\"error\":{\"message\":\"out of memory\","
                               "\"type\":\"server_error\",\"param\":null,\"code\":null}}";
    static const http_header headers[] = {{"content-type", "application/json"},
                                          {"retry-after", "1"}};
    http_reply(x, 503, headers, 2, body, sizeof body - 1);
}

static void reply(call *c, unsigned status, const char *type, const char *text,
                  size_t len)
{
    answer_headers h;
    call_close(c, status);
    if (c->lost_header) {
        call_reply_nothing_left(c->x);
    } else {
        headers_make(c, type, &h);
        http_reply(c->x, status, h.list, h.n, text, len);
    }
    call_free(c);
}

void call_reply_text(call *c, unsigned status, const char *type, const char *text,
                     size_t len)
{
    reply(c, status, type, text, len);
}

static int dump_add(const char *bytes, size_t len, void *arg)
{
    return st_buf_add(arg, bytes, len);
}

/* One value as compact JSON behind what is there; false: no memory. */
static bool json_add(st_buf *b, const json_t *value)
{
    return value &&
           json_dump_callback(value, dump_add, b, JSON_COMPACT | JSON_ENCODE_ANY) == 0;
}

void call_reply_json(call *c, unsigned status, json_t *body)
{
    st_buf text;
    st_buf_init(&text, SIZE_MAX / 2);
    bool made = json_add(&text, body);
    json_decref(body);
    if (made) {
        reply(c, status, "application/json", text.data, text.len);
    } else {
        problems p = {0};
        problems_add(&p, PROBLEM_SERVER, "", "no memory for the answer");
        call_reply_problems(c, &p);
    }
    st_buf_done(&text);
}

/* When it is worth to come again: whole seconds for the many, and exactly. */
static void retry_set(call *c, const problems *p)
{
    char text[32];
    double s = p->retry_s;
    if (!(s > 0)) {
        hub_stats stats;
        hub_stats_get(c->server->hub, &stats);
        s = fmax((double)stats.retry_us / 1e6, 0.1);
    }
    s = fmin(s, 3600);
    snprintf(text, sizeof text, "%.0f", ceil(s));
    call_set_header(c, "retry-after", text);
    snprintf(text, sizeof text, "%.0f", ceil(s * 1000));
    call_set_header(c, "retry-after-ms", text);
}

void call_reply_problems(call *c, problems *p)
{
    size_t len;
    unsigned status = problems_status(p, c->dialect);
    const char *code = p->n == 0         ? "internal_error"
                       : p->list[0].code ? p->list[0].code
                                         : problem_code(p->list[0].kind, DIALECT_OPENAI);
    snprintf(c->code, sizeof c->code, "%s", code);
    char *body = problems_body(p, c->dialect, &len);
    if (p->n > 0 &&
        (p->list[0].kind == PROBLEM_BUSY || p->list[0].kind == PROBLEM_DRAINING))
        retry_set(c, p);
    if (status == 401)
        call_set_header(c, "www-authenticate", "Bearer");
    if (!body)
        c->lost_header = true;
    reply(c, status, "application/json", body ? body : "", body ? len : 0);
    st_free(body);
    problems_done(p);
}

void call_reply_error(call *c, const char *param, const st_err *err)
{
    problems p = {0};
    problems_from(&p, param, err);
    call_reply_problems(c, &p);
}

void call_stream_begin(call *c)
{
    answer_headers h;
    headers_make(c, "text/event-stream; charset=utf-8", &h);
    header_add(&h, "cache-control", "no-cache");
    header_add(&h, "x-accel-buffering", "no");
    c->status = 200;
    c->broken = c->lost_header;
    http_stream_begin(c->x, 200, h.list, h.n);
}

bool call_stream_text(call *c, const char *bytes, size_t len)
{
    return http_stream_send(c->x, bytes, len);
}

bool call_stream_event(call *c, const char *event, const json_t *data)
{
    st_buf text;
    st_buf_init(&text, SIZE_MAX / 2);
    if (event)
        st_buf_fmt(&text, "event: %s\n", event);
    st_buf_str(&text, "data: ");
    bool made = json_add(&text, data) && st_buf_str(&text, "\n\n") == 0;
    bool sent = made && http_stream_send(c->x, text.data, text.len);
    c->broken |= !made;
    st_buf_done(&text);
    return sent;
}

void call_stream_end(call *c)
{
    call_close(c, c->status);
    if (c->broken)
        http_stream_break(c->x);
    else
        http_stream_end(c->x);
    call_free(c);
}
