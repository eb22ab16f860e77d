/* model/head.c - logits of final states.
 *
 * A head is a fifth to two thirds of a small model's weights, so it is multiplied only
 * for the rows that are asked for and, where the caller names ids, only for these. */
#include "model/model.h"

#include "model/work.h"
#include <math.h>

enum { ID_RUN = 64 }; /* ids that one thread takes at a time */

typedef struct head_job {
    const model *m;
    const kact *x;
    const int32_t *ids;
    uint32_t n_ids;
    float *logits;
} head_job;

/* Bias, scale and cap of one row of logits. */
static void finish_rows(void *arg, uint32_t row0, uint32_t row1, uint32_t worker)
{
    const head_job *job = arg;
    const model *m = job->m;
    const float *bias = m->head.bias;
    float cap = m->logit_softcap;
    (void)worker;
    for (uint32_t i = row0; i < row1; i++) {
        float *y = job->logits + (size_t)i * job->n_ids;
        for (uint32_t j = 0; bias && j < job->n_ids; j++)
            y[j] += bias[job->ids ? (uint32_t)job->ids[j] : j];
        for (uint32_t j = 0; m->logit_scale != 1.0f && j < job->n_ids; j++)
            y[j] *= m->logit_scale;
        for (uint32_t j = 0; cap != 0.0f && j < job->n_ids; j++)
            y[j] = cap * tanhf(y[j] / cap);
    }
}

static uint32_t id_runs(const head_job *job)
{
    return (job->n_ids + ID_RUN - 1) / ID_RUN;
}

/* One item is a run of ids of one row. */
static void some_ids(void *arg, uint32_t item0, uint32_t item1, uint32_t worker)
{
    const head_job *job = arg;
    uint32_t n_runs = id_runs(job);
    (void)worker;
    for (uint32_t item = item0; item < item1; item++) {
        uint32_t row = item / n_runs, first = item % n_runs * ID_RUN;
        uint32_t n = job->n_ids - first < ID_RUN ? job->n_ids - first : ID_RUN;
        job->m->kern->rows(&job->m->head.w, job->x, row, job->ids + first, n,
                           job->logits + (size_t)row * job->n_ids + first);
    }
}

static int check_head(const model *m, const model_work *work, uint32_t n_rows,
                      const int32_t *ids, uint32_t n_ids, st_err *err)
{
    if (!m->info.has_head)
        return st_err_set(err, ST_EINVAL, "a model of the family '%s' gives no logits",
                          m->info.arch);
    if (n_rows > work->max_tokens)
        return st_err_set(err, ST_ELIMIT, "%u rows of logits, room for %u", n_rows,
                          work->max_tokens);
    for (uint32_t j = 0; ids && j < n_ids; j++)
        if (ids[j] < 0 || (uint32_t)ids[j] >= m->info.n_vocab)
            return st_err_set(err, ST_EINVAL, "token %d, the vocabulary has %u", ids[j],
                              m->info.n_vocab);
    return 0;
}

int model_head(const model *m, model_work *work, const float *hidden, uint32_t n_rows,
               const int32_t *ids, uint32_t n_ids, float *ret_logits, st_err *err)
{
    kact x = work->h;
    const kmat *w = &m->head.w;
    head_job job = {.m = m,
                    .x = &x,
                    .ids = ids,
                    .n_ids = ids ? n_ids : m->info.n_vocab,
                    .logits = ret_logits};
    int rc = check_head(m, work, n_rows, ids, n_ids, err);
    if (rc < 0 || n_rows == 0)
        return rc;
    x.n = n_rows;
    x.x = hidden;
    work_quantise(work, &x, w);
    if (ids)
        work_rows(work, n_rows * id_runs(&job), some_ids, &job);
    else
        work_products(work, &(product){w, x, ret_logits, job.n_ids}, 1);
    work_rows(work, n_rows, finish_rows, &job);
    return 0;
}
