/* tests/test_extract.c - extraction: fields, relations and checks of an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/file.h"
#include "grammar/grammar.h"
#include "task/checks.h"
#include "task/data.h"
#include "task/draft.h"
#include "task/extract_fit.h"
#include "task/extraction.h"
#include "task/outline.h"
#include "task/rules.h"
#include "task/verbatim.h"
#include "tests/fault.h"
#include "tests/here.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* ---- schemas at first sight ---- */

static const char order_schema[] =
    "{\"type\": \"object\", \"properties\": {\"b\": {\"$ref\": \"#/$defs/x\"}, \"a\": "
    "{\"type\": \"array\", \"items\": {\"properties\": {\"y\": {}, \"x\": {}}}}}, "
    "\"$defs\": "
    "{\"x\": {\"anyOf\": [{\"type\": \"null\"}, {\"properties\": {\"d\": {}, \"c\": "
    "{\"enum\": [1, \"u\"], \"description\": \"see\"}}}]}}}";

static void outlines_know_fields_and_their_order(void **state)
{
    static const struct {
        const char *pointer;
        bool known;
    } cases[] = {
        {"/a", true},     {"/b", true},   {"/b/c", true},   {"/b/d", true},
        {"/a/*/x", true}, {"/a/0", true}, {"/a/7/y", true}, {"/a/*/z", false},
        {"/c", false},    {"a", false},   {"/b/e", false},  {"/a/x", false},
    };
    static const char listed[] = "{\"properties\": {\"c\": {\"enum\": [1, \"u\"], "
                                 "\"description\": \"see\"}, \"d\": "
                                 "{\"enum\": [true]}, \"e\": {}}}";
    static const char object[] =
        "{\"z\":1.50,\"a\":[{\"x\":1,\"y\":\"\\u00e9\"}],\"b\":{\"c\":1,\"d\":null}}";
    st_err err = {0};
    st_buf out;
    (void)state;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        bool known = !cases[i].known;
        assert_int_equal(outline_knows(order_schema, strlen(order_schema),
                                       cases[i].pointer, &known, &err),
                         0);
        if (known != cases[i].known)
            fail_msg("%s", cases[i].pointer);
    }
    st_buf_init(&out, 1000);
    assert_int_equal(outline_write(order_schema, strlen(order_schema), object,
                                   strlen(object), &out, &err),
                     0);
    assert_string_equal(out.data, "{\"b\": {\"d\": null, \"c\": 1}, \"a\": [{\"y\": "
                                  "\"\xC3\xA9\", \"x\": 1}], \"z\": 1.50}");
    st_buf_reset(&out);
    assert_int_equal(outline_describe(listed, strlen(listed), &out, &err), 0);
    assert_string_equal(out.data, "c: see (one of 1, \"u\")\nd: one of true\ne\n");
    st_buf_done(&out);
    /* a schema that names itself ends */
    bool known;
    assert_int_equal(outline_knows("{\"$ref\": \"#\"}", 13, "/a/b/c", &known, &err), 0);
    assert_false(known);
}

/* ---- the input's own words ---- */

