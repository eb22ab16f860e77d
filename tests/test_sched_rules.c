/* tests/test_sched_rules.c - who comes first, what is shared, what is refused.
 *
 * Time is counted in steps and tokens, never in seconds. */
#include "tests/sched_job.h"

static const char encoder[] = GOLDENS "logits/bert-mini/model-f32.gguf";
static const char small[] = GOLDENS "logits/llama-gqa/model-f32.gguf";

typedef struct bed { /* a scheduler on an engine of `pages` pages */
    fixture f;
    engine *e;
    sched *s;
    uint32_t pages;
} bed;

/* The test is skipped where there are no goldens. */
static void bed_init(bed *b, const char *path, uint32_t pages, const sched_opts *opts)
{
    st_err err = {0};
    if (!is_here(GOLDENS "README.md"))
        skip();
    fixture_init(&b->f, path, false);
    engine_opts eo = {.n_threads = 2,
                      .max_batch = 128,
                      .max_seqs = 16,
                      .kv_bytes = pages * model_kv_page_bytes(b->f.m, ST_F32)};
    if (engine_new(b->f.m, &eo, &b->e, &err) < 0 ||
        sched_new(b->e, opts, &b->s, &err) < 0)
        fail_msg("%s", err.message);
    b->pages = engine_free_pages(b->e);
}

static void bed_done(bed *b)
{
    sched_free(b->s);
    assert_int_equal(engine_free_pages(b->e), b->pages);
    engine_free(b->e);
    fixture_done(&b->f);
}

static sched_stats stats_of(bed *b)
{
    sched_stats stats;
    sched_stats_get(b->s, &stats);
    return stats;
}

static void run_all(bed *b)
{
    while (sched_step(b->s))
        continue;
}

/* A greedy request of n drawn tokens for max_new. */
static void job_make(bed *b, job *j, uint64_t key, uint32_t n, uint32_t max_new)
{
    *j = (job){.stop = -1};
    j->ask = (sched_request){
        .key = key,
        .tokens = j->tokens,
        .n = n,
        .generate = {.how = SAMPLER_GREEDY, .max_new = max_new, .on_token = token_came},
        .done = job_ended,
        .arg = j,
    };
    for (uint32_t i = 0; i < n; i++)
        j->tokens[i] = (int32_t)below(&b->f, b->f.info->n_vocab);
}

static void job_copy(job *j, const job *from, uint64_t key)
{
    *j = *from;
    j->ask.key = key;
    j->ask.tokens = j->tokens;
    j->ask.arg = j;
    j->n_got = j->n_done = 0;
}

static void run_one(bed *b, job *j)
{
    submit(b->s, j);
    run_all(b);
    assert_int_equal(j->n_done, 1);
    assert_int_equal(j->code, 0);
}

/* One key's text is nothing to another: not found, not counted, run in full. */
static void text_of_another_key_is_never_reused(void **state)
{
    bed b;
    job a, again, other;
    (void)state;
    bed_init(&b, small, 40, NULL);
    job_make(&b, &a, 1, 150, 4);
    run_one(&b, &a);
    assert_int_equal(a.result.n_cached, 0);
    uint64_t before = stats_of(&b).tokens_prefilled;
    job_copy(&other, &a, 2);
    run_one(&b, &other);
    assert_int_equal(other.result.n_cached, 0);
    assert_int_equal(stats_of(&b).tokens_prefilled - before, 150);
    job_copy(&again, &a, 1);
    run_one(&b, &again);
    assert_int_equal(again.result.n_cached, 149); /* all but the last token */
    assert_memory_equal(again.got, a.got, 4 * sizeof *a.got);
    assert_memory_equal(other.got, a.got, 4 * sizeof *a.got);
    /* Nor while both are live. */
    job_make(&b, &a, 3, 150, 30);
    submit(b.s, &a);
    for (int i = 0; i < 8; i++)
        sched_step(b.s);
    job_copy(&other, &a, 4);
    run_one(&b, &other);
    assert_int_equal(other.result.n_cached, 0);
    bed_done(&b);
}

/* A pinned prefix serves every key that names it, to the token; what stands after it
 * stays with its key. */
static void prefixes_are_shared_by_name(void **state)
{
    bed b;
    job first, second, third, unnamed;
    int32_t before[PREFIX];
    sched_prefix *p;
    (void)state;
    bed_init(&b, small, 40, NULL);
    for (uint32_t i = 0; i < PREFIX; i++)
        before[i] = (int32_t)below(&b.f, b.f.info->n_vocab);
    assert_int_equal(sched_prefix_pin(b.s, before, PREFIX, &p, NULL), 0);
    job_make(&b, &first, 1, 140, 6);
    first.ask.prefix = p;
    generate_alone(&b.f, &first, before, PREFIX);
    job_copy(&second, &first, 2);
    job_copy(&third, &first, 1);
    submit(b.s, &first); /* both at once: it is run once */
    run_one(&b, &second);
    assert_int_equal(first.result.n_cached, PREFIX);
    assert_int_equal(second.result.n_cached, PREFIX);
    assert_int_equal(stats_of(&b).tokens_prefilled, PREFIX + 140 + 140);
    run_one(&b, &third);
    assert_int_equal(third.result.n_cached,
                     PREFIX + 139); /* its own text after the prefix too */
    job_check(&b.f, &first);
    job_check(&b.f, &second);
    job_check(&b.f, &third);
    /* The same text without the name. */
    job_make(&b, &unnamed, 9, MOST, 2);
    memcpy(unnamed.tokens, before, sizeof before);
    run_one(&b, &unnamed);
    assert_int_equal(unnamed.result.n_cached, 0);
    assert_int_equal(stats_of(&b).pages_pinned, 2);
    sched_prefix_unpin(b.s, p);
    assert_int_equal(stats_of(&b).pages_pinned, 0);
    bed_done(&b);
}

