/* tests/fuzz/fuzz_lora.c - any bytes as a GGUF adapter. */
#include "gguf/lora.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

static unsigned factor_read(const lora_factor *f)
{
    size_t bytes;
    if (f->rows == 0 || f->cols == 0 ||
        !st_dtype_size(f->type, f->rows * f->cols, &bytes))
        abort();
    const uint8_t *data = f->data;
    return data[0] + data[bytes - 1];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    lora *l;
    st_err err = {0};
    volatile unsigned sink = 0;
    if (lora_open_bytes(data, len, &l, &err)) {
        if (!err.code || !err.message[0])
            abort();
        return 0;
    }
    if (lora_n_pairs(l) == 0 || lora_is_peft(l))
        abort();
    sink += (unsigned)(strlen(lora_arch(l)) + strlen(lora_base(l)));
    for (size_t i = 0; i < lora_n_pairs(l); i++) {
        const lora_pair *p = lora_pair_at(l, i);
        if (strlen(p->tensor) >= LORA_NAME_ROOM || p->a.rows != p->b.cols)
            abort();
        sink += factor_read(&p->a) + factor_read(&p->b);
    }
    (void)sink;
    lora_close(l);
    return 0;
}
