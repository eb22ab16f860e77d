/* expert/fit.c - learn experts from labelled rows.
 *
 * In order: rows and folds; words; for each model a reading by screening, then its head
 * and its neighbours on one matrix of states; the pool's weights; the report.  Each
 * candidate leaves its out-of-fold log-probabilities behind, and the pool is fitted on
 * nothing else. */
#include "expert/fit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "expert/fit_work.h"
#include "expert/learn.h"
#include "expert/neighbours.h"
#include "expert/screen.h"
#include "stats/calibrate.h"
#include "stats/folds.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    DEFAULT_FOLDS = 5,
    WORDS_ITERS = 40,
    HEAD_ITERS = 50,
    ENOUGH_ROWS = 2500,       /* predicted out of fold */
    RARE_ROWS = 500,          /* above, a word feature must occur in two rows */
    WORDS_CELLS = 6 << 20,    /* most numbers in the model of words */
    NEIGHBOURS_ROWS = 200000, /* remembered at most */
};

static int out_of_memory(st_err *err)
{
    return st_err_set(err, ST_ENOMEM, "fit: out of memory");
}

static int check_row(const question_row *row, uint32_t i, const char *set, uint32_t k,
                     st_err *err)
{
    if (row->label >= 0 && (uint32_t)row->label < k)
        return 0;
    return st_err_set(err, ST_EINVAL, "%s row %u: label %d of %u options", set, i,
                      row->label, k);
}

static int check_rows(const question *q, const fit_data *data, st_err *err)
{
    if (q->n_options < 2 || q->n_options > QUESTION_MAX_OPTIONS)
        return st_err_set(err, ST_EINVAL, "fit: %u options, 2 to %d are possible",
                          q->n_options, QUESTION_MAX_OPTIONS);
    if (data->n_train == 0)
        return st_err_set(err, ST_EINVAL, "fit: no training rows");
    int code = 0;
    bool varied = false;
    for (uint32_t i = 0; i < data->n_train && !code; i++) {
        code = check_row(&data->train[i], i, "training", q->n_options, err);
        varied = varied || data->train[i].label != data->train[0].label;
    }
    for (uint32_t i = 0; i < data->n_dev && !code; i++)
        code = check_row(&data->dev[i], i, "development", q->n_options, err);
    if (code || varied)
        return code;
    st_err_set(err, ST_EINVAL, "fit: all %u training rows have the label '%s'",
               data->n_train, q->options[data->train[0].label].value);
    st_err_hint(err, "give examples of at least two options");
    return ST_EINVAL;
}

/* "card_not_arrived", "where the card is" -> "card not arrived: where the card is". */
static char *hint_text(const question_option *o)
{
    st_buf b;
    st_buf_init(&b, 1 << 20);
    for (const char *p = o->value; *p; p++)
        st_buf_char(&b, *p == '_' || *p == '-' ? ' ' : *p);
    if (o->description) {
        st_buf_str(&b, ": ");
        st_buf_str(&b, o->description);
    }
    char *text = st_buf_detach(&b, &(size_t){0});
    st_buf_done(&b);
    return text;
}

/* "true" and "false" say nothing, and neither does "none of these". */
static bool has_hint(const question *q, uint32_t option)
{
    if (q->abstain && option == q->n_options - 1)
        return false;
    return q->type == QUESTION_CHOICE || q->options[option].description;
}

/* Assign folds, and judge as many of them as it takes for ENOUGH_ROWS predictions. */
static int prepare_folds(fit_work *f)
{
    int code =
        folds_assign(f->labels, f->n, f->k, f->n_folds, f->opts->seed, f->folds, f->err);
    f->oof_labels = st_alloc_n(f->n, sizeof *f->oof_labels);
    if (!f->oof_labels)
        return out_of_memory(f->err);
    uint64_t wanted = (uint64_t)ENOUGH_ROWS * f->n_folds / f->n + 1;
    f->n_judged = wanted < f->n_folds ? (uint32_t)wanted : f->n_folds;
    for (uint32_t i = 0; i < f->n && !code; i++)
        if (f->folds[i] < f->n_judged)
            f->oof_labels[f->n_oof++] = f->labels[i];
    return code;
}

