/* tests/test_schema_random.c - random schemas and values: what may be written is what the
 * validator accepts.
 *
 * The schemas are of a few names, texts and numbers, so that their parts meet often; all
 * keywords that split a schema into alternatives stand inside each other. */
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "grammar/schema_run.h"
#include "grammar/validate.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SCHEMAS = 1500, VALUES = 24, TEXT = 1 << 20 };

typedef struct maker {
    st_rng rng;
    st_buf out;
} maker;

static const char *const names[] = {"a", "b", "c", "ab", "\xC3\xA9"};
static const char *const patterns[] = {"^a", "b$", "^[ab]+$", "^.{2}$", "a|z"};
static const char *const types[] = {"null",   "boolean", "integer", "number",
                                    "string", "array",   "object"};
static const char *const scalars[] = {"null",  "true",  "false",  "0",       "1",
                                      "2",     "3",     "-1",     "1.5",     "\"\"",
                                      "\"a\"", "\"b\"", "\"ab\"", "\"abc\"", "5"};
#define PICK(m, list) (list)[st_rng_below(&(m)->rng, sizeof(list) / sizeof *(list))]

static uint32_t below(maker *m, uint32_t n)
{
    return st_rng_below(&m->rng, n);
}

static void make_value(maker *m, int depth)
{
    uint32_t kind = below(m, 4), n = below(m, 4);
    if (depth == 0 || kind < 2) {
        st_buf_str(&m->out, PICK(m, scalars));
        return;
    }
    st_buf_char(&m->out, kind == 2 ? '[' : '{');
    uint32_t name = below(m, 5);
    for (uint32_t i = 0; i < n; i++) {
        st_buf_str(&m->out, i ? "," : "");
        if (kind == 3)
            st_buf_fmt(&m->out, "\"%s\":", names[(name + i) % 5]);
        make_value(m, depth - 1);
    }
    st_buf_char(&m->out, kind == 2 ? ']' : '}');
}

static void make_schema(maker *m, int depth);

static void make_list(maker *m, int depth)
{
    st_buf_char(&m->out, '[');
    for (uint32_t i = 0, n = 1 + below(m, 3); i < n; i++) {
        st_buf_str(&m->out, i ? "," : "");
        make_schema(m, depth);
    }
    st_buf_char(&m->out, ']');
}

static void make_map(maker *m, int depth, const char *const *keys)
{
    uint32_t first = below(m, 5);
    st_buf_char(&m->out, '{');
    for (uint32_t i = 0, n = 1 + below(m, 3); i < n; i++) {
        st_buf_fmt(&m->out, "%s\"%s\":", i ? "," : "", keys[(first + i) % 5]);
        make_schema(m, depth);
    }
    st_buf_char(&m->out, '}');
}

static void make_names(maker *m)
{
    uint32_t first = below(m, 5);
    st_buf_fmt(&m->out, "[\"%s\"", names[first]);
    if (below(m, 2))
        st_buf_fmt(&m->out, ",\"%s\"", names[(first + 1) % 5]);
    st_buf_char(&m->out, ']');
}

/* What stands behind a keyword: a number up to `n`, or one of the forms. */
enum {
    SCHEMA = -1,
    LIST = -2,
    MAP = -3,
    PATTERNS = -4,
    NAMES = -5,
    NEEDS = -6,
    CHOICES = -7,
    TYPE = -8,
    PATTERN = -9,
    TRUE = -10,
    REF = -11
};
static const struct keyword {
    const char *name;
    int form;
} keywords[] = {
    {"type", TYPE},
    {"properties", MAP},
    {"required", NAMES},
    {"patternProperties", PATTERNS},
    {"additionalProperties", SCHEMA},
    {"propertyNames", SCHEMA},
    {"dependentSchemas", MAP},
    {"dependentRequired", NEEDS},
    {"unevaluatedProperties", SCHEMA},
    {"minProperties", 2},
    {"maxProperties", 3},
    {"items", SCHEMA},
    {"prefixItems", LIST},
    {"contains", SCHEMA},
    {"minContains", 3},
    {"maxContains", 3},
    {"minItems", 3},
    {"maxItems", 4},
    {"uniqueItems", TRUE},
    {"unevaluatedItems", SCHEMA},
    {"anyOf", LIST},
    {"oneOf", LIST},
    {"allOf", LIST},
    {"not", SCHEMA},
    {"if", SCHEMA},
    {"then", SCHEMA},
    {"else", SCHEMA},
    {"enum", CHOICES},
    {"pattern", PATTERN},
    {"minLength", 3},
    {"maxLength", 4},
    {"minimum", 3},
    {"exclusiveMaximum", 4},
    {"$ref", REF},
};

static void make_form(maker *m, int form, int depth)
{
    if (form >= 0)
        st_buf_fmt(&m->out, "%u", below(m, (uint32_t)form + 1));
    else if (form == SCHEMA)
        make_schema(m, depth);
    else if (form == LIST)
        make_list(m, depth);
    else if (form == MAP || form == PATTERNS)
        make_map(m, depth, form == MAP ? names : patterns);
    else if (form == NAMES)
        make_names(m);
    else if (form == TYPE)
        st_buf_fmt(&m->out, "\"%s\"", PICK(m, types));
    else if (form == PATTERN)
        st_buf_fmt(&m->out, "\"%s\"", PICK(m, patterns));
    else if (form == TRUE)
        st_buf_str(&m->out, "true");
    else if (form == REF)
        st_buf_fmt(&m->out, "\"#/$defs/%s\"", below(m, 2) ? "p" : "q");
    if (form == NEEDS) {
        st_buf_fmt(&m->out, "{\"%s\":", PICK(m, names));
        make_names(m);
        st_buf_char(&m->out, '}');
    }
    if (form == CHOICES) {
        st_buf_char(&m->out, '[');
        make_value(m, 2);
        st_buf_char(&m->out, ',');
        make_value(m, 1);
        st_buf_char(&m->out, ']');
    }
}

