/* tests/test_engine.c - any way of feeding a text gives the same bytes.
 *
 * Everything is compared with the plainest way: one engine of one thread, one sequence,
 * the whole text in one step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "engine/kvpool.h"
#include "engine/options.h"
#include "engine/sampler.h"
#include "tests/fault.h"
#include "tests/here.h"
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GOLDENS "../shared/goldens/"

static const char quantised[] = GOLDENS "quant/models/llama-256-q4_0.gguf";

enum { TEXT = 90 }; /* tokens: more than one page */

static const char *const models[] = {
    GOLDENS "logits/llama-gqa/model-f32.gguf",    GOLDENS "logits/gemma2/model-f32.gguf",
    GOLDENS "logits/qwen2moe/model-f32.gguf",     GOLDENS "logits/lfm2/model-f32.gguf",
    GOLDENS "logits/gptoss/model-f32.gguf",       quantised,
    GOLDENS "quant/models/llama-256-q4_k_m.gguf",
};

typedef struct fixture {
    model *m;
    const model_info *info;
    engine *plain; /* one thread, everything at once */
    st_rng rng;
} fixture;

static void model_open(const char *path, model **ret)
{
    st_err err = {0};
    gguf *g;
    if (gguf_open(path, &g, &err) < 0 || model_load(g, NULL, ret, &err) < 0)
        fail_msg("%s: %s", path, err.message);
    gguf_close(g);
}

static engine *engine_make_kv(const model *m, unsigned threads, uint32_t batch,
                              st_dtype kv)
{
    engine_opts opts = {.n_threads = threads, .max_batch = batch, .kv_type = kv};
    engine *e;
    st_err err = {0};
    if (engine_new(m, &opts, &e, &err) < 0)
        fail_msg("%s", err.message);
    return e;
}

static engine *engine_make(const model *m, unsigned threads, uint32_t batch)
{
    return engine_make_kv(m, threads, batch, ST_F32);
}

static void fixture_init(fixture *f, const char *path)
{
    model_open(path, &f->m);
    f->info = model_about(f->m);
    f->plain = engine_make(f->m, 1, 0);
    f->rng.state = 11;
}

static void fixture_done(fixture *f)
{
    engine_free(f->plain);
    model_free(f->m);
}

static void text_draw(fixture *f, int32_t *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        ids[i] = (int32_t)st_rng_below(&f->rng, f->info->n_vocab);
}

static seq *seq_make(engine *e)
{
    seq *s;
    st_err err = {0};
    assert_int_equal(seq_new(e, &s, &err), 0);
    return s;
}

static void step(engine *e, const step_item *items, uint32_t n)
{
    st_err err = {0};
    if (engine_step(e, items, n, &err) < 0)
        fail_msg("%s", err.message);
}

/* Logits after each of the n tokens, the plain way.  The caller frees. */
static float *reference(fixture *f, const int32_t *ids, uint32_t n)
{
    float *logits = st_alloc_n((size_t)n * f->info->n_vocab, sizeof *logits);
    uint32_t out[512];
    seq *s = seq_make(f->plain);
    for (uint32_t i = 0; i < n; i++)
        out[i] = i;
    step_item item = {
        .s = s, .tokens = ids, .n = n, .out = out, .n_out = n, .ret_logits = logits};
    step(f->plain, &item, 1);
    seq_free(s);
    return logits;
}

static void rows_equal(const fixture *f, const float *a, const float *b, uint32_t n,
                       const char *what)
{
    for (uint32_t r = 0; r < n; r++)
        if (memcmp(a + (size_t)r * f->info->n_vocab, b + (size_t)r * f->info->n_vocab,
                   f->info->n_vocab * sizeof *a) != 0)
            fail_msg("%s: row %u differs", what, r);
}

/* One sequence fed by steps of random sizes. */
static void split_once(fixture *f, engine *e, const int32_t *ids, const float *want)
{
    float *got = st_alloc_n((size_t)TEXT * f->info->n_vocab, sizeof *got);
    uint32_t out[TEXT], n;
    seq *s = seq_make(e);
    for (uint32_t i = 0; i < TEXT; i++)
        out[i] = i;
    for (uint32_t at = 0; at < TEXT; at += n) {
        n = 1 + st_rng_below(&f->rng, TEXT - at);
        step_item item = {.s = s,
                          .tokens = ids + at,
                          .n = n,
                          .out = out,
                          .n_out = n,
                          .ret_logits = got + (size_t)at * f->info->n_vocab};
        step(e, &item, 1);
        assert_int_equal(seq_len(s), at + n);
    }
    rows_equal(f, want, got, TEXT, "random steps");
    seq_free(s);
    st_free(got);
}

/* Several sequences, random parts of each in one step, in random order. */
static void batch_once(fixture *f, engine *e)
{
    enum { SEQS = 5 };
    int32_t ids[SEQS][TEXT];
    float *want[SEQS], *got[SEQS];
    uint32_t at[SEQS] = {0}, out[TEXT], left = SEQS * TEXT;
    seq *s[SEQS];
    for (uint32_t i = 0; i < TEXT; i++)
        out[i] = i;
    for (int i = 0; i < SEQS; i++) {
        text_draw(f, ids[i], TEXT);
        want[i] = reference(f, ids[i], TEXT);
        got[i] = st_alloc_n((size_t)TEXT * f->info->n_vocab, sizeof(float));
        s[i] = seq_make(e);
    }
    while (left > 0) {
        step_item items[SEQS];
        uint32_t n_items = 0, first = st_rng_below(&f->rng, SEQS);
        for (uint32_t k = 0; k < SEQS; k++) {
            uint32_t i = (first + k) % SEQS;
            uint32_t n = at[i] < TEXT ? st_rng_below(&f->rng, TEXT - at[i] + 1) : 0;
            items[n_items++] =
                (step_item){.s = s[i],
                            .tokens = ids[i] + at[i],
                            .n = n,
                            .out = out,
                            .n_out = n,
                            .ret_logits = got[i] + (size_t)at[i] * f->info->n_vocab};
            at[i] += n;
            left -= n;
        }
        step(e, items, n_items);
    }
    for (int i = 0; i < SEQS; i++) {
        rows_equal(f, want[i], got[i], TEXT, "random batches");
        st_free(want[i]);
        st_free(got[i]);
        seq_free(s[i]);
    }
}

static void feeding_changes_nothing(void **state)
{
    static const uint32_t batches[] = {0, 5, 33};
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i++) {
        fixture f;
        int32_t ids[TEXT];
        fixture_init(&f, models[i]);
        text_draw(&f, ids, TEXT);
        float *want = reference(&f, ids, TEXT);
        for (unsigned threads = 1; threads <= 3; threads++) {
            engine *e = engine_make(f.m, threads, batches[threads - 1]);
            uint32_t pages = engine_free_pages(e);
            for (int round = 0; round < 3; round++)
                split_once(&f, e, ids, want);
            batch_once(&f, e);
            assert_int_equal(engine_free_pages(e), pages);
            engine_free(e);
        }
        st_free(want);
        fixture_done(&f);
    }
}

