/* serve/hub_desk.c - a task's turns on the engine thread: inputs are decided, or started.
 *
 * When pages or places run out, what waits stays where it was and the desk is blocked
 * until somebody else has had a turn, which is when pages and places come back. */
#include "serve/hub_desk.h"

#include "base/clock.h"
#include "base/mem.h"
#include "task/start.h"
#include <string.h>

enum { START_US = 2000 }; /* of one turn that starts inputs: prompts are written */

/* --- ends */

static void wait_end(desk_wait *w, const hub_answer *answer, const st_err *why)
{
    hub_use *u = w->desk->use;
    w->ask.done(w->ask.arg, answer, why);
    st_free(w);
    hub_work_end(u);
}

static void wait_fail(desk_wait *w, int code, const char *words)
{
    st_err why = {0};
    st_err_set(&why, code, "%s", words);
    wait_end(w, NULL, &why);
}

static void expired_end(desk_wait *over)
{
    while (over) {
        desk_wait *w = over;
        over = w->next;
        if (w->cancelled)
            wait_fail(w, ST_ECANCELLED, "cancelled");
        else
            wait_fail(w, ST_ETIMEOUT, "its time was over before its turn came");
    }
}

/* --- batches */

static uint32_t options_of(const hub_use *u)
{
    return task_contract(u->task)->question.n_options;
}

static void decided_end(hub_desk *d, desk_wait *w, uint32_t i, uint64_t start)
{
    const hub_use *u = d->use;
    size_t k = options_of(u), e = task_n_experts(u->task);
    const task_answer *a = &d->answers[i];
    const hub_answer answer = {
        .decided = a,
        .probs = d->probs + i * k,
        .experts = d->experts && a->route == TASK_EXPERTS ? d->experts + i * e * k : NULL,
        .version = u->version,
        .queued_us = start - w->came_us,
        .n_tokens = a->code || a->route == TASK_RULE ? 0 : w->n_tokens,
    };
    wait_end(w, &answer, NULL);
}

static int batch_decide(hub_desk *d, uint32_t first, uint32_t n, st_err *err)
{
    task *t = d->use->task;
    size_t k = options_of(d->use), e = task_n_experts(t);
    return task_decide(t, d->texts + first, d->lens + first, n, d->answers + first,
                       d->probs + first * k,
                       d->experts ? d->experts + first * e * k : NULL, err);
}

/* Take as many as are likely to fit into a turn.  With lock. */
static uint32_t batch_take(hub_desk *d, desk_wait **batch)
{
    uint32_t n = 0, most = d->n_last ? 4 * d->n_last : 1;
    double us = 0;
    while (n < DESK_BATCH && n < most) {
        desk_wait *w = desk_next(d);
        if (!w)
            break;
        us += desk_units(w) * d->us_unit;
        if (n > 0 && us > d->use->hub->opts.max_ask_us) {
            desk_return(d, w);
            break;
        }
        batch[n++] = w;
    }
    return n;
}

static void batch_measure(hub_desk *d, desk_wait *const *batch, uint32_t n, uint64_t us)
{
    double units = 0;
    for (uint32_t i = 0; i < n; i++)
        units += desk_units(batch[i]);
    double each = (double)us / units;
    d->us_unit = d->us_unit > 0 ? (3 * d->us_unit + each) / 4 : each;
    d->n_last = n;
    d->turn.us_each = (3 * d->turn.us_each + us / n) / 4;
}

static bool cores_busy(const hub_use *u)
{
    for (uint32_t i = 0; i < u->n_cores; i++)
        if (u->cores[i]->turn.busy)
            return true;
    return false;
}

/* No pages: wait until others give theirs back, if they will.  With lock. */
static bool batch_blocked(hub_desk *d, desk_wait **batch, uint32_t n, int rc)
{
    if (rc != ST_EBUSY || !cores_busy(d->use))
        return false;
    while (n > 0)
        desk_return(d, batch[--n]);
    d->turn.blocked = true;
    return true;
}

/* One input that cannot be decided fails alone, not those that it shared a batch with. */
static void batch_alone(hub_desk *d, desk_wait **batch, uint32_t n, uint64_t start,
                        const st_err *why)
{
    for (uint32_t i = 0; i < n; i++) {
        st_err own = {0};
        int rc = n == 1 ? why->code : batch_decide(d, i, 1, &own);
        if (rc < 0)
            wait_end(batch[i], NULL, n == 1 ? why : &own);
        else
            decided_end(d, batch[i], i, start);
    }
}

static bool batch_run(hub_desk *d, desk_wait **batch, uint32_t n)
{
    hub *h = d->use->hub;
    st_err why = {0};
    uint64_t start = st_clock_us();
    for (uint32_t i = 0; i < n; i++) {
        d->texts[i] = batch[i]->text;
        d->lens[i] = batch[i]->ask.len;
    }
    int rc = batch_decide(d, 0, n, &why);
    uint64_t now = st_clock_us();
    pthread_mutex_lock(&h->lock);
    if (rc == 0)
        batch_measure(d, batch, n, now - start);
    bool blocked = rc < 0 && batch_blocked(d, batch, n, rc);
    pthread_mutex_unlock(&h->lock);
    if (rc < 0 && !blocked)
        batch_alone(d, batch, n, start, &why);
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        decided_end(d, batch[i], i, start);
    return !blocked;
}

