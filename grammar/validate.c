/* grammar/validate.c - does a finished value satisfy a JSON Schema?
 *
 * Each keyword is one function over one value.  Items and members that a schema looked at
 * are marked only where some `unevaluated...` asks for it, and only when that schema
 * holds.  The way into the value, and the resources that were entered on the way (for
 * dynamic references), are chains through the C stack. */
#include "grammar/validate_priv.h"

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH_MAX = 4000, /* schemas within schemas; some 200 bytes of stack each */
    WORK_MAX = 50 * 1000 * 1000, /* schemas applied to values */
};

void validate_put_step(const json *name, uint32_t index, st_buf *out)
{
    st_buf_char(out, '/');
    if (!name)
        st_buf_fmt(out, "%u", index);
    for (uint32_t i = 0; name && i < name->n; i++) {
        char c = name->text[i];
        if (c == '~' || c == '/')
            st_buf_str(out, c == '~' ? "~0" : "~1");
        else
            st_buf_char(out, c);
    }
}

static void put_steps(const vstep *at, st_buf *out)
{
    if (!at)
        return;
    put_steps(at->up, out);
    validate_put_step(at->name, at->index, out);
}

/* Say that `word` does not hold here; returns 0. */
int vrun_no(vrun *r, const char *word, const char *what)
{
    st_buf pointer;
    if (r->silent)
        return 0;
    st_buf_init(&pointer, 1 << 16);
    put_steps(r->at, &pointer);
    st_buf_add(&pointer, "", 1);
    st_err_set(r->err, ST_EFORMAT, "\"%.200s\": \"%s\": %s",
               pointer.data ? pointer.data : "", word, what);
    st_buf_done(&pointer);
    return 0;
}

int vrun_is_so(vrun *r, bool holds, const vrule *rule, const char *what)
{
    return holds ? 1 : vrun_no(r, rule->word->name, what);
}

static int apply_rules(vrun *r, const vnode *node, const json *value, bool *seen)
{
    int rc = 1;
    for (uint32_t i = 0; rc == 1 && i < node->n_rules; i++) {
        const vrule *rule = &node->rules[i];
        if (rule->word->check)
            rc = rule->word->check(r, node, rule, value, seen);
    }
    return rc;
}

/* As apply_rules, with marks of its own where they are needed. */
static int apply_marked(vrun *r, const vnode *node, const json *value, bool *seen)
{
    bool *own = NULL;
    bool marks = r->v->tracks && (seen || node->late) && value->type >= JSON_ARRAY;
    if (!marks)
        return apply_rules(r, node, value, NULL);
    own = st_zalloc_n(value->n, sizeof *own);
    if (!own)
        return st_err_set(r->err, ST_ENOMEM, "out of memory for a check");
    int rc = apply_rules(r, node, value, own);
    for (uint32_t i = 0; rc == 1 && seen && i < value->n; i++)
        seen[i] = seen[i] || own[i];
    st_free(own);
    return rc;
}

int vrun_apply(vrun *r, const vnode *node, const json *value, bool *seen)
{
    vscope entered = {r->scope, node->in};
    const vscope *before = r->scope;
    if (node->at->type != JSON_OBJECT)
        return node->at->type == JSON_TRUE
                   ? 1
                   : vrun_no(r, "false", "nothing is allowed here");
    if (++r->work > WORK_MAX || r->depth >= DEPTH_MAX)
        return st_err_set(r->err, ST_ELIMIT, "too much work to check against its schema");
    if (!r->scope || r->scope->in != node->in)
        r->scope = &entered;
    r->depth++;
    int rc = apply_marked(r, node, value, seen);
    r->depth--;
    r->scope = before;
    return rc;
}

/* The same where "no" is no failure. */
int vrun_ask(vrun *r, const vnode *node, const json *value, bool *seen)
{
    r->silent++;
    int rc = vrun_apply(r, node, value, seen);
    r->silent--;
    return rc;
}

/* A schema for item or member i of a value. */
int vrun_apply_in(vrun *r, const vnode *node, const json *value, uint32_t i)
{
    vstep here = {r->at, value->type == JSON_OBJECT ? &value->names[i] : NULL, i};
    r->at = &here;
    int rc = vrun_apply(r, node, &value->items[i], NULL);
    r->at = here.up;
    return rc;
}

int vrun_ask_in(vrun *r, const vnode *node, const json *value, uint32_t i)
{
    r->silent++;
    int rc = vrun_apply_in(r, node, value, i);
    r->silent--;
    return rc;
}