/* The same with keys and values in fewer bits, which are other numbers. */
static void narrow_ones_change_nothing(void **state)
{
    static const st_dtype types[] = {ST_F16, ST_Q8_0};
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < 2 * ST_COUNT(models); i++) {
        const st_dtype type = types[i % 2];
        fixture f;
        int32_t ids[TEXT];
        fixture_init(&f, models[i / 2]);
        if (model_kv_page_bytes(f.m, type) == 0) {
            fixture_done(&f);
            continue;
        }
        text_draw(&f, ids, TEXT);
        float *full = reference(&f, ids, TEXT);
        engine_free(f.plain);
        f.plain = engine_make_kv(f.m, 1, 0, type);
        float *want = reference(&f, ids, TEXT);
        engine *e = engine_make_kv(f.m, 2, 33, type);
        assert_memory_not_equal(full, want,
                                (size_t)TEXT * f.info->n_vocab * sizeof *want);
        split_once(&f, e, ids, want);
        batch_once(&f, e);
        engine_free(e);
        st_free(want);
        st_free(full);
        fixture_done(&f);
    }
}

enum { LIVE = 6, MOST = 200 }; /* sequences at once, tokens of one */

typedef struct shadow { /* what a sequence should hold */
    seq *s;
    int32_t ids[MOST];
    uint32_t n;
} shadow;

static void shadow_append(fixture *f, engine *e, shadow *a, float *got)
{
    uint32_t n = 1 + st_rng_below(&f->rng, 20), last = n - 1;
    if (a->n + n > MOST)
        return;
    text_draw(f, a->ids + a->n, n);
    step_item item = {.s = a->s,
                      .tokens = a->ids + a->n,
                      .n = n,
                      .out = &last,
                      .n_out = 1,
                      .ret_logits = got};
    step(e, &item, 1);
    a->n += n;
    float *want = reference(f, a->ids, a->n);
    rows_equal(f, want + (size_t)(a->n - 1) * f->info->n_vocab, got, 1, "after forks");
    st_free(want);
}

static void shadow_fork(fixture *f, shadow *from, shadow *to)
{
    st_err err = {0};
    uint32_t n = st_rng_below(&f->rng, from->n + 1);
    seq_free(to->s);
    assert_int_equal(seq_fork(from->s, n, &to->s, &err), 0);
    memcpy(to->ids, from->ids, n * sizeof *to->ids);
    to->n = n;
}

static void forks_and_cuts_are_exact(void **state)
{
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i += 3) {
        fixture f;
        shadow live[LIVE];
        fixture_init(&f, models[i]);
        engine_opts opts = {.n_threads = 2,
                            .max_batch = 16,
                            .max_seqs = LIVE,
                            .kv_bytes = LIVE * (MOST / KV_PAGE_TOKENS + 2) *
                                        model_kv_page_bytes(f.m, ST_F32)};
        engine *e;
        assert_int_equal(engine_new(f.m, &opts, &e, NULL), 0);
        uint32_t pages = engine_free_pages(e);
        float *got = st_alloc_n(f.info->n_vocab, sizeof *got);
        for (int k = 0; k < LIVE; k++)
            live[k] = (shadow){.s = seq_make(e)};
        for (int op = 0; op < 120; op++) {
            uint32_t a = st_rng_below(&f.rng, LIVE), b = st_rng_below(&f.rng, LIVE);
            uint32_t what = st_rng_below(&f.rng, 10);
            if (what < 6) {
                shadow_append(&f, e, &live[a], got);
            } else if (what < 8 && a != b) {
                shadow_fork(&f, &live[a], &live[b]);
            } else {
                live[a].n -= st_rng_below(&f.rng, live[a].n + 1);
                seq_truncate(live[a].s, live[a].n);
            }
            assert_int_equal(seq_len(live[a].s), live[a].n);
        }
        for (int k = 0; k < LIVE; k++)
            seq_free(live[k].s);
        assert_int_equal(engine_free_pages(e), pages);
        st_free(got);
        engine_free(e);
        fixture_done(&f);
    }
}

/* A random tree over a forked sequence: each node as if its path had been fed. */
static void tree_once(fixture *f, engine *e, uint32_t n)
{
    enum { BEFORE = 70 };
    int32_t ids[BEFORE + 80], tree[80], parents[80];
    uint32_t out[80], n_vocab = f->info->n_vocab;
    float *got = st_alloc_n((size_t)n * n_vocab, sizeof *got);
    seq *s = seq_make(e), *fork;
    text_draw(f, ids, BEFORE);
    text_draw(f, tree, n);
    for (uint32_t i = 0; i < n; i++) {
        out[i] = i;
        parents[i] = (int32_t)st_rng_below(&f->rng, i + 1 < 4 ? i + 1 : 4);
        parents[i] = i == 0 ? -1 : (int32_t)i - 1 - parents[i];
    }
    step(e, &(step_item){.s = s, .tokens = ids, .n = BEFORE}, 1);
    assert_int_equal(seq_fork(s, BEFORE, &fork, NULL), 0);
    uint32_t pages = engine_free_pages(e);
    step_item item = {.s = fork,
                      .tokens = tree,
                      .n = n,
                      .parents = parents,
                      .out = out,
                      .n_out = n,
                      .ret_logits = got};
    step(e, &item, 1);
    assert_int_equal(seq_tree_len(fork), n);
    seq_tree_drop(fork);
    assert_int_equal(seq_tree_len(fork), 0);
    assert_int_equal(engine_free_pages(e), pages);
    assert_int_equal(seq_len(fork), BEFORE);
    for (uint32_t i = 0; i < n; i++) {
        int32_t path[80];
        uint32_t depth = 0;
        for (int32_t p = (int32_t)i; p >= 0; p = parents[p])
            path[depth++] = tree[p];
        for (uint32_t k = 0; k < depth; k++)
            ids[BEFORE + k] = path[depth - 1 - k];
        float *want = reference(f, ids, BEFORE + depth);
        rows_equal(f, want + (size_t)(BEFORE + depth - 1) * n_vocab,
                   got + (size_t)i * n_vocab, 1, "tree node");
        st_free(want);
    }
    /* The sequence, and the one it shares pages with, go on as if nothing had been. */
    text_draw(f, ids + BEFORE, 3);
    float *want = reference(f, ids, BEFORE + 3);
    seq *both[] = {s, fork};
    for (int i = 0; i < 2; i++) {
        const uint32_t last = 2;
        item = (step_item){.s = both[i],
                           .tokens = ids + BEFORE,
                           .n = 3,
                           .out = &last,
                           .n_out = 1,
                           .ret_logits = got};
        step(e, &item, 1);
        rows_equal(f, want + (size_t)(BEFORE + 2) * n_vocab, got, 1, "after a tree");
        seq_free(both[i]);
    }
    st_free(want);
    st_free(got);
}

