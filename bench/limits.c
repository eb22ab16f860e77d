/* bench/limits.c - rounds of the two loops on all threads. */
#define _DEFAULT_SOURCE /* madvise */
#include "bench/limits.h"

#include "base/clock.h"
#include "base/mem.h"
#include "bench/loops.h"
#include <string.h>
#include <sys/mman.h>

enum {
    MULTIPLY_CHUNKS = 64,
    MULTIPLY_CALLS = 256,   /* products a chunk: some hundred microseconds */
    READ_BYTES = 256 << 20, /* larger than the caches of a processor's share */
    READ_CHUNK = 2 << 20,   /* a huge page */
};

struct limits_meter {
    workers *w;
    const loops *loops;
    limits best;
    unsigned char *memory; /* [READ_BYTES] */
    int8_t *weights;
    uint8_t *activations;
    uint64_t sums[READ_BYTES / READ_CHUNK]; /* so that no work is left out */
};

static void multiply_chunk(void *arg, uint32_t chunk, uint32_t worker)
{
    limits_meter *m = arg;
    uint32_t sum = 0;
    (void)worker;
    for (int i = 0; i < MULTIPLY_CALLS; i++)
        sum += m->loops->multiply(m->weights, m->activations);
    m->sums[chunk] = sum;
}

static void read_chunk(void *arg, uint32_t chunk, uint32_t worker)
{
    limits_meter *m = arg;
    (void)worker;
    m->sums[chunk] = m->loops->read(m->memory + (size_t)chunk * READ_CHUNK, READ_CHUNK);
}

static void keep_best(double amount, uint64_t start_us, double *best)
{
    double speed = amount / ((double)(st_clock_us() - start_us) + 1) * 1e6;
    if (speed > *best)
        *best = speed;
}

void limits_meter_round(limits_meter *m)
{
    uint64_t start = st_clock_us();
    workers_run(m->w, MULTIPLY_CHUNKS, multiply_chunk, m);
    keep_best(LOOP_MACS * MULTIPLY_CALLS * MULTIPLY_CHUNKS, start,
              &m->best.int8_macs_per_s);
    start = st_clock_us();
    workers_run(m->w, READ_BYTES / READ_CHUNK, read_chunk, m);
    keep_best(READ_BYTES, start, &m->best.read_bytes_per_s);
}

limits limits_meter_best(const limits_meter *m)
{
    return m->best;
}

int limits_meter_new(workers *w, st_isa isa, limits_meter **ret_meter, st_err *err)
{
    limits_meter *m = st_zalloc_n(1, sizeof *m);
    if (!m)
        return st_err_set(err, ST_ENOMEM, "no memory to measure the machine");
    m->w = w;
    m->loops = loops_get(isa);
    m->weights = st_aligned_n(LOOP_ROWS, LOOP_COLS);
    m->activations = st_aligned_n(LOOP_TOKENS, LOOP_COLS);
    m->memory = mmap(NULL, READ_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m->memory == MAP_FAILED)
        m->memory = NULL;
    if (!m->weights || !m->activations || !m->memory) {
        limits_meter_free(m);
        return st_err_set(err, ST_ENOMEM, "no memory to measure the machine");
    }
    madvise(m->memory, READ_BYTES, MADV_HUGEPAGE);
    memset(m->memory, 1, READ_BYTES);
    memset(m->weights, 3, LOOP_ROWS * LOOP_COLS);
    memset(m->activations, 5, LOOP_TOKENS * LOOP_COLS);
    *ret_meter = m;
    return 0;
}

void limits_meter_free(limits_meter *m)
{
    if (!m)
        return;
    if (m->memory)
        munmap(m->memory, READ_BYTES);
    st_free(m->weights);
    st_free(m->activations);
    st_free(m);
}
