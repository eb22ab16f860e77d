/* tests/test_serve_load.c - the program while it is loaded with work: nothing is cut when
 * it goes down, nothing fails while models come and go, nothing of one key reaches
 * another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/serve_child.h"
#include "tests/tiny_model.h"
#include <pthread.h>
#include <stdatomic.h>

static char model[64]; /* the tiny one's file; "" when the goldens are not here */

static int model_make(void **state)
{
    (void)state;
    snprintf(model, sizeof model, "/tmp/stint-tiny-load-%d.gguf", (int)getpid());
    if (!tiny_model_write(model))
        model[0] = '\0';
    return 0;
}

static int model_drop(void **state)
{
    (void)state;
    if (model[0])
        unlink(model);
    return 0;
}

static void needs_model(void)
{
    if (!model[0])
        skip();
}

#define CHAT "/v1/chat/completions"

static void chat_body(char *out, size_t room, const char *name, const char *text,
                      unsigned tokens, const char *more)
{
    snprintf(out, room,
             "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],"
             "\"max_tokens\":%u,\"ignore_eos\":true%s}",
             name, text, tokens, more);
}

/* ---- clients that ask again and again ---- */

enum { N_CLIENTS = 6 };

typedef struct asker {
    const served *s;
    unsigned index;
    unsigned tokens;
    bool stream;
    atomic_bool *stop;
    atomic_uint n_good;
    atomic_uint n_bad;     /* answers that are none, or no good ones */
    atomic_uint n_refused; /* connections that nobody took, or 503 */
} asker;

/* A connection that ends between two requests is how a server goes down; one that ends
 * inside an answer is a cut. */
static bool ask_again(asker *a, client *c)
{
    char body[512];
    chat_body(body, sizeof body, "m", "count", a->tokens,
              a->stream ? ",\"stream\":true" : "");
    if (!client_ask(c, "POST", CHAT, NULL, body))
        return false;
    if (c->len == 0 && !client_more(c))
        return false; /* closed before it took the request */
    answer got = client_answer_read(c, true);
    bool whole =
        got.status == 200 &&
        (a->stream ? strstr(got.body, "data: [DONE]") != NULL
                   : answer_number(&got, "usage.completion_tokens") == a->tokens);
    if (whole)
        a->n_good++;
    else if (got.status == 503)
        a->n_refused++;
    else
        a->n_bad++;
    if (!whole && got.status != 503)
        print_message("%d %s\n", got.status, got.body ? got.body : "");
    const char *connection = answer_header(&got, "connection");
    bool stays = !connection || strcmp(connection, "close") != 0;
    answer_done(&got);
    return stays;
}

static void *asker_run(void *arg)
{
    asker *a = arg;
    while (!atomic_load(a->stop)) {
        client c = client_open(a->s->port);
        if (c.fd < 0) {
            client_close(&c);
            a->n_refused++;
            break;
        }
        while (!atomic_load(a->stop) && ask_again(a, &c))
            continue;
        client_close(&c);
    }
    return NULL;
}

typedef struct crowd {
    asker askers[N_CLIENTS];
    pthread_t threads[N_CLIENTS];
    atomic_bool stop;
} crowd;

static void crowd_begin(crowd *w, const served *s, unsigned tokens)
{
    atomic_init(&w->stop, false);
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        w->askers[i] = (asker){
            .s = s, .index = i, .tokens = tokens, .stream = i % 2, .stop = &w->stop};
        assert_int_equal(pthread_create(&w->threads[i], NULL, asker_run, &w->askers[i]),
                         0);
    }
}

static unsigned crowd_good(crowd *w)
{
    unsigned n = 0;
    for (unsigned i = 0; i < N_CLIENTS; i++)
        n += w->askers[i].n_good;
    return n;
}

static void crowd_wait_good(crowd *w, unsigned n)
{
    while (crowd_good(w) < n)
        served_pause();
}

