/* grammar/validate_schema.c - a schema made ready for the validator.
 *
 *   index: walk all subschemas; give each a node, note resources and anchors
 *   link:  resolve references; what they point at outside the known subschemas becomes a
 *          node too, which may bring further references
 *
 * Values of keywords are checked for their form while indexing. */
#include "grammar/validate_priv.h"

#include "base/mem.h"
#include <string.h>

enum { POOL_LIMIT = 1 << 30 };

static const struct {
    const char *uri;
    draft draft;
} known_drafts[] = {
    {"http://json-schema.org/draft-04/schema", DRAFT4},
    {"http://json-schema.org/draft-06/schema", DRAFT6},
    {"http://json-schema.org/draft-07/schema", DRAFT7},
    {"https://json-schema.org/draft/2019-09/schema", DRAFT2019},
    {"https://json-schema.org/draft/2020-12/schema", DRAFT2020},
};

typedef struct build {
    validator *v;
    st_err *err;
} build;

/* Write the JSON pointer of `target` below `at`; false when it is not there. */
static bool put_pointer(const json *at, const json *target, st_buf *out)
{
    if (at == target)
        return true;
    size_t len = out->len;
    for (uint32_t i = 0; at->type >= JSON_ARRAY && i < at->n; i++) {
        validate_put_step(at->type == JSON_OBJECT ? &at->names[i] : NULL, i, out);
        if (put_pointer(&at->items[i], target, out))
            return true;
        out->len = len;
    }
    return false;
}

static int refuse(build *b, const json *at, int code, const char *what)
{
    st_buf pointer;
    st_buf_init(&pointer, 1 << 16);
    put_pointer(b->v->root, at, &pointer);
    st_buf_add(&pointer, "", 1);
    int rc = st_err_set(b->err, code, "schema, at \"%.200s\": %s",
                        pointer.data ? pointer.data : "", what);
    st_buf_done(&pointer);
    return rc;
}

const vrule *vnode_rule(const vnode *node, const char *word)
{
    for (uint32_t i = 0; i < node->n_rules; i++)
        if (strcmp(node->rules[i].word->name, word) == 0)
            return &node->rules[i];
    return NULL;
}

static vnode *find_node(const validator *v, const json *at)
{
    uint32_t i;
    return st_map_get(&v->by_place, (const char *)&at, sizeof at, &i) ? v->nodes[i]
                                                                      : NULL;
}

static int add_node(build *b, const json *at, const vresource *in, vnode **ret)
{
    validator *v = b->v;
    vnode *node = NULL;
    int rc = array_room(&v->nodes, v->n_nodes, &v->cap_nodes, sizeof *v->nodes, b->err);
    if (rc == 0)
        rc = pool_get(&v->pool, 1, sizeof *node, &node, b->err);
    if (rc < 0)
        return rc;
    node->at = at;
    node->in = in;
    if (st_map_put(&v->by_place, (const char *)&node->at, sizeof node->at, v->n_nodes,
                   NULL) < 0)
        return st_err_set(b->err, ST_ENOMEM, "out of memory for a schema");
    v->nodes[v->n_nodes++] = node;
    *ret = node;
    return 0;
}

static int add_resource(build *b, const char *uri, draft d, const vnode *root,
                        vresource **ret)
{
    validator *v = b->v;
    vresource *r = NULL;
    int rc = array_room(&v->resources, v->n_resources, &v->cap_resources,
                        sizeof *v->resources, b->err);
    if (rc == 0)
        rc = pool_get(&v->pool, 1, sizeof *r, &r, b->err);
    if (rc < 0)
        return rc;
    *r = (vresource){.uri = uri, .root = root, .draft = d};
    v->resources[v->n_resources++] = r;
    *ret = r;
    return 0;
}

static int add_anchor(build *b, const vnode *node, const char *name, bool dynamic)
{
    validator *v = b->v;
    int rc = array_room(&v->anchors, v->n_anchors, &v->cap_anchors, sizeof *v->anchors,
                        b->err);
    if (rc == 0)
        v->anchors[v->n_anchors++] = (vanchor){node->in, name, node, dynamic};
    return rc;
}

static const vanchor *find_anchor(const validator *v, const vresource *in,
                                  const char *name)
{
    for (uint32_t i = 0; i < v->n_anchors; i++)
        if (v->anchors[i].in == in && strcmp(v->anchors[i].name, name) == 0)
            return &v->anchors[i];
    return NULL;
}

