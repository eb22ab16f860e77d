/* engine/sched_core.h - what the scheduler's files share; nobody else includes it.
 *
 *                 .------------- preempt -------------.
 *                 v                                   |
 *   submit --> inbox --> waiting in its flow --admit--> live --> end --> free
 *              (lock)         |  ^ states and embeddings run from here     ^
 *                             '-- cancel, deadline, stop ------------------'
 *
 * A flow is the requests of one key and class.  A live request has a sequence; it holds
 * tokens[0, seq_len), and what is left of tokens[0, n) is to be run: a prompt, one token
 * that was just made, or all of it after a preemption.  There is no other state, so
 * resuming is nothing special.
 *
 * Standing of a live request: (class, rank, id), rank counting the older live requests of
 * its flow.  Whoever stands last gives way when pages or places run out, so every flow
 * keeps its first request longest and the one that stands first is never preempted.
 *
 * So that bulk does not starve, it has a turn every BULK_EVERY steps, in which its
 * prompts come first.  One request of bulk, that came by such a turn, stands before all
 * others until it ends; while it waits for room nobody else enters.
 *
 * Threads: the owner, but for what is under `lock`. */
#ifndef ENGINE_SCHED_CORE_H
#define ENGINE_SCHED_CORE_H
#include "engine/held.h"
#include "engine/prefix.h"
#include "engine/sched.h"
#include <pthread.h>

enum { NO_REQ = UINT32_MAX, CLASSES = 2, ID_SLOT_BITS = 20, BULK_EVERY = 8 };

struct sched_prefix {
    prefix_pin *pin;
    bool in_turn;    /* tokens of it are run in the current step */
    uint32_t n_refs; /* under lock: requests that name it, and the pin itself */
};

typedef struct req {
    sched_request ask; /* tokens and stop_ids point into `tokens` below */
    sched_id id;
    bool cancelled;  /* under lock */
    int32_t *tokens; /* [limit], then the stop ids */
    sched_bias *bias;
    uint32_t limit; /* prompt and tokens to make */
    uint32_t n_prompt;
    uint32_t n;        /* tokens there are */
    uint32_t most_run; /* tokens its flow was charged for */
    sampler pick;
    held_text *held;  /* of held text, from when it first became live; */
    held_walk walk;   /* what its turn asks of the model */
    uint32_t n_told;  /* new tokens that on_token was called for */
    uint32_t guesses; /* that are worth trying in a step */
    uint32_t n_forced;
    uint32_t n_proposed;
    uint32_t n_agreed;
    options_run *run;   /* of options */
    uint32_t n_nodes;   /* the most that its tree takes */
    uint32_t n_started; /* tokens its sequence held when the run began */
    uint32_t flow;
    uint32_t next; /* the next one waiting in its flow */
    bool is_waiting;
    bool was_live;
    bool in_turn; /* has tokens in the current step */
    uint32_t n_cached;
    uint32_t n_preempted;
    uint32_t n_steps; /* that chose tokens of it */
    uint64_t submit_us;
    uint64_t queued_us;
    uint64_t first_us;
    seq *s; /* while live */
} req;

typedef struct flow {
    uint64_t key;
    sched_class class;
    uint64_t served; /* tokens, from where the class stood when the flow came alive */
    uint32_t n_reqs; /* waiting and live */
    uint32_t n_live;
    uint32_t first; /* waiting, oldest first */
    uint32_t last;
    bool held; /* its first one cannot go on in this step */
} flow;

typedef struct turn { /* a sequence's part in a step */
    uint32_t req;
    sched_prefix *prefix; /* NULL; or it is run for the request, which waits for it */
    step_item item;
    uint32_t pages; /* that it will take */
    bool gives;     /* makes a token */
    uint32_t last;  /* its place in the item */
    uint32_t row;   /* of what the step gives; held text has walk.n_out of them */
    uint32_t out[HELD_GUESSES + 1];
    sched_token token;
} turn;

typedef struct draw { /* what picking a token needs, one for each worker */
    sampler_work *work;
    float *logits; /* [n_vocab] a copy to be overwritten where the originals are needed */
} draw;

struct sched {
    engine *engine;
    prefix_tree *tree;
    uint32_t n_vocab;
    uint32_t n_ctx;
    uint32_t max_requests;
    uint32_t max_live;
    uint32_t prefill_chunk;
    uint32_t step_us;
    void (*on_work)(void *arg);
    void *on_work_arg;
    req *reqs; /* [max_requests] */
    flow *flows;
    uint32_t n_flows;        /* that were ever in use */
    uint64_t clock[CLASSES]; /* `served` of the flow that was served last */
    uint32_t *live;          /* [max_live] */
    uint32_t n_live;
    uint32_t n_active;   /* waiting and live */
    uint64_t *deadlines; /* [max_requests] of those that entered; 0: none */
    uint32_t *ending;    /* [max_requests] */
    uint32_t bulk_in;    /* of bulk: the one that no interactive request keeps out */
    bool bulk_turn;      /* its prompts come first in this step */
    double pace;         /* tokens that a step of step_us is expected to hold */
    uint64_t busy_us;    /* when the last request ended, or the first one came */
    uint64_t each_us;    /* between two ends, a moving mean */

