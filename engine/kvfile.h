/* engine/kvfile.h - keys and values of a text that is run at every start, kept.
 *
 * A file of the cache (base/cache.h) holds the pages of a sequence.  It is bound to all
 * that its bytes depend on: the model's file and options (model_info.id), the tokens, the
 * type of keys and values, the length of the context, and what computed them: the build
 * of this program, the C library and the processor's level (our own kernels give the same
 * bytes at every level; the library's functions may not).  So a sequence that is read
 * from it holds the bytes that running the tokens would have given.
 *
 * Threads: the engine's owner. */
#ifndef ENGINE_KVFILE_H
#define ENGINE_KVFILE_H
#include "engine/engine.h"

/* Put tokens into an empty sequence: from the cache, or by running them and keeping what
 * came out.  Few tokens are always run.  As engine_step; a cache that cannot be used is
 * no error. */
ST_NODISCARD int seq_run_kept(seq *s, const int32_t *tokens, uint32_t n, st_err *err);
#endif