/* The draft that a schema says it is written in; `old` when it says nothing. */
static int read_draft(build *b, const json *at, draft old, draft *ret)
{
    const json *said = json_get(at, "$schema");
    *ret = old;
    if (!said)
        return 0;
    size_t n = said->type == JSON_STRING ? said->n : 0;
    n -= n && said->text[n - 1] == '#';
    for (size_t i = 0; i < sizeof known_drafts / sizeof *known_drafts; i++) {
        const char *uri = known_drafts[i].uri;
        if (n == strlen(uri) && memcmp(uri, said->text, n) == 0) {
            *ret = known_drafts[i].draft;
            return 0;
        }
    }
    return refuse(b, said, ST_EUNSUPPORTED, "\"$schema\" is none of the known drafts");
}

/* A schema's own URI makes it a resource, and a fragment of it an anchor. */
static int read_id(build *b, vnode *node, bool is_root)
{
    draft d = node->in->draft;
    const char *uri, *fragment;
    const json *id = json_get(node->at, d == DRAFT4 ? "id" : "$id");
    bool hidden = d <= DRAFT7 && json_get(node->at, "$ref");
    if (!id || id->type != JSON_STRING || (hidden && !is_root))
        return 0;
    int rc = validate_uri(&b->v->pool, node->in->uri, id->text, &uri, &fragment, b->err);
    if (rc < 0)
        return rc;
    if (is_root) {
        b->v->resources[0]->uri = uri;
    } else if (strcmp(uri, node->in->uri) != 0) {
        vresource *own = NULL;
        rc = read_draft(b, node->at, d, &d);
        if (rc == 0)
            rc = add_resource(b, uri, d, node, &own);
        if (rc < 0)
            return rc;
        node->in = own;
    }
    return fragment && *fragment && *fragment != '/' && d <= DRAFT7
               ? add_anchor(b, node, fragment, false)
               : 0;
}

static int read_anchors(build *b, vnode *node)
{
    draft d = node->in->draft;
    const json *plain = d >= DRAFT2019 ? json_get(node->at, "$anchor") : NULL;
    const json *dynamic = d == DRAFT2020 ? json_get(node->at, "$dynamicAnchor") : NULL;
    const json *recursive =
        d == DRAFT2019 ? json_get(node->at, "$recursiveAnchor") : NULL;
    int rc = 0;
    if ((plain && plain->type != JSON_STRING) ||
        (dynamic && dynamic->type != JSON_STRING))
        return refuse(b, node->at, ST_EFORMAT, "an anchor is a string");
    /* A name may be both: the dynamic one is looked for first. */
    if (dynamic)
        rc = add_anchor(b, node, dynamic->text, true);
    if (rc == 0 && plain)
        rc = add_anchor(b, node, plain->text, false);
    if (recursive && recursive->type == JSON_TRUE && node->in->root == node)
        b->v->resources[b->v->n_resources - 1]->recursive = true;
    return rc;
}

static int index_schema(build *b, const json *at, const vresource *in, vnode **ret);

/* Nodes for every schema in `value`, an array, an object's values, or one schema. */
static int index_all(build *b, const vnode *node, vrule *rule)
{
    const json *value = rule->value;
    bool many = value->type == JSON_ARRAY ||
                (value->type == JSON_OBJECT && rule->word->kind >= VALUE_SCHEMA_BY_NAME);
    const vnode **nodes = NULL;
    rule->n = many ? value->n : 1;
    int rc = pool_get(&b->v->pool, rule->n, sizeof(vnode *), &nodes, b->err);
    for (uint32_t i = 0; rc == 0 && i < rule->n; i++) {
        const json *at = many ? &value->items[i] : value;
        vnode *child = NULL;
        if (at->type == JSON_ARRAY && rule->word->kind == VALUE_DEPENDENCIES)
            continue;
        rc = index_schema(b, at, node->in, &child);
        if (rc == 0)
            nodes[i] = child;
    }
    rule->nodes = nodes;
    return rc;
}

static int add_pattern(build *b, const json *text, const pattern **ret)
{
    validator *v = b->v;
    pattern *p = NULL;
    int rc = array_room(&v->patterns, v->n_patterns, &v->cap_patterns,
                        sizeof *v->patterns, b->err);
    if (rc == 0)
        rc = pattern_new(text->text, text->n, &p, b->err);
    if (rc < 0)
        return rc;
    v->patterns[v->n_patterns++] = p;
    *ret = p;
    return 0;
}