static void verbatim_fields_are_offered_the_input(void **state)
{
    static const char yaml[] =
        "task: t\nquestion: {type: extract, schema: {type: object, properties: {id: "
        "{type: "
        "[string, 'null']}, a: {type: object, properties: {n: {type: number}}}, s: "
        "{type: "
        "string}}, required: [id]}}\n"
        "checks: [{field: /id, verbatim: true}, {field: /a/n, verbatim: true}]\n";
    static const struct {
        const char *object;
        bool fits;
    } cases[] = {
        {"{\"id\": \"M8 (box)\"}", true},
        {"{\"id\": \"M8 (box\"}", true},
        {"{\"id\": \"Tür \\\"x\"}", true},
        {"{\"id\": \"r-7\", \"s\": \"free\"}", true},
        {"{\"id\": null, \"a\": {\"n\": 1250.50}}", true},
        {"{\"id\": null, \"a\": {\"n\": 3.4}}", true},
        {"{\"id\": null, \"a\": {\"n\": 125}}", false},
        {"{\"id\": \"M\"}", false},
        {"{\"id\": \"8 (box)\"}", false},
        {"{\"id\": \"free\"}", false},
        {"{\"id\": \"x r-7\"}", false}, /* over a line's end */
    };
    static const char text[] = "M8 (box), Tür \"x\nr-7 1,250.50 3,40 r-7 01 1.2.3";
    st_err err = {0};
    st_buf out;
    grammar *g;
    contract *c;
    grammar_refusal where;
    bool changed;
    (void)state;
    assert_int_equal(contract_parse("t", yaml, strlen(yaml), &c, &err), 0);
    st_buf_init(&out, 1 << 16);
    assert_int_equal(verbatim_schema(c, text, strlen(text), &out, &changed, &err), 0);
    assert_true(changed);
    if (grammar_schema(out.data, out.len, &(grammar_schema_opts){0}, &g, &where, &err))
        fail_msg("%s: %s", out.data, err.message);
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        st_err why = {0};
        int rc = grammar_validate(g, cases[i].object, strlen(cases[i].object), &why);
        if (rc != (cases[i].fits ? 0 : ST_EFORMAT))
            fail_msg("%s: %s", cases[i].object, why.message);
    }
    grammar_free(g);
    /* nothing to offer, and too much of it */
    st_buf_reset(&out);
    assert_int_equal(verbatim_schema(c, " - ", 3, &out, &changed, &err), 0);
    assert_false(changed);
    st_buf many;
    st_buf_init(&many, 1 << 16);
    for (int i = 0; i < 200; i++)
        st_buf_fmt(&many, "word%d ", i);
    assert_int_equal(verbatim_schema(c, many.data, many.len, &out, &changed, &err), 0);
    assert_false(changed);
    st_buf_done(&many);
    st_buf_done(&out);
    contract_free(c);
}

/* ---- drafts ---- */

static void drafts_are_rendered(void **state)
{
    st_err err = {0};
    draft *d;
    st_buf out;
    (void)state;
    st_buf_init(&out, 1000);
    assert_int_equal(draft_parse("{{a}}, { {{ b-1 }}}} {{a}}\n", &d, &err), 0);
    assert_int_equal(draft_n_slots(d), 2);
    assert_string_equal(draft_slot(d, 1), "b-1");
    fields f = read_fields("{\"b-1\": 1.50, \"a\": \"x\\\"{{a}}\"}");
    assert_int_equal(draft_render(d, &f, &out, &err), 0);
    assert_string_equal(out.data, "x\"{{a}}, { 1.50}} x\"{{a}}\n");
    fields_done(&f);
    f = read_fields("{\"a\": []}");
    assert_int_equal(draft_render(d, &f, &out, &err), ST_EFORMAT);
    assert_non_null(strstr(err.message, "slot 'a' is no text"));
    fields_done(&f);
    draft_free(d);
    st_buf_done(&out);
}

/* ---- what scores are worth ---- */

