/* grammar/schema_read.c - subschemas read into nodes, keyword by keyword.
 *
 * Only what the root leads to is read, so a definition that nothing refers to may hold
 * anything.  Keywords are those of the subschema's dialect; a keyword that asserts
 * something and is not read here is refused, annotations and unknown ones are not. */
#include "grammar/schema_priv.h"

#include <string.h>

typedef struct reader {
    compiler *c;
    uint32_t id; /* of the node that is read */
    node n;
    dialect draft;
    st_err *err;
} reader;

static int malformed(reader *r, const char *keyword, const char *what)
{
    return refuse(r->c, r->id, keyword, ST_EFORMAT, r->err, "must be %s", what);
}

static const json *keyword(const reader *r, const char *name)
{
    return json_get(r->n.raw, name);
}

static int child(reader *r, const json *raw, const char *name, uint32_t *ret)
{
    if (raw->type != JSON_OBJECT && raw->type != JSON_TRUE && raw->type != JSON_FALSE)
        return malformed(r, name, "a schema: an object, true or false");
    return node_of(r->c, raw, r->n.resource, false, ret, r->err);
}

static int read_child(reader *r, const char *name, uint32_t *ret)
{
    const json *raw = keyword(r, name);
    return raw ? child(r, raw, name, ret) : 0;
}

static int read_children(reader *r, const json *raw, const char *name, list *ret)
{
    if (raw->type != JSON_ARRAY)
        return malformed(r, name, "an array of schemas");
    ids found = {0};
    int rc = 0;
    for (uint32_t i = 0; i < raw->n && rc == 0; i++) {
        uint32_t id = 0;
        rc = child(r, &raw->items[i], name, &id);
        if (rc == 0)
            rc = ids_add(&found, id, r->err);
    }
    if (rc == 0)
        rc = pool_list(&r->c->pool, &found, ret, r->err);
    ids_done(&found);
    return rc;
}

/* A count; one beyond what anything can reach is the largest. */
static int read_count(reader *r, const char *name, uint32_t *ret)
{
    const json *raw = keyword(r, name);
    if (!raw)
        return 0;
    decimal d;
    if (raw->type != JSON_NUMBER || !decimal_read(raw->text, raw->n, &d) ||
        !decimal_is_integer(&d) || d.negative)
        return malformed(r, name, "a whole number, not negative");
    uint32_t value = 0;
    if (d.n > 0 && d.exp > 9) {
        *ret = LIMIT_NO - 1;
        return 0;
    }
    for (int64_t power = d.exp - 1; d.n > 0 && power >= 0; power--)
        value = value * 10 + decimal_digit(&d, power);
    *ret = value;
    return 0;
}

static int names_list(reader *r, const json *raw, const char *name, list *ret)
{
    if (raw->type != JSON_ARRAY)
        return malformed(r, name, "an array of names");
    ids found = {0};
    int rc = 0;
    for (uint32_t i = 0; i < raw->n && rc == 0; i++) {
        uint32_t id = 0;
        if (raw->items[i].type != JSON_STRING)
            rc = malformed(r, name, "an array of names");
        else
            rc = name_of(r->c, raw->items[i].text, raw->items[i].n, &id, r->err);
        if (rc == 0 && !ids_has(&found, id))
            rc = ids_add(&found, id, r->err);
    }
    if (rc == 0)
        rc = pool_list(&r->c->pool, &found, ret, r->err);
    ids_done(&found);
    return rc;
}

static const struct type_name {
    const char *name;
    uint16_t types;
} type_names[] = {
    {"null", 1 << JSON_NULL},     {"boolean", 1 << JSON_FALSE | 1 << JSON_TRUE},
    {"integer", TYPE_INTEGER},    {"number", 1 << JSON_NUMBER},
    {"string", 1 << JSON_STRING}, {"array", 1 << JSON_ARRAY},
    {"object", 1 << JSON_OBJECT},
};

static int add_type(reader *r, const json *raw)
{
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++) {
        if (json_is(raw, type_names[i].name)) {
            r->n.types |= type_names[i].types;
            return 0;
        }
    }
    return malformed(r, "type",
                     "null, boolean, integer, number, string, array, object "
                     "or a list of them");
}

