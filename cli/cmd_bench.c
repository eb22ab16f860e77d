/* cli/cmd_bench.c - stint bench: how fast a model is here, and how much of the machine
 * that is.
 *
 * Prefill and decide are bounded by arithmetic: their share is of the int8 limit.  Decode
 * reads every weight for each token: its share is of the memory's.  The tokens are drawn
 * from a fixed seed; a median of RUNS is shown. */
#include "cli/open.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/limits.h"
#include "engine/options.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RUNS = 5,
    PREFILL = 512,      /* tokens */
    DECODE = 32,        /* tokens made after a prefill */
    DECIDE_PREFIX = 96, /* tokens of the instructions, prefilled once */
    DECIDE_INPUT = 32,  /* tokens of the input */
    DECIDE_OPTIONS = 12,
    OPTION_TOKENS = 3, /* of a label, the end token not counted */
    EMBED_TEXTS = 32,
    EMBED_TOKENS = 32,
};

typedef struct bench {
    lm *lm;
    const model_info *info;
    limits limits;
    st_rng rng;
    int32_t tokens[PREFILL];
    float *logits; /* [n_vocab] */
} bench;

typedef struct figure {
    double per_s; /* in the unit of its row */
    double share; /* of the limit */
} figure;

/* One timed run: microseconds into *ret_us. */
typedef int bench_fn(bench *b, double *ret_us, st_err *err);

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int median(bench *b, bench_fn *fn, double *ret_us, st_err *err)
{
    double us[RUNS], warm;
    int rc = fn(b, &warm, err);
    for (int i = 0; rc == 0 && i < RUNS; i++)
        rc = fn(b, &us[i], err);
    if (rc == 0) {
        qsort(us, RUNS, sizeof *us, rising);
        *ret_us = us[RUNS / 2];
    }
    return rc;
}

static int32_t token_draw(bench *b)
{
    return (int32_t)st_rng_below(&b->rng, b->info->n_vocab);
}

/* Run tokens and ask for the last one's logits. */
static int feed(bench *b, seq *s, const int32_t *tokens, uint32_t n, st_err *err)
{
    const uint32_t last = n - 1;
    step_item item = {.s = s,
                      .tokens = tokens,
                      .n = n,
                      .out = &last,
                      .n_out = 1,
                      .ret_logits = b->logits};
    return engine_step(b->lm->engine, &item, 1, err);
}

static int prefill_once(bench *b, double *ret_us, st_err *err)
{
    seq *s;
    int rc = seq_new(b->lm->engine, &s, err);
    if (rc < 0)
        return rc;
    uint64_t start = st_clock_us();
    rc = feed(b, s, b->tokens, PREFILL, err);
    *ret_us = (double)(st_clock_us() - start);
    seq_free(s);
    return rc;
}

static int decode_once(bench *b, double *ret_us, st_err *err)
{
    seq *s;
    int rc = seq_new(b->lm->engine, &s, err);
    if (rc < 0)
        return rc;
    rc = feed(b, s, b->tokens, PREFILL / 2, err);
    uint64_t start = st_clock_us();
    for (int i = 0; rc == 0 && i < DECODE; i++)
        rc = feed(b, s, &b->tokens[i], 1, err);
    *ret_us = (double)(st_clock_us() - start);
    seq_free(s);
    return rc;
}

static int decide_options(bench *b, options **ret, st_err *err)
{
    int32_t labels[DECIDE_OPTIONS][OPTION_TOKENS];
    const int32_t *ids[DECIDE_OPTIONS];
    uint32_t n_ids[DECIDE_OPTIONS];
    for (int i = 0; i < DECIDE_OPTIONS; i++) {
        for (int j = 0; j < OPTION_TOKENS; j++)
            labels[i][j] = (int32_t)((uint32_t)(7 + 13 * i + 131 * j) % b->info->n_vocab);
        ids[i] = labels[i];
        n_ids[i] = OPTION_TOKENS;
    }
    return options_new(ids, n_ids, DECIDE_OPTIONS, 0, ret, err);
}

