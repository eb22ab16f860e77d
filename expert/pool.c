/* expert/pool.c - fitted experts asked together.
 *
 * Experts with the same reading of the same model share one pass of it.  Texts are
 * decided in slices, so memory does not grow with their number. */
#include "expert/pool.h"

#include "base/clock.h"
#include "base/mem.h"
#include "expert/neighbours.h"
#include "expert/experts.h"
#include "expert/reading.h"
#include "expert/words.h"
#include "stats/blend.h"
#include "stats/logistic.h"
#include <math.h>
#include <string.h>

enum { SLICE = 128 };

struct pool {
    const artifact *a;
    const question *q;
    lm *lms[ARTIFACT_MAX_MODELS]; /* by the artifact's list; NULL when not used */
    gemm *gemm;
    uint32_t k, n_experts;
    double weights[ARTIFACT_MAX_EXPERTS];
    float *states; /* [SLICE, widest reading] of the reading at hand */
    float *scaled; /* the same, scaled for one expert */
    float *logp;   /* [n_experts, SLICE, k] */
};

static int mismatch(st_err *err, const char *what, const char *name)
{
    st_err_set(err, ST_EMISMATCH, "the artifact was fitted %s%s%s", what, name ? " " : "",
               name ? name : "");
    st_err_hint(err, "run `stint fit` again");
    return ST_EMISMATCH;
}

static int check_options(const artifact *a, const question *q, st_err *err)
{
    if (a->n_options != q->n_options)
        return mismatch(err, "for another number of options", NULL);
    for (uint32_t i = 0; i < a->n_options; i++)
        if (strcmp(a->options[i], q->options[i].value) != 0)
            return mismatch(err, "for other options, among them", a->options[i]);
    return 0;
}

/* Match a model of the artifact with those given; it may be absent when not used. */
static int bind_model(pool *p, uint32_t i, const fit_model *models, uint32_t n,
                      st_err *err)
{
    const artifact_model *m = &p->a->models[i];
    const fit_model *given = NULL;
    for (uint32_t j = 0; j < n; j++)
        if (strcmp(models[j].name, m->name) == 0)
            given = &models[j];
    if (!given)
        return m->used ? mismatch(err, "with a model that is not here:", m->name) : 0;
    if (strcmp(given->lm->digest, m->digest) != 0)
        return mismatch(err, "with other weights of the model", m->name);
    if (strcmp(tok_digest(given->lm->tok), m->tok_digest) != 0)
        return mismatch(err, "with another tokenizer of the model", m->name);
    p->lms[i] = given->lm;
    return 0;
}

/* Does an expert's shape agree with the model it reads with? */
static int check_expert(const pool *p, const expert *x, st_err *err)
{
    if (x->kind == EXPERT_WORDS)
        return 0;
    const lm *l = p->lms[x->model];
    if (!l)
        return mismatch(err,
                        "with a model that is not here:", p->a->models[x->model].name);
    if (x->read.layers[x->read.n_layers - 1] > model_about(l->model)->n_layers ||
        reading_width(&x->read, l) != expert_width(x))
        return st_err_set(err, ST_EFORMAT,
                          "artifact: expert '%s' does not have the shape of its model",
                          x->name);
    return 0;
}

static int pool_alloc(pool *p, st_err *err)
{
    uint32_t width = 1;
    for (uint32_t e = 0; e < p->n_experts; e++) {
        uint32_t w = expert_width(&p->a->experts[e]);
        width = w > width ? w : width;
    }
    p->states = st_alloc_n((size_t)SLICE * width, sizeof *p->states);
    p->scaled = st_alloc_n((size_t)SLICE * width, sizeof *p->scaled);
    p->logp = st_alloc_n((size_t)SLICE * p->k * (p->n_experts + 1), sizeof *p->logp);
    if (!p->states || !p->scaled || !p->logp)
        return st_err_set(err, ST_ENOMEM, "pool: out of memory");
    workers *w = NULL;
    for (uint32_t i = 0; i < p->a->n_models && !w; i++)
        if (p->lms[i])
            w = engine_workers(p->lms[i]->engine);
    return gemm_new(w, &p->gemm, err);
}

int pool_new(const artifact *a, const char *contract_digest, const question *q,
             const fit_model *models, uint32_t n_models, pool **ret_pool, st_err *err)
{
    if (strcmp(a->contract, contract_digest) != 0)
        return mismatch(err, "for another contract", NULL);
    pool *p = st_zalloc_n(1, sizeof *p);
    if (!p)
        return st_err_set(err, ST_ENOMEM, "pool: out of memory");
    *p = (pool){.a = a, .q = q, .k = a->n_options, .n_experts = a->n_experts};
    int code = check_options(a, q, err);
    for (uint32_t i = 0; i < a->n_models && !code; i++)
        code = bind_model(p, i, models, n_models, err);
    for (uint32_t e = 0; e < p->n_experts && !code; e++) {
        code = check_expert(p, &a->experts[e], err);
        p->weights[e] = a->experts[e].weight;
    }
    if (!code)
        code = pool_alloc(p, err);
    if (code) {
        pool_free(p);
        return code;
    }
    *ret_pool = p;
    return 0;
}

void pool_free(pool *p)
{
    if (!p)
        return;
    gemm_free(p->gemm);
    st_free(p->states);
    st_free(p->scaled);
    st_free(p->logp);
    st_free(p);
}

