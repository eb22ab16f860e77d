/* serve/serve.h - the server: start, serve until told to stop, drain.
 *
 *   settings (flags over STINT_* over a file) -> server_run
 *       hub: models, tasks, adapters; one engine thread        serve/hub.h
 *       net: HTTP                                              net/http.h
 *       routes: wires over calls                               serve/route.h,
 * serve/call.h keys, limits, metrics, log, trace
 *
 * Signals: SIGTERM and SIGINT drain and end (a second one ends at once), SIGHUP reloads
 * what has changed: keys, contracts, artifacts, models.
 *
 * Without keys only loopback addresses are served, unless no_auth says otherwise. */
#ifndef SERVE_SERVE_H
#define SERVE_SERVE_H
#include "base/err.h"
#include "serve/settings.h"

/* Returns 0 after a drain in which nothing was cut. */
ST_NODISCARD int server_run(const settings *s, st_err *err);
#endif
