/* task/extraction_answer.c - inputs on their way through a task of type extract or draft.
 *
 *   start: length, examples, own words -> writing -> judged -- good --> finish
 *                                            ^         | fails, the first time
 *                                            '---------'
 *
 * A job is one input; it is under way from its start to its finish, and at any time one
 * text is written for it. */
#include "task/extraction_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "task/extract_judge.h"
#include "task/length.h"
#include "task/start.h"
#include "task/verbatim.h"

enum {
    MAX_TEXT = 64 << 20,
    MOST_WRITTEN = 16, /* inputs of one call under way: more would not have the pages */
};

typedef struct extract_job {
    extraction *x;
    struct extract_job *next;
    uint64_t handle;
    extraction_ask ask;
    extract_ask about; /* what the model is asked, the first time */
    const shot *shots[SHOTS_MAX];
    char *cut;     /* what length_hold made, or NULL */
    grammar *held; /* the schema with the input's own words, or NULL */
    extract_answer answer;
    extract_answer *ret_answer; /* of a call that waits: where it is put; else NULL */
    writing *writing;           /* under way */
    st_buf why;                 /* what failed, told to the second attempt */
    bool again;                 /* this is the second attempt */
    bool cancelled;
    uint64_t start_us;
} job;

/* ---- ends ---- */

static void job_free(job *j)
{
    extract_answer_done(&j->answer);
    st_buf_done(&j->why);
    grammar_free(j->held);
    st_free(j->cut);
    st_free(j);
}

static void unlink_job(job *j)
{
    job **at = &j->x->jobs;
    while (*at && *at != j)
        at = &(*at)->next;
    if (*at)
        *at = j->next;
}

/* Tell who asked, and forget it. */
static void finish(job *j, const st_err *why)
{
    extract_answer *a = &j->answer;
    unlink_job(j);
    a->us = (double)(st_clock_us() - j->start_us);
    if (why && j->ret_answer && why->code == ST_EBUSY) { /* others have their answers */
        extract_refuse(a, why->code, why->message);
        why = NULL;
    }
    if (!why && j->ret_answer) {
        *j->ret_answer = *a;
        *a = (extract_answer){0};
    }
    j->ask.done(j->ask.arg, why ? NULL : a, why);
    job_free(j);
}

static void finish_cancelled(job *j)
{
    st_err why = {0};
    st_err_set(&why, ST_ECANCELLED, "the request was cancelled");
    finish(j, &why);
}

/* ---- attempts ---- */

static void attempt_ended(void *arg, extract_reply *reply, const st_err *why);

static int attempt(job *j, const extract_ask *about, st_err *err)
{
    const writing_opts opts = {.class = j->ask.class,
                               .key = j->ask.key,
                               .deadline_us = j->ask.deadline_us,
                               .follows = j->again,
                               .done = attempt_ended,
                               .arg = j};
    return writing_start(j->x->extractor, about, &opts, &j->writing, err);
}

static bool ends_the_ask(int rc)
{
    return rc == ST_ENOMEM || rc == ST_EBUSY;
}

/* What the first attempt gave is there: once more, or that is it. */
static int try_again(job *j, bool *ret_under_way, st_err *err)
{
    extract_ask about = j->about;
    st_err why = {0};
    *ret_under_way = false;
    bool again = false;
    int rc = j->x->repair
                 ? extract_ask_again(j->x, &j->answer, &about, &j->why, &again, err)
                 : 0;
    if (rc || !again)
        return rc;
    j->again = true;
    rc = attempt(j, &about, &why);
    *ret_under_way = rc == 0;
    return ends_the_ask(rc) ? st_err_set(err, rc, "%s", why.message) : 0;
}

static int judge_first(job *j, extract_reply *reply, bool *ret_under_way, st_err *err)
{
    extract_answer *a = &j->answer;
    a->n_prompt = reply->n_prompt;
    a->n_cached = reply->n_cached;
    a->queued_us = reply->queued_us;
    *ret_under_way = false;
    int rc = extract_settle(j->x, &j->about, reply, a, err);
    return rc ? rc : try_again(j, ret_under_way, err);
}

static int judge_second(job *j, extract_reply *reply, st_err *err)
{
    extract_answer again = {0};
    int rc = extract_settle(j->x, &j->about, reply, &again, err);
    if (rc == 0)
        extract_take_better(&j->answer, &again);
    extract_answer_done(&again);
    return rc;
}

static void attempt_ended(void *arg, extract_reply *reply, const st_err *why)
{
    job *j = arg;
    st_err own = {0};
    bool under_way = false;
    j->writing = NULL;
    if (j->cancelled) {
        finish_cancelled(j);
        return;
    }
    if (reply) {
        int rc = j->again ? judge_second(j, reply, &own)
                          : judge_first(j, reply, &under_way, &own);
        why = rc ? &own : NULL;
    }
    if (!under_way)
        finish(j, why);
}

/* ---- beginnings ---- */

/* The schema with the input's own words, where checks ask for them.  A schema that they
 * leave nothing of, or that becomes too large, is not used: the checks say so. */
static int hold_words(const contract *c, extract_ask *ask, grammar **ret, st_err *err)
{
    static const grammar_schema_opts how = {.space = GRAMMAR_SPACED};
    grammar_refusal where;
    st_err why = {0};
    st_buf schema;
    bool changed = false;
    st_buf_init(&schema, MAX_TEXT);
    int rc = verbatim_schema(c, ask->text, ask->len, &schema, &changed, &why);
    if (rc == 0 && changed)
        rc = grammar_schema(schema.data, schema.len, &how, ret, &where, &why);
    st_buf_done(&schema);
    if (rc == ST_ENOMEM)
        return st_err_set(err, rc, "%s", why.message);
    ask->held = *ret;
    return 0;
}

