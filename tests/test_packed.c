/* tests/test_packed.c - packed weights kept between loads change no bit of a result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/cache_folder.h"
#include "tests/fault.h"
#include "tests/model_run.h"
#include "tests/here.h"
#include <sys/wait.h>

#define GOLDENS "../shared/goldens/"

enum { N_TOKENS = 40, MOST_WIDTH = 4096 };

static const char *const models[] = {
    GOLDENS "logits/llama-gqa/model-f32.gguf",
    GOLDENS "logits/qwen2moe/model-f32.gguf",
    GOLDENS "embed/bert-e2e-f16.gguf",
};

static const char other_digest[] =
    "ffffffffffffffffffffffffffffffff00000000000000000000000000000000";

static bool int8; /* how models are opened */

/* A model whose weights are kept under `digest`; "": the file's own; NULL: not kept. */
static int open_kept(const char *path, const char *digest, runner *r, st_err *err)
{
    *r = (runner){.int8 = int8};
    char own[65] = "";
    const char *hex;
    if (!digest && !int8)
        return runner_open(path, N_TOKENS, ST_F32, 2, r, err);
    int rc = gguf_open(path, &r->g, err);
    if (rc == 0 && (rc = gguf_digest(r->g, &hex, err)) == 0)
        memcpy(own, hex, sizeof own);
    r->digest = digest && !digest[0] ? own : digest;
    if (rc == 0)
        rc = runner_set_up(r, N_TOKENS, ST_F32, 2, err);
    r->digest = NULL;
    if (rc)
        runner_close(r);
    return rc;
}

/* Outputs of a few tokens. */
static int run(const char *path, const char *digest, float *ret, size_t *ret_bytes)
{
    int32_t tokens[N_TOKENS];
    runner r;
    st_err err = {0};
    for (int i = 0; i < N_TOKENS; i++)
        tokens[i] = 3 + i % 7;
    int rc = open_kept(path, digest, &r, &err);
    if (rc == 0) {
        assert_true(runner_width(&r) <= MOST_WIDTH);
        *ret_bytes = N_TOKENS * runner_width(&r) * sizeof *ret;
        rc = runner_run(&r, tokens, N_TOKENS, N_TOKENS, ret, &err);
        runner_close(&r);
    }
    if (rc && rc != ST_ENOMEM)
        print_message("%s\n", err.message);
    return rc;
}

static float want[N_TOKENS * MOST_WIDTH], got[N_TOKENS * MOST_WIDTH];

static void expect_same(const char *path, const char *digest, const char *what)
{
    size_t bytes = 0;
    memset(got, 0, sizeof got);
    assert_int_equal(run(path, digest, got, &bytes), 0);
    if (memcmp(got, want, bytes) != 0)
        fail_msg("%s: %s changed the result", path, what);
}

static void a_kept_file_gives_the_same_bytes(void **state)
{
    const cache_folder *f = *state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char path[512], kept[512];
        struct stat first, second;
        size_t bytes;
        if (!is_here(models[i]))
            continue;
        assert_int_equal(run(models[i], NULL, want, &bytes), 0);
        assert_int_equal(cache_folder_find(f, "", NULL, 0), 0);
        expect_same(models[i], "", "writing the file");
        assert_int_equal(cache_folder_find(f, "weights-", path, sizeof path), 1);
        assert_int_equal(cache_folder_find(f, "", NULL, 0), 1);
        assert_int_equal(stat(path, &first), 0);
        expect_same(models[i], "", "reading the file");
        assert_int_equal(cache_folder_find(f, "", kept, sizeof kept), 1);
        assert_int_equal(stat(kept, &second), 0);
        assert_int_equal(first.st_ino, second.st_ino); /* it was not written again */
        cache_folder_clear(f);
    }
}

static void a_damaged_file_is_made_anew(void **state)
{
    const cache_folder *f = *state;
    const char *file = models[0];
    char path[512];
    struct stat whole, again;
    size_t bytes;
    if (!is_here(file))
        return;
    assert_int_equal(run(file, "", want, &bytes), 0);
    assert_int_equal(cache_folder_find(f, "weights-", path, sizeof path), 1);
    assert_int_equal(stat(path, &whole), 0);
    const long places[] = {0, 8, 12, 16, 24, 32, 100, 120, 128, 4000, whole.st_size - 1};
    for (size_t i = 0; i < 2 * sizeof places / sizeof *places; i++) {
        file_damage(path, places[i / 2], i % 2 ? 0x40 : 0); /* flipped, then cut */
        expect_same(file, "", "a damaged file");
        assert_int_equal(stat(path, &again), 0);
        assert_int_equal(again.st_size, whole.st_size);
        assert_int_equal(cache_folder_find(f, "", NULL, 0), 1);
    }
}

