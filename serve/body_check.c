/* serve/body_check.c - a body compared with the table of its members, all problems at
 * once. */
#include "serve/body.h"
#include "serve/param.h"
#include "task/near.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KNOWN = 128, MAX_SHOWN = 160 };

static const struct {
    unsigned bit;
    const char *text;
} type_names[] = {
    {MEMBER_NULL, "null"},          {MEMBER_BOOL, "true or false"},
    {MEMBER_INTEGER, "an integer"}, {MEMBER_NUMBER, "a number"},
    {MEMBER_STRING, "a string"},    {MEMBER_ARRAY, "an array"},
    {MEMBER_OBJECT, "an object"},
};

/* The bits of a value: an integer, also when written as 1.0, is a number too.  Integers
 * are those of 64 bits. */
static unsigned bits_of(const json_t *value)
{
    double real = json_is_real(value) ? json_real_value(value) : 0.5;
    bool whole = json_is_integer(value) || (fabs(real) < 0x1p63 && real == trunc(real));
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return MEMBER_OBJECT;
    case JSON_ARRAY:
        return MEMBER_ARRAY;
    case JSON_STRING:
        return MEMBER_STRING;
    case JSON_INTEGER:
    case JSON_REAL:
        return whole ? MEMBER_INTEGER | MEMBER_NUMBER : MEMBER_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return MEMBER_BOOL;
    default:
        return MEMBER_NULL;
    }
}

static const char *name_of(const json_t *value)
{
    unsigned bits = bits_of(value);
    for (size_t i = 0; i < ST_COUNT(type_names); i++)
        if (bits & type_names[i].bit)
            return type_names[i].text;
    return "";
}

static void add_type(unsigned types, const json_t *got, const char *at, problems *out)
{
    char want[MAX_SHOWN];
    size_t n = 0;
    *want = '\0';
    for (size_t i = 0; i < ST_COUNT(type_names) && n < sizeof want; i++)
        if (types & type_names[i].bit)
            n += (size_t)snprintf(want + n, sizeof want - n, "%s%s", n ? " or " : "",
                                  type_names[i].text);
    problems_add(out, PROBLEM_TYPE, at, "expected %s, got %s", want, name_of(got));
}

/* Is `text` one of the words? */
static bool has_word(const char *words, const char *text, size_t len)
{
    while (*words) {
        size_t n = strcspn(words, " ");
        if (n == len && memcmp(words, text, n) == 0)
            return true;
        words += n + (words[n] == ' ');
    }
    return false;
}

static size_t n_chars(const json_t *string)
{
    const char *s = json_string_value(string);
    size_t n = 0;
    for (size_t i = 0; i < json_string_length(string); i++)
        n += (s[i] & 0xC0) != 0x80;
    return n;
}

static void check_size(const member *m, double size, const char *of, const char *at,
                       problems *out)
{
    bool over = m->max >= m->min && size > m->max;
    if (size >= m->min && !over)
        return;
    if (over)
        problems_add(out, PROBLEM_COUNT, at, "at most %.15g %s, got %.15g", m->max, of,
                     size);
    else
        problems_add(out, PROBLEM_COUNT, at, "at least %.15g %s, got %.15g", m->min, of,
                     size);
    problems_code(out, over ? "too_long" : "too_short");
}

static void check_bounds(const member *m, const json_t *value, const char *at,
                         problems *out)
{
    if (m->min == 0 && m->max == 0)
        return;
    if (json_is_number(value)) {
        double x = json_number_value(value);
        if (x < m->min)
            problems_add(out, PROBLEM_VALUE, at, "must be at least %.15g, got %.15g",
                         m->min, x);
        else if (m->max >= m->min && x > m->max)
            problems_add(out, PROBLEM_VALUE, at, "must be at most %.15g, got %.15g",
                         m->max, x);
    }
    if (json_is_string(value))
        check_size(m, (double)n_chars(value), "characters", at, out);
    if (json_is_array(value))
        check_size(m, (double)json_array_size(value), "members", at, out);
    if (json_is_object(value))
        check_size(m, (double)json_object_size(value), "members", at, out);
}

static void check_string(const member *m, const json_t *value, const char *at,
                         problems *out)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    if (m->words && !has_word(m->words, text, len))
        problems_add(out, PROBLEM_VALUE, at, "must be one of: %s; got \"%.40s\"",
                     m->words, text);
    else if (!m->nul && strlen(text) != len)
        problems_add(out, PROBLEM_VALUE, at, "may not hold the character U+0000");
}

static void check_object(const json_t *object, const member *members, bool open,
                         const char *at, problems *out);

/* The table that the object is of; NULL: none, and it is told. */
static const member *pick(const member *const *either, const json_t *object,
                          const char *at, problems *out)
{
    char place[PROBLEM_PARAM_MAX];
    char words[MAX_SHOWN] = "";
    size_t n = 0;
    const json_t *word = json_object_get(object, either[0]->name);
    const char *text = json_string_value(word);
    for (const member *const *t = either; *t; t++) {
        if (word ? text && has_word((*t)->words, text, json_string_length(word))
                 : !(*t)->need)
            return *t;
        if (n < sizeof words)
            n += (size_t)snprintf(words + n, sizeof words - n, "%s%s", n ? " " : "",
                                  (*t)->words);
    }
    param_name(place, at, either[0]->name);
    if (!word)
        problems_add(out, PROBLEM_MISSING, place, "is missing; it is one of: %s", words);
    else if (!text)
        add_type(MEMBER_STRING, word, place, out);
    else
        problems_add(out, PROBLEM_VALUE, place, "must be one of: %s; got \"%.40s\"",
                     words, text);
    return NULL;
}

