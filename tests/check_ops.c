/* tests/check_ops.c - norms, activations, softmax, rope, keys and values, attention.
 *
 * Each check states its budget: |got - want| <= rel * |want| + abs. */
#include "tests/check.h"

enum { MOST = 1100 };

static void near_check(check *c, const char *what, const float *got, const float *want,
                       uint32_t n, double rel, double abs_budget)
{
    for (uint32_t i = 0; i < n; i++) {
        double budget = rel * fabs((double)want[i]) + abs_budget;
        if (!(fabs((double)got[i] - (double)want[i]) <= budget)) {
            check_fail(c, "%s: [%u of %u] %.9g, not %.9g (budget %.2g)", what, i, n,
                       (double)got[i], (double)want[i], budget);
            return;
        }
    }
}

static void norms_check(check *c, uint32_t n, int kind)
{
    float x[MOST], w[MOST], b[MOST], got[MOST], want[MOST];
    if (kind == FILL_HUGE)
        kind = FILL_OUTLIER; /* squares of huge values are not finite */
    floats_fill(&c->rng, kind, x, n);
    floats_fill(&c->rng, FILL_PLAIN, w, n);
    floats_fill(&c->rng, FILL_PLAIN, b, n);
    c->c->rms_norm(x, w, 1e-5f, n, want);
    c->k->rms_norm(x, w, 1e-5f, n, got);
    near_check(c, "rms_norm", got, want, n, 2e-6, 1e-37);
    c->c->rms_norm(x, NULL, 1e-5f, n, want);
    memcpy(got, x, n * sizeof *x);
    c->k->rms_norm(got, NULL, 1e-5f, n, got); /* in place */
    near_check(c, "rms_norm without weights", got, want, n, 2e-6, 1e-37);
    c->c->layer_norm(x, w, b, 1e-5f, n, want);
    c->k->layer_norm(x, w, b, 1e-5f, n, got);
    near_check(c, "layer_norm", got, want, n, 2e-6, 2e-5);
    c->c->layer_norm(x, w, NULL, 1e-5f, n, want);
    memcpy(got, x, n * sizeof *x);
    c->k->layer_norm(got, w, NULL, 1e-5f, n, got);
    near_check(c, "layer_norm without bias", got, want, n, 2e-6, 2e-5);
}

static void linear_check(check *c, uint32_t n, int kind)
{
    float x[MOST], y[MOST], got[MOST], want[MOST];
    float size = 0;
    floats_fill(&c->rng, kind, x, n);
    floats_fill(&c->rng, FILL_PLAIN, y, n);
    const struct {
        const char *what;
        void (*got)(float *y, const float *x, uint32_t n);
        void (*want)(float *y, const float *x, uint32_t n);
    } pairs[] = {{"add", c->k->add, c->c->add}, {"mul", c->k->mul, c->c->mul}};
    for (size_t i = 0; i < ST_COUNT(pairs); i++) {
        memcpy(got, y, n * sizeof *y);
        memcpy(want, y, n * sizeof *y);
        pairs[i].got(got, x, n);
        pairs[i].want(want, x, n);
        near_check(c, pairs[i].what, got, want, n, 0, 0);
    }
    memcpy(got, y, n * sizeof *y);
    memcpy(want, y, n * sizeof *y);
    c->k->axpy(got, 0.7f, x, n);
    c->c->axpy(want, 0.7f, x, n);
    near_check(c, "axpy", got, want, n, 0, 0);
    for (uint32_t i = 0; i < n; i++)
        size += fabsf(x[i] * y[i]);
    got[0] = c->k->dot(x, y, n);
    want[0] = c->c->dot(x, y, n);
    near_check(c, "dot", got, want, 1, 1e-6, 1e-6 * (double)size);
}

