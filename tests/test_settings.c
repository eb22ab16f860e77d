/* tests/test_settings.c - settings: flag over environment over file, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "serve/settings.h"
#include "tests/documented.h"
#include "tests/fault.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Flags as "name=value" words. */
static const char *of_words(const void *arg, const char *flag, unsigned i)
{
    size_t n = strlen(flag);
    for (const char *const *w = arg; w && *w; w++)
        if (strncmp(*w, flag, n) == 0 && (*w)[n] == '=' && i-- == 0)
            return *w + n + 1;
    return NULL;
}

static char *config; /* a file in a folder of its own */

static void write_config(const char *text)
{
    st_err err = {0};
    if (st_file_write(config, text, strlen(text), &err) < 0)
        fail_msg("%s", err.message);
}

static int setup(void **state)
{
    char folder[] = "/tmp/stint-settings-XXXXXX";
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    config = malloc(64);
    snprintf(config, 64, "%s/s.yaml", folder);
    unsetenv("PORT");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(config);
    *strrchr(config, '/') = '\0';
    rmdir(config);
    free(config);
    return 0;
}

static settings read_good(const char *const *words, const char *file)
{
    settings s;
    st_err err = {0};
    if (settings_read(of_words, words, file, &s, &err) < 0)
        fail_msg("%s", err.message);
    return s;
}

static void refused(const char *const *words, const char *file, const char *message,
                    const char *hint)
{
    settings s;
    st_err err = {0};
    memset(&s, 7, sizeof s);
    assert_int_equal(settings_read(of_words, words, file, &s, &err), ST_EINVAL);
    assert_int_equal(err.code, ST_EINVAL);
    assert_int_equal(((unsigned char *)&s)[0], 7); /* untouched */
    if (!strstr(err.message, message))
        fail_msg("'%s' is not in '%s'", message, err.message);
    assert_string_equal(err.hint, hint);
}

static void test_defaults(void **state)
{
    (void)state;
    settings s = read_good(NULL, NULL);
    assert_string_equal(s.listen, "127.0.0.1:8080");
    assert_string_equal(s.log_level, "info");
    assert_int_equal(s.max_waiting, 1024);
    assert_int_equal(s.max_body, 16 << 20);
    assert_int_equal(s.drain_seconds, 30);
    assert_null(s.api_keys);
    assert_int_equal(s.tasks.n, 0);
    settings_done(&s);
    settings_done(&s);
}

static void test_flag_beats_environment_beats_file(void **state)
{
    static const char *const words[] = {"ctx=1024", "task=a,b", "task=c", NULL};
    (void)state;
    write_config("ctx: 3\nthreads: 3\nmax-live: 3\ntask: [x, y, z]\nmodel: [m, n=o]\n"
                 "no-auth: true\nmemory: 2G\ndata: null\n");
    setenv("STINT_CTX", "2", 1);
    setenv("STINT_THREADS", "2", 1);
    setenv("STINT_ADAPTER", "a=b@c,d=e@f", 1);
    settings s = read_good(words, config);
    assert_int_equal(s.ctx, 1024);
    assert_int_equal(s.threads, 2);
    assert_int_equal(s.max_live, 3);
    assert_int_equal(s.tasks.n, 2);
    assert_string_equal(s.tasks.items[0], "a,b");
    assert_int_equal(s.models.n, 2);
    assert_string_equal(s.models.items[1], "n=o");
    assert_int_equal(s.adapters.n, 2);
    assert_string_equal(s.adapters.items[1], "d=e@f");
    assert_true(s.no_auth);
    assert_true(s.memory == 2ULL << 30);
    assert_null(s.data);
    settings_done(&s);
    setenv("STINT_CONFIG", config, 1);
    s = read_good(NULL, NULL);
    assert_int_equal(s.ctx, 2);
    assert_int_equal(s.max_live, 3);
    settings_done(&s);
    unsetenv("STINT_CONFIG");
    unsetenv("STINT_CTX");
    unsetenv("STINT_THREADS");
    unsetenv("STINT_ADAPTER");
}

static void flag_refused(const char *word, const char *message)
{
    const char *const words[] = {word, NULL};
    refused(words, NULL, message, "");
}

static void test_bad_values(void **state)
{
    (void)state;
    flag_refused("ctx=12x", "--ctx: expected a whole number from 0 to");
    flag_refused("ctx=", "--ctx");
    flag_refused("ctx=-1", "got '-1'");
    flag_refused("threads=99999999999999999999999", "--threads");
    flag_refused("max-waiting=0", "from 1 to 1000000");
    flag_refused("max-body=1", "--max-body: expected a size");
    flag_refused("memory=9999999999999G", "--memory");
    flag_refused("memory=1X", "--memory");
    flag_refused("memory=1Gi", "--memory");
    flag_refused("log-level=loud", "one of error|warning|info|debug, got 'loud'");
    flag_refused("log-level=error|warning", "one of error|warning|info|debug");
    flag_refused("data=", "--data: expected a value");
    flag_refused("task=", "--task: expected a value");
    flag_refused("listen=nowhere", "listen: expected HOST:PORT");
    flag_refused("listen=:80", "listen: expected HOST:PORT");
    flag_refused("listen=1.2.3.4:65536", "listen: expected HOST:PORT");
    flag_refused("tls-cert=x", "both are needed");
    flag_refused("tls-client-ca=x", "needs tls-cert");
}

static void test_good_values(void **state)
{
    static const char *const words[] = {"memory=8GiB", "kv-memory=1024K",
                                        "max-body=2M", "listen=[::1]:0",
                                        "no-auth=",    NULL};
    (void)state;
    settings s = read_good(words, NULL);
    assert_true(s.memory == 8ULL << 30);
    assert_int_equal(s.kv_memory, 1 << 20);
    assert_int_equal(s.max_body, 2 << 20);
    assert_string_equal(s.listen, "[::1]:0");
    assert_true(s.no_auth);
    settings_done(&s);
}

