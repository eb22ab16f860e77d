/* tests/test_schema_run.c - texts held to a JSON Schema: never an invalid one, never a
 * dead end, and no valid one refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/rng.h"
#include "fault.h"
#include "grammar/instance.h"
#include "grammar/schema_run.h"
#include "grammar/validate.h"
#include "gz_lines.h"
#include "here.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bed {
    const json *raw;
    schema *s;
    automaton *a;
    validator *v;
} bed;

static int bed_try(bed *b, const char *text, grammar_space space, bool any_order,
                   st_err *err)
{
    *b = (bed){0};
    schema_refusal refusal;
    int rc = json_read(text, strlen(text), &b->raw, err);
    if (rc == 0)
        rc = schema_new(b->raw, &b->s, &refusal, err);
    if (rc == 0)
        rc = schema_automaton_new(b->s, space, any_order, &b->a, err);
    if (rc == 0)
        rc = validator_new(b->raw, &b->v, err);
    return rc;
}

static void bed_done(bed *b)
{
    if (b->a)
        b->a->ops->free(b->a);
    validator_free(b->v);
    schema_free(b->s);
    json_free(b->raw);
}

static bed bed_of(const char *text, grammar_space space, bool any_order)
{
    bed b;
    st_err err = {0};
    if (bed_try(&b, text, space, any_order, &err) < 0)
        fail_msg("%s: %s", text, err.message);
    return b;
}

/* The state after one more byte of a text, repeats looked at; its last byte is new. */
static state_id step(const bed *b, state_id s, const char *text, size_t len)
{
    const automaton_ops *ops = b->a->ops;
    state_id to;
    assert_int_equal(ops->step(b->a, s, (uint8_t)text[len - 1], &to, NULL), 0);
    if (to != STATE_DEAD && ops->may_repeat && ops->may_repeat(b->a, to) &&
        ops->repeats(b->a, to, text, len))
        return STATE_DEAD;
    return to;
}

static state_id run(const bed *b, const char *text)
{
    state_id s = STATE_START;
    for (size_t i = 1; s != STATE_DEAD && i <= strlen(text); i++)
        s = step(b, s, text, i);
    return s;
}

static bool accepts(const bed *b, const char *text)
{
    state_id s = run(b, text);
    return s != STATE_DEAD && b->a->ops->accepts(b->a, s);
}

static bool valid(const bed *b, const char *text, size_t len)
{
    const json *value;
    assert_int_equal(json_read(text, len, &value, NULL), 0);
    int rc = validator_run(b->v, value, NULL);
    json_free(value);
    assert_true(rc == 0 || rc == ST_EFORMAT);
    return rc == 0;
}

/* ---- what is written ---- */

typedef struct row {
    const char *schema;
    const char *good[8];
    const char *dead[8]; /* beginnings of nothing */
} row;

