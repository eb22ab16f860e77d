/* task/task_decide.c - the answers of a task. */
#include "task/task_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "expert/readout_ask.h"
#include "task/length.h"
#include "task/start.h"

/* Inputs of one call on their way to the models. */
typedef struct batch {
    uint32_t n;
    uint32_t *index;    /* which input of the call */
    const char **texts; /* as the models see them */
    size_t *lens;
    char **cuts;     /* what length_hold made, or NULL */
    double *probs;   /* [n, K] */
    double *experts; /* [n, E, K], or NULL */
} batch;

static void refuse(task_answer *a, int code, const st_err *why)
{
    a->code = code;
    snprintf(a->why, sizeof a->why, "%.199s", why->message);
}

static void settle(const task *t, task_answer *a, task_route route, const double *probs)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < t->contract->question.n_options; i++)
        best = probs[i] > probs[best] ? i : best;
    a->answer = best;
    a->confidence = probs[best];
    a->route = route;
}

static void batch_done(batch *b)
{
    for (uint32_t i = 0; b->cuts && i < b->n; i++)
        st_free(b->cuts[i]);
    st_free(b->index);
    st_free(b->texts);
    st_free(b->lens);
    st_free(b->cuts);
    st_free(b->probs);
    st_free(b->experts);
}

static int batch_init(const task *t, uint32_t n, bool experts, batch *b, st_err *err)
{
    size_t width = t->contract->question.n_options;
    size_t n_experts = task_n_experts(t);
    *b = (batch){
        .index = st_zalloc_n(n, sizeof *b->index),
        .texts = st_zalloc_n(n, sizeof *b->texts),
        .lens = st_zalloc_n(n, sizeof *b->lens),
        .cuts = st_zalloc_n(n, sizeof *b->cuts),
        .probs = st_zalloc_n(n, width * sizeof *b->probs),
        .experts = experts ? st_zalloc_n(n, n_experts * width * sizeof *b->probs) : NULL,
    };
    if (b->index && b->texts && b->lens && b->cuts && b->probs &&
        (!experts || b->experts))
        return 0;
    batch_done(b);
    return st_err_set(err, ST_ENOMEM, "no memory to decide %u inputs", n);
}

/* Rules and length: a rule answers, an error refuses; else *ret_read, and what is to be
 * read is text[0, *len), or in *ret_cut where something was left out. */
static int admit(const task *t, const char *text, size_t *len, task_answer *a,
                 double *probs, char **ret_cut, bool *ret_read, st_err *err)
{
    const contract *c = t->contract;
    st_err why = {0};
    uint64_t start = st_clock_us();
    *a = (task_answer){.rule = -1, .label_mass = (double)NAN};
    *ret_read = false;
    int rc = contract_match(c, text, *len, &a->rule, &why);
    if (rc == 0 && a->rule < 0)
        rc = length_hold(c, t->lms, t->n_models, text, *len, ret_cut, len, &why);
    if (rc == ST_ELIMIT) {
        refuse(a, rc, &why);
        return 0;
    }
    if (rc)
        return st_err_set(err, rc, "%s", why.message);
    *ret_read = a->rule < 0;
    a->truncated = *ret_cut != NULL;
    if (a->rule >= 0) {
        probs[c->rules[a->rule].answer] = 1;
        settle(t, a, TASK_RULE, probs);
    }
    a->us = (double)(st_clock_us() - start);
    return 0;
}

/* The same for an input of many, which joins the batch. */
static int admit_to(const task *t, const char *text, size_t len, uint32_t index,
                    task_answer *a, double *probs, batch *b, st_err *err)
{
    char *cut = NULL;
    bool read;
    int rc = admit(t, text, &len, a, probs, &cut, &read, err);
    if (rc || !read)
        return rc;
    b->index[b->n] = index;
    b->texts[b->n] = cut ? cut : text;
    b->lens[b->n] = len;
    b->cuts[b->n++] = cut;
    return 0;
}

/* Ask the experts about rows [from, to) of the batch. */
static int ask_pool(task *t, batch *b, uint32_t from, uint32_t to, st_err *err)
{
    size_t width = t->contract->question.n_options;
    size_t stride = width * task_n_experts(t);
    pool_answers want = {
        .ret_probs = b->probs + from * width,
        .ret_experts = b->experts ? b->experts + from * stride : NULL,
    };
    return pool_decide(t->pool, b->texts + from, b->lens + from, to - from, &want, err);
}

/* All at once; when one of them is too long, each by itself, so that it fails alone. */
static int decide_pool(task *t, batch *b, task_answer *answers, st_err *err)
{
    st_err why = {0};
    uint64_t start = st_clock_us();
    int rc = ask_pool(t, b, 0, b->n, &why);
    for (uint32_t i = 0; rc == ST_ELIMIT && i < b->n; i++) {
        st_err alone = {0};
        int code = ask_pool(t, b, i, i + 1, &alone);
        if (code == ST_ELIMIT)
            refuse(&answers[b->index[i]], code, &alone);
        else if (code)
            return st_err_set(err, code, "%s", alone.message);
    }
    if (rc && rc != ST_ELIMIT)
        return st_err_set(err, rc, "%s", why.message);
    double us = (double)(st_clock_us() - start) / b->n;
    for (uint32_t i = 0; i < b->n; i++)
        answers[b->index[i]].us += us;
    return 0;
}

