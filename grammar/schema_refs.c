/* grammar/schema_refs.c - which subschemas have names, and where a reference leads.
 *
 * The document is walked once along the keywords that hold subschemas; `$id` begins a
 * resource with a URI of its own, `$anchor` names a place.  A reference is a URI to one
 * of them, then a JSON pointer or an anchor.  A pointer may lead where the walk has not
 * been (an unknown keyword); that place is walked then. */
#include "base/mem.h"
#include "grammar/schema_priv.h"
#include "grammar/schema_uri.h"
#include <stdio.h>
#include <string.h>

enum { URI_LIMIT = 1 << 16 };

static const struct draft_name {
    const char *uri;
    dialect draft;
} drafts[] = {
    {"http://json-schema.org/draft-04/schema", DRAFT_4},
    {"http://json-schema.org/draft-06/schema", DRAFT_6},
    {"http://json-schema.org/draft-07/schema", DRAFT_7},
    {"https://json-schema.org/draft-04/schema", DRAFT_4},
    {"https://json-schema.org/draft-06/schema", DRAFT_6},
    {"https://json-schema.org/draft-07/schema", DRAFT_7},
    {"https://json-schema.org/draft/2019-09/schema", DRAFT_2019},
    {"https://json-schema.org/draft/2020-12/schema", DRAFT_2020},
    {"http://json-schema.org/draft/2019-09/schema", DRAFT_2019},
    {"http://json-schema.org/draft/2020-12/schema", DRAFT_2020},
    {"http://json-schema.org/schema", DRAFT_2020},
};

/* Keywords that hold subschemas: one, a list, or a map of them. */
enum { HOLDS_ONE = 1, HOLDS_LIST = 2, HOLDS_MAP = 4 };
static const struct holder {
    const char *keyword;
    int holds;
} holders[] = {
    {"properties", HOLDS_MAP},
    {"patternProperties", HOLDS_MAP},
    {"$defs", HOLDS_MAP},
    {"definitions", HOLDS_MAP},
    {"dependentSchemas", HOLDS_MAP},
    {"dependencies", HOLDS_MAP},
    {"allOf", HOLDS_LIST},
    {"anyOf", HOLDS_LIST},
    {"oneOf", HOLDS_LIST},
    {"prefixItems", HOLDS_LIST},
    {"items", HOLDS_ONE | HOLDS_LIST},
    {"additionalItems", HOLDS_ONE},
    {"additionalProperties", HOLDS_ONE},
    {"propertyNames", HOLDS_ONE},
    {"contains", HOLDS_ONE},
    {"not", HOLDS_ONE},
    {"if", HOLDS_ONE},
    {"then", HOLDS_ONE},
    {"else", HOLDS_ONE},
    {"unevaluatedItems", HOLDS_ONE},
    {"unevaluatedProperties", HOLDS_ONE},
    {"contentSchema", HOLDS_ONE},
};

static int draft_of(compiler *c, const json *at, dialect *ret, st_err *err)
{
    const json *uri = json_get(at, "$schema");
    if (!uri || uri->type != JSON_STRING)
        return 0;
    size_t len = uri->n;
    if (len > 0 && uri->text[len - 1] == '#')
        len--;
    for (size_t i = 0; i < sizeof drafts / sizeof *drafts; i++) {
        if (strlen(drafts[i].uri) == len && memcmp(drafts[i].uri, uri->text, len) == 0) {
            *ret = drafts[i].draft;
            return 0;
        }
    }
    char message[256];
    snprintf(message, sizeof message, "the dialect '%.120s' is not known", uri->text);
    refuse_place(c, at, "$schema", ST_EUNSUPPORTED, err, message);
    st_err_hint(err, "name draft-04, 06, 07, 2019-09 or 2020-12, or leave $schema out");
    return ST_EUNSUPPORTED;
}

static int add_anchor(compiler *c, uint32_t resource, const char *name, const json *at,
                      bool dynamic, st_err *err)
{
    int rc =
        array_room(&c->anchors, c->n_anchors, &c->cap_anchors, sizeof *c->anchors, err);
    if (rc == 0)
        c->anchors[c->n_anchors++] = (anchor){resource, name, at, dynamic};
    return rc;
}