static void make_schema(maker *m, int depth)
{
    enum { N = sizeof keywords / sizeof *keywords };
    if (depth == 0 || below(m, 12) == 0) {
        static const char *const plain[] = {"true",
                                            "true",
                                            "false",
                                            "{\"type\":\"string\"}",
                                            "{\"type\":\"object\"}",
                                            "{\"const\":1}"};
        st_buf_str(&m->out, PICK(m, plain));
        return;
    }
    uint64_t used = 0;
    st_buf_char(&m->out, '{');
    for (uint32_t i = 0, n = 1 + below(m, 3); i < n; i++) {
        uint32_t k = below(m, N);
        if (used >> k & 1)
            continue;
        st_buf_fmt(&m->out, "%s\"%s\":", used ? "," : "", keywords[k].name);
        used |= UINT64_C(1) << k;
        make_form(m, keywords[k].form, depth - 1);
    }
    st_buf_char(&m->out, '}');
}

static const json *read_made(maker *m)
{
    const json *root = NULL;
    st_err err = {0};
    assert_int_equal(m->out.code, 0);
    if (json_read(m->out.data, m->out.len, &root, &err) < 0)
        fail_msg("%s: %s", m->out.data, err.message);
    return root;
}

static const json *made_schema(maker *m)
{
    st_buf_reset(&m->out);
    st_buf_str(&m->out, "{\"$defs\":{\"p\":");
    make_schema(m, 1);
    st_buf_str(&m->out, ",\"q\":");
    make_schema(m, 2);
    st_buf_str(&m->out, "},\"allOf\":[");
    make_schema(m, 3);
    st_buf_str(&m->out, "]}");
    return read_made(m);
}

static bool may_be_written(automaton *a, const st_buf *text)
{
    state_id s = STATE_START;
    for (size_t i = 0; i < text->len && s != STATE_DEAD; i++) {
        assert_int_equal(a->ops->step(a, s, (uint8_t)text->data[i], &s, NULL), 0);
        if (a->ops->may_repeat && a->ops->may_repeat(a, s) &&
            a->ops->repeats(a, s, text->data, i + 1))
            return false;
    }
    return s != STATE_DEAD && a->ops->accepts(a, s);
}

typedef struct tally {
    uint32_t compiled, yes, no;
} tally;

/* Values tried on the validator and, where there is one, on the automaton. */
static void try_values(maker *m, const char *schema_text, const validator *v,
                       automaton *a, tally *t)
{
    st_buf text;
    st_buf_init(&text, TEXT);
    for (int i = 0; i < VALUES; i++) {
        st_buf_reset(&m->out);
        st_buf_reset(&text);
        make_value(m, 3);
        const json *value = read_made(m);
        json_write(value, JSON_COMPACT, &text);
        bool valid = validator_run(v, value, NULL) == 0;
        bool written = a && may_be_written(a, &text);
        if (valid != written)
            fail_msg("%s\n%s\n  is %s and %s be written", schema_text, text.data,
                     valid ? "valid" : "not valid", written ? "may" : "may not");
        t->yes += valid;
        t->no += !valid;
        json_free(value);
    }
    st_buf_done(&text);
}

static void try_schema(maker *m, tally *t)
{
    const json *root = made_schema(m);
    st_err err = {0};
    schema_refusal where;
    schema *s = NULL;
    validator *v = NULL;
    automaton *a = NULL;
    int rc = schema_new(root, &s, &where, &err);
    if (rc == 0 || rc == ST_EINVAL) {
        char *text = NULL;
        size_t len;
        text = st_buf_detach(&m->out, &len);
        st_buf_init(&m->out, TEXT);
        assert_int_equal(validator_new(root, &v, &err), 0);
        if (rc == 0)
            assert_int_equal(schema_automaton_new(s, GRAMMAR_COMPACT, true, &a, &err), 0);
        try_values(m, text, v, a, t);
        t->compiled++;
        st_free(text);
    } else {
        assert_true(rc == ST_EUNSUPPORTED || rc == ST_ELIMIT || rc == ST_EFORMAT);
        assert_true(where.keyword[0] != '\0');
    }
    if (a)
        a->ops->free(a);
    validator_free(v);
    schema_free(s);
    json_free(root);
}

static void test_random(void **state)
{
    (void)state;
    maker m = {.rng = {20260521}};
    tally t = {0};
    st_buf_init(&m.out, TEXT);
    for (int i = 0; i < SCHEMAS; i++)
        try_schema(&m, &t);
    st_buf_done(&m.out);
    print_message("%u of %d compiled; %u values valid, %u not\n", t.compiled, SCHEMAS,
                  t.yes, t.no);
    assert_true(t.compiled > SCHEMAS * 3 / 4);
    assert_true(t.yes > SCHEMAS && t.no > SCHEMAS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
