/* tests/sched_job.h - a request, what it should give and what it gave.
 *
 * What it should give is found without a scheduler: one engine of one thread, one
 * sequence, one text at a time. */
#ifndef TESTS_SCHED_JOB_H
#define TESTS_SCHED_JOB_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "engine/sched.h"
#include "tests/fault.h"
#include "tests/here.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GOLDENS "../shared/goldens/"

enum { MOST = 180, STATES = 3, PREFIX = 70 }; /* tokens; layers asked for; tokens */
enum { OPTIONS = 30, OPTION = 5 };            /* of a trie; tokens of one */
enum { TOPS = 4, BIASES = 3 };

typedef struct fixture {
    model *m;
    const model_info *info;
    st_dtype kv_type;
    engine *plain; /* one thread, one text at a time */
    sampler_work *work;
    float *logits;
    st_rng rng;
} fixture;

static inline uint32_t below(fixture *f, uint32_t n)
{
    return st_rng_below(&f->rng, n);
}

/* `small`: keys and values of the smallest type that the model takes. */
static inline void fixture_init(fixture *f, const char *path, bool small)
{
    st_err err = {0};
    gguf *g;
    engine_opts opts = {.n_threads = 1, .kv_type = small ? ST_Q8_0 : ST_F32};
    if (gguf_open(path, &g, &err) < 0 || model_load(g, NULL, &f->m, &err) < 0)
        fail_msg("%s: %s", path, err.message);
    gguf_close(g);
    if (engine_new(f->m, &opts, &f->plain, NULL) < 0) {
        opts.kv_type = ST_F16;
        if (engine_new(f->m, &opts, &f->plain, &err) < 0)
            fail_msg("%s: %s", path, err.message);
    }
    f->kv_type = opts.kv_type;
    f->info = model_about(f->m);
    f->rng.state = 5;
    f->logits = st_alloc_n(f->info->n_vocab, sizeof *f->logits);
    assert_int_equal(sampler_work_new(f->info->n_vocab, &f->work, &err), 0);
}

static inline void fixture_done(fixture *f)
{
    sampler_work_free(f->work);
    st_free(f->logits);
    engine_free(f->plain);
    model_free(f->m);
}

typedef struct job { /* a request, what it should give and what it gave */
    sched_request ask;
    sched_id id;
    int32_t tokens[MOST]; /* without the prefix */
    int32_t stop;
    int32_t want[MOST], got[MOST];
    uint32_t n_want, n_got;
    sched_end want_end;
    double want_logp[MOST], got_logp[MOST];
    sched_top want_top[MOST][TOPS], got_top[MOST][TOPS];
    sched_bias bias[BIASES];
    float *want_states, *got_states;
    options *options;
    double want_odds[OPTIONS + 1], got_odds[OPTIONS + 1]; /* the last: unseen */
    uint32_t n_done;
    sched_result result;
    int code;            /* of its error */
    uint32_t stop_after; /* on_token says stop then; 0: never */
    bool is_cancelled;
    sched *cancel_in; /* cancel `cancel` when the first token comes */
    sched_id cancel;
} job;

static inline bool token_came(void *arg, const sched_token *t)
{
    job *j = arg;
    assert_int_equal(j->n_done, 0);
    assert_int_equal(t->index, j->n_got);
    j->got_logp[j->n_got] = t->logp;
    assert_int_equal(t->n_top, t->forced ? 0 : j->ask.generate.n_top);
    for (uint32_t i = 0; i < t->n_top; i++)
        j->got_top[j->n_got][i] = t->top[i];
    j->got[j->n_got++] = t->id;
    if (j->cancel_in && j->n_got == 1)
        sched_cancel(j->cancel_in, j->cancel);
    return j->n_got != j->stop_after;
}

static inline void job_ended(void *arg, const sched_result *r)
{
    job *j = arg;
    assert_int_equal(r->id, j->id);
    j->n_done++;
    j->result = *r;
    j->code = r->end == SCHED_END_ERROR ? r->err->code : 0;
    if (j->ask.kind == SCHED_GENERATE) {
        assert_int_equal(r->n_new, j->n_got);
        if (!j->ask.generate.held.masker)
            assert_true(r->n_steps >= r->n_new);
        assert_memory_equal(r->tokens, j->got, j->n_got * sizeof *j->got);
    }
}

/* What comes to a job's bias and to its likeliest tokens. */
static inline void tops_draw(fixture *f, job *j)
{
    static const float adds[] = {-100, 100, 1.5f, -0.5f};
    sched_generate *g = &j->ask.generate;
    g->n_top = below(f, 3) ? 0 : below(f, TOPS + 1);
    g->n_bias = below(f, 4) ? 0 : 1 + below(f, BIASES);
    g->bias = j->bias;
    for (uint32_t i = 0; i < g->n_bias; i++)
        j->bias[i] = (sched_bias){(int32_t)below(f, f->info->n_vocab), adds[below(f, 4)]};
}

/* The likeliest of plain logits, one after the other. */
static inline void tops_alone(const fixture *f, const float *logits, float lse, job *j)
{
    uint32_t n = j->ask.generate.n_top;
    for (uint32_t i = 0; i < n; i++) {
        sched_top *top = &j->want_top[j->n_want][i];
        top->id = -1;
        for (int32_t id = 0; (uint32_t)id < f->info->n_vocab; id++) {
            bool had = false;
            for (uint32_t k = 0; k < i; k++)
                had = had || j->want_top[j->n_want][k].id == id;
            if (!had && (top->id < 0 || logits[id] > logits[top->id]))
                top->id = id;
        }
        top->logp = (double)logits[top->id] - (double)lse;
    }
}

