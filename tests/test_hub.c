/* tests/test_hub.c - models of many names, asked from many threads while they change. */
#include "serve/hub.h"
#include "tests/sched_job.h"
#include <stdatomic.h>

#define LLAMA GOLDENS "logits/llama-gqa/model-f32.gguf"
#define LLAMA_F16 GOLDENS "logits/llama-gqa/model-f16.gguf"
#define LLAMA_Q4 GOLDENS "quant/models/llama-256-q4_0.gguf"

static const hub_opts small = {.engine = {.n_threads = 1, .max_seqs = 8}};

static bool files_here(void)
{
    return is_here(LLAMA) && is_here(LLAMA_F16) && is_here(LLAMA_Q4);
}

static hub *hub_of(const hub_opts *opts)
{
    hub *h;
    st_err err = {0};
    if (hub_new(opts, &h, &err) < 0)
        fail_msg("%s", err.message);
    return h;
}

static void load(hub *h, const char *name, const char *source)
{
    st_err err = {0};
    if (hub_load_model(h, name, source, NULL, &err) < 0)
        fail_msg("%s", err.message);
}

static hub_use *find(hub *h, const char *name)
{
    hub_use *u;
    st_err err = {0};
    if (hub_find(h, name, &u, &err) < 0)
        fail_msg("%s", err.message);
    return u;
}

/* --- names */

static void names_stand_for_what_was_loaded(void **state)
{
    (void)state;
    if (!files_here())
        return;
    hub *h = hub_of(&small);
    st_err err = {0};
    hub_entry *list;
    hub_use *u;
    uint32_t n;
    assert_int_equal(hub_find(h, NULL, &u, &err), ST_ENOTFOUND);
    load(h, NULL, LLAMA_Q4);
    u = find(h, NULL);
    assert_string_equal(hub_use_name(u), "llama-256-q4_0");
    assert_int_equal(strlen(hub_use_version(u)), 64);
    assert_int_equal(hub_use_kind(u), HUB_MODEL);
    assert_int_equal(hub_use_n_ctx(u), 512);
    assert_string_equal(hub_use_lm(u)->digest, hub_use_version(u));
    assert_null(hub_use_contract(u));
    hub_done(hub_hold(u));
    hub_done(u);
    load(h, "b", LLAMA);
    load(h, "a", LLAMA);
    err = (st_err){0};
    assert_int_equal(hub_find(h, NULL, &u, &err), ST_ENOTFOUND);
    err = (st_err){0};
    assert_int_equal(hub_find(h, "c", &u, &err), ST_ENOTFOUND);
    assert_non_null(strstr(err.message, "'c'"));
    assert_int_equal(hub_list(h, &list, &n, &err), 0);
    assert_int_equal(n, 3);
    assert_string_equal(list[0].name, "a");
    assert_string_equal(list[1].name, "b");
    assert_string_equal(list[2].name, "llama-256-q4_0");
    assert_string_equal(list[0].version, list[1].version);
    st_free(list);
    assert_int_equal(hub_load_model(h, "", LLAMA, NULL, NULL), ST_EINVAL);
    assert_int_equal(hub_load_model(h, "a\n", LLAMA, NULL, NULL), ST_EINVAL);
    assert_int_equal(hub_load_model(h, "d", "no/such.gguf", NULL, NULL), ST_ENOTFOUND);
    assert_int_equal(hub_unload(h, "d", NULL), ST_ENOTFOUND);
    assert_int_equal(hub_unload(h, "b", NULL), 0);
    assert_int_equal(hub_find(h, "b", &u, NULL), ST_ENOTFOUND);
    hub_free(h);
}

/* Two names of one file, and of a copy of it, have one engine. */
static void the_same_bytes_are_open_once(void **state)
{
    (void)state;
    if (!files_here())
        return;
    hub *h = hub_of(&small);
    load(h, "a", LLAMA);
    load(h, "b", LLAMA);
    hub_use *a = find(h, "a"), *b = find(h, "b");
    assert_ptr_equal(hub_use_lm(a), hub_use_lm(b));
    hub_stats one, two;
    hub_stats_get(h, &one);
    load(h, "c", LLAMA_Q4);
    hub_stats_get(h, &two);
    assert_true(two.bytes > one.bytes && one.bytes > 0);
    hub_done(a);
    hub_done(b);
    hub_free(h);
}

