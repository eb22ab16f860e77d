/* task/models.h - names of models to files.
 *
 *   has a '/' or ends in .gguf   a path, relative to the contract
 *   sha256:HEX                   a file sha256-HEX, sha256-HEX.gguf or HEX.gguf in a
 * folder anything else                NAME.gguf in a folder
 *
 * Folders, in order: $STINT_MODELS, $XDG_CACHE_HOME/stint/models, ~/.cache/stint/models.
 * The content of a file named by its digest is checked by whoever opens it.
 *
 * Threads: any.  The environment is read at each call. */
#ifndef TASK_MODELS_H
#define TASK_MODELS_H
#include "base/err.h"

/* *ret_path is a heap string of a file that exists.  ST_ENOTFOUND lists where it looked
 * and says how to get it. */
ST_NODISCARD int models_find(const char *name, const char *contract_path, char **ret_path,
                             st_err *err);
#endif
