/* tests/test_stats.c - stats against numbers from scikit-learn 1.7 and scipy 1.16.
 *
 * The data are made by the recipe of make_rows() and make_probs(), which was repeated
 * where the expected numbers were computed. */
#include "base/cpu.h"
#include "base/mem.h"
#include "base/rng.h"
#include "stats/blend.h"
#include "stats/calibrate.h"
#include "stats/folds.h"
#include "stats/logistic.h"
#include "stats/metrics.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N = 200, D = 5, K = 3, PN = 300, PK = 4 };

typedef struct data {
    float x[N * D];
    int32_t y[N];
} data;

static void make_rows(data *t)
{
    st_rng rng = {7};
    for (uint32_t i = 0; i < N; i++) {
        t->y[i] = (int32_t)(i % K);
        for (uint32_t f = 0; f < D; f++)
            t->x[i * D + f] =
                (float)(st_rng_unit(&rng) - 0.5 + (f % K == i % K ? 0.4 : 0.0));
    }
}

static void make_probs(double *p, int32_t *y)
{
    st_rng rng = {11};
    for (uint32_t i = 0; i < PN; i++) {
        double *row = p + (size_t)i * PK, sum = 0, run = 0;
        for (uint32_t j = 0; j < PK; j++) {
            double u = st_rng_unit(&rng) + 1e-3;
            sum += row[j] = u * u * u;
        }
        double at = st_rng_unit(&rng);
        y[i] = 0;
        for (uint32_t j = 0; j < PK; j++) {
            run += row[j] /= sum;
            y[i] += run < at && y[i] < PK - 1;
        }
    }
}

static gemm *new_gemm(workers *w)
{
    gemm *g;
    assert_int_equal(gemm_new(w, &g, NULL), 0);
    return g;
}

static workers *new_workers(unsigned n)
{
    workers *w;
    assert_int_equal(workers_new(n, &w, NULL), 0);
    return w;
}

/* Every shape, both transposes, against doubles. */
static void test_gemm(void **state)
{
    (void)state;
    static const uint32_t shapes[][3] = {{1, 1, 1},   {6, 32, 256},  {7, 33, 257},
                                         {97, 5, 3},  {1, 300, 600}, {200, 31, 1},
                                         {13, 257, 2}};
    workers *w = new_workers(2);
    gemm *g = new_gemm(w);
    st_rng rng = {3};
    for (size_t s = 0; s < ST_COUNT(shapes) * 2; s++) {
        uint32_t m = shapes[s / 2][0], n = shapes[s / 2][1], k = shapes[s / 2][2];
        float *a = st_alloc_n((size_t)m * k, 4), *b = st_alloc_n((size_t)k * n, 4);
        float *c = st_alloc_n((size_t)m * n, 4);
        for (size_t i = 0; i < (size_t)m * k; i++)
            a[i] = (float)st_rng_unit(&rng) - 0.5f;
        for (size_t i = 0; i < (size_t)k * n; i++)
            b[i] = (float)st_rng_unit(&rng) - 0.5f;
        for (size_t i = 0; i < (size_t)m * n; i++)
            c[i] = 1;
        bool turned = s % 2; /* stored [k, m] and [n, k] */
        gemm_mat ma = turned ? gemm_turned(a, m) : gemm_rows(a, k);
        gemm_mat mb = turned ? gemm_turned(b, k) : gemm_rows(b, n);
        gemm_run(g, m, n, k, ma, mb, c, n, turned);
        for (uint32_t i = 0; i < m; i++)
            for (uint32_t j = 0; j < n; j++) {
                double want = turned;
                for (uint32_t p = 0; p < k; p++)
                    want += (double)ma.at[i * ma.row + p * ma.col] *
                            (double)mb.at[p * mb.row + j * mb.col];
                assert_true(fabs(want - (double)c[i * n + j]) < 1e-5 * (1 + sqrt(k)));
            }
        st_free(a);
        st_free(b);
        st_free(c);
    }
    gemm_free(g);
    workers_free(w);
}