static void curves_check(check *c, uint32_t n, float scale)
{
    float x[MOST], u[MOST], got[MOST], want[MOST];
    for (uint32_t i = 0; i < n; i++)
        x[i] = ((float)st_rng_unit(&c->rng) - 0.5f) * scale;
    floats_fill(&c->rng, FILL_PLAIN, u, n);
    x[0] = 0;
    if (n > 2) {
        x[1] = -scale * 10;
        x[2] = scale * 10;
    }
    const struct {
        const char *what;
        void (*got)(float *g, const float *u, uint32_t n);
        void (*want)(float *g, const float *u, uint32_t n);
    } pairs[] = {{"silu_mul", c->k->silu_mul, c->c->silu_mul},
                 {"gelu_tanh_mul", c->k->gelu_tanh_mul, c->c->gelu_tanh_mul}};
    for (size_t i = 0; i < ST_COUNT(pairs); i++) {
        memcpy(got, x, n * sizeof *x);
        memcpy(want, x, n * sizeof *x);
        pairs[i].got(got, u, n);
        pairs[i].want(want, u, n);
        near_check(c, pairs[i].what, got, want, n, 2e-6, 2e-7);
    }
    for (int biased = 0; biased < 2; biased++) {
        const float *b = biased ? u : NULL;
        memcpy(got, x, n * sizeof *x);
        memcpy(want, x, n * sizeof *x);
        c->k->gelu_erf(got, b, n);
        c->c->gelu_erf(want, b, n);
        near_check(c, biased ? "gelu_erf biased" : "gelu_erf", got, want, n, 5e-7, 1e-7);
        memcpy(got, x, n * sizeof *x);
        memcpy(want, x, n * sizeof *x);
        c->k->gelu_tanh(got, b, n);
        c->c->gelu_tanh(want, b, n);
        near_check(c, biased ? "gelu_tanh biased" : "gelu_tanh", got, want, n, 2e-6,
                   1e-7);
    }
    memcpy(got, x, n * sizeof *x);
    memcpy(want, x, n * sizeof *x);
    c->k->softmax(got, n);
    c->c->softmax(want, n);
    near_check(c, "softmax", got, want, n, 2e-6, 1e-37);
}

/* Masked entries are -infinity; when all are, the result is zeros. */
static void softmax_check(check *c, uint32_t n)
{
    float got[MOST], want[MOST];
    for (uint32_t i = 0; i < n; i++)
        want[i] = i % 3 ? -INFINITY : (float)st_rng_unit(&c->rng) * 30;
    memcpy(got, want, n * sizeof *got);
    c->c->softmax(want, n);
    c->k->softmax(got, n);
    near_check(c, "softmax with a mask", got, want, n, 2e-6, 0);
    for (uint32_t i = 0; i < n; i++)
        got[i] = -INFINITY;
    memset(want, 0, n * sizeof *want);
    c->k->softmax(got, n);
    near_check(c, "softmax of nothing", got, want, n, 0, 0);
}

static void rope_check(check *c, uint32_t half)
{
    float x[2 * MOST], got[2 * MOST], want[2 * MOST], cosine[MOST], sine[MOST];
    floats_fill(&c->rng, FILL_PLAIN, x, 2 * half);
    for (uint32_t i = 0; i < half; i++) {
        float angle = (float)st_rng_unit(&c->rng) * 7;
        cosine[i] = cosf(angle);
        sine[i] = sinf(angle);
    }
    for (int neox = 0; neox < 2; neox++) {
        memcpy(got, x, 2 * half * sizeof *x);
        memcpy(want, x, 2 * half * sizeof *x);
        c->k->rope(got, cosine, sine, half, neox != 0);
        c->c->rope(want, cosine, sine, half, neox != 0);
        near_check(c, neox ? "rope neox" : "rope", got, want, 2 * half, 0, 0);
    }
}

void check_ops(check *c)
{
    c->what = "ops";
    for (uint32_t n = 1; n < 40; n++) {
        norms_check(c, n, (int)(n % FILL_KINDS));
        linear_check(c, n, (int)(n % FILL_KINDS));
        curves_check(c, n, n % 2 ? 8.0f : 200.0f);
        softmax_check(c, n);
        rope_check(c, n);
    }
    for (int i = 0; i < 20; i++)
        curves_check(c, 1000, 12.0f);
    norms_check(c, 1024, FILL_OUTLIER);
    norms_check(c, 576, FILL_PLAIN);
    linear_check(c, 1037, FILL_PLAIN);
    rope_check(c, 128);
}

