/* model/gemma4.c - Gemma 4, dense.
 *
 * Source: Hugging Face Gemma4ForCausalLM.  Gemma 3 with wider heads in the full layers,
 * normed values, scores that are not scaled, and a scale on each layer's output.  Inputs
 * for single layers, layers that share keys, and experts are not built: refused by key.
 */
#include "model/families.h"

#include <math.h>

enum { PERIOD = 6 };

static int gemma4_refuse(loader *ld, st_err *err)
{
    static const char *const keys[] = {
        "attention.shared_kv_layers", "embedding_length_per_layer_input", "expert_count"};
    for (size_t i = 0; i < ST_COUNT(keys); i++) {
        uint32_t v;
        int rc = load_u32(ld, keys[i], 0, &v, err);
        if (rc)
            return rc;
        if (v)
            return st_err_set(err, ST_EUNSUPPORTED,
                              "key 'gemma4.%s' is %u, only 0 is "
                              "supported",
                              keys[i], v);
    }
    return 0;
}

static int gemma4_adjust(loader *ld, st_err *err)
{
    ld->m->embd_scale = sqrtf((float)ld->m->info.n_embd);
    load_attn_scale(ld, 1.0f);
    for (uint32_t i = 0; i < ld->m->info.n_layers; i++)
        ld->m->layers[i].v_norm = true;
    int rc = gemma4_refuse(ld, err);
    if (!rc)
        rc = load_windows(ld, PERIOD, false, err);
    if (!rc)
        rc = load_heads_sliding(ld, err);
    return rc ? rc : load_rope_sliding(ld, 10000.0f, err);
}

const family family_gemma4 = {
    .arch = "gemma4",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_GELU_TANH,
    .gated = true,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm",
              .attn_post = "post_attention_norm",
              .q_norm = "attn_q_norm",
              .k_norm = "attn_k_norm",
              .ffn_pre = "ffn_norm",
              .ffn_post = "post_ffw_norm",
              .out_scale = "layer_output_scale"},
    .adjust = gemma4_adjust,
};
