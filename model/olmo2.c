/* model/olmo2.c - OLMo 2 and 3.
 *
 * Source: Hugging Face Olmo2ForCausalLM, Olmo3ForCausalLM.  No norm before a branch, one
 * after it; q and k are normed over all heads at once.  OLMo 3 slides in three layers of
 * four, and only full layers stretch their positions. */
#include "model/families.h"

enum { PERIOD = 4 };

static int olmo2_adjust(loader *ld, st_err *err)
{
    if (ld->window == 0)
        return 0;
    int rc = load_windows(ld, PERIOD, false, err);
    return rc ? rc : load_rope_sliding(ld, ld->ropes[0].base, err);
}

const family family_olmo2 = {
    .arch = "olmo2",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_SILU,
    .gated = true,
    .q_norm_row = true,
    .out_norm = "output_norm",
    .layer = {.attn_post = "post_attention_norm",
              .q_norm = "attn_q_norm",
              .k_norm = "attn_k_norm",
              .ffn_post = "post_ffw_norm"},
    .adjust = olmo2_adjust,
};
