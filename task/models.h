/* task/models.h - names of models to files, and the files opened.
 *
 *   has a '/' or ends in .gguf   a path, relative to the contract
 *   sha256:HEX                   a file sha256-HEX, sha256-HEX.gguf or HEX.gguf in a
 * folder anything else                NAME.gguf in a folder
 *
 * Folders, in order: $STINT_MODELS, $XDG_CACHE_HOME/stint/models, ~/.cache/stint/models.
 * A file named by its digest must have that digest.
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

/* Find and open one model of a contract; the caller closes it.  `n_threads` as in
 * engine_opts. */
ST_NODISCARD int models_open(const contract *c, const char *name, unsigned n_threads,
                             lm **ret_lm, st_err *err);
#endif