static int read_patterns(build *b, vrule *rule)
{
    const json *value = rule->value;
    const pattern **patterns = NULL;
    rule->n = value->type == JSON_OBJECT ? value->n : 1;
    int rc = pool_get(&b->v->pool, rule->n, sizeof(pattern *), &patterns, b->err);
    for (uint32_t i = 0; rc == 0 && i < rule->n; i++)
        rc = add_pattern(b, value->type == JSON_OBJECT ? &value->names[i] : value,
                         &patterns[i]);
    rule->patterns = patterns;
    return rc;
}

static int read_number(build *b, vrule *rule)
{
    if (rule->value->type != JSON_NUMBER)
        return refuse(b, rule->value, ST_EFORMAT, "not a number");
    if (!decimal_read(rule->value->text, rule->value->n, &rule->number))
        return refuse(b, rule->value, ST_ELIMIT, "a number with too large an exponent");
    return 0;
}

/* A whole number that is not negative; beyond 64 bits it is the largest. */
static int read_count(build *b, vrule *rule)
{
    int rc = read_number(b, rule);
    if (rc < 0)
        return rc;
    const decimal *d = &rule->number;
    if (d->negative || !decimal_is_integer(d))
        return refuse(b, rule->value, ST_EFORMAT, "not a whole number from 0 on");
    rule->count = d->exp > 18 ? UINT64_MAX : 0;
    for (int64_t power = d->exp - 1; d->exp <= 18 && power >= 0; power--)
        rule->count = rule->count * 10 + decimal_digit(d, power);
    return 0;
}

static bool is_type(const json *name)
{
    static const char *const types[] = {"null",   "boolean", "number", "integer",
                                        "string", "array",   "object"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (json_is(name, types[i]))
            return true;
    return false;
}

static int read_types(build *b, const json *value)
{
    if (is_type(value))
        return 0;
    for (uint32_t i = 0; value->type == JSON_ARRAY && i < value->n; i++)
        if (!is_type(&value->items[i]))
            return refuse(b, &value->items[i], ST_EFORMAT, "not the name of a type");
    return value->type == JSON_ARRAY ? 0
                                     : refuse(b, value, ST_EFORMAT, "no type or types");
}

static int read_strings(build *b, const json *value)
{
    for (uint32_t i = 0; value->type == JSON_ARRAY && i < value->n; i++)
        if (value->items[i].type != JSON_STRING)
            return refuse(b, &value->items[i], ST_EFORMAT, "not a string");
    return value->type == JSON_ARRAY ? 0
                                     : refuse(b, value, ST_EFORMAT, "no list of strings");
}

static int read_strings_by_name(build *b, const json *value)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < value->n; i++)
        if (value->items[i].type == JSON_ARRAY)
            rc = read_strings(b, &value->items[i]);
    return rc;
}

static int read_format(build *b, vrule *rule)
{
    bool known = false;
    rule->format = format_find(rule->value, &known);
    return known && !rule->format
               ? refuse(b, rule->value, ST_EUNSUPPORTED, "a format that is not checked")
               : 0;
}

static int expect(build *b, const json *value, json_type type, const char *what)
{
    return value->type == type ? 0 : refuse(b, value, ST_EFORMAT, what);
}

static int read_objects(build *b, const vnode *node, vrule *rule)
{
    int rc = expect(b, rule->value, JSON_OBJECT, "not an object");
    if (rc < 0)
        return rc;
    switch (rule->word->kind) {
    case VALUE_STRINGS_BY_NAME:
        for (uint32_t i = 0; rc == 0 && i < rule->value->n; i++)
            rc = read_strings(b, &rule->value->items[i]);
        return rc;
    case VALUE_SCHEMA_BY_PATTERN:
        rc = read_patterns(b, rule);
        break;
    case VALUE_DEPENDENCIES:
        rc = read_strings_by_name(b, rule->value);
        break;
    default:
        break;
    }
    return rc == 0 ? index_all(b, node, rule) : rc;
}

