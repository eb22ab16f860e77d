/* tests/test_bench.c - the loops of the limits agree, and a run's figures make sense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "bench/bench.h"
#include "bench/loops.h"
#include "tests/fault.h"
#include "tests/here.h"
#include <string.h>
#include <unistd.h>

#define FALCON "../shared/goldens/logits/falcon/model-f32.gguf"
#define REAL ".cache/models/smollm2-135m-instruct.gguf"
#define BERT "../shared/goldens/embed/bert-e2e-f16.gguf"

/* Random operands at the ends of their ranges: no loop may saturate or lose a product. */
static void loops_agree(void **state)
{
    static _Alignas(64) int8_t w[LOOP_ROWS * LOOP_COLS];
    static _Alignas(64) uint8_t x[LOOP_TOKENS * LOOP_COLS];
    st_rng rng = {11};
    (void)state;
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < sizeof w; i++)
            w[i] = (int8_t)(round == 0 ? -127 : (int)st_rng_below(&rng, 255) - 127);
        for (size_t i = 0; i < sizeof x; i++)
            x[i] = (uint8_t)(round == 0 ? 127 : st_rng_below(&rng, 128));
        uint32_t product = loops_c.multiply(w, x);
        uint64_t words = loops_c.read(w, sizeof w);
        for (st_isa isa = ST_ISA_C; isa <= st_cpu_isa_best(); isa++) {
            assert_int_equal(loops_get(isa)->multiply(w, x), product);
            assert_int_equal(loops_get(isa)->read(w, sizeof w), words);
        }
    }
}

static model *load(const char *path)
{
    gguf *g;
    model *m;
    st_err err = {0};
    if (!is_here(path))
        return NULL;
    assert_int_equal(gguf_open(path, &g, &err), 0);
    assert_int_equal(model_load(g, NULL, &m, &err), 0);
    gguf_close(g);
    return m;
}

static const bench_opts quick = {.engine = {.n_threads = 2, .n_ctx = BENCH_CTX},
                                 .runs = 1};

static void expect_rows(const bench_report *r, const char *const *names, uint32_t n)
{
    assert_int_equal(r->n_figures, n);
    for (uint32_t i = 0; i < n; i++) {
        assert_string_equal(r->figures[i].name, names[i]);
        assert_true(r->figures[i].per_s > 0);
        assert_true(r->figures[i].limit_share > 0);
    }
    assert_int_equal(r->n_threads, 2);
    assert_true(r->limits.int8_macs_per_s > 0 && r->limits.read_bytes_per_s > 0);
}

static void run_decoder(void **state)
{
    static const char *const all[] = {"prefill", "decode",  "decode_16",    "mixed",
                                      "decide",  "options", "options_free", "heads"};
    bench_report r;
    st_err err = {0};
    bench_opts opts = quick;
    model *m = load(FALCON);
    (void)state;
    if (!m)
        return;
    if (bench_run(m, &opts, &r, &err) < 0)
        fail_msg("%s", err.message);
    expect_rows(&r, all, 8);
    opts.only = "decode_16";
    assert_int_equal(bench_run(m, &opts, &r, &err), 0);
    expect_rows(&r, &all[2], 1);
    opts.only = "heads,prefill";
    assert_int_equal(bench_run(m, &opts, &r, &err), 0);
    assert_int_equal(r.n_figures, 2);
    assert_string_equal(r.figures[0].name, "prefill");
    opts.only = "prefill,embed";
    assert_int_equal(bench_run(m, &opts, &r, &err), ST_EINVAL);
    assert_non_null(strstr(err.message, "nothing to measure: embed"));
    assert_non_null(strstr(err.hint, "prefill, decode, "));
    opts.only = "decode_";
    assert_int_equal(bench_run(m, &opts, &r, &err), ST_EINVAL);
    opts.only = "";
    assert_int_equal(bench_run(m, &opts, &r, &err), ST_EINVAL);
    opts = quick;
    opts.engine.n_ctx = BENCH_CTX - 1;
    err = (st_err){0};
    assert_int_equal(bench_run(m, &opts, &r, &err), ST_EINVAL);
    assert_non_null(strstr(err.message, "the context is shorter"));
    model_free(m);
}

/* Rows that read text need the tokenizer; orders take fewer steps than tokens. */
static void run_reader(void **state)
{
    bench_report r;
    st_err err = {0};
    bench_opts opts = quick;
    gguf *g;
    tok *t;
    model *m = load(REAL);
    (void)state;
    if (!m)
        return;
    assert_int_equal(gguf_open(REAL, &g, &err), 0);
    assert_int_equal(tok_new(g, &t, &err), 0);
    gguf_close(g);
    opts.only = "extract_16,extract";
    assert_int_equal(bench_run(m, &opts, &r, &err), ST_EINVAL);
    opts.tok = t;
    if (bench_run(m, &opts, &r, &err) < 0)
        fail_msg("%s", err.message);
    expect_rows(&r, (const char *const[]){"extract", "extract_16"}, 2);
    for (int i = 0; i < 2; i++) {
        assert_true(r.figures[i].tokens_per_s > r.figures[i].per_s);
        assert_true(r.figures[i].tokens_per_step > 2);
    }
    tok_free(t);
    model_free(m);
}

static void run_encoder(void **state)
{
    static const char *const all[] = {"heads", "embed"};
    bench_report r;
    st_err err = {0};
    bench_opts opts = quick;
    model *m = load(BERT);
    (void)state;
    if (!m)
        return;
    opts.engine.n_ctx = 0;
    assert_int_equal(bench_run(m, &opts, &r, &err), 0);
    expect_rows(&r, all, 2);
    opts.only = "prefill";
    assert_int_equal(bench_run(m, &opts, &r, &err), ST_EINVAL);
    model_free(m);
}

static int run_work(void *arg)
{
    bench_report r;
    st_err err = {0};
    bench_opts opts = quick;
    opts.only = "decide";
    return bench_run(arg, &opts, &r, &err);
}

static void faults(void **state)
{
    model *m = load(FALCON);
    (void)state;
    if (!m)
        return;
    assert_true(fault_sweep(run_work, m, 1) > 20);
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops_agree), cmocka_unit_test(run_decoder),
        cmocka_unit_test(run_reader),  cmocka_unit_test(run_encoder),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
