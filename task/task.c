/* task/task.c - a task opened for use: contract, models, what was fitted. */
#include "task/task_parts.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

const char *task_route_name(task_route route)
{
    static const char *const names[] = {
        [TASK_RULE] = "rule",
        [TASK_EXPERTS] = "experts",
        [TASK_ZERO_SHOT] = "zero-shot",
    };
    return names[route];
}

/* ---- opening ---- */

static int hint_fit(const task *t, int rc, st_err *err)
{
    if (rc == ST_EMISMATCH)
        st_err_hint(err, "run `stint fit %s` to fit it anew", t->contract->path);
    return rc;
}

static int open_artifact(task *t, const task_opts *opts, st_err *err)
{
    char *own = opts->artifact ? NULL : contract_artifact_path(t->contract);
    const char *path = opts->artifact ? opts->artifact : own;
    int rc = 0;
    if (!path)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", t->contract->path);
    if (opts->artifact || access(path, F_OK) == 0) {
        rc = artifact_open(path, &t->artifact, err);
        if (rc == 0 && strcmp(artifact_contract(t->artifact), t->contract->digest)) {
            if (opts->zero_shot) { /* it has nothing to say about this contract */
                artifact_close(t->artifact);
                t->artifact = NULL;
                goto out;
            }
            rc = st_err_set(err, ST_EMISMATCH,
                            "%s: was fitted for another contract than %s", path,
                            t->contract->path);
            rc = hint_fit(t, rc, err);
        }
    }
out:
    st_free(own);
    return rc;
}

static int add_model(task *t, const char *name, unsigned n_threads, st_err *err)
{
    int rc =
        models_open(t->source, t->contract, name, n_threads, &t->lms[t->n_models], err);
    if (rc)
        return rc;
    if (!t->source)
        t->lms[t->n_models]->keeps = true;
    t->models[t->n_models] = (fit_model){.name = name, .lm = t->lms[t->n_models]};
    t->n_models++;
    return 0;
}

static const artifact_model *find_fitted(const artifact *a, const char *name)
{
    for (uint32_t i = 0; a && i < artifact_n_models(a); i++)
        if (strcmp(artifact_model_at(a, i)->name, name) == 0)
            return artifact_model_at(a, i);
    return NULL;
}

static int open_pool(task *t, const task_opts *opts, st_err *err)
{
    const contract *c = t->contract;
    int rc = 0;
    for (uint32_t i = 0; i < c->n_models && rc == 0; i++) {
        const artifact_model *m = find_fitted(t->artifact, c->models[i]);
        if (m && m->used)
            rc = add_model(t, c->models[i], opts->n_threads, err);
    }
    if (rc == 0)
        rc = pool_new(t->artifact, c->digest, &c->question, t->models, t->n_models,
                      &t->pool, err);
    if (rc == 0 && pool_n_experts(t->pool) == 0) { /* settings only */
        pool_free(t->pool);
        t->pool = NULL;
    }
    return hint_fit(t, rc, err);
}

/* Who answers zero-shot: the model that `stint fit` chose on labelled rows, else the
 * first of the contract. */
static int open_reader(task *t, const task_opts *opts, st_err *err)
{
    const contract *c = t->contract;
    if (c->n_models == 0) {
        st_err_set(err, ST_ECONTRACT, "%s: nothing is fitted and no model is named",
                   c->path);
        st_err_hint(err, "run `stint fit %s`, or name a model in `models`", c->path);
        return ST_ECONTRACT;
    }
    const char *chosen =
        t->artifact ? artifact_setting(t->artifact, "readout.model") : NULL;
    const char *name = c->models[0];
    for (uint32_t i = 1; chosen && i < c->n_models; i++)
        if (strcmp(c->models[i], chosen) == 0)
            name = c->models[i];
    return add_model(t, name, opts->n_threads, err);
}

/* The fitted way to ask this model, when there is one. */
static int choose_readout(task *t, st_err *err)
{
    const fit_model *m = &t->models[0];
    const char *setting = t->artifact ? artifact_setting(t->artifact, "readout") : NULL;
    const char *name =
        t->artifact ? artifact_setting(t->artifact, "readout.model") : NULL;
    t->how = readout_default(m->lm);
    if (!setting || !name || strcmp(name, m->name))
        return 0;
    const artifact_model *known = find_fitted(t->artifact, name);
    if (!known || strcmp(known->digest, m->lm->digest) ||
        strcmp(known->tok_digest, tok_digest(m->lm->tok)))
        return hint_fit(t,
                        st_err_set(err, ST_EMISMATCH,
                                   "model '%s' is not the file that was fitted", name),
                        err);
    return readout_opts_read(setting, &t->how, err);
}

static int open_readout(task *t, const task_opts *opts, st_err *err)
{
    int rc = open_reader(t, opts, err);
    if (rc == 0)
        rc = choose_readout(t, err);
    if (rc == 0)
        rc = readout_new(t->lms[0], &t->contract->question, &t->how, &t->readout, err);
    return rc;
}

int task_bind(task *t, st_err *err)
{
    return t->readout ? readout_bind(t->readout, err) : 0;
}

static void digest_version(task *t)
{
    char how[160] = "";
    st_sha sha;
    st_sha_init(&sha);
    st_sha_add(&sha, "stint.version.1", 15);
    st_sha_add(&sha, t->contract->digest, 64);
    if (t->pool)
        st_sha_add(&sha, artifact_digest(t->artifact), 64);
    else
        (void)readout_opts_write(&t->how, how, sizeof how);
    st_sha_add(&sha, how, strlen(how));
    for (uint32_t i = 0; i < t->n_models; i++)
        st_sha_add(&sha, t->lms[i]->digest, 64);
    st_sha_end(&sha, t->version);
}

int task_open(const char *contract_path, const task_opts *opts, task **ret_task,
              st_err *err)
{
    task *t = st_zalloc_n(1, sizeof *t);
    if (!t)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", contract_path);
    t->source = opts->source;
    int rc = contract_load(contract_path, &t->contract, err);
    if (rc == 0 && contract_writes(t->contract))
        rc = st_err_set(err, ST_EUNSUPPORTED, "%s: its question has no options to choose",
                        contract_path);
    if (rc == 0)
        rc = open_artifact(t, opts, err);
    if (rc == 0 && t->artifact && !opts->zero_shot)
        rc = open_pool(t, opts, err);
    if (rc == 0 && !t->pool)
        rc = open_readout(t, opts, err);
    if (rc == 0 && !t->source)
        rc = task_bind(t, err);
    if (rc) {
        task_close(t);
        return rc;
    }
    digest_version(t);
    *ret_task = t;
    return 0;
}

void task_close(task *t)
{
    if (!t)
        return;
    readout_free(t->readout);
    pool_free(t->pool);
    while (t->n_models)
        models_close(t->source, t->lms[--t->n_models]);
    artifact_close(t->artifact);
    contract_free(t->contract);
    st_free(t);
}

const contract *task_contract(const task *t)
{
    return t->contract;
}

const char *task_version(const task *t)
{
    return t->version;
}

task_route task_way(const task *t)
{
    return t->pool ? TASK_EXPERTS : TASK_ZERO_SHOT;
}

uint32_t task_n_experts(const task *t)
{
    return t->pool ? pool_n_experts(t->pool) : 0;
}

const char *task_expert_name(const task *t, uint32_t i)
{
    return pool_expert_name(t->pool, i);
}

const readout_opts *task_readout(const task *t)
{
    return t->pool ? NULL : &t->how;
}

const char *task_readout_model(const task *t)
{
    return t->pool ? NULL : t->models[0].name;
}
