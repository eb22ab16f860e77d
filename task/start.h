/* task/start.h - inputs for tasks whose answers come later, from a scheduler's steps.
 *
 *   task_start -> rules, length -> a request for each rotation -> done
 *   extraction_start -> length, examples -> an attempt -> checks -> once more -> done
 *
 * All is on the thread that owns the engines, which steps the scheduler of the model
 * (lm_sched) as long as it has work; both may be called from that scheduler's callbacks.
 * task_decide and extraction_decide are the same with a loop of their own.
 *
 * Threads: as above. */
#ifndef TASK_START_H
#define TASK_START_H
#include "engine/sched.h"
#include "task/extraction.h"
#include "task/task.h"

/* Is it answered through its model's scheduler (zero-shot by a decoder)?  Then task_start
 * asks; else task_decide, which takes as long as it takes. */
bool task_is_async(const task *t);

typedef struct task_reply {
    const task_answer *answer; /* its code says whether this input has an answer */
    const double *probs;       /* [n_options] when it has */
    uint32_t n_prompt;         /* tokens of its prompt in all rotations; 0: no model */
    uint32_t n_cached;         /* of those, not run again */
    uint64_t queued_us;        /* until the model began with it */
} task_reply;

typedef struct task_ask {
    const char *text; /* borrowed until done */
    size_t len;
    sched_class class;
    uint64_t key;         /* as of sched_request */
    uint64_t deadline_us; /* on st_clock_us(); 0: none */
    /* Once, if task_start returned 0, maybe before it does (a rule answered, the input is
     * too long) or from the scheduler's step.  `reply` is valid during the call; NULL
     * when there is none, and `why` says why: ST_ECANCELLED, ST_ETIMEOUT, ST_ENOMEM, or
     * ST_EBUSY: no pages. */
    void (*done)(void *arg, const task_reply *reply, const st_err *why);
    void *arg;
} task_ask;

/* Ask; the scheduler of the model (lm_sched) is stepped by its owner.  May be called from
 * that scheduler's callbacks.  *ret_handle: 0 when done was called already.  ST_EBUSY:
 * the queue is full; ST_EUNSUPPORTED: not task_is_async. */
ST_NODISCARD int task_start(task *t, const task_ask *ask, uint64_t *ret_handle,
                            st_err *err);
/* Its done gets ST_ECANCELLED, before the next step or from it.  Unknown or done:
 * nothing.
 */
void task_cancel(task *t, uint64_t handle);

typedef struct extraction_ask {
    const char *text; /* borrowed until done */
    size_t len;
    sched_class class;
    uint64_t key;
    uint64_t deadline_us; /* of both attempts together; 0: none */
    /* `answer` is done with after the call.  As task_ask.done. */
    void (*done)(void *arg, const extract_answer *answer, const st_err *why);
    void *arg;
} extraction_ask;
ST_NODISCARD int extraction_start(extraction *x, const extraction_ask *ask,
                                  uint64_t *ret_handle, st_err *err);
void extraction_cancel(extraction *x, uint64_t handle);
#endif
