/* tests/test_sched.c - a request gives the same bytes in any company. */
#include "tests/sched_job.h"

static const char *const models[] = {
    GOLDENS "logits/llama-gqa/model-f32.gguf", GOLDENS "quant/models/llama-256-q4_0.gguf",
    GOLDENS "logits/gemma2/model-f32.gguf",    GOLDENS "logits/lfm2/model-f32.gguf",
    GOLDENS "logits/qwen2moe/model-f32.gguf",
};
static const char encoder[] = GOLDENS "logits/bert-mini/model-f32.gguf";

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
    tops_draw(f, j);
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

/* Options of some tokens out of few, so that they share beginnings. */
static void job_draw_options(fixture *f, job *j)
{
    int32_t ids[OPTIONS][OPTION];
    const int32_t *rows[OPTIONS];
    uint32_t n_ids[OPTIONS], n = 2 + below(f, OPTIONS - 1);
    st_err err = {0};
    for (uint32_t i = 0; i < n; i++) {
        n_ids[i] = OPTION - 1 - below(f, 2);
        for (uint32_t k = 0; k < n_ids[i]; k++)
            ids[i][k] = (int32_t)below(f, 4);
        ids[i][n_ids[i]++] = 10 + (int32_t)i; /* no two are the same */
        rows[i] = ids[i];
    }
    assert_int_equal(options_new(rows, n_ids, n, 7, &j->options, &err), 0);
    j->ask.options = (options_request){.options = j->options,
                                       .held = below(f, 2),
                                       .unseen = below(f, 2) ? 0 : 0.1,
                                       .ret_logp = j->got_odds,
                                       .ret_unseen = &j->got_odds[OPTIONS]};
    j->ask.n = 1 + below(f, below(f, 3) ? 30 : MOST - 1);
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
                  : below(f, 3)    ? SCHED_GENERATE
                  : below(f, 2)    ? SCHED_OPTIONS
                                   : SCHED_STATES;
    if (j->ask.kind == SCHED_GENERATE)
        job_draw_generate(f, j);
    else if (j->ask.kind == SCHED_OPTIONS)
        job_draw_options(f, j);
    else
        job_draw_text(f, j);
    j->ask.tokens = j->tokens;
    tokens_draw(f, j);
    uint32_t n_prefix = prefix && below(f, 2) ? PREFIX : 0;
    j->ask.prefix = n_prefix ? prefix : NULL;
    if (j->ask.kind == SCHED_GENERATE)
        generate_alone(f, j, before, n_prefix);
    else if (j->ask.kind == SCHED_OPTIONS)
        options_alone(f, j, before, n_prefix);
    else
        text_alone(f, j, before, n_prefix);
}

static engine *engine_draw(fixture *f)
{
    static const uint32_t batches[] = {0, 24, 100};
    size_t page = model_kv_page_bytes(f->m, f->kv_type);
    engine_opts opts = {.n_threads = 1 + below(f, 3),
                        .max_batch = batches[below(f, 3)],
                        .max_seqs = 8,
                        .kv_type = f->kv_type,
                        .kv_bytes = (9 + below(f, 12)) * page}; /* the longest takes 6 */
    engine *e;
    assert_int_equal(engine_new(f->m, &opts, &e, NULL), 0);
    return e;
}

