/* serve/wire_metrics.c - GET /metrics: Prometheus' text format, version 0.0.4. */
#include "serve/server_priv.h"
#include "serve/route.h"

enum { MAX_TEXT = 64 << 20 };

static void metrics(call *c)
{
    st_buf text;
    st_err err = {0};
    st_buf_init(&text, MAX_TEXT);
    if (meter_render(call_server(c)->meter, call_hub(c), &text, &err) < 0)
        call_reply_error(c, "", &err);
    else
        call_reply_text(c, 200, "text/plain; version=0.0.4; charset=utf-8", text.data,
                        text.len);
    st_buf_done(&text);
}

const route wire_metrics[] = {
    {.method = "GET",
     .path = "/metrics",
     .id = "metrics",
     .about = "What the server has counted, for Prometheus.",
     .scope = SCOPE_CLIENT,
     .dialect = DIALECT_OPENAI,
     .quick = true,
     .answer_type = "text/plain",
     .handle = metrics},
    {0},
};
