/* engine/kvfile.h - what is computed at every start, kept: keys and values, numbers.
 *
 * A file of the cache (base/cache.h) holds the pages of a sequence, or numbers.  It is
 * bound to all that its bytes depend on: the model's file and options (model_info.id),
 * the tokens, the type of keys and values, the length of the context, and what computed
 * them: the build of this program, the C library and the processor's level (our own
 * kernels give the same bytes at every level; the library's functions may not).  So what
 * is read from it is the bytes that computing would have given.
 *
 * Threads: the engine's owner. */
#ifndef ENGINE_KVFILE_H
#define ENGINE_KVFILE_H
#include "engine/engine.h"

/* Put tokens into an empty sequence: from the cache, or by running them and keeping what
 * came out.  Few tokens, and a sequence with an adapter, are always run.  As engine_step;
 * a cache that cannot be used is no error. */
ST_NODISCARD int seq_run_kept(seq *s, const int32_t *tokens, uint32_t n, st_err *err);

/* Numbers that were computed from `what`, a SHA-256 (hexadecimal) of all that they depend
 * on beside the engine: recall gives those that keep was told, or returns false. */
bool engine_recall(const engine *e, const char *what, double *ret, uint32_t n);
void engine_keep(const engine *e, const char *what, const double *numbers, uint32_t n);
#endif
