/* model/qwen3.c - Qwen 3, also as an embedding model (its pooling is a key of the file).
 *
 * Source: Hugging Face Qwen3ForCausalLM: q and k are normed head by head. */
#include "model/families.h"

const family family_qwen3 = {
    .arch = "qwen3",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm",
              .q_norm = "attn_q_norm",
              .k_norm = "attn_k_norm",
              .ffn_pre = "ffn_norm"},
};