/* Hold the input to its length and give it its examples. */
static int admit(job *j, uint32_t own, st_err *err)
{
    extraction *x = j->x;
    st_err why = {0};
    size_t len = j->ask.len;
    int rc = length_hold(x->c, &x->lm, 1, j->ask.text, len, &j->cut, &len, &why);
    if (rc == ST_ENOMEM)
        return st_err_set(err, rc, "%s", why.message);
    if (rc) {
        extract_refuse(&j->answer, rc, why.message);
        return 0;
    }
    j->answer.truncated = j->cut != NULL;
    j->about = (extract_ask){.text = j->cut ? j->cut : j->ask.text, .len = len};
    rc = extraction_find_shots(x, j->about.text, len, own, j->shots, &j->about, err);
    j->answer.n_shots = j->about.n_shots;
    return rc ? rc : hold_words(x->c, &j->about, &j->held, err);
}

/* An input that is refused at once has its answer. */
static int begin(job *j, uint32_t own, st_err *err)
{
    st_err why = {0};
    int rc = admit(j, own, err);
    if (rc || j->answer.code)
        return rc;
    rc = attempt(j, &j->about, &why);
    if (ends_the_ask(rc))
        return st_err_set(err, rc, "%s", why.message);
    if (rc)
        extract_refuse(&j->answer, rc, why.message);
    return 0;
}

static int start(extraction *x, const extraction_ask *ask, uint32_t own,
                 extract_answer *ret_answer, uint64_t *ret_handle, st_err *err)
{
    job *j = st_zalloc_n(1, sizeof *j);
    if (!j)
        return st_err_set(err, ST_ENOMEM, "no memory for an answer");
    *j = (job){.x = x, .ask = *ask, .ret_answer = ret_answer, .start_us = st_clock_us()};
    st_buf_init(&j->why, MAX_TEXT);
    *ret_handle = 0;
    int rc = begin(j, own, err);
    if (rc) {
        job_free(j);
        return rc;
    }
    if (j->answer.code) {
        finish(j, NULL);
        return 0;
    }
    j->next = x->jobs;
    x->jobs = j;
    *ret_handle = j->handle = ++x->n_jobs;
    return 0;
}

int extraction_start(extraction *x, const extraction_ask *ask, uint64_t *ret_handle,
                     st_err *err)
{
    return start(x, ask, UINT32_MAX, NULL, ret_handle, err);
}

/* ---- stopping ---- */

static void cancel(job *j)
{
    j->cancelled = true;
    if (j->writing)
        writing_cancel(j->writing);
}

void extraction_cancel(extraction *x, uint64_t handle)
{
    for (job *j = x->jobs; j; j = j->next)
        if (j->handle == handle)
            cancel(j);
}

void extraction_stop(extraction *x)
{
    for (job *j = x->jobs; j; j = j->next)
        cancel(j);
    while (x->jobs && sched_step(x->lm->sched))
        ;
}

/* ---- a call that waits ---- */

typedef struct gathering {
    extraction *x;
    uint32_t n_left;
    st_err why; /* what ends the call */
} gathering;

static void answer_came(void *arg, const extract_answer *answer, const st_err *why)
{
    gathering *g = arg;
    (void)answer; /* it is where the call wants it */
    g->n_left--;
    if (why)
        st_err_set(&g->why, why->code, "%s", why->message);
}

static void step_until(const gathering *g, uint32_t most_left)
{
    while (g->n_left > most_left && sched_step(g->x->lm->sched))
        ;
}

/* Start one input; where the queue is full, when there is room again. */
static int start_one(gathering *g, const char *text, size_t len, uint32_t own,
                     extract_answer *ret, st_err *err)
{
    const extraction_ask ask = {
        .text = text, .len = len, .class = SCHED_BULK, .done = answer_came, .arg = g};
    for (;;) {
        uint64_t handle;
        st_err why = {0};
        g->n_left++;
        int rc = start(g->x, &ask, own, ret, &handle, &why);
        g->n_left -= rc != 0;
        if (rc == ST_EBUSY && sched_step(g->x->lm->sched))
            continue;
        step_until(g, MOST_WRITTEN - 1);
        return rc ? st_err_set(err, rc, "%s", why.message) : 0;
    }
}

int extraction_decide(extraction *x, const char *const *texts, const size_t *lens,
                      const uint32_t *own, uint32_t n, extract_answer *ret_answers,
                      st_err *err)
{
    gathering g = {.x = x};
    uint64_t start_us = st_clock_us();
    int rc = 0;
    memset(ret_answers, 0, n * sizeof *ret_answers);
    for (uint32_t i = 0; i < n && rc == 0 && g.why.code == 0; i++)
        rc = start_one(&g, texts[i], lens[i], own ? own[i] : UINT32_MAX, &ret_answers[i],
                       err);
    for (job *j = x->jobs; j && (rc || g.why.code); j = j->next)
        if (j->ask.arg == &g)
            cancel(j);
    step_until(&g, 0);
    for (uint32_t i = 0; i < n; i++)
        ret_answers[i].us = (double)(st_clock_us() - start_us) / n;
    return rc || g.why.code == 0 ? rc : st_err_set(err, g.why.code, "%s", g.why.message);
}
