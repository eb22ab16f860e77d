/* tests/test_body.c - request bodies: parsed within bounds, compared with their table,
 * described. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "grammar/grammar.h"
#include "serve/body.h"
#include "tests/fault.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const member part[] = {
    {"type", MEMBER_STRING, .need = true, .words = "text image"},
    {"text", MEMBER_STRING, .nul = true},
    {0}};
static const member message[] = {
    {"role", MEMBER_STRING, .need = true, .words = "user system"},
    {"content", MEMBER_STRING | MEMBER_ARRAY, .need = true, .of = part, .nul = true},
    {0}};
static const member options[] = {{.name = "include_usage", .types = MEMBER_BOOL}, {0}};
static const member circle[] = {
    {"kind", MEMBER_STRING, .words = "circle"},
    {"radius", MEMBER_NUMBER, .need = true, .min = 0, .max = 9},
    {0}};
static const member box[] = {{"kind", MEMBER_STRING, .need = true, .words = "box cube"},
                             {"sides", MEMBER_ARRAY, .items = MEMBER_INTEGER},
                             {.open = true}};
static const member *const shapes[] = {circle, box, NULL};
static const member table[] = {
    {"model", MEMBER_STRING, .need = true, .min = 1, .max = 8},
    {"messages", MEMBER_ARRAY, .need = true, .min = 1, .of = message},
    {"temperature", MEMBER_NUMBER | MEMBER_NULL, .min = 0, .max = 2},
    {"seed", MEMBER_INTEGER, .min = -9, .max = 9},
    {"stop", MEMBER_STRING | MEMBER_ARRAY, .max = 3, .items = MEMBER_STRING},
    {"mode", MEMBER_STRING | MEMBER_NULL, .words = "auto none"},
    {"n", MEMBER_INTEGER, .use = MEMBER_REFUSE, .words = "1"},
    {"audio", MEMBER_OBJECT, .use = MEMBER_REFUSE},
    {"user", MEMBER_STRING, .use = MEMBER_IDLE},
    {"stream_options", MEMBER_OBJECT | MEMBER_NULL, .of = options},
    {"metadata", MEMBER_OBJECT, .max = 2},
    {"shapes", MEMBER_ARRAY, .either = shapes},
    {"shape", MEMBER_OBJECT | MEMBER_STRING, .words = "none any", .either = shapes},
    {"named", MEMBER_OBJECT, .map = true, .max = 3, .either = shapes},
    {"counts", MEMBER_OBJECT, .map = true, .items = MEMBER_INTEGER | MEMBER_NULL},
    {"extra", MEMBER_ANY, .open = true, .of = options, .about = "Anything."},
    {0}};

static json_t *parse(const char *text)
{
    problems p = {0};
    json_t *body = body_parse(text, strlen(text), 32, &p);
    if (!body)
        fail_msg("%s: %s", text, p.n ? p.list[0].message : "memory");
    return body;
}

static void refused(const char *text, size_t len, const char *message_part)
{
    problems p = {0};
    assert_null(body_parse(text, len, 4, &p));
    assert_int_equal(p.n, 1);
    assert_int_equal(p.list[0].kind, PROBLEM_JSON);
    if (!strstr(p.list[0].message, message_part))
        fail_msg("'%s' is not in '%s'", message_part, p.list[0].message);
    problems_done(&p);
}

static void test_parse(void **state)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"", "line 1, column 0"},
        {"{\n \"a\": tru}", "line 2, column 9"},
        {"{} {}", "line 1, column 4"},
        {"{\"a\":1,\"a\":1}", "duplicate"},
        {"[[[[\n [1]]]]]",
         "line 2, column 2: more than 4 arrays and objects inside each other"},
        {"[\"]\\\"]\", {\"\xC3\xA9[[[[\":[[ {", "line 1, column 22: more than 4"},
        {"\"a\xFF\"", "line 1"},
        {"1e999", "line 1"},
        {"123456789012345678901234567890", "too big"},
        {"{\"a\\u0000b\":1}", "NUL"},
        {"[1,]", "line 1, column 4"},
        {"\"abc\\", "line 1"},
        {"NaN", "line 1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        refused(rows[i].text, strlen(rows[i].text), rows[i].message);
    refused("{}\0", 3, "line 1");
    json_decref(parse("[[[[]]], {\"a\":[]}]"));
    json_decref(parse("7"));
    json_t *body = parse("{\"a\":\"x\\u0000y\"}");
    assert_int_equal(json_string_length(json_object_get(body, "a")), 3);
    json_decref(body);
}

static void test_as_many_values(void **state)
{
    size_t n = BODY_MAX_VALUES;
    char *text = malloc(2 * n + 2);
    problems p = {0};
    (void)state;
    text[0] = '[';
    for (size_t i = 0; i < n; i++)
        memcpy(text + 1 + 2 * i, "1,", 2);
    text[2 * n] = ']';
    assert_null(body_parse(text, 2 * n + 1, 4, &p));
    assert_non_null(strstr(p.list[0].message, "more than 1000000 values"));
    problems_done(&p);
    text[2 * (n - 2)] = ']'; /* and the array itself */
    json_t *body = body_parse(text, 2 * (n - 2) + 1, 4, &p);
    assert_int_equal(json_array_size(body), n - 2);
    json_decref(body);
    free(text);
}

