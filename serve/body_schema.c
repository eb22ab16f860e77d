/* serve/body_schema.c - a table of members as a JSON Schema (2020-12), exactly what
 * body_check accepts. */
#include "serve/body.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Every piece is put into its owner at once; the first that fails is remembered. */
typedef struct builder {
    bool failed;
    bool answer; /* of ours: strings may hold anything, objects more than is listed */
} builder;

static void put(builder *b, json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value))
        b->failed = true;
}

static void append(builder *b, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value))
        b->failed = true;
}

static json_t *number(double x)
{
    return x == trunc(x) && fabs(x) <= 0x1p53 ? json_integer((json_int_t)x)
                                              : json_real(x);
}

static void put_bound(builder *b, json_t *schema, const char *name, double x)
{
    if (isfinite(x))
        put(b, schema, name, number(x));
}

/* An integer is one of 64 bits, whatever else binds it. */
static void put_number_bounds(builder *b, json_t *schema, const member *m)
{
    bool bound = m->min != 0 || m->max != 0;
    bool whole = !(m->types & MEMBER_NUMBER);
    if (bound)
        put_bound(b, schema, "minimum", m->min);
    else if (whole)
        put(b, schema, "minimum", json_integer(INT64_MIN));
    if (bound && m->max >= m->min)
        put_bound(b, schema, "maximum", m->max);
    else if (whole)
        put(b, schema, "maximum", json_integer(INT64_MAX));
}

/* Keywords of a type bind values of that type only, so all can stand side by side. */
static void put_bounds(builder *b, json_t *schema, const member *m)
{
    static const struct {
        unsigned type;
        const char *min, *max;
    } rows[] = {{MEMBER_STRING, "minLength", "maxLength"},
                {MEMBER_ARRAY, "minItems", "maxItems"},
                {MEMBER_OBJECT, "minProperties", "maxProperties"}};
    if (m->types & (MEMBER_INTEGER | MEMBER_NUMBER))
        put_number_bounds(b, schema, m);
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        if (!(m->types & rows[i].type) || (m->min == 0 && m->max == 0))
            continue;
        put_bound(b, schema, rows[i].min, m->min);
        if (m->max >= m->min)
            put_bound(b, schema, rows[i].max, m->max);
    }
}

static json_t *types_json(builder *b, unsigned types)
{
    static const struct {
        unsigned bit;
        const char *name;
    } rows[] = {{MEMBER_NULL, "null"},       {MEMBER_BOOL, "boolean"},
                {MEMBER_INTEGER, "integer"}, {MEMBER_NUMBER, "number"},
                {MEMBER_STRING, "string"},   {MEMBER_ARRAY, "array"},
                {MEMBER_OBJECT, "object"}};
    json_t *list = json_array();
    if (types & MEMBER_NUMBER)
        types &= ~(unsigned)MEMBER_INTEGER; /* is one of them */
    for (size_t i = 0; i < ST_COUNT(rows); i++)
        if (types & rows[i].bit)
            append(b, list, json_string(rows[i].name));
    if (json_array_size(list) != 1)
        return list;
    json_t *one = json_incref(json_array_get(list, 0));
    json_decref(list);
    return one;
}

static json_t *words_json(builder *b, const char *words, bool numbers)
{
    json_t *list = json_array();
    while (*words) {
        size_t n = strcspn(words, " ");
        char *behind;
        double x = strtod(words, &behind);
        if (numbers && behind == words + n)
            append(b, list, number(x));
        else
            append(b, list, json_stringn(words, n));
        words += n + (words[n] == ' ');
    }
    return list;
}

/* What a string may be: of the words, or without U+0000. */
static void put_string(builder *b, json_t *schema, const member *m, unsigned types)
{
    if (!(types & MEMBER_STRING))
        return;
    if (!m->words) {
        if (!m->nul && !b->answer)
            put(b, schema, "pattern", json_string("^[^\\u0000]*$"));
        return;
    }
    if (types == MEMBER_STRING) {
        put(b, schema, "enum", words_json(b, m->words, false));
        return;
    }
    json_t *either = json_array();
    append(b, either, json_pack("{s:o}", "enum", words_json(b, m->words, false)));
    append(b, either,
           json_pack("{s:o}", "type", types_json(b, types & ~(unsigned)MEMBER_STRING)));
    put(b, schema, "anyOf", either);
}

