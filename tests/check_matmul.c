/* tests/check_matmul.c - quantising, matrix products, rows: the same bytes as the twin,
 * and for any batch and any split into panels. */
#include "tests/check.h"

typedef struct setup {
    kmat m;
    kact x;
    float *y;
    const kern *k;
} setup;

static kact act_make(uint32_t n, uint32_t cols, const float *x, bool fine)
{
    size_t bytes;
    if (!kact_bytes(n, cols, &bytes))
        abort();
    kact a = {n, cols, x, check_alloc(bytes), fine};
    memset(a.q, 0, bytes); /* so that what is not used compares equal */
    return a;
}

static void act_quant(const kern *k, const kact *a, uint32_t row0, uint32_t row1)
{
    k->quant(a, row0, row1);
    if (a->fine)
        kact_refine(a, row0, row1);
}

static setup setup_make(st_rng *rng, st_dtype type, uint32_t rows, uint32_t cols,
                        uint32_t n, int kind)
{
    size_t blocks_bytes, packed;
    if (!st_dtype_size(type, (uint64_t)rows * cols, &blocks_bytes) ||
        !kmat_bytes(type, rows, cols, &packed))
        abort();
    setup s = {.m = {type, rows, cols, check_alloc(packed)}};
    unsigned char *blocks = check_alloc(blocks_bytes);
    void *room = check_alloc(packed);
    blocks_fill(rng, type, blocks, (size_t)rows * cols / st_dtype_get(type)->block);
    kmat_pack(&s.m, blocks, room, 0, kmat_panels(&s.m));
    st_free((void *)(uintptr_t)s.m.data);
    s.m.data = room;
    float *x = check_alloc((size_t)n * cols * sizeof *x);
    floats_fill(rng, kind, x, (size_t)n * cols);
    s.x = act_make(n, cols, x, false);
    s.y = check_alloc((size_t)n * rows * sizeof *s.y);
    st_free(blocks);
    return s;
}

static void setup_free(setup *s)
{
    st_free((void *)(uintptr_t)s->m.data);
    st_free((void *)(uintptr_t)s->x.x);
    st_free(s->x.q);
    st_free(s->y);
}

static void quant_check(check *c, const setup *s)
{
    size_t act;
    if (!kact_bytes(s->x.n, s->x.cols, &act))
        abort();
    kact twin = act_make(s->x.n, s->x.cols, s->x.x, s->x.fine);
    act_quant(c->c, &twin, 0, twin.n);
    uint32_t middle = s->x.n / 2; /* two threads' worth */
    act_quant(c->k, &s->x, middle, s->x.n);
    act_quant(c->k, &s->x, 0, middle);
    if (memcmp(twin.q, s->x.q, act) != 0)
        check_fail(c, "quant of %u x %u differs", s->x.n, s->x.cols);
    st_free(twin.q);
}

static void products_check(check *c, const setup *s)
{
    const uint32_t n = s->x.n, rows = s->m.rows, panels = kmat_panels(&s->m);
    float *want = check_alloc((size_t)n * rows * sizeof *want);
    c->c->matmul(&s->m, &s->x, 0, panels, want, rows);
    memset(s->y, 0xFF, (size_t)n * rows * sizeof *s->y);
    for (uint32_t p = 0; p < panels; p += 2)
        c->k->matmul(&s->m, &s->x, p, p + 2 < panels ? p + 2 : panels, s->y, rows);
    for (size_t i = 0; i < (size_t)n * rows; i++) {
        if (memcmp(&want[i], &s->y[i], 4) != 0) {
            check_fail(c, "%u x %u, %u tokens: token %zu row %zu: %.9g, not %.9g", rows,
                       s->m.cols, n, i / rows, i % rows, (double)s->y[i],
                       (double)want[i]);
            break;
        }
    }
    st_free(want);
}

