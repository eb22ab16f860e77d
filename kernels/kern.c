/* kernels/kern.c - which table of functions this machine uses. */
#include "kernels/kern_c.h"

const kern kern_c = {
    .isa = ST_ISA_C,
    .quant = quant_c,
    .matmul = matmul_c,
    .rows = rows_c,
    .row = row_c,
    .rms_norm = rms_norm_c,
    .layer_norm = layer_norm_c,
    .add = add_c,
    .mul = mul_c,
    .axpy = axpy_c,
    .dot = dot_c,
    .silu_mul = silu_mul_c,
    .gelu_tanh_mul = gelu_tanh_mul_c,
    .gelu_erf = gelu_erf_c,
    .gelu_tanh = gelu_tanh_c,
    .softmax = softmax_c,
    .rope = rope_c,
    .kv_store = kv_store_c,
    .attn = attn_c,
};

/* The levels of a family are in order, and C is below each. */
const kern *kern_get(st_isa isa)
{
    if (isa == ST_ISA_C)
        return &kern_c;
    return isa <= st_cpu_isa_best() ? kern_native(isa) : NULL;
}

int kern_best(const kern **ret_kern, st_err *err)
{
    st_isa isa;
    int code = st_cpu_isa(&isa, err);
    if (code)
        return code;
    const kern *k = kern_get(isa);
    while (!k && isa > ST_ISA_C)
        k = kern_get(--isa);
    *ret_kern = k;
    return 0;
}
