/* model/gptneox.c - GPT-NeoX and Pythia.
 *
 * Source: Hugging Face GPTNeoXForCausalLM: layer norms with biases, usually two parallel
 * branches with a norm each, exact GELU without a gate, a quarter of a head rotated. */
#include "model/families.h"

static int gptneox_adjust(loader *ld, st_err *err)
{
    return load_bool(ld, "use_parallel_residual", true, &ld->m->parallel, err);
}

const family family_gptneox = {
    .arch = "gptneox",
    .norm = NORM_LAYER,
    .rope = ROPE_HALVES,
    .act = ACT_GELU_ERF,
    .parallel = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
    .adjust = gptneox_adjust,
};
