/* tests/test_model.c - every family against its reference logits, any split of a batch,
 * token trees, taps, and files that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/rng.h"
#include "gguf/encode.h"
#include "model/narrow.h"
#include "tests/fault.h"
#include "tests/model_run.h"
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#define GOLDENS "../shared/goldens/"
enum { MAX_FILES = 200, PATH_ROOM = 512 };

/* One weights file with its tokens and what a reference made of them. */
typedef struct golden {
    char folder[PATH_ROOM];
    char weights[PATH_ROOM];
    char expected[PATH_ROOM];
    int32_t *tokens;
    uint32_t n;
    uint32_t n_ctx;
    float *want;
    size_t n_want;
} golden;

/* Architectures that are not built: recurrent layers, latent attention, and so on. */
static const char *const not_built[] = {
    "deepseek2", "deepseek3", "mamba2", "qwen35", "qwen3next",
};

static bool goldens_are_here(void)
{
    DIR *dir = opendir(GOLDENS "logits");
    if (dir)
        closedir(dir);
    else
        print_message("SKIP: %slogits is not here, nothing was compared\n", GOLDENS);
    return dir != NULL;
}

static void *read_whole(const char *path, size_t *ret_len)
{
    st_err err = {0};
    char *data;
    if (st_file_read(path, 1u << 28, &data, ret_len, &err))
        fail_msg("%s", err.message);
    return data;
}

static bool exists(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f)
        fclose(f);
    return f != NULL;
}

static uint32_t read_n_ctx(const char *folder)
{
    char path[PATH_ROOM + 16];
    snprintf(path, sizeof path, "%s/meta.json", folder);
    json_t *meta = json_load_file(path, 0, NULL);
    assert_non_null(meta);
    uint32_t n = (uint32_t)json_integer_value(json_object_get(meta, "n_ctx"));
    json_decref(meta);
    return n;
}

static void golden_read(golden *g)
{
    char path[PATH_ROOM + 16];
    size_t len;
    snprintf(path, sizeof path, "%s/tokens.bin", g->folder);
    g->tokens = read_whole(path, &len);
    g->n = (uint32_t)(len / 4);
    g->want = read_whole(g->expected, &len);
    g->n_want = len / 4;
    g->n_ctx = read_n_ctx(g->folder);
}

static void golden_done(golden *g)
{
    st_free(g->tokens);
    st_free(g->want);
}

static bool is_built(const char *name)
{
    for (size_t i = 0; i < ST_COUNT(not_built); i++)
        if (!strcmp(not_built[i], name))
            return false;
    return true;
}

typedef void golden_fn(golden *g);

static unsigned each_type(const char *root, const char *name, bool only_f32,
                          golden_fn *fn)
{
    static const char *const types[] = {"f32", "f16", "bf16"};
    unsigned n = 0;
    for (size_t i = 0; i < (only_f32 ? 1 : ST_COUNT(types)); i++) {
        golden g = {0};
        snprintf(g.folder, sizeof g.folder, "%s/%s", root, name);
        snprintf(g.weights, sizeof g.weights, "%s/%s/model-%s.gguf", root, name,
                 types[i]);
        snprintf(g.expected, sizeof g.expected, "%s/%s/logits-%s.bin", root, name,
                 types[i]);
        if (!exists(g.weights))
            continue;
        if (!exists(g.expected))
            snprintf(g.expected, sizeof g.expected, "%s/%s/embd-tokens-%s.bin", root,
                     name, types[i]);
        golden_read(&g);
        fn(&g);
        golden_done(&g);
        n++;
    }
    return n;
}

static unsigned each_folder(const char *root, bool only_f32, golden_fn *fn)
{
    unsigned n = 0;
    DIR *dir = opendir(root);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.' && is_built(e->d_name))
            n += each_type(root, e->d_name, only_f32, fn);
    closedir(dir);
    return n;
}

/* The test is skipped where there are no goldens. */
static unsigned each_golden(bool only_f32, golden_fn *fn)
{
    if (!goldens_are_here())
        skip();
    return each_folder(GOLDENS "logits", only_f32, fn) +
           each_folder(GOLDENS "extra/logits", only_f32, fn);
}

static st_dtype kept_as = ST_F32; /* keys and values of what open_or_fail opens */

