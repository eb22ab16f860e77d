/* model/lfm2.c - LFM2.
 *
 * Source: Hugging Face Lfm2ForCausalLM.  Most layers are short gated convolutions: those
 * without key heads in the file.  The others attend, with norms of single heads of q and
 * k.  The norm after the last layer is stored as token_embd_norm. */
#include "model/families.h"

enum { MAX_TAPS = 64 };

static int lfm2_adjust(loader *ld, st_err *err)
{
    uint32_t n_taps;
    int rc = load_u32(ld, "shortconv.l_cache", 3, &n_taps, err);
    if (!rc && (n_taps < 1 || n_taps > MAX_TAPS))
        rc = st_err_set(err, ST_EFORMAT,
                        "key 'lfm2.shortconv.l_cache' is %u, expected 1 to %d", n_taps,
                        MAX_TAPS);
    for (uint32_t i = 0; i < ld->m->info.n_layers && !rc; i++) {
        layer *l = &ld->m->layers[i];
        if (l->n_kv)
            continue;
        l->conv.n_taps = n_taps;
        l->rope = ROPE_OFF;
        l->n_head = l->n_kv = 1;
        l->dim_k = 0;
        l->dim_v = ld->m->info.n_embd;
    }
    return rc;
}

const family family_lfm2 = {
    .arch = "lfm2",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_SILU,
    .gated = true,
    .conv = true,
    .out_norm = "token_embd_norm",
    .layer = {.attn_pre = "attn_norm",
              .q_norm = "attn_q_norm",
              .k_norm = "attn_k_norm",
              .ffn_pre = "ffn_norm"},
    .adjust = lfm2_adjust,
};
