/* model/gemma3.c - Gemma 3 (text), and EmbeddingGemma, its encoder.
 *
 * Source: Hugging Face Gemma3ForCausalLM.  Every sixth layer sees everything and uses the
 * file's rope base and scaling; the others slide, with a base of their own and no
 * scaling. The 27B (62 layers) scales scores by n_embd / n_head instead of the head's
 * width. */
#include "model/families.h"

#include <math.h>

enum { LAYERS_27B = 62, PERIOD = 6 };

static int gemma3_adjust(loader *ld, st_err *err)
{
    const model_info *info = &ld->m->info;
    ld->m->embd_scale = sqrtf((float)info->n_embd);
    if (info->n_layers == LAYERS_27B)
        load_attn_scale(ld,
                        1.0f / sqrtf((float)(info->n_embd / ld->m->layers[0].n_head)));
    int rc = load_windows(ld, PERIOD, false, err);
    return rc ? rc : load_rope_sliding(ld, 10000.0f, err);
}

#define GEMMA3_LAYER                                                                     \
    {                                                                                    \
        .attn_pre = "attn_norm", .attn_post = "post_attention_norm",                     \
        .q_norm = "attn_q_norm", .k_norm = "attn_k_norm", .ffn_pre = "ffn_norm",         \
        .ffn_post = "post_ffw_norm"                                                      \
    }

const family family_gemma3 = {
    .arch = "gemma3",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_GELU_TANH,
    .gated = true,
    .out_norm = "output_norm",
    .layer = GEMMA3_LAYER,
    .adjust = gemma3_adjust,
};

const family family_gemma_embedding = {
    .arch = "gemma-embedding",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_GELU_TANH,
    .gated = true,
    .encoder = true,
    .out_norm = "output_norm",
    .layer = GEMMA3_LAYER,
    .adjust = gemma3_adjust,
};
