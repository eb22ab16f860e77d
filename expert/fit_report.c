/* expert/fit_report.c - judge what was fitted.
 *
 * Development rows and costs go through the pool itself, so what is reported is what will
 * be served; experts that will not be are asked once more before they are dropped. */
#include "base/mem.h"
#include "expert/fit_work.h"
#include "expert/pool.h"
#include "stats/blend.h"
#include "stats/metrics.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TIMED = 24 }; /* decisions timed, one at a time */

static int score(const double *probs, const int32_t *labels, uint32_t n, uint32_t k,
                 fit_score *ret, st_err *err)
{
    metrics m;
    if (n == 0)
        return 0;
    int code = metrics_of(probs, labels, n, k, &m, NULL, err);
    if (!code)
        *ret = (fit_score){n, m.accuracy, m.macro_f1, m.nll, m.ece, m.ece_noise};
    return code;
}

static void describe(fit_work *f, uint32_t e)
{
    fitted *out = f->out;
    const expert *x = &out->a->experts[e];
    fit_expert *line = &out->experts[e];
    snprintf(out->names[e], FIT_TEXT, "%s", x->name);
    line->name = out->names[e];
    line->kind = expert_kind_name(x->kind);
    line->pooling = out->poolings[e];
    line->weight = x->weight;
    if (x->kind == EXPERT_WORDS)
        return;
    snprintf(out->models[e], FIT_TEXT, "%s", f->models[x->model].name);
    line->model = out->models[e];
    line->layer = x->read.layers[x->read.n_layers - 1];
    line->n_layers = model_about(f->models[x->model].lm->model)->n_layers;
    reading_name(&x->read, out->poolings[e], FIT_TEXT);
}

static int score_oof(fit_work *f)
{
    const artifact *a = f->out->a;
    size_t cells = (size_t)f->n_oof * f->k;
    double *probs = st_alloc_n(cells, sizeof *probs), weights[ARTIFACT_MAX_EXPERTS];
    const float *row[ARTIFACT_MAX_EXPERTS];
    int code = probs ? 0 : st_err_set(f->err, ST_ENOMEM, "fit: out of memory");
    for (uint32_t e = 0; e < a->n_experts && !code; e++) {
        weights[e] = a->experts[e].weight;
        for (size_t i = 0; i < cells; i++)
            probs[i] = exp((double)f->oof[e][i]);
        code =
            score(probs, f->oof_labels, f->n_oof, f->k, &f->out->experts[e].oof, f->err);
    }
    for (uint32_t i = 0; i < f->n_oof && !code; i++) {
        for (uint32_t e = 0; e < a->n_experts; e++)
            row[e] = f->oof[e] + (size_t)i * f->k;
        blend_row(row, a->n_experts, weights, f->k, probs + (size_t)i * f->k);
    }
    if (!code)
        code =
            score(probs, f->oof_labels, f->n_oof, f->k, &f->out->report.pool_oof, f->err);
    st_free(probs);
    return code;
}

/* Views of the development rows. */
typedef struct dev_rows {
    const char **texts;
    size_t *lens;
    int32_t *labels;
    double *probs, *experts; /* [n, k], [n, n_experts, k] */
} dev_rows;

static void dev_done(dev_rows *d)
{
    st_free(d->texts);
    st_free(d->lens);
    st_free(d->labels);
    st_free(d->probs);
    st_free(d->experts);
}

static int dev_new(const fit_work *f, dev_rows *d)
{
    uint32_t n = f->data->n_dev;
    size_t cells = (size_t)n * f->k;
    d->texts = st_alloc_n(n, sizeof *d->texts);
    d->lens = st_alloc_n(n, sizeof *d->lens);
    d->labels = st_alloc_n(n, sizeof *d->labels);
    d->probs = st_alloc_n(cells, sizeof *d->probs);
    d->experts = st_alloc_n(cells, f->out->a->n_experts * sizeof *d->experts);
    if (!d->texts || !d->lens || !d->labels || !d->probs || !d->experts)
        return st_err_set(f->err, ST_ENOMEM, "fit: out of memory");
    for (uint32_t i = 0; i < n; i++) {
        d->texts[i] = f->data->dev[i].text;
        d->lens[i] = f->data->dev[i].len;
        d->labels[i] = f->data->dev[i].label;
    }
    return 0;
}

