/* tests/test_kvfile.c - kept keys and values are those that running would give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/build.h"
#include "base/mem.h"
#include "engine/kvfile.h"
#include "tests/cache_folder.h"
#include "tests/fault.h"
#include "tests/here.h"

#define GOLDENS "../shared/goldens/"

enum { CTX = 256, AFTER = 9, MOST_VOCAB = 2048, MOST_FILE = 1 << 24 };

static const char *const models[] = {
    GOLDENS "logits/llama-gqa/model-f32.gguf",
    GOLDENS "logits/gemma2/model-f32.gguf", /* sliding windows */
    GOLDENS "logits/lfm2/model-f32.gguf",   /* convolutions */
    GOLDENS "quant/models/llama-256-q4_0.gguf",
};

static const uint32_t lengths[] = {32, 63, 64, 65, 128, 150};

typedef struct side { /* a model and an engine */
    model *m;
    engine *e;
} side;

static void side_close(side *s)
{
    engine_free(s->e);
    model_free(s->m);
}

/* `named`: the model knows its file's digest, so that something can be kept. */
static int side_open(const char *path, bool named, const engine_opts *opts, side *s)
{
    gguf *g;
    const char *digest;
    *s = (side){0};
    int rc = gguf_open(path, &g, NULL);
    if (rc)
        return rc;
    rc = gguf_digest(g, &digest, NULL);
    const model_opts how = {.n_ctx = opts->n_ctx, .digest = named ? digest : NULL};
    if (rc == 0)
        rc = model_load(g, &how, &s->m, NULL);
    gguf_close(g);
    if (rc == 0)
        rc = engine_new(s->m, opts, &s->e, NULL);
    if (rc)
        side_close(s);
    return rc;
}

static engine_opts opts_of(st_dtype kv)
{
    return (engine_opts){.n_threads = 1, .n_ctx = CTX, .max_batch = 64, .kv_type = kv};
}

static void text_make(int32_t *tokens, uint32_t n, int32_t salt)
{
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (int32_t)((i * 31 + i / 7 * 5 + (uint32_t)salt) % 200 + 3);
}

/* Logits of the tokens after a prefix of n. */
static int after(seq *s, uint32_t n, float *ret)
{
    int32_t tokens[AFTER];
    uint32_t out[AFTER];
    text_make(tokens, AFTER, 77 + (int32_t)n);
    for (uint32_t i = 0; i < AFTER; i++)
        out[i] = i;
    assert_true(model_about(engine_model(seq_engine(s)))->n_vocab <= MOST_VOCAB);
    const step_item item = {.s = s,
                            .tokens = tokens,
                            .n = AFTER,
                            .out = out,
                            .n_out = AFTER,
                            .ret_logits = ret};
    return engine_step(seq_engine(s), &item, 1, NULL);
}

static float want[AFTER * MOST_VOCAB], got[AFTER * MOST_VOCAB];

/* What running the prefix gives. */
static void want_make(engine *e, const int32_t *tokens, uint32_t n)
{
    seq *s;
    memset(want, 0, sizeof want);
    assert_int_equal(seq_new(e, &s, NULL), 0);
    assert_int_equal(
        engine_step(e, &(step_item){.s = s, .tokens = tokens, .n = n}, 1, NULL), 0);
    assert_int_equal(after(s, n, want), 0);
    seq_free(s);
}

static int got_make(engine *e, const int32_t *tokens, uint32_t n)
{
    seq *s;
    memset(got, 0, sizeof got);
    int rc = seq_new(e, &s, NULL);
    if (rc)
        return rc;
    rc = seq_run_kept(s, tokens, n, NULL);
    if (rc == 0) {
        assert_int_equal(seq_len(s), n);
        rc = after(s, n, got);
    } else {
        assert_int_equal(seq_len(s), 0);
    }
    seq_free(s);
    return rc;
}

static void expect_same(engine *e, const int32_t *tokens, uint32_t n, const char *what)
{
    assert_int_equal(got_make(e, tokens, n), 0);
    if (memcmp(got, want, sizeof want) != 0)
        fail_msg("%u tokens, %s: other logits", n, what);
}

static void kept_is_as_run(void **state)
{
    const cache_folder *f = *state;
    int32_t tokens[CTX];
    unsigned char build[64];
    assert_true(st_build_id(build, sizeof build) > 0);
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        for (int type = 0; type < 3; type++) {
            side a, b;
            engine_opts opts = opts_of(type == 1 ? ST_F16 : ST_F32);
            opts.kv_best = type == 2;
            if (!is_here(models[m]))
                continue;
            assert_int_equal(side_open(models[m], true, &opts, &a), 0);
            opts.max_batch = 7; /* another way of running the same */
            assert_int_equal(side_open(models[m], true, &opts, &b), 0);
            for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
                text_make(tokens, lengths[i], (int32_t)i);
                want_make(a.e, tokens, lengths[i]);
                expect_same(a.e, tokens, lengths[i], "run and kept");
                assert_int_equal(cache_folder_find(f, "prefix-", NULL, 0), i + 1);
                expect_same(a.e, tokens, lengths[i], "kept");
                expect_same(b.e, tokens, lengths[i], "kept, in another engine");
                assert_int_equal(cache_folder_find(f, "prefix-", NULL, 0), i + 1);
            }
            side_close(&a);
            side_close(&b);
            cache_folder_clear(f);
        }
    }
}

