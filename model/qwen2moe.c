/* model/qwen2moe.c - Qwen 1.5 and 2 with experts.
 *
 * Source: Hugging Face Qwen2MoeForCausalLM.  Expert weights are the plain softmax over
 * all experts; a shared expert is added through a sigmoid gate of its own. */
#include "model/families.h"

static int qwen2moe_adjust(loader *ld, st_err *err)
{
    const expert_style style = {ACT_SILU, MOE_SOFTMAX, false};
    return load_experts(ld, &style, err);
}

const family family_qwen2moe = {
    .arch = "qwen2moe",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
    .adjust = qwen2moe_adjust,
};