static int prepare_rows(fit_work *f)
{
    const question *q = f->q;
    size_t most = (size_t)f->n + q->n_options;
    f->texts = st_alloc_n(most, sizeof *f->texts);
    f->labels = st_alloc_n(most, sizeof *f->labels);
    f->hints = st_zalloc_n(q->n_options, sizeof *f->hints);
    f->folds = st_alloc_n(f->n, 1);
    if (!f->texts || !f->labels || !f->hints || !f->folds)
        return out_of_memory(f->err);
    for (uint32_t i = 0; i < f->n; i++) {
        f->texts[i] = (words_text){f->data->train[i].text, f->data->train[i].len};
        f->labels[i] = f->data->train[i].label;
    }
    for (uint32_t j = 0; j < q->n_options; j++) {
        if (!has_hint(q, j))
            continue;
        char *text = hint_text(&q->options[j]);
        if (!text)
            return out_of_memory(f->err);
        f->texts[f->n + f->n_hints] = (words_text){text, strlen(text)};
        f->labels[f->n + f->n_hints] = (int32_t)j;
        f->hints[f->n_hints++] = text;
    }
    return prepare_folds(f);
}

/* A new candidate at the end of the artifact's list, with room for its predictions. */
static int new_candidate(fit_work *f, expert_kind kind, const char *name, expert **ret)
{
    artifact *a = f->out->a;
    if (a->n_experts == ARTIFACT_MAX_EXPERTS)
        return st_err_set(f->err, ST_ELIMIT, "fit: over %d experts",
                          ARTIFACT_MAX_EXPERTS);
    expert *x = &a->experts[a->n_experts];
    float *oof = st_alloc_n((size_t)f->n * f->k, sizeof *oof);
    *x = (expert){.kind = kind, .name = st_strdup(name), .model = ARTIFACT_MAX_MODELS};
    if (!oof || !x->name) {
        st_free(oof);
        expert_done(x);
        return out_of_memory(f->err);
    }
    f->oof[a->n_experts++] = oof;
    *ret = x;
    return 0;
}

static fit_expert *candidate_line(fit_work *f)
{
    return &f->out->experts[f->out->a->n_experts - 1];
}

/* Divide a model's logits by the temperature that makes its predictions true. */
static void temper(const fit_work *f, float *rows, size_t size)
{
    float *oof = f->oof[f->out->a->n_experts - 1];
    float scale = (float)(1 / calibrate_temperature(oof, f->oof_labels, f->n_oof, f->k));
    for (size_t i = 0; i < size; i++)
        rows[i] *= scale;
    for (uint32_t r = 0; r < f->n_oof; r++) {
        float *z = oof + (size_t)r * f->k;
        double sum = 0;
        for (uint32_t j = 0; j < f->k; j++)
            sum += exp((double)(z[j] *= scale));
        for (uint32_t j = 0; j < f->k; j++)
            z[j] -= (float)log(sum);
    }
}

static int learn(fit_work *f, const logit_rows *rows, const learn_opts *opts,
                 float *ret_model)
{
    learn_rows t = {.rows = *rows,
                    .labels = f->labels,
                    .n = f->n,
                    .n_hints = f->n_hints,
                    .folds = f->folds,
                    .n_folds = f->n_folds,
                    .n_judged = f->n_judged,
                    .k = f->k};
    uint32_t at = f->out->a->n_experts - 1;
    int code = learn_run(f->gemm, &t, opts, ret_model, f->oof[at],
                         &candidate_line(f)->reg, f->err);
    if (!code)
        temper(f, ret_model, logit_size(rows->d, f->k));
    return code;
}

static int fit_words(fit_work *f)
{
    static const double l2[] = {1e-3, 2e-4, 3e-5, 3e-6, 3e-7};
    expert *x;
    sparse rows = {0};
    int code = new_candidate(f, EXPERT_WORDS, "words", &x);
    if (code)
        return code;
    words_model *m = &x->as.words;
    code = words_choose(f->texts, f->n + f->n_hints, f->n > RARE_ROWS ? 2 : 1,
                        WORDS_CELLS / f->k, m, f->err);
    if (!code)
        code = words_rows(m, f->texts, f->n + f->n_hints, &rows, f->err);
    if (code)
        return code;
    size_t size = logit_size(m->n, f->k);
    m->rows = st_alloc_n(size, sizeof *m->rows);
    if (m->rows) {
        logit_rows all = {.sparse = &rows, .n = f->n + f->n_hints, .d = m->n};
        learn_opts opts = {
            l2, ST_COUNT(l2), 2, WORDS_ITERS, false, "fitting words", f->opts->progress};
        code = learn(f, &all, &opts, m->rows);
        for (size_t i = 0; i < size && !code; i++)
            m->rows[i] = st_f16_to_f32(st_f32_to_f16(m->rows[i]));
    } else {
        code = out_of_memory(f->err);
    }
    sparse_done(&rows);
    return code;
}

