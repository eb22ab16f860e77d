/* tests/test_validate.c - the validator: every keyword, drafts, references, errors,
 * limits.
 *
 * Each row is a schema, values that satisfy it and values that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "grammar/json.h"
#include "grammar/validate.h"
#include "tests/fault.h"
#include <string.h>

#define D4 "\"$schema\":\"http://json-schema.org/draft-04/schema#\","
#define D6 "\"$schema\":\"http://json-schema.org/draft-06/schema#\","
#define D7 "\"$schema\":\"http://json-schema.org/draft-07/schema#\","
#define D19 "\"$schema\":\"https://json-schema.org/draft/2019-09/schema\","

static const json *read_json(const char *text)
{
    const json *root = NULL;
    st_err err = {0};
    if (json_read(text, strlen(text), &root, &err) < 0)
        fail_msg("%s: %s", text, err.message);
    return root;
}

static int run(const char *schema, const char *value, st_err *err)
{
    const json *s = read_json(schema), *j = read_json(value);
    validator *v = NULL;
    int rc = validator_new(s, &v, err);
    if (rc < 0)
        fail_msg("%s: %s", schema, err->message);
    rc = validator_run(v, j, err);
    validator_free(v);
    json_free(s);
    json_free(j);
    return rc;
}

typedef struct row {
    const char *schema;
    const char *valid[8];
    const char *invalid[8];
} row;

static void check_rows(const row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (const char *const *p = rows[i].valid; *p; p++) {
            st_err err = {0};
            if (run(rows[i].schema, *p, &err) < 0)
                fail_msg("%s should take %s: %s", rows[i].schema, *p, err.message);
        }
        for (const char *const *p = rows[i].invalid; *p; p++) {
            st_err err = {0};
            if (run(rows[i].schema, *p, &err) != ST_EFORMAT)
                fail_msg("%s should not take %s", rows[i].schema, *p);
        }
    }
}
#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof *(rows))

static void test_any_value(void **state)
{
    static const row rows[] = {
        {"true", {"1", "null", "{}"}, {0}},
        {"false", {0}, {"1", "null"}},
        {"{}", {"1", "[]"}, {0}},
        {"{\"type\":\"integer\"}", {"1", "1.0", "-2e3"}, {"1.5", "\"1\"", "1e-1"}},
        {"{" D4 "\"type\":\"integer\"}", {"1", "-20"}, {"1.0", "2e3"}},
        {"{\"type\":[\"null\",\"boolean\"]}", {"null", "true"}, {"0", "\"\""}},
        {"{\"enum\":[1,{\"a\":[1]},\"x\"]}", {"1.0", "{\"a\":[1e0]}"}, {"[1]", "{}"}},
        {"{\"const\":{\"a\":1,\"b\":2}}", {"{\"b\":2.0,\"a\":1}"}, {"{\"a\":1}", "1"}},
        {"{" D4 "\"const\":1}", {"2"}, {0}}, /* not yet a keyword */
        {"{\"not\":{\"type\":\"null\"}}", {"1"}, {"null"}},
        {"{\"allOf\":[{\"minimum\":1},{\"maximum\":3}]}", {"2", "\"x\""}, {"0", "4"}},
        {"{\"anyOf\":[{\"maximum\":1},{\"minimum\":3}]}", {"1", "3"}, {"2"}},
        {"{\"oneOf\":[{\"maximum\":2},{\"minimum\":2}]}", {"1", "3"}, {"2"}},
        {"{\"if\":{\"minimum\":5},\"then\":{\"maximum\":6},\"else\":{\"maximum\":2}}",
         {"6", "2", "\"x\""},
         {"7", "3"}},
        {"{\"then\":false,\"else\":false}", {"1"}, {0}},
    };
    (void)state;
    CHECK(rows);
}

static void test_numbers(void **state)
{
    static const row rows[] = {
        {"{\"minimum\":1.5}", {"1.5", "2", "\"0\"", "1e400"}, {"1.49", "-2"}},
        {"{\"maximum\":-1}", {"-1.0", "-1e9"}, {"-0.9", "1e400"}},
        {"{\"exclusiveMinimum\":0.1}", {"0.10000000000000000001"}, {"0.1", "1e-1"}},
        {"{\"exclusiveMaximum\":9007199254740993}",
         {"9007199254740992"},
         {"9007199254740993", "9007199254740994"}},
        {"{" D4 "\"minimum\":1,\"exclusiveMinimum\":true}", {"1.1"}, {"1"}},
        {"{" D4 "\"maximum\":1,\"exclusiveMaximum\":false}", {"1"}, {"1.1"}},
        {"{\"multipleOf\":0.01}", {"19.99", "0", "\"x\""}, {"0.001"}},
    };
    (void)state;
    CHECK(rows);
}

