/* stats/gemm.c - float matrix products on all workers.
 *
 * C is cut into blocks of BLOCK_M x BLOCK_N; a block is one chunk of work.  For each run
 * of BLOCK_K terms its share of A and B is packed into the worker's scratch in the order
 * the tile reads it, padded with zeros to whole tiles, and the tiles are added up in a
 * padded copy of the block. */
#include "stats/gemm.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "stats/gemm_tile.h"
#include <string.h>

enum {
    BLOCK_M = 96,  /* A: 96 x 256 floats, 96 KiB */
    BLOCK_N = 256, /* B: 256 x 256 floats, 256 KiB: both stay in a level-2 cache */
    BLOCK_K = 256,
    SCRATCH = BLOCK_M * BLOCK_K + BLOCK_N * BLOCK_K + BLOCK_M * BLOCK_N,
};

struct gemm {
    workers *workers;
    gemm_tile_fn *tile;
    gemm_gather_fn *gather;
    float *scratch; /* SCRATCH floats for each worker */
};

typedef struct product {
    const gemm *g;
    uint32_t m, n, k;
    gemm_mat a, b;
    float *c;
    size_t ldc;
    bool add;
    uint32_t n_across; /* blocks in a row of blocks */
} product;

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

#if defined(__x86_64__)
static void choose_loops(gemm *g, st_isa isa)
{
    bool wide = isa >= ST_ISA_AVX512, middle = isa >= ST_ISA_AVX2;
    g->tile = wide ? gemm_tile_avx512 : middle ? gemm_tile_avx2 : gemm_tile_plain;
    g->gather = wide ? gemm_gather_avx512 : middle ? gemm_gather_avx2 : gemm_gather_plain;
}
#else
static void choose_loops(gemm *g, st_isa isa)
{
    (void)isa; /* the compiler's baseline has the vectors (NEON), or there are none */
    g->tile = gemm_tile_plain;
    g->gather = gemm_gather_plain;
}
#endif

int gemm_new(workers *w, gemm **ret_gemm, st_err *err)
{
    st_isa isa;
    int code = st_cpu_isa(&isa, err);
    if (code)
        return code;
    gemm *g = st_zalloc_n(1, sizeof *g);
    if (!g)
        return st_err_set(err, ST_ENOMEM, "matrix products: out of memory");
    g->workers = w;
    choose_loops(g, isa);
    size_t n = w ? workers_count(w) : 1;
    g->scratch = st_aligned_n(n * SCRATCH, sizeof(float));
    if (!g->scratch) {
        st_free(g);
        return st_err_set(err, ST_ENOMEM, "matrix products: out of memory for scratch");
    }
    *ret_gemm = g;
    return 0;
}

void gemm_free(gemm *g)
{
    if (!g)
        return;
    st_free(g->scratch);
    st_free(g);
}

workers *gemm_workers(gemm *g)
{
    return g->workers;
}

void gemm_gather(const gemm *g, uint64_t n, const uint32_t *at, const float *val,
                 const float *rows, size_t ld, uint32_t width, float *out)
{
    g->gather(n, at, val, rows, ld, width, out);
}

/* Strips of `width` lines of the source, term by term: out[(strip * k + p) * width + i].
 */
static void pack(const float *at, size_t line, size_t term, uint32_t n_lines, uint32_t k,
                 uint32_t width, float *out)
{
    for (uint32_t s = 0; s < n_lines; s += width) {
        uint32_t n = min_u32(width, n_lines - s);
        for (uint32_t p = 0; p < k; p++, out += width) {
            const float *src = at + s * line + p * term;
            for (uint32_t i = 0; i < n; i++)
                out[i] = src[i * line];
            for (uint32_t i = n; i < width; i++)
                out[i] = 0;
        }
    }
}

static void block_store(const product *t, const float *sum, uint32_t i0, uint32_t j0,
                        uint32_t rows, uint32_t cols)
{
    for (uint32_t r = 0; r < rows; r++) {
        float *c = t->c + (i0 + r) * t->ldc + j0;
        if (!t->add)
            memcpy(c, sum + r * BLOCK_N, cols * sizeof *c);
        else
            for (uint32_t j = 0; j < cols; j++)
                c[j] += sum[r * BLOCK_N + j];
    }
}

static void block_run(void *arg, uint32_t chunk, uint32_t worker)
{
    const product *t = arg;
    float *a = t->g->scratch + (size_t)worker * SCRATCH;
    float *b = a + BLOCK_M * BLOCK_K, *sum = b + BLOCK_N * BLOCK_K;
    uint32_t i0 = chunk / t->n_across * BLOCK_M, j0 = chunk % t->n_across * BLOCK_N;
    uint32_t rows = min_u32(BLOCK_M, t->m - i0), cols = min_u32(BLOCK_N, t->n - j0);
    memset(sum, 0, BLOCK_M * BLOCK_N * sizeof *sum);
    for (uint32_t p = 0; p < t->k; p += BLOCK_K) {
        uint32_t k = min_u32(BLOCK_K, t->k - p);
        pack(t->a.at + i0 * t->a.row + p * t->a.col, t->a.row, t->a.col, rows, k,
             GEMM_ROWS, a);
        pack(t->b.at + p * t->b.row + j0 * t->b.col, t->b.col, t->b.row, cols, k,
             GEMM_COLS, b);
        for (uint32_t j = 0; j < cols; j += GEMM_COLS)
            for (uint32_t i = 0; i < rows; i += GEMM_ROWS)
                t->g->tile(k, a + i * k, b + j * k, sum + i * BLOCK_N + j, BLOCK_N);
    }
    block_store(t, sum, i0, j0, rows, cols);
}

void gemm_run(gemm *g, uint32_t m, uint32_t n, uint32_t k, gemm_mat a, gemm_mat b,
              float *c, size_t ldc, bool add)
{
    if (m == 0 || n == 0)
        return;
    product t = {g, m, n, k, a, b, c, ldc, add, (n + BLOCK_N - 1) / BLOCK_N};
    uint32_t down = (m + BLOCK_M - 1) / BLOCK_M;
    if (g->workers) {
        workers_run(g->workers, down * t.n_across, block_run, &t);
        return;
    }
    for (uint32_t i = 0; i < down * t.n_across; i++)
        block_run(&t, i, 0);
}
