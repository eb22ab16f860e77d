/* task/extract_fit.c - fit a task of type extract or draft.
 *
 * Rows are those of data.dev and data.train in one list; a row of data.train knows its
 * own number there, so that it is not shown to itself. */
#include "task/extract_fit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "expert/fit.h"
#include "task/models.h"

enum { GROUP = 16, MAX_TEXT = 1 << 16 };

typedef struct fit_row {
    const data_row *row;
    uint32_t own; /* in data.train; UINT32_MAX */
} fit_row;

typedef struct work {
    extraction *x;
    extract_fit *out;
    const extract_fit_opts *opts;
    data_set *dev;
    lm *encoder;
    fit_row *rows; /* [n] dev first, spread over each set */
    uint32_t n;
    uint32_t n_tune; /* the first ones */
    true_row *fields;
    uint32_t n_fields, cap_fields;
    double *own_p;        /* [n_fields] the model's own probability */
    extract_answer *kept; /* answers whose pointers the fields name */
    uint32_t n_kept;
    extract_true *truth;
    st_err *err;
} work;

/* ---- rows ---- */

static int load_dev(work *w)
{
    const contract *c = extraction_contract(w->x);
    const data_opts opts = {.need_labels = true};
    if (!c->dev)
        return 0;
    char *path = st_path_beside(c->path, c->dev);
    if (!path)
        return st_err_set(w->err, ST_ENOMEM, "%s: out of memory", c->path);
    int rc = data_load(path, &c->question, &opts, &w->dev, w->err);
    st_free(path);
    return rc ? rc : extract_rows_check(c, w->dev, w->err);
}

/* At most `most` rows of a set, evenly spread. */
static void take_rows(work *w, const data_set *set, bool train, uint32_t most)
{
    uint32_t n = set->n < most ? set->n : most;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = (uint32_t)((uint64_t)i * set->n / n);
        w->rows[w->n++] = (fit_row){&set->rows[at], train ? at : UINT32_MAX};
    }
}

static int gather_rows(work *w)
{
    const data_set *train = extraction_train(w->x);
    uint32_t most = w->opts->max_rows ? w->opts->max_rows : EXTRACT_FIT_ROWS;
    w->rows = st_alloc_n((size_t)most + EXTRACT_TRUE_ROWS + 1, sizeof *w->rows);
    if (!w->rows)
        return st_err_set(w->err, ST_ENOMEM, "no memory to fit");
    if (w->dev)
        take_rows(w, w->dev, false, most);
    else
        take_rows(w, train, true, most);
    w->n_tune = w->n;
    if (w->dev && train && w->n < EXTRACT_TRUE_ROWS)
        take_rows(w, train, true, EXTRACT_TRUE_ROWS - w->n);
    return 0;
}

/* ---- one way of asking ---- */

typedef int look_fn(work *w, void *arg, const fit_row *row, extract_answer *a);

/* Decide rows [0, n) and look at each answer; the looker may keep it by clearing it. */
static int each_answer(work *w, uint32_t n, const char *what, look_fn *look, void *arg)
{
    extract_answer answers[GROUP];
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0; i += GROUP) {
        const char *texts[GROUP];
        size_t lens[GROUP];
        uint32_t own[GROUP];
        uint32_t some = n - i < GROUP ? n - i : GROUP;
        if (!st_progress_report(w->opts->progress, what, i, n))
            return st_err_set(w->err, ST_ECANCELLED, "stopped while fitting");
        for (uint32_t k = 0; k < some; k++) {
            texts[k] = w->rows[i + k].row->text;
            lens[k] = w->rows[i + k].row->len;
            own[k] = w->rows[i + k].own;
        }
        rc = extraction_decide(w->x, texts, lens, own, some, answers, w->err);
        for (uint32_t k = 0; k < some; k++) {
            if (rc == 0)
                rc = look(w, arg, &w->rows[i + k], &answers[k]);
            extract_answer_done(&answers[k]);
        }
    }
    return rc;
}

/* Compare an answer with its row; ret_right [fields.n] may be NULL. */
static int compare_row(work *w, const fit_row *row, const extract_answer *a,
                       fields_count *count, bool *ret_right)
{
    fields wanted;
    int rc = fields_read(row->row->output, row->row->output_len, &wanted, w->err);
    if (rc)
        return rc;
    const fields none = {0};
    rc = fields_compare(a->code ? &none : &a->fields, &wanted, count, ret_right, w->err);
    fields_done(&wanted);
    return rc;
}

static int look_trial(work *w, void *arg, const fit_row *row, extract_answer *a)
{
    extract_trial *t = arg;
    t->n_refused += a->code != 0;
    t->us += a->us;
    return compare_row(w, row, a, &t->fields, NULL);
}