static void test_texts(void **state)
{
    static const row rows[] = {
        {"{\"minLength\":2.0}", {"\"ab\"", "\"\xC3\xA9\xC3\xA9\"", "1"}, {"\"a\""}},
        {"{\"maxLength\":1}", {"\"\\uD83D\\uDE00\"", "\"\""}, {"\"ab\""}},
        {"{\"pattern\":\"b+\"}", {"\"abbc\"", "1"}, {"\"ac\""}},
        {"{\"pattern\":\"^\\\\d+$\"}", {"\"42\""}, {"\"42\\n\"", "\"\xDF\x80\"", "\"\""}},
        {"{\"pattern\":\"^.$\"}", {"\"a\"", "\"\\u0085\""}, {"\"\\n\"", "\"\\u2028\""}},
        {"{\"pattern\":\"^[\\\\s-x]$\"}", {"\"-\"", "\"\\uFEFF\"", "\"x\""}, {"\"y\""}},
        {"{\"pattern\":\"^[^\\\\S]$\"}",
         {"\" \"", "\"\\u3000\""},
         {"\"a\"", "\"\xC3\xA9\""}},
        {"{\"pattern\":\"^[[a]]$\"}", {"\"[]\"", "\"a]\""}, {"\"a\""}},
        {"{\"pattern\":\"^\\\\uD83D\\\\uDC32\\\\x41\\\\u{42}\\\\/$\"}",
         {"\"\\uD83D\\uDC32AB/\""},
         {"\"\""}},
        {"{\"pattern\":\"^(?:a{,2}|[]|[^]b)$\"}", {"\"a{,2}\"", "\"\\nb\""}, {"\"aa\""}},
        {"{\"pattern\":\"^\\\\p{Letter}\\\\P{Nd}\\\\p{Script=Greek}$\"}",
         {"\"\xC3\xA9-\xCE\xB1\""},
         {"\"\xC3\xA9-a\""}},
        {"{\"pattern\":\"(?<!a)b(?!c)\"}", {"\"xbd\""}, {"\"ab\"", "\"bc\""}},
        {"{\"pattern\":\"^(?<n>a|b)\\\\k<n>\\\\1$\"}", {"\"aaa\""}, {"\"aab\""}},
        {"{\"format\":\"date\"}", {"\"2024-02-29\"", "1"}, {"\"2023-02-29\"", "\"\""}},
        {"{\"format\":\"colour\"}", {"\"anything\""}, {0}},
    };
    (void)state;
    CHECK(rows);
}

