/* serve/serve_open.h - the parts of a server made, filled and taken apart.
 *
 * Threads: the one that runs the server. */
#ifndef SERVE_SERVE_OPEN_H
#define SERVE_SERVE_OPEN_H
#include "serve/server_priv.h"

/* Listens when it returns, and has nothing loaded.  No thread may run yet.  Also what
 * failed is closed. */
ST_NODISCARD int server_open(server *s, const settings *set, st_err *err);
/* What the settings name, then what was kept. */
ST_NODISCARD int server_load(server *s, st_err *err);
void server_wait_calls(server *s); /* until none is under way */
/* Refuses what still comes. */
void server_close(server *s);
#endif
