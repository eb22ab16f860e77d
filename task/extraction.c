/* task/extraction.c - a task of type extract or draft opened for use. */
#include "task/extraction_parts.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "task/outline.h"

enum { MAX_TEXT = 64 << 20 };

/* ---- what was fitted ---- */

static const char *setting(const extraction *x, const char *key)
{
    return x->artifact ? artifact_setting(x->artifact, key) : NULL;
}

static int mismatch(const extraction *x, st_err *err, const char *what)
{
    st_err_set(err, ST_EMISMATCH, "%s: %s", x->c->path, what);
    st_err_hint(err, "run `stint fit %s` to fit it anew", x->c->path);
    return ST_EMISMATCH;
}

static int open_artifact(extraction *x, const extraction_opts *opts, st_err *err)
{
    char *own = opts->artifact ? NULL : contract_artifact_path(x->c);
    const char *path = opts->artifact ? opts->artifact : own;
    int rc = 0;
    if (!path)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", x->c->path);
    if (opts->artifact || access(path, F_OK) == 0)
        rc = artifact_open(path, &x->artifact, err);
    st_free(own);
    if (rc == 0 && x->artifact && strcmp(artifact_contract(x->artifact), x->c->digest))
        rc = mismatch(x, err, "what is fitted is of another contract");
    return rc;
}

/* The setting "shots" is "N WAY". */
static int read_way(extraction *x, st_err *err)
{
    static const shots_way ways[] = {SHOTS_FIXED, SHOTS_WORDS, SHOTS_MODEL};
    const char *text = setting(x, "extract.shots");
    char name[16];
    if (!text)
        return mismatch(x, err, "what is fitted says nothing about examples");
    if (sscanf(text, "%u %15s", &x->way.n_shots, name) != 2 || x->way.n_shots > SHOTS_MAX)
        return st_err_set(err, ST_EFORMAT, "artifact: '%.40s' examples", text);
    for (size_t i = 0; i < ST_COUNT(ways); i++) {
        if (strcmp(shots_way_name(ways[i]), name))
            continue;
        x->way.find = ways[i];
        return 0;
    }
    return st_err_set(err, ST_EFORMAT, "artifact: '%.40s' examples", text);
}

static int read_fitted(extraction *x, st_err *err)
{
    const char *truth = setting(x, "extract.true");
    int rc = read_way(x, err);
    if (rc == 0 && truth)
        rc = extract_true_read(truth, &x->truth, err);
    return rc;
}

/* A model must be the file that was fitted. */
static int check_model(const extraction *x, const char *name, const lm *l, st_err *err)
{
    for (uint32_t i = 0; x->artifact && i < artifact_n_models(x->artifact); i++) {
        const artifact_model *m = artifact_model_at(x->artifact, i);
        if (strcmp(m->name, name) == 0 && strcmp(m->digest, l->digest) == 0 &&
            strcmp(m->tok_digest, tok_digest(l->tok)) == 0)
            return 0;
    }
    return x->artifact ? mismatch(x, err, "a model is not the file that was fitted") : 0;
}

/* ---- models ---- */

static bool writes_text(const lm *l)
{
    return model_about(l->model)->has_head && model_about(l->model)->causal;
}

static int try_model(extraction *x, const char *name, st_err *err)
{
    int rc = models_open(x->source, x->c, name, x->n_threads, &x->lm, err);
    if (rc)
        return rc;
    if (!writes_text(x->lm)) {
        models_close(x->source, x->lm);
        x->lm = NULL;
        return 0;
    }
    if (!x->source)
        x->lm->keeps = true;
    x->model = name;
    return check_model(x, name, x->lm, err);
}

/* The fitted model, or the first of the contract that writes text. */
static int open_model(extraction *x, st_err *err)
{
    const char *known = setting(x, "extract.model");
    int rc = 0;
    for (uint32_t i = 0; i < x->c->n_models && !x->lm && rc == 0; i++)
        if (!known || strcmp(known, x->c->models[i]) == 0)
            rc = try_model(x, x->c->models[i], err);
    if (rc || x->lm)
        return rc;
    if (known)
        return mismatch(x, err, "the model that was fitted is not named");
    st_err_set(err, ST_ECONTRACT, "%s: no model that writes text is named", x->c->path);
    st_err_hint(err, "name one: models: [smollm2-135m-instruct]");
    return ST_ECONTRACT;
}

