/* tests/test_hub_adapters.c - adapters of a hub: names over a model that is loaded. */
#include "tests/adapter_made.h"

#include "model/adapter.h"
#include "serve/hub.h"
#include "tests/fault.h"
#include "tests/here.h"
#include <pthread.h>

#define LLAMA "../shared/goldens/logits/llama-gqa/model-f32.gguf"
#define OTHER "../shared/goldens/quant/models/llama-256-q4_0.gguf"

enum { TEXT = 12, NEW = 10 };

static const int32_t text[TEXT] = {5, 9, 200, 31, 7, 7, 150, 12, 90, 4, 301, 66};
static const hub_opts small = {.engine = {.n_threads = 1, .kv_best = true}};

static char folder[40], path[80];

static bool files_here(void)
{
    return is_here(LLAMA) && is_here(OTHER);
}

/* An adapter of the model in `file`, `strength` times as strong as one of its numbers. */
static void adapter_put(const char *file, float strength)
{
    made m = {0};
    st_rng rng = {3};
    gguf *g;
    st_err err = {0};
    if (gguf_open(file, &g, &err) < 0)
        fail_msg("%s", err.message);
    made_draw(&m, g, 4, 1, &rng);
    m.alpha *= strength;
    made_write_gguf(&m, ST_F32, path);
    made_done(&m);
    gguf_close(g);
}

static int folder_new(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/stint-hub-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/adapter.gguf", folder);
    return 0;
}

static int folder_gone(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* --- texts */

typedef struct written {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
    int32_t ids[NEW];
    uint32_t n;
} written;

static void text_ended(void *arg, const sched_result *r)
{
    written *w = arg;
    assert_int_equal(r->end, SCHED_END_LENGTH);
    pthread_mutex_lock(&w->lock);
    w->n = r->n_new;
    memcpy(w->ids, r->tokens, r->n_new * sizeof *w->ids);
    w->done = true;
    pthread_cond_signal(&w->ended);
    pthread_mutex_unlock(&w->lock);
}

static sched_request request_of(written *w)
{
    *w = (written){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, {0}, 0};
    return (sched_request){.key = 1,
                           .tokens = text,
                           .n = TEXT,
                           .generate = {.how = SAMPLER_GREEDY, .max_new = NEW},
                           .done = text_ended,
                           .arg = w};
}

/* Without a hub, with the adapter that is at `path`. */
static written alone(bool adapted, float scale)
{
    const lm_opts how = {.engine = small.engine};
    written w;
    lm *l;
    sched *s;
    adapter *a = NULL;
    sched_id id;
    st_err err = {0};
    assert_int_equal(lm_open(LLAMA, &how, &l, &err), 0);
    assert_int_equal(lm_sched(l, NULL, &s, &err), 0);
    if (adapted && adapter_open(path, l->model, scale, &a, &err) < 0)
        fail_msg("%s", err.message);
    sched_request q = request_of(&w);
    q.adapter = a;
    assert_int_equal(sched_submit(s, &q, &id, &err), 0);
    while (sched_step(s))
        continue;
    lm_close(l);
    adapter_free(a);
    return w;
}

static written asked(hub_use *u)
{
    written w;
    sched_id id;
    st_err err = {0};
    sched_request q = request_of(&w);
    if (hub_submit(u, &q, &id, &err) < 0)
        fail_msg("%s", err.message);
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.ended, &w.lock);
    pthread_mutex_unlock(&w.lock);
    return w;
}

static hub_use *find(hub *h, const char *name)
{
    hub_use *u;
    st_err err = {0};
    if (hub_find(h, name, &u, &err) < 0)
        fail_msg("%s", err.message);
    return u;
}

static hub *hub_of(void)
{
    hub *h;
    assert_int_equal(hub_new(&small, &h, NULL), 0);
    return h;
}

static void written_check(hub *h, const char *name, const written *want)
{
    hub_use *u = find(h, name);
    written got = asked(u);
    assert_int_equal(got.n, want->n);
    assert_memory_equal(got.ids, want->ids, sizeof got.ids);
    hub_done(u);
}

