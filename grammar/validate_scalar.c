/* grammar/validate_scalar.c - keywords about any value, numbers and texts. */
#include "grammar/validate_priv.h"

#include <string.h>

/* Any value. */

/* From draft 6 on 1.0 is an integer; in draft 4 it is one only when written as one. */
static bool is_integer(const json *value, draft in)
{
    decimal d;
    if (in == DRAFT4)
        return strcspn(value->text, ".eE") == value->n;
    return decimal_read(value->text, value->n, &d) && decimal_is_integer(&d);
}

static bool has_type(const json *value, const json *name, draft in)
{
    static const char *const names[] = {"null",   "boolean", "boolean", "number",
                                        "string", "array",   "object"};
    return json_is(name, names[value->type]) ||
           (value->type == JSON_NUMBER && json_is(name, "integer") &&
            is_integer(value, in));
}

int check_type(vrun *r, const vnode *node, const vrule *rule, const json *value,
               bool *seen)
{
    draft in = node->in->draft;
    bool some = rule->value->type == JSON_STRING && has_type(value, rule->value, in);
    (void)seen;
    for (uint32_t i = 0; rule->value->type == JSON_ARRAY && i < rule->value->n; i++)
        some = some || has_type(value, &rule->value->items[i], in);
    return vrun_is_so(r, some, rule, "another type");
}

int check_enum(vrun *r, const vnode *node, const vrule *rule, const json *value,
               bool *seen)
{
    (void)node;
    (void)seen;
    for (uint32_t i = 0; i < rule->value->n; i++)
        if (json_same(&rule->value->items[i], value))
            return 1;
    return vrun_no(r, rule->word->name, "none of the values");
}

int check_const(vrun *r, const vnode *node, const vrule *rule, const json *value,
                bool *seen)
{
    (void)node;
    (void)seen;
    return vrun_is_so(r, json_same(rule->value, value), rule, "not the value");
}

/* Numbers. */

/* Compare a number with the rule's; false when it is no number.  One with an exponent
 * that cannot be read is refused by every bound. */
static bool compare(const json *value, const vrule *rule, int *ret)
{
    decimal d;
    if (value->type != JSON_NUMBER)
        return false;
    *ret = decimal_read(value->text, value->n, &d) ? decimal_cmp(&d, &rule->number) : 2;
    return true;
}

/* Draft 4 has "exclusiveMinimum": true beside "minimum". */
static bool excluded(const vnode *node, const char *word)
{
    const vrule *rule = node->in->draft == DRAFT4 ? vnode_rule(node, word) : NULL;
    return rule && rule->value->type == JSON_TRUE;
}

int check_minimum(vrun *r, const vnode *node, const vrule *rule, const json *value,
                  bool *seen)
{
    int c;
    (void)seen;
    if (!compare(value, rule, &c))
        return 1;
    return vrun_is_so(r, c == 1 || (c == 0 && !excluded(node, "exclusiveMinimum")), rule,
                      "too small");
}

int check_maximum(vrun *r, const vnode *node, const vrule *rule, const json *value,
                  bool *seen)
{
    int c;
    (void)seen;
    if (!compare(value, rule, &c))
        return 1;
    return vrun_is_so(r, c == -1 || (c == 0 && !excluded(node, "exclusiveMaximum")), rule,
                      "too large");
}

int check_exclusive_minimum(vrun *r, const vnode *node, const vrule *rule,
                            const json *value, bool *seen)
{
    int c;
    (void)seen;
    if (node->in->draft == DRAFT4 || !compare(value, rule, &c))
        return 1;
    return vrun_is_so(r, c == 1, rule, "too small");
}

int check_exclusive_maximum(vrun *r, const vnode *node, const vrule *rule,
                            const json *value, bool *seen)
{
    int c;
    (void)seen;
    if (node->in->draft == DRAFT4 || !compare(value, rule, &c))
        return 1;
    return vrun_is_so(r, c == -1, rule, "too large");
}

int check_multiple_of(vrun *r, const vnode *node, const vrule *rule, const json *value,
                      bool *seen)
{
    decimal d;
    bool sure;
    (void)node;
    (void)seen;
    if (value->type != JSON_NUMBER)
        return 1;
    if (!decimal_read(value->text, value->n, &d))
        return vrun_no(r, rule->word->name, "an exponent too large to tell");
    return vrun_is_so(r, decimal_is_multiple(&d, &rule->number, &sure), rule,
                      "no multiple");
}

/* Strings. */

static uint64_t n_characters(const json *string)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < string->n; i++)
        n += ((unsigned char)string->text[i] & 0xC0) != 0x80;
    return n;
}

int check_min_length(vrun *r, const vnode *node, const vrule *rule, const json *value,
                     bool *seen)
{
    (void)node;
    (void)seen;
    bool holds = value->type != JSON_STRING || n_characters(value) >= rule->count;
    return vrun_is_so(r, holds, rule, "too short");
}

int check_max_length(vrun *r, const vnode *node, const vrule *rule, const json *value,
                     bool *seen)
{
    (void)node;
    (void)seen;
    bool holds = value->type != JSON_STRING || n_characters(value) <= rule->count;
    return vrun_is_so(r, holds, rule, "too long");
}

int check_pattern(vrun *r, const vnode *node, const vrule *rule, const json *value,
                  bool *seen)
{
    (void)node;
    (void)seen;
    if (value->type != JSON_STRING)
        return 1;
    int rc = pattern_find(rule->patterns[0], value->text, value->n, r->err);
    return rc < 0 ? rc : vrun_is_so(r, rc == 1, rule, "not of the pattern");
}

int check_format(vrun *r, const vnode *node, const vrule *rule, const json *value,
                 bool *seen)
{
    (void)node;
    (void)seen;
    if (value->type != JSON_STRING || !rule->format)
        return 1;
    return vrun_is_so(r, rule->format(value->text, value->n), rule, "not of the format");
}
