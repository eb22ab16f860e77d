/* bench/row.h - one kind of work that is measured; private to the room.
 *
 * A row is one constant with four functions and one line of the table in rows.c. */
#ifndef BENCH_ROW_H
#define BENCH_ROW_H
#include "base/rng.h"
#include "bench/bench.h"
#include "engine/options.h"

enum {
    BENCH_TOKENS = 2048, /* drawn from a fixed seed */
    BENCH_STREAMS = 16,  /* requests at the same time */
};

typedef struct bench {
    const model_info *info;
    const tok *tok; /* NULL: rows that read text cannot be measured */
    engine *engine;
    size_t kv_token_bytes; /* keys and values of one token, all layers */
    int32_t tokens[BENCH_TOKENS];
    float *logits; /* [n_vocab]; NULL without a head */
} bench;

typedef struct bench_work { /* one repetition */
    double us;
    double count;  /* units done */
    double macs;   /* that they need */
    double bytes;  /* that have to be read for them */
    double tokens; /* made, and the steps that made them; 0 where a row does not count
                      them */
    double steps;
} bench_work;

typedef struct bench_row {
    const char *name;
    const char *unit;
    bool (*fits)(const bench *b);
    /* Everything that is not timed; `end` is called also after a failure. */
    int (*start)(bench *b, void **ret_state, st_err *err);
    int (*run)(bench *b, void *state, bench_work *ret_work, st_err *err);
    void (*end)(void *state); /* NULL allowed */
} bench_row;

extern const bench_row bench_prefill, bench_decode, bench_decode_16, bench_mixed,
    bench_extract, bench_extract_16, bench_decide, bench_options, bench_options_free,
    bench_heads, bench_embed;

const bench_row *bench_rows_at(size_t i); /* NULL after the last */

bool bench_is_decoder(const bench *b); /* `fits` of most rows */

/* Twelve labels of three tokens. */
ST_NODISCARD int bench_labels(const bench *b, options **ret_options, st_err *err);

/* Run n tokens on s, with the logits of the last. */
ST_NODISCARD int bench_feed(bench *b, seq *s, const int32_t *tokens, uint32_t n,
                            st_err *err);
#endif
