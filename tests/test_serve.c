/* tests/test_serve.c - the real program serving over loopback. */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/serve_child.h"
#include "tests/tiny_model.h"

static char model[64]; /* the tiny one's file; "" when the goldens are not here */

static int model_make(void **state)
{
    (void)state;
    snprintf(model, sizeof model, "/tmp/stint-tiny-%d.gguf", (int)getpid());
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

static void error_is(answer *a, int status, const char *code)
{
    if (a->status != status || strcmp(answer_text(a, "error.code"), code) != 0)
        fail_msg("%d %s, not %d %s", a->status, a->body, status, code);
    answer_done(a);
}

static void status_is(uint16_t port, const char *method, const char *path,
                      const char *headers, const char *body, int status)
{
    answer a = ask_once(port, method, path, headers, body);
    if (a.status != status)
        fail_msg("%s %s: %d %s, not %d", method, path, a.status, a.body, status);
    answer_done(&a);
}

static void health_and_models(void **state)
{
    served s;
    (void)state;
    needs_model();
    served_start(&s, (const char *const[]){"--model", model, "--model",
                                           "second=" TINY_SOURCE, NULL});
    status_is(s.port, "GET", "/health", NULL, NULL, 200);
    status_is(s.port, "GET", "/livez", NULL, NULL, 200);
    answer a = ask_once(s.port, "GET", "/v1/models", NULL, NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_text(&a, "object"), "list");
    assert_int_equal(json_array_size(answer_at(&a, "data")), 2);
    assert_string_equal(answer_text(&a, "data.0.id"), "second");
    assert_string_equal(answer_text(&a, "data.0.architecture.output_modalities.1"),
                        "decisions");
    assert_string_equal(answer_text(&a, "models.0.name"), "second");
    answer_done(&a);
    a = ask_once(s.port, "GET", "/v1/models/second", NULL, NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_text(&a, "object"), "model");
    answer_done(&a);
    a = ask_once(s.port, "GET", "/v1/models/nobody", NULL, NULL);
    error_is(&a, 404, "model_not_found");
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

static void routes_and_methods(void **state)
{
    served s;
    client c;
    answer a;
    (void)state;
    served_start(&s, (const char *const[]){NULL});
    a = ask_once(s.port, "GET", "/nowhere", NULL, NULL);
    error_is(&a, 404, "unknown_url");
    a = ask_once(s.port, "GET", "/v1/models/", NULL, NULL);
    error_is(&a, 404, "unknown_url");
    a = ask_once(s.port, "DELETE", "/v1/models", NULL, NULL);
    assert_string_equal(answer_header(&a, "allow"), "GET, HEAD, OPTIONS");
    error_is(&a, 405, "method_not_allowed");
    a = ask_once(s.port, "OPTIONS", "/v1/admin/load", NULL, NULL);
    assert_int_equal(a.status, 204);
    assert_string_equal(answer_header(&a, "allow"), "POST, OPTIONS");
    assert_null(answer_header(&a, "access-control-allow-origin"));
    answer_done(&a);
    c = client_open(s.port); /* one connection: nothing stands in between */
    a = client_request(&c, "HEAD", "/health", "x-request-id: mine.1\r\n", NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_header(&a, "content-length"), "15");
    assert_string_equal(answer_header(&a, "x-request-id"), "mine.1");
    answer_done(&a);
    a = client_request(&c, "GET", "/health", "x-request-id: no good\r\n", NULL);
    assert_int_equal(a.status, 200);
    assert_int_equal(strncmp(answer_header(&a, "x-request-id"), "req-", 4), 0);
    answer_done(&a);
    client_close(&c);
    assert_int_equal(served_stop(&s, SIGINT), 0);
}

#define LOAD "/v1/admin/load"

static void bodies(void **state)
{
    static char deep[1000], large[5000];
    served s;
    answer a;
    (void)state;
    served_start(&s, (const char *const[]){"--max-body", "4096", NULL});
    memset(deep, '[', 200);
    memset(large, ' ', sizeof large - 1);
    a = ask_once(s.port, "POST", LOAD, NULL, "{\"kind\":");
    error_is(&a, 400, "invalid_json");
    a = ask_once(s.port, "POST", LOAD, NULL, deep);
    error_is(&a, 400, "invalid_json");
    a = ask_once(s.port, "POST", LOAD, NULL, "");
    error_is(&a, 400, "invalid_json");
    a = ask_once(s.port, "POST", LOAD, NULL, large);
    error_is(&a, 413, "request_too_large");
    a = ask_once(s.port, "POST", LOAD, "content-type: text/plain\r\n", "{}");
    error_is(&a, 415, "unsupported_media_type");
    a = ask_once(s.port, "POST", "/v1/admin/reload", NULL, "{\"now\": true}");
    error_is(&a, 400, "unknown_parameter");
    a = ask_once(s.port, "POST", LOAD,
                 "x-stint-class: fast\r\nx-stint-deadline-ms: 0\r\n",
                 "{\"kind\": \"cat\", \"more\": 1}");
    assert_int_equal(json_array_size(answer_at(&a, "error.errors")), 5);
    assert_string_equal(answer_text(&a, "error.param"), "x-stint-deadline-ms");
    error_is(&a, 400, "invalid_value");
    a = ask_once(s.port, "POST", LOAD, NULL, "{\"kind\": \"adapter\", \"path\": \"x\"}");
    assert_int_equal(json_array_size(answer_at(&a, "error.errors")), 2);
    error_is(&a, 400, "missing_required_parameter");
    a = ask_once(s.port, "POST", LOAD, NULL,
                 "{\"kind\": \"model\", \"path\": \"/no/such.gguf\"}");
    assert_string_equal(answer_text(&a, "error.param"), "path");
    error_is(&a, 400, "invalid_value");
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

/* A body that is too large to be read on the net thread goes the same way. */
static void large_bodies(void **state)
{
    enum { LARGE = 200000 };
    static char body[LARGE + 200];
    served s;
    answer a;
    (void)state;
    needs_model();
    served_start(&s, (const char *const[]){"--model", model, NULL});
    int n =
        snprintf(body, sizeof body, "{\"messages\":[{\"role\":\"user\",\"content\":\"");
    memset(body + n, 'x', LARGE);
    memcpy(body + n + LARGE, "\"}]}", 5);
    a = ask_once(s.port, "POST", "/v1/chat/completions", NULL, body);
    error_is(&a, 400, "context_length_exceeded");
    memcpy(body + n + LARGE, "\"}]]", 5);
    a = ask_once(s.port, "POST", "/v1/chat/completions", NULL, body);
    error_is(&a, 400, "invalid_json");
    memcpy(body + n + LARGE, "\"}],\"mesages\":1}", 17);
    a = ask_once(s.port, "POST", "/v1/chat/completions", NULL, body);
    error_is(&a, 400, "unknown_parameter");
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

/* Who comes before all is loaded waits for it. */
static void early_calls_wait(void **state)
{
    served s;
    answer a;
    (void)state;
    needs_model();
    served_spawn(&s, (const char *const[]){"--model", model, NULL});
    served_wait_port(&s);
    a = ask_once(s.port, "GET", "/v1/models", NULL, NULL);
    assert_int_equal(a.status, 200);
    assert_int_equal(json_array_size(answer_at(&a, "data")), 1);
    answer_done(&a);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

static void hosts_and_addresses(void **state)
{
    served s;
    char *log;
    (void)state;
    served_start(&s, (const char *const[]){NULL});
    status_is(s.port, "GET", "/v1/models", "Host: [::1]:80\r\n", NULL, 200);
    status_is(s.port, "GET", "/v1/models", "Host: 10.0.0.1\r\n", NULL, 200);
    status_is(s.port, "GET", "/v1/models", "Host: stint.localhost:80\r\n", NULL, 200);
    status_is(s.port, "GET", "/v1/models", "Host: evil.example\r\n", NULL, 403);
    status_is(s.port, "GET", "/v1/models", "Host: localhost.evil.example\r\n", NULL, 403);
    status_is(s.port, "GET", "/health", "Host: evil.example\r\n", NULL, 200);
    assert_int_equal(served_stop(&s, SIGTERM), 0);

    served_spawn(&s, (const char *const[]){"--listen", "0.0.0.0:0", NULL});
    assert_int_equal(served_wait(&s), 2);
    log = served_log(&s);
    assert_non_null(strstr(log, "there are no keys"));
    st_free(log);
    unlink(s.log);
}

static void data_make(char path[64])
{
    snprintf(path, 64, "/tmp/stint-data-XXXXXX");
    assert_non_null(mkdtemp(path));
}

static void data_drop(const char *path)
{
    char file[128];
    snprintf(file, sizeof file, "%s/loaded.json", path);
    unlink(file);
    assert_int_equal(rmdir(path), 0);
}

/* What admin routes loaded is there again after a restart, and what they unloaded is
 * not; a file that is gone is missed, and no reason not to start. */
static void loads_are_kept(void **state)
{
    served s;
    char data[64], body[256];
    answer a;
    (void)state;
    needs_model();
    data_make(data);
    const char *const words[] = {"--data", data, NULL};
    served_start(&s, words);
    snprintf(body, sizeof body, "{\"kind\":\"model\",\"name\":\"a\",\"path\":\"%s\"}",
             model);
    a = ask_once(s.port, "POST", LOAD, NULL, body);
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_text(&a, "name"), "a");
    assert_true(json_is_true(answer_at(&a, "kept")));
    answer_done(&a);
    status_is(s.port, "POST", LOAD, NULL,
              "{\"kind\":\"model\",\"path\":\"" TINY_SOURCE "\"}", 200);
    status_is(s.port, "POST", "/v1/admin/unload", NULL, "{\"name\":\"model-f32\"}", 200);
    status_is(s.port, "POST", "/v1/admin/unload", NULL, "{\"name\":\"model-f32\"}", 404);
    assert_int_equal(served_stop(&s, SIGKILL), -SIGKILL);

    served_start(&s, words);
    a = ask_once(s.port, "GET", "/v1/admin/loaded", NULL, NULL);
    assert_int_equal(json_array_size(answer_at(&a, "data")), 1);
    assert_string_equal(answer_text(&a, "data.0.name"), "a");
    assert_true(answer_number(&a, "bytes") > 0);
    answer_done(&a);
    assert_int_equal(served_stop(&s, SIGTERM), 0);

    char moved[80];
    snprintf(moved, sizeof moved, "%s.away", model);
    assert_int_equal(rename(model, moved), 0);
    served_start(&s, words);
    assert_true(served_logged(&s, "of loaded.json"));
    status_is(s.port, "GET", "/v1/models/a", NULL, NULL, 404);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
    assert_int_equal(rename(moved, model), 0);
    data_drop(data);
}

static void damaged_data(void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "{\"loaded\": 1}",
                                        "{\"loaded\": [{\"kind\": \"model\"}]}",
                                        "{\"loaded\": [], \"more\": 1}"};
    served s;
    char data[64], path[96];
    (void)state;
    data_make(data);
    snprintf(path, sizeof path, "%s/loaded.json", data);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        FILE *out = fopen(path, "wb");
        assert_non_null(out);
        fputs(texts[i], out);
        assert_int_equal(fclose(out), 0);
        served_spawn(&s, (const char *const[]){"--data", data, NULL});
        assert_int_equal(served_wait(&s), 5);
        assert_true(served_logged(&s, "loaded.json"));
        unlink(s.log);
    }
    data_drop(data);
}

enum { KEY_MAX = 80 };

/* A key made by `stint key new`, as a header that shows it. */
static void key_make(const char *file, const char *words, char ret_header[KEY_MAX + 32])
{
    char line[512], key[KEY_MAX] = "";
    snprintf(line, sizeof line, "'%s' key new --api-keys '%s' %s", getenv("STINT_EXE"),
             file, words);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(key, sizeof key, pipe));
    assert_int_equal(pclose(pipe), 0);
    key[strcspn(key, "\n")] = '\0';
    snprintf(ret_header, KEY_MAX + 32, "Authorization: Bearer %s\r\n", key);
}

static void keys_and_scopes(void **state)
{
    served s;
    char file[64], ci[KEY_MAX + 32], chief[KEY_MAX + 32], few[KEY_MAX + 32], cut[KEY_MAX];
    answer a;
    (void)state;
    needs_model();
    snprintf(file, sizeof file, "/tmp/stint-keys-%d", (int)getpid());
    key_make(file, "--name ci", ci);
    key_make(file, "--name chief --role admin", chief);
    key_make(file, "--name few --tasks other", few);
    served_start(&s, (const char *const[]){"--api-keys", file, "--model", model,
                                           "--model", "other=" TINY_SOURCE, "--listen",
                                           "0.0.0.0:0", NULL});
    status_is(s.port, "GET", "/health", NULL, NULL, 200);
    a = ask_once(s.port, "GET", "/v1/models", NULL, NULL);
    assert_string_equal(answer_header(&a, "www-authenticate"), "Bearer");
    error_is(&a, 401, "invalid_api_key");
    a = ask_once(s.port, "GET", "/v1/models", "Authorization: Basic eDp5\r\n", NULL);
    error_is(&a, 401, "invalid_api_key");
    a = ask_once(s.port, "GET", "/v1/models", "Authorization: Bearer sk-none\r\n", NULL);
    error_is(&a, 401, "invalid_api_key");
    snprintf(cut, sizeof cut, "%.*s\r\n", (int)strlen(ci) - 3, ci);
    a = ask_once(s.port, "GET", "/v1/models", cut, NULL);
    error_is(&a, 401, "invalid_api_key");
    /* who may not is told so before anything of the body is judged */
    a = ask_once(s.port, "POST", LOAD, ci, "{\"kind\":");
    error_is(&a, 403, "insufficient_permissions");
    a = ask_once(s.port, "POST", LOAD, chief, "{\"kind\":");
    error_is(&a, 400, "invalid_json");
    a = ask_once(s.port, "GET", "/v1/models", ci, NULL);
    assert_int_equal(json_array_size(answer_at(&a, "data")), 2);
    answer_done(&a);
    a = ask_once(s.port, "GET", "/v1/models", few, NULL);
    assert_int_equal(json_array_size(answer_at(&a, "data")), 1);
    assert_string_equal(answer_text(&a, "data.0.id"), "other");
    answer_done(&a);

    /* a key that is made later counts from the reload on */
    char late[KEY_MAX + 32];
    key_make(file, "--name late", late);
    status_is(s.port, "GET", "/v1/models", late, NULL, 401);
    status_is(s.port, "POST", "/v1/admin/reload", chief, NULL, 200);
    status_is(s.port, "GET", "/v1/models", late, NULL, 200);
    assert_false(served_logged(&s, "sk-stint-"));
    assert_int_equal(served_stop(&s, SIGTERM), 0);
    unlink(file);
}

/* A start that fails answers those who came early, and says why. */
static void start_that_fails(void **state)
{
    served s;
    (void)state;
    served_spawn(&s, (const char *const[]){"--model", "/no/such.gguf", NULL});
    assert_int_equal(served_wait(&s), 7);
    assert_true(served_logged(&s, "/no/such.gguf"));
    unlink(s.log);
    served_spawn(&s, (const char *const[]){"--adapter", "x=y", NULL});
    assert_int_equal(served_wait(&s), 2);
    unlink(s.log);
}

static void reload_by_signal(void **state)
{
    served s;
    (void)state;
    needs_model();
    served_start(&s, (const char *const[]){"--model", model, NULL});
    for (int i = 0; i < 20; i++)
        assert_int_equal(kill(s.pid, SIGHUP), 0);
    while (!served_logged(&s, "\"reloaded\""))
        served_pause();
    status_is(s.port, "GET", "/v1/models", NULL, NULL, 200);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health_and_models),
        cmocka_unit_test(routes_and_methods),
        cmocka_unit_test(bodies),
        cmocka_unit_test(large_bodies),
        cmocka_unit_test(early_calls_wait),
        cmocka_unit_test(hosts_and_addresses),
        cmocka_unit_test(loads_are_kept),
        cmocka_unit_test(damaged_data),
        cmocka_unit_test(start_that_fails),
        cmocka_unit_test(keys_and_scopes),
        cmocka_unit_test(reload_by_signal),
    };
    return cmocka_run_group_tests(tests, model_make, model_drop);
}
