/* task/extraction.c - a task of type extract or draft opened for use, and its answers. */
#include "task/extraction.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "expert/artifact.h"
#include "grammar/grammar.h"
#include "task/draft.h"
#include "task/length.h"
#include "task/models.h"
#include "task/outline.h"
#include "task/start.h"
#include "task/verbatim.h"

enum { MAX_TEXT = 64 << 20 };

struct extraction {
    contract *c;
    const model_source *source; /* of the models; NULL: they are its own */
    artifact *artifact;         /* NULL: nothing was fitted */
    extract_true *truth;        /* NULL: not fitted, or nothing could be learnt */
    lm *lm;
    lm *encoder; /* that finds examples; owned when own_encoder */
    bool own_encoder;
    const char *model; /* names in the contract */
    data_set *train;   /* NULL: none, or not needed */
    char **outputs;    /* [train->n] as the grammar writes them */
    shot *examples;    /* [train->n] */
    extract_way way;
    shots *shots; /* NULL: no examples are shown */
    extractor *extractor;
    bool repair;
    unsigned n_threads;
    char version[ST_DIGEST_TEXT];
};

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

/* The examples of one input; `pointers` [SHOTS_MAX] is filled and named by the ask. */
static int find_shots(extraction *x, const char *text, size_t len, uint32_t own,
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
    int rc = find_shots(x, "", 0, UINT32_MAX, pointers, &shared, err);
    return rc ? rc
              : extractor_new(x->lm, x->c, fixed ? &shared : NULL, &x->extractor, err);
}

int extraction_set_way(extraction *x, const extract_way *way, lm *encoder, st_err *err)
{
    int rc = 0;
    extractor_free(x->extractor);
    shots_free(x->shots);
    x->extractor = NULL;
    x->shots = NULL;
    x->way = *way;
    if (encoder)
        x->encoder = encoder;
    if (x->train && way->n_shots)
        rc = make_shots(x, err);
    else
        x->way.n_shots = 0;
    return rc ? rc : make_extractor(x, err);
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
    return rc || x->source ? rc : extraction_bind(x, err);
}

int extraction_bind(extraction *x, st_err *err)
{
    const extract_way way = x->way;
    return x->extractor ? 0 : extraction_set_way(x, &way, NULL, err);
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

/* ---- answers ---- */

typedef struct batch { /* inputs of one call on their way through the model */
    uint32_t n;
    uint32_t *index;                 /* [n] which input */
    extract_ask *asks;               /* [n] */
    const shot *(*shots)[SHOTS_MAX]; /* [n] */
    char **cuts;                     /* [n] what length_hold made, or NULL */
    grammar **held;         /* [n] the schema with the input's own words, or NULL */
    extract_reply *replies; /* [n] */
} batch;

static void batch_done(batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->cuts)
            st_free(b->cuts[i]);
        if (b->held)
            grammar_free(b->held[i]);
        if (b->replies)
            extract_reply_done(&b->replies[i]);
    }
    st_free(b->index);
    st_free(b->asks);
    st_free(b->shots);
    st_free(b->cuts);
    st_free(b->held);
    st_free(b->replies);
}

static int batch_init(batch *b, uint32_t n, st_err *err)
{
    *b = (batch){
        .index = st_alloc_n(n, sizeof *b->index),
        .asks = st_zalloc_n(n, sizeof *b->asks),
        .shots = st_zalloc_n(n, sizeof *b->shots),
        .cuts = st_zalloc_n(n, sizeof *b->cuts),
        .held = st_zalloc_n(n, sizeof *b->held),
        .replies = st_zalloc_n(n, sizeof *b->replies),
    };
    if (b->index && b->asks && b->shots && b->cuts && b->held && b->replies)
        return 0;
    batch_done(b);
    return st_err_set(err, ST_ENOMEM, "no memory for %u inputs", n);
}

void extract_answer_done(extract_answer *a)
{
    st_free(a->output);
    st_free(a->text);
    fields_done(&a->fields);
    st_free(a->probability);
    st_free(a->scores);
    *a = (extract_answer){0};
}

static void refuse(extract_answer *a, int code, const char *why)
{
    a->code = code;
    snprintf(a->why, sizeof a->why, "%s", why);
}

/* The schema with the input's own words, where checks ask for them.  A schema that they
 * leave nothing of, or that becomes too large, is not used: the checks say so. */
