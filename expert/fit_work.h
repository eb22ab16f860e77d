/* expert/fit_work.h - what the parts of a fit share, inside this room. */
#ifndef EXPERT_FIT_WORK_H
#define EXPERT_FIT_WORK_H
#include "expert/fit.h"
#include "expert/experts.h"
#include "expert/reading.h"
#include "expert/words.h"
#include "stats/gemm.h"

enum { FIT_TEXT = 96 }; /* bytes of a name in the report */

struct fitted {
    artifact *a; /* during a fit: every candidate; afterwards those that are served */
    fit_report report;
    fit_expert experts[ARTIFACT_MAX_EXPERTS];
    char names[ARTIFACT_MAX_EXPERTS][FIT_TEXT];
    char models[ARTIFACT_MAX_EXPERTS][FIT_TEXT];
    char poolings[ARTIFACT_MAX_EXPERTS][FIT_TEXT];
};

typedef struct fit_work {
    const question *q;
    const fit_data *data;
    const fit_model *models;
    uint32_t n_models;
    const fit_opts *opts;
    uint32_t n, k, n_hints, n_folds;
    words_text *texts;   /* [n + n_hints]: rows, then encoded label names */
    int32_t *labels;     /* [n + n_hints] */
    char **hints;        /* [n_hints] owned texts */
    uint8_t *folds;      /* [n] */
    uint32_t n_judged;   /* folds that are predicted: the first ones */
    uint32_t n_oof;      /* rows of those folds */
    int32_t *oof_labels; /* [n_oof] */
    workers *workers;
    gemm *gemm;
    fitted *out;
    float *oof[ARTIFACT_MAX_EXPERTS]; /* [n_oof, k] of out->a->experts, out of fold */
    st_err *err;
} fit_work;

/* fit_report.c: fill the report's scores and costs; drop experts of no weight. */
ST_NODISCARD int fit_score_all(fit_work *f, const char *contract_digest);

/* fit_pool.c: the experts' weights by out-of-fold NLL, into out->a->experts. */
ST_NODISCARD int fit_weights(fit_work *f);
#endif
