/* serve/task_item.h - the answer to one input of a task, as JSON.
 *
 *   choice, predicate, score   a decision as OpenAI's are, with `usage` and `stint`
 *   extract, draft             output (as it was written, digit by digit), text, fields,
 *                              faults, repaired, usage, stint
 *
 * Threads: made on the engine thread, written on another. */
#ifndef SERVE_TASK_ITEM_H
#define SERVE_TASK_ITEM_H
#include "serve/call.h"
#include "serve/stint_extra.h"

typedef struct task_item {
    json_t *rest;      /* all members but `output`; NULL: there is no answer, */
    char *output;      /* JSON text; NULL: none */
    problem wrong;     /* and why; message NULL: no memory */
    const char *label; /* of a decision: what was chosen, the contract's; NULL */
    const char *route;
    double confidence;
    uint32_t n_prompt, n_cached, n_new;
    uint64_t queued_us;
} task_item;

/* Take over what is told about an input; `answer` or `why`. */
void task_item_take(task_item *it, const hub_use *u, const hub_answer *answer,
                    const st_err *why);
void task_item_done(task_item *it);

/* Is it not this input's fault, but of the load, the memory or the end of the server? */
bool task_item_is_ours(const task_item *it);

/* Append the answer, with more members first ("\"index\":3,"); false: no memory. */
bool task_item_write(const task_item *it, const char *more, st_buf *out);

extern const member task_usage_members[], task_item_members[]; /* for descriptions */
json_t *task_usage(uint64_t n_prompt, uint64_t n_cached, uint64_t n_new);
#endif