static const row spaced_rows[] = {
    {"true",
     {"1", "\"a\"", "[1, null, {}]", "{\"a\": [true]}", "{\"\xC3\xA7\": \"\xC3\xA7\"}"},
     {"[1,2", "{\"a\":1", " "}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":"
     "\"string\"}},\"required\":[\"a\"],\"additionalProperties\":false}",
     {"{\"a\": 1}", "{\"a\": -12, \"b\": \"x\\n\\u0001\"}"},
     {"{}", "{\"b", "{\"a\": 1, \"a", "{\"a\": 1.", "{\"c", "{\"a\": 1, \"b\": \"\\/",
      "{\"a\": 1, \"b\": \"\\u000A", "{\"a\": 1, \"b\": \"\\u0041"}},
    {"{\"enum\":[1,\"x\",null,[1,2],{\"k\":false}]}",
     {"1", "\"x\"", "null", "[1, 2]", "{\"k\": false}"},
     {
         "1.",
         "2",
         "\"y",
         "nul1",
         "[1, 3",
         "{\"k\": t",
         "[1]",
         "{}",
     }},
    {"{\"type\":\"array\",\"minItems\":2,\"maxItems\":3,\"items\":{\"type\":\"boolean\"}"
     "}",
     {"[true, false]", "[true, true, true]"},
     {"[]", "[true]", "[true, true, true,", "[1", "[null"}},
    {"{\"type\":\"array\",\"contains\":{\"const\":1},\"minContains\":2,\"maxContains\":2,"
     "\"items\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":3},\"maxItems\":3}",
     {"[1, 1]", "[0, 1, 1]", "[1, 0, 1]", "[1, 1, 3]"},
     {"[0, 0", "[1, 1, 1", "[1]", "[0, 1, 2", "[]"}},
    {"{\"type\":\"array\",\"uniqueItems\":true}",
     {"[1, 2, \"1\"]", "[[1], [1, 1]]", "[{\"a\": 1}, {\"a\": 2}]"},
     {"[1, 1,", "[1, 1.0]", "[\"a\", \"a\"", "[[1], [1]", "[true, true",
      "[{\"a\": 1, \"b\": 2}, {\"b\": 2, \"a\": 1}"}},
    {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"null\"},"
     "\"maxProperties\":2}",
     {"{}", "{\"a\": null}", "{\"\": null, \"x\": null}"},
     {"{\"a\": null, \"a\"", "{\"a\": null, \"b\": null,", "{\"a\": 1"}},
    {"{\"minProperties\":2,\"type\":\"object\",\"properties\":{\"a\":true,\"b\":true,"
     "\"c\":"
     "true},\"additionalProperties\":false}",
     {"{\"a\": 1, \"b\": 2}", "{\"a\": 1, \"c\": 2}", "{\"b\": 1, \"c\": 2}"},
     {"{\"c", "{}", "{\"a\": 1}"}},
    {"{\"type\":\"object\",\"patternProperties\":{\"^[ab]$\":{\"type\":\"integer\"}},"
     "\"additionalProperties\":false}",
     {"{\"a\": 1, \"b\": 2}", "{\"b\": 1}"},
     {"{\"a\": 1, \"b\": 2,", "{\"c", "{\"ab", "{\"a\": 1, \"a\""}},
    {"{\"type\":\"object\",\"properties\":{\"a\":true,\"b\":true},\"dependentRequired\":{"
     "\"a\":[\"b\"]},\"additionalProperties\":false}",
     {"{}", "{\"b\": 1}", "{\"a\": 1, \"b\": 1}"},
     {"{\"a\": 1}", "{\"b\": 1, \"a"}},
    {"{\"not\":{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"integer\"}}}}",
     {"1", "{\"k\": \"x\"}", "{\"k\": 1.5}"},
     {"{}", "{\"k\": 1}", "{\"j\": 1}"}},
    {"{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"a\"},\"x\":{"
     "\"type\":\"integer\"}},\"required\":[\"kind\",\"x\"]},{\"type\":\"object\","
     "\"properties\":{\"kind\":{\"const\":\"b\"},\"y\":{\"type\":\"integer\"}},"
     "\"required\":["
     "\"kind\",\"y\"]}]}",
     {"{\"kind\": \"a\", \"x\": 1}", "{\"kind\": \"b\", \"y\": 1, \"x\": \"q\"}"},
     {"{\"kind\": \"c", "{\"kind\": \"a\", \"x\": \"", "{\"kind\": \"b\"}"}},
    {"{\"$ref\":\"#/$defs/"
     "n\",\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"next\":{"
     "\"$ref\":\"#/$defs/n\"},\"v\":{\"type\":\"integer\"}},\"required\":[\"v\"],"
     "\"additionalProperties\":false}}}",
     {"{\"v\": 1}", "{\"next\": {\"next\": {\"v\": 1}, \"v\": 2}, \"v\": 3}"},
     {"{\"next\": {}", "{\"v\": 1, \"next"}},
    {"{\"const\":\"a\\\"b\\\\c\\u0001\\n\"}", {"\"a\\\"b\\\\c\\u0001\\n\""}, {"\"a\\u"}},
};

static void rows_of_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof spaced_rows / sizeof *spaced_rows; i++) {
        const row *r = &spaced_rows[i];
        bed b = bed_of(r->schema, GRAMMAR_SPACED, false);
        for (size_t k = 0; k < 8 && r->good[k]; k++) {
            if (!accepts(&b, r->good[k]))
                fail_msg("%s refuses %s", r->schema, r->good[k]);
            assert_true(valid(&b, r->good[k], strlen(r->good[k])));
        }
        for (size_t k = 0; k < 8 && r->dead[k]; k++)
            if (run(&b, r->dead[k]) != STATE_DEAD)
                fail_msg("%s begins with %s", r->schema, r->dead[k]);
        bed_done(&b);
    }
}

