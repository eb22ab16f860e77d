/* bench/orders.c - orders of six fields read from messages, as JSON held to a schema.
 *
 * Instructions, schema and two examples stand before every message and are pinned.  Every
 * request is a client of its own, so nothing of a message or of another repetition is
 * reused. */
#include "bench/row.h"

#include "base/clock.h"
#include "base/mem.h"
#include "bench/orders.h"
#include "engine/sched.h"
#include "grammar/grammar.h"
#include <string.h>

enum { ORDERS = ST_COUNT(orders_messages), ANSWER = 160 /* tokens, at most */ };

typedef struct extract {
    uint32_t streams;
    uint32_t n; /* requests of a repetition */
    const tok *tok;
    vocab *vocab;
    grammar *grammar;
    masker *masker;
    tok_ids before;
    tok_ids orders[ORDERS];
    uint64_t key;
    /* of a repetition */
    uint32_t failed;
    double made, steps, run;
} extract;

static int texts_encode(extract *x, st_err *err)
{
    int rc = tok_encode(x->tok, ORDERS_BEFORE, strlen(ORDERS_BEFORE), TOK_ADD, &x->before,
                        err);
    for (uint32_t i = 0; rc == 0 && i < ORDERS; i++) {
        const char *text = orders_messages[i];
        rc = tok_encode(x->tok, text, strlen(text), TOK_LITERAL, &x->orders[i], err);
        if (rc == 0)
            rc = tok_encode(x->tok, ORDERS_BEHIND, strlen(ORDERS_BEHIND), TOK_LITERAL,
                            &x->orders[i], err);
    }
    return rc;
}

static int start(bench *b, uint32_t streams, uint32_t n, void **ret_state, st_err *err)
{
    static const grammar_schema_opts spaced = {.space = GRAMMAR_SPACED};
    grammar_refusal why;
    extract *x = st_zalloc_n(1, sizeof *x);
    if (!x)
        return st_err_set(err, ST_ENOMEM, "no memory for orders");
    *ret_state = x;
    x->streams = streams;
    x->n = n;
    x->tok = b->tok;
    int rc = texts_encode(x, err);
    if (rc == 0)
        rc = grammar_schema(ORDERS_SCHEMA, strlen(ORDERS_SCHEMA), &spaced, &x->grammar,
                            &why, err);
    if (rc == 0)
        rc = vocab_new(x->tok, &x->vocab, err);
    return rc < 0 ? rc : masker_new(x->grammar, x->vocab, NULL, &x->masker, err);
}

static int start_one(bench *b, void **ret_state, st_err *err)
{
    return start(b, 1, ORDERS, ret_state, err);
}

static int start_many(bench *b, void **ret_state, st_err *err)
{
    return start(b, BENCH_STREAMS, 2 * ORDERS, ret_state, err);
}

static void done(void *arg, const sched_result *r)
{
    extract *x = arg;
    x->failed += r->end == SCHED_END_ERROR; /* what a model writes is not judged here */
    x->made += r->n_new;
    x->steps += r->n_steps;
    x->run += r->n_prompt - r->n_cached + r->n_new - 1;
}

static int ask_all(extract *x, sched *s, sched_prefix *prefix, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < x->n; i++) {
        const uint32_t at = i % ORDERS;
        const char *text = orders_messages[at];
        const sched_request q = {
            .key = ++x->key,
            .prefix = prefix,
            .tokens = x->orders[at].ids,
            .n = (uint32_t)x->orders[at].n,
            .generate = {.how = SAMPLER_GREEDY,
                         .max_new = ANSWER,
                         .held = {x->masker, x->tok, text, strlen(text)}},
            .done = done,
            .arg = x,
        };
        sched_id id;
        rc = sched_submit(s, &q, &id, err);
    }
    while (rc == 0 && sched_step(s))
        continue;
    if (rc == 0 && x->failed)
        rc = st_err_set(err, ST_EFORMAT, "%u of %u requests failed", x->failed, x->n);
    return rc;
}

static int run(bench *b, void *state, bench_work *ret_work, st_err *err)
{
    extract *x = state;
    const sched_opts opts = {.max_live = x->streams};
    sched *s;
    sched_prefix *prefix = NULL;
    x->failed = 0;
    x->made = x->steps = x->run = 0;
    int rc = sched_new(b->engine, &opts, &s, err);
    if (rc < 0)
        return rc;
    rc = sched_prefix_pin(s, x->before.ids, (uint32_t)x->before.n, &prefix, err);
    if (rc == 0)
        rc = sched_prefix_run_kept(s, prefix, err);
    uint64_t begin = st_clock_us();
    if (rc == 0)
        rc = ask_all(x, s, prefix, err);
    *ret_work = (bench_work){
        .us = (double)(st_clock_us() - begin),
        .count = x->n,
        .macs = x->run * (double)b->info->macs_per_token +
                x->steps * (double)b->info->head_macs,
        .bytes = x->steps / x->streams * (double)b->info->token_bytes,
        .tokens = x->made,
        .steps = x->steps,
    };
    sched_prefix_unpin(s, prefix);
    sched_free(s);
    return rc;
}

static void end(void *state)
{
    extract *x = state;
    if (!x)
        return;
    masker_free(x->masker);
    vocab_free(x->vocab);
    grammar_free(x->grammar);
    for (uint32_t i = 0; i < ORDERS; i++)
        tok_ids_done(&x->orders[i]);
    tok_ids_done(&x->before);
    st_free(x);
}

static bool fits(const bench *b)
{
    return b->tok && bench_is_decoder(b);
}

const bench_row bench_extract = {"extract", "requests_per_s", fits, start_one, run, end};
const bench_row bench_extract_16 = {"extract_16", "requests_per_s", fits, start_many, run,
                                    end};
