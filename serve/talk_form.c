/* serve/talk_form.c - what a body asks a text to be held to. */
#define _GNU_SOURCE /* memmem */
#include "serve/talk_form.h"

#include "base/mem.h"
#include "serve/param.h"
#include <stdlib.h>
#include <string.h>

const member talk_form_structured[] = {
    {"json", MEMBER_OBJECT | MEMBER_BOOL | MEMBER_STRING | MEMBER_NULL, .nul = true,
     .about = "A JSON Schema, or its text."},
    {"json_object", MEMBER_BOOL | MEMBER_NULL, .about = "true: any JSON object."},
    {"regex", MEMBER_STRING | MEMBER_NULL, .about = "An expression for all of the text."},
    {"choice", MEMBER_ARRAY | MEMBER_NULL, .min = 1, .max = 100000,
     .items = MEMBER_STRING, .nul = true, .about = "One of these texts."},
    {"grammar", MEMBER_STRING | MEMBER_NULL, .about = "A GBNF grammar."},
    {"structural_tag", MEMBER_ANY, .use = MEMBER_REFUSE, .about = "Not done here."},
    {"disable_any_whitespace", MEMBER_BOOL | MEMBER_NULL, .use = MEMBER_IDLE,
     .about = "There is one space behind : and , and none elsewhere in any case."},
    {0}};

static const member json_schema_members[] = {
    {"name", MEMBER_STRING | MEMBER_NULL, .max = 256, .about = "Of the schema."},
    {"description", MEMBER_STRING | MEMBER_NULL, .use = MEMBER_IDLE,
     .about = "What it is for."},
    {"schema", MEMBER_OBJECT | MEMBER_BOOL, .need = true, .about = "A JSON Schema."},
    {"strict", MEMBER_BOOL | MEMBER_NULL, .use = MEMBER_IDLE,
     .about = "The answer fits the schema in any case."},
    {0}};

const member talk_form_response[] = {
    {"type", MEMBER_STRING, .need = true, .words = "text json_object json_schema"},
    {"json_schema", MEMBER_OBJECT | MEMBER_NULL, .of = json_schema_members,
     .about = "Of type json_schema."},
    {"schema", MEMBER_OBJECT | MEMBER_BOOL | MEMBER_NULL,
     .about = "A schema beside type json_object (llama-server)."},
    {0}};

void talk_form_done(talk_form *f)
{
    st_free(f->text);
    json_decref(f->owned);
    *f = (talk_form){0};
}

/* ---- reading ---- */

/* False: another member has asked before. */
static bool begin(talk_form *f, form_kind kind, const char *param, problems *out)
{
    if (f->kind != FORM_NONE) {
        problems_add(out, PROBLEM_VALUE, param, "and %s: a text is held one way",
                     f->param);
        return false;
    }
    f->kind = kind;
    f->param = param;
    return true;
}

static void json_hold(talk_form *f, const json_t *value, problems *out)
{
    f->text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    f->len = f->text ? strlen(f->text) : 0;
    out->out_of_memory = out->out_of_memory || !f->text;
}

static void schema_read(talk_form *f, const json_t *schema, const char *param,
                        problems *out)
{
    if (!schema || !begin(f, FORM_SCHEMA, param, out))
        return;
    if (json_is_string(schema)) {
        problems inner = {0};
        f->owned = body_parse(json_string_value(schema), json_string_length(schema), 200,
                              &inner);
        if (!f->owned)
            problems_add(out, PROBLEM_JSON, param, "is no JSON: %s",
                         inner.n > 0 ? inner.list[0].message : "out of memory");
        problems_done(&inner);
        schema = f->owned;
    }
    if (!schema)
        return;
    f->schema = schema;
    json_hold(f, schema, out);
}

static void text_read(talk_form *f, const json_t *text, form_kind kind, const char *param,
                      problems *out)
{
    if (!text || !begin(f, kind, param, out))
        return;
    if (json_string_length(text) == 0) {
        problems_add(out, PROBLEM_COUNT, param, "is empty");
        return;
    }
    f->len = json_string_length(text);
    f->text = st_dup(json_string_value(text), f->len);
    out->out_of_memory = out->out_of_memory || !f->text;
}

static void choices_read(talk_form *f, const json_t *list, const char *param,
                         problems *out)
{
    if (list && begin(f, FORM_CHOICES, param, out))
        json_hold(f, list, out);
}

static void object_read(talk_form *f, const char *param, problems *out)
{
    static const char any[] = "{\"type\":\"object\"}";
    if (!begin(f, FORM_SCHEMA, param, out))
        return;
    f->len = sizeof any - 1;
    f->text = st_dup(any, f->len);
    out->out_of_memory = out->out_of_memory || !f->text;
}

/* /v1/responses has the members of json_schema in the format itself. */
static void format_read(talk_form *f, const json_t *format, const char *at, problems *out)
{
    bool flat = strcmp(at, "text.format") == 0;
    const char *type = body_text(format, "type", "text");
    const json_t *nested = body_get(format, "json_schema");
    if (strcmp(type, "json_object") == 0) {
        const json_t *schema = body_get(format, "schema");
        if (schema)
            schema_read(f, schema, flat ? "text.format.schema" : "response_format.schema",
                        out);
        else
            object_read(f, at, out);
    } else if (strcmp(type, "json_schema") == 0) {
        const json_t *schema = body_get(flat ? format : nested, "schema");
        /* llama-server's old way: the schema beside the type */
        const char *param = flat ? "text.format.schema" : "response_format.json_schema";
        if (!flat && nested)
            param = "response_format.json_schema.schema";
        if (!flat && !nested && body_get(format, "schema")) {
            schema = body_get(format, "schema");
            param = "response_format.schema";
        }
        if (schema)
            schema_read(f, schema, param, out);
        else
            problems_add(out, PROBLEM_MISSING, param, "is missing");
    }
}

