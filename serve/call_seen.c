/* serve/call_seen.c - what a call leaves behind: counts, a line of the log, a timeline.
 *
 * No text of a request or an answer. */
#include "base/clock.h"
#include "base/mem.h"
#include "serve/call_priv.h"
#include <stdio.h>
#include <string.h>

/* The model's part, from the times that it tells: it has just ended. */
static void trace_work(trace *t, const call_work *w)
{
    uint64_t end = st_clock_us();
    uint64_t submit = end - w->total_us;
    trace_bar(t, "waits for the model", submit, submit + w->queued_us);
    if (!w->first_us)
        return;
    trace_bar(t, "reads the prompt", submit + w->queued_us, submit + w->first_us);
    trace_bar(t, "writes", submit + w->first_us, end);
}

void call_add_work(call *c, const call_work *work)
{
    trace_work(c->trace, work);
    call_work *sum = &c->work;
    snprintf(c->model, sizeof c->model, "%s", work->model ? work->model : "");
    snprintf(c->finish, sizeof c->finish, "%s", work->finish ? work->finish : "");
    sum->n_prompt += work->n_prompt;
    sum->n_cached += work->n_cached;
    sum->n_new += work->n_new;
    sum->queued_us += work->queued_us;
    meter_work(c->server->meter, work);
}

void call_add_decision(call *c, const char *task_name, const char *version,
                       const char *label, const char *way, double confidence)
{
    meter_decision(c->server->meter, task_name, version, label, way, confidence);
}

void call_mark(call *c, const char *what)
{
    trace_mark(c->trace, what);
}

static void call_log(const call *c, uint64_t total_us)
{
    const server *s = c->server;
    bool probe = c->route && c->route->scope == SCOPE_OPEN && c->status < 500;
    if (probe && s->log.level < LOG_DEBUG)
        return;
    const log_request_row row = {
        .id = c->id,
        .method = http_method(c->x),
        .route = c->route ? c->route->path : NULL,
        .status = c->status,
        .code = c->code,
        .key = c->who.info.name,
        .client = http_client(c->x),
        .model = c->model,
        .finish = c->finish,
        .n_prompt = c->work.n_prompt,
        .n_cached = c->work.n_cached,
        .n_new = c->work.n_new,
        .queued_us = c->work.queued_us,
        .total_us = total_us,
    };
    log_request(&s->log, &row);
}

/* A timeline on its way to its file; the server waits for it. */
typedef struct trace_job {
    crew_job job;
    server *server;
    trace *trace;
    char id[ID_MAX + 1];
    const char *route;
} trace_job;

static void trace_write(crew_job *job)
{
    trace_job *t = (trace_job *)job;
    server *s = t->server;
    st_err err = {0};
    if (trace_end(t->trace, s->settings->trace, t->id, t->route, &err) < 0)
        log_failure(&s->log, LOG_WARNING, "trace", &err);
    st_free(t);
    atomic_fetch_sub(&s->n_calls, 1);
}

static void trace_send(call *c)
{
    trace_job *t = st_zalloc_n(1, sizeof *t);
    if (!t)
        return;
    trace_number(c->trace, "status", c->status);
    trace_number(c->trace, "prompt tokens", c->work.n_prompt);
    trace_number(c->trace, "cached tokens", c->work.n_cached);
    trace_number(c->trace, "new tokens", c->work.n_new);
    *t = (trace_job){
        .job = {trace_write, NULL},
        .server = c->server,
        .trace = c->trace,
        .route = c->route ? c->route->path : "none",
    };
    memcpy(t->id, c->id, sizeof t->id);
    c->trace = NULL;
    atomic_fetch_add(&c->server->n_calls, 1);
    crew_push(c->server->crew, &t->job);
}

void call_seen(call *c)
{
    uint64_t total_us = st_clock_us() - http_arrived_us(c->x);
    meter_http(c->server->meter, c->route ? c->route->path : NULL, c->status, total_us);
    call_log(c, total_us);
    if (c->trace)
        trace_send(c);
}
