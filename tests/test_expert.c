/* tests/test_expert.c - experts, their fit, the artifact and the pool.
 *
 * Without a model there are the words; with the small random models of the goldens, where
 * they are, heads and neighbours too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "expert/experts.h"
#include "engine/sched.h"
#include "expert/fit.h"
#include "expert/neighbours.h"
#include "expert/pool.h"
#include "expert/reading.h"
#include "expert/words.h"
#include "gguf/safetensors.h"
#include "tests/fault.h"
#include "tests/here.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDENS "../shared/goldens/logits/"
#define CONTRACT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

enum { N = 90, K = 3, N_DEV = 30, TEXT = 96 };

static const question_option choices[] = {
    {"card_lost", "a card that is gone"}, {"refund", NULL}, {"opening_hours", NULL}};
static const question ask = {QUESTION_CHOICE, "What is it?", choices, K, false};

typedef struct example_rows {
    char text[N + N_DEV][TEXT];
    question_row row[N + N_DEV];
} example_rows;

/* Sentences of words that lean to one label. */
static void rows_make(example_rows *r)
{
    static const char *const own[K][4] = {{"card", "lost", "stolen", "wallet"},
                                          {"refund", "money", "back", "return"},
                                          {"open", "hours", "sunday", "close"}};
    static const char *const any[] = {"please", "my", "the", "is", "when", "can", "I"};
    st_rng rng = {42};
    for (uint32_t i = 0; i < N + N_DEV; i++) {
        char *t = r->text[i];
        int len = 0;
        for (int w = 0; w < 7; w++) {
            bool plain = w < 6 && st_rng_below(&rng, 2) == 0;
            len += snprintf(t + len, TEXT - (size_t)len, "%s%s", w ? " " : "",
                            plain ? any[st_rng_below(&rng, 7)]
                                  : own[i % K][st_rng_below(&rng, 4)]);
        }
        r->row[i] = (question_row){t, strlen(t), (int32_t)(i % K)};
    }
}

typedef struct setup {
    example_rows r;
    fit_data data;
    fit_opts opts;
    fit_model models[2];
    uint32_t n_models;
} setup;

static int setup_new(void **state)
{
    setup *s = calloc(1, sizeof *s);
    rows_make(&s->r);
    s->data = (fit_data){s->r.row, N, s->r.row + N, N_DEV};
    s->opts = (fit_opts){.n_threads = 2, .seed = 5};
    *state = s;
    return 0;
}

static int setup_done(void **state)
{
    setup *s = *state;
    for (uint32_t i = 0; i < s->n_models; i++)
        lm_close(s->models[i].lm);
    free(s);
    return 0;
}

/* Open the goldens' small models; false, loudly, where they are not. */
static bool with_models(setup *s)
{
    static const char *const paths[] = {GOLDENS "bert-mini/model-f32.gguf",
                                        GOLDENS "llama-gqa/model-f32.gguf"};
    static const char *const names[] = {"bert", "llama"};
    if (!is_here(GOLDENS))
        return false;
    lm_opts opts = {.engine.n_threads = 1};
    for (int i = 0; i < 2; i++) {
        st_err err = {0};
        s->models[i].name = names[i];
        if (lm_open(paths[i], &opts, &s->models[i].lm, &err))
            fail_msg("%s", err.message);
        s->n_models++;
    }
    return true;
}

static fitted *must_fit(const setup *s)
{
    fitted *f = NULL;
    st_err err = {0};
    if (fit_run(&ask, CONTRACT, &s->data, s->models, s->n_models, &s->opts, &f, &err))
        fail_msg("%s", err.message);
    return f;
}

