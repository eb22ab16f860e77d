/* serve/hub_priv.h - what the hub's files share; nobody else includes it.
 *
 *   name -> use -> cores               a use is a generation of a name: what a look-up
 *            '---> task or adapter     found, as long as anybody holds it
 *   core = lm + scheduler              shared by all uses whose files have these bytes
 *   turn                               a core or a task's desk, as the engine thread
 *                                      sees it: something that may have work
 *
 * The end of a use: unloaded or replaced, then let go by the last call -> the engine
 * thread closes its task, between two turns -> its cores are let go -> the engine thread
 * takes their turns out -> the undertaker frees weights and pages, which takes long.
 *
 * Locks: `loading` is held while something is loaded, reloaded or unloaded, one at a
 * time, and over nothing else; `lock` is held for moments, never over a step, a callback
 * or an allocation that can wait.  A scheduler's own lock may be taken inside it. */
#ifndef SERVE_HUB_PRIV_H
#define SERVE_HUB_PRIV_H
#include "base/file.h"
#include "serve/hub.h"
#include "task/models.h"
#include <pthread.h>
#include <stdatomic.h>

enum { HUB_SPARES = 256, HUB_FILES = CONTRACT_MAX_MODELS + 4 };

typedef struct hub_desk hub_desk;

typedef struct hub_turn {
    struct hub_turn *next;
    bool (*take)(void *arg); /* engine thread, no lock: some work; false: none is left */
    void *arg;
    uint64_t served_us; /* that its turns took, from where the others stood */
    bool busy;          /* may have work */
    uint32_t n_waiting; /* inputs, of a desk */
    uint64_t us_each;   /* that one takes, a moving mean; 0: not known, or not here */
    bool blocked;       /* has, but can go on only when another turn was taken */
} hub_turn;

typedef struct hub_core {
    struct hub_core *next;
    hub *hub;
    lm *lm;
    sched *sched; /* the lm's */
    bool int8;
    st_file_id file; /* that it was read from */
    size_t bytes;
    hub_turn turn;
    uint32_t n_refs; /* under hub.lock; 0: nobody finds it any more */
    struct hub_pinned *pins;
    pthread_mutex_t vocab_lock;
    vocab *vocab; /* under it until it is made */
} hub_core;

typedef struct hub_pinned {
    struct hub_pinned *next;
    sched_prefix *prefix;
} hub_pinned;

typedef struct hub_file { /* and in which state */
    char *path;
    bool there;
    st_file_id id;
} hub_file;

struct hub_use {
    hub *hub;
    hub_use *next; /* by name, or among those that ended */
    hub_kind kind;
    char name[HUB_NAME_MAX];
    char version[80];
    char *source;              /* as it was loaded */
    hub_file files[HUB_FILES]; /* that it was made from */
    uint32_t n_files;
    size_t bytes; /* of what is its own */
    char base[HUB_NAME_MAX];
    int64_t loaded;
    hub_core *cores[CONTRACT_MAX_MODELS];
    uint32_t n_cores;
    task *task; /* of a task: one of these, */
    extraction *extraction;
    struct adapter *adapter; /* of an adapter, over `main` */
    float scale;
    hub_desk *desk;     /* and who waits for it */
    model_source lends; /* its models, from `cores` */
    hub_core *main;     /* among them: whose text requests are; NULL: none */
    uint32_t n_refs;    /* under hub.lock: its name, and those who hold it */
    uint32_t n_work;    /* under hub.lock: requests and inputs under way */
};

typedef struct hub_errand { /* something to do between two turns */
    struct hub_errand *next;
    void (*fn)(void *arg);
    void *arg;
    bool *ret_done; /* NULL, or the caller waits for it; then it is not freed */
    bool spare;     /* of hub.spares */
} hub_errand;

