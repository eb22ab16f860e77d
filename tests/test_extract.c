/* tests/test_extract.c - extraction: fields, relations and checks of an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "task/checks.h"
#include "task/rules.h"
#include "tests/fault.h"
#include <stdio.h>
#include <string.h>

static fields read_fields(const char *text)
{
    st_err err = {0};
    fields f;
    if (fields_read(text, strlen(text), &f, &err))
        fail_msg("%s: %s", text, err.message);
    return f;
}

/* ---- fields ---- */

static void fields_are_listed(void **state)
{
    static const char text[] =
        "{\"a\": \"x\\n\\u00e9\\ud83d\\ude00\", \"b\": {\"c/d\": -1.50, \"e~\": null},\n"
        " \"f\": [true, {\"g\": []}], \"\": {}}";
    static const struct {
        const char *pointer, *value;
        bool field;
    } wanted[] = {
        {"", NULL, false},        {"/a", "x\n\xC3\xA9\xF0\x9F\x98\x80", true},
        {"/b", NULL, false},      {"/b/c~1d", "-1.50", true},
        {"/b/e~0", "null", true}, {"/f", "[true, {\"g\": []}]", true},
        {"/f/0", "true", false},  {"/f/1", NULL, false},
        {"/f/1/g", "[]", false},  {"/", NULL, false},
    };
    (void)state;
    fields f = read_fields(text);
    assert_int_equal(f.n, ST_COUNT(wanted));
    for (uint32_t i = 0; i < f.n; i++) {
        st_buf value;
        st_buf_init(&value, 1000);
        assert_string_equal(fields_pointer(&f, i), wanted[i].pointer);
        assert_int_equal(fields_is(&f, i), wanted[i].field);
        assert_int_equal(fields_value(&f, i, &value), 0);
        if (wanted[i].value)
            assert_string_equal(value.data, wanted[i].value);
        st_buf_done(&value);
    }
    assert_int_equal(f.at[3].from, f.at[1].end);
    assert_int_equal(f.at[4].parent, 2);
    assert_true(f.at[8].inside && f.at[8].parent == 7);
    fields_done(&f);
}

static void fields_refuse_what_is_no_json(void **state)
{
    static const char *const bad[] = {"",      "{",        "{\"a\"",   "{\"a\":", "[1,",
                                      "{a:1}", "\"x",      "[1]]",     "{} {}",   "\"\\",
                                      "[1 2]", "{\"a\":}", "{\"a\" 1}"};
    char deep[600];
    (void)state;
    for (size_t i = 0; i < ST_COUNT(bad); i++) {
        st_err err = {0};
        fields f;
        size_t len = strlen(bad[i]);
        char *copy = st_dup(bad[i], len); /* so that reading past the end shows */
        assert_int_equal(fields_read(copy, len, &f, &err), ST_EFORMAT);
        st_free(copy);
    }
    memset(deep, '[', sizeof deep);
    st_err err = {0};
    fields f;
    assert_int_equal(fields_read(deep, sizeof deep, &f, &err), ST_ELIMIT);
}

static fields_count compare(const char *given, const char *wanted, const char *right)
{
    st_err err = {0};
    fields_count count = {0};
    bool is_right[32];
    fields a = read_fields(given);
    fields b = read_fields(wanted);
    assert_int_equal(fields_compare(&a, &b, &count, is_right, &err), 0);
    for (uint32_t i = 0; i < a.n; i++)
        assert_int_equal(is_right[i], right[i] == '1');
    fields_done(&b);
    fields_done(&a);
    return count;
}

static void fields_are_compared_as_units(void **state)
{
    (void)state;
    fields_count c =
        compare("{\"a\": \" x  y\", \"b\": 1.50}", "{\"b\":1.5,\"a\":\"x y\"}", "011");
    assert_true(c.hits == 2 && c.given == 2 && c.wanted == 2);
    /* an array is a set; a null is nothing; a missing one is wanted */
    c = compare("{\"a\": [\"x\", \"y\"], \"b\": null}",
                "{\"a\": [\"y\", \"x\"], \"b\": 2}", "01000");
    assert_true(c.hits == 2 && c.given == 2 && c.wanted == 3);
    /* one item too many, one too few, and a field that nobody asked for */
    c = compare("{\"a\": [1, 1], \"b\": [1]}", "{\"a\": [1], \"b\": [1, 2]}", "0000000");
    assert_true(c.hits == 2 && c.given == 3 && c.wanted == 3);
    c = compare("{\"z\": 1}", "{}", "00");
    assert_true(c.hits == 0 && c.given == 1 && c.wanted == 0);
    /* a number is no text, and the same value elsewhere is another unit */
    c = compare("{\"a\": \"1\", \"b\": {\"c\": 2}}", "{\"a\": 1, \"c\": 2}", "0000");
    assert_true(c.hits == 0);
    c = compare("{\"a\": [{\"x\": 1}]}", "{\"a\": [{\"x\":1}]}", "0100");
    assert_true(c.hits == 1);
    assert_true(fields_f1(&(fields_count){2, 3, 3}) > 0.66);
}

