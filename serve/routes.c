/* serve/routes.c - every wire of the server, in the order of /openapi.json. */
#include "serve/route.h"

extern const route wire_health[];
extern const route wire_models[];
extern const route wire_chat[];
extern const route wire_completions[];
extern const route wire_responses[];
extern const route wire_llama[];
extern const route wire_decisions[];
extern const route wire_systemone[];
extern const route wire_embeddings[];
extern const route wire_rank[];
extern const route wire_tokens[];
extern const route wire_kserve[];
extern const route wire_generate[];
extern const route wire_tasks[];
extern const route wire_admin[];
extern const route wire_metrics[];
extern const route wire_openapi[];

const route *const all_routes[] = {
    wire_health,  wire_models,    wire_chat,      wire_completions, wire_responses,
    wire_llama,   wire_decisions, wire_systemone, wire_embeddings,  wire_rank,
    wire_tokens,  wire_kserve,    wire_generate,  wire_tasks,       wire_admin,
    wire_metrics, wire_openapi,   NULL,
};
