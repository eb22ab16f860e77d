/* model/glm4.c - GLM 4 (dense) and GLM 4.5 with experts.
 *
 * Source: Hugging Face Glm4ForCausalLM, Glm4MoeForCausalLM.  GLM 4 norms both branches
 * before and after, and rotates half of a head, neighbours together; 4.5 chooses experts
 * by sigmoid scores plus a bias, beside a shared expert. */
#include "model/families.h"

static int glm4moe_adjust(loader *ld, st_err *err)
{
    const expert_style style = {ACT_SILU, MOE_SIGMOID, true};
    return load_experts(ld, &style, err);
}

const family family_glm4 = {
    .arch = "glm4",
    .norm = NORM_RMS,
    .rope = ROPE_NEXT,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm",
              .attn_post = "post_attention_norm",
              .ffn_pre = "ffn_norm",
              .ffn_post = "post_ffw_norm"},
};

const family family_glm4moe = {
    .arch = "glm4moe",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm",
              .q_norm = "?attn_q_norm",
              .k_norm = "?attn_k_norm",
              .ffn_pre = "post_attention_norm"},
    .adjust = glm4moe_adjust,
};
