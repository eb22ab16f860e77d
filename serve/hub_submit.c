/* serve/hub_submit.c - requests on their way to a model's scheduler and back.
 *
 * A job is what a request's owner gave, behind callbacks of ours: so the use is held, and
 * what is under way counted, until the owner's done has returned. */
#include "serve/hub_priv.h"

#include "base/mem.h"

typedef struct job {
    hub_use *use;
    void (*done)(void *arg, const sched_result *result);
    bool (*on_token)(void *arg, const sched_token *token);
    void *arg;
} job;

static bool job_token(void *arg, const sched_token *token)
{
    const job *j = arg;
    return j->on_token(j->arg, token);
}

static void job_done(void *arg, const sched_result *result)
{
    job *j = arg;
    hub_use *u = j->use;
    j->done(j->arg, result);
    st_free(j);
    hub_work_end(u);
}

static int job_new(hub_use *u, const sched_request *request, job **ret_job, st_err *err)
{
    if (!u->main)
        return st_err_set(err, ST_EUNSUPPORTED, "'%s' has no language model", u->name);
    if (!request->done)
        return st_err_set(err, ST_EINVAL, "a request has a done callback");
    job *j = st_alloc(sizeof *j);
    if (!j)
        return st_err_set(err, ST_ENOMEM, "no memory for a request");
    *j = (job){u, request->done, request->generate.on_token, request->arg};
    int rc = hub_work_begin(u, request->follows, err);
    if (rc < 0)
        st_free(j);
    else
        *ret_job = j;
    return rc;
}

int hub_submit(hub_use *u, const sched_request *request, sched_id *ret_id, st_err *err)
{
    sched_request q = *request;
    job *j = NULL;
    int rc = job_new(u, request, &j, err);
    if (rc < 0)
        return rc;
    q.done = job_done;
    q.generate.on_token = j->on_token ? job_token : NULL;
    q.arg = j;
    q.adapter = u->adapter;
    rc = sched_submit(u->main->sched, &q, ret_id, err);
    if (rc < 0) {
        st_free(j);
        hub_work_end(u);
    }
    return rc;
}

void hub_cancel(hub_use *u, sched_id id)
{
    if (u->main)
        sched_cancel(u->main->sched, id);
}

/* --- beginnings that all keys share */

typedef struct pin_errand {
    hub_core *core;
    const int32_t *tokens;
    uint32_t n;
    hub_pinned *pinned;
    int rc;
    st_err *err;
} pin_errand;

static void pin_take(void *arg)
{
    pin_errand *e = arg;
    hub_core *c = e->core;
    e->rc = sched_prefix_pin(c->sched, e->tokens, e->n, &e->pinned->prefix, e->err);
    if (e->rc < 0)
        return;
    e->pinned->next = c->pins;
    c->pins = e->pinned;
}

int hub_pin(hub_use *u, const int32_t *tokens, uint32_t n, sched_prefix **ret_prefix,
            st_err *err)
{
    if (!u->main)
        return st_err_set(err, ST_EUNSUPPORTED, "'%s' has no language model", u->name);
    pin_errand e = {.core = u->main, .tokens = tokens, .n = n, .err = err};
    e.pinned = st_alloc(sizeof *e.pinned);
    if (!e.pinned)
        return st_err_set(err, ST_ENOMEM, "no memory for a prefix");
    hub_call_wait(u->hub, pin_take, &e);
    if (e.rc < 0)
        st_free(e.pinned);
    else
        *ret_prefix = e.pinned->prefix;
    return e.rc;
}
