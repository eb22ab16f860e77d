/* serve/vectors.h - the vectors of a call's texts, each of length 1.
 *
 * A few texts at a time are in the model's queue; one that is done brings the next, so
 * that a call with many texts neither fills the queue nor is refused half way.  Texts are
 * data: what they spell becomes no control token.
 *
 * Threads: made and run on a pool thread; `then` comes on one.  Memory: free it after the
 * call was answered, because until then the client may hang up. */
#ifndef SERVE_VECTORS_H
#define SERVE_VECTORS_H
#include "serve/call.h"

enum { VECTORS_MAX_TEXTS = 2048 };

typedef struct vectors vectors;

/* The use is the call's.  Models that write text have no encoder's pooling; unless `any`
 * they are refused, as an error of "model". */
vectors *vectors_new(call *c, hub_use *use, uint32_t n, bool any, problems *out);
void vectors_free(vectors *v); /* NULL allowed */

/* The next of its n texts, or of its token ids; what is wrong is a problem of `param`. */
void vectors_add_text(vectors *v, const char *text, size_t len, const char *param,
                      problems *out);
void vectors_add_ids(vectors *v, const json_t *ids, const char *param, problems *out);

/* `then` once, when all are there; `why` instead of vectors when one failed. */
void vectors_run(vectors *v, void (*then)(call *c, vectors *v, const st_err *why),
                 void *arg);
void *vectors_arg(const vectors *v);

uint32_t vectors_n_embd(const vectors *v);
const float *vectors_of(const vectors *v, uint32_t i);
double vectors_cosine(const vectors *v, uint32_t i, uint32_t j);
uint32_t vectors_n_tokens(const vectors *v); /* of all texts */
#endif