static int add_resource(compiler *c, const char *base, const char *ref, size_t len,
                        const json *at, dialect draft, uint32_t *ret, st_err *err)
{
    int rc = array_room(&c->resources, c->n_resources, &c->cap_resources,
                        sizeof *c->resources, err);
    if (rc < 0)
        return rc;
    st_buf uri;
    st_buf_init(&uri, URI_LIMIT);
    uri_resolve(base, ref, len, &uri);
    if (uri.code == 0)
        st_buf_str(&uri, "");
    size_t n;
    rc = uri.code;
    char *text = rc == 0 && uri.len ? st_buf_detach(&uri, &n) : NULL;
    if (!text && rc == 0)
        text = st_strdup("");
    st_buf_done(&uri);
    if (!text)
        return st_err_set(err, rc < 0 ? rc : ST_ENOMEM, "a URI that cannot be kept");
    const json *recursive = json_get(at, "$recursiveAnchor");
    *ret = c->n_resources;
    c->resources[c->n_resources++] =
        (schema_resource){text, at, draft, recursive && recursive->type == JSON_TRUE};
    return 0;
}

/* The resource and the anchors that begin at an object. */
static int names_here(compiler *c, const json *at, uint32_t *resource, st_err *err)
{
    uint32_t base = *resource;
    dialect draft = c->resources[base].draft;
    if (at != c->resources[base].root) {
        int rc = draft_of(c, at, &draft, err);
        if (rc < 0)
            return rc;
    }
    if (draft <= DRAFT_7 && json_get(at, "$ref"))
        return 0; /* its other keywords are not read */
    const json *id = json_get(at, draft == DRAFT_4 ? "id" : "$id");
    if (id && id->type == JSON_STRING) {
        const char *hash = strchr(id->text, '#');
        size_t len = hash ? (size_t)(hash - id->text) : id->n;
        if (len > 0 && at != c->resources[base].root) {
            int rc = add_resource(c, c->resources[base].uri, id->text, len, at, draft,
                                  resource, err);
            if (rc < 0)
                return rc;
        }
        if (hash && hash[1] && draft <= DRAFT_7) {
            int rc = add_anchor(c, *resource, hash + 1, at, false, err);
            if (rc < 0)
                return rc;
        }
    }
    const json *name = draft >= DRAFT_2019 ? json_get(at, "$anchor") : NULL;
    if (name && name->type == JSON_STRING) {
        int rc = add_anchor(c, *resource, name->text, at, false, err);
        if (rc < 0)
            return rc;
    }
    name = draft >= DRAFT_2020 ? json_get(at, "$dynamicAnchor") : NULL;
    if (name && name->type == JSON_STRING)
        return add_anchor(c, *resource, name->text, at, true, err);
    return 0;
}

static int walk(compiler *c, const json *at, uint32_t resource, st_err *err);

static int walk_held(compiler *c, const json *held, int holds, uint32_t resource,
                     st_err *err)
{
    int rc = 0;
    if (held->type == JSON_OBJECT && (holds & HOLDS_ONE))
        return walk(c, held, resource, err);
    bool each = (held->type == JSON_OBJECT && (holds & HOLDS_MAP)) ||
                (held->type == JSON_ARRAY && (holds & HOLDS_LIST));
    for (uint32_t i = 0; each && i < held->n && rc == 0; i++)
        rc = walk(c, &held->items[i], resource, err);
    return rc;
}

static int walk(compiler *c, const json *at, uint32_t resource, st_err *err)
{
    if (at->type != JSON_OBJECT)
        return 0;
    uint32_t number, known = c->places.n;
    int rc = intern_put(&c->places, &at, sizeof at, &number, err);
    if (rc < 0 || number <= known)
        return rc;
    rc = names_here(c, at, &resource, err);
    if (rc == 0)
        rc = array_room(&c->place_resource, number, &c->cap_places,
                        sizeof *c->place_resource, err);
    if (rc < 0)
        return rc;
    c->place_resource[number] = resource;
    if (c->resources[resource].draft <= DRAFT_7 && json_get(at, "$ref")) {
        const json *defs = json_get(at, "definitions");
        return defs ? walk_held(c, defs, HOLDS_MAP, resource, err) : 0;
    }
    for (size_t i = 0; i < sizeof holders / sizeof *holders && rc == 0; i++) {
        const json *held = json_get(at, holders[i].keyword);
        if (held)
            rc = walk_held(c, held, holders[i].holds, resource, err);
    }
    return rc;
}

int refs_index(compiler *c, const json *root, st_err *err)
{
    dialect draft = DRAFT_2020;
    int rc = draft_of(c, root, &draft, err);
    c->draft_named = json_get(root, "$schema") != NULL;
    const json *id = json_get(root, draft == DRAFT_4 ? "id" : "$id");
    const char *uri = id && id->type == JSON_STRING ? id->text : "";
    uint32_t first = 0;
    if (rc == 0)
        rc = add_resource(c, "", uri, strcspn(uri, "#"), root, draft, &first, err);
    return rc < 0 ? rc : walk(c, root, first, err);
}

