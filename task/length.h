/* task/length.h - inputs held to the length that the contract allows.
 *
 * Length is counted in tokens of each model in use, what the model adds (BOS, [CLS] ...)
 * included: at most max_tokens, and at most the context.  Without a model in use there is
 * nothing to count and no limit.
 *
 * Threads: any. */
#ifndef TASK_LENGTH_H
#define TASK_LENGTH_H
#include "expert/lm.h"
#include "task/contract.h"

/* 0 and *ret_cut NULL: the text fits.  0 and a heap string: what is left of it with its
 * middle taken out ("beginning ... end"), *ret_len bytes.  ST_ELIMIT: too long, and the
 * contract says reject. */
ST_NODISCARD int length_hold(const contract *c, lm *const *models, uint32_t n_models,
                             const char *text, size_t len, char **ret_cut,
                             size_t *ret_len, st_err *err);
#endif
