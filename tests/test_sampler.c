/* tests/test_sampler.c - the sampler against a reference that sorts and adds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "engine/expsum.h"
#include "engine/likely.h"
#include "engine/sampler.h"
#include "tests/fault.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 60 };

typedef struct ranked {
    double p;
    int id;
} ranked;

static int falling(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->p != y->p ? (x->p < y->p ? 1 : -1) : x->id - y->id;
}

/* The distribution that the options describe, by the definitions. */
static void reference(const sampler_opts *o, const float *logits, const int *counts,
                      double *ret_p)
{
    double x[N], high = -DBL_MAX, sum = 0;
    ranked r[N];
    for (int i = 0; i < N; i++) {
        x[i] = (double)logits[i];
        if (counts[i] > 0) {
            double rp = (double)o->repeat_penalty;
            x[i] = x[i] > 0 ? x[i] / rp : x[i] * rp;
            x[i] -=
                counts[i] * (double)o->frequency_penalty + (double)o->presence_penalty;
        }
        x[i] /= (double)o->temperature;
        high = x[i] > high ? x[i] : high;
    }
    for (int i = 0; i < N; i++)
        r[i] = (ranked){exp(x[i] - high), i};
    qsort(r, N, sizeof *r, falling);
    int n = o->top_k > 0 && o->top_k < N ? (int)o->top_k : N;
    for (int i = 0; i < n; i++)
        sum += r[i].p;
    double mass = 0, kept = 0;
    int m = 0;
    while (m < n && mass < (double)o->top_p * sum)
        mass += r[m++].p;
    memset(ret_p, 0, N * sizeof *ret_p);
    for (int i = 0; i < m; i++)
        if (i == 0 || r[i].p >= (double)o->min_p * r[0].p)
            kept += ret_p[r[i].id] = r[i].p;
    for (int i = 0; i < N; i++)
        ret_p[i] /= kept;
}

static void logits_make(st_rng *rng, float *logits)
{
    for (int i = 0; i < N; i++)
        logits[i] = (float)(st_rng_unit(rng) * 8 - 4);
}

/* Draw often; nothing outside the support, and a chi-square within reach of its mean. */
static void draws_match(const sampler_opts *o, st_rng *rng)
{
    enum { DRAWS = 20000 };
    float logits[N], work[N];
    int counts[N] = {0}, drawn[N] = {0};
    double p[N], chi = 0;
    int dof = -1;
    int32_t history[22] = {-1, N};
    sampler s;
    sampler_work *w;
    st_err err = {0};
    logits_make(rng, logits);
    assert_int_equal(sampler_init(&s, o, &err), 0);
    assert_int_equal(sampler_work_new(N, &w, &err), 0);
    for (int i = 2; i < 22; i++) {
        history[i] = (int32_t)st_rng_below(rng, N);
        counts[history[i]]++;
    }
    reference(o, logits, counts, p);
    for (int i = 0; i < DRAWS; i++) {
        memcpy(work, logits, sizeof work);
        drawn[sampler_pick(&s, w, history, 22, work)]++;
    }
    double rest = 0, rest_drawn = 0;
    for (int i = 0; i < N; i++) {
        if (p[i] <= 0 && drawn[i] > 0)
            fail_msg("id %d is cut off but was drawn %d times", i, drawn[i]);
        if (p[i] * DRAWS < 10) { /* too rare for a cell of its own */
            rest += p[i] * DRAWS;
            rest_drawn += drawn[i];
            continue;
        }
        chi += pow(drawn[i] - p[i] * DRAWS, 2) / (p[i] * DRAWS);
        dof++;
    }
    if (rest >= 10) {
        chi += pow(rest_drawn - rest, 2) / rest;
        dof++;
    }
    if (dof > 0 && chi > dof + 5 * sqrt(2.0 * dof) + 5)
        fail_msg("chi-square %.1f at %d degrees of freedom", chi, dof);
    sampler_work_free(w);
}