static void temp_path(char path[64])
{
    snprintf(path, 64, "/tmp/stint-expert-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
}

/* The bytes of the artifact of a fit. */
static char *saved_bytes(const fitted *f, size_t *ret_len)
{
    char path[64], *bytes;
    st_err err = {0};
    temp_path(path);
    if (fitted_save(f, path, &err))
        fail_msg("%s", err.message);
    assert_int_equal(st_file_read(path, 1 << 28, &bytes, ret_len, NULL), 0);
    unlink(path);
    return bytes;
}

static void decide_all(const setup *s, pool *p, double *probs, double *experts)
{
    const char *texts[N_DEV];
    size_t lens[N_DEV];
    st_err err = {0};
    for (int i = 0; i < N_DEV; i++) {
        texts[i] = s->data.dev[i].text;
        lens[i] = s->data.dev[i].len;
    }
    pool_answers answers = {probs, experts, NULL};
    if (pool_decide(p, texts, lens, N_DEV, &answers, &err))
        fail_msg("%s", err.message);
}

static pool *must_pool(const setup *s, const artifact *a)
{
    pool *p = NULL;
    st_err err = {0};
    if (pool_new(a, CONTRACT, &ask, s->models, s->n_models, &p, &err))
        fail_msg("%s", err.message);
    return p;
}

static void words_features(void **state)
{
    (void)state;
    words_text texts[] = {{"Hello, WORLD", 12},
                          {"hello, world", 12},
                          {"", 0},
                          {"\xff\xfe", 2},
                          {"stra\xc3\x9f"
                           "e",
                           7}};
    words_model m = {0};
    sparse rows;
    assert_int_equal(words_choose(texts, 5, 1, 1000, &m, NULL), 0);
    for (uint32_t i = 1; i < m.n; i++)
        assert_true(m.feature[i] > m.feature[i - 1]);
    assert_int_equal(words_rows(&m, texts, 5, &rows, NULL), 0);
    uint64_t n = rows.start[1];
    assert_int_equal(rows.start[2], 2 * n); /* case does not matter */
    assert_memory_equal(rows.val, rows.val + n, n * sizeof *rows.val);
    double sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += (double)rows.val[i] * (double)rows.val[i];
    assert_true(fabs(sum - 2) < 1e-5);
    sparse_done(&rows);
    words_text fresh = {"qqq", 3};
    assert_int_equal(words_rows(&m, &fresh, 1, &rows, NULL), 0);
    assert_int_equal(rows.start[1], 0);
    sparse_done(&rows);
    st_free(m.feature);
    st_free(m.idf);
    assert_int_equal(words_choose(texts, 5, 1, 3, &m, NULL), 0);
    assert_in_range(m.n, 1, 3);
    st_free(m.feature);
    st_free(m.idf);
}

/* Rows on two rays: neighbours find the ray, whatever the length. */
static void neighbours_vote(void **state)
{
    (void)state;
    enum { ROWS = 40, D = 6 };
    float x[ROWS * D] = {0}, logp[ROWS * 2];
    int32_t y[ROWS];
    uint8_t folds[ROWS];
    st_rng rng = {8};
    for (int i = 0; i < ROWS; i++) {
        float size = (float)(1 + st_rng_unit(&rng));
        y[i] = i % 2;
        folds[i] = (uint8_t)(i / 2 % 4);
        for (int f = 0; f < D; f++)
            x[i * D + f] =
                size * ((f % 2 == y[i] ? 1.0f : -1.0f) + (float)st_rng_unit(&rng));
    }
    gemm *g;
    neighbours_model m;
    assert_int_equal(gemm_new(NULL, &g, NULL), 0);
    assert_int_equal(neighbours_learn(g, x, ROWS, D, y, &m, NULL), 0);
    m.scale.d = D;
    assert_int_equal(neighbours_tune(g, &m, folds, 2, logp, NULL), 0);
    for (int i = 0; i < ROWS; i++)
        assert_true(logp[i * 2 + y[i]] > logp[i * 2 + 1 - y[i]]);
    float one[2];
    assert_int_equal(neighbours_predict(g, &m, x + 7 * D, 1, 2, one, NULL), 0);
    assert_true(one[y[7]] > one[1 - y[7]]);
    assert_true(fabs(exp((double)one[0]) + exp((double)one[1]) - 1) < 1e-5);
    gemm_free(g);
    st_free(m.basis);
    st_free(m.keys);
    st_free(m.labels);
}

static void words_fit_and_round_trip(void **state)
{
    setup *s = *state;
    fitted *f = must_fit(s);
    const fit_report *r = fitted_report(f);
    assert_int_equal(r->n_experts, 1);
    assert_string_equal(r->experts[0].name, "words");
    assert_true(r->pool_dev.accuracy >= 0.9 && r->pool_oof.accuracy >= 0.9);
    assert_int_equal(r->pool_dev.n, N_DEV);
    assert_int_equal(fitted_set(f, "readout.kind", "letters", NULL), 0);
    assert_int_equal(fitted_set(f, "readout.kind", "again", NULL), ST_EINVAL);
    assert_int_equal(fitted_set(f, "Bad Key", "x", NULL), ST_EINVAL);
    assert_int_equal(fitted_set(f, "k", "\xff", NULL), ST_EINVAL);
    size_t len;
    char *bytes = saved_bytes(f, &len);
    artifact *a;
    assert_int_equal(artifact_open_bytes(bytes, len, &a, NULL), 0);
    st_free(bytes); /* nothing may need the bytes any more */
    assert_string_equal(artifact_setting(a, "readout.kind"), "letters");
    assert_null(artifact_setting(a, "none"));
    assert_string_equal(artifact_contract(a), CONTRACT);
    assert_string_equal(artifact_option(a, 1), "refund");
    double probs[2][N_DEV * K], experts[N_DEV * K], sum = 0;
    pool *p = must_pool(s, a);
    decide_all(s, p, probs[0], experts);
    uint32_t right = 0;
    for (int i = 0; i < N_DEV; i++) {
        const double *q = probs[0] + i * K;
        int best = q[0] >= q[1] && q[0] >= q[2] ? 0 : q[1] >= q[2] ? 1 : 2;
        right += best == s->data.dev[i].label;
        sum += q[0] + q[1] + q[2];
    }
    assert_true(fabs(sum - N_DEV) < 1e-9);
    assert_true(fabs((double)right / N_DEV - r->pool_dev.accuracy) < 1e-12);
    for (int i = 0; i < N_DEV; i++) { /* alone, the same bytes */
        pool_answers one = {probs[1] + i * K, NULL, NULL};
        assert_int_equal(
            pool_decide(p, &s->data.dev[i].text, &s->data.dev[i].len, 1, &one, NULL), 0);
    }
    assert_memory_equal(probs[0], probs[1], sizeof probs[0]);
    pool_free(p);
    artifact_close(a);
    fitted_free(f);
}

/* ---- our own example task, by words alone ---- */

enum { MAX_EXAMPLES = 1000 };

typedef struct examples {
    json_t *lines[MAX_EXAMPLES]; /* own the texts */
    question_row rows[MAX_EXAMPLES];
    uint32_t n;
} examples;

/* Labels are numbered as they come up in `labels`. */
static void examples_read(const char *path, examples *e, question_option *labels,
                          uint32_t *n_labels)
{
    char *data;
    size_t len;
    assert_int_equal(st_file_read(path, 1 << 22, &data, &len, NULL), 0);
    for (char *at = data, *end; (end = strchr(at, '\n')); at = end + 1) {
        json_t *line = json_loadb(at, (size_t)(end - at), 0, NULL);
        const char *text = json_string_value(json_object_get(line, "input"));
        const char *label = json_string_value(json_object_get(line, "label"));
        assert_non_null(text);
        assert_non_null(label);
        uint32_t l = 0;
        while (l < *n_labels && strcmp(labels[l].value, label) != 0)
            l++;
        if (l == *n_labels)
            labels[(*n_labels)++].value = label;
        e->rows[e->n] = (question_row){text, strlen(text), (int32_t)l};
        e->lines[e->n++] = line;
    }
    st_free(data);
}

static void examples_done(examples *e)
{
    for (uint32_t i = 0; i < e->n; i++)
        json_decref(e->lines[i]);
    free(e);
}

static void words_learn_our_task(void **state)
{
    setup *s = *state;
    examples *train = calloc(1, sizeof *train), *dev = calloc(1, sizeof *dev);
    question_option labels[20] = {{0}};
    question q = {.type = QUESTION_CHOICE, .instructions = "Who?", .options = labels};
    examples_read("examples/support/train.jsonl", train, labels, &q.n_options);
    uint32_t n_train_labels = q.n_options;
    examples_read("examples/support/dev.jsonl", dev, labels, &q.n_options);
    assert_int_equal(q.n_options, n_train_labels);
    s->data = (fit_data){train->rows, train->n, dev->rows, dev->n};
    fitted *f;
    assert_int_equal(fit_run(&q, CONTRACT, &s->data, NULL, 0, &s->opts, &f, NULL), 0);
    const fit_report *r = fitted_report(f);
    assert_true(r->pool_oof.accuracy > 0.55); /* the largest label has a tenth */
    assert_true(r->pool_dev.accuracy > 0.45);
    assert_true(r->pool_oof.ece < 0.1);
    fitted_free(f);
    examples_done(train);
    examples_done(dev);
}

static void same_bytes_on_any_threads(void **state)
{
    setup *s = *state;
    with_models(s);
    char *bytes[2];
    size_t len[2];
    for (int i = 0; i < 2; i++) {
        s->opts.n_threads = i ? 3 : 1;
        fitted *f = must_fit(s);
        bytes[i] = saved_bytes(f, &len[i]);
        fitted_free(f);
    }
    assert_int_equal(len[0], len[1]);
    assert_memory_equal(bytes[0], bytes[1], len[0]);
    st_free(bytes[0]);
    st_free(bytes[1]);
}

static void models_fit_and_bind(void **state)
{
    setup *s = *state;
    if (!with_models(s))
        return;
    s->opts.no_words = true;
    fitted *f = must_fit(s);
    const fit_report *r = fitted_report(f);
    assert_int_equal(r->n_experts, 4);
    assert_string_equal(r->experts[0].name, "bert");
    assert_string_equal(r->experts[1].name, "neighbours:bert");
    assert_string_equal(r->experts[3].name, "neighbours:llama");
    assert_true(r->pool_dev.accuracy >= 0.8);
    assert_true(r->experts[2].layer <= r->experts[2].n_layers);
    artifact *a;
    size_t len;
    char *bytes = saved_bytes(f, &len);
    assert_int_equal(artifact_open_bytes(bytes, len, &a, NULL), 0);
    st_free(bytes);
    double probs[N_DEV * K];
    pool *p = must_pool(s, a);
    decide_all(s, p, probs, NULL);
    pool_free(p);
    for (uint32_t i = 0; i < artifact_n_models(a); i++) {
        const artifact_model *m = artifact_model_at(a, i);
        if (!m->used)
            continue;
        st_err err = {0};
        fit_model given[2] = {s->models[0], s->models[1]};
        given[i].name = "another";
        assert_int_equal(pool_new(a, CONTRACT, &ask, given, 2, &p, &err), ST_EMISMATCH);
        assert_non_null(strstr(err.message, m->name));
        given[i] = (fit_model){m->name, s->models[1 - i].lm};
        err = (st_err){0};
        assert_int_equal(pool_new(a, CONTRACT, &ask, given, 2, &p, &err), ST_EMISMATCH);
        assert_non_null(strstr(err.message, "weights"));
        lm *l = s->models[i].lm;
        char *digit = (char *)(uintptr_t)m->tok_digest, was = digit[0];
        digit[0] = was == '0' ? '1' : '0';
        err = (st_err){0};
        assert_int_equal(pool_new(a, CONTRACT, &ask, s->models, 2, &p, &err),
                         ST_EMISMATCH);
        assert_non_null(strstr(err.message, "tokenizer"));
        digit[0] = was;
        char first = l->digest[0];
        l->digest[0] = first == '0' ? '1' : '0';
        assert_int_equal(pool_new(a, CONTRACT, &ask, s->models, 2, &p, NULL),
                         ST_EMISMATCH);
        l->digest[0] = first;
    }
    artifact_close(a);
    fitted_free(f);
}

/* A text longer than the context is refused with its number, in fit and in use. */
static void long_text_is_refused(void **state)
{
    setup *s = *state;
    if (!with_models(s))
        return;
    enum { LONG = 40000 };
    char *text = malloc(LONG);
    for (int i = 0; i < LONG; i++)
        text[i] = i % 2 ? ' ' : 'x';
    question_row was = s->r.row[11];
    s->r.row[11] = (question_row){text, LONG, was.label};
    fitted *f;
    st_err err = {0};
    assert_int_equal(fit_run(&ask, CONTRACT, &s->data, s->models, 2, &s->opts, &f, &err),
                     ST_ELIMIT);
    assert_non_null(strstr(err.message, "text 11 "));
    s->r.row[11] = was;
    s->opts.no_words = true;
    f = must_fit(s);
    artifact *a;
    size_t len;
    char *bytes = saved_bytes(f, &len);
    assert_int_equal(artifact_open_bytes(bytes, len, &a, NULL), 0);
    pool *p = must_pool(s, a);
    const char *texts[200];
    size_t lens[200];
    double *probs = malloc(200 * K * sizeof *probs);
    for (int i = 0; i < 200; i++) {
        texts[i] = i == 150 ? text : i == 3 ? "" : "my card";
        lens[i] = i == 150 ? LONG : strlen(texts[i]);
    }
    pool_answers answers = {probs, NULL, NULL};
    err = (st_err){0};
    assert_int_equal(pool_decide(p, texts, lens, 200, &answers, &err), ST_ELIMIT);
    assert_non_null(strstr(err.message, "text 150 "));
    assert_int_equal(pool_decide(p, texts, lens, 150, &answers, NULL), 0);
    free(probs);
    free(text);
    pool_free(p);
    artifact_close(a);
    st_free(bytes);
    fitted_free(f);
}

static void bad_rows_are_refused(void **state)
{
    setup *s = *state;
    fitted *f;
    st_err err = {0};
    fit_data one = {s->r.row, 1, NULL, 0}, none = {s->r.row, 0, NULL, 0};
    assert_int_equal(fit_run(&ask, CONTRACT, &none, NULL, 0, &s->opts, &f, NULL),
                     ST_EINVAL);
    assert_int_equal(fit_run(&ask, CONTRACT, &one, NULL, 0, &s->opts, &f, &err),
                     ST_EINVAL);
    assert_non_null(strstr(err.message, "card_lost"));
    s->r.row[4].label = K;
    assert_int_equal(fit_run(&ask, CONTRACT, &s->data, NULL, 0, &s->opts, &f, NULL),
                     ST_EINVAL);
    s->r.row[4].label = 1;
    assert_int_equal(fit_run(&ask, "short", &s->data, NULL, 0, &s->opts, &f, NULL),
                     ST_EINVAL);
    s->opts.no_words = true;
    assert_int_equal(fit_run(&ask, CONTRACT, &s->data, NULL, 0, &s->opts, &f, NULL),
                     ST_EINVAL);
}

static bool stop_at_third(void *arg, const char *what, uint64_t done, uint64_t total)
{
    (void)what;
    (void)done;
    (void)total;
    return ++*(int *)arg < 3;
}

static void fit_can_be_stopped(void **state)
{
    setup *s = *state;
    int calls = 0;
    st_progress progress = {stop_at_third, &calls};
    fitted *f;
    s->opts.progress = &progress;
    assert_int_equal(fit_run(&ask, CONTRACT, &s->data, NULL, 0, &s->opts, &f, NULL),
                     ST_ECANCELLED);
    assert_int_equal(calls, 3);
}

/* Two rows of one label, one of another, none of the third: odd, not an error. */
static void few_rows_fit(void **state)
{
    setup *s = *state;
    question_row few[] = {s->r.row[0], s->r.row[3], s->r.row[1]};
    s->data = (fit_data){few, 3, NULL, 0};
    fitted *f = must_fit(s);
    assert_int_equal(fitted_report(f)->n_rare, 2);
    assert_int_equal(fitted_report(f)->pool_dev.n, 0);
    fitted_free(f);
}

static void other_contract_is_refused(void **state)
{
    setup *s = *state;
    fitted *f = must_fit(s);
    size_t len;
    char *bytes = saved_bytes(f, &len);
    artifact *a;
    pool *p;
    st_err err = {0};
    assert_int_equal(artifact_open_bytes(bytes, len, &a, NULL), 0);
    assert_int_equal(pool_new(a, OTHER, &ask, NULL, 0, &p, &err), ST_EMISMATCH);
    assert_non_null(strstr(err.message, "contract"));
    question two = ask;
    two.n_options = 2;
    assert_int_equal(pool_new(a, CONTRACT, &two, NULL, 0, &p, NULL), ST_EMISMATCH);
    question_option renamed[K] = {choices[0], {"refunds", NULL}, choices[2]};
    question other = ask;
    other.options = renamed;
    err = (st_err){0};
    assert_int_equal(pool_new(a, CONTRACT, &other, NULL, 0, &p, &err), ST_EMISMATCH);
    assert_non_null(strstr(err.message, "refund"));
    artifact_close(a);
    st_free(bytes);
    fitted_free(f);
}

static void settings_only(void **state)
{
    setup *s = *state;
    fitted *f;
    assert_int_equal(fitted_new_empty(&ask, CONTRACT, NULL, 0, &f, NULL), 0);
    assert_int_equal(fitted_report(f)->n_experts, 0);
    assert_int_equal(fitted_set(f, "readout.kind", "labels", NULL), 0);
    size_t len;
    char *bytes = saved_bytes(f, &len);
    artifact *a;
    assert_int_equal(artifact_open_bytes(bytes, len, &a, NULL), 0);
    pool *p = must_pool(s, a);
    assert_int_equal(pool_n_experts(p), 0);
    pool_answers answers = {NULL, NULL, NULL};
    assert_int_equal(pool_decide(p, NULL, NULL, 0, &answers, NULL), ST_EINVAL);
    pool_free(p);
    artifact_close(a);
    st_free(bytes);
    fitted_free(f);
}

/* Cut anywhere or with a byte changed: an error, or a pool that still answers in [0, 1];
 * the sanitizers watch. */
static void broken_artifacts(void **state)
{
    setup *s = *state;
    s->n_models = 0;
    fitted *f = must_fit(s);
    size_t len;
    char *bytes = saved_bytes(f, &len);
    fitted_free(f);
    artifact *a;
    for (size_t cut = 0; cut < len; cut += 1 + len / 97)
        assert_true(artifact_open_bytes(bytes, cut, &a, NULL) < 0);
    st_rng rng = {77};
    uint32_t opened = 0;
    for (int i = 0; i < 400; i++) {
        size_t at = st_rng_below(&rng, (uint32_t)(i % 2 ? len : len < 1500 ? len : 1500));
        char was = bytes[at];
        bytes[at] = (char)(was ^ (1 << st_rng_below(&rng, 8)));
        if (artifact_open_bytes(bytes, len, &a, NULL) == 0) {
            pool *p;
            if (pool_new(a, CONTRACT, &ask, NULL, 0, &p, NULL) == 0) {
                double probs[K];
                pool_answers answers = {probs, NULL, NULL};
                assert_int_equal(pool_decide(p, &s->data.dev[0].text, &s->data.dev[0].len,
                                             1, &answers, NULL),
                                 0);
                pool_free(p);
                opened++;
            }
            artifact_close(a);
        }
        bytes[at] = was;
    }
    assert_true(opened < 400);
    st_free(bytes);
}

/* Metadata that lie, each refused by name. */
static void lying_metadata(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *says;
        int code;
    } lies[] = {
        {"stint.format", "stint.artifact.99", "format", ST_EUNSUPPORTED},
        {"stint.contract", "abc", "contract", ST_EFORMAT},
        {"stint.options", "7", "options", ST_EFORMAT},
        {"stint.options", "[1]", "option", ST_EFORMAT},
        {"stint.options", "{", "stint.options", ST_EFORMAT},
        {"stint.models", "[{}]", "model", ST_EFORMAT},
        {"stint.models", "7", "models", ST_EFORMAT},
        {"stint.experts", "[7]", "expert 0", ST_EFORMAT},
        {"stint.experts", "[{\"kind\":\"oracle\",\"name\":\"x\",\"weight\":1.0}]",
         "no known kind", ST_EFORMAT},
        {"stint.experts", "[{\"kind\":\"words\",\"name\":\"x\",\"weight\":-1.0}]",
         "weight", ST_EFORMAT},
        {"stint.experts", "[{\"kind\":\"words\",\"name\":\"x\",\"weight\":1.0}]",
         "0.feature", ST_EFORMAT},
        {"stint.experts",
         "[{\"kind\":\"head\",\"name\":\"x\",\"weight\":1.0,\"model\":3,"
         "\"reading\":{\"layers\":[1],\"pooling\":\"mean\","
         "\"prompt\":false}}]",
         "not in the list", ST_EFORMAT},
        {"stint.settings", "[]", "settings", ST_EFORMAT},
        {"stint.settings", "{\"a\":1}", "setting", ST_EFORMAT},
        {"stint.settings", "{\"A\":\"1\"}", "'A'", ST_EFORMAT},
    };
    static const char *const keys[] = {"stint.format",  "stint.contract",
                                       "stint.options", "stint.models",
                                       "stint.experts", "stint.settings"};
    static const char *const values[] = {
        ARTIFACT_FORMAT, CONTRACT, "[\"a\",\"b\"]", "[]", "[]", "{}"};
    char path[64];
    temp_path(path);
    for (size_t i = 0; i <= ST_COUNT(lies); i++) {
        safet_writer *w;
        st_err err = {0};
        artifact *a;
        assert_int_equal(safet_writer_new(&w, NULL), 0);
        for (size_t k = 0; k < ST_COUNT(keys); k++) {
            bool lie = i < ST_COUNT(lies) && strcmp(lies[i].key, keys[k]) == 0;
            assert_int_equal(
                safet_put_meta(w, keys[k], lie ? lies[i].value : values[k], NULL), 0);
        }
        assert_int_equal(safet_write(w, path, NULL), 0);
        safet_writer_free(w);
        int code = artifact_open(path, &a, &err);
        if (i == ST_COUNT(lies)) { /* the truth */
            assert_int_equal(code, 0);
            artifact_close(a);
            continue;
        }
        assert_int_equal(code, lies[i].code);
        if (!strstr(err.message, lies[i].says))
            fail_msg("'%s' does not say '%s'", err.message, lies[i].says);
    }
    unlink(path);
}

