/* model/phi3.c - Phi-3, Phi-3.5, Phi-4 and Phi-4-mini.
 *
 * Source: Hugging Face Phi3ForCausalLM.  One matrix for q, k and v, one for gate and up;
 * part of a head may stay unrotated; LongRoPE factors come as two tensors, chosen by the
 * context that will be used. */
#include "model/families.h"

static int phi3_adjust(loader *ld, st_err *err)
{
    (void)err;
    load_window_all(ld);
    return 0;
}

const family family_phi3 = {
    .arch = "phi3",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
    .adjust = phi3_adjust,
};
