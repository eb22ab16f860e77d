/* serve/decision_run.c - the questions of a decision through the hub.
 *
 *   pool thread     tokens of the text and of every question, all limits; then the first
 *   engine thread   question alone.  When it has run, its text is kept for its key, and
 *                   the others start there; a question's second order follows its first
 *   pool thread     answers as JSON
 *
 * A question that is a task's own is the task's to answer (decision_task.c).
 *
 * Some jobs are on their way at a time, so that a request with many questions leaves room
 * to others.  The first failure cancels the rest and is the answer.
 *
 * Threads: `lock` is for what callbacks change.  The run is freed after the call's
 * answer, before which a hang-up may still be told. */
#include "base/clock.h"
#include "base/mem.h"
#include "serve/decision_task.h"
#include <math.h>
#include <pthread.h>
#include <string.h>

enum { MOST_AT_ONCE = 32 };

typedef struct run run;

typedef struct job { /* one order of a question, or a question to a task */
    run *run;
    struct asked *of;
    uint32_t order;
    uint64_t id; /* while it is live */
    bool live;
} job;

typedef struct asked { /* one question */
    const decision_question *q;
    ask *plan; /* NULL: the task's */
    double *logp;
    task_match match;
    job jobs[ASK_MAX_ORDERS];
    decided out;
} asked;

struct run {
    call *c;
    decision d;
    hub_use *use;
    ask_base *base; /* NULL: no question is the model's */
    asked *list;    /* [d.n_questions] */
    double *numbers;
    uint64_t key;
    uint64_t started_us;
    pthread_mutex_t lock;
    job **ready; /* [jobs] in the order in which they start */
    uint32_t n_ready, n_started;
    uint32_t n_live, n_left; /* jobs not done, ready or not */
    bool begun;              /* the first of the model has run */
    bool failed;
    st_err err;
    const char *at; /* param of what failed */
    uint64_t queued_us;
    uint64_t n_prompt;
    uint64_t n_cached;
};

static void run_free(run *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; r->list && i < r->d.n_questions; i++)
        ask_free(r->list[i].plan);
    ask_base_free(r->base);
    st_free(r->list);
    st_free(r->numbers);
    st_free(r->ready);
    decision_done(&r->d);
    pthread_mutex_destroy(&r->lock);
    st_free(r);
}

/* ---- on the engine thread, and where it starts; all with lock ---- */

static void fail(run *r, const char *at, const st_err *err)
{
    if (!r->failed) {
        r->failed = true;
        r->at = at;
        r->err = *err;
    }
    for (uint32_t i = 0; i < r->d.n_questions; i++) {
        for (uint32_t k = 0; k < ASK_MAX_ORDERS; k++) {
            const job *j = &r->list[i].jobs[k];
            if (j->live && r->list[i].plan)
                hub_cancel(r->use, j->id);
            else if (j->live)
                hub_ask_cancel(r->use, j->id);
        }
    }
}

static void ready_add(run *r, asked *a, uint32_t order)
{
    job *j = &a->jobs[order];
    *j = (job){.run = r, .of = a, .order = order};
    r->ready[r->n_ready++] = j;
}

static void model_done(void *arg, const sched_result *result);
static void task_done(void *arg, const hub_answer *answer, const st_err *why);

static int submit_model(run *r, job *j, bool follows, st_err *err)
{
    const asked *a = j->of;
    tok_ids ids = {0};
    int rc = ask_prompt(r->base, a->plan, j->order, &ids, err);
    const sched_request q = {
        .class = call_class(r->c),
        .key = r->key,
        .tokens = ids.ids,
        .n = (uint32_t)ids.n,
        .deadline_us = call_deadline_us(r->c),
        .follows = follows,
        .kind = SCHED_OPTIONS,
        .options = {.options = a->plan->orders[j->order].replies,
                    .ret_logp = a->logp + (size_t)j->order * a->plan->n_replies},
        .done = model_done,
        .arg = j,
    };
    if (rc == 0)
        rc = hub_submit(r->use, &q, &j->id, err);
    tok_ids_done(&ids);
    return rc;
}

