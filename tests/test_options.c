/* tests/test_options.c - options get the same numbers in any company, and true ones.
 *
 * What an option should get is found from the full logits of its own text, one text at a
 * time on an engine of one thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "engine/options.h"
#include "tests/fault.h"
#include "tests/here.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

#define GOLDENS "../shared/goldens/"

enum { MOST = 24, LONGEST = 6, BEFORE = 70, PROMPT = 40 }; /* options; tokens */

static const char *const models[] = {
    GOLDENS "logits/llama-gqa/model-f32.gguf", GOLDENS "quant/models/llama-256-q4_0.gguf",
    GOLDENS "logits/gemma2/model-f32.gguf",    GOLDENS "logits/lfm2/model-f32.gguf",
    GOLDENS "logits/qwen2moe/model-f32.gguf",
};

typedef struct fixture {
    model *m;
    const model_info *info;
    engine *plain;
    st_rng rng;
    int32_t before[BEFORE]; /* what every request's sequence begins with */
} fixture;

static uint32_t below(fixture *f, uint32_t n)
{
    return st_rng_below(&f->rng, n);
}

static void draw(fixture *f, int32_t *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        ids[i] = (int32_t)below(f, f->info->n_vocab);
}

static engine *engine_make(const model *m, const engine_opts *opts)
{
    engine *e;
    st_err err = {0};
    if (engine_new(m, opts, &e, &err) < 0)
        fail_msg("%s", err.message);
    return e;
}

static void fixture_init(fixture *f, const char *path)
{
    st_err err = {0};
    gguf *g;
    if (gguf_open(path, &g, &err) < 0 || model_load(g, NULL, &f->m, &err) < 0)
        fail_msg("%s: %s", path, err.message);
    gguf_close(g);
    f->info = model_about(f->m);
    f->plain = engine_make(f->m, &(engine_opts){.n_threads = 1});
    f->rng.state = 17;
    draw(f, f->before, BEFORE);
}

static void fixture_done(fixture *f)
{
    engine_free(f->plain);
    model_free(f->m);
}

/* A sequence of `before`, run once. */
static seq *base_make(const fixture *f, engine *e)
{
    seq *s;
    st_err err = {0};
    step_item item = {.tokens = f->before, .n = BEFORE};
    assert_int_equal(seq_new(e, &s, &err), 0);
    item.s = s;
    assert_int_equal(engine_step(e, &item, 1, &err), 0);
    return s;
}

static seq *fork_make(seq *base)
{
    seq *s;
    assert_int_equal(seq_fork(base, BEFORE, &s, NULL), 0);
    return s;
}

/* ---- labels ---- */

typedef struct labels {
    int32_t ids[MOST][LONGEST + 1]; /* with the end token */
    uint32_t n_ids[MOST];
    uint32_t n;
    int32_t end;
    options *o;
} labels;

static bool begins(const labels *l, uint32_t a, uint32_t b)
{
    return l->n_ids[a] <= l->n_ids[b] &&
           memcmp(l->ids[a], l->ids[b], l->n_ids[a] * sizeof(int32_t)) == 0;
}

/* Of few different tokens, so that they share beginnings; with an end token, or such that
 * none begins another, or (nested) as it comes. */
static void labels_draw(fixture *f, labels *l, bool nested)
{
    const int32_t *ids[MOST];
    uint32_t n_ids[MOST], want = 1 + below(f, MOST), few = 2 + below(f, 4);
    st_err err = {0};
    *l = (labels){.end = below(f, 2) ? 3 : -1};
    for (uint32_t tries = 0; tries < 1000 && l->n < want; tries++) {
        uint32_t n = l->n_ids[l->n] = 1 + below(f, LONGEST);
        bool clash = false;
        for (uint32_t i = 0; i < n; i++)
            l->ids[l->n][i] = 10 + 7 * (int32_t)below(f, few);
        for (uint32_t k = 0; k < l->n && !clash; k++)
            clash = nested || l->end >= 0 ? begins(l, k, l->n) && begins(l, l->n, k)
                                          : begins(l, k, l->n) || begins(l, l->n, k);
        l->n += !clash;
    }
    for (uint32_t i = 0; i < l->n; i++) {
        ids[i] = l->ids[i];
        n_ids[i] = l->n_ids[i];
    }
    assert_int_equal(options_new(ids, n_ids, l->n, l->end, &l->o, &err), 0);
    for (uint32_t i = 0; i < l->n && l->end >= 0; i++)
        l->ids[i][l->n_ids[i]++] = l->end;
}