static int hold_words(const contract *c, extract_ask *ask, grammar **ret, st_err *err)
{
    static const grammar_schema_opts how = {.space = GRAMMAR_SPACED};
    grammar_refusal where;
    st_err why = {0};
    st_buf schema;
    bool changed = false;
    st_buf_init(&schema, MAX_TEXT);
    int rc = verbatim_schema(c, ask->text, ask->len, &schema, &changed, &why);
    if (rc == 0 && changed)
        rc = grammar_schema(schema.data, schema.len, &how, ret, &where, &why);
    st_buf_done(&schema);
    if (rc == ST_ENOMEM)
        return st_err_set(err, rc, "%s", why.message);
    ask->held = *ret;
    return 0;
}

/* Hold one input to its length and give it its examples. */
static int admit(extraction *x, const char *text, size_t len, uint32_t own,
                 uint32_t index, extract_answer *a, batch *b, st_err *err)
{
    st_err why = {0};
    extract_ask *ask = &b->asks[b->n];
    char *cut = NULL;
    int rc = length_hold(x->c, &x->lm, 1, text, len, &cut, &len, &why);
    if (rc == ST_ENOMEM)
        return st_err_set(err, rc, "%s", why.message);
    if (rc) {
        refuse(a, rc, why.message);
        return 0;
    }
    a->truncated = cut != NULL;
    b->index[b->n] = index;
    b->cuts[b->n] = cut;
    *ask = (extract_ask){.text = cut ? cut : text, .len = len};
    const shot **pointers = b->shots[b->n++];
    rc = find_shots(x, ask->text, len, own, pointers, ask, err);
    a->n_shots = ask->n_shots;
    return rc ? rc : hold_words(x->c, ask, &b->held[b->n - 1], err);
}

static int score_fields(const extraction *x, extract_answer *a, const extract_reply *r,
                        st_err *err)
{
    a->probability = st_alloc_n(a->fields.n, sizeof *a->probability);
    a->scores = st_zalloc_n(a->fields.n, sizeof *a->scores);
    if (!a->probability || !a->scores)
        return st_err_set(err, ST_ENOMEM, "no memory for an answer");
    for (uint32_t i = 0; i < a->fields.n; i++) {
        a->probability[i] = (double)NAN;
        if (!fields_is(&a->fields, i))
            continue;
        a->scores[i] = extract_score(r, &a->fields, i);
        a->probability[i] =
            x->truth
                ? extract_true_of(x->truth, fields_pointer(&a->fields, i), a->scores[i])
                : exp(a->scores[i].logp);
    }
    return 0;
}

static int render_text(const extraction *x, extract_answer *a, st_err *err)
{
    st_buf text;
    if (!x->c->output.draft)
        return 0;
    st_buf_init(&text, MAX_TEXT);
    int rc = draft_render(x->c->output.draft, &a->fields, &text, err);
    if (rc == 0 && !(a->text = st_buf_detach(&text, NULL)))
        rc = st_err_set(err, ST_ENOMEM, "no memory for a text");
    st_buf_done(&text);
    return rc;
}

/* Take over what a reply wrote, with its fields and checks. */
static int settle(const extraction *x, const extract_ask *ask, extract_reply *r,
                  extract_answer *a, st_err *err)
{
    const contract_output *o = &x->c->output;
    a->n_tokens += r->n_tokens;
    a->n_steps += r->n_steps;
    a->n_forced += r->n_forced;
    if (r->code) {
        refuse(a, r->code, r->why);
        return 0;
    }
    a->output = r->text;
    a->len = r->len;
    r->text = NULL;
    int rc = fields_read(a->output, a->len, &a->fields, err);
    if (rc == 0)
        rc = score_fields(x, a, r, err);
    if (rc == 0)
        rc = render_text(x, a, err);
    if (rc == 0)
        rc = checks_run(o->checks, o->n_checks, ask->text, ask->len, &a->fields,
                        a->faults, &a->n_faults, err);
    return rc;
}

static int write_faults(const extraction *x, const extract_answer *a, st_buf *out,
                        st_err *err)
{
    for (uint32_t i = 0; i < a->n_faults; i++) {
        const check_fault *f = &a->faults[i];
        const char *of = f->field ? f->field : x->c->output.checks[f->check].text;
        (void)st_buf_fmt(out, "%s: %s\n", of, f->why);
    }
    return out->code ? st_err_set(err, out->code, "no memory for a second attempt") : 0;
}

