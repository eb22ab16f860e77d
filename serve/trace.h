/* serve/trace.h - the timeline of one request, as a file that chrome://tracing and
 * Perfetto open (--trace DIR).
 *
 * Threads: a trace has one owner at a time. */
#ifndef SERVE_TRACE_H
#define SERVE_TRACE_H
#include "base/err.h"
#include <stdint.h>

typedef struct trace trace;

enum { TRACE_MAX_MARKS = 256 };

/* NULL when memory ran out: the other functions accept that. */
trace *trace_begin(uint64_t started_us);
/* What begins now and lasts until the next mark; `what` is a constant.  Marks beyond
 * TRACE_MAX_MARKS are counted only. */
void trace_mark(trace *t, const char *what);
/* A bar of known ends, both on st_clock_us(); `what` is a constant. */
void trace_bar(trace *t, const char *what, uint64_t from_us, uint64_t to_us);
/* A number that belongs to it, shown with the request; `name` is a constant. */
void trace_number(trace *t, const char *name, uint64_t value);
/* Write DIR/SECONDS-STARTED_US-ID.json and free it.  Blocks for as long as writing takes.
 */
ST_NODISCARD int trace_end(trace *t, const char *folder, const char *id,
                           const char *route, st_err *err);
void trace_free(trace *t); /* without a file; NULL allowed */
#endif