static int copy_scaling(const scaling *from, scaling *to, st_err *err)
{
    *to = (scaling){from->d, st_dup(from->mean, from->d * sizeof *from->mean),
                    st_dup(from->factor, from->d * sizeof *from->factor)};
    return to->mean && to->factor ? 0 : out_of_memory(err);
}

typedef struct states { /* of all rows and hints with one model */
    uint32_t model;
    reading read;
    scaling scale;
    float *rows; /* [n + n_hints, d] scaled */
} states;

static int fit_head(fit_work *f, const states *s)
{
    static const double l2[] = {1e-3, 1e-4, 1e-5, 1e-6, 1e-7};
    char what[FIT_TEXT];
    expert *x;
    const char *name = f->models[s->model].name;
    int code = new_candidate(f, EXPERT_HEAD, name, &x);
    if (code)
        return code;
    x->model = s->model;
    x->read = s->read;
    head_model *m = &x->as.head;
    code = copy_scaling(&s->scale, &m->scale, f->err);
    if (code)
        return code;
    m->rows = st_alloc_n(logit_size(s->scale.d, f->k), sizeof *m->rows);
    if (!m->rows)
        return out_of_memory(f->err);
    snprintf(what, sizeof what, "fitting %.64s", name);
    logit_rows rows = {.dense = s->rows, .n = f->n + f->n_hints, .d = s->scale.d};
    learn_opts opts = {l2, ST_COUNT(l2), 2, HEAD_ITERS, true, what, f->opts->progress};
    return learn(f, &rows, &opts, m->rows);
}

static int fit_neighbours(fit_work *f, const states *s)
{
    char name[FIT_TEXT];
    expert *x;
    snprintf(name, sizeof name, "neighbours:%.64s", f->models[s->model].name);
    int code = new_candidate(f, EXPERT_NEIGHBOURS, name, &x);
    if (code)
        return code;
    x->model = s->model;
    x->read = s->read;
    neighbours_model *m = &x->as.near;
    code = neighbours_learn(f->gemm, s->rows, f->n, s->scale.d, f->labels, m, f->err);
    if (!code)
        code = copy_scaling(&s->scale, &m->scale, f->err);
    if (!code)
        code = neighbours_tune(f->gemm, m, f->folds, f->k,
                               f->oof[f->out->a->n_experts - 1], f->err);
    learn_compact(f->oof[f->out->a->n_experts - 1], f->folds, f->n, f->n_judged, f->k);
    candidate_line(f)->reg = m->spread;
    return code;
}

static int read_states(fit_work *f, const reading_job *job, states *s)
{
    uint32_t n = f->n + f->n_hints, d = reading_width(&s->read, job->lm);
    s->rows = st_alloc_n(n, (size_t)d * sizeof *s->rows);
    if (!s->rows)
        return out_of_memory(f->err);
    int code = reading_run(job, &s->read, f->texts, n, s->rows, f->err);
    if (!code)
        code = scaling_fit(s->rows, f->n, d, &s->scale, f->err);
    if (!code)
        scaling_apply(&s->scale, s->rows, n, s->rows);
    return code;
}

static int fit_lm(fit_work *f, uint32_t which)
{
    const fit_model *m = &f->models[which];
    reading_job job = {m->lm, m->name, f->q, f->opts->progress, 0};
    states s = {.model = which};
    int code = screen_run(&job, f->gemm, f->texts, f->labels, f->n, f->k, f->opts->seed,
                          &s.read, f->err);
    if (!code)
        code = read_states(f, &job, &s);
    if (!code && !f->opts->no_heads)
        code = fit_head(f, &s);
    if (!code && !f->opts->no_neighbours && f->n <= NEIGHBOURS_ROWS)
        code = fit_neighbours(f, &s);
    st_free(s.scale.mean);
    st_free(s.scale.factor);
    st_free(s.rows);
    return code;
}

