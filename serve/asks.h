/* serve/asks.h - the inputs of a call put to a task, and what came back for each.
 *
 * Threads: made and run on a pool thread; `then` comes on one.  Memory: free it after the
 * call was answered, because until then the client may hang up; texts are borrowed. */
#ifndef SERVE_ASKS_H
#define SERVE_ASKS_H
#include "serve/call.h"
#include <pthread.h>

enum { ASKS_MAX = 1024 };

typedef struct asked { /* one input */
    const char *text;
    size_t len;
    uint64_t id; /* of the ask; 0: not under way */
    struct asks *owner;
    st_err err; /* code 0: it has an answer */
    task_answer decided;
    double *probs; /* [n_options]; NULL: the task writes */
    char *written; /* an object; NULL: the task decides */
    uint32_t n_tokens;
} asked;

typedef struct asks {
    call *c;
    hub_use *use;
    uint32_t n;
    asked *list;
    void (*then)(call *c, struct asks *a);
    void *arg;
    uint32_t n_tokens; /* of all, when they are answered */
    pthread_mutex_t lock;
    uint32_t open;
    bool cancelled;
} asks;

/* Of a task; something else is a problem of "model".  The n texts are set in `list`. */
asks *asks_new(call *c, hub_use *use, uint32_t n, problems *out);
void asks_free(asks *a); /* NULL allowed */

/* `then` once, when every input has an answer or an error. */
void asks_run(asks *a, void (*then)(call *c, asks *a), void *arg);

/* Those that have none are problems of param[i], or of `param` where there is one. */
void asks_problems(const asks *a, const char *param, bool one, problems *out);
#endif
