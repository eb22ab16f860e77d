/* tests/test_suites.c - the official JSON Schema suite and real schemas: every instance
 * gets the right answer, or its schema is refused when it is made ready.
 *
 * What is wrong by choice is listed in by_choice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "grammar/instance.h"
#include "grammar/json.h"
#include "grammar/validate.h"
#include "tests/gz_lines.h"
#include "tests/here.h"
#include <string.h>

#define SUITE "../shared/data/json_schema_test_suite/"
#define BENCH "../shared/data/jsonschemabench/give_part.jsonl.gz"
#define DRAFT7 "http://json-schema.org/draft-07/schema#"

typedef struct counts {
    unsigned rows;
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

/* Append a value with its numbers as they are: in draft 4 it matters how one is written.
 */
static void put_as_written(const json *value, st_buf *out)
{
    bool is_object = value->type == JSON_OBJECT;
    if (value->type == JSON_NUMBER)
        st_buf_add(out, value->text, value->n);
    if (value->type == JSON_NUMBER)
        return;
    if (value->type < JSON_ARRAY) {
        json_write(value, JSON_COMPACT, out);
        return;
    }
    st_buf_char(out, is_object ? '{' : '[');
    for (uint32_t i = 0; i < value->n; i++) {
        st_buf_str(out, i ? "," : "");
        if (is_object) {
            json_write_string(value->names[i].text, value->names[i].n, out);
            st_buf_char(out, ':');
        }
        put_as_written(&value->items[i], out);
    }
    st_buf_char(out, is_object ? '}' : ']');
}

/* Formats are held against a text, as the suite's optional files have it and not as its
 * main ones; a host's label "xn--..." is never written. */
static bool by_choice(const json *row)
{
    const json *file = json_get(row, "file"); /* real schemas are of none */
    return file && ((json_is(file, "format.json") &&
                     strstr(json_get(row, "test")->text, "only an annotation")) ||
                    json_is(json_get(row, "group"),
                            "validation of A-label (punycode) host names"));
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

/* The tests of a row as a list: real schemas have many, the suite's rows are one. */
static uint32_t n_tests(const json *row)
{
    const json *tests = json_get(row, "tests");
    return tests ? tests->n : 1;
}

static const json *test_of(const json *row, uint32_t i)
{
    const json *tests = json_get(row, "tests");
    return tests ? &tests->items[i] : row;
}

/* What `stint grammar check` answers. */
static const json *hold(const json *row, const json *schema, bool any_order)
{
    st_buf line, out;
    st_err err = {0};
    st_buf_init(&line, 1 << 24);
    st_buf_init(&out, 1 << 24);
    st_buf_str(&line, "{\"schema\":");
    json_write(schema, JSON_COMPACT, &line);
    st_buf_str(&line, ",\"tests\":[");
    for (uint32_t i = 0; i < n_tests(row); i++) {
        st_buf_str(&line, i ? ",{\"data\":" : "{\"data\":");
        const json *data = json_get(test_of(row, i), "data");
        put_as_written(data, &line);
        st_buf_char(&line, '}');
    }
    st_buf_str(&line, "]}");
    if (instance_check_line(line.data, line.len, &(instance_opts){.any_order = any_order},
                            &out, &err) < 0)
        fail_msg("%s: %s", line.data, err.message);
    const json *answer = read_json(out.data, out.len);
    st_buf_done(&line);
    st_buf_done(&out);
    return answer;
}

static void wrong(const json *row, const char *who, const char *why, counts *c)
{
    st_buf text;
    if (by_choice(row)) {
        c->chosen++;
        return;
    }
    c->wrong++;
    st_buf_init(&text, 1 << 24);
    json_write(row, JSON_COMPACT, &text);
    print_message("WRONG: %s: %s: %s\n", who, why, text.data);
    st_buf_done(&text);
}

/* The mask and the validator on each instance of a row. */
static void check_tests(const json *row, const json *schema, const json *accepts,
                        counts *c)
{
    validator *v = NULL;
    st_err err = {0};
    assert_int_equal(validator_new(schema, &v, &err), 0); /* what is held is checked */
    for (uint32_t i = 0; i < n_tests(row); i++) {
        bool valid = json_get(test_of(row, i), "valid")->type == JSON_TRUE;
        err = (st_err){0};
        int rc = validator_run(v, json_get(test_of(row, i), "data"), &err);
        assert_int_equal(rc, err.code);
        c->tests++;
        if ((rc == 0) != valid)
            wrong(row, "validator", err.message, c);
        else if ((accepts->items[i].type == JSON_TRUE) != valid)
            wrong(row, "mask", valid ? "refused" : "allowed", c);
    }
    validator_free(v);
}

/* In any order, and every fourth row of the suite in the schema's too. */
static void check_row(const json *row, const char *draft, counts *c)
{
    const json *schema = schema_of(row, draft);
    bool both = json_get(row, "file") && c->rows % 4 == 0;
    c->rows++;
    for (int any = !both; any < 2; any++) {
        const json *answer = hold(row, schema, any != 0);
        c->schemas++;
        if (json_get(answer, "compiled")->type == JSON_TRUE)
            check_tests(row, schema, json_get(answer, "accepts"), c);
        else
            c->refused++;
        json_free(answer);
    }
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
    assert_true(c.rows > 4000 && c.refused < c.schemas / 20);
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
