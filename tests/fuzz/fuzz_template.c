/* tests/fuzz/fuzz_template.c - any bytes as a template, and after a NUL its variables. */
#include "base/utf8.h"
#include "template/template.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

static const char plain_vars[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi <|im_end|> \\u00e9\\u4f60\"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":"
    "\"f\","
    "\"arguments\":{\"x\":1,\"y\":[2.5,true,\"z\"]}}}]}],\"tools\":null,\"n\":3,\"f\":-0."
    "5,"
    "\"s\":\"abc Def\",\"l\":[3,1,2],\"d\":{\"b\":1,\"a\":\"x\"},\"bos_token\":\"<s>\","
    "\"add_generation_prompt\":true}";

static json_t *read_vars(const char *bytes, size_t len)
{
    json_t *vars = len ? json_loadb(bytes, len, JSON_ALLOW_NUL, NULL) : NULL;
    if (json_is_object(vars))
        return vars;
    json_decref(vars);
    return json_loads(plain_vars, 0, NULL);
}

static void check(const tmpl_out *out)
{
    if (out->text.len != out->marks.len)
        abort();
    for (size_t i = 0; i < out->marks.len; i++) {
        if ((unsigned char)out->marks.data[i] > 1)
            abort();
    }
    if (out->text.len && !st_utf8_valid(out->text.data, out->text.len, NULL))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *bytes = (const char *)data;
    const char *end = len ? memchr(bytes, '\0', len) : NULL;
    size_t n = end ? (size_t)(end - bytes) : len;
    tmpl_opts opts = {.max_steps = 20000,
                      .max_output = 1 << 16,
                      .max_memory = 8 << 20,
                      .now_unix = 1741964966};
    tmpl *t;
    tmpl_out out;
    st_err err = {0};
    if (tmpl_parse(bytes, n, &t, &err)) {
        if (!err.code || !err.message[0])
            abort();
        return 0;
    }
    json_t *vars = read_vars(bytes + n + (end != NULL), end ? len - n - 1 : 0);
    tmpl_out_init(&out);
    int rc = vars ? tmpl_render(t, vars, &opts, &out, &err) : 0;
    if (rc && (rc != err.code || out.text.len ||
               !st_utf8_valid(err.message, strlen(err.message), NULL)))
        abort();
    if (!rc)
        check(&out);
    tmpl_out_done(&out);
    json_decref(vars);
    tmpl_free(t);
    return 0;
}