/* "param kind" of each problem, in order. */
static void problems_are(const char *text, const char *want)
{
    static const char *const kinds[PROBLEM_KINDS] = {
        [PROBLEM_MISSING] = "missing", [PROBLEM_TYPE] = "type",
        [PROBLEM_VALUE] = "value",     [PROBLEM_COUNT] = "count",
        [PROBLEM_UNKNOWN] = "unknown", [PROBLEM_UNSUPPORTED] = "unsupported"};
    problems p = {0};
    st_buf got;
    json_t *body = parse(text);
    st_buf_init(&got, 1 << 16);
    st_buf_str(&got, "");
    body_check(body, table, false, "", &p);
    for (uint32_t i = 0; i < p.n; i++)
        st_buf_fmt(&got, "%s%s %s", i ? ", " : "", p.list[i].param,
                   kinds[p.list[i].kind]);
    if (strcmp(got.data ? got.data : "", want) != 0)
        fail_msg("%s:\n  %s instead of\n  %s", text, got.data, want);
    st_buf_done(&got);
    problems_done(&p);
    json_decref(body);
}

#define GOOD "\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static const char *const good[] = {
    "{" GOOD "}",
    "{" GOOD ",\"temperature\":null,\"seed\":-9,\"mode\":null,\"stop\":\"abc\"}",
    "{" GOOD ",\"temperature\":2,\"seed\":9.0,\"mode\":\"auto\",\"stop\":[\"a\"]}",
    "{" GOOD ",\"n\":1,\"audio\":null,\"user\":\"u\",\"stream_options\":null}",
    "{" GOOD ",\"n\":1.0,\"audio\":false,\"stream_options\":{\"include_usage\":true}}",
    "{" GOOD ",\"metadata\":{\"a\":1,\"b\":2},\"extra\":{\"x\":[{}]}}",
    "{" GOOD ",\"extra\":{\"include_usage\":true}}",
    "{" GOOD ",\"shapes\":[{\"radius\":1},{\"kind\":\"circle\",\"radius\":2},"
    "{\"kind\":\"cube\",\"sides\":[1]}],\"shape\":\"none\"}",
    "{" GOOD ",\"shape\":{\"kind\":\"box\"},\"counts\":{\"a\":1,\"\":null},"
    "\"named\":{\"x y\":{\"radius\":0},\"z\":{\"kind\":\"box\"}}}",
    "{\"model\":\"\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\","
    "\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":"
    "\"\\u0000\"}]}]}",
};

static const struct {
    const char *text, *want;
} bad[] = {
    {"[]", " type"},
    {"{}", "model missing, messages missing"},
    {"{" GOOD ",\"modle\":1}", "modle unknown"},
    {"{\"model\":\"\",\"messages\":[]}", "model count, messages count"},
    {"{\"model\":\"123456789\",\"messages\":{}}", "model count, messages type"},
    {"{\"model\":\"a\\u0000b\",\"messages\":[7]}", "model value, messages[0] type"},
    {"{\"model\":null,\"messages\":[{\"role\":\"bot\"}]}",
     "model type, messages[0].role value, messages[0].content missing"},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"},"
     "{\"type\":\"txt\",\"x.y\":0}]}]}",
     "messages[0].content[1].type value, messages[0].content[1][\"x.y\"] unknown"},
    {"{" GOOD ",\"temperature\":2.1,\"seed\":-10}", "temperature value, seed value"},
    {"{" GOOD ",\"temperature\":\"1\",\"seed\":1.5}", "temperature type, seed type"},
    {"{" GOOD ",\"seed\":1e300}", "seed type"},
    {"{" GOOD ",\"stop\":[\"a\",\"b\",\"c\",\"d\"]}", "stop count"},
    {"{" GOOD ",\"stop\":[\"a\",1,\"\\u0000\"]}", "stop[1] type, stop[2] value"},
    {"{" GOOD ",\"mode\":\"aut\"}", "mode value"},
    {"{" GOOD ",\"mode\":\"auto none\"}", "mode value"},
    {"{" GOOD ",\"mode\":\"\"}", "mode value"},
    {"{" GOOD ",\"n\":2,\"audio\":{}}", "n unsupported, audio unsupported"},
    {"{" GOOD ",\"n\":true,\"audio\":[]}", "n unsupported, audio unsupported"},
    {"{" GOOD ",\"user\":1}", "user type"},
    {"{" GOOD ",\"stream_options\":{\"include_usage\":1,\"x\":2}}",
     "stream_options.include_usage type, stream_options.x unknown"},
    {"{" GOOD ",\"metadata\":{\"a\":1,\"b\":2,\"c\":3}}", "metadata count"},
    {"{" GOOD ",\"extra\":{\"include_usage\":1}}", "extra.include_usage type"},
    {"{" GOOD ",\"shapes\":[{},{\"kind\":\"ball\"},{\"kind\":1},7,"
     "{\"kind\":\"box\",\"radius\":1},{\"radius\":1,\"x\":1}]}",
     "shapes[0].radius missing, shapes[1].kind value, shapes[2].kind type, shapes[3] "
     "type, shapes[5].x unknown"},
    {"{" GOOD ",\"shape\":{\"kind\":\"circle\"}}", "shape.radius missing"},
    {"{" GOOD ",\"shape\":\"some\"}", "shape value"},
    {"{" GOOD ",\"named\":{\"x y\":{\"radius\":10},\"z\":[]}}",
     "named[\"x y\"].radius value, named.z type"},
    {"{" GOOD ",\"counts\":{\"a\":\"1\",\"b\":1.5}}", "counts.a type, counts.b type"},
};

