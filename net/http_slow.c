/* net/http_slow.c - connections whose requests take too long to arrive.
 *
 * The wire ends a connection that is silent; one that sends a byte now and then could
 * hold its place for ever.  So each connection has a clock: a request has `request_us`
 * from its first line until it is whole, and a connection `silent_us` until a request has
 * begun.  The watching thread looks; the wire is told by shutting the socket down, which
 * is there as long as the connection is in the list. */
#include "base/clock.h"
#include "base/mem.h"
#include "net/http_priv.h"
#include <string.h>
#include <sys/socket.h>

struct http_conn {
    http_conn *prev, *next;
    int fd;
    conn_phase phase;
    uint64_t since;
    bool over; /* its time is */
};

static void opened(http_server *s, struct MHD_Connection *c, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    http_conn *conn = info ? st_zalloc_n(1, sizeof *conn) : NULL;
    *context = conn;
    if (!conn) /* the wire refuses it with its first request */
        return;
    conn->fd = info->connect_fd;
    conn->since = st_clock_us();
    pthread_mutex_lock(&s->slow_lock);
    conn->next = s->conns;
    if (s->conns)
        s->conns->prev = conn;
    s->conns = conn;
    pthread_mutex_unlock(&s->slow_lock);
}

static void closed(http_server *s, http_conn *conn)
{
    if (!conn)
        return;
    pthread_mutex_lock(&s->slow_lock);
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        s->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    pthread_mutex_unlock(&s->slow_lock);
    st_free(conn);
}

void conn_changed(void *cls, struct MHD_Connection *c, void **context,
                  enum MHD_ConnectionNotificationCode code)
{
    http_server *s = cls;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        atomic_fetch_add(&s->n_connections, 1);
        opened(s, c, context);
    } else {
        closed(s, *context);
        atomic_fetch_sub(&s->n_connections, 1);
    }
}

bool conn_enter(http_server *s, struct MHD_Connection *c, conn_phase phase)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    http_conn *conn = info ? info->socket_context : NULL;
    if (!conn)
        return false;
    pthread_mutex_lock(&s->slow_lock);
    conn->phase = phase;
    conn->since = st_clock_us();
    bool good = !conn->over;
    pthread_mutex_unlock(&s->slow_lock);
    return good;
}

/* Nothing of an answer has been written yet, so that this one fits in. */
static void end(const http_server *s, http_conn *conn)
{
    static const char text[] = "HTTP/1.1 408 Request Timeout\r\n"
                               "Content-Type: text/plain\r\n"
                               "Content-Length: 39\r\n"
                               "Connection: close\r\n\r\n"
                               "the request took too long to get here.\n";
    conn->over = true;
    if (conn->phase == CONN_ARRIVING && !s->tls)
        send(conn->fd, text, sizeof text - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(conn->fd, SHUT_RDWR);
}

bool conns_check(http_server *s)
{
    uint64_t now = st_clock_us();
    pthread_mutex_lock(&s->slow_lock);
    for (http_conn *conn = s->conns; conn; conn = conn->next) {
        uint64_t most = conn->phase == CONN_ARRIVING ? s->request_us : s->silent_us;
        if (conn->phase != CONN_ANSWERING && !conn->over && now - conn->since > most)
            end(s, conn);
    }
    bool any = s->conns;
    pthread_mutex_unlock(&s->slow_lock);
    return any;
}
