/* engine/sched.c - a scheduler's memory, and what other threads may do.
 *
 * A request's slot is taken by submit, under the lock, and belongs to the owner from the
 * moment it takes the inbox until it gives the slot back.  An id is the slot and how many
 * were submitted before, so an old id is nobody's, and ids are in order of age. */
#include "engine/sched_core.h"

#include "base/clock.h"
#include "base/mem.h"
#include "engine/kvfile.h"
#include <string.h>
#include <time.h>

enum {
    DEFAULT_REQUESTS = 1024,
    MAX_SLOTS = 1 << ID_SLOT_BITS,
    DEFAULT_CHUNK = 64, /* a panel of weights is expanded once for this many tokens */
};

static int sizes_choose(sched *s, const sched_opts *opts, st_err *err)
{
    uint32_t batch = engine_max_batch(s->engine), seqs = engine_max_seqs(s->engine);
    uint32_t half = batch > 1 ? batch / 2 : 1;
    s->n_vocab = model_about(engine_model(s->engine))->n_vocab;
    s->n_ctx = engine_n_ctx(s->engine);
    s->max_requests = opts->max_requests ? opts->max_requests : DEFAULT_REQUESTS;
    s->max_live = opts->max_live ? opts->max_live : seqs < half ? seqs : half;
    s->prefill_chunk = opts->prefill_chunk ? opts->prefill_chunk
                       : opts->step_us     ? batch
                                           : DEFAULT_CHUNK;
    s->step_us = opts->step_us;
    s->pace = SCHED_LEAST_ROOM;
    s->bulk_in = NO_REQ;
    s->on_work = opts->on_work;
    s->on_work_arg = opts->on_work_arg;
    if (s->max_requests >= MAX_SLOTS)
        return st_err_set(err, ST_EINVAL, "%u requests are more than %d", s->max_requests,
                          MAX_SLOTS - 1);
    s->max_requests++; /* for one that follows another, whose slot is not free yet */
    if (s->max_live > seqs || (s->max_live >= batch && batch > 1))
        return st_err_set(err, ST_EINVAL,
                          "%u live requests on an engine of %u sequences and a batch of "
                          "%u tokens, one of which is left for prompts",
                          s->max_live, seqs, batch);
    return 0;
}

static int tables_make(sched *s)
{
    uint32_t n = s->max_requests;
    s->reqs = st_zalloc_n(n, sizeof *s->reqs);
    s->flows = st_zalloc_n(n, sizeof *s->flows);
    s->deadlines = st_zalloc_n(n, sizeof *s->deadlines);
    s->ending = st_alloc_n(n, sizeof *s->ending);
    s->free = st_alloc_n(n, sizeof *s->free);
    s->inbox = st_alloc_n(n, sizeof *s->inbox);
    s->cancels = st_alloc_n(n, sizeof *s->cancels);
    s->ids = st_zalloc_n(n, sizeof *s->ids);
    s->keys = st_alloc_n(n, sizeof *s->keys);
    if (!s->reqs || !s->flows || !s->deadlines || !s->ending || !s->free || !s->inbox ||
        !s->cancels || !s->ids || !s->keys)
        return ST_ENOMEM;
    while (s->n_free < n) {
        s->free[s->n_free] = n - 1 - s->n_free;
        s->n_free++;
    }
    return 0;
}

