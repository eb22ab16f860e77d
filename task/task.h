/* task/task.h - a task opened for use: contract, models, what was fitted; and its
 * answers.
 *
 * The way of an input:  rules -> length -> experts (fitted) or zero-shot (not fitted).
 * What was fitted lies beside the contract in TASKNAME.stint and is bound to the digests
 * of contract, weights and tokenizers; with any other it is ST_EMISMATCH, and the error
 * says to run `stint fit`.
 *
 * Only models that are needed are opened: those of the experts in use, or for zero-shot
 * the one that `stint fit` found best, before that the first that the contract lists.
 *
 * Version: SHA-256 of the digests of contract, artifact and models in use, and of the way
 * a zero-shot model is asked.  The same version gives the same answers.
 *
 * In a server models are lent (opts.source).  Then task_open may run on any thread and
 * touches no engine; all that follows is on the thread that owns the engines: task_bind
 * first, task_start (task/start.h) or task_decide for each input, task_close.
 *
 * Threads: one owner, as above; what does not change (contract, version, way, names) may
 * be read by any. */
#ifndef TASK_TASK_H
#define TASK_TASK_H
#include "base/err.h"
#include "expert/readout.h"
#include "task/contract.h"
#include "task/models.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct task task;

typedef enum task_route { /* who answered */
                          TASK_RULE,
                          TASK_EXPERTS,
                          TASK_ZERO_SHOT,
} task_route;
const char *task_route_name(task_route route); /* "rule", "experts", "zero-shot" */

typedef struct task_opts {
    unsigned n_threads;   /* 0: st_cpu_count() */
    bool zero_shot;       /* leave the fitted experts aside (a fitted readout is used) */
    const char *artifact; /* another file than TASKNAME.stint beside the contract; NULL */
    const model_source *source; /* NULL: models of its own; else it outlives the task */
} task_opts;

/* ST_EUNSUPPORTED: a question of type extract or draft (task/extraction.h). */
ST_NODISCARD int task_open(const char *contract_path, const task_opts *opts,
                           task **ret_task, st_err *err);
void task_close(task *t); /* NULL allowed */

const contract *task_contract(const task *t);
const char *task_version(const task *t); /* 64 hexadecimal digits */
task_route task_way(const task *t);      /* TASK_EXPERTS or TASK_ZERO_SHOT */
uint32_t task_n_experts(const task *t);  /* 0 on the way of zero-shot */
const char *task_expert_name(const task *t, uint32_t i);
/* How a zero-shot model is asked, and its name in the contract; NULL otherwise. */
const readout_opts *task_readout(const task *t);
const char *task_readout_model(const task *t);

typedef struct task_answer {
    int code; /* 0, or why this input has no answer: the rest is not set */
    char why[200];
    uint32_t answer;   /* index of the option with the highest probability */
    double confidence; /* its probability */
    task_route route;
    int32_t rule;      /* index of the rule that answered; -1 */
    bool truncated;    /* the middle of the input was left out (on_too_long) */
    double label_mass; /* zero-shot by a decoder: probability of all options; else NaN */
    double us;         /* microseconds; inputs that went together share their time */
} task_answer;

/* Decide n inputs.  ret_probs [n, K]; ret_experts [n, E, K] may be NULL, and is zero for
 * inputs that the experts did not see.  An input that is too long or that a rule's
 * pattern gives up on is an error of its answer only. */
ST_NODISCARD int task_decide(task *t, const char *const *texts, const size_t *lens,
                             uint32_t n, task_answer *ret_answers, double *ret_probs,
                             double *ret_experts, st_err *err);

/* What needs an engine, once, before anything is asked: beginnings of prompts are pinned
 * in the models' schedulers, names of options embedded.  A task with models of its own is
 * bound by task_open. */
ST_NODISCARD int task_bind(task *t, st_err *err);

/* Mean of the levels' numbers, weighted: what a score question comes to (0-based). */
double task_score(const double *probs, uint32_t n);
#endif