/* The number of bad answers. */
static unsigned crowd_end(crowd *w)
{
    unsigned n = 0;
    w->stop = true;
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        pthread_join(w->threads[i], NULL);
        n += w->askers[i].n_bad;
    }
    return n;
}

static void drain_cuts_nothing(void **state)
{
    char named[80];
    served s;
    crowd w;
    (void)state;
    needs_model();
    snprintf(named, sizeof named, "m=%s", model);
    served_start(&s, (const char *const[]){"--model", named, NULL});
    crowd_begin(&w, &s, 40);
    crowd_wait_good(&w, 3);
    assert_int_equal(kill(s.pid, SIGTERM), 0);
    for (unsigned i = 0; i < N_CLIENTS; i++)
        pthread_join(w.threads[i], NULL);
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        assert_int_equal(w.askers[i].n_bad, 0);
        assert_true(w.askers[i].n_good + w.askers[i].n_refused > 0);
    }
    int status = served_wait(&s);
    if (status != 0)
        served_fail(&s, "did not end well");
    unlink(s.log);
}

static void second_signal_ends_at_once(void **state)
{
    char named[80], body[512];
    served s;
    (void)state;
    needs_model();
    snprintf(named, sizeof named, "m=%s", model);
    served_start(&s, (const char *const[]){"--model", named, NULL});
    client c = client_open(s.port);
    chat_body(body, sizeof body, "m", "count", 2000, ",\"stream\":true");
    assert_true(client_ask(&c, "POST", CHAT, NULL, body));
    assert_true(client_more(&c));
    assert_int_equal(kill(s.pid, SIGTERM), 0);
    while (!served_logged(&s, "\"draining\""))
        served_pause();
    assert_int_equal(served_stop(&s, SIGTERM), -SIGTERM);
    client_close(&c);
}

static void post_good(uint16_t port, const char *path, const char *body)
{
    answer a = ask_once(port, "POST", path, NULL, body);
    if (a.status != 200)
        fail_msg("%s %s: %d %s", path, body ? body : "", a.status, a.body);
    answer_done(&a);
}

/* Models are replaced under the name in use, others come and go, all is loaded again. */
static void changes_fail_no_request(void **state)
{
    enum { ROUNDS = 4 };
    char named[80], load_m[256], load_x[256];
    served s;
    crowd w;
    (void)state;
    needs_model();
    snprintf(named, sizeof named, "m=%s", model);
    snprintf(load_m, sizeof load_m, "{\"kind\":\"model\",\"name\":\"m\",\"path\":\"%s\"}",
             model);
    snprintf(load_x, sizeof load_x, "{\"kind\":\"model\",\"name\":\"x\",\"path\":\"%s\"}",
             TINY_SOURCE);
    served_start(&s, (const char *const[]){"--model", named, NULL});
    crowd_begin(&w, &s, 8);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned before = crowd_good(&w);
        post_good(s.port, "/v1/admin/load", load_x);
        assert_true(tiny_model_write(model)); /* the same bytes in a new file */
        post_good(s.port, "/v1/admin/load", load_m);
        assert_int_equal(kill(s.pid, SIGHUP), 0);
        post_good(s.port, "/v1/admin/reload", NULL);
        post_good(s.port, "/v1/admin/unload", "{\"name\":\"x\"}");
        crowd_wait_good(&w, before + N_CLIENTS);
    }
    assert_int_equal(crowd_end(&w), 0);
    for (unsigned i = 0; i < N_CLIENTS; i++)
        assert_int_equal(w.askers[i].n_refused, 0);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

/* ---- what one key said ---- */

static void key_make(const char *file, const char *name, char ret_header[128])
{
    char line[512], key[80] = "";
    snprintf(line, sizeof line, "'%s' key new --api-keys '%s' --name %s",
             getenv("STINT_EXE"), file, name);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(key, sizeof key, pipe));
    assert_int_equal(pclose(pipe), 0);
    key[strcspn(key, "\n")] = '\0';
    snprintf(ret_header, 128, "Authorization: Bearer %s\r\n", key);
}