/* ln of the sum over the whole vocabulary, or over the tokens that an option which begins
 * like the first `depth` tokens of `option` goes on with. */
static double log_sum(const fixture *f, const labels *l, const float *row,
                      uint32_t option, uint32_t depth, bool held)
{
    double max = -HUGE_VAL, sum = 0;
    bool counts[1024] = {0};
    assert_true(f->info->n_vocab <= 1024);
    for (uint32_t k = 0; k < l->n; k++)
        if (held && l->n_ids[k] > depth &&
            memcmp(l->ids[k], l->ids[option], depth * sizeof(int32_t)) == 0)
            counts[l->ids[k][depth]] = true;
    for (uint32_t i = 0; i < f->info->n_vocab; i++)
        if ((!held || counts[i]) && (double)row[i] > max)
            max = (double)row[i];
    for (uint32_t i = 0; i < f->info->n_vocab; i++)
        if (!held || counts[i])
            sum += exp((double)row[i] - max);
    return max + log(sum);
}

/* ln p of each option after `before` and a prompt, the plain way. */
static void labels_exact(fixture *f, const labels *l, const int32_t *prompt, uint32_t n,
                         bool held, double *ret)
{
    enum { ALL = BEFORE + PROMPT + LONGEST + 1 };
    uint32_t out[LONGEST + 1], n_vocab = f->info->n_vocab;
    float *logits = st_alloc_n((size_t)(LONGEST + 1) * n_vocab, sizeof *logits);
    int32_t all[ALL];
    memcpy(all, f->before, sizeof f->before);
    memcpy(all + BEFORE, prompt, n * sizeof *all);
    for (uint32_t k = 0; k < l->n; k++) {
        step_item item = {.tokens = all, .n = BEFORE + n + l->n_ids[k], .out = out};
        memcpy(all + BEFORE + n, l->ids[k], l->n_ids[k] * sizeof *all);
        for (; item.n_out < l->n_ids[k]; item.n_out++)
            out[item.n_out] = BEFORE + n - 1 + item.n_out;
        item.ret_logits = logits;
        assert_int_equal(seq_new(f->plain, &item.s, NULL), 0);
        assert_int_equal(engine_step(f->plain, &item, 1, NULL), 0);
        seq_free(item.s);
        ret[k] = 0;
        for (uint32_t i = 0; i < l->n_ids[k]; i++) {
            const float *row = logits + (size_t)i * n_vocab;
            ret[k] += (double)row[l->ids[k][i]] - log_sum(f, l, row, k, i, held);
        }
    }
    st_free(logits);
}

/* ---- one request ---- */

typedef struct asked { /* a request, and what it gave when it was alone */
    labels l;
    int32_t prompt[PROMPT];
    options_request q;
    double logp[MOST];
    double unseen;
    uint32_t cost;
    double want[MOST]; /* what it gives later */
    double want_unseen;
} asked;

static void asked_draw(fixture *f, asked *a)
{
    static const double shares[] = {0, 0, 1e-3, 0.03, 0.2, 0.5};
    bool nested = below(f, 4) == 0;
    labels_draw(f, &a->l, nested);
    a->q = (options_request){.options = a->l.o,
                             .tokens = a->prompt,
                             .n = 1 + below(f, PROMPT),
                             .held = (!nested || a->l.end >= 0) && below(f, 2),
                             .unseen = shares[below(f, 6)],
                             .ret_logp = a->logp,
                             .ret_unseen = &a->unseen};
    draw(f, a->prompt, a->q.n);
}