static int fit_candidates(fit_work *f)
{
    int code = f->opts->no_words ? 0 : fit_words(f);
    bool read = !f->opts->no_heads || !f->opts->no_neighbours;
    for (uint32_t i = 0; i < f->n_models && read && !code; i++) {
        code = fit_lm(f, i);
        if (code)
            st_err_at(f->err, "%s", f->models[i].name);
    }
    if (!code && f->out->a->n_experts == 0)
        code = st_err_set(f->err, ST_EINVAL, "fit: no model, and words are left out");
    return code;
}

static void work_done(fit_work *f)
{
    for (uint32_t i = 0; f->hints && i < f->n_hints; i++)
        st_free(f->hints[i]);
    for (uint32_t e = 0; e < ARTIFACT_MAX_EXPERTS; e++)
        st_free(f->oof[e]);
    st_free(f->hints);
    st_free(f->texts);
    st_free(f->labels);
    st_free(f->folds);
    st_free(f->oof_labels);
    gemm_free(f->gemm);
    workers_free(f->workers);
}

static uint32_t count_rare(const fit_work *f)
{
    uint32_t count[QUESTION_MAX_OPTIONS] = {0}, rare = 0;
    for (uint32_t i = 0; i < f->n; i++)
        count[f->labels[i]]++;
    for (uint32_t j = 0; j < f->k; j++)
        rare += count[j] < 2;
    return rare;
}

static int run(fit_work *f, const char *contract_digest)
{
    int code;
    if ((code = workers_new(f->opts->n_threads, &f->workers, f->err)) ||
        (code = gemm_new(f->workers, &f->gemm, f->err)) || (code = prepare_rows(f)))
        return code;
    f->out->report.n_rare = count_rare(f);
    if ((code = fit_candidates(f)) || (code = fit_weights(f)))
        return code;
    return fit_score_all(f, contract_digest);
}

int fitted_new_empty(const question *q, const char *contract_digest,
                     const fit_model *models, uint32_t n_models, fitted **ret_fitted,
                     st_err *err)
{
    artifact_model list[ARTIFACT_MAX_MODELS];
    if (n_models > ARTIFACT_MAX_MODELS)
        return st_err_set(err, ST_ELIMIT, "fit: %u models, at most %d", n_models,
                          ARTIFACT_MAX_MODELS);
    for (uint32_t i = 0; i < n_models; i++)
        list[i] = (artifact_model){models[i].name, models[i].lm->digest,
                                   tok_digest(models[i].lm->tok), false};
    fitted *f = st_zalloc_n(1, sizeof *f);
    if (!f)
        return out_of_memory(err);
    int code = artifact_new(contract_digest, q, list, n_models, &f->a, err);
    if (code) {
        st_free(f);
        return code;
    }
    *ret_fitted = f;
    return 0;
}

int fit_run(const question *q, const char *contract_digest, const fit_data *data,
            const fit_model *models, uint32_t n_models, const fit_opts *opts,
            fitted **ret_fitted, st_err *err)
{
    fit_work f = {.q = q,
                  .data = data,
                  .models = models,
                  .n_models = n_models,
                  .opts = opts,
                  .n = data->n_train,
                  .k = q->n_options,
                  .err = err};
    uint64_t start = st_clock_us();
    int code = check_rows(q, data, err);
    if (!code)
        code = fitted_new_empty(q, contract_digest, models, n_models, &f.out, err);
    if (code)
        return code;
    f.n_folds = opts->n_folds ? opts->n_folds : DEFAULT_FOLDS;
    f.n_folds = f.n_folds < f.n ? f.n_folds : f.n;
    f.n_folds = f.n_folds < 2 ? 2 : f.n_folds > 100 ? 100 : f.n_folds;
    code = run(&f, contract_digest);
    work_done(&f);
    if (code) {
        fitted_free(f.out);
        return code;
    }
    f.out->report.seconds = (double)(st_clock_us() - start) / 1e6;
    *ret_fitted = f.out;
    return 0;
}

void fitted_free(fitted *f)
{
    if (!f)
        return;
    artifact_close(f->a);
    st_free(f);
}

const fit_report *fitted_report(const fitted *f)
{
    return &f->report;
}

int fitted_set(fitted *f, const char *key, const char *value, st_err *err)
{
    return artifact_set(f->a, key, value, err);
}

int fitted_save(const fitted *f, const char *path, st_err *err)
{
    return artifact_save(f->a, path, err);
}
