/* tests/fuzz/fuzz_body.c - any bytes as the body of a request, compared with a table that
 * has everything a table can say.
 *
 * The table's own JSON Schema, asked by the validator of the grammar room, must say the
 * same of every body that is JSON; problems can always be told, in every dialect. */
#include "base/mem.h"
#include "grammar/grammar.h"
#include "serve/body.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 12 };

static void expect(bool right)
{
    if (!right)
        abort();
}

static const member part[] = {
    {"type", MEMBER_STRING, .need = true, .words = "text image"},
    {"text", MEMBER_STRING, .nul = true, .max = 4},
    {0}};
static const member turn[] = {
    {"role", MEMBER_STRING, .need = true, .words = "user system"},
    {"content", MEMBER_STRING | MEMBER_ARRAY, .need = true, .of = part, .max = 3},
    {0}};
static const member options[] = {{"on", MEMBER_BOOL, .need = true}, {0}};
static const member circle[] = {
    {"k", MEMBER_STRING, .words = "c"}, {"r", MEMBER_NUMBER, .need = true}, {0}};
static const member box[] = {{"k", MEMBER_STRING, .need = true, .words = "b bb"},
                             {"s", MEMBER_ARRAY, .items = MEMBER_BOOL},
                             {0}};
static const member *const shapes[] = {circle, box, NULL};
static const member table[] = {
    {"m", MEMBER_STRING, .need = true, .min = 1, .max = 3},
    {"turns", MEMBER_ARRAY, .min = 1, .of = turn},
    {"t", MEMBER_NUMBER | MEMBER_NULL, .min = -0.5, .max = 2},
    {"seed", MEMBER_INTEGER, .min = -9, .max = -10},
    {"n", MEMBER_INTEGER, .need = false},
    {"stop", MEMBER_STRING | MEMBER_ARRAY, .max = 2, .items = MEMBER_STRING},
    {"mode", MEMBER_STRING | MEMBER_NULL, .words = "auto none"},
    {"words", MEMBER_ARRAY, .items = MEMBER_STRING | MEMBER_NULL, .words = "a b"},
    {"one", MEMBER_INTEGER, .use = MEMBER_REFUSE, .words = "1 off"},
    {"never", MEMBER_OBJECT, .use = MEMBER_REFUSE},
    {"user", MEMBER_STRING, .use = MEMBER_IDLE},
    {"o", MEMBER_OBJECT | MEMBER_NULL | MEMBER_ARRAY, .of = options},
    {"map", MEMBER_OBJECT, .min = 1, .max = 2, .of = options, .open = true},
    {"list", MEMBER_ARRAY, .either = shapes},
    {"shape", MEMBER_OBJECT | MEMBER_STRING, .either = shapes},
    {"named", MEMBER_OBJECT, .map = true, .max = 3, .either = shapes},
    {"any", MEMBER_ANY, .open = true, .of = options},
    {0}};

static grammar *schema_of_table(void)
{
    const grammar_schema_opts opts = {GRAMMAR_EITHER, true};
    grammar *g = NULL;
    json_t *schema = body_schema(table, false);
    char *text = json_dumps(schema, JSON_COMPACT);
    expect(grammar_schema(text, strlen(text), &opts, &g, NULL, NULL) == 0);
    free(text);
    json_decref(schema);
    return g;
}

/* Written by jansson again, so that both see the same doubles. */
static void same_as_schema(const json_t *body, bool good)
{
    static grammar *g;
    if (!g)
        g = schema_of_table();
    char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
    expect(text);
    int rc = grammar_validate(g, text, strlen(text), NULL);
    expect(rc == ST_ELIMIT || (rc == 0) == good);
    free(text);
}

static void told(const problems *p)
{
    for (dialect d = DIALECT_OPENAI; d <= DIALECT_KSERVE; d++) {
        size_t len = 0;
        char *text = problems_body(p, d, &len);
        expect(text);
        json_t *body = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
        expect(body && problems_status(p, d) >= 400);
        json_decref(body);
        st_free(text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    problems p = {0};
    json_t *body = body_parse((const char *)data, len, DEPTH, &p);
    expect(body || p.n == 1);
    if (body) {
        body_check(body, table, false, "", &p);
        same_as_schema(body, p.n == 0);
        (void)body_integer(body, "n", 0);
        json_decref(body);
    }
    if (p.n)
        told(&p);
    problems_done(&p);
    return 0;
}
