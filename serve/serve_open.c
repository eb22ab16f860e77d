/* serve/serve_open.c - the parts of a server made, filled and taken apart. */
#include "serve/serve_open.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "net/inherit.h"
#include "serve/gate.h"
#include <sodium/core.h>
#include <sodium/randombytes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    /* A step is short enough that another model, or a cancel, need not wait long. */
    STEP_US = 20000,
    LEAST_CREW = 2,
    MOST_CREW = 8,
    MOST_MOVES = 64, /* admin calls that wait */
};

static int hub_make(server *s, st_err *err)
{
    const settings *set = s->settings;
    const hub_opts opts = {
        .engine = {.n_threads = (unsigned)set->threads,
                   .n_ctx = (uint32_t)set->ctx,
                   .kv_bytes = set->kv_memory,
                   .kv_best = true},
        .sched = {.max_requests = (uint32_t)set->max_waiting,
                  .max_live = (uint32_t)set->max_live,
                  .step_us = STEP_US},
        .max_asks = (uint32_t)set->max_waiting,
        .memory = set->memory,
    };
    return hub_new(&opts, &s->hub, err);
}

static int http_make(server *s, int fd, st_err *err)
{
    const settings *set = s->settings;
    const http_opts opts = {
        .listen = set->listen,
        .fd = fd,
        .tls_cert = set->tls_cert,
        .tls_key = set->tls_key,
        .tls_client_ca = set->tls_client_ca,
        .max_connections = (uint32_t)set->max_connections,
        .max_body = set->max_body,
        .request_s = (uint32_t)set->request_seconds,
        .on_request = dispatch,
        .arg = s,
    };
    return http_listen(&opts, &s->http, err);
}

int server_open(server *s, const settings *set, st_err *err)
{
    unsigned n = st_cpu_count();
    int fd, rc = inherit_socket(&fd, err);
    s->settings = set;
    if (rc < 0 || (rc = gate_check_listen(set, fd, err)) < 0)
        return rc;
    if (sodium_init() < 0)
        return st_err_set(err, ST_EIO, "no source of random numbers");
    randombytes_buf(s->secret, sizeof s->secret);
    s->log.fd = 2;
    log_level_of(set->log_level, &s->log.level);
    n = n < LEAST_CREW ? LEAST_CREW : n > MOST_CREW ? MOST_CREW : n;
    if ((set->api_keys || set->api_key) &&
        (rc = api_keys_open(set->api_keys, set->api_key, &s->keys, err)) < 0)
        return rc;
    if (set->data && (rc = loaded_open(set->data, &s->loaded, err)) < 0)
        return rc;
    if ((rc = meter_new(set->vllm_metrics, &s->meter, err)) < 0 ||
        (rc = hub_make(s, err)) < 0 || (rc = held_cache_new(0, &s->forms, err)) < 0 ||
        (rc = crew_new(n, (uint32_t)set->max_waiting, &s->crew, err)) < 0 ||
        (rc = crew_new(1, MOST_MOVES, &s->movers, err)) < 0)
        return rc;
    return http_make(s, fd, err);
}

void server_wait_calls(server *s)
{
    while (atomic_load(&s->n_calls) > 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

void server_close(server *s)
{
    atomic_store(&s->state, SERVER_CLOSED);
    if (s->http) {
        http_quiesce(s->http);
        crew_go(s->crew);
        crew_go(s->movers);
        server_wait_calls(s);
        http_close(s->http);
    }
    crew_free(s->movers);
    crew_free(s->crew);
    hub_free(s->hub);
    held_cache_free(s->forms);
    meter_free(s->meter);
    loaded_free(s->loaded);
    api_keys_free(s->keys);
}

int server_load_row(server *s, const loaded_row *row, char ret_name[HUB_NAME_MAX],
                    st_err *err)
{
    int rc = 0;
    switch (row->kind) {
    case HUB_MODEL:
        rc = hub_load_model(s->hub, row->name, row->path, ret_name, err);
        break;
    case HUB_TASK:
        rc = hub_load_task(s->hub, row->path, ret_name, err);
        break;
    case HUB_ADAPTER:
        rc = hub_load_adapter(s->hub, row->name, row->path, row->base, (float)row->scale,
                              err);
        if (rc == 0)
            snprintf(ret_name, HUB_NAME_MAX, "%s", row->name);
        break;
    }
    if (rc == 0)
        log_event(&s->log, LOG_INFO, "loaded", "%s '%s'", hub_kind_text(row->kind),
                  ret_name);
    return rc;
}

/* ---- what the settings name ---- */

/* "NAME=REST": *ret_rest is REST, and the name is cut off in place.  NULL: no name. */
static char *name_cut(char *text, char **ret_rest)
{
    char *equals = strchr(text, '=');
    const char *slash = strchr(text, '/');
    bool named = equals && (!slash || equals < slash);
    *ret_rest = named ? equals + 1 : text;
    if (!named)
        return NULL;
    *equals = '\0';
    return text;
}

static int row_of_setting(hub_kind kind, char *text, loaded_row *ret_row, st_err *err)
{
    char *rest = text, *name = NULL, *at;
    if (kind != HUB_TASK)
        name = name_cut(text, &rest);
    *ret_row = (loaded_row){.kind = kind, .name = name, .path = rest, .scale = 1};
    if (kind != HUB_ADAPTER)
        return 0;
    at = strrchr(rest, '@');
    if (!name || !*name || !at || at == rest || !at[1])
        return st_err_set(err, ST_EINVAL, "--adapter takes NAME=PATH@MODEL");
    *at = '\0';
    ret_row->base = at + 1;
    return 0;
}

static int load_setting(server *s, hub_kind kind, const char *item, st_err *err)
{
    char name[HUB_NAME_MAX];
    loaded_row row;
    char *text = st_strdup(item);
    if (!text)
        return st_err_set(err, ST_ENOMEM, "no memory for a name");
    int rc = row_of_setting(kind, text, &row, err);
    if (rc == 0)
        rc = server_load_row(s, &row, name, err);
    st_free(text);
    return rc;
}

static int load_list(server *s, hub_kind kind, const setting_list *list, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < list->n && rc == 0; i++)
        rc = load_setting(s, kind, list->items[i], err);
    return rc;
}

/* What admin routes loaded in an earlier run.  One that is not to be had any more stays
 * in the file and is missed here; all others are served. */
static void load_kept(server *s)
{
    for (uint32_t i = 0; s->loaded && i < loaded_count(s->loaded); i++) {
        char name[HUB_NAME_MAX];
        st_err err = {0};
        loaded_row row;
        loaded_get(s->loaded, i, &row);
        if (server_load_row(s, &row, name, &err) < 0) {
            st_err_at(&err, "%s '%s' of loaded.json", hub_kind_text(row.kind), row.name);
            log_failure(&s->log, LOG_ERROR, "load", &err);
        }
    }
}

int server_load(server *s, st_err *err)
{
    const settings *set = s->settings;
    int rc = load_list(s, HUB_MODEL, &set->models, err);
    if (rc == 0)
        rc = load_list(s, HUB_TASK, &set->tasks, err);
    if (rc == 0)
        rc = load_list(s, HUB_ADAPTER, &set->adapters, err);
    if (rc == 0)
        load_kept(s);
    return rc;
}

int server_reload(server *s, st_err *err)
{
    int rc = s->keys ? api_keys_reload(s->keys, err) : 0;
    int hub_rc = hub_reload(s->hub, rc < 0 ? NULL : err);
    return rc < 0 ? rc : hub_rc;
}