/* The request that a prefix is run for goes away half-way: it goes on for the next. */
static void a_prefix_outlives_who_asked_first(void **state)
{
    const sched_opts opts = {.prefill_chunk = 16};
    bed b;
    job decoding, first, next;
    int32_t before[PREFIX];
    sched_prefix *p;
    (void)state;
    bed_init(&b, small, 40, &opts);
    for (uint32_t i = 0; i < PREFIX; i++)
        before[i] = (int32_t)below(&b.f, b.f.info->n_vocab);
    assert_int_equal(sched_prefix_pin(b.s, before, PREFIX, &p, NULL), 0);
    job_make(&b, &decoding, 7, 3, 60);
    submit(b.s, &decoding);
    sched_step(b.s);
    job_make(&b, &first, 1, 20, 4);
    first.ask.prefix = p;
    job_copy(&next, &first, 2);
    generate_alone(&b.f, &next, before, PREFIX);
    submit(b.s, &first);
    submit(b.s, &next);
    sched_step(b.s);
    sched_step(b.s); /* 32 of 70 tokens */
    sched_cancel(b.s, first.id);
    sched_prefix_unpin(b.s, p); /* `next` still names it */
    run_all(&b);
    assert_int_equal(first.code, ST_ECANCELLED);
    assert_int_equal(first.n_got, 0);
    job_check(&b.f, &next);
    assert_int_equal(stats_of(&b).pages_pinned, 0);
    bed_done(&b);
}

/* A prefix that is filled by its owner is run by nobody else, also from half-way on. */
static void prefixes_may_be_had_at_once(void **state)
{
    static int32_t text[250];
    const sched_opts opts = {.prefill_chunk = 16};
    bed b;
    job text_made, one;
    int32_t before[PREFIX];
    sched_prefix *p;
    seq *q;
    (void)state;
    bed_init(&b, small, 8, &opts);
    for (uint32_t i = 0; i < PREFIX; i++)
        before[i] = (int32_t)below(&b.f, b.f.info->n_vocab);
    assert_int_equal(sched_prefix_pin(b.s, before, PREFIX, &p, NULL), 0);
    assert_int_equal(seq_new(b.e, &q, NULL), 0);
    step_item all = {.s = q, .tokens = text, .n = 250};
    step_item rest = {.s = q, .tokens = text, .n = 6};
    seq *more;
    assert_int_equal(engine_step(b.e, &all, 1, NULL), 0);
    assert_int_equal(seq_new(b.e, &more, NULL), 0);
    all.s = more;
    all.n = 192;
    assert_int_equal(engine_step(b.e, &all, 1, NULL), 0); /* 7 of 8 pages */
    assert_int_equal(sched_prefix_run_kept(b.s, p, NULL), ST_EBUSY);
    assert_int_equal(engine_step(b.e, &rest, 1, NULL), 0);
    seq_free(more);
    seq_free(q);
    job_make(&b, &text_made, 1, 5, 40);
    submit(b.s, &text_made);
    sched_step(b.s);
    job_make(&b, &one, 2, 20, 4);
    one.ask.prefix = p;
    generate_alone(&b.f, &one, before, PREFIX);
    submit(b.s, &one);
    sched_step(b.s); /* 16 tokens of it */
    uint64_t run = stats_of(&b).tokens_prefilled;
    assert_int_equal(sched_prefix_run_kept(b.s, p, NULL), 0);
    assert_int_equal(sched_prefix_run_kept(b.s, p, NULL), 0);
    run_all(&b);
    assert_int_equal(stats_of(&b).tokens_prefilled - run, 20);
    job_check(&b.f, &one);
    sched_prefix_unpin(b.s, p);
    bed_done(&b);
}

/* Texts that part inside a page share it up to there, also while it is in use. */
static void texts_share_what_they_begin_with(void **state)
{
    static const uint32_t parts[] = {1, 63, 64, 65, 100, 127, 128, 129, 149};
    bed b;
    job a, other[ST_COUNT(parts)];
    (void)state;
    bed_init(&b, small, 40, NULL);
    job_make(&b, &a, 1, 150, 3);
    run_one(&b, &a);
    for (size_t i = 0; i < ST_COUNT(parts); i++) {
        job *j = &other[i];
        job_make(&b, j, 1, 150, 4);
        for (uint32_t k = 0; k < parts[i]; k++)
            j->tokens[k] = a.tokens[k];
        if (parts[i] < 149)
            j->tokens[parts[i]] = (a.tokens[parts[i]] + 1) % (int32_t)b.f.info->n_vocab;
        generate_alone(&b.f, j, NULL, 0);
    }
    for (size_t i = 0; i < ST_COUNT(parts); i++)
        submit(b.s, &other[i]);
    run_all(&b);
    for (size_t i = 0; i < ST_COUNT(parts); i++) {
        job_check(&b.f, &other[i]);
        assert_int_equal(other[i].result.n_cached, parts[i]);
    }
    bed_done(&b);
}

