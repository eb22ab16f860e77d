/* serve/hub_task.c - tasks: opened over models that the hub lends, bound, closed.
 *
 *   loading thread   the contract is read, what was fitted is checked, models are found
 *                    or opened: all that takes long
 *   engine thread    bound to the engines between two turns; closed there too */
#include "serve/hub_desk.h"

#include "base/mem.h"
#include "model/adapter.h"
#include <string.h>
#include <sys/stat.h>

/* --- models that are lent */

static void base_add(hub_use *u, const char *name)
{
    size_t at = strlen(u->base), n = strlen(name);
    if (at + n + 2 > sizeof u->base)
        return; /* what is shown has room for no more */
    if (at > 0)
        u->base[at++] = ',';
    memcpy(u->base + at, name, n + 1);
}

static int model_lend(void *arg, const contract *c, const char *name, lm **ret_lm,
                      st_err *err)
{
    hub_use *u = arg;
    hub_core *core;
    char *path;
    int rc = models_find(name, c->path, &path, err);
    if (rc < 0)
        return rc;
    rc = hub_use_file(u, path, err);
    if (rc == 0)
        rc = hub_core_open(u->hub, path, true, &core, err);
    st_free(path);
    if (rc < 0)
        return rc;
    u->cores[u->n_cores++] = core; /* let go with the use */
    base_add(u, name);
    *ret_lm = core->lm;
    return 0;
}

static void model_back(void *arg, lm *l)
{
    (void)arg;
    (void)l;
}

/* --- opening */

static int contract_find(const char *path, char **ret_path, st_err *err)
{
    struct stat st;
    size_t n = strlen(path);
    *ret_path = NULL;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        static const char name[] = "/task.yaml";
        *ret_path = st_alloc(n + sizeof name);
        if (*ret_path) {
            memcpy(*ret_path, path, n);
            memcpy(*ret_path + n, name, sizeof name);
        }
    } else {
        *ret_path = st_strdup(path);
    }
    return *ret_path ? 0 : st_err_set(err, ST_ENOMEM, "%s: out of memory", path);
}

/* The files beside the contract that its answers depend on. */
static int files_note(hub_use *u, const contract *c, st_err *err)
{
    char *made = contract_artifact_path(c);
    char *train = c->train ? st_path_beside(c->path, c->train) : NULL;
    int rc = made && (train || !c->train)
                 ? hub_use_file(u, c->path, err)
                 : st_err_set(err, ST_ENOMEM, "%s: out of memory", c->path);
    if (rc == 0)
        rc = hub_use_file(u, made, err);
    if (rc == 0 && u->files[u->n_files - 1].there)
        u->bytes += u->files[u->n_files - 1].id.bytes;
    if (rc == 0 && train)
        rc = hub_use_file(u, train, err);
    st_free(train);
    st_free(made);
    return rc;
}

/* It is read once more: what its file was noted to be is not newer than what is used. */
static int writer_open(hub_use *u, const char *path, st_err *err)
{
    const extraction_opts how = {.n_threads = u->hub->opts.engine.n_threads,
                                 .source = &u->lends};
    contract *c;
    int rc = contract_load(path, &c, err);
    return rc < 0 ? rc : extraction_open(c, &how, &u->extraction, err);
}

static int chooser_open(hub_use *u, const char *path, st_err *err)
{
    const task_opts how = {.n_threads = u->hub->opts.engine.n_threads,
                           .source = &u->lends};
    return task_open(path, &how, &u->task, err);
}

typedef struct bind_errand {
    hub_use *use;
    int rc;
    st_err *err;
} bind_errand;

/* Beginnings of prompts are kept between runs.  One that is not kept yet is run here at
 * once, unless others would wait for that: then the first request that needs it runs it,
 * in steps. */
static void task_binds(void *arg)
{
    bind_errand *e = arg;
    hub *h = e->use->hub;
    pthread_mutex_lock(&h->lock);
    bool idle = h->n_work == 0;
    pthread_mutex_unlock(&h->lock);
    for (uint32_t i = 0; i < e->use->n_cores; i++)
        e->use->cores[i]->lm->keeps = idle;
    e->rc = e->use->task ? task_bind(e->use->task, e->err)
                         : extraction_bind(e->use->extraction, e->err);
    for (uint32_t i = 0; i < e->use->n_cores; i++)
        e->use->cores[i]->lm->keeps = true;
}