/* Random requests that come at random times; some are cancelled at random times. */
static void mix_once(fixture *f, uint32_t *ret_preempted, uint64_t *ret_cached)
{
    enum { JOBS = 30 };
    static job jobs[JOBS];
    static const uint32_t step_us[] = {0, 0, 1, 2000, UINT32_MAX};
    engine *e = engine_draw(f);
    uint32_t pages = engine_free_pages(e), came = 0;
    sched_opts opts = {.max_live = 2 + below(f, 6),
                       .max_requests = 2 * JOBS,
                       .prefill_chunk = below(f, 2) ? 1 + below(f, 40) : 0,
                       .step_us = step_us[below(f, ST_COUNT(step_us))]};
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
        if (came > 0 && below(f, 20) == 0) {
            job *j = &jobs[below(f, came)];
            j->is_cancelled = true; /* or it is over */
            sched_cancel(s, j->id);
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
    assert_int_equal(stats.finished + stats.failed, JOBS);
    assert_int_equal(stats.pages_free + stats.pages_cached + stats.pages_pinned, pages);
    *ret_cached += stats.tokens_cached;
    sched_prefix_unpin(s, prefix);
    sched_free(s);
    assert_int_equal(engine_free_pages(e), pages);
    engine_free(e);
}

static void mixes(const char *path, bool small)
{
    fixture f;
    uint32_t preempted = 0;
    uint64_t cached = 0;
    fixture_init(&f, path, small);
    for (int round = 0; round < 6; round++)
        mix_once(&f, &preempted, &cached);
    assert_true(preempted > 0);
    assert_true(cached > 0);
    fixture_done(&f);
}

static void company_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i++) {
        mixes(models[i], false);
        mixes(models[i], true);
    }
}

static void encoders_embed_in_company(void **state)
{
    fixture f;
    uint32_t preempted = 0;
    uint64_t cached = 0;
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, encoder, false);
    for (int round = 0; round < 4; round++)
        mix_once(&f, &preempted, &cached);
    fixture_done(&f);
}

/* Preemption, reuse, a prefix, draws with penalties: no step takes memory. */
static void a_step_allocates_nothing(void **state)
{
    enum { JOBS = 24 };
    static job jobs[JOBS];
    uint64_t preempted = 0, cached = 0;
    (void)state;
    for (size_t i = 0; is_here(GOLDENS "README.md") && i < ST_COUNT(models); i++) {
        fixture f;
        int32_t before[PREFIX];
        sched_prefix *prefix;
        sched *s;
        sched_stats stats;
        fixture_init(&f, models[i], false);
        const sched_opts opts = {.max_live = 6, .prefill_chunk = 20};
        engine_opts eo = {.n_threads = 2,
                          .max_batch = 64,
                          .kv_bytes = 7 * model_kv_page_bytes(f.m, ST_F32)};
        engine *e;
        assert_int_equal(engine_new(f.m, &eo, &e, NULL), 0);
        assert_int_equal(sched_new(e, &opts, &s, NULL), 0);
        for (uint32_t k = 0; k < PREFIX; k++)
            before[k] = (int32_t)below(&f, f.info->n_vocab);
        assert_int_equal(sched_prefix_pin(s, before, PREFIX, &prefix, NULL), 0);
        for (int k = 0; k < JOBS; k++) {
            job_draw(&f, &jobs[k], prefix, before);
            submit(s, &jobs[k]);
        }
        sched_cancel(s, jobs[3].id);
        jobs[3].is_cancelled = true;
        fault_arm(0);
        while (sched_step(s))
            continue;
        sched_prefix_unpin(s, prefix);
        long n = fault_disarm();
        sched_stats_get(s, &stats);
        assert_int_equal(n, 0);
        preempted += stats.preemptions;
        cached += stats.tokens_cached;
        for (int k = 0; k < JOBS; k++) {
            job_check(&f, &jobs[k]);
            job_done(&jobs[k]);
        }
        sched_free(s);
        engine_free(e);
        fixture_done(&f);
    }
    assert_true(!is_here(GOLDENS "README.md") || (preempted > 0 && cached > 0));
}

static bool token_ignored(void *arg, const sched_token *t)
{
    (void)arg;
    (void)t;
    return true;
}

static void end_counted(void *arg, const sched_result *r)
{
    int *n = arg;
    (void)r;
    ++*n;
}

typedef struct sweep {
    engine *e;
    uint32_t pages;
} sweep;