static int step_make(sched *s)
{
    const model_info *info = model_about(engine_model(s->engine));
    size_t batch = engine_max_batch(s->engine), logits, vectors;
    if (!st_mul_ok(s->max_live, info->has_head ? s->n_vocab : 1, &logits) ||
        !st_mul_ok(batch, info->n_embd, &vectors))
        return ST_ENOMEM;
    s->max_turns = engine_max_seqs(s->engine);
    size_t rows = s->max_live * ((size_t)HELD_GUESSES + 1);
    s->live = st_alloc_n(s->max_live, sizeof *s->live);
    s->turns = st_alloc_n(s->max_turns, sizeof *s->turns);
    s->items = st_alloc_n(s->max_turns, sizeof *s->items);
    s->best = st_alloc_n(rows, sizeof *s->best);
    s->top = st_alloc_n(rows, sizeof *s->top);
    s->lse = st_alloc_n(rows, sizeof *s->lse);
    s->held_lse = st_alloc_n(rows, sizeof *s->held_lse);
    s->likely = st_alloc_n(rows * SCHED_MAX_TOP, sizeof *s->likely);
    s->logits = st_aligned_n(logits, sizeof *s->logits);
    s->texts = st_alloc_n(batch, sizeof *s->texts);
    s->text_tokens = st_alloc_n(batch, sizeof *s->text_tokens);
    s->text_n = st_alloc_n(batch, sizeof *s->text_n);
    s->text_wants = st_alloc_n(batch, sizeof *s->text_wants);
    s->vectors = st_alloc_n(vectors, sizeof *s->vectors);
    return s->live && s->turns && s->items && s->best && s->top && s->lse &&
                   s->held_lse && s->likely && s->logits && s->texts && s->text_tokens &&
                   s->text_n && s->text_wants && s->vectors
               ? 0
               : ST_ENOMEM;
}

static int draws_make(sched *s)
{
    uint32_t n = workers_count(engine_workers(s->engine));
    s->draws = st_zalloc_n(n, sizeof *s->draws);
    if (!s->draws)
        return ST_ENOMEM;
    for (; s->n_draws < n; s->n_draws++) {
        draw *d = &s->draws[s->n_draws];
        d->logits = st_alloc_n(s->n_vocab, sizeof *d->logits);
        if (!d->logits)
            return ST_ENOMEM;
        int rc = sampler_work_new(s->n_vocab, &d->work, NULL);
        if (rc < 0) {
            st_free(d->logits);
            return rc;
        }
    }
    return 0;
}

static void locks_make(sched *s)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->came, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&s->lock, NULL);
}

int sched_new(engine *e, const sched_opts *opts, sched **ret_sched, st_err *err)
{
    static const sched_opts defaults = {0};
    int rc = ST_ENOMEM;
    sched *s = st_zalloc_n(1, sizeof *s);
    if (!s)
        return st_err_set(err, rc, "no memory for a scheduler");
    s->engine = e;
    locks_make(s);
    if ((rc = sizes_choose(s, opts ? opts : &defaults, err)) < 0 ||
        (rc = prefix_tree_new(e, &s->tree, err)) < 0)
        goto fail;
    if ((rc = tables_make(s)) < 0 || (rc = step_make(s)) < 0 ||
        (rc = draws_make(s)) < 0) {
        st_err_set(err, rc, "no memory for %u requests, %u of them live",
                   s->max_requests - 1, s->max_live);
        goto fail;
    }
    *ret_sched = s;
    return 0;
fail:
    sched_free(s);
    return rc;
}

/* End what is left, so that every request that was accepted is answered. */
static void requests_end(sched *s)
{
    sched_stop(s);
    while (s->n_active + s->n_inbox > 0)
        sched_step(s);
}

void sched_free(sched *s)
{
    if (!s)
        return;
    requests_end(s);
    for (uint32_t i = 0; i < s->n_draws; i++) {
        sampler_work_free(s->draws[i].work);
        st_free(s->draws[i].logits);
    }
    st_free(s->draws);
    st_free(s->vectors);
    st_free(s->text_wants);
    st_free(s->text_n);
    st_free(s->text_tokens);
    st_free(s->texts);
    st_free(s->logits);
    st_free(s->likely);
    st_free(s->held_lse);
    st_free(s->lse);
    st_free(s->top);
    st_free(s->best);
    st_free(s->items);
    st_free(s->turns);
    st_free(s->live);
    st_free(s->keys);
    st_free(s->ids);
    st_free(s->cancels);
    st_free(s->inbox);
    st_free(s->free);
    st_free(s->ending);
    st_free(s->deadlines);
    st_free(s->flows);
    st_free(s->reqs);
    prefix_tree_free(s->tree);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->came);
    st_free(s);
}

