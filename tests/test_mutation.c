/* tests/test_mutation.c - every keyword is held: dropping it changes what may be written.
 *
 * Each row is a schema and values that satisfy it.  Many more values are made from those
 * by small changes.  Automaton and validator must agree on every one, for the schema and
 * for each schema that is left when one keyword, anywhere in it, is dropped; and dropping
 * it must let something be written that the schema does not allow (or, for `else` and the
 * like, the other way round). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/map.h"
#include "base/mem.h"
#include "grammar/instance.h"
#include "grammar/json.h"
#include "grammar/validate.h"
#include <string.h>

#define D7 "\"$schema\":\"http://json-schema.org/draft-07/schema#\","
#define D4 "\"$schema\":\"http://json-schema.org/draft-04/schema#\","

typedef struct row {
    const char *schema;
    const char *values[6];
    const char *free; /* keywords that may be dropped without a change, with spaces */
} row;

static const row rows[] = {
    {"{\"type\":\"integer\",\"minimum\":2,\"maximum\":7}", {"3", "7"}, NULL},
    {"{\"type\":\"number\",\"exclusiveMinimum\":1.5,\"exclusiveMaximum\":4,"
     "\"multipleOf\":0.25}",
     {"2", "3.75"},
     NULL},
    {"{" D4 "\"type\":\"number\",\"minimum\":1,\"exclusiveMinimum\":true,\"maximum\":3,"
     "\"exclusiveMaximum\":true}",
     {"2", "1.5"},
     NULL},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3,\"pattern\":\"^[ab]+$\"}",
     {"\"ab\"", "\"aba\""},
     NULL},
    {"{\"type\":\"string\",\"format\":\"date\"}", {"\"2024-02-29\""}, NULL},
    {"{\"enum\":[1,\"a\",[1],{\"b\":2}]}", {"1", "\"a\"", "[1]", "{\"b\":2}"}, NULL},
    {"{\"const\":{\"a\":[1,null]}}", {"{\"a\":[1,null]}"}, NULL},
    {"{\"type\":[\"null\",\"boolean\"]}", {"null", "true"}, NULL},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":"
     "2}",
     {"[1]", "[1,2]"},
     NULL},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],"
     "\"items\":{\"type\":\"null\"}}",
     {"[1,\"a\",null]", "[1]"},
     NULL},
    {"{" D7 "\"type\":\"array\",\"items\":[{\"type\":\"integer\"}],"
     "\"additionalItems\":{\"type\":\"null\"}}",
     {"[1,null]", "[1]"},
     NULL},
    {"{\"type\":\"array\",\"items\":{\"enum\":[1,2,3]},\"uniqueItems\":true,\"maxItems\":"
     "2}",
     {"[1,2]", "[3]"},
     NULL},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"contains\":{\"minimum\":5},"
     "\"minContains\":2,\"maxContains\":3,\"maxItems\":5}",
     {"[5,6]", "[1,7,8,9]"},
     NULL},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":"
     "\"string\"}},\"required\":[\"a\"],\"additionalProperties\":false}",
     {"{\"a\":1,\"b\":\"x\"}", "{\"a\":2}"},
     NULL},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},"
     "\"additionalProperties\":{\"type\":\"null\"}}",
     {"{\"a\":1,\"zz\":null}"},
     NULL},
    {"{\"type\":\"object\",\"patternProperties\":{\"^x\":{\"type\":\"integer\"},\"z$\":{"
     "\"type\":\"null\"}},\"additionalProperties\":false}",
     {"{\"x1\":1,\"zz\":null}"},
     NULL},
    {"{\"type\":\"object\",\"propertyNames\":{\"maxLength\":2},\"minProperties\":1,"
     "\"maxProperties\":2}",
     {"{\"ab\":1}", "{\"a\":1,\"zz\":2}"},
     NULL},
    {"{\"type\":\"object\",\"properties\":{\"a\":true,\"b\":true,\"c\":true},"
     "\"dependentRequired\":{\"a\":[\"b\"]},\"dependentSchemas\":{\"c\":{\"required\":"
     "[\"b\"]}}}",
     {"{\"a\":1,\"b\":2}", "{\"b\":1,\"c\":2}"},
     "properties "},
    {"{" D7 "\"type\":\"object\",\"dependencies\":{\"a\":[\"b\"],\"c\":{\"required\":"
     "[\"b\"]}}}",
     {"{\"a\":1,\"b\":2}", "{\"b\":1,\"c\":2}"},
     NULL},
    {"{\"allOf\":[{\"type\":\"integer\",\"minimum\":2},{\"maximum\":4}]}", {"3"}, NULL},
    {"{\"anyOf\":[{\"type\":\"integer\",\"maximum\":2},{\"type\":\"string\"}]}",
     {"1", "\"a\""},
     NULL},
    {"{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1}},\"required\":"
     "["
     "\"a\"]},{\"type\":\"object\",\"properties\":{\"a\":{\"const\":2}},\"required\":["
     "\"a\"]}]}",
     {"{\"a\":1}", "{\"a\":2}"},
     NULL},
    {"{\"type\":\"integer\",\"not\":{\"enum\":[2,3]}}", {"1", "4"}, NULL},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":"
     "\"integer\"},\"c\":{\"type\":\"integer\"}},\"if\":{\"properties\":{\"a\":{"
     "\"minimum\":"
     "1}}},\"then\":{\"required\":[\"b\"]},\"else\":{\"required\":[\"c\"]}}",
     {"{\"a\":1,\"b\":1}", "{\"a\":0,\"c\":1}", "{\"b\":1}"},
     NULL},
    {"{\"$ref\":\"#/$defs/"
     "t\",\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"v\":{"
     "\"type\":\"integer\"},\"k\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/"
     "t\"}}},"
     "\"required\":[\"v\"],\"additionalProperties\":false}}}",
     {"{\"v\":1,\"k\":[{\"v\":2}]}"},
     NULL},
    {"{\"type\":\"object\",\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}}}],"
     "\"properties\":{\"b\":{\"type\":\"integer\"}},\"unevaluatedProperties\":false}",
     {"{\"a\":1,\"b\":2}"},
     NULL},
    {"{\"type\":\"array\",\"allOf\":[{\"prefixItems\":[{\"type\":\"integer\"}]}],"
     "\"unevaluatedItems\":false}",
     {"[1]"},
     NULL},
};

