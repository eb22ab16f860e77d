/* bench/bench.c - one run: alternating repetitions of rows and limits, then medians. */
#include "bench/bench.h"

#include "base/mem.h"
#include "bench/row.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RUNS = 5,
    KV_PAGES = 192, /* 2 x 16 streams, long prompts, the trees of 16 requests */
    SEED = 2024,
};

typedef struct entry { /* a row of this run */
    const bench_row *row;
    void *state;
    bench_work *works; /* [runs] */
} entry;

typedef struct session {
    bench b;
    unsigned runs;
    limits_meter *meter;
    seq *held; /* NULL for an encoder */
    entry entries[BENCH_MAX_ROWS];
    uint32_t n_entries;
} session;

/* Is `name` one of the comma-separated `list`? */
static bool listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list; at; at = strchr(at, ','), at += at ? 1 : 0)
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    return false;
}

static int refuse(const session *s, const char *only, size_t len, st_err *err)
{
    const bench_row *row;
    char names[256] = "";
    size_t used = 0;
    for (size_t i = 0; (row = bench_rows_at(i)); i++)
        if (row->fits(&s->b) && used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                     used ? ", " : "", row->name);
    st_err_set(err, ST_EINVAL, "nothing to measure: %.*s", (int)len, only);
    st_err_hint(err, "this model's rows are %s", names);
    return ST_EINVAL;
}

/* Every name of `only` must be a row of this model. */
static int rows_choose(session *s, const char *only, st_err *err)
{
    const bench_row *row;
    for (const char *at = only; at;) {
        size_t len = strcspn(at, ","), i = 0;
        while ((row = bench_rows_at(i)) &&
               !(row->fits(&s->b) && strlen(row->name) == len &&
                 strncmp(at, row->name, len) == 0))
            i++;
        if (!row)
            return refuse(s, at, len, err);
        at = at[len] ? at + len + 1 : NULL;
    }
    for (size_t i = 0; (row = bench_rows_at(i)); i++)
        if (row->fits(&s->b) && (!only || listed(only, row->name)))
            s->entries[s->n_entries++].row = row;
    return 0;
}

static int engine_make(session *s, const model *m, const engine_opts *opts, st_err *err)
{
    const size_t page_bytes = model_kv_page_bytes(m, engine_kv_type(m, opts));
    engine_opts chosen = *opts;
    if (!chosen.kv_bytes)
        chosen.kv_bytes = page_bytes * KV_PAGES;
    int rc = engine_new(m, &chosen, &s->b.engine, err);
    if (rc < 0)
        return rc;
    s->b.kv_token_bytes = page_bytes / KV_PAGE_TOKENS;
    if (!bench_is_decoder(&s->b) || engine_n_ctx(s->b.engine) >= BENCH_CTX)
        return 0;
    st_err_set(err, ST_EINVAL, "the context is shorter than %d tokens", BENCH_CTX);
    st_err_hint(err, "leave out --ctx, or measure a model with a longer context");
    return ST_EINVAL;
}

/* A sequence that stays: a pool that falls empty gives its memory back, which a server at
 * work never sees. */
static int pool_hold(session *s, st_err *err)
{
    int rc = seq_new(s->b.engine, &s->held, err);
    return rc ? rc : bench_feed(&s->b, s->held, s->b.tokens, 1, err);
}

static int session_start(session *s, st_err *err)
{
    st_rng rng = {SEED};
    for (int i = 0; i < BENCH_TOKENS; i++)
        s->b.tokens[i] = (int32_t)st_rng_below(&rng, s->b.info->n_vocab);
    if (s->b.info->has_head) {
        s->b.logits = st_alloc_n(s->b.info->n_vocab, sizeof *s->b.logits);
        if (!s->b.logits)
            return st_err_set(err, ST_ENOMEM, "no memory for logits");
    }
    int rc = bench_is_decoder(&s->b) ? pool_hold(s, err) : 0;
    for (uint32_t i = 0; rc == 0 && i < s->n_entries; i++) {
        entry *e = &s->entries[i];
        e->works = st_alloc_n(s->runs, sizeof *e->works);
        if (!e->works)
            return st_err_set(err, ST_ENOMEM, "no memory for %u runs", s->runs);
        rc = e->row->start(&s->b, &e->state, err);
    }
    return rc;
}

static void session_end(session *s)
{
    for (uint32_t i = 0; i < s->n_entries; i++) {
        s->entries[i].row->end(s->entries[i].state);
        st_free(s->entries[i].works);
    }
    limits_meter_free(s->meter);
    seq_free(s->held);
    st_free(s->b.logits);
    engine_free(s->b.engine);
    st_free(s);
}

/* One repetition of every row, each after a round of the limits. */
static int repeat(session *s, unsigned run, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < s->n_entries; i++) {
        entry *e = &s->entries[i];
        limits_meter_round(s->meter);
        rc = e->row->run(&s->b, e->state, &e->works[run], err);
    }
    return rc;
}

static int slower(const void *a, const void *b)
{
    const bench_work *x = a, *y = b;
    double us_x = x->us / x->count, us_y = y->us / y->count;
    return (us_x > us_y) - (us_x < us_y);
}

static bench_figure figure_of(const entry *e, unsigned runs, const limits *l)
{
    qsort(e->works, runs, sizeof *e->works, slower);
    bench_work w = e->works[runs / 2];
    double multiply_s = w.macs / l->int8_macs_per_s,
           read_s = w.bytes / l->read_bytes_per_s;
    return (bench_figure){
        .name = e->row->name,
        .unit = e->row->unit,
        .per_s = w.count / w.us * 1e6,
        .limit_share = (multiply_s > read_s ? multiply_s : read_s) / w.us * 1e6,
        .tokens_per_s = w.tokens / w.us * 1e6,
        .tokens_per_step = w.steps > 0 ? w.tokens / w.steps : 0,
    };
}

static int measure(session *s, const model *m, const bench_opts *opts,
                   bench_report *ret_report, st_err *err)
{
    bench_report r = {0};
    int rc = rows_choose(s, opts->only, err);
    if (rc < 0 || (rc = st_cpu_isa(&r.isa, err)) < 0 ||
        (rc = engine_make(s, m, &opts->engine, err)) < 0 ||
        (rc = session_start(s, err)) < 0 ||
        (rc = limits_meter_new(engine_workers(s->b.engine), r.isa, &s->meter, err)) < 0 ||
        (rc = repeat(s, 0, err)) < 0) /* warm, overwritten by the first that counts */
        return rc;
    for (unsigned run = 0; run < s->runs; run++)
        if ((rc = repeat(s, run, err)) < 0)
            return rc;
    r.n_threads = workers_count(engine_workers(s->b.engine));
    r.limits = limits_meter_best(s->meter);
    for (; r.n_figures < s->n_entries; r.n_figures++)
        r.figures[r.n_figures] = figure_of(&s->entries[r.n_figures], s->runs, &r.limits);
    *ret_report = r;
    return 0;
}

int bench_run(const model *m, const bench_opts *opts, bench_report *ret_report,
              st_err *err)
{
    session *s = st_zalloc_n(1, sizeof *s);
    if (!s)
        return st_err_set(err, ST_ENOMEM, "no memory for a measurement");
    s->b.info = model_about(m);
    s->b.tok = opts->tok;
    s->runs = opts->runs ? opts->runs : RUNS;
    int rc = measure(s, m, opts, ret_report, err);
    session_end(s);
    return rc;
}
