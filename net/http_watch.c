/* net/http_watch.c - the watching thread: accepts connections, notices clients that hang
 * up while their answer is awaited, and has an eye on slow ones (http_slow.c).
 *
 * The wire does not look at a suspended connection, so its socket is in this thread's
 * epoll set from the moment of suspending until just before resuming.  The set is only
 * asked, and only changed, under watch_lock: what it returns is watched, hence suspended,
 * hence there. */
#define _GNU_SOURCE /* accept4 */
#include "net/http_priv.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS = 64,
    ACCEPTS = 64,   /* before others have their turn */
    CHECK_MS = 500, /* between two looks for what takes too long */
    PAUSE_MS = 100, /* of accepting, when no descriptors are left */
};

static void put(http_server *s, int fd, void *what, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = what};
    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* When the system cannot watch it, its hang-up is noticed at the next write. */
void watch_add(http_exchange *x)
{
    http_server *s = x->server;
    pthread_mutex_lock(&s->watch_lock);
    if (!x->gone) {
        struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = x};
        x->watched = epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, x->fd, &event) == 0;
    }
    pthread_mutex_unlock(&s->watch_lock);
}

/* watch_lock held. */
static void forget(http_exchange *x)
{
    epoll_ctl(x->server->epoll_fd, EPOLL_CTL_DEL, x->fd, NULL);
    x->watched = false;
}

void watch_remove(http_exchange *x)
{
    pthread_mutex_lock(&x->server->watch_lock);
    if (x->watched)
        forget(x);
    pthread_mutex_unlock(&x->server->watch_lock);
}

/* Accept what waits; the wire closes what is more than it may have.  watch_lock held. */
static void accept_some(http_server *s)
{
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        int fd = accept4(s->listen_fd, (struct sockaddr *)&from, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            bool out_of_room =
                errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
            if (out_of_room) { /* it would be ready again at once */
                epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->listen_fd, NULL);
                s->paused = true;
            }
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            return;
        }
        int one = 1; /* events leave as they come */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        s->fresh = true;
        MHD_add_connection(s->daemon, fd, (struct sockaddr *)&from, len);
    }
}

/* Look once.  Fills `gone` with exchanges, each held once more; false: stop. */
static bool look(http_server *s, http_exchange *gone[EVENTS], int *ret_n)
{
    struct epoll_event events[EVENTS];
    int n_gone = 0;
    pthread_mutex_lock(&s->watch_lock);
    int n = epoll_wait(s->epoll_fd, events, EVENTS, 0);
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &s->listen_fd) {
            if (s->listen_fd >= 0)
                accept_some(s);
        } else if (events[i].data.ptr != &s->wake_fd) {
            http_exchange *x = events[i].data.ptr;
            exchange_ref(x);
            forget(x);
            gone[n_gone++] = x;
        }
    }
    if (s->paused && n <= 0) {
        s->paused = false;
        if (s->listen_fd >= 0)
            put(s, s->listen_fd, &s->listen_fd, EPOLLIN);
    }
    bool stop = s->stop;
    pthread_mutex_unlock(&s->watch_lock);
    *ret_n = n_gone;
    return !stop;
}

static void *watch(void *arg)
{
    http_server *s = arg;
    http_exchange *gone[EVENTS];
    int n = 0;
    while (look(s, gone, &n)) {
        for (int i = 0; i < n; i++) {
            exchange_gone(gone[i]);
            exchange_unref(gone[i]);
        }
        int wait_ms = conns_check(s) ? CHECK_MS : -1;
        pthread_mutex_lock(&s->watch_lock);
        if (s->paused)
            wait_ms = PAUSE_MS;
        else if (s->fresh)
            wait_ms = CHECK_MS; /* the wire may not have announced it yet */
        s->fresh = false;
        pthread_mutex_unlock(&s->watch_lock);
        struct pollfd set = {.fd = s->epoll_fd, .events = POLLIN};
        poll(&set, 1, wait_ms);
    }
    return NULL;
}

int watch_start(http_server *s, st_err *err)
{
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->epoll_fd < 0 || s->wake_fd < 0)
        return st_err_set(err, ST_EIO, "cannot watch sockets: %s", strerror(errno));
    put(s, s->wake_fd, &s->wake_fd, EPOLLIN);
    put(s, s->listen_fd, &s->listen_fd, EPOLLIN);
    int failed = pthread_create(&s->watcher, NULL, watch, s);
    if (failed)
        return st_err_set(err, ST_EIO, "cannot start a thread: %s", strerror(failed));
    s->watching = true;
    return 0;
}

void watch_quiesce(http_server *s)
{
    pthread_mutex_lock(&s->watch_lock);
    if (s->listen_fd >= 0) {
        accept_some(s); /* what the system has accepted is not dropped */
        epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->listen_fd, NULL);
        close(s->listen_fd);
        s->listen_fd = -1;
    }
    pthread_mutex_unlock(&s->watch_lock);
}

void watch_stop(http_server *s)
{
    if (s->watching) {
        pthread_mutex_lock(&s->watch_lock);
        s->stop = true;
        pthread_mutex_unlock(&s->watch_lock);
        uint64_t one = 1;
        ssize_t n = write(s->wake_fd, &one, sizeof one);
        (void)n; /* eight bytes always fit */
        pthread_join(s->watcher, NULL);
    }
    if (s->epoll_fd >= 0)
        close(s->epoll_fd);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
}