static int submit_task(run *r, job *j, st_err *err)
{
    const hub_ask q = {
        .text = r->d.text.data ? r->d.text.data : "",
        .len = r->d.text.len,
        .class = call_class(r->c),
        .key = r->key,
        .deadline_us = call_deadline_us(r->c),
        .done = task_done,
        .arg = j,
    };
    return hub_ask_task(r->use, &q, &j->id, err);
}

/* Start what is ready, as far as it may.  A full queue is waited for as long as something
 * of this request is on its way; after each job of the model one of the model is sure of
 * its place (`follows`), also while the server goes down. */
static void go_on(run *r, bool follows)
{
    while (!r->failed && r->n_started < r->n_ready && r->n_live < MOST_AT_ONCE) {
        job *j = r->ready[r->n_started];
        st_err err = {0};
        int rc =
            j->of->plan ? submit_model(r, j, follows, &err) : submit_task(r, j, &err);
        if (rc == ST_EBUSY && r->n_live > 0)
            return;
        if (rc < 0) {
            fail(r, j->of->q->param, &err);
            return;
        }
        j->live = true;
        r->n_live++;
        r->n_started++;
        follows = false;
    }
}

/* The first order of the first question has run: the text is kept. */
static void begin_others(run *r, const asked *first)
{
    r->begun = true;
    for (uint32_t i = 0; i < r->d.n_questions; i++)
        if (r->list[i].plan && &r->list[i] != first)
            ready_add(r, &r->list[i], 0);
}

static void finish(call *c, void *arg);

/* A job has ended; whoever ends the last one goes on to the answer. */
static void job_over(run *r, job *j, const st_err *why)
{
    j->live = false;
    r->n_live--;
    r->n_left--;
    if (why)
        fail(r, j->of->q->param, why);
    go_on(r, j->of->plan != NULL);
    bool last = r->n_live == 0 && (r->failed || r->n_left == 0);
    pthread_mutex_unlock(&r->lock);
    if (last)
        call_later(r->c, finish, r);
}

/* The text counts once, and as kept what was there before this request. */
static void count_tokens(run *r, const sched_result *result)
{
    r->n_prompt += result->n_prompt - (r->begun ? ask_base_tokens(r->base) : 0);
    if (r->begun)
        return;
    r->n_cached += result->n_cached;
    r->queued_us = result->queued_us;
}

static void model_done(void *arg, const sched_result *result)
{
    job *j = arg;
    run *r = j->run;
    asked *a = j->of;
    bool good = result->end == SCHED_END_DONE;
    pthread_mutex_lock(&r->lock);
    if (good) {
        count_tokens(r, result);
        if (j->order + 1 < a->plan->n_orders)
            ready_add(r, a, j->order + 1);
        if (!r->begun)
            begin_others(r, a);
    }
    job_over(r, j, good ? NULL : result->err);
}

static void task_done(void *arg, const hub_answer *answer, const st_err *why)
{
    job *j = arg;
    run *r = j->run;
    asked *a = j->of;
    st_err bad = {0};
    pthread_mutex_lock(&r->lock);
    if (answer && answer->decided->code)
        st_err_set(&bad, answer->decided->code, "%s", answer->decided->why);
    if (answer && !bad.code) {
        decision_task_take(&a->match, a->q, answer, &a->out);
        r->n_prompt += answer->n_tokens;
        r->n_cached += answer->n_cached;
        r->queued_us = answer->queued_us;
    }
    job_over(r, j, bad.code ? &bad : why);
}

static void client_gone(void *arg)
{
    run *r = arg;
    st_err err = {0};
    st_err_set(&err, ST_ECANCELLED, "the client is gone");
    pthread_mutex_lock(&r->lock);
    fail(r, "", &err);
    pthread_mutex_unlock(&r->lock);
}

/* ---- the answer; pool thread ---- */

/* For metrics: of a task's own question only, others have labels without end. */
static const char *label_of(const asked *a)
{
    if (a->plan)
        return "";
    if (a->q->q.type == QUESTION_PREDICATE)
        return a->out.answer.best == 0 ? "true" : "false";
    return a->q->q.options[a->out.answer.best].value;
}

