/* base/workers.h - a few threads that share the chunks of one job at a time.
 *
 * A job is `n_chunks` calls of one function, taken from a shared counter, so a slow or
 * descheduled thread delays nobody else's chunks.  The caller works too, and a job is
 * over when its last chunk is: threads that never woke are not waited for.  Waiting
 * threads spin briefly, then sleep.
 *
 * Threads: workers_run may be called by one thread at a time.  Memory: all taken by
 * workers_new; a run allocates nothing. */
#ifndef BASE_WORKERS_H
#define BASE_WORKERS_H
#include "base/err.h"
#include <stdint.h>

typedef struct workers workers;

/* One chunk: `chunk` in [0, n_chunks), `worker` in [0, workers_count()): a private
 * scratch area may be chosen by it. */
typedef void workers_fn(void *arg, uint32_t chunk, uint32_t worker);

/* `n_threads` in all, the caller included; 0 means st_cpu_count(). */
ST_NODISCARD int workers_new(unsigned n_threads, workers **ret_workers, st_err *err);
void workers_free(workers *w); /* NULL allowed; joins its threads */
unsigned workers_count(const workers *w);

/* Returns when every chunk has returned. */
void workers_run(workers *w, uint32_t n_chunks, workers_fn *fn, void *arg);
#endif
