/* expert/readout_ask.h - texts through a readout, whose answers come later.
 *
 *   readout_start -> a prompt and a request of the scheduler for each rotation -> done
 *
 * Where PMI asks what the model answers to nothing, that is asked first, once; answers
 * wait for it.
 *
 * Threads: the owner of the lm, who steps its scheduler (lm_sched). */
#ifndef EXPERT_READOUT_ASK_H
#define EXPERT_READOUT_ASK_H
#include "engine/sched.h"
#include "expert/readout.h"

typedef struct readout_reply { /* valid during the call */
    const double *logp;        /* [rotations, n_options] as of readout_raw */
    const double *probs;       /* [n_options]; NULL where only scores were asked for */
    double mass;
    uint32_t n_prompt; /* tokens of all rotations, and those that were not run again */
    uint32_t n_cached;
    uint64_t queued_us; /* until the first rotation became live */
} readout_reply;

typedef struct readout_ask {
    const char *text; /* NULL: the neutral input.  Needed by readout_start only */
    size_t len;
    bool scores; /* logp only: of no use is what the neutral input gets */
    sched_class class;
    uint64_t key;
    uint64_t deadline_us; /* as of sched_request */
    /* Once: reply, or NULL and why. */
    void (*done)(void *arg, const readout_reply *reply, const st_err *why);
    void *arg;
} readout_ask;

/* Not for READOUT_NAMES.  ST_ELIMIT: the context does not hold the text; ST_EBUSY: the
 * queue is full.  `done` is called from steps only, never before this returns. */
ST_NODISCARD int readout_start(readout *r, const readout_ask *ask, uint64_t *ret_handle,
                               st_err *err);
/* Its done gets ST_ECANCELLED, at once or from the next step; unknown: nothing. */
void readout_cancel(readout *r, uint64_t handle);
#endif
