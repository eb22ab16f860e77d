/* tests/test_openapi.c - the description of the routes: whole, unique, and every schema
 * in it one that a validator takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "grammar/grammar.h"
#include "serve/openapi.h"
#include "tests/documented.h"
#include "tests/fault.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const member first[] = {{"a", MEMBER_STRING, .need = true}, {0}};
static const member second[] = {{"b", MEMBER_INTEGER, .need = true, .min = 1}, {0}};
static const member *const both[] = {first, second, NULL};
static const route small[] = {
    {"GET", "/x/{id}/y/{part}", "getX", "Get it.", SCOPE_OPEN, DIALECT_KSERVE,
     .quick = true, .answer_type = "text/plain"},
    {"POST", "/x/{id}/y/{part}", "postX", "Post it.", SCOPE_CLIENT, DIALECT_TYPESAFE,
     .body = first, .answer = second, .streams = true},
    {"POST", "/z", "either", "Either.", SCOPE_ADMIN, DIALECT_OPENAI, .shapes = true,
     .alternatives = both, .unwell = true},
    {0}};
static const route *const small_wires[] = {small, NULL};

static const json_t *at(const json_t *all, const char *path)
{
    char name[128];
    while (all && *path) {
        size_t n = strcspn(path, " ");
        memcpy(name, path, n);
        name[n] = '\0';
        all = json_is_array(all) ? json_array_get(all, strtoul(name, NULL, 10))
                                 : json_object_get(all, name);
        path += n + (path[n] == ' ');
    }
    return all;
}

static const char *text_at(const json_t *all, const char *path)
{
    const char *text = json_string_value(at(all, path));
    if (!text)
        fail_msg("no text at %s", path);
    return text;
}

static void test_small(void **state)
{
    json_t *all = openapi_document(small_wires, true);
    (void)state;
    const json_t *get = at(all, "paths /x/{id}/y/{part} get");
    const json_t *post = at(all, "paths /x/{id}/y/{part} post");
    assert_string_equal(text_at(get, "operationId"), "getX");
    assert_string_equal(text_at(get, "parameters 0 name"), "id");
    assert_string_equal(text_at(get, "parameters 1 name"), "part");
    assert_null(at(get, "parameters 2"));
    assert_non_null(at(get, "responses 200 content text/plain"));
    assert_int_equal(json_array_size(at(get, "security")), 0);
    assert_null(at(get, "responses 401"));
    assert_string_equal(
        text_at(get, "responses 500 content application/json schema $ref"),
        "#/components/schemas/KServeError");
    assert_null(at(get, "requestBody"));
    assert_string_equal(text_at(post, "parameters 2 name"), "x-stint-class");
    assert_true(json_is_true(at(post, "requestBody required")));
    assert_non_null(at(post, "responses 200 content text/event-stream"));
    assert_string_equal(
        text_at(post, "responses 422 content application/json schema $ref"),
        "#/components/schemas/TypeSafeProblems");
    assert_string_equal(
        text_at(post, "responses 403 content application/json schema $ref"),
        "#/components/schemas/TypeSafeError");
    assert_non_null(strstr(text_at(post, "responses 529 description"), "overloaded"));
    assert_null(at(post, "security"));
    const json_t *either = at(all, "paths /z post");
    assert_int_equal(
        json_array_size(at(either, "requestBody content application/json schema oneOf")),
        2);
    assert_string_equal(text_at(either, "responses 503 description"), "Not now.");
    assert_non_null(at(all, "components securitySchemes bearer"));
    json_decref(all);
    all = openapi_document(small_wires, false);
    assert_null(at(all, "components securitySchemes"));
    assert_null(at(all, "paths /z post responses 401"));
    json_decref(all);
}

static void takes(const json_t *schema, const char *where)
{
    const grammar_schema_opts opts = {GRAMMAR_EITHER, true};
    grammar *g = NULL;
    st_err err = {0};
    char *text = json_dumps(schema, JSON_COMPACT);
    int rc = grammar_schema(text, strlen(text), &opts, &g, NULL, &err);
    /* One that is a schema, but cannot be held, is none of our business here. */
    if (rc < 0 && rc == ST_EFORMAT)
        fail_msg("%s: %s: %s", where, err.message, text);
    grammar_free(g);
    free(text);
}

static void check_operation(const json_t *all, const char *path, const json_t *op)
{
    const char *name;
    json_t *answer;
    json_t *body = json_object_get(op, "requestBody");
    if (body)
        takes(at(body, "content application/json schema"), path);
    json_object_foreach(json_object_get(op, "responses"), name, answer)
    {
        const json_t *schema = at(answer, "content application/json schema");
        const char *ref = json_string_value(at(schema, "$ref"));
        assert_true(*text_at(answer, "description"));
        if (ref)
            assert_non_null(
                at(all, "components schemas") &&
                json_object_get(at(all, "components schemas"), strrchr(ref, '/') + 1));
        else if (schema)
            takes(schema, path);
    }
}

static void test_all_routes(void **state)
{
    json_t *all = openapi_document(all_routes, true);
    json_t *ids = json_object();
    const char *path, *method, *name;
    json_t *operations, *op, *schema;
    size_t n = 0, n_rows = 0;
    (void)state;
    assert_non_null(all);
    json_object_foreach(json_object_get(all, "paths"), path, operations)
    {
        json_object_foreach(operations, method, op)
        {
            const char *id = text_at(op, "operationId");
            if (json_object_get(ids, id))
                fail_msg("two operations are called %s", id);
            json_object_set_new(ids, id, json_true());
            check_operation(all, path, op);
            n++;
        }
    }
    for (const route *const *w = all_routes; *w; w++)
        for (const route *r = *w; r->method; r++) {
            char code[128];
            snprintf(code, sizeof code, "| `%s` |", r->path);
            documented(code);
            n_rows++;
        }
    assert_int_equal(n, n_rows);
    json_object_foreach(json_object_get(json_object_get(all, "components"), "schemas"),
                        name, schema) takes(schema, name);
    json_decref(ids);
    json_decref(all);
}

static int describe(void *arg)
{
    json_t *all = openapi_document(small_wires, true);
    (void)arg;
    json_decref(all);
    return all ? 0 : ST_ENOMEM;
}

static void test_no_memory(void **state)
{
    (void)state;
    json_set_alloc_funcs(malloc, free);
    assert_true(fault_sweep(describe, NULL, 7) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_all_routes),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
