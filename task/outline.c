/* task/outline.c - what a JSON Schema says at first sight: names and their order. */
#include "task/outline.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/json.h"

enum { MAX_HOPS = 32, MAX_PART = 1024 };

typedef struct part { /* of a pointer, ~0 and ~1 undone */
    char text[MAX_PART];
} part;

/* Take the first part off a pointer; false when it is too long to be a name. */
static bool take_part(const char **pointer, part *ret)
{
    const char *p = *pointer + 1;
    size_t n = 0;
    for (; *p && *p != '/'; p++) {
        if (n + 1 >= MAX_PART)
            return false;
        bool escaped = *p == '~' && (p[1] == '0' || p[1] == '1');
        ret->text[n++] = (char)(!escaped ? *p : p[1] == '0' ? '~' : '/');
        p += escaped;
    }
    ret->text[n] = '\0';
    *pointer = p;
    return true;
}

static bool is_index(const char *text)
{
    return text[0] && text[strspn(text, "0123456789")] == '\0';
}

/* What a "#/a/b" reference names, or NULL. */
static const json *resolve(const json *root, const json *ref)
{
    const char *p;
    part name;
    if (ref->type != JSON_STRING || ref->text[0] != '#')
        return NULL;
    for (p = ref->text + 1; root && *p == '/';) {
        if (!take_part(&p, &name))
            return NULL;
        if (root->type == JSON_ARRAY)
            root = is_index(name.text) && strtoul(name.text, NULL, 10) < root->n
                       ? &root->items[strtoul(name.text, NULL, 10)]
                       : NULL;
        else
            root = json_get(root, name.text);
    }
    return *p ? NULL : root;
}

typedef bool visit(void *arg, const json *schema); /* true: that is enough */

/* Call for a schema and for those that apply to the same value. */
static bool each_schema(const json *root, const json *schema, unsigned hops, visit *fn,
                        void *arg)
{
    static const char *const lists[] = {"allOf", "anyOf", "oneOf"};
    static const char *const singles[] = {"then", "else"};
    const json *ref = json_get(schema, "$ref");
    if (hops > MAX_HOPS || fn(arg, schema))
        return hops <= MAX_HOPS;
    const json *to = ref ? resolve(root, ref) : NULL;
    if (to && each_schema(root, to, hops + 1, fn, arg))
        return true;
    for (size_t i = 0; i < ST_COUNT(lists); i++) {
        const json *list = json_get(schema, lists[i]);
        for (uint32_t k = 0; list && list->type == JSON_ARRAY && k < list->n; k++)
            if (each_schema(root, &list->items[k], hops + 1, fn, arg))
                return true;
    }
    for (size_t i = 0; i < ST_COUNT(singles); i++) {
        const json *one = json_get(schema, singles[i]);
        if (one && each_schema(root, one, hops + 1, fn, arg))
            return true;
    }
    return false;
}

/* ---- does a pointer lead anywhere? ---- */

typedef struct knows {
    const json *root;
    const char *pointer; /* what is left of it */
    unsigned hops;
} knows;

static bool knows_schema(void *arg, const json *schema);

static bool knows_below(const knows *k, const json *schema, const char *rest)
{
    knows below = {k->root, rest, k->hops + 1};
    return k->hops < MAX_HOPS && each_schema(k->root, schema, 0, knows_schema, &below);
}

static bool knows_items(const knows *k, const json *schema, const char *rest)
{
    static const char *const names[] = {"items", "prefixItems", "additionalItems",
                                        "contains"};
    for (size_t i = 0; i < ST_COUNT(names); i++) {
        const json *items = json_get(schema, names[i]);
        if (items && items->type != JSON_ARRAY && knows_below(k, items, rest))
            return true;
        for (uint32_t j = 0; items && items->type == JSON_ARRAY && j < items->n; j++)
            if (knows_below(k, &items->items[j], rest))
                return true;
    }
    return false;
}

static bool knows_schema(void *arg, const json *schema)
{
    const knows *k = arg;
    const char *rest = k->pointer;
    part name;
    if (!*rest || schema->type != JSON_OBJECT)
        return !*rest || schema->type == JSON_TRUE;
    if (!take_part(&rest, &name))
        return false;
    bool star = strcmp(name.text, "*") == 0;
    if (star || is_index(name.text)) {
        if (knows_items(k, schema, rest))
            return true;
    }
    const json *properties = json_get(schema, "properties");
    for (uint32_t i = 0;
         properties && properties->type == JSON_OBJECT && i < properties->n; i++)
        if ((star || json_is(&properties->names[i], name.text)) &&
            knows_below(k, &properties->items[i], rest))
            return true;
    const json *others = json_get(schema, "additionalProperties");
    const json *patterns = json_get(schema, "patternProperties");
    return patterns ||
           (others && others->type != JSON_FALSE && knows_below(k, others, rest));
}

static int read_two(const char *a, size_t a_len, const char *b, size_t b_len,
                    const json **ret_a, const json **ret_b, st_err *err)
{
    int rc = json_read(a, a_len, ret_a, err);
    if (rc)
        return rc;
    rc = json_read(b, b_len, ret_b, err);
    if (rc)
        json_free(*ret_a);
    return rc;
}

int outline_knows(const char *schema, size_t len, const char *pointer, bool *ret_known,
                  st_err *err)
{
    const json *root;
    int rc = json_read(schema, len, &root, err);
    if (rc)
        return rc;
    knows k = {.root = root, .pointer = pointer};
    *ret_known = pointer[0] == '/' && each_schema(root, root, 0, knows_schema, &k);
    json_free(root);
    return 0;
}

