/* model/seedoss.c - Seed-OSS.
 *
 * Source: Hugging Face SeedOssForCausalLM: Qwen 2 with wider heads; the norm before the
 * feed-forward is stored as post_attention_norm. */
#include "model/families.h"

const family family_seedoss = {
    .arch = "seed_oss",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "post_attention_norm"},
};
