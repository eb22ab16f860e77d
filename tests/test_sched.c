/* tests/test_sched.c - a request gives the same bytes in any company.
 *
 * Every request is compared with itself run alone: one engine of one thread, one
 * sequence, no scheduler. */
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
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDENS "../shared/goldens/"

static const char *const models[] = {
    GOLDENS "logits/llama-gqa/model-f32.gguf", GOLDENS "quant/models/llama-256-q4_0.gguf",
    GOLDENS "logits/gemma2/model-f32.gguf",    GOLDENS "logits/lfm2/model-f32.gguf",
    GOLDENS "logits/qwen2moe/model-f32.gguf",
};
static const char encoder[] = GOLDENS "logits/bert-mini/model-f32.gguf";

enum { MOST = 180, STATES = 3, PREFIX = 70 }; /* tokens; layers asked for; tokens */

typedef struct fixture {
    model *m;
    const model_info *info;
    engine *plain; /* one thread, one text at a time */
    sampler_work *work;
    float *logits;
    st_rng rng;
} fixture;

static bool have_goldens(void)
{
    if (access(GOLDENS "README.md", R_OK) == 0)
        return true;
    print_message("SKIP: " GOLDENS " is not here\n");
    return false;
}

static uint32_t below(fixture *f, uint32_t n)
{
    return st_rng_below(&f->rng, n);
}

static void fixture_init(fixture *f, const char *path)
{
    st_err err = {0};
    gguf *g;
    engine_opts opts = {.n_threads = 1};
    if (gguf_open(path, &g, &err) < 0 || model_load(g, NULL, &f->m, &err) < 0 ||
        engine_new(f->m, &opts, &f->plain, &err) < 0)
        fail_msg("%s: %s", path, err.message);
    gguf_close(g);
    f->info = model_about(f->m);
    f->rng.state = 5;
    f->logits = st_alloc_n(f->info->n_vocab, sizeof *f->logits);
    assert_int_equal(sampler_work_new(f->info->n_vocab, &f->work, &err), 0);
}

static void fixture_done(fixture *f)
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
    float *want_states, *got_states;
    uint32_t n_done;
    sched_result result;
    int code;            /* of its error */
    uint32_t stop_after; /* on_token says stop then; 0: never */
    sched *cancel_in;    /* cancel `cancel` when the first token comes */
    sched_id cancel;
} job;

static bool token_came(void *arg, const sched_token *t)
{
    job *j = arg;
    assert_int_equal(j->n_done, 0);
    assert_int_equal(t->index, j->n_got);
    j->got_logp[j->n_got] = t->logp;
    j->got[j->n_got++] = t->id;
    if (j->cancel_in && j->n_got == 1)
        sched_cancel(j->cancel_in, j->cancel);
    return j->n_got != j->stop_after;
}

static void job_ended(void *arg, const sched_result *r)
{
    job *j = arg;
    assert_int_equal(r->id, j->id);
    j->n_done++;
    j->result = *r;
    j->code = r->end == SCHED_END_ERROR ? r->err->code : 0;
    if (j->ask.kind == SCHED_GENERATE) {
        assert_int_equal(r->n_new, j->n_got);
        assert_memory_equal(r->tokens, j->got, j->n_got * sizeof *j->got);
    }
}