static int ask_readout(task *t, batch *b, double *mass, int *codes, task_answer *answers,
                       st_err *err)
{
    size_t width = t->contract->question.n_options;
    uint64_t start = st_clock_us();
    int rc = readout_decide_many(t->readout, b->texts, b->lens, b->n, b->probs, mass,
                                 codes, err);
    double us = (double)(st_clock_us() - start) / b->n;
    for (uint32_t i = 0; i < b->n && rc == 0; i++) {
        task_answer *a = &answers[b->index[i]];
        st_err why = {0};
        a->us += us;
        a->label_mass = mass[i];
        if (codes[i] == 0)
            continue;
        rc = readout_decide(t->readout, b->texts[i], b->lens[i], b->probs + i * width,
                            NULL, &why);
        if (rc == ST_ELIMIT) {
            refuse(a, rc, &why);
            rc = 0;
        } else if (rc) {
            st_err_set(err, rc, "%s", why.message);
        }
    }
    return rc;
}

static int decide_readout(task *t, batch *b, task_answer *answers, st_err *err)
{
    double *mass = st_alloc_n(b->n, sizeof *mass);
    int *codes = st_alloc_n(b->n, sizeof *codes);
    int rc = mass && codes
                 ? ask_readout(t, b, mass, codes, answers, err)
                 : st_err_set(err, ST_ENOMEM, "no memory to decide %u inputs", b->n);
    st_free(codes);
    st_free(mass);
    return rc;
}

int task_decide(task *t, const char *const *texts, const size_t *lens, uint32_t n,
                task_answer *ret_answers, double *ret_probs, double *ret_experts,
                st_err *err)
{
    size_t width = t->contract->question.n_options;
    size_t stride = width * task_n_experts(t);
    batch b;
    if (n == 0)
        return 0;
    int rc = batch_init(t, n, ret_experts && t->pool, &b, err);
    if (rc)
        return rc;
    memset(ret_probs, 0, n * width * sizeof *ret_probs);
    if (ret_experts)
        memset(ret_experts, 0, n * stride * sizeof *ret_experts);
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = admit_to(t, texts[i], lens[i], i, &ret_answers[i], ret_probs + i * width, &b,
                      err);
    if (rc == 0 && b.n)
        rc = t->pool ? decide_pool(t, &b, ret_answers, err)
                     : decide_readout(t, &b, ret_answers, err);
    for (uint32_t i = 0; i < b.n && rc == 0; i++) {
        task_answer *a = &ret_answers[b.index[i]];
        if (a->code)
            continue;
        double *probs = ret_probs + b.index[i] * width;
        memcpy(probs, b.probs + i * width, width * sizeof *probs);
        if (b.experts)
            memcpy(ret_experts + b.index[i] * stride, b.experts + i * stride,
                   stride * sizeof *ret_experts);
        settle(t, a, task_way(t), probs);
    }
    batch_done(&b);
    return rc;
}

/* ---- answers that come later ---- */

typedef struct coming { /* one input whose readout is under way */
    const task *t;
    task_ask ask;
    task_answer answer;
    uint64_t start_us;
} coming;

bool task_is_async(const task *t)
{
    return !t->pool && t->how.mode != READOUT_NAMES;
}

static void text_read(void *arg, const readout_reply *reply, const st_err *why)
{
    coming *w = arg;
    task_answer *a = &w->answer;
    const task_ask *ask = &w->ask;
    a->us = (double)(st_clock_us() - w->start_us);
    if (reply) {
        const task_reply told = {.answer = a,
                                 .probs = reply->probs,
                                 .n_prompt = reply->n_prompt,
                                 .n_cached = reply->n_cached,
                                 .queued_us = reply->queued_us};
        a->label_mass = reply->mass;
        settle(w->t, a, TASK_ZERO_SHOT, reply->probs);
        ask->done(ask->arg, &told, NULL);
    } else {
        ask->done(ask->arg, NULL, why);
    }
    st_free(w);
}

static int read_text(task *t, coming *w, const char *text, size_t len,
                     uint64_t *ret_handle, st_err *err)
{
    const readout_ask ask = {.text = text,
                             .len = len,
                             .class = w->ask.class,
                             .key = w->ask.key,
                             .deadline_us = w->ask.deadline_us,
                             .done = text_read,
                             .arg = w};
    return readout_start(t->readout, &ask, ret_handle, err);
}

/* An input that no model reads, or can read, is told at once. */
static void tell(const coming *w, const double *probs)
{
    const task_reply told = {.answer = &w->answer,
                             .probs = w->answer.code ? NULL : probs};
    w->ask.done(w->ask.arg, &told, NULL);
}

static int start(task *t, coming *w, uint64_t *ret_handle, st_err *err)
{
    double probs[QUESTION_MAX_OPTIONS] = {0};
    st_err why = {0};
    char *cut = NULL;
    size_t len = w->ask.len;
    bool read;
    int rc = admit(t, w->ask.text, &len, &w->answer, probs, &cut, &read, &why);
    if (rc == 0 && read)
        rc = read_text(t, w, cut ? cut : w->ask.text, len, ret_handle, &why);
    st_free(cut);
    if (rc == ST_ELIMIT)
        refuse(&w->answer, rc, &why);
    else if (rc)
        return st_err_set(err, rc, "%s", why.message);
    else if (read)
        return 0;
    tell(w, probs);
    st_free(w);
    return 0;
}

int task_start(task *t, const task_ask *ask, uint64_t *ret_handle, st_err *err)
{
    if (!task_is_async(t))
        return st_err_set(err, ST_EUNSUPPORTED, "this task is decided, not started");
    coming *w = st_alloc_n(1, sizeof *w);
    if (!w)
        return st_err_set(err, ST_ENOMEM, "no memory to decide");
    *w = (coming){.t = t, .ask = *ask, .start_us = st_clock_us()};
    *ret_handle = 0;
    int rc = start(t, w, ret_handle, err);
    if (rc)
        st_free(w);
    return rc;
}

void task_cancel(task *t, uint64_t handle)
{
    if (t->readout)
        readout_cancel(t->readout, handle);
}

double task_score(const double *probs, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += i * probs[i];
    return sum;
}
