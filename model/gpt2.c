/* model/gpt2.c - GPT-2.
 *
 * Source: Hugging Face GPT2LMHeadModel: learned positions, layer norms, one matrix for
 * q, k and v, tanh GELU without a gate. */
#include "model/families.h"

const family family_gpt2 = {
    .arch = "gpt2",
    .norm = NORM_LAYER,
    .rope = ROPE_NO,
    .act = ACT_GELU_TANH,
    .positions = "position_embd",
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
};