static void pointers_match_forms(void **state)
{
    (void)state;
    assert_true(fields_match("/a/b", "/a/b"));
    assert_true(fields_match("/a/*/b", "/a/12/b"));
    assert_false(fields_match("/a/*", "/a"));
    assert_false(fields_match("/a/*", "/a/1/b"));
    assert_false(fields_match("/a*", "/ab"));
    assert_false(fields_match("/a", "/ab"));
    assert_true(fields_match("", ""));
}

/* ---- relations ---- */

static bool relation_on(const char *text, const char *object, double within, char *why,
                        size_t size)
{
    st_err err = {0};
    relation *r;
    bool holds = false;
    fields f = read_fields(object);
    if (relation_parse(text, &r, &err))
        fail_msg("%s: %s", text, err.message);
    assert_int_equal(relation_holds(r, within, &f, &holds, why, size, &err), 0);
    relation_free(r);
    fields_done(&f);
    return holds;
}

static void relations_hold_or_say_why(void **state)
{
    static const char order[] =
        "{\"net\": 0.1, \"tax\": 0.2, \"total\": 0.3, \"from\": \"2024-02-29\", \"to\": "
        "\"2024-03-01\", \"n\": null, \"yes\": true, \"text\": \"12.50\", \"items\": "
        "[{\"price\": 2, \"n\": 3}, {\"price\": 0.5, \"n\": 1}]}";
    static const struct {
        const char *text;
        double within;
        bool holds;
        const char *why;
    } cases[] = {
        {"/total == /net + /tax", 0, true, ""},
        {"/total == /net + /tax - 1", 0, false, "0.3 is not == -0.7"},
        {"/total==0.31", 0.02, true, ""},
        {"/total == 0.4", 0.02, false, "0.3 is not == 0.4"},
        {"/total != 0.3", 1, false, "0.3 is not != 0.3"},
        {"/from < /to", 0, true, ""},
        {"/from >= /to", 0, false, "'2024-02-29' is not >= '2024-03-01'"},
        {"/from == '2024-02-29'", 0, true, ""},
        {"/n > 5", 0, true, ""},
        {"/missing + 1 == 7", 0, true, ""},
        {"/yes > 1", 0, false, "/yes is not a number"},
        {"/from + 1 > 1", 0, false, "/from is not a number"},
        {"/text * 2 == 25", 0, true, ""},
        {"sum(/items/*/price) == 2.5", 0, true, ""},
        {"count(/items) * (1 + 2) == 6", 0, true, ""},
        {"count(/items/*/n) == 3", 0, false, "2 is not == 3"},
        {"(/total + 0.2) * 2 >= 1", 0, true, ""},
        {"1 - /total - 0.3 <= 0.4", 0, true, ""},
        {"sum(/from) == 1", 0, false, "/from is not a number"},
        {"count(/from) == 1", 0, false, "/from is not a number"},
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        char why[160] = "";
        bool holds = relation_on(cases[i].text, order, cases[i].within, why, sizeof why);
        if (holds != cases[i].holds || strcmp(why, cases[i].why))
            fail_msg("%s: %d '%s'", cases[i].text, holds, why);
    }
}

static void relations_are_refused_with_their_place(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "at character 1: expected a field, a number"},
        {"/a", "at character 3: expected ==, !="},
        {"/a = 1", "at character 4: expected =="},
        {"/a == ", "at character 7: expected a field"},
        {"/a == 1 2", "at character 9: expected the end"},
        {"(/a == 1", "at character 5: expected ')'"},
        {"/a/*/b == 1", "at character 1: expected one field"},
        {"sum(a) == 1", "at character 5: expected a field"},
        {"/a == 'x", "at character 7: expected a text that ends"},
        {"1 == 1", "names no field"},
        {"((((((((((((((((((/a))))))))))))))))))==1", "fewer parentheses"},
        {"/a+/b == 1 == 2", "at character 12: expected the end"},
        {"/a == nan", "at character 7: expected a field"},
    };
    char many[1000] = "/a";
    (void)state;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        st_err err = {0};
        relation *r = NULL;
        assert_int_equal(relation_parse(cases[i].text, &r, &err), ST_EINVAL);
        if (!strstr(err.message, cases[i].why))
            fail_msg("%s: %s", cases[i].text, err.message);
    }
    for (int i = 0; i < 80; i++)
        (void)snprintf(many + strlen(many), sizeof many - strlen(many), " + 1");
    st_err err = {0};
    relation *r;
    assert_int_equal(relation_parse(many, &r, &err), ST_EINVAL);
    assert_non_null(strstr(err.message, "more than 64 parts"));
}

/* ---- checks ---- */

static uint32_t faults_of(const check *checks, uint32_t n, const char *input,
                          const char *object, check_fault *faults)
{
    st_err err = {0};
    uint32_t n_faults;
    fields f = read_fields(object);
    assert_int_equal(
        checks_run(checks, n, input, strlen(input), &f, faults, &n_faults, &err), 0);
    fields_done(&f);
    return n_faults;
}

