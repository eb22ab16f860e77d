/* task/fitting.c - fit a task: its data and models into TASKNAME.stint. */
#include "task/fitting.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "task/length.h"
#include "task/models.h"

/* The rows of one split as fit takes them. */
typedef struct examples {
    question_row *rows;
    char **cuts; /* texts that were shortened, or NULL */
    uint32_t n;
} examples;

static void examples_done(examples *e)
{
    for (uint32_t i = 0; e->cuts && i < e->n; i++)
        st_free(e->cuts[i]);
    st_free(e->cuts);
    st_free(e->rows);
}

static int load_split(const contract *c, const char *name, data_set **ret_set,
                      st_err *err)
{
    const data_opts opts = {.need_labels = true};
    if (!name)
        return 0;
    char *path = st_path_beside(c->path, name);
    if (!path)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", c->path);
    int rc = data_load(path, &c->question, &opts, ret_set, err);
    st_free(path);
    return rc;
}

/* Length is held as it will be when deciding. */
static int make_examples(const fitting *f, const data_set *set, examples *e, st_err *err)
{
    if (!set)
        return 0;
    e->rows = st_zalloc_n(set->n, sizeof *e->rows);
    e->cuts = st_zalloc_n(set->n, sizeof *e->cuts);
    if (!e->rows || !e->cuts)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", set->path);
    for (; e->n < set->n; e->n++) {
        const data_row *row = &set->rows[e->n];
        size_t len = row->len;
        char *cut = NULL;
        int rc = length_hold(f->contract, f->lms, f->n_models, row->text, row->len, &cut,
                             &len, err);
        if (rc) {
            st_err_at(err, "%s:%zu", set->path, row->line);
            return rc;
        }
        e->cuts[e->n] = cut;
        e->rows[e->n] = (question_row){cut ? cut : row->text, len, row->label};
    }
    return 0;
}

static int open_models(fitting *f, unsigned n_threads, st_err *err)
{
    const contract *c = f->contract;
    for (uint32_t i = 0; i < c->n_models; i++) {
        int rc = models_open(NULL, c, c->models[i], n_threads, &f->lms[i], err);
        if (rc)
            return rc;
        f->models[i] = (fit_model){.name = c->models[i], .lm = f->lms[i]};
        f->n_models++;
    }
    return 0;
}

/* Try every model zero-shot and note the one, and the way to ask it, with lowest NLL. */
static int tune_readers(fitting *f, const examples *rows, const st_progress *progress,
                        st_err *err)
{
    char text[160];
    double lowest = (double)INFINITY;
    if (!f->n_models || rows->n == 0)
        return 0;
    for (; f->n_tuned < f->n_models; f->n_tuned++) {
        readout_tuning *t = &f->tunings[f->n_tuned];
        int rc = readout_tune(f->lms[f->n_tuned], &f->contract->question, rows->rows,
                              rows->n, 0, progress, t, err);
        if (rc)
            return rc;
        if (t->n_trials && t->trials[t->best].nll < lowest) {
            lowest = t->trials[t->best].nll;
            f->reader = f->n_tuned;
        }
    }
    const readout_tuning *best = &f->tunings[f->reader];
    if (best->n_trials == 0) /* no model can be asked: nothing to keep */
        return 0;
    if (readout_opts_write(&best->trials[best->best].opts, text, sizeof text))
        return st_err_set(err, ST_ELIMIT, "readout setting too long");
    int rc = fitted_set(f->fitted, "readout", text, err);
    return rc ? rc
              : fitted_set(f->fitted, "readout.model", f->models[f->reader].name, err);
}

static int fit_experts(fitting *f, const examples *train, const examples *dev,
                       const fitting_opts *opts, st_err *err)
{
    const contract *c = f->contract;
    const fit_data data = {train->rows, train->n, dev->rows, dev->n};
    if (!f->train)
        return fitted_new_empty(&c->question, c->digest, f->models, f->n_models,
                                &f->fitted, err);
    return fit_run(&c->question, c->digest, &data, f->models, f->n_models, &opts->fit,
                   &f->fitted, err);
}

static int load(fitting *f, const char *contract_path, const fitting_opts *opts,
                st_err *err)
{
    int rc = contract_load(contract_path, &f->contract, err);
    if (rc)
        return rc;
    const contract *c = f->contract;
    if (contract_writes(c))
        return st_err_set(err, ST_EUNSUPPORTED,
                          "%s: its question has no options to choose", contract_path);
    if (!c->train && !c->dev) {
        st_err_set(err, ST_ECONTRACT, "%s: there is nothing to fit on", c->path);
        st_err_hint(err, "name labelled rows: data: {train: train.jsonl}");
        return ST_ECONTRACT;
    }
    rc = load_split(c, c->train, &f->train, err);
    if (rc == 0)
        rc = load_split(c, c->dev, &f->dev, err);
    if (rc == 0)
        rc = open_models(f, opts->fit.n_threads, err);
    f->path = opts->artifact ? st_strdup(opts->artifact) : contract_artifact_path(c);
    if (rc == 0 && !f->path)
        rc = st_err_set(err, ST_ENOMEM, "%s: out of memory", c->path);
    return rc;
}

int fitting_run(const char *contract_path, const fitting_opts *opts,
                fitting **ret_fitting, st_err *err)
{
    examples train = {0};
    examples dev = {0};
    fitting *f = st_zalloc_n(1, sizeof *f);
    if (!f)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", contract_path);
    int rc = load(f, contract_path, opts, err);
    if (rc == 0)
        rc = make_examples(f, f->train, &train, err);
    if (rc == 0)
        rc = make_examples(f, f->dev, &dev, err);
    if (rc == 0)
        rc = fit_experts(f, &train, &dev, opts, err);
    if (rc == 0 && !opts->no_readout)
        rc = tune_readers(f, dev.n ? &dev : &train, opts->fit.progress, err);
    if (rc == 0)
        rc = fitted_save(f->fitted, f->path, err);
    examples_done(&train);
    examples_done(&dev);
    if (rc) {
        fitting_free(f);
        return rc;
    }
    *ret_fitting = f;
    return 0;
}

void fitting_free(fitting *f)
{
    if (!f)
        return;
    fitted_free(f->fitted);
    for (uint32_t i = 0; i < CONTRACT_MAX_MODELS; i++)
        lm_close(f->lms[i]);
    data_free(f->train);
    data_free(f->dev);
    contract_free(f->contract);
    st_free(f->path);
    st_free(f);
}
