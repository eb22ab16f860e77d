/* expert/artifact.c - the artifact in memory: making, asking, freeing. */
#include "expert/artifact.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "expert/experts.h"
#include <string.h>

enum {
    MAX_KEY = 128,
    MAX_VALUE = 64 << 10,
};

const char *expert_kind_name(expert_kind kind)
{
    switch (kind) {
    case EXPERT_WORDS:
        return "words";
    case EXPERT_HEAD:
        return "head";
    case EXPERT_NEIGHBOURS:
        return "neighbours";
    }
    return "";
}

static void scaling_done(scaling *s)
{
    st_free(s->mean);
    st_free(s->factor);
}

void expert_done(expert *x)
{
    st_free(x->name);
    switch (x->kind) {
    case EXPERT_WORDS:
        st_free(x->as.words.feature);
        st_free(x->as.words.idf);
        st_free(x->as.words.rows);
        break;
    case EXPERT_HEAD:
        scaling_done(&x->as.head.scale);
        st_free(x->as.head.rows);
        break;
    case EXPERT_NEIGHBOURS:
        scaling_done(&x->as.near.scale);
        st_free(x->as.near.basis);
        st_free(x->as.near.keys);
        st_free(x->as.near.labels);
        break;
    }
    *x = (expert){0};
}

uint32_t expert_width(const expert *x)
{
    switch (x->kind) {
    case EXPERT_WORDS:
        break;
    case EXPERT_HEAD:
        return x->as.head.scale.d;
    case EXPERT_NEIGHBOURS:
        return x->as.near.scale.d;
    }
    return 0;
}

void artifact_close(artifact *a)
{
    if (!a)
        return;
    for (uint32_t i = 0; a->options && i < a->n_options; i++)
        st_free(a->options[i]);
    st_free(a->options);
    for (uint32_t i = 0; i < a->n_models; i++) {
        artifact_model *m = &a->models[i];
        st_free((void *)(uintptr_t)m->name);
        st_free((void *)(uintptr_t)m->digest);
        st_free((void *)(uintptr_t)m->tok_digest);
    }
    for (uint32_t i = 0; i < a->n_experts; i++)
        expert_done(&a->experts[i]);
    for (uint32_t i = 0; i < a->n_settings; i++) {
        st_free(a->settings[i].key);
        st_free(a->settings[i].value);
    }
    st_free(a);
}

static int copy_models(artifact *a, const artifact_model *models, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        artifact_model *m = &a->models[a->n_models++];
        m->name = st_strdup(models[i].name);
        m->digest = st_strdup(models[i].digest);
        m->tok_digest = st_strdup(models[i].tok_digest);
        m->used = models[i].used;
        if (!m->name || !m->digest || !m->tok_digest)
            return ST_ENOMEM;
    }
    return 0;
}

static int copy_options(artifact *a, const question *q)
{
    a->options = st_zalloc_n(q->n_options + 1u, sizeof *a->options);
    if (!a->options)
        return ST_ENOMEM;
    a->n_options = q->n_options;
    for (uint32_t i = 0; i < q->n_options; i++)
        if (!(a->options[i] = st_strdup(q->options[i].value)))
            return ST_ENOMEM;
    return 0;
}

int artifact_new(const char *contract, const question *q, const artifact_model *models,
                 uint32_t n_models, artifact **ret_artifact, st_err *err)
{
    if (strlen(contract) != ST_DIGEST_TEXT - 1)
        return st_err_set(err, ST_EINVAL,
                          "artifact: the contract's digest has %zu digits",
                          strlen(contract));
    if (n_models > ARTIFACT_MAX_MODELS)
        return st_err_set(err, ST_ELIMIT, "artifact: %u models, at most %d", n_models,
                          ARTIFACT_MAX_MODELS);
    if (q->n_options > QUESTION_MAX_OPTIONS)
        return st_err_set(err, ST_EINVAL, "artifact: %u options, at most %d",
                          q->n_options, QUESTION_MAX_OPTIONS);
    artifact *a = st_zalloc_n(1, sizeof *a);
    if (!a || copy_models(a, models, n_models) || copy_options(a, q)) {
        artifact_close(a);
        return st_err_set(err, ST_ENOMEM, "artifact: out of memory");
    }
    memcpy(a->contract, contract, sizeof a->contract);
    *ret_artifact = a;
    return 0;
}

static bool key_ok(const char *key)
{
    size_t n = strlen(key);
    return n > 0 && n <= MAX_KEY &&
           strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789._:-") == n;
}

int artifact_set(artifact *a, const char *key, const char *value, st_err *err)
{
    if (!key_ok(key))
        return st_err_set(err, ST_EINVAL,
                          "setting '%.40s': a key has 1 to %d of a-z 0-9 . _ : -", key,
                          MAX_KEY);
    if (strlen(value) > MAX_VALUE || !st_utf8_valid(value, strlen(value), NULL))
        return st_err_set(err, ST_EINVAL,
                          "setting '%s': the value is over %d bytes or not "
                          "UTF-8",
                          key, MAX_VALUE);
    if (artifact_setting(a, key))
        return st_err_set(err, ST_EINVAL, "setting '%s': set twice", key);
    if (a->n_settings == ARTIFACT_MAX_SETTINGS)
        return st_err_set(err, ST_ELIMIT, "setting '%s': over %d settings", key,
                          ARTIFACT_MAX_SETTINGS);
    artifact_setting_pair pair = {st_strdup(key), st_strdup(value)};
    if (!pair.key || !pair.value) {
        st_free(pair.key);
        st_free(pair.value);
        return st_err_set(err, ST_ENOMEM, "setting '%s': out of memory", key);
    }
    a->settings[a->n_settings++] = pair;
    return 0;
}

const char *artifact_digest(const artifact *a)
{
    return a->digest;
}

const char *artifact_contract(const artifact *a)
{
    return a->contract;
}

uint32_t artifact_n_options(const artifact *a)
{
    return a->n_options;
}

const char *artifact_option(const artifact *a, uint32_t i)
{
    return a->options[i];
}

uint32_t artifact_n_models(const artifact *a)
{
    return a->n_models;
}

const artifact_model *artifact_model_at(const artifact *a, uint32_t i)
{
    return &a->models[i];
}

const char *artifact_setting(const artifact *a, const char *key)
{
    for (uint32_t i = 0; i < a->n_settings; i++)
        if (strcmp(a->settings[i].key, key) == 0)
            return a->settings[i].value;
    return NULL;
}