static void trees_leave_no_trace(void **state)
{
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i++) {
        fixture f;
        fixture_init(&f, models[i]);
        engine *whole = engine_make(f.m, 2, 0), *tight = engine_make(f.m, 1, 80);
        tree_once(&f, whole, 1);
        tree_once(&f, whole, 40);
        tree_once(&f, tight, 80);
        engine_free(whole);
        engine_free(tight);
        fixture_done(&f);
    }
}

enum {
    GROWN = 60,
    KEPT = 30,
    BASE = 50
}; /* nodes; prompt and shared tokens before them */

/* A prompt of KEPT tokens after BASE shared ones, and a random tree over its end. */
typedef struct grove {
    int32_t base[BASE];
    int32_t tokens[KEPT + GROWN];
    int32_t parents[GROWN];
    float *want; /* [KEPT + GROWN, n_vocab]: everything in one item of the plain engine */
} grove;

static void grove_make(fixture *f, grove *g)
{
    uint32_t out[KEPT + GROWN];
    text_draw(f, g->base, BASE);
    text_draw(f, g->tokens, KEPT + GROWN);
    for (uint32_t i = 0; i < KEPT + GROWN; i++)
        out[i] = i;
    for (uint32_t i = 0; i < GROWN; i++)
        g->parents[i] = (int32_t)st_rng_below(&f->rng, i + 1) - 1;
    g->want = st_alloc_n((size_t)(KEPT + GROWN) * f->info->n_vocab, sizeof *g->want);
    seq *s = seq_make(f->plain);
    step(f->plain, &(step_item){.s = s, .tokens = g->base, .n = BASE}, 1);
    step_item chain = {.s = s,
                       .tokens = g->tokens,
                       .n = KEPT,
                       .out = out,
                       .n_out = KEPT,
                       .ret_logits = g->want};
    step_item tree = {.s = s,
                      .tokens = g->tokens + KEPT,
                      .n = GROWN,
                      .parents = g->parents,
                      .out = out,
                      .n_out = GROWN,
                      .ret_logits = g->want + (size_t)KEPT * f->info->n_vocab};
    step(f->plain, &chain, 1);
    step(f->plain, &tree, 1);
    seq_free(s);
}

/* The grove on a fork, cut at random, in steps that hold another sequence's tokens too;
 * now and then somebody forks the sequence and goes on by himself. */
static void grove_grow(fixture *f, engine *e, const grove *g, seq *base)
{
    uint32_t out[KEPT + GROWN], n_vocab = f->info->n_vocab, at = 0;
    float *got = st_alloc_n((size_t)(KEPT + GROWN) * n_vocab, sizeof *got);
    seq *s, *fork = NULL, *beside = seq_make(e);
    const int32_t other[] = {3, 1, 4};
    assert_int_equal(seq_fork(base, BASE, &s, NULL), 0);
    while (at < KEPT + GROWN) {
        bool grown = at > KEPT || (at == KEPT && st_rng_below(&f->rng, 2));
        uint32_t n = 1 + st_rng_below(&f->rng, KEPT + GROWN - at);
        uint32_t keep = at < KEPT ? n < KEPT - at ? n : KEPT - at : 0;
        for (uint32_t i = 0; i < n; i++)
            out[i] = i;
        step_item items[] = {
            {.s = beside, .tokens = other, .n = st_rng_below(&f->rng, 4)},
            {.s = s,
             .tokens = g->tokens + at,
             .n = n,
             .parents = n > keep ? g->parents + (grown ? at - KEPT : 0) : NULL,
             .n_keep = n > keep ? keep : 0,
             .n_tree = grown ? at - KEPT : 0,
             .out = out,
             .n_out = n,
             .ret_logits = got + (size_t)at * n_vocab},
        };
        step(e, items, 2);
        at += n;
        assert_int_equal(seq_len(s), BASE + (at < KEPT ? at : KEPT));
        assert_int_equal(seq_tree_len(s), at < KEPT ? 0 : at - KEPT);
        if (st_rng_below(&f->rng, 2)) { /* writes where the tree's slots would be */
            seq_free(fork);
            assert_int_equal(seq_fork(s, seq_len(s), &fork, NULL), 0);
            step(e, &(step_item){.s = fork, .tokens = other, .n = 3}, 1);
        }
    }
    rows_equal(f, g->want, got, KEPT + GROWN, "a tree that went on");
    /* A second tree in place of the first, from its beginning. */
    step_item again = {.s = s,
                       .tokens = g->tokens + KEPT,
                       .n = 5,
                       .parents = g->parents,
                       .out = out,
                       .n_out = 5,
                       .ret_logits = got};
    step(e, &again, 1);
    assert_int_equal(seq_tree_len(s), 5);
    rows_equal(f, g->want + (size_t)KEPT * n_vocab, got, 5, "a tree after a tree");
    seq_free(beside);
    seq_free(fork);
    seq_free(s);
    st_free(got);
}

static void trees_go_on(void **state)
{
    static const uint32_t batches[] = {0, GROWN, 77};
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i++) {
        fixture f;
        grove g;
        fixture_init(&f, models[i]);
        for (unsigned k = 0; k < ST_COUNT(batches); k++) {
            engine *e = engine_make(f.m, 1 + k, batches[k]);
            uint32_t pages = engine_free_pages(e);
            seq *base = seq_make(e);
            grove_make(&f, &g);
            step(e, &(step_item){.s = base, .tokens = g.base, .n = BASE}, 1);
            for (int round = 0; round < 3; round++)
                grove_grow(&f, e, &g, base);
            seq_free(base);
            assert_int_equal(engine_free_pages(e), pages);
            st_free(g.want);
            engine_free(e);
        }
        fixture_done(&f);
    }
}

