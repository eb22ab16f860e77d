/* serve/openapi.h - the routes as an OpenAPI 3.1 document.
 *
 * Made from the same tables that dispatch and check, so that it cannot say anything else
 * than what is done.
 *
 * Threads: any. */
#ifndef SERVE_OPENAPI_H
#define SERVE_OPENAPI_H
#include "serve/route.h"

/* `keys`: must clients show one?  NULL when memory ran out. */
json_t *openapi_document(const route *const *wires, bool keys);
#endif
