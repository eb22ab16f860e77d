/* expert/learn.c - a logistic regression with everything chosen out of fold.
 *
 * A fold is left out by giving its rows weight zero.  With many rows the regulariser is
 * chosen on the first fold alone: thousands of predictions say as much as more would. */
#include "expert/learn.h"

#include "base/mem.h"
#include "stats/calibrate.h"
#include <math.h>
#include <string.h>

enum { MANY_ROWS = 4000 };
#define WORTH 0.999 /* a change must bring the NLL below this share of what it was */

typedef struct trial {
    gemm *g;
    const learn_rows *t;
    const learn_opts *opts;
    size_t size;     /* floats of a model */
    float *weights;  /* [n + n_hints] */
    float *models;   /* [n_folds, size]: where the series of each fold has come */
    float *logp;     /* [n + n_hints, k]: predictions of one model */
    float *oof;      /* [n, k]: of the current setting */
    uint32_t n_done, n_steps; /* for progress */
    st_err *err;
} trial;

double learn_nll(const float *logp, const int32_t *labels, uint32_t n, uint32_t k)
{
    if (n == 0)
        return INFINITY;
    double b = 1 / calibrate_temperature(logp, labels, n, k), sum = 0;
    for (uint32_t r = 0; r < n; r++) {
        const float *z = logp + (size_t)r * k;
        double top = -INFINITY, mass = 0;
        for (uint32_t j = 0; j < k; j++)
            top = fmax(top, b * (double)z[j]);
        for (uint32_t j = 0; j < k; j++)
            mass += exp(b * (double)z[j] - top);
        sum += top + log(mass) - b * (double)z[labels[r]];
    }
    return sum / n;
}

static int step(trial *s)
{
    s->n_done++;
    if (s->n_done > s->n_steps)
        s->n_steps = s->n_done;
    if (st_progress_report(s->opts->progress, s->opts->what, s->n_done, s->n_steps))
        return 0;
    return st_err_set(s->err, ST_ECANCELLED, "cancelled while fitting");
}

static void set_weights(trial *s, uint32_t fold, bool hints)
{
    const learn_rows *t = s->t;
    for (uint32_t i = 0; i < t->n; i++)
        s->weights[i] = t->folds[i] != fold;
    for (uint32_t i = 0; i < t->n_hints; i++)
        s->weights[t->n + i] = hints;
}

static int fit_model(trial *s, uint32_t fold, bool hints, double l2, float *model)
{
    logit_opts opts = {.l2 = l2, .weights = s->weights};
    opts.search = (lbfgs_opts){.max_iters = s->opts->max_iters, .tolerance = 1e-5};
    set_weights(s, fold, hints);
    int code = logit_fit(s->g, &s->t->rows, s->t->labels, s->t->k, &opts, model, NULL,
                         s->err);
    return code ? code : step(s);
}

/* Fit the folds [0, n) on from where they are; their own rows are predicted. */
static int fit_folds(trial *s, uint32_t from, uint32_t n, bool hints, double l2)
{
    const learn_rows *t = s->t;
    for (uint32_t fold = from; fold < n; fold++) {
        float *model = s->models + fold * s->size;
        int code = fit_model(s, fold, hints, l2, model);
        if (code)
            return code;
        logit_predict(s->g, &t->rows, t->k, model, s->logp);
        for (uint32_t i = 0; i < t->n; i++)
            if (t->folds[i] == fold)
                memcpy(s->oof + (size_t)i * t->k, s->logp + (size_t)i * t->k,
                       t->k * sizeof *s->oof);
    }
    return 0;
}

/* NLL of the rows of the first n folds; s->logp and `picked` are overwritten. */
static double folds_nll(trial *s, uint32_t n, int32_t *picked)
{
    const learn_rows *t = s->t;
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        if (t->folds[i] >= n)
            continue;
        memcpy(s->logp + (size_t)count * t->k, s->oof + (size_t)i * t->k,
               t->k * sizeof *s->logp);
        picked[count++] = t->labels[i];
    }
    return learn_nll(s->logp, picked, count, t->k);
}

