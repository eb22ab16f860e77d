/* eval/check_task.h - is a task fit for use?  Contract, data, models, replies, artifact.
 *
 * Every finding goes to the caller as one line; none stops the check but a contract that
 * cannot be read.  An error is what would make another command fail or an answer wrong;
 * a warning is what makes figures look better than they are or fits worse.
 *
 * Threads: the caller's. */
#ifndef EVAL_CHECK_TASK_H
#define EVAL_CHECK_TASK_H
#include "base/err.h"

typedef enum check_level {
    CHECK_OK,
    CHECK_WARNING,
    CHECK_ERROR,
} check_level;
const char *check_level_name(check_level level); /* "ok", "warning", "error" */

/* `topic` is what the line is about: "contract", "train", a model's name, ... */
typedef void check_note(void *arg, check_level level, const char *topic,
                        const char *text);

/* Opens the models (`n_threads` as in engine_opts).  The contract's own error is
 * returned; everything else is noted and counted. */
ST_NODISCARD int check_run(const char *contract_path, unsigned n_threads,
                           check_note *note, void *arg, unsigned *ret_errors,
                           st_err *err);
#endif
