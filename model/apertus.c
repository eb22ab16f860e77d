/* model/apertus.c - Apertus.
 *
 * Source: Hugging Face ApertusForCausalLM: norms of single heads of q and k, and the
 * xIELU activation without a gate, whose four parameters a layer are arrays of the file.
 */
#include "model/families.h"

#include "base/mem.h"
#include <math.h>

static float softplus(float x)
{
    return x > 20.0f ? x : log1pf(expf(x));
}

/* One array of n_layers numbers, into `field` of each layer's xielu. */
static int read_params(loader *ld, const char *key, size_t field, st_err *err)
{
    uint32_t n_layers = ld->m->info.n_layers;
    float *v;
    size_t n;
    int rc = gguf_f32s(ld->g, key, &v, &n, err);
    if (rc)
        return rc == ST_ENOTFOUND ? ST_EFORMAT : rc;
    if (n != n_layers)
        rc = st_err_set(err, ST_EFORMAT, "key '%s' has %zu numbers for %u layers", key, n,
                        n_layers);
    for (uint32_t i = 0; i < n_layers && !rc; i++)
        *(float *)((char *)&ld->m->layers[i].ffn.xielu + field) = v[i];
    st_free(v);
    return rc;
}

static int apertus_adjust(loader *ld, st_err *err)
{
    int rc = read_params(ld, "xielu.alpha_p", offsetof(xielu, alpha_p), err);
    if (!rc)
        rc = read_params(ld, "xielu.alpha_n", offsetof(xielu, alpha_n), err);
    if (!rc)
        rc = read_params(ld, "xielu.beta", offsetof(xielu, beta), err);
    if (!rc)
        rc = read_params(ld, "xielu.eps", offsetof(xielu, eps), err);
    for (uint32_t i = 0; i < ld->m->info.n_layers && !rc; i++) {
        xielu *x = &ld->m->layers[i].ffn.xielu;
        x->alpha_p = softplus(x->alpha_p);
        x->alpha_n = x->beta + softplus(x->alpha_n);
    }
    return rc;
}

const family family_apertus = {
    .arch = "apertus",
    .norm = NORM_RMS,
    .rope = ROPE_HALVES,
    .act = ACT_XIELU,
    .out_norm = "output_norm",
    .layer = {.attn_pre = "attn_norm",
              .q_norm = "attn_q_norm",
              .k_norm = "attn_k_norm",
              .ffn_pre = "ffn_norm"},
    .adjust = apertus_adjust,
};
