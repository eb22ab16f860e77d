/* tests/test_hub_tasks.c - tasks of many kinds, asked from many threads while they
 * change.
 *
 * What an input should get is found first, by a task of its own that no hub knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "serve/hub.h"
#include "task/fitting.h"
#include "tests/fault.h"
#include "tests/here.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TINY "../shared/goldens/logits/llama-gqa/model-f32.gguf"
#define Q4 "../shared/goldens/quant/models/llama-256-q4_0.gguf"
#define BERT "../shared/goldens/embed/bert-e2e-f16.gguf"

enum { TEXTS = 6, OPTIONS = 3 };

static const char *const texts[TEXTS] = {
    "meow purr number 7", "goldfish", "gills and water", "woof", "", "a cat, two dogs"};

static const hub_opts small = {
    .engine = {.n_threads = 1, .kv_best = true, .max_seqs = 16}};

/* --- folders with tasks in them */

static char folder[40];

static void path_of(const char *name, const char *file, char *ret, size_t room)
{
    snprintf(ret, room, "%s/%s%s%s", folder, name, file ? "/" : "", file ? file : "");
}

static void put_file(const char *name, const char *file, const char *text)
{
    char path[120];
    path_of(name, file, path, sizeof path);
    assert_int_equal(st_file_write(path, text, strlen(text), NULL), 0);
}

static const char choice[] = "  type: choice\n"
                             "  choices: [{value: cat, description: it says meow}, "
                             "{value: dog}, {value: fish}]\n"
                             "rules: [{if: {matches: '^goldfish'}, answer: fish}]\n";
static const char extract[] = "  type: extract\n"
                              "  schema:\n"
                              "    type: object\n"
                              "    properties:\n"
                              "      kind: {enum: [cat, dog, null]}\n"
                              "      legs: {type: integer, minimum: 0, maximum: 8}\n"
                              "    required: [kind, legs]\n"
                              "    additionalProperties: false\n";

/* A contract NAME/task.yaml; `file` is a model's; NULL: none, and rows to be fitted on.
 */
static void task_put(const char *name, const char *file, const char *body,
                     const char *instructions)
{
    char dir[120], cwd[1000], yaml[4000], head[1400] = "data: {train: train.jsonl}\n";
    path_of(name, NULL, dir, sizeof dir);
    (void)mkdir(dir, 0700);
    assert_non_null(getcwd(cwd, sizeof cwd));
    if (file)
        snprintf(head, sizeof head, "models: ['%s/%s']\n", cwd, file);
    snprintf(yaml, sizeof yaml, "task: %s\n%squestion:\n  instructions: %s\n%s", name,
             head, instructions, body);
    put_file(name, "task.yaml", yaml);
}

static void rows_put(const char *name)
{
    static const char *const own[3][3] = {{"meow purr", "whiskers meow", "purr claws"},
                                          {"woof bark", "leash bark", "woof bone"},
                                          {"fins water", "gills fins", "water bubbles"}};
    static const char *const labels[3] = {"cat", "dog", "fish"};
    st_buf b;
    st_buf_init(&b, 1 << 16);
    for (int i = 0; i < 60; i++)
        st_buf_fmt(&b, "{\"text\": \"%s number %d\", \"label\": \"%s\"}\n",
                   own[i % 3][i / 3 % 3], i, labels[i % 3]);
    put_file(name, "train.jsonl", b.data);
    st_buf_done(&b);
}

static void task_fit(const char *name)
{
    const fitting_opts opts = {.fit = {.n_threads = 1, .seed = 1}};
    char path[120];
    fitting *f = NULL;
    st_err err = {0};
    path_of(name, "task.yaml", path, sizeof path);
    if (fitting_run(path, &opts, &f, &err) < 0)
        fail_msg("%s", err.message);
    fitting_free(f);
}

static const char *const names[] = {"words", "shown", "named", "written"};
enum { TASKS = ST_COUNT(names), WORDS = 0, SHOWN, NAMED, WRITTEN };

static void tasks_put(void)
{
    task_put("words", NULL, choice, "Which animal?");
    rows_put("words");
    task_fit("words");
    task_put("shown", TINY, choice, "Which animal?");
    task_put("named", BERT, choice, "Which animal?");
    task_put("written", TINY, extract, "Take it apart.");
}

static bool files_here(void)
{
    return is_here(TINY) && is_here(BERT) && is_here(Q4);
}

