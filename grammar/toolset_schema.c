/* grammar/toolset_schema.c - the schema that a function's arguments are held to, and the
 * words that tell a model of the functions.
 *
 * `parameters` says what a function takes; JSON Schema lets an object have any other
 * members beside the listed ones, which no function means.  So an object that lists its
 * members and says nothing of others is closed, at the root and below `properties` and
 * `items`; below combinations (allOf, $ref, ...), where closing one part could leave
 * nothing, schemas stay as they are.
 */
#include "grammar/toolcall_priv.h"

#include <string.h>

/* Does some $ref lead into a place that may be closed? */
static bool refers_inside(const json *schema)
{
    for (uint32_t i = 0; i < schema->n && schema->type >= JSON_ARRAY; i++) {
        if (refers_inside(&schema->items[i]))
            return true;
        if (schema->type != JSON_OBJECT || schema->items[i].type != JSON_STRING)
            continue;
        const char *to = schema->items[i].text;
        if ((json_is(&schema->names[i], "$ref") ||
             json_is(&schema->names[i], "$dynamicRef")) &&
            strncmp(to, "#/$defs/", 8) != 0 && strncmp(to, "#/definitions/", 14) != 0)
            return true;
    }
    return false;
}

/* May the object be closed without leaving nothing or less than was meant? */
static bool closable(const json *schema)
{
    static const char *const speak[] = {"additionalProperties",
                                        "unevaluatedProperties",
                                        "patternProperties",
                                        "$ref",
                                        "$dynamicRef",
                                        "allOf",
                                        "anyOf",
                                        "oneOf",
                                        "not",
                                        "if",
                                        "dependentSchemas",
                                        "dependentRequired",
                                        "dependencies",
                                        "propertyNames",
                                        "minProperties",
                                        "enum",
                                        "const"};
    const json *properties = json_get(schema, "properties");
    const json *required = json_get(schema, "required");
    if (!properties || properties->type != JSON_OBJECT || properties->n == 0)
        return false;
    for (size_t i = 0; i < ST_COUNT(speak); i++) {
        if (json_get(schema, speak[i]))
            return false;
    }
    for (uint32_t i = 0; required && required->type == JSON_ARRAY && i < required->n;
         i++) {
        const json *name = &required->items[i];
        if (name->type != JSON_STRING || !json_get_n(properties, name->text, name->n))
            return false;
    }
    return true;
}

static void schema_write(const json *schema, bool root, bool close, st_buf *out);

/* A keyword's value: schemas below these two keywords are closed too. */
static void value_write(const json *name, const json *value, bool close, st_buf *out)
{
    if (json_is(name, "items") && value->type == JSON_OBJECT) {
        schema_write(value, false, close, out);
    } else if (json_is(name, "properties") && value->type == JSON_OBJECT) {
        st_buf_char(out, '{');
        for (uint32_t i = 0; i < value->n; i++) {
            if (i > 0)
                st_buf_char(out, ',');
            json_write_string(value->names[i].text, value->names[i].n, out);
            st_buf_char(out, ':');
            schema_write(&value->items[i], false, close, out);
        }
        st_buf_char(out, '}');
    } else {
        json_write(value, JSON_COMPACT, out);
    }
}

static void schema_write(const json *schema, bool root, bool close, st_buf *out)
{
    if (schema->type != JSON_OBJECT) {
        json_write(schema, JSON_COMPACT, out);
        return;
    }
    const char *comma = "";
    st_buf_char(out, '{');
    if (root && !json_get(schema, "type")) {
        st_buf_str(out, "\"type\":\"object\"");
        comma = ",";
    }
    for (uint32_t i = 0; i < schema->n; i++) {
        st_buf_str(out, comma);
        comma = ",";
        json_write_string(schema->names[i].text, schema->names[i].n, out);
        st_buf_char(out, ':');
        value_write(&schema->names[i], &schema->items[i], close, out);
    }
    if (close && closable(schema)) {
        st_buf_str(out, comma);
        st_buf_str(out, "\"additionalProperties\":false");
    }
    st_buf_char(out, '}');
}

int arguments_schema(const json *parameters, st_buf *out, st_err *err)
{
    const json *type = parameters ? json_get(parameters, "type") : NULL;
    if (!parameters) {
        st_buf_str(out, "{\"type\":\"object\",\"additionalProperties\":false}");
    } else if (parameters->type == JSON_TRUE) {
        st_buf_str(out, "{\"type\":\"object\"}");
    } else if (parameters->type != JSON_OBJECT || (type && !json_is(type, "object"))) {
        st_err_set(err, ST_EINVAL, "arguments are a JSON object");
        st_err_hint(err, "write \"type\": \"object\" with the arguments as properties");
        return ST_EINVAL;
    } else {
        schema_write(parameters, true, !refers_inside(parameters), out);
    }
    return out->code ? st_err_set(err, out->code, "no memory for a schema") : 0;
}

int toolset_instructions(const toolset *set, st_buf *out, st_err *err)
{
    st_buf_str(out, "You can call these functions:\n");
    for (uint32_t i = 0; i < set->n; i++) {
        const tool *t = &set->tools[i];
        if (!t->allowed)
            continue;
        st_buf_str(out, "{\"name\": ");
        json_write_string(t->name, strlen(t->name), out);
        if (t->description[0]) {
            st_buf_str(out, ", \"description\": ");
            json_write_string(t->description, strlen(t->description), out);
        }
        st_buf_str(out, ", \"parameters\": ");
        if (t->parameters)
            json_write(t->parameters, JSON_SPACED, out);
        else
            st_buf_str(out, "{}");
        st_buf_str(out, "}\n");
    }
    st_buf_str(out, "\nA call is written as\n<tool_call>[{\"name\": \"function\", "
                    "\"arguments\": {\"argument\": value}}]</tool_call>\n");
    if (set->max_calls != 1)
        st_buf_str(out, "Several calls stand in one list, with commas between them.\n");
    st_buf_str(out, set->mode == TOOLS_REQUIRED
                        ? "Answer with calls, with arguments from the question."
                        : "Call a function when one fits the question, with arguments "
                          "from the question. Otherwise answer in plain text.");
    return out->code ? st_err_set(err, out->code, "no memory for instructions") : 0;
}