/* References. */

static int check_ref(vrun *r, const vnode *node, const vrule *rule, const json *value,
                     bool *seen)
{
    (void)node;
    return vrun_apply(r, rule->target, value, seen);
}

static const vnode *dynamic_anchor(const validator *v, const vresource *in,
                                   const char *name)
{
    for (uint32_t i = 0; i < v->n_anchors; i++) {
        const vanchor *a = &v->anchors[i];
        if (a->dynamic && a->in == in && strcmp(a->name, name) == 0)
            return a->node;
    }
    return NULL;
}

/* The outermost resource on the way here that has an anchor of that name. */
static int check_dynamic_ref(vrun *r, const vnode *node, const vrule *rule,
                             const json *value, bool *seen)
{
    const vnode *target = rule->target;
    (void)node;
    for (const vscope *s = r->scope; rule->dynamic_name && s; s = s->up) {
        const vnode *outer = dynamic_anchor(r->v, s->in, rule->dynamic_name);
        target = outer ? outer : target;
    }
    return vrun_apply(r, target, value, seen);
}

static int check_recursive_ref(vrun *r, const vnode *node, const vrule *rule,
                               const json *value, bool *seen)
{
    const vnode *target = rule->target;
    (void)node;
    for (const vscope *s = r->scope; target->in->recursive && s; s = s->up)
        if (s->in->recursive)
            target = s->in->root;
    return vrun_apply(r, target, value, seen);
}

/* Schemas joined. */

static int check_all_of(vrun *r, const vnode *node, const vrule *rule, const json *value,
                        bool *seen)
{
    int rc = 1;
    (void)node;
    for (uint32_t i = 0; rc == 1 && i < rule->n; i++)
        rc = vrun_apply(r, rule->nodes[i], value, seen);
    return rc;
}

static int check_any_of(vrun *r, const vnode *node, const vrule *rule, const json *value,
                        bool *seen)
{
    bool some = false;
    (void)node;
    for (uint32_t i = 0; i < rule->n && (seen || !some); i++) {
        int rc = vrun_ask(r, rule->nodes[i], value, seen);
        if (rc < 0)
            return rc;
        some = some || rc == 1;
    }
    return vrun_is_so(r, some, rule, "none of the alternatives fits");
}

static int check_one_of(vrun *r, const vnode *node, const vrule *rule, const json *value,
                        bool *seen)
{
    uint32_t fit = 0;
    (void)node;
    for (uint32_t i = 0; i < rule->n && fit < 2; i++) {
        int rc = vrun_ask(r, rule->nodes[i], value, seen);
        if (rc < 0)
            return rc;
        fit += rc == 1;
    }
    return vrun_is_so(r, fit == 1, rule,
                      fit ? "more than one of the alternatives fits"
                          : "none of the alternatives fits");
}

static int check_not(vrun *r, const vnode *node, const vrule *rule, const json *value,
                     bool *seen)
{
    (void)node;
    (void)seen;
    int rc = vrun_ask(r, rule->nodes[0], value, NULL);
    return rc < 0 ? rc : vrun_is_so(r, rc == 0, rule, "what must not fit does");
}

static int check_if(vrun *r, const vnode *node, const vrule *rule, const json *value,
                    bool *seen)
{
    int rc = vrun_ask(r, rule->nodes[0], value, seen);
    if (rc < 0)
        return rc;
    const vrule *next = vnode_rule(node, rc ? "then" : "else");
    return next ? vrun_apply(r, next->nodes[0], value, seen) : 1;
}

enum {
    ALL = DRAFT4 | DRAFT6 | DRAFT7 | DRAFT2019 | DRAFT2020,
    FROM6 = ALL & ~DRAFT4,
    FROM7 = FROM6 & ~DRAFT6,
    FROM2019 = DRAFT2019 | DRAFT2020,
    TO2019 = ALL & ~DRAFT2020,
};

