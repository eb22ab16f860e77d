/* model/modernbert.c - ModernBERT encoders.
 *
 * Source: Hugging Face ModernBertModel: layer norms before the branches (the first layer
 * has none before attention), one matrix for gate and up with exact GELU; of three layers
 * the first sees everything, the others half a window each way with a rope base of their
 * own. */
#include "model/families.h"

enum { PERIOD = 3 };

static int modernbert_adjust(loader *ld, st_err *err)
{
    int rc = load_windows(ld, PERIOD, true, err);
    return rc ? rc : load_rope_sliding(ld, 10000.0f, err);
}

const family family_modernbert = {
    .arch = "modern-bert",
    .norm = NORM_LAYER,
    .rope = ROPE_HALVES,
    .act = ACT_GELU_ERF,
    .gated = true,
    .encoder = true,
    .embd_norm = "token_embd_norm",
    .out_norm = "output_norm",
    .layer = {.attn_pre = "?attn_norm", .ffn_pre = "ffn_norm"},
    .adjust = modernbert_adjust,
};
