/* model/qwen2.c - Qwen 1.5, 2 and 2.5.
 *
 * Source: Hugging Face Qwen2ForCausalLM: Llama with biases on q, k and v. */
#include "model/families.h"

const family family_qwen2 = {
    .arch = "qwen2",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
};