static int folder_new(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/stint-hub-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    if (files_here())
        tasks_put();
    return 0;
}

static int folder_gone(void **state)
{
    static const char *const files[] = {"task.yaml", "train.jsonl", "words.stint"};
    char path[120];
    (void)state;
    for (size_t t = 0; t < TASKS; t++) {
        for (size_t i = 0; i < ST_COUNT(files); i++) {
            path_of(names[t], files[i], path, sizeof path);
            unlink(path);
        }
        path_of(names[t], NULL, path, sizeof path);
        rmdir(path);
    }
    return rmdir(folder);
}

/* --- what an input should get, and what it got */

typedef struct reply {
    int code; /* of an answer that there is not */
    uint32_t answer;
    task_route route;
    double probs[OPTIONS];
    char output[200];
    char version[ST_DIGEST_TEXT];
} reply;

static void reply_decided(reply *r, const task_answer *a, const double *probs)
{
    r->code = a->code;
    if (a->code)
        return;
    r->answer = a->answer;
    r->route = a->route;
    memcpy(r->probs, probs, sizeof r->probs);
}

static void reply_written(reply *r, const extract_answer *a)
{
    r->code = a->code;
    if (a->code == 0)
        snprintf(r->output, sizeof r->output, "%s", a->output);
}

static void choices_alone(const char *path, reply *ret)
{
    const task_opts opts = {.n_threads = 1};
    st_err err = {0};
    task *t;
    if (task_open(path, &opts, &t, &err) < 0)
        fail_msg("%s", err.message);
    for (int i = 0; i < TEXTS; i++) {
        size_t len = strlen(texts[i]);
        task_answer a;
        double probs[OPTIONS];
        assert_int_equal(task_decide(t, &texts[i], &len, 1, &a, probs, NULL, &err), 0);
        reply_decided(&ret[i], &a, probs);
        memcpy(ret[i].version, task_version(t), ST_DIGEST_TEXT);
    }
    task_close(t);
}

static void texts_alone(const char *path, reply *ret)
{
    const extraction_opts opts = {.n_threads = 1};
    st_err err = {0};
    contract *c;
    extraction *x;
    if (contract_load(path, &c, &err) < 0 || extraction_open(c, &opts, &x, &err) < 0)
        fail_msg("%s", err.message);
    for (int i = 0; i < TEXTS; i++) {
        size_t len = strlen(texts[i]);
        extract_answer a;
        assert_int_equal(extraction_decide(x, &texts[i], &len, NULL, 1, &a, &err), 0);
        reply_written(&ret[i], &a);
        memcpy(ret[i].version, extraction_version(x), ST_DIGEST_TEXT);
        extract_answer_done(&a);
    }
    extraction_close(x);
}

static void replies_alone(reply want[TASKS][TEXTS])
{
    char path[120];
    memset(want, 0, TASKS * sizeof *want);
    for (size_t t = 0; t < TASKS; t++) {
        path_of(names[t], "task.yaml", path, sizeof path);
        if (t == WRITTEN)
            texts_alone(path, want[t]);
        else
            choices_alone(path, want[t]);
    }
}

/* --- asking */

typedef struct tally {
    pthread_mutex_t lock;
    pthread_cond_t came;
    uint32_t n;
    uint32_t order[64]; /* marks of those that ended, as they did */
} tally;

#define TALLY ((tally){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, {0}})

typedef struct asked {
    tally *ended;
    uint32_t mark;
    uint32_t n_done;
    int why; /* instead of an answer */
    reply got;
} asked;

static void ask_ended(void *arg, const hub_answer *answer, const st_err *why)
{
    asked *a = arg;
    a->n_done++;
    a->why = why ? why->code : 0;
    if (answer)
        memcpy(a->got.version, answer->version, ST_DIGEST_TEXT);
    if (answer && answer->decided)
        reply_decided(&a->got, answer->decided, answer->probs);
    if (answer && answer->written)
        reply_written(&a->got, answer->written);
    pthread_mutex_lock(&a->ended->lock);
    if (a->ended->n < ST_COUNT(a->ended->order))
        a->ended->order[a->ended->n] = a->mark;
    a->ended->n++;
    pthread_cond_signal(&a->ended->came);
    pthread_mutex_unlock(&a->ended->lock);
}