static void open_or_fail(const golden *g, unsigned n_threads, runner *r)
{
    st_err err = {0};
    if (runner_open(g->weights, g->n_ctx, kept_as, n_threads, r, &err))
        fail_msg("%s: %s", g->weights, err.message);
}

/* Once with keys and values in floats, once in 8 bits. */
static unsigned each_kept(bool only_f32, golden_fn *fn)
{
    unsigned n = each_golden(only_f32, fn);
    kept_as = ST_Q8_0;
    each_golden(only_f32, fn);
    kept_as = ST_F32;
    return n;
}

static float *run_or_fail(const golden *g, runner *r, uint32_t piece)
{
    st_err err = {0};
    float *got = st_alloc_n((size_t)g->n * runner_width(r), sizeof *got);
    assert_non_null(got);
    if (runner_run(r, g->tokens, g->n, piece, got, &err))
        fail_msg("%s: %s", g->weights, err.message);
    return got;
}

/* ---- against the reference ---- */

static void check_reference(golden *g)
{
    runner r;
    open_or_fail(g, 1, &r);
    float *got = run_or_fail(g, &r, g->n);
    float worst = 0.0f;
    assert_int_equal(g->n_want, (size_t)g->n * runner_width(&r));
    for (size_t i = 0; i < g->n_want; i++)
        worst = fabsf(got[i] - g->want[i]) <= worst ? worst : fabsf(got[i] - g->want[i]);
    if (!(worst <= 1e-3f))
        fail_msg("%s is off by %g", g->weights, (double)worst);
    st_free(got);
    runner_close(&r);
}

static void families_match_their_reference(void **state)
{
    (void)state;
    assert_true(each_golden(false, check_reference) > 50);
}

/* ---- the same bytes however the work is cut ---- */

static void check_cuts(golden *g)
{
    static const uint32_t pieces[] = {1, 7, 64};
    runner one, two;
    open_or_fail(g, 1, &one);
    open_or_fail(g, 2, &two);
    size_t bytes = (size_t)g->n * runner_width(&one) * sizeof(float);
    float *whole = run_or_fail(g, &one, g->n);
    float *threads = run_or_fail(g, &two, g->n);
    assert_memory_equal(whole, threads, bytes);
    for (size_t i = 0; i < ST_COUNT(pieces) && model_about(one.m)->causal; i++) {
        float *cut = run_or_fail(g, i % 2 ? &two : &one, pieces[i]);
        if (memcmp(whole, cut, bytes))
            fail_msg("%s: pieces of %u give other bytes", g->weights, pieces[i]);
        st_free(cut);
    }
    st_free(whole);
    st_free(threads);
    runner_close(&one);
    runner_close(&two);
}

static void cuts_and_threads_change_nothing(void **state)
{
    (void)state;
    assert_true(each_kept(true, check_cuts) > 30);
}

/* Two texts in one batch, in pages of one pool, beside each alone. */
static void check_two_texts(golden *g)
{
    st_err err = {0};
    runner r;
    if (g->n < 20)
        return;
    open_or_fail(g, 2, &r);
    uint32_t n_embd = model_about(r.m)->n_embd, rows[20], page_a[] = {0}, page_b[] = {1};
    float hidden[2][20 * 256], alone[12 * 256];
    if (n_embd > 256 || g->n_ctx <= KV_PAGE_TOKENS) {
        runner_close(&r);
        return;
    }
    model_span spans[] = {{.tokens = g->tokens, .n = 12, .pages = page_a},
                          {.tokens = g->tokens + 5, .n = 8, .pages = page_b}};
    model_batch both = {.spans = spans,
                        .n_spans = 2,
                        .out_rows = rows,
                        .n_out = 20,
                        .ret_hidden = hidden[0]};
    for (uint32_t i = 0; i < 20; i++)
        rows[i] = i;
    assert_int_equal(model_forward(r.m, r.work, &r.kv, &both, &err), 0);
    for (uint32_t s = 0; s < 2; s++) {
        model_batch one = {.spans = &spans[s],
                           .n_spans = 1,
                           .out_rows = rows,
                           .n_out = spans[s].n,
                           .ret_hidden = alone};
        assert_int_equal(model_forward(r.m, r.work, &r.kv, &one, &err), 0);
        assert_memory_equal(alone, hidden[0] + (s ? 12 * n_embd : 0),
                            spans[s].n * n_embd * sizeof(float));
    }
    runner_close(&r);
}

