/* serve/hub_thread.c - the engine thread: turns, errands, and the end of what was let go.
 *
 *   loop:  errands -> uses that ended -> one turn of whoever had the least time
 *
 * A turn is one step of a model's scheduler, or one batch of inputs for a task's experts.
 * Whoever has work and was served the shortest time comes next, so two models share the
 * processor evenly whatever a step of each takes; one that had nothing to do starts where
 * the others stand and has saved up nothing.
 *
 * `busy` is cleared before a turn and set again by what comes during it, so nothing is
 * missed; one turn too many finds no work and costs a microsecond.
 *
 * Weights and pages are given back by a thread of their own, the undertaker: that takes
 * long, and nobody's next token should wait for it. */
#include "serve/hub_priv.h"

#include "base/clock.h"
#include "base/mem.h"
#include <string.h>

bool hub_is_engine(const hub *h)
{
    return pthread_equal(pthread_self(), h->engine);
}

/* --- turns */

void hub_turn_add(hub *h, hub_turn *t)
{
    t->next = h->turns;
    t->served_us = h->clock_us;
    h->turns = t;
}

void hub_turn_wake(hub *h, hub_turn *t)
{
    if (!t->busy && t->served_us < h->clock_us)
        t->served_us = h->clock_us;
    t->busy = true;
    pthread_cond_signal(&h->came);
}

void hub_turn_remove(hub *h, const hub_turn *t)
{
    hub_turn **at = &h->turns;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
}

static hub_turn *turn_next(const hub *h)
{
    hub_turn *best = NULL;
    for (hub_turn *t = h->turns; t; t = t->next)
        if (t->busy && (!best || t->served_us < best->served_us))
            best = t;
    return best;
}

/* Pages and places may have come back. */
static void unblock(hub *h, const hub_turn *after)
{
    for (hub_turn *t = h->turns; t; t = t->next)
        if (t->blocked && t != after) {
            t->blocked = false;
            hub_turn_wake(h, t);
        }
}

static void turn_take(hub *h, hub_turn *t)
{
    uint64_t start = st_clock_us();
    t->busy = false;
    if (h->clock_us < t->served_us)
        h->clock_us = t->served_us;
    atomic_store(&h->beat_us, start);
    pthread_mutex_unlock(&h->lock);
    bool left = t->take(t->arg);
    pthread_mutex_lock(&h->lock);
    uint64_t now = st_clock_us();
    unblock(h, t);
    t->busy = t->busy || left;
    t->served_us += now - start;
    atomic_store(&h->beat_us, now);
}

/* --- errands */

static void errand_run(hub *h, hub_errand *e)
{
    bool spare = e->spare, waited = e->ret_done != NULL;
    pthread_mutex_unlock(&h->lock);
    e->fn(e->arg);
    if (!spare && !waited)
        st_free(e);
    pthread_mutex_lock(&h->lock);
    if (spare) {
        e->next = h->spare;
        h->spare = e;
    }
    if (waited) {
        *e->ret_done = true;
        pthread_cond_broadcast(&h->ended);
    }
}

static void errands_run(hub *h)
{
    while (h->errands) {
        hub_errand *e = h->errands;
        h->errands = e->next;
        if (!h->errands)
            h->last_errand = &h->errands;
        errand_run(h, e);
    }
}

static void errand_post(hub *h, hub_errand *e)
{
    e->next = NULL;
    *h->last_errand = e;
    h->last_errand = &e->next;
    pthread_cond_signal(&h->came);
}

void hub_call_wait(hub *h, void (*fn)(void *arg), void *arg)
{
    bool done = false;
    hub_errand e = {.fn = fn, .arg = arg, .ret_done = &done};
    if (hub_is_engine(h)) {
        fn(arg);
        return;
    }
    pthread_mutex_lock(&h->lock);
    errand_post(h, &e);
    while (!done)
        pthread_cond_wait(&h->ended, &h->lock);
    pthread_mutex_unlock(&h->lock);
}

void hub_call(hub *h, void (*fn)(void *arg), void *arg)
{
    hub_errand *e = st_alloc(sizeof *e);
    pthread_mutex_lock(&h->lock);
    if (e) {
        *e = (hub_errand){.fn = fn, .arg = arg};
    } else if ((e = h->spare)) {
        h->spare = e->next;
        *e = (hub_errand){.fn = fn, .arg = arg, .spare = true};
    }
    if (e)
        errand_post(h, e);
    pthread_mutex_unlock(&h->lock);
    if (!e)
        hub_call_wait(h, fn, arg);
}

/* --- what was let go */

void hub_use_unref(hub_use *u)
{
    if (--u->n_refs > 0)
        return;
    u->next = u->hub->ended_uses;
    u->hub->ended_uses = u;
    pthread_cond_signal(&u->hub->came);
}

/* Cores that nobody has any more: no turn of theirs comes after this. */
static void cores_bury(hub *h)
{
    for (hub_core **at = &h->cores; *at;) {
        hub_core *c = *at;
        if (c->n_refs > 0) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        hub_turn_remove(h, &c->turn);
        c->next = h->dead_cores;
        h->dead_cores = c;
        h->n_dead++;
        pthread_cond_signal(&h->died);
    }
}

static void ended_free(hub *h)
{
    while (h->ended_uses) {
        hub_use *u = h->ended_uses;
        h->ended_uses = u->next;
        pthread_mutex_unlock(&h->lock);
        hub_use_close(u);
        pthread_mutex_lock(&h->lock);
    }
    cores_bury(h);
}

static void *undertaker_main(void *arg)
{
    hub *h = arg;
    pthread_mutex_lock(&h->lock);
    while (!h->buried || h->dead_cores) {
        hub_core *c = h->dead_cores;
        if (!c) {
            pthread_cond_wait(&h->died, &h->lock);
            continue;
        }
        h->dead_cores = c->next;
        pthread_mutex_unlock(&h->lock);
        hub_core_free(c);
        pthread_mutex_lock(&h->lock);
        h->n_dead--;
        pthread_cond_broadcast(&h->ended);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* --- the loop */

static void *engine_main(void *arg)
{
    hub *h = arg;
    pthread_mutex_lock(&h->lock);
    for (;;) {
        errands_run(h);
        ended_free(h);
        hub_turn *t = turn_next(h);
        if (t) {
            turn_take(h, t);
        } else if (!h->errands && !h->ended_uses) {
            if (h->closing)
                break;
            atomic_store(&h->beat_us, 0);
            pthread_cond_wait(&h->came, &h->lock);
        }
    }
    atomic_store(&h->beat_us, 0);
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

int hub_threads_start(hub *h, st_err *err)
{
    int rc = pthread_create(&h->undertaker, NULL, undertaker_main, h);
    if (rc)
        return st_err_set(err, ST_EIO, "cannot start a thread: %s", strerror(rc));
    pthread_mutex_lock(&h->lock); /* it reads h->engine */
    rc = pthread_create(&h->engine, NULL, engine_main, h);
    h->buried = rc != 0;
    pthread_cond_signal(&h->died);
    pthread_mutex_unlock(&h->lock);
    if (rc == 0)
        return 0;
    pthread_join(h->undertaker, NULL);
    return st_err_set(err, ST_EIO, "cannot start a thread: %s", strerror(rc));
}

void hub_threads_end(hub *h)
{
    pthread_mutex_lock(&h->lock);
    h->closing = true;
    pthread_cond_signal(&h->came);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->engine, NULL);
    pthread_mutex_lock(&h->lock);
    h->buried = true;
    pthread_cond_signal(&h->died);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->undertaker, NULL);
}
