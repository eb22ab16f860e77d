/* model/phi2.c - Phi-1, Phi-1.5 and Phi-2.
 *
 * Source: Hugging Face PhiForCausalLM: both branches read one layer norm, biases
 * everywhere (the head's too), tanh GELU without a gate, part of a head rotated. */
#include "model/families.h"

const family family_phi2 = {
    .arch = "phi2",
    .norm = NORM_LAYER,
    .rope = ROPE_HALVES,
    .act = ACT_GELU_TANH,
    .parallel = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm"},
};