static void texts_of_a_batch_do_not_meet(void **state)
{
    (void)state;
    each_kept(true, check_two_texts);
}

/* A batch of more than one stripe, all rows asked for; then a head of the same text of
 * which nothing is asked, and rows out of order and one twice. */
static void check_few_rows(golden *g)
{
    enum { LONG = 250 }; /* a stripe is less: model/work.h */
    st_err err = {0};
    runner r;
    open_or_fail(g, 2, &r);
    const size_t n_embd = model_about(r.m)->n_embd;
    const uint32_t whole = g->n_ctx < LONG ? g->n_ctx : LONG;
    const uint32_t head = model_about(r.m)->causal ? whole / 2 : 0, n = whole - head;
    const uint32_t few[] = {n - 1, 0, n / 2, n / 2};
    uint32_t rows[LONG];
    int32_t tokens[LONG];
    float *all = st_alloc_n(whole * n_embd, sizeof *all), some[4 * 1024];
    model_span span = {.tokens = tokens, .n = whole, .pages = r.pages};
    model_batch batch = {.spans = &span, .n_spans = 1, .out_rows = rows, .n_out = whole};
    assert_true(all && n_embd <= 1024);
    for (uint32_t i = 0; i < whole; i++) {
        rows[i] = i;
        tokens[i] = g->tokens[(i + i / g->n) % g->n];
    }
    batch.ret_hidden = all;
    assert_int_equal(model_forward(r.m, r.work, &r.kv, &batch, &err), 0);
    for (uint32_t at = 0; at < r.n_ctx; at += KV_PAGE_TOKENS) /* forget all */
        memset(r.kv.base + at / KV_PAGE_TOKENS * model_kv_page_bytes(r.m, r.kv.type),
               0x7f, model_kv_page_bytes(r.m, r.kv.type));
    span.n = head;
    batch.n_out = 0;
    if (head)
        assert_int_equal(model_forward(r.m, r.work, &r.kv, &batch, &err), 0);
    span = (model_span){tokens + head, n, head, NULL, r.pages, 0, NULL};
    batch.out_rows = few;
    batch.n_out = 4;
    batch.ret_hidden = some;
    assert_int_equal(model_forward(r.m, r.work, &r.kv, &batch, &err), 0);
    for (uint32_t i = 0; i < 4; i++)
        if (memcmp(some + i * n_embd, all + (head + few[i]) * n_embd, n_embd * 4))
            fail_msg("%s: row %u differs when few are asked for", g->weights, few[i]);
    st_free(all);
    runner_close(&r);
}

static void rows_that_nobody_asks_for_change_nothing(void **state)
{
    (void)state;
    assert_true(each_kept(false, check_few_rows) > 30);
}

/* ---- token trees ---- */

