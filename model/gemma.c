/* model/gemma.c - Gemma 1.
 *
 * Source: Hugging Face GemmaForCausalLM.  Embeddings are scaled by the square root of
 * their width; the file's norm weights contain the "1 +". */
#include "model/families.h"

#include <math.h>

static int gemma_adjust(loader *ld, st_err *err)
{
    (void)err;
    ld->m->embd_scale = sqrtf((float)ld->m->info.n_embd);
    return 0;
}

const family family_gemma = {
    .arch = "gemma",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_GELU_TANH,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm", .ffn_pre = "ffn_norm"},
    .adjust = gemma_adjust,
};
