/* tests/test_json.c - JSON text: what is read, refused, equal, written; depth and size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "grammar/json.h"
#include "tests/fault.h"
#include "tests/gz_lines.h"
#include "tests/here.h"
#include <sodium/utils.h>

#define SUITE "../shared/data/json_parsing_suite/test_parsing.jsonl.gz"

static const json *of(const char *text)
{
    const json *root = NULL;
    st_err err = {0};
    if (json_read(text, strlen(text), &root, &err) < 0)
        fail_msg("%s: %s", text, err.message);
    return root;
}

static void refused(const char *text, size_t len, int code, const char *message)
{
    const json *root = NULL;
    st_err err = {0};
    assert_int_equal(json_read(text, len, &root, &err), code);
    assert_null(root);
    assert_int_equal(err.code, code);
    if (!strstr(err.message, message))
        fail_msg("'%s' is not in '%s'", message, err.message);
}

static void test_tree(void **state)
{
    const json *j = of(" {\"b\" : [1, -2.50e+3 ,\"x\\u0041\\n\\uD83D\\uDE00\"],\r\n\t"
                       "\"a\":{}, \"\":[ ], \"n\":null,\"t\":true,\"f\":false} ");
    (void)state;
    assert_int_equal(j->type, JSON_OBJECT);
    assert_int_equal(j->n, 6);
    assert_true(json_is(&j->names[0], "b") && json_is(&j->names[1], "a"));
    const json *b = json_get(j, "b");
    assert_ptr_equal(b, &j->items[0]);
    assert_int_equal(b->n, 3);
    assert_string_equal(b->items[1].text, "-2.50e+3"); /* as written */
    assert_string_equal(b->items[2].text, "xA\n\xF0\x9F\x98\x80");
    assert_int_equal(b->items[2].n, 7);
    assert_int_equal(json_get(j, "a")->n, 0);
    assert_int_equal(json_get(j, "")->type, JSON_ARRAY);
    assert_int_equal(json_get(j, "n")->type, JSON_NULL);
    assert_int_equal(json_get(j, "t")->type, JSON_TRUE);
    assert_int_equal(json_get(j, "f")->type, JSON_FALSE);
    assert_null(json_get(j, "c"));
    assert_null(json_get(b, "c"));
    json_free(j);
    json_free(NULL);
}

static void test_text_may_hold_nul(void **state)
{
    const json *j = of("{\"a\\u0000b\":1,\"a\":2}");
    (void)state;
    assert_int_equal(j->names[0].n, 3);
    assert_string_equal(json_get(j, "a")->text, "2");
    assert_string_equal(json_get_n(j, "a\0b", 3)->text, "1");
    json_free(j);
    j = of("\"a\\u0000b\"");
    assert_false(json_is(j, "a"));
    json_free(j);
}

static void test_errors_name_the_place(void **state)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"", "line 1 column 1: a value is missing"},
        {"[1,\n  2,\n  }", "line 3 column 3: no JSON value"},
        {"{\"\xC3\xA9\": tru}", "line 1 column 7: no JSON value"},
        {"[1 2]", "line 1 column 4: ',' or ']' is missing"},
        {"{\"a\":1,}", "line 1 column 8: an object's name"},
        {"{\"a\" 1}", "':' is missing"},
        {"{\"a\":1 \"b\"", "',' or '}' is missing"},
        {"[01]", "begins with 0"},
        {"-", "a '-' without a number"},
        {"1.", "a digit behind its '.'"},
        {"1e+", "a digit in its exponent"},
        {"\"abc", "line 1 column 1: a string without an end"},
        {"\"a\tb\"", "line 1 column 3: a control character"},
        {"\"\\x\"", "does not escape"},
        {"\"\\", "does not escape"},
        {"\"\\u12\"", "four hexadecimal digits"},
        {"\"\\uD800\"", "half of a surrogate pair"},
        {"\"\\uD800\\u0041\"", "half of a surrogate pair"},
        {"\"\\uDC00\"", "half of a surrogate pair"},
        {"\"\xFF\"", "not UTF-8"},
        {"1 1", "line 1 column 3: something behind the value"},
        {"{\"a\":1,\n\"a\":1}",
         "line 2 column 6: the object that ends here has the same"},
        {"\xEF\xBB\xBF{}", "no JSON value"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        refused(rows[i].text, strlen(rows[i].text), ST_EFORMAT, rows[i].message);
    refused("1\0", 2, ST_EFORMAT, "something behind the value");
}

