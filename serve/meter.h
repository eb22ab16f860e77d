/* serve/meter.h - what the server counts, in Prometheus' text format (/metrics).
 *
 * The names are in two tables (meter.c, meter_render.c): stint_..., and the same as
 * vllm:... where vLLM has the number too and the setting asks for it.  Series are told
 * apart by route, status, model, task, version, label; never by key or client, and a
 * family has at most 1,024 of them: what comes later is counted under "other".
 *
 * Threads: any.  Counting takes no lock but for the first time of a series. */
#ifndef SERVE_METER_H
#define SERVE_METER_H
#include "base/buf.h"
#include "serve/call.h"

typedef struct meter meter;

ST_NODISCARD int meter_new(bool vllm_names, meter **ret_meter, st_err *err);
void meter_free(meter *m); /* NULL allowed */

/* A request was answered.  `route` is the pattern of its route; NULL: none. */
void meter_http(meter *m, const char *route, unsigned status, uint64_t total_us);
/* A model's or task's part in a request is done (call_add_work). */
void meter_work(meter *m, const call_work *work);
/* A decision was answered (call_add_decision). */
void meter_decision(meter *m, const char *task_name, const char *version,
                    const char *label, const char *route, double confidence);

/* All of it; what `h` (NULL allowed) and the process say is read now.  0 or ST_E...; text
 * is appended. */
ST_NODISCARD int meter_render(meter *m, hub *h, st_buf *out, st_err *err);
#endif
