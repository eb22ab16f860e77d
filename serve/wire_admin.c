/* serve/wire_admin.c - load, unload and reload while requests are under way.
 *
 * These calls run one after the other on a thread of their own, so no other call waits
 * for a file to be read. */
#include "base/mem.h"
#include "serve/call_priv.h"
#include <string.h>

static json_t *entry_json(const server *s, const hub_entry *e)
{
    return json_pack("{s:s, s:s, s:s?, s:s, s:I, s:I, s:I, s:b}", "name", e->name, "kind",
                     hub_kind_text(e->kind), "base", e->base[0] ? e->base : NULL,
                     "version", e->version, "bytes", (json_int_t)e->bytes, "loaded",
                     (json_int_t)e->loaded, "in_use", (json_int_t)e->in_use, "kept",
                     s->loaded && loaded_has(s->loaded, e->name));
}

/* What does not load is the caller's mistake, whatever the room that found it says. */
static void reply_not_loaded(call *c, const char *param, const st_err *err)
{
    problems p = {0};
    if (err->code == ST_ENOMEM || err->code == ST_EIO || err->code == ST_EBUSY) {
        call_reply_error(c, "", err);
        return;
    }
    problems_add(&p, PROBLEM_VALUE, param, "%s%s%s", err->message,
                 err->hint[0] ? "; " : "", err->hint);
    call_reply_problems(c, &p);
}

static void reply_entry(call *c, const char *name)
{
    hub_entry *list;
    uint32_t n, i = 0;
    st_err err = {0};
    if (hub_list(call_hub(c), &list, &n, &err) < 0) {
        call_reply_error(c, "", &err);
        return;
    }
    while (i < n && strcmp(list[i].name, name) != 0)
        i++;
    call_reply_json(c, 200, i < n ? entry_json(call_server(c), &list[i]) : NULL);
    st_free(list);
}

/* Members that belong to one kind only. */
static void check_load(const json_t *body, hub_kind kind, problems *out)
{
    if (kind == HUB_TASK && body_get(body, "name"))
        problems_add(out, PROBLEM_VALUE, "name", "a task's name stands in its contract");
    if (kind == HUB_ADAPTER && !body_get(body, "name"))
        problems_add(out, PROBLEM_MISSING, "name", "the name that requests will give");
    if (kind == HUB_ADAPTER && !body_get(body, "base"))
        problems_add(out, PROBLEM_MISSING, "base", "the model that it adapts");
    if (kind != HUB_ADAPTER && body_get(body, "base"))
        problems_add(out, PROBLEM_VALUE, "base", "only an adapter has one");
    if (kind != HUB_ADAPTER && body_get(body, "scale"))
        problems_add(out, PROBLEM_VALUE, "scale", "only an adapter has one");
}

static void admin_load(call *c)
{
    const json_t *body = call_body(c);
    server *s = call_server(c);
    char name[HUB_NAME_MAX];
    problems p = {0};
    st_err err = {0};
    loaded_row row = {
        .kind = hub_kind_of(body_text(body, "kind", "")),
        .name = body_text(body, "name", NULL),
        .path = body_text(body, "path", ""),
        .base = body_text(body, "base", NULL),
        .scale = body_number(body, "scale", 1),
    };
    check_load(body, row.kind, &p);
    if (p.n > 0 || p.out_of_memory) {
        call_reply_problems(c, &p);
        return;
    }
    if (server_load_row(s, &row, name, &err) < 0) {
        reply_not_loaded(c, "path", &err);
        return;
    }
    row.name = name;
    if (s->loaded && loaded_put(s->loaded, &row, &err) < 0) {
        st_err_at(&err, "'%s' is loaded, but not kept for the next start", name);
        call_reply_error(c, "", &err);
        return;
    }
    reply_entry(c, name);
}

static void admin_unload(call *c)
{
    const char *name = body_text(call_body(c), "name", "");
    server *s = call_server(c);
    st_err err = {0};
    if (hub_unload(s->hub, name, &err) < 0) {
        call_reply_error(c, "name", &err);
        return;
    }
    if (s->loaded && loaded_drop(s->loaded, name, &err) < 0) {
        st_err_at(&err, "'%s' is unloaded, but will be loaded at the next start", name);
        call_reply_error(c, "", &err);
        return;
    }
    call_reply_json(c, 200, json_pack("{s:s, s:b}", "name", name, "unloaded", 1));
}