/* After n - 6 tokens, two branches: the true last six, and six others. */
static void check_tree(golden *g)
{
    static const int32_t parents[12] = {-1, 0, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    st_err err = {0};
    runner r;
    open_or_fail(g, 1, &r);
    if (!model_about(r.m)->causal) {
        runner_close(&r);
        return;
    }
    uint32_t start = g->n - 6;
    size_t width = runner_width(&r);
    float *whole = run_or_fail(g, &r, g->n);
    float *tree = st_alloc_n(12 * width, sizeof *tree);
    int32_t tokens[12];
    uint32_t depth[2] = {0};
    for (uint32_t i = 0; i < 12;
         i++) { /* 0 1 3 5 7 9 11 are one path; 2 4 6 .. another */
        bool main_path = i == 0 || i % 2 == 1;
        uint32_t d = depth[main_path]++;
        tokens[i] = main_path && d < 6 ? g->tokens[start + d] : (int32_t)(i + 1);
    }
    model_span span = {
        .tokens = tokens, .n = 12, .start = start, .parents = parents, .pages = r.pages};
    if (runner_span(&r, &span, tree, &err))
        fail_msg("%s: %s", g->weights, err.message);
    static const uint32_t path[] = {0, 1, 3, 5, 7, 9};
    for (uint32_t d = 0; d < 6; d++)
        if (memcmp(tree + path[d] * width, whole + (start + d) * width, width * 4))
            fail_msg("%s: depth %u of a tree differs", g->weights, d);
    st_free(tree);
    st_free(whole);
    runner_close(&r);
}

static void a_path_of_a_tree_is_its_chain(void **state)
{
    (void)state;
    each_kept(true, check_tree);
}

/* ---- taps and early stops ---- */

typedef struct tapped {
    float *x; /* [layer][n, n_embd] */
    uint32_t n_embd;
    uint32_t calls;
} tapped;

static void keep_tap(void *arg, uint32_t layer, const float *x, uint32_t n_tokens)
{
    tapped *t = arg;
    size_t size = (size_t)n_tokens * t->n_embd;
    memcpy(t->x + layer * size, x, size * sizeof *x);
    t->calls++;
}

static void check_taps(golden *g)
{
    st_err err = {0};
    runner r;
    open_or_fail(g, 1, &r);
    const model_info *info = model_about(r.m);
    size_t size = (size_t)g->n * info->n_embd;
    tapped all = {st_alloc_n(size * (info->n_layers + 1), 4), info->n_embd, 0};
    tapped some = {st_alloc_n(size * (info->n_layers + 1), 4), info->n_embd, 0};
    uint32_t last = g->n - 1;
    float *hidden = st_alloc_n(info->n_embd, 4);
    model_span span = {.tokens = g->tokens, .n = g->n, .pages = r.pages};
    model_batch batch = {.spans = &span,
                         .n_spans = 1,
                         .tap = keep_tap,
                         .tap_arg = &all,
                         .out_rows = &last,
                         .n_out = 1,
                         .ret_hidden = hidden};
    assert_int_equal(model_forward(r.m, r.work, &r.kv, &batch, &err), 0);
    assert_int_equal(all.calls, info->n_layers + 1);
    if (!info->causal) /* an encoder's last tap is its output */
        assert_memory_equal(hidden, all.x + size * info->n_layers + last * info->n_embd,
                            info->n_embd * 4);
    batch = (model_batch){.spans = &span,
                          .n_spans = 1,
                          .tap = keep_tap,
                          .tap_arg = &some,
                          .n_layers = info->n_layers - 1};
    if (info->n_layers > 1) {
        assert_int_equal(model_forward(r.m, r.work, &r.kv, &batch, &err), 0);
        assert_int_equal(some.calls, info->n_layers);
        assert_memory_equal(all.x, some.x, size * info->n_layers * 4);
    }
    st_free(all.x);
    st_free(some.x);
    st_free(hidden);
    runner_close(&r);
}

static void taps_show_every_layer(void **state)
{
    (void)state;
    each_golden(true, check_taps);
}

static void check_some_ids(golden *g)
{
    static const int32_t ids[] = {17, 3, 3, 200, 0};
    st_err err = {0};
    runner r;
    open_or_fail(g, 2, &r);
    const model_info *info = model_about(r.m);
    float hidden[2 * 256], some[2 * ST_COUNT(ids)];
    float *all = st_alloc_n(2 * info->n_vocab, sizeof *all);
    for (size_t i = 0; i < ST_COUNT(hidden); i++)
        hidden[i] = sinf((float)i);
    if (info->has_head) {
        assert_int_equal(model_head(r.m, r.work, hidden, 2, NULL, 0, all, &err), 0);
        assert_int_equal(model_head(r.m, r.work, hidden, 2, ids, 5, some, &err), 0);
        for (uint32_t i = 0; i < 2 * 5; i++)
            assert_memory_equal(&some[i],
                                &all[i / 5 * info->n_vocab + (uint32_t)ids[i % 5]],
                                sizeof *some);
    } else {
        assert_int_equal(model_head(r.m, r.work, hidden, 2, ids, 5, some, &err),
                         ST_EINVAL);
    }
    st_free(all);
    runner_close(&r);
}

static void chosen_logits_are_the_same_logits(void **state)
{
    (void)state;
    each_golden(true, check_some_ids);
}

/* ---- quantised weights ---- */

static double divergence(const float *p, const float *q, size_t n, double *ret_abs)
{
    double sp = 0, sq = 0, kl = 0;
    for (size_t i = 0; i < n; i++) {
        sp += exp((double)p[i]);
        sq += exp((double)q[i]);
        *ret_abs += fabs((double)p[i] - (double)q[i]) / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        kl += exp((double)p[i]) / sp * ((double)p[i] - log(sp) - (double)q[i] + log(sq));
    return kl;
}

static size_t top(const float *v, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = v[i] > v[best] ? i : best;
    return best;
}

static void check_quantised(golden *g)
{
    runner r;
    double kl = 0, off = 0;
    unsigned same = 0;
    open_or_fail(g, 2, &r);
    size_t width = runner_width(&r);
    float *got = run_or_fail(g, &r, g->n), *cut = run_or_fail(g, &r, 5);
    assert_int_equal(g->n_want, g->n * width);
    assert_memory_equal(got, cut, g->n_want * sizeof *got);
    for (uint32_t t = 0; t < g->n; t++) {
        const float *a = g->want + t * width, *b = got + t * width;
        kl += divergence(a, b, width, &off) / g->n;
        same += top(a, width) == top(b, width);
    }
    off /= g->n;
    if (!(kl <= 0.01 && off <= 0.1 && same >= 0.88 * g->n))
        fail_msg("%s: KL %g, mean difference %g, %u of %u agree", g->weights, kl, off,
                 same, g->n);
    st_free(got);
    st_free(cut);
    runner_close(&r);
}

static void quantised_models_stay_within_tolerance(void **state)
{
    (void)state;
    if (!goldens_are_here())
        skip();
    unsigned n = 0;
    DIR *dir = opendir(GOLDENS "quant/models");
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        golden g = {0};
        char *end = strstr(e->d_name, ".gguf");
        if (!end)
            continue;
        snprintf(g.weights, sizeof g.weights, GOLDENS "quant/models/%s", e->d_name);
        snprintf(g.expected, sizeof g.expected, GOLDENS "quant/models/%.*s.logits.bin",
                 (int)(end - e->d_name), e->d_name);
        snprintf(g.folder, sizeof g.folder, GOLDENS "logits/%s",
                 e->d_name[0] == 'g' ? "gptoss" : "llama-256");
        golden_read(&g);
        check_quantised(&g);
        golden_done(&g);
        n++;
    }
    closedir(dir);
    assert_int_equal(n, 12);
}

/* ---- float weights read in 8 bits ---- */

enum { NARROW_ROWS = 37, NARROW_COLS = 96 };

/* What a Q8_0 file with these weights would be packed to. */
static unsigned char *pack_encoded(const kmat *m, const float *values, size_t bytes)
{
    const size_t n = (size_t)m->rows * m->cols;
    unsigned char *blocks = st_alloc_n(n, 2), *room = st_aligned_n(bytes, 1);
    assert_true(blocks && room);
    assert_int_equal(encode_floats(ST_Q8_0, values, n, blocks, NULL), 0);
    memset(room, 0, bytes);
    kmat_pack(m, blocks, room, 0, kmat_panels(m));
    st_free(blocks);
    return room;
}

static void check_narrow(st_dtype type, workers *w)
{
    enum { N = NARROW_ROWS * NARROW_COLS };
    static float values[N], stored[N];
    static unsigned char file[4 * N];
    const kmat m = {ST_Q8_0, NARROW_ROWS, NARROW_COLS, NULL};
    st_rng rng = {type + 1};
    st_err err = {0};
    size_t bytes;
    for (int i = 0; i < N; i++)
        values[i] = (float)(st_rng_unit(&rng) - 0.5) * (i % 50 ? 1.0f : 90.0f);
    memset(values + NARROW_COLS, 0, 32 * sizeof *values); /* a block of zeros */
    assert_int_equal(encode_floats(type, values, N, file, &err), 0);
    assert_int_equal(kern_dequant(type, file, N, stored, &err), 0);
    assert_true(kmat_bytes(ST_Q8_0, NARROW_ROWS, NARROW_COLS, &bytes));
    unsigned char *want = pack_encoded(&m, stored, bytes), *got = st_aligned_n(bytes, 1);
    assert_non_null(got);
    memset(got, 0, bytes);
    assert_int_equal(narrow_pack(&m, type, file, w, got, &err), 0);
    assert_memory_equal(got, want, bytes);
    memset(file, 0xff, 4); /* a NaN in each of the types */
    assert_int_equal(narrow_pack(&m, type, file, w, got, &err), ST_EFORMAT);
    st_free(want);
    st_free(got);
}

static void float_weights_become_the_8_bit_format(void **state)
{
    static const st_dtype types[] = {ST_F32, ST_F16, ST_BF16};
    workers *two;
    (void)state;
    assert_int_equal(workers_new(2, &two, NULL), 0);
    for (size_t i = 0; i < ST_COUNT(types); i++) {
        check_narrow(types[i], NULL);
        check_narrow(types[i], two);
    }
    workers_free(two);
}

static int load_int8(void *arg)
{
    const model_opts opts = {.n_ctx = 64, .int8 = true};
    gguf *g;
    model *m;
    st_err err = {0};
    int rc = gguf_open(arg, &g, &err);
    if (rc)
        return rc;
    rc = model_load(g, &opts, &m, &err);
    if (!rc)
        model_free(m);
    gguf_close(g);
    return rc;
}

static void memory_may_run_out_in_8_bits(void **state)
{
    char moe[] = GOLDENS "logits/qwen2moe/model-f32.gguf";
    (void)state;
    if (!goldens_are_here())
        skip();
    assert_true(fault_sweep(load_int8, moe, 1) > 20);
}

/* ---- files that lie ---- */

typedef struct bytes {
    unsigned char *data;
    size_t len;
} bytes;

/* Load; when that works, run a few tokens: neither may do harm.  Returns the load's code.
 */
static int load_bytes(const bytes *file, st_err *err)
{
    static const int32_t tokens[] = {1, 2, 3, 4, 5};
    runner r = {0};
    int rc = gguf_open_bytes(file->data, file->len, &r.g, err);
    if (!rc)
        rc = runner_set_up(&r, KV_PAGE_TOKENS, ST_F16, 1, err);
    if (!rc) {
        float *got = st_alloc_n(ST_COUNT(tokens) * runner_width(&r), sizeof *got);
        st_err ignored = {0};
        (void)!runner_run(&r, tokens, ST_COUNT(tokens), ST_COUNT(tokens), got, &ignored);
        st_free(got);
    }
    runner_close(&r);
    if (rc)
        assert_true(err->message[0] != '\0');
    return rc;
}

/* Every number of the architecture's keys, set to every absurd value. */
static void check_absurd_keys(golden *g)
{
    static const uint32_t absurd[] = {
        0, 1, 3, 65, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fc00000, 0xbf800000};
    bytes file = {0};
    file.data = read_whole(g->weights, &file.len);
    gguf *keys;
    assert_int_equal(gguf_open_bytes(file.data, file.len, &keys, NULL), 0);
    for (size_t i = 0; i < gguf_n_keys(keys); i++) {
        const gguf_key *key = gguf_key_at(keys, i);
        if (!strncmp(key->name, "tokenizer.", 10) || key->type == GGUF_STRING ||
            key->n == 0)
            continue;
        unsigned char *at = file.data + ((const unsigned char *)key->data - file.data);
        unsigned char old[4];
        size_t size = key->elem == GGUF_BOOL ? 1 : 4;
        memcpy(old, at, size);
        for (size_t v = 0; v < ST_COUNT(absurd); v++) {
            st_err err = {0};
            memcpy(at, &absurd[v], size);
            (void)load_bytes(&file, &err);
        }
        memcpy(at, old, size);
    }
    gguf_close(keys);
    st_free(file.data);
}

static void absurd_metadata_is_refused_or_harmless(void **state)
{
    (void)state;
    assert_true(each_golden(true, check_absurd_keys) > 30);
}

/* Random bytes changed in the description of tensors, which stands before the data. */
static void check_random_bytes(golden *g)
{
    bytes file = {0};
    uint32_t seed = 12345;
    file.data = read_whole(g->weights, &file.len);
    gguf *parsed;
    assert_int_equal(gguf_open_bytes(file.data, file.len, &parsed, NULL), 0);
    size_t end =
        (size_t)((const unsigned char *)gguf_tensor_at(parsed, 0)->data - file.data);
    gguf_close(parsed);
    for (unsigned round = 0; round < 40; round++) {
        st_err err = {0};
        seed = seed * 1664525u + 1013904223u;
        size_t place = round % 4 ? end - 1 - seed % (end < 4000 ? end : 4000)
                                 : seed % (end < 1500 ? end : 1500);
        unsigned char old = file.data[place];
        file.data[place] = (unsigned char)(seed >> 24);
        (void)load_bytes(&file, &err);
        file.data[place] = old;
    }
    st_free(file.data);
}

static void random_bytes_are_refused_or_harmless(void **state)
{
    (void)state;
    assert_true(each_golden(true, check_random_bytes) > 30);
}

/* Replace the first occurrence of `old` after the keys; both of one length. */
static void patch(bytes *file, const char *old, const char *new)
{
    size_t n = strlen(old);
    assert_int_equal(n, strlen(new));
    for (size_t i = 0; i + n <= file->len; i++) {
        if (!memcmp(file->data + i, old, n)) {
            memcpy(file->data + i, new, n);
            return;
        }
    }
    fail_msg("'%s' is not in the file", old);
}

static void expect(const char *folder, const char *old, const char *new, int code,
                   const char *part)
{
    char path[PATH_ROOM];
    bytes file = {0};
    st_err err = {0};
    snprintf(path, sizeof path, GOLDENS "logits/%s/model-f32.gguf", folder);
    file.data = read_whole(path, &file.len);
    patch(&file, old, new);
    assert_int_equal(load_bytes(&file, &err), code);
    if (!strstr(err.message, part))
        fail_msg("'%s' does not say '%s'", err.message, part);
    st_free(file.data);
}

static void errors_name_the_place(void **state)
{
    (void)state;
    if (!goldens_are_here())
        skip();
    expect("qwen3", "blk.1.attn_k.weight", "blk.1.attn_x.weight", ST_EFORMAT,
           "tensor 'blk.1.attn_k.weight' is missing");
    expect("qwen3", "blk.1.attn_k_norm", "blk.1.attn_k_bong", ST_EFORMAT,
           "'blk.1.attn_k_norm.weight' is missing");
    expect("gemma2", "blk.0.post_ffw_norm", "blk.0.xost_ffw_norm", ST_EFORMAT,
           "'blk.0.post_ffw_norm.weight' is missing");
    expect("llama-gqa", "llama.block_count", "llama.block_xount", ST_EFORMAT,
           "llama.block_count");
    expect("llama-gqa", "llama.attention.head_count", "llama.attention.head_xount",
           ST_EFORMAT, "llama.attention.head_count");
    expect("llama-gqa", "layer_norm_rms_epsilon", "layer_norm_rms_xpsilon", ST_EFORMAT,
           "llama.attention.layer_norm_rms_epsilon");
    expect("llama-gqa", "general.architecture", "general.xrchitecture", ST_EFORMAT,
           "general.architecture");
    expect("../extra/logits/mamba2", "mamba2.block_count", "mamba2.xlock_count",
           ST_EUNSUPPORTED, "'mamba2'");
    expect("qwen2-yarn", "rope.scaling.type", "rope.scaling.xype", 0, "");
    expect("smollm3", "output_norm.weight", "output_xorm.weight", ST_EFORMAT,
           "'output_norm.weight' is missing");
}

static void a_tensor_without_a_place_is_refused(void **state)
{
    st_err err = {0};
    bytes file = {0};
    (void)state;
    if (!goldens_are_here())
        skip();
    /* as Llama, the biases of Qwen 2 would be used; a norm of Qwen 3 would not */
    file.data = read_whole(GOLDENS "logits/llama-bias/model-f32.gguf", &file.len);
    patch(&file, "blk.1.attn_output.bias", "blk.1.attn_outpux.bias");
    assert_int_equal(load_bytes(&file, &err), ST_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "blk.1.attn_outpux.bias"));
    st_free(file.data);
}

