/* task/task.c - a task opened for use: contract, models, what was fitted; and its
 * answers. */
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "expert/artifact.h"
#include "expert/pool.h"
#include "task/length.h"
#include "task/models.h"
#include "task/start.h"

struct task {
    contract *contract;
    const model_source *source;            /* of the models; NULL: they are its own */
    artifact *artifact;                    /* NULL: nothing was fitted */
    pool *pool;                            /* NULL on the way of zero-shot */
    readout *readout;                      /* on the way of zero-shot, once bound */
    readout_opts how;                      /* of the readout */
    lm *lms[CONTRACT_MAX_MODELS];          /* open models */
    fit_model models[CONTRACT_MAX_MODELS]; /* and their names */
    uint32_t n_models;
    char version[ST_DIGEST_TEXT];
};

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

const char *task_route_name(task_route route)
{
    static const char *const names[] = {
        [TASK_RULE] = "rule",
        [TASK_EXPERTS] = "experts",
        [TASK_ZERO_SHOT] = "zero-shot",
    };
    return names[route];
}

/* ---- opening ---- */

static int hint_fit(const task *t, int rc, st_err *err)
{
    if (rc == ST_EMISMATCH)
        st_err_hint(err, "run `stint fit %s` to fit it anew", t->contract->path);
    return rc;
}

static int open_artifact(task *t, const task_opts *opts, st_err *err)
{
    char *own = opts->artifact ? NULL : contract_artifact_path(t->contract);
    const char *path = opts->artifact ? opts->artifact : own;
    int rc = 0;
    if (!path)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", t->contract->path);
    if (opts->artifact || access(path, F_OK) == 0) {
        rc = artifact_open(path, &t->artifact, err);
        if (rc == 0 && strcmp(artifact_contract(t->artifact), t->contract->digest)) {
            if (opts->zero_shot) { /* it has nothing to say about this contract */
                artifact_close(t->artifact);
                t->artifact = NULL;
                goto out;
            }
            rc = st_err_set(err, ST_EMISMATCH,
                            "%s: was fitted for another contract than %s", path,
                            t->contract->path);
            rc = hint_fit(t, rc, err);
        }
    }
out:
    st_free(own);
    return rc;
}

static int add_model(task *t, const char *name, unsigned n_threads, st_err *err)
{
    int rc =
        models_open(t->source, t->contract, name, n_threads, &t->lms[t->n_models], err);
    if (rc)
        return rc;
    if (!t->source)
        t->lms[t->n_models]->keeps = true;
    t->models[t->n_models] = (fit_model){.name = name, .lm = t->lms[t->n_models]};
    t->n_models++;
    return 0;
}

static const artifact_model *find_fitted(const artifact *a, const char *name)
{
    for (uint32_t i = 0; a && i < artifact_n_models(a); i++)
        if (strcmp(artifact_model_at(a, i)->name, name) == 0)
            return artifact_model_at(a, i);
    return NULL;
}

static int open_pool(task *t, const task_opts *opts, st_err *err)
{
    const contract *c = t->contract;
    int rc = 0;
    for (uint32_t i = 0; i < c->n_models && rc == 0; i++) {
        const artifact_model *m = find_fitted(t->artifact, c->models[i]);
        if (m && m->used)
            rc = add_model(t, c->models[i], opts->n_threads, err);
    }
    if (rc == 0)
        rc = pool_new(t->artifact, c->digest, &c->question, t->models, t->n_models,
                      &t->pool, err);
    if (rc == 0 && pool_n_experts(t->pool) == 0) { /* settings only */
        pool_free(t->pool);
        t->pool = NULL;
    }
    return hint_fit(t, rc, err);
}

/* Who answers zero-shot: the model that `stint fit` chose on labelled rows, else the
 * first of the contract. */
static int open_reader(task *t, const task_opts *opts, st_err *err)
{
    const contract *c = t->contract;
    if (c->n_models == 0) {
        st_err_set(err, ST_ECONTRACT, "%s: nothing is fitted and no model is named",
                   c->path);
        st_err_hint(err, "run `stint fit %s`, or name a model in `models`", c->path);
        return ST_ECONTRACT;
    }
    const char *chosen =
        t->artifact ? artifact_setting(t->artifact, "readout.model") : NULL;
    const char *name = c->models[0];
    for (uint32_t i = 1; chosen && i < c->n_models; i++)
        if (strcmp(c->models[i], chosen) == 0)
            name = c->models[i];
    return add_model(t, name, opts->n_threads, err);
}

/* The fitted way to ask this model, when there is one. */
static int choose_readout(task *t, st_err *err)
{
    const fit_model *m = &t->models[0];
    const char *setting = t->artifact ? artifact_setting(t->artifact, "readout") : NULL;
    const char *name =
        t->artifact ? artifact_setting(t->artifact, "readout.model") : NULL;
    t->how = readout_default(m->lm);
    if (!setting || !name || strcmp(name, m->name))
        return 0;
    const artifact_model *known = find_fitted(t->artifact, name);
    if (!known || strcmp(known->digest, m->lm->digest) ||
        strcmp(known->tok_digest, tok_digest(m->lm->tok)))
        return hint_fit(t,
                        st_err_set(err, ST_EMISMATCH,
                                   "model '%s' is not the file that was fitted", name),
                        err);
    return readout_opts_read(setting, &t->how, err);
}