/* A step that finds no pages leaves the tree as it was, and it goes on afterwards. */
static void a_tree_outlives_a_busy_step(void **state)
{
    fixture f;
    grove g;
    uint32_t out[GROWN];
    engine *e;
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, models[0]);
    grove_make(&f, &g);
    uint32_t n_vocab = f.info->n_vocab;
    engine_opts opts = {.n_threads = 1, .kv_bytes = 4 * model_kv_page_bytes(f.m, ST_F32)};
    assert_int_equal(engine_new(f.m, &opts, &e, NULL), 0);
    float *got = st_alloc_n((size_t)GROWN * n_vocab, sizeof *got);
    for (uint32_t i = 0; i < GROWN; i++)
        out[i] = i;
    seq *s = seq_make(e), *fork, *greedy = seq_make(e);
    step(e, &(step_item){.s = s, .tokens = g.base, .n = BASE}, 1);
    step_item first = {
        .s = s, .tokens = g.tokens, .n = KEPT + 10, .parents = g.parents, .n_keep = KEPT};
    step(e, &first, 1); /* 80 tokens and 10 nodes: two pages */
    assert_int_equal(seq_fork(s, BASE + KEPT, &fork, NULL), 0);
    step_item items[] = {{.s = s,
                          .tokens = g.tokens + KEPT + 10,
                          .n = GROWN - 10,
                          .parents = g.parents + 10,
                          .n_tree = 10,
                          .out = out,
                          .n_out = GROWN - 10,
                          .ret_logits = got},
                         {.s = greedy, .tokens = g.tokens, .n = 65}};
    for (int round = 0; round < 2; round++) {
        st_err err = {0};
        uint32_t pages = engine_free_pages(e);
        assert_int_equal(engine_step(e, items, 2, &err), ST_EBUSY);
        assert_int_equal(engine_free_pages(e), pages);
        assert_int_equal(seq_tree_len(s), 10);
        assert_int_equal(seq_len(s), BASE + KEPT);
    }
    step(e, items, 1); /* a copy of the second page, and a third */
    assert_int_equal(engine_free_pages(e), 0);
    rows_equal(&f, g.want + (size_t)(KEPT + 10) * n_vocab, got, GROWN - 10, "after busy");
    seq_tree_drop(s);
    assert_int_equal(engine_free_pages(e), 2); /* the fork's page is shared again */
    const uint32_t last = 0;
    step_item more = {.s = fork,
                      .tokens = g.tokens + KEPT,
                      .n = 1,
                      .out = &last,
                      .n_out = 1,
                      .ret_logits = got};
    int32_t all[BASE + KEPT + 1];
    memcpy(all, g.base, sizeof g.base);
    memcpy(all + BASE, g.tokens, (KEPT + 1) * sizeof *all);
    step(e, &more, 1);
    float *want = reference(&f, all, BASE + KEPT + 1);
    rows_equal(&f, want + (size_t)(BASE + KEPT) * n_vocab, got, 1, "the fork");
    st_free(want);
    st_free(got);
    st_free(g.want);
    engine_free(e);
    fixture_done(&f);
}

static void bad_trees_are_refused(void **state)
{
    fixture f;
    const int32_t ids[8] = {1, 2, 3, 4, 5, 6, 7, 8},
                  flat[8] = {-1, -1, -1, -1, -1, -1, -1};
    const int32_t own[1] = {2}, deep[8] = {-1, 0, 1, 2, 3, 4, 5, 6};
    engine *e;
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, models[0]);
    engine_opts opts = {.n_threads = 1, .n_ctx = 16, .max_batch = 8};
    assert_int_equal(engine_new(f.m, &opts, &e, NULL), 0);
    seq *s = seq_make(e), *bare = seq_make(e);
    step(e, &(step_item){.s = s, .tokens = ids, .n = 8}, 1);
    step(e, &(step_item){.s = s, .tokens = ids, .n = 4, .parents = flat, .n_keep = 2}, 1);
    assert_int_equal(seq_len(s), 10);
    assert_int_equal(seq_tree_len(s), 2);
    uint32_t pages = engine_free_pages(e);
    const struct {
        step_item item;
        int rc;
    } cases[] = {
        {{.s = s, .tokens = ids, .n = 2, .parents = flat, .n_keep = 3}, ST_EINVAL},
        {{.s = s, .tokens = ids, .n = 2, .n_keep = 1}, ST_EINVAL},
        {{.s = s, .tokens = ids, .n = 2, .n_tree = 2}, ST_EINVAL},
        {{.s = s, .tokens = ids, .n = 1, .parents = flat, .n_tree = 1}, ST_EINVAL},
        {{.s = s, .tokens = ids, .n = 1, .parents = flat, .n_tree = 3}, ST_EINVAL},
        {{.s = s, .tokens = ids, .n = 2, .parents = flat, .n_keep = 1, .n_tree = 2},
         ST_EINVAL},
        {{.s = bare, .tokens = ids, .n = 1, .parents = flat, .n_tree = 1}, ST_EINVAL},
        {{.s = s, .tokens = ids, .n = 1, .parents = own, .n_tree = 2}, ST_EINVAL},
        {{.s = s, .tokens = ids, .n = 7, .parents = flat, .n_tree = 2}, ST_ELIMIT},
        {{.s = s, .tokens = ids, .n = 7, .parents = deep}, ST_ELIMIT},
        {{.s = s, .tokens = ids, .n = 7, .parents = deep, .n_keep = 5}, ST_ELIMIT},
        {{.s = s, .tokens = ids, .n = 8, .parents = flat, .n_keep = 7}, ST_ELIMIT},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        st_err err = {0};
        if (engine_step(e, &cases[i].item, 1, &err) != cases[i].rc)
            fail_msg("case %zu: %d %s", i, err.code, err.message);
        assert_int_equal(seq_len(s), 10);
        assert_int_equal(seq_tree_len(s), 2);
        assert_int_equal(engine_free_pages(e), pages);
    }
    /* What is left to go on with after the tree is given back: nothing. */
    step_item more = {.s = s, .tokens = ids, .n = 6, .parents = flat, .n_tree = 2};
    seq_truncate(s, 9);
    assert_int_equal(seq_tree_len(s), 0);
    assert_int_equal(engine_step(e, &more, 1, NULL), ST_EINVAL);
    more.n_tree = 0;
    step(e, &more, 1);
    more.n_tree = 6;
    more.n = 2;
    step(e, &more, 1); /* eight nodes: full */
    step(e, &(step_item){.s = s, .tokens = ids, .n = 7}, 1);
    assert_int_equal(seq_tree_len(s), 0);
    assert_int_equal(seq_len(s), 16);
    engine_free(e);
    fixture_done(&f);
}