static void file_refused(const char *text, const char *message, const char *hint)
{
    write_config(text);
    refused(NULL, config, message, hint);
}

static void test_bad_files(void **state)
{
    (void)state;
    file_refused("ctx: 1\nlisen: x\n", "s.yaml:2:1: no setting 'lisen' is known",
                 "did you mean 'listen'?");
    file_refused("- ctx\n", "expected a mapping", "");
    file_refused("ctx: [1]\n", "s.yaml:1:6: ctx: expected one value, got a list", "");
    file_refused("ctx: x\n", "s.yaml:1:6: ctx: expected a whole number", "");
    file_refused("no-auth: maybe\n", "expected true or false, got 'maybe'", "");
    file_refused("ctx: 1\nctx: 2\n", "s.yaml:2", "");
    file_refused("task:\n  - a\n  - {b: c}\n", "s.yaml:3", "");
    file_refused("api-keys: f\nno-auth: true\n", "contradicts", "");
    settings s;
    st_err err = {0};
    assert_int_equal(settings_read(of_words, NULL, "/nowhere.yaml", &s, &err),
                     ST_ENOTFOUND);
}

static void test_environment(void **state)
{
    (void)state;
    setenv("STINT_LISEN", "x", 1);
    refused(NULL, NULL, "STINT_LISEN: no such setting is known",
            "did you mean 'STINT_LISTEN'?");
    unsetenv("STINT_LISEN");
    setenv("STINT_NO_AUTH", "perhaps", 1);
    refused(NULL, NULL, "STINT_NO_AUTH: expected true or false", "");
    setenv("STINT_NO_AUTH", "off", 1);
    setenv("STINT_SERVICE_HOST", "10.0.0.1", 1); /* as Kubernetes puts in */
    setenv("STINT_PORT_8080_TCP", "tcp://10.0.0.1:8080", 1);
    settings s = read_good(NULL, NULL);
    assert_false(s.no_auth);
    settings_done(&s);
    unsetenv("STINT_NO_AUTH");
    unsetenv("STINT_SERVICE_HOST");
    unsetenv("STINT_PORT_8080_TCP");
    setenv("STINT_TASK", "a,,b", 1);
    refused(NULL, NULL, "STINT_TASK: expected a value", "");
    unsetenv("STINT_TASK");
}

static void test_port(void **state)
{
    static const char *const flag[] = {"listen=9000", NULL};
    static const char *const open[] = {"no-auth=", NULL};
    (void)state;
    setenv("PORT", "3000", 1);
    write_config("listen: 127.0.0.1:1\n");
    settings s = read_good(NULL, config);
    assert_string_equal(s.listen, "127.0.0.1:3000");
    settings_done(&s);
    s = read_good(flag, config);
    assert_string_equal(s.listen, "127.0.0.1:9000");
    settings_done(&s);
    s = read_good(open, NULL);
    assert_string_equal(s.listen, "0.0.0.0:3000");
    settings_done(&s);
    setenv("PORT", "http", 1);
    refused(NULL, NULL, "PORT: expected a port", "");
    unsetenv("PORT");
}

static void test_secret(void **state)
{
    (void)state;
    setenv("STINT_API_KEY", "short", 1);
    refused(NULL, NULL, "STINT_API_KEY: expected 16 to 256 characters", "");
    setenv("STINT_API_KEY", "0123456789abcdef", 1);
    settings s = read_good(NULL, NULL);
    assert_string_equal(s.api_key, "0123456789abcdef");
    settings_done(&s);
    unsetenv("STINT_API_KEY");
    setenv("STINT_API_KEY_FILE", config, 1);
    write_config("fedcba9876543210\n");
    s = read_good(NULL, NULL);
    assert_string_equal(s.api_key, "fedcba9876543210");
    settings_done(&s);
    write_config("fedcba98 76543210\n");
    settings unread;
    st_err err = {0};
    assert_int_equal(settings_read(of_words, NULL, NULL, &unread, &err), ST_EINVAL);
    assert_null(strstr(err.message, "fedcba"));
    unsetenv("STINT_API_KEY_FILE");
    const char *const words[] = {"api-key=0123456789abcdef", NULL};
    s = read_good(words, NULL); /* is no flag */
    assert_null(s.api_key);
    settings_done(&s);
}

static void test_rows(void **state)
{
    size_t n = 0;
    (void)state;
    for (const setting_row *r = setting_rows; r->flag; r++, n++) {
        assert_true(*r->about && r->about[strlen(r->about) - 1] == '.');
        assert_string_not_equal(r->flag, "api-key");
        char flag[64];
        snprintf(flag, sizeof flag, "`--%s%s%s`", r->flag, r->value ? " " : "",
                 r->value ? r->value : "");
        if (!strchr(flag, '|')) /* which a table of Markdown escapes */
            documented(flag);
    }
    assert_true(n > 20);
}

static int read_all(void *arg)
{
    static const char *const words[] = {"task=a", "task=b", "listen=7", "trace=t", NULL};
    settings s;
    st_err err = {0};
    int rc = settings_read(of_words, words, arg, &s, &err);
    if (!rc)
        settings_done(&s);
    return rc;
}

static void test_no_memory(void **state)
{
    (void)state;
    write_config("model: [m]\nlog-level: debug\n");
    assert_true(fault_sweep(read_all, config, 1) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_flag_beats_environment_beats_file),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_good_values),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_port),
        cmocka_unit_test(test_secret),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