static int try_way(work *w, uint32_t n_shots, shots_way find)
{
    extract_fit *out = w->out;
    extract_trial *t = &out->trials[out->n_trials];
    char what[64];
    *t = (extract_trial){.way = {n_shots, find}};
    snprintf(what, sizeof what, "trying %u examples by %s", n_shots,
             shots_way_name(find));
    int rc = extraction_set_way(w->x, &t->way, w->encoder, w->err);
    if (rc == 0)
        rc = each_answer(w, w->n_tune, what, look_trial, t);
    if (rc)
        return rc;
    t->us /= w->n_tune;
    if (fields_f1(&t->fields) > fields_f1(&out->trials[out->best].fields))
        out->best = out->n_trials;
    out->n_trials++;
    return 0;
}

/* None, four found in each way, and then fewer and more found in the best of them. */
static int try_ways(work *w)
{
    static const shots_way finds[] = {SHOTS_FIXED, SHOTS_WORDS, SHOTS_MODEL};
    int rc = try_way(w, 0, SHOTS_WORDS);
    if (rc || !extraction_train(w->x))
        return rc;
    for (size_t f = 0; f < ST_COUNT(finds) && rc == 0; f++)
        if (finds[f] != SHOTS_MODEL || w->encoder)
            rc = try_way(w, 4, finds[f]);
    const extract_trial *best = &w->out->trials[w->out->best];
    shots_way find = best->way.n_shots ? best->way.find : SHOTS_WORDS;
    if (rc == 0)
        rc = try_way(w, 2, find);
    return rc ? rc : try_way(w, 8, find);
}

/* ---- what scores are worth ---- */

static int keep_field(work *w, const extract_answer *a, uint32_t i, bool right)
{
    if (w->n_fields == w->cap_fields) {
        uint32_t cap = w->cap_fields ? 2 * w->cap_fields : 256;
        true_row *rows = st_realloc_n(w->fields, cap, sizeof *rows);
        if (rows)
            w->fields = rows;
        double *own = rows ? st_realloc_n(w->own_p, cap, sizeof *own) : NULL;
        if (own)
            w->own_p = own;
        if (!own)
            return st_err_set(w->err, ST_ENOMEM, "no memory to fit");
        w->cap_fields = cap;
    }
    w->own_p[w->n_fields] = exp(a->scores[i].logp);
    w->fields[w->n_fields++] =
        (true_row){fields_pointer(&a->fields, i), a->scores[i], right};
    w->out->n_right += right;
    return 0;
}

static int look_fields(work *w, void *arg, const fit_row *row, extract_answer *a)
{
    fields_count count = {0};
    (void)arg;
    if (a->code)
        return 0;
    bool *right = st_zalloc_n(a->fields.n, sizeof *right);
    if (!right)
        return st_err_set(w->err, ST_ENOMEM, "no memory to fit");
    int rc = compare_row(w, row, a, &count, right);
    for (uint32_t i = 0; i < a->fields.n && rc == 0; i++)
        if (fields_is(&a->fields, i))
            rc = keep_field(w, a, i, right[i]);
    st_free(right);
    if (rc == 0) { /* its pointers are named */
        w->kept[w->n_kept++] = *a;
        *a = (extract_answer){0};
    }
    return rc;
}

static double mean_nll(const work *w, bool fitted_ones)
{
    double sum = 0;
    for (uint32_t i = 0; i < w->n_fields; i++) {
        const true_row *r = &w->fields[i];
        double p =
            fitted_ones ? extract_true_of(w->truth, r->pointer, r->score) : w->own_p[i];
        p = r->right ? p : 1 - p;
        sum -= log(p > 1e-6 ? p : 1e-6);
    }
    return sum / w->n_fields;
}

static int learn_truth(work *w)
{
    st_err why = {0};
    extract_fit *out = w->out;
    w->kept = st_zalloc_n(w->n + 1u, sizeof *w->kept);
    if (!w->kept)
        return st_err_set(w->err, ST_ENOMEM, "no memory to fit");
    int rc = extraction_set_way(w->x, &out->trials[out->best].way, w->encoder, w->err);
    extraction_set_repair(w->x, true);
    if (rc == 0)
        rc = each_answer(w, w->n, "judging fields", look_fields, NULL);
    if (rc)
        return rc;
    rc = extract_true_fit(w->fields, w->n_fields, &w->truth, &why);
    if (rc == ST_EINVAL) /* nothing to learn: the model's own probabilities stay */
        return 0;
    if (rc)
        return st_err_set(w->err, rc, "%s", why.message);
    out->n_fields = w->n_fields;
    out->nll_before = mean_nll(w, false);
    out->nll_after = mean_nll(w, true);
    return 0;
}

/* ---- writing it down ---- */