/* Run a request, at most `most` tokens at a time (0: as it comes). */
static void run_alone(fixture *f, engine *e, options_run *r, const options_request *q,
                      uint32_t most, uint32_t *ret_cost)
{
    st_err err = {0};
    step_item item;
    if (options_run_start(r, q, &err) < 0)
        fail_msg("%s", err.message);
    assert_false(options_run_is_done(r));
    while (options_run_next(r, most ? most : 1 + below(f, 30), &item)) {
        assert_true(item.n > 0 && (!most || item.n <= most));
        if (below(f, 5) == 0) /* not taken: it is asked again */
            continue;
        if (engine_step(e, &item, 1, &err) < 0)
            fail_msg("%s", err.message);
        options_run_take(r);
    }
    assert_true(options_run_is_done(r));
    assert_int_equal(seq_tree_len(q->s), 0);
    *ret_cost = options_run_cost(r);
}

static double total(const double *logp, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += exp(logp[i]);
    return sum;
}

/* Exactly, and within the share that may stay unseen. */
static void numbers_are_true(fixture *f, asked *a)
{
    double exact[MOST], error = 0, more = 0, less = 0;
    labels_exact(f, &a->l, a->prompt, a->q.n, a->q.held, exact);
    if (a->q.unseen == 0)
        for (uint32_t k = 0; k < a->l.n; k++)
            if (!(fabs(a->logp[k] - exact[k]) < 1e-5 * (1 + fabs(exact[k]))))
                fail_msg("option %u: %.9f, want %.9f", k, a->logp[k], exact[k]);
    double got_all = total(a->logp, a->l.n), want_all = total(exact, a->l.n);
    if (a->q.held)
        assert_true(fabs(want_all - 1) < 1e-5 && fabs(got_all - 1) < 1e-5);
    for (uint32_t k = 0; k < a->l.n; k++) {
        double d = exp(a->logp[k]) / got_all - exp(exact[k]) / want_all;
        error = fabs(d) > error ? fabs(d) : error;
        more += d > 0 ? d : 0;
        less -= d < 0 ? d : 0;
    }
    if (!(more <= a->q.unseen + 1e-5 && less <= a->q.unseen + 1e-5))
        fail_msg("off by %g and %g, allowed %g", more, less, a->q.unseen);
    assert_true(a->unseen >= 0 && a->unseen <= a->q.unseen);
}

static void options_are_what_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i++) {
        fixture f;
        options_run *r;
        uint32_t saved = 0, exact_cost;
        fixture_init(&f, models[i]);
        engine *e = engine_make(f.m, &(engine_opts){.n_threads = 2, .max_batch = 64});
        seq *base = base_make(&f, e);
        uint32_t pages = engine_free_pages(e);
        assert_int_equal(options_run_new(e, MOST * (LONGEST + 1), &r, NULL), 0);
        for (int round = 0; round < 40; round++) {
            asked a;
            asked_draw(&f, &a);
            a.q.s = fork_make(base);
            run_alone(&f, e, r, &a.q, 64, &a.cost);
            assert_int_equal(seq_len(a.q.s), BEFORE + a.q.n);
            numbers_are_true(&f, &a);
            seq_truncate(a.q.s, BEFORE);
            a.q.unseen = 0;
            run_alone(&f, e, r, &a.q, 64, &exact_cost);
            assert_int_equal(exact_cost, a.q.n + options_n_run(a.l.o, a.q.held));
            assert_true(a.cost <= exact_cost);
            saved += exact_cost - a.cost;
            seq_free(a.q.s);
            options_free(a.l.o);
        }
        assert_true(saved > 0); /* nodes were left out */
        assert_int_equal(engine_free_pages(e), pages);
        options_run_free(r);
        engine_free(e);
        fixture_done(&f);
    }
}

/* ---- many ---- */

enum { MANY = 12 };

/* Requests on forks of one sequence, in an engine of some size: one by one in parts of
 * random sizes, then all together. */
