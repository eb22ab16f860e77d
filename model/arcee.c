/* model/arcee.c - Arcee Foundation Models.
 *
 * Source: Hugging Face ArceeForCausalLM: Llama with a squared ReLU and no gate. */
#include "model/families.h"

const family family_arcee = {
    .arch = "arcee",
    .norm = NORM_RMS,
    .rope = ROPE_NEXT,
    .qk_paired = true,
    .act = ACT_RELU2,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
};
