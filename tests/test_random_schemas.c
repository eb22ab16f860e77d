/* tests/test_random_schemas.c - schemas and values by chance: the mask lets exactly those
 * be written that the validator takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "grammar/instance.h"
#include "grammar/json.h"
#include "grammar/validate.h"
#include <string.h>

enum { SCHEMAS = 4000, VALUES = 40, DEEPEST = 3 };

typedef struct maker {
    st_rng rng;
    st_buf out;
} maker;

#define PICK(m, list) list[st_rng_below(&(m)->rng, sizeof(list) / sizeof *(list))]

static const char *const names[] = {"a", "b", "c", "\xC3\xA9", "x1"};
static const char *const numbers[] = {"0",   "1",   "2",  "3",  "-1",
                                      "1.5", "0.5", "10", "1e1"};
static const char *const texts[] = {"\"\"",  "\"a\"",         "\"b\"",    "\"ab\"",
                                    "\"x\"", "\"a\xC3\xA9\"", "\"\\\"\"", "\"\\n1\""};
static const char *const patterns[] = {"^a",       "b$",    "a.*b", "^[a-c]*$",
                                       "\xC3\xA9", "\\\\d", "^$"};
static const char *const words[] = {"null", "true", "false"};

static uint32_t below(maker *m, uint32_t n)
{
    return st_rng_below(&m->rng, n);
}

static void make_value(maker *m, int depth)
{
    uint32_t kind = below(m, depth < 2 ? 8 : 5);
    if (kind < 5) {
        st_buf_str(&m->out, kind < 1   ? PICK(m, words)
                            : kind < 3 ? PICK(m, numbers)
                                       : PICK(m, texts));
        return;
    }
    bool is_object = kind > 5;
    st_buf_char(&m->out, is_object ? '{' : '[');
    uint32_t first = below(m, 5), n = below(m, 4);
    for (uint32_t i = 0; i < n; i++) {
        st_buf_str(&m->out, i ? "," : "");
        if (is_object)
            st_buf_fmt(&m->out, "\"%s\":", names[(first + 2 * i) % 5]);
        make_value(m, depth + 1);
    }
    st_buf_char(&m->out, is_object ? '}' : ']');
}

static void make_schema(maker *m, int depth);

static void make_schemas(maker *m, int depth)
{
    uint32_t n = 1 + below(m, 3);
    for (uint32_t i = 0; i < n; i++) {
        st_buf_char(&m->out, i ? ',' : '[');
        make_schema(m, depth + 1);
    }
    st_buf_char(&m->out, ']');
}

static void make_values(maker *m)
{
    uint32_t n = 1 + below(m, 3);
    for (uint32_t i = 0; i < n; i++) {
        st_buf_char(&m->out, i ? ',' : '[');
        make_value(m, 0);
    }
    st_buf_char(&m->out, ']');
}

/* Schemas by name, or by pattern. */
static void make_map(maker *m, int depth, bool by_pattern)
{
    uint32_t first = below(m, 5), n = 1 + below(m, by_pattern ? 2 : 3);
    for (uint32_t i = 0; i < n; i++) {
        st_buf_fmt(&m->out, "%c\"%s\":", i ? ',' : '{',
                   by_pattern ? patterns[(first + i) % 5] : names[(first + i) % 5]);
        make_schema(m, depth + 1);
    }
    st_buf_char(&m->out, '}');
}

typedef enum part { /* what stands behind a keyword */
                    SCHEMA,
                    LIST,
                    MAP,
                    PATTERN_MAP,
                    COUNT,
                    NUMBER,
                    PATTERN,
                    TYPE,
                    VALUE,
                    LIST_OF_VALUES,
                    NAMES,
                    NEEDS,
                    YES,
                    REF,
} part;

static const struct {
    const char *word;
    part part;
} keywords[] = {{"type", TYPE},
                {"enum", LIST_OF_VALUES},
                {"const", VALUE},
                {"minimum", NUMBER},
                {"maximum", NUMBER},
                {"exclusiveMinimum", NUMBER},
                {"exclusiveMaximum", NUMBER},
                {"minLength", COUNT},
                {"maxLength", COUNT},
                {"pattern", PATTERN},
                {"items", SCHEMA},
                {"prefixItems", LIST},
                {"minItems", COUNT},
                {"maxItems", COUNT},
                {"uniqueItems", YES},
                {"contains", SCHEMA},
                {"maxContains", COUNT},
                {"minContains", COUNT},
                {"properties", MAP},
                {"patternProperties", PATTERN_MAP},
                {"additionalProperties", SCHEMA},
                {"required", NAMES},
                {"minProperties", COUNT},
                {"maxProperties", COUNT},
                {"dependentRequired", NEEDS},
                {"dependentSchemas", MAP},
                {"allOf", LIST},
                {"anyOf", LIST},
                {"oneOf", LIST},
                {"not", SCHEMA},
                {"if", SCHEMA},
                {"then", SCHEMA},
                {"else", SCHEMA},
                {"$ref", REF},
                {"unevaluatedProperties", SCHEMA}};