static void test_repeated_names(void **state)
{
    const char *text = "{\"b\":1,\"a\":2,\"b\":3,\"c\":{\"x\":[],\"x\":4},\"b\":5}";
    const json *root = NULL;
    st_err err = {0};
    st_buf out;
    (void)state;
    refused(text, strlen(text), ST_EFORMAT, "the same name twice");
    assert_int_equal(json_read_last(text, strlen(text), &root, &err), 0);
    st_buf_init(&out, 1 << 10);
    json_write(root, JSON_COMPACT, &out);
    assert_string_equal(out.data, "{\"b\":5,\"a\":2,\"c\":{\"x\":4}}");
    assert_string_equal(json_get(root, "c")->items[0].text, "4");
    st_buf_done(&out);
    json_free(root);
}

static void pair(const char *a, const char *b, bool same)
{
    const json *x = of(a), *y = of(b);
    if (json_same(x, y) != same || json_same(y, x) != same)
        fail_msg("%s and %s", a, b);
    assert_int_equal(json_hash(x) == json_hash(y), same);
    json_free(x);
    json_free(y);
}

static void test_equality(void **state)
{
    (void)state;
    pair("1", "1.0", true);
    pair("1", "1e0", true);
    pair("1", "0.1E+1", true);
    pair("100", "1e2", true);
    pair("12.5", "125e-1", true);
    pair("0", "-0.0", true);
    pair("1", "-1", false);
    pair("1", "10", false);
    pair("1", "true", false);
    pair("0", "false", false);
    pair("1", "\"1\"", false);
    pair("9007199254740993", "9007199254740992", false);
    pair("0.1", "0.10000000000000000000001", false);
    pair("1e2000000000", "1e2000000000", true);
    pair("1e2000000000", "1e2000000001", false);
    pair("\"a\\u00e9\"", "\"a\xC3\xA9\"", true);
    pair("\"a\"", "\"a\\u0000\"", false);
    pair("[1,2]", "[2,1]", false);
    pair("[1,2]", "[1,2,3]", false);
    pair("[]", "{}", false);
    pair("[[],[]]", "[[[]]]", false);
    pair("{\"a\":1,\"b\":[2,{\"c\":3}]}", "{\"b\":[2.0,{\"c\":30e-1}],\"a\":1e0}", true);
    pair("{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}", false);
    pair("{\"a\":1}", "{\"b\":1}", false);
    pair("{\"a\":1}", "{\"a\":1,\"b\":1}", false);
    pair("null", "false", false);
}

static void written(const char *text, json_space space, const char *as)
{
    const json *j = of(text);
    st_buf out;
    st_buf_init(&out, 1 << 12);
    json_write(j, space, &out);
    assert_string_equal(out.data, as);
    const json *again = of(out.data);
    assert_true(json_same(j, again));
    json_free(again);
    json_free(j);
    st_buf_done(&out);
}

static void test_writing(void **state)
{
    (void)state;
    written("{\"a\" :[1,true,null , false],\"b\":{}}", JSON_COMPACT,
            "{\"a\":[1,true,null,false],\"b\":{}}");
    written("{\"a\" :[1,2],\"b\":{}}", JSON_SPACED, "{\"a\": [1, 2], \"b\": {}}");
    written("\"\\u0000\\u001f\\u007f\\b\\f\\n\\r\\t\\/\\\\\\\"\\u00e9\"", JSON_COMPACT,
            "\"\\u0000\\u001F\x7F\\b\\f\\n\\r\\t/\\\\\\\"\xC3\xA9\"");
    written(
        "[1e2,1E-3,-0,1.50,1e399,1e400]", JSON_SPACED,
        "[100, 0.001, 0, 1.5, 1"
        "0000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "0000, 1e400]");
}

/* `n` opening brackets and as many closing ones, or none. */
static char *nest(size_t n, const char *open, const char *close)
{
    size_t a = strlen(open), b = strlen(close);
    char *text = st_alloc(n * (a + b) + 2);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        memcpy(text + i * a, open, a);
    text[n * a] = '1';
    for (size_t i = 0; i < n; i++)
        memcpy(text + n * a + 1 + i * b, close, b);
    text[n * (a + b) + 1] = '\0';
    return text;
}

static void test_depth(void **state)
{
    char *deep = nest(JSON_DEPTH, "[", "]");
    const json *j = of(deep), *k = of(deep);
    (void)state;
    assert_true(json_same(j, k) && json_hash(j) == json_hash(k));
    json_free(j);
    json_free(k);
    st_free(deep);
    deep = nest(JSON_DEPTH + 1, "[", "]");
    refused(deep, strlen(deep), ST_ELIMIT, "nested more than 512 deep");
    st_free(deep);
    deep = nest(1000000, "[{\"a\":", "}]");
    refused(deep, strlen(deep), ST_ELIMIT, "nested more than 512 deep");
    st_free(deep);
}

