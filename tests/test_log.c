/* tests/test_log.c - log lines and timelines are JSON whatever goes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "serve/log.h"
#include "serve/trace.h"
#include "tests/fault.h"
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int ends[2];

static json_t *line(void)
{
    char text[8192];
    ssize_t n = read(ends[0], text, sizeof text);
    assert_true(n > 1 && text[n - 1] == '\n');
    assert_null(memchr(text, '\n', (size_t)n - 1));
    json_error_t err;
    json_t *row = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &err);
    if (!row)
        fail_msg("%s: %.*s", err.text, (int)n, text);
    return row;
}

static const char *of(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text ? text : "(none)";
}

static void test_lines(void **state)
{
    logger l = {ends[1], LOG_INFO};
    (void)state;
    log_event(&l, LOG_DEBUG, "hidden", "not written");
    log_event(&l, LOG_INFO, "start", "a \"quoted\"\n\x01 \\ caf\xC3\xA9 \xFF %d", 7);
    json_t *row = line();
    assert_string_equal(of(row, "event"), "start");
    assert_string_equal(of(row, "level"), "info");
    assert_string_equal(of(row, "message"), "a \"quoted\"\n\x01 \\ caf\xC3\xA9 ? 7");
    assert_int_equal(strlen(of(row, "time")), strlen("2026-11-21T20:53:50.123Z"));
    json_decref(row);
    st_err err = {0};
    st_err_set(&err, ST_EIO, "disk: broken");
    st_err_hint(&err, "buy one");
    log_failure(&l, LOG_ERROR, "load", &err);
    row = line();
    assert_string_equal(of(row, "message"), "disk: broken");
    assert_string_equal(of(row, "hint"), "buy one");
    assert_string_equal(of(row, "kind"), "input or output failed");
    json_decref(row);
}

static void test_long_texts_are_cut(void **state)
{
    logger l = {ends[1], LOG_INFO};
    char *text = malloc(10000);
    (void)state;
    for (int fill = 0; fill < 3; fill++) {
        memset(text, "a\x01\xC3"[fill], 9999);
        text[9999] = '\0';
        log_event(&l, LOG_INFO, text, "%s", text);
        json_decref(line());
        log_request_row r = {.id = text,
                             .method = text,
                             .route = text,
                             .code = text,
                             .key = text,
                             .client = text,
                             .model = text,
                             .finish = text};
        log_request(&l, &r);
        json_decref(line());
    }
    free(text);
}

static void test_requests(void **state)
{
    logger l = {ends[1], LOG_INFO};
    log_request_row r = {.id = "r1",
                         .method = "POST",
                         .route = "/v1/tasks/{task}",
                         .status = 200,
                         .key = "ci",
                         .model = "triage",
                         .n_prompt = 60,
                         .n_cached = 40,
                         .total_us = 1500};
    (void)state;
    log_request(&l, &r);
    json_t *row = line();
    assert_string_equal(of(row, "route"), "/v1/tasks/{task}");
    assert_int_equal(json_integer_value(json_object_get(row, "status")), 200);
    assert_true(json_number_value(json_object_get(row, "ms")) == 1.5);
    assert_int_equal(json_integer_value(json_object_get(row, "cached_tokens")), 40);
    assert_null(json_object_get(row, "code"));
    json_decref(row);
    l.level = LOG_WARNING;
    log_request(&l, &r); /* left out */
    r.status = 503;
    log_request(&l, &r);
    row = line();
    assert_string_equal(of(row, "level"), "warning");
    json_decref(row);
}

static void test_levels(void **state)
{
    log_level level = LOG_ERROR;
    (void)state;
    assert_true(log_level_of("debug", &level) && level == LOG_DEBUG);
    assert_false(log_level_of("loud", &level));
    assert_int_equal(level, LOG_DEBUG);
}

/* The only file of the folder, parsed and removed. */
static json_t *only_file(const char *folder)
{
    char path[600] = "";
    DIR *dir = opendir(folder);
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.') {
            assert_string_equal(path, "");
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        }
    closedir(dir);
    json_error_t why;
    json_t *all = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    if (!all)
        fail_msg("%s: %s", path, why.text);
    unlink(path);
    return all;
}

static void test_timeline(void **state)
{
    char folder[] = "/tmp/stint-trace-XXXXXX";
    st_err err = {0};
    (void)state;
    assert_non_null(mkdtemp(folder));
    trace *t = trace_begin(st_clock_us());
    trace_mark(t, "queued");
    trace_mark(t, "prefill");
    trace_number(t, "prompt tokens", 60);
    trace_bar(t, "between", 5, 12);
    assert_int_equal(trace_end(t, folder, "../\"x", "/v1/tasks/{task}", &err), 0);
    json_t *all = only_file(folder);
    const json_t *events = json_object_get(all, "traceEvents");
    assert_int_equal(json_array_size(events), 4);
    const json_t *bar = json_array_get(events, 3);
    assert_int_equal(json_integer_value(json_object_get(bar, "dur")), 7);
    assert_int_equal(json_integer_value(json_object_get(bar, "ts")), 5);
    assert_string_equal(of(json_array_get(events, 0), "name"), "/v1/tasks/{task}");
    assert_string_equal(of(json_array_get(events, 2), "name"), "prefill");
    const json_t *args = json_object_get(json_array_get(events, 0), "args");
    assert_string_equal(of(args, "id"), "____x");
    assert_int_equal(json_integer_value(json_object_get(args, "prompt tokens")), 60);
    json_decref(all);
    t = trace_begin(st_clock_us());
    for (int i = 0; i < TRACE_MAX_MARKS + 5; i++)
        trace_mark(t, "token");
    for (int i = 0; i < 100; i++)
        trace_number(t, i ? "n" : "m", 1);
    trace_free(t);
    assert_int_equal(trace_end(NULL, folder, "x", "r", &err), ST_ENOMEM);
    t = trace_begin(0);
    err = (st_err){0};
    assert_int_equal(trace_end(t, "/nowhere/at/all", "x", "r", &err), ST_EIO);
    rmdir(folder);
}

static int one_timeline(void *arg)
{
    st_err err = {0};
    trace *t = trace_begin(1);
    trace_mark(t, "a");
    int rc = trace_end(t, arg, "id", "r", &err);
    if (!rc)
        json_decref(only_file(arg));
    return rc;
}

static void test_no_memory(void **state)
{
    char folder[] = "/tmp/stint-trace-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_true(fault_sweep(one_timeline, folder, 1) > 2);
    rmdir(folder);
}

static int setup(void **state)
{
    (void)state;
    return pipe(ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),    cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_requests), cmocka_unit_test(test_levels),
        cmocka_unit_test(test_timeline), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