static void many_once(fixture *f, const engine_opts *opts, asked *all)
{
    options_request q[MANY];
    options_run *r;
    st_err err = {0};
    engine *e = engine_make(f->m, opts);
    seq *base = base_make(f, e);
    uint32_t pages = engine_free_pages(e), cost;
    assert_int_equal(options_run_new(e, MOST * (LONGEST + 1), &r, NULL), 0);
    for (uint32_t i = 0; i < MANY; i++) {
        memset(all[i].logp, 0, sizeof all[i].logp);
        all[i].q.s = fork_make(base);
        run_alone(f, e, r, &all[i].q, 0, &cost);
        assert_memory_equal(all[i].logp, all[i].want, all[i].l.n * sizeof(double));
        seq_truncate(all[i].q.s, BEFORE);
    }
    options_run_free(r);
    for (uint32_t i = 0; i < MANY; i++) {
        memset(all[i].logp, 0, sizeof all[i].logp);
        q[i] = all[i].q;
    }
    if (options_score_many(q, MANY, &err) < 0)
        fail_msg("%s", err.message);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_memory_equal(all[i].logp, all[i].want, all[i].l.n * sizeof(double));
        assert_memory_equal(&all[i].unseen, &all[i].want_unseen, sizeof(double));
        assert_int_equal(seq_len(q[i].s), BEFORE + q[i].n);
        assert_int_equal(seq_tree_len(q[i].s), 0);
        seq_free(q[i].s);
    }
    assert_int_equal(engine_free_pages(e), pages);
    engine_free(e);
}

static void company_changes_nothing(void **state)
{
    static asked all[MANY];
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i++) {
        fixture f;
        options_run *r;
        fixture_init(&f, models[i]);
        size_t page = model_kv_page_bytes(f.m, ST_F32);
        const engine_opts engines[] = {
            {.n_threads = 2},
            {.n_threads = 1, .max_batch = LONGEST}, /* trees are begun anew */
            {.n_threads = 3, .max_batch = 33, .kv_bytes = (2 + 2 * MANY) * page},
        };
        seq *base = base_make(&f, f.plain);
        assert_int_equal(options_run_new(f.plain, MOST * (LONGEST + 1), &r, NULL), 0);
        for (uint32_t k = 0; k < MANY; k++) {
            asked_draw(&f, &all[k]);
            all[k].q.s = fork_make(base);
            run_alone(&f, f.plain, r, &all[k].q, 512, &all[k].cost);
            memcpy(all[k].want, all[k].logp, sizeof all[k].want);
            all[k].want_unseen = all[k].unseen;
            seq_free(all[k].q.s);
        }
        options_run_free(r);
        for (size_t k = 0; k < ST_COUNT(engines); k++)
            many_once(&f, &engines[k], all);
        for (uint32_t k = 0; k < MANY; k++)
            options_free(all[k].l.o);
        fixture_done(&f);
    }
}

/* A step that finds no pages is no loss: the run goes on when there are some. */
static void a_busy_step_is_no_loss(void **state)
{
    static asked a;
    fixture f;
    options_run *r;
    step_item item;
    st_err err = {0};
    uint32_t cost, busy = 0;
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, models[0]);
    size_t page = model_kv_page_bytes(f.m, ST_F32);
    engine *e = engine_make(
        f.m, &(engine_opts){.n_threads = 1, .max_batch = 8, .kv_bytes = 4 * page});
    assert_int_equal(options_run_new(e, MOST * (LONGEST + 1), &r, NULL), 0);
    seq *base = base_make(&f, e), *greedy;
    do {
        options_free(a.l.o);
        asked_draw(&f, &a);
    } while (a.l.n < MOST / 2 || a.q.n < PROMPT / 2);
    for (int held = 0; held <= (a.l.end >= 0); held++) {
        a.q.held = held;
        a.q.unseen = 1e-3;
        a.q.s = fork_make(base);
        run_alone(&f, e, r, &a.q, 8, &cost);
        memcpy(a.want, a.logp, sizeof a.want);
        seq_free(a.q.s);
        a.q.s = fork_make(base); /* which needs a page for its first step */
        assert_int_equal(options_run_start(r, &a.q, &err), 0);
        while (options_run_next(r, 8, &item)) {
            /* Somebody takes all other pages before every step. */
            assert_int_equal(seq_new(e, &greedy, NULL), 0);
            while (engine_step(e, &(step_item){.s = greedy, .tokens = a.prompt, .n = 1},
                               1, NULL) == 0)
                continue;
            int rc = engine_step(e, &item, 1, &err);
            busy += rc == ST_EBUSY;
            seq_free(greedy);
            if (rc == ST_EBUSY) {
                assert_true(options_run_next(r, 5, &item));
                rc = engine_step(e, &item, 1, &err);
            }
            assert_int_equal(rc, 0);
            options_run_take(r);
        }
        assert_memory_equal(a.logp, a.want, a.l.n * sizeof(double));
        seq_free(a.q.s);
    }
    assert_true(busy > 0);
    options_run_free(r);
    options_free(a.l.o);
    engine_free(e);
    fixture_done(&f);
}