/* The better of two answers to the same input stays in `a`. */
static void take_better(extract_answer *a, extract_answer *again)
{
    bool better = again->code == 0 && (a->code || again->n_faults < a->n_faults);
    if (better) {
        extract_answer first = *a;
        *a = *again;
        *again = first;
        a->repaired = true;
        a->n_shots = first.n_shots;
        a->truncated = first.truncated;
    }
    a->n_tokens += again->n_tokens;
    a->n_steps += again->n_steps;
    a->n_forced += again->n_forced;
}

/* Is one more attempt worth it?  Its ask, with `why` for what failed. */
static int ask_again(const extraction *x, const extract_answer *a, extract_ask *ask,
                     st_buf *why, bool *ret_again, st_err *err)
{
    *ret_again = a->code == ST_ELIMIT ? a->n_tokens > 0 : !a->code && a->n_faults;
    if (!*ret_again)
        return 0;
    if (a->code) {
        ask->looped = true;
        return 0;
    }
    int rc = write_faults(x, a, why, err);
    ask->failed = a->output;
    ask->failed_len = a->len;
    ask->why = why->data;
    return rc;
}

static int repair_all(extraction *x, const batch *first, extract_answer *answers,
                      batch *b, st_buf *why, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < first->n && rc == 0; i++) {
        bool again;
        b->asks[b->n] = first->asks[i];
        rc = ask_again(x, &answers[first->index[i]], &b->asks[b->n], &why[b->n], &again,
                       err);
        b->index[b->n] = i;
        b->n += again;
    }
    if (rc == 0 && b->n)
        rc = extractor_run(x->extractor, b->asks, b->n, b->replies, err);
    for (uint32_t i = 0; i < b->n && rc == 0; i++) {
        extract_answer again = {0};
        const extract_ask *ask = &first->asks[b->index[i]];
        rc = settle(x, ask, &b->replies[i], &again, err);
        if (rc == 0)
            take_better(&answers[first->index[b->index[i]]], &again);
        extract_answer_done(&again);
    }
    return rc;
}

/* One more attempt for answers whose checks fail, and for texts that did not end. */
static int repair(extraction *x, const batch *first, extract_answer *answers, st_err *err)
{
    batch b;
    st_buf *why = st_zalloc_n(first->n + 1u, sizeof *why);
    if (!why)
        return st_err_set(err, ST_ENOMEM, "no memory for a second attempt");
    for (uint32_t i = 0; i <= first->n; i++)
        st_buf_init(&why[i], MAX_TEXT);
    int rc = batch_init(&b, first->n + 1u, err);
    if (rc == 0) {
        rc = repair_all(x, first, answers, &b, why, err);
        batch_done(&b);
    }
    for (uint32_t i = 0; i <= first->n; i++)
        st_buf_done(&why[i]);
    st_free(why);
    return rc;
}

static int decide_batch(extraction *x, batch *b, extract_answer *answers, st_err *err)
{
    uint64_t start = st_clock_us();
    int rc = b->n ? extractor_run(x->extractor, b->asks, b->n, b->replies, err) : 0;
    for (uint32_t i = 0; i < b->n && rc == 0; i++)
        rc = settle(x, &b->asks[i], &b->replies[i], &answers[b->index[i]], err);
    if (rc == 0 && x->repair)
        rc = repair(x, b, answers, err);
    double us = b->n ? (double)(st_clock_us() - start) / b->n : 0;
    for (uint32_t i = 0; i < b->n; i++)
        answers[b->index[i]].us = us;
    return rc;
}

int extraction_decide(extraction *x, const char *const *texts, const size_t *lens,
                      const uint32_t *own, uint32_t n, extract_answer *ret_answers,
                      st_err *err)
{
    batch b;
    memset(ret_answers, 0, n * sizeof *ret_answers);
    int rc = batch_init(&b, n + 1u, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = admit(x, texts[i], lens[i], own ? own[i] : UINT32_MAX, i, &ret_answers[i],
                   &b, err);
    if (rc == 0)
        rc = decide_batch(x, &b, ret_answers, err);
    batch_done(&b);
    return rc;
}

int extraction_start(extraction *x, const extraction_ask *ask, uint64_t *ret_handle,
                     st_err *err)
{
    extract_answer a;
    int rc = extraction_decide(x, &ask->text, &ask->len, NULL, 1, &a, err);
    *ret_handle = 0;
    if (rc == 0)
        ask->done(ask->arg, &a, NULL);
    extract_answer_done(&a);
    return rc;
}

void extraction_cancel(extraction *x, uint64_t handle)
{
    (void)x;
    (void)handle;
}
