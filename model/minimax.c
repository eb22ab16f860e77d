/* model/minimax.c - MiniMax-M2.
 *
 * Source: Hugging Face MiniMaxM2ForCausalLM.  q and k are normed over all heads at once;
 * experts are chosen by sigmoid scores plus a bias and their weights sum to one. */
#include "model/families.h"

static int minimax_adjust(loader *ld, st_err *err)
{
    const expert_style style = {ACT_SILU, MOE_SIGMOID, true};
    return load_experts(ld, &style, err);
}

const family family_minimax = {
    .arch = "minimax-m2",
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
    .adjust = minimax_adjust,
};