static void the_budget_refuses_by_size(void **state)
{
    (void)state;
    if (!files_here())
        return;
    hub_opts opts = small;
    hub_stats stats;
    hub *h = hub_of(&opts);
    load(h, "a", LLAMA);
    hub_stats_get(h, &stats);
    hub_free(h);
    opts.memory = stats.bytes + 1000;
    h = hub_of(&opts);
    st_err err = {0};
    load(h, "a", LLAMA);
    assert_int_equal(hub_load_model(h, "b", LLAMA_Q4, NULL, &err), ST_ELIMIT);
    assert_non_null(strstr(err.message, "model-f32.gguf"));
    load(h, "b", LLAMA); /* shared: takes nothing */
    hub_free(h);
}

/* --- requests */

typedef struct counted {
    pthread_mutex_t lock;
    pthread_cond_t came;
    uint32_t n;
} counted;

typedef struct hub_job {
    job job; /* job.ask goes to the hub with callbacks of ours around it */
    counted *ended;
} hub_job;

static void hub_job_ended(void *arg, const sched_result *r)
{
    hub_job *j = arg;
    j->job.id = r->id; /* that of submit may come later */
    job_ended(&j->job, r);
    pthread_mutex_lock(&j->ended->lock);
    j->ended->n++;
    pthread_cond_signal(&j->ended->came);
    pthread_mutex_unlock(&j->ended->lock);
}

static bool hub_token_came(void *arg, const sched_token *t)
{
    hub_job *j = arg;
    return token_came(&j->job, t);
}