/* ---- batches that make no sense ---- */

static void bad_batches_are_refused(void **state)
{
    st_err err = {0};
    runner r;
    (void)state;
    if (!goldens_are_here())
        skip();
    assert_int_equal(
        runner_open(GOLDENS "logits/llama-gqa/model-f32.gguf", 64, ST_F32, 1, &r, &err),
        0);
    const int32_t good[65] = {1}, high[] = {1, 384}, low[] = {-1};
    const int32_t cycle[] = {0, 0}, far[] = {-2, 0};
    int32_t deep[65];
    const uint32_t row[] = {2};
    float hidden[64];
    const struct {
        model_span span;
        uint32_t n_layers, n_out;
        int code;
    } cases[] = {
        {{.tokens = high, .n = 2}, 0, 0, ST_EINVAL},
        {{.tokens = low, .n = 1}, 0, 0, ST_EINVAL},
        {{.tokens = good, .n = 0}, 0, 0, ST_EINVAL},
        {{.tokens = good, .n = 65}, 0, 0, ST_ELIMIT},
        {{.tokens = good, .n = 1, .start = UINT32_MAX}, 0, 0, ST_EINVAL},
        {{.tokens = good, .n = 2, .parents = cycle}, 0, 0, ST_EINVAL},
        {{.tokens = good, .n = 2, .parents = far}, 0, 0, ST_EINVAL},
        {{.tokens = good, .n = 2, .n_tree = 1}, 0, 0, ST_EINVAL},
        {{.tokens = good, .n = 1, .parents = far, .n_tree = 1}, 0, 0, ST_EINVAL},
        {{.tokens = good, .n = 1, .parents = deep, .n_tree = 64}, 0, 0, ST_ELIMIT},
        {{.tokens = good, .n = 2}, 4, 0, ST_EINVAL},
        {{.tokens = good, .n = 3}, 2, 1, ST_EINVAL},
        {{.tokens = good, .n = 2}, 0, 1, ST_EINVAL},
        {{.tokens = good, .n = 3}, 0, 1, 0},
    };
    for (int32_t i = 0; i < 65; i++)
        deep[i] = i - 1;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        model_span span = cases[i].span;
        span.pages = r.pages;
        model_batch b = {.spans = &span,
                         .n_spans = 1,
                         .n_layers = cases[i].n_layers,
                         .out_rows = row,
                         .n_out = cases[i].n_out,
                         .ret_hidden = hidden};
        assert_int_equal(model_forward(r.m, r.work, &r.kv, &b, NULL), cases[i].code);
    }
    assert_int_equal(model_head(r.m, r.work, hidden, 1, high, 2, hidden, NULL),
                     ST_EINVAL);
    assert_int_equal(model_head(r.m, r.work, hidden, 65, good, 1, hidden, NULL),
                     ST_ELIMIT);
    runner_close(&r);
}

