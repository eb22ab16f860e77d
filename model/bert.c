/* model/bert.c - BERT encoders: MiniLM, bge, e5, gte.
 *
 * Source: Hugging Face BertModel.  Learned positions and token type 0 are added to the
 * embedding; norms stand on the residual stream, after each branch was added; exact
 * (erf) GELU without a gate. */
#include "model/families.h"

const family family_bert = {
    .arch = "bert",
    .norm = NORM_LAYER,
    .rope = ROPE_NO,
    .act = ACT_GELU_ERF,
    .encoder = true,
    .embd_norm = "token_embd_norm",
    .positions = "position_embd",
    .types = "token_types",
    .layer = {.attn_out = "attn_output_norm", .ffn_out = "layer_output_norm"},
};