static int read_value(build *b, const vnode *node, vrule *rule)
{
    const json *value = rule->value;
    draft d = node->in->draft;
    int rc = 0;
    switch (rule->word->kind) {
    case VALUE_ANY:
        return 0;
    case VALUE_REFUSED:
        return refuse(b, value, ST_EUNSUPPORTED, "the content of texts is not checked");
    case VALUE_BOOL:
        return value->type == JSON_TRUE || value->type == JSON_FALSE
                   ? 0
                   : refuse(b, value, ST_EFORMAT, "not true or false");
    case VALUE_COUNT:
        return read_count(b, rule);
    case VALUE_EXCLUSIVE:
        if (d == DRAFT4)
            return value->type == JSON_TRUE || value->type == JSON_FALSE
                       ? 0
                       : refuse(b, value, ST_EFORMAT, "not true or false, as in draft 4");
        return read_number(b, rule);
    case VALUE_NUMBER:
        return read_number(b, rule);
    case VALUE_DIVISOR:
        rc = read_number(b, rule);
        return rc == 0 && (rule->number.n == 0 || rule->number.negative)
                   ? refuse(b, value, ST_EFORMAT, "not a number above 0")
                   : rc;
    case VALUE_PATTERN:
        rc = expect(b, value, JSON_STRING, "not a string");
        return rc == 0 ? read_patterns(b, rule) : rc;
    case VALUE_FORMAT:
        rc = expect(b, value, JSON_STRING, "not a string");
        return rc == 0 ? read_format(b, rule) : rc;
    case VALUE_STRING:
    case VALUE_REF:
    case VALUE_DYNAMIC_REF:
    case VALUE_RECURSIVE_REF:
        return expect(b, value, JSON_STRING, "not a string");
    case VALUE_TYPE:
        return read_types(b, value);
    case VALUE_LIST:
        return expect(b, value, JSON_ARRAY, "not a list");
    case VALUE_STRINGS:
        return read_strings(b, value);
    case VALUE_SCHEMAS:
        rc = expect(b, value, JSON_ARRAY, "not a list of schemas");
        return rc == 0 ? index_all(b, node, rule) : rc;
    case VALUE_ITEMS:
        if (value->type == JSON_ARRAY && d == DRAFT2020)
            return refuse(b, value, ST_EFORMAT,
                          "a list, which is \"prefixItems\" from draft 2020-12 on");
        return index_all(b, node, rule);
    case VALUE_SCHEMA:
        return index_all(b, node, rule);
    case VALUE_STRINGS_BY_NAME:
    case VALUE_SCHEMA_BY_NAME:
    case VALUE_SCHEMA_BY_PATTERN:
    case VALUE_DEPENDENCIES:
        return read_objects(b, node, rule);
    }
    return 0;
}

/* Does the word count in this schema?  Up to draft 7 a $ref hides what stands beside it;
 * definitions are still read, for the names that they may have. */
static bool counts(const vnode *node, const vword *word)
{
    if (!word || !(word->drafts & node->in->draft))
        return false;
    bool hides = node->in->draft <= DRAFT7 && json_get(node->at, "$ref");
    return !hides || word->kind == VALUE_REF || strcmp(word->name, "definitions") == 0;
}

static int read_rules(build *b, vnode *node)
{
    vrule *rules = NULL;
    int rc = pool_get(&b->v->pool, node->at->n, sizeof *rules, &rules, b->err);
    if (rc < 0)
        return rc;
    node->rules = rules;
    for (int late = 0; late < 2; late++) {
        for (uint32_t i = 0; i < node->at->n; i++) {
            const vword *word = vword_find(&node->at->names[i]);
            if (!counts(node, word) || word->late != late)
                continue;
            vrule *rule = &rules[node->n_rules++];
            *rule = (vrule){.word = word, .value = &node->at->items[i]};
            node->late |= late != 0;
            rc = read_value(b, node, rule);
            if (rc < 0) {
                st_err_at(b->err, "\"%s\"", word->name);
                return rc;
            }
        }
    }
    b->v->tracks |= node->late;
    return 0;
}

static int index_schema(build *b, const json *at, const vresource *in, vnode **ret)
{
    vnode *node = find_node(b->v, at);
    if (node) {
        *ret = node;
        return 0;
    }
    if (at->type != JSON_OBJECT && at->type != JSON_TRUE && at->type != JSON_FALSE)
        return refuse(b, at, ST_EFORMAT, "no schema: not an object, true or false");
    bool is_root = b->v->n_nodes == 0;
    int rc = add_node(b, at, in, &node);
    if (rc == 0 && is_root)
        b->v->resources[0]->root = node;
    if (rc == 0 && at->type == JSON_OBJECT)
        rc = read_id(b, node, is_root);
    if (rc == 0 && at->type == JSON_OBJECT)
        rc = read_anchors(b, node);
    if (rc == 0 && at->type == JSON_OBJECT)
        rc = read_rules(b, node);
    if (rc == 0)
        *ret = node;
    return rc;
}