/* The tokens of a job, made one after the other without a scheduler. */
static void generate_alone(fixture *f, job *j, const int32_t *prefix, uint32_t n_prefix)
{
    const sched_generate *g = &j->ask.generate;
    int32_t all[3 * MOST];
    uint32_t n = n_prefix, fed = 0;
    sampler s;
    seq *q;
    st_err err = {0};
    memcpy(all, prefix, n_prefix * sizeof *all);
    memcpy(all + n, j->tokens, j->ask.n * sizeof *all);
    n += j->ask.n;
    assert_int_equal(sampler_init(&s, &g->how, &err), 0);
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

static void job_draw_generate(fixture *f, job *j)
{
    static const float heats[] = {0, 0, 0.7f, 1.3f};
    sched_generate *g = &j->ask.generate;
    g->how = SAMPLER_GREEDY;
    g->how.temperature = heats[below(f, 4)];
    g->how.seed = st_rng_u64(&f->rng);
    g->how.repeat_penalty = below(f, 4) ? 1 : 1.2f;
    g->how.top_k = below(f, 2) ? 20 : 0;
    g->max_new = 1 + below(f, below(f, 4) ? 12 : 60);
    g->logp = below(f, 3) == 0;
    g->on_token = token_came;
    j->stop_after = below(f, 8) ? 0 : 1 + below(f, 5);
    j->stop = (int32_t)below(f, f->info->n_vocab);
    g->stop_ids = &j->stop;
    g->n_stop = 1;
    j->ask.n = 1 + below(f, below(f, 3) ? 30 : MOST - 1);
}

static void job_draw_text(fixture *f, job *j)
{
    uint32_t last = 1 + below(f, f->info->n_layers);
    size_t size = 2 * (size_t)STATES * f->info->n_embd;
    uint32_t most = engine_n_ctx(f->plain) < MOST ? engine_n_ctx(f->plain) : MOST;
    j->ask.n = 2 + below(f, below(f, 4) ? 20 : most - 2);
    j->want_states = st_zalloc_n(size, sizeof *j->want_states);
    j->got_states = st_zalloc_n(size, sizeof *j->got_states);
    j->ask.ret_vector = j->got_states;
    j->ask.states = (step_states){.first_layer = last >= 2 ? last - 2 : 0,
                                  .last_layer = last,
                                  .from = below(f, 2),
                                  .ret_mean = j->got_states,
                                  .ret_last = j->got_states + size / 2};
}

static void text_alone(fixture *f, job *j)
{
    const int32_t *text = j->tokens;
    step_states want = j->ask.states;
    want.ret_mean = j->want_states;
    want.ret_last = j->want_states + (size_t)STATES * f->info->n_embd;
    int rc = j->ask.kind == SCHED_EMBED
                 ? engine_embed(f->plain, &text, &j->ask.n, 1, j->want_states, NULL)
                 : engine_states(f->plain, &text, &j->ask.n, &want, 1, NULL);
    assert_int_equal(rc, 0);
}

/* Prompts of one key begin alike, so that there is something to reuse. */
static void tokens_draw(fixture *f, job *j)
{
    st_rng common = {j->ask.key};
    uint32_t own = below(f, j->ask.n);
    for (uint32_t i = 0; i < j->ask.n; i++)
        j->tokens[i] =
            (int32_t)st_rng_below(i < own ? &common : &f->rng, f->info->n_vocab);
}

static void job_draw(fixture *f, job *j, sched_prefix *prefix, const int32_t *before)
{
    *j = (job){0};
    j->ask.class = below(f, 3) ? SCHED_INTERACTIVE : SCHED_BULK;
    j->ask.key = 100 + below(f, 3);
    j->ask.done = job_ended;
    j->ask.arg = j;
    j->ask.kind = !f->info->causal ? SCHED_EMBED
                  : below(f, 5)    ? SCHED_GENERATE
                                   : SCHED_STATES;
    if (j->ask.kind == SCHED_GENERATE)
        job_draw_generate(f, j);
    else
        job_draw_text(f, j);
    j->ask.tokens = j->tokens;
    tokens_draw(f, j);
    if (j->ask.kind != SCHED_GENERATE) {
        text_alone(f, j);
        return;
    }
    bool named = prefix && below(f, 2);
    j->ask.prefix = named ? prefix : NULL;
    generate_alone(f, j, before, named ? PREFIX : 0);
}

static void job_check(const fixture *f, const job *j)
{
    assert_int_equal(j->n_done, 1);
    if (j->result.end == SCHED_END_ERROR)
        fail_msg("a request failed with %d", j->code);
    if (j->ask.kind != SCHED_GENERATE) {
        assert_memory_equal(j->got_states, j->want_states,
                            2 * STATES * f->info->n_embd * sizeof(float));
        return;
    }
    assert_int_equal(j->n_got, j->n_want);
    assert_memory_equal(j->got, j->want, j->n_want * sizeof *j->want);
    assert_memory_equal(j->got_logp, j->want_logp, j->n_want * sizeof *j->want_logp);
    assert_int_equal(j->result.end, j->want_end);
}

static void job_done(job *j)
{
    st_free(j->want_states);
    st_free(j->got_states);
}

static void submit(sched *s, job *j)
{
    st_err err = {0};
    if (sched_submit(s, &j->ask, &j->id, &err) < 0)
        fail_msg("%s", err.message);
}

static engine *engine_draw(fixture *f)
{
    static const uint32_t batches[] = {0, 24, 100};
    size_t page = model_kv_page_bytes(f->m, ST_F32);
    engine_opts opts = {.n_threads = 1 + below(f, 3),
                        .max_batch = batches[below(f, 3)],
                        .max_seqs = 8,
                        .kv_bytes = (9 + below(f, 12)) * page}; /* the longest takes 6 */
    engine *e;
    assert_int_equal(engine_new(f->m, &opts, &e, NULL), 0);
    return e;
}

/* Random requests that come at random times. */
static void mix_once(fixture *f, uint32_t *ret_preempted, uint64_t *ret_cached)
{
    enum { JOBS = 30 };
    static job jobs[JOBS];
    engine *e = engine_draw(f);
    uint32_t pages = engine_free_pages(e), came = 0;
    sched_opts opts = {.max_live = 2 + below(f, 6),
                       .max_requests = 2 * JOBS,
                       .prefill_chunk = 1 + below(f, 40)};
    int32_t before[PREFIX];
    sched_prefix *prefix = NULL;
    sched_stats stats;
    sched *s;
    st_err err = {0};
    assert_int_equal(sched_new(e, &opts, &s, &err), 0);
    for (uint32_t i = 0; i < PREFIX; i++)
        before[i] = (int32_t)below(f, f->info->n_vocab);
    if (f->info->causal && below(f, 3))
        assert_int_equal(sched_prefix_pin(s, before, PREFIX, &prefix, &err), 0);
    for (int i = 0; i < JOBS; i++)
        job_draw(f, &jobs[i], prefix, before);
    for (bool left = true; left || came < JOBS;) {
        uint32_t n = below(f, 3) ? 0 : below(f, 6);
        for (; n > 0 && came < JOBS; n--)
            submit(s, &jobs[came++]);
        if (came == JOBS && prefix && below(f, 4) == 0) {
            sched_prefix_unpin(s, prefix); /* while it is in use */
            prefix = NULL;
        }
        left = sched_step(s);
    }
    for (int i = 0; i < JOBS; i++) {
        job_check(f, &jobs[i]);
        *ret_preempted += jobs[i].result.n_preempted;
        job_done(&jobs[i]);
    }
    sched_stats_get(s, &stats);
    assert_int_equal(stats.waiting + stats.live, 0);
    assert_int_equal(stats.finished, JOBS);
    assert_int_equal(stats.pages_free + stats.pages_cached + stats.pages_pinned, pages);
    *ret_cached += stats.tokens_cached;
    sched_prefix_unpin(s, prefix);
    sched_free(s);
    assert_int_equal(engine_free_pages(e), pages);
    engine_free(e);
}

static void company_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; have_goldens() && i < ST_COUNT(models); i++) {
        fixture f;
        uint32_t preempted = 0;
        uint64_t cached = 0;
        fixture_init(&f, models[i]);
        for (int round = 0; round < 6; round++)
            mix_once(&f, &preempted, &cached);
        assert_true(preempted > 0);
        assert_true(cached > 0);
        fixture_done(&f);
    }
}

static void encoders_embed_in_company(void **state)
{
    fixture f;
    uint32_t preempted = 0;
    uint64_t cached = 0;
    (void)state;
    if (!have_goldens())
        return;
    fixture_init(&f, encoder);
    for (int round = 0; round < 4; round++)
        mix_once(&f, &preempted, &cached);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(company_changes_nothing),
        cmocka_unit_test(encoders_embed_in_company),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
