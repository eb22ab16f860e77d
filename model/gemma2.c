/* model/gemma2.c - Gemma 2.
 *
 * Source: Hugging Face Gemma2ForCausalLM.  Both branches are normed before and after,
 * scores and logits are capped, and even layers slide over a window.  The file has no key
 * for query_pre_attn_scalar: it is the head's width, except in the 27B (46 layers), where
 * it is n_embd / n_head. */
#include "model/families.h"

#include <math.h>

enum { LAYERS_27B = 46, WINDOW = 4096, PERIOD = 2 };

static int gemma2_adjust(loader *ld, st_err *err)
{
    const model_info *info = &ld->m->info;
    ld->m->embd_scale = sqrtf((float)info->n_embd);
    if (info->n_layers == LAYERS_27B)
        load_attn_scale(ld,
                        1.0f / sqrtf((float)(info->n_embd / ld->m->layers[0].n_head)));
    int rc = load_f32(ld, "attn_logit_softcapping", 50.0f, &ld->m->attn_softcap, err);
    if (!rc)
        rc = load_f32(ld, "final_logit_softcapping", 30.0f, &ld->m->logit_softcap, err);
    if (!rc)
        rc = load_u32(ld, "attention.sliding_window", WINDOW, &ld->window, err);
    return rc ? rc : load_windows(ld, PERIOD, false, err);
}

const family family_gemma2 = {
    .arch = "gemma2",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_GELU_TANH,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm",
              .attn_post = "post_attention_norm",
              .ffn_pre = "ffn_norm",
              .ffn_post = "post_ffw_norm"},
    .adjust = gemma2_adjust,
};
