/* serve/hub.c - names and what they stand for; how it goes. */
#include "serve/hub_priv.h"

#include "base/clock.h"
#include "base/mem.h"
#include <string.h>
#include <time.h>

static void locks_make(hub *h)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&h->ended, &attr);
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&h->came, NULL);
    pthread_cond_init(&h->died, NULL);
    pthread_mutex_init(&h->lock, NULL);
    pthread_mutex_init(&h->loading, NULL);
}

static void locks_free(hub *h)
{
    pthread_mutex_destroy(&h->loading);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->died);
    pthread_cond_destroy(&h->came);
    pthread_cond_destroy(&h->ended);
    st_free(h);
}

int hub_new(const hub_opts *opts, hub **ret_hub, st_err *err)
{
    hub *h = st_zalloc_n(1, sizeof *h);
    if (!h)
        return st_err_set(err, ST_ENOMEM, "no memory for a hub of models");
    h->opts = *opts;
    h->opts.max_asks = opts->max_asks ? opts->max_asks : 4096;
    h->opts.max_ask_us = opts->max_ask_us ? opts->max_ask_us : 30000;
    h->last_errand = &h->errands;
    for (uint32_t i = 0; i < HUB_SPARES; i++) {
        h->spares[i].next = h->spare;
        h->spare = &h->spares[i];
    }
    locks_make(h);
    int rc = hub_threads_start(h, err);
    if (rc < 0) {
        locks_free(h);
        return rc;
    }
    *ret_hub = h;
    return 0;
}

void hub_free(hub *h)
{
    if (!h)
        return;
    hub_drain(h, true);
    pthread_mutex_lock(&h->lock);
    while (h->uses) {
        hub_use *u = h->uses;
        h->uses = u->next;
        hub_use_unref(u);
    }
    pthread_mutex_unlock(&h->lock);
    hub_threads_end(h);
    locks_free(h);
}

void hub_drain(hub *h, bool now)
{
    pthread_mutex_lock(&h->lock);
    h->draining = true;
    h->stopping = h->stopping || now;
    for (hub_turn *t = now ? h->turns : NULL; t; t = t->next)
        hub_turn_wake(h, t);
    for (hub_core *c = h->cores; now && c; c = c->next) {
        c->n_refs++; /* or it could be taken out meanwhile */
        pthread_mutex_unlock(&h->lock);
        sched_stop(c->sched); /* wakes its owner, under the lock */
        pthread_mutex_lock(&h->lock);
        hub_core_unref(c);
    }
    pthread_mutex_unlock(&h->lock);
}

bool hub_wait_idle(hub *h, uint64_t timeout_us)
{
    uint64_t until = st_clock_us() + timeout_us;
    struct timespec at = {(time_t)(until / 1000000), (long)(until % 1000000) * 1000};
    int rc = 0;
    pthread_mutex_lock(&h->lock);
    while (rc == 0 && h->n_work > 0)
        rc = pthread_cond_timedwait(&h->ended, &h->lock, &at);
    bool idle = h->n_work == 0;
    pthread_mutex_unlock(&h->lock);
    return idle;
}

int hub_work_begin(hub_use *u, bool follows, st_err *err)
{
    hub *h = u->hub;
    pthread_mutex_lock(&h->lock);
    bool draining = h->draining && !follows;
    if (!draining) {
        u->n_refs++;
        u->n_work++;
        h->n_work++;
    }
    pthread_mutex_unlock(&h->lock);
    return draining ? st_err_set(err, ST_EBUSY, "no more requests are accepted") : 0;
}

void hub_work_end(hub_use *u)
{
    hub *h = u->hub;
    pthread_mutex_lock(&h->lock);
    u->n_work--;
    if (--h->n_work == 0)
        pthread_cond_broadcast(&h->ended);
    hub_use_unref(u);
    pthread_mutex_unlock(&h->lock);
}

/* --- names in use */

static hub_use *use_by_name(const hub *h, const char *name)
{
    hub_use *u = h->uses;
    while (u && strcmp(u->name, name) != 0)
        u = u->next;
    return u;
}

/* The only model; or, where no model is loaded by itself, the only name. */
static hub_use *use_by_default(const hub *h)
{
    hub_use *only[2] = {NULL, NULL};
    uint32_t n[2] = {0, 0};
    for (hub_use *u = h->uses; u; u = u->next) {
        uint32_t other = u->kind != HUB_MODEL;
        only[other] = u;
        n[other]++;
    }
    if (n[0] > 0)
        return n[0] == 1 ? only[0] : NULL;
    return n[1] == 1 ? only[1] : NULL;
}

