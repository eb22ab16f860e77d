/* model/llama.c - Llama 1 to 3.x, SmolLM and SmolLM2, Mistral, Mixtral.
 *
 * Source: Hugging Face LlamaForCausalLM, MistralForCausalLM, MixtralForCausalLM.  Rows of
 * q and k are stored so that neighbours rotate together.  Llama 3's rope scaling comes as
 * the tensor rope_freqs.  The weights of chosen experts sum to one. */
#include "model/families.h"

static int llama_adjust(loader *ld, st_err *err)
{
    const expert_style style = {ACT_SILU, MOE_SOFTMAX, true};
    load_window_all(ld);
    return load_experts(ld, &style, err);
}

const family family_llama = {
    .arch = "llama",
    .norm = NORM_RMS,
    .rope = ROPE_NEXT,
    .qk_paired = true,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
    .adjust = llama_adjust,
};