static int open_encoder(extraction *x, st_err *err)
{
    const char *name = setting(x, "extract.encoder");
    if (x->way.find != SHOTS_MODEL || x->way.n_shots == 0)
        return 0;
    for (uint32_t i = 0; name && i < x->c->n_models; i++) {
        if (strcmp(name, x->c->models[i]))
            continue;
        int rc =
            models_open(x->source, x->c, x->c->models[i], x->n_threads, &x->encoder, err);
        x->own_encoder = rc == 0;
        return rc ? rc : check_model(x, x->c->models[i], x->encoder, err);
    }
    return mismatch(x, err, "the model that finds examples is not named");
}

/* ---- examples ---- */

int extract_rows_check(const contract *c, const data_set *set, st_err *err)
{
    for (uint32_t i = 0; i < set->n; i++) {
        const data_row *row = &set->rows[i];
        st_err why = {0};
        int rc = row->output ? grammar_validate(c->output.grammar, row->output,
                                                row->output_len, &why)
                             : 0;
        if (rc)
            return st_err_set(err, rc, "%s:%zu: the output is none of the schema: %s",
                              set->path, row->line, why.message);
    }
    return 0;
}

static int make_example(extraction *x, uint32_t i, st_err *err)
{
    const data_row *row = &x->train->rows[i];
    st_buf out;
    st_buf_init(&out, MAX_TEXT);
    int rc = outline_write(x->c->output.schema, x->c->output.schema_len, row->output,
                           row->output_len, &out, err);
    size_t len = out.len;
    if (rc == 0 && !(x->outputs[i] = st_buf_detach(&out, NULL)))
        rc = st_err_set(err, ST_ENOMEM, "no memory for examples");
    st_buf_done(&out);
    if (rc == 0)
        x->examples[i] = (shot){row->text, row->len, x->outputs[i], len};
    return rc;
}

static int load_train(extraction *x, st_err *err)
{
    const data_opts opts = {.need_labels = true};
    char *path = st_path_beside(x->c->path, x->c->train);
    if (!path)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", x->c->path);
    int rc = data_load(path, &x->c->question, &opts, &x->train, err);
    st_free(path);
    if (rc == 0)
        rc = extract_rows_check(x->c, x->train, err);
    if (rc)
        return rc;
    const char *known = setting(x, "extract.train");
    if (known && strcmp(known, x->train->digest))
        return mismatch(x, err, "data.train is not the file that was fitted");
    x->outputs = st_zalloc_n(x->train->n, sizeof *x->outputs);
    x->examples = st_zalloc_n(x->train->n, sizeof *x->examples);
    if (!x->outputs || !x->examples)
        return st_err_set(err, ST_ENOMEM, "no memory for examples");
    for (uint32_t i = 0; i < x->train->n && rc == 0; i++)
        rc = make_example(x, i, err);
    return rc;
}

static int make_shots(extraction *x, st_err *err)
{
    words_text *texts = st_alloc_n(x->train->n, sizeof *texts);
    if (!texts)
        return st_err_set(err, ST_ENOMEM, "no memory for examples");
    for (uint32_t i = 0; i < x->train->n; i++)
        texts[i] = (words_text){x->train->rows[i].text, x->train->rows[i].len};
    int rc = shots_new(texts, x->train->n, x->way.find, x->encoder, &x->shots, err);
    st_free(texts);
    return rc;
}

int extraction_find_shots(extraction *x, const char *text, size_t len, uint32_t own,
                          const shot **pointers, extract_ask *ask, st_err *err)
{
    uint32_t rows[SHOTS_MAX];
    uint32_t n = 0;
    int rc = x->shots
                 ? shots_find(x->shots, text, len, x->way.n_shots, own, rows, &n, err)
                 : 0;
    for (uint32_t i = 0; i < n; i++)
        pointers[i] = &x->examples[rows[i]];
    ask->shots = pointers;
    ask->n_shots = n;
    return rc;
}

static int make_extractor(extraction *x, st_err *err)
{
    const shot *pointers[SHOTS_MAX];
    extract_ask shared = {0};
    bool fixed = !x->shots || x->way.find == SHOTS_FIXED;
    int rc = extraction_find_shots(x, "", 0, UINT32_MAX, pointers, &shared, err);
    return rc ? rc
              : extractor_new(x->lm, x->c, fixed ? &shared : NULL, &x->extractor, err);
}

