/* model/nemotron.c - Nemotron and Minitron.
 *
 * Source: Hugging Face NemotronForCausalLM: layer norms (the file's weights contain the
 * "1 +"), a squared ReLU without a gate, part of a head rotated. */
#include "model/families.h"

const family family_nemotron = {
    .arch = "nemotron",
    .norm = NORM_LAYER,
    .rope = ROPE_HALVES,
    .act = ACT_RELU2,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
};
