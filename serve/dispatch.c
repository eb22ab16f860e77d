/* serve/dispatch.c - from a request to its wire.
 *
 * The order of checks is serve/call.h's.  Small bodies are read on the net thread; larger
 * ones, which could hold up other connections, where wires run. */
#include "base/mem.h"
#include "serve/gate.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MAX_DEPTH = 128,        /* containers in containers: a schema deep in a request */
    SMALL_BODY = 64 * 1024, /* takes less than a millisecond to read */
    MAX_DEADLINE_MS = 86400000,
};

/* ---- which route ---- */

/* Compare a pattern with the call's path, which stays as it is unless they fit: then its
 * values are cut out of it.  `values` NULL: only compare. */
static bool path_fits(const char *pattern, char *path, const char **values, uint32_t *n)
{
    while (*pattern && *path) {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        size_t len = strcspn(path, "/");
        if (len == 0)
            return false;
        pattern = strchr(pattern, '}') + 1;
        if (values && *n < CALL_MAX_VALUES)
            values[(*n)++] = path;
        path += len;
        if (values && *path) { /* the pattern goes on with the same '/' */
            *path++ = '\0';
            pattern++;
        }
    }
    return !*pattern && !*path;
}

static bool method_fits(const route *r, const char *method)
{
    return strcmp(r->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(r->method, "GET") == 0);
}

typedef struct found {
    const route *route; /* NULL: none */
    const route *other; /* of the path, with another method */
    char allow[64];     /* methods that the path has */
} found;

static void allow_add(found *f, const char *method)
{
    size_t len = strlen(f->allow);
    snprintf(f->allow + len, sizeof f->allow - len, "%s%s", len ? ", " : "", method);
}

static void route_find(char *path, const char *method, found *f)
{
    *f = (found){0};
    for (const route *const *wire = all_routes; *wire; wire++) {
        for (const route *r = *wire; r->method; r++) {
            if (!path_fits(r->path, path, NULL, NULL))
                continue;
            if (!f->route && method_fits(r, method))
                f->route = r;
            f->other = r;
            allow_add(f, r->method);
            if (strcmp(r->method, "GET") == 0)
                allow_add(f, "HEAD");
        }
    }
    if (f->other)
        allow_add(f, "OPTIONS");
}

/* ---- headers and body ---- */

static void read_deadline(call *c, problems *out)
{
    const char *text = call_header(c, "x-stint-deadline-ms");
    uint64_t ms = c->server->settings->deadline_ms;
    if (text) {
        char *end;
        unsigned long long asked = strtoull(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end || asked < 1 ||
            asked > MAX_DEADLINE_MS)
            problems_add(out, PROBLEM_VALUE, "x-stint-deadline-ms",
                         "a header with whole milliseconds from 1 to %d",
                         MAX_DEADLINE_MS);
        else if (!ms || asked < ms)
            ms = asked;
    }
    c->deadline_us = ms ? call_started_us(c) + ms * 1000 : 0;
}

static void read_class(call *c, problems *out)
{
    const char *text = call_header(c, "x-stint-class");
    if (!text || strcmp(text, "interactive") == 0)
        c->class = SCHED_INTERACTIVE;
    else if (strcmp(text, "bulk") == 0)
        c->class = SCHED_BULK;
    else
        problems_add(out, PROBLEM_VALUE, "x-stint-class",
                     "a header that is interactive or bulk");
}

/* Only JSON is taken as such: a browser sends it across sites only when it was allowed
 * to. */
static bool is_json_type(const char *type)
{
    static const char json[] = "application/json";
    size_t len = type ? strcspn(type, "; \t") : 0;
    return len == sizeof json - 1 && strncasecmp(type, json, len) == 0;
}

static void read_body(call *c, problems *out)
{
    const route *r = c->route;
    static const member none[] = {{0}};
    size_t len;
    const char *text = http_body(c->x, &len);
    bool wanted = r->body || r->shapes;
    if (!wanted && (len == 0 || strcmp(r->method, "GET") == 0))
        return;
    if (!is_json_type(call_header(c, "content-type"))) {
        problems_add(out, PROBLEM_MEDIA_TYPE, "",
                     "the Content-Type must be application/json");
        return;
    }
    c->body = body_parse(text, len, MAX_DEPTH, out);
    if (c->body && !r->shapes)
        body_check(c->body, wanted ? r->body : none, wanted && r->open_body, "", out);
}

