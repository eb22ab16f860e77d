/* serve/hub_desk.h - inputs of one task on their way; of the hub's files only.
 *
 *   hub_ask_task --> flow of its key and class --> batch --> task_decide --------> done
 *                                             '--> task_start, extraction_start -> done
 *
 * Interactive before bulk, then the key that was served the fewest inputs, then the older
 * input.  What fitted experts and encoders decide goes in batches, as many inputs as are
 * likely to fit into opts.max_ask_us, going by how long the last ones took, and one at
 * least.  What a model writes or is asked zero-shot is started, DESK_STARTED inputs at a
 * time, and goes on in the steps of its scheduler.
 *
 * Threads: the queue is under the hub's lock; the rest is the engine thread's. */
#ifndef SERVE_HUB_DESK_H
#define SERVE_HUB_DESK_H
#include "serve/hub_priv.h"

enum { DESK_BATCH = 64, DESK_STARTED = 64 };

typedef struct desk_wait { /* an input on its way */
    struct desk_wait *next;
    hub_desk *desk;
    hub_ask ask;
    uint64_t id;
    uint64_t came_us;
    uint64_t handle;   /* of one that was started */
    uint32_t n_tokens; /* of one that goes in a batch, by the model that counts most */
    bool cancelled;    /* under lock */
    char text[];
} desk_wait;

typedef struct desk_flow { /* inputs of one key and class, oldest first */
    struct desk_flow *next;
    uint64_t key;
    sched_class class;
    uint64_t served;
    desk_wait *first, **last;
    uint32_t n;
} desk_flow;

struct hub_desk {
    hub_use *use;
    hub_turn turn;
    /* under the hub's lock: */
    desk_flow *flows;
    uint64_t clock[2];  /* `served` of the flow that was served last, of each class */
    desk_wait *started; /* that a scheduler has */
    uint32_t n_started;
    uint32_t n_last; /* inputs of the last batch */
    double us_unit;  /* of a batch, for each of its inputs' desk_units; a moving mean */
    /* of a batch; engine thread: */
    const char *texts[DESK_BATCH];
    size_t lens[DESK_BATCH];
    task_answer answers[DESK_BATCH];
    double *probs;   /* [DESK_BATCH, options] */
    double *experts; /* [DESK_BATCH, experts, options]; NULL: none */
};

/* What an input costs, beside others: its bytes, and something for being one. */
static inline double desk_units(const desk_wait *w)
{
    return 64 + (double)w->ask.len;
}

/* --- the queue (hub_queue.c); all with lock */

/* Takes both; a flow that is not needed is freed. */
void desk_enter(hub_desk *d, desk_wait *w, desk_flow *flow);
void desk_return(hub_desk *d, desk_wait *w); /* it comes first in its flow again */
/* Whose turn it is, taken out; NULL: nobody waits. */
desk_wait *desk_next(hub_desk *d);
/* All that were cancelled or came too late, taken out and linked. */
desk_wait *desk_expired(hub_desk *d, uint64_t now);
desk_wait *desk_find(const hub_desk *d, uint64_t id);
uint32_t desk_held(const hub_desk *d, uint64_t key); /* that wait, of a key */
void desk_flows_free(hub_desk *d);                   /* those that are empty */

/* --- turns (hub_desk.c) */

/* The desk of a task that is open.  With `loading`. */
ST_NODISCARD int hub_desk_new(hub_use *u, st_err *err);
void hub_desk_free(hub_desk *d); /* engine thread, nothing waits; NULL allowed */
#endif