    /* the current step */
    turn *turns;        /* [max_turns] */
    uint32_t max_turns; /* live requests, and prefixes that are being run */
    uint32_t n_turns;
    uint32_t reserved;    /* free pages that turns and texts will take */
    uint32_t other_pages; /* of those, the ones that no live request takes */
    step_item *items;     /* [max_turns] */
    uint32_t n_rows;      /* of what the step gives, all that turns ask for; */
    int32_t *best;        /* [max_live, HELD_GUESSES + 1], and so the next three */
    float *top;
    float *lse;
    float *held_lse;
    step_likely *likely; /* and the same with SCHED_MAX_TOP for each */
    sched_top tops[SCHED_MAX_TOP];
    float *logits; /* [max_live, n_vocab], touched by those that draw */
    draw *draws;   /* [workers] */
    uint32_t n_draws;
    uint32_t *texts; /* [max_batch] requests whose states are wanted */
    uint32_t n_texts;
    const int32_t **text_tokens;
    uint32_t *text_n;
    step_states *text_wants;
    float *vectors; /* [max_batch, n_embd] of embeddings */
    sched_stats stats;

    pthread_mutex_t lock; /* and from here on it is needed */
    pthread_cond_t came;
    uint64_t n_submitted;
    uint32_t *free; /* [max_requests] */
    uint32_t n_free;
    uint32_t *inbox; /* [max_requests] */
    uint32_t n_inbox;
    uint32_t *cancels; /* [max_requests] slots, each once */
    uint32_t n_cancels;
    sched_id *ids;  /* [max_requests] 0: free */
    uint64_t *keys; /* [max_requests] of the slots in use */
    bool draining;
    bool stopping;
    bool changed; /* drained or stopped since the last wait */
    uint32_t n_pins;
    uint32_t n_pinned; /* pages that pins hold or will hold */
    uint64_t n_refused;
    sched_stats shown;
};

void work_tell(const sched *s); /* not under the lock */

/* --- flows: who waits, and who comes first */

void flow_enter(sched *s, uint32_t at); /* a request that came */
void flow_leave(sched *s, uint32_t at); /* one that ended; not waiting */
void flow_wait(sched *s, uint32_t at);  /* in order of age */
void flow_unwait(sched *s, uint32_t at);
void flow_charge(sched *s, uint32_t at, uint32_t n_tokens);
/* The request whose tokens come next: live and not in a turn or, if they may enter, the
 * first of a flow that is not held.  NO_REQ: none. */
uint32_t flow_next(const sched *s, bool may_enter);

/* --- room: places and pages */

/* Make a waiting request live.  False, and it waits on, when there is no room for it. */
bool room_admit(sched *s, uint32_t at);
/* Take an item of a live request into the step.  False when it was preempted. */
bool room_turn(sched *s, uint32_t at, const step_item *item);
/* Take n tokens of a prefix into the step for a request that waits for it.  False when
 * there is no room. */
bool room_prefix(sched *s, uint32_t at, uint32_t n);
bool room_text(sched *s, uint32_t at);  /* reserve the pages of a text.  False: no room */
bool room_give_way(sched *s);           /* preempt the one that stands last, if any */
void room_leave(sched *s, uint32_t at); /* live no more; its text is kept in the tree */

/* --- what a step gives */

void items_fill(sched *s);  /* from the turns */
void tokens_pick(sched *s); /* for the turns of free text, and of held text that draws */
/* Tell with a token what was likeliest where it was chosen, output i of a turn. */
void tops_give(sched *s, const turn *t, uint32_t i, sched_token *token);

/* --- held text */

/* The first tokens of one that became live, where they are forced.  False when it has
 * ended. */
bool held_start(sched *s, uint32_t at);
/* The choices after an item with all that is left, and guesses at them, in at most `room`
 * tokens more; the item grows by these. */
ST_NODISCARD int held_plan(sched *s, uint32_t at, uint32_t room, step_item *item,
                           st_err *err);
void held_fill(sched *s, turn *t, step_item *item); /* what it wants of a step */
void held_deliver(sched *s, const turn *t);

/* --- texts */

/* Texts share a call when they are of one kind and stop at the same layer. */
bool text_fits(const sched *s, const req *r, uint32_t room);
void text_plan(sched *s, uint32_t at);
/* Run texts [from, to) of one kind; one by one where that fails. */
void texts_run(sched *s, uint32_t from, uint32_t to);

/* --- pace */

/* A step with n tokens beside one for each text being made took so long. */
void pace_learn(sched *s, uint32_t n, uint64_t us);
uint32_t pace_room(const sched *s, uint32_t used); /* at least SCHED_LEAST_ROOM */

/* --- beginnings and ends */

ST_NODISCARD int req_ids_check(const sched *s, const int32_t *ids, uint32_t n,
                               st_err *err);

void req_free(req *r); /* the memory of its own */
/* Tell its owner, give the slot back. */
void req_end(sched *s, uint32_t at, sched_end end, const st_err *err);
/* The first token of a text is there: its prompt is kept for others of its key. */
void req_begun(sched *s, uint32_t at);
void prefix_unref(sched *s, sched_prefix *p);

static inline uint32_t req_left(const req *r)
{
    return r->n - seq_len(r->s);
}

/* The next n tokens of a chain. */
static inline step_item chain_item(seq *s, const int32_t *tokens, uint32_t n)
{
    return (step_item){.s = s, .tokens = tokens + seq_len(s), .n = n};
}
#endif