typedef struct open_work {
    const char *bytes;
    size_t len;
    const question_row *row;
} open_work;

static int open_and_decide(void *arg)
{
    const open_work *w = arg;
    artifact *a = NULL;
    pool *p = NULL;
    double probs[K];
    pool_answers answers = {probs, NULL, NULL};
    int code = artifact_open_bytes(w->bytes, w->len, &a, NULL);
    if (code)
        return code;
    code = pool_new(a, CONTRACT, &ask, NULL, 0, &p, NULL);
    if (!code)
        code = pool_decide(p, &w->row->text, &w->row->len, 1, &answers, NULL);
    pool_free(p);
    artifact_close(a);
    return code;
}

static int fit_few(void *arg)
{
    setup *s = arg;
    fitted *f = NULL;
    int code = fit_run(&ask, CONTRACT, &s->data, NULL, 0, &s->opts, &f, NULL);
    fitted_free(code ? NULL : f);
    return code;
}

static void every_allocation_may_fail(void **state)
{
    setup *s = *state;
    s->opts.n_threads = 1;
    s->data = (fit_data){s->r.row, 12, s->r.row + N, 3};
    fitted *f = must_fit(s);
    size_t len;
    char *bytes = saved_bytes(f, &len);
    fitted_free(f);
    open_work w = {bytes, len, s->data.dev};
    assert_true(fault_sweep(open_and_decide, &w, 1) > 20);
    assert_true(fault_sweep(fit_few, s, 3) > 20);
    st_free(bytes);
}

