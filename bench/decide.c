/* bench/decide.c - one decision alone: labels scored after a short input, the
 * instructions before it already in place. */
#include "bench/row.h"

#include "base/clock.h"
#include "base/mem.h"

enum {
    PREFIX = 96, /* tokens of the instructions */
    INPUT = 32,  /* tokens of the input */
    LABELS = 12,
    LABEL_TOKENS = 3, /* the end token not counted */
};

typedef struct decision {
    options *labels;
    seq *prefix;
} decision;

int bench_labels(const bench *b, options **ret_options, st_err *err)
{
    int32_t labels[LABELS][LABEL_TOKENS];
    const int32_t *ids[LABELS];
    uint32_t n_ids[LABELS];
    for (uint32_t i = 0; i < LABELS; i++) {
        for (uint32_t j = 0; j < LABEL_TOKENS; j++)
            labels[i][j] = (int32_t)((7 + 13 * i + 131 * j) % b->info->n_vocab);
        ids[i] = labels[i];
        n_ids[i] = LABEL_TOKENS;
    }
    return options_new(ids, n_ids, LABELS, 0, ret_options, err);
}

static int start(bench *b, void **ret_state, st_err *err)
{
    decision *d = st_zalloc_n(1, sizeof *d);
    if (!d)
        return st_err_set(err, ST_ENOMEM, "no memory for a decision");
    *ret_state = d;
    int rc = bench_labels(b, &d->labels, err);
    if (rc == 0)
        rc = seq_new(b->engine, &d->prefix, err);
    return rc ? rc : bench_feed(b, d->prefix, b->tokens, PREFIX, err);
}

/* Multiplications: the input, the trie's inner nodes, and one row of the head for each of
 * them and for the input's end. */
static double macs_needed(const model_info *info)
{
    double inner = LABELS * LABEL_TOKENS; /* only end tokens are leaves */
    return (INPUT + inner) * (double)info->macs_per_token +
           (inner + 1) * (double)info->head_macs;
}

static int run(bench *b, void *state, bench_work *ret_work, st_err *err)
{
    decision *d = state;
    double logp[LABELS];
    seq *s = NULL;
    uint64_t begin = st_clock_us();
    int rc = seq_fork(d->prefix, PREFIX, &s, err);
    if (rc == 0)
        rc = options_score(d->labels, s, b->tokens + PREFIX, INPUT, logp, err);
    *ret_work = (bench_work){
        .us = (double)(st_clock_us() - begin),
        .count = 1,
        .macs = macs_needed(b->info),
        .bytes = (double)b->info->token_bytes,
    };
    seq_free(s);
    return rc;
}

static void end(void *state)
{
    decision *d = state;
    if (!d)
        return;
    seq_free(d->prefix);
    options_free(d->labels);
    st_free(d);
}

const bench_row bench_decide = {"decide", "decisions_per_s", bench_is_decoder, start, run,
                                end};