/* --- the mailbox */

void work_tell(const sched *s)
{
    if (s->on_work)
        s->on_work(s->on_work_arg);
}

void sched_cancel(sched *s, sched_id id)
{
    uint32_t at = (uint32_t)(id & (MAX_SLOTS - 1));
    pthread_mutex_lock(&s->lock);
    if (id != 0 && at < s->max_requests && s->ids[at] == id && !s->reqs[at].cancelled) {
        s->reqs[at].cancelled = true;
        s->cancels[s->n_cancels++] = at;
        pthread_cond_signal(&s->came);
    }
    pthread_mutex_unlock(&s->lock);
    work_tell(s);
}

static void state_set(sched *s, bool *state)
{
    pthread_mutex_lock(&s->lock);
    s->draining = s->changed = *state = true;
    pthread_cond_signal(&s->came);
    pthread_mutex_unlock(&s->lock);
    work_tell(s);
}

void sched_drain(sched *s)
{
    state_set(s, &s->draining);
}

void sched_stop(sched *s)
{
    state_set(s, &s->stopping);
}

void sched_stats_get(sched *s, sched_stats *ret_stats)
{
    pthread_mutex_lock(&s->lock);
    *ret_stats = s->shown;
    ret_stats->waiting += s->n_inbox;
    ret_stats->pages_pinned = s->n_pinned;
    ret_stats->refused = s->n_refused;
    pthread_mutex_unlock(&s->lock);
}

bool sched_wait(sched *s, uint64_t timeout_us)
{
    uint64_t until = st_clock_us() + timeout_us;
    struct timespec at = {(time_t)(until / 1000000), (long)(until % 1000000) * 1000};
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    while (rc == 0 && s->n_active + s->n_inbox == 0 && !s->changed)
        rc = pthread_cond_timedwait(&s->came, &s->lock, &at);
    bool work = s->n_active + s->n_inbox > 0;
    s->changed = false;
    pthread_mutex_unlock(&s->lock);
    return work;
}

/* --- ends */

static void slot_release(sched *s, uint32_t at)
{
    req *r = &s->reqs[at];
    sched_prefix *p = r->ask.prefix;
    req_free(r);
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; r->cancelled && i < s->n_cancels; i++)
        if (s->cancels[i] == at) {
            s->cancels[i] = s->cancels[--s->n_cancels];
            break;
        }
    s->ids[at] = 0;
    s->free[s->n_free++] = at;
    pthread_mutex_unlock(&s->lock);
    if (p)
        prefix_unref(s, p);
}

void req_end(sched *s, uint32_t at, sched_end end, const st_err *err)
{
    req *r = &s->reqs[at];
    uint64_t now = st_clock_us();
    if (r->s)
        room_leave(s, at);
    if (r->is_waiting)
        flow_unwait(s, at);
    if (s->bulk_in == at)
        s->bulk_in = NO_REQ;
    flow_leave(s, at);
    s->deadlines[at] = 0;
    s->each_us = (7 * s->each_us + (now - s->busy_us)) / 8;
    s->busy_us = now;
    *(end == SCHED_END_ERROR ? &s->stats.failed : &s->stats.finished) += 1;
    const sched_result result = {
        .id = r->id,
        .end = end,
        .err = err,
        .tokens = r->tokens + r->n_prompt,
        .n_new = r->held ? r->n_told : r->n - r->n_prompt,
        .n_prompt = r->n_prompt,
        .n_cached = r->n_cached,
        .n_preempted = r->n_preempted,
        .n_steps = r->n_steps,
        .n_forced = r->n_forced,
        .n_proposed = r->n_proposed,
        .n_agreed = r->n_agreed,
        .queued_us = r->queued_us,
        .first_us = r->first_us,
        .total_us = now - r->submit_us,
    };
    held_free(r->held); /* before its owner frees what it was lent */
    r->held = NULL;
    r->ask.done(r->ask.arg, &result);
    slot_release(s, at);
}