/* ---- memory ---- */

static int load_once(void *arg)
{
    st_err err = {0};
    runner r;
    int rc = runner_open(arg, 64, ST_F32, 1, &r, &err);
    if (!rc)
        runner_close(&r);
    return rc;
}

static void every_allocation_may_fail(void **state)
{
    char moe[] = GOLDENS "logits/qwen2moe/model-f32.gguf";
    char rope[] = GOLDENS "logits/phi3-longrope-short/model-f32.gguf";
    (void)state;
    if (!goldens_are_here())
        skip();
    assert_true(fault_sweep(load_once, moe, 1) > 20);
    assert_true(fault_sweep(load_once, rope, 1) > 15);
}

static void running_allocates_nothing(void **state)
{
    static const int32_t tokens[40] = {1, 2, 3};
    static const uint32_t rows[] = {7, 39};
    st_err err = {0};
    runner r;
    (void)state;
    if (!goldens_are_here())
        skip();
    assert_int_equal(
        runner_open(GOLDENS "logits/qwen2moe/model-f32.gguf", 64, ST_F16, 2, &r, &err),
        0);
    float hidden[2 * 64], logits[2 * 384];
    model_span span = {.tokens = tokens, .n = 40, .pages = r.pages};
    model_batch b = {
        .spans = &span, .n_spans = 1, .out_rows = rows, .n_out = 2, .ret_hidden = hidden};
    fault_arm(0);
    int rc = model_forward(r.m, r.work, &r.kv, &b, &err);
    int head = model_head(r.m, r.work, hidden, 2, NULL, 0, logits, &err);
    assert_int_equal(fault_disarm(), 0);
    assert_int_equal(rc, 0);
    assert_int_equal(head, 0);
    runner_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_match_their_reference),
        cmocka_unit_test(cuts_and_threads_change_nothing),
        cmocka_unit_test(texts_of_a_batch_do_not_meet),
        cmocka_unit_test(rows_that_nobody_asks_for_change_nothing),
        cmocka_unit_test(a_path_of_a_tree_is_its_chain),
        cmocka_unit_test(taps_show_every_layer),
        cmocka_unit_test(chosen_logits_are_the_same_logits),
        cmocka_unit_test(quantised_models_stay_within_tolerance),
        cmocka_unit_test(float_weights_become_the_8_bit_format),
        cmocka_unit_test(memory_may_run_out_in_8_bits),
        cmocka_unit_test(absurd_metadata_is_refused_or_harmless),
        cmocka_unit_test(random_bytes_are_refused_or_harmless),
        cmocka_unit_test(errors_name_the_place),
        cmocka_unit_test(a_tensor_without_a_place_is_refused),
        cmocka_unit_test(bad_batches_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(running_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
