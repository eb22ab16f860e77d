/* serve/hub.h - the models, tasks and adapters of a process, and the one thread that runs
 * them.
 *
 *   any thread      load, unload, find; submit and ask (both only queue)
 *   engine thread   steps the scheduler of each model that has work, one after the other,
 *                   and between steps asks the fitted experts of tasks; all callbacks
 *
 * One thread drives all engines, because a step uses every core: two at a time would only
 * wait for each other.  Each turn is short (opts.step_us), so no model waits long.
 *
 * A use is a name that was looked up: what it stands for is not let go before hub_done,
 * whatever is loaded or unloaded meanwhile.  Loading under a name that is there builds
 * the new one beside the old; requests that came before go on with the old one.
 *
 * Models are shared: two tasks and a wire that name the same file have one engine.
 *
 * Threads: as above.  Errors: ST_ENOTFOUND, ST_EBUSY (queue full: hub_stats.retry_us),
 * ST_ELIMIT (memory budget; names what is loaded and its size), and those of lm, task,
 * adapter. */
#ifndef SERVE_HUB_H
#define SERVE_HUB_H
#include "engine/sched.h"
#include "grammar/grammar.h"
#include "task/extraction.h"
#include "task/task.h"

typedef struct hub hub;
typedef struct hub_use hub_use;

typedef struct hub_opts {
    engine_opts engine; /* of every model; one that was trained for fewer tokens than
                         * n_ctx holds those */
    sched_opts sched;
    uint32_t max_asks;   /* inputs for tasks that wait; 0: 4096 */
    uint32_t max_ask_us; /* inputs of one batch of a task's experts take at most about
                          * this long; 0: 30000 */
    size_t memory;       /* most bytes of weights, pages and packed copies; 0: no limit */
} hub_opts;

enum { HUB_NAME_MAX = 128 }; /* with the NUL */

typedef enum hub_kind { HUB_MODEL, HUB_TASK, HUB_ADAPTER } hub_kind;

ST_NODISCARD int hub_new(const hub_opts *opts, hub **ret_hub, st_err *err);
/* Accept nothing more; what was accepted is finished, or (`now`) cancelled. */
void hub_drain(hub *h, bool now);
/* Has everything accepted ended?  Waits at most timeout_us. */
bool hub_wait_idle(hub *h, uint64_t timeout_us);
void hub_free(hub *h); /* NULL allowed; every use must be done */

/* ---- what is loaded (block for as long as loading takes; not on the engine thread) ----
 *
 * The name that it got goes to ret_name unless that is NULL. */

/* `source` is a name or path as in a contract's `models`; `name` NULL: made from it. */
ST_NODISCARD int hub_load_model(hub *h, const char *name, const char *source,
                                char ret_name[HUB_NAME_MAX], st_err *err);
/* A contract, or a folder with one task.yaml; its name is the contract's. */
ST_NODISCARD int hub_load_task(hub *h, const char *path, char ret_name[HUB_NAME_MAX],
                               st_err *err);
/* A GGUF adapter or a PEFT folder over the model `base`; used as a model's name. */
ST_NODISCARD int hub_load_adapter(hub *h, const char *name, const char *path,
                                  const char *base, float scale, st_err *err);
ST_NODISCARD int hub_unload(hub *h, const char *name, st_err *err);
/* Load all again whose files have changed.  One that fails keeps its old self; the first
 * failure is the error. */
ST_NODISCARD int hub_reload(hub *h, st_err *err);

typedef struct hub_entry {
    char name[HUB_NAME_MAX];
    hub_kind kind;
    char base[HUB_NAME_MAX]; /* of an adapter; of a task the models, comma between; else
                                "" */
    char version[80]; /* a task's version, a file's digest: sha256 in hexadecimal */
    size_t bytes;     /* that it takes by itself */
    int64_t loaded;   /* Unix seconds */
    uint32_t in_use;  /* requests under way */
} hub_entry;
/* *ret [*ret_n] by name; st_free it. */
ST_NODISCARD int hub_list(hub *h, hub_entry **ret, uint32_t *ret_n, st_err *err);

