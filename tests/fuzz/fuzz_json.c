/* tests/fuzz/fuzz_json.c - any bytes as JSON: what is read is written and read again. */
#include "base/utf8.h"
#include "grammar/json.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

static void write_and_read(const json *j, json_space space)
{
    st_buf out;
    const json *again = NULL;
    st_buf_init(&out, 1 << 26);
    json_write(j, space, &out);
    if (out.code || !st_utf8_valid(out.data, out.len, NULL))
        abort();
    if (json_read(out.data, out.len, &again, NULL) < 0)
        abort();
    if (!json_same(j, again) || json_hash(j) != json_hash(again))
        abort();
    json_free(again);
    st_buf_done(&out);
}

/* Every member is found under its name. */
static void look_up(const json *j)
{
    for (uint32_t i = 0; j->type >= JSON_ARRAY && i < j->n; i++) {
        if (j->type == JSON_OBJECT &&
            json_get_n(j, j->names[i].text, j->names[i].n) != &j->items[i])
            abort();
        look_up(&j->items[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const json *strict = NULL, *last = NULL;
    st_err err = {0};
    int rc = json_read((const char *)data, len, &strict, &err);
    if (rc != err.code || (rc < 0 && !err.message[0]))
        abort();
    if (json_read_last((const char *)data, len, &last, NULL) < 0) {
        if (rc == 0)
            abort();
        return 0;
    }
    if (strict && (!json_same(strict, last) || json_hash(strict) != json_hash(last)))
        abort();
    look_up(last);
    write_and_read(last, JSON_COMPACT);
    write_and_read(last, JSON_SPACED);
    json_free(strict);
    json_free(last);
    return 0;
}