static json_int_t cached(uint16_t port, const char *header, const char *more)
{
    char body[1024];
    chat_body(body, sizeof body, "m",
              "the canary sings at dawn, the canary sings at noon, the canary sings all "
              "night long and nobody else may ever know what it sings about",
              2, more);
    answer a = ask_once(port, "POST", CHAT, header, body);
    if (a.status != 200)
        fail_msg("%d %s", a.status, a.body);
    json_int_t n = answer_number(&a, "usage.prompt_tokens_details.cached_tokens");
    assert_true(answer_number(&a, "usage.prompt_tokens") > 64);
    answer_done(&a);
    return n;
}

static void canary(void **state)
{
    char named[80], file[64], one[128], two[128];
    served s;
    (void)state;
    needs_model();
    snprintf(named, sizeof named, "m=%s", model);
    snprintf(file, sizeof file, "/tmp/stint-load-keys-%d", (int)getpid());
    key_make(file, "one", one);
    key_make(file, "two", two);
    served_start(&s, (const char *const[]){"--model", named, "--api-keys", file, NULL});
    assert_int_equal(cached(s.port, one, ""), 0);
    assert_true(cached(s.port, one, "") > 0);
    assert_int_equal(cached(s.port, two, ""), 0);
    assert_int_equal(cached(s.port, one, ",\"prompt_cache_key\":\"a\""), 0);
    assert_true(cached(s.port, one, ",\"prompt_cache_key\":\"a\"") > 0);
    assert_int_equal(cached(s.port, two, ",\"prompt_cache_key\":\"a\""), 0);
    assert_true(cached(s.port, two, "") > 0);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
    unlink(file);
}

/* ---- limits ---- */

static void queue_is_bounded(void **state)
{
    enum { MANY = 24 };
    char named[80], body[512];
    served s;
    client c[MANY];
    unsigned n_good = 0, n_busy = 0;
    (void)state;
    needs_model();
    snprintf(named, sizeof named, "m=%s", model);
    served_start(&s, (const char *const[]){"--model", named, "--max-waiting", "4",
                                           "--max-live", "1", NULL});
    chat_body(body, sizeof body, "m", "count", 1500, "");
    for (unsigned i = 0; i < MANY; i++) {
        c[i] = client_open(s.port);
        assert_true(client_ask(&c[i], "POST", CHAT, NULL, body));
    }
    for (unsigned i = 0; i < MANY; i++) {
        answer a = client_answer_read(&c[i], true);
        if (a.status == 429) {
            assert_non_null(answer_header(&a, "retry-after"));
            assert_non_null(answer_header(&a, "retry-after-ms"));
            assert_string_equal(answer_text(&a, "error.code"), "rate_limit_exceeded");
        } else {
            assert_int_equal(a.status, 200);
        }
        n_good += a.status == 200;
        n_busy += a.status == 429;
        answer_done(&a);
        client_close(&c[i]);
    }
    assert_true(n_good >= 1);
    assert_true(n_busy >= 1);
    /* what is wrong is told even so */
    answer a = ask_once(s.port, "POST", CHAT, NULL, "{}");
    assert_int_equal(a.status, 400);
    answer_done(&a);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

static void deadlines(void **state)
{
    char named[80], body[512];
    served s;
    (void)state;
    needs_model();
    snprintf(named, sizeof named, "m=%s", model);
    served_start(&s, (const char *const[]){"--model", named, NULL});
    chat_body(body, sizeof body, "m", "count", 1900, "");
    answer a = ask_once(s.port, "POST", CHAT, "x-stint-deadline-ms: 1\r\n", body);
    assert_int_equal(a.status, 504);
    answer_done(&a);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drain_cuts_nothing),
        cmocka_unit_test(second_signal_ends_at_once),
        cmocka_unit_test(changes_fail_no_request),
        cmocka_unit_test(canary),
        cmocka_unit_test(queue_is_bounded),
        cmocka_unit_test(deadlines),
    };
    return cmocka_run_group_tests(tests, model_make, model_drop);
}
