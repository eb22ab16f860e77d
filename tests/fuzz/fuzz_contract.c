/* tests/fuzz/fuzz_contract.c - any bytes as a task contract: read, matched, released. */
#include "base/mem.h"
#include "task/contract.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

static void use(const contract *c)
{
    static const char text[] = "aaab 12 unsubscribe";
    int32_t rule;
    if (c->question.n_options < 2 || c->question.n_options > QUESTION_MAX_OPTIONS)
        abort();
    for (uint32_t i = 0; i < c->question.n_options; i++) {
        const char *value = c->question.options[i].value;
        if (contract_option(c, value, strlen(value)) != (int32_t)i)
            abort();
    }
    if (contract_match(c, text, sizeof text - 1, &rule, NULL) == 0 &&
        rule >= (int32_t)c->n_rules)
        abort();
    char *path = contract_artifact_path(c);
    if (path && strchr(path, '/'))
        abort(); /* a task's name stays in its folder */
    st_free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    contract *c;
    st_err err = {0};
    if (contract_parse("task.yaml", (const char *)data, len, &c, &err)) {
        if (!err.code || !err.message[0])
            abort();
        return 0;
    }
    use(c);
    contract_free(c);
    return 0;
}
