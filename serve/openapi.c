/* serve/openapi.c - a path for each pattern, an operation for each route: its values and
 * headers, its bodies, the good answer and every status that a problem can have in its
 * dialect. */
#include "serve/openapi.h"

#include <stdio.h>
#include <string.h>

enum { MAX_STATUS = 600 };

/* Every piece is put into its owner at once; the first that fails is remembered. */
typedef struct builder {
    bool failed;
    bool keys;
} builder;

static void put(builder *b, json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value))
        b->failed = true;
}

static void append(builder *b, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value))
        b->failed = true;
}

static json_t *content(builder *b, const char *type, json_t *schema)
{
    json_t *all = json_object();
    put(b, all, type, json_pack("{s:o}", "schema", schema));
    return all;
}

/* ---- what is asked ---- */

static void put_path_values(builder *b, const char *path, json_t *list)
{
    for (const char *c = path; (c = strchr(c, '{')); c++) {
        size_t n = strcspn(c + 1, "}");
        append(b, list,
               json_pack("{s:s%, s:s, s:b, s:{s:s, s:i, s:s}}", "name", c + 1, n, "in",
                         "path", "required", 1, "schema", "type", "string", "minLength",
                         1, "pattern", "^[^/\\u0000]+$"));
    }
}

/* x-stint-deadline-ms is told in the description: a tool that tries its least value would
 * take the 504 for a fault of ours. */
static void put_headers(builder *b, json_t *list)
{
    append(b, list,
           json_pack("{s:s, s:s, s:s, s:{s:s, s:[s,s]}}", "name", "x-stint-class", "in",
                     "header", "description", "bulk waits behind interactive.", "schema",
                     "type", "string", "enum", "interactive", "bulk"));
}

static json_t *body_of(builder *b, const route *r)
{
    if (!r->alternatives)
        return r->body ? body_schema(r->body, r->open_body)
                       : json_pack("{s:s}", "type", "object");
    json_t *list = json_array();
    for (const member *const *m = r->alternatives; *m; m++)
        append(b, list, body_schema(*m, r->open_body));
    return json_pack("{s:o}", "oneOf", list);
}

/* ---- what is answered ---- */

static json_t *answer_content(builder *b, const route *r)
{
    if (r->answer_type)
        return content(b, r->answer_type, json_pack("{s:s}", "type", "string"));
    json_t *all = content(b, "application/json",
                          r->answer ? body_answer_schema(r->answer) : json_object());
    if (r->streams)
        put(b, all, "text/event-stream",
            json_pack("{s:{s:s}}", "schema", "type", "string"));
    return all;
}

static json_t *response(builder *b, const char *about, json_t *body)
{
    json_t *all = json_pack("{s:s, s:{s:{s:{s:s}}}}", "description", about, "headers",
                            "x-request-id", "schema", "type", "string");
    put(b, all, "content", body);
    return all;
}

/* Can this route have a problem of this kind? */
static bool can_fail(const builder *b, const route *r, problem_kind kind)
{
    switch (kind) {
    case PROBLEM_NO_KEY:
    case PROBLEM_BAD_KEY:
        return r->scope != SCOPE_OPEN && b->keys;
    case PROBLEM_FORBIDDEN:
        return r->scope != SCOPE_OPEN;
    case PROBLEM_NO_ROUTE:
    case PROBLEM_METHOD:
        return false;
    case PROBLEM_DRAINING:
        return !r->unwell;
    case PROBLEM_NO_MODEL:
        return r->body || r->shapes || strchr(r->path, '{');
    default:
        return true;
    }
}

static const char *error_schema(const route *r, unsigned status)
{
    switch (r->dialect) {
    case DIALECT_TYPESAFE:
        return status == 422 ? "#/components/schemas/TypeSafeProblems"
                             : "#/components/schemas/TypeSafeError";
    case DIALECT_KSERVE:
        return "#/components/schemas/KServeError";
    default:
        return "#/components/schemas/OpenAIError";
    }
}

static void put_problems(builder *b, const route *r, json_t *responses)
{
    char codes[512];
    char name[8];
    for (unsigned status = 400; status < MAX_STATUS; status++) {
        size_t n = 0;
        for (problem_kind k = 0; k < PROBLEM_KINDS && n < sizeof codes; k++)
            if (problem_status(k, r->dialect) == status && can_fail(b, r, k))
                n += (size_t)snprintf(codes + n, sizeof codes - n, "%s%s", n ? ", " : "",
                                      problem_code(k, r->dialect));
        if (!n)
            continue;
        snprintf(name, sizeof name, "%u", status);
        json_t *schema = json_pack("{s:s}", "$ref", error_schema(r, status));
        put(b, responses, name,
            response(b, codes, content(b, "application/json", schema)));
    }
}