/* All but what is pinned. */
static int prepare(extraction *x, st_err *err)
{
    int rc = x->way.n_shots ? make_shots(x, err) : 0;
    return rc ? rc : make_extractor(x, err);
}

int extraction_bind(extraction *x, st_err *err)
{
    int rc = x->extractor ? 0 : prepare(x, err);
    return rc ? rc : extractor_bind(x->extractor, err);
}

int extraction_set_way(extraction *x, const extract_way *way, lm *encoder, st_err *err)
{
    extraction_stop(x);
    extractor_free(x->extractor);
    shots_free(x->shots);
    x->extractor = NULL;
    x->shots = NULL;
    x->way = *way;
    if (encoder)
        x->encoder = encoder;
    if (!x->train)
        x->way.n_shots = 0;
    return extraction_bind(x, err);
}

/* ---- the door ---- */

static void digest_version(extraction *x)
{
    char how[64];
    st_sha sha;
    snprintf(how, sizeof how, "%u %s %d", x->way.n_shots, shots_way_name(x->way.find),
             x->repair);
    st_sha_init(&sha);
    st_sha_add(&sha, "stint.extract.1", 15);
    st_sha_add(&sha, x->c->digest, 64);
    st_sha_add(&sha, x->lm->digest, 64);
    st_sha_add(&sha, how, strlen(how));
    if (x->artifact)
        st_sha_add(&sha, artifact_digest(x->artifact), 64);
    if (x->way.n_shots)
        st_sha_add(&sha, x->train->digest, 64);
    st_sha_end(&sha, x->version);
}

static int open_all(extraction *x, const extraction_opts *opts, st_err *err)
{
    x->way = (extract_way){EXTRACT_SHOTS, SHOTS_WORDS};
    int rc = opts->zero_shot || opts->unfitted ? 0 : open_artifact(x, opts, err);
    if (rc == 0 && x->artifact)
        rc = read_fitted(x, err);
    if (opts->zero_shot || !x->c->train)
        x->way.n_shots = 0;
    if (rc == 0)
        rc = open_model(x, err);
    if (rc == 0)
        rc = open_encoder(x, err);
    if (rc == 0 && x->way.n_shots)
        rc = load_train(x, err);
    if (rc == 0)
        digest_version(x);
    if (rc == 0)
        rc = prepare(x, err);
    return rc || x->source ? rc : extraction_bind(x, err);
}

int extraction_open(contract *c, const extraction_opts *opts, extraction **ret_extraction,
                    st_err *err)
{
    extraction *x = st_zalloc_n(1, sizeof *x);
    if (!x) {
        contract_free(c);
        return st_err_set(err, ST_ENOMEM, "no memory for a task");
    }
    x->c = c;
    x->source = opts->source;
    x->n_threads = opts->n_threads;
    x->repair = !opts->no_repair;
    int rc = open_all(x, opts, err);
    if (rc) {
        extraction_close(x);
        return rc;
    }
    *ret_extraction = x;
    return 0;
}

void extraction_close(extraction *x)
{
    if (!x)
        return;
    extraction_stop(x);
    extractor_free(x->extractor);
    shots_free(x->shots);
    for (uint32_t i = 0; x->outputs && i < x->train->n; i++)
        st_free(x->outputs[i]);
    st_free(x->outputs);
    st_free(x->examples);
    data_free(x->train);
    if (x->own_encoder)
        models_close(x->source, x->encoder);
    models_close(x->source, x->lm);
    extract_true_free(x->truth);
    artifact_close(x->artifact);
    contract_free(x->c);
    st_free(x);
}

void extraction_set_repair(extraction *x, bool repair)
{
    x->repair = repair;
}

contract *extraction_release(extraction *x)
{
    contract *c = x->c;
    x->c = NULL;
    extraction_close(x);
    return c;
}

const contract *extraction_contract(const extraction *x)
{
    return x->c;
}

const char *extraction_version(const extraction *x)
{
    return x->version;
}

const char *extraction_model(const extraction *x)
{
    return x->model;
}

bool extraction_fitted(const extraction *x)
{
    return x->artifact != NULL;
}

uint32_t extraction_shots(const extraction *x, shots_way *ret_way)
{
    *ret_way = x->way.find;
    return x->way.n_shots;
}

lm *extraction_lm(extraction *x)
{
    return x->lm;
}

const data_set *extraction_train(const extraction *x)
{
    return x->train;
}
