/* task/models.h - names of models to files, and the files opened.
 *
 *   has a '/' or ends in .gguf   a path, relative to the contract
 *   sha256:HEX                   a file sha256-HEX, sha256-HEX.gguf or HEX.gguf in a
 * folder anything else                NAME.gguf in a folder
 *
 * Folders, in order: $STINT_MODELS, $XDG_CACHE_HOME/stint/models, ~/.cache/stint/models.
 * A file named by its digest must have that digest.
 *
 * A task opens its models itself or, in a server, borrows them from a source, so that
 * tasks that name the same file share it.  What is lent is shared: its scheduler was made
 * before (lm_sched), it is decided there whether beginnings are kept (lm.keeps), and only
 * the thread that owns its engine does more with it than read what is immutable:
 * model_about, tok, chat, digest, the engine's sizes.
 *
 * Threads: any; what is opened has one owner.  The environment is read at each call. */
#ifndef TASK_MODELS_H
#define TASK_MODELS_H
#include "base/err.h"
#include "expert/fit.h"
#include "task/contract.h"

/* *ret_path is a heap string of a file that exists.  ST_ENOTFOUND lists where it looked
 * and says how to get it. */
ST_NODISCARD int models_find(const char *name, const char *contract_path, char **ret_path,
                             st_err *err);

typedef struct model_source { /* who lends models; both on the thread that opens a task
                               * and the one that closes it */
    int (*open)(void *arg, const contract *c, const char *name, lm **ret_lm, st_err *err);
    void (*close)(void *arg, lm *l); /* once for each that was opened */
    void *arg;
} model_source;

/* Find and open one model of a contract, or borrow it (source not NULL); models_close it.
 * `n_threads` as in engine_opts, for one that is opened.  A model that is named by its
 * digest is checked either way. */
ST_NODISCARD int models_open(const model_source *source, const contract *c,
                             const char *name, unsigned n_threads, lm **ret_lm,
                             st_err *err);
void models_close(const model_source *source, lm *l); /* NULL allowed */
#endif