/* ---- handing over ---- */

static void refuse(call *c, problem_kind kind, const char *message)
{
    problems p = {0};
    problems_add(&p, kind, "", "%s", message);
    call_reply_problems(c, &p);
}

/* What is known to be good, or answered. */
static bool is_good(call *c)
{
    problems p = {0};
    read_deadline(c, &p);
    read_class(c, &p);
    read_body(c, &p);
    if (p.n > 0 || p.out_of_memory) {
        call_reply_problems(c, &p);
        return false;
    }
    return true;
}

static bool is_closed(call *c)
{
    if (server_state_get(c->server) != SERVER_CLOSED)
        return false;
    refuse(c, PROBLEM_DRAINING, "the server is going down");
    return true;
}

static call *call_of_job(crew_job *job)
{
    return (call *)((char *)job - offsetof(call, job));
}

static void handle_job(crew_job *job)
{
    call *c = call_of_job(job);
    if (!is_closed(c))
        c->route->handle(c);
}

static void check_job(crew_job *job)
{
    call *c = call_of_job(job);
    if (!is_closed(c) && is_good(c))
        c->route->handle(c);
}

static void hand_over(call *c)
{
    size_t len;
    server *s = c->server;
    crew *who = c->route->scope == SCOPE_ADMIN ? s->movers : s->crew;
    http_body(c->x, &len);
    c->job.run = len <= SMALL_BODY ? handle_job : check_job;
    if (len <= SMALL_BODY && !is_good(c))
        return;
    if (c->route->quick)
        c->job.run(&c->job);
    else if (!crew_enter(who, &c->job))
        refuse(c, PROBLEM_BUSY, "too many requests wait");
}

static dialect dialect_of_path(const char *path)
{
    return strncmp(path, "/v2/", 4) == 0 ? DIALECT_KSERVE : DIALECT_OPENAI;
}

static void reply_no_route(call *c, const found *f, const char *method)
{
    problems p = {0};
    c->dialect = f->other ? f->other->dialect : dialect_of_path(c->path);
    if (!f->other) {
        problems_add(&p, PROBLEM_NO_ROUTE, "",
                     "there is no %s; /openapi.json lists what is", c->path);
        call_reply_problems(c, &p);
        return;
    }
    call_set_header(c, "allow", f->allow);
    if (strcmp(method, "OPTIONS") == 0) {
        call_reply_text(c, 204, "text/plain", "", 0);
        return;
    }
    problems_add(&p, PROBLEM_METHOD, "", "%s takes %s", c->path, f->allow);
    call_reply_problems(c, &p);
}

static bool arrived_whole(call *c)
{
    switch (http_fault_of(c->x)) {
    case HTTP_FAULT_NONE:
        return true;
    case HTTP_FAULT_TOO_LARGE:
        refuse(c, PROBLEM_TOO_LARGE, "the body has more bytes than the server takes");
        return false;
    case HTTP_FAULT_MEMORY:
        c->lost_header = true; /* as where memory runs out anywhere: 503 */
        refuse(c, PROBLEM_SERVER, "no memory for the body");
        return false;
    }
    return false;
}

void dispatch(void *arg, http_exchange *x)
{
    found f;
    problems p = {0};
    const char *method = http_method(x);
    call *c = call_new(arg, x);
    if (!c) {
        call_reply_nothing_left(x);
        return;
    }
    route_find(c->path, method, &f);
    if (!f.route) {
        reply_no_route(c, &f, method);
        return;
    }
    c->route = f.route;
    c->dialect = f.route->dialect;
    path_fits(f.route->path, c->path, c->values, &c->n_values);
    gate_enter(c, f.route->scope, &p);
    if (p.n > 0 || p.out_of_memory)
        call_reply_problems(c, &p);
    else if (arrived_whole(c) && !is_closed(c))
        hand_over(c);
}