/* A page that is shared in part is there twice for a while: not where that is too many.
 */
static void sharing_never_stands_in_the_way(void **state)
{
    bed b;
    job a, again;
    (void)state;
    bed_init(&b, small, 3, NULL);
    job_make(&b, &a, 1, 170, 8);
    run_one(&b, &a);
    job_copy(&again, &a, 1);
    run_one(&b, &again);
    assert_int_equal(again.result.n_cached, 128);
    assert_memory_equal(again.got, a.got, 8 * sizeof *a.got);
    bed_done(&b);
}

/* Kept text goes least recently used first. */
static void old_text_goes_first(void **state)
{
    bed b;
    job text[4], again;
    (void)state;
    bed_init(&b, small, 10, NULL); /* three texts of three pages, not four */
    for (uint32_t i = 0; i < 4; i++)
        job_make(&b, &text[i], 1, 170, 1);
    for (int i = 0; i < 3; i++)
        run_one(&b, &text[i]);
    assert_int_equal(stats_of(&b).pages_cached, 9);
    job_copy(&again, &text[0], 1);
    run_one(&b, &again); /* now text 1 is the oldest */
    assert_int_equal(again.result.n_cached, 169);
    run_one(&b, &text[3]);
    job_make(&b, &again, 1, 150, 1);
    run_one(&b, &again);
    job_copy(&again, &text[0], 1);
    run_one(&b, &again);
    assert_int_equal(again.result.n_cached, 169);
    job_copy(&again, &text[1], 1);
    run_one(&b, &again);
    assert_true(again.result.n_cached < 128);
    bed_done(&b);
}

/* One request of a new client among many of another: as good as alone. */
static void a_crowd_does_not_delay_another_client(void **state)
{
    enum { CROWD = 40, NEW = 20 };
    const sched_opts opts = {.max_live = 4, .prefill_chunk = 32};
    static job crowd[CROWD];
    bed b;
    job one;
    uint32_t steps = 0, ended = 0;
    (void)state;
    bed_init(&b, small, 40, &opts);
    for (uint32_t i = 0; i < CROWD; i++) {
        job_make(&b, &crowd[i], 1, 30, NEW);
        generate_alone(&b.f, &crowd[i], NULL, 0);
        submit(b.s, &crowd[i]);
    }
    for (int i = 0; i < 10; i++)
        sched_step(b.s);
    job_make(&b, &one, 2, 30, NEW);
    submit(b.s, &one);
    for (; one.n_done == 0; steps++)
        sched_step(b.s);
    assert_true(steps <= NEW + 2);
    for (int i = 0; i < CROWD; i++)
        ended += crowd[i].n_done;
    assert_true(ended <= 8);
    run_all(&b);
    assert_true(stats_of(&b).preemptions >= 1); /* for a place */
    for (int i = 0; i < CROWD; i++)
        job_check(&b.f, &crowd[i]);
    bed_done(&b);
}

/* Two clients, one with four times the work: while both wait they are served alike. */
static void clients_share_by_tokens(void **state)
{
    enum { MANY = 40, FEW = 10 };
    const sched_opts opts = {.max_live = 2};
    static job many[MANY], few[FEW];
    bed b;
    uint32_t done_many = 0, done_few = 0;
    (void)state;
    bed_init(&b, small, 40, &opts);
    for (uint32_t i = 0; i < MANY; i++) {
        job_make(&b, &many[i], 1, 20, 3);
        submit(b.s, &many[i]);
    }
    for (uint32_t i = 0; i < FEW; i++) { /* twice the tokens a request */
        job_make(&b, &few[i], 2, 40, 6);
        submit(b.s, &few[i]);
    }
    while (done_few < FEW / 2) {
        sched_step(b.s);
        done_few = done_many = 0;
        for (int i = 0; i < FEW; i++)
            done_few += few[i].n_done;
        for (int i = 0; i < MANY; i++)
            done_many += many[i].n_done;
    }
    assert_true(done_many >= 6 && done_many <= 14); /* about 10 */
    run_all(&b);
    bed_done(&b);
}

static void interactive_passes_bulk(void **state)
{
    enum { BULK = 20 };
    const sched_opts opts = {.max_live = 4};
    static job bulk[BULK];
    bed b;
    job one;
    uint32_t steps = 0;
    (void)state;
    bed_init(&b, small, 12, &opts); /* the bulk holds every page */
    for (uint32_t i = 0; i < BULK; i++) {
        job_make(&b, &bulk[i], i, 150, 30);
        bulk[i].ask.class = SCHED_BULK;
        generate_alone(&b.f, &bulk[i], NULL, 0);
        submit(b.s, &bulk[i]);
    }
    for (int i = 0; i < 12; i++)
        sched_step(b.s);
    job_make(&b, &one, 99, 100, 10);
    submit(b.s, &one);
    for (; one.n_done == 0; steps++)
        sched_step(b.s);
    assert_true(steps <= 13); /* two for the prompt, nine more, bulk's turns beside */
    assert_int_equal(one.result.n_preempted, 0);
    run_all(&b);
    for (int i = 0; i < BULK; i++)
        job_check(&b.f, &bulk[i]);
    bed_done(&b);
}

