/* serve/body.c - a request's JSON parsed within bounds, and members taken from it.
 *
 * jansson recurses and allocates as it reads, so depth and number of values are counted
 * over the bytes first: strings are told apart the same way as its lexer does, so that it
 * can meet nothing deeper.  (A string for which it finds no memory it reports as bad
 * syntax, as it does for a truly bad one.) */
#include "serve/body.h"

#include <math.h>
#include <string.h>

typedef struct scan {
    const char *text;
    size_t len;
    unsigned depth;
    size_t n_values;
} scan;

static size_t string_end(const scan *s, size_t i)
{
    while (++i < s->len && s->text[i] != '"')
        if (s->text[i] == '\\')
            i++;
    return i;
}

static void add_json(const scan *s, size_t at, const char *what, unsigned limit,
                     problems *out)
{
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        bool end = s->text[i] == '\n';
        line += end;
        column = end ? 1 : column + ((s->text[i] & 0xC0) != 0x80);
    }
    problems_add(out, PROBLEM_JSON, "", "line %u, column %u: more than %u %s", line,
                 column, limit, what);
}

static bool bounded(scan *s, unsigned max_depth, problems *out)
{
    s->n_values = 1;
    for (size_t i = 0; i < s->len; i++) {
        char c = s->text[i];
        if (c == '"')
            i = string_end(s, i);
        if (c == '[' || c == '{') {
            s->n_values++;
            if (++s->depth > max_depth) {
                add_json(s, i, "arrays and objects inside each other", max_depth, out);
                return false;
            }
        }
        if ((c == ']' || c == '}') && s->depth)
            s->depth--;
        if (c == ',' && ++s->n_values > BODY_MAX_VALUES) {
            add_json(s, i, "values", BODY_MAX_VALUES, out);
            return false;
        }
    }
    return true;
}

json_t *body_parse(const char *text, size_t len, unsigned max_depth, problems *out)
{
    json_error_t err = {0};
    scan s = {text, len, 0, 0};
    if (!bounded(&s, max_depth, out))
        return NULL;
    json_t *body = json_loadb(
        text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &err);
    if (body)
        return body;
    if (!*err.text || json_error_code(&err) == json_error_out_of_memory)
        out->out_of_memory = true;
    else
        problems_add(out, PROBLEM_JSON, "", "line %d, column %d: %s", err.line,
                     err.column, err.text);
    return NULL;
}

json_t *body_get(const json_t *body, const char *name)
{
    json_t *value = json_object_get(body, name);
    return json_is_null(value) ? NULL : value;
}

const char *body_text(const json_t *body, const char *name, const char *def)
{
    const json_t *value = body_get(body, name);
    return json_is_string(value) ? json_string_value(value) : def;
}

double body_number(const json_t *body, const char *name, double def)
{
    const json_t *value = body_get(body, name);
    return json_is_number(value) ? json_number_value(value) : def;
}

int64_t body_int(const json_t *value, int64_t def)
{
    if (json_is_integer(value))
        return json_integer_value(value);
    double real = json_is_real(value) ? json_real_value(value) : HUGE_VAL;
    return fabs(real) < 0x1p63 && real == trunc(real) ? (int64_t)real : def;
}

int64_t body_integer(const json_t *body, const char *name, int64_t def)
{
    return body_int(body_get(body, name), def);
}

bool body_bool(const json_t *body, const char *name, bool def)
{
    const json_t *value = body_get(body, name);
    return json_is_boolean(value) ? json_is_true(value) : def;
}