static void ended_wait(counted *c, uint32_t n)
{
    pthread_mutex_lock(&c->lock);
    while (c->n < n)
        pthread_cond_wait(&c->came, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

static void hub_job_draw(fixture *f, hub_job *j, counted *ended)
{
    *j = (hub_job){.ended = ended};
    job *b = &j->job;
    sched_generate *g = &b->ask.generate;
    b->ask.class = below(f, 3) ? SCHED_INTERACTIVE : SCHED_BULK;
    b->ask.key = 1 + below(f, 3);
    b->ask.n = 1 + below(f, 40);
    for (uint32_t i = 0; i < b->ask.n; i++)
        b->tokens[i] = (int32_t)below(f, i < 20 ? 3 : f->info->n_vocab);
    g->how = SAMPLER_GREEDY;
    g->how.temperature = below(f, 2) ? 0 : 0.9f;
    g->how.seed = st_rng_u64(&f->rng);
    g->max_new = 1 + below(f, 12);
    g->logp = true;
    g->on_token = token_came;
    b->stop = -1;
    generate_alone(f, b, NULL, 0);
    b->ask.tokens = b->tokens;
    g->on_token = hub_token_came;
    b->ask.done = hub_job_ended;
    b->ask.arg = j;
}

enum { CLIENTS = 3, EACH = 16, MODELS = 2 };

typedef struct client {
    hub *h;
    hub_job jobs[EACH];
    const char *names[EACH];
    st_rng rng;
} client;

static void pause_us(uint32_t us)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
}

static void *client_main(void *arg)
{
    client *c = arg;
    for (uint32_t i = 0; i < EACH; i++) {
        sched_id id;
        hub_use *u = find(c->h, c->names[i]);
        while (hub_submit(u, &c->jobs[i].job.ask, &id, NULL) == ST_EBUSY)
            pause_us(200);
        if (st_rng_below(&c->rng, 6) == 0) {
            c->jobs[i].job.is_cancelled = true;
            hub_cancel(u, id);
        }
        hub_done(u);
        if (st_rng_below(&c->rng, 4) == 0)
            pause_us(st_rng_below(&c->rng, 1000));
    }
    return NULL;
}

typedef struct changer {
    hub *h;
    _Atomic bool stop;
    uint32_t n;
} changer;

/* Names change hands, models come and go, all the time. */
static void *changer_main(void *arg)
{
    changer *c = arg;
    do {
        load(c->h, c->n % 2 ? "f32" : "q4", c->n % 2 ? LLAMA : LLAMA_Q4);
        load(c->h, "other", LLAMA_F16);
        hub_stats stats;
        hub_stats_get(c->h, &stats);
        assert_int_equal(hub_unload(c->h, "other", NULL), 0);
        c->n++;
    } while (!atomic_load(&c->stop));
    return NULL;
}

static void clients_run(hub *h, fixture *f, changer *change)
{
    static client clients[CLIENTS];
    static const char *const names[MODELS] = {"f32", "q4"};
    counted ended = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    pthread_t threads[CLIENTS], changes;
    for (uint32_t c = 0; c < CLIENTS; c++) {
        clients[c].h = h;
        clients[c].rng.state = c;
        for (uint32_t i = 0; i < EACH; i++) {
            uint32_t m = below(&f[0], MODELS);
            clients[c].names[i] = names[m];
            hub_job_draw(&f[m], &clients[c].jobs[i], &ended);
        }
    }
    if (change)
        assert_int_equal(pthread_create(&changes, NULL, changer_main, change), 0);
    for (uint32_t c = 0; c < CLIENTS; c++)
        assert_int_equal(pthread_create(&threads[c], NULL, client_main, &clients[c]), 0);
    for (uint32_t c = 0; c < CLIENTS; c++)
        pthread_join(threads[c], NULL);
    ended_wait(&ended, CLIENTS * EACH);
    if (change) {
        atomic_store(&change->stop, true);
        pthread_join(changes, NULL);
    }
    for (uint32_t c = 0; c < CLIENTS; c++)
        for (uint32_t i = 0; i < EACH; i++)
            job_check(&f[0], &clients[c].jobs[i].job);
    assert_int_equal(ended.n, CLIENTS * EACH);
}

static void many_threads(bool changing, size_t batch)
{
    fixture f[MODELS];
    hub_opts opts = small;
    changer change = {0};
    opts.engine.max_batch = (uint32_t)batch;
    opts.sched.max_requests = 16; /* so that some are turned away, and come again */
    fixture_init(&f[0], LLAMA, false);
    fixture_init(&f[1], LLAMA_Q4, false);
    hub *h = change.h = hub_of(&opts);
    load(h, "f32", LLAMA);
    load(h, "q4", LLAMA_Q4);
    clients_run(h, f, changing ? &change : NULL);
    assert_true(hub_wait_idle(h, 60000000));
    assert_true(!changing || change.n > 0);
    hub_free(h);
    fixture_done(&f[0]);
    fixture_done(&f[1]);
}

static void two_models_in_turn_change_no_byte(void **state)
{
    (void)state;
    if (files_here())
        many_threads(false, 0);
}

static void what_changes_meanwhile_fails_nobody(void **state)
{
    (void)state;
    if (files_here())
        many_threads(true, 40);
}

/* --- turns */

typedef struct mark {
    counted *ended;
    uint32_t place; /* how many had ended when it did */
} mark;

static void mark_ended(void *arg, const sched_result *r)
{
    mark *m = arg;
    assert_int_equal(r->end, SCHED_END_LENGTH);
    pthread_mutex_lock(&m->ended->lock);
    m->place = m->ended->n++;
    pthread_cond_signal(&m->ended->came);
    pthread_mutex_unlock(&m->ended->lock);
}

/* Much work for one model, some tokens of the other: these do not wait for all of it. */
static void no_model_waits_for_another_to_be_done(void **state)
{
    enum { LONG = 24, SHORT = 2 };
    static const int32_t ids[] = {1, 2, 3, 4};
    counted ended = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    mark marks[LONG + SHORT];
    (void)state;
    if (!files_here())
        return;
    hub *h = hub_of(&small);
    load(h, "long", LLAMA);
    load(h, "short", LLAMA_Q4);
    hub_use *uses[] = {find(h, "long"), find(h, "short")};
    for (uint32_t i = 0; i < LONG + SHORT; i++) {
        sched_id id;
        bool is_short = i >= LONG;
        marks[i] = (mark){&ended, 0};
        const sched_request ask = {
            .tokens = ids,
            .n = ST_COUNT(ids),
            .key = i,
            .generate = {.how = SAMPLER_GREEDY, .max_new = is_short ? 2 : 200},
            .done = mark_ended,
            .arg = &marks[i]};
        assert_int_equal(hub_submit(uses[is_short], &ask, &id, NULL), 0);
    }
    ended_wait(&ended, LONG + SHORT);
    for (uint32_t i = LONG; i < LONG + SHORT; i++)
        assert_true(marks[i].place < LONG);
    hub_done(uses[0]);
    hub_done(uses[1]);
    hub_free(h);
}

/* --- the end */

static void what_was_accepted_is_finished(void **state)
{
    (void)state;
    if (!files_here())
        return;
    fixture f;
    counted ended = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    static hub_job jobs[EACH];
    fixture_init(&f, LLAMA, false);
    hub *h = hub_of(&small);
    load(h, "a", LLAMA);
    hub_use *u = find(h, "a");
    sched_id id;
    st_err err = {0};
    for (int i = 0; i < EACH; i++) {
        hub_job_draw(&f, &jobs[i], &ended);
        assert_int_equal(hub_submit(u, &jobs[i].job.ask, &id, NULL), 0);
    }
    assert_int_equal(hub_unload(h, "a", NULL), 0); /* what came before goes on */
    hub_drain(h, false);
    assert_int_equal(hub_submit(u, &jobs[0].job.ask, &id, &err), ST_EBUSY);
    assert_int_equal(hub_load_model(h, "b", LLAMA, NULL, NULL), ST_EBUSY);
    hub_done(u);
    assert_true(hub_wait_idle(h, 60000000));
    assert_int_equal(ended.n, EACH);
    for (int i = 0; i < EACH; i++)
        job_check(&f, &jobs[i].job);
    hub_free(h);
    fixture_done(&f);
}

static void the_end_cancels_what_is_left(void **state)
{
    (void)state;
    if (!files_here())
        return;
    fixture f;
    counted ended = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    static hub_job jobs[EACH];
    fixture_init(&f, LLAMA, false);
    hub *h = hub_of(&small);
    load(h, "a", LLAMA);
    hub_use *u = find(h, "a");
    sched_id id;
    for (int i = 0; i < EACH; i++) {
        hub_job_draw(&f, &jobs[i], &ended);
        jobs[i].job.is_cancelled = true; /* or it is over */
        assert_int_equal(hub_submit(u, &jobs[i].job.ask, &id, NULL), 0);
    }
    hub_done(u);
    hub_free(h);
    assert_int_equal(ended.n, EACH);
    for (int i = 0; i < EACH; i++)
        job_check(&f, &jobs[i].job);
    fixture_done(&f);
}

static void count(void *arg)
{
    ++*(uint32_t *)arg;
}

typedef struct sweep {
    uint32_t accepted, ended, errands;
} sweep;

static void sweep_ended(void *arg, const sched_result *r)
{
    sweep *w = arg;
    (void)r;
    w->ended++;
}

static int sweep_work(hub *h, sweep *w)
{
    const int32_t ids[] = {1, 2, 3, 4, 5};
    sched_request ask = {.tokens = ids,
                         .n = 5,
                         .generate = {.how = SAMPLER_GREEDY, .max_new = 3},
                         .done = sweep_ended,
                         .arg = w};
    hub_entry *list = NULL;
    hub_use *u = NULL;
    vocab *v;
    sched_id id;
    uint32_t n;
    st_err err = {0};
    int rc = hub_load_model(h, NULL, LLAMA, NULL, &err);
    if (rc == 0)
        rc = hub_find(h, NULL, &u, &err);
    if (rc == 0)
        rc = hub_pin(u, ids, 4, &ask.prefix, &err);
    if (rc == 0)
        rc = hub_use_vocab(u, &v, &err);
    for (int i = 0; i < 2 && rc == 0; i++) {
        rc = hub_submit(u, &ask, &id, &err);
        w->accepted += rc == 0;
    }
    if (rc == 0)
        rc = hub_list(h, &list, &n, &err);
    if (rc < 0 && err.code != rc)
        fail_msg("an error without a message: %d", rc);
    hub_call(h, count, &w->errands);
    st_free(list);
    hub_done(u);
    return rc;
}

static int sweep_all(void *arg)
{
    sweep w = {0};
    hub *h = NULL;
    (void)arg;
    int rc = hub_new(&small, &h, NULL);
    if (rc == 0)
        rc = sweep_work(h, &w);
    else
        w.errands = 1;
    hub_free(h);
    assert_int_equal(w.ended, w.accepted);
    assert_int_equal(w.errands, 1);
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    if (files_here())
        assert_true(fault_sweep(sweep_all, NULL, 1) > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_stand_for_what_was_loaded),
        cmocka_unit_test(the_same_bytes_are_open_once),
        cmocka_unit_test(the_budget_refuses_by_size),
        cmocka_unit_test(two_models_in_turn_change_no_byte),
        cmocka_unit_test(what_changes_meanwhile_fails_nobody),
        cmocka_unit_test(no_model_waits_for_another_to_be_done),
        cmocka_unit_test(what_was_accepted_is_finished),
        cmocka_unit_test(the_end_cancels_what_is_left),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