static void spaces(void **state)
{
    (void)state;
    const char *text =
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\"}}}";
    const char *spaced = "{\"a\": [1, 2], \"b\": 3}", *tight = "{\"a\":[1,2],\"b\":3}",
               *mixed = "{\"a\": [1,2],\"b\":3}";
    for (int space = GRAMMAR_SPACED; space <= GRAMMAR_EITHER; space++) {
        bed b = bed_of(text, (grammar_space)space, false);
        assert_int_equal(accepts(&b, spaced), space != GRAMMAR_COMPACT);
        assert_int_equal(accepts(&b, tight), space != GRAMMAR_SPACED);
        assert_int_equal(accepts(&b, mixed), space == GRAMMAR_EITHER);
        assert_false(accepts(&b, "{\"a\":  [1]}"));
        assert_false(accepts(&b, "{ \"a\": [1]}"));
        assert_false(accepts(&b, "{\"a\": [1] }"));
        bed_done(&b);
    }
}

static void any_order(void **state)
{
    (void)state;
    const char *text =
        "{\"type\":\"object\",\"properties\":{\"a\":true,\"b\":true,\"c\":true},"
        "\"required\":[\"a\",\"c\"]}";
    bed b = bed_of(text, GRAMMAR_COMPACT, true);
    assert_true(accepts(&b, "{\"c\":1,\"z\":0,\"a\":2,\"b\":3}"));
    assert_true(accepts(&b, "{\"a\":1,\"c\":2}"));
    assert_false(accepts(&b, "{\"a\":1,\"a\":2,\"c\":1}"));
    assert_false(accepts(&b, "{\"a\":1,\"b\":2}"));
    assert_false(accepts(&b, "{\"c\":1,\"z\":0,\"z\":2,\"a\":3}"));
    bed_done(&b);
    b = bed_of(text, GRAMMAR_COMPACT, false);
    assert_false(accepts(&b, "{\"c\":1,\"a\":2}"));
    assert_false(accepts(&b, "{\"a\":1,\"z\":2,\"c\":3}"));
    assert_true(accepts(&b, "{\"a\":1,\"c\":2,\"z\":3}"));
    bed_done(&b);
}

/* Which shape's order a value is to be written in shows only behind the inner object. */
static void orders_of_shapes(void **state)
{
    (void)state;
    const char *line =
        "{\"schema\":{\"anyOf\":[{\"properties\":{\"in\":{\"properties\":{\"x\":true,"
        "\"y\":"
        "true}},\"k\":{\"const\":\"a\"}},\"required\":[\"k\"]},{\"properties\":{\"in\":{"
        "\"properties\":{\"y\":true,\"x\":true}},\"k\":{\"const\":\"b\"}},\"required\":["
        "\"k\"]}]},\"tests\":[{\"data\":{\"k\":\"b\",\"in\":{\"x\":1,\"y\":2}}},{"
        "\"data\":{"
        "\"in\":{\"y\":1,\"x\":2},\"k\":\"a\"}},{\"data\":{\"k\":\"c\"}},{\"data\":[{"
        "\"z\":"
        "1,\"k\":[]}]}]}";
    st_buf out;
    st_buf_init(&out, 1000);
    assert_int_equal(
        instance_check_line(line, strlen(line), &(instance_opts){0}, &out, NULL), 0);
    assert_string_equal(out.data,
                        "{\"compiled\":true,\"accepts\":[true,true,false,true]}\n");
    st_buf_done(&out);
}