static void reply_loaded(call *c)
{
    hub_entry *list;
    uint32_t n;
    st_err err = {0};
    hub_stats stats;
    server *s = call_server(c);
    if (hub_list(s->hub, &list, &n, &err) < 0) {
        call_reply_error(c, "", &err);
        return;
    }
    hub_stats_get(s->hub, &stats);
    json_t *data = json_array();
    bool good = data != NULL;
    for (uint32_t i = 0; i < n && good; i++) {
        json_t *one = entry_json(s, &list[i]);
        good = one && json_array_append_new(data, one) == 0;
    }
    st_free(list);
    json_t *all =
        json_pack("{s:s, s:O, s:I, s:I}", "object", "list", "data", data, "bytes",
                  (json_int_t)stats.bytes, "memory", (json_int_t)s->settings->memory);
    json_decref(data);
    if (!good) {
        json_decref(all);
        all = NULL;
    }
    call_reply_json(c, 200, all);
}

static void admin_reload(call *c)
{
    st_err err = {0};
    problems p = {0};
    if (server_reload(call_server(c), &err) == 0) {
        reply_loaded(c);
        return;
    }
    problems_add(&p, PROBLEM_SERVER, "", "%s%s%s; what it was is still served",
                 err.message, err.hint[0] ? "; " : "", err.hint);
    call_reply_problems(c, &p);
}

static const member load_body[] = {
    {"kind", MEMBER_STRING, .need = true, .words = "model task adapter"},
    {"name", MEMBER_STRING | MEMBER_NULL, .min = 1, .max = HUB_NAME_MAX - 1,
     .about = "That requests will give; a model's is made from its file's, a task's "
              "stands in its contract."},
    {"path", MEMBER_STRING, .need = true, .min = 1, .max = 4095,
     .about =
         "A model's file, or its name in $STINT_MODELS; a contract or its folder; an "
         "adapter's file or folder.  On the server's machine."},
    {"base", MEMBER_STRING | MEMBER_NULL, .min = 1, .max = HUB_NAME_MAX - 1,
     .about = "The model that an adapter adapts."},
    {"scale", MEMBER_NUMBER | MEMBER_NULL, .min = -100, .max = 100,
     .about = "How much of an adapter is added; 1."},
    {0},
};

static const member unload_body[] = {
    {"name", MEMBER_STRING, .need = true, .min = 1, .max = HUB_NAME_MAX - 1},
    {0},
};

static const member loaded_entry[] = {
    {"name", MEMBER_STRING, .need = true},
    {"kind", MEMBER_STRING, .need = true, .words = "model task adapter"},
    {"base", MEMBER_STRING | MEMBER_NULL, .need = true},
    {"version", MEMBER_STRING, .need = true},
    {"bytes", MEMBER_INTEGER, .need = true, .about = "That it takes by itself."},
    {"loaded", MEMBER_INTEGER, .need = true, .about = "When, in Unix seconds."},
    {"in_use", MEMBER_INTEGER, .need = true, .about = "Requests under way."},
    {"kept", MEMBER_BOOL, .need = true, .about = "Is it loaded again at the next start?"},
    {0},
};

static const member loaded_list[] = {
    {"object", MEMBER_STRING, .need = true, .words = "list"},
    {"data", MEMBER_ARRAY, .need = true, .of = loaded_entry},
    {"bytes", MEMBER_INTEGER, .need = true, .about = "Of all that is loaded."},
    {"memory", MEMBER_INTEGER, .need = true, .about = "The most; 0: no limit."},
    {0},
};

static const member unloaded[] = {
    {"name", MEMBER_STRING, .need = true},
    {"unloaded", MEMBER_BOOL, .need = true},
    {0},
};

const route wire_admin[] = {
    {"POST", "/v1/admin/load", "adminLoad",
     "Load a model, task or adapter; under a name that is there, instead of it.",
     SCOPE_ADMIN, .body = load_body, .answer = loaded_entry, .handle = admin_load},
    {"POST", "/v1/admin/unload", "adminUnload",
     "Let it go when the requests that use it are done.", SCOPE_ADMIN,
     .body = unload_body, .answer = unloaded, .handle = admin_unload},
    {"POST", "/v1/admin/reload", "adminReload", "Load again what has changed on disk.",
     SCOPE_ADMIN, .answer = loaded_list, .handle = admin_reload},
    {"GET", "/v1/admin/loaded", "adminLoaded", "What is loaded, and what it takes.",
     SCOPE_ADMIN, .answer = loaded_list, .handle = reply_loaded},
    {0},
};