struct hub {
    hub_opts opts;
    pthread_t engine;
    pthread_t undertaker;
    pthread_mutex_t loading;
    pthread_mutex_t lock; /* and from here on it is needed */
    pthread_cond_t came;  /* work for the engine thread */
    pthread_cond_t ended; /* a request, an errand that was waited for */
    pthread_cond_t died;  /* work for the undertaker */
    hub_use *uses;        /* that names stand for, by name */
    hub_core *cores;
    hub_turn *turns;
    uint64_t clock_us; /* `served_us` of the turn that was taken last */
    hub_errand *errands, **last_errand;
    hub_errand spares[HUB_SPARES];
    hub_errand *spare;    /* free ones */
    hub_use *ended_uses;  /* nobody holds them: the engine thread's */
    hub_core *dead_cores; /* the undertaker's */
    uint32_t n_dead;      /* cores that it has in hand */
    uint32_t n_work;      /* requests and inputs under way */
    uint32_t n_asks;      /* inputs that wait */
    uint64_t n_ids;       /* of inputs, that were given */
    bool draining;
    bool stopping; /* and what waits is cancelled */
    bool closing;
    bool buried;              /* the engine thread ended: the undertaker may, too */
    _Atomic uint64_t beat_us; /* when the engine thread last began or ended a turn; 0: it
                               * has nothing to do */
};

/* --- the engine thread (hub_thread.c) */

ST_NODISCARD int hub_threads_start(hub *h, st_err *err);
void hub_threads_end(hub *h);     /* when all is done */
bool hub_is_engine(const hub *h); /* is this its engine thread? */
/* Do it on the engine thread between two turns, and wait for that. */
void hub_call_wait(hub *h, void (*fn)(void *arg), void *arg);
void hub_turn_add(hub *h, hub_turn *t);          /* with lock */
void hub_turn_wake(hub *h, hub_turn *t);         /* with lock: it may have work */
void hub_turn_remove(hub *h, const hub_turn *t); /* engine thread, with lock */
void hub_use_unref(hub_use *u);                  /* with lock */
/* And hold it; not draining, but for what follows work that is not over. */
ST_NODISCARD int hub_work_begin(hub_use *u, bool follows, st_err *err);
void hub_work_end(hub_use *u);

/* --- what names stand for (hub_load.c, hub_task.c, hub_reload.c); with `loading` */

/* Not published yet, with one reference.  `name` NULL: made from the source. */
ST_NODISCARD int hub_use_new(hub *h, hub_kind kind, const char *name, const char *source,
                             hub_use **ret_use, st_err *err);
/* From now on its name stands for it; on failure it is let go. */
ST_NODISCARD int hub_use_publish(hub_use *u, char *ret_name, st_err *err);
ST_NODISCARD int hub_name_drop(hub *h, const char *name, st_err *err);
/* It is made from this file, in the state that it is in now. */
ST_NODISCARD int hub_use_file(hub_use *u, const char *path, st_err *err);
bool hub_use_changed(const hub_use *u); /* is any of them in another state? */
ST_NODISCARD int hub_model_load(hub *h, const char *name, const char *source,
                                char *ret_name, st_err *err);
/* `known` (may be NULL) stays when it has the same version. */
ST_NODISCARD int hub_task_load(hub *h, const char *path, hub_use *known, char *ret_name,
                               st_err *err);
ST_NODISCARD int hub_adapter_load(hub *h, const char *name, const char *path,
                                  const char *base, float scale, st_err *err);
bool hub_adapter_moved(const hub_use *u); /* its base stands for another model now */
void hub_use_close(hub_use *u);           /* engine thread: its task, then all of it */

/* --- models that are open (hub_core.c) */

/* One more reference to the core of this file; opened when there is none.  With
 * `loading`. */
ST_NODISCARD int hub_core_open(hub *h, const char *path, bool int8, hub_core **ret_core,
                               st_err *err);
/* May so many bytes more be taken for `path`? */
ST_NODISCARD int hub_memory_check(hub *h, size_t bytes, const char *path, st_err *err);
size_t hub_bytes(const hub *h); /* of all that is open; with lock */
bool hub_file_same(const st_file_id *a, const st_file_id *b);
void hub_core_unref(hub_core *c); /* with lock */
void hub_core_free(hub_core *c);  /* the undertaker; NULL allowed */
#endif
