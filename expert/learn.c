/* expert/learn.c - a logistic regression with everything chosen out of fold.
 *
 * A fold is left out by giving its rows weight zero.  Where there are many rows not every
 * fold is judged: thousands of predictions say as much as more would.  The final fit
 * starts from the first fold's solution. */
#include "expert/learn.h"

#include "base/mem.h"
#include "stats/calibrate.h"
#include <math.h>
#include <string.h>

#define WORTH 0.999 /* a change must bring the NLL below this share of what it was */

typedef struct trial {
    gemm *g;
    const learn_rows *t;
    const learn_opts *opts;
    size_t size;     /* floats of a model */
    float *weights;  /* [n + n_hints] */
    float *models;   /* [n_judged, size]: where the series of each fold has come */
    float *logp;     /* [n + n_hints, k]: predictions of one model */
    float *oof;      /* [n, k]: of the current setting; then compacted */
    int32_t *judged; /* labels of the rows of the judged folds */
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

/* Fit the judged folds on from where they are, and predict their rows. */
static int fit_folds(trial *s, bool hints, double l2)
{
    const learn_rows *t = s->t;
    for (uint32_t fold = 0; fold < t->n_judged; fold++) {
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

uint32_t learn_compact(float *logp, const uint8_t *folds, uint32_t n, uint32_t n_judged,
                       uint32_t k)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        if (folds[i] < n_judged)
            memmove(logp + (size_t)count++ * k, logp + (size_t)i * k, k * sizeof *logp);
    return count;
}

typedef struct best_setting {
    double nll;
    double l2;
    float *logp; /* [judged rows, k] */
} best_setting;

/* Try a regulariser from where the folds have come.  *ret_worth: it was clearly better
 * than the best so far. */
static int try_l2(trial *s, bool hints, double l2, best_setting *best, bool *ret_worth)
{
    const learn_rows *t = s->t;
    int code = fit_folds(s, hints, l2);
    if (code)
        return code;
    uint32_t n = learn_compact(s->oof, t->folds, t->n, t->n_judged, t->k);
    double nll = learn_nll(s->oof, s->judged, n, t->k);
    *ret_worth = nll < best->nll * WORTH;
    if (nll < best->nll) {
        best->nll = nll;
        best->l2 = l2;
        memcpy(best->logp, s->oof, (size_t)n * t->k * sizeof *best->logp);
    }
    return 0;
}

static void start_again(trial *s)
{
    memset(s->models, 0, s->t->n_judged * s->size * sizeof *s->models);
}

/* Walk the series. */
static int walk(trial *s, bool hints, best_setting *best)
{
    const double *l2 = s->opts->l2;
    uint32_t first = s->opts->first;
    bool worth = true;
    int code = 0;
    start_again(s);
    for (uint32_t i = first; i < s->opts->n_l2 && worth && !code; i++)
        code = try_l2(s, hints, l2[i], best, &worth);
    if (code || best->l2 < l2[first])
        return code;
    start_again(s);
    worth = true;
    for (uint32_t i = first; i-- > 0 && worth && !code;)
        code = try_l2(s, hints, l2[i], best, &worth);
    return code;
}

/* Choose regulariser, and leave the hints out if that is better with it. */
static int choose(trial *s, best_setting *best, bool *hints)
{
    *hints = s->t->n_hints > 0;
    int code = walk(s, *hints, best);
    if (code || !*hints || !s->opts->doubt_hints)
        return code;
    double before = best->nll;
    bool worth;
    start_again(s);
    code = try_l2(s, false, best->l2, best, &worth);
    *hints = !(best->nll < before);
    return code;
}

static int trial_new(trial *s)
{
    const learn_rows *t = s->t;
    size_t cells, models, all = (size_t)t->n + t->n_hints;
    s->size = logit_size(t->rows.d, t->k);
    if (s->size == 0 || !st_mul_ok(all, t->k, &cells) ||
        !st_mul_ok(s->size, t->n_judged, &models))
        return ST_ENOMEM;
    s->weights = st_alloc_n(all, sizeof *s->weights);
    s->models = st_zalloc_n(models, sizeof *s->models);
    s->logp = st_alloc_n(cells, sizeof *s->logp);
    s->oof = st_zalloc_n(cells, sizeof *s->oof);
    s->judged = st_alloc_n(t->n, sizeof *s->judged);
    if (!s->weights || !s->models || !s->logp || !s->oof || !s->judged)
        return ST_ENOMEM;
    for (uint32_t i = 0, at = 0; i < t->n; i++)
        if (t->folds[i] < t->n_judged)
            s->judged[at++] = t->labels[i];
    return 0;
}

int learn_run(gemm *g, const learn_rows *t, const learn_opts *opts, float *ret_model,
              float *ret_logp, double *ret_l2, st_err *err)
{
    trial s = {.g = g, .t = t, .opts = opts, .err = err};
    best_setting best = {.nll = INFINITY, .l2 = opts->l2[opts->first], .logp = ret_logp};
    bool hints;
    s.n_steps = t->n_judged * 3 + 1;
    int code = trial_new(&s);
    if (code) {
        st_err_set(err, code, "fit: out of memory");
        goto done;
    }
    code = choose(&s, &best, &hints);
    if (code)
        goto done;
    memcpy(ret_model, s.models, s.size * sizeof *ret_model);
    code = fit_model(&s, UINT32_MAX, hints, best.l2, ret_model);
    *ret_l2 = best.l2;
done:
    st_free(s.weights);
    st_free(s.models);
    st_free(s.logp);
    st_free(s.oof);
    st_free(s.judged);
    return code;
}