static inline void tops_check(const job *j)
{
    for (uint32_t i = 0; i < j->n_got; i++)
        for (uint32_t k = 0; k < TOPS; k++) {
            const sched_top *got = &j->got_top[i][k], *want = &j->want_top[i][k];
            assert_int_equal(got->id, want->id);
            assert_memory_equal(&got->logp, &want->logp, sizeof got->logp);
        }
}

/* The tokens of a job, made one after the other without a scheduler. */
static inline void generate_alone(fixture *f, job *j, const int32_t *prefix,
                                  uint32_t n_prefix)
{
    const sched_generate *g = &j->ask.generate;
    int32_t all[3 * MOST];
    uint32_t n = n_prefix, fed = 0;
    sampler s;
    seq *q;
    st_err err = {0};
    if (n_prefix > 0)
        memcpy(all, prefix, n_prefix * sizeof *all);
    memcpy(all + n, j->tokens, j->ask.n * sizeof *all);
    n += j->ask.n;
    assert_int_equal(sampler_init(&s, &g->how, &err), 0);
    assert_int_equal(sampler_bias_set(&s, g->bias, g->n_bias, f->info->n_vocab, &err), 0);
    assert_int_equal(seq_new(f->plain, &q, &err), 0);
    j->want_end = SCHED_END_LENGTH;
    for (j->n_want = 0; j->n_want < g->max_new && n <= engine_n_ctx(f->plain);) {
        const uint32_t last = n - fed - 1;
        float lse;
        step_item item = {.s = q,
                          .tokens = all + fed,
                          .n = n - fed,
                          .out = &last,
                          .n_out = 1,
                          .ret_logits = f->logits,
                          .ret_lse = &lse};
        if (engine_step(f->plain, &item, 1, &err) < 0)
            fail_msg("%s", err.message);
        fed = n;
        tops_alone(f, f->logits, lse, j);
        float *copy = st_dup(f->logits, f->info->n_vocab * sizeof *copy);
        int32_t id = sampler_pick(&s, f->work, all, n, f->logits);
        double logp = (double)copy[id] - (double)lse;
        st_free(copy);
        if (id == j->stop) {
            j->want_end = SCHED_END_STOP;
            break;
        }
        j->want_logp[j->n_want] = g->logp ? logp : 0;
        j->want[j->n_want++] = all[n++] = id;
        if (j->n_want == j->stop_after) {
            j->want_end = SCHED_END_STOP;
            break;
        }
    }
    seq_free(q);
}

static inline void text_alone(fixture *f, job *j, const int32_t *prefix,
                              uint32_t n_prefix)
{
    int32_t all[PREFIX + MOST];
    const int32_t *text = all;
    uint32_t n = n_prefix + j->ask.n;
    step_states want = j->ask.states;
    if (n_prefix > 0)
        memcpy(all, prefix, n_prefix * sizeof *all);
    memcpy(all + n_prefix, j->tokens, j->ask.n * sizeof *all);
    want.from += n_prefix;
    want.ret_mean = j->want_states;
    want.ret_last = j->want_states + (size_t)STATES * f->info->n_embd;
    int rc = j->ask.kind == SCHED_EMBED
                 ? engine_embed(f->plain, &text, &n, 1, j->want_states, NULL)
                 : engine_states(f->plain, &text, &n, &want, 1, NULL);
    assert_int_equal(rc, 0);
}

static inline void options_alone(fixture *f, job *j, const int32_t *prefix,
                                 uint32_t n_prefix)
{
    int32_t all[PREFIX + MOST];
    options_request q = j->ask.options;
    st_err err = {0};
    if (n_prefix > 0)
        memcpy(all, prefix, n_prefix * sizeof *all);
    memcpy(all + n_prefix, j->tokens, j->ask.n * sizeof *all);
    q.tokens = all;
    q.n = n_prefix + j->ask.n;
    q.ret_logp = j->want_odds;
    q.ret_unseen = &j->want_odds[OPTIONS];
    assert_int_equal(seq_new(f->plain, &q.s, &err), 0);
    if (options_score_many(&q, 1, &err) < 0)
        fail_msg("%s", err.message);
    seq_free(q.s);
}

static inline void job_check(const fixture *f, const job *j)
{
    assert_int_equal(j->n_done, 1);
    if (j->is_cancelled && j->code == ST_ECANCELLED) {
        assert_true(j->n_got <= j->n_want);
        assert_memory_equal(j->got, j->want, j->n_got * sizeof *j->got);
        return;
    }
    if (j->result.end == SCHED_END_ERROR)
        fail_msg("a request failed with %d", j->code);
    if (j->ask.kind == SCHED_OPTIONS) {
        assert_memory_equal(j->got_odds, j->want_odds, sizeof j->got_odds);
        return;
    }
    if (j->ask.kind != SCHED_GENERATE) {
        assert_memory_equal(j->got_states, j->want_states,
                            2 * STATES * f->info->n_embd * sizeof(float));
        return;
    }
    assert_int_equal(j->n_got, j->n_want);
    assert_memory_equal(j->got, j->want, j->n_want * sizeof *j->want);
    assert_memory_equal(j->got_logp, j->want_logp, j->n_want * sizeof *j->want_logp);
    assert_int_equal(j->result.end, j->want_end);
    tops_check(j);
}

static inline void job_done(job *j)
{
    st_free(j->want_states);
    st_free(j->got_states);
    options_free(j->options);
}

static inline void submit(sched *s, job *j)
{
    st_err err = {0};
    if (sched_submit(s, &j->ask, &j->id, &err) < 0)
        fail_msg("%s", err.message);
}
#endif
