/* serve/serve.c - a server from its start to its end.
 *
 * The port is open before anything is loaded, so that those who ask whether it lives get
 * an answer while large files are read; calls that need a model wait in the crew's queue
 * until it is there.
 *
 * Signals are taken by the thread that runs the server and blocked in all others, which
 * are started after that. */
#include "serve/serve.h"

#include "base/clock.h"
#include "net/notify.h"
#include "serve/serve_open.h"
#include <pthread.h>
#include <signal.h>
#include <time.h>

typedef struct signals {
    sigset_t all;    /* that are taken */
    sigset_t before; /* the thread's mask */
} signals;

static void signals_take(signals *g)
{
    sigemptyset(&g->all);
    sigaddset(&g->all, SIGTERM);
    sigaddset(&g->all, SIGINT);
    sigaddset(&g->all, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &g->all, &g->before);
    signal(SIGPIPE, SIG_IGN); /* a client that hung up is seen where it is written to */
}

/* From here on one more SIGTERM or SIGINT ends the process at once, whatever it does. */
static void signals_let_kill(void)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &ends, NULL);
}

/* Tell the service manager, if there is one. */
static void tell(const server *s, notify_word word)
{
    st_err err = {0};
    if (notify_send(word, NULL, &err) < 0)
        log_failure(&s->log, LOG_WARNING, "notify", &err);
}

static void reload_job(crew_job *job)
{
    server *s = (server *)((char *)job - offsetof(server, reload));
    uint32_t seen;
    do {
        st_err err = {0};
        seen = atomic_load(&s->n_reloads);
        tell(s, NOTIFY_RELOADING);
        if (server_reload(s, &err) < 0)
            log_failure(&s->log, LOG_ERROR, "reload", &err);
        else
            log_event(&s->log, LOG_INFO, "reloaded", "what has changed is loaded again");
        tell(s, NOTIFY_READY);
    } while (atomic_fetch_sub(&s->n_reloads, seen) != seen);
}

static void reload_ask(server *s)
{
    if (atomic_fetch_add(&s->n_reloads, 1) != 0)
        return;
    s->reload.run = reload_job;
    crew_push(s->movers, &s->reload);
}

static bool wait_until(server *s, uint64_t until_us)
{
    while (atomic_load(&s->n_calls) > 0) {
        if (st_clock_us() > until_us)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return true;
}

/* Finish what was accepted.  Connections that are open may still bring requests; each
 * answer ends its connection, so they come to an end. */
static int drain(server *s, st_err *err)
{
    uint64_t until = st_clock_us() + s->settings->drain_seconds * 1000000;
    log_event(&s->log, LOG_INFO, "draining", "%u requests under way",
              atomic_load(&s->n_calls));
    atomic_store(&s->state, SERVER_DRAINING);
    http_quiesce(s->http);
    bool done = wait_until(s, until);
    atomic_store(&s->state, SERVER_CLOSED);
    done = wait_until(s, until) && done; /* one may have come in between */
    uint32_t left = atomic_load(&s->n_calls);
    hub_drain(s->hub, !done);
    if (done)
        return 0;
    st_err_set(err, ST_ETIMEOUT, "%u requests were not done in %llu s and were cut", left,
               (unsigned long long)s->settings->drain_seconds);
    st_err_hint(err, "allow more with --drain-seconds");
    return ST_ETIMEOUT;
}

/* The next signal; 0: none came before it was time to say that all is well. */
static int signal_next(const signals *g, uint64_t watchdog_us)
{
    const struct timespec most = {.tv_sec = (time_t)(watchdog_us / 1000000),
                                  .tv_nsec = (long)(watchdog_us % 1000000) * 1000};
    int signal_no = 0;
    if (watchdog_us > 0)
        signal_no = sigtimedwait(&g->all, NULL, &most);
    else
        sigwait(&g->all, &signal_no);
    return signal_no > 0 ? signal_no : 0;
}

static void serve_until_told(server *s, const signals *g)
{
    uint64_t watchdog_us = notify_watchdog_us();
    for (int got = 0; got != SIGTERM && got != SIGINT;) {
        got = signal_next(g, watchdog_us);
        if (got == SIGHUP)
            reload_ask(s);
        if (watchdog_us > 0 && server_is_live(s))
            tell(s, NOTIFY_WATCHDOG);
    }
}

static int run(server *s, const settings *set, const signals *g, st_err *err)
{
    int rc = server_open(s, set, err);
    if (rc < 0)
        return rc;
    log_event(&s->log, LOG_INFO, "listening", "%s, port %u", set->listen,
              http_port(s->http));
    if ((rc = server_load(s, err)) < 0)
        return rc;
    atomic_store(&s->state, SERVER_SERVING);
    crew_go(s->crew);
    crew_go(s->movers);
    log_event(&s->log, LOG_INFO, "ready", "requests are answered");
    tell(s, NOTIFY_READY);
    serve_until_told(s, g);
    signals_let_kill();
    tell(s, NOTIFY_STOPPING);
    return drain(s, err);
}

int server_run(const settings *set, st_err *err)
{
    server s = {0};
    signals g;
    signals_take(&g);
    int rc = run(&s, set, &g, err);
    server_close(&s);
    pthread_sigmask(SIG_SETMASK, &g.before, NULL);
    return rc;
}