static void check_fields(const member *m, const json_t *object, const char *at,
                         problems *out)
{
    const member *table = m->either ? pick(m->either, object, at, out) : m->of;
    if (table)
        check_object(object, table, m->open, at, out);
}

static void check_item(const member *m, const json_t *item, const char *at, problems *out)
{
    bool objects = m->of || m->either;
    unsigned types = m->items ? m->items : objects ? MEMBER_OBJECT : MEMBER_ANY;
    if (!(bits_of(item) & types))
        add_type(types, item, at, out);
    else if (json_is_string(item))
        check_string(m, item, at, out);
    else if (json_is_object(item))
        check_fields(m, item, at, out);
}

static void check_items(const member *m, const json_t *array, const char *at,
                        problems *out)
{
    char place[PROBLEM_PARAM_MAX];
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item)
    {
        param_index(place, at, i);
        check_item(m, item, place, out);
    }
}

static void check_map(const member *m, const json_t *object, const char *at,
                      problems *out)
{
    char place[PROBLEM_PARAM_MAX];
    json_t *walked = (json_t *)(uintptr_t)object; /* iterators take no const */
    for (void *it = json_object_iter(walked); it;
         it = json_object_iter_next(walked, it)) {
        param_name(place, at, json_object_iter_key(it));
        check_item(m, json_object_iter_value(it), place, out);
    }
}

/* Is one of the words this number? */
static bool has_number(const char *words, double x)
{
    for (const char *w = words; *w; w += strspn(w, " ")) {
        char *end;
        double word = strtod(w, &end);
        if (end != w && (*end == ' ' || !*end) && word == x)
            return true;
        w += strcspn(w, " ");
    }
    return false;
}

static bool means_as_is(const member *m, const json_t *value)
{
    if (json_is_null(value) || json_is_false(value))
        return true;
    if (!m->words)
        return false;
    if (json_is_number(value))
        return has_number(m->words, json_number_value(value));
    return json_is_string(value) &&
           has_word(m->words, json_string_value(value), json_string_length(value));
}

static void check_refused(const member *m, const json_t *value, const char *at,
                          problems *out)
{
    if (means_as_is(m, value))
        return;
    problems_add(out, PROBLEM_UNSUPPORTED, at, "is not supported here%s%s%s",
                 m->words ? "; only " : "", m->words ? m->words : "",
                 m->words ? " is" : "");
}

static void check_member(const member *m, const json_t *value, const char *at,
                         problems *out)
{
    if (m->use == MEMBER_REFUSE) {
        check_refused(m, value, at, out);
        return;
    }
    if (!(bits_of(value) & m->types)) {
        add_type(m->types, value, at, out);
        return;
    }
    check_bounds(m, value, at, out);
    if (json_is_string(value))
        check_string(m, value, at, out);
    if (json_is_array(value))
        check_items(m, value, at, out);
    if (json_is_object(value) && m->map)
        check_map(m, value, at, out);
    else if (json_is_object(value))
        check_fields(m, value, at, out);
}

static void add_unknown(const member *members, const char *name, const char *at,
                        problems *out)
{
    const char *known[MAX_KNOWN];
    size_t n = 0;
    st_err hint = {.code = ST_EINVAL};
    for (const member *m = members; m->name && n < MAX_KNOWN; m++)
        known[n++] = m->name;
    if (out->n < PROBLEMS_MAX)
        near_hint(&hint, name, known, n);
    problems_add(out, PROBLEM_UNKNOWN, at, "no such field is known%s%s",
                 *hint.hint ? "; " : "", hint.hint);
}

/* The row of this name, or the end of the table. */
static const member *find(const member *members, const char *name)
{
    while (members->name && strcmp(members->name, name) != 0)
        members++;
    return members;
}

static void check_object(const json_t *object, const member *members, bool open,
                         const char *at, problems *out)
{
    char place[PROBLEM_PARAM_MAX];
    json_t *walked = (json_t *)(uintptr_t)object; /* iterators take no const */
    for (void *it = json_object_iter(walked); it;
         it = json_object_iter_next(walked, it)) {
        const char *name = json_object_iter_key(it);
        const member *m = find(members, name);
        param_name(place, at, name);
        if (m->name)
            check_member(m, json_object_iter_value(it), place, out);
        else if (!open && !m->open)
            add_unknown(members, name, place, out);
    }
    for (const member *m = members; m->name; m++) {
        if (!m->need || json_object_get(object, m->name))
            continue;
        param_name(place, at, m->name);
        problems_add(out, PROBLEM_MISSING, place, "is missing");
    }
}

void body_check(const json_t *body, const member *members, bool open, const char *at,
                problems *out)
{
    if (json_is_object(body))
        check_object(body, members, open, at, out);
    else
        add_type(MEMBER_OBJECT, body, at, out);
}