/* Everything is determined: there is one way on, byte by byte. */
static void one_way_on(void **state)
{
    (void)state;
    bed b = bed_of(
        "{\"type\":\"object\",\"properties\":{\"first name\":{\"const\":\"a/b\\n\"},"
        "\"n\":{\"const\":-1.50},\"l\":{\"const\":[1,{\"x\":null}]},\"t\":{\"enum\":["
        "true]}},\"required\":[\"first name\",\"n\",\"l\",\"t\"],"
        "\"additionalProperties\":false}",
        GRAMMAR_SPACED, false);
    const char *text =
        "{\"first name\": \"a/b\\n\", \"n\": -1.5, \"l\": [1, {\"x\": null}], "
        "\"t\": true}";
    state_id s = STATE_START;
    for (size_t i = 0; text[i]; i++) {
        assert_false(b.a->ops->accepts(b.a, s));
        state_id next = STATE_DEAD;
        for (int c = 0; c < 256; c++) {
            state_id to;
            assert_int_equal(b.a->ops->step(b.a, s, (uint8_t)c, &to, NULL), 0);
            if ((to != STATE_DEAD) != (c == (uint8_t)text[i]))
                fail_msg("'%c' at %zu of %s", c, i, text);
            next = to != STATE_DEAD ? to : next;
        }
        s = next;
    }
    assert_true(b.a->ops->accepts(b.a, s));
    bed_done(&b);
}

static void the_same_place_is_the_same_state(void **state)
{
    (void)state;
    bed b = bed_of("{\"type\":\"array\",\"items\":{\"type\":\"string\"}}", GRAMMAR_SPACED,
                   false);
    assert_int_equal(run(&b, "[\"abc"), run(&b, "[\"x\", \"\\n"));
    assert_int_equal(run(&b, "[\"abc\""), run(&b, "[\"x\", \"\""));
    size_t before = b.a->ops->bytes(b.a);
    b.a->ops->forget(b.a);
    assert_true(b.a->ops->bytes(b.a) <= before);
    assert_true(accepts(&b, "[\"abc\"]"));
    assert_int_equal(b.a->ops->room(b.a, run(&b, "[\"a")), UINT32_MAX);
    assert_int_equal(b.a->ops->room(b.a, run(&b, "[\"a\"")), 0);
    assert_int_equal(b.a->ops->room(b.a, run(&b, "[\"a\\")), 0);
    bed_done(&b);
    b = bed_of("{\"type\":\"object\",\"properties\":{\"ab\":true,\"b\":false}}",
               GRAMMAR_SPACED, false);
    assert_int_equal(b.a->ops->room(b.a, run(&b, "{\"a")), UINT32_MAX);
    assert_int_equal(b.a->ops->room(b.a, run(&b, "{\"b")), UINT32_MAX);
    bed_done(&b);
    b = bed_of("{\"type\":\"string\",\"maxLength\":5}", GRAMMAR_SPACED, false);
    assert_int_equal(b.a->ops->room(b.a, run(&b, "\"ab")), 3);
    bed_done(&b);
}

static void taken_texts(void **state)
{
    (void)state;
    bed b = bed_of("{\"additionalProperties\":{\"type\":\"array\",\"uniqueItems\":true}}",
                   GRAMMAR_COMPACT, true);
    st_buf out;
    st_buf_init(&out, 1000);
    const char *text = "{\"abc\":[],\"abd\":[],\"x\":[\"q\",\"q1\",\"r\",[\"q2\"],\"q";
    assert_true(b.a->ops->taken(b.a, run(&b, text), text, strlen(text), &out));
    assert_int_equal(out.len, 5);
    assert_memory_equal(out.data,
                        "\"\0"
                        "1\"\0",
                        5);
    st_buf_reset(&out);
    text = "{\"abc\":[],\"abd\":[],\"x\":[{\"abe\":1}],\"ab";
    assert_true(b.a->ops->taken(b.a, run(&b, text), text, strlen(text), &out));
    assert_int_equal(out.len, 6);
    assert_memory_equal(out.data,
                        "c\"\0"
                        "d\"\0",
                        6);
    st_buf_reset(&out);
    text = "{\"abc\":[],";
    assert_false(b.a->ops->taken(b.a, run(&b, text), text, strlen(text), &out));
    st_buf_done(&out);
    bed_done(&b);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    bed b =
        bed_of("{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}", GRAMMAR_COMPACT, false);
    char text[2 * SCHEMA_DEPTH + 2] = "";
    memset(text, '[', SCHEMA_DEPTH);
    memset(text + SCHEMA_DEPTH, ']', SCHEMA_DEPTH);
    assert_true(accepts(&b, text));
    memset(text, '[', SCHEMA_DEPTH + 1);
    text[SCHEMA_DEPTH + 1] = 0;
    assert_int_equal(run(&b, text), STATE_DEAD);
    bed_done(&b);
    /* an item needs two levels more: it cannot be begun where there is only one */
    b = bed_of(
        "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"a\":{"
        "\"$ref\":\"#\"}},\"required\":[\"a\"],\"additionalProperties\":false}}",
        GRAMMAR_COMPACT, false);
    st_buf deep;
    st_buf_init(&deep, 10000);
    for (int i = 0; i < 63; i++)
        st_buf_str(&deep, "[{\"a\":");
    st_buf_str(&deep, "[");
    assert_int_not_equal(run(&b, deep.data), STATE_DEAD);
    st_buf_str(&deep, "{");
    assert_int_equal(run(&b, deep.data), STATE_DEAD);
    st_buf_done(&deep);
    bed_done(&b);
}