/* --- inputs that are started */

static void started_out(hub_desk *d, desk_wait *w)
{
    hub *h = d->use->hub;
    pthread_mutex_lock(&h->lock);
    desk_wait **at = &d->started;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    d->n_started--;
    if (d->turn.n_waiting > 0)
        hub_turn_wake(h, &d->turn);
    pthread_mutex_unlock(&h->lock);
}

static void task_replied(void *arg, const task_reply *r, const st_err *why)
{
    desk_wait *w = arg;
    hub_answer answer = {.version = w->desk->use->version};
    started_out(w->desk, w);
    if (r) {
        answer.decided = r->answer;
        answer.probs = r->probs;
        answer.n_tokens = r->n_prompt;
        answer.n_cached = r->n_cached;
        answer.queued_us = r->queued_us;
    }
    wait_end(w, r ? &answer : NULL, why);
}

static void text_written(void *arg, const extract_answer *a, const st_err *why)
{
    desk_wait *w = arg;
    hub_answer answer = {.written = a, .version = w->desk->use->version};
    started_out(w->desk, w);
    if (a) {
        answer.n_tokens = a->n_prompt;
        answer.n_cached = a->n_cached;
        answer.queued_us = a->queued_us;
    }
    wait_end(w, a ? &answer : NULL, why);
}

static int wait_start(hub_desk *d, desk_wait *w, st_err *err)
{
    const hub_ask *q = &w->ask;
    const task_ask ask = {w->text,        q->len,       q->class, q->key,
                          q->deadline_us, task_replied, w};
    const extraction_ask write = {w->text,        q->len,       q->class, q->key,
                                  q->deadline_us, text_written, w};
    uint64_t handle = 0;
    int rc = d->use->task ? task_start(d->use->task, &ask, &handle, err)
                          : extraction_start(d->use->extraction, &write, &handle, err);
    if (rc == 0 && handle != 0)
        w->handle = handle;
    return rc;
}

/* Cancelled after they were started. */
static void started_cancel(hub_desk *d)
{
    hub *h = d->use->hub;
    for (;;) {
        pthread_mutex_lock(&h->lock);
        desk_wait *w = d->started;
        while (w && (!w->cancelled || w->handle == 0))
            w = w->next;
        uint64_t handle = w ? w->handle : 0;
        if (w)
            w->handle = 0; /* once */
        pthread_mutex_unlock(&h->lock);
        if (!w)
            return;
        if (d->use->task)
            task_cancel(d->use->task, handle);
        else
            extraction_cancel(d->use->extraction, handle);
    }
}

/* Its place is full: it goes back, and comes again after others' turns; where nobody else
 * has one, it never will. */
static bool start_failed(hub_desk *d, desk_wait *w, const st_err *why)
{
    hub *h = d->use->hub;
    started_out(d, w);
    pthread_mutex_lock(&h->lock);
    bool back = why->code == ST_EBUSY && (d->n_started > 0 || cores_busy(d->use));
    if (back) {
        desk_return(d, w);
        d->turn.blocked = true;
    }
    pthread_mutex_unlock(&h->lock);
    if (!back)
        wait_end(w, NULL, why);
    return back;
}

/* As many as have room; true: some are left, for another turn. */
static bool start_some(hub_desk *d)
{
    hub *h = d->use->hub;
    for (uint64_t start = st_clock_us(); st_clock_us() - start < START_US;) {
        st_err why = {0};
        pthread_mutex_lock(&h->lock);
        desk_wait *w = d->n_started < DESK_STARTED ? desk_next(d) : NULL;
        if (w) {
            w->next = d->started;
            d->started = w;
            d->n_started++;
        }
        pthread_mutex_unlock(&h->lock);
        if (!w)
            return false;
        if (wait_start(d, w, &why) < 0 && start_failed(d, w, &why))
            return false;
    }
    return true;
}

/* --- turns */

static bool desk_take(void *arg)
{
    hub_desk *d = arg;
    hub *h = d->use->hub;
    desk_wait *batch[DESK_BATCH];
    bool starts = d->use->extraction || task_is_async(d->use->task);
    pthread_mutex_lock(&h->lock);
    desk_wait *over = desk_expired(d, st_clock_us());
    desk_flows_free(d);
    uint32_t n = starts ? 0 : batch_take(d, batch);
    pthread_mutex_unlock(&h->lock);
    expired_end(over);
    if (starts) {
        started_cancel(d);
        return start_some(d);
    }
    if (n > 0 && !batch_run(d, batch, n))
        return false;
    pthread_mutex_lock(&h->lock);
    bool left = d->turn.n_waiting > 0;
    pthread_mutex_unlock(&h->lock);
    return left;
}

