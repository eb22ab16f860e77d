/* model/hunyuan.c - Hunyuan dense.
 *
 * Source: Hugging Face HunYuanDenseV1ForCausalLM: Llama with norms of single heads of q
 * and k, after the rotation. */
#include "model/families.h"

const family family_hunyuan = {
    .arch = "hunyuan-dense",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_SILU,
    .gated = true,
    .norm_after_rope = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm",
              .q_norm = "attn_q_norm",
              .k_norm = "attn_k_norm",
              .ffn_pre = "ffn_norm"},
};