static size_t file_bytes(const cache_folder *f, unsigned char *ret)
{
    char path[512];
    assert_int_equal(cache_folder_find(f, "prefix-", path, sizeof path), 1);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n = fread(ret, 1, MOST_FILE, file);
    fclose(file);
    assert_true(n > 0 && n < MOST_FILE);
    assert_int_equal(remove(path), 0);
    return n;
}

/* Pages that other texts have used, and a tail that a longer sequence shares. */
static void no_other_text_gets_into_a_file(void **state)
{
    const cache_folder *f = *state;
    static unsigned char clean[MOST_FILE], used[MOST_FILE];
    int32_t tokens[CTX], other[CTX];
    const engine_opts opts = opts_of(ST_F16);
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        side s;
        seq *whole, *again;
        if (!is_here(models[m]))
            continue;
        text_make(tokens, 100, 1);
        text_make(other, CTX, 2);
        assert_int_equal(side_open(models[m], true, &opts, &s), 0);
        assert_int_equal(got_make(s.e, tokens, 100), 0);
        size_t n = file_bytes(f, clean);
        side_close(&s);
        assert_int_equal(side_open(models[m], true, &opts, &s), 0);
        assert_int_equal(seq_new(s.e, &whole, NULL), 0);
        step_item item = {.s = whole, .tokens = other, .n = CTX};
        assert_int_equal(engine_step(s.e, &item, 1, NULL), 0);
        seq_free(whole);
        assert_int_equal(seq_new(s.e, &again, NULL), 0);
        assert_int_equal(seq_run_kept(again, tokens, 100, NULL), 0);
        assert_int_equal(file_bytes(f, used), n);
        assert_memory_equal(clean, used, n);
        seq_free(again);
        side_close(&s);
        cache_folder_clear(f);
    }
}

static void damage_is_run_again(void **state)
{
    const cache_folder *f = *state;
    const engine_opts opts = opts_of(ST_F32);
    int32_t tokens[100];
    char path[512];
    struct stat st;
    side s;
    if (!is_here(models[0]))
        return;
    text_make(tokens, 100, 3);
    assert_int_equal(side_open(models[0], true, &opts, &s), 0);
    want_make(s.e, tokens, 100);
    expect_same(s.e, tokens, 100, "kept first");
    assert_int_equal(cache_folder_find(f, "prefix-", path, sizeof path), 1);
    assert_int_equal(stat(path, &st), 0);
    const long places[] = {0, 16, 32, 128, 5000, st.st_size - 1};
    for (size_t i = 0; i < 2 * sizeof places / sizeof *places; i++) {
        file_damage(path, places[i / 2], i % 2 ? 1 : 0);
        expect_same(s.e, tokens, 100, "after damage");
        expect_same(s.e, tokens, 100, "after it was made anew");
    }
    setenv("STINT_CACHE", "off", 1);
    expect_same(s.e, tokens, 100, "with the cache off");
    setenv("STINT_CACHE", "/proc/none", 1);
    expect_same(s.e, tokens, 100, "with no folder");
    setenv("STINT_CACHE", f->path, 1);
    side_close(&s);
}

static int n_files(const cache_folder *f, const char *path, bool named,
                   const engine_opts *opts, const int32_t *tokens, uint32_t n)
{
    side s;
    assert_int_equal(side_open(path, named, opts, &s), 0);
    assert_int_equal(got_make(s.e, tokens, n), 0);
    side_close(&s);
    return cache_folder_find(f, "prefix-", NULL, 0);
}

static void what_differs_has_its_own_file(void **state)
{
    const cache_folder *f = *state;
    engine_opts opts = opts_of(ST_F32);
    int32_t tokens[100];
    text_make(tokens, 100, 4);
    if (!is_here(models[0]) || !is_here(models[3]))
        return;
    assert_int_equal(n_files(f, models[0], false, &opts, tokens, 100), 0); /* unnamed */
    assert_int_equal(n_files(f, models[0], true, &opts, tokens, 31), 0);   /* too short */
    assert_int_equal(n_files(f, models[0], true, &opts, tokens, 100), 1);
    assert_int_equal(n_files(f, models[0], true, &opts, tokens, 100), 1);
    assert_int_equal(n_files(f, models[0], true, &opts, tokens, 99), 2);
    tokens[50]++;
    assert_int_equal(n_files(f, models[0], true, &opts, tokens, 100), 3);
    opts.kv_type = ST_F16;
    assert_int_equal(n_files(f, models[0], true, &opts, tokens, 100), 4);
    opts.n_ctx--;
    assert_int_equal(n_files(f, models[0], true, &opts, tokens, 100), 5);
    assert_int_equal(n_files(f, models[3], true, &opts, tokens, 100), 6);
}

