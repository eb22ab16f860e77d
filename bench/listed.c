/* bench/listed.c - 77 options listed in the instructions, sixteen requests waiting.
 *
 * The instructions are in place; what is timed are the inputs and the trie of the
 * options' names.  Its shape is that of names such as "card_not_working": twelve first
 * words, a sign between words.  `options` asks for the distribution that an answer held
 * to the list is drawn from, options_free for what the model would say by itself. */
#include "bench/row.h"

#include "base/clock.h"
#include "base/mem.h"

enum {
    INSTRUCTIONS = 650, /* tokens */
    INPUT = 20,
    NAMES = 77,
    GROUPS = 12,
    NAME_TOKENS = 5, /* at most; every second name has one less */
};

typedef struct listed {
    bool held;
    options *names;
    seq *instructions;
    double *logp; /* [BENCH_STREAMS, NAMES] */
} listed;

static int names_make(const bench *b, options **ret, st_err *err)
{
    int32_t names[NAMES][NAME_TOKENS];
    const int32_t *ids[NAMES];
    uint32_t n_ids[NAMES];
    for (uint32_t i = 0; i < NAMES; i++) {
        const uint32_t words[NAME_TOKENS] = {1 + i % GROUPS, 40, 50 + i, 40, 150 + i};
        for (uint32_t j = 0; j < NAME_TOKENS; j++)
            names[i][j] = (int32_t)(words[j] % b->info->n_vocab);
        ids[i] = names[i];
        n_ids[i] = NAME_TOKENS - i % 2;
    }
    return options_new(ids, n_ids, NAMES, 0, ret, err);
}

static int start(bench *b, bool held, void **ret_state, st_err *err)
{
    listed *l = st_zalloc_n(1, sizeof *l);
    if (!l)
        return st_err_set(err, ST_ENOMEM, "no memory for listed options");
    *ret_state = l;
    l->held = held;
    l->logp = st_alloc_n(BENCH_STREAMS * NAMES, sizeof *l->logp);
    if (!l->logp)
        return st_err_set(err, ST_ENOMEM, "no memory for listed options");
    int rc = names_make(b, &l->names, err);
    if (rc == 0)
        rc = seq_new(b->engine, &l->instructions, err);
    return rc ? rc : bench_feed(b, l->instructions, b->tokens, INSTRUCTIONS, err);
}

static int start_held(bench *b, void **ret_state, st_err *err)
{
    return start(b, true, ret_state, err);
}

static int start_free(bench *b, void **ret_state, st_err *err)
{
    return start(b, false, ret_state, err);
}

/* The input and the nodes that exact numbers need; held, only the options' own rows of
 * the head. */
static double macs_needed(const bench *b, const listed *l)
{
    double run = options_n_run(l->names, l->held);
    double head = l->held ? (double)options_n_nodes(l->names) * b->info->n_embd
                          : (run + 1) * (double)b->info->head_macs;
    return (INPUT + run) * (double)b->info->macs_per_token + head;
}

static int run(bench *b, void *state, bench_work *ret_work, st_err *err)
{
    listed *l = state;
    options_request requests[BENCH_STREAMS] = {{0}};
    uint32_t n = 0;
    int rc = 0;
    uint64_t begin = st_clock_us();
    for (; rc == 0 && n < BENCH_STREAMS; n++) {
        requests[n] = (options_request){.options = l->names,
                                        .tokens = b->tokens + INSTRUCTIONS + n * INPUT,
                                        .n = INPUT,
                                        .held = l->held,
                                        .ret_logp = l->logp + (size_t)n * NAMES};
        rc = seq_fork(l->instructions, INSTRUCTIONS, &requests[n].s, err);
    }
    if (rc == 0)
        rc = options_score_many(requests, BENCH_STREAMS, err);
    *ret_work = (bench_work){
        .us = (double)(st_clock_us() - begin),
        .count = BENCH_STREAMS,
        .macs = BENCH_STREAMS * macs_needed(b, l),
        .bytes = (double)b->info->token_bytes,
    };
    while (n > 0)
        seq_free(requests[--n].s);
    return rc;
}

static void end(void *state)
{
    listed *l = state;
    if (!l)
        return;
    seq_free(l->instructions);
    options_free(l->names);
    st_free(l->logp);
    st_free(l);
}

const bench_row bench_options = {
    "options", "requests_per_s", bench_is_decoder, start_held, run, end};
const bench_row bench_options_free = {
    "options_free", "requests_per_s", bench_is_decoder, start_free, run, end};