/* ---- walks ---- */

static const char *const walked[] = {
    "true",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":["
    "\"string\","
    "\"null\"]},\"c\":{\"enum\":[1,2.5,\"x\",[],{\"q\":1}]}},\"required\":[\"b\"]}",
    "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":-3,\"maximum\":12},"
    "\"uniqueItems\":true,\"minItems\":3,\"maxItems\":9}",
    "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"boolean\"},{\"type\":\"string\","
    "\"maxLength\":"
    "3}],\"contains\":{\"type\":\"integer\"},\"minContains\":1,\"maxContains\":2,"
    "\"maxItems\":5}",
    "{\"type\":\"array\",\"contains\":{\"minimum\":5},\"items\":{\"type\":\"number\","
    "\"multipleOf\":"
    "0.5},\"maxItems\":4}",
    "{\"type\":\"object\",\"minProperties\":2,\"maxProperties\":3,\"propertyNames\":{"
    "\"pattern\":"
    "\"^[a-c]{1,2}$\"},\"additionalProperties\":{\"type\":\"boolean\"}}",
    "{\"type\":\"object\",\"patternProperties\":{\"^x-\":{\"type\":\"string\"},\"[0-9]$"
    "\":{"
    "\"maxLength\":2}},\"additionalProperties\":{\"type\":\"integer\"},\"properties\":{"
    "\"x-1\":{"
    "\"minLength\":1}}}",
    "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{},\"c\":{},\"d\":{\"type\":"
    "\"null\"}},"
    "\"dependentRequired\":{\"a\":[\"c\"],\"c\":[\"b\"],\"d\":[\"a\"]},\"maxProperties\":"
    "3,"
    "\"additionalProperties\":false}",
    "{\"not\":{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"integer\"}}}}",
    "{\"type\":\"object\",\"not\":{\"additionalProperties\":{\"type\":\"integer\"}},"
    "\"maxProperties\":2}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":"
    "\"integer\"}},"
    "\"additionalProperties\":false,\"not\":{\"properties\":{\"a\":{\"minimum\":3},\"b\":"
    "{"
    "\"minimum\":3}}}}",
    "{\"oneOf\":[{\"type\":\"integer\",\"minimum\":3},{\"type\":\"number\",\"maximum\":5}"
    "]}",
    "{\"anyOf\":[{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},{\"type\":"
    "\"array\",\"items\":{"
    "\"type\":\"string\"},\"minItems\":2},{\"type\":\"array\",\"maxItems\":1}]}",
    "{\"type\":\"object\",\"properties\":{\"t\":{\"enum\":[\"a\",\"b\"]}},\"required\":["
    "\"t\"],\"if\":{"
    "\"properties\":{\"t\":{\"const\":\"a\"}}},\"then\":{\"properties\":{\"v\":{\"type\":"
    "\"integer\"}},"
    "\"required\":[\"v\"]},\"else\":{\"properties\":{\"v\":{\"type\":\"string\"}}}}",
    "{\"$ref\":\"#/$defs/"
    "t\",\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"l\":{\"$ref\":"
    "\"#/$defs/t\"},\"r\":{\"$ref\":\"#/$defs/"
    "t\"},\"v\":{\"type\":\"integer\"}},\"required\":[\"v\"],"
    "\"additionalProperties\":false}}}",
    "{\"type\":\"number\",\"exclusiveMinimum\":-2,\"maximum\":100.25}",
    "{\"type\":\"string\",\"minLength\":2,\"maxLength\":6,\"pattern\":\"^[a-"
    "z\\\"\\\\\\\\]+$\"}",
    "{\"type\":\"string\",\"format\":\"date\"}",
    "{\"type\":\"object\",\"allOf\":[{\"properties\":{\"a\":{\"minimum\":2}}},{"
    "\"properties\":{\"a\":{"
    "\"type\":\"integer\",\"maximum\":4}}}],\"required\":[\"a\"]}",
    "{\"type\":\"array\",\"items\":{\"enum\":[1,2,3]},\"uniqueItems\":true,\"minItems\":"
    "2}",
};