static void scores_become_true(void **state)
{
    static const char *const names[] = {"/a", "/b", "/c\nd"};
    true_row rows[300];
    st_err err = {0};
    extract_true *t, *back;
    st_buf text;
    (void)state;
    for (uint32_t i = 0; i < ST_COUNT(rows); i++) {
        double p = (i % 100 + 0.5) / 100; /* right as often as its score says, squared */
        rows[i] = (true_row){.pointer = names[i / 100],
                             .score = {.logp = log(p) - 1, .held_logp = log(p), .n = 2},
                             .right = (i * 37) % 100 < 100 * p * p};
    }
    assert_int_equal(extract_true_fit(rows, ST_COUNT(rows), &t, &err), 0);
    double low = extract_true_of(t, "/a", rows[10].score);
    double high = extract_true_of(t, "/a", rows[95].score);
    assert_true(low < 0.2 && high > 0.55 && high < 1);
    st_buf_init(&text, 1 << 16);
    assert_int_equal(extract_true_write(t, &text), 0);
    assert_null(strstr(text.data, "/c"));
    assert_int_equal(extract_true_read(text.data, &back, &err), 0);
    for (uint32_t i = 0; i < ST_COUNT(rows); i += 7)
        assert_float_equal(extract_true_of(t, names[i / 100], rows[i].score),
                           extract_true_of(back, names[i / 100], rows[i].score), 1e-6);
    extract_true_free(back);
    for (uint32_t i = 0; i < ST_COUNT(rows); i++)
        rows[i].right = true;
    assert_int_equal(extract_true_fit(rows, ST_COUNT(rows), &back, &err), ST_EINVAL);
    extract_true_free(t);
    static const char *const bad[] = {"",          "1 2",        "1 2 3",
                                      "1 2 x\n",   "1 2 3\n4",   "1 2 3\n4 /a",
                                      "1 2 nan\n", "1 2 3\n/a\n"};
    for (size_t i = 0; i < ST_COUNT(bad); i++)
        assert_int_equal(extract_true_read(bad[i], &back, &(st_err){0}), ST_EFORMAT);
    st_buf_done(&text);
}

/* ---- examples ---- */

static void near_examples_come_last(void **state)
{
    static const words_text texts[] = {{"red apples", 10},
                                       {"green apples", 12},
                                       {"a blue bicycle", 14},
                                       {"red apples here", 15},
                                       {"the sea", 7}};
    st_err err = {0};
    uint32_t rows[SHOTS_MAX], n;
    shots *s;
    (void)state;
    assert_int_equal(shots_new(texts, 5, SHOTS_WORDS, NULL, &s, &err), 0);
    assert_int_equal(shots_find(s, "red apples", 10, 2, UINT32_MAX, rows, &n, &err), 0);
    assert_true(n == 2 && rows[1] == 0 && rows[0] == 3);
    assert_int_equal(shots_find(s, "red apples", 10, 2, 0, rows, &n, &err), 0);
    assert_true(n == 2 && rows[1] == 3 && rows[0] == 1);
    assert_int_equal(shots_find(s, "", 0, SHOTS_MAX, 4, rows, &n, &err), 0);
    assert_int_equal(n, 4);
    shots_free(s);
    assert_int_equal(shots_new(texts, 5, SHOTS_FIXED, NULL, &s, &err), 0);
    assert_int_equal(shots_find(s, "anything", 8, 3, UINT32_MAX, rows, &n, &err), 0);
    uint32_t again[SHOTS_MAX], n_again;
    assert_int_equal(shots_find(s, "else", 4, 3, rows[0], again, &n_again, &err), 0);
    assert_true(n == 3 && again[0] == rows[1]);
    shots_free(s);
}

/* ---- data rows ---- */

static void rows_have_outputs(void **state)
{
    static const char rows[] = "{\"input\": \"x\", \"output\": {\"a\": 1.50, \"b\": "
                               "[ 1 ]}, \"label\": 7}\n{\"text\": \"y\"}\n";
    static const char csv[] = "input,output\nx,\"{\"\"a\"\": 2}\"\ny,\n";
    const question q = {.type = QUESTION_EXTRACT};
    const data_opts lax = {0}, strict = {.need_labels = true};
    st_err err = {0};
    data_set *set;
    (void)state;
    assert_int_equal(data_parse("f.jsonl", rows, strlen(rows), &q, &lax, &set, &err), 0);
    assert_int_equal(set->n_labelled, 1);
    assert_string_equal(set->rows[0].output, "{\"a\": 1.50, \"b\": [ 1 ]}");
    assert_int_equal(set->rows[0].output_len, strlen(set->rows[0].output));
    assert_null(set->rows[1].output);
    data_free(set);
    assert_int_equal(data_parse("f.jsonl", rows, strlen(rows), &q, &strict, &set, &err),
                     ST_EFORMAT);
    assert_non_null(strstr(err.message, "f.jsonl:2: has no \"output\""));
    err = (st_err){0};
    assert_int_equal(data_parse("f.csv", csv, strlen(csv), &q, &lax, &set, &err), 0);
    assert_string_equal(set->rows[0].output, "{\"a\": 2}");
    data_free(set);
    static const char bad[] = "{\"input\": \"x\", \"output\": [1]}";
    assert_int_equal(data_parse("f.jsonl", bad, strlen(bad), &q, &lax, &set, &err),
                     ST_EFORMAT);
    assert_non_null(strstr(err.message, "f.jsonl:1: \"output\" is not an object"));
}