/* A long prompt goes on beside text that is made: each step gives both their part. */
static void prompts_and_text_share_steps(void **state)
{
    const sched_opts opts = {.prefill_chunk = 10};
    bed b;
    job text, prompt;
    (void)state;
    bed_init(&b, small, 40, &opts);
    job_make(&b, &text, 1, 5, 100);
    job_make(&b, &prompt, 2, 100, 1);
    submit(b.s, &text);
    sched_step(b.s);
    submit(b.s, &prompt);
    for (uint32_t i = 1; i <= 10; i++) {
        sched_step(b.s);
        assert_int_equal(text.n_got, 1 + i);
        assert_int_equal(prompt.n_got, i == 10);
    }
    run_all(&b);
    bed_done(&b);
}

/* A pace that nothing keeps to is the least; one that everything keeps to doubles. */
static void steps_keep_to_the_pace(void **state)
{
    const sched_opts hasty = {.step_us = 1}, patient = {.step_us = UINT32_MAX};
    static float states[3][64];
    bed b;
    job prompt, texts[3];
    (void)state;
    bed_init(&b, small, 40, &hasty);
    job_make(&b, &prompt, 1, 160, 1);
    submit(b.s, &prompt);
    for (uint32_t i = 1; i <= 160 / SCHED_LEAST_ROOM; i++) {
        assert_int_equal(prompt.n_done, 0);
        sched_step(b.s);
        assert_int_equal(stats_of(&b).tokens_prefilled, i * SCHED_LEAST_ROOM);
    }
    assert_int_equal(prompt.n_done, 1);
    for (uint32_t i = 0; i < 3; i++) {
        job_make(&b, &texts[i], i, 20, 1);
        texts[i].ask.kind = SCHED_STATES;
        texts[i].ask.states = (step_states){.last_layer = 1, .ret_mean = states[i]};
        texts[i].ask.states.first_layer = 1;
        submit(b.s, &texts[i]);
    }
    for (uint32_t i = 0; i < 3; i++) { /* whole, and alone */
        assert_int_equal(texts[0].n_done + texts[1].n_done + texts[2].n_done, i);
        sched_step(b.s);
    }
    bed_done(&b);
    bed_init(&b, small, 40, &patient);
    job_make(&b, &prompt, 1, 180, 1);
    submit(b.s, &prompt);
    for (uint32_t i = 1, want = SCHED_LEAST_ROOM; i <= 4; i++, want *= 2) {
        uint64_t had = stats_of(&b).tokens_prefilled;
        sched_step(b.s);
        assert_int_equal(stats_of(&b).tokens_prefilled - had, want);
    }
    run_all(&b);
    assert_int_equal(prompt.code, 0);
    bed_done(&b);
}

/* However long the prompts that wait: a cancel waits for one step of few tokens. */
static void cancels_do_not_wait_for_prompts(void **state)
{
    const sched_opts opts = {.step_us = 1};
    job jobs[4];
    bed b;
    (void)state;
    bed_init(&b, small, 40, &opts);
    for (uint32_t i = 0; i < 4; i++) {
        job_make(&b, &jobs[i], i, 180, 5);
        submit(b.s, &jobs[i]);
    }
    for (int i = 0; i < 3; i++)
        sched_step(b.s);
    for (int i = 0; i < 4; i++)
        sched_cancel(b.s, jobs[i].id);
    assert_false(sched_step(b.s));
    for (int i = 0; i < 4; i++)
        assert_int_equal(jobs[i].code, ST_ECANCELLED);
    assert_int_equal(stats_of(&b).tokens_prefilled, 3 * SCHED_LEAST_ROOM);
    bed_done(&b);
}

/* Interactive requests of ever new clients, more than there are places: a request of bulk
 * is through all the same, and takes little of the others' steps. */
static void bulk_is_slow_and_never_still(void **state)
{
    enum { CROWD = 6, NEW = 4, STEPS = 1500 };
    const sched_opts opts = {.max_live = 3, .prefill_chunk = 16};
    static job crowd[CROWD];
    bed b;
    job bulk[2];
    uint32_t steps = 0, served = 0;
    uint64_t key = 100;
    (void)state;
    bed_init(&b, small, 10, &opts);
    for (uint32_t i = 0; i < 2; i++) {
        job_make(&b, &bulk[i], i, 100, 20);
        bulk[i].ask.class = SCHED_BULK;
        generate_alone(&b.f, &bulk[i], NULL, 0);
        crowd[i].n_done = 1;
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        job_make(&b, &crowd[i], key++, 60, NEW);
        submit(b.s, &crowd[i]);
    }
    submit(b.s, &bulk[0]);
    submit(b.s, &bulk[1]);
    for (; bulk[0].n_done + bulk[1].n_done < 2 && steps < STEPS; steps++) {
        sched_step(b.s);
        for (uint32_t i = 0; i < CROWD; i++) {
            if (crowd[i].n_done == 0)
                continue;
            served++;
            job_make(&b, &crowd[i], key++, 60, NEW);
            submit(b.s, &crowd[i]);
        }
    }
    assert_true(steps < STEPS);
    assert_true(served * 6 > steps); /* a prompt of theirs takes four steps */
    run_all(&b);
    job_check(&b.f, &bulk[0]);
    job_check(&b.f, &bulk[1]);
    bed_done(&b);
}