/* A sequence in shuffled pages of one layer. */
typedef struct cache {
    kkv kv;
    uint32_t pages[8];
    uint32_t n_head;
    size_t bytes;
    unsigned char *room;
} cache;

static cache cache_make(st_dtype type, uint32_t n_kv, uint32_t group, uint32_t dim_k,
                        uint32_t dim_v)
{
    cache a = {.pages = {5, 2, 7, 0, 3, 1, 6, 4}, .n_head = n_kv * group};
    size_t k_bytes = kkv_bytes(type, n_kv, dim_k), v_bytes = kkv_bytes(type, n_kv, dim_v);
    a.bytes = 8 * (k_bytes + v_bytes);
    a.room = st_aligned_n(a.bytes, 1);
    if (!a.room)
        abort();
    memset(a.room, 0xFF, a.bytes); /* what is not stored is NaN */
    a.kv = (kkv){a.room, a.room + k_bytes, k_bytes + v_bytes, n_kv, dim_k, dim_v, type};
    return a;
}

static void cache_fill(check *c, const kern *k, const cache *a, uint32_t n)
{
    float x[2][MOST];
    st_rng rng = c->rng;
    for (uint32_t p = 0; p < n; p++) {
        floats_fill(&rng, FILL_PLAIN, x[0], a->kv.n_kv_head * a->kv.dim_k);
        floats_fill(&rng, FILL_PLAIN, x[1], a->kv.n_kv_head * a->kv.dim_v);
        k->kv_store(&a->kv, a->pages, p, x[0], x[1]);
    }
}

static kattn attn_make(const cache *a, const kview *views, uint32_t n)
{
    return (kattn){.kv = &a->kv,
                   .pages = a->pages,
                   .views = views,
                   .n = n,
                   .ldq = (size_t)a->n_head * a->kv.dim_k,
                   .ldo = (size_t)a->n_head * a->kv.dim_v,
                   .n_head = a->n_head,
                   .scale = 0.4f};
}

/* Many tokens at once, of a chain and of a tree, give the bytes of each alone. */
static void together_check(check *c, const cache *a)
{
    enum { TOKENS = 23 };
    static const uint32_t extra[4] = {490, 333, 334, 401};
    static float q[TOKENS * MOST], got[TOKENS * MOST], one[MOST];
    static float scratch[KERN_ATTN_SCRATCH];
    kview views[TOKENS];
    float sinks[64];
    const size_t n_out = (size_t)a->n_head * a->kv.dim_v;
    floats_fill(&c->rng, FILL_PLAIN, q, TOKENS * a->n_head * a->kv.dim_k);
    floats_fill(&c->rng, FILL_PLAIN, sinks, a->n_head);
    for (uint32_t i = 0; i < TOKENS; i++) {
        views[i] = (kview){i % 3 == 2 ? 40 : 0, 110 + i, NULL, 0};
        if (i % 5 > 2)
            views[i] = (kview){0, 125, extra, 1 + i % 4};
        if (i == 7)
            views[i] = (kview){200, 200 + 3 * i, NULL, 0};
        if (i >= 9 && i < 20) /* an encoder's see the same */
            views[i] = (kview){5, i < 18 ? 131 : 23, NULL, 0};
    }
    kattn t = attn_make(a, views, TOKENS);
    t.sinks = sinks;
    c->k->attn(&t, 0, a->n_head, q, got, scratch);
    for (uint32_t i = 0; i < TOKENS; i++) {
        kattn alone = attn_make(a, &views[i], 1);
        alone.sinks = sinks;
        c->k->attn(&alone, 0, a->n_head, q + i * t.ldq, one, scratch);
        if (memcmp(one, got + i * n_out, n_out * sizeof *one) != 0)
            check_fail(c, "attn: token %u of %d differs from itself alone", i, TOKENS);
    }
}