static int read_types(reader *r)
{
    const json *raw = keyword(r, "type");
    if (!raw)
        return 0;
    r->n.types = 0;
    if (raw->type != JSON_ARRAY)
        return add_type(r, raw);
    int rc = 0;
    for (uint32_t i = 0; i < raw->n && rc == 0; i++)
        rc = add_type(r, &raw->items[i]);
    return rc;
}

static int read_choices(reader *r)
{
    const json *choices = keyword(r, "enum");
    const json *one = r->draft >= DRAFT_6 ? keyword(r, "const") : NULL;
    if (choices && choices->type != JSON_ARRAY)
        return malformed(r, "enum", "an array");
    if (!choices && !one)
        return 0;
    r->n.has_choices = true;
    r->n.choices = one ? one : choices->items;
    r->n.n_choices = one ? 1 : choices->n;
    if (one && choices) { /* both: the constant, if it is among the choices */
        bool among = false;
        for (uint32_t i = 0; i < choices->n; i++)
            among |= json_same(one, &choices->items[i]);
        r->n.n_choices = among;
    }
    ids found = {0};
    int rc = 0;
    for (uint32_t i = 0; i < r->n.n_choices && rc == 0; i++) {
        uint32_t id = 0;
        if (r->n.choices[i].type < JSON_ARRAY)
            continue;
        rc = node_of(r->c, &r->n.choices[i], r->n.resource, true, &id, r->err);
        if (rc == 0)
            rc = ids_add(&found, id, r->err);
    }
    if (rc == 0)
        rc = pool_list(&r->c->pool, &found, &r->n.choice_nodes, r->err);
    ids_done(&found);
    return rc;
}

static int read_bound(reader *r, const char *name, bool upper, bool open)
{
    const json *raw = keyword(r, name);
    if (!raw)
        return 0;
    if (raw->type != JSON_NUMBER)
        return malformed(r, name, "a number");
    bound b = {0, upper, open};
    int rc = decimal_of(r->c, raw, r->id, name, &b.number, r->err);
    if (rc == 0)
        r->n.bounds[r->n.n_bounds++] = b;
    return rc;
}

static int read_numbers(reader *r)
{
    bool old = r->draft == DRAFT_4;
    const json *lo = keyword(r, "exclusiveMinimum"), *hi = keyword(r, "exclusiveMaximum");
    bool lo_open = old && lo && lo->type == JSON_TRUE;
    bool hi_open = old && hi && hi->type == JSON_TRUE;
    int rc = read_bound(r, "minimum", false, lo_open);
    if (rc == 0)
        rc = read_bound(r, "maximum", true, hi_open);
    if (rc == 0 && !old)
        rc = read_bound(r, "exclusiveMinimum", false, true);
    if (rc == 0 && !old)
        rc = read_bound(r, "exclusiveMaximum", true, true);
    if (rc < 0)
        return rc;
    const json *multiple = keyword(r, "multipleOf");
    if (!multiple)
        return 0;
    if (multiple->type != JSON_NUMBER)
        return malformed(r, "multipleOf", "a number over 0");
    rc = decimal_of(r->c, multiple, r->id, "multipleOf", &r->n.multiple, r->err);
    if (rc < 0)
        return rc;
    const decimal *d = &r->c->decimals[r->n.multiple];
    return d->negative || d->n == 0 ? malformed(r, "multipleOf", "a number over 0") : 0;
}

static int read_text(reader *r, const char *name, text_kind kind, uint32_t *ret)
{
    const json *raw = keyword(r, name);
    if (!raw)
        return 0;
    if (raw->type != JSON_STRING)
        return malformed(r, name, "a string");
    return text_of(r->c, kind, r->id, raw, 1, ret, r->err);
}

static int read_strings(reader *r)
{
    int rc = read_count(r, "minLength", &r->n.min_length);
    if (rc == 0)
        rc = read_count(r, "maxLength", &r->n.max_length);
    if (rc == 0)
        rc = read_text(r, "pattern", TEXT_PATTERN, &r->n.pattern);
    return rc < 0 ? rc : read_text(r, "format", TEXT_FORMAT, &r->n.format);
}