static void answers_fill(run *r, decided *all)
{
    const char *name = hub_use_name(r->use), *version = hub_use_version(r->use);
    for (uint32_t i = 0; i < r->d.n_questions; i++) {
        asked *a = &r->list[i];
        if (a->plan) {
            ask_combine(a->plan, a->logp, a->out.probs, &a->out.answer);
            a->out.mass = a->out.answer.mass;
            a->out.method = a->plan->method;
            a->out.n_orders = a->plan->n_orders;
        }
        all[i] = a->out;
        call_add_decision(r->c, name, version, label_of(a),
                          a->plan ? "model" : a->out.route,
                          a->out.probs[a->out.answer.best]);
    }
}

static void work_tell(run *r, bool failed)
{
    const call_work work = {
        .model = hub_use_name(r->use),
        .version = hub_use_version(r->use),
        .n_prompt = (uint32_t)r->n_prompt,
        .n_cached = (uint32_t)r->n_cached,
        .finish = failed ? NULL : "stop",
        .queued_us = r->queued_us,
        .total_us = st_clock_us() - r->started_us,
    };
    call_add_work(r->c, &work);
}

static void reply_failed(run *r)
{
    problems p = {0};
    bool own = r->err.code == ST_EBUSY || r->err.code == ST_ECANCELLED ||
               r->err.code == ST_ETIMEOUT || r->err.code == ST_ENOMEM;
    problems_from(&p, own ? "" : r->at, &r->err);
    call_reply_problems(r->c, &p);
}

static json_t *answer_make(run *r)
{
    decided *all = st_alloc_n(r->d.n_questions, sizeof *all);
    json_t *body = NULL;
    if (all) {
        answers_fill(r, all);
        const decision_result result = {
            .model = hub_use_name(r->use),
            .version = hub_use_version(r->use),
            .task = hub_use_kind(r->use) == HUB_TASK ? hub_use_name(r->use) : NULL,
            .n_prompt = (uint32_t)r->n_prompt,
            .n_cached = (uint32_t)r->n_cached,
            .answers = all,
        };
        body = decision_answer(&r->d, &result);
    }
    st_free(all);
    return body;
}

static void finish(call *c, void *arg)
{
    run *r = arg;
    pthread_mutex_lock(&r->lock);
    bool failed = r->failed; /* a client that hangs up from now on changes nothing */
    pthread_mutex_unlock(&r->lock);
    work_tell(r, failed);
    if (failed)
        reply_failed(r);
    else
        call_reply_json(c, 200, answer_make(r));
    run_free(r);
}

/* ---- the beginning; pool thread ---- */

static uint32_t tokens_needed(const run *r, const ask *plan)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < plan->n_orders; i++) {
        uint32_t n =
            ask_tokens(r->base, plan, i) + options_depth(plan->orders[i].replies);
        most = n > most ? n : most;
    }
    return most;
}

static void question_plan(run *r, asked *a, problems *out)
{
    st_err err = {0};
    uint32_t n_ctx = hub_use_n_ctx(r->use);
    if (ask_new(r->base, &a->q->q, &a->plan, &err) < 0) {
        problems_from(out, a->q->param, &err);
        return;
    }
    uint32_t n = tokens_needed(r, a->plan);
    if (n > n_ctx)
        problems_add(out, PROBLEM_TOO_LONG, a->q->param,
                     "the %s and this question have %u tokens; the context holds %u",
                     r->d.text_param, n, n_ctx);
}

/* The text as tokens, when a question is for the model. */
static bool base_plan(run *r, problems *out)
{
    st_err err = {0};
    const lm *l = hub_use_lm(r->use);
    uint32_t n_ctx = hub_use_n_ctx(r->use);
    if (!l) {
        problems_add(out, PROBLEM_UNSUPPORTED, "model",
                     "'%s' has no language model, and answers its own question only",
                     hub_use_name(r->use));
        return false;
    }
    if (ask_base_new(l, r->d.text.data ? r->d.text.data : "", r->d.text.len, &r->base,
                     &err) < 0) {
        problems_from(out, err.code == ST_EUNSUPPORTED ? "model" : r->d.text_param, &err);
        return false;
    }
    if (ask_base_tokens(r->base) < n_ctx)
        return true;
    problems_add(out, PROBLEM_TOO_LONG, r->d.text_param,
                 "%u tokens before any question; the context holds %u",
                 ask_base_tokens(r->base), n_ctx);
    return false;
}

