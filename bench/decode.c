/* bench/decode.c - tokens one after another, the most likely of the whole vocabulary each
 * time, for one stream and for many in step.
 *
 * A step needs every weight once, whatever the number of streams, and each stream's own
 * keys and values. */
#include "bench/row.h"

#include "base/clock.h"
#include "base/mem.h"

enum { PROMPT = 128, STEPS = 32 };

typedef struct streams {
    uint32_t n;
    seq *seqs[BENCH_STREAMS];
} streams;

static int start(bench *b, uint32_t n, void **ret_state, st_err *err)
{
    streams *st = st_zalloc_n(1, sizeof *st);
    if (!st)
        return st_err_set(err, ST_ENOMEM, "no memory for streams");
    *ret_state = st;
    for (; st->n < n; st->n++) {
        int rc = seq_new(b->engine, &st->seqs[st->n], err);
        if (rc < 0)
            return rc;
        if ((rc = bench_feed(b, st->seqs[st->n], b->tokens + st->n, PROMPT, err)) < 0) {
            seq_free(st->seqs[st->n]);
            return rc;
        }
    }
    return 0;
}

static int start_one(bench *b, void **ret_state, st_err *err)
{
    return start(b, 1, ret_state, err);
}

static int start_many(bench *b, void **ret_state, st_err *err)
{
    return start(b, BENCH_STREAMS, ret_state, err);
}

static int step(bench *b, streams *st, uint32_t at, st_err *err)
{
    static const uint32_t first = 0;
    int32_t best[BENCH_STREAMS];
    step_item items[BENCH_STREAMS];
    for (uint32_t i = 0; i < st->n; i++)
        items[i] = (step_item){
            .s = st->seqs[i],
            .tokens = &b->tokens[at + i],
            .n = 1,
            .out = &first,
            .n_out = 1,
            .ret_best = &best[i],
        };
    return engine_step(b->engine, items, st->n, err);
}

static int run(bench *b, void *state, bench_work *ret_work, st_err *err)
{
    streams *st = state;
    double tokens = (double)st->n * STEPS;
    double positions = tokens * (PROMPT + STEPS / 2.0);
    int rc = 0;
    for (uint32_t i = 0; i < st->n; i++)
        seq_truncate(st->seqs[i], PROMPT);
    uint64_t begin = st_clock_us();
    for (uint32_t i = 0; rc == 0 && i < STEPS; i++)
        rc = step(b, st, i, err);
    *ret_work = (bench_work){
        .us = (double)(st_clock_us() - begin),
        .count = tokens,
        .macs = tokens * (double)(b->info->macs_per_token + b->info->head_macs),
        .bytes =
            STEPS * (double)b->info->token_bytes + positions * (double)b->kv_token_bytes,
    };
    return rc;
}

static void end(void *state)
{
    streams *st = state;
    for (uint32_t i = 0; st && i < st->n; i++)
        seq_free(st->seqs[i]);
    st_free(st);
}

const bench_row bench_decode = {
    "decode", "tokens_per_s", bench_is_decoder, start_one, run, end};
const bench_row bench_decode_16 = {
    "decode_16", "tokens_per_s", bench_is_decoder, start_many, run, end};