/* --- prefixes */

void prefix_unref(sched *s, sched_prefix *p)
{
    pthread_mutex_lock(&s->lock);
    bool last = --p->n_refs == 0;
    if (last) {
        s->n_pins--;
        s->n_pinned -= kv_pages_for(p->pin->n);
    }
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    prefix_pin_free(p->pin);
    st_free(p);
}

static int pin_check(sched *s, const int32_t *tokens, uint32_t n, st_err *err)
{
    uint32_t half = kvpool_n_pages(s->engine->pool) / 2;
    if (n == 0)
        return st_err_set(err, ST_EINVAL, "a prefix has at least one token");
    if (n >= s->n_ctx || s->n_pinned + (uint64_t)kv_pages_for(n) > half) {
        st_err_set(err, ST_ELIMIT,
                   "a prefix of %u tokens beside %u pinned pages passes "
                   "half of all pages or the context of %u",
                   n, s->n_pinned, s->n_ctx);
        st_err_hint(err, "unpin another, or give the engine more kv_bytes");
        return ST_ELIMIT;
    }
    if (s->n_pins >= engine_max_seqs(s->engine) / 2)
        return st_err_set(err, ST_ELIMIT, "%u prefixes are half of all sequences",
                          s->n_pins);
    return req_ids_check(s, tokens, n, err);
}

int sched_prefix_pin(sched *s, const int32_t *tokens, uint32_t n,
                     sched_prefix **ret_prefix, st_err *err)
{
    return sched_prefix_pin_adapted(s, NULL, tokens, n, ret_prefix, err);
}

int sched_prefix_pin_adapted(sched *s, const adapter *a, const int32_t *tokens,
                             uint32_t n, sched_prefix **ret_prefix, st_err *err)
{
    int rc = pin_check(s, tokens, n, err);
    if (rc < 0)
        return rc;
    sched_prefix *p = st_zalloc_n(1, sizeof *p);
    if (!p)
        return st_err_set(err, ST_ENOMEM, "no memory for a prefix");
    rc = prefix_pin_new(s->tree, a, tokens, n, &p->pin, err);
    if (rc < 0) {
        st_free(p);
        return rc;
    }
    p->n_refs = 1;
    pthread_mutex_lock(&s->lock);
    s->n_pins++;
    s->n_pinned += kv_pages_for(n);
    pthread_mutex_unlock(&s->lock);
    *ret_prefix = p;
    return 0;
}

void sched_spare(sched *s, uint32_t n_pages)
{
    uint32_t free = engine_free_pages(s->engine);
    if (free < n_pages)
        prefix_tree_evict(s->tree, n_pages - free);
}

int sched_prefix_run_kept(sched *s, sched_prefix *prefix, st_err *err)
{
    prefix_pin *pin = prefix->pin;
    if (prefix_pin_is_full(pin))
        return 0;
    seq_truncate(pin->s, 0);
    sched_spare(s, kv_pages_for(pin->n));
    return seq_run_kept(pin->s, pin->tokens, pin->n, err);
}

int sched_prefix_run(sched *s, sched_prefix *prefix, const seq **ret_seq, st_err *err)
{
    prefix_pin *pin = prefix->pin;
    const step_item item = chain_item(pin->s, pin->tokens, pin->n - seq_len(pin->s));
    int rc = 0;
    if (!prefix_pin_is_full(pin)) {
        sched_spare(s, kv_pages_for(pin->n));
        rc = engine_step(s->engine, &item, 1, err);
    }
    if (rc == 0)
        *ret_seq = pin->s;
    return rc;
}

void sched_prefix_unpin(sched *s, sched_prefix *prefix)
{
    if (prefix)
        prefix_unref(s, prefix);
}
