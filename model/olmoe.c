/* model/olmoe.c - OLMoE.
 *
 * Source: Hugging Face OlmoeForCausalLM.  q and k are normed over all heads at once;
 * expert weights are the plain softmax over all experts. */
#include "model/families.h"

static int olmoe_adjust(loader *ld, st_err *err)
{
    const expert_style style = {ACT_SILU, MOE_SOFTMAX, false};
    return load_experts(ld, &style, err);
}

const family family_olmoe = {
    .arch = "olmoe",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_SILU,
    .gated = true,
    .q_norm_row = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm",
              .q_norm = "attn_q_norm",
              .k_norm = "attn_k_norm",
              .ffn_pre = "ffn_norm"},
    .adjust = olmoe_adjust,
};
