/* model/ernie45.c - ERNIE 4.5, dense and with experts.
 *
 * Source: Hugging Face Ernie4_5ForCausalLM, Ernie4_5_MoeForCausalLM: Llama; experts are
 * chosen by softmax scores plus a bias and their weights sum to one. */
#include "model/families.h"

static int ernie45moe_adjust(loader *ld, st_err *err)
{
    const expert_style style = {ACT_SILU, MOE_SOFTMAX, true};
    return load_experts(ld, &style, err);
}

const family family_ernie45 = {
    .arch = "ernie4_5",
    .norm = NORM_RMS,
    .rope = ROPE_NEXT,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
};

const family family_ernie45moe = {
    .arch = "ernie4_5-moe",
    .norm = NORM_RMS,
    .rope = ROPE_NEXT,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
    .adjust = ernie45moe_adjust,
};
