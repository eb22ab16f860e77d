/* tests/test_problem.c - places of fields, and problems in every dialect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "serve/param.h"
#include "serve/problem.h"
#include "tests/documented.h"
#include "tests/fault.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void answer_is(const problems *p, dialect d, unsigned status, const char *want)
{
    size_t len = 0;
    char *body = problems_body(p, d, &len);
    assert_non_null(body);
    assert_string_equal(body, want);
    assert_int_equal(len, strlen(want));
    assert_int_equal(problems_status(p, d), status);
    st_free(body);
}

static void test_one(void **state)
{
    problems p = {0};
    (void)state;
    problems_add(&p, PROBLEM_COUNT, "questions.s.criteria",
                 "needs %d to %d levels, got %d", 2, 10, 1);
    problems_code(&p, "too_short");
    answer_is(&p, DIALECT_TYPESAFE, 422,
              "{\"detail\":[{\"loc\":[\"body\",\"questions\",\"s\",\"criteria\"],"
              "\"msg\":\"needs 2 to 10 levels, got 1\",\"type\":\"too_short\"}]}");
    answer_is(&p, DIALECT_OPENAI, 400,
              "{\"error\":{\"message\":\"questions.s.criteria: needs 2 to 10 levels, got "
              "1\",\"type\":\"invalid_request_error\",\"param\":\"questions.s.criteria\","
              "\"code\":\"too_short\"}}");
    answer_is(&p, DIALECT_KSERVE, 400,
              "{\"error\":\"questions.s.criteria: needs 2 to 10 levels, got 1\"}");
    json_t *one = problem_json(&p.list[0]);
    assert_string_equal(json_string_value(json_object_get(one, "code")), "too_short");
    assert_string_equal(json_string_value(json_object_get(one, "message")),
                        "questions.s.criteria: needs 2 to 10 levels, got 1");
    json_decref(one);
    problems_done(&p);
}

static void test_keys(void **state)
{
    static const struct {
        problem_kind kind;
        dialect dialect;
        unsigned status;
        const char *want;
    } table[] = {
        {PROBLEM_NO_KEY, DIALECT_OPENAI, 401,
         "{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\","
         "\"param\":null,\"code\":\"invalid_api_key\"}}"},
        {PROBLEM_NO_KEY, DIALECT_TYPESAFE, 403,
         "{\"detail\":{\"error_type\":\"authentication_error\",\"message\":\"m\"}}"},
        {PROBLEM_BAD_KEY, DIALECT_TYPESAFE, 401,
         "{\"detail\":{\"error_type\":\"authentication_error\",\"message\":\"m\"}}"},
        {PROBLEM_NO_MODEL, DIALECT_OPENAI, 404,
         "{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\","
         "\"param\":null,\"code\":\"model_not_found\"}}"},
        {PROBLEM_DRAINING, DIALECT_TYPESAFE, 529,
         "{\"detail\":{\"error_type\":\"overloaded_error\",\"message\":\"m\"}}"},
        {PROBLEM_DRAINING, DIALECT_KSERVE, 503, "{\"error\":\"m\"}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        problems p = {0};
        problems_add(&p, table[i].kind, "", "m");
        answer_is(&p, table[i].dialect, table[i].status, table[i].want);
        problems_done(&p);
    }
}

static void test_every_kind_has_a_row(void **state)
{
    (void)state;
    for (problem_kind k = 0; k < PROBLEM_KINDS; k++)
        for (dialect d = DIALECT_OPENAI; d <= DIALECT_KSERVE; d++) {
            assert_in_range(problem_status(k, d), 400, 599);
            assert_true(*problem_code(k, d));
            char row[128];
            snprintf(row, sizeof row, "| %u `%s` |", problem_status(k, d),
                     problem_code(k, d));
            documented(row);
        }
}

static void test_several(void **state)
{
    problems p = {0};
    (void)state;
    problems_add(&p, PROBLEM_TYPE, "a[0].b", "expected a string, got null");
    problems_add(&p, PROBLEM_UNKNOWN, "c", "no such field is known");
    problems_add(&p, PROBLEM_NO_MODEL, "model", "none");
    answer_is(
        &p, DIALECT_OPENAI, 400,
        "{\"error\":{\"message\":\"a[0].b: expected a string, got null; c: no such "
        "field is known; model: none\",\"type\":\"invalid_request_error\","
        "\"param\":\"a[0].b\",\"code\":\"invalid_type\",\"errors\":["
        "{\"message\":\"expected a string, got null\",\"param\":\"a[0].b\","
        "\"code\":\"invalid_type\"},"
        "{\"message\":\"no such field is known\",\"param\":\"c\","
        "\"code\":\"unknown_parameter\"},"
        "{\"message\":\"none\",\"param\":\"model\",\"code\":\"model_not_found\"}]}}");
    answer_is(&p, DIALECT_TYPESAFE, 422,
              "{\"detail\":[{\"loc\":[\"body\",\"a\",0,\"b\"],\"msg\":\"expected a "
              "string, got null\",\"type\":\"type_error\"},{\"loc\":[\"body\",\"c\"],"
              "\"msg\":\"no such field is known\",\"type\":\"extra_forbidden\"}]}");
    problems_done(&p);
}

static void test_more_than_fit(void **state)
{
    problems p = {0};
    (void)state;
    for (int i = 0; i < PROBLEMS_MAX + 3; i++)
        problems_add(&p, PROBLEM_VALUE, "x", "number %d", i);
    problems_code(&p, "of_the_last"); /* which found no room */
    assert_int_equal(p.n, PROBLEMS_MAX);
    assert_int_equal(p.n_more, 3);
    assert_null(p.list[PROBLEMS_MAX - 1].code);
    char *body = problems_body(&p, DIALECT_KSERVE, NULL);
    assert_non_null(strstr(body, "; x: number 63; and 3 more\"}"));
    st_free(body);
    problems_done(&p);
}