/* ---- names in use ---- */

/* NULL name: the only model, or ST_ENOTFOUND when there are several. */
ST_NODISCARD int hub_find(hub *h, const char *name, hub_use **ret_use, st_err *err);
hub_use *hub_hold(hub_use *u); /* one more hub_done is due */
void hub_done(hub_use *u);     /* NULL allowed */

hub_kind hub_use_kind(const hub_use *u);
const char *hub_use_name(const hub_use *u);
const char *hub_use_version(const hub_use *u);
/* Tokenizer, template, info and digest of the model (an adapter's base; a task's first
 * language model; NULL when a task has none): these are immutable.  Not its engine. */
const lm *hub_use_lm(const hub_use *u);
uint32_t hub_use_n_ctx(const hub_use *u); /* tokens that a sequence holds; 0 without lm */
/* Its tokens as a trie for masks, made at the first call; borrowed. */
ST_NODISCARD int hub_use_vocab(hub_use *u, vocab **ret_vocab, st_err *err);
const contract *hub_use_contract(const hub_use *u); /* NULL: no task */
/* One of the two of a task, NULL else; only what does not change may be asked of them
 * (version, way, names: task/task.h). */
const task *hub_use_task(const hub_use *u);
const extraction *hub_use_extraction(const hub_use *u);

/* ---- work of the model (or adapter) ---- */

/* As sched_submit; the use is held until the request's done has returned. */
ST_NODISCARD int hub_submit(hub_use *u, const sched_request *request, sched_id *ret_id,
                            st_err *err);
void hub_cancel(hub_use *u, sched_id id);

/* Pin a beginning that all keys share.  It is let go with the model. */
ST_NODISCARD int hub_pin(hub_use *u, const int32_t *tokens, uint32_t n,
                         sched_prefix **ret_prefix, st_err *err);

/* Call `fn` on the engine thread between two steps: where maskers are freed.  It cannot
 * fail: where there is no memory to note it, it waits until it is done (on the engine
 * thread: does it at once). */
void hub_call(hub *h, void (*fn)(void *arg), void *arg);

/* ---- work of a task ---- */

typedef struct hub_answer {        /* of one input */
    const task_answer *decided;    /* of a choice, predicate or score; else NULL */
    const double *probs;           /* [n_options] of it */
    const double *experts;         /* [n_experts, n_options]; NULL: none were asked */
    const extract_answer *written; /* of extract and draft; else NULL */
    const char *version;
    uint64_t queued_us;
    uint32_t n_tokens; /* of its prompt; 0 where no language model was asked */
    uint32_t n_cached; /* of those, not run again */
} hub_answer;

typedef struct hub_ask {
    const char *text; /* copied */
    size_t len;
    sched_class class;
    uint64_t key;
    uint64_t deadline_us; /* on st_clock_us(); 0: none */
    /* Once, on the engine thread; `why` instead of `answer` when there is none. */
    void (*done)(void *arg, const hub_answer *answer, const st_err *why);
    void *arg;
} hub_ask;
/* ST_EBUSY when too many wait. */
ST_NODISCARD int hub_ask_task(hub_use *u, const hub_ask *ask, uint64_t *ret_id,
                              st_err *err);
void hub_ask_cancel(hub_use *u, uint64_t id); /* unknown or finished: nothing */

/* ---- how it goes ---- */

typedef struct hub_stats {
    uint32_t waiting; /* requests and inputs */
    uint32_t running;
    uint64_t stalled_us; /* since the engine thread last got on with work that there is:
                          * of the order of a step while it does; 0: there is none */
    uint64_t retry_us;   /* until the queues of now are likely worked off */
    size_t bytes;        /* of all that is loaded */
} hub_stats;
void hub_stats_get(hub *h, hub_stats *ret_stats);
/* The scheduler of a model: sums since it was loaded. */
void hub_sched_stats(hub_use *u, sched_stats *ret_stats);
#endif