/* What a value is replaced by. */
static const char *const others[] = {"null",
                                     "true",
                                     "false",
                                     "0",
                                     "1",
                                     "2",
                                     "3",
                                     "4",
                                     "5",
                                     "7",
                                     "8",
                                     "-1",
                                     "1.5",
                                     "1.6",
                                     "3.9",
                                     "1.75",
                                     "\"\"",
                                     "\"a\"",
                                     "\"b\"",
                                     "\"ab\"",
                                     "\"aaaa\"",
                                     "\"xy\"",
                                     "\"1\"",
                                     "\"2023-02-29\"",
                                     "[]",
                                     "[1]",
                                     "[1,1]",
                                     "[1,2,3]",
                                     "[\"a\"]",
                                     "[1,null,2]",
                                     "[5,6,7,8]",
                                     "[0,1,2,3,4,5,6,7]",
                                     "{}",
                                     "{\"a\":1}",
                                     "{\"zz\":1}",
                                     "{\"a\":null,\"b\":1}",
                                     "{\"x\":\"z\"}",
                                     "{\"abc\":1,\"b\":2}",
                                     "{\"a\":1,\"b\":2,\"c\":3}",
                                     "{\"c\":1}"};

typedef enum change { REPLACE, DROP, DOUBLE, ADD, CHANGES } change;

typedef struct mutant {
    uint32_t place; /* counted through the tree */
    change what;
    uint32_t other;
    uint32_t at; /* places passed so far */
    bool done;
} mutant;