/* Walk down the series on the first n folds; the best goes to ret_logp and *ret_l2. */
static int walk(trial *s, uint32_t n, bool hints, int32_t *picked, float *ret_logp,
                double *ret_l2, double *ret_nll)
{
    double best = INFINITY;
    memset(s->models, 0, s->t->n_folds * s->size * sizeof *s->models);
    for (uint32_t i = 0; i < s->opts->n_l2; i++) {
        int code = fit_folds(s, 0, n, hints, s->opts->l2[i]);
        if (code)
            return code;
        double nll = folds_nll(s, n, picked), before = best;
        if (nll < best) {
            memcpy(ret_logp, s->oof, (size_t)s->t->n * s->t->k * sizeof *ret_logp);
            *ret_l2 = s->opts->l2[i];
            best = nll;
        }
        if (nll > before * WORTH)
            break;
    }
    *ret_nll = best;
    return 0;
}

static int trial_new(trial *s, int32_t **picked)
{
    const learn_rows *t = s->t;
    size_t cells, models, all = (size_t)t->n + t->n_hints;
    s->size = logit_size(t->rows.d, t->k);
    if (s->size == 0 || !st_mul_ok(all, t->k, &cells) ||
        !st_mul_ok(s->size, t->n_folds, &models))
        return ST_ENOMEM;
    s->weights = st_alloc_n(all, sizeof *s->weights);
    s->models = st_zalloc_n(models, sizeof *s->models);
    s->logp = st_alloc_n(cells, sizeof *s->logp);
    s->oof = st_zalloc_n(cells, sizeof *s->oof);
    *picked = st_alloc_n(t->n, sizeof **picked);
    return s->weights && s->models && s->logp && s->oof && *picked ? 0 : ST_ENOMEM;
}

/* Choose hints and regulariser; ret_logp is complete for all folds afterwards. */
static int choose(trial *s, int32_t *picked, float *ret_logp, double *ret_l2, bool *hints)
{
    const learn_rows *t = s->t;
    uint32_t n = t->n > MANY_ROWS ? 1 : t->n_folds;
    double nll, plain_nll, plain_l2;
    float *plain = NULL;
    *hints = t->n_hints > 0;
    int code = walk(s, n, *hints, picked, ret_logp, ret_l2, &nll);
    if (!code && *hints) {
        plain = st_alloc_n((size_t)t->n * t->k, sizeof *plain);
        code = plain ? walk(s, n, false, picked, plain, &plain_l2, &plain_nll)
                     : st_err_set(s->err, ST_ENOMEM, "fit: out of memory");
        if (!code && plain_nll < nll) {
            memcpy(ret_logp, plain, (size_t)t->n * t->k * sizeof *plain);
            *ret_l2 = plain_l2;
            *hints = false;
        }
    }
    st_free(plain);
    if (code || n == t->n_folds)
        return code;
    memset(s->models, 0, t->n_folds * s->size * sizeof *s->models);
    memcpy(s->oof, ret_logp, (size_t)t->n * t->k * sizeof *ret_logp);
    code = fit_folds(s, n, t->n_folds, *hints, *ret_l2);
    memcpy(ret_logp, s->oof, (size_t)t->n * t->k * sizeof *ret_logp);
    return code;
}

int learn_run(gemm *g, const learn_rows *t, const learn_opts *opts, float *ret_model,
              float *ret_logp, double *ret_l2, st_err *err)
{
    trial s = {.g = g, .t = t, .opts = opts, .err = err};
    int32_t *picked = NULL;
    bool hints;
    s.n_steps = t->n_folds * 3 + 1;
    int code = trial_new(&s, &picked);
    if (code) {
        st_err_set(err, code, "fit: out of memory");
        goto done;
    }
    code = choose(&s, picked, ret_logp, ret_l2, &hints);
    if (code)
        goto done;
    memset(ret_model, 0, s.size * sizeof *ret_model);
    code = fit_model(&s, UINT32_MAX, hints, *ret_l2, ret_model);
done:
    st_free(s.weights);
    st_free(s.models);
    st_free(s.logp);
    st_free(s.oof);
    st_free(picked);
    return code;
}
