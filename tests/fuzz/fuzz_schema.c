/* tests/fuzz/fuzz_schema.c - any bytes as a schema and, after a NUL, a value: what the
 * mask would let be written is valid, as the validator reads the schema. */
#include "grammar/grammar.h"
#include "grammar/instance.h"
#include "grammar/validate.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

static int validate(const json *schema, const json *value)
{
    validator *v = NULL;
    st_err err = {0};
    int rc = validator_new(schema, &v, &err);
    if (rc != err.code || (rc < 0 && !err.message[0]))
        abort();
    if (rc < 0)
        return rc;
    err = (st_err){0};
    rc = validator_run(v, value, &err);
    if (rc != err.code || rc != validator_run(v, value, NULL))
        abort();
    validator_free(v);
    return rc;
}

/* Held to the schema, in its order and in any. */
static void hold(const char *schema, size_t len, const char *text, size_t text_len,
                 int valid)
{
    for (int any = 0; any < 2; any++) {
        grammar *g = NULL;
        st_err err = {0};
        grammar_refusal why = {0};
        grammar_schema_opts how = {.space = GRAMMAR_EITHER, .any_order = any != 0};
        int rc = grammar_schema(schema, len, &how, &g, &why, &err);
        if (rc != err.code || (rc < 0 && !err.message[0]))
            abort();
        if (rc < 0)
            continue;
        rc = instance_check(g, text, text_len, &(instance_opts){.any_order = any != 0},
                            NULL);
        if (rc == 0 && valid != 0 && valid != ST_ELIMIT)
            abort();
        grammar_free(g);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *bytes = (const char *)data;
    const char *end = len ? memchr(bytes, '\0', len) : NULL;
    size_t n = end ? (size_t)(end - bytes) : len;
    const json *schema = NULL, *value = NULL;
    const char *text = end ? end + 1 : "{}";
    size_t text_len = end ? len - n - 1 : 2;
    if (json_read(bytes, n, &schema, NULL) == 0 &&
        json_read(text, text_len, &value, NULL) == 0)
        hold(bytes, n, text, text_len, validate(schema, value));
    json_free(schema);
    json_free(value);
    return 0;
}