int hub_desk_new(hub_use *u, st_err *err)
{
    hub_desk *d = st_zalloc_n(1, sizeof *d);
    if (!d)
        return st_err_set(err, ST_ENOMEM, "no memory for a task's inputs");
    d->use = u;
    d->turn.take = desk_take;
    d->turn.arg = d;
    if (u->task && !task_is_async(u->task)) {
        size_t k = options_of(u), e = task_n_experts(u->task);
        d->probs = st_alloc_n(DESK_BATCH * k, sizeof *d->probs);
        d->experts = e ? st_alloc_n(DESK_BATCH * e * k, sizeof *d->experts) : NULL;
        if (!d->probs || (e && !d->experts)) {
            st_free(d->experts);
            st_free(d->probs);
            st_free(d);
            return st_err_set(err, ST_ENOMEM, "no memory for a task's answers");
        }
    }
    pthread_mutex_lock(&u->hub->lock);
    hub_turn_add(u->hub, &d->turn);
    pthread_mutex_unlock(&u->hub->lock);
    u->desk = d;
    return 0;
}

void hub_desk_free(hub_desk *d)
{
    if (!d)
        return;
    pthread_mutex_lock(&d->use->hub->lock);
    hub_turn_remove(d->use->hub, &d->turn);
    desk_flows_free(d);
    pthread_mutex_unlock(&d->use->hub->lock);
    st_free(d->experts);
    st_free(d->probs);
    st_free(d);
}

/* --- the door */

static int ask_enter(hub_use *u, desk_wait *w, desk_flow *flow, uint64_t *ret_id,
                     st_err *err)
{
    hub *h = u->hub;
    hub_desk *d = u->desk;
    pthread_mutex_lock(&h->lock);
    uint32_t held = desk_held(d, w->ask.key), most = h->opts.max_asks;
    uint32_t room = h->n_asks < most ? most - h->n_asks : 0;
    bool ok = held < 3 * (uint64_t)room; /* as sched_submit: nobody takes all */
    uint32_t n = h->n_asks;
    if (ok) {
        w->id = *ret_id = ++h->n_ids;
        desk_enter(d, w, flow);
        hub_turn_wake(h, &d->turn);
    }
    pthread_mutex_unlock(&h->lock);
    return ok ? 0
              : st_err_set(err, ST_EBUSY, "%u inputs are waiting, %u of this client", n,
                           held);
}

/* Tokens of an input that goes in a batch; what is started tells its own. */
static int input_count(const hub_use *u, const hub_ask *ask, uint32_t *ret_n, st_err *err)
{
    size_t most = 0;
    bool batched = u->task && !task_is_async(u->task);
    for (uint32_t i = 0; batched && i < u->n_cores; i++) {
        tok_ids ids = {0};
        int rc =
            tok_encode(u->cores[i]->lm->tok, ask->text, ask->len, TOK_ADD, &ids, err);
        most = ids.n > most ? ids.n : most;
        tok_ids_done(&ids);
        if (rc < 0)
            return rc;
    }
    *ret_n = (uint32_t)most;
    return 0;
}

int hub_ask_task(hub_use *u, const hub_ask *ask, uint64_t *ret_id, st_err *err)
{
    size_t size;
    if (!u->desk)
        return st_err_set(err, ST_EUNSUPPORTED, "'%s' is no task", u->name);
    if (!ask->done || (ask->class != SCHED_INTERACTIVE && ask->class != SCHED_BULK))
        return st_err_set(err, ST_EINVAL, "an input has a class and a done callback");
    desk_wait *w = st_add_ok(sizeof *w + 1, ask->len, &size) ? st_alloc(size) : NULL;
    desk_flow *flow = st_alloc(sizeof *flow);
    uint32_t n_tokens = 0;
    int rc = w && flow ? input_count(u, ask, &n_tokens, err)
                       : st_err_set(err, ST_ENOMEM, "no memory for an input");
    if (rc == 0)
        rc = hub_work_begin(u, false, err);
    if (rc == 0) {
        *w = (desk_wait){
            .desk = u->desk, .ask = *ask, .came_us = st_clock_us(), .n_tokens = n_tokens};
        memcpy(w->text, ask->text, ask->len);
        w->text[ask->len] = '\0';
        rc = ask_enter(u, w, flow, ret_id, err);
        if (rc == 0)
            return 0;
        hub_work_end(u);
    }
    st_free(flow);
    st_free(w);
    return rc;
}

void hub_ask_cancel(hub_use *u, uint64_t id)
{
    if (!u->desk)
        return;
    pthread_mutex_lock(&u->hub->lock);
    desk_wait *w = desk_find(u->desk, id);
    if (w && !w->cancelled) {
        w->cancelled = true;
        hub_turn_wake(u->hub, &u->desk->turn);
    }
    pthread_mutex_unlock(&u->hub->lock);
}