static void work_counted(void *arg)
{
    ++*(int *)arg;
}

/* Whoever waits for many schedulers is told of work, and not of what was refused. */
static void work_is_told(void **state)
{
    int n = 0;
    const sched_opts opts = {.on_work = work_counted, .on_work_arg = &n};
    bed b;
    job j;
    sched_id id;
    (void)state;
    bed_init(&b, small, 40, &opts);
    job_make(&b, &j, 1, 5, 5);
    submit(b.s, &j);
    assert_int_equal(n, 1);
    sched_cancel(b.s, j.id);
    assert_int_equal(n, 2);
    run_all(&b);
    assert_int_equal(n, 2);
    sched_drain(b.s);
    assert_int_equal(n, 3);
    assert_int_equal(sched_submit(b.s, &j.ask, &id, NULL), ST_EBUSY);
    assert_int_equal(n, 3);
    bed_done(&b);
}

static void queues_are_bounded(void **state)
{
    enum { ROOM = 16 };
    const sched_opts opts = {.max_requests = ROOM};
    job jobs[ROOM + 1];
    bed b;
    uint32_t n = 0;
    (void)state;
    bed_init(&b, small, 40, &opts);
    for (;; n++) {
        st_err err = {0};
        assert_true(n < ROOM);
        job_make(&b, &jobs[n], 1, 5, 2);
        int rc = sched_submit(b.s, &jobs[n].ask, &jobs[n].id, &err);
        if (rc == ST_EBUSY) {
            assert_non_null(strstr(err.hint, "try again in"));
            break;
        }
        assert_int_equal(rc, 0);
    }
    assert_int_equal(n, 12); /* three for each that is free: four are left for others */
    for (uint32_t key = 2; n < ROOM; n++, key++) {
        job_make(&b, &jobs[n], key, 5, 2);
        submit(b.s, &jobs[n]);
    }
    job_make(&b, &jobs[n], 77, 5, 2);
    assert_int_equal(sched_submit(b.s, &jobs[n].ask, &jobs[n].id, NULL), ST_EBUSY);
    assert_int_equal(stats_of(&b).waiting, ROOM);
    run_all(&b);
    assert_int_equal(stats_of(&b).refused, 2);
    run_one(&b, &jobs[n]);
    for (uint32_t i = 0; i <= ROOM; i++)
        assert_int_equal(jobs[i].n_done, 1);
    bed_done(&b);
}

typedef struct followed { /* a request, and one that is submitted when it has ended */
    job first, second;
    sched *s;
    int rc;
} followed;

static void first_ended(void *arg, const sched_result *r)
{
    followed *f = arg;
    f->first.n_done++;
    f->first.code = r->end == SCHED_END_ERROR ? r->err->code : 0;
    f->rc = sched_submit(f->s, &f->second.ask, &f->second.id, NULL);
}

static bool nothing_told(void *arg, const sched_token *t)
{
    (void)arg;
    (void)t;
    return true;
}

/* What follows a request that was accepted finds a place in a full queue, in one that is
 * drained, and in none that is stopped. */
static void what_follows_is_not_refused(void **state)
{
    enum { ROOM = 4 };
    const sched_opts opts = {.max_requests = ROOM, .max_live = 2};
    (void)state;
    for (int round = 0; round < 4; round++) {
        followed f[ROOM];
        job more;
        bed b;
        bed_init(&b, small, 40, &opts);
        for (uint32_t i = 0; i < ROOM; i++) {
            f[i] = (followed){.s = b.s};
            job_make(&b, &f[i].first, i + 1, 5, 2);
            job_make(&b, &f[i].second, i + 1, 5, 2);
            f[i].second.ask.follows = round != 1;
            f[i].first.ask.generate.on_token = nothing_told;
            f[i].first.ask.done = first_ended;
            f[i].first.ask.arg = &f[i];
            submit(b.s, &f[i].first);
        }
        job_make(&b, &more, 9, 5, 2);
        assert_int_equal(sched_submit(b.s, &more.ask, &more.id, NULL), ST_EBUSY);
        if (round == 2)
            sched_drain(b.s);
        if (round == 3)
            sched_stop(b.s);
        while (sched_step(b.s))
            ;
        for (uint32_t i = 0; i < ROOM; i++) {
            assert_int_equal(f[i].first.n_done, 1);
            assert_int_equal(f[i].first.code, round == 3 ? ST_ECANCELLED : 0);
            if (round == 1) /* the queue was full when the first one ended */
                assert_true(i > 0 || f[i].rc == ST_EBUSY);
            else
                assert_int_equal(f[i].rc, round == 3 ? ST_EBUSY : 0);
            assert_int_equal(f[i].second.n_done, f[i].rc == 0);
        }
        bed_done(&b);
    }
}