static void cuts_and_penalties(void **state)
{
    const sampler_opts cases[] = {
        {.temperature = 1, .top_p = 1, .repeat_penalty = 1},
        {.temperature = 0.7f, .top_p = 1, .repeat_penalty = 1, .top_k = 5},
        {.temperature = 1.5f, .top_p = 0.8f, .repeat_penalty = 1},
        {.temperature = 1, .top_p = 1, .min_p = 0.1f, .repeat_penalty = 1},
        {.temperature = 1.2f,
         .top_p = 0.7f,
         .min_p = 0.05f,
         .top_k = 20,
         .repeat_penalty = 1},
        {.temperature = 1, .top_p = 1, .repeat_penalty = 1.3f},
        {.temperature = 1, .top_p = 1, .repeat_penalty = 1, .frequency_penalty = 0.5f},
        {.temperature = 1,
         .top_p = 0.9f,
         .repeat_penalty = 1.1f,
         .presence_penalty = -0.8f,
         .top_k = 30},
        {.temperature = 1, .top_p = 1, .repeat_penalty = 1, .top_k = 1},
        {.temperature = 1, .top_p = 1e-9f, .repeat_penalty = 1},
    };
    st_rng rng = {42};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sampler_opts o = cases[i];
        for (int round = 0; round < 3; round++) {
            o.seed = st_rng_u64(&rng);
            draws_match(&o, &rng);
        }
    }
}

static void greedy_takes_lowest_of_ties(void **state)
{
    float a[4] = {1, 3, 3, 2}, b[4] = {NAN, -INFINITY, NAN, -1}, c[4] = {NAN, 1, 5, 4};
    float d[4] = {5, 4, 1, 0};
    const int32_t history[] = {0};
    sampler_opts o = SAMPLER_GREEDY, warm = SAMPLER_GREEDY;
    sampler s;
    sampler_work *w;
    st_err err = {0};
    (void)state;
    o.presence_penalty = 2;
    warm.temperature = 1;
    assert_int_equal(sampler_work_new(4, &w, &err), 0);
    assert_int_equal(sampler_init(&s, &o, &err), 0);
    assert_int_equal(sampler_pick(&s, w, NULL, 0, a), 1);
    assert_int_equal(sampler_pick(&s, w, NULL, 0, b), 3);
    assert_int_equal(sampler_pick(&s, w, history, 1, d), 1);
    assert_int_equal(sampler_init(&s, &warm, &err), 0);
    for (int i = 0; i < 200; i++) {
        float work[4];
        memcpy(work, c, sizeof work);
        assert_int_not_equal(sampler_pick(&s, w, NULL, 0, work), 0);
    }
    sampler_work_free(w);
}

/* Lanes and blocks find what a plain walk finds, wherever the highest stand. */
static void best_is_the_first_highest(void **state)
{
    enum { MOST = 3000 };
    static float x[MOST];
    st_rng rng = {5};
    (void)state;
    for (int round = 0; round < 2000; round++) {
        uint32_t n = 1 + st_rng_below(&rng, MOST), best = 0;
        for (uint32_t i = 0; i < n; i++) {
            x[i] = (float)st_rng_below(&rng, 1 + (uint32_t)round) - 500;
            if (st_rng_below(&rng, 9) == 0)
                x[i] = round % 2 ? NAN : -INFINITY;
        }
        for (uint32_t i = 1; i < n; i++)
            if (x[i] > (isnan(x[best]) ? -INFINITY : x[best]))
                best = i;
        assert_int_equal(sampler_best(x, n), best);
    }
    for (uint32_t i = 0; i < 40; i++)
        x[i] = i % 2 ? NAN : -INFINITY;
    assert_int_equal(sampler_best(x, 40), 0);
}

