/* serve/wire_models.c - what answers requests here, by name.
 *
 * One list for OpenAI's clients ("data") and for TypeSafe's ("models"). */
#include "base/mem.h"
#include "serve/call_priv.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const media[] = {"decisions", "text", "embeddings"};

/* What comes out of it: a task decides, a language model writes too, an encoder makes
 * vectors.  NULL: it is gone, or no memory. */
static json_t *output_media(hub *h, const hub_entry *e)
{
    hub_use *use;
    json_t *list;
    if (e->kind == HUB_TASK)
        return json_pack("[s]", media[0]);
    if (hub_find(h, e->name, &use, NULL) < 0)
        return NULL;
    const lm *l = hub_use_lm(use);
    if (l && model_about(l->model)->has_head)
        list = json_pack("[s, s]", media[1], media[0]);
    else
        list = json_pack("[s]", media[2]);
    hub_done(use);
    return list;
}

static json_t *entry_openai(hub *h, const hub_entry *e)
{
    json_t *out = output_media(h, e);
    if (!out)
        return NULL;
    return json_pack("{s:s, s:s, s:I, s:s, s:{s:[s], s:o}, s:{s:s, s:s, s:s?}}", "id",
                     e->name, "object", "model", "created", (json_int_t)e->loaded,
                     "owned_by", "stint", "architecture", "input_modalities", "text",
                     "output_modalities", out, "stint", "kind", hub_kind_text(e->kind),
                     "version", e->version, "base", e->base[0] ? e->base : NULL);
}

static json_t *entry_typesafe(const hub_entry *e)
{
    char date[16] = "", about[HUB_NAME_MAX + 64];
    time_t when = (time_t)e->loaded;
    struct tm day;
    if (gmtime_r(&when, &day))
        strftime(date, sizeof date, "%Y-%m-%d", &day);
    snprintf(about, sizeof about, "%s%s%s", hub_kind_text(e->kind),
             e->base[0] ? " on " : "", e->base);
    return json_pack("{s:s, s:s, s:s}", "name", e->name, "description", about,
                     "release_date", date);
}

/* Append what was made, which is taken; false: there is none, or no memory. */
static bool append(json_t *list, json_t *made)
{
    return made && json_array_append_new(list, made) == 0;
}

static json_t *models_json(call *c, const hub_entry *list, uint32_t n)
{
    json_t *data = json_array(), *models = json_array();
    bool good = data && models;
    for (uint32_t i = 0; i < n && good; i++) {
        if (!call_may_use(c, list[i].name))
            continue;
        json_t *entry = entry_openai(call_hub(c), &list[i]);
        if (entry) /* else it was unloaded just now */
            good = append(data, entry) && append(models, entry_typesafe(&list[i]));
    }
    if (good)
        return json_pack("{s:s, s:o, s:o}", "object", "list", "data", data, "models",
                         models);
    json_decref(data);
    json_decref(models);
    return NULL;
}

static void models_list(call *c)
{
    hub_entry *list;
    uint32_t n;
    st_err err = {0};
    if (hub_list(call_hub(c), &list, &n, &err) < 0) {
        call_reply_error(c, "", &err);
        return;
    }
    call_reply_json(c, 200, models_json(c, list, n));
    st_free(list);
}

static void model_one(call *c)
{
    hub_entry *list;
    uint32_t n, i = 0;
    st_err err = {0};
    problems p = {0};
    const char *name = call_path_value(c, 0);
    if (hub_list(call_hub(c), &list, &n, &err) < 0) {
        call_reply_error(c, "", &err);
        return;
    }
    while (i < n && strcmp(list[i].name, name) != 0)
        i++;
    if (i < n && call_may_use(c, name)) {
        call_reply_json(c, 200, entry_openai(call_hub(c), &list[i]));
    } else {
        problems_add(&p, PROBLEM_NO_MODEL, "model", "no model, task or adapter '%s'",
                     name);
        call_reply_problems(c, &p);
    }
    st_free(list);
}

static const member architecture[] = {
    {"input_modalities", MEMBER_ARRAY, .need = true, .items = MEMBER_STRING},
    {"output_modalities", MEMBER_ARRAY, .need = true, .items = MEMBER_STRING,
     .about = "A task's are decisions; a language model writes text and decides too."},
    {0},
};

static const member about[] = {
    {"kind", MEMBER_STRING, .need = true, .words = "model task adapter"},
    {"version", MEMBER_STRING, .need = true,
     .about = "A task's version, or the digest of a file."},
    {"base", MEMBER_STRING | MEMBER_NULL,
     .about = "The model of an adapter, the models of a task."},
    {0},
};

static const member entry[] = {
    {"id", MEMBER_STRING, .need = true},
    {"object", MEMBER_STRING, .need = true, .words = "model"},
    {"created", MEMBER_INTEGER, .need = true, .about = "When it was loaded."},
    {"owned_by", MEMBER_STRING, .need = true},
    {"architecture", MEMBER_OBJECT, .need = true, .of = architecture},
    {"stint", MEMBER_OBJECT, .need = true, .of = about},
    {0},
};

static const member entry_short[] = {
    {"name", MEMBER_STRING, .need = true},
    {"description", MEMBER_STRING, .need = true},
    {"release_date", MEMBER_STRING, .need = true},
    {0},
};

static const member list[] = {
    {"object", MEMBER_STRING, .need = true, .words = "list"},
    {"data", MEMBER_ARRAY, .need = true, .of = entry},
    {"models", MEMBER_ARRAY, .need = true, .of = entry_short,
     .about = "The same, as TypeSafe's clients read it."},
    {0},
};

const route wire_models[] = {
    {"GET", "/v1/models", "listModels", "Models, tasks and adapters that answer here.",
     SCOPE_CLIENT, .answer = list, .handle = models_list},
    {"GET", "/v1/models/{model}", "retrieveModel", "One of them.", SCOPE_CLIENT,
     .answer = entry, .handle = model_one},
    {0},
};