/* Up to 2019-09, and where it is still written so, `items` may be a list. */
static int read_items(reader *r)
{
    const json *items = keyword(r, "items");
    if (items && items->type == JSON_ARRAY) {
        int rc = read_children(r, items, "items", &r->n.prefix);
        return rc < 0 ? rc : read_child(r, "additionalItems", &r->n.rest);
    }
    const json *prefix = r->draft >= DRAFT_2020 ? keyword(r, "prefixItems") : NULL;
    int rc = prefix ? read_children(r, prefix, "prefixItems", &r->n.prefix) : 0;
    return rc < 0 ? rc : read_child(r, "items", &r->n.rest);
}

static int read_arrays(reader *r)
{
    int rc = read_items(r);
    if (rc == 0)
        rc = read_count(r, "minItems", &r->n.min_items);
    if (rc == 0)
        rc = read_count(r, "maxItems", &r->n.max_items);
    const json *unique = keyword(r, "uniqueItems");
    r->n.unique = unique && unique->type == JSON_TRUE;
    if (rc == 0 && r->draft >= DRAFT_6)
        rc = read_child(r, "contains", &r->n.contains);
    if (rc < 0 || r->draft < DRAFT_2019)
        return rc;
    rc = read_count(r, "minContains", &r->n.min_contains);
    if (rc == 0)
        rc = read_count(r, "maxContains", &r->n.max_contains);
    return rc < 0 ? rc : read_child(r, "unevaluatedItems", &r->n.other_items);
}

static int read_map(reader *r, const char *name, bool patterns, list *ret_keys,
                    list *ret_nodes)
{
    const json *raw = keyword(r, name);
    if (!raw)
        return 0;
    if (raw->type != JSON_OBJECT)
        return malformed(r, name, "an object of schemas");
    ids keys = {0}, nodes = {0};
    int rc = 0;
    for (uint32_t i = 0; i < raw->n && rc == 0; i++) {
        uint32_t key = 0, id = 0;
        const json *text = &raw->names[i];
        rc = patterns ? text_of(r->c, TEXT_PATTERN, r->id, text, 1, &key, r->err)
                      : name_of(r->c, text->text, text->n, &key, r->err);
        if (rc == 0)
            rc = child(r, &raw->items[i], name, &id);
        if (rc == 0)
            rc = ids_add(&keys, key, r->err);
        if (rc == 0)
            rc = ids_add(&nodes, id, r->err);
    }
    if (rc == 0)
        rc = pool_list(&r->c->pool, &keys, ret_keys, r->err);
    if (rc == 0)
        rc = pool_list(&r->c->pool, &nodes, ret_nodes, r->err);
    ids_done(&keys);
    ids_done(&nodes);
    return rc;
}

static int read_dependents(reader *r, const char *name, dependent *into)
{
    const json *raw = keyword(r, name);
    if (!raw)
        return 0;
    if (raw->type != JSON_OBJECT)
        return malformed(r, name, "an object");
    int rc = 0;
    for (uint32_t i = 0; i < raw->n && rc == 0; i++) {
        dependent d = {.node = NODE_NO};
        rc = name_of(r->c, raw->names[i].text, raw->names[i].n, &d.name, r->err);
        if (rc < 0)
            return rc;
        if (raw->items[i].type == JSON_ARRAY)
            rc = names_list(r, &raw->items[i], name, &d.needs);
        else
            rc = child(r, &raw->items[i], name, &d.node);
        into[r->n.n_dependents++] = d;
    }
    return rc;
}

