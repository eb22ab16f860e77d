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
    int32_t *picked; /* [n]: labels of the rows that are judged */
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
    int code =
        logit_fit(s->g, &s->t->rows, s->t->labels, s->t->k, &opts, model, NULL, s->err);
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

/* NLL of the rows of the first n folds; s->logp and s->picked are overwritten. */
static double folds_nll(trial *s, uint32_t n)
{
    const learn_rows *t = s->t;
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        if (t->folds[i] >= n)
            continue;
        memcpy(s->logp + (size_t)count * t->k, s->oof + (size_t)i * t->k,
               t->k * sizeof *s->logp);
        s->picked[count++] = t->labels[i];
    }
    return learn_nll(s->logp, s->picked, count, t->k);
}

typedef struct best_setting {
    double nll;
    double l2;
    float *logp; /* [n, k] */
} best_setting;

/* Try a regulariser from where the folds have come.  *ret_worth: it was clearly better
 * than the best so far. */
static int try_l2(trial *s, uint32_t n, bool hints, double l2, best_setting *best,
                  bool *ret_worth)
{
    int code = fit_folds(s, 0, n, hints, l2);
    if (code)
        return code;
    double nll = folds_nll(s, n);
    *ret_worth = nll < best->nll * WORTH;
    if (nll < best->nll) {
        best->nll = nll;
        best->l2 = l2;
        memcpy(best->logp, s->oof, (size_t)s->t->n * s->t->k * sizeof *best->logp);
    }
    return 0;
}

static void start_again(trial *s)
{
    memset(s->models, 0, s->t->n_folds * s->size * sizeof *s->models);
}

/* Walk the series on the first n folds. */
static int walk(trial *s, uint32_t n, bool hints, best_setting *best)
{
    const double *l2 = s->opts->l2;
    uint32_t first = s->opts->first;
    bool worth = true;
    int code = 0;
    start_again(s);
    for (uint32_t i = first; i < s->opts->n_l2 && worth && !code; i++)
        code = try_l2(s, n, hints, l2[i], best, &worth);
    if (code || best->l2 < l2[first])
        return code;
    start_again(s);
    worth = true;
    for (uint32_t i = first; i-- > 0 && worth && !code;)
        code = try_l2(s, n, hints, l2[i], best, &worth);
    return code;
}

/* Leave the hints out if that is better at the chosen regulariser. */
static int doubt_hints(trial *s, uint32_t n, best_setting *best, bool *hints)
{
    double before = best->nll;
    bool worth;
    start_again(s);
    int code = try_l2(s, n, false, best->l2, best, &worth);
    *hints = !(best->nll < before);
    return code;
}

static int trial_new(trial *s)
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
    s->picked = st_alloc_n(t->n, sizeof *s->picked);
    return s->weights && s->models && s->logp && s->oof && s->picked ? 0 : ST_ENOMEM;
}

/* Choose regulariser and hints; best->logp is complete for all folds afterwards. */
static int choose(trial *s, best_setting *best, bool *hints)
{
    const learn_rows *t = s->t;
    uint32_t n = t->n > MANY_ROWS ? 1 : t->n_folds;
    *hints = t->n_hints > 0;
    int code = walk(s, n, *hints, best);
    if (!code && *hints && s->opts->doubt_hints)
        code = doubt_hints(s, n, best, hints);
    if (code || n == t->n_folds)
        return code;
    start_again(s);
    memcpy(s->oof, best->logp, (size_t)t->n * t->k * sizeof *s->oof);
    code = fit_folds(s, n, t->n_folds, *hints, best->l2);
    memcpy(best->logp, s->oof, (size_t)t->n * t->k * sizeof *s->oof);
    return code;
}

int learn_run(gemm *g, const learn_rows *t, const learn_opts *opts, float *ret_model,
              float *ret_logp, double *ret_l2, st_err *err)
{
    trial s = {.g = g, .t = t, .opts = opts, .err = err};
    best_setting best = {.nll = INFINITY, .l2 = opts->l2[opts->first], .logp = ret_logp};
    bool hints;
    s.n_steps = t->n_folds * 3 + 1;
    int code = trial_new(&s);
    if (code) {
        st_err_set(err, code, "fit: out of memory");
        goto done;
    }
    code = choose(&s, &best, &hints);
    if (code)
        goto done;
    memset(ret_model, 0, s.size * sizeof *ret_model);
    code = fit_model(&s, UINT32_MAX, hints, best.l2, ret_model);
    *ret_l2 = best.l2;
done:
    st_free(s.weights);
    st_free(s.models);
    st_free(s.logp);
    st_free(s.oof);
    st_free(s.picked);
    return code;
}
