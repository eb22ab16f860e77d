/* net/http_exchange.c - a request arrives, waits for its answer, and is answered.
 *
 * The wire calls exchange_go_on several times on one of its threads: when the head is
 * there, for each piece of the body, when all of it is there, and, if the connection was
 * suspended meanwhile, again when it has been resumed.  Only there a response is queued;
 * other threads leave it in the exchange and resume. */
#include "base/clock.h"
#include "base/mem.h"
#include "net/http_priv.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

void exchange_ref(http_exchange *x)
{
    atomic_fetch_add(&x->refs, 1);
}

void exchange_unref(http_exchange *x)
{
    if (atomic_fetch_sub(&x->refs, 1) != 1)
        return;
    st_buf_done(&x->body);
    st_buf_done(&x->out);
    st_free(x->client_name);
    st_free(x->pairs);
    st_free(x->head);
    pthread_cond_destroy(&x->told);
    pthread_mutex_destroy(&x->lock);
    st_free(x);
}

void *exchange_begin(void *cls, const char *uri, struct MHD_Connection *c)
{
    (void)uri;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    http_exchange *x = info ? st_zalloc_n(1, sizeof *x) : NULL;
    if (!x)
        return NULL;
    if (pthread_mutex_init(&x->lock, NULL) != 0) {
        st_free(x);
        return NULL;
    }
    if (pthread_cond_init(&x->told, NULL) != 0) {
        pthread_mutex_destroy(&x->lock);
        st_free(x);
        return NULL;
    }
    x->refs = 1; /* the wire's */
    x->server = cls;
    x->connection = c;
    x->fd = info->connect_fd;
    x->arrived_us = st_clock_us();
    conn_enter(x->server, c, CONN_ARRIVING);
    st_buf_init(&x->body, x->server->max_body + 1);
    st_buf_init(&x->out, x->server->max_unsent);
    return x;
}

void exchange_resume(http_exchange *x)
{
    if (!x->suspended)
        return;
    x->suspended = false;
    watch_remove(x);
    MHD_resume_connection(x->connection);
}

/* Tell the owner, once, that its client is gone. */
static void tell_gone(http_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    void (*fn)(void *arg) = x->gone && !x->ended ? x->on_gone : NULL;
    void *arg = x->gone_arg;
    if (fn) {
        x->on_gone = NULL;
        x->telling = true;
    }
    pthread_mutex_unlock(&x->lock);
    if (!fn)
        return;
    fn(arg);
    pthread_mutex_lock(&x->lock);
    x->telling = false;
    pthread_cond_broadcast(&x->told);
    pthread_mutex_unlock(&x->lock);
}

void exchange_gone(http_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->gone = true;
    pthread_mutex_unlock(&x->lock);
    tell_gone(x);
}

void http_on_gone(http_exchange *x, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&x->lock);
    x->on_gone = fn;
    x->gone_arg = arg;
    pthread_mutex_unlock(&x->lock);
    tell_gone(x);
}

bool http_is_gone(http_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool gone = x->gone;
    pthread_mutex_unlock(&x->lock);
    return gone;
}

/* ---- the wire's side ---- */

/* Answer without asking the owner: the request cannot be handed on. */
static enum MHD_Result refuse(struct MHD_Connection *c, unsigned status, const char *why)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(
        strlen(why), (void *)(uintptr_t)why, MHD_RESPMEM_PERSISTENT);
    if (!r)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    if (MHD_add_response_header(r, "Content-Type", "text/plain") == MHD_YES &&
        MHD_add_response_header(r, "Connection", "close") == MHD_YES)
        result = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return result;
}

/* False: the time for it to arrive is over. */
static bool hand_over(http_exchange *x)
{
    http_server *s = x->server;
    if (!conn_enter(s, x->connection, CONN_ANSWERING))
        return false;
    x->handed = true;
    exchange_ref(x); /* the owner's */
    pthread_mutex_lock(&s->lock);
    s->n_owned++;
    s->n_busy++;
    pthread_mutex_unlock(&s->lock);
    s->on_request(s->arg, x);
    return true;
}

/* Queue the answer, or wait for it. */
static enum MHD_Result settle(http_exchange *x, struct MHD_Connection *c)
{
    pthread_mutex_lock(&x->lock);
    if (!x->answered) {
        x->suspended = true;
        MHD_suspend_connection(c);
        watch_add(x);
        pthread_mutex_unlock(&x->lock);
        return MHD_YES;
    }
    struct MHD_Response *r = x->response;
    x->response = NULL;
    pthread_mutex_unlock(&x->lock);
    if (!r)
        return MHD_NO;
    enum MHD_Result result = MHD_queue_response(c, x->status, r);
    MHD_destroy_response(r);
    return result;
}

/* Most clients send all of a body before they look for an answer, and never see one that
 * comes with the connection's end.  So a body that is too large is read to its end, if
 * that is not too far. */
static uint64_t most_dropped(const http_exchange *x)
{
    return (uint64_t)x->server->max_body * 4;
}

