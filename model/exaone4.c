/* model/exaone4.c - EXAONE 4.
 *
 * Source: Hugging Face Exaone4ForCausalLM.  Norms only after the branches and on single
 * heads of q and k.  With a sliding window, three layers of four slide and the full ones
 * tell no positions. */
#include "model/families.h"

enum { PERIOD = 4 };

static int exaone4_adjust(loader *ld, st_err *err)
{
    if (ld->window == 0)
        return 0;
    int rc = load_windows(ld, PERIOD, false, err);
    for (uint32_t i = 0; i < ld->m->info.n_layers; i++)
        if (ld->m->layers[i].window == 0)
            ld->m->layers[i].rope = ROPE_OFF;
    return rc;
}

const family family_exaone4 = {
    .arch = "exaone4",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_post = "post_attention_norm",
              .q_norm = "attn_q_norm",
              .k_norm = "attn_k_norm",
              .ffn_post = "post_ffw_norm"},
    .adjust = exaone4_adjust,
};
