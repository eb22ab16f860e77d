/* serve/routes.c - every wire of the server, in the order of /openapi.json. */
#include "serve/route.h"

const route *const all_routes[] = {NULL};