static int set_all(work *w, fitted *f)
{
    const extract_way *way = &w->out->trials[w->out->best].way;
    const data_set *train = extraction_train(w->x);
    char shots_text[40];
    st_buf truth;
    snprintf(shots_text, sizeof shots_text, "%u %s", way->n_shots,
             shots_way_name(way->find));
    int rc = fitted_set(f, "extract.model", w->out->model, w->err);
    if (rc == 0)
        rc = fitted_set(f, "extract.shots", shots_text, w->err);
    if (rc == 0 && way->n_shots)
        rc = fitted_set(f, "extract.train", train->digest, w->err);
    if (rc == 0 && way->n_shots && way->find == SHOTS_MODEL)
        rc = fitted_set(f, "extract.encoder", w->out->encoder, w->err);
    if (rc || !w->truth)
        return rc;
    st_buf_init(&truth, MAX_TEXT);
    rc = extract_true_write(w->truth, &truth);
    rc = rc ? st_err_set(w->err, rc, "no memory to fit")
            : fitted_set(f, "extract.true", truth.data, w->err);
    st_buf_done(&truth);
    return rc;
}

static int save(work *w)
{
    const contract *c = extraction_contract(w->x);
    const extract_way *way = &w->out->trials[w->out->best].way;
    const fit_model models[] = {{w->out->model, extraction_lm(w->x)},
                                {w->out->encoder, w->encoder}};
    uint32_t n_models = way->n_shots && way->find == SHOTS_MODEL ? 2 : 1;
    fitted *f;
    int rc = fitted_new_empty(&c->question, c->digest, models, n_models, &f, w->err);
    if (rc)
        return rc;
    rc = set_all(w, f);
    if (rc == 0)
        rc = fitted_save(f, w->out->path, w->err);
    fitted_free(f);
    return rc;
}

/* ---- the door ---- */

/* The first model of the contract that is an encoder, where it may be tried. */
static int open_encoder(work *w)
{
    const contract *c = extraction_contract(w->x);
    const data_set *train = extraction_train(w->x);
    if (!train || train->n > EXTRACT_ENCODER_ROWS)
        return 0;
    for (uint32_t i = 0; i < c->n_models && !w->encoder; i++) {
        if (strcmp(c->models[i], w->out->model) == 0)
            continue;
        int rc =
            models_open(NULL, c, c->models[i], w->opts->n_threads, &w->encoder, w->err);
        if (rc)
            return rc;
        w->out->encoder = c->models[i];
        if (!model_about(w->encoder->model)->causal)
            continue;
        lm_close(w->encoder);
        w->encoder = NULL;
        w->out->encoder = NULL;
    }
    return 0;
}

static int fit_all(work *w)
{
    const contract *c = extraction_contract(w->x);
    extract_fit *out = w->out;
    out->model = extraction_model(w->x);
    out->path =
        w->opts->artifact ? st_strdup(w->opts->artifact) : contract_artifact_path(c);
    if (!out->path)
        return st_err_set(w->err, ST_ENOMEM, "%s: out of memory", c->path);
    int rc = load_dev(w);
    if (rc == 0)
        rc = gather_rows(w);
    if (rc == 0)
        rc = open_encoder(w);
    if (rc == 0)
        rc = try_ways(w);
    if (rc == 0)
        rc = learn_truth(w);
    out->n_rows = w->n_tune;
    return rc ? rc : save(w);
}

static void work_done(work *w)
{
    for (uint32_t i = 0; i < w->n_kept; i++)
        extract_answer_done(&w->kept[i]);
    st_free(w->kept);
    st_free(w->fields);
    st_free(w->own_p);
    st_free(w->rows);
    extract_true_free(w->truth);
    data_free(w->dev);
    lm_close(w->encoder);
}

static int open_work(contract *c, const extract_fit_opts *opts, work *w, st_err *err)
{
    const extraction_opts how = {
        .n_threads = opts->n_threads, .unfitted = true, .no_repair = true};
    if (!c->train && !c->dev) {
        st_err_set(err, ST_ECONTRACT, "%s: there is nothing to fit on", c->path);
        st_err_hint(err, "name rows with outputs: data: {train: train.jsonl}");
        contract_free(c);
        return ST_ECONTRACT;
    }
    return extraction_open(c, &how, &w->x, err);
}

int extract_fit_run(contract *c, const extract_fit_opts *opts, extract_fit **ret_fit,
                    st_err *err)
{
    uint64_t start = st_clock_us();
    work w = {.opts = opts, .err = err};
    int rc = open_work(c, opts, &w, err);
    if (rc)
        return rc;
    w.out = st_zalloc_n(1, sizeof *w.out);
    rc = w.out ? fit_all(&w) : st_err_set(err, ST_ENOMEM, "no memory to fit");
    work_done(&w);
    if (rc == 0) {
        w.out->contract = extraction_release(w.x);
        w.out->seconds = (double)(st_clock_us() - start) / 1e6;
        *ret_fit = w.out;
    } else {
        extract_fit_free(w.out);
        extraction_close(w.x);
    }
    return rc;
}

void extract_fit_free(extract_fit *f)
{
    if (!f)
        return;
    contract_free(f->contract);
    st_free(f->path);
    st_free(f);
}