static void test_formats(void **state)
{
    static const row rows[] = {
        {"{\"format\":\"time\"}",
         {"\"23:59:60Z\"", "\"00:00:00.5+01:00\"", "\"00:29:60-23:30\""},
         {"\"23:59:60+01:00\"", "\"24:00:00Z\"", "\"12:00:00\"", "\"12:00:00.Z\""}},
        {"{\"format\":\"date-time\"}",
         {"\"2000-02-29t00:00:00z\""},
         {"\"1900-02-29T00:00:00Z\"", "\"2000-02-29 00:00:00Z\"",
          "\"2000-02-29T00:00:00Z\\u0000\""}},
        {"{\"format\":\"duration\"}",
         {"\"P1Y2M3DT4H5M6S\"", "\"P2W\"", "\"PT0S\"", "\"P1MT1S\""},
         {"\"P\"", "\"PT\"", "\"P1YT\"", "\"P1Y1D\"", "\"P1W1D\"", "\"PT1H1S\""}},
        {"{\"format\":\"email\"}",
         {"\"a.b+c@d-e.com\"", "\"\\\"a @\\\\\\\"b\\\"@d\"", "\"a@[IPv6:::1]\""},
         {"\"a..b@c\"", "\"a@\"", "\"@b\"", "\"a@b c\"", "\"a@[1.2.3]\"",
          "\"\xC3\xA9@b\""}},
        {"{\"format\":\"idn-email\"}", {"\"\xC3\xA9@\xC3\xA9.com\""}, {"\"a\""}},
        {"{\"format\":\"hostname\"}",
         {"\"a\"", "\"1-a.B2\""},
         {"\"\"", "\"a.\"", "\".a\"", "\"-a\"", "\"a-\"", "\"a_b\"", "\"Xn--a\""}},
        {"{\"format\":\"ipv4\"}",
         {"\"0.0.0.0\"", "\"255.255.255.255\""},
         {"\"256.1.1.1\"", "\"01.1.1.1\"", "\"1.1.1\"", "\"1.1.1.1.1\"",
          "\"1.1.1.1\\n\""}},
        {"{\"format\":\"ipv6\"}",
         {"\"::\"", "\"1::\"", "\"::1\"", "\"1:2:3:4:5:6:7:8\"",
          "\"1:2:3:4:5:6:1.2.3.4\"", "\"1::2:1.2.3.4\"", "\"1:2:3:4:5:6:7::\""},
         {"\":1\"", "\"1:\"", "\"1::2::3\"", "\"1:2:3:4:5:6:7:8::\"", "\"12345::\"",
          "\"1:2:3:4:5:6:7\"", "\"1:2:3:4:5:6:7:1.2.3.4\""}},
        {"{\"format\":\"uuid\"}",
         {"\"2EB8AA08-aa98-11ea-b4aa-73b441d16380\""},
         {"\"2EB8AA08-aa98-11ea-b4aa-73b441d1638\"",
          "\"2EB8AA08aaa98-11ea-b4aa-73b441d16380\""}},
        {"{\"format\":\"uri\"}",
         {"\"a:\"", "\"urn:x:y\"", "\"http://u:p@[::1]:80/a%20b?c#d\""},
         {"\"/a\"", "\"a\"", "\"http://a b\"", "\"http://a%2\"", "\"1a:b\"",
          "\"http://[::1\"", "\"http://a:b/\""}},
        {"{\"format\":\"uri-reference\"}", {"\"\"", "\"/a\"", "\"a/b:c\""}, {"\"a b\""}},
        {"{\"format\":\"iri\"}", {"\"http://\xC3\xA9/\""}, {"\"\xC3\xA9\""}},
        {"{\"format\":\"uri-template\"}", {"\"/{a,b*}{?c:3}\""}, {"\"/{\"", "\"/{}\""}},
        {"{\"format\":\"json-pointer\"}", {"\"\"", "\"/a~0~1\""}, {"\"a\"", "\"/~\""}},
        {"{\"format\":\"relative-json-pointer\"}", {"\"1/a\"", "\"0#\""}, {"\"01\""}},
        {"{\"format\":\"regex\"}",
         {"\"^a$\"", "\"(?<=a+)b\""},
         {"\"(\"", "\"\\\\a\"", "\"(?i)a\"", "\"a**\"", "\"a++\"", "\"(*FAIL)\""}},
    };
    (void)state;
    CHECK(rows);
}

static void test_arrays(void **state)
{
    static const row rows[] = {
        {"{\"items\":{\"type\":\"null\"}}", {"[]", "[null]", "1"}, {"[null,1]"}},
        {"{\"prefixItems\":[true,{\"type\":\"null\"}],\"items\":false}",
         {"[1]", "[1,null]"},
         {"[1,2]", "[1,null,3]"}},
        {"{" D7 "\"items\":[true,{\"type\":\"null\"}],\"additionalItems\":false}",
         {"[1]", "[1,null]"},
         {"[1,2]", "[1,null,3]"}},
        {"{" D7 "\"items\":true,\"additionalItems\":false}", {"[1]"}, {0}},
        {"{\"minItems\":1,\"maxItems\":2}", {"[1]", "[1,2]"}, {"[]", "[1,2,3]"}},
        {"{\"uniqueItems\":true}",
         {"[1,\"1\",true]", "[]"},
         {"[1,1.0]", "[0,1,2,3,4,5,6,7,8,9,0e1]",
          "[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1}]"}},
        {"{\"contains\":{\"type\":\"null\"}}", {"[1,null]"}, {"[1]", "[]"}},
        {"{\"contains\":{\"type\":\"null\"},\"minContains\":0,\"maxContains\":1}",
         {"[1]", "[null]"},
         {"[null,null]"}},
        {"{" D7 "\"contains\":{\"type\":\"null\"},\"maxContains\":1}",
         {"[null,null]"},
         {0}},
        {"{\"prefixItems\":[true],\"contains\":{\"type\":\"null\"},"
         "\"unevaluatedItems\":false}",
         {"[1,null]"},
         {"[1,null,2]"}},
        {"{" D19 "\"items\":[true],\"contains\":{\"type\":\"null\"},"
         "\"unevaluatedItems\":false}",
         {"[null]"},
         {"[1,null]"}},
    };
    (void)state;
    CHECK(rows);
}