static void pages_run_out(void **state)
{
    fixture f;
    int32_t ids[200];
    float *got;
    engine *e;
    st_err err = {0};
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, models[0]);
    engine_opts opts = {.n_threads = 1, .kv_bytes = 4 * model_kv_page_bytes(f.m, ST_F32)};
    assert_int_equal(engine_new(f.m, &opts, &e, &err), 0);
    text_draw(&f, ids, 200);
    got = st_alloc_n(f.info->n_vocab, sizeof *got);
    seq *a = seq_make(e), *b, *c = seq_make(e);
    step(e, &(step_item){.s = a, .tokens = ids, .n = 70}, 1); /* 2 pages */
    assert_int_equal(seq_fork(a, 66, &b, NULL), 0);
    assert_int_equal(engine_free_pages(e), 2);
    /* b copies its tail, then c wants two pages and only one is left. */
    step_item items[] = {{.s = b, .tokens = ids + 66, .n = 10},
                         {.s = a, .tokens = ids + 70, .n = 1},
                         {.s = c, .tokens = ids, .n = 100}};
    assert_int_equal(engine_step(e, items, 3, &err), ST_EBUSY);
    assert_true(err.message[0] && err.hint[0]);
    assert_int_equal(engine_free_pages(e), 2);
    assert_int_equal(seq_len(a), 70);
    assert_int_equal(seq_len(b), 66);
    assert_int_equal(seq_len(c), 0);
    /* With a shorter text it fits, to the last page. */
    items[2].n = 64;
    step(e, items, 3);
    assert_int_equal(engine_free_pages(e), 0);
    const uint32_t last = 3;
    step_item more = {
        .s = b, .tokens = ids + 76, .n = 4, .out = &last, .n_out = 1, .ret_logits = got};
    step(e, &more, 1);
    float *want = reference(&f, ids, 80);
    rows_equal(&f, want + (size_t)79 * f.info->n_vocab, got, 1, "after a busy step");
    st_free(want);
    st_free(got);
    engine_free(e); /* with its sequences */
    fixture_done(&f);
}

static void bad_items_change_nothing(void **state)
{
    fixture f;
    const int32_t ids[3] = {1, 2, 3}, outside[2] = {1, 1 << 30};
    const int32_t loop[2] = {-1, 1}, under[2] = {-2, 0};
    const uint32_t falling[2] = {1, 0}, beyond[1] = {3}, end[1] = {9};
    float logits[8];
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, models[0]);
    seq *s = seq_make(f.plain), *other = seq_make(f.plain);
    engine *e = engine_make(f.m, 1, 8);
    seq *foreign = seq_make(e);
    uint32_t pages = engine_free_pages(f.plain);
    const struct {
        step_item item;
        int rc;
    } cases[] = {
        {{.s = NULL}, ST_EINVAL},
        {{.s = foreign, .tokens = ids, .n = 1}, ST_EINVAL},
        {{.s = s, .tokens = outside, .n = 2}, ST_EINVAL},
        {{.s = s, .tokens = ids, .n = 1000000}, ST_ELIMIT},
        {{.s = s, .tokens = ids, .n = 2, .parents = loop}, ST_EINVAL},
        {{.s = s, .tokens = ids, .n = 2, .parents = under}, ST_EINVAL},
        {{.s = s, .tokens = ids, .n = 3, .out = falling, .n_out = 2}, ST_EINVAL},
        {{.s = s, .tokens = ids, .n = 3, .out = beyond, .n_out = 1}, ST_EINVAL},
        {{.s = s,
          .tokens = ids,
          .n = 3,
          .out = falling,
          .n_out = 1,
          .ids = outside,
          .n_ids = 2,
          .ret_logits = logits},
         ST_EINVAL},
        {{.s = s,
          .tokens = ids,
          .n = 3,
          .out = falling,
          .n_out = 1,
          .ids = ids,
          .n_ids = 2,
          .ids_end = end,
          .ret_logits = logits},
         ST_EINVAL},
        {{.s = other, .tokens = ids, .n = 1}, ST_EINVAL}, /* twice in one step */
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        st_err err = {0};
        step_item items[] = {{.s = other, .tokens = ids, .n = 2}, cases[i].item};
        if (engine_step(f.plain, items, 2, &err) != cases[i].rc)
            fail_msg("case %zu: %d %s", i, err.code, err.message);
        assert_non_null(strstr(err.message, "item 1"));
        assert_int_equal(seq_len(s) + seq_len(other), 0);
        assert_int_equal(engine_free_pages(f.plain), pages);
    }
    step(f.plain, &(step_item){.s = s, .tokens = ids, .n = 3}, 1);
    step(f.plain, NULL, 0);
    engine_free(e);
    fixture_done(&f);
}

static double lse_of(const float *x, uint32_t n)
{
    double max = -DBL_MAX, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        max = (double)x[i] > max ? (double)x[i] : max;
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)x[i] - max);
    return max + log(sum);
}

/* Chosen ids, packed ids and normalisers, rows of many sequences: all parts of the same
 * full logits. */
static void outputs_are_parts_of_the_whole(void **state)
{
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i++) {
        fixture f;
        fixture_init(&f, models[i]);
        uint32_t n_vocab = f.info->n_vocab, out[40], ends[40];
        engine *e = engine_make(f.m, 2, 30);
        int32_t ids[40], wanted[50], best[40];
        float lse[2][40], picked[40 * 50], packed[50], hidden[40 * 512], solo[50];
        text_draw(&f, ids, 40);
        text_draw(&f, wanted, 50);
        for (uint32_t k = 0; k < 40; k++) {
            out[k] = k;
            ends[k] = k * 50 / 39;
        }
        float *want = reference(&f, ids, 40);
        assert_true(f.info->n_embd <= 512);
        seq *s[4] = {seq_make(e), seq_make(e), seq_make(e), seq_make(e)};
        step_item items[] = {
            {.s = s[0],
             .tokens = ids,
             .n = 40,
             .out = out,
             .n_out = 40,
             .ids = wanted,
             .n_ids = 50,
             .ret_logits = picked,
             .ret_lse = lse[0]},
            {.s = s[1], .tokens = ids, .n = 40},
            {.s = s[2],
             .tokens = ids,
             .n = 40,
             .out = out,
             .n_out = 40,
             .ids = wanted,
             .n_ids = 50,
             .ids_end = ends,
             .ret_logits = packed,
             .ret_hidden = hidden},
            {.s = s[3],
             .tokens = ids,
             .n = 40,
             .out = out,
             .n_out = 40,
             .ret_best = best,
             .ret_lse = lse[1]},
        };
        step(e, items, 4);
        for (uint32_t r = 0; r < 40; r++) {
            const float *row = want + (size_t)r * n_vocab;
            double exact = lse_of(row, n_vocab);
            assert_true(fabs((double)lse[0][r] - exact) < 1e-6 * (fabs(exact) + 1));
            assert_memory_equal(&lse[0][r], &lse[1][r], sizeof(float));
            assert_int_equal(best[r], sampler_best(row, n_vocab));
            for (uint32_t k = 0; k < 50; k++)
                assert_memory_equal(&picked[r * 50 + k], &row[wanted[k]], sizeof(float));
            for (uint32_t k = r ? ends[r - 1] : 0; k < ends[r]; k++)
                assert_memory_equal(&packed[k], &row[wanted[k]], sizeof(float));
        }
        const uint32_t last = 39;
        seq_truncate(s[1], 0);
        step_item alone = {.s = s[1],
                           .tokens = ids,
                           .n = 40,
                           .out = &last,
                           .n_out = 1,
                           .ids = wanted,
                           .n_ids = 50,
                           .ret_logits = solo};
        step(e, &alone, 1);
        assert_memory_equal(solo, picked + 39 * 50, sizeof solo);
        st_free(want);
        engine_free(e);
        fixture_done(&f);
    }
}

