/* task/contract_read.c - mappings of a contract read through tables of their keys. */
#include "task/contract_read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "task/near.h"

/* Keys of the whole design that this version refuses rather than ignores. */
static const char *const later_keys[] = {"accept", "escalate", "on_no_answer", "keep"};

static void list_names(char *text, size_t size, const char *const *names, size_t n)
{
    size_t used = 0;
    for (size_t i = 0; i < n && used < size; i++) {
        int more = snprintf(text + used, size - used, "%s%s", i ? ", " : "", names[i]);
        used += more > 0 ? (size_t)more : 0;
    }
}

/* Refuse a name (of a key, or a value) that is none of these; hints at the nearest. */
static int fail_name(reader *r, const yaml_node *node, bool is_key, const char *what,
                     const char *const *names, size_t n)
{
    char list[160];
    const char *text = is_key ? node->key : node->text;
    list_names(list, sizeof list, names, n);
    int (*fail)(const yaml *, const yaml_node *, st_err *, const char *, ...) =
        is_key ? yaml_fail_key : yaml_fail;
    int rc = fail(r->c->source, node, r->err, "unknown %s '%.40s'; expected one of: %s",
                  what, text, list);
    near_hint(r->err, text, names, n);
    return rc;
}

/* Refuse keys that `rows` does not have. */
static int fail_unknown(reader *r, const yaml_node *node, const char *place,
                        const key_row *rows, size_t n)
{
    const char *names[16];
    char what[80];
    for (size_t i = 0; i < ST_COUNT(later_keys); i++)
        if (strcmp(node->key, later_keys[i]) == 0)
            return yaml_fail_key(r->c->source, node, r->err,
                                 "key '%s' is not supported by this version", node->key);
    for (size_t i = 0; i < n; i++)
        names[i] = rows[i].name;
    snprintf(what, sizeof what, "key in %s", place);
    return fail_name(r, node, true, what, names, n);
}

int reader_map(reader *r, const yaml_node *map, const char *place, const key_row *rows,
               size_t n)
{
    if (map->kind != YAML_MAP)
        return yaml_fail(r->c->source, map, r->err, "%s is a %s; expected a mapping",
                         place, yaml_type(map));
    for (const yaml_node *child = map->first; child; child = child->next) {
        size_t i = 0;
        while (i < n && strcmp(rows[i].name, child->key))
            i++;
        if (i == n)
            return fail_unknown(r, child, place, rows, n);
        int rc = rows[i].take(r, child);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < n; i++)
        if (rows[i].required && !yaml_find(map, rows[i].name))
            return yaml_fail(r->c->source, map, r->err, "%s has no key '%s'", place,
                             rows[i].name);
    return 0;
}

/* A string that says something.  What YAML reads as another type needs quotes. */
int reader_string(reader *r, const yaml_node *node, const char *what, const char **ret)
{
    const char *type = yaml_type(node);
    if (strcmp(type, "string")) {
        int rc = yaml_fail(r->c->source, node, r->err, "%s is a %s; expected a string",
                           what, type);
        if (node->kind == YAML_SCALAR && node->text[0])
            st_err_hint(r->err, "put it in quotes if the text is meant: \"%.40s\"",
                        node->text);
        return rc;
    }
    if (node->text[strspn(node->text, " \t\r\n")] == '\0')
        return yaml_fail(r->c->source, node, r->err, "%s is empty", what);
    *ret = node->text;
    return 0;
}

int reader_bool(reader *r, const yaml_node *node, const char *what, bool *ret)
{
    if (strcmp(yaml_type(node), "boolean"))
        return yaml_fail(r->c->source, node, r->err, "%s is a %s; expected true or false",
                         what, yaml_type(node));
    *ret = node->text[0] == 't' || node->text[0] == 'T';
    return 0;
}

int reader_number(reader *r, const yaml_node *node, const char *what, double *ret)
{
    char *end = NULL;
    bool number = strcmp(yaml_type(node), "number") == 0;
    double value = number ? strtod(node->text, &end) : 0;
    if (!number || *end || !isfinite(value))
        return yaml_fail(r->c->source, node, r->err, "%s is '%.40s'; expected a number",
                         what, node->kind == YAML_SCALAR ? node->text : yaml_type(node));
    *ret = value;
    return 0;
}

int reader_count(reader *r, const yaml_node *node, const char *what, uint32_t most,
                 uint32_t *ret)
{
    uint32_t n = 0;
    bool bad = strcmp(yaml_type(node), "number") != 0;
    for (const char *p = bad ? "" : node->text; *p && !bad; p++) {
        bad = *p < '0' || *p > '9' || n > most;
        n = n * 10 + (uint32_t)(*p - '0');
    }
    if (bad || n == 0 || n > most)
        return yaml_fail(r->c->source, node, r->err,
                         "%s is '%.40s'; expected a whole number from 1 to %u", what,
                         node->kind == YAML_SCALAR ? node->text : yaml_type(node), most);
    *ret = n;
    return 0;
}

int reader_enum(reader *r, const yaml_node *node, const char *what,
                const char *const *names, size_t n, unsigned *ret)
{
    const char *text;
    int rc = reader_string(r, node, what, &text);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        if (strcmp(text, names[i]) == 0) {
            *ret = (unsigned)i;
            return 0;
        }
    return fail_name(r, node, false, what, names, n);
}

int reader_list(reader *r, const yaml_node *node, const char *what)
{
    if (node->kind == YAML_LIST)
        return 0;
    return yaml_fail(r->c->source, node, r->err, "%s is a %s; expected a list", what,
                     yaml_type(node));
}