int task_bind(task *t, st_err *err)
{
    if (t->pool || t->readout)
        return 0;
    return readout_new(t->lms[0], &t->contract->question, &t->how, &t->readout, err);
}

static void digest_version(task *t)
{
    char how[160] = "";
    st_sha sha;
    st_sha_init(&sha);
    st_sha_add(&sha, "stint.version.1", 15);
    st_sha_add(&sha, t->contract->digest, 64);
    if (t->pool)
        st_sha_add(&sha, artifact_digest(t->artifact), 64);
    else
        (void)readout_opts_write(&t->how, how, sizeof how);
    st_sha_add(&sha, how, strlen(how));
    for (uint32_t i = 0; i < t->n_models; i++)
        st_sha_add(&sha, t->lms[i]->digest, 64);
    st_sha_end(&sha, t->version);
}

int task_open(const char *contract_path, const task_opts *opts, task **ret_task,
              st_err *err)
{
    task *t = st_zalloc_n(1, sizeof *t);
    if (!t)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", contract_path);
    t->source = opts->source;
    int rc = contract_load(contract_path, &t->contract, err);
    if (rc == 0 && contract_writes(t->contract))
        rc = st_err_set(err, ST_EUNSUPPORTED, "%s: its question has no options to choose",
                        contract_path);
    if (rc == 0)
        rc = open_artifact(t, opts, err);
    if (rc == 0 && t->artifact && !opts->zero_shot)
        rc = open_pool(t, opts, err);
    if (rc == 0 && !t->pool)
        rc = open_reader(t, opts, err);
    if (rc == 0 && !t->pool)
        rc = choose_readout(t, err);
    if (rc == 0 && !t->source)
        rc = task_bind(t, err);
    if (rc) {
        task_close(t);
        return rc;
    }
    digest_version(t);
    *ret_task = t;
    return 0;
}

void task_close(task *t)
{
    if (!t)
        return;
    readout_free(t->readout);
    pool_free(t->pool);
    while (t->n_models)
        models_close(t->source, t->lms[--t->n_models]);
    artifact_close(t->artifact);
    contract_free(t->contract);
    st_free(t);
}

const contract *task_contract(const task *t)
{
    return t->contract;
}

const char *task_version(const task *t)
{
    return t->version;
}

task_route task_way(const task *t)
{
    return t->pool ? TASK_EXPERTS : TASK_ZERO_SHOT;
}

uint32_t task_n_experts(const task *t)
{
    return t->pool ? pool_n_experts(t->pool) : 0;
}

const char *task_expert_name(const task *t, uint32_t i)
{
    return pool_expert_name(t->pool, i);
}

const readout_opts *task_readout(const task *t)
{
    return t->pool ? NULL : &t->how;
}

const char *task_readout_model(const task *t)
{
    return t->pool ? NULL : t->models[0].name;
}

/* ---- deciding ---- */

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
        .experts =
            experts ? st_zalloc_n(n, n_experts * width * sizeof *b->probs) : NULL,
    };
    if (b->index && b->texts && b->lens && b->cuts && b->probs &&
        (!experts || b->experts))
        return 0;
    batch_done(b);
    return st_err_set(err, ST_ENOMEM, "no memory to decide %u inputs", n);
}

/* Rules and length: a rule answers, an error refuses, the rest joins the batch. */
static int admit(task *t, const char *text, size_t len, uint32_t index, task_answer *a,
                 double *probs, batch *b, st_err *err)
{
    const contract *c = t->contract;
    st_err why = {0};
    char *cut = NULL;
    uint64_t start = st_clock_us();
    *a = (task_answer){.rule = -1, .label_mass = (double)NAN};
    int rc = contract_match(c, text, len, &a->rule, &why);
    if (rc == 0 && a->rule < 0)
        rc = length_hold(c, t->lms, t->n_models, text, len, &cut, &len, &why);
    if (rc == ST_ELIMIT) {
        refuse(a, rc, &why);
        return 0;
    }
    if (rc)
        return st_err_set(err, rc, "%s", why.message);
    if (a->rule >= 0) {
        probs[c->rules[a->rule].answer] = 1;
        settle(t, a, TASK_RULE, probs);
    } else {
        a->truncated = cut != NULL;
        b->index[b->n] = index;
        b->texts[b->n] = cut ? cut : text;
        b->lens[b->n] = len;
        b->cuts[b->n++] = cut;
    }
    a->us = (double)(st_clock_us() - start);
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
        rc = admit(t, texts[i], lens[i], i, &ret_answers[i], ret_probs + i * width, &b,
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

bool task_is_async(const task *t)
{
    return !t->pool && t->how.mode != READOUT_NAMES;
}

int task_start(task *t, const task_ask *ask, uint64_t *ret_handle, st_err *err)
{
    task_answer a;
    double *probs = st_alloc_n(t->contract->question.n_options, sizeof *probs);
    int rc = probs ? task_decide(t, &ask->text, &ask->len, 1, &a, probs, NULL, err)
                   : st_err_set(err, ST_ENOMEM, "no memory to decide");
    *ret_handle = 0;
    if (rc == 0)
        ask->done(ask->arg, &(task_reply){.answer = &a, .probs = probs}, NULL);
    st_free(probs);
    return rc;
}

void task_cancel(task *t, uint64_t handle)
{
    (void)t;
    (void)handle;
}

double task_score(const double *probs, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += i * probs[i];
    return sum;
}
