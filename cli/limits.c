/* cli/limits.c - two plain loops on all threads: multiply in the cache, read from memory.
 */
#include "cli/limits.h"

#include "base/clock.h"
#include "base/mem.h"
#include "kernels/kernels.h"
#include <string.h>

enum {
    ROWS = 128, /* a matrix of 128 x 512 bytes stays in any second-level cache */
    COLS = 512,
    TOKENS = 64,
    PANELS = ROWS / KERN_PANEL,
    CHUNKS = 512,           /* calls a round, so that every thread gets many */
    ROUNDS = 5,             /* the best one counts: neighbours only take away */
    READ_BYTES = 256 << 20, /* larger than the caches of a processor's share */
    READ_CHUNK = 1 << 20,
    Q8_BYTES = 34, /* a Q8_0 block of 32 columns */
};

typedef struct multiply {
    const kern *k;
    kmat w;
    kact x;
    float *y; /* [workers, TOKENS, ROWS] */
} multiply;

static void multiply_chunk(void *arg, uint32_t chunk, uint32_t worker)
{
    const multiply *m = arg;
    (void)chunk;
    m->k->matmul(&m->w, &m->x, 0, PANELS, m->y + (size_t)worker * TOKENS * ROWS, ROWS);
}

static double multiply_speed(workers *w, multiply *m)
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = st_clock_us();
        workers_run(w, CHUNKS, multiply_chunk, m);
        double us = (double)(st_clock_us() - start) + 1;
        double speed = (double)CHUNKS * ROWS * COLS * TOKENS / us * 1e6;
        best = speed > best ? speed : best;
    }
    return best;
}

static int multiply_measure(workers *w, double *ret, st_err *err)
{
    multiply m = {.w = {ST_Q8_0, ROWS, COLS, NULL}, .x = {.n = TOKENS, .cols = COLS}};
    size_t w_bytes, q_bytes;
    int rc = kern_best(&m.k, err);
    if (rc < 0)
        return rc;
    if (!kmat_bytes(ST_Q8_0, ROWS, COLS, &w_bytes) || !kact_bytes(TOKENS, COLS, &q_bytes))
        return st_err_set(err, ST_EUNSUPPORTED, "no int8 kernel");
    unsigned char *blocks = st_alloc_n(ROWS * COLS / 32, Q8_BYTES);
    float *x = st_aligned_n(TOKENS * COLS, sizeof *x);
    void *room = st_aligned_n(w_bytes, 1), *q = st_aligned_n(q_bytes, 1);
    m.y = st_aligned_n((size_t)workers_count(w) * TOKENS * ROWS, sizeof *m.y);
    if (blocks && x && room && q && m.y) {
        memset(blocks, 0x11, (size_t)ROWS * COLS / 32 * Q8_BYTES);
        for (size_t i = 0; i < (size_t)TOKENS * COLS; i++)
            x[i] = (float)(i % 251) - 125;
        kmat_pack(&m.w, blocks, room, 0, PANELS);
        m.w.data = room;
        m.x.x = x;
        m.x.q = q;
        m.k->quant(&m.x, 0, TOKENS);
        *ret = multiply_speed(w, &m);
    } else {
        rc = st_err_set(err, ST_ENOMEM, "no memory to measure the machine");
    }
    st_free(m.y);
    st_free(q);
    st_free(room);
    st_free(x);
    st_free(blocks);
    return rc;
}

typedef struct reading {
    const uint64_t *words;
    uint64_t *sums; /* [chunks] so that no read is left out */
} reading;

static void read_chunk(void *arg, uint32_t chunk, uint32_t worker)
{
    const reading *r = arg;
    const uint64_t *p = r->words + (size_t)chunk * (READ_CHUNK / sizeof *p);
    uint64_t a = 0, b = 0, c = 0, d = 0;
    (void)worker;
    for (size_t i = 0; i < READ_CHUNK / sizeof *p; i += 4) {
        a += p[i];
        b += p[i + 1];
        c += p[i + 2];
        d += p[i + 3];
    }
    r->sums[chunk] = a + b + c + d;
}

static int read_measure(workers *w, double *ret, st_err *err)
{
    uint64_t *words = st_aligned_n(READ_BYTES, 1);
    uint64_t sums[READ_BYTES / READ_CHUNK];
    reading r = {words, sums};
    double best = 0;
    if (!words)
        return st_err_set(err, ST_ENOMEM, "no memory to measure the machine");
    memset(words, 1, READ_BYTES);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = st_clock_us();
        workers_run(w, READ_BYTES / READ_CHUNK, read_chunk, &r);
        double speed = READ_BYTES / ((double)(st_clock_us() - start) + 1) * 1e6;
        best = speed > best ? speed : best;
    }
    *ret = best;
    st_free(words);
    return 0;
}

int limits_measure(workers *w, limits *ret_limits, st_err *err)
{
    limits l = {0};
    int rc = multiply_measure(w, &l.int8_macs_per_s, err);
    if (rc == 0)
        rc = read_measure(w, &l.read_bytes_per_s, err);
    if (rc == 0)
        *ret_limits = l;
    return rc;
}