static void put_fields(builder *b, json_t *schema, const member *members, bool open);

/* What an object may be; nothing is said of other values, so it can stand beside what
 * they may be. */
static void put_object(builder *b, json_t *schema, const member *m)
{
    if (!m->either) {
        if (m->of)
            put_fields(b, schema, m->of, m->open);
        return;
    }
    json_t *list = json_array();
    for (const member *const *t = m->either; *t; t++) {
        json_t *one = json_object();
        put_fields(b, one, *t, m->open);
        append(b, list, one);
    }
    if (json_object_get(schema, "anyOf")) /* of words */
        put(b, schema, "allOf", json_pack("[{s:o}]", "anyOf", list));
    else
        put(b, schema, "anyOf", list);
}

static json_t *items_schema(builder *b, const member *m)
{
    bool objects = m->of || m->either;
    unsigned types = m->items ? m->items : objects ? MEMBER_OBJECT : MEMBER_ANY;
    json_t *schema = json_object();
    if (types != MEMBER_ANY)
        put(b, schema, "type", types_json(b, types));
    if ((types & MEMBER_INTEGER) && !(types & MEMBER_NUMBER)) {
        put(b, schema, "minimum", json_integer(INT64_MIN));
        put(b, schema, "maximum", json_integer(INT64_MAX));
    }
    put_string(b, schema, m, types);
    if (types & MEMBER_OBJECT)
        put_object(b, schema, m);
    return schema;
}

static json_t *refused_schema(builder *b, const member *m)
{
    json_t *list = m->words ? words_json(b, m->words, true) : json_array();
    append(b, list, json_null());
    append(b, list, json_false());
    json_t *schema = json_object();
    put(b, schema, "enum", list);
    return schema;
}

static json_t *member_schema(builder *b, const member *m)
{
    json_t *schema;
    if (m->use == MEMBER_REFUSE) {
        schema = refused_schema(b, m);
    } else {
        schema = json_object();
        if (m->types != MEMBER_ANY)
            put(b, schema, "type", types_json(b, m->types));
        put_bounds(b, schema, m);
        put_string(b, schema, m, m->types);
        if (m->types & MEMBER_ARRAY)
            put(b, schema, "items", items_schema(b, m));
        if ((m->types & MEMBER_OBJECT) && m->map)
            put(b, schema, "additionalProperties", items_schema(b, m));
        else if (m->types & MEMBER_OBJECT)
            put_object(b, schema, m);
    }
    if (m->about)
        put(b, schema, "description", json_string(m->about));
    return schema;
}

static void put_fields(builder *b, json_t *schema, const member *members, bool open)
{
    json_t *fields = json_object();
    json_t *need = json_array();
    const member *m = members;
    for (; m->name; m++) {
        put(b, fields, m->name, member_schema(b, m));
        if (m->need)
            append(b, need, json_string(m->name));
    }
    put(b, schema, "properties", fields);
    if (json_array_size(need))
        put(b, schema, "required", need);
    else
        json_decref(need);
    if (!open && !m->open && !b->answer)
        put(b, schema, "additionalProperties", json_false());
}

static json_t *whole_schema(const member *members, bool open, bool answer)
{
    builder b = {.answer = answer};
    json_t *schema = json_object();
    put(&b, schema, "type", json_string("object"));
    put_fields(&b, schema, members, open);
    if (!b.failed)
        return schema;
    json_decref(schema);
    return NULL;
}

json_t *body_schema(const member *members, bool open)
{
    return whole_schema(members, open, false);
}

json_t *body_answer_schema(const member *members)
{
    return whole_schema(members, true, true);
}
