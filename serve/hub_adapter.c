/* serve/hub_adapter.c - adapters over a model that is loaded, used like models.
 *
 * An adapter holds the open model that its base's name stood for, so it goes on with that
 * one when the name is unloaded or stands for another.  A reload binds it anew to what
 * the name stands for then. */
#include "serve/hub_priv.h"

#include "base/hash.h"
#include "base/mem.h"
#include "model/adapter.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PEFT_FILES = 2 };
static const char *const peft_files[PEFT_FILES] = {"adapter_config.json",
                                                   "adapter_model.safetensors"};

/* The open model that the name stands for, with a reference; NULL: no model. */
static hub_core *base_core(hub *h, const char *base)
{
    pthread_mutex_lock(&h->lock);
    hub_use *u = h->uses;
    while (u && strcmp(u->name, base) != 0)
        u = u->next;
    hub_core *c = u && u->kind == HUB_MODEL ? u->main : NULL;
    if (c)
        c->n_refs++;
    pthread_mutex_unlock(&h->lock);
    return c;
}

static int files_note(hub_use *u, const char *path, st_err *err)
{
    struct stat st;
    char file[4096];
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return hub_use_file(u, path, err);
    int rc = 0;
    for (int i = 0; i < PEFT_FILES && rc == 0; i++) {
        int n = snprintf(file, sizeof file, "%s/%s", path, peft_files[i]);
        rc = n > 0 && (size_t)n < sizeof file
                 ? hub_use_file(u, file, err)
                 : st_err_set(err, ST_EINVAL, "%s: the path is too long", path);
    }
    return rc;
}

/* Of the base's bytes, the adapter's, and how strongly it works. */
static int version_make(hub_use *u, st_err *err)
{
    st_sha sha;
    int rc = 0;
    st_sha_init(&sha);
    st_sha_add(&sha, "stint.adapter.1", 15);
    st_sha_add(&sha, u->main->lm->digest, 64);
    st_sha_add(&sha, &u->scale, sizeof u->scale);
    for (uint32_t i = 0; i < u->n_files && rc == 0; i++) {
        st_file_map map;
        char digest[ST_DIGEST_TEXT];
        rc = st_file_map_open(u->files[i].path, &map, err);
        if (rc < 0)
            break;
        st_sha_of(map.data, map.len, digest);
        st_sha_add(&sha, digest, 64);
        st_file_map_close(&map);
    }
    if (rc == 0)
        st_sha_end(&sha, u->version);
    return rc;
}

static int adapter_make(hub_use *u, st_err *err)
{
    u->main = base_core(u->hub, u->base);
    if (!u->main) {
        st_err_set(err, ST_ENOTFOUND, "no model '%s' is loaded", u->base);
        st_err_hint(err, "load the model that the adapter '%s' is for first", u->name);
        return ST_ENOTFOUND;
    }
    u->cores[u->n_cores++] = u->main;
    int rc = files_note(u, u->source, err);
    if (rc == 0)
        rc = adapter_open(u->source, u->main->lm->model, u->scale, &u->adapter, err);
    if (rc < 0)
        return rc;
    u->bytes = adapter_about(u->adapter)->bytes;
    rc = hub_memory_check(u->hub, u->bytes, u->source, err);
    return rc < 0 ? rc : version_make(u, err);
}

int hub_adapter_load(hub *h, const char *name, const char *path, const char *base,
                     float scale, st_err *err)
{
    hub_use *u = NULL;
    size_t n = strlen(base);
    if (n >= HUB_NAME_MAX)
        return st_err_set(err, ST_ENOTFOUND, "no model '%.40s...' is loaded", base);
    int rc = hub_use_new(h, HUB_ADAPTER, name, path, &u, err);
    if (rc < 0)
        return rc;
    memcpy(u->base, base, n + 1);
    u->scale = scale;
    rc = adapter_make(u, err);
    if (rc < 0) {
        hub_done(u);
        return rc;
    }
    return hub_use_publish(u, NULL, err);
}

bool hub_adapter_moved(const hub_use *u)
{
    hub *h = u->hub;
    hub_core *c = base_core(h, u->base);
    if (!c)
        return false; /* its base is gone: it keeps what it has */
    pthread_mutex_lock(&h->lock);
    hub_core_unref(c);
    pthread_mutex_unlock(&h->lock);
    return c != u->main;
}

int hub_load_adapter(hub *h, const char *name, const char *path, const char *base,
                     float scale, st_err *err)
{
    pthread_mutex_lock(&h->loading);
    int rc = hub_adapter_load(h, name, path, base, scale, err);
    pthread_mutex_unlock(&h->loading);
    return rc;
}
