/* bench/prefill.c - a long prompt, with the logits of its last token. */
#include "bench/row.h"

#include "base/clock.h"

enum { PROMPT = 512 };

static int start(bench *b, void **ret_state, st_err *err)
{
    seq *s;
    int rc = seq_new(b->engine, &s, err);
    if (rc == 0)
        *ret_state = s;
    return rc;
}

static int run(bench *b, void *state, bench_work *ret_work, st_err *err)
{
    seq *s = state;
    seq_truncate(s, 0);
    uint64_t begin = st_clock_us();
    int rc = bench_feed(b, s, b->tokens, PROMPT, err);
    *ret_work = (bench_work){
        .us = (double)(st_clock_us() - begin),
        .count = PROMPT,
        .macs = PROMPT * (double)b->info->macs_per_token + (double)b->info->head_macs,
        .bytes = (double)b->info->token_bytes,
    };
    return rc;
}

static void end(void *state)
{
    seq_free(state);
}

const bench_row bench_prefill = {"prefill", "tokens_per_s", bench_is_decoder, start, run,
                                 end};