/* 200,000 members in each order: quadratic work would not come to an end here. */
static void test_many_members(void **state)
{
    enum { N = 200000 };
    st_buf out, back;
    (void)state;
    st_buf_init(&out, 1 << 24);
    st_buf_init(&back, 1 << 24);
    for (int i = 0; i < N; i++) {
        st_buf_fmt(&out, "%c\"k%d\":%d", i ? ',' : '{', i, i);
        st_buf_fmt(&back, "%c\"k%d\":%d.0", i ? ',' : '{', N - 1 - i, N - 1 - i);
    }
    st_buf_char(&out, '}');
    st_buf_char(&back, '}');
    const json *j = of(out.data), *k = of(back.data);
    assert_int_equal(j->n, N);
    assert_true(json_same(j, k) && json_hash(j) == json_hash(k));
    for (int i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "k%d", i);
        assert_ptr_equal(json_get(j, name), &j->items[i]);
    }
    json_free(j);
    json_free(k);
    out.len--;
    st_buf_str(&out, ",\"k77\":0}");
    refused(out.data, out.len, ST_EFORMAT, "the same name twice");
    st_buf_done(&out);
    st_buf_done(&back);
}

/* Every beginning of a text is refused without reading behind its end. */
static void test_cut_texts(void **state)
{
    const char *text = "{\"a\":[1.5e+2,\"\\u00e9\\n\xC3\xA9\\uD83D\\uDE00\",true,null]}";
    (void)state;
    for (size_t n = 0; n < strlen(text); n++) {
        const json *root = NULL;
        st_err err = {0};
        char *cut = st_alloc(n);
        memcpy(cut, text, n);
        assert_int_equal(json_read(cut, n, &root, &err), ST_EFORMAT);
        st_free(cut);
    }
}

static int read_once(void *arg)
{
    const char *text = arg;
    const json *root = NULL;
    st_err err = {0};
    int rc = json_read(text, strlen(text), &root, &err);
    assert_int_equal(rc, err.code);
    assert_int_equal(root == NULL, rc < 0);
    json_free(root);
    return rc;
}

static void test_out_of_memory(void **state)
{
    st_buf text;
    (void)state;
    st_buf_init(&text, 1 << 20);
    st_buf_str(&text, "{\"a\":{\"b\":[{\"c\":1}]},\"d\":[0");
    for (int i = 0; i < 2000; i++)
        st_buf_fmt(&text, ",{\"n\":%d}", i);
    st_buf_str(&text, "]}");
    assert_int_equal(text.code, 0);
    fault_sweep(read_once, text.data, 1);
    st_buf_done(&text);
}

/* One row: must it be read, must it be refused, or is either right? */
static void check_row(const json *row, size_t *n)
{
    static unsigned char bytes[1 << 19];
    const json *text = json_get(row, "base64"), *expect = json_get(row, "expect");
    const json *file = json_get(row, "file"), *root = NULL;
    size_t len;
    st_err err = {0};
    assert_int_equal(sodium_base642bin(bytes, sizeof bytes, text->text, text->n, NULL,
                                       &len, NULL, sodium_base64_VARIANT_ORIGINAL),
                     0);
    int rc = json_read_last((char *)bytes, len, &root, &err);
    json_free(root);
    root = NULL;
    if (json_is(expect, "either") ? 0 : (rc == 0) != json_is(expect, "accept"))
        fail_msg("%s: %d %s", file->text, rc, err.message);
    int strict = json_read((char *)bytes, len, &root, &(st_err){0});
    json_free(root);
    if (strict != rc && !strstr(file->text, "duplicated_key"))
        fail_msg("%s: %d, but %d", file->text, rc, strict);
    ++*n;
}

static void test_suite(void **state)
{
    size_t n = 0;
    (void)state;
    if (!is_here(SUITE))
        skip();
    gz_lines in = gz_open(SUITE);
    while (gz_next(&in)) {
        const json *row = of(in.line);
        check_row(row, &n);
        json_free(row);
    }
    assert_true(gz_close(&in));
    print_message("%zu texts\n", n);
    assert_true(n > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_text_may_hold_nul),
        cmocka_unit_test(test_errors_name_the_place),
        cmocka_unit_test(test_repeated_names),
        cmocka_unit_test(test_equality),
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_many_members),
        cmocka_unit_test(test_cut_texts),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