static int work_all(void *arg)
{
    const sweep *w = arg;
    const sched_opts opts = {.max_requests = 4, .max_live = 2};
    const int32_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    const sched_bias bias = {3, 1};
    int ended = 0, accepted = 0;
    sched_prefix *prefix = NULL;
    sched_request ask = {
        .tokens = ids,
        .n = 10,
        .generate = {.how = SAMPLER_GREEDY,
                     .max_new = 3,
                     .bias = &bias,
                     .n_bias = 1,
                     .n_top = 2,
                     .on_token = token_ignored},
        .done = end_counted,
        .arg = &ended,
    };
    sched *s = NULL;
    sched_id id;
    int rc = sched_new(w->e, &opts, &s, NULL);
    if (rc == 0)
        rc = sched_prefix_pin(s, ids, 4, &prefix, NULL);
    ask.prefix = prefix;
    for (int i = 0; i < 3 && rc == 0; i++) {
        rc = sched_submit(s, &ask, &id, NULL);
        accepted += rc == 0;
    }
    while (s && sched_step(s))
        continue;
    if (s)
        sched_prefix_unpin(s, prefix);
    sched_free(s);
    assert_int_equal(ended, accepted);
    assert_int_equal(engine_free_pages(w->e), w->pages);
    return rc;
}

static void memory_runs_out(void **state)
{
    fixture f;
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, models[0], false);
    sweep w = {f.plain, engine_free_pages(f.plain)};
    assert_true(fault_sweep(work_all, &w, 1) > 25);
    fixture_done(&f);
}

typedef struct client {
    sched *s;
    job *jobs;
    uint32_t n;
    st_rng rng;
} client;

static void pause_us(uint32_t us)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
}

static void *client_main(void *arg)
{
    client *c = arg;
    sched_stats stats;
    for (uint32_t i = 0; i < c->n; i++) {
        while (sched_submit(c->s, &c->jobs[i].ask, &c->jobs[i].id, NULL) == ST_EBUSY)
            pause_us(200);
        if (st_rng_below(&c->rng, 6) == 0) {
            c->jobs[i].is_cancelled = true;
            sched_cancel(c->s, c->jobs[i].id);
        }
        sched_stats_get(c->s, &stats);
        if (st_rng_below(&c->rng, 4) == 0)
            pause_us(st_rng_below(&c->rng, 1000));
    }
    return NULL;
}

/* Two clients submit and cancel while the owner steps and sleeps. */
static void clients_come_from_other_threads(void **state)
{
    enum { CLIENTS = 2, EACH = 30 };
    static job jobs[CLIENTS][EACH];
    client clients[CLIENTS];
    pthread_t threads[CLIENTS];
    fixture f;
    sched *s;
    (void)state;
    if (!is_here(GOLDENS "README.md"))
        return;
    fixture_init(&f, models[1], false);
    const sched_opts opts = {.max_requests = 8, .max_live = 4};
    engine *e = engine_draw(&f);
    assert_int_equal(sched_new(e, &opts, &s, NULL), 0);
    for (uint32_t c = 0; c < CLIENTS; c++) {
        for (int i = 0; i < EACH; i++) {
            job_draw(&f, &jobs[c][i], NULL, NULL);
            jobs[c][i].ask.key = c;
        }
        clients[c] = (client){s, jobs[c], EACH, {c}};
    }
    for (uint32_t c = 0; c < CLIENTS; c++)
        assert_int_equal(pthread_create(&threads[c], NULL, client_main, &clients[c]), 0);
    for (uint64_t ended = 0; ended < CLIENTS * EACH;) {
        sched_stats stats;
        while (sched_wait(s, 1000) && sched_step(s))
            continue;
        sched_stats_get(s, &stats);
        ended = stats.finished + stats.failed;
    }
    for (uint32_t c = 0; c < CLIENTS; c++) {
        pthread_join(threads[c], NULL);
        for (int i = 0; i < EACH; i++) {
            job_check(&f, &jobs[c][i]);
            job_done(&jobs[c][i]);
        }
    }
    sched_free(s);
    engine_free(e);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(company_changes_nothing),
        cmocka_unit_test(encoders_embed_in_company),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(clients_come_from_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
