/* serve/server_priv.h - the parts of a server, for the files that are its frame.
 *
 *   LOADING --loads done--> SERVING --SIGTERM--> DRAINING --nothing under way--> CLOSED
 *
 * LOADING: what needs no model is answered, calls wait in the crew's queue.  DRAINING: no
 * new connections; what comes over open ones is still served, and each answer ends its
 * connection.  CLOSED: what still comes is refused.
 *
 * Threads: immutable after server_run has opened it, but for the atomics. */
#ifndef SERVE_SERVER_PRIV_H
#define SERVE_SERVER_PRIV_H
#include "net/http.h"
#include "serve/api_keys.h"
#include "serve/crew.h"
#include "serve/held_cache.h"
#include "serve/hub.h"
#include "serve/loaded.h"
#include "serve/log.h"
#include "serve/meter.h"
#include "serve/settings.h"
#include <stdatomic.h>

enum { SERVER_SECRET = 32 };

typedef enum server_state {
    SERVER_LOADING,
    SERVER_SERVING,
    SERVER_DRAINING,
    SERVER_CLOSED,
} server_state;

typedef struct server {
    const settings *settings;
    hub *hub;
    http_server *http;
    crew *crew;     /* wires */
    crew *movers;   /* one thread: loads, unloads, reloads, one after the other */
    loaded *loaded; /* movers': what the admin routes loaded; NULL: it is not kept */
    api_keys *keys; /* NULL: there are none */
    meter *meter;
    held_cache *forms; /* what texts are held to */
    logger log;
    unsigned char
        secret[SERVER_SECRET];  /* of this run: what keys' numbers are drawn by */
    _Atomic int state;          /* server_state */
    _Atomic uint32_t n_calls;   /* that are not over */
    crew_job reload;            /* that a signal asked for */
    _Atomic uint32_t n_reloads; /* signals that it has not seen */
} server;

static inline server_state server_state_get(server *s)
{
    return (server_state)atomic_load(&s->state);
}

/* What http hands over: finds the route, checks, and has the wire handle it. */
void dispatch(void *arg, http_exchange *x);

/* Do models that have work get on with it? */
bool server_is_live(server *s);
/* Read keys, and all that has changed on disk, again (movers' thread).  The first failure
 * is the error; what failed stays as it was. */
ST_NODISCARD int server_reload(server *s, st_err *err);
/* Load as a row says (movers' thread, or before there is traffic). */
ST_NODISCARD int server_load_row(server *s, const loaded_row *row,
                                 char ret_name[HUB_NAME_MAX], st_err *err);
#endif
