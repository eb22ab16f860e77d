/* model/qwen3moe.c - Qwen 3 with experts.
 *
 * Source: Hugging Face Qwen3MoeForCausalLM.  The weights of chosen experts sum to one. */
#include "model/families.h"

static int qwen3moe_adjust(loader *ld, st_err *err)
{
    const expert_style style = {ACT_SILU, MOE_SOFTMAX, true};
    return load_experts(ld, &style, err);
}

const family family_qwen3moe = {
    .arch = "qwen3moe",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm",
              .q_norm = "attn_q_norm",
              .k_norm = "attn_k_norm",
              .ffn_pre = "ffn_norm"},
    .adjust = qwen3moe_adjust,
};
