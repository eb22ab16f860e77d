/* serve/wire_health.c - is it there, does it get on, may it be given requests?
 *
 *   /livez   the process should go on: models that have work get on with it
 *   /readyz  it should be given requests: all is loaded, it is not going down
 *   /health  both */
#include "serve/call_priv.h"

/* A step takes milliseconds, loading is no step: nothing good takes this long. */
static const uint64_t MOST_STALLED_US = 10000000;

bool server_is_live(server *s)
{
    hub_stats stats;
    hub_stats_get(s->hub, &stats);
    return stats.stalled_us <= MOST_STALLED_US;
}

static const char *live_status(call *c)
{
    return server_is_live(call_server(c)) ? NULL : "stalled";
}

static const char *ready_status(call *c)
{
    switch (server_state_get(call_server(c))) {
    case SERVER_LOADING:
        return "loading";
    case SERVER_SERVING:
        return NULL;
    case SERVER_DRAINING:
    case SERVER_CLOSED:
        return "draining";
    }
    return NULL;
}

/* `wrong` NULL: all is well. */
static void reply_status(call *c, const char *wrong)
{
    call_reply_json(c, wrong ? 503 : 200,
                    json_pack("{s:s}", "status", wrong ? wrong : "ok"));
}

static void livez(call *c)
{
    reply_status(c, live_status(c));
}

static void readyz(call *c)
{
    reply_status(c, ready_status(c));
}

static void health(call *c)
{
    const char *wrong = ready_status(c);
    reply_status(c, wrong ? wrong : live_status(c));
}

static const member answer[] = {
    {"status", MEMBER_STRING, .need = true, .words = "ok loading draining stalled"},
    {0},
};

const route wire_health[] = {
    {"GET", "/health", "health", "Is it up, ready and getting on?", SCOPE_OPEN,
     .quick = true, .answer = answer, .unwell = true, .handle = health},
    {"GET", "/livez", "livez", "Does decoding get on?  503: restart it.", SCOPE_OPEN,
     .quick = true, .answer = answer, .unwell = true, .handle = livez},
    {"GET", "/readyz", "readyz",
     "May it be given requests?  503 while it loads and while it goes down.", SCOPE_OPEN,
     .quick = true, .answer = answer, .unwell = true, .handle = readyz},
    {0},
};