uint32_t pool_n_options(const pool *p)
{
    return p->k;
}

uint32_t pool_n_experts(const pool *p)
{
    return p->n_experts;
}

const char *pool_expert_name(const pool *p, uint32_t i)
{
    return p->a->experts[i].name;
}

double pool_expert_weight(const pool *p, uint32_t i)
{
    return p->weights[i];
}

static float *expert_logp(const pool *p, uint32_t e)
{
    return p->logp + (size_t)e * SLICE * p->k;
}

static int ask_words(pool *p, uint32_t e, const words_text *texts, uint32_t n,
                     st_err *err)
{
    const words_model *m = &p->a->experts[e].as.words;
    sparse found;
    int code = words_rows(m, texts, n, &found, err);
    if (code)
        return code;
    logit_rows rows = {.sparse = &found, .n = n, .d = m->n};
    logit_predict(p->gemm, &rows, p->k, m->rows, expert_logp(p, e));
    sparse_done(&found);
    return 0;
}

/* Ask an expert whose states are in p->states. */
static int ask_reader(pool *p, uint32_t e, uint32_t n, st_err *err)
{
    const expert *x = &p->a->experts[e];
    if (x->kind == EXPERT_HEAD) {
        const head_model *m = &x->as.head;
        logit_rows rows = {.dense = p->scaled, .n = n, .d = m->scale.d};
        scaling_apply(&m->scale, p->states, n, p->scaled);
        logit_predict(p->gemm, &rows, p->k, m->rows, expert_logp(p, e));
        return 0;
    }
    scaling_apply(&x->as.near.scale, p->states, n, p->scaled);
    return neighbours_predict(p->gemm, &x->as.near, p->scaled, n, p->k, expert_logp(p, e),
                              err);
}

static bool share_states(const expert *x, const expert *y)
{
    return y->kind != EXPERT_WORDS && x->model == y->model &&
           reading_same(&x->read, &y->read);
}

/* Read with expert e's model and ask every expert of that reading. */
static int ask_sharers(pool *p, uint32_t e, const words_text *texts, uint32_t first,
                       uint32_t n, double *us, bool *asked, st_err *err)
{
    const expert *x = &p->a->experts[e];
    uint64_t start = st_clock_us();
    reading_job job = {p->lms[x->model], p->a->models[x->model].name, p->q, NULL, first};
    int code = reading_run(&job, &x->read, texts, n, p->states, err);
    for (uint32_t i = e; i < p->n_experts && !code; i++) {
        if (!share_states(x, &p->a->experts[i]))
            continue;
        code = ask_reader(p, i, n, err);
        asked[i] = true;
        us[i] += (double)(st_clock_us() - start);
        start = st_clock_us();
    }
    return code;
}

/* Texts [0, n), which the caller counts from `first`. */
static int ask_all(pool *p, const words_text *texts, uint32_t first, uint32_t n,
                   double *us, st_err *err)
{
    bool asked[ARTIFACT_MAX_EXPERTS] = {false};
    int code = 0;
    for (uint32_t e = 0; e < p->n_experts && !code; e++) {
        if (asked[e])
            continue;
        if (p->a->experts[e].kind != EXPERT_WORDS) {
            code = ask_sharers(p, e, texts, first, n, us, asked, err);
            continue;
        }
        uint64_t start = st_clock_us();
        code = ask_words(p, e, texts, n, err);
        us[e] += (double)(st_clock_us() - start);
    }
    return code;
}

static void give_row(const pool *p, uint32_t i, uint32_t row, const pool_answers *answers)
{
    const float *l[ARTIFACT_MAX_EXPERTS];
    for (uint32_t e = 0; e < p->n_experts; e++)
        l[e] = expert_logp(p, e) + (size_t)i * p->k;
    if (answers->ret_probs)
        blend_row(l, p->n_experts, p->weights, p->k,
                  answers->ret_probs + (size_t)row * p->k);
    if (!answers->ret_experts)
        return;
    double *to = answers->ret_experts + (size_t)row * p->n_experts * p->k;
    for (uint32_t e = 0; e < p->n_experts; e++, to += p->k) {
        double sum = 0;
        for (uint32_t j = 0; j < p->k; j++)
            sum += to[j] = exp((double)l[e][j]);
        for (uint32_t j = 0; j < p->k; j++)
            to[j] /= sum;
    }
}

int pool_decide(pool *p, const char *const *texts, const size_t *lens, uint32_t n,
                const pool_answers *answers, st_err *err)
{
    double us[ARTIFACT_MAX_EXPERTS] = {0};
    words_text slice[SLICE];
    if (p->n_experts == 0)
        return st_err_set(err, ST_EINVAL, "the artifact has settings only, no experts");
    for (uint32_t at = 0; at < n; at += SLICE) {
        uint32_t count = n - at < SLICE ? n - at : SLICE;
        for (uint32_t i = 0; i < count; i++)
            slice[i] = (words_text){texts[at + i], lens[at + i]};
        int code = ask_all(p, slice, at, count, us, err);
        if (code)
            return code;
        for (uint32_t i = 0; i < count; i++)
            give_row(p, i, at + i, answers);
    }
    for (uint32_t e = 0; answers->ret_us && e < p->n_experts; e++)
        answers->ret_us[e] = n ? us[e] / n : 0;
    return 0;
}