static uint32_t n_probs(const decision_question *q)
{
    return q->q.type == QUESTION_PREDICATE ? 2 : q->q.n_options;
}

/* Numbers of all questions in one piece: probabilities, then log-probabilities. */
static bool numbers_get(run *r)
{
    size_t n = 0;
    for (uint32_t i = 0; i < r->d.n_questions; i++) {
        const ask *plan = r->list[i].plan;
        n += n_probs(r->list[i].q);
        n += plan ? (size_t)plan->n_orders * plan->n_replies : 0;
    }
    double *at = r->numbers = st_zalloc_n(n, sizeof *at);
    for (uint32_t i = 0; at && i < r->d.n_questions; i++) {
        asked *a = &r->list[i];
        a->out.probs = at;
        at += n_probs(a->q);
        a->logp = at;
        at += a->plan ? (size_t)a->plan->n_orders * a->plan->n_replies : 0;
    }
    return r->numbers;
}

static void plan(run *r, problems *out)
{
    bool need_model = false;
    const contract *own = hub_use_contract(r->use);
    for (uint32_t i = 0; i < r->d.n_questions; i++) {
        asked *a = &r->list[i];
        a->q = &r->d.questions[i];
        a->out.mass = (double)NAN;
        need_model |= !decision_task_match(own, a->q, &a->match);
    }
    if (need_model && !base_plan(r, out))
        return;
    for (uint32_t i = 0; i < r->d.n_questions; i++)
        if (!r->list[i].match.is_own)
            question_plan(r, &r->list[i], out);
    if (out->n == 0 && !numbers_get(r))
        out->out_of_memory = true;
}

/* The task's questions all at once, of the model's the first. */
static void begin(run *r)
{
    bool first = true;
    for (uint32_t i = 0; i < r->d.n_questions; i++) {
        asked *a = &r->list[i];
        r->n_left += a->plan ? a->plan->n_orders : 1;
        if (!a->plan || first)
            ready_add(r, a, 0);
        first = first && !a->plan;
    }
}

static void run_start(run *r)
{
    call_on_gone(r->c, client_gone, r);
    pthread_mutex_lock(&r->lock);
    begin(r);
    go_on(r, false);
    bool over = r->n_live == 0;
    pthread_mutex_unlock(&r->lock);
    if (over)
        finish(r->c, r);
}

static run *run_new(call *c, decision *d, hub_use *use)
{
    run *r = st_zalloc_n(1, sizeof *r);
    if (!r)
        return NULL;
    if (pthread_mutex_init(&r->lock, NULL) != 0) {
        st_free(r);
        return NULL;
    }
    r->c = c;
    r->d = *d;
    *d = (decision){0};
    r->use = use;
    r->key = r->d.cache_key ? call_key_part(c, r->d.cache_key) : call_key(c);
    r->started_us = st_clock_us();
    r->list = st_zalloc_n(r->d.n_questions, sizeof *r->list);
    r->ready = st_alloc_n((size_t)r->d.n_questions * ASK_MAX_ORDERS, sizeof *r->ready);
    if (r->list && r->ready)
        return r;
    run_free(r);
    return NULL;
}

void decision_start(call *c, decision *d)
{
    problems p = {0};
    hub_use *use = call_use(c, d->model, &p);
    run *r = use ? run_new(c, d, use) : NULL;
    if (use && !r)
        p.out_of_memory = true;
    if (r)
        plan(r, &p);
    if (p.n > 0 || p.out_of_memory) {
        call_reply_problems(c, &p);
        run_free(r);
        decision_done(d);
        return;
    }
    call_mark(c, "planned");
    run_start(r);
}
