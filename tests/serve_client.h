/* tests/serve_client.h - requests to a server and its whole answers, over
 * tests/http_client.h.
 *
 *   answer a = ask_once(port, "POST", "/v1/x", NULL, "{...}");
 *   assert_int_equal(a.status, 200);  ... a.body, a.json, answer_header(&a, "allow")
 *   answer_done(&a);
 *
 * What goes wrong with the connection is a status of 0, so that tests may expect it. */
#ifndef TESTS_SERVE_CLIENT_H
#define TESTS_SERVE_CLIENT_H
#include "base/buf.h"
#include "base/mem.h"
#include "tests/http_client.h"
#include <jansson.h>

typedef struct answer {
    int status; /* 0: the connection ended before the answer did */
    char head[4096];
    char *body; /* NUL behind; of a stream: its chunks joined */
    size_t len;
    json_t *json; /* NULL: the body is none */
} answer;

static inline void answer_done(answer *a)
{
    st_free(a->body);
    json_decref(a->json);
    *a = (answer){0};
}

/* The value of a header, until the next call of this thread; NULL: it is not there. */
static inline const char *answer_header(const answer *a, const char *name)
{
    static _Thread_local char value[1024];
    size_t n = strlen(name);
    for (const char *line = strstr(a->head, "\r\n"); line;
         line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':') {
            const char *text = line + 3 + n + strspn(line + 3 + n, " ");
            snprintf(value, sizeof value, "%.*s", (int)strcspn(text, "\r"), text);
            return value;
        }
    return NULL;
}

/* Send a request.  `headers`: lines that end with \r\n, or NULL.  A body is JSON unless
 * they have a content-type. */
static inline bool client_ask(client *c, const char *method, const char *path,
                              const char *headers, const char *body)
{
    st_buf out;
    bool typed =
        headers && (strstr(headers, "content-type:") || strstr(headers, "Content-Type:"));
    bool hosted = headers && (strstr(headers, "host:") || strstr(headers, "Host:"));
    st_buf_init(&out, 1 << 26);
    st_buf_fmt(&out, "%s %s HTTP/1.1\r\n", method, path);
    st_buf_str(&out, hosted ? "" : "Host: localhost\r\n");
    st_buf_str(&out, body && !typed ? "Content-Type: application/json\r\n" : "");
    if (body)
        st_buf_fmt(&out, "Content-Length: %zu\r\n", strlen(body));
    st_buf_fmt(&out, "%s\r\n%s", headers ? headers : "", body ? body : "");
    bool sent = out.code == 0 && client_send(c, out.data, out.len);
    st_buf_done(&out);
    return sent;
}

static inline bool client_take(client *c, size_t n, st_buf *out)
{
    while (n > 0) {
        size_t piece = c->len < n ? c->len : n;
        st_buf_add(out, c->data, piece);
        client_used(c, piece);
        n -= piece;
        if (n > 0 && !client_more(c))
            return false;
    }
    return true;
}

static inline bool client_body(client *c, const answer *a, st_buf *out)
{
    static _Thread_local char piece[1 << 18];
    const char *coding = answer_header(a, "transfer-encoding");
    if (coding && strcasecmp(coding, "chunked") == 0) {
        ssize_t n;
        while ((n = client_chunk(c, piece, sizeof piece)) > 0)
            st_buf_add(out, piece, (size_t)n);
        return n == 0;
    }
    const char *length = answer_header(a, "content-length");
    return !length || client_take(c, strtoul(length, NULL, 10), out);
}

/* The answer that comes next.  `has_body`: it is not one to HEAD. */
static inline answer client_answer_read(client *c, bool has_body)
{
    answer a = {0};
    client_answer head = {0};
    st_buf body;
    do {
        if (!client_head(c, &head))
            return a;
    } while (head.status / 100 == 1);
    a.status = head.status;
    memcpy(a.head, head.head, sizeof a.head);
    st_buf_init(&body, 1 << 26);
    if (has_body && !client_body(c, &a, &body))
        a.status = 0;
    a.len = body.len;
    a.body = st_dup(body.len ? body.data : "", body.len);
    a.json = json_loadb(a.body, a.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    st_buf_done(&body);
    return a;
}

static inline answer client_request(client *c, const char *method, const char *path,
                                    const char *headers, const char *body)
{
    answer a = {0};
    if (c->fd >= 0 && client_ask(c, method, path, headers, body))
        a = client_answer_read(c, strcmp(method, "HEAD") != 0);
    return a;
}

/* One request on a connection of its own. */
static inline answer ask_once(uint16_t port, const char *method, const char *path,
                              const char *headers, const char *body)
{
    client c = client_open(port);
    answer a = client_request(&c, method, path, headers, body);
    client_close(&c);
    return a;
}

/* What stands at "choices.0.message.content"; NULL: nothing. */
static inline const json_t *answer_at(const answer *a, const char *path)
{
    const json_t *at = a->json;
    while (at && *path) {
        char name[64];
        size_t n = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        at = json_is_array(at) ? json_array_get(at, strtoul(name, NULL, 10))
                               : json_object_get(at, name);
        path += n + (path[n] == '.');
    }
    return at;
}

static inline const char *answer_text(const answer *a, const char *path)
{
    const char *text = json_string_value(answer_at(a, path));
    return text ? text : "";
}

static inline json_int_t answer_number(const answer *a, const char *path)
{
    return json_integer_value(answer_at(a, path));
}
#endif
