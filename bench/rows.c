/* bench/rows.c - the table of rows, in the order they are reported. */
#include "bench/row.h"

static const bench_row *const rows[] = {
    &bench_prefill,      &bench_decode,     &bench_decode_16, &bench_mixed,
    &bench_extract,      &bench_extract_16, &bench_decide,    &bench_options,
    &bench_options_free, &bench_heads,      &bench_embed,
};
_Static_assert(ST_COUNT(rows) <= BENCH_MAX_ROWS, "a report holds every row");

const bench_row *bench_rows_at(size_t i)
{
    return i < ST_COUNT(rows) ? rows[i] : NULL;
}

bool bench_is_decoder(const bench *b)
{
    return b->info->has_head && b->info->causal;
}

int bench_feed(bench *b, seq *s, const int32_t *tokens, uint32_t n, st_err *err)
{
    const uint32_t last = n - 1;
    step_item item = {.s = s,
                      .tokens = tokens,
                      .n = n,
                      .out = &last,
                      .n_out = 1,
                      .ret_logits = b->logits};
    return engine_step(b->engine, &item, 1, err);
}