/* ---- refusals ---- */

static void bad_labels_are_refused(void **state)
{
    const int32_t a[] = {1, 2}, b[] = {1, 2}, c[] = {1};
    const int32_t *same[] = {a, c, b}, *empty[] = {a, c};
    const uint32_t n_same[] = {2, 1, 2}, n_empty[] = {2, 0};
    options *o = NULL;
    st_err err = {0};
    (void)state;
    assert_int_equal(options_new(same, n_same, 3, -1, &o, &err), ST_EINVAL);
    assert_non_null(strstr(err.message, "options 0 and 2"));
    err.code = 0;
    assert_int_equal(options_new(empty, n_empty, 2, 4, &o, &err), ST_EINVAL);
    assert_non_null(strstr(err.message, "option 1"));
    err.code = 0;
    assert_int_equal(options_new(NULL, NULL, 0, -1, &o, &err), ST_EINVAL);
    assert_null(o);
}

static void bad_requests_are_refused(void **state)
{
    fixture f;
    const int32_t a[] = {1, 2, 3, 4, 5}, outside[] = {1 << 30};
    const int32_t *long_one[] = {a}, *nested[] = {a, a}, *strange[] = {outside};
    const uint32_t n_long[] = {5}, n_nested[] = {2, 1}, n_strange[] = {1};
    options *deep, *inner, *odd;
    double logp[2][2];
    seq *s, *other;
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, models[0]);
    engine *e = engine_make(f.m, &(engine_opts){.n_threads = 1, .n_ctx = 16});
    engine *narrow = engine_make(f.m, &(engine_opts){.n_threads = 1, .max_batch = 3});
    assert_int_equal(options_new(long_one, n_long, 1, -1, &deep, NULL), 0);
    assert_int_equal(options_new(nested, n_nested, 2, -1, &inner, NULL), 0);
    assert_int_equal(options_new(strange, n_strange, 1, -1, &odd, NULL), 0);
    assert_int_equal(seq_new(e, &s, NULL) | seq_new(e, &other, NULL), 0);
    step_item begun = {.s = s, .tokens = a, .n = 5};
    assert_int_equal(engine_step(e, &begun, 1, NULL), 0);
    const struct {
        options_request q;
        int rc;
    } cases[] = {
        {{.options = inner, .s = s, .tokens = a, .n = 0}, ST_EINVAL},
        {{.options = inner, .s = s, .tokens = a, .n = 1, .unseen = -0.1}, ST_EINVAL},
        {{.options = inner, .s = s, .tokens = a, .n = 1, .unseen = 0.6}, ST_EINVAL},
        {{.options = inner, .s = s, .tokens = a, .n = 1, .unseen = NAN}, ST_EINVAL},
        {{.options = inner, .s = s, .tokens = a, .n = 1, .held = true}, ST_EINVAL},
        {{.options = deep, .s = s, .tokens = f.before, .n = 8}, ST_ELIMIT},
        {{.options = odd, .s = s, .tokens = a, .n = 1}, ST_EINVAL},
        {{.options = inner, .s = s, .tokens = outside, .n = 1}, ST_EINVAL},
        {{.options = inner, .s = other, .tokens = a, .n = 1}, ST_EINVAL}, /* twice */
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        options_request q[] = {
            {.options = inner, .s = other, .tokens = a, .n = 2, .ret_logp = logp[0]},
            cases[i].q};
        st_err err = {0};
        q[1].ret_logp = logp[1];
        if (options_score_many(q, 2, &err) != cases[i].rc)
            fail_msg("case %zu: %d %s", i, err.code, err.message);
        assert_true(err.message[0]);
        assert_int_equal(seq_len(s), 5);
        assert_int_equal(seq_len(other), 0);
        assert_int_equal(seq_tree_len(s) + seq_tree_len(other), 0);
    }
    assert_int_equal(options_score_many(NULL, 0, NULL), 0);
    assert_int_equal(options_score(deep, s, f.before, 7, logp[0], NULL), 0);
    assert_int_equal(seq_new(narrow, &other, NULL), 0);
    assert_int_equal(options_score(deep, other, a, 1, logp[0], NULL), ST_ELIMIT);
    options_run *r;
    options_request q = {.options = deep, .s = other, .tokens = a, .n = 1};
    assert_int_equal(options_run_new(e, 4, &r, NULL), 0);
    q.s = s;
    assert_int_equal(options_run_start(r, &q, NULL), ST_ELIMIT);
    options_run_free(r);
    options_free(deep);
    options_free(inner);
    options_free(odd);
    engine_free(narrow);
    engine_free(e);
    fixture_done(&f);
}