/* By name, for bisection.  `dependencies` is kept by later drafts for compatibility. */
static const vword words[] = {
    {"$defs", FROM2019, VALUE_SCHEMA_BY_NAME, NULL, false},
    {"$dynamicRef", DRAFT2020, VALUE_DYNAMIC_REF, check_dynamic_ref, false},
    {"$recursiveRef", DRAFT2019, VALUE_RECURSIVE_REF, check_recursive_ref, false},
    {"$ref", ALL, VALUE_REF, check_ref, false},
    {"additionalItems", TO2019, VALUE_SCHEMA, check_additional_items, false},
    {"additionalProperties", ALL, VALUE_SCHEMA, check_additional_properties, false},
    {"allOf", ALL, VALUE_SCHEMAS, check_all_of, false},
    {"anyOf", ALL, VALUE_SCHEMAS, check_any_of, false},
    {"const", FROM6, VALUE_ANY, check_const, false},
    {"contains", FROM6, VALUE_SCHEMA, check_contains, false},
    {"contentEncoding", DRAFT7, VALUE_REFUSED, NULL, false},
    {"contentMediaType", DRAFT7, VALUE_REFUSED, NULL, false},
    {"contentSchema", FROM2019, VALUE_SCHEMA, NULL, false},
    {"definitions", ALL, VALUE_SCHEMA_BY_NAME, NULL, false},
    {"dependencies", ALL, VALUE_DEPENDENCIES, check_dependents, false},
    {"dependentRequired", FROM2019, VALUE_STRINGS_BY_NAME, check_dependents, false},
    {"dependentSchemas", FROM2019, VALUE_SCHEMA_BY_NAME, check_dependents, false},
    {"else", FROM7, VALUE_SCHEMA, NULL, false},
    {"enum", ALL, VALUE_LIST, check_enum, false},
    {"exclusiveMaximum", ALL, VALUE_EXCLUSIVE, check_exclusive_maximum, false},
    {"exclusiveMinimum", ALL, VALUE_EXCLUSIVE, check_exclusive_minimum, false},
    {"format", ALL, VALUE_FORMAT, check_format, false},
    {"if", FROM7, VALUE_SCHEMA, check_if, false},
    {"items", ALL, VALUE_ITEMS, check_items, false},
    {"maxContains", FROM2019, VALUE_COUNT, NULL, false},
    {"maxItems", ALL, VALUE_COUNT, check_max_items, false},
    {"maxLength", ALL, VALUE_COUNT, check_max_length, false},
    {"maxProperties", ALL, VALUE_COUNT, check_max_properties, false},
    {"maximum", ALL, VALUE_NUMBER, check_maximum, false},
    {"minContains", FROM2019, VALUE_COUNT, NULL, false},
    {"minItems", ALL, VALUE_COUNT, check_min_items, false},
    {"minLength", ALL, VALUE_COUNT, check_min_length, false},
    {"minProperties", ALL, VALUE_COUNT, check_min_properties, false},
    {"minimum", ALL, VALUE_NUMBER, check_minimum, false},
    {"multipleOf", ALL, VALUE_DIVISOR, check_multiple_of, false},
    {"not", ALL, VALUE_SCHEMA, check_not, false},
    {"oneOf", ALL, VALUE_SCHEMAS, check_one_of, false},
    {"pattern", ALL, VALUE_PATTERN, check_pattern, false},
    {"patternProperties", ALL, VALUE_SCHEMA_BY_PATTERN, check_pattern_properties, false},
    {"prefixItems", DRAFT2020, VALUE_SCHEMAS, check_prefix_items, false},
    {"properties", ALL, VALUE_SCHEMA_BY_NAME, check_properties, false},
    {"propertyNames", FROM6, VALUE_SCHEMA, check_property_names, false},
    {"required", ALL, VALUE_STRINGS, check_required, false},
    {"then", FROM7, VALUE_SCHEMA, NULL, false},
    {"type", ALL, VALUE_TYPE, check_type, false},
    {"unevaluatedItems", FROM2019, VALUE_SCHEMA, check_unevaluated_items, true},
    {"unevaluatedProperties", FROM2019, VALUE_SCHEMA, check_unevaluated_properties, true},
    {"uniqueItems", ALL, VALUE_BOOL, check_unique_items, false},
};

static int cmp_word(const void *key, const void *row)
{
    const json *name = key;
    return strcmp(name->text, ((const vword *)row)->name);
}

const vword *vword_find(const json *name)
{
    if (strlen(name->text) != name->n)
        return NULL;
    return bsearch(name, words, sizeof words / sizeof *words, sizeof *words, cmp_word);
}

int validator_run(const validator *v, const json *value, st_err *err)
{
    st_err own = {0}; /* what was said while asking does not count */
    vrun r = {.v = v, .err = &own};
    int rc = vrun_apply(&r, v->nodes[0], value, NULL);
    if (rc == 1)
        return 0;
    return st_err_set(err, rc < 0 ? rc : ST_EFORMAT, "%s", own.message);
}