static void attn_case(check *c, const cache *a, uint32_t lo, uint32_t hi, bool extras,
                      float softcap, bool sinks)
{
    static const uint32_t extra[5] = {499, 300, 301, 410, 411};
    float q[MOST], got[MOST], want[MOST], sink[64], scratch[KERN_ATTN_SCRATCH];
    floats_fill(&c->rng, FILL_PLAIN, q, a->n_head * a->kv.dim_k);
    floats_fill(&c->rng, FILL_PLAIN, sink, a->n_head);
    const kview view = {lo, hi, extras ? extra : NULL, extras ? 5 : 0};
    kattn t = attn_make(a, &view, 1);
    t.softcap = softcap;
    t.sinks = sinks ? sink : NULL;
    c->c->attn(&t, 0, a->n_head, q, want, scratch);
    c->k->attn(&t, 0, a->n_head, q, got, scratch);
    const double budget = a->kv.type == ST_Q8_0 ? 0 : 1e-5;
    near_check(c, "attn", got, want, a->n_head * a->kv.dim_v, budget, budget);
    if (a->kv.n_kv_head > 1) { /* one KV group gives the same bytes as all at once */
        uint32_t group = a->n_head / a->kv.n_kv_head;
        c->k->attn(&t, group, 2 * group, q + (size_t)group * a->kv.dim_k, want, scratch);
        if (memcmp(want, got + (size_t)group * a->kv.dim_v,
                   (size_t)group * a->kv.dim_v * sizeof *want) != 0)
            check_fail(c, "attn of one group differs");
    }
}

/* Keys of positions hi..hi+4 copied to slots elsewhere and seen as extras: a tree's token
 * gets the bytes of the chain. */
static void tree_check(check *c, const cache *a, uint32_t lo, uint32_t hi)
{
    static const uint32_t extra[5] = {451, 499, 452, 470, 447};
    float q[MOST], chain[MOST], tree[MOST], scratch[KERN_ATTN_SCRATCH];
    const size_t bytes = (size_t)a->n_head * a->kv.dim_v * sizeof *tree;
    floats_fill(&c->rng, FILL_PLAIN, q, a->n_head * a->kv.dim_k);
    for (uint32_t i = 0; i < 5; i++)
        kkv_copy(&a->kv, a->pages, hi + i, extra[i]);
    kview view = {lo, hi + 5, NULL, 0};
    kattn t = attn_make(a, &view, 1);
    c->k->attn(&t, 0, a->n_head, q, chain, scratch);
    view = (kview){lo, hi, extra, 5};
    c->k->attn(&t, 0, a->n_head, q, tree, scratch);
    if (memcmp(chain, tree, bytes) != 0)
        check_fail(c, "attn %u..%u: a tree differs from its chain", lo, hi);
}

static void cache_check(check *c, st_dtype type, uint32_t n_kv, uint32_t group,
                        uint32_t dim_k, uint32_t dim_v)
{
    cache a = cache_make(type, n_kv, group, dim_k, dim_v);
    cache b = cache_make(type, n_kv, group, dim_k, dim_v);
    cache_fill(c, c->c, &a, 500);
    cache_fill(c, c->k, &b, 500);
    if (memcmp(a.room, b.room, a.bytes) != 0)
        check_fail(c, "kv_store %u x %u/%u differs", n_kv, dim_k, dim_v);
    attn_case(c, &a, 0, 1, false, 0, false);
    attn_case(c, &a, 0, 17, false, 0, true);
    attn_case(c, &a, 0, 64, true, 0, false);
    attn_case(c, &a, 63, 130, false, 20, false);
    attn_case(c, &a, 100, 113, true, 0, true);
    attn_case(c, &a, 0, 500, true, 30, true);
    attn_case(c, &a, 70, 70, true, 0, false); /* only extras */
    attn_case(c, &a, 90, 70, true, 0, false);
    kkv_copy(&a.kv, a.pages, 499, 3);
    kkv_copy(&a.kv, a.pages, 3, 499);
    kkv_copy(&b.kv, b.pages, 499, 3);
    if (memcmp(a.room, b.room, a.bytes) != 0)
        check_fail(c, "kkv_copy there and back differs");
    together_check(c, &a);
    tree_check(c, &a, 0, 60);
    tree_check(c, &a, 9, 64);
    tree_check(c, &a, 100, 100);
    tree_check(c, &a, 30, 345);
    st_free(a.room);
    st_free(b.room);
}

