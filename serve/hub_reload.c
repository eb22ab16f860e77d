/* serve/hub_reload.c - what has changed on disk is loaded again.
 *
 * A file has changed when its state has: device, inode, length, times (base/file.h).
 * What comes out the same anyway stays: a task of the same version, and models of the
 * same bytes, which are shared. */
#include "serve/hub_priv.h"

#include "base/mem.h"
#include <string.h>

bool hub_use_changed(const hub_use *u)
{
    for (uint32_t i = 0; i < u->n_files; i++) {
        const hub_file *f = &u->files[i];
        st_file_id now;
        bool there = st_file_id_get(f->path, &now, NULL) == 0;
        if (there != f->there || (there && !hub_file_same(&now, &f->id)))
            return true;
    }
    return false;
}

/* A contract may have another name now: the old one stands for nothing any more. */
static int task_reload(hub *h, hub_use *u, st_err *err)
{
    char name[HUB_NAME_MAX];
    int rc = hub_task_load(h, u->source, u, name, err);
    if (rc == 0 && strcmp(name, u->name) != 0)
        rc = hub_name_drop(h, u->name, err);
    return rc;
}

static int use_reload(hub *h, hub_use *u, st_err *err)
{
    switch (u->kind) {
    case HUB_MODEL:
        return hub_model_load(h, u->name, u->source, NULL, err);
    case HUB_TASK:
        return task_reload(h, u, err);
    case HUB_ADAPTER:
        return hub_adapter_load(h, u->name, u->source, u->base, u->scale, err);
    }
    return 0;
}

/* The first after `name` that is an adapter, or is none; held; NULL: none. */
static hub_use *use_after(hub *h, const char *name, bool adapter)
{
    pthread_mutex_lock(&h->lock);
    hub_use *u = h->uses;
    while (u && (strcmp(u->name, name) <= 0 || (u->kind == HUB_ADAPTER) != adapter))
        u = u->next;
    if (u)
        u->n_refs++;
    pthread_mutex_unlock(&h->lock);
    return u;
}

static int some_reload(hub *h, bool adapters, st_err *err)
{
    int first = 0;
    char name[HUB_NAME_MAX] = "";
    hub_use *u;
    while ((u = use_after(h, name, adapters))) {
        bool changed = hub_use_changed(u) || (adapters && hub_adapter_moved(u));
        int rc = changed ? use_reload(h, u, err) : 0;
        first = first < 0 ? first : rc;
        memcpy(name, u->name, sizeof name);
        hub_done(u);
    }
    return first;
}

int hub_reload(hub *h, st_err *err)
{
    pthread_mutex_lock(&h->loading);
    int rc = some_reload(h, false, err);
    int rc_adapters = some_reload(h, true, err); /* over the models of now */
    pthread_mutex_unlock(&h->loading);
    return rc < 0 ? rc : rc_adapters;
}
