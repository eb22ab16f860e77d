/* task/task_parts.h - a task, for the files that open it and that decide. */
#ifndef TASK_TASK_PARTS_H
#define TASK_TASK_PARTS_H
#include "expert/artifact.h"
#include "expert/pool.h"
#include "task/task.h"

struct task {
    contract *contract;
    const model_source *source;            /* of the models; NULL: they are its own */
    artifact *artifact;                    /* NULL: nothing was fitted */
    pool *pool;                            /* NULL on the way of zero-shot */
    readout *readout;                      /* on the way of zero-shot, once bound */
    readout_opts how;                      /* of the readout */
    lm *lms[CONTRACT_MAX_MODELS];          /* open models */
    fit_model models[CONTRACT_MAX_MODELS]; /* and their names */
    uint32_t n_models;
    char version[ST_DIGEST_TEXT];
};
#endif