/* Pooled states: the embedding row itself at layer 0, what is under the final norm at the
 * last, and the same bytes in any batch. */
static void states_once(fixture *f, uint32_t batch)
{
    enum { TEXTS = 7 };
    uint32_t n_embd = f->info->n_embd, layers = f->info->n_layers + 1;
    engine *e = engine_make(f->m, 2, batch);
    int32_t ids[TEXTS][TEXT];
    const int32_t *texts[TEXTS];
    uint32_t n_tokens[TEXTS];
    step_states want[TEXTS], plain;
    size_t size = (size_t)layers * n_embd;
    float *mean = st_alloc_n(TEXTS * size, sizeof *mean), *alone = st_alloc_n(size, 4);
    float *last = st_alloc_n(TEXTS * size, sizeof *last), *end = st_alloc_n(size, 4);
    for (uint32_t i = 0; i < TEXTS; i++) {
        n_tokens[i] = i == 3 ? TEXT : 2 + st_rng_below(&f->rng, 40);
        text_draw(f, ids[i], n_tokens[i]);
        texts[i] = ids[i];
        want[i] = (step_states){0,
                                layers - 1,
                                i % 2,
                                i % 3 ? n_tokens[i] : 0,
                                mean + i * size,
                                last + i * size,
                                NULL,
                                NULL};
    }
    uint32_t pages = engine_free_pages(e);
    assert_int_equal(engine_states(e, texts, n_tokens, want, TEXTS, NULL), 0);
    assert_int_equal(engine_free_pages(e), pages);
    for (uint32_t i = 0; i < TEXTS; i++) {
        plain = want[i];
        plain.ret_mean = alone;
        plain.ret_last = end;
        assert_int_equal(
            engine_states(f->plain, &texts[i], &n_tokens[i], &plain, 1, NULL), 0);
        assert_memory_equal(alone, mean + i * size, size * sizeof *mean);
        assert_memory_equal(end, last + i * size, size * sizeof *last);
        /* Some layers of the same text, the model not run beyond the second. */
        plain.first_layer = 1;
        plain.last_layer = 2;
        assert_int_equal(engine_states(e, &texts[i], &n_tokens[i], &plain, 1, NULL), 0);
        assert_memory_equal(alone, mean + i * size + n_embd, 2 * n_embd * sizeof *mean);
        assert_memory_equal(end, last + i * size + n_embd, 2 * n_embd * sizeof *last);
    }
    st_free(mean);
    st_free(last);
    st_free(alone);
    st_free(end);
    engine_free(e);
}

static void states_do_not_depend_on_the_batch(void **state)
{
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i++) {
        fixture f;
        fixture_init(&f, models[i]);
        states_once(&f, 0);
        states_once(&f, 50); /* the longest text in chunks */
        fixture_done(&f);
    }
}

/* Texts that go on from a sequence: the bytes are those of the whole, at every length of
 * it, whatever else is in the batch, and the sequence is as it was. */
static void prefix_once(fixture *f, uint32_t batch)
{
    enum { LENGTHS = 5 };
    static const uint32_t lengths[LENGTHS] = {1, 63, 64, 65, 90};
    const uint32_t n_embd = f->info->n_embd, last = f->info->n_layers;
    const size_t size = (size_t)(last + 1) * n_embd;
    engine *e = engine_make(f->m, 2, batch);
    int32_t ids[LENGTHS][TEXT + 30];
    const int32_t *texts[LENGTHS + 1];
    uint32_t n_tokens[LENGTHS + 1], next;
    float *got = st_alloc_n((LENGTHS + 1) * 2 * size, sizeof *got);
    float *whole = st_alloc_n(2 * size, sizeof *whole), before, after;
    step_states want[LENGTHS + 1];
    seq *prefix[LENGTHS];
    for (uint32_t i = 0; i <= LENGTHS; i++) {
        float *to = got + i * 2 * size;
        if (i == LENGTHS) { /* one without a prefix among them */
            texts[i] = ids[0];
            n_tokens[i] = 20;
            want[i] = (step_states){0, last, 1, 0, to, to + size, NULL, NULL};
            continue;
        }
        uint32_t n = lengths[i];
        text_draw(f, ids[i], n + 30);
        prefix[i] = seq_make(e);
        step(e, &(step_item){.s = prefix[i], .tokens = ids[i], .n = n}, 1);
        texts[i] = ids[i] + n;
        n_tokens[i] = 10 + 4 * i;
        want[i] =
            (step_states){0, last, 2, n_tokens[i] - 1, to, to + size, prefix[i], NULL};
    }
    uint32_t pages = engine_free_pages(e);
    assert_int_equal(engine_states(e, texts, n_tokens, want, LENGTHS + 1, NULL), 0);
    assert_int_equal(engine_free_pages(e), pages);
    for (uint32_t i = 0; i < LENGTHS; i++) {
        const uint32_t n = lengths[i] + n_tokens[i];
        const int32_t *text = ids[i];
        step_states all = {0,     last,         lengths[i] + 2, n - 1,
                           whole, whole + size, NULL,           NULL};
        assert_int_equal(engine_states(f->plain, &text, &n, &all, 1, NULL), 0);
        assert_memory_equal(whole, got + i * 2 * size, 2 * size * sizeof *got);
        /* What the sequence says next is what it would have said without the texts. */
        seq *s = seq_make(f->plain);
        const step_item feed = {.s = s, .tokens = ids[i], .n = lengths[i]};
        step(f->plain, &feed, 1);
        next = 0;
        const int32_t id = ids[i][lengths[i]];
        const step_item ask[] = {
            {.s = prefix[i],
             .tokens = &id,
             .n = 1,
             .out = &next,
             .n_out = 1,
             .ret_lse = &after},
            {.s = s, .tokens = &id, .n = 1, .out = &next, .n_out = 1, .ret_lse = &before},
        };
        step(e, &ask[0], 1);
        step(f->plain, &ask[1], 1);
        assert_memory_equal(&before, &after, sizeof before);
        seq_free(s);
    }
    st_free(got);
    st_free(whole);
    engine_free(e);
}

static void states_go_on_from_a_prefix(void **state)
{
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i++) {
        fixture f;
        fixture_init(&f, models[i]);
        prefix_once(&f, 0);
        prefix_once(&f, 16); /* the texts in chunks */
        fixture_done(&f);
    }
}

