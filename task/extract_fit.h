/* task/extract_fit.h - fit a task of type extract or draft: its data and models into
 * TASKNAME.stint.
 *
 * Chosen on data.dev (without one on data.train, where a row is not its own example): how
 * many examples are shown and how they are found, by the F1 of fields at the first
 * attempt.  Then what the scores of a field are worth, on rows of both.
 *
 * The file is bound to the digests of the contract, of the models in use and of
 * data.train, whose rows are the examples.
 *
 * Threads: the caller's. */
#ifndef TASK_EXTRACT_FIT_H
#define TASK_EXTRACT_FIT_H
#include "base/progress.h"
#include "task/extraction.h"

typedef struct extract_fit_opts {
    unsigned n_threads;          /* 0: st_cpu_count() */
    const char *artifact;        /* another file than TASKNAME.stint; NULL */
    uint32_t max_rows;           /* that a way is tried on; 0: EXTRACT_FIT_ROWS */
    const st_progress *progress; /* NULL: silent; false from it gives ST_ECANCELLED */
} extract_fit_opts;

enum {
    EXTRACT_FIT_ROWS = 32,
    EXTRACT_TRUE_ROWS = 72,      /* at most, for what scores are worth */
    EXTRACT_ENCODER_ROWS = 2000, /* of data.train, over which no encoder is tried: it
                                  * reads all of them whenever the task is opened */
};

typedef struct extract_trial {
    extract_way way;
    fields_count fields;
    uint32_t n_refused; /* rows without an answer */
    double us;          /* microseconds a row */
} extract_trial;

typedef struct extract_fit {
    extract_trial trials[8];
    uint32_t n_trials;
    uint32_t best;
    uint32_t n_rows;   /* that each was tried on */
    uint32_t n_fields; /* that the worth of scores was learnt from; 0: it was not */
    uint32_t n_right;  /* of those */
    double nll_before; /* mean, of the model's own probabilities */
    double nll_after;
    const char *model;   /* names in the contract; valid while the contract is */
    const char *encoder; /* NULL: none was tried */
    char *path;          /* of the file written */
    double seconds;
    contract *contract;
} extract_fit;

/* Takes the contract, also when it fails. */
ST_NODISCARD int extract_fit_run(contract *c, const extract_fit_opts *opts,
                                 extract_fit **ret_fit, st_err *err);
void extract_fit_free(extract_fit *f); /* NULL allowed */
#endif
