/* serve/route.h - the routes of the server: one table, which dispatches and is the
 * description in /openapi.json.
 *
 * A wire is a file that defines `const route wire_NAME[]`, ended by {0}, and one row in
 * routes.c.
 *
 * Threads: immutable. */
#ifndef SERVE_ROUTE_H
#define SERVE_ROUTE_H
#include "serve/call.h"

typedef enum scope {
    SCOPE_OPEN, /* needs no key: health */
    SCOPE_CLIENT,
    SCOPE_ADMIN, /* loads and unloads */
} scope;

typedef struct route {
    const char *method;
    const char *path;  /* "/v1/tasks/{task}" */
    const char *id;    /* operationId */
    const char *about; /* one sentence */
    scope scope;
    dialect dialect;
    bool quick;              /* handled on the net thread: never waits, never heavy */
    const member *body;      /* of the request; NULL: no body */
    bool open_body;          /* others are accepted */
    const member *answer;    /* of a good answer; NULL: no JSON, or answer_type */
    const char *answer_type; /* NULL: application/json */
    bool streams;            /* may answer with text/event-stream */
    bool unwell;             /* with 503 it answers the same as with 200: health */
    bool shapes; /* `body` is checked by the wire: several bodies share the path */
    const member *const
        *alternatives; /* with `shapes`: the bodies, for the description */
    void (*handle)(call *c);
} route;

extern const route *const all_routes[]; /* wires, ended by NULL */
#endif