static void test_objects(void **state)
{
    static const row rows[] = {
        {"{\"properties\":{\"a\":{\"type\":\"null\"}}}",
         {"{\"a\":null}", "1"},
         {"{\"a\":1}"}},
        {"{\"properties\":{\"a\":true},\"patternProperties\":{\"^x\":{\"minimum\":1}},"
         "\"additionalProperties\":{\"type\":\"null\"}}",
         {"{\"a\":1,\"x1\":1,\"y\":null}"},
         {"{\"x1\":0}", "{\"y\":1}", "{\"x\":null,\"xy\":0}"}},
        {"{\"required\":[\"a\",\"b\"]}", {"{\"a\":1,\"b\":2}", "1"}, {"{\"a\":1}"}},
        {"{\"minProperties\":1,\"maxProperties\":1}",
         {"{\"a\":1}"},
         {"{}", "{\"a\":1,\"b\":2}"}},
        {"{\"propertyNames\":{\"maxLength\":1}}", {"{\"a\":1}"}, {"{\"ab\":1}"}},
        {"{\"dependentRequired\":{\"a\":[\"b\"]}}",
         {"{\"b\":1}", "{\"a\":1,\"b\":1}"},
         {"{\"a\":1}"}},
        {"{\"dependentSchemas\":{\"a\":{\"maxProperties\":1}}}",
         {"{\"a\":1}"},
         {"{\"a\":1,\"b\":1}"}},
        {"{\"dependencies\":{\"a\":[\"b\"],\"b\":{\"required\":[\"c\"]}}}",
         {"{\"c\":1}", "{\"a\":1,\"b\":1,\"c\":1}"},
         {"{\"a\":1}", "{\"a\":1,\"b\":1}"}},
        {"{\"allOf\":[{\"properties\":{\"a\":true}}],\"anyOf\":[{\"properties\":{\"b\":"
         "{\"type\":\"null\"}},\"required\":[\"b\"]},true],\"unevaluatedProperties\":"
         "false}",
         {"{\"a\":1}", "{\"a\":1,\"b\":null}"},
         {"{\"b\":1}", "{\"c\":1}"}},
        {"{\"not\":{\"not\":{\"properties\":{\"a\":true}}},\"unevaluatedProperties\":"
         "false}",
         {"{}"},
         {"{\"a\":1}"}},
    };
    (void)state;
    CHECK(rows);
}

