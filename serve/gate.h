/* serve/gate.h - whose a call is, and whether they may.
 *
 * With keys: "authorization: Bearer KEY" (or x-api-key) says who it is.  Without keys the
 * server is for this machine alone, unless no_auth or client certificates say otherwise:
 * calls are nobody's in particular, a Host that names another machine is refused (a page
 * in a browser could have its own name resolve to here), and what loads and unloads is
 * for callers on this machine.
 *
 * Threads: net. */
#ifndef SERVE_GATE_H
#define SERVE_GATE_H
#include "serve/call_priv.h"

/* May one listen there without keys?  `fd` is a socket that was handed over, -1: what the
 * settings say.  ST_EINVAL with a hint. */
ST_NODISCARD int gate_check_listen(const settings *s, int fd, st_err *err);

/* Fill c->who; what is wrong goes to `out`. */
void gate_enter(call *c, scope need, problems *out);
#endif
