/* tests/test_suites.c - the official JSON Schema suite and real schemas: every instance
 * gets the right answer, or its schema is refused when it is made ready.
 *
 * What is wrong by choice is listed in by_choice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "grammar/json.h"
#include "grammar/validate.h"
#include "tests/gz_lines.h"
#include "tests/here.h"
#include <string.h>

#define SUITE "../shared/data/json_schema_test_suite/"
#define BENCH "../shared/data/jsonschemabench/give_part.jsonl.gz"
#define DRAFT7 "http://json-schema.org/draft-07/schema#"

typedef struct counts {
    unsigned schemas, refused;
    unsigned tests, chosen, wrong;
} counts;

static const json *read_json(const char *text, size_t len)
{
    const json *root = NULL;
    st_err err = {0};
    if (json_read(text, len, &root, &err) < 0)
        fail_msg("%s", err.message);
    return root;
}

/* Formats are held against a text, as the suite's optional files have it and not as its
 * main ones; a host's label "xn--..." is never written. */
static bool by_choice(const json *row)
{
    return (json_is(json_get(row, "file"), "format.json") &&
            strstr(json_get(row, "test")->text, "only an annotation")) ||
           json_is(json_get(row, "group"), "validation of A-label (punycode) host names");
}

/* Rows of draft 7 do not say so themselves. */
static const json *schema_of(const json *row, const char *draft)
{
    const json *schema = json_get(row, "schema");
    st_buf out;
    st_buf_init(&out, 1 << 24);
    if (draft && schema->type == JSON_OBJECT && !json_get(schema, "$schema"))
        st_buf_fmt(&out, "{\"$schema\":\"%s\"%s", draft, schema->n ? "," : "");
    size_t from = out.len;
    json_write(schema, JSON_COMPACT, &out);
    if (from)
        memmove(out.data + from, out.data + from + 1, out.len-- - from);
    const json *root = read_json(out.data, out.len);
    st_buf_done(&out);
    return root;
}

static void check_one(const validator *v, const json *data, const json *valid,
                      const json *row, counts *c)
{
    st_err err = {0};
    int rc = validator_run(v, data, &err);
    assert_int_equal(rc, err.code);
    c->tests++;
    if ((rc == 0) == (valid->type == JSON_TRUE))
        return;
    if (by_choice(row)) {
        c->chosen++;
        return;
    }
    c->wrong++;
    st_buf text;
    st_buf_init(&text, 1 << 20);
    json_write(row, JSON_COMPACT, &text);
    print_message("WRONG: %s: %s\n", err.message, text.data);
    st_buf_done(&text);
}

static void check_row(const json *row, const char *draft, counts *c)
{
    const json *schema = schema_of(row, draft), *tests = json_get(row, "tests");
    validator *v = NULL;
    st_err err = {0};
    c->schemas++;
    int rc = validator_new(schema, &v, &err);
    assert_int_equal(rc, err.code);
    c->refused += rc < 0;
    if (rc == 0 && tests)
        for (uint32_t i = 0; i < tests->n; i++)
            check_one(v, json_get(&tests->items[i], "data"),
                      json_get(&tests->items[i], "valid"), row, c);
    else if (rc == 0)
        check_one(v, json_get(row, "data"), json_get(row, "valid"), row, c);
    validator_free(v);
    json_free(schema);
}

static counts run(const char *path, const char *draft)
{
    counts c = {0};
    if (!is_here(path))
        skip();
    gz_lines in = gz_open(path);
    while (gz_next(&in)) {
        const json *row = read_json(in.line, in.len);
        check_row(row, draft, &c);
        json_free(row);
    }
    assert_true(gz_close(&in));
    print_message(
        "%u schemas, %u refused; %u instances, %u not as the suite by choice, %u "
        "wrong\n",
        c.schemas, c.refused, c.tests, c.chosen, c.wrong);
    assert_int_equal(c.wrong, 0);
    return c;
}

static void test_draft7(void **state)
{
    (void)state;
    assert_true(run(SUITE "draft7.jsonl.gz", DRAFT7).tests > 1500);
}

static void test_draft2019(void **state)
{
    (void)state;
    assert_true(run(SUITE "draft2019-09.jsonl.gz", NULL).tests > 1900);
}

static void test_draft2020(void **state)
{
    (void)state;
    assert_true(run(SUITE "draft2020-12.jsonl.gz", NULL).tests > 1900);
}

static void test_real_schemas(void **state)
{
    (void)state;
    counts c = run(BENCH, NULL);
    assert_true(c.schemas > 4000 && c.refused <= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draft7),
        cmocka_unit_test(test_draft2019),
        cmocka_unit_test(test_draft2020),
        cmocka_unit_test(test_real_schemas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