static int read_all_dependents(reader *r)
{
    static const char *const names[] = {"dependencies", "dependentRequired",
                                        "dependentSchemas"};
    uint32_t n = 0, n_names = r->draft >= DRAFT_2019 ? 3 : 1;
    for (uint32_t i = 0; i < n_names; i++) {
        const json *raw = keyword(r, names[i]);
        n += raw && raw->type == JSON_OBJECT ? raw->n : 0;
    }
    dependent *d = NULL;
    int rc = n ? pool_get(&r->c->pool, n, sizeof *d, &d, r->err) : 0;
    for (uint32_t i = 0; i < n_names && rc == 0; i++)
        rc = read_dependents(r, names[i], d);
    r->n.dependents = d;
    return rc;
}

static int read_objects(reader *r)
{
    int rc = read_map(r, "properties", false, &r->n.names, &r->n.name_nodes);
    if (rc == 0)
        rc = read_map(r, "patternProperties", true, &r->n.patterns, &r->n.pattern_nodes);
    if (rc == 0)
        rc = read_child(r, "additionalProperties", &r->n.additional);
    const json *required = keyword(r, "required");
    if (rc == 0 && required)
        rc = names_list(r, required, "required", &r->n.required);
    if (rc == 0)
        rc = read_count(r, "minProperties", &r->n.min_props);
    if (rc == 0)
        rc = read_count(r, "maxProperties", &r->n.max_props);
    if (rc == 0)
        rc = read_all_dependents(r);
    if (rc == 0 && r->draft >= DRAFT_6)
        rc = read_child(r, "propertyNames", &r->n.name_schema);
    if (rc == 0 && r->draft >= DRAFT_2019)
        rc = read_child(r, "unevaluatedProperties", &r->n.other_props);
    return rc;
}

/* A reference that depends on the way that led here: only where there is no choice. */
static int find_dynamic(reader *r, const char *ref, const json **at, uint32_t *resource)
{
    compiler *c = r->c;
    const char *hash = strchr(ref, '#');
    if (!hash || hash[1] == '\0' || hash[1] == '/')
        return 0;
    const anchor *first = NULL, *here = NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_anchors; i++) {
        const anchor *a = &c->anchors[i];
        if (a->dynamic && strcmp(a->name, hash + 1) == 0) {
            first = a;
            n++;
            here = a->at == *at ? a : here;
        }
    }
    if (!here)
        return 0; /* the first target is no dynamic one: an ordinary reference */
    if (n > 1) {
        refuse(c, r->id, "$dynamicRef", ST_EUNSUPPORTED, r->err,
               "'%.80s' has more than one target", ref);
        st_err_hint(r->err, "use $ref to the one that is meant");
        return ST_EUNSUPPORTED;
    }
    *at = first->at;
    *resource = refs_resource(c, first->at, *resource);
    return 0;
}

static int read_ref(reader *r, const char *name, ids *all)
{
    const json *raw = keyword(r, name);
    if (!raw)
        return 0;
    if (raw->type != JSON_STRING)
        return malformed(r, name, "a string");
    const json *at = NULL;
    uint32_t resource = r->n.resource, id = 0;
    int rc = refs_find(r->c, raw->text, r->n.resource, &at, &resource, r->err);
    if (rc < 0) {
        if (r->c->refusal->keyword[0] == '\0')
            refuse(r->c, r->id, name, rc, r->err, "leads nowhere");
        return rc;
    }
    if (strcmp(name, "$dynamicRef") == 0)
        rc = find_dynamic(r, raw->text, &at, &resource);
    if (rc == 0 && strcmp(name, "$recursiveRef") == 0 && r->c->n_resources > 1 &&
        r->c->resources[resource].recursive) {
        refuse(r->c, r->id, name, ST_EUNSUPPORTED, r->err,
               "the target depends on the way that led here");
        st_err_hint(r->err, "use $ref to the schema that is meant");
        return ST_EUNSUPPORTED;
    }
    if (rc < 0)
        return rc;
    if (at->type != JSON_OBJECT && at->type != JSON_TRUE && at->type != JSON_FALSE)
        return refuse(r->c, r->id, name, ST_EFORMAT, r->err,
                      "'%.120s' leads to what is no schema", raw->text);
    rc = node_of(r->c, at, resource, false, &id, r->err);
    return rc < 0 ? rc : ids_add(all, id, r->err);
}