/* Against the weights of the file: rows of the embedding, and the final norm by hand. */
static void states_are_what_they_say(void **state)
{
    fixture f;
    gguf *g;
    const int32_t ids[] = {9, 4, 7, 300, 2};
    const int32_t *text = ids;
    const uint32_t n = 5, last = 4;
    float mean[64], end[64], hidden[64];
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, models[0]);
    assert_int_equal(f.info->n_embd, 64);
    assert_int_equal(gguf_open(models[0], &g, NULL), 0);
    const float *rows = gguf_find_tensor(g, "token_embd.weight")->data;
    const float *norm = gguf_find_tensor(g, "output_norm.weight")->data;
    step_states want = {0, 0, 1, 4, mean, end, NULL, NULL};
    assert_int_equal(engine_states(f.plain, &text, &n, &want, 1, NULL), 0);
    for (int i = 0; i < 64; i++) {
        double sum = (double)rows[4 * 64 + i] + (double)rows[7 * 64 + i] +
                     (double)rows[300 * 64 + i];
        assert_true(fabs((double)mean[i] - sum / 3) < 1e-6);
        assert_memory_equal(&end[i], &rows[300 * 64 + i], sizeof(float));
    }
    want = (step_states){f.info->n_layers, f.info->n_layers, 0, 0, NULL, end, NULL, NULL};
    assert_int_equal(engine_states(f.plain, &text, &n, &want, 1, NULL), 0);
    seq *s = seq_make(f.plain);
    step(f.plain,
         &(step_item){.s = s,
                      .tokens = ids,
                      .n = n,
                      .out = &last,
                      .n_out = 1,
                      .ret_hidden = hidden},
         1);
    double sum = 0;
    for (int i = 0; i < 64; i++)
        sum += (double)end[i] * (double)end[i];
    for (int i = 0; i < 64; i++) {
        double x = (double)end[i] / sqrt(sum / 64 + 1e-5) * (double)norm[i];
        assert_true(fabs(x - (double)hidden[i]) < 1e-4);
    }
    gguf_close(g);
    fixture_done(&f);
}

static void states_refuse(void **state)
{
    fixture f;
    const int32_t ids[] = {1, 2, 3};
    const int32_t *text = ids;
    uint32_t n = 3;
    float vector[64];
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, models[0]);
    const struct {
        step_states want;
        uint32_t n;
        int rc;
    } cases[] = {
        {{.last_layer = 99}, 3, ST_EINVAL},
        {{.first_layer = 2, .last_layer = 1}, 3, ST_EINVAL},
        {{.from = 3}, 3, ST_EINVAL},
        {{.to = 4}, 3, ST_EINVAL},
        {{.to = 0}, 0, ST_EINVAL},
        {{.to = 0}, 1 << 20, ST_ELIMIT},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        n = cases[i].n;
        assert_int_equal(engine_states(f.plain, &text, &n, &cases[i].want, 1, NULL),
                         cases[i].rc);
    }
    st_err err = {0};
    n = 3;
    engine *other = engine_make(f.m, 1, 0);
    step_states strange = {.prefix = seq_make(other)};
    assert_int_equal(engine_states(f.plain, &text, &n, &strange, 1, NULL), ST_EINVAL);
    engine_free(other);
    int32_t much[TEXT];
    step_states full = {.prefix = seq_make(f.plain)};
    const uint32_t room = engine_n_ctx(f.plain);
    for (uint32_t at = 0; at < room; at += TEXT) {
        uint32_t part = room - at < TEXT ? room - at : TEXT;
        text_draw(&f, much, part);
        step(f.plain,
             &(step_item){.s = (seq *)(uintptr_t)full.prefix, .tokens = much, .n = part},
             1);
    }
    assert_int_equal(engine_states(f.plain, &text, &n, &full, 1, NULL), ST_ELIMIT);
    n = 1 << 20;
    assert_int_equal(engine_embed(f.plain, &text, &n, 1, vector, &err), ST_ELIMIT);
    assert_true(err.message[0]);
    fixture_done(&f);
}

/* A decoder names no pooling: the mean of its states after the final norm, of length 1.
 */
static void a_decoder_embeds_by_the_mean(void **state)
{
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i++) {
        enum { N = 7 };
        fixture f;
        int32_t ids[N];
        const int32_t *text = ids;
        uint32_t n = N, out[N];
        st_err err = {0};
        fixture_init(&f, models[i]);
        uint32_t d = f.info->n_embd;
        float *hidden = st_alloc_n((size_t)N * d, sizeof *hidden);
        float *got = st_alloc_n(d, sizeof *got);
        text_draw(&f, ids, N);
        for (uint32_t t = 0; t < N; t++)
            out[t] = t;
        seq *s = seq_make(f.plain);
        step(f.plain,
             &(step_item){.s = s,
                          .tokens = ids,
                          .n = N,
                          .out = out,
                          .n_out = N,
                          .ret_hidden = hidden},
             1);
        seq_free(s);
        assert_int_equal(engine_embed(f.plain, &text, &n, 1, got, &err), 0);
        double length = 0;
        for (uint32_t k = 0; k < d; k++) {
            double mean = 0;
            for (uint32_t t = 0; t < N; t++)
                mean += (double)hidden[(size_t)t * d + k];
            hidden[k] = (float)(mean / N);
            length += (double)hidden[k] * (double)hidden[k];
        }
        for (uint32_t k = 0; k < d; k++)
            assert_true(fabs((double)hidden[k] / sqrt(length) - (double)got[k]) < 1e-6);
        st_free(hidden);
        st_free(got);
        fixture_done(&f);
    }
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i++) {
        fixture f;
        int32_t ids[TEXT];
        const int32_t parents[] = {-1, 0, 0, 2, -1};
        const uint32_t out[] = {0, 3, 4};
        float lse[3], logits[3];
        fixture_init(&f, models[i]);
        engine *e = engine_make(f.m, 2, 32);
        text_draw(&f, ids, TEXT);
        seq *s = seq_make(e), *fork = NULL;
        step_item chain = {
            .s = s, .tokens = ids, .n = TEXT, .out = out, .n_out = 3, .ret_lse = lse};
        step_item tree = {.s = s,
                          .tokens = ids,
                          .n = 5,
                          .parents = parents,
                          .out = out,
                          .n_out = 3,
                          .ids = ids,
                          .n_ids = 1,
                          .ret_logits = logits};
        fault_arm(0);
        int rc = engine_step(e, &chain, 1, NULL) | seq_fork(s, 70, &fork, NULL) |
                 engine_step(e, &tree, 1, NULL);
        tree.s = fork;
        rc |= engine_step(e, &tree, 1, NULL);
        long n = fault_disarm();
        assert_int_equal(rc, 0);
        assert_int_equal(n, 0);
        engine_free(e);
        fixture_done(&f);
    }
}