int hub_find(hub *h, const char *name, hub_use **ret_use, st_err *err)
{
    pthread_mutex_lock(&h->lock);
    hub_use *u = name ? use_by_name(h, name) : use_by_default(h);
    if (u)
        u->n_refs++;
    bool none = h->uses == NULL;
    pthread_mutex_unlock(&h->lock);
    if (u) {
        *ret_use = u;
        return 0;
    }
    if (name)
        st_err_set(err, ST_ENOTFOUND, "no model, task or adapter '%s' is loaded", name);
    else
        st_err_set(err, ST_ENOTFOUND,
                   none ? "no model is loaded" : "several models are loaded: name one");
    return ST_ENOTFOUND;
}

hub_use *hub_hold(hub_use *u)
{
    pthread_mutex_lock(&u->hub->lock);
    u->n_refs++;
    pthread_mutex_unlock(&u->hub->lock);
    return u;
}

void hub_done(hub_use *u)
{
    if (!u)
        return;
    hub *h = u->hub;
    pthread_mutex_lock(&h->lock);
    hub_use_unref(u);
    pthread_mutex_unlock(&h->lock);
}

hub_kind hub_use_kind(const hub_use *u)
{
    return u->kind;
}

const char *hub_use_name(const hub_use *u)
{
    return u->name;
}

const char *hub_use_version(const hub_use *u)
{
    return u->version;
}

const lm *hub_use_lm(const hub_use *u)
{
    return u->main ? u->main->lm : NULL;
}

uint32_t hub_use_n_ctx(const hub_use *u)
{
    return u->main ? engine_n_ctx(u->main->lm->engine) : 0;
}

int hub_use_vocab(hub_use *u, vocab **ret_vocab, st_err *err)
{
    hub_core *c = u->main;
    if (!c)
        return st_err_set(err, ST_EUNSUPPORTED, "'%s' has no language model", u->name);
    pthread_mutex_lock(&c->vocab_lock);
    int rc = c->vocab ? 0 : vocab_new(c->lm->tok, &c->vocab, err);
    if (rc == 0)
        *ret_vocab = c->vocab;
    pthread_mutex_unlock(&c->vocab_lock);
    return rc;
}

/* --- how it goes */

static hub_entry entry_of(const hub_use *u)
{
    hub_entry e = {.kind = u->kind, .loaded = u->loaded, .in_use = u->n_work};
    memcpy(e.name, u->name, sizeof e.name);
    memcpy(e.version, u->version, sizeof e.version);
    memcpy(e.base, u->base, sizeof e.base);
    e.bytes = u->kind == HUB_MODEL ? u->main->bytes : u->bytes;
    return e;
}

int hub_list(hub *h, hub_entry **ret, uint32_t *ret_n, st_err *err)
{
    uint32_t n = 0, room = 16;
    for (;;) {
        hub_entry *list = st_zalloc_n(room, sizeof *list);
        if (!list)
            return st_err_set(err, ST_ENOMEM, "no memory for a list of models");
        pthread_mutex_lock(&h->lock);
        n = 0;
        for (const hub_use *u = h->uses; u; u = u->next, n++)
            if (n < room)
                list[n] = entry_of(u);
        pthread_mutex_unlock(&h->lock);
        if (n <= room) {
            *ret = list;
            *ret_n = n;
            return 0;
        }
        st_free(list);
        room = n;
    }
}

void hub_stats_get(hub *h, hub_stats *ret_stats)
{
    hub_stats all = {0};
    uint64_t now = st_clock_us(), beat = atomic_load(&h->beat_us);
    pthread_mutex_lock(&h->lock);
    for (hub_core *c = h->cores; c; c = c->next) {
        sched_stats s;
        sched_stats_get(c->sched, &s);
        all.waiting += s.waiting;
        all.running += s.live;
        all.retry_us += s.retry_us;
    }
    all.bytes = hub_bytes(h);
    for (const hub_turn *t = h->turns; t; t = t->next) {
        all.waiting += t->n_waiting;
        all.retry_us += t->n_waiting * t->us_each;
    }
    pthread_mutex_unlock(&h->lock);
    all.stalled_us = beat != 0 && now > beat ? now - beat : 0;
    *ret_stats = all;
}

void hub_sched_stats(hub_use *u, sched_stats *ret_stats)
{
    *ret_stats = (sched_stats){0};
    if (u->main)
        sched_stats_get(u->main->sched, ret_stats);
}