static void test_references(void **state)
{
    static const row rows[] = {
        {"{\"$ref\":\"#/$defs/a~1b%25\",\"$defs\":{\"a/b%\":{\"type\":\"null\"}}}",
         {"null"},
         {"1"}},
        {"{\"$ref\":\"#/x/0\",\"x\":[{\"type\":\"null\"}]}", {"null"}, {"1"}},
        {"{\"$ref\":\"#n\",\"$defs\":{\"a\":{\"$anchor\":\"n\",\"type\":\"null\"}}}",
         {"null"},
         {"1"}},
        {"{" D7
         "\"$ref\":\"#n\",\"definitions\":{\"a\":{\"$id\":\"#n\",\"type\":\"null\"}},"
         "\"maximum\":1}",
         {"null"},
         {"1"}},
        {"{" D4
         "\"$ref\":\"#n\",\"definitions\":{\"a\":{\"id\":\"#n\",\"type\":\"null\"}}}",
         {"null"},
         {"1"}},
        {"{" D7 "\"properties\":{\"a\":{\"$ref\":\"#/definitions/x\",\"maximum\":1}},"
         "\"definitions\":{\"x\":{\"type\":\"integer\"}}}",
         {"{\"a\":2}"},
         {"{\"a\":null}"}},
        {"{\"$id\":\"http://h/a/b\",\"items\":{\"$ref\":\"../c?d#/$defs/"
         "e\"},\"$defs\":{\"x\":"
         "{\"$id\":\"/c?d\",\"$defs\":{\"e\":{\"type\":\"null\"}}}}}",
         {"[null]"},
         {"[1]"}},
        {"{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"additionalProperties\":false}",
         {"{\"a\":{\"a\":{}}}"},
         {"{\"a\":{\"b\":1}}"}},
        {"{" D19 "\"$recursiveAnchor\":true,\"items\":{\"$ref\":\"t\"},\"$defs\":{\"t\":{"
         "\"$id\":\"t\",\"$recursiveAnchor\":true,\"anyOf\":[{\"type\":\"null\"},"
         "{\"items\":{\"$recursiveRef\":\"#\"}}]}},\"maxItems\":1}",
         {"[null]", "[[[1]]]"},
         {"[[[1,2]]]"}},
        {"{\"$dynamicAnchor\":\"n\",\"$ref\":\"tree\",\"maxProperties\":1,\"$defs\":{"
         "\"t\":{"
         "\"$id\":\"tree\",\"$dynamicAnchor\":\"n\",\"additionalProperties\":"
         "{\"$dynamicRef\":\"#n\"}}}}",
         {"{\"a\":{\"b\":{}}}"},
         {"{\"a\":{\"b\":1,\"c\":2}}"}},
    };
    (void)state;
    CHECK(rows);
}

