/* serve/wire_openapi.c - GET /openapi.json: the routes, described. */
#include "serve/openapi.h"
#include "serve/server_priv.h"

static void describe(call *c)
{
    call_reply_json(c, 200, openapi_document(all_routes, call_server(c)->keys != NULL));
}

static const member answer[] = {{"openapi", MEMBER_STRING, .need = true},
                                {"info", MEMBER_OBJECT, .need = true},
                                {"paths", MEMBER_OBJECT, .need = true},
                                {"components", MEMBER_OBJECT, .need = true},
                                {"security", MEMBER_ARRAY, .items = MEMBER_OBJECT},
                                {0}};

const route wire_openapi[] = {
    {"GET", "/openapi.json", "openapi", "This description.", SCOPE_OPEN, .answer = answer,
     .handle = describe},
    {0},
};