static int decide_once(bench *b, double *ret_us, st_err *err)
{
    double logp[DECIDE_OPTIONS];
    seq *prefix = NULL, *s = NULL;
    options *o = NULL;
    int rc = decide_options(b, &o, err);
    if (rc == 0)
        rc = seq_new(b->lm->engine, &prefix, err);
    if (rc == 0)
        rc = feed(b, prefix, b->tokens, DECIDE_PREFIX, err);
    uint64_t start = st_clock_us();
    if (rc == 0)
        rc = seq_fork(prefix, DECIDE_PREFIX, &s, err);
    if (rc == 0)
        rc = options_score(o, s, b->tokens + DECIDE_PREFIX, DECIDE_INPUT, logp, err);
    *ret_us = (double)(st_clock_us() - start);
    seq_free(s);
    seq_free(prefix);
    options_free(o);
    return rc;
}

static int embed_once(bench *b, double *ret_us, st_err *err)
{
    const int32_t *texts[EMBED_TEXTS];
    uint32_t n_tokens[EMBED_TEXTS];
    float *v = st_alloc_n((size_t)EMBED_TEXTS * b->info->n_embd, sizeof *v);
    if (!v)
        return st_err_set(err, ST_ENOMEM, "no memory for vectors");
    for (int i = 0; i < EMBED_TEXTS; i++) {
        texts[i] = b->tokens + i;
        n_tokens[i] = EMBED_TOKENS;
    }
    uint64_t start = st_clock_us();
    int rc = engine_embed(b->lm->engine, texts, n_tokens, EMBED_TEXTS, v, err);
    *ret_us = (double)(st_clock_us() - start);
    st_free(v);
    return rc;
}

/* Multiplications of one decision: the input, the trie's inner nodes and one output row
 * for each of them and for the input's end. */
static double decide_macs(const bench *b)
{
    double inner = DECIDE_OPTIONS * OPTION_TOKENS; /* only end tokens are leaves */
    return (DECIDE_INPUT + inner) * (double)b->info->macs_per_token +
           (inner + 1) * (double)b->info->head_macs;
}

typedef struct row { /* one thing that is measured */
    const char *name;
    const char *unit;
    bench_fn *fn;
    bool decoder; /* needs logits; the others need a pooling */
    double count; /* units in one run */
} row;

static const row rows[] = {
    {"prefill", "tokens_per_s", prefill_once, true, PREFILL},
    {"decode", "tokens_per_s", decode_once, true, DECODE},
    {"decide", "decisions_per_s", decide_once, true, 1},
    {"embed", "texts_per_s", embed_once, false, EMBED_TEXTS},
};

/* What the machine's limit would take for one run of a row, in seconds. */
static double limit_seconds(const bench *b, const row *r)
{
    double macs = (double)b->info->macs_per_token;
    if (r->fn == decode_once)
        return DECODE * (double)b->info->weight_bytes / b->limits.read_bytes_per_s;
    if (r->fn == prefill_once)
        macs = PREFILL * macs + (double)b->info->head_macs;
    else if (r->fn == embed_once)
        macs = (double)EMBED_TEXTS * EMBED_TOKENS * macs;
    else
        macs = decide_macs(b);
    return macs / b->limits.int8_macs_per_s;
}

static bool applies(const bench *b, const row *r, const char *only)
{
    bool able = r->decoder ? b->info->has_head && b->info->causal
                           : b->info->pooling != MODEL_POOL_NONE;
    return able && (!only || strcmp(only, r->name) == 0);
}