static void cancelled_requests_say_no_more(void **state)
{
    const sched_opts opts = {.max_live = 2};
    bed b;
    job live, waiting, other, early;
    (void)state;
    bed_init(&b, small, 40, &opts);
    job_make(&b, &live, 1, 5, 50);
    job_make(&b, &other, 2, 5, 20);
    job_make(&b, &waiting, 1, 5, 5);
    job_make(&b, &early, 3, 5, 5);
    generate_alone(&b.f, &other, NULL, 0);
    submit(b.s, &live);
    submit(b.s, &other);
    submit(b.s, &waiting);
    for (int i = 0; i < 4; i++)
        sched_step(b.s);
    uint32_t given = live.n_got;
    assert_true(given > 0 && waiting.n_got == 0);
    submit(b.s, &early);
    sched_cancel(b.s, early.id); /* before the owner has seen it */
    sched_cancel(b.s, live.id);
    sched_cancel(b.s, live.id);
    sched_cancel(b.s, waiting.id);
    sched_cancel(b.s, 0);
    sched_cancel(b.s, ~(sched_id)0);
    sched_step(b.s);
    assert_int_equal(live.n_got, given);
    assert_int_equal(live.code, ST_ECANCELLED);
    assert_int_equal(waiting.code, ST_ECANCELLED);
    assert_int_equal(early.code, ST_ECANCELLED);
    run_all(&b);
    job_check(&b.f, &other);
    sched_cancel(b.s, other.id); /* over: its place is somebody else's */
    job_make(&b, &early, 3, 5, 5);
    run_one(&b, &early);
    assert_int_equal(stats_of(&b).failed, 3);
    bed_done(&b);
}

/* A callback cancels a request of the same step. */
static void callbacks_may_cancel(void **state)
{
    bed b;
    job a, victim;
    (void)state;
    bed_init(&b, small, 40, NULL);
    job_make(&b, &victim, 2, 5, 50);
    job_make(&b, &a, 1, 5, 10);
    submit(b.s, &victim);
    a.cancel_in = b.s;
    a.cancel = victim.id;
    submit(b.s, &a);
    run_all(&b);
    assert_int_equal(victim.code, ST_ECANCELLED);
    assert_int_equal(victim.n_got, 1); /* the step that was under way gave it one */
    assert_int_equal(a.n_got, 10);
    bed_done(&b);
}

static bool token_after_deadline(void *arg, const sched_token *t)
{
    job *j = arg;
    while (t->index == 2 && st_clock_us() < j->ask.deadline_us)
        continue;
    return token_came(arg, t);
}

static void deadlines_end_requests(void **state)
{
    bed b;
    job late, live, fine;
    (void)state;
    bed_init(&b, small, 40, NULL);
    job_make(&b, &late, 1, 5, 5);
    job_make(&b, &live, 1, 5, 100);
    job_make(&b, &fine, 1, 5, 5);
    late.ask.deadline_us = 1;
    live.ask.deadline_us = st_clock_us() + 200000;
    live.ask.generate.on_token = token_after_deadline;
    fine.ask.deadline_us = UINT64_MAX;
    submit(b.s, &late);
    submit(b.s, &live);
    submit(b.s, &fine);
    run_all(&b);
    assert_int_equal(late.code, ST_ETIMEOUT);
    assert_int_equal(late.n_got, 0);
    assert_int_equal(stats_of(&b).tokens_prefilled, 10); /* nothing of it was run */
    assert_int_equal(live.code, ST_ETIMEOUT);
    assert_true(live.n_got <= 3);
    assert_int_equal(fine.code, 0);
    bed_done(&b);
}

static void drained_stopped_freed(void **state)
{
    bed b;
    job jobs[3], more;
    (void)state;
    bed_init(&b, small, 40, NULL);
    assert_false(sched_wait(b.s, 0));
    for (uint32_t i = 0; i < 3; i++) {
        job_make(&b, &jobs[i], i, 5, 5 + 10 * i);
        submit(b.s, &jobs[i]);
    }
    assert_true(sched_wait(b.s, UINT32_MAX)); /* at once: there is work */
    sched_step(b.s);
    sched_drain(b.s);
    job_make(&b, &more, 9, 5, 5);
    assert_int_equal(sched_submit(b.s, &more.ask, &more.id, NULL), ST_EBUSY);
    while (jobs[0].n_done == 0)
        sched_step(b.s);
    assert_int_equal(jobs[0].code, 0);
    sched_stop(b.s);
    run_all(&b);
    assert_int_equal(jobs[1].code, ST_ECANCELLED);
    assert_false(sched_wait(b.s, UINT32_MAX)); /* at once: stopped */
    bed_done(&b);
    bed_init(&b, small, 40, NULL);
    for (uint32_t i = 0; i < 3; i++) {
        job_make(&b, &jobs[i], i, 5, 50);
        submit(b.s, &jobs[i]);
        sched_step(b.s);
    }
    job_make(&b, &more, 9, 5, 5);
    submit(b.s, &more); /* in the inbox when it is freed */
    bed_done(&b);
    assert_int_equal(jobs[0].code, ST_ECANCELLED);
    assert_int_equal(jobs[2].code, ST_ECANCELLED);
    assert_int_equal(more.code, ST_ECANCELLED);
}