static void test_schemas_that_are_refused(void **state)
{
    static const struct {
        const char *schema;
        int code;
        const char *message;
    } rows[] = {
        {"1", ST_EFORMAT, "no schema"},
        {"{\"items\":{\"not\":3}}", ST_EFORMAT, "at \"/items/not\": no schema"},
        {"{\"properties\":{\"a/b\":{\"minLength\":-1}}}", ST_EFORMAT,
         "\"/properties/a~1b/minLength\""},
        {"{\"minLength\":1.5}", ST_EFORMAT, "whole number"},
        {"{\"minimum\":\"1\"}", ST_EFORMAT, "not a number"},
        {"{\"exclusiveMinimum\":true}", ST_EFORMAT, "not a number"},
        {"{" D4 "\"exclusiveMinimum\":1}", ST_EFORMAT, "draft 4"},
        {"{\"multipleOf\":0}", ST_EFORMAT, "above 0"},
        {"{\"type\":\"text\"}", ST_EFORMAT, "type"},
        {"{\"type\":[\"text\"]}", ST_EFORMAT, "type"},
        {"{\"required\":\"a\"}", ST_EFORMAT, "strings"},
        {"{\"required\":[1]}", ST_EFORMAT, "not a string"},
        {"{\"enum\":1}", ST_EFORMAT, "not a list"},
        {"{\"anyOf\":{}}", ST_EFORMAT, "list of schemas"},
        {"{\"properties\":[]}", ST_EFORMAT, "not an object"},
        {"{\"items\":[true]}", ST_EFORMAT, "prefixItems"},
        {"{\"uniqueItems\":1}", ST_EFORMAT, "true or false"},
        {"{\"pattern\":\"(\"}", ST_EFORMAT, "expression"},
        {"{\"pattern\":\"\\\\Z\"}", ST_EFORMAT, "escape"},
        {"{\"pattern\":\"(?i)a\"}", ST_EFORMAT, "group"},
        {"{\"pattern\":\"[\\\\uD800-\\\\uDBFF]\"}", ST_EUNSUPPORTED, "surrogate"},
        {"{\"pattern\":\"(?<=a+)b\"}", ST_EUNSUPPORTED, "lookbehind"},
        {"{\"format\":\"idn-hostname\"}", ST_EUNSUPPORTED, "format"},
        {"{" D7 "\"contentEncoding\":\"base64\"}", ST_EUNSUPPORTED, "content"},
        {"{\"$ref\":\"http://h/x\"}", ST_EUNSUPPORTED, "not in this one"},
        {"{\"$ref\":\"#/$defs/x\"}", ST_EFORMAT, "nothing"},
        {"{\"$ref\":\"#x\"}", ST_EFORMAT, "nothing"},
        {"{\"$ref\":1}", ST_EFORMAT, "not a string"},
        {"{\"$schema\":\"http://h/x\"}", ST_EUNSUPPORTED, "$schema"},
        {"{\"minimum\":1e9999999999}", ST_ELIMIT, "exponent"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const json *s = read_json(rows[i].schema);
        validator *v = NULL;
        st_err err = {0};
        int rc = validator_new(s, &v, &err);
        if (rc != rows[i].code || !strstr(err.message, rows[i].message))
            fail_msg("%s: %d %s", rows[i].schema, rc, err.message);
        assert_null(v);
        json_free(s);
    }
}

static void test_errors_name_place_and_keyword(void **state)
{
    static const struct {
        const char *schema, *value, *message;
    } rows[] = {
        {"{\"properties\":{\"a/b\":{\"items\":{\"type\":\"null\"}}}}",
         "{\"a/b\":[null,1]}", "\"/a~1b/1\": \"type\""},
        {"{\"anyOf\":[{\"minimum\":3},{\"maximum\":1}]}", "2", "\"\": \"anyOf\": none"},
        {"{\"oneOf\":[true,true]}", "2", "\"oneOf\": more than one"},
        {"{\"not\":true}", "2", "\"not\""},
        {"{\"contains\":{\"minimum\":3},\"maxContains\":1}", "[3,3]", "\"maxContains\""},
        {"{\"propertyNames\":{\"pattern\":\"^a\"}}", "{\"b\":1}", "\"/b\": \"pattern\""},
        {"{\"allOf\":[{\"items\":false}]}", "[1]", "\"/0\": \"false\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        st_err err = {0};
        assert_int_equal(run(rows[i].schema, rows[i].value, &err), ST_EFORMAT);
        if (!strstr(err.message, rows[i].message))
            fail_msg("%s: %s", rows[i].message, err.message);
    }
}

/* Work that would not end, or only in years, is an error and no answer. */
static void test_endless_schemas(void **state)
{
    st_buf text;
    st_err err = {0};
    (void)state;
    assert_int_equal(run("{\"$ref\":\"#\"}", "1", &err), ST_ELIMIT);
    err = (st_err){0};
    assert_int_equal(run("{\"anyOf\":[{\"$ref\":\"#\"},true]}", "1", &err), ST_ELIMIT);
    st_buf_init(&text, 1 << 16);
    st_buf_str(&text, "{\"$ref\":\"#/$defs/a0\",\"$defs\":{\"a40\":true");
    for (int i = 0; i < 40; i++)
        st_buf_fmt(&text,
                   ",\"a%d\":{\"allOf\":[{\"$ref\":\"#/$defs/a%d\"},"
                   "{\"$ref\":\"#/$defs/a%d\"}]}",
                   i, i + 1, i + 1);
    st_buf_str(&text, "}}");
    err = (st_err){0};
    assert_int_equal(run(text.data, "1", &err), ST_ELIMIT);
    st_buf_done(&text);
    err = (st_err){0};
    assert_int_equal(run("{\"pattern\":\"^(a|a)*$\"}",
                         "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"",
                         &err),
                     ST_ELIMIT);
}

static int everything(void *arg)
{
    const json *const *both = arg;
    validator *v = NULL;
    st_err err = {0};
    int rc = validator_new(both[0], &v, &err);
    if (rc == 0)
        rc = validator_run(v, both[1], &err);
    assert_int_equal(rc, err.code);
    validator_free(v);
    return rc;
}

static void test_out_of_memory(void **state)
{
    const json *both[] = {
        read_json(
            "{\"$id\":\"http://h/a\",\"$defs\":{\"n\":{\"$anchor\":\"n\",\"pattern\":"
            "\"^a\",\"$id\":\"n\"}},\"patternProperties\":{\"^x\":{\"$ref\":\"n\"}},"
            "\"allOf\":[{\"properties\":{\"a\":{\"uniqueItems\":true}}}],"
            "\"unevaluatedProperties\":false}"),
        read_json("{\"x\":\"ab\",\"a\":[1,2,3,4,5,6,7,8,9,10]}")};
    (void)state;
    fault_sweep(everything, both, 1);
    json_free(both[0]);
    json_free(both[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_value),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_schemas_that_are_refused),
        cmocka_unit_test(test_errors_name_place_and_keyword),
        cmocka_unit_test(test_endless_schemas),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