static int read_all(reader *r, bool only_ref)
{
    ids all = {0};
    list own = {0};
    int rc = read_ref(r, "$ref", &all);
    if (rc == 0 && r->draft == DRAFT_2020)
        rc = read_ref(r, "$dynamicRef", &all);
    if (rc == 0 && r->draft == DRAFT_2019)
        rc = read_ref(r, "$recursiveRef", &all);
    const json *raw = only_ref ? NULL : keyword(r, "allOf");
    if (rc == 0 && raw)
        rc = read_children(r, raw, "allOf", &own);
    for (uint32_t i = 0; i < own.n && rc == 0; i++)
        rc = ids_add(&all, own.at[i], r->err);
    if (rc == 0)
        rc = pool_list(&r->c->pool, &all, &r->n.all, r->err);
    ids_done(&all);
    return rc;
}

static int read_branches(reader *r)
{
    int rc = read_all(r, false);
    const json *raw = keyword(r, "anyOf");
    if (rc == 0 && raw) {
        list *any = NULL;
        rc = pool_get(&r->c->pool, 1, sizeof *any, &any, r->err);
        if (rc == 0)
            rc = read_children(r, raw, "anyOf", any);
        r->n.any = any;
        r->n.n_any = 1;
    }
    raw = keyword(r, "oneOf");
    r->n.has_one = raw != NULL;
    if (rc == 0 && raw)
        rc = read_children(r, raw, "oneOf", &r->n.one);
    if (rc == 0)
        rc = read_child(r, "not", &r->n.not_node);
    if (rc < 0 || r->draft < DRAFT_7 || !keyword(r, "if"))
        return rc;
    rc = read_child(r, "then", &r->n.then_node);
    if (rc == 0)
        rc = read_child(r, "else", &r->n.else_node);
    if (rc == 0 && (r->n.then_node != NODE_NO || r->n.else_node != NODE_NO ||
                    r->draft >= DRAFT_2019))
        rc = read_child(r, "if", &r->n.if_node);
    return rc;
}

/* What drafts read differently is refused where none is named. */
static int check_named(reader *r)
{
    static const char *const asserting[] = {"enum",
                                            "const",
                                            "minimum",
                                            "maximum",
                                            "exclusiveMinimum",
                                            "exclusiveMaximum",
                                            "multipleOf",
                                            "minLength",
                                            "maxLength",
                                            "pattern",
                                            "format",
                                            "items",
                                            "prefixItems",
                                            "minItems",
                                            "maxItems",
                                            "uniqueItems",
                                            "contains",
                                            "properties",
                                            "patternProperties",
                                            "additionalProperties",
                                            "required",
                                            "minProperties",
                                            "maxProperties",
                                            "propertyNames",
                                            "allOf",
                                            "anyOf",
                                            "oneOf",
                                            "not",
                                            "if",
                                            "dependencies",
                                            "$id"};
    const json *ref = keyword(r, "$ref"), *media = keyword(r, "contentMediaType");
    if (r->draft == DRAFT_7 && (media || keyword(r, "contentEncoding"))) {
        refuse(r->c, r->id, media ? "contentMediaType" : "contentEncoding",
               ST_EUNSUPPORTED, r->err, "what is in a text is not looked at");
        st_err_hint(r->err, "leave it out, or name draft 2020-12: there it is a note");
        return ST_EUNSUPPORTED;
    }
    if (r->c->draft_named || json_get(r->c->root, "$defs"))
        return 0;
    if (keyword(r, "contentEncoding") || (media && json_is(media, "application/json"))) {
        refuse(r->c, r->id, media ? "contentMediaType" : "contentEncoding",
               ST_EUNSUPPORTED, r->err, "is a rule in some drafts and a note in others");
        st_err_hint(r->err, "name the dialect with $schema: in 2020-12 it is a note");
        return ST_EUNSUPPORTED;
    }
    bool old = ref && ref->type == JSON_STRING &&
               (strstr(ref->text, "definitions") || keyword(r, "$id"));
    for (size_t i = 0; old && i < sizeof asserting / sizeof *asserting; i++) {
        if (!keyword(r, asserting[i]))
            continue;
        refuse(r->c, r->id, "$ref", ST_EUNSUPPORTED, r->err,
               "drafts up to 07 do not read '%s' beside it, later ones do", asserting[i]);
        st_err_hint(r->err, "name the dialect with $schema, or put the $ref below allOf");
        return ST_EUNSUPPORTED;
    }
    return 0;
}