/* What can never run is refused by submit and by nobody later. */
static void what_cannot_fit_is_refused(void **state)
{
    static job j;
    static int32_t long_text[400];
    bed b;
    sched_prefix *p, *more = NULL;
    const sched_bias nowhere = {1 << 30, 1};
    sched_id id = 0;
    (void)state;
    bed_init(&b, small, 3, NULL);
    job_make(&b, &j, 1, 5, 5);
    const struct {
        sched_request change; /* fields that are not 0 */
        int rc;
    } cases[] = {
        {{.class = 7}, ST_EINVAL},
        {{.kind = 9}, ST_EINVAL},
        {{.tokens = long_text, .n = 257}, ST_ELIMIT},
        {{.tokens = long_text, .n = 190, .generate = {.max_new = 4}}, ST_ELIMIT},
        {{.tokens = (const int32_t[]){1, -1}, .n = 2}, ST_EINVAL},
        {{.tokens = (const int32_t[]){1 << 30}, .n = 1}, ST_EINVAL},
        {{.kind = SCHED_EMBED}, ST_EINVAL},
        {{.generate = {.max_new = 1, .how = {.top_p = 2, .repeat_penalty = 1}}},
         ST_EINVAL},
        {{.generate = {.max_new = 1, .n_top = SCHED_MAX_TOP + 1}}, ST_EINVAL},
        {{.generate = {.max_new = 1, .n_bias = SCHED_MAX_BIAS + 1}}, ST_EINVAL},
        {{.generate = {.max_new = 1, .n_bias = 1, .bias = &nowhere}}, ST_EINVAL},
    };
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        const sched_request *c = &cases[i].change;
        sched_request ask = j.ask;
        st_err err = {0};
        ask.class = c->class;
        ask.kind = c->kind;
        ask.tokens = c->tokens ? c->tokens : ask.tokens;
        ask.n = c->n ? c->n : ask.n;
        if (c->generate.max_new)
            ask.generate.max_new = c->generate.max_new;
        ask.generate.n_top = c->generate.n_top;
        ask.generate.bias = c->generate.bias;
        ask.generate.n_bias = c->generate.n_bias;
        if (c->generate.how.top_p > 0)
            ask.generate.how = c->generate.how;
        if (sched_submit(b.s, &ask, &id, &err) != cases[i].rc)
            fail_msg("case %zu: %d %s", i, err.code, err.message);
        assert_true(err.message[0] != 0);
    }
    sched_request none = j.ask;
    none.n = 0;
    assert_int_equal(sched_submit(b.s, &none, &id, NULL), ST_EINVAL);
    none = j.ask;
    none.generate.max_new = 0;
    assert_int_equal(sched_submit(b.s, &none, &id, NULL), ST_EINVAL);
    none = j.ask;
    none.done = NULL;
    assert_int_equal(sched_submit(b.s, &none, &id, NULL), ST_EINVAL);
    assert_int_equal(id, 0);
    assert_int_equal(sched_prefix_pin(b.s, long_text, 65, &p, NULL), ST_ELIMIT);
    assert_int_equal(sched_prefix_pin(b.s, long_text, 0, &p, NULL), ST_EINVAL);
    assert_int_equal(sched_prefix_pin(b.s, long_text, 60, &p, NULL), 0);
    assert_int_equal(sched_prefix_pin(b.s, long_text, 1, &more, NULL), ST_ELIMIT);
    assert_int_equal(stats_of(&b).waiting, 0);
    sched_prefix_unpin(b.s, p);
    job_make(&b, &j, 1, 150, 43); /* 192 tokens run: the very last slot */
    generate_alone(&b.f, &j, NULL, 0);
    run_one(&b, &j);
    job_check(&b.f, &j);
    bed_done(&b);
    bed_init(&b, encoder, 8, NULL);
    job_make(&b, &j, 1, 5, 5);
    assert_int_equal(sched_submit(b.s, &j.ask, &id, NULL), ST_EUNSUPPORTED);
    bed_done(&b);
}

/* Requests whose own fault shows only when they run end alone. */
static void one_failure_is_one_failure(void **state)
{
    enum { N = 8 };
    static const int codes[N] = {0, 0, ST_EINVAL, 0, 0, 0, ST_EINVAL, 0};
    const int32_t here[] = {1, 2}, nowhere[] = {1 << 29, 3};
    const int32_t *ids[] = {here, nowhere};
    const uint32_t n_ids[] = {2, 2};
    options *foreign; /* of another vocabulary */
    double odds[2];
    job jobs[N];
    float means[N][64];
    bed b;
    (void)state;
    bed_init(&b, small, 40, NULL);
    assert_int_equal(options_new(ids, n_ids, 2, -1, &foreign, NULL), 0);
    for (uint32_t i = 0; i < N; i++) {
        job_make(&b, &jobs[i], i, 6, 5);
        if (i == 0 || i == 7) {
            generate_alone(&b.f, &jobs[i], NULL, 0);
        } else if (i == 6) {
            jobs[i].ask.kind = SCHED_OPTIONS;
            jobs[i].ask.options.options = foreign;
            jobs[i].ask.options.ret_logp = odds;
        } else {
            jobs[i].ask.kind = i < 5 ? SCHED_STATES : SCHED_EMBED;
            jobs[i].ask.states = (step_states){.last_layer = 1, .ret_mean = means[i]};
            jobs[i].ask.states.first_layer = 1;
            jobs[i].ask.states.to = i == 2 ? 7 : 6; /* of 6 */
            jobs[i].ask.ret_vector = means[i];
        }
        submit(b.s, &jobs[i]);
    }
    run_all(&b);
    job_check(&b.f, &jobs[0]);
    job_check(&b.f, &jobs[7]);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(jobs[i].n_done, 1);
        assert_int_equal(jobs[i].code, codes[i]);
    }
    assert_int_equal(stats_of(&b).failed, 2);
    options_free(foreign);
    bed_done(&b);
}