/* The first that writes text. */
static hub_core *writer_of(const hub_use *u)
{
    for (uint32_t i = 0; i < u->n_cores; i++) {
        const model_info *info = model_about(u->cores[i]->lm->model);
        if (info->causal && info->has_head)
            return u->cores[i];
    }
    return NULL;
}

static int task_make(hub_use *u, const contract *c, st_err *err)
{
    int rc = files_note(u, c, err);
    if (rc == 0)
        rc = contract_writes(c) ? writer_open(u, c->path, err)
                                : chooser_open(u, c->path, err);
    if (rc == 0 && strcmp(hub_use_contract(u)->name, u->name) != 0)
        rc = st_err_set(err, ST_EMISMATCH, "%s changed while it was loaded", c->path);
    if (rc < 0)
        return rc;
    const char *version =
        u->task ? task_version(u->task) : extraction_version(u->extraction);
    memcpy(u->version, version, ST_DIGEST_TEXT);
    u->main = writer_of(u);
    return 0;
}

static int task_ready(hub_use *u, st_err *err)
{
    bind_errand e = {.use = u, .err = err};
    hub_call_wait(u->hub, task_binds, &e);
    return e.rc < 0 ? e.rc : hub_desk_new(u, err);
}

/* The same answers as before: the one that is there stays, made from the files of now. */
static void task_stay(hub_use *known, hub_use *u, char *ret_name)
{
    hub_file files[HUB_FILES];
    uint32_t n = known->n_files;
    memcpy(files, known->files, sizeof files);
    memcpy(known->files, u->files, sizeof files);
    memcpy(u->files, files, sizeof files);
    known->n_files = u->n_files;
    u->n_files = n;
    if (ret_name)
        memcpy(ret_name, known->name, sizeof known->name);
    hub_done(u);
}

static int contract_open(const char *path, contract **ret_contract, st_err *err)
{
    char *file;
    int rc = contract_find(path, &file, err);
    if (rc == 0)
        rc = contract_load(file, ret_contract, err);
    st_free(file);
    return rc;
}

int hub_task_load(hub *h, const char *path, hub_use *known, char *ret_name, st_err *err)
{
    hub_use *u = NULL;
    contract *c;
    int rc = contract_open(path, &c, err);
    if (rc < 0)
        return rc;
    rc = hub_use_new(h, HUB_TASK, c->name, path, &u, err);
    if (rc == 0) {
        u->lends = (model_source){model_lend, model_back, u};
        rc = task_make(u, c, err);
    }
    contract_free(c);
    bool same = rc == 0 && known && strcmp(known->name, u->name) == 0 &&
                strcmp(known->version, u->version) == 0;
    if (same) {
        task_stay(known, u, ret_name);
        return 0;
    }
    if (rc == 0)
        rc = task_ready(u, err);
    if (rc < 0) {
        hub_done(u);
        return rc;
    }
    return hub_use_publish(u, ret_name, err);
}

/* --- closing */

void hub_use_close(hub_use *u)
{
    hub *h = u->hub;
    hub_desk_free(u->desk);
    task_close(u->task);
    extraction_close(u->extraction);
    adapter_free(u->adapter);
    pthread_mutex_lock(&h->lock);
    for (uint32_t i = 0; i < u->n_cores; i++)
        hub_core_unref(u->cores[i]);
    pthread_mutex_unlock(&h->lock);
    for (uint32_t i = 0; i < u->n_files; i++)
        st_free(u->files[i].path);
    st_free(u->source);
    st_free(u);
}

const contract *hub_use_contract(const hub_use *u)
{
    if (u->kind != HUB_TASK)
        return NULL;
    return u->task ? task_contract(u->task) : extraction_contract(u->extraction);
}

const task *hub_use_task(const hub_use *u)
{
    return u->task;
}

const extraction *hub_use_extraction(const hub_use *u)
{
    return u->extraction;
}
