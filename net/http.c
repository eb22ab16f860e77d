/* net/http.c - the server as a whole: its options, its start and its end. */
#include "net/http.h"
#include "base/mem.h"
#include "net/http_priv.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LINGER_S = 2,       /* for answers that are being written when the server closes */
    ANSWER_HEAD = 8192, /* of a connection's memory, beside the head of its request */
    OPTIONS = 24,
};

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %41 is A; %00 and what is no number stay as they are. */
static size_t decode(void *cls, struct MHD_Connection *c, char *text)
{
    (void)cls;
    (void)c;
    char *to = text;
    for (const char *from = text; *from; from++, to++) {
        int high = from[0] == '%' ? hex(from[1]) : -1;
        int low = high >= 0 ? hex(from[2]) : -1;
        if (low >= 0 && high * 16 + low > 0) {
            *to = (char)(high * 16 + low);
            from += 2;
        } else {
            *to = *from;
        }
    }
    *to = 0;
    return (size_t)(to - text);
}

static http_server *server_new(const http_opts *o)
{
    http_server *s = st_zalloc_n(1, sizeof *s);
    if (!s)
        return NULL;
    s->on_request = o->on_request;
    s->arg = o->arg;
    s->max_body = o->max_body ? o->max_body : 16u << 20;
    s->max_unsent = o->max_unsent ? o->max_unsent : 8u << 20;
    s->listen_fd = s->epoll_fd = s->wake_fd = -1;
    s->request_us = (o->request_s ? o->request_s : 60) * UINT64_C(1000000);
    s->silent_us = s->request_us + (o->idle_s ? o->idle_s : 30) * UINT64_C(1000000);
    s->tls = o->tls_cert;
    s->needs_certificate = o->tls_client_ca;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->fewer, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->slow_lock, NULL);
    pthread_mutex_init(&s->watch_lock, NULL);
    return s;
}

static void server_free(http_server *s)
{
    if (s->listen_fd >= 0)
        close(s->listen_fd);
    pthread_mutex_destroy(&s->watch_lock);
    pthread_mutex_destroy(&s->slow_lock);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->fewer);
    st_free(s);
}

/* The wire's options that depend on what is wanted. */
static void wire_options(const http_opts *o, const tls_files *f,
                         struct MHD_OptionItem items[OPTIONS])
{
    size_t head = o->max_header ? o->max_header : 32u << 10;
    unsigned threads = o->n_threads ? o->n_threads : 2;
    uint32_t most = o->max_connections ? o->max_connections : 1024;
    uint32_t n = 0;
    items[n++] = (struct MHD_OptionItem){MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                         (intptr_t)(head + ANSWER_HEAD), NULL};
    items[n++] =
        (struct MHD_OptionItem){MHD_OPTION_CONNECTION_MEMORY_INCREMENT, 4096, NULL};
    items[n++] = (struct MHD_OptionItem){
        MHD_OPTION_CONNECTION_LIMIT, (intptr_t)(most < threads ? threads : most), NULL};
    items[n++] = (struct MHD_OptionItem){MHD_OPTION_CONNECTION_TIMEOUT,
                                         (intptr_t)(o->idle_s ? o->idle_s : 30), NULL};
    items[n++] = (struct MHD_OptionItem){MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL};
    if (threads > 1)
        items[n++] =
            (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)threads, NULL};
    if (f->cert) {
        items[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, f->cert};
        items[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, f->key};
    }
    if (f->client_ca)
        items[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, f->client_ca};
    items[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
}

static int wire_start(http_server *s, const http_opts *o, const tls_files *f, st_err *err)
{
    struct MHD_OptionItem items[OPTIONS];
    wire_options(o, f, items);
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_NO_LISTEN_SOCKET;
    if (f->cert)
        flags |= MHD_USE_TLS;
    errno = 0;
    s->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, exchange_go_on, s, MHD_OPTION_ARRAY, items,
        MHD_OPTION_URI_LOG_CALLBACK, exchange_begin, s, MHD_OPTION_NOTIFY_COMPLETED,
        exchange_completed, s, MHD_OPTION_NOTIFY_CONNECTION, conn_changed, s,
        MHD_OPTION_UNESCAPE_CALLBACK, decode, NULL, MHD_OPTION_END);
    if (!s->daemon)
        return st_err_set(err, errno == ENOMEM ? ST_ENOMEM : ST_EIO,
                          "cannot start the HTTP threads%s%s", errno ? ": " : "",
                          errno ? strerror(errno) : "");
    return 0;
}

/* Threads are started with all signals blocked: they are the program's main thread's. */
static int start(http_server *s, const http_opts *o, const tls_files *f, st_err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int rc = wire_start(s, o, f, err);
    if (!rc)
        rc = watch_start(s, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static int check_options(const http_opts *o, st_err *err)
{
    if (!o->on_request || (o->fd < 0 && !o->listen))
        return st_err_set(err, ST_EINVAL, "nothing to listen on");
    if (o->max_header > 1u << 20)
        return st_err_set(err, ST_ELIMIT, "heads of requests: at most 1 MiB");
    if (o->max_body == SIZE_MAX || o->n_threads > 256 || o->max_connections > 1u << 20)
        return st_err_set(err, ST_ELIMIT, "a limit of the HTTP server is too high");
    return 0;
}

int http_listen(const http_opts *o, http_server **ret_server, st_err *err)
{
    int rc = check_options(o, err);
    tls_files files = {0};
    if (!rc)
        rc = tls_files_read(o, &files, err);
    if (rc)
        return rc;
    http_server *s = server_new(o);
    if (!s)
        rc = st_err_set(err, ST_ENOMEM, "no memory for a server");
    if (!rc && o->fd >= 0)
        s->listen_fd = o->fd;
    else if (!rc)
        rc = listen_open(o->listen, &s->listen_fd, err);
    if (!rc)
        rc = listen_check(s->listen_fd, &s->port, err);
    if (!rc)
        rc = start(s, o, &files, err);
    tls_files_done(&files);
    if (rc) {
        if (s && s->listen_fd == o->fd)
            s->listen_fd = -1; /* the caller's still */
        http_close(s);
        return rc;
    }
    *ret_server = s;
    return 0;
}

uint16_t http_port(const http_server *s)
{
    return s->port;
}

uint32_t http_n_connections(const http_server *s)
{
    return atomic_load(&s->n_connections);
}

void http_quiesce(http_server *s)
{
    watch_quiesce(s);
}

/* Until every exchange has been answered, and for a while until all is written. */
static void wait_answered(http_server *s)
{
    struct timespec until;
    pthread_mutex_lock(&s->lock);
    while (s->n_owned)
        pthread_cond_wait(&s->fewer, &s->lock);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LINGER_S;
    while (s->n_busy && pthread_cond_timedwait(&s->fewer, &s->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&s->lock);
}

void http_close(http_server *s)
{
    if (!s)
        return;
    if (s->watching) {
        atomic_store(&s->closing, true);
        watch_quiesce(s);
        wait_answered(s);
    }
    if (s->daemon)
        MHD_stop_daemon(s->daemon);
    watch_stop(s);
    server_free(s);
}
