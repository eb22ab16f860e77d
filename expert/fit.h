/* expert/fit.h - learn experts from labelled rows and pool them.
 *
 * The experts and their names:
 *   words                hashed word 1-2-grams and character 2-4-grams, logistic
 * regression NAME                 head: logistic regression on a hidden state of model
 * NAME neighbours:NAME      cosine neighbours among the training rows, by the state of
 * NAME Everything is chosen by out-of-fold predictions on the training rows: layer,
 * pooling, regulariser, and last the pool's weights and temperature.  Development rows
 * are only reported on.  An expert whose weight in the pool is zero is not served: it is
 * in the report and not in the artifact.
 *
 * The same rows, models, seed and options give the same artifact bytes on any number of
 * threads (costs in the report are measured and differ).
 *
 * Threads: the caller's; it uses `n_threads` in all.  Rows and lms are borrowed. */
#ifndef EXPERT_FIT_H
#define EXPERT_FIT_H
#include "base/progress.h"
#include "expert/artifact.h"
#include "expert/lm.h"
#include "expert/question.h"

typedef struct fit_model {
    const char *name; /* as in the contract; unique */
    lm *lm;
} fit_model;

typedef struct fit_data {
    const question_row
        *train; /* label in [0, n_options), text not longer than contexts */
    uint32_t n_train;
    const question_row *dev; /* NULL, 0: no report on dev */
    uint32_t n_dev;
} fit_data;

typedef struct fit_opts {
    unsigned n_threads; /* 0: st_cpu_count() */
    uint64_t seed;
    uint32_t n_folds; /* 0: 5; fewer when there are fewer rows */
    bool no_words;    /* leave this kind out */
    bool no_heads;
    bool no_neighbours;
    const st_progress *progress; /* NULL: silent; false from it gives ST_ECANCELLED */
} fit_opts;

typedef struct fit_score { /* on one set of rows */
    uint32_t n;            /* 0: no such rows, the rest is meaningless */
    double accuracy;
    double macro_f1;
    double nll;
    double ece;       /* 15 bins of equal width */
    double ece_noise; /* what a perfectly calibrated model of these confidences shows */
} fit_score;

typedef struct fit_expert { /* one line of the report */
    const char *name;
    const char *kind;    /* "words", "head", "neighbours" */
    const char *model;   /* NULL: needs none */
    uint32_t layer;      /* state after this layer; the model is not run beyond */
    uint32_t n_layers;   /* of the model; 0: needs none */
    const char *pooling; /* "mean", "last", "prompt mean", "prompt last"; "" for words */
    double reg;          /* chosen regulariser; neighbours: chosen temperature */
    double weight;       /* in the pool; 0: not served */
    double us;     /* measured microseconds a decision, one thread of work at a time;
                    * neighbours: on top of the head that has the same state */
    fit_score oof; /* training rows out of fold; of many rows some thousands */
    fit_score dev;
} fit_expert;

typedef struct fit_report {
    const fit_expert *experts;
    uint32_t n_experts;
    fit_score pool_oof; /* weights and temperature were fitted on these predictions */
    fit_score pool_dev;
    double temperature; /* of the pool */
    double pool_us;
    double seconds;
    uint32_t n_rare; /* options with fewer than two rows */
} fit_report;

typedef struct fitted fitted; /* report and artifact in memory */

/* ST_EINVAL: no rows, a label out of range, all rows of one label (named), or nothing to
 * fit; ST_ELIMIT: a row longer than a model's context (row and model named);
 * ST_ECANCELLED. */
ST_NODISCARD int fit_run(const question *q, const char *contract_digest,
                         const fit_data *data, const fit_model *models, uint32_t n_models,
                         const fit_opts *opts, fitted **ret_fitted, st_err *err);
void fitted_free(fitted *f); /* NULL allowed */
const fit_report *fitted_report(const fitted *f);

/* Keep a setting in the artifact; the key must not be set already, at most 128 bytes of
 * [a-z0-9._:-]; the value at most 64 KiB of UTF-8. */
ST_NODISCARD int fitted_set(fitted *f, const char *key, const char *value, st_err *err);

/* Write the artifact (atomically). */
ST_NODISCARD int fitted_save(const fitted *f, const char *path, st_err *err);

/* An artifact that holds settings only (no examples were given, or only the readout was
 * tuned): fitted_set and fitted_save as above, no experts, an empty report. */
ST_NODISCARD int fitted_new_empty(const question *q, const char *contract_digest,
                                  const fit_model *models, uint32_t n_models,
                                  fitted **ret_fitted, st_err *err);
#endif