static void test_gather(void **state)
{
    (void)state;
    float rows[4 * 150], out[150];
    uint32_t at[] = {3, 0, 3};
    float val[] = {0.5f, 2, -1};
    for (uint32_t i = 0; i < 600; i++)
        rows[i] = (float)(i % 37);
    gemm *g = new_gemm(NULL);
    for (uint32_t width = 1; width <= 150; width += 7) {
        for (uint32_t j = 0; j < width; j++)
            out[j] = 1;
        gemm_gather(g, 3, at, val, rows, 150, width, out);
        for (uint32_t j = 0; j < width; j++)
            assert_float_equal(out[j], 1 + 2 * rows[j] - 0.5f * rows[450 + j], 1e-4);
    }
    gemm_free(g);
}

static double rosenbrock(void *arg, const float *x, float *g)
{
    (void)arg;
    double a = (double)x[0], b = (double)x[1], u = b - a * a;
    g[0] = (float)(-2 * (1 - a) - 400 * a * u);
    g[1] = (float)(200 * u);
    return (1 - a) * (1 - a) + 100 * u * u;
}

static double never_finite(void *arg, const float *x, float *g)
{
    (void)arg;
    g[0] = x[0];
    return (double)NAN;
}

static void test_lbfgs(void **state)
{
    (void)state;
    float x[2] = {-1.2f, 1};
    lbfgs_end end;
    lbfgs_opts opts = {.max_iters = 200, .tolerance = 1e-9};
    assert_int_equal(lbfgs_run(2, x, rosenbrock, NULL, &opts, &end, NULL), 0);
    assert_float_equal(x[0], 1, 1e-3);
    assert_float_equal(x[1], 1, 2e-3);
    assert_true(end.value < 1e-6 && end.n_iters < 100);
    st_err err = {0};
    assert_int_equal(lbfgs_run(1, x, never_finite, NULL, NULL, NULL, &err), ST_EINVAL);
    assert_non_null(strstr(err.message, "finite"));
}

static void test_logistic(void **state)
{
    (void)state;
    static const double w0[] = {1.73057237, -0.78798172, -0.94259065};
    static const double bias[] = {-0.18735426, -0.0481945, 0.23554876};
    static const double row0[] = {0.62007648, 0.02398306, 0.35594046};
    data t;
    float model[(D + 1) * K] = {0}, logp[N * K];
    make_rows(&t);
    gemm *g = new_gemm(NULL);
    logit_rows rows = {.dense = t.x, .n = N, .d = D};
    logit_opts opts = {.l2 = 0.01, .search = {.max_iters = 500, .tolerance = 1e-10}};
    lbfgs_end end;
    assert_int_equal(logit_fit(g, &rows, t.y, K, &opts, model, &end, NULL), 0);
    assert_true(fabs(end.value - 0.6033090698) < 1e-6);
    float *b = model + D * K, mean = (b[0] + b[1] + b[2]) / 3;
    logit_predict(g, &rows, K, model, logp);
    for (int j = 0; j < K; j++) {
        assert_true(fabs((double)model[j] - w0[j]) < 2e-3);
        assert_true(fabs((double)(b[j] - mean) - bias[j]) < 2e-3);
        assert_true(fabs(exp((double)logp[j]) - row0[j]) < 5e-4);
    }
    gemm_free(g);
}

static void test_logistic_prior(void **state)
{
    (void)state;
    static const double w0[] = {2.1660271, -0.79940575, -1.36662135};
    data t;
    float model[(D + 1) * K] = {0}, prior[D * K] = {1, 0, -1}, weights[N];
    make_rows(&t);
    for (int i = 0; i < N; i++)
        weights[i] = (float)(1 + i % 4);
    gemm *g = new_gemm(NULL);
    logit_rows rows = {.dense = t.x, .n = N, .d = D};
    logit_opts opts = {.l2 = 0.01,
                       .prior = prior,
                       .weights = weights,
                       .search = {.max_iters = 500, .tolerance = 1e-10}};
    lbfgs_end end;
    assert_int_equal(logit_fit(g, &rows, t.y, K, &opts, model, &end, NULL), 0);
    assert_true(fabs(end.value - 0.5868226698) < 1e-6);
    for (int j = 0; j < K; j++)
        assert_true(fabs((double)model[j] - w0[j]) < 2e-3);
    rows.n = 0;
    assert_int_equal(logit_fit(g, &rows, t.y, K, &opts, model, NULL, NULL), ST_EINVAL);
    gemm_free(g);
}

