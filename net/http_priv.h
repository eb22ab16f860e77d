/* net/http_priv.h - shared by the files of the HTTP server; not for other rooms.
 *
 * The life of an exchange:
 *
 *   reading --on_request--> with its owner --http_reply, http_stream_begin--> answering
 *      |                        |  suspended: the wire waits         |
 *      v                        '------- gone (noticed) -------------|
 *   freed when nobody holds it  <--------- completed ----------------'
 *
 * Holders (`refs`): the wire (libmicrohttpd) until the request is completed; the owner
 * until http_reply or http_stream_end has returned; a stream's response; for a moment
 * the watching thread.
 *
 * A connection whose answer is awaited is suspended: the wire does not look at it, so
 * that it exists until it is resumed, which happens exactly once (`suspended`, under
 * x->lock).  While it is suspended, and only then, the watching thread has its socket.
 *
 * Locks, in this order: the wire's lock of a response, x->lock, server->watch_lock, the
 * wire's own.  None is held while on_request or on_gone run. */
#ifndef NET_HTTP_PRIV_H
#define NET_HTTP_PRIV_H
#include "base/buf.h"
#include "net/http.h"
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct http_conn http_conn;

struct http_server {
    struct MHD_Daemon *daemon;
    void (*on_request)(void *arg, http_exchange *x);
    void *arg;
    size_t max_body;
    size_t max_unsent;
    uint64_t request_us;
    uint64_t silent_us; /* longest that a connection may take to begin a request */
    bool tls;
    bool needs_certificate;
    uint16_t port;
    atomic_uint n_connections;
    atomic_bool closing; /* no request is taken any more */

    pthread_mutex_t lock; /* the rest of this group */
    pthread_cond_t fewer; /* owned or busy went down */
    uint32_t n_owned;     /* exchanges that an answer is due for */
    uint32_t n_busy;      /* exchanges that were handed over and are not completed */

    pthread_mutex_t slow_lock; /* the list, and all that is in it */
    http_conn *conns;

    pthread_mutex_t watch_lock; /* the rest; also x->watched */
    pthread_t watcher;
    bool watching;
    bool stop;
    bool paused;   /* no accepting for a moment: no descriptors are left */
    bool fresh;    /* connections were accepted since conns_check */
    int listen_fd; /* -1: accepts no more */
    int epoll_fd;
    int wake_fd; /* eventfd */
};

typedef struct http_pair { /* of a request's head */
    enum MHD_ValueKind kind;
    const char *name;
    const char *value;
} http_pair;

struct http_exchange {
    atomic_uint refs;
    http_server *server;
    struct MHD_Connection *connection; /* while suspended, or on its own thread */
    int fd;                            /* its socket, for as long */

    /* The request.  Written by the net thread before on_request, never after. */
    bool known;  /* its head was read */
    bool handed; /* on_request has it */
    http_fault fault;
    uint64_t arrived_us;
    char client[64];
    char *client_name;
    char *head; /* the texts of what follows */
    const char *method;
    const char *path;
    http_pair *pairs;
    uint32_t n_pairs;
    st_buf body;
    uint64_t dropped; /* bytes of a body that is too large */

    pthread_mutex_t lock; /* all that follows */
    pthread_cond_t told;  /* `telling` went false */
    struct MHD_Response
        *response; /* to be queued; NULL with `answered`: none could be made */
    unsigned status;
    bool answered;
    bool over; /* the wire is done with it: nobody will queue a response */
    bool suspended;
    bool watched; /* watch_lock */
    bool gone;    /* its client hung up */
    bool ended;   /* its owner is done with it */
    bool telling; /* on_gone is being called */
    void (*on_gone)(void *arg);
    void *gone_arg;
    st_buf out;    /* of a stream */
    size_t sent;   /* of `out` */
    bool finished; /* nothing will be added to `out` */
    bool broken;   /* the client must see that something is missing */
};

/* ---- http_exchange.c ---- */

/* The wire's callbacks; `cls` is the server. */
void *exchange_begin(void *cls, const char *uri, struct MHD_Connection *c);
enum MHD_Result exchange_go_on(void *cls, struct MHD_Connection *c, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *size, void **context);
void exchange_completed(void *cls, struct MHD_Connection *c, void **context,
                        enum MHD_RequestTerminationCode why);

void exchange_ref(http_exchange *x);
void exchange_unref(http_exchange *x);
void exchange_resume(http_exchange *x); /* x->lock held; nothing unless suspended */
void exchange_gone(http_exchange *x);
void exchange_end(http_exchange *x, bool whole); /* of a stream */
/* The answer, which is taken, NULL when none could be made; `last`: also its end. */
void exchange_answer(http_exchange *x, unsigned status, struct MHD_Response *r,
                     bool last);
/* NULL when memory ran out.  Takes `r`. */
struct MHD_Response *response_with(struct MHD_Response *r, const http_header *headers,
                                   uint32_t n_headers);

/* ---- http_request.c ---- */

/* Copy the head of a request.  0, or the status with which the wire refuses it. */
unsigned request_head(http_exchange *x, struct MHD_Connection *c, const char *url,
                      const char *method);
/* Its value in the head of a request, NULL when there is none. */
const char *request_value(const http_exchange *x, enum MHD_ValueKind kind,
                          const char *name);

/* ---- http_watch.c ---- */

ST_NODISCARD int watch_start(http_server *s, st_err *err);
void watch_stop(http_server *s);
void watch_quiesce(http_server *s);
void watch_add(http_exchange *x);    /* x->lock held */
void watch_remove(http_exchange *x); /* x->lock held */

/* ---- http_slow.c ---- */

/* Of the wire, when a connection opens and when it closes. */
void conn_changed(void *cls, struct MHD_Connection *c, void **context,
                  enum MHD_ConnectionNotificationCode code);
typedef enum conn_phase {
    CONN_IDLE,     /* nothing of a request is there */
    CONN_ARRIVING, /* a request has begun */
    CONN_ANSWERING,
} conn_phase;
/* The connection is in this phase from now on.  False: its time was over just before. */
bool conn_enter(http_server *s, struct MHD_Connection *c, conn_phase phase);
/* End what takes too long; true: there are connections to look at again. */
bool conns_check(http_server *s);

/* ---- http_listen.c ---- */

/* A listening socket for "HOST:PORT"; *ret_port is what it got. */
ST_NODISCARD int listen_open(const char *where, int *ret_fd, st_err *err);
ST_NODISCARD int listen_check(int fd, uint16_t *ret_port, st_err *err);

/* ---- http_tls.c ---- */

typedef struct tls_files {
    char *cert;
    char *key;
    char *client_ca;
} tls_files;

ST_NODISCARD int tls_files_read(const http_opts *opts, tls_files *ret, st_err *err);
void tls_files_done(tls_files *f);
/* Has the client shown a certificate that the authority signed?  Its name is copied. */
bool tls_client_known(http_exchange *x, struct MHD_Connection *c);
#endif