static int score_dev(fit_work *f, pool *p)
{
    dev_rows d = {0};
    uint32_t n = f->data->n_dev, n_experts = f->out->a->n_experts;
    int code = n ? dev_new(f, &d) : 0;
    if (n && !code) {
        pool_answers answers = {d.probs, d.experts, NULL};
        code = pool_decide(p, d.texts, d.lens, n, &answers, f->err);
        if (code)
            st_err_at(f->err, "development rows");
    }
    if (n && !code)
        code = score(d.probs, d.labels, n, f->k, &f->out->report.pool_dev, f->err);
    for (uint32_t e = 0; e < n_experts && n && !code; e++) {
        for (uint32_t i = 0; i < n; i++)
            memcpy(d.probs + (size_t)i * f->k,
                   d.experts + ((size_t)i * n_experts + e) * f->k,
                   f->k * sizeof *d.probs);
        code = score(d.probs, d.labels, n, f->k, &f->out->experts[e].dev, f->err);
    }
    dev_done(&d);
    return code;
}

/* Mean microseconds of each expert over some training rows, asked one by one. */
static int time_experts(fit_work *f, pool *p, double *us)
{
    double one[ARTIFACT_MAX_EXPERTS];
    uint32_t n = f->n < TIMED ? f->n : TIMED;
    int code = 0;
    memset(us, 0, ARTIFACT_MAX_EXPERTS * sizeof *us);
    for (uint32_t i = 0; i < n && !code; i++) {
        const words_text *t = &f->texts[(size_t)i * f->n / n];
        pool_answers answers = {NULL, NULL, one};
        code = pool_decide(p, &t->text, &t->len, 1, &answers, f->err);
        for (uint32_t e = 0; e < pool_n_experts(p) && !code; e++)
            us[e] += one[e] / n;
    }
    return code;
}

/* Keep the experts that have weight, and say which models they read with. */
static void drop_unserved(fit_work *f)
{
    artifact *a = f->out->a;
    uint32_t kept = 0;
    for (uint32_t e = 0; e < a->n_experts; e++) {
        expert *x = &a->experts[e];
        if (!(x->weight > 0)) {
            expert_done(x);
            continue;
        }
        if (x->kind != EXPERT_WORDS)
            a->models[x->model].used = true;
        if (kept != e) {
            a->experts[kept] = *x;
            *x = (expert){0};
        }
        kept++;
    }
    a->n_experts = kept;
}

/* Open the pool as the artifact has it, and time its experts. */
static int ask_pool(fit_work *f, const char *contract_digest, bool on_dev, double *ret_us)
{
    pool *p;
    int code =
        pool_new(f->out->a, contract_digest, f->q, f->models, f->n_models, &p, f->err);
    if (code)
        return code;
    if (on_dev)
        code = score_dev(f, p);
    if (!code)
        code = time_experts(f, p, ret_us);
    pool_free(p);
    return code;
}

int fit_score_all(fit_work *f, const char *contract_digest)
{
    fit_report *r = &f->out->report;
    double us[ARTIFACT_MAX_EXPERTS];
    r->experts = f->out->experts;
    r->n_experts = f->out->a->n_experts;
    for (uint32_t e = 0; e < r->n_experts; e++)
        describe(f, e);
    int code = score_oof(f);
    if (!code)
        code = ask_pool(f, contract_digest, true, us);
    for (uint32_t e = 0; e < r->n_experts && !code; e++)
        f->out->experts[e].us = us[e];
    if (code)
        return code;
    drop_unserved(f);
    code = ask_pool(f, contract_digest, false, us);
    for (uint32_t e = 0; e < f->out->a->n_experts && !code; e++)
        r->pool_us += us[e];
    return code;
}