/* Sparse rows give what dense rows give, and the thread count changes no bit. */
static void test_logistic_sparse(void **state)
{
    (void)state;
    data t;
    make_rows(&t);
    uint64_t start[N + 1] = {0};
    uint32_t col[N * D];
    float val[N * D];
    sparse m = {N, D, start, col, val};
    for (uint32_t i = 0; i < N; i++) {
        start[i + 1] = start[i];
        for (uint32_t f = 0; f < D; f++) {
            if ((i + f) % 3 == 0) {
                t.x[i * D + f] = 0;
                continue;
            }
            col[start[i + 1]] = f;
            val[start[i + 1]++] = t.x[i * D + f];
        }
    }
    float model[4][(D + 1) * K] = {0};
    logit_opts opts = {.l2 = 0.01, .search = {.max_iters = 300, .tolerance = 1e-10}};
    for (int v = 0; v < 4; v++) {
        workers *w = new_workers(v < 2 ? 1 : 3);
        gemm *g = new_gemm(w);
        logit_rows rows = {.n = N, .d = D};
        rows.dense = v % 2 ? t.x : NULL;
        rows.sparse = v % 2 ? NULL : &m;
        assert_int_equal(logit_fit(g, &rows, t.y, K, &opts, model[v], NULL, NULL), 0);
        gemm_free(g);
        workers_free(w);
    }
    assert_memory_equal(model[0], model[2], sizeof model[0]);
    assert_memory_equal(model[1], model[3], sizeof model[0]);
    for (int i = 0; i < D * K; i++)
        assert_float_equal(model[0][i], model[1][i], 2e-3);
    sparse picked;
    uint32_t want[] = {7, 3, 7};
    assert_int_equal(sparse_pick(&m, want, 3, &picked, NULL), 0);
    assert_int_equal(picked.start[3], 2 * (start[8] - start[7]) + start[4] - start[3]);
    assert_float_equal(picked.val[0], val[start[7]], 0);
    sparse_done(&picked);
}

static void test_metrics(void **state)
{
    (void)state;
    double p[PN * PK];
    int32_t y[PN];
    metrics m;
    metrics_label labels[PK];
    make_probs(p, y);
    assert_int_equal(metrics_of(p, y, PN, PK, &m, labels, NULL), 0);
    assert_true(fabs(m.accuracy - 0.5933333333333334) < 1e-12);
    assert_true(fabs(m.macro_f1 - 0.5932584146312516) < 1e-12);
    assert_true(fabs(m.nll - 0.8583736626802966) < 1e-9);
    assert_true(fabs(m.brier - 0.5015328664474289) < 1e-9);
    assert_true(fabs(m.ece - 0.0703764824465961) < 1e-9);
    assert_true(fabs(m.ece_mass - 0.08706121992842049) < 1e-9);
    assert_true(fabs(m.ece_noise - 0.0634844) < 0.004);
    uint32_t n = 0;
    for (int j = 0; j < PK; j++)
        n += labels[j].n_true;
    assert_int_equal(n, PN);
}

/* The floor of a perfectly calibrated model with confidence ~ Beta(5, 1). */
static void test_noise(void **state)
{
    (void)state;
    double c[1000], noise;
    st_rng rng = {5};
    for (int i = 0; i < 1000; i++)
        c[i] = pow(st_rng_unit(&rng), 0.2);
    assert_int_equal(metrics_ece_noise(c, 1000, &noise, NULL), 0);
    assert_true(fabs(noise - 0.0270) < 0.004);
    assert_int_equal(metrics_ece_noise(c, 200, &noise, NULL), 0);
    assert_true(fabs(noise - 0.0583) < 0.008);
}

static void test_intervals(void **state)
{
    (void)state;
    metrics_interval w =
        metrics_wilson(8, 10, 1.959963985); /* R: prop.test, no correction */
    assert_true(fabs(w.low - 0.4901625) < 1e-6 && fabs(w.high - 0.9433178) < 1e-6);
    w = metrics_wilson(0, 20, 1.959963985);
    assert_true(w.low < 1e-12 && fabs(w.high - 0.1611252) < 1e-6);
    double v[400];
    for (int i = 0; i < 400; i++)
        v[i] = i % 4 != 0;
    assert_int_equal(metrics_bootstrap(v, 400, 2000, 0.95, 1, &w, NULL), 0);
    assert_true(fabs(w.low - 0.7075) < 0.008 && fabs(w.high - 0.7925) < 0.008);
    assert_int_equal(metrics_bootstrap(v, 0, 9, 0.95, 1, &w, NULL), ST_EINVAL);
}