void check_attn(check *c)
{
    const st_dtype types[3] = {ST_F32, ST_F16, ST_Q8_0};
    c->what = "attn";
    for (int i = 0; i < 3; i++) {
        cache_check(c, types[i], 3, 3, 64, 64);
        cache_check(c, types[i], 2, 1, 32, 32);
        cache_check(c, types[i], 1, 7, 80, 96);
        cache_check(c, types[i], 2, 2, 128, 128);
        cache_check(c, types[i], 1, 4, 256, 256);
        cache_check(c, types[i], 2, 5, 12, 20); /* no whole registers */
        cache_check(c, types[i], 1, 1, 5, 3);
    }
}

typedef struct ops_bench {
    const kern *k;
    float x[MOST], y[MOST], w[MOST];
    float scratch[KERN_ATTN_SCRATCH];
    cache kv;
    kview view;
    kattn attn;
} ops_bench;

static void run_rms_norm(void *arg)
{
    ops_bench *b = arg;
    b->k->rms_norm(b->x, b->w, 1e-5f, 576, b->y);
}

static void run_layer_norm(void *arg)
{
    ops_bench *b = arg;
    b->k->layer_norm(b->x, b->w, b->w, 1e-5f, 576, b->y);
}

static void run_silu_mul(void *arg)
{
    ops_bench *b = arg;
    memcpy(b->y, b->x, 1024 * sizeof(float));
    b->k->silu_mul(b->y, b->w, 1024);
}

static void run_gelu_erf(void *arg)
{
    ops_bench *b = arg;
    memcpy(b->y, b->x, 1024 * sizeof(float));
    b->k->gelu_erf(b->y, NULL, 1024);
}

static void run_gelu_tanh(void *arg)
{
    ops_bench *b = arg;
    memcpy(b->y, b->x, 1024 * sizeof(float));
    b->k->gelu_tanh(b->y, NULL, 1024);
}

static void run_softmax(void *arg)
{
    ops_bench *b = arg;
    memcpy(b->y, b->x, 1024 * sizeof(float));
    b->k->softmax(b->y, 1024);
}

static void run_kv_store(void *arg)
{
    ops_bench *b = arg;
    b->k->kv_store(&b->kv.kv, b->kv.pages, 77, b->x, b->w);
}

static void run_attn(void *arg)
{
    ops_bench *b = arg;
    b->k->attn(&b->attn, 0, 9, b->x, b->y, b->scratch);
}

void bench_ops(const kern *k)
{
    const struct {
        const char *what;
        void (*run)(void *arg);
    } runs[] = {
        {"rms_norm 576", run_rms_norm},    {"layer_norm 576", run_layer_norm},
        {"silu_mul 1024", run_silu_mul},   {"gelu_erf 1024", run_gelu_erf},
        {"gelu_tanh 1024", run_gelu_tanh}, {"softmax 1024", run_softmax},
        {"kv_store 3 x 64", run_kv_store}, {"attn 9 heads, 256 positions", run_attn}};
    static ops_bench b;
    check c = {.k = k, .c = k, .rng = {5}};
    b.k = k;
    floats_fill(&c.rng, FILL_PLAIN, b.x, MOST);
    floats_fill(&c.rng, FILL_PLAIN, b.w, MOST);
    const st_dtype types[3] = {ST_F32, ST_F16, ST_Q8_0};
    for (int type = 0; type < 3; type++) {
        b.kv = cache_make(types[type], 3, 3, 64, 64);
        cache_fill(&c, k, &b.kv, 256);
        b.view = (kview){0, 256, NULL, 0};
        b.attn = attn_make(&b.kv, &b.view, 1);
        for (size_t i = type ? 6 : 0; i < ST_COUNT(runs); i++)
            printf("  %-28s %8.1f ns (%s)\n", runs[i].what, bench_ns(runs[i].run, &b),
                   type == 0   ? "F32"
                   : type == 1 ? "F16"
                               : "Q8_0");
        st_free(b.kv.room);
    }
}
