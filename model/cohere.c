/* model/cohere.c - Command-R and Command-R7B (Cohere, Cohere 2).
 *
 * Source: Hugging Face CohereForCausalLM, Cohere2ForCausalLM.  Both branches read one
 * layer norm without bias; logits are scaled.  Cohere 2: three layers of four slide, the
 * fourth sees everything and tells no positions. */
#include "model/families.h"

enum { PERIOD = 4 };

static int cohere_adjust(loader *ld, st_err *err)
{
    return load_f32(ld, "logit_scale", 1.0f, &ld->m->logit_scale, err);
}

static int cohere2_adjust(loader *ld, st_err *err)
{
    int rc = load_windows(ld, PERIOD, false, err);
    for (uint32_t i = 0; i < ld->m->info.n_layers; i++)
        if (ld->m->layers[i].window == 0)
            ld->m->layers[i].rope = ROPE_OFF;
    return rc ? rc : cohere_adjust(ld, err);
}

const family family_cohere = {
    .arch = "command-r",
    .norm = NORM_LAYER,
    .rope = ROPE_NEXT,
    .act = ACT_SILU,
    .gated = true,
    .parallel = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm"},
    .adjust = cohere_adjust,
};

const family family_cohere2 = {
    .arch = "cohere2",
    .norm = NORM_LAYER,
    .rope = ROPE_NEXT,
    .act = ACT_SILU,
    .gated = true,
    .parallel = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm"},
    .adjust = cohere2_adjust,
};