static void test_temperature(void **state)
{
    (void)state;
    double p[PN * PK];
    float z[PN * PK];
    int32_t y[PN];
    make_probs(p, y);
    for (int i = 0; i < PN * PK; i++)
        z[i] = (float)(2.5 * log(p[i]));
    assert_true(fabs(calibrate_temperature(z, y, PN, PK) - 2.53959) < 1e-3);
    for (int i = 0; i < PN * PK; i++) /* knows nothing: as flat as allowed */
        z[i] = (float)((i / PK + i) % PK) * 100;
    assert_true(calibrate_temperature(z, y, PN, PK) > CALIBRATE_MAX - 1e-3);
}

static void test_blend(void **state)
{
    (void)state;
    static double p[PN * PK];
    static float l[3][PN * PK];
    int32_t y[PN];
    make_probs(p, y);
    st_rng rng = {13};
    for (int i = 0; i < PN * PK; i++) {
        l[0][i] = (float)(log(p[i]) + 1.5 * (st_rng_unit(&rng) - 0.5));
        l[1][i] = (float)(2 * log(p[i]) + 3 * (st_rng_unit(&rng) - 0.5));
        l[2][i] = (float)(-log(p[i]) * 0.1 + 3 * (st_rng_unit(&rng) - 0.5));
    }
    const float *all[] = {l[0], l[1], l[2]};
    double w[3], row[PK], sum = 0;
    assert_int_equal(blend_fit(all, 3, y, PN, PK, 0, w, NULL), 0);
    assert_true(fabs(w[0] - 0.28381354) < 1e-3);
    assert_true(fabs(w[1] - 0.3095258) < 1e-3);
    assert_true(w[2] == 0);
    blend_row(all, 3, w, PK, row);
    for (int j = 0; j < PK; j++)
        sum += row[j];
    assert_true(fabs(sum - 1) < 1e-12);
    double pulled[3];
    assert_int_equal(blend_fit(all, 3, y, PN, PK, 1e6, pulled, NULL), 0);
    assert_true(fabs(pulled[2] - 1.0 / 3) < 1e-3);
    assert_int_equal(blend_fit(all, 0, y, PN, PK, 0, w, NULL), ST_EINVAL);
}

static void test_folds(void **state)
{
    (void)state;
    enum { ROWS = 103, LABELS = 4, FOLDS = 5 };
    int32_t y[ROWS];
    uint8_t fold[ROWS], again[ROWS];
    uint32_t count[LABELS][FOLDS] = {0}, of_label[LABELS] = {0}, picked[ROWS];
    for (int i = 0; i < ROWS; i++)
        y[i] = i < 60 ? 0 : i < 90 ? 1 : i < 102 ? 2 : 3;
    assert_int_equal(folds_assign(y, ROWS, LABELS, FOLDS, 9, fold, NULL), 0);
    assert_int_equal(folds_assign(y, ROWS, LABELS, FOLDS, 9, again, NULL), 0);
    assert_memory_equal(fold, again, ROWS);
    assert_int_equal(folds_assign(y, ROWS, LABELS, FOLDS, 10, again, NULL), 0);
    assert_memory_not_equal(fold, again, ROWS);
    for (int i = 0; i < ROWS; i++)
        count[y[i]][fold[i]]++;
    for (int l = 0; l < LABELS; l++)
        for (int f = 1; f < FOLDS; f++)
            assert_true(abs((int)count[l][f] - (int)count[l][0]) <= 1);
    assert_int_equal(folds_sample(y, ROWS, LABELS, 20, 1, picked, NULL), 20);
    for (int i = 0; i < 20; i++) {
        of_label[y[picked[i]]]++;
        assert_true(i == 0 || picked[i] > picked[i - 1]);
    }
    assert_true(of_label[3] == 1 && of_label[2] >= 6 && of_label[0] >= 6);
    assert_int_equal(folds_sample(y, ROWS, LABELS, 500, 1, picked, NULL), ROWS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm),           cmocka_unit_test(test_gather),
        cmocka_unit_test(test_lbfgs),          cmocka_unit_test(test_logistic),
        cmocka_unit_test(test_logistic_prior), cmocka_unit_test(test_logistic_sparse),
        cmocka_unit_test(test_metrics),        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_intervals),      cmocka_unit_test(test_temperature),
        cmocka_unit_test(test_blend),          cmocka_unit_test(test_folds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