/* Types a text as far as it lives; DEAD: it does not, and nothing was typed. */
static state_id type(const bed *b, state_id s, const char *bytes, st_buf *text)
{
    size_t before = text->len;
    for (; *bytes && s != STATE_DEAD; bytes++) {
        st_buf_char(text, *bytes);
        s = step(b, s, text->data, text->len);
    }
    if (s == STATE_DEAD)
        text->len = before;
    return s;
}

/* Behind '"': a whole name that some part of the schema lists under `keyword`. */
static state_id type_name(const bed *b, const json *part, const char *keyword, state_id s,
                          st_buf *text)
{
    const json *list = json_get(part, keyword);
    state_id to = STATE_DEAD;
    for (uint32_t i = 0; list && list->items && i < list->n && !to; i++) {
        const json *name = list->names ? &list->names[i] : &list->items[i];
        st_buf whole;
        st_buf_init(&whole, 10000);
        if (name->type == JSON_STRING)
            json_write_string(name->text, name->n, &whole);
        st_buf_str(&whole, ":");
        to = type(b, s, whole.data + 1, text);
        st_buf_done(&whole);
    }
    for (uint32_t i = 0; part->items && i < part->n && !to; i++)
        to = type_name(b, &part->items[i], keyword, s, text);
    return to;
}

/* A living byte, or name, that leads towards the end: bytes that end things come first,
 * then those that begin what is small. */
static state_id step_towards_end(const bed *b, state_id s, st_buf *text)
{
    static const char closing[] = "\"}]:Z, .5193780246eElntfu-[{\\";
    char last = text->len ? text->data[text->len - 1] : 0;
    state_id to = STATE_DEAD;
    if (last == '"' && ((to = type_name(b, b->raw, "required", s, text)) != STATE_DEAD ||
                        (to = type_name(b, b->raw, "properties", s, text)) != STATE_DEAD))
        return to;
    if (last == '{' && (to = type(b, s, "}", text)) != STATE_DEAD)
        return to;
    for (const char *c = closing; *c; c++) {
        char byte[2] = {*c};
        if ((to = type(b, s, byte, text)) != STATE_DEAD)
            return to;
    }
    for (int c = 1; c < 256 && to == STATE_DEAD; c++) {
        char byte[2] = {(char)c};
        to = type(b, s, byte, text);
    }
    return to;
}

static state_id step_at_random(st_rng *rng, const bed *b, state_id s, st_buf *text)
{
    char alive[256];
    state_id to[256];
    uint32_t n = 0;
    for (int c = 0; c < 256; c++) {
        st_buf_char(text, (char)c);
        state_id next = step(b, s, text->data, text->len);
        text->len--;
        if (next == STATE_DEAD)
            continue;
        alive[n] = (char)c;
        to[n++] = next;
    }
    if (n == 0)
        return STATE_DEAD;
    uint32_t pick = st_rng_below(rng, n);
    for (int tries = 0; tries < 3 && !strchr("\"]},:", alive[pick]); tries++)
        pick = st_rng_below(rng, n); /* ends are few among many characters */
    st_buf_char(text, alive[pick]);
    return to[pick];
}

static void show(const char *what, const bed *b, const st_buf *text)
{
    st_buf out;
    st_buf_init(&out, 1 << 20);
    json_write(b->raw, JSON_COMPACT, &out);
    fail_msg("%s: %.*s\nof %s", what, (int)text->len, text->data ? text->data : "",
             out.data);
}

/* LOST: names or items ran out.  CIRCLES: the end was not found. */
typedef enum walked_to { AT_END, LOST, CIRCLES } walked_to;

