/* tests/fuzz/fuzz_safetensors.c - any bytes as a safetensors file. */
#include "gguf/safetensors.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    safet *s;
    st_err err = {0};
    if (safet_open_bytes(data, len, &s, &err)) {
        if (!err.code || !err.message[0])
            abort();
        return 0;
    }
    for (size_t i = 0; i < safet_n_tensors(s); i++) {
        const safet_tensor *t = safet_tensor_at(s, i);
        const uint8_t *bytes = t->data;
        volatile unsigned sink = t->bytes ? bytes[0] + bytes[t->bytes - 1] : 0u;
        (void)sink;
        if (safet_find(s, t->name) != t)
            abort();
    }
    for (size_t i = 0; i < safet_n_meta(s); i++) {
        if (!safet_meta(s, safet_meta_key(s, i)))
            abort();
    }
    safet_close(s);
    return 0;
}