/* Write a value with one place of it changed. */
static void write_mutant(const json *value, mutant *m, st_buf *out)
{
    bool here = m->at++ == m->place;
    if (value->type < JSON_ARRAY || (here && m->what == REPLACE)) {
        m->done |= here && m->what == REPLACE;
        if (here && m->what == REPLACE)
            st_buf_str(out, others[m->other]);
        else
            json_write(value, JSON_COMPACT, out);
        return;
    }
    bool is_object = value->type == JSON_OBJECT;
    uint32_t n = 0;
    st_buf_char(out, is_object ? '{' : '[');
    for (uint32_t i = 0; i < value->n; i++) {
        if (here && m->what == DROP && m->other == i) {
            m->done = true;
            continue;
        }
        bool twice = here && m->what == DOUBLE && m->other == i && !is_object;
        for (int k = 0; k <= twice; k++) {
            st_buf_str(out, n++ ? "," : "");
            if (is_object) {
                json_write_string(value->names[i].text, value->names[i].n, out);
                st_buf_char(out, ':');
            }
            write_mutant(&value->items[i], m, out);
        }
        m->done |= twice;
    }
    if (here && m->what == ADD) {
        st_buf_str(out, n ? "," : "");
        st_buf_str(out, is_object ? (m->other % 2 ? "\"zz\":" : "\"x9\":") : "");
        st_buf_str(out, others[m->other]);
        m->done = true;
    }
    st_buf_char(out, is_object ? '}' : ']');
}

typedef struct pool { /* texts of values, each once */
    st_map known;
    char **texts;
    uint32_t n, cap;
} pool;

static void pool_add(pool *p, const char *text)
{
    bool is_new;
    char *copy = st_strdup(text);
    const json *j = NULL;
    assert_non_null(copy);
    if (json_read(text, strlen(text), &j, NULL) < 0) { /* a name twice */
        st_free(copy);
        return;
    }
    json_free(j);
    assert_int_equal(st_map_put(&p->known, copy, strlen(copy), p->n, &is_new), 0);
    if (!is_new) {
        st_free(copy);
        return;
    }
    if (p->n == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 256;
        p->texts = st_realloc_n(p->texts, p->cap, sizeof *p->texts);
        assert_non_null(p->texts);
    }
    p->texts[p->n++] = copy;
}

static void pool_free(pool *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        st_free(p->texts[i]);
    st_free(p->texts);
    st_map_done(&p->known);
}

static void add_mutants(pool *p, const char *text)
{
    const json *value = NULL;
    st_buf out;
    assert_int_equal(json_read(text, strlen(text), &value, NULL), 0);
    st_buf_init(&out, 1 << 16);
    for (uint32_t place = 0, any = 1; any; place++) {
        any = 0;
        for (uint32_t what = 0; what < CHANGES; what++) {
            for (uint32_t other = 0; other < sizeof others / sizeof *others; other++) {
                mutant m = {place, (change)what, other, 0, false};
                st_buf_reset(&out);
                write_mutant(value, &m, &out);
                any |= m.done;
                if (m.done)
                    pool_add(p, out.data);
            }
        }
    }
    st_buf_done(&out);
    json_free(value);
}

/* Seeds, what one change makes of them, and for small ones what two do. */
static void pool_fill(pool *p, const row *r)
{
    st_map_init(&p->known);
    for (const char *const *v = r->values; *v; v++)
        pool_add(p, *v);
    uint32_t seeds = p->n;
    for (uint32_t i = 0; i < seeds; i++)
        add_mutants(p, p->texts[i]);
    for (uint32_t i = 0; i < sizeof others / sizeof *others; i++)
        add_mutants(p, others[i]);
}

/* Verdicts of validator and automaton, which must be the same. */
static void judge(const char *schema, const pool *p, bool *ret)
{
    const json *s = NULL, *answer = NULL;
    validator *v = NULL;
    st_buf line, out;
    st_err err = {0};
    st_buf_init(&line, 1 << 24);
    st_buf_init(&out, 1 << 24);
    st_buf_fmt(&line, "{\"schema\":%s,\"tests\":[", schema);
    for (uint32_t i = 0; i < p->n; i++)
        st_buf_fmt(&line, "%s{\"data\":%s}", i ? "," : "", p->texts[i]);
    st_buf_str(&line, "]}");
    if (instance_check_line(line.data, line.len, &(instance_opts){.any_order = true},
                            &out, &err) < 0)
        fail_msg("%s: %s", schema, err.message);
    assert_int_equal(json_read(out.data, out.len, &answer, NULL), 0);
    bool made = json_get(answer, "compiled")->type == JSON_TRUE;
    if (!made && !strstr(json_get(answer, "message")->text, "no value satisfies"))
        fail_msg("%s: %s", schema, out.data);
    assert_int_equal(json_read(schema, strlen(schema), &s, NULL), 0);
    assert_int_equal(validator_new(s, &v, &err), 0);
    for (uint32_t i = 0; i < p->n; i++) {
        const json *value = NULL;
        assert_int_equal(json_read(p->texts[i], strlen(p->texts[i]), &value, NULL), 0);
        st_err why = {0};
        ret[i] = validator_run(v, value, &why) == 0;
        json_free(value);
        bool let = made && json_get(answer, "accepts")->items[i].type == JSON_TRUE;
        if (let != ret[i])
            fail_msg("%s: %s: %s by the mask, but: %s", schema, p->texts[i],
                     let ? "allowed" : "refused", ret[i] ? "valid" : why.message);
    }
    validator_free(v);
    json_free(s);
    json_free(answer);
    st_buf_done(&line);
    st_buf_done(&out);
}

