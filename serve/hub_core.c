/* serve/hub_core.c - models that are open, once for all who name the same bytes.
 *
 * A file that is open already, in the state it is in now, is not opened again.  One that
 * turns out to have the bytes of another that is open is closed again at once. */
#include "serve/hub_priv.h"

#include "base/mem.h"
#include <stdio.h>
#include <string.h>

static bool core_take(void *arg)
{
    const hub_core *c = arg;
    return sched_step(c->sched);
}

static void core_wake(void *arg)
{
    hub_core *c = arg;
    pthread_mutex_lock(&c->hub->lock);
    hub_turn_wake(c->hub, &c->turn);
    pthread_mutex_unlock(&c->hub->lock);
}

/* Of weights, packed copies of them, and pages. */
static size_t bytes_of(const hub *h, const lm *l)
{
    const model *m = engine_model(l->engine);
    size_t page = model_kv_page_bytes(m, engine_kv_type(m, &h->opts.engine));
    return model_about(m)->weight_bytes + engine_free_pages(l->engine) * page;
}

bool hub_file_same(const st_file_id *a, const st_file_id *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}

/* One that is open, of this file or (file NULL) these bytes; with a reference. */
static hub_core *core_find(hub *h, const st_file_id *file, const char *digest, bool int8)
{
    hub_core *c;
    pthread_mutex_lock(&h->lock);
    for (c = h->cores; c; c = c->next)
        if (c->n_refs > 0 && (c->int8 == int8 || !model_about(c->lm->model)->floats) &&
            (file ? hub_file_same(&c->file, file) : strcmp(c->lm->digest, digest) == 0))
            break;
    if (c)
        c->n_refs++;
    pthread_mutex_unlock(&h->lock);
    return c;
}

size_t hub_bytes(const hub *h)
{
    size_t bytes = 0;
    for (const hub_core *c = h->cores; c; c = c->next)
        bytes += c->bytes;
    for (const hub_use *u = h->uses; u; u = u->next)
        bytes += u->bytes;
    return bytes;
}

static void size_text(size_t bytes, char *ret, size_t room)
{
    if (bytes < 10000000)
        snprintf(ret, room, "%.1f kB", (double)bytes / 1e3);
    else
        snprintf(ret, room, "%.1f MB", (double)bytes / 1e6);
}

/* All that is open, and how large, into the error. */
static int refuse_size(hub *h, size_t bytes, const char *path, st_err *err)
{
    char list[256] = "", size[32], most[32];
    size_t at = 0;
    pthread_mutex_lock(&h->lock);
    for (const hub_core *c = h->cores; c && at < sizeof list; c = c->next) {
        const char *name = strrchr(c->lm->path, '/');
        size_text(c->bytes, size, sizeof size);
        int n = snprintf(list + at, sizeof list - at, "%s%s %s", at ? ", " : "",
                         name ? name + 1 : c->lm->path, size);
        at += n > 0 ? (size_t)n : 0;
    }
    pthread_mutex_unlock(&h->lock);
    size_text(bytes, size, sizeof size);
    size_text(h->opts.memory, most, sizeof most);
    st_err_set(err, ST_ELIMIT, "%s: %s pass the %s that models may take; loaded: %s",
               path, size, most, list[0] ? list : "nothing");
    st_err_hint(err, "unload another, give pages less memory, or allow more");
    return ST_ELIMIT;
}

int hub_memory_check(hub *h, size_t bytes, const char *path, st_err *err)
{
    pthread_mutex_lock(&h->lock);
    size_t taken = hub_bytes(h);
    pthread_mutex_unlock(&h->lock);
    return h->opts.memory == 0 ||
                   (taken <= h->opts.memory && bytes <= h->opts.memory - taken)
               ? 0
               : refuse_size(h, bytes, path, err);
}

static int core_new(hub *h, lm *l, bool int8, hub_core **ret_core, st_err *err)
{
    hub_core *c = st_zalloc_n(1, sizeof *c);
    if (!c)
        return st_err_set(err, ST_ENOMEM, "%s: no memory for a model", l->path);
    *c = (hub_core){.hub = h, .int8 = int8, .bytes = bytes_of(h, l), .n_refs = 1};
    sched_opts how = h->opts.sched;
    how.on_work = core_wake;
    how.on_work_arg = c;
    int rc = hub_memory_check(h, c->bytes, l->path, err);
    if (rc == 0)
        rc = lm_sched(l, &how, &c->sched, err);
    if (rc < 0) {
        st_free(c);
        return rc;
    }
    pthread_mutex_init(&c->vocab_lock, NULL);
    c->lm = l;
    c->turn.take = core_take;
    c->turn.arg = c;
    *ret_core = c;
    return 0;
}

/* Open the file, and again as the one that has these bytes. */
static int core_read(hub *h, const char *path, const st_file_id *file, bool int8,
                     hub_core **ret_core, st_err *err)
{
    const lm_opts how = {.engine = h->opts.engine, .ctx_most = true, .int8 = int8};
    hub_core *c;
    lm *l;
    int rc = hub_memory_check(h, file->bytes, path, err);
    if (rc == 0)
        rc = lm_open(path, &how, &l, err);
    if (rc < 0)
        return rc;
    if ((c = core_find(h, NULL, l->digest, int8))) {
        lm_close(l);
        *ret_core = c;
        return 0;
    }
    rc = core_new(h, l, int8, &c, err);
    if (rc < 0) {
        lm_close(l);
        return rc;
    }
    c->file = *file;
    pthread_mutex_lock(&h->lock);
    c->next = h->cores;
    h->cores = c;
    hub_turn_add(h, &c->turn);
    pthread_mutex_unlock(&h->lock);
    *ret_core = c;
    return 0;
}

int hub_core_open(hub *h, const char *path, bool int8, hub_core **ret_core, st_err *err)
{
    st_file_id file;
    int rc = st_file_id_get(path, &file, err);
    if (rc < 0)
        return rc;
    hub_core *c = core_find(h, &file, NULL, int8);
    if (!c)
        return core_read(h, path, &file, int8, ret_core, err);
    *ret_core = c;
    return 0;
}

void hub_core_unref(hub_core *c)
{
    if (--c->n_refs == 0)
        pthread_cond_signal(&c->hub->came);
}

void hub_core_free(hub_core *c)
{
    if (!c)
        return;
    while (c->pins) {
        hub_pinned *p = c->pins;
        c->pins = p->next;
        sched_prefix_unpin(c->sched, p->prefix);
        st_free(p);
    }
    vocab_free(c->vocab);
    lm_close(c->lm); /* and its scheduler */
    pthread_mutex_destroy(&c->vocab_lock);
    st_free(c);
}
