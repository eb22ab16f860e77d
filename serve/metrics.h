/* serve/metrics.h - what the server counts, in Prometheus' text format (/metrics).
 *
 * The names are in one table (metrics.c): stint_..., and the same as vllm:... where vLLM
 * has the number too and the setting asks for it.  Series are told apart by route,
 * status, model, task, version, label; never by key or client, and a family has at most
 * METRICS_MAX_SERIES of them: what comes later is counted under "other".
 *
 * Threads: any.  Counting takes no lock but for the first time of a series. */
#ifndef SERVE_METRICS_H
#define SERVE_METRICS_H
#include "base/buf.h"
#include "serve/call.h"

typedef struct metrics metrics;

enum { METRICS_MAX_SERIES = 1024 };

ST_NODISCARD int metrics_new(bool vllm_names, metrics **ret_metrics, st_err *err);
void metrics_free(metrics *m); /* NULL allowed */

/* A request was answered.  `route` is the pattern of its route; NULL: none. */
void metrics_http(metrics *m, const char *route, unsigned status, uint64_t total_us);
/* A model's or task's part in a request is done (call_add_work). */
void metrics_work(metrics *m, const call_work *work);
/* A decision was answered (call_add_decision). */
void metrics_decision(metrics *m, const char *task, const char *version,
                      const char *label, const char *route, double confidence);

/* All of it; what `h` (NULL allowed) and the process say is read now.  0 or ST_E...; text
 * is appended. */
ST_NODISCARD int metrics_render(metrics *m, hub *h, st_buf *out, st_err *err);
#endif