static void test_text_that_is_none(void **state)
{
    problems p = {0};
    (void)state;
    problems_add(&p, PROBLEM_VALUE, "n\xC3", "%s", "caf\xC3\xA9 \xFF\xC3");
    answer_is(&p, DIALECT_KSERVE, 400, "{\"error\":\"n?: caf\xC3\xA9 ??\"}");
    problems_done(&p);
    char *text = malloc(5000);
    memset(text, 'a', 4999);
    text[4999] = '\0';
    problems_add(&p, PROBLEM_VALUE, "", "%s", text);
    assert_in_range(strlen(p.list[0].message), 500, 4000);
    free(text);
    problems_done(&p);
}

static void test_from_errors(void **state)
{
    problems p = {0};
    st_err err = {0};
    (void)state;
    st_err_set(&err, ST_ELIMIT, "900 tokens, the context holds 512");
    st_err_hint(&err, "shorten it");
    problems_from(&p, "input", &err);
    assert_int_equal(p.list[0].kind, PROBLEM_TOO_LONG);
    assert_string_equal(p.list[0].message,
                        "900 tokens, the context holds 512; shorten it");
    assert_int_equal(problems_status(&p, DIALECT_OPENAI), 400);
    problems_done(&p);
    assert_int_equal(problem_of_code(ST_EBUSY), PROBLEM_BUSY);
    assert_int_equal(problem_of_code(ST_ETIMEOUT), PROBLEM_DEADLINE);
    assert_int_equal(problem_of_code(ST_ENOTFOUND), PROBLEM_NO_MODEL);
    assert_int_equal(problem_of_code(ST_ENOMEM), PROBLEM_SERVER);
    assert_int_equal(problem_of_code(ST_EIO), PROBLEM_SERVER);
}

static void loc_is(const char *param, const char *want)
{
    json_t *loc = param_loc(param);
    char *text = json_dumps(loc, JSON_COMPACT);
    assert_string_equal(text, want);
    free(text);
    json_decref(loc);
}

static void test_params(void **state)
{
    char at[PROBLEM_PARAM_MAX];
    (void)state;
    param_name(at, "", "messages");
    param_index(at, at, 12);
    param_name(at, at, "content");
    assert_string_equal(at, "messages[12].content");
    loc_is(at, "[\"body\",\"messages\",12,\"content\"]");
    param_name(at, "questions", "a.b\"]\\[0]");
    assert_string_equal(at, "questions[\"a.b\\\"]\\\\[0]\"]");
    param_name(at, at, "x");
    loc_is(at, "[\"body\",\"questions\",\"a.b\\\"]\\\\[0]\",\"x\"]");
    param_name(at, "", "");
    loc_is(at, "[\"body\",\"\"]");
    loc_is("", "[\"body\"]");
    /* written by hand, and badly */
    loc_is("a..", "[\"body\",\"a\",\"\",\"\"]");
    loc_is("[", "[\"body\",0]");
    loc_is("[\"a", "[\"body\",\"a\"]");
    loc_is("\xFF.b", "[\"body\",\"?\",\"b\"]");
}

static void test_long_param_is_cut(void **state)
{
    char at[PROBLEM_PARAM_MAX];
    (void)state;
    param_name(at, "", "a");
    for (int i = 0; i < 100; i++)
        param_name(at, at, "\xC3\xA9\xC3\xA9"); /* ends wherever a letter may be cut */
    size_t n = strlen(at);
    assert_in_range(n, PROBLEM_PARAM_MAX - 10, PROBLEM_PARAM_MAX - 1);
    assert_string_equal(at + n - 3, "...");
    json_t *loc = param_loc(at);
    assert_true(json_array_size(loc) > 10);
    json_decref(loc);
}

static int whole_answer(void *arg)
{
    problems p = {0};
    char at[PROBLEM_PARAM_MAX];
    param_name(at, "a", "b c");
    problems_add(&p, PROBLEM_TYPE, at, "wrong");
    problems_code(&p, "mine");
    problems_add(&p, PROBLEM_NO_MODEL, "model", "none");
    char *body = problems_body(&p, *(dialect *)arg, NULL);
    json_t *one = p.n ? problem_json(&p.list[0]) : NULL;
    int rc = body && one && !p.out_of_memory ? 0 : ST_ENOMEM;
    if (p.out_of_memory)
        assert_int_equal(problems_status(&p, *(dialect *)arg), 500);
    st_free(body);
    json_decref(one);
    problems_done(&p);
    return rc;
}

static void test_no_memory(void **state)
{
    (void)state;
    json_set_alloc_funcs(malloc, free);
    for (dialect d = DIALECT_OPENAI; d <= DIALECT_KSERVE; d++)
        assert_true(fault_sweep(whole_answer, &d, 1) > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_every_kind_has_a_row),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_more_than_fit),
        cmocka_unit_test(test_text_that_is_none),
        cmocka_unit_test(test_from_errors),
        cmocka_unit_test(test_params),
        cmocka_unit_test(test_long_param_is_cut),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
