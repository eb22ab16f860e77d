/* bench/bench.h - how fast a model runs here, and how much of the machine that is.
 *
 * A run measures some kinds of work (rows) on one engine.  The repetitions of all rows
 * alternate with each other and with rounds of the machine's limits, so that a change of
 * the machine's mood reaches all of them; each figure is a median.
 *
 * The share of the limit is the time that the scarcer of two things would take, over the
 * time taken: the multiplications that the result needs, at the int8 limit, or the bytes
 * of weights and of keys and values that have to be read, at the memory's.
 *
 * Threads: the caller owns the run.  Memory: freed before it returns. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H
#include "bench/limits.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

enum {
    BENCH_MAX_ROWS = 16,
    BENCH_CTX = 1024, /* tokens of context that a decoder's rows need */
};

typedef struct bench_opts {
    engine_opts engine; /* sizes left 0 are chosen here */
    const tok *tok;     /* the model's; NULL: rows that read text are left out */
    const char *only;   /* names of rows, with commas; NULL: all that the model can do */
    unsigned runs;      /* repetitions; 0: 5 */
} bench_opts;

typedef struct bench_figure {
    const char *name;
    const char *unit;       /* "tokens_per_s", ... */
    double per_s;           /* units a second */
    double limit_share;     /* 1: the machine's limit */
    double tokens_per_s;    /* made; 0 where a row does not count them */
    double tokens_per_step; /* of one request */
} bench_figure;

typedef struct bench_report {
    st_isa isa;
    unsigned n_threads;
    limits limits;
    uint32_t n_figures;
    bench_figure figures[BENCH_MAX_ROWS];
} bench_report;

/* ST_EINVAL when `only` names no row, or one that this model cannot do, or the context is
 * too short. */
ST_NODISCARD int bench_run(const model *m, const bench_opts *opts,
                           bench_report *ret_report, st_err *err);
#endif