static void make_part(maker *m, part what, int depth)
{
    static const char *const types[] = {
        "\"integer\"", "\"number\"", "\"string\"",
        "\"array\"",   "\"object\"", "[\"null\",\"boolean\",\"object\"]"};
    switch (what) {
    case SCHEMA:
        make_schema(m, depth + 1);
        return;
    case LIST:
        make_schemas(m, depth);
        return;
    case MAP:
    case PATTERN_MAP:
        make_map(m, depth, what == PATTERN_MAP);
        return;
    case VALUE:
        make_value(m, 0);
        return;
    case LIST_OF_VALUES:
        make_values(m);
        return;
    case COUNT:
        st_buf_fmt(&m->out, "%u", below(m, 4));
        return;
    case NUMBER:
        st_buf_str(&m->out, PICK(m, numbers));
        return;
    case PATTERN:
        st_buf_fmt(&m->out, "\"%s\"", PICK(m, patterns));
        return;
    case TYPE:
        st_buf_str(&m->out, PICK(m, types));
        return;
    case NAMES:
        st_buf_fmt(&m->out, "[\"%s\"]", PICK(m, names));
        return;
    case NEEDS:
        st_buf_fmt(&m->out, "{\"%s\":[\"%s\"]}", PICK(m, names), PICK(m, names));
        return;
    case YES:
        st_buf_str(&m->out, "true");
        return;
    case REF:
        st_buf_str(&m->out, below(m, 2) ? "\"#/$defs/t\"" : "\"#/$defs/u\"");
        return;
    }
}

/* One to three keywords, each once. */
static void make_keywords(maker *m, int depth)
{
    uint32_t total = sizeof keywords / sizeof *keywords;
    uint32_t first = below(m, total), step = 1 + below(m, total - 1), n = 1 + below(m, 3);
    uint64_t used = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = (first + i * step) % total;
        if (used >> k & 1)
            break;
        used |= UINT64_C(1) << k;
        st_buf_fmt(&m->out, "%s\"%s\":", i ? "," : "", keywords[k].word);
        make_part(m, keywords[k].part, depth);
    }
}

static void make_schema(maker *m, int depth)
{
    if (depth > DEEPEST) {
        st_buf_str(&m->out, below(m, 4) ? "true" : "{\"type\":\"integer\"}");
        return;
    }
    st_buf_char(&m->out, '{');
    make_keywords(m, depth);
    st_buf_char(&m->out, '}');
}

static void make_root(maker *m)
{
    st_buf_char(&m->out, '{');
    make_keywords(m, 0);
    st_buf_str(&m->out,
               ",\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":"
               "\"#/$defs/t\"},\"b\":{\"type\":\"integer\"}},\"additionalProperties\":"
               "false},\"u\":{\"type\":[\"array\",\"integer\"],\"items\":{\"$ref\":"
               "\"#/$defs/u\"},\"maxItems\":2}}}");
}

/* Compare the verdicts on a line's values; true when its schema was compiled. */
static bool compare(const char *line, size_t len, const json *answer)
{
    const json *row = NULL, *tests;
    validator *v = NULL;
    st_err err = {0};
    assert_int_equal(json_read(line, len, &row, &err), 0);
    assert_int_equal(validator_new(json_get(row, "schema"), &v, &err), 0);
    bool made = json_get(answer, "compiled")->type == JSON_TRUE;
    bool empty = !made && strstr(json_get(answer, "message")->text, "no value satisfies");
    tests = json_get(row, "tests");
    for (uint32_t i = 0; (made || empty) && i < tests->n; i++) {
        st_err why = {0};
        int rc = validator_run(v, json_get(&tests->items[i], "data"), &why);
        bool let = made && json_get(answer, "accepts")->items[i].type == JSON_TRUE;
        if (rc != ST_ELIMIT && let != (rc == 0))
            fail_msg("value %u: %s by the mask, but %s: %s", i,
                     let ? "allowed" : "refused", rc ? why.message : "valid", line);
    }
    validator_free(v);
    json_free(row);
    return made;
}

static void test_by_chance(void **state)
{
    maker m = {.rng = {.state = 20}};
    st_buf out;
    unsigned made = 0;
    (void)state;
    st_buf_init(&m.out, 1 << 20);
    st_buf_init(&out, 1 << 20);
    for (int i = 0; i < SCHEMAS; i++) {
        const json *answer = NULL;
        st_err err = {0};
        st_buf_reset(&m.out);
        st_buf_reset(&out);
        st_buf_str(&m.out, "{\"schema\":");
        make_root(&m);
        st_buf_str(&m.out, ",\"tests\":[");
        for (int k = 0; k < VALUES; k++) {
            st_buf_str(&m.out, k ? ",{\"data\":" : "{\"data\":");
            make_value(&m, 0);
            st_buf_char(&m.out, '}');
        }
        assert_int_equal(st_buf_str(&m.out, "]}"), 0);
        if (instance_check_line(m.out.data, m.out.len,
                                &(instance_opts){.any_order = true}, &out, &err) < 0)
            fail_msg("%s: %s", m.out.data, err.message);
        assert_int_equal(json_read(out.data, out.len, &answer, NULL), 0);
        made += compare(m.out.data, m.out.len, answer);
        json_free(answer);
    }
    st_buf_done(&m.out);
    st_buf_done(&out);
    print_message("%u of %d schemas compiled\n", made, SCHEMAS);
    assert_true(made > SCHEMAS * 3 / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