/* Random bytes for a while, then to the end. */
static walked_to walk_on(st_rng *rng, const bed *b, st_buf *text)
{
    st_buf_reset(text);
    state_id s = STATE_START;
    uint32_t wander = st_rng_below(rng, 120);
    for (uint32_t i = 0; i < 3000; i++) {
        if (b->a->ops->accepts(b->a, s) && (i >= wander || st_rng_below(rng, 4) == 0))
            return AT_END;
        state_id to =
            i < wander ? step_at_random(rng, b, s, text) : step_towards_end(b, s, text);
        if (to == STATE_DEAD && b->a->ops->accepts(b->a, s))
            return AT_END;
        if (to == STATE_DEAD && b->a->ops->may_repeat)
            return LOST;
        if (to == STATE_DEAD)
            show("no way on", b, text);
        s = to;
    }
    return CIRCLES;
}

static bool walk(st_rng *rng, const bed *b, st_buf *text)
{
    walked_to to = walk_on(rng, b, text);
    if (to == CIRCLES)
        show("no end", b, text);
    return to == AT_END;
}

static void walks_end_in_valid_texts(void **state)
{
    (void)state;
    st_rng rng = {21};
    st_buf text;
    st_buf_init(&text, 1 << 20);
    for (size_t i = 0; i < sizeof walked / sizeof *walked; i++) {
        uint32_t lost = 0;
        for (int mode = 0; mode < 4; mode++) {
            bed b =
                bed_of(walked[i], mode % 2 ? GRAMMAR_COMPACT : GRAMMAR_EITHER, mode / 2);
            for (int round = 0; round < 60; round++) {
                if (!walk(&rng, &b, &text))
                    lost++;
                else if (!valid(&b, text.data, text.len))
                    show("not valid", &b, &text);
            }
            bed_done(&b);
        }
        if (lost >= 10)
            fail_msg("%u walks lost in %s", lost, walked[i]);
    }
    st_buf_done(&text);
}

#define SCHEMAS "../shared/data/jsonschemabench/give_part.jsonl.gz"

static void walks_through_real_schemas(void **state)
{
    (void)state;
    if (!is_here(SCHEMAS))
        return;
    st_rng rng = {4};
    st_buf text, schema_text;
    st_buf_init(&text, 1 << 20);
    st_buf_init(&schema_text, 1 << 24);
    uint32_t n_ended = 0, n_circles = 0;
    gz_lines in = gz_open(SCHEMAS);
    for (uint32_t line = 0; gz_next(&in); line++) {
        const json *entry;
        if (line % 20 != 0)
            continue;
        assert_int_equal(json_read(in.line, in.len, &entry, NULL), 0);
        st_buf_reset(&schema_text);
        json_write(json_get(entry, "schema"), JSON_COMPACT, &schema_text);
        json_free(entry);
        for (int k = 0; k < 2; k++) {
            bed b;
            if (bed_try(&b, schema_text.data, GRAMMAR_SPACED, k, NULL) == 0) {
                walked_to to = walk_on(&rng, &b, &text);
                n_ended += to == AT_END;
                n_circles += to == CIRCLES;
                if (to == AT_END && !valid(&b, text.data, text.len))
                    show("not valid", &b, &text);
            }
            bed_done(&b);
        }
    }
    assert_true(gz_close(&in));
    print_message("%u walks ended, %u went in circles\n", n_ended, n_circles);
    assert_true(n_ended > 300);
    st_buf_done(&schema_text);
    st_buf_done(&text);
}

/* ---- values that are changed a little ---- */

static void write_changed(st_rng *rng, const json *v, uint32_t chance, st_buf *out);

static void write_scalar(st_rng *rng, st_buf *out)
{
    static const char *const scalars[] = {
        "0",      "1",     "3",    "5",    "15",    "-1",       "2.5",
        "100.5",  "1.75",  "null", "true", "false", "\"\"",     "\"a\"",
        "\"ab\"", "\"x\"", "[]",   "{}",   "[1]",   "{\"k\":1}"};
    st_buf_str(out, scalars[st_rng_below(rng, sizeof scalars / sizeof *scalars)]);
}