/* One token at a time gives the bytes that the batch gave; so do chosen rows. */
static void splits_check(check *c, const setup *s)
{
    const uint32_t rows = s->m.rows, cols = s->m.cols;
    float *y = check_alloc(rows * sizeof *y), some[3];
    kact one = act_make(1, cols, NULL, s->x.fine);
    for (uint32_t t = 0; t < s->x.n; t += 1 + s->x.n / 5) {
        int32_t which[3] = {(int32_t)rows - 1, 0, (int32_t)(rows / 2)};
        one.x = s->x.x + (size_t)t * cols;
        act_quant(c->k, &one, 0, 1);
        c->k->matmul(&s->m, &one, 0, kmat_panels(&s->m), y, rows);
        if (memcmp(y, s->y + (size_t)t * rows, rows * sizeof *y) != 0)
            check_fail(c, "%u x %u: token %u alone differs from the batch of %u", rows,
                       cols, t, s->x.n);
        c->k->rows(&s->m, &s->x, t, which, 3, some);
        for (int i = 0; i < 3; i++)
            if (memcmp(&some[i], &y[which[i]], 4) != 0)
                check_fail(c, "row %d alone differs", which[i]);
    }
    st_free(one.q);
    st_free(y);
}

static void row_check(check *c, const setup *s)
{
    float *want = check_alloc(s->m.cols * sizeof *want);
    float *got = check_alloc(s->m.cols * sizeof *got);
    for (uint32_t r = 0; r < s->m.rows; r += 1 + s->m.rows / 4) {
        c->c->row(&s->m, r, want);
        c->k->row(&s->m, r, got);
        if (memcmp(want, got, s->m.cols * sizeof *got) != 0)
            check_fail(c, "row %u of %u columns differs", r, s->m.cols);
    }
    st_free(got);
    st_free(want);
}

static void case_check(check *c, st_dtype type, uint32_t rows, uint32_t cols, uint32_t n,
                       int kind)
{
    setup s = setup_make(&c->rng, type, rows, cols, n, kind);
    for (int fine = 0; fine < (cols % KERN_QBLOCK ? 1 : 2); fine++) {
        s.x.fine = fine != 0;
        quant_check(c, &s);
        products_check(c, &s);
        splits_check(c, &s);
    }
    row_check(c, &s);
    setup_free(&s);
}

void check_matmul(check *c)
{
    char what[64];
    c->what = what;
    for (size_t i = 0; i < ST_COUNT(check_types); i++) {
        st_dtype type = check_types[i];
        const st_dtype_info *info = st_dtype_get((uint32_t)type);
        uint32_t block = info->block == 1 ? 7 : info->block; /* float: any width */
        snprintf(what, sizeof what, "matmul %s", info->name);
        for (uint32_t n = 1; n <= 17; n++)
            case_check(c, type, 1 + n * 5 % 37, block * (1 + n % 5), n, FILL_PLAIN);
        for (int kind = 0; kind < FILL_KINDS; kind++)
            case_check(c, type, 36, block * 3, 5, kind);
        case_check(c, type, 33, block == 256 ? 768 : 576, 29, FILL_OUTLIER);
        case_check(c, type, 16, block, 97, FILL_PLAIN); /* more than one group */
        case_check(c, type, 3, block == 256 ? 2304 : 2080, 2, FILL_HUGE);
    }
    c->what = "";
}

static void run_quant(void *arg)
{
    setup *s = arg;
    s->k->quant(&s->x, 0, s->x.n);
}

static void run_row(void *arg)
{
    setup *s = arg;
    s->k->row(&s->m, 5, s->y);
}

void bench_rows(const kern *k)
{
    st_rng rng = {3};
    setup s = setup_make(&rng, ST_Q4_K, 1536, 512, 64, FILL_PLAIN);
    s.k = k;
    printf("  %-28s %8.1f ns a token\n", "quant 512", bench_ns(run_quant, &s) / 64);
    printf("  %-28s %8.1f ns\n", "row Q4_K 512", bench_ns(run_row, &s));
    size_t bytes;
    if (!st_dtype_size(ST_Q4_K, 1536u * 512u, &bytes))
        abort();
    unsigned char *blocks = check_alloc(bytes);
    blocks_fill(&rng, ST_Q4_K, blocks, 1536 * 2);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < 20; i++)
        kmat_pack(&s.m, blocks, (void *)(uintptr_t)s.m.data, 0, kmat_panels(&s.m));
    clock_gettime(CLOCK_MONOTONIC, &b);
    double ns = (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
    printf("  %-28s %8.2f GB/s\n", "pack Q4_K", 20.0 * (double)bytes / ns);
    st_free(blocks);
    setup_free(&s);
}
