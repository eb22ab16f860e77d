/* model/smollm3.c - SmolLM3.
 *
 * Source: Hugging Face SmolLM3ForCausalLM: Llama where every fourth layer tells no
 * positions. */
#include "model/families.h"

enum { NO_ROPE_PERIOD = 4 };

static int smollm3_adjust(loader *ld, st_err *err)
{
    (void)err;
    for (uint32_t i = 0; i < ld->m->info.n_layers; i++)
        if ((i + 1) % NO_ROPE_PERIOD == 0)
            ld->m->layers[i].rope = ROPE_OFF;
    return 0;
}

const family family_smollm3 = {
    .arch = "smollm3",
    .norm = NORM_RMS,
    .rope = ROPE_NEXT,
    .qk_paired = true,
    .act = ACT_SILU,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
    .adjust = smollm3_adjust,
};
