/* model/gptoss.c - gpt-oss.
 *
 * Source: Hugging Face GptOssForCausalLM.  A learned sink takes part of each head's
 * attention, every other layer slides, everything has biases, experts use a clamped gate
 * and weights are the softmax of the chosen. */
#include "model/families.h"

enum { PERIOD = 2 };

static int gptoss_adjust(loader *ld, st_err *err)
{
    const expert_style style = {ACT_SWIGLU_CLAMP, MOE_SOFTMAX_CHOSEN, false};
    int rc = load_windows(ld, PERIOD, false, err);
    return rc ? rc : load_experts(ld, &style, err);
}

const family family_gptoss = {
    .arch = "gpt-oss",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_SWIGLU_CLAMP,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm",
              .sinks = "attn_sinks",
              .ffn_pre = "post_attention_norm"},
    .adjust = gptoss_adjust,
};