uint32_t refs_resource(const compiler *c, const json *at, uint32_t otherwise)
{
    uint32_t number = intern_find(&c->places, &at, sizeof at);
    return number ? c->place_resource[number] : otherwise;
}

/* One step of a JSON pointer; NULL: there is no such place. */
static const json *pointer_step(const json *at, const char *token, size_t len)
{
    if (at->type == JSON_OBJECT) {
        for (uint32_t i = 0; i < at->n; i++) {
            if (at->names[i].n == len && memcmp(at->names[i].text, token, len) == 0)
                return &at->items[i];
        }
        return NULL;
    }
    if (at->type != JSON_ARRAY || len == 0 || len > 9 || (len > 1 && token[0] == '0'))
        return NULL;
    uint32_t index = 0;
    for (size_t i = 0; i < len; i++) {
        if (token[i] < '0' || token[i] > '9')
            return NULL;
        index = index * 10 + (uint32_t)(token[i] - '0');
    }
    return index < at->n ? &at->items[index] : NULL;
}

/* Follow a pointer; the resource changes where a subschema of another one is met. */
static const json *follow(const compiler *c, const json *at, char *pointer,
                          uint32_t *resource)
{
    while (at && *pointer == '/') {
        char *token = ++pointer, *end = token;
        for (; *pointer && *pointer != '/'; pointer++) {
            bool coded = pointer[0] == '~' && (pointer[1] == '0' || pointer[1] == '1');
            *end++ = !coded ? *pointer : pointer[1] == '0' ? '~' : '/';
            pointer += coded;
        }
        at = pointer_step(at, token, (size_t)(end - token));
        if (at)
            *resource = refs_resource(c, at, *resource);
    }
    return *pointer == '\0' ? at : NULL;
}

static const json *find_anchor(const compiler *c, uint32_t resource, const char *name)
{
    for (uint32_t i = 0; i < c->n_anchors; i++) {
        if (c->anchors[i].resource == resource && strcmp(c->anchors[i].name, name) == 0)
            return c->anchors[i].at;
    }
    return NULL;
}

/* The resource with the URI of `ref` [len], seen from `from`; n_resources: none. */
static int find_resource(compiler *c, const char *ref, size_t len, uint32_t from,
                         uint32_t *ret, st_err *err)
{
    if (len == 0) {
        *ret = from;
        return 0;
    }
    st_buf uri;
    st_buf_init(&uri, URI_LIMIT);
    uri_resolve(c->resources[from].uri, ref, len, &uri);
    int rc = uri.code;
    uint32_t i = 0;
    while (rc == 0 && i < c->n_resources &&
           strcmp(c->resources[i].uri, uri.data ? uri.data : "") != 0)
        i++;
    st_buf_done(&uri);
    *ret = i;
    return rc < 0 ? st_err_set(err, rc, "a reference that cannot be kept") : 0;
}

int refs_find(compiler *c, const char *ref, uint32_t resource, const json **ret,
              uint32_t *ret_resource, st_err *err)
{
    size_t len = strcspn(ref, "#");
    uint32_t r;
    int rc = find_resource(c, ref, len, resource, &r, err);
    if (rc < 0)
        return rc;
    if (r == c->n_resources) {
        st_err_set(err, ST_EUNSUPPORTED, "'%.200s' is not in this document", ref);
        st_err_hint(err, "copy the schema into $defs and refer to it there");
        return ST_EUNSUPPORTED;
    }
    st_buf fragment;
    st_buf_init(&fragment, URI_LIMIT);
    uri_decode(ref + len + (ref[len] == '#'), strlen(ref + len + (ref[len] == '#')),
               &fragment);
    st_buf_str(&fragment, "");
    rc = fragment.code;
    const json *at = c->resources[r].root;
    if (rc == 0 && fragment.len > 0)
        at = fragment.data[0] == '/' ? follow(c, at, fragment.data, &r)
                                     : find_anchor(c, r, fragment.data);
    st_buf_done(&fragment);
    if (rc < 0)
        return st_err_set(err, rc, "a reference that cannot be kept");
    if (!at)
        return st_err_set(err, ST_EFORMAT, "'%.200s' leads nowhere in this document",
                          ref);
    rc = walk(c, at, r, err);
    if (rc < 0)
        return rc;
    *ret = at;
    *ret_resource = refs_resource(c, at, r);
    return 0;
}