static void verbatim_means_whole_words(void **state)
{
    static const struct {
        const char *input, *object;
        bool holds;
    } cases[] = {
        {"order AB-1234 today", "{\"x\": \"AB-1234\"}", true},
        {"order AB-1234 today", "{\"x\": \"AB-123\"}", false},
        {"order AB-1234 today", "{\"x\": \"B-1234\"}", false},
        {"order AB-1234 today", "{\"x\": \"ab-1234\"}", false},
        {"Grüße an Müller.", "{\"x\": \"Müller\"}", true},
        {"Grüße an Müllerin", "{\"x\": \"Müller\"}", false},
        {"it costs $12.50.", "{\"x\": 12.5}", true},
        {"it costs 12,50 EUR", "{\"x\": 12.5}", true},
        {"it costs 1,250.00", "{\"x\": 1250}", true},
        {"it costs 12.50", "{\"x\": 12}", false},
        {"it costs 12.50", "{\"x\": 2.5}", false},
        {"no number here", "{\"x\": 0}", false},
        {"red and blue", "{\"x\": [\"red\", \"blue\"]}", true},
        {"red and blue", "{\"x\": [\"red\", \"green\"]}", false},
        {"red and blue", "{\"x\": null}", true},
        {"red and blue", "{}", true},
        {"red and blue", "{\"x\": \"\"}", true},
        {"red and blue", "{\"x\": true}", false},
    };
    const check c = {.text = "/x", .verbatim = true};
    check_fault faults[CHECK_MAX_FAULTS];
    (void)state;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        uint32_t n = faults_of(&c, 1, cases[i].input, cases[i].object, faults);
        if (n != !cases[i].holds)
            fail_msg("%s in %s: %u", cases[i].object, cases[i].input, n);
    }
}

static void faults_name_check_field_and_reason(void **state)
{
    st_err err = {0};
    check checks[] = {
        {.text = "/n", .has_min = true, .min = 1, .has_max = true, .max = 3},
        {.text = "/id", .pattern = "^[A-Z]+$"},
        {.text = "/items/*/n", .has_max = true, .max = 9},
        {.text = "/items", .has_min = true, .min = 3},
        {.text = "/n == /m"},
    };
    check_fault faults[CHECK_MAX_FAULTS];
    (void)state;
    assert_int_equal(rule_compile(checks[1].pattern, &checks[1].matches, &err), 0);
    assert_int_equal(relation_parse(checks[4].text, &checks[4].rule, &err), 0);
    uint32_t n = faults_of(checks, ST_COUNT(checks), "",
                           "{\"n\": 4, \"id\": \"aB\", \"items\": [{\"n\": 1}, {\"n\": "
                           "10}], \"m\": 5}",
                           faults);
    assert_int_equal(n, 5);
    assert_string_equal(faults[0].why, "4 is more than 3");
    assert_string_equal(faults[1].why, "'aB' does not match ^[A-Z]+$");
    assert_string_equal(faults[2].why, "10 is more than 9");
    assert_string_equal(faults[3].why, "2 is less than 3");
    assert_true(faults[4].check == 4 && !faults[4].field);
    assert_string_equal(faults[4].why, "4 is not == 5");
    n = faults_of(checks, ST_COUNT(checks), "",
                  "{\"n\": 2, \"id\": \"AB\", \"items\": [1, 2, 3]}", faults);
    assert_int_equal(n, 0);
    checks_done(checks, ST_COUNT(checks));
}

/* ---- running out of memory ---- */

static int look_once(void *arg)
{
    (void)arg;
    st_err err = {0};
    fields f = {0};
    fields_count count = {0};
    check_fault faults[CHECK_MAX_FAULTS];
    uint32_t n;
    check checks[2] = {{.text = "/a", .verbatim = true}, {.text = "/a == sum(/b/*)"}};
    int rc = relation_parse(checks[1].text, &checks[1].rule, &err);
    static const char text[] = "{\"a\": \"x\", \"b\": [1, 2]}";
    if (rc == 0)
        rc = fields_read(text, strlen(text), &f, &err);
    if (rc == 0)
        rc = fields_compare(&f, &f, &count, NULL, &err);
    if (rc == 0)
        rc = checks_run(checks, 2, "x", 1, &f, faults, &n, &err);
    fields_done(&f);
    checks_done(checks, 2);
    return rc;
}

static void memory_running_out_is_an_error(void **state)
{
    (void)state;
    assert_true(fault_sweep(look_once, NULL, 1) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_listed),
        cmocka_unit_test(fields_refuse_what_is_no_json),
        cmocka_unit_test(fields_are_compared_as_units),
        cmocka_unit_test(pointers_match_forms),
        cmocka_unit_test(relations_hold_or_say_why),
        cmocka_unit_test(relations_are_refused_with_their_place),
        cmocka_unit_test(verbatim_means_whole_words),
        cmocka_unit_test(faults_name_check_field_and_reason),
        cmocka_unit_test(memory_running_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