/* The likeliest of parts are the likeliest of all. */
static void likeliest_are_found_in_parts(void **state)
{
    enum { MOST = 300, PARTS = 40 };
    float x[MOST];
    st_rng rng = {6};
    (void)state;
    for (int round = 0; round < 3000; round++) {
        uint32_t n = 1 + st_rng_below(&rng, MOST), k = st_rng_below(&rng, 21), got = 0;
        step_likely list[STEP_MAX_LIKELY], part[STEP_MAX_LIKELY];
        bool taken[MOST] = {false};
        for (uint32_t i = 0; i < n; i++)
            x[i] = st_rng_below(&rng, 9) ? (float)st_rng_below(&rng, 40) - 20 : NAN;
        for (uint32_t at = 0, len; at < n; at += len) {
            len = 1 + st_rng_below(&rng, PARTS);
            len = len < n - at ? len : n - at;
            got = likely_join(list, got, part, likely_find(x + at, at, len, k, part), k);
        }
        assert_int_equal(got, k < n ? k : n);
        for (uint32_t i = 0; i < got; i++) {
            uint32_t best = n;
            for (uint32_t id = 0; id < n; id++) {
                float a = isnan(x[id]) ? -INFINITY : x[id];
                float b = best == n || isnan(x[best]) ? -INFINITY : x[best];
                if (!taken[id] && (best == n || a > b))
                    best = id;
            }
            taken[best] = true;
            assert_int_equal(list[i].id, best);
            assert_true(list[i].logit >= (isnan(x[best]) ? -INFINITY : x[best]));
        }
    }
}

/* Biases come first; what is forbidden or forced is so; a bias is a reason to draw. */
static void biases_are_added(void **state)
{
    enum { DRAWS = 300 };
    const sampler_bias bias[] = {{2, 3}, {5, -100}, {5, -1}}, forced[] = {{7, 100}};
    const sampler_bias bad[] = {{N, 1}, {-1, 1}, {3, NAN}, {3, INFINITY}};
    const int32_t history[] = {2, 2, 9};
    sampler_opts o = {.temperature = 1, .top_p = 1, .repeat_penalty = 1.5f, .seed = 4};
    sampler a, b;
    sampler_work *w;
    st_err err = {0};
    st_rng rng = {11};
    (void)state;
    assert_int_equal(sampler_work_new(N, &w, &err), 0);
    assert_int_equal(sampler_init(&a, &o, &err), 0);
    b = a;
    assert_int_equal(sampler_bias_set(&b, bias, 3, N, &err), 0);
    for (int i = 0; i < DRAWS; i++) {
        float x[N], y[N];
        logits_make(&rng, x);
        memcpy(y, x, sizeof y);
        x[2] += 3;
        x[5] -= 100;
        x[5] -= 1;
        int32_t id = sampler_pick(&b, w, history, 3, y);
        assert_int_equal(id, sampler_pick(&a, w, history, 3, x));
        assert_memory_equal(x, y, sizeof x);
        assert_int_not_equal(id, 5);
    }
    o = SAMPLER_GREEDY;
    assert_int_equal(sampler_init(&a, &o, &err), 0);
    assert_true(sampler_takes_best(&a));
    assert_int_equal(sampler_bias_set(&a, forced, 1, N, &err), 0);
    assert_false(sampler_takes_best(&a));
    for (int i = 0; i < DRAWS; i++) {
        float x[N];
        logits_make(&rng, x);
        assert_int_equal(sampler_pick(&a, w, NULL, 0, x), 7);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sampler_bias_set(&a, &bad[i], 1, N, &err), ST_EINVAL);
    sampler_work_free(w);
}