static void an_adapter_is_a_name_of_its_own(void **state)
{
    (void)state;
    if (!files_here())
        return;
    st_err err = {0};
    hub_entry *list;
    uint32_t n;
    adapter_put(LLAMA, 2);
    written strong = alone(true, 1);
    adapter_put(LLAMA, 1);
    written base = alone(false, 1), adapted = alone(true, 1), twice = alone(true, 2);
    assert_memory_not_equal(base.ids, adapted.ids, sizeof base.ids);
    assert_memory_not_equal(twice.ids, adapted.ids, sizeof base.ids);
    assert_memory_equal(twice.ids, strong.ids, sizeof base.ids);
    hub *h = hub_of();
    assert_int_equal(hub_load_adapter(h, "tuned", path, "base", 1, &err), ST_ENOTFOUND);
    assert_non_null(strstr(err.message, "'base'"));
    assert_int_equal(hub_load_model(h, "base", LLAMA, NULL, NULL), 0);
    assert_int_equal(hub_load_adapter(h, "tuned", path, "base", 1, NULL), 0);
    assert_int_equal(hub_load_adapter(h, "twice", path, "base", 2, NULL), 0);
    err = (st_err){0};
    assert_int_equal(hub_load_adapter(h, "third", path, "tuned", 1, &err), ST_ENOTFOUND);
    assert_int_equal(hub_load_adapter(h, "third", LLAMA, "base", 1, NULL),
                     ST_EUNSUPPORTED);
    assert_int_equal(hub_list(h, &list, &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_int_equal(list[1].kind, HUB_ADAPTER);
    assert_string_equal(list[1].base, "base");
    assert_true(list[1].bytes > 0);
    assert_string_not_equal(list[1].version, list[2].version);
    st_free(list);
    for (int round = 0; round < 2; round++) { /* cold and warm */
        written_check(h, "base", &base);
        written_check(h, "tuned", &adapted);
        written_check(h, "twice", &twice);
        written_check(h, NULL, &base); /* the only model */
    }
    hub_use *tuned = find(h, "tuned"), *own = find(h, "base");
    assert_ptr_equal(hub_use_lm(tuned), hub_use_lm(own));
    hub_done(own);
    assert_int_equal(hub_unload(h, "base", NULL), 0);
    written_check(h, "tuned", &adapted);
    assert_int_equal(hub_unload(h, "tuned", NULL), 0);
    written got = asked(tuned);
    assert_memory_equal(got.ids, adapted.ids, sizeof got.ids);
    hub_done(tuned);
    hub_free(h);
}

static void a_reload_goes_over_to_the_base_of_now(void **state)
{
    (void)state;
    if (!files_here())
        return;
    st_err err = {0};
    adapter_put(LLAMA, 1);
    hub *h = hub_of();
    assert_int_equal(hub_load_model(h, "base", LLAMA, NULL, NULL), 0);
    assert_int_equal(hub_load_adapter(h, "tuned", path, "base", 1, NULL), 0);
    assert_int_equal(hub_reload(h, &err), 0);
    hub_use *before = find(h, "tuned");
    adapter_put(LLAMA, 3);
    assert_int_equal(hub_reload(h, &err), 0);
    written want = alone(true, 1);
    written_check(h, "tuned", &want);
    hub_use *after = find(h, "tuned");
    assert_string_not_equal(hub_use_version(before), hub_use_version(after));
    hub_done(before);
    hub_done(after);
    assert_int_equal(hub_load_model(h, "base", OTHER, NULL, NULL), 0);
    assert_true(hub_reload(h, &err) < 0); /* it is none of that model's */
    assert_non_null(strstr(err.message, "adapter.gguf"));
    written_check(h, "tuned", &want); /* keeps its old self */
    hub_free(h);
}

static int sweep_all(void *arg)
{
    hub *h = NULL;
    hub_use *u = NULL;
    (void)arg;
    int rc = hub_new(&small, &h, NULL);
    if (rc == 0)
        rc = hub_load_model(h, "base", LLAMA, NULL, NULL);
    if (rc == 0)
        rc = hub_load_adapter(h, "tuned", path, "base", 1, NULL);
    if (rc == 0)
        rc = hub_find(h, "tuned", &u, NULL);
    hub_done(u);
    hub_free(h);
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    if (!files_here())
        return;
    adapter_put(LLAMA, 1);
    assert_true(fault_sweep(sweep_all, NULL, 3) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_adapter_is_a_name_of_its_own),
        cmocka_unit_test(a_reload_goes_over_to_the_base_of_now),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, folder_new, folder_gone);
}
