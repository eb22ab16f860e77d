/* model/falcon.c - Falcon 7B (one layer norm, parallel branches, one key head).
 *
 * Source: Hugging Face FalconForCausalLM without the new decoder architecture; a 40B file
 * is refused for its second norm. */
#include "model/families.h"

const family family_falcon = {
    .arch = "falcon",
    .norm = NORM_LAYER,
    .rope = ROPE_HALVES,
    .act = ACT_GELU_ERF,
    .parallel = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm"},
};