/* ---- readings in the prompt ---- */

enum { READ_TEXTS = 70, READ_LAYERS = 3 };

/* States of the texts in the prompt, all layers, means and ends. */
static float *read_in_prompt(lm *l, const words_text *texts)
{
    const size_t n = (size_t)READ_TEXTS * READ_LAYERS * model_about(l->model)->n_embd;
    const reading_job job = {.lm = l, .name = "llama", .q = &ask};
    float *got = calloc(2 * n, sizeof *got);
    st_err err = {0};
    if (reading_layers(&job, true, 0, READ_LAYERS - 1, texts, READ_TEXTS, got, got + n,
                       &err))
        fail_msg("%s", err.message);
    return got;
}

/* What stands before the texts is run once where there is a sequence for it: the bytes
 * are those of whole prompts. */
static void a_shared_prompt_changes_nothing(void **state)
{
    setup *s = *state;
    words_text texts[READ_TEXTS];
    seq *taken;
    if (!with_models(s))
        return;
    lm *l = s->models[1].lm;
    for (int i = 0; i < READ_TEXTS; i++)
        texts[i] = (words_text){s->r.row[i].text, s->r.row[i].len};
    texts[3] = (words_text){"", 0};
    texts[9] = (words_text){"\n", 1};
    texts[66] = (words_text){"7", 1};
    assert_true(READ_LAYERS <= model_about(l->model)->n_layers + 1);
    float *shared = read_in_prompt(l, texts);
    const uint32_t held = engine_free_pages(l->engine);
    float *again = read_in_prompt(l, texts); /* with the beginning that is there */
    assert_int_equal(engine_free_pages(l->engine), held);
    assert_non_null(l->begun[0].pin);
    sched_prefix_unpin(l->sched, l->begun[0].pin);
    l->begun[0].pin = NULL;
    while (seq_new(l->engine, &taken, NULL) == 0)
        ;
    float *whole = read_in_prompt(l, texts);
    const size_t bytes = (size_t)READ_TEXTS * READ_LAYERS *
                         model_about(l->model)->n_embd * 2 * sizeof *whole;
    assert_memory_equal(shared, whole, bytes);
    assert_memory_equal(again, whole, bytes);
    free(shared);
    free(again);
    free(whole);
}

