/* model/starcoder2.c - StarCoder 2.
 *
 * Source: Hugging Face Starcoder2ForCausalLM: layer norms, biases everywhere, tanh GELU
 * without a gate, and a sliding window where the file names one. */
#include "model/families.h"

static int starcoder2_adjust(loader *ld, st_err *err)
{
    (void)err;
    load_window_all(ld);
    return 0;
}

const family family_starcoder2 = {
    .arch = "starcoder2",
    .norm = NORM_LAYER,
    .rope = ROPE_HALVES,
    .act = ACT_GELU_TANH,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
    .adjust = starcoder2_adjust,
};
