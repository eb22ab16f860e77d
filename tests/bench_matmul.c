/* tests/bench_matmul.c - matrix products timed beside the plain loops of bench/loops.h,
 * in the same run and on the same core.
 *
 * One figure is the seven matrices of a layer, one after another, for a number of tokens;
 * columns are rounded up to whole blocks of the format.  The last is one token through so
 * many copies of the layer that they come from memory. */
#include "bench/loops.h"
#include "tests/check.h"

enum { MATRICES = 7, FAR_BYTES = 96 << 20 };

typedef struct layer_shape {
    const char *name;
    uint32_t size[MATRICES][2]; /* rows, columns of q, k, v, o, gate, up, down */
} layer_shape;

static const layer_shape shapes[] = {
    {"135M",
     {{576, 576},
      {192, 576},
      {192, 576},
      {576, 576},
      {1536, 576},
      {1536, 576},
      {576, 1536}}},
    {"0.5B",
     {{896, 896},
      {128, 896},
      {128, 896},
      {896, 896},
      {4864, 896},
      {4864, 896},
      {896, 4864}}},
};

typedef struct layer {
    const kern *k;
    kmat w[MATRICES]; /* of the first copy */
    kact x[MATRICES];
    float *y;
    unsigned char *room; /* [copies, bytes] */
    size_t bytes;
    uint32_t copies;
    double macs; /* of a token and a copy */
} layer;

typedef struct limit {
    const loops *l;
    int8_t *w;
    uint8_t *x;
    unsigned char *memory;
    uint64_t sum; /* so that no work is left out */
    double macs_per_ns;
    double bytes_per_ns;
} limit;

static uint32_t columns_of(st_dtype type, uint32_t cols)
{
    uint32_t block = st_dtype_get((uint32_t)type)->block;
    return (cols + block - 1) / block * block;
}

static size_t packed_bytes(st_dtype type, const uint32_t *size)
{
    size_t bytes;
    if (!kmat_bytes(type, size[0], columns_of(type, size[1]), &bytes))
        abort();
    return bytes;
}

static void matrix_fill(st_rng *rng, kmat *m, unsigned char *room)
{
    size_t bytes;
    if (!st_dtype_size(m->type, (uint64_t)m->rows * m->cols, &bytes))
        abort();
    unsigned char *blocks = check_alloc(bytes);
    blocks_fill(rng, m->type, blocks, bytes / st_dtype_get((uint32_t)m->type)->bytes);
    kmat_pack(m, blocks, room, 0, kmat_panels(m));
    m->data = room;
    st_free(blocks);
}

static kact rows_make(st_rng *rng, const kern *k, uint32_t n, uint32_t cols)
{
    size_t bytes;
    if (!kact_bytes(n, cols, &bytes))
        abort();
    float *x = check_alloc((size_t)n * cols * sizeof *x);
    floats_fill(rng, FILL_PLAIN, x, (size_t)n * cols);
    kact a = {.n = n, .cols = cols, .x = x, .q = check_alloc(bytes)};
    k->quant(&a, 0, n);
    return a;
}

/* With copies enough to fill the memory, or one. */
static layer layer_make(const kern *k, st_dtype type, const layer_shape *s, uint32_t n,
                        bool far)
{
    layer l = {.k = k};
    st_rng rng = {3};
    uint32_t most = 0;
    for (int i = 0; i < MATRICES; i++)
        l.bytes += packed_bytes(type, s->size[i]);
    l.copies = far ? (uint32_t)(FAR_BYTES / l.bytes) + 1 : 1;
    l.room = check_alloc(l.bytes * l.copies);
    unsigned char *at = l.room;
    for (int i = 0; i < MATRICES; i++) {
        uint32_t rows = s->size[i][0], cols = columns_of(type, s->size[i][1]);
        l.w[i] = (kmat){type, rows, cols, NULL};
        matrix_fill(&rng, &l.w[i], at);
        at += packed_bytes(type, s->size[i]);
        l.x[i] = rows_make(&rng, k, n, cols);
        l.macs += (double)rows * cols;
        most = rows > most ? rows : most;
    }
    for (uint32_t c = 1; c < l.copies; c++)
        memcpy(l.room + c * l.bytes, l.room, l.bytes);
    l.y = check_alloc((size_t)n * most * sizeof *l.y);
    return l;
}

static void layer_free(layer *l)
{
    for (int i = 0; i < MATRICES; i++) {
        st_free((void *)(uintptr_t)l->x[i].x);
        st_free(l->x[i].q);
    }
    st_free(l->room);
    st_free(l->y);
}

static void layer_run(void *arg)
{
    layer *l = arg;
    for (uint32_t c = 0; c < l->copies; c++) {
        for (int i = 0; i < MATRICES; i++) {
            kmat w = l->w[i];
            w.data = (const unsigned char *)w.data + c * l->bytes;
            l->k->matmul(&w, &l->x[i], 0, kmat_panels(&w), l->y, w.rows);
        }
    }
}

static void multiply_run(void *arg)
{
    limit *m = arg;
    m->sum += m->l->multiply(m->w, m->x);
}

static void read_run(void *arg)
{
    limit *m = arg;
    m->sum += m->l->read(m->memory, FAR_BYTES);
}

static limit limit_measure(st_isa isa)
{
    limit m = {.l = loops_get(isa)};
    m.w = check_alloc(LOOP_ROWS * LOOP_COLS);
    m.x = check_alloc(LOOP_TOKENS * LOOP_COLS);
    m.memory = check_alloc(FAR_BYTES);
    memset(m.w, 3, LOOP_ROWS * LOOP_COLS);
    memset(m.x, 5, LOOP_TOKENS * LOOP_COLS);
    memset(m.memory, 1, FAR_BYTES);
    m.macs_per_ns = LOOP_MACS / bench_ns(multiply_run, &m);
    m.bytes_per_ns = FAR_BYTES / bench_ns(read_run, &m);
    st_free(m.w);
    st_free(m.x);
    st_free(m.memory);
    return m;
}

static void format_bench(const kern *k, st_dtype type, const layer_shape *s,
                         const limit *m)
{
    static const uint32_t tokens[] = {1, 4, 16, 64, 512};
    printf("  %-8s %s", st_dtype_get((uint32_t)type)->name, s->name);
    for (size_t i = 0; i < (k->isa == ST_ISA_C ? 2 : ST_COUNT(tokens)); i++) {
        layer l = layer_make(k, type, s, tokens[i], false);
        double speed = l.macs * tokens[i] / bench_ns(layer_run, &l);
        printf(" %7.1f (%3.0f %%)", speed, 100 * speed / m->macs_per_ns);
        fflush(stdout);
        layer_free(&l);
    }
    layer l = layer_make(k, type, s, 1, true);
    double speed = (double)l.bytes * l.copies / bench_ns(layer_run, &l);
    printf(" | %5.1f (%3.0f %%)\n", speed, 100 * speed / m->bytes_per_ns);
    layer_free(&l);
}

void bench_matmul(const kern *k)
{
    limit m = limit_measure(k->isa);
    printf("%s: a plain loop makes %.1f G int8 MAC/s and reads %.1f GB/s\n"
           "  a layer at        1             4            16            64           512"
           " tokens, G MAC/s | 1 from memory, GB/s\n",
           st_isa_name(k->isa), m.macs_per_ns, m.bytes_per_ns);
    for (size_t i = 0; i < ST_COUNT(check_types); i++)
        for (size_t s = 0; s < ST_COUNT(shapes); s++)
            format_bench(k, check_types[i], &shapes[s], &m);
}