static enum MHD_Result first(http_exchange *x, struct MHD_Connection *c, const char *url,
                             const char *method)
{
    http_server *s = x->server;
    if (s->needs_certificate && !tls_client_known(x, c))
        return refuse(c, MHD_HTTP_FORBIDDEN,
                      "a client certificate that this server knows is needed\n");
    unsigned wrong = request_head(x, c, url, method);
    if (wrong == MHD_HTTP_BAD_REQUEST)
        return refuse(c, wrong, "the length of the body is not clear\n");
    if (wrong)
        return refuse(c, wrong, "out of memory\n");
    x->known = true;
    const char *length = request_value(x, MHD_HEADER_KIND, "Content-Length");
    uint64_t n = length ? strtoull(length, NULL, 10) : 0;
    if (n <= s->max_body)
        return MHD_YES;
    x->fault = HTTP_FAULT_TOO_LARGE;
    if (n <= most_dropped(x) && !request_value(x, MHD_HEADER_KIND, "Expect"))
        return MHD_YES;
    return hand_over(x) ? settle(x, c) : MHD_NO;
}

/* A piece of the body. */
static enum MHD_Result take_piece(http_exchange *x, const char *data, size_t size)
{
    size_t max = x->server->max_body;
    if (!x->fault && size > max - x->body.len)
        x->fault = HTTP_FAULT_TOO_LARGE;
    if (!x->fault && st_buf_add(&x->body, data, size))
        x->fault = HTTP_FAULT_MEMORY;
    if (x->fault) {
        st_buf_done(&x->body);
        x->dropped += size;
    }
    return x->dropped > most_dropped(x) ? MHD_NO : MHD_YES;
}

enum MHD_Result exchange_go_on(void *cls, struct MHD_Connection *c, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *size, void **context)
{
    http_server *s = cls;
    http_exchange *x = *context;
    (void)version;
    if (!x || (atomic_load(&s->closing) && !x->handed))
        return MHD_NO;
    if (!x->known)
        return first(x, c, url, method);
    if (*size) {
        enum MHD_Result result = take_piece(x, data, *size);
        *size = 0;
        return result;
    }
    if (!x->handed && !hand_over(x))
        return MHD_NO;
    return settle(x, c);
}

static void count_down(http_server *s, uint32_t *count)
{
    pthread_mutex_lock(&s->lock);
    --*count;
    pthread_cond_broadcast(&s->fewer);
    pthread_mutex_unlock(&s->lock);
}

/* The connection ended before the wire asked for it.  A stream's response holds the
 * exchange, so it must not wait for the exchange's end. */
static void drop_response(http_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    struct MHD_Response *r = x->response;
    x->response = NULL;
    x->over = true;
    pthread_mutex_unlock(&x->lock);
    if (r)
        MHD_destroy_response(r);
}

void exchange_completed(void *cls, struct MHD_Connection *c, void **context,
                        enum MHD_RequestTerminationCode why)
{
    http_server *s = cls;
    http_exchange *x = *context;
    (void)why;
    *context = NULL;
    conn_enter(s, c, CONN_IDLE);
    if (!x)
        return;
    bool handed = x->handed;
    drop_response(x);
    if (handed)
        exchange_gone(x); /* which nobody hears when the answer has ended */
    exchange_unref(x);
    if (handed)
        count_down(s, &s->n_busy);
}

/* ---- the owner's side ---- */

struct MHD_Response *response_with(struct MHD_Response *r, const http_header *headers,
                                   uint32_t n_headers)
{
    for (uint32_t i = 0; r && i < n_headers; i++)
        if (MHD_add_response_header(r, headers[i].name, headers[i].value) != MHD_YES) {
            MHD_destroy_response(r);
            r = NULL;
        }
    return r;
}

/* Nobody is told of a hang-up any more.  x->lock held. */
static void hush(http_exchange *x)
{
    x->on_gone = NULL;
    while (x->telling)
        pthread_cond_wait(&x->told, &x->lock);
    assert(!x->ended);
    x->ended = true;
}

static void release(http_exchange *x)
{
    http_server *s = x->server;
    exchange_unref(x);
    count_down(s, &s->n_owned);
}

void exchange_answer(http_exchange *x, unsigned status, struct MHD_Response *r, bool last)
{
    pthread_mutex_lock(&x->lock);
    if (last)
        hush(x);
    assert(!x->answered);
    bool over = x->over;
    if (!over)
        x->response = r;
    x->status = status;
    x->answered = true;
    exchange_resume(x);
    pthread_mutex_unlock(&x->lock);
    if (over && r)
        MHD_destroy_response(r);
    if (last)
        release(x);
}

void exchange_end(http_exchange *x, bool whole)
{
    pthread_mutex_lock(&x->lock);
    hush(x);
    assert(x->answered && !x->finished);
    x->finished = true;
    x->broken |= !whole || x->gone;
    exchange_resume(x);
    pthread_mutex_unlock(&x->lock);
    release(x);
}

void http_reply(http_exchange *x, unsigned status, const http_header *headers,
                uint32_t n_headers, const char *body, size_t len)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(
        len, (void *)(uintptr_t)(len ? body : ""), MHD_RESPMEM_MUST_COPY);
    exchange_answer(x, status, response_with(r, headers, n_headers), true);
}
