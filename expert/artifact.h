/* expert/artifact.h - what a fit learnt, as one file bound to the bytes it was fitted on.
 *
 * A safetensors file: the fitted rows as tensors, everything else in its metadata under
 * "stint.*" keys.  It names the contract's digest, the options in order, and for every
 * model of the contract the digest of its file and of its tokenizer.  Opening checks
 * all of it: format version, sizes against each other, finite numbers, nothing trusted.
 * Matching it against the contract and models at hand is pool_new()'s work.
 *
 * Settings are key/value strings that fit does not understand and keeps for others
 * (the zero-shot readout keeps its choice there).
 *
 * Threads: an open artifact is immutable.  Memory: strings live until artifact_close().
 */
#ifndef EXPERT_ARTIFACT_H
#define EXPERT_ARTIFACT_H
#include "base/err.h"
#include "base/hash.h"
#include "expert/question.h"
#include <stddef.h>
#include <stdint.h>

#define ARTIFACT_FORMAT "stint.artifact.1"
enum {
    ARTIFACT_MAX_MODELS = 16,
    ARTIFACT_MAX_EXPERTS = 64,
    ARTIFACT_MAX_SETTINGS = 256,
};

typedef struct artifact artifact;

typedef struct artifact_model { /* a model of the contract as it was at fit time */
    const char *name;           /* as in the contract */
    const char *digest;         /* of the file, hexadecimal */
    const char *tok_digest;     /* tok_digest() */
    bool used;                  /* an expert that is served reads with it */
} artifact_model;

/* ST_ENOTFOUND, ST_EIO, ST_EFORMAT (the place is named), ST_EUNSUPPORTED for another
 * format version. */
ST_NODISCARD int artifact_open(const char *path, artifact **ret_artifact, st_err *err);
ST_NODISCARD int artifact_open_bytes(const void *data, size_t len,
                                     artifact **ret_artifact,
                                     st_err *err); /* the bytes are copied */
void artifact_close(artifact *a);                  /* NULL allowed */

const char *artifact_digest(const artifact *a);   /* of the file: names the version */
const char *artifact_contract(const artifact *a); /* digest of the contract */
uint32_t artifact_n_options(const artifact *a);
const char *artifact_option(const artifact *a, uint32_t i);
uint32_t artifact_n_models(const artifact *a);
const artifact_model *artifact_model_at(const artifact *a, uint32_t i);
const char *artifact_setting(const artifact *a, const char *key); /* NULL when absent */
#endif
