/* tests/check.h - parts of check_kernels: every kernel of every ISA against its C twin.
 *
 * A check compares one table with the C twin and counts what is wrong; a bench times the
 * table.  Both print one line a kernel.  No libraries: it also runs under an emulator. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H
#include "base/mem.h"
#include "base/rng.h"
#include "kernels/kernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct check {
    const kern *k; /* the table under test */
    const kern *c; /* its twin */
    st_rng rng;
    const char *what;  /* "matmul Q4_K" */
    unsigned failures; /* of this table so far */
    double worst;      /* largest error / budget of this kernel */
} check;

static const st_dtype check_types[] = {
    ST_F32,  ST_F16,  ST_BF16, ST_Q4_0, ST_Q4_1, ST_Q5_0,   ST_Q5_1,   ST_Q8_0,
    ST_Q2_K, ST_Q3_K, ST_Q4_K, ST_Q5_K, ST_Q6_K, ST_IQ4_NL, ST_IQ4_XS, ST_MXFP4};

void check_fail(check *c, const char *fmt, ...) ST_PRINTF(2, 3);

/* Fill GGUF blocks with random codes and scales around `scale` (finite halves). */
void blocks_fill(st_rng *rng, st_dtype type, unsigned char *p, size_t n_blocks);

/* Memory for tests: ends the program when there is none. */
void *check_alloc(size_t bytes);

/* Random floats of a kind: normal-ish values, zeros, huge, tiny, outliers, and the same
 * everywhere (sums at their largest). */
enum { FILL_PLAIN, FILL_ZERO, FILL_HUGE, FILL_TINY, FILL_OUTLIER, FILL_SAME, FILL_KINDS };
void floats_fill(st_rng *rng, int kind, float *x, size_t n);

void check_matmul(check *c);
void check_ops(check *c);
void check_attn(check *c);

/* Nanoseconds of this thread in one call, the best of several runs. */
double bench_ns(void (*run)(void *), void *arg);
void bench_matmul(const kern *k);
void bench_rows(const kern *k);
void bench_ops(const kern *k);
#endif