static void exponentials_are_close(void **state)
{
    enum { MOST = 100 };
    float x[MOST], got[MOST];
    st_rng rng = {8};
    (void)state;
    for (int round = 0; round < 20000; round++) {
        uint32_t n = 1 + st_rng_below(&rng, MOST);
        float shift = (float)(st_rng_unit(&rng) * 40 - 20), scale = 1;
        double want_sum = 0;
        if (round % 2)
            scale = (float)(0.1 + 4 * st_rng_unit(&rng));
        for (uint32_t i = 0; i < n; i++)
            x[i] = shift - (float)st_rng_unit(&rng) * (round % 3 ? 20 : 120);
        x[st_rng_below(&rng, n)] = shift;
        double sum = exp_sum(x, n, shift, scale, got);
        for (uint32_t i = 0; i < n; i++) {
            float a = (x[i] - shift) * scale;
            double want = a >= -87 ? exp((double)a) : 0;
            assert_true(fabs((double)got[i] - want) <= 2e-7 * want);
            want_sum += want;
        }
        assert_true(fabs(sum - want_sum) <= 2e-7 * want_sum);
        assert_true(sum >= exp_sum(x, n, shift, scale, NULL));
        assert_true(sum <= exp_sum(x, n, shift, scale, NULL));
    }
    for (int i = 0; i < 40; i++)
        x[i] = i % 2 ? NAN : -INFINITY;
    x[3] = 2;
    double one = exp_sum(x, 40, 2, 1, got);
    assert_true(one >= 1 && one <= 1);
}

/* Two samplers that share the arrays of a thread. */
static void same_seed_same_tokens(void **state)
{
    sampler_opts o = {
        .temperature = 1, .top_p = 0.95f, .repeat_penalty = 1.1f, .seed = 7};
    int32_t history[300];
    sampler a, b;
    sampler_work *w;
    st_rng rng = {3};
    st_err err = {0};
    float x[N], y[N];
    (void)state;
    assert_int_equal(sampler_init(&a, &o, &err), 0);
    assert_int_equal(sampler_init(&b, &o, &err), 0);
    assert_int_equal(sampler_work_new(N, &w, &err), 0);
    for (uint32_t i = 0; i < 300; i++) {
        logits_make(&rng, x);
        memcpy(y, x, sizeof y);
        history[i] = sampler_pick(&a, w, history, i, x);
        assert_int_equal(sampler_pick(&b, w, history, i, y), history[i]);
    }
    sampler_work_free(w);
}

static void bad_options_are_named(void **state)
{
    const struct {
        sampler_opts o;
        const char *name;
    } cases[] = {
        {{.temperature = -1, .top_p = 1, .repeat_penalty = 1}, "temperature"},
        {{.temperature = NAN, .top_p = 1, .repeat_penalty = 1}, "temperature"},
        {{.top_p = 0, .repeat_penalty = 1}, "top_p"},
        {{.top_p = 1.5f, .repeat_penalty = 1}, "top_p"},
        {{.top_p = 1, .min_p = 1, .repeat_penalty = 1}, "min_p"},
        {{.top_p = 1, .repeat_penalty = 0}, "repeat_penalty"},
        {{.top_p = 1, .repeat_penalty = 1, .frequency_penalty = INFINITY}, "frequency"},
        {{.top_p = 1, .repeat_penalty = 1, .presence_penalty = NAN}, "presence"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        st_err err = {0};
        sampler s;
        assert_int_equal(sampler_init(&s, &cases[i].o, &err), ST_EINVAL);
        assert_non_null(strstr(err.message, cases[i].name));
    }
}

static int make_one(void *arg)
{
    sampler_work *w = NULL;
    (void)arg;
    int rc = sampler_work_new(100, &w, NULL);
    sampler_work_free(w);
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    assert_true(fault_sweep(make_one, NULL, 1) > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_and_penalties),
        cmocka_unit_test(greedy_takes_lowest_of_ties),
        cmocka_unit_test(best_is_the_first_highest),
        cmocka_unit_test(likeliest_are_found_in_parts),
        cmocka_unit_test(biases_are_added),
        cmocka_unit_test(exponentials_are_close),
        cmocka_unit_test(same_seed_same_tokens),
        cmocka_unit_test(bad_options_are_named),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