static int read_schema(reader *r)
{
    if (r->n.raw->type != JSON_OBJECT) {
        r->n.types = r->n.raw->type == JSON_TRUE ? TYPES_ALL : 0;
        return 0;
    }
    if (r->draft <= DRAFT_7 && keyword(r, "$ref"))
        return read_all(r, true); /* what stands beside it is not read */
    int rc = check_named(r);
    if (rc == 0)
        rc = read_types(r);
    if (rc == 0)
        rc = read_choices(r);
    if (rc == 0)
        rc = read_numbers(r);
    if (rc == 0)
        rc = read_strings(r);
    if (rc == 0)
        rc = read_arrays(r);
    if (rc == 0)
        rc = read_objects(r);
    return rc < 0 ? rc : read_branches(r);
}

/* An array or object of `enum` or `const`: its parts are values too. */
static int read_value(reader *r)
{
    const json *raw = r->n.raw;
    ids nodes = {0}, names = {0};
    int rc = 0;
    r->n.has_choices = raw->type < JSON_ARRAY;
    r->n.choices = raw;
    r->n.n_choices = 1;
    for (uint32_t i = 0; raw->type >= JSON_ARRAY && i < raw->n && rc == 0; i++) {
        uint32_t id = 0, name = 0;
        rc = node_of(r->c, &raw->items[i], r->n.resource, true, &id, r->err);
        if (rc == 0)
            rc = ids_add(&nodes, id, r->err);
        if (rc == 0 && raw->type == JSON_OBJECT)
            rc = name_of(r->c, raw->names[i].text, raw->names[i].n, &name, r->err);
        if (rc == 0 && raw->type == JSON_OBJECT)
            rc = ids_add(&names, name, r->err);
    }
    bool array = raw->type == JSON_ARRAY;
    if (rc == 0)
        rc = pool_list(&r->c->pool, &nodes, array ? &r->n.prefix : &r->n.name_nodes,
                       r->err);
    if (rc == 0)
        rc = pool_list(&r->c->pool, &names, &r->n.names, r->err);
    if (array)
        r->n.min_items = r->n.max_items = raw->n;
    r->n.required = r->n.names;
    if (raw->type == JSON_OBJECT)
        r->n.max_props = raw->n;
    if (raw->type >= JSON_ARRAY)
        r->n.types = (uint16_t)(1 << raw->type);
    ids_done(&nodes);
    ids_done(&names);
    return rc;
}

static node blank(const node *from)
{
    return (node){.raw = from->raw,
                  .resource = from->resource,
                  .value = from->value,
                  .types = TYPES_ALL,
                  .multiple = LIMIT_NO,
                  .max_length = LIMIT_NO,
                  .pattern = LIMIT_NO,
                  .format = LIMIT_NO,
                  .rest = NODE_NO,
                  .max_items = LIMIT_NO,
                  .contains = NODE_NO,
                  .min_contains = 1,
                  .max_contains = LIMIT_NO,
                  .other_items = NODE_NO,
                  .additional = NODE_NO,
                  .max_props = LIMIT_NO,
                  .name_schema = NODE_NO,
                  .other_props = NODE_NO,
                  .not_node = NODE_NO,
                  .if_node = NODE_NO,
                  .then_node = NODE_NO,
                  .else_node = NODE_NO};
}

int nodes_read(compiler *c, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < c->n_nodes && rc == 0; i++) {
        reader r = {c, i, blank(&c->nodes[i]), c->resources[c->nodes[i].resource].draft,
                    err};
        rc = r.n.value ? read_value(&r) : read_schema(&r);
        if (rc == 0)
            c->nodes[i] = r.n; /* reading its children may have moved the nodes */
    }
    return rc;
}
