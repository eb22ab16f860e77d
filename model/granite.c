/* model/granite.c - Granite 3 and 4 without recurrent layers, dense and with experts.
 *
 * Source: Hugging Face GraniteForCausalLM, GraniteMoeForCausalLM: Llama with four
 * multipliers (embeddings, scores, branches, logits).  logits_scaling divides. */
#include "model/families.h"

static int granite_adjust(loader *ld, st_err *err)
{
    const expert_style style = {ACT_SILU, MOE_SOFTMAX_CHOSEN, false};
    model *m = ld->m;
    float divisor = 1.0f;
    int rc = load_f32(ld, "embedding_scale", 1.0f, &m->embd_scale, err);
    if (!rc)
        rc = load_f32(ld, "residual_scale", 1.0f, &m->residual_scale, err);
    if (!rc)
        rc = load_f32(ld, "logit_scale", 1.0f, &divisor, err);
    if (!rc && divisor == 0.0f)
        rc = st_err_set(err, ST_EFORMAT, "key '%s.logit_scale' is 0", ld->family->arch);
    if (rc)
        return rc;
    m->logit_scale = 1.0f / divisor;
    return load_experts(ld, &style, err);
}

const family family_granite = {
    .arch = "granite",
    .norm = NORM_RMS,
    .rope = ROPE_NEXT,
    .qk_paired = true,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
    .adjust = granite_adjust,
};

const family family_granitemoe = {
    .arch = "granitemoe",
    .norm = NORM_RMS,
    .rope = ROPE_NEXT,
    .qk_paired = true,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
    .adjust = granite_adjust,
};
