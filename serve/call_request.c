/* serve/call_request.c - one request: what a wire may ask of it, and what it holds until
 * its end.
 */
#include "serve/call.h"

#include "base/mem.h"
#include "serve/call_priv.h"
#include <ctype.h>
#include <sodium/crypto_generichash.h>
#include <stdio.h>
#include <string.h>

/* A client's name for its request goes into logs and headers, so only what is plain. */
static bool is_plain_word(const char *s)
{
    size_t len = s ? strlen(s) : 0;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("-_.:", s[i]))
            return false;
    return len > 0 && len <= CALL_ID_MAX;
}

call *call_new(server *s, http_exchange *x)
{
    const char *theirs = http_request_header(x, "x-request-id");
    call *c = st_zalloc_n(1, sizeof *c);
    if (!c || !(c->path = st_strdup(http_path(x)))) {
        st_free(c);
        return NULL;
    }
    c->server = s;
    c->x = x;
    if (is_plain_word(theirs))
        snprintf(c->id, sizeof c->id, "%s", theirs);
    else
        id_make("req-", c->id);
    if (s->settings->trace)
        c->trace = trace_begin(http_arrived_us(x));
    atomic_fetch_add(&s->n_calls, 1);
    return c;
}

void call_close(call *c, unsigned status)
{
    c->status = status;
    call_seen(c);
    for (uint32_t i = 0; i < c->n_uses; i++)
        hub_done(c->uses[i]);
    c->n_uses = 0;
}

void call_free(call *c)
{
    server *s = c->server;
    for (uint32_t i = 0; i < c->n_headers; i++) {
        st_free(c->headers[i].name);
        st_free(c->headers[i].value);
    }
    trace_free(c->trace);
    json_decref(c->body);
    st_free(c->path);
    st_free(c);
    atomic_fetch_sub(&s->n_calls, 1); /* the server may be gone from here on */
}

server *call_server(const call *c)
{
    return c->server;
}

hub *call_hub(const call *c)
{
    return c->server->hub;
}

held_cache *call_forms(const call *c)
{
    return c->server->forms;
}

const struct route *call_route(const call *c)
{
    return c->route;
}

const char *call_id(const call *c)
{
    return c->id;
}

const json_t *call_body(const call *c)
{
    return c->body;
}

const char *call_path_value(const call *c, unsigned i)
{
    return i < c->n_values ? c->values[i] : NULL;
}

const char *call_query(const call *c, const char *name)
{
    return http_query(c->x, name);
}

const char *call_header(const call *c, const char *name)
{
    return http_request_header(c->x, name);
}

uint64_t call_key(const call *c)
{
    return c->who.key;
}

uint64_t call_key_part(const call *c, const char *part)
{
    crypto_generichash_state state;
    unsigned char drawn[crypto_generichash_BYTES_MIN];
    uint64_t key;
    crypto_generichash_init(&state, c->server->secret, sizeof c->server->secret,
                            sizeof drawn);
    crypto_generichash_update(&state, (const unsigned char *)&c->who.key,
                              sizeof c->who.key);
    crypto_generichash_update(&state, (const unsigned char *)part, strlen(part));
    crypto_generichash_final(&state, drawn, sizeof drawn);
    memcpy(&key, drawn, sizeof key);
    return key ? key : 1;
}

const char *call_key_name(const call *c)
{
    return c->who.info.name;
}

uint64_t call_started_us(const call *c)
{
    return http_arrived_us(c->x);
}

uint64_t call_deadline_us(const call *c)
{
    return c->deadline_us;
}

sched_class call_class(const call *c)
{
    return c->class;
}

bool call_may_use(const call *c, const char *name)
{
    return !c->server->keys || key_allows(&c->who.info, name);
}

hub_use *call_use(call *c, const char *name, problems *out)
{
    st_err err = {0};
    hub_use *use;
    if (!name)
        name = c->body ? body_text(c->body, "model", NULL) : NULL;
    if (c->n_uses == CALL_MAX_USES) {
        problems_add(out, PROBLEM_SERVER, "", "a request used more than %d models",
                     CALL_MAX_USES);
        return NULL;
    }
    if (hub_find(c->server->hub, name, &use, &err) < 0) {
        problems_from(out, "model", &err);
        return NULL;
    }
    c->uses[c->n_uses++] = use;
    if (!call_may_use(c, hub_use_name(use))) {
        problems_add(out, PROBLEM_FORBIDDEN, "model", "the key may not use '%s'",
                     hub_use_name(use));
        return NULL;
    }
    return use;
}

void call_on_gone(call *c, void (*fn)(void *arg), void *arg)
{
    http_on_gone(c->x, fn, arg);
}

bool call_is_gone(const call *c)
{
    return http_is_gone(c->x);
}

static void go_on(crew_job *job)
{
    call *c = (call *)((char *)job - offsetof(call, job));
    c->go_on(c, c->go_on_arg);
}

void call_later(call *c, void (*fn)(call *c, void *arg), void *arg)
{
    c->go_on = fn;
    c->go_on_arg = arg;
    c->job.run = go_on;
    crew_push(c->server->crew, &c->job);
}