/* One step of a JSON pointer: the text up to the next '/', its escapes undone. */
static const json *step(const json *at, char *token)
{
    char *to = token;
    for (const char *s = token; *s; s++) {
        bool escape = s[0] == '~' && (s[1] == '0' || s[1] == '1');
        *to++ = escape ? (s[1] == '0' ? '~' : '/') : *s;
        s += escape;
    }
    *to = '\0';
    if (at->type == JSON_OBJECT)
        return json_get(at, token);
    uint64_t i = 0;
    for (const char *s = token; *s; s++) {
        if (*s < '0' || *s > '9' || i > UINT32_MAX)
            return NULL;
        i = i * 10 + (uint64_t)(*s - '0');
    }
    return at->type == JSON_ARRAY && *token && i < at->n ? &at->items[i] : NULL;
}

/* The schema that a JSON pointer leads to from the root of a resource. */
static int follow(build *b, const vresource *in, const char *pointer, vnode **ret)
{
    char *text = NULL;
    const json *at = in->root->at;
    int rc = pool_get(&b->v->pool, strlen(pointer) + 1, 1, &text, b->err);
    if (rc < 0)
        return rc;
    memcpy(text, pointer, strlen(pointer) + 1);
    for (char *token = text + 1; at && token;) {
        char *next = strchr(token, '/');
        if (next)
            *next++ = '\0';
        at = step(at, token);
        const vnode *known = at ? find_node(b->v, at) : NULL;
        if (known)
            in = known->in;
        token = next;
    }
    return at ? index_schema(b, at, in, ret) : 0;
}

static int find_target(build *b, const vnode *node, vrule *rule, const char *uri,
                       const char *fragment)
{
    const validator *v = b->v;
    const vresource *in = NULL;
    vnode *target = NULL;
    for (uint32_t i = 0; !in && i < v->n_resources; i++)
        if (strcmp(v->resources[i]->uri, uri) == 0)
            in = v->resources[i];
    if (!in)
        return refuse(b, node->at, ST_EUNSUPPORTED,
                      "a reference to a schema that is not in this one");
    if (fragment && *fragment == '/') {
        int rc = follow(b, in, fragment, &target);
        if (rc < 0)
            return rc;
        rule->target = target;
    } else if (fragment && *fragment) {
        const vanchor *anchor = find_anchor(v, in, fragment);
        rule->target = anchor ? anchor->node : NULL;
        if (anchor && anchor->dynamic)
            rule->dynamic_name = anchor->name;
    } else {
        rule->target = in->root;
    }
    return rule->target ? 0
                        : refuse(b, rule->value, ST_EFORMAT, "a reference to nothing");
}

static int link_node(build *b, const vnode *node)
{
    for (uint32_t i = 0; i < node->n_rules; i++) {
        vrule *rule = (vrule *)(uintptr_t)&node->rules[i];
        const char *uri, *fragment;
        if (rule->word->kind < VALUE_REF)
            continue;
        int rc = validate_uri(&b->v->pool, node->in->uri, rule->value->text, &uri,
                              &fragment, b->err);
        if (rc == 0)
            rc = find_target(b, node, rule, uri, fragment);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int build_all(build *b)
{
    validator *v = b->v;
    draft d = DRAFT2020;
    vresource *first = NULL;
    vnode *root = NULL;
    int rc = v->root->type == JSON_OBJECT ? read_draft(b, v->root, d, &d) : 0;
    if (rc == 0)
        rc = add_resource(b, "", d, NULL, &first);
    if (rc == 0)
        rc = index_schema(b, v->root, first, &root);
    for (uint32_t i = 0; rc == 0 && i < v->n_nodes; i++)
        rc = link_node(b, v->nodes[i]);
    return rc;
}

int validator_new(const json *schema, validator **ret, st_err *err)
{
    validator *v = st_zalloc_n(1, sizeof *v);
    if (!v)
        return st_err_set(err, ST_ENOMEM, "out of memory for a schema");
    v->root = schema;
    v->pool.limit = POOL_LIMIT;
    st_map_init(&v->by_place);
    int rc = build_all(&(build){v, err});
    if (rc < 0)
        validator_free(v);
    else
        *ret = v;
    return rc;
}

void validator_free(validator *v)
{
    if (!v)
        return;
    for (uint32_t i = 0; i < v->n_patterns; i++)
        pattern_free(v->patterns[i]);
    st_free(v->patterns);
    st_free(v->nodes);
    st_free(v->resources);
    st_free(v->anchors);
    st_map_done(&v->by_place);
    pool_done(&v->pool);
    st_free(v);
}
