/* net/http_stream.c - an answer piece by piece.
 *
 * What is sent waits in x->out until the wire takes it.  When there is nothing to take,
 * the wire's thread suspends the connection (and its socket is watched); the next piece
 * resumes it. */
#include "base/mem.h"
#include "net/http_priv.h"
#include <assert.h>
#include <string.h>

enum { BLOCK = 4096 }; /* of a client that speaks HTTP/1.0; others get what there is */

/* The wire asks for more; its lock of the response is held. */
static ssize_t stream_read(void *arg, uint64_t pos, char *to, size_t max)
{
    http_exchange *x = arg;
    (void)pos;
    ssize_t n = 0;
    pthread_mutex_lock(&x->lock);
    size_t there = x->out.len - x->sent;
    if (there) {
        size_t some = there < max ? there : max;
        memcpy(to, x->out.data + x->sent, some);
        x->sent += some;
        n = (ssize_t)some;
        if (x->sent == x->out.len) {
            st_buf_reset(&x->out);
            x->sent = 0;
        }
    } else if (x->broken) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (x->finished) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        x->suspended = true;
        MHD_suspend_connection(x->connection);
        watch_add(x);
    }
    pthread_mutex_unlock(&x->lock);
    return n;
}

static void stream_freed(void *arg)
{
    exchange_unref(arg);
}

void http_stream_begin(http_exchange *x, unsigned status, const http_header *headers,
                       uint32_t n_headers)
{
    exchange_ref(x); /* the response's */
    struct MHD_Response *r = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK, stream_read, x, stream_freed);
    if (!r)
        exchange_unref(x);
    exchange_answer(x, status, response_with(r, headers, n_headers), false);
}

/* Room for more behind what has not been sent.  x->lock held. */
static bool add_out(http_exchange *x, const char *bytes, size_t len)
{
    if (x->sent && x->out.len + len > x->out.cap) {
        memmove(x->out.data, x->out.data + x->sent, x->out.len - x->sent);
        x->out.len -= x->sent;
        x->sent = 0;
    }
    return st_buf_add(&x->out, bytes, len) == 0;
}

bool http_stream_send(http_exchange *x, const char *bytes, size_t len)
{
    pthread_mutex_lock(&x->lock);
    assert(x->answered && !x->finished);
    bool good = !x->gone && !x->broken;
    if (good && !add_out(x, bytes, len)) { /* too much waits: what does is dropped */
        st_buf_done(&x->out);
        x->sent = 0;
        x->broken = true;
        good = false;
    }
    exchange_resume(x);
    pthread_mutex_unlock(&x->lock);
    return good;
}

void http_stream_end(http_exchange *x)
{
    exchange_end(x, true);
}

void http_stream_break(http_exchange *x)
{
    exchange_end(x, false);
}