/* The same name, by a digest that begins like another one's, and other weights. */
static void another_models_file_is_not_used(void **state)
{
    const cache_folder *f = *state;
    char alike[65];
    size_t bytes;
    if (!is_here(models[0]) || !is_here(models[1]))
        return;
    assert_int_equal(run(models[1], NULL, want, &bytes), 0);
    assert_int_equal(run(models[0], other_digest, got, &bytes), 0);
    assert_int_equal(cache_folder_find(f, "weights-", NULL, 0), 1);
    expect_same(models[1], other_digest, "another model's file");
    memcpy(alike, other_digest, sizeof alike);
    alike[63] = '1';
    expect_same(models[1], alike, "a file of another digest");
    assert_int_equal(cache_folder_find(f, "weights-", NULL, 0), 1);
}

static void nothing_is_kept_where_nothing_can_be(void **state)
{
    const cache_folder *f = *state;
    size_t bytes;
    if (!is_here(models[0]))
        return;
    assert_int_equal(run(models[0], NULL, want, &bytes), 0);
    setenv("STINT_CACHE", "off", 1);
    expect_same(models[0], "", "a cache that is off");
    setenv("STINT_CACHE", "/proc/none/cache", 1);
    expect_same(models[0], "", "a folder that cannot be made");
    setenv("STINT_CACHE", "/proc/self/status", 1);
    expect_same(models[0], "", "a folder that is a file");
    setenv("STINT_CACHE", f->path, 1);
    assert_int_equal(chmod(f->path, 0777), 0);
    expect_same(models[0], "", "a folder that others write to");
    assert_int_equal(chmod(f->path, 0700), 0);
    assert_int_equal(cache_folder_find(f, "", NULL, 0), 0);
}

/* What is read in 8 bits is other weights of the same file, kept beside them. */
static void both_precisions_are_kept(void **state)
{
    const cache_folder *f = *state;
    static float exact[N_TOKENS * MOST_WIDTH];
    size_t bytes;
    if (!is_here(models[2]))
        return;
    assert_int_equal(run(models[2], "", exact, &bytes), 0);
    int8 = true;
    int rc = run(models[2], NULL, want, &bytes);
    for (int i = 0; i < 3 && rc == 0; i++) {
        rc = run(models[2], "", got, &bytes);
        assert_memory_equal(got, want, bytes);
    }
    int8 = false;
    assert_int_equal(rc, 0);
    assert_memory_not_equal(exact, want, bytes);
    memcpy(want, exact, bytes);
    expect_same(models[2], "", "the one in 8 bits");
    assert_int_equal(cache_folder_find(f, "weights-", NULL, 0), 1);
    assert_int_equal(cache_folder_find(f, "narrowed-", NULL, 0), 1);
}

static void starts_at_once_do_not_meet(void **state)
{
    const cache_folder *f = *state;
    pid_t children[3];
    size_t bytes;
    if (!is_here(models[0]))
        return;
    assert_int_equal(run(models[0], NULL, want, &bytes), 0);
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            int same =
                run(models[0], "", got, &bytes) == 0 && memcmp(got, want, bytes) == 0;
            _exit(!same);
        }
    }
    for (int i = 0; i < 3; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(cache_folder_find(f, "", NULL, 0), 1);
}

static int load_cold(void *arg)
{
    const cache_folder *f = arg;
    size_t bytes;
    cache_folder_clear(f);
    int rc = run(models[0], "", got, &bytes);
    if (rc == 0)
        assert_memory_equal(got, want, bytes);
    assert_int_equal(cache_folder_find(f, ".tmp-", NULL, 0), 0);
    return rc;
}

static int load_warm(void *arg)
{
    size_t bytes;
    int rc = run(models[0], "", got, &bytes);
    (void)arg;
    if (rc == 0)
        assert_memory_equal(got, want, bytes);
    return rc;
}

static void every_allocation_may_fail(void **state)
{
    cache_folder *f = *state;
    size_t bytes;
    if (!is_here(models[0]))
        return;
    assert_int_equal(run(models[0], NULL, want, &bytes), 0);
    assert_true(fault_sweep(load_cold, f, 1) > 20);
    assert_true(fault_sweep(load_warm, f, 1) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_IN_CACHE(a_kept_file_gives_the_same_bytes),
        TEST_IN_CACHE(a_damaged_file_is_made_anew),
        TEST_IN_CACHE(another_models_file_is_not_used),
        TEST_IN_CACHE(nothing_is_kept_where_nothing_can_be),
        TEST_IN_CACHE(both_precisions_are_kept),
        TEST_IN_CACHE(starts_at_once_do_not_meet),
        TEST_IN_CACHE(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