static void write_members(st_rng *rng, const json *v, uint32_t chance, st_buf *out)
{
    static const char *const names[] = {"k", "t", "v",  "a", "b",
                                        "c", "d", "ab", "z", "x-1"};
    bool object = v->type == JSON_OBJECT, first = true;
    uint32_t turn = object && v->n ? st_rng_below(rng, v->n) : 0;
    st_buf_char(out, object ? '{' : '[');
    for (uint32_t k = 0; k < v->n; k++) {
        uint32_t i = (k + turn) % v->n;
        if (st_rng_below(rng, 100) < chance)
            continue;
        if (!first)
            st_buf_char(out, ',');
        first = false;
        if (object) {
            json_write_string(v->names[i].text, v->names[i].n, out);
            st_buf_char(out, ':');
        }
        write_changed(rng, &v->items[i], chance, out);
    }
    if (st_rng_below(rng, 100) < chance) {
        const char *name = names[st_rng_below(rng, sizeof names / sizeof *names)];
        if (!object || !json_get(v, name)) {
            st_buf_str(out, first ? "" : ",");
            if (object)
                st_buf_fmt(out, "\"%s\":", name);
            write_scalar(rng, out);
        }
    }
    st_buf_char(out, object ? '}' : ']');
}

static void write_changed(st_rng *rng, const json *v, uint32_t chance, st_buf *out)
{
    if (st_rng_below(rng, 100) < chance)
        write_scalar(rng, out);
    else if (v->type == JSON_ARRAY || v->type == JSON_OBJECT)
        write_members(rng, v, chance, out);
    else
        json_write(v, JSON_COMPACT, out);
}

static bool has_exponent(const st_buf *text)
{
    for (size_t i = 1; i < text->len; i++)
        if (text->data[i] == 'e' && strchr("0123456789", text->data[i - 1]))
            return true;
    return false;
}

static void exactly_the_valid_values(void **state)
{
    (void)state;
    st_rng rng = {5};
    st_buf text, changed;
    st_buf_init(&text, 1 << 20);
    st_buf_init(&changed, 1 << 20);
    for (size_t i = 0; i < sizeof walked / sizeof *walked; i++) {
        bed b = bed_of(walked[i], GRAMMAR_COMPACT, true);
        uint32_t n_valid = 0;
        for (int round = 0; round < 400; round++) {
            const json *v;
            if (!walk(&rng, &b, &text))
                continue;
            assert_int_equal(json_read(text.data, text.len, &v, NULL), 0);
            st_buf_reset(&changed);
            write_changed(&rng, v, 5 + st_rng_below(&rng, 25), &changed);
            json_free(v);
            if (has_exponent(&changed))
                continue; /* integers with over 400 digits are not written */
            bool right = valid(&b, changed.data, changed.len);
            n_valid += right;
            if (accepts(&b, changed.data) != right)
                show(right ? "valid and refused" : "not valid", &b, &changed);
        }
        assert_true(n_valid > 10);
        bed_done(&b);
    }
    st_buf_done(&text);
    st_buf_done(&changed);
}

/* ---- memory ---- */

static int use(void *arg)
{
    const char *text = "{\"x-1\":[1,2],\"q\":\"a\",\"k\":{\"l\":null}}";
    bed b;
    int rc = bed_try(&b, arg, GRAMMAR_COMPACT, true, NULL);
    state_id s = STATE_START;
    for (size_t i = 0; rc == 0 && text[i]; i++)
        rc = b.a->ops->step(b.a, s, (uint8_t)text[i], &s, NULL);
    bed_done(&b);
    return rc;
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    char text[] =
        "{\"type\":\"object\",\"patternProperties\":{\"^x-\":{\"type\":\"array\","
        "\"items\":"
        "{\"type\":\"integer\"}}},\"properties\":{\"q\":{\"type\":\"string\"}}}";
    assert_true(fault_sweep(use, text, 1) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_texts),
        cmocka_unit_test(spaces),
        cmocka_unit_test(any_order),
        cmocka_unit_test(orders_of_shapes),
        cmocka_unit_test(one_way_on),
        cmocka_unit_test(the_same_place_is_the_same_state),
        cmocka_unit_test(taken_texts),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(walks_end_in_valid_texts),
        cmocka_unit_test(walks_through_real_schemas),
        cmocka_unit_test(exactly_the_valid_values),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
