/* tests/fuzz/fuzz_toolcall.c - any bytes as an answer in any format of calls, or as the
 * `tools` of a request: the first byte says which.
 *
 * An answer that is read is written and read again: the same. */
#include "grammar/toolcall.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

static void expect(bool right)
{
    if (!right)
        abort();
}

static void request_read(const char *text, size_t len)
{
    toolset *set;
    grammar *g;
    grammar_refusal refusal = {0};
    st_err err = {0};
    if (toolset_new(text, len, NULL, &set, &refusal, &err) < 0) {
        expect(err.code && err.message[0]);
        return;
    }
    for (uint32_t i = 0; i < toolset_n(set); i++)
        expect(toolset_name(set, i)[0] != '\0');
    if (grammar_tools(set, toolcall_format_of(NULL), &g, &refusal, &err) == 0)
        grammar_free(g);
    toolset_free(set);
}

static void answer_read(const toolcall_format *format, const char *text, size_t len)
{
    toolcalls calls, again;
    st_buf written;
    st_err err = {0};
    if (toolcalls_read(NULL, format, text, len, &calls, &err) < 0) {
        expect(err.code && err.message[0]);
        return;
    }
    st_buf_init(&written, 1 << 26);
    expect(toolcalls_write(format, &calls, &written, &err) == 0);
    const char *out = written.data ? written.data : "";
    if (toolcalls_read(NULL, format, out, written.len, &again, &err) == 0) {
        expect(again.n == calls.n);
        for (uint32_t i = 0; i < calls.n; i++)
            expect(strcmp(calls.calls[i].arguments, again.calls[i].arguments) == 0 &&
                   strcmp(calls.calls[i].name, again.calls[i].name) == 0);
        toolcalls_done(&again);
    } else {
        expect(calls.n > 0); /* an id that the row has to write is missing */
    }
    st_buf_done(&written);
    toolcalls_done(&calls);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint32_t n = 0;
    while (toolcall_format_at(n))
        n++;
    if (len == 0)
        return 0;
    const char *text = (const char *)data + 1;
    if (data[0] == 't')
        request_read(text, len - 1);
    else
        answer_read(toolcall_format_at(data[0] % n), text, len - 1);
    return 0;
}
