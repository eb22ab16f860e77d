/* model/stablelm.c - StableLM 2 (1.6B).
 *
 * Source: Hugging Face StableLmForCausalLM: layer norms, a quarter of each head rotated.
 * With parallel residual (12B) both branches read the one norm; its norms of single heads
 * are not supported, and such a file is refused for their tensors. */
#include "model/families.h"

static int stablelm_adjust(loader *ld, st_err *err)
{
    return load_bool(ld, "use_parallel_residual", false, &ld->m->parallel, err);
}

const family family_stablelm = {
    .arch = "stablelm",
    .norm = NORM_LAYER,
    .rope = ROPE_HALVES,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "?ffn_norm"},
    .adjust = stablelm_adjust,
};
