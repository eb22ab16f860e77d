/* task/fitting.h - fit a task: its data and models into TASKNAME.stint.
 *
 * Experts are fitted on data.train and reported on data.dev.  Which model answers
 * zero-shot, and how it is asked, is chosen on data.dev, or on data.train where there is
 * no dev (a zero-shot model has learnt from neither).  Without data.train only that
 * choice is kept.
 *
 * Threads: the caller's. */
#ifndef TASK_FITTING_H
#define TASK_FITTING_H
#include "expert/fit.h"
#include "expert/readout.h"
#include "task/contract.h"
#include "task/data.h"

typedef struct fitting_opts {
    fit_opts fit;         /* threads, seed, folds, what to leave out, progress */
    bool no_readout;      /* leave the zero-shot choice at its default */
    const char *artifact; /* another file than TASKNAME.stint beside the contract; NULL */
} fitting_opts;

typedef struct fitting {
    contract *contract;
    data_set *train; /* NULL: none was named */
    data_set *dev;
    fitted *fitted;
    readout_tuning tunings[CONTRACT_MAX_MODELS]; /* one for each of n_tuned models */
    uint32_t n_tuned;
    uint32_t reader; /* the model that answers zero-shot: lowest NLL; while n_tuned */
    char *path;      /* of the file written */
    lm *lms[CONTRACT_MAX_MODELS];
    fit_model models[CONTRACT_MAX_MODELS];
    uint32_t n_models;
} fitting;

/* Read, fit, tune and write.  A row that cannot be used is an error with its line. */
ST_NODISCARD int fitting_run(const char *contract_path, const fitting_opts *opts,
                             fitting **ret_fitting, st_err *err);
void fitting_free(fitting *f); /* NULL allowed */
#endif