/* Is this object a schema, so that its members are keywords? */
static bool holds_keywords(const char *under)
{
    static const char *const maps[] = {
        "properties",       "patternProperties", "$defs",
        "dependentSchemas", "dependentRequired", "dependencies"};
    for (size_t i = 0; under && i < sizeof maps / sizeof *maps; i++)
        if (strcmp(under, maps[i]) == 0)
            return false;
    return !under || (strcmp(under, "enum") != 0 && strcmp(under, "const") != 0);
}

typedef struct cut {
    uint32_t which, at;  /* the keyword to drop, counted through the schema */
    const char *keyword; /* its name */
} cut;

/* The schema without one of its keywords; `under` is the name that `value` stands under.
 */
static void write_cut(const json *value, const char *under, cut *c, st_buf *out)
{
    bool opaque = under && (strcmp(under, "enum") == 0 || strcmp(under, "const") == 0);
    if (value->type < JSON_ARRAY || opaque) {
        json_write(value, JSON_COMPACT, out);
        return;
    }
    bool is_object = value->type == JSON_OBJECT;
    bool keywords = is_object && holds_keywords(under);
    uint32_t n = 0;
    st_buf_char(out, is_object ? '{' : '[');
    for (uint32_t i = 0; i < value->n; i++) {
        const char *name = is_object ? value->names[i].text : NULL;
        if (keywords && strcmp(name, "$schema") != 0 && strcmp(name, "$defs") != 0 &&
            c->at++ == c->which) {
            c->keyword = name;
            continue;
        }
        st_buf_str(out, n++ ? "," : "");
        if (is_object)
            st_buf_fmt(out, "\"%s\":", name);
        /* Items of a list and values of a map of schemas are schemas again. */
        write_cut(&value->items[i], keywords ? name : NULL, c, out);
    }
    st_buf_char(out, is_object ? '}' : ']');
}

static void check_row(const row *r, unsigned *n_cuts, size_t *n_values)
{
    pool p = {.n = 0};
    const json *schema = NULL;
    st_buf out;
    st_buf_init(&out, 1 << 16);
    pool_fill(&p, r);
    bool *held = st_zalloc_n(p.n, sizeof *held),
         *without = st_zalloc_n(p.n, sizeof *held);
    assert_int_equal(json_read(r->schema, strlen(r->schema), &schema, NULL), 0);
    judge(r->schema, &p, held);
    for (uint32_t i = 0; r->values[i]; i++)
        if (!held[i])
            fail_msg("%s: %s is not valid", r->schema, r->values[i]);
    for (uint32_t which = 0;; which++) {
        cut c = {which, 0, NULL};
        st_buf_reset(&out);
        write_cut(schema, NULL, &c, &out);
        if (!c.keyword)
            break;
        judge(out.data, &p, without);
        bool may_be_free = r->free && strstr(r->free, c.keyword);
        if (memcmp(held, without, p.n) == 0 && !may_be_free)
            fail_msg("%s without \"%s\" takes the same values", r->schema, c.keyword);
        ++*n_cuts;
    }
    *n_values += p.n;
    st_free(held);
    st_free(without);
    json_free(schema);
    st_buf_done(&out);
    pool_free(&p);
}

static void test_every_keyword_is_held(void **state)
{
    unsigned n_cuts = 0;
    size_t n_values = 0;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(&rows[i], &n_cuts, &n_values);
    print_message("%zu schemas, %zu values, %u keywords dropped\n",
                  sizeof rows / sizeof *rows, n_values, n_cuts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_keyword_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