static json_t *operation(builder *b, const route *r)
{
    json_t *op = json_pack("{s:s, s:s}", "operationId", r->id, "summary", r->about);
    json_t *values = json_array();
    put_path_values(b, r->path, values);
    if (r->body || r->shapes)
        put_headers(b, values);
    put(b, op, "parameters", values);
    if (r->body || r->shapes)
        put(b, op, "requestBody",
            json_pack("{s:b, s:o}", "required", 1, "content",
                      content(b, "application/json", body_of(b, r))));
    if (r->scope == SCOPE_OPEN || !b->keys)
        put(b, op, "security", json_array());
    json_t *responses = json_object();
    put(b, op, "responses", responses);
    put(b, responses, "200", response(b, "Done.", answer_content(b, r)));
    if (r->unwell)
        put(b, responses, "503", response(b, "Not now.", answer_content(b, r)));
    put_problems(b, r, responses);
    return op;
}

/* ---- together ---- */

static const member openai_problem[] = {
    {"message", MEMBER_STRING, .need = true},
    {"param", MEMBER_STRING | MEMBER_NULL, .need = true},
    {"code", MEMBER_STRING, .need = true},
    {0}};
static const member openai_error[] = {
    {"message", MEMBER_STRING, .need = true},
    {"type", MEMBER_STRING, .need = true},
    {"param", MEMBER_STRING | MEMBER_NULL, .need = true},
    {"code", MEMBER_STRING, .need = true},
    {"errors", MEMBER_ARRAY, .of = openai_problem,
     .about = "All problems, where there are several."},
    {0}};
static const member openai_body[] = {
    {"error", MEMBER_OBJECT, .need = true, .of = openai_error}, {0}};
static const member typesafe_problem[] = {
    {"loc", MEMBER_ARRAY, .need = true, .items = MEMBER_STRING | MEMBER_INTEGER},
    {"msg", MEMBER_STRING, .need = true},
    {"type", MEMBER_STRING, .need = true},
    {0}};
static const member typesafe_problems[] = {
    {"detail", MEMBER_ARRAY, .need = true, .of = typesafe_problem}, {0}};
static const member typesafe_detail[] = {{"error_type", MEMBER_STRING, .need = true},
                                         {"message", MEMBER_STRING, .need = true},
                                         {0}};
static const member typesafe_error[] = {
    {"detail", MEMBER_OBJECT, .need = true, .of = typesafe_detail}, {0}};
static const member kserve_error[] = {{"error", MEMBER_STRING, .need = true}, {0}};

static json_t *components(builder *b)
{
    json_t *schemas = json_object();
    put(b, schemas, "OpenAIError", body_answer_schema(openai_body));
    put(b, schemas, "TypeSafeProblems", body_answer_schema(typesafe_problems));
    put(b, schemas, "TypeSafeError", body_answer_schema(typesafe_error));
    put(b, schemas, "KServeError", body_answer_schema(kserve_error));
    json_t *all = json_pack("{s:o}", "schemas", schemas);
    if (b->keys)
        put(b, all, "securitySchemes",
            json_pack("{s:{s:s, s:s}}", "bearer", "type", "http", "scheme", "bearer"));
    return all;
}

static void put_route(builder *b, json_t *paths, const route *r)
{
    char method[16];
    size_t n = 0;
    for (; r->method[n] && n + 1 < sizeof method; n++)
        method[n] = (char)(r->method[n] | 0x20);
    method[n] = '\0';
    json_t *path = json_object_get(paths, r->path);
    if (!path) {
        path = json_object();
        put(b, paths, r->path, path);
    }
    put(b, path, method, operation(b, r));
}

json_t *openapi_document(const route *const *wires, bool keys)
{
    builder b = {.keys = keys};
    json_t *all = json_pack("{s:s, s:{s:s, s:s, s:s}}", "openapi", "3.1.0", "info",
                            "title", "stint", "version", STINT_VERSION, "description",
                            "Small language models that do one job well. The header "
                            "x-stint-deadline-ms of a request says after how many "
                            "milliseconds no answer is wanted.");
    json_t *paths = json_object();
    put(&b, all, "paths", paths);
    for (; *wires; wires++)
        for (const route *r = *wires; r->method; r++)
            put_route(&b, paths, r);
    put(&b, all, "components", components(&b));
    if (keys)
        put(&b, all, "security", json_pack("[{s:[]}]", "bearer"));
    if (!b.failed)
        return all;
    json_decref(all);
    return NULL;
}