void talk_form_read(const json_t *body, const json_t *format, const char *format_at,
                    talk_form *ret, problems *out)
{
    const json_t *more = body_get(body, "structured_outputs");
    if (format)
        format_read(ret, format, format_at, out);
    schema_read(ret, body_get(body, "json_schema"), "json_schema", out);
    text_read(ret, body_get(body, "grammar"), FORM_GBNF, "grammar", out);
    schema_read(ret, body_get(more, "json"), "structured_outputs.json", out);
    if (body_bool(more, "json_object", false))
        object_read(ret, "structured_outputs.json_object", out);
    text_read(ret, body_get(more, "regex"), FORM_REGEX, "structured_outputs.regex", out);
    choices_read(ret, body_get(more, "choice"), "structured_outputs.choice", out);
    text_read(ret, body_get(more, "grammar"), FORM_GBNF, "structured_outputs.grammar",
              out);
    schema_read(ret, body_get(body, "guided_json"), "guided_json", out);
    text_read(ret, body_get(body, "guided_regex"), FORM_REGEX, "guided_regex", out);
    choices_read(ret, body_get(body, "guided_choice"), "guided_choice", out);
    text_read(ret, body_get(body, "guided_grammar"), FORM_GBNF, "guided_grammar", out);
    if (body_get(body, "show_schema") && !ret->schema)
        problems_add(out, PROBLEM_VALUE, "show_schema", "there is no schema to show");
}

/* ---- refusals ---- */

static bool is_number(const char *s)
{
    return *s && strspn(s, "0123456789") == strlen(s);
}

/* A JSON pointer behind a member: /properties/a/0 -> .properties.a[0] */
static void pointer_param(char ret[PROBLEM_PARAM_MAX], const char *param,
                          const char *pointer)
{
    char at[PROBLEM_PARAM_MAX], name[PROBLEM_PARAM_MAX];
    snprintf(ret, PROBLEM_PARAM_MAX, "%s", param);
    while (*pointer == '/') {
        size_t n = 0;
        for (pointer++; *pointer && *pointer != '/'; pointer++) {
            char c = *pointer;
            if (c == '~' && (pointer[1] == '0' || pointer[1] == '1'))
                c = *++pointer == '0' ? '~' : '/';
            if (n + 1 < sizeof name)
                name[n++] = c;
        }
        name[n] = '\0';
        memcpy(at, ret, sizeof at);
        if (is_number(name))
            param_index(ret, at, strtoull(name, NULL, 10));
        else
            param_name(ret, at, name);
    }
}

void talk_form_refused(const char *param, const grammar_refusal *refusal,
                       const st_err *why, problems *out)
{
    char at[PROBLEM_PARAM_MAX];
    bool hints = *why->hint != '\0';
    if (why->code == ST_ENOMEM) {
        problems_from(out, "", why);
        return;
    }
    const char *message = why->message;
    size_t n = strlen(refusal->pointer);
    pointer_param(at, param, refusal->pointer);
    if (strncmp(message, refusal->pointer, n) == 0 && strncmp(message + n, ": ", 2) == 0)
        message += n + 2; /* the param says where */
    problems_add(out, PROBLEM_SCHEMA, at, "%s%s%s%s%s%s", message,
                 *refusal->keyword ? " (keyword " : "", refusal->keyword,
                 *refusal->keyword ? ")" : "", hints ? "; " : "", why->hint);
}

/* ---- what the model is told ---- */

static bool told(const char *word, const char *text, size_t len)
{
    size_t n = strlen(word);
    return n == 0 || memmem(text, len, word, n) != NULL;
}

/* Names of members and listed texts, wherever they stand in the schema. */
static bool all_told(const json_t *schema, bool names, const char *text, size_t len)
{
    json_t *walked = (json_t *)(uintptr_t)schema, *value;
    const char *name;
    size_t i;
    if (json_is_array(schema)) {
        json_array_foreach(walked, i,
                           value) if (!all_told(value, false, text, len)) return false;
        return true;
    }
    json_object_foreach(walked, name, value)
    {
        bool lists = !names && (strcmp(name, "enum") == 0 || strcmp(name, "const") == 0);
        if (names && !told(name, text, len))
            return false;
        if (lists && json_is_string(value) && !told(json_string_value(value), text, len))
            return false;
        for (i = 0; lists && i < json_array_size(value); i++) {
            const char *word = json_string_value(json_array_get(value, i));
            if (word && !told(word, text, len))
                return false;
        }
        if (!lists && (json_is_object(value) || json_is_array(value)) &&
            !all_told(value, !names && strcmp(name, "properties") == 0, text, len))
            return false;
    }
    return true;
}

bool talk_form_is_told(const json_t *schema, const char *text, size_t len)
{
    return all_told(schema, false, text, len);
}

char *talk_form_told(const json_t *schema)
{
    char *compact = json_dumps(schema, JSON_COMPACT | JSON_ENCODE_ANY);
    st_buf out;
    st_buf_init(&out, SIZE_MAX / 2);
    st_buf_str(&out, "Answer in JSON that fits this schema: ");
    st_buf_str(&out, compact ? compact : "");
    char *text = compact ? st_buf_detach(&out, NULL) : NULL;
    st_buf_done(&out);
    st_free(compact);
    return text;
}