static hub_ask ask_of(asked *a, const char *text, sched_class class, uint64_t key)
{
    return (hub_ask){.text = text,
                     .len = strlen(text),
                     .class = class,
                     .key = key,
                     .done = ask_ended,
                     .arg = a};
}

static void ended_wait(tally *t, uint32_t n)
{
    pthread_mutex_lock(&t->lock);
    while (t->n < n)
        pthread_cond_wait(&t->came, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

static hub *hub_of(const hub_opts *opts)
{
    hub *h;
    st_err err = {0};
    if (hub_new(opts, &h, &err) < 0)
        fail_msg("%s", err.message);
    return h;
}

static void load(hub *h, const char *name)
{
    char path[120], got[HUB_NAME_MAX];
    st_err err = {0};
    path_of(name, NULL, path, sizeof path);
    if (hub_load_task(h, path, got, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(got, name);
}

static hub_use *find(hub *h, const char *name)
{
    hub_use *u;
    st_err err = {0};
    if (hub_find(h, name, &u, &err) < 0)
        fail_msg("%s", err.message);
    return u;
}

static void reply_check(const reply *got, const reply *want)
{
    assert_int_equal(got->code, want->code);
    assert_string_equal(got->version, want->version);
    assert_int_equal(got->answer, want->answer);
    assert_int_equal(got->route, want->route);
    assert_memory_equal(got->probs, want->probs, sizeof got->probs);
    assert_string_equal(got->output, want->output);
}

/* --- every kind, alone and in company */

static void tasks_are_there_by_name(void **state)
{
    (void)state;
    if (!files_here())
        return;
    hub *h = hub_of(&small);
    hub_entry *list;
    uint32_t n;
    for (size_t t = 0; t < TASKS; t++)
        load(h, names[t]);
    hub_use *shown = find(h, "shown"), *written = find(h, "written");
    hub_use *words = find(h, "words"), *named = find(h, "named");
    assert_int_equal(hub_use_kind(shown), HUB_TASK);
    assert_ptr_equal(hub_use_lm(shown), hub_use_lm(written)); /* one file, one engine */
    assert_non_null(hub_use_lm(shown));
    assert_null(hub_use_lm(words));
    assert_null(hub_use_lm(named)); /* writes no text */
    assert_string_equal(hub_use_contract(words)->name, "words");
    assert_int_equal(hub_list(h, &list, &n, NULL), 0);
    assert_int_equal(n, TASKS);
    assert_string_equal(list[0].name, "named");
    assert_non_null(strstr(list[0].base, "bert-e2e-f16.gguf"));
    assert_string_equal(list[2].base, "");
    assert_true(list[2].bytes > 0); /* what was fitted */
    st_free(list);
    hub_done(shown);
    hub_done(written);
    hub_done(words);
    hub_done(named);
    hub_free(h);
}

/* What decides reads float weights in 8 bits, what shows a model's own numbers does not;
 * of a quantised file both are the same. */
static void a_task_and_a_name_share_a_quantised_file(void **state)
{
    (void)state;
    if (!files_here())
        return;
    hub_opts opts = small;
    opts.engine.n_ctx = 400; /* the one was trained for fewer, the other for more */
    hub *h = hub_of(&opts);
    load(h, "shown");
    assert_int_equal(hub_load_model(h, "float", TINY, NULL, NULL), 0);
    assert_int_equal(hub_load_model(h, "q4", Q4, NULL, NULL), 0);
    hub_use *shown = find(h, "shown"), *own = find(h, "float"), *q4 = find(h, "q4");
    assert_ptr_not_equal(hub_use_lm(shown), hub_use_lm(own));
    assert_int_equal(hub_use_n_ctx(own), 256);
    assert_int_equal(hub_use_n_ctx(q4), 400);
    task_put("shown", Q4, choice, "Which animal?");
    assert_int_equal(hub_reload(h, NULL), 0);
    hub_use *other = find(h, "shown");
    assert_ptr_equal(hub_use_lm(other), hub_use_lm(q4));
    task_put("shown", TINY, choice, "Which animal?");
    hub_done(shown);
    hub_done(own);
    hub_done(q4);
    hub_done(other);
    hub_free(h);
}

enum { CLIENTS = 3, EACH = 12 };

typedef struct client {
    hub *h;
    tally *ended;
    uint64_t key;
    asked asked[EACH];
    uint32_t task[EACH], text[EACH];
    st_rng rng;
} client;

static void *client_main(void *arg)
{
    client *c = arg;
    for (uint32_t i = 0; i < EACH; i++) {
        uint64_t id;
        c->task[i] = st_rng_below(&c->rng, TASKS);
        c->text[i] = st_rng_below(&c->rng, TEXTS);
        c->asked[i] = (asked){.ended = c->ended};
        hub_use *u = find(c->h, names[c->task[i]]);
        hub_ask q =
            ask_of(&c->asked[i], texts[c->text[i]],
                   st_rng_below(&c->rng, 2) ? SCHED_BULK : SCHED_INTERACTIVE, c->key);
        while (hub_ask_task(u, &q, &id, NULL) == ST_EBUSY)
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        hub_done(u);
    }
    return NULL;
}

typedef struct changer {
    hub *h;
    _Atomic bool stop;
    uint32_t n;
} changer;

/* Everything is loaded anew, all the time. */
static void *changer_main(void *arg)
{
    changer *c = arg;
    for (; !atomic_load(&c->stop); c->n++) {
        load(c->h, names[c->n % TASKS]);
        assert_int_equal(hub_reload(c->h, NULL), 0);
        assert_int_equal(hub_load_model(c->h, "bert", BERT, NULL, NULL), 0);
        assert_int_equal(hub_unload(c->h, "bert", NULL), 0);
    }
    return NULL;
}

static void many_ask(void **state)
{
    static client clients[CLIENTS];
    static reply want[TASKS][TEXTS];
    (void)state;
    if (!files_here())
        return;
    hub_opts opts = small;
    opts.max_asks = 8; /* so that some are turned away, and come again */
    tally ended = TALLY;
    pthread_t threads[CLIENTS], changes;
    changer change = {.h = hub_of(&opts)};
    replies_alone(want);
    for (size_t t = 0; t < TASKS; t++)
        load(change.h, names[t]);
    for (uint32_t c = 0; c < CLIENTS; c++) {
        clients[c] = (client){.h = change.h, .ended = &ended, .key = c, .rng = {c}};
        assert_int_equal(pthread_create(&threads[c], NULL, client_main, &clients[c]), 0);
    }
    assert_int_equal(pthread_create(&changes, NULL, changer_main, &change), 0);
    for (uint32_t c = 0; c < CLIENTS; c++)
        pthread_join(threads[c], NULL);
    ended_wait(&ended, CLIENTS * EACH);
    atomic_store(&change.stop, true);
    pthread_join(changes, NULL);
    assert_true(hub_wait_idle(change.h, 60000000));
    hub_free(change.h);
    for (uint32_t c = 0; c < CLIENTS; c++)
        for (uint32_t i = 0; i < EACH; i++) {
            const asked *a = &clients[c].asked[i];
            assert_int_equal(a->n_done, 1);
            assert_int_equal(a->why, 0);
            reply_check(&a->got, &want[clients[c].task[i]][clients[c].text[i]]);
        }
}

/* --- who comes first, who goes, while the engine thread stands still */

typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t turned;
    bool closed, open;
} gate;

static void gate_pass(void *arg)
{
    gate *g = arg;
    pthread_mutex_lock(&g->lock);
    g->closed = true;
    pthread_cond_broadcast(&g->turned);
    while (!g->open)
        pthread_cond_wait(&g->turned, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static void gate_close(gate *g, hub *h)
{
    *g = (gate){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
    hub_call(h, gate_pass, g);
    pthread_mutex_lock(&g->lock);
    while (!g->closed)
        pthread_cond_wait(&g->turned, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static void gate_open(gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->open = true;
    pthread_cond_broadcast(&g->turned);
    pthread_mutex_unlock(&g->lock);
}

static void classes_and_keys_have_their_turn(void **state)
{
    enum { N = 8 };
    static const struct {
        sched_class class;
        uint64_t key;
    } come[N] = {{SCHED_BULK, 1},        {SCHED_INTERACTIVE, 1}, {SCHED_INTERACTIVE, 1},
                 {SCHED_INTERACTIVE, 1}, {SCHED_INTERACTIVE, 2}, {SCHED_BULK, 2},
                 {SCHED_INTERACTIVE, 2}, {SCHED_INTERACTIVE, 1}};
    static const uint32_t order[N] = {1, 4, 2, 6, 3, 7, 0, 5};
    static asked a[N];
    (void)state;
    if (!files_here())
        return;
    hub *h = hub_of(&small);
    tally ended = TALLY;
    gate g;
    uint64_t id;
    load(h, "words");
    hub_use *u = find(h, "words");
    gate_close(&g, h);
    for (uint32_t i = 0; i < N; i++) {
        a[i] = (asked){.ended = &ended, .mark = i};
        hub_ask q = ask_of(&a[i], texts[0], come[i].class, come[i].key);
        assert_int_equal(hub_ask_task(u, &q, &id, NULL), 0);
    }
    gate_open(&g);
    ended_wait(&ended, N);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(ended.order[i], order[i]);
    hub_done(u);
    hub_free(h);
}

static void who_waits_may_go(void **state)
{
    enum { N = 4 };
    static asked a[N];
    (void)state;
    if (!files_here())
        return;
    for (size_t t = 0; t < TASKS; t++) {
        hub *h = hub_of(&small);
        tally ended = TALLY;
        hub_stats stats;
        gate g;
        uint64_t id[N];
        load(h, names[t]);
        hub_use *u = find(h, names[t]);
        gate_close(&g, h);
        for (uint32_t i = 0; i < N; i++) {
            a[i] = (asked){.ended = &ended, .mark = i};
            hub_ask q = ask_of(&a[i], texts[0], SCHED_INTERACTIVE, i);
            q.deadline_us = i == 1 ? 1 : 0; /* long ago */
            assert_int_equal(hub_ask_task(u, &q, &id[i], NULL), 0);
        }
        hub_stats_get(h, &stats);
        assert_int_equal(stats.waiting, N);
        hub_ask_cancel(u, id[2]);
        hub_ask_cancel(u, 12345);
        gate_open(&g);
        ended_wait(&ended, N);
        hub_ask_cancel(u, id[3]); /* over */
        assert_int_equal(a[0].why, 0);
        assert_int_equal(a[1].why, ST_ETIMEOUT);
        assert_int_equal(a[2].why, ST_ECANCELLED);
        assert_int_equal(a[3].why, 0);
        hub_done(u);
        hub_free(h);
    }
}

static void no_key_takes_all_places(void **state)
{
    static asked a[16];
    (void)state;
    if (!files_here())
        return;
    hub_opts opts = small;
    opts.max_asks = 8;
    hub *h = hub_of(&opts);
    tally ended = TALLY;
    gate g;
    uint32_t n = 0;
    load(h, "words");
    hub_use *u = find(h, "words");
    gate_close(&g, h);
    for (uint64_t key = 1, id; key <= 2; key++)
        for (;; n++) {
            st_err err = {0};
            a[n] = (asked){.ended = &ended};
            hub_ask q = ask_of(&a[n], texts[0], SCHED_INTERACTIVE, key);
            if (hub_ask_task(u, &q, &id, &err) < 0) {
                assert_int_equal(err.code, ST_EBUSY);
                assert_true(key == 1 ? n == 6 : n > 6);
                break;
            }
        }
    gate_open(&g);
    hub_drain(h, true);
    ended_wait(&ended, n);
    hub_done(u);
    hub_free(h);
    for (uint32_t i = 0; i < n; i++)
        assert_true(a[i].n_done == 1 && (a[i].why == 0 || a[i].why == ST_ECANCELLED));
}

/* --- change */

static void what_changed_is_loaded_again(void **state)
{
    (void)state;
    if (!files_here())
        return;
    hub *h = hub_of(&small);
    st_err err = {0};
    load(h, "shown");
    load(h, "words");
    hub_use *shown = find(h, "shown"), *words = find(h, "words");
    assert_int_equal(hub_reload(h, &err), 0);
    hub_use *same = find(h, "shown");
    assert_ptr_equal(same, shown);
    hub_done(same);
    task_put("shown", TINY, choice, "Which animal?"); /* the same, written anew */
    assert_int_equal(hub_reload(h, &err), 0);
    same = find(h, "shown");
    assert_ptr_equal(same, shown);
    hub_done(same);
    task_put("shown", TINY, choice, "Which animal is it?");
    assert_int_equal(hub_reload(h, &err), 0);
    hub_use *other = find(h, "shown");
    assert_string_not_equal(hub_use_version(other), hub_use_version(shown));
    assert_ptr_equal(hub_use_lm(other), hub_use_lm(shown));
    same = find(h, "words");
    assert_ptr_equal(same, words);
    hub_done(same);
    put_file("shown", "task.yaml", "task: shown\nquestion: {type: guess}\n");
    assert_true(hub_reload(h, &err) < 0);
    assert_non_null(strstr(err.message, "guess"));
    same = find(h, "shown"); /* keeps its old self */
    assert_ptr_equal(same, other);
    hub_done(same);
    tally ended = TALLY;
    asked a = {.ended = &ended};
    uint64_t id;
    hub_ask q = ask_of(&a, texts[0], SCHED_BULK, 1);
    assert_int_equal(hub_ask_task(shown, &q, &id, NULL), 0); /* the first one still */
    hub_done(shown);
    ended_wait(&ended, 1);
    assert_int_equal(a.why, 0);
    assert_string_not_equal(a.got.version, hub_use_version(other));
    task_put("shown", TINY, choice, "Which animal?");
    hub_done(other);
    hub_done(words);
    hub_free(h);
}

static void what_is_wrong_is_told(void **state)
{
    char path[120];
    st_err err = {0};
    uint64_t id;
    asked a = {0};
    (void)state;
    if (!files_here())
        return;
    hub *h = hub_of(&small);
    assert_int_equal(hub_load_task(h, "no/such", NULL, &err), ST_ENOTFOUND);
    err = (st_err){0};
    assert_int_equal(hub_load_model(h, "words", TINY, NULL, &err), 0);
    path_of("words", "task.yaml", path, sizeof path);
    assert_int_equal(hub_load_task(h, path, NULL, &err), ST_EINVAL); /* the name */
    assert_non_null(strstr(err.message, "words"));
    hub_use *u = find(h, "words");
    hub_ask q = ask_of(&a, texts[0], SCHED_BULK, 1);
    assert_int_equal(hub_ask_task(u, &q, &id, NULL), ST_EUNSUPPORTED);
    hub_ask_cancel(u, 1);
    hub_done(u);
    hub_free(h);
}

/* --- memory runs out */

typedef struct sweep {
    hub *h;
    const char *name;
    uint32_t accepted;
    asked asked[2];
    tally ended;
} sweep;

static int sweep_ask(sweep *w)
{
    char path[120];
    hub_use *u = NULL;
    uint64_t id;
    st_err err = {0};
    path_of(w->name, NULL, path, sizeof path);
    int rc = hub_load_task(w->h, path, NULL, &err);
    if (rc == 0)
        rc = hub_find(w->h, w->name, &u, &err);
    for (int i = 0; i < 2 && rc == 0; i++) {
        w->asked[i] = (asked){.ended = &w->ended};
        hub_ask q = ask_of(&w->asked[i], texts[i], SCHED_BULK, 1);
        rc = hub_ask_task(u, &q, &id, &err);
        w->accepted += rc == 0;
    }
    hub_done(u);
    if (rc < 0 && err.code != rc)
        fail_msg("an error without a message: %d", rc);
    return rc;
}

static int sweep_all(void *arg)
{
    sweep w = {.name = arg, .ended = TALLY};
    int rc = hub_new(&small, &w.h, NULL);
    if (rc == 0)
        rc = sweep_ask(&w);
    ended_wait(&w.ended, w.accepted);
    hub_free(w.h);
    for (uint32_t i = 0; i < w.accepted; i++) {
        assert_int_equal(w.asked[i].n_done, 1);
        if (rc == 0 && w.asked[i].why < 0)
            rc = w.asked[i].why;
        if (rc == 0 && w.asked[i].got.code < 0)
            rc = w.asked[i].got.code;
    }
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    for (size_t t = 0; files_here() && t < TASKS; t++) {
        char name[20];
        snprintf(name, sizeof name, "%s", names[t]);
        assert_true(fault_sweep(sweep_all, name, t == WORDS ? 1 : 7) > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_are_there_by_name),
        cmocka_unit_test(a_task_and_a_name_share_a_quantised_file),
        cmocka_unit_test(many_ask),
        cmocka_unit_test(classes_and_keys_have_their_turn),
        cmocka_unit_test(who_waits_may_go),
        cmocka_unit_test(no_key_takes_all_places),
        cmocka_unit_test(what_changed_is_loaded_again),
        cmocka_unit_test(what_is_wrong_is_told),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, folder_new, folder_gone);
}
