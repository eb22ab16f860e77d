/* expert/pool.h - fitted experts, opened for use and asked together.
 *
 * log p(option) = (sum over experts of weight * log p_expert(option)) / temperature,
 * normalised.  A pool is an artifact matched against the contract and the open models;
 * anything that is not what it was fitted on is refused, by name.  States are encoded
 * once for the experts that share them, and no model is run beyond its highest layer
 * in use.
 *
 * Threads: one owner (it uses the engines of its lms).  Memory: the artifact and the lms
 * must outlive it. */
#ifndef EXPERT_POOL_H
#define EXPERT_POOL_H
#include "expert/artifact.h"
#include "expert/fit.h"
#include "expert/lm.h"

typedef struct pool pool;

/* ST_EMISMATCH says which does not match: the contract's digest, the options, a model's
 * file, a model's tokenizer, or a used model that was not given.  Models that the
 * artifact does not know are ignored, models that no served expert uses need not be
 * given. */
ST_NODISCARD int pool_new(const artifact *a, const char *contract_digest,
                          const question *q, const fit_model *models, uint32_t n_models,
                          pool **ret_pool, st_err *err);
void pool_free(pool *p); /* NULL allowed */

uint32_t pool_n_options(const pool *p);
uint32_t pool_n_experts(const pool *p); /* 0: the artifact has settings only */
const char *pool_expert_name(const pool *p, uint32_t i);
double pool_expert_weight(const pool *p, uint32_t i);

typedef struct pool_answers { /* K options, E experts; parts not wanted are NULL */
    double *ret_probs;        /* [n, K] */
    double *ret_experts;      /* [n, E, K]: each expert's own distribution */
    double *ret_us; /* [E]: microseconds a row, averaged over this call; a state that
                     * several experts share is counted with the first of them */
} pool_answers;

/* Decide n texts.  The same text gives the same bytes whatever else is in the call.
 * ST_ELIMIT: text i does not fit a model's context (named); nothing is cut.  ST_EINVAL
 * when the pool has no experts. */
ST_NODISCARD int pool_decide(pool *p, const char *const *texts, const size_t *lens,
                             uint32_t n, const pool_answers *answers, st_err *err);
#endif