static void errors_are_those_of_a_step(void **state)
{
    const cache_folder *f = *state;
    engine_opts opts = opts_of(ST_F32);
    int32_t tokens[CTX + 1];
    seq *s, *other;
    side a;
    text_make(tokens, CTX + 1, 5);
    if (!is_here(models[0]))
        return;
    assert_int_equal(side_open(models[0], true, &opts, &a), 0);
    assert_int_equal(seq_new(a.e, &s, NULL), 0);
    assert_int_equal(seq_run_kept(s, tokens, CTX + 1, NULL), ST_ELIMIT);
    tokens[40] = -1;
    assert_int_equal(seq_run_kept(s, tokens, 100, NULL), ST_EINVAL);
    assert_int_equal(seq_len(s), 0);
    tokens[40] = 5;
    assert_int_equal(cache_folder_find(f, "prefix-", NULL, 0), 0);
    assert_int_equal(seq_run_kept(s, tokens, 100, NULL), 0);
    assert_int_equal(seq_run_kept(s, tokens + 100, 50, NULL), 0); /* goes on, not kept */
    assert_int_equal(seq_len(s), 150);
    assert_int_equal(cache_folder_find(f, "prefix-", NULL, 0), 1);
    opts.kv_bytes = 3 * model_kv_page_bytes(a.m, ST_F32);
    side_close(&a);
    assert_int_equal(side_open(models[0], true, &opts, &a), 0);
    assert_int_equal(seq_new(a.e, &s, NULL), 0);
    assert_int_equal(seq_new(a.e, &other, NULL), 0);
    assert_int_equal(seq_run_kept(s, tokens, 100, NULL), 0);
    assert_int_equal(seq_run_kept(other, tokens, 100, NULL), ST_EBUSY);
    assert_int_equal(seq_len(other), 0);
    seq_free(s);
    assert_int_equal(seq_run_kept(other, tokens, 100, NULL), 0);
    seq_free(other);
    assert_int_equal(engine_free_pages(a.e), 3);
    side_close(&a);
}

static void numbers_are_recalled(void **state)
{
    static const char other[] =
        "0000000000000000000000000000000000000000000000000000000000000001";
    const cache_folder *f = *state;
    const engine_opts opts = opts_of(ST_F32), half = opts_of(ST_F16);
    const double numbers[3] = {1, -0.5, 1e300};
    double back[3] = {0};
    char what[65], path[512];
    side s, h, unnamed;
    if (!is_here(models[0]))
        return;
    memset(what, '0', sizeof what - 1);
    what[64] = '\0';
    assert_int_equal(side_open(models[0], true, &opts, &s), 0);
    assert_int_equal(side_open(models[0], true, &half, &h), 0);
    assert_int_equal(side_open(models[0], false, &opts, &unnamed), 0);
    assert_false(engine_recall(s.e, what, back, 3));
    engine_keep(unnamed.e, what, numbers, 3);
    assert_int_equal(cache_folder_find(f, "numbers-", NULL, 0), 0);
    engine_keep(s.e, what, numbers, 3);
    assert_false(engine_recall(unnamed.e, what, back, 3));
    assert_false(engine_recall(h.e, what, back, 3));
    assert_false(engine_recall(s.e, other, back, 3));
    assert_false(engine_recall(s.e, what, back, 2));
    assert_true(back[0] == 0);
    assert_true(engine_recall(s.e, what, back, 3));
    assert_memory_equal(back, numbers, sizeof back);
    assert_int_equal(cache_folder_find(f, "numbers-", path, sizeof path), 1);
    file_damage(path, 130, 1);
    assert_false(engine_recall(s.e, what, back, 3));
    side_close(&s);
    side_close(&h);
    side_close(&unnamed);
}

typedef struct sweep {
    const cache_folder *folder;
    side s;
    int32_t tokens[100];
    bool cold;
} sweep;

static int run_once(void *arg)
{
    sweep *w = arg;
    char path[512];
    if (w->cold && cache_folder_find(w->folder, "prefix-", path, sizeof path))
        assert_int_equal(remove(path), 0);
    int rc = got_make(w->s.e, w->tokens, 100);
    if (rc == 0)
        assert_memory_equal(got, want, sizeof want);
    assert_int_equal(cache_folder_find(w->folder, ".tmp-", NULL, 0), 0);
    return rc;
}

static void every_allocation_may_fail(void **state)
{
    const engine_opts opts = opts_of(ST_F32);
    sweep w = {.folder = *state, .cold = true};
    text_make(w.tokens, 100, 6);
    if (!is_here(models[0]))
        return;
    assert_int_equal(side_open(models[0], true, &opts, &w.s), 0);
    want_make(w.s.e, w.tokens, 100);
    assert_true(fault_sweep(run_once, &w, 1) > 1);
    w.cold = false;
    fault_sweep(run_once, &w, 1);
    side_close(&w.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_IN_CACHE(kept_is_as_run),
        TEST_IN_CACHE(no_other_text_gets_into_a_file),
        TEST_IN_CACHE(damage_is_run_again),
        TEST_IN_CACHE(what_differs_has_its_own_file),
        TEST_IN_CACHE(errors_are_those_of_a_step),
        TEST_IN_CACHE(numbers_are_recalled),
        TEST_IN_CACHE(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