/* ---- writing ---- */

int outline_compact(const char *schema, size_t len, st_buf *out, st_err *err)
{
    const json *root;
    int rc = json_read(schema, len, &root, err);
    if (rc)
        return rc;
    json_write(root, JSON_COMPACT, out);
    json_free(root);
    return out->code ? st_err_set(err, out->code, "no memory for a schema") : 0;
}

typedef struct writer {
    const json *root;
    st_buf *out;
    st_err *err;
} writer;

typedef struct find { /* the first schema that lists a name of this object */
    const json *object;
    const json *properties;
} find;

static bool find_properties(void *arg, const json *schema)
{
    find *f = arg;
    const json *properties = json_get(schema, "properties");
    if (!properties || properties->type != JSON_OBJECT)
        return false;
    for (uint32_t i = 0; i < f->object->n; i++) {
        if (!json_get(properties, f->object->names[i].text))
            continue;
        f->properties = properties;
        return true;
    }
    return false;
}

static bool find_items(void *arg, const json *schema)
{
    const json **items = arg;
    *items = json_get(schema, "items");
    if (*items && (*items)->type != JSON_OBJECT)
        *items = NULL;
    return *items != NULL;
}

static void write_value(writer *w, const json *schema, const json *value);

static void write_member(writer *w, const json *schema, const json *object, uint32_t i,
                         bool *first)
{
    if (!*first)
        st_buf_str(w->out, ", ");
    *first = false;
    json_write_string(object->names[i].text, object->names[i].n, w->out);
    st_buf_str(w->out, ": ");
    write_value(w, schema, &object->items[i]);
}

static void write_object(writer *w, const json *schema, const json *object)
{
    find f = {.object = object};
    bool first = true;
    if (schema)
        (void)each_schema(w->root, schema, 0, find_properties, &f);
    st_buf_char(w->out, '{');
    for (uint32_t p = 0; f.properties && p < f.properties->n; p++)
        for (uint32_t i = 0; i < object->n; i++)
            if (json_is(&object->names[i], f.properties->names[p].text))
                write_member(w, &f.properties->items[p], object, i, &first);
    for (uint32_t i = 0; i < object->n; i++)
        if (!f.properties || !json_get(f.properties, object->names[i].text))
            write_member(w, NULL, object, i, &first);
    st_buf_char(w->out, '}');
}

static void write_array(writer *w, const json *schema, const json *array)
{
    const json *items = NULL;
    if (schema)
        (void)each_schema(w->root, schema, 0, find_items, &items);
    st_buf_char(w->out, '[');
    for (uint32_t i = 0; i < array->n; i++) {
        if (i)
            st_buf_str(w->out, ", ");
        write_value(w, items, &array->items[i]);
    }
    st_buf_char(w->out, ']');
}

static void write_value(writer *w, const json *schema, const json *value)
{
    if (value->type == JSON_OBJECT)
        write_object(w, schema, value);
    else if (value->type == JSON_ARRAY)
        write_array(w, schema, value);
    else if (value->type == JSON_NUMBER)
        st_buf_add(w->out, value->text, value->n);
    else
        json_write(value, JSON_SPACED, w->out);
}

int outline_write(const char *schema, size_t schema_len, const char *value, size_t len,
                  st_buf *out, st_err *err)
{
    const json *root;
    const json *top;
    int rc = read_two(schema, schema_len, value, len, &root, &top, err);
    if (rc)
        return rc;
    writer w = {root, out, err};
    write_value(&w, root, top);
    json_free(top);
    json_free(root);
    return out->code ? st_err_set(err, out->code, "no memory for a value") : 0;
}

/* ---- describing ---- */

typedef struct lines {
    const json *root;
    st_buf *out;
    const json *values; /* of one property: its list of values, */
    const json *words;  /* and its description */
} lines;

static bool find_words(void *arg, const json *schema)
{
    lines *l = arg;
    const json *values = json_get(schema, "enum");
    const json *words = json_get(schema, "description");
    if (!l->values && values && values->type == JSON_ARRAY)
        l->values = values;
    if (!l->words && words && words->type == JSON_STRING)
        l->words = words;
    return false;
}

static void describe_property(lines *l, const json *name, const json *schema)
{
    enum { MOST_VALUES = 24 };
    l->values = l->words = NULL;
    (void)each_schema(l->root, schema, 0, find_words, l);
    st_buf_add(l->out, name->text, name->n);
    if (l->words)
        st_buf_fmt(l->out, ": %s", l->words->text);
    for (uint32_t i = 0; l->values && i < l->values->n && i < MOST_VALUES; i++) {
        st_buf_str(l->out, i == 0 ? l->words ? " (one of " : ": one of " : ", ");
        json_write(&l->values->items[i], JSON_SPACED, l->out);
    }
    st_buf_str(l->out, l->values && l->words ? ")\n" : "\n");
}

static bool describe_schema(void *arg, const json *schema)
{
    lines *l = arg;
    const json *properties = json_get(schema, "properties");
    if (!properties || properties->type != JSON_OBJECT)
        return false;
    for (uint32_t i = 0; i < properties->n; i++)
        describe_property(l, &properties->names[i], &properties->items[i]);
    return true;
}

int outline_describe(const char *schema, size_t len, st_buf *out, st_err *err)
{
    const json *root;
    int rc = json_read(schema, len, &root, err);
    if (rc)
        return rc;
    lines l = {.root = root, .out = out};
    (void)each_schema(root, root, 0, describe_schema, &l);
    json_free(root);
    return out->code ? st_err_set(err, out->code, "no memory for a prompt") : 0;
}