/* Bad questions about options, and tries that do not fit. */
static void options_are_checked(void **state)
{
    enum { LONG = 200 };
    int32_t path[LONG] = {1};
    const int32_t a[] = {1, 2}, c[] = {1};
    const int32_t *nested[] = {a, c}, *deep[] = {path, a};
    const uint32_t n_nested[] = {2, 1}, n_deep[] = {LONG, 2};
    options *in, *tall;
    double odds[2];
    bed b;
    job j;
    sched_id id;
    (void)state;
    bed_init(&b, small, 40, NULL);
    assert_int_equal(options_new(nested, n_nested, 2, -1, &in, NULL), 0);
    assert_int_equal(options_new(deep, n_deep, 2, -1, &tall, NULL), 0);
    job_make(&b, &j, 1, 100, 1);
    j.ask.kind = SCHED_OPTIONS;
    assert_int_equal(sched_submit(b.s, &j.ask, &id, NULL), ST_EINVAL); /* none */
    j.ask.options = (options_request){.options = tall};
    assert_int_equal(sched_submit(b.s, &j.ask, &id, NULL), ST_EINVAL); /* no answer */
    j.ask.options.ret_logp = odds;
    assert_int_equal(sched_submit(b.s, &j.ask, &id, NULL), ST_ELIMIT); /* the context */
    j.ask.options.options = in;
    j.ask.options.held = true; /* one begins the other */
    submit(b.s, &j);
    run_all(&b);
    assert_int_equal(j.code, ST_EINVAL);
    j.ask.options.held = false;
    j.n_done = 0;
    run_one(&b, &j);
    options_free(in);
    options_free(tall);
    bed_done(&b);
}

/* The owner takes every page for something else. */
static void pages_may_be_gone(void **state)
{
    static int32_t text[250];
    bed b;
    job live, waiting, after;
    seq *q;
    (void)state;
    bed_init(&b, small, 4, NULL);
    job_make(&b, &live, 1, 60, 30);
    submit(b.s, &live);
    sched_step(b.s);
    job_make(&b, &waiting, 2, 100, 5);
    submit(b.s, &waiting);
    assert_int_equal(seq_new(b.e, &q, NULL), 0);
    step_item all = {.s = q, .tokens = text, .n = 192};
    assert_int_equal(engine_step(b.e, &all, 1, NULL), 0);
    run_all(&b);
    assert_int_equal(live.code, ST_EBUSY);
    assert_true(live.n_got > 0 && live.n_got < 30);
    assert_int_equal(waiting.code, ST_EBUSY);
    sched_prefix *p; /* the pages of a prefix too */
    assert_int_equal(sched_prefix_pin(b.s, text, 70, &p, NULL), 0);
    job_make(&b, &after, 3, 10, 5);
    after.ask.prefix = p;
    submit(b.s, &after);
    run_all(&b);
    assert_int_equal(after.code, ST_EBUSY);
    sched_prefix_unpin(b.s, p);
    seq_free(q);
    job_make(&b, &after, 2, 100, 5);
    run_one(&b, &after);
    bed_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_another_key_is_never_reused),
        cmocka_unit_test(prefixes_are_shared_by_name),
        cmocka_unit_test(a_prefix_outlives_who_asked_first),
        cmocka_unit_test(prefixes_may_be_had_at_once),
        cmocka_unit_test(texts_share_what_they_begin_with),
        cmocka_unit_test(sharing_never_stands_in_the_way),
        cmocka_unit_test(old_text_goes_first),
        cmocka_unit_test(a_crowd_does_not_delay_another_client),
        cmocka_unit_test(clients_share_by_tokens),
        cmocka_unit_test(interactive_passes_bulk),
        cmocka_unit_test(prompts_and_text_share_steps),
        cmocka_unit_test(steps_keep_to_the_pace),
        cmocka_unit_test(cancels_do_not_wait_for_prompts),
        cmocka_unit_test(bulk_is_slow_and_never_still),
        cmocka_unit_test(work_is_told),
        cmocka_unit_test(queues_are_bounded),
        cmocka_unit_test(what_follows_is_not_refused),
        cmocka_unit_test(cancelled_requests_say_no_more),
        cmocka_unit_test(callbacks_may_cancel),
        cmocka_unit_test(deadlines_end_requests),
        cmocka_unit_test(drained_stopped_freed),
        cmocka_unit_test(what_cannot_fit_is_refused),
        cmocka_unit_test(one_failure_is_one_failure),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(pages_may_be_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
