/* serve/hub_load.c - what names stand for: loaded, replaced, unloaded.
 *
 * Loading is done whole, beside what is there, on the thread that asks; the name changes
 * hands in one moment at the end.  Who looked it up before goes on with what it found. */
#include "serve/hub_priv.h"

#include "base/clock.h"
#include "base/mem.h"
#include "task/models.h"
#include <assert.h>
#include <string.h>

static int name_check(const char *name, st_err *err)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return st_err_set(err, ST_EINVAL, "a name has a control character");
    if (n == 0 || n >= HUB_NAME_MAX)
        return st_err_set(err, ST_EINVAL, "a name has 1 to %d bytes, not %zu",
                          HUB_NAME_MAX - 1, n);
    return 0;
}

/* "dir/smollm2.gguf" is called smollm2. */
static int name_make(const char *source, char *ret, st_err *err)
{
    const char *slash = strrchr(source, '/');
    const char *base = slash ? slash + 1 : source;
    size_t n = strlen(base);
    if (n > 5 && strcmp(base + n - 5, ".gguf") == 0)
        n -= 5;
    if (n >= HUB_NAME_MAX)
        return st_err_set(err, ST_EINVAL, "%s: give it a name of at most %d bytes",
                          source, HUB_NAME_MAX - 1);
    memcpy(ret, base, n);
    ret[n] = '\0';
    return name_check(ret, err);
}

int hub_use_new(hub *h, hub_kind kind, const char *name, const char *source,
                hub_use **ret_use, st_err *err)
{
    int rc = name ? name_check(name, err) : 0;
    hub_use *u = rc < 0 ? NULL : st_zalloc_n(1, sizeof *u);
    if (rc < 0)
        return rc;
    if (!u || !(u->source = st_strdup(source))) {
        st_free(u);
        return st_err_set(err, ST_ENOMEM, "no memory for '%s'", source);
    }
    u->hub = h;
    u->kind = kind;
    u->n_refs = 1;
    u->loaded = st_clock_unix();
    if (name)
        memcpy(u->name, name, strlen(name) + 1);
    else
        rc = name_make(source, u->name, err);
    if (rc < 0) {
        st_free(u->source);
        st_free(u);
        return rc;
    }
    *ret_use = u;
    return 0;
}

int hub_use_file(hub_use *u, const char *path, st_err *err)
{
    hub_file *f = &u->files[u->n_files];
    assert(u->n_files < HUB_FILES);
    f->path = st_strdup(path);
    if (!f->path)
        return st_err_set(err, ST_ENOMEM, "no memory for '%s'", path);
    f->there = st_file_id_get(path, &f->id, NULL) == 0;
    u->n_files++;
    return 0;
}

/* The place of a name in the list: where it is, or where it would be. */
static hub_use **name_place(hub *h, const char *name)
{
    hub_use **at = &h->uses;
    while (*at && strcmp((*at)->name, name) < 0)
        at = &(*at)->next;
    return at;
}

int hub_use_publish(hub_use *u, char *ret_name, st_err *err)
{
    hub *h = u->hub;
    pthread_mutex_lock(&h->lock);
    hub_use **at = name_place(h, u->name), *old = *at;
    bool there = old && strcmp(old->name, u->name) == 0;
    int rc = 0;
    if (h->draining)
        rc = st_err_set(err, ST_EBUSY, "going down: nothing more is loaded");
    else if (there && old->kind != u->kind)
        rc = st_err_set(err, ST_EINVAL, "the name '%s' is taken", u->name);
    if (rc < 0) {
        hub_use_unref(u);
        pthread_mutex_unlock(&h->lock);
        if (rc == ST_EINVAL)
            st_err_hint(err, "unload what has it, or give another name");
        return rc;
    }
    u->next = there ? old->next : old;
    *at = u;
    if (ret_name)
        memcpy(ret_name, u->name, sizeof u->name);
    if (there)
        hub_use_unref(old);
    pthread_mutex_unlock(&h->lock);
    return 0;
}

static int model_open(hub_use *u, st_err *err)
{
    char *path;
    int rc = models_find(u->source, "", &path, err);
    if (rc < 0)
        return rc;
    rc = hub_use_file(u, path, err);
    if (rc == 0)
        rc = hub_core_open(u->hub, path, false, &u->main, err);
    st_free(path);
    if (rc < 0)
        return rc;
    u->cores[u->n_cores++] = u->main;
    memcpy(u->version, u->main->lm->digest, sizeof u->main->lm->digest);
    if (strncmp(u->source, "sha256:", 7) == 0 && strcmp(u->source + 7, u->version) != 0)
        return st_err_set(err, ST_EMISMATCH, "%s: has digest %s", u->source, u->version);
    return 0;
}

int hub_model_load(hub *h, const char *name, const char *source, char *ret_name,
                   st_err *err)
{
    hub_use *u = NULL;
    int rc = hub_use_new(h, HUB_MODEL, name, source, &u, err);
    if (rc < 0)
        return rc;
    rc = model_open(u, err);
    if (rc < 0) {
        hub_done(u);
        return rc;
    }
    return hub_use_publish(u, ret_name, err);
}

int hub_load_model(hub *h, const char *name, const char *source,
                   char ret_name[HUB_NAME_MAX], st_err *err)
{
    pthread_mutex_lock(&h->loading);
    int rc = hub_model_load(h, name, source, ret_name, err);
    pthread_mutex_unlock(&h->loading);
    return rc;
}

int hub_load_task(hub *h, const char *path, char ret_name[HUB_NAME_MAX], st_err *err)
{
    pthread_mutex_lock(&h->loading);
    int rc = hub_task_load(h, path, NULL, ret_name, err);
    pthread_mutex_unlock(&h->loading);
    return rc;
}

int hub_name_drop(hub *h, const char *name, st_err *err)
{
    pthread_mutex_lock(&h->lock);
    hub_use **at = name_place(h, name), *u = *at;
    bool there = u && strcmp(u->name, name) == 0;
    if (there) {
        *at = u->next;
        hub_use_unref(u);
    }
    pthread_mutex_unlock(&h->lock);
    return there ? 0
                 : st_err_set(err, ST_ENOTFOUND,
                              "no model, task or adapter '%s' is loaded", name);
}

int hub_unload(hub *h, const char *name, st_err *err)
{
    pthread_mutex_lock(&h->loading);
    int rc = hub_name_drop(h, name, err);
    pthread_mutex_unlock(&h->loading);
    return rc;
}
