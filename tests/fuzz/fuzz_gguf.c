/* tests/fuzz/fuzz_gguf.c - any bytes as a GGUF file: every key and tensor is read. */
#include "base/mem.h"
#include "gguf/gguf.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>

static void read_key(const gguf *g, const char *name)
{
    gguf_str text, *strings;
    int32_t *ints;
    float *floats, f;
    size_t n;
    uint32_t u;
    bool flag;
    unsigned sum = 0;
    if (!gguf_find(g, name))
        abort();
    if (!gguf_strings(g, name, &strings, &n, NULL)) {
        for (size_t i = 0; i < n; i++)
            sum +=
                strings[i].len ? (unsigned char)strings[i].data[strings[i].len - 1] : 1;
        st_free(strings);
    }
    if (!gguf_i32s(g, name, &ints, &n, NULL))
        st_free(ints);
    if (!gguf_f32s(g, name, &floats, &n, NULL))
        st_free(floats);
    if (!gguf_string(g, name, &text, NULL) && text.len)
        sum += (unsigned char)text.data[text.len - 1];
    if (!gguf_u32(g, name, &u, NULL) && gguf_u32_or(g, name, 0, &u, NULL))
        abort();
    if (!gguf_f32_or(g, name, 0, &f, NULL) && !gguf_bool_or(g, name, false, &flag, NULL))
        abort(); /* no key is both */
    volatile unsigned sink = sum;
    (void)sink;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    gguf *g;
    st_err err = {0};
    if (gguf_open_bytes(data, len, &g, &err)) {
        if (!err.code || !err.message[0])
            abort();
        return 0;
    }
    for (size_t i = 0; i < gguf_n_keys(g); i++)
        read_key(g, gguf_key_at(g, i)->name);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        const uint8_t *bytes = t->data;
        volatile unsigned sink = bytes[0] + bytes[t->bytes - 1];
        (void)sink;
        if (gguf_find_tensor(g, t->name) != t)
            abort();
    }
    gguf_close(g);
    return 0;
}
