/* bench/mixed.c - streams being written while prompts, decisions and short texts arrive,
 * through the scheduler.
 *
 * Every request is a client of its own, so nothing of another repetition is reused. */
#include "bench/row.h"

#include "base/clock.h"
#include "base/mem.h"
#include "engine/sched.h"

enum {
    WRITERS = 8, /* there from the start */
    WRITER_PROMPT = 64,
    WRITER_TOKENS = 32,
    PROMPTS = 6, /* one arrives every fourth step */
    PROMPT = 256,
    PROMPT_TOKENS = 4,
    DECISIONS = 6, /* one arrives every fourth step */
    DECISION = 128,
    TEXTS = 12, /* one arrives every second step, for the state of the middle layer */
    TEXT = 20,
};

typedef struct place { /* where answers go: nobody reads them */
    options *labels;
    double *logp;
    float *mean;
} place;

typedef struct arrivals {
    bench *b;
    const place *answers;
    sched *s;
    uint64_t key;
    uint32_t failed;
    double macs;
} arrivals;

static void done(void *arg, const sched_result *result)
{
    arrivals *a = arg;
    a->failed += result->end == SCHED_END_ERROR;
}

static int generate(arrivals *a, uint32_t n, uint32_t n_new, st_err *err)
{
    const model_info *info = a->b->info;
    sched_request request = {
        .key = ++a->key,
        .tokens = a->b->tokens + a->key,
        .n = n,
        .generate = {.how = {.top_p = 1, .repeat_penalty = 1}, .max_new = n_new},
        .done = done,
        .arg = a,
    };
    sched_id id;
    a->macs +=
        (n + n_new - 1) * (double)info->macs_per_token + n_new * (double)info->head_macs;
    return sched_submit(a->s, &request, &id, err);
}

static int decide(arrivals *a, st_err *err)
{
    const model_info *info = a->b->info;
    const options *labels = a->answers->labels;
    const double run = options_n_run(labels, false);
    sched_request request = {
        .key = ++a->key,
        .tokens = a->b->tokens + a->key,
        .n = DECISION,
        .kind = SCHED_OPTIONS,
        .options = {.options = labels, .ret_logp = a->answers->logp},
        .done = done,
        .arg = a,
    };
    sched_id id;
    a->macs += (DECISION + run) * (double)info->macs_per_token +
               (run + 1) * (double)info->head_macs;
    return sched_submit(a->s, &request, &id, err);
}

static int read_text(arrivals *a, st_err *err)
{
    const model_info *info = a->b->info;
    uint32_t layer = (info->n_layers + 1) / 2;
    sched_request request = {
        .key = ++a->key,
        .tokens = a->b->tokens + a->key,
        .n = TEXT,
        .kind = SCHED_STATES,
        .states = {.first_layer = layer,
                   .last_layer = layer,
                   .ret_mean = a->answers->mean},
        .done = done,
        .arg = a,
    };
    sched_id id;
    a->macs += TEXT * (double)info->macs_per_token * layer / info->n_layers;
    return sched_submit(a->s, &request, &id, err);
}

static int arrive(arrivals *a, st_err *err)
{
    int rc = 0;
    bool work = true;
    for (uint32_t i = 0; rc == 0 && i < WRITERS; i++)
        rc = generate(a, WRITER_PROMPT, WRITER_TOKENS, err);
    for (uint32_t step = 0; rc == 0 && (work || step < 4 * PROMPTS); step++) {
        if (step % 4 == 0 && step / 4 < PROMPTS)
            rc = generate(a, PROMPT, PROMPT_TOKENS, err);
        if (rc == 0 && step % 4 == 2 && step / 4 < DECISIONS)
            rc = decide(a, err);
        if (rc == 0 && step % 2 == 1 && step / 2 < TEXTS)
            rc = read_text(a, err);
        work = sched_step(a->s);
    }
    if (rc == 0 && a->failed)
        rc = st_err_set(err, ST_EBUSY, "%u requests failed", a->failed);
    return rc;
}

static int start(bench *b, void **ret_state, st_err *err)
{
    place *p = st_zalloc_n(1, sizeof *p);
    if (!p)
        return st_err_set(err, ST_ENOMEM, "no memory for mixed work");
    *ret_state = p;
    int rc = bench_labels(b, &p->labels, err);
    if (rc < 0)
        return rc;
    p->logp = st_alloc_n(options_n(p->labels), sizeof *p->logp);
    p->mean = st_alloc_n(b->info->n_embd, sizeof *p->mean);
    if (!p->logp || !p->mean)
        return st_err_set(err, ST_ENOMEM, "no memory for mixed work");
    return 0;
}

static int run(bench *b, void *state, bench_work *ret_work, st_err *err)
{
    arrivals a = {.b = b, .answers = state};
    int rc = sched_new(b->engine, NULL, &a.s, err);
    if (rc < 0)
        return rc;
    uint64_t begin = st_clock_us();
    rc = arrive(&a, err);
    *ret_work = (bench_work){
        .us = (double)(st_clock_us() - begin),
        .count = WRITERS * (WRITER_PROMPT + WRITER_TOKENS) +
                 PROMPTS * (PROMPT + PROMPT_TOKENS) + DECISIONS * DECISION + TEXTS * TEXT,
        .macs = a.macs,
        .bytes = WRITER_TOKENS * (double)b->info->token_bytes,
    };
    sched_free(a.s);
    return rc;
}

static void end(void *state)
{
    place *p = state;
    if (!p)
        return;
    options_free(p->labels);
    st_free(p->logp);
    st_free(p->mean);
    st_free(p);
}

const bench_row bench_mixed = {"mixed", "tokens_per_s", bench_is_decoder, start, run,
                               end};