static void test_check(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        problems_are(good[i], "");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        problems_are(bad[i].text, bad[i].want);
}

static void message_is(const char *text, bool open, const char *want)
{
    problems p = {0};
    json_t *body = parse(text);
    body_check(body, table, open, "", &p);
    if (!want)
        assert_int_equal(p.n, 0);
    else
        assert_string_equal(p.list[0].message, want);
    problems_done(&p);
    json_decref(body);
}

static void test_messages(void **state)
{
    (void)state;
    message_is("{" GOOD ",\"modle\":1}", false,
               "no such field is known; did you mean 'model'?");
    message_is("{" GOOD ",\"modle\":1}", true, NULL);
    message_is("{" GOOD ",\"temperature\":[]}", false,
               "expected null or a number, got an array");
    message_is("{" GOOD ",\"mode\":\"x\"}", false,
               "must be one of: auto none; got \"x\"");
    message_is("{" GOOD ",\"shapes\":[{\"kind\":\"ball\"}]}", false,
               "must be one of: circle box cube; got \"ball\"");
    message_is("{" GOOD ",\"n\":2}", false, "is not supported here; only 1 is");
    message_is("{\"model\":\"123456789\"}", false, "at most 8 characters, got 9");
}

static void test_members(void **state)
{
    json_t *body = parse("{\"s\":\"x\",\"i\":7,\"r\":2.0,\"big\":1e300,\"t\":true,"
                         "\"null\":null,\"a\":[]}");
    (void)state;
    assert_string_equal(body_text(body, "s", "d"), "x");
    assert_string_equal(body_text(body, "null", "d"), "d");
    assert_null(body_text(body, "none", NULL));
    assert_int_equal(body_integer(body, "i", 0), 7);
    assert_int_equal(body_integer(body, "r", 0), 2);
    assert_int_equal(body_integer(body, "big", -1), -1);
    assert_int_equal(body_int(json_object_get(body, "r"), -1), 2);
    assert_int_equal(body_int(json_object_get(body, "s"), -1), -1);
    assert_int_equal(body_int(NULL, -1), -1);
    assert_int_equal(body_integer(body, "none", -1), -1);
    assert_true(body_number(body, "i", 0) == 7 && body_number(body, "r", 0) == 2);
    assert_true(body_number(body, "null", 0.5) == 0.5);
    assert_true(body_bool(body, "t", false) && body_bool(body, "null", true));
    assert_non_null(body_get(body, "a"));
    assert_null(body_get(body, "null"));
    json_decref(body);
}

static void valid(const grammar *g, const char *text, bool want)
{
    st_err err = {0};
    if ((grammar_validate(g, text, strlen(text), &err) == 0) != want)
        fail_msg("%s: %s", text, want ? err.message : "accepted");
}

/* The schema accepts what the check accepts, and nothing else. */
static void test_schema(void **state)
{
    const grammar_schema_opts opts = {GRAMMAR_EITHER, true};
    grammar *g = NULL;
    st_err err = {0};
    (void)state;
    json_t *schema = body_schema(table, false);
    char *text = json_dumps(schema, JSON_COMPACT);
    if (grammar_schema(text, strlen(text), &opts, &g, NULL, &err) < 0)
        fail_msg("%s: %s", err.message, text);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        valid(g, good[i], true);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        valid(g, bad[i].text, false);
    grammar_free(g);
    free(text);
    json_decref(schema);
}

static int parse_check_describe(void *arg)
{
    problems p = {0};
    const char *text = arg;
    json_t *body = body_parse(text, strlen(text), 32, &p);
    if (body)
        body_check(body, table, false, "", &p);
    json_t *schema = body_schema(table, true);
    int rc = body && schema && !p.out_of_memory ? 0 : ST_ENOMEM;
    if (!body)
        assert_true(p.out_of_memory || p.list[0].kind == PROBLEM_JSON);
    json_decref(schema);
    json_decref(body);
    problems_done(&p);
    return rc;
}

static void test_no_memory(void **state)
{
    char text[256];
    (void)state;
    json_set_alloc_funcs(malloc, free);
    for (size_t i = 0; i < 8; i++) {
        snprintf(text, sizeof text, "%s", bad[i].text);
        assert_true(fault_sweep(parse_check_describe, text, 1) > 30);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),     cmocka_unit_test(test_as_many_values),
        cmocka_unit_test(test_check),     cmocka_unit_test(test_messages),
        cmocka_unit_test(test_members),   cmocka_unit_test(test_schema),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