/* ---- a small model of random weights: what it writes is nonsense, and valid ---- */

#define TINY "../shared/goldens/logits/llama-gqa/model-f32.gguf"

static char folder[64];

static void put_file(const char *name, const char *text)
{
    char path[128];
    st_err err = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (st_file_write(path, text, strlen(text), &err))
        fail_msg("%s", err.message);
}

static int folder_new(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/stint-extract-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_gone(void **state)
{
    static const char *const names[] = {"task.yaml", "train.jsonl", "dev.jsonl",
                                        "animals.stint"};
    char path[128];
    (void)state;
    for (size_t i = 0; i < ST_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

/* The contract of a task about animals; `more` are lines at its end. */
static contract *animals(const char *question_text, const char *more)
{
    char cwd[2000], yaml[6000], path[128];
    st_err err = {0};
    contract *c;
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(yaml, sizeof yaml, "task: animals\nmodels: ['%s/" TINY "']\n%s%s", cwd,
             question_text, more);
    put_file("task.yaml", yaml);
    snprintf(path, sizeof path, "%s/task.yaml", folder);
    if (contract_load(path, &c, &err))
        fail_msg("%s", err.message);
    return c;
}

static const char animal[] =
    "question:\n"
    "  type: extract\n"
    "  schema:\n"
    "    type: object\n"
    "    properties:\n"
    "      kind: {enum: [cat, dog, null]}\n"
    "      legs: {type: integer, minimum: 0, maximum: 8}\n"
    "      names: {type: array, maxItems: 2, items: {type: string, maxLength: 4}}\n"
    "    required: [kind, legs, names]\n"
    "    additionalProperties: false\n";

static extraction *open_animals(contract *c, const extraction_opts *opts)
{
    st_err err = {0};
    extraction *x;
    if (extraction_open(c, opts, &x, &err))
        fail_msg("%s", err.message);
    return x;
}

static void answers_are_valid_and_alone_as_together(void **state)
{
    static const char *const texts[] = {"a cat with four legs", "two dogs", "", "Rex"};
    const extraction_opts opts = {.n_threads = 1};
    size_t lens[4];
    st_err err = {0};
    extract_answer together[4], alone;
    (void)state;
    if (!is_here(TINY))
        skip();
    extraction *x = open_animals(animals(animal, ""), &opts);
    for (int i = 0; i < 4; i++)
        lens[i] = strlen(texts[i]);
    assert_int_equal(extraction_decide(x, texts, lens, NULL, 4, together, &err), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(together[i].code, 0);
        assert_true(together[i].fields.n >= 4 && together[i].n_shots == 0);
        assert_true(together[i].n_steps < together[i].n_tokens);
        for (uint32_t k = 0; k < together[i].fields.n; k++) {
            double p = together[i].probability[k];
            assert_true(fields_is(&together[i].fields, k) ? p >= 0 && p <= 1 : isnan(p));
        }
        assert_int_equal(extraction_decide(x, &texts[i], &lens[i], NULL, 1, &alone, &err),
                         0);
        assert_string_equal(alone.output, together[i].output);
        for (uint32_t k = 0; k < alone.fields.n; k++)
            if (fields_is(&alone.fields, k))
                assert_true(alone.probability[k] == together[i].probability[k]);
        extract_answer_done(&alone);
        extract_answer_done(&together[i]);
    }
    extraction_close(x);
}

static void a_text_that_is_not_whole_is_no_answer(void **state)
{
    static const char *const texts[] = {"a cat"};
    const extraction_opts opts = {.n_threads = 1};
    const size_t len = 5;
    st_err err = {0};
    extract_answer a;
    (void)state;
    if (!is_here(TINY))
        skip();
    extraction *x = open_animals(animals(animal, "output: {max_tokens: 6}\n"), &opts);
    assert_int_equal(extraction_decide(x, texts, &len, NULL, 1, &a, &err), 0);
    assert_int_equal(a.code, ST_ELIMIT);
    assert_non_null(strstr(a.why, "no whole answer in 6 tokens"));
    assert_null(a.output);
    extract_answer_done(&a);
    extraction_close(x);
}

static void failing_checks_are_told_after_one_more_attempt(void **state)
{
    static const char *const texts[] = {"a cat"};
    const size_t len = 5;
    st_err err = {0};
    (void)state;
    if (!is_here(TINY))
        skip();
    static const char small[] = "question:\n  type: extract\n  schema: {type: object, "
                                "properties: {n: {enum: [1, 2]}}, required: [n], "
                                "additionalProperties: false}\n";
    static const char checks[] = "checks:\n  - {field: /n, min: 9}\n"
                                 "  - {rule: '/n < 0'}\n";
    uint32_t n_tokens[2];
    for (int repair = 0; repair < 2; repair++) {
        const extraction_opts opts = {.n_threads = 1, .no_repair = !repair};
        extraction *x = open_animals(animals(small, checks), &opts);
        extract_answer a;
        assert_int_equal(extraction_decide(x, texts, &len, NULL, 1, &a, &err), 0);
        assert_int_equal(a.code, 0);
        assert_int_equal(a.n_faults, 2);
        assert_string_equal(a.faults[0].field, "/n");
        assert_non_null(strstr(a.faults[0].why, "less than 9"));
        assert_true(a.faults[1].check == 1 && !a.faults[1].field);
        assert_false(a.repaired);
        n_tokens[repair] = a.n_tokens;
        extract_answer_done(&a);
        extraction_close(x);
    }
    assert_true(n_tokens[1] > n_tokens[0]);
}

static void drafts_are_written(void **state)
{
    static const char *const texts[] = {"she wants to know"};
    const extraction_opts opts = {.n_threads = 1};
    const size_t len = 17;
    st_err err = {0};
    extract_answer a;
    (void)state;
    if (!is_here(TINY))
        skip();
    extraction *x = open_animals(
        animals("question:\n  type: draft\n  template: 'Hello {{who}}, {{n}} {{who}}.'\n"
                "  slots: {who: {enum: [Ann, Bo]}, n: {type: integer, minimum: 10, "
                "maximum: 99}}\n",
                ""),
        &opts);
    assert_int_equal(extraction_decide(x, texts, &len, NULL, 1, &a, &err), 0);
    assert_int_equal(a.code, 0);
    assert_true(strncmp(a.text, "Hello Ann, ", 11) == 0 ||
                strncmp(a.text, "Hello Bo, ", 10) == 0);
    assert_true(strcmp(a.text + strlen(a.text) - 4, "Ann.") == 0 ||
                strcmp(a.text + strlen(a.text) - 3, "Bo.") == 0);
    extract_answer_done(&a);
    extraction_close(x);
}

static void what_was_fitted_is_bound_to_its_bytes(void **state)
{
    static const char *const texts[] = {"one cat"};
    const size_t len = 7;
    st_err err = {0};
    st_buf rows;
    extract_fit *fit;
    extract_answer a;
    extraction *x;
    (void)state;
    if (!is_here(TINY))
        skip();
    st_buf_init(&rows, 1 << 16);
    for (int i = 0; i < 12; i++)
        st_buf_fmt(&rows,
                   "{\"input\": \"number %d is a %s\", \"output\": {\"legs\": %d, "
                   "\"kind\": \"%s\", \"names\": []}}\n",
                   i, i % 2 ? "cat" : "dog", i % 5, i % 2 ? "cat" : "dog");
    put_file("train.jsonl", rows.data);
    put_file("dev.jsonl", rows.data);
    static const char data[] = "data: {train: train.jsonl, dev: dev.jsonl}\n";
    const extract_fit_opts how = {.n_threads = 1, .max_rows = 4};
    if (extract_fit_run(animals(animal, data), &how, &fit, &err))
        fail_msg("%s", err.message);
    assert_int_equal(fit->n_trials, 5); /* none, four by two ways, two and eight */
    assert_true(fit->n_rows == 4 && fit->best < fit->n_trials);
    extract_fit_free(fit);
    const extraction_opts opts = {.n_threads = 1};
    x = open_animals(animals(animal, data), &opts);
    assert_true(extraction_fitted(x));
    assert_int_equal(extraction_decide(x, texts, &len, NULL, 1, &a, &err), 0);
    assert_int_equal(a.code, 0);
    extract_answer_done(&a);
    extraction_close(x);
    /* another contract */
    assert_int_equal(
        extraction_open(animals(animal, "output: {max_tokens: 99}\n"), &opts, &x, &err),
        ST_EMISMATCH);
    assert_non_null(strstr(err.hint, "stint fit"));
    /* rows whose output is none of the schema */
    err = (st_err){0};
    put_file("train.jsonl", "{\"input\": \"x\", \"output\": {\"kind\": \"cow\"}}\n");
    assert_int_equal(extract_fit_run(animals(animal, data), &how, &fit, &err),
                     ST_EFORMAT);
    assert_non_null(
        strstr(err.message, "train.jsonl:1: the output is none of the schema"));
    st_buf_done(&rows);
}

static int decide_once(void *arg)
{
    static const char *const texts[] = {"a cat", "two"};
    const extraction_opts opts = {.n_threads = 1};
    const size_t lens[] = {5, 3};
    st_err err = {0};
    extract_answer a[2] = {{0}};
    extraction *x;
    contract *c;
    char path[128];
    (void)arg;
    snprintf(path, sizeof path, "%s/task.yaml", folder);
    int rc = contract_load(path, &c, &err);
    if (rc == 0)
        rc = extraction_open(c, &opts, &x, &err);
    if (rc)
        return rc;
    rc = extraction_decide(x, texts, lens, NULL, 2, a, &err);
    for (int i = 0; i < 2; i++) {
        assert_true(rc || a[i].code == 0);
        extract_answer_done(&a[i]);
    }
    extraction_close(x);
    return rc;
}

static void deciding_without_memory_is_an_error(void **state)
{
    (void)state;
    if (!is_here(TINY))
        skip();
    contract_free(animals(animal, "checks: [{field: /legs, min: 9}, {field: /legs, "
                                  "verbatim: true}]\n"));
    assert_true(fault_sweep(decide_once, NULL, 17) > 5);
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

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_new, folder_gone)

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
        cmocka_unit_test(outlines_know_fields_and_their_order),
        cmocka_unit_test(verbatim_fields_are_offered_the_input),
        cmocka_unit_test(drafts_are_rendered),
        cmocka_unit_test(scores_become_true),
        cmocka_unit_test(near_examples_come_last),
        cmocka_unit_test(rows_have_outputs),
        cmocka_unit_test(memory_running_out_is_an_error),
        IN_FOLDER(answers_are_valid_and_alone_as_together),
        IN_FOLDER(a_text_that_is_not_whole_is_no_answer),
        IN_FOLDER(failing_checks_are_told_after_one_more_attempt),
        IN_FOLDER(drafts_are_written),
        IN_FOLDER(what_was_fitted_is_bound_to_its_bytes),
        IN_FOLDER(deciding_without_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