static int report(bench *b, const char *only, json_t *out, bool text, st_err *err)
{
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        const row *r = &rows[i];
        double us = 0;
        if (!applies(b, r, only))
            continue;
        int rc = median(b, r->fn, &us, err);
        if (rc < 0)
            return rc;
        figure f = {r->count / us * 1e6, limit_seconds(b, r) / us * 1e6};
        if (text)
            printf("%-8s %10.1f %-16s %5.1f %% of the limit\n", r->name, f.per_s, r->unit,
                   100 * f.share);
        else if (json_object_set_new(out, r->name,
                                     json_pack("{s:f, s:f}", r->unit, f.per_s,
                                               "limit_share", f.share)) < 0)
            return st_err_set(err, ST_ENOMEM, "no memory for a report");
    }
    return 0;
}

static int check_only(const bench *b, const char *only, st_err *err)
{
    for (size_t i = 0; i < ST_COUNT(rows); i++)
        if (applies(b, &rows[i], only))
            return 0;
    st_err_set(err, ST_EINVAL, "nothing to measure%s%s", only ? ": " : "",
               only ? only : "");
    st_err_hint(err,
                "--only takes prefill, decode, decide, or embed where the model can");
    return ST_EINVAL;
}

static int measure(bench *b, const char *only, bool as_json, st_err *err)
{
    st_isa isa;
    unsigned threads = workers_count(engine_workers(b->lm->engine));
    int rc = check_only(b, only, err);
    if (rc == 0 && b->info->has_head && engine_n_ctx(b->lm->engine) < PREFILL)
        rc = st_err_set(err, ST_EINVAL, "the context is shorter than %d tokens", PREFILL);
    if (rc == 0)
        rc = st_cpu_isa(&isa, err);
    if (rc == 0)
        rc = limits_measure(engine_workers(b->lm->engine), &b->limits, err);
    if (rc < 0)
        return rc;
    if (!as_json) {
        printf("%s, %s kernels, %u threads\n", b->lm->path, st_isa_name(isa), threads);
        printf("limits   %10.1f G int8 multiplications a second, %.1f GB a second read\n",
               b->limits.int8_macs_per_s / 1e9, b->limits.read_bytes_per_s / 1e9);
        return report(b, only, NULL, true, err);
    }
    json_t *out = json_pack("{s:s, s:s, s:i, s:{s:f, s:f}}", "model", b->lm->path, "isa",
                            st_isa_name(isa), "threads", (int)threads, "limits",
                            "int8_macs_per_s", b->limits.int8_macs_per_s,
                            "read_bytes_per_s", b->limits.read_bytes_per_s);
    rc = report(b, only, out, false, err);
    if (rc == 0)
        return cli_print_json(out, err);
    json_decref(out);
    return rc;
}

static int run(cli_args *args, st_err *err)
{
    bench b = {.rng = {2024}};
    int rc = cli_open_model(args, &b.lm, err);
    if (rc < 0)
        return rc;
    b.info = model_about(b.lm->model);
    for (int i = 0; i < PREFILL; i++)
        b.tokens[i] = token_draw(&b);
    b.logits = st_alloc_n(b.info->n_vocab, sizeof *b.logits);
    if (!b.logits)
        rc = st_err_set(err, ST_ENOMEM, "no memory for logits");
    else
        rc = measure(&b, cli_get(args, "only"), cli_flag(args, "json"), err);
    st_free(b.logits);
    lm_close(b.lm);
    return rc;
}

static const cli_option flags[] = {
    CLI_MODEL_OPTIONS,
    {"only", 0, "NAME", "Measure only prefill, decode, decide or embed."},
    {"json", 0, NULL, "Print one JSON object."},
    {0},
};

const cli_command cli_bench = {
    .name = "bench",
    .summary = "measure a model's speed against this machine's limits",
    .operands = "",
    .options = flags,
    .details = "Prefill runs 512 tokens at once; decode makes one token after another; "
               "decide scores 12 labels of 3 tokens after 32 new tokens; embed runs 32 "
               "texts of 32 tokens. The limits are measured in the same run: "
               "multiplications of the int8 kernel on cached weights, and bytes read "
               "from memory.",
    .example = "stint bench -m smollm2-135m-instruct",
    .run = run,
};
