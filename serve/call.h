/* serve/call.h - one request on its way through a wire, and its answer.
 *
 *   net thread     route, key, limits, body parsed and checked against the route's table
 *   pool thread    route->handle(call): reads the body, asks the hub; may reply now or
 *                  later from any thread, exactly once
 *   engine thread  the hub's callbacks, which build the answer, or hand it to
 *                  call_later when it takes longer than some microseconds
 *
 * A call is the wire's from handle() until call_reply..., which frees it.
 *
 * Order of checks, the same for all routes: key, scope, body (all problems at once),
 * model name, then load: a request that is refused for load was a good one.
 *
 * Threads: one at a time, as above; call_is_gone from any. */
#ifndef SERVE_CALL_H
#define SERVE_CALL_H
#include "net/http.h"
#include "serve/body.h"
#include "serve/held_cache.h"
#include "serve/hub.h"

typedef struct server server;
typedef struct call call;
struct route;

enum { CALL_ID_MAX = 64 };

/* ---- the request ---- */

server *call_server(const call *c);
hub *call_hub(const call *c);
held_cache *call_forms(const call *c); /* the server's */
const struct route *call_route(const call *c);
const char *call_id(const call *c); /* x-request-id: the client's when it is a plain word
                                     * of at most 64 bytes, else one of ours */
const json_t *call_body(const call *c); /* checked; NULL for routes without one */
const char *call_path_value(const call *c, unsigned i); /* of {name} in the pattern */
const char *call_query(const call *c, const char *name);
const char *call_header(const call *c, const char *name);
/* Whose it is, for fairness and for what may be reused.  Never 0. */
uint64_t call_key(const call *c);
/* The same, for a part of the key's own that shares nothing with others of it
 * (prompt_cache_key). */
uint64_t call_key_part(const call *c, const char *part);
const char *call_key_name(const call *c); /* "" without keys */
uint64_t call_started_us(const call *c);
uint64_t
call_deadline_us(const call *c);       /* header x-stint-deadline-ms, else the server's */
sched_class call_class(const call *c); /* header x-stint-class: interactive or bulk */

/* Look up body.model, or `name`; on failure the problem is added.  The use is the call's:
 * it is done when the call is. */
hub_use *call_use(call *c, const char *name, problems *out);

bool call_may_use(const call *c, const char *name); /* may its key? */

/* ---- the answer: exactly one of these ---- */

void call_reply_json(call *c, unsigned status, json_t *body); /* takes body; NULL: 500 */
void call_reply_text(call *c, unsigned status, const char *type, const char *text,
                     size_t len);
/* In the route's dialect; takes what is in `p`. */
void call_reply_problems(call *c, problems *p);
void call_reply_error(call *c, const char *param, const st_err *err);

/* Server-sent events.  False: the client is gone; cancel and call_stream_end. */
void call_stream_begin(call *c);
bool call_stream_event(call *c, const char *event, const json_t *data); /* event NULL: no
                                                                         * event line */
bool call_stream_text(call *c, const char *bytes,
                      size_t len); /* as it is: "data: [DONE]" */
void call_stream_end(call *c);

void call_set_header(call *c, const char *name,
                     const char *value); /* before the answer */

/* ---- while it is under way ---- */

/* Run `fn` once if the client hangs up before the answer has ended; any thread. */
void call_on_gone(call *c, void (*fn)(void *arg), void *arg);
bool call_is_gone(const call *c);
/* Go on with it on a pool thread. */
void call_later(call *c, void (*fn)(call *c, void *arg), void *arg);

/* What it was about, for metrics, log and trace; strings are copied. */
typedef struct call_work {
    const char *model; /* name of model or task */
    const char *version;
    uint32_t n_prompt;
    uint32_t n_cached;
    uint32_t n_new;
    const char *finish; /* "stop", "length", ...; NULL */
    uint64_t queued_us;
    uint64_t first_us; /* from submit to the first token; 0: none */
    uint64_t total_us;
} call_work;
void call_add_work(call *c, const call_work *work);
/* A decision for stint_decisions_total. */
void call_add_decision(call *c, const char *task, const char *version, const char *label,
                       const char *route, double confidence);
/* A mark on the request's timeline (--trace); `what` is a constant. */
void call_mark(call *c, const char *what);
#endif