/* The last few are remembered, pinned in the scheduler; older ones give their pages back.
 */
static void beginnings_are_remembered(void **state)
{
    enum { TEXTS = LM_BEGINNINGS + 2, TOKENS = 40 };
    setup *s = *state;
    const seq *first = NULL, *got = NULL;
    int32_t ids[TEXTS][TOKENS];
    st_err err = {0};
    if (!with_models(s))
        return;
    lm *l = s->models[1].lm;
    for (int i = 0; i < TEXTS; i++)
        for (int k = 0; k < TOKENS; k++)
            ids[i][k] = 3 + i + k % 5;
    assert_int_equal(lm_beginning(l, ids[0], TOKENS, &first, &err), 0);
    assert_int_equal(seq_len(first), TOKENS);
    uint32_t one = engine_free_pages(l->engine);
    for (int i = 1; i < TEXTS; i++) {
        uint32_t before = engine_free_pages(l->engine);
        assert_int_equal(lm_beginning(l, ids[i], TOKENS, &got, &err), 0);
        assert_int_equal(seq_len(got), TOKENS);
        assert_int_equal(engine_free_pages(l->engine) == before, i >= LM_BEGINNINGS);
    }
    uint32_t all = engine_free_pages(l->engine);
    assert_int_equal(lm_beginning(l, ids[TEXTS - 1], TOKENS, &first, &err), 0);
    assert_ptr_equal(first, got);
    assert_int_equal(engine_free_pages(l->engine), all);
    sched_stats stats;
    sched_stats_get(l->sched, &stats);
    assert_true(all < one && stats.pages_pinned > 0);
    int32_t *all_of_it = calloc(engine_n_ctx(l->engine), sizeof *all_of_it);
    assert_int_equal(lm_beginning(l, all_of_it, engine_n_ctx(l->engine), &got, NULL),
                     ST_ELIMIT);
    free(all_of_it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_features),
        cmocka_unit_test(neighbours_vote),
        cmocka_unit_test_setup_teardown(words_fit_and_round_trip, setup_new, setup_done),
        cmocka_unit_test_setup_teardown(words_learn_our_task, setup_new, setup_done),
        cmocka_unit_test_setup_teardown(same_bytes_on_any_threads, setup_new, setup_done),
        cmocka_unit_test_setup_teardown(models_fit_and_bind, setup_new, setup_done),
        cmocka_unit_test_setup_teardown(long_text_is_refused, setup_new, setup_done),
        cmocka_unit_test_setup_teardown(a_shared_prompt_changes_nothing, setup_new,
                                        setup_done),
        cmocka_unit_test_setup_teardown(beginnings_are_remembered, setup_new, setup_done),
        cmocka_unit_test_setup_teardown(bad_rows_are_refused, setup_new, setup_done),
        cmocka_unit_test_setup_teardown(fit_can_be_stopped, setup_new, setup_done),
        cmocka_unit_test_setup_teardown(few_rows_fit, setup_new, setup_done),
        cmocka_unit_test_setup_teardown(other_contract_is_refused, setup_new, setup_done),
        cmocka_unit_test_setup_teardown(settings_only, setup_new, setup_done),
        cmocka_unit_test_setup_teardown(broken_artifacts, setup_new, setup_done),
        cmocka_unit_test(lying_metadata),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, setup_new, setup_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