static int work_all(void *arg)
{
    const model *m = arg;
    const int32_t ids[] = {1, 2, 3}, *texts[] = {ids};
    const uint32_t n[] = {3};
    float mean[64];
    double logp[1];
    engine_opts opts = {.n_threads = 2, .n_ctx = 64, .max_batch = 16, .max_seqs = 2};
    step_states want = {1, 1, 0, 0, mean, NULL, NULL, NULL};
    engine *e = NULL;
    options *o = NULL;
    seq *s;
    int rc = engine_new(m, &opts, &e, NULL);
    if (rc == 0)
        rc = options_new(texts, n, 1, 0, &o, NULL);
    if (rc == 0)
        rc = seq_new(e, &s, NULL);
    if (rc == 0)
        rc = options_score(o, s, ids, 3, logp, NULL);
    if (rc == 0)
        rc = engine_states(e, texts, n, &want, 1, NULL);
    options_free(o);
    engine_free(e);
    return rc;
}

static void memory_runs_out(void **state)
{
    model *m;
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    model_open(models[0], &m);
    assert_true(fault_sweep(work_all, m, 1) > 20);
    model_free(m);
}

typedef struct racer {
    fixture *f;
    engine *e;
    const int32_t *ids;
    const float *want;
    int differs;
} racer;

static void *race(void *arg)
{
    racer *r = arg;
    float *got = st_alloc_n(r->f->info->n_vocab, sizeof *got);
    const uint32_t last = TEXT - 1;
    for (int round = 0; round < 10; round++) {
        seq *s;
        if (seq_new(r->e, &s, NULL) < 0)
            continue;
        step_item item = {.s = s,
                          .tokens = r->ids,
                          .n = TEXT,
                          .out = &last,
                          .n_out = 1,
                          .ret_logits = got};
        if (engine_step(r->e, &item, 1, NULL) < 0 ||
            memcmp(got, r->want + (size_t)last * r->f->info->n_vocab,
                   r->f->info->n_vocab * sizeof *got) != 0)
            r->differs++;
        seq_free(s);
    }
    st_free(got);
    return NULL;
}

static void engines_share_a_model(void **state)
{
    fixture f;
    int32_t ids[TEXT];
    pthread_t threads[2];
    racer racers[2];
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, quantised);
    text_draw(&f, ids, TEXT);
    float *want = reference(&f, ids, TEXT);
    for (int i = 0; i < 2; i++) {
        racers[i] = (racer){&f, engine_make(f.m, 2, 24), ids, want, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(racers[i].differs, 0);
        engine_free(racers[i].e);
    }
    st_free(want);
    fixture_done(&f);
}

static void bad_sizes_are_refused(void **state)
{
    model *m;
    engine *e = NULL;
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    model_open(models[0], &m);
    const engine_opts cases[] = {
        {.n_ctx = 1 << 20},        {.kv_bytes = 1},          {.kv_type = ST_Q4_0},
        {.max_batch = UINT32_MAX}, {.max_seqs = UINT32_MAX},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        st_err err = {0};
        assert_int_equal(engine_new(m, &cases[i], &e, &err), ST_EINVAL);
        assert_true(err.message[0]);
        assert_null(e);
    }
    engine_opts two = {.max_seqs = 2, .n_threads = 1};
    st_err err = {0};
    seq *s;
    assert_int_equal(engine_new(m, &two, &e, NULL), 0);
    seq_make(e);
    s = seq_make(e);
    assert_int_equal(seq_new(e, &s, &err), ST_EBUSY);
    seq_free(s);
    assert_int_equal(seq_new(e, &s, NULL), 0);
    engine_free(e);
    model_free(m);
}

static void pages_are_counted(void **state)
{
    kvpool *pool;
    kv_page p[4];
    (void)state;
    assert_int_equal(kvpool_new(64, 0, &pool, NULL), ST_EINVAL);
    assert_int_equal(kvpool_new(64, 4, &pool, NULL), 0);
    assert_int_equal(kvpool_take(pool, 3, p), 0);
    assert_int_equal(kvpool_take(pool, 2, p + 2), ST_EBUSY);
    assert_int_equal(kvpool_n_free(pool), 1);
    kvpool_ref(pool, p[0]);
    assert_int_equal(kvpool_holders(pool, p[0]), 2);
    memset(kvpool_base(pool) + 64 * p[0], 0x5A, 64);
    kvpool_copy(pool, p[1], p[0]);
    assert_memory_equal(kvpool_base(pool) + 64 * p[1], kvpool_base(pool) + 64 * p[0], 64);
    kvpool_unref(pool, p[0]);
    kvpool_unref(pool, p[0]);
    kvpool_unref(pool, p[1]);
    kvpool_unref(pool, p[2]);
    assert_int_equal(kvpool_n_free(pool), 4);
    kvpool_free(pool);
}

/* Memory that was given back reads as zeros. */
static void an_empty_pool_gives_memory_back(void **state)
{
    enum { PAGE = 1 << 20, N = 80 };
    kvpool *pool;
    kv_page pages[N];
    (void)state;
    assert_int_equal(kvpool_new(PAGE, N, &pool, NULL), 0);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(kvpool_take(pool, N, pages), 0);
        for (uint32_t i = 0; i < N; i++) {
            assert_int_equal(pages[i], i); /* the lowest first, again after a burst */
            memset(kvpool_base(pool) + (size_t)i * PAGE, 0x5A, PAGE);
        }
        for (uint32_t i = 0; i < N; i++)
            if (i * 7 % N != N - 1)
                kvpool_unref(pool, i * 7 % N);
        const unsigned char *last = kvpool_base(pool) + (size_t)(N - 1) * PAGE;
        assert_int_equal(last[PAGE / 2], 0x5A); /* one page is still held */
        kvpool_unref(pool, N - 1);
        assert_int_equal(kvpool_n_free(pool), N);
        assert_int_equal(last[PAGE / 2], 0);
        assert_int_equal(*kvpool_base(pool), 0x5A);
    }
    assert_int_equal(kvpool_take(pool, 2, pages), 0);
    kvpool_unref(pool, pages[0]);
    kvpool_unref(pool, pages[1]);
    assert_int_equal(*kvpool_base(pool), 0x5A); /* few pages are kept */
    kvpool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_counted),
        cmocka_unit_test(an_empty_pool_gives_memory_back),
        cmocka_unit_test(feeding_changes_nothing),
        cmocka_unit_test(narrow_ones_change_nothing),
        cmocka_unit_test(forks_and_cuts_are_exact),
        cmocka_unit_test(trees_leave_no_trace),
        cmocka_unit_test(trees_go_on),
        cmocka_unit_test(a_tree_outlives_a_busy_step),
        cmocka_unit_test(bad_trees_are_refused),
        cmocka_unit_test(pages_run_out),
        cmocka_unit_test(bad_items_change_nothing),
        cmocka_unit_test(outputs_are_parts_of_the_whole),
        cmocka_unit_test(states_do_not_depend_on_the_batch),
        cmocka_unit_test(states_go_on_from_a_prefix),
        cmocka_unit_test(states_are_what_they_say),
        cmocka_unit_test(states_refuse),
        cmocka_unit_test(a_decoder_embeds_by_the_mean),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(engines_share_a_model),
        cmocka_unit_test(bad_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