/* ---- memory ---- */

static void a_run_allocates_nothing(void **state)
{
    static asked a;
    fixture f;
    options_run *r;
    uint32_t cost;
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, models[0]);
    assert_int_equal(options_run_new(f.plain, MOST * (LONGEST + 1), &r, NULL), 0);
    seq *base = base_make(&f, f.plain);
    for (int round = 0; round < 20; round++) {
        asked_draw(&f, &a);
        a.q.s = fork_make(base);
        fault_arm(0);
        run_alone(&f, f.plain, r, &a.q, 0, &cost);
        assert_int_equal(fault_disarm(), 0);
        seq_free(a.q.s);
        options_free(a.l.o);
    }
    options_run_free(r);
    fixture_done(&f);
}

static int score_work(void *arg)
{
    fixture *f = arg;
    const int32_t ids[2][2] = {{1, 2}, {1, 3}}, *each[] = {ids[0], ids[1]};
    const uint32_t n_ids[] = {2, 2};
    double logp[2][2];
    options *o = NULL;
    options_request q[2] = {{.tokens = f->before, .n = 3, .ret_logp = logp[0]},
                            {.tokens = f->before, .n = 2, .ret_logp = logp[1]}};
    int rc = options_new(each, n_ids, 2, 0, &o, NULL);
    for (int i = 0; i < 2 && rc == 0; i++) {
        q[i].options = o;
        q[i].unseen = i ? 1e-3 : 0;
        rc = seq_new(f->plain, &q[i].s, NULL);
    }
    if (rc == 0)
        rc = options_score_many(q, 2, NULL);
    for (int i = 0; i < 2; i++) {
        assert_true(!q[i].s || seq_len(q[i].s) == (rc ? 0 : q[i].n));
        seq_free(q[i].s);
    }
    options_free(o);
    return rc;
}

static void memory_runs_out(void **state)
{
    fixture f;
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, models[0]);
    uint32_t pages = engine_free_pages(f.plain);
    assert_true(fault_sweep(score_work, &f, 1) > 30);
    assert_int_equal(engine_free_pages(f.plain), pages);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_what_they_say),
        cmocka_unit_test(company_changes_nothing),
        cmocka_unit_test(a_busy_step_is_no_loss),
        cmocka_unit_test(bad_labels_are_refused),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(a_run_allocates_nothing),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
