/* model/keys.c - the metadata that all families share, read and checked.
 *
 * Every number is held to a range before it sizes anything: shapes of tensors are checked
 * against these numbers later, so nothing here may overflow 32 bits when heads are
 * multiplied with widths. */
#include "model/keys.h"

#include "base/mem.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_LAYERS = 1024,
    MAX_EMBD = 1 << 17,
    MAX_FFN = 1 << 21,
    MAX_HEADS = 1 << 12,
    MAX_HEAD_DIM = 1 << 12,
    MAX_CTX = 1 << 28,
    MAX_EXPERTS = 1024,
    DEFAULT_CTX = 4096, /* as the engine's */
};

const char *keys_name(const loader *ld, const char *key, char room[KEY_ROOM])
{
    snprintf(room, KEY_ROOM, "%s.%s", ld->family->arch, key);
    return room;
}

bool keys_has(const loader *ld, const char *key)
{
    char name[KEY_ROOM];
    return gguf_has(ld->g, keys_name(ld, key, name));
}

int load_u32(loader *ld, const char *key, uint32_t def, uint32_t *ret, st_err *err)
{
    char name[KEY_ROOM];
    return gguf_u32_or(ld->g, keys_name(ld, key, name), def, ret, err);
}

int load_bool(loader *ld, const char *key, bool def, bool *ret, st_err *err)
{
    char name[KEY_ROOM];
    return gguf_bool_or(ld->g, keys_name(ld, key, name), def, ret, err);
}

int load_f32(loader *ld, const char *key, float def, float *ret, st_err *err)
{
    char name[KEY_ROOM];
    float v;
    int rc = gguf_f32_or(ld->g, keys_name(ld, key, name), def, &v, err);
    if (rc)
        return rc;
    if (!isfinite(v))
        return st_err_set(err, ST_EFORMAT, "key '%s' is not a finite number", name);
    *ret = v;
    return 0;
}

int keys_in_range(const loader *ld, const char *key, uint64_t v, uint32_t min,
                  uint32_t max, st_err *err)
{
    char name[KEY_ROOM];
    if (v >= min && v <= max)
        return 0;
    return st_err_set(err, ST_EFORMAT, "key '%s' is %llu, expected %u to %u",
                      keys_name(ld, key, name), (unsigned long long)v, min, max);
}

/* A required number in [min, max]. */
static int need_u32(loader *ld, const char *key, uint32_t min, uint32_t max,
                    uint32_t *ret, st_err *err)
{
    char name[KEY_ROOM];
    uint32_t v;
    int rc = gguf_u32(ld->g, keys_name(ld, key, name), &v, err);
    if (rc == ST_ENOTFOUND)
        return ST_EFORMAT;
    if (!rc)
        rc = keys_in_range(ld, key, v, min, max, err);
    if (!rc)
        *ret = v;
    return rc;
}

/* One number a layer into a field of every layer: an array, or one for all. */
static int read_per_layer(loader *ld, const char *key, size_t field, uint32_t min,
                          uint32_t max, st_err *err)
{
    char name[KEY_ROOM];
    uint32_t n_layers = ld->m->info.n_layers;
    int32_t *v;
    size_t n;
    int rc = gguf_i32s(ld->g, keys_name(ld, key, name), &v, &n, err);
    if (rc)
        return rc;
    if (n != 1 && n != n_layers)
        rc = st_err_set(err, ST_EFORMAT, "key '%s' has %zu numbers for %u layers", name,
                        n, n_layers);
    for (uint32_t i = 0; i < n_layers && !rc; i++) {
        int32_t one = v[n == 1 ? 0 : i];
        rc = keys_in_range(ld, key, one < 0 ? UINT64_MAX : (uint64_t)one, min, max, err);
        if (!rc)
            memcpy((char *)&ld->m->layers[i] + field, &one, sizeof one);
    }
    st_free(v);
    return rc;
}

static int read_per_layer_or(loader *ld, const char *key, size_t field, size_t def_field,
                             uint32_t min, uint32_t max, st_err *err)
{
    if (keys_has(ld, key))
        return read_per_layer(ld, key, field, min, max, err);
    for (uint32_t i = 0; i < ld->m->info.n_layers; i++) {
        char *l = (char *)&ld->m->layers[i];
        memcpy(l + field, l + def_field, sizeof(uint32_t));
    }
    return 0;
}

static int read_sizes(loader *ld, st_err *err)
{
    model_info *info = &ld->m->info;
    int rc = need_u32(ld, "block_count", 1, MAX_LAYERS, &info->n_layers, err);
    if (!rc)
        rc = need_u32(ld, "embedding_length", 1, MAX_EMBD, &info->n_embd, err);
    if (!rc)
        rc = need_u32(ld, "context_length", 1, MAX_CTX, &info->n_ctx_train, err);
    if (rc)
        return rc;
    ld->m->layers = st_zalloc_n(info->n_layers, sizeof(layer));
    if (!ld->m->layers)
        return st_err_set(err, ST_ENOMEM, "out of memory for %u layers", info->n_layers);
    return 0;
}

/* A head's width: the key, or n_embd / n_head. */
static int read_head_dim(loader *ld, const char *key, size_t field, st_err *err)
{
    const model_info *info = &ld->m->info;
    uint32_t dim;
    if (keys_has(ld, key))
        return read_per_layer(ld, key, field, 1, MAX_HEAD_DIM, err);
    for (uint32_t i = 0; i < info->n_layers; i++) {
        layer *l = &ld->m->layers[i];
        if (info->n_embd % l->n_head || info->n_embd / l->n_head > MAX_HEAD_DIM)
            return st_err_set(err, ST_EFORMAT,
                              "key '%s.attention.head_count': %u heads do "
                              "not divide an embedding of %u",
                              ld->family->arch, l->n_head, info->n_embd);
        dim = info->n_embd / l->n_head;
        memcpy((char *)l + field, &dim, sizeof dim);
    }
    return 0;
}

static int read_heads(loader *ld, st_err *err)
{
    int rc = read_per_layer(ld, "attention.head_count", offsetof(layer, n_head), 1,
                            MAX_HEADS, err);
    if (rc == ST_ENOTFOUND)
        rc = ST_EFORMAT;
    if (!rc)
        rc = read_per_layer_or(ld, "attention.head_count_kv", offsetof(layer, n_kv),
                               offsetof(layer, n_head), ld->family->conv ? 0 : 1,
                               MAX_HEADS, err);
    if (!rc)
        rc = read_head_dim(ld, "attention.key_length", offsetof(layer, dim_k), err);
    if (!rc)
        rc = read_head_dim(ld, "attention.value_length", offsetof(layer, dim_v), err);
    for (uint32_t i = 0; i < ld->m->info.n_layers && !rc; i++) {
        const layer *l = &ld->m->layers[i];
        if (l->n_kv && l->n_head % l->n_kv)
            rc = st_err_set(err, ST_EFORMAT,
                            "key '%s.attention.head_count_kv': %u key heads "
                            "do not divide %u heads",
                            ld->family->arch, l->n_kv, l->n_head);
    }
    return rc;
}

static int read_ffn(loader *ld, st_err *err)
{
    size_t field = offsetof(layer, ffn) + offsetof(ffn, n_ff);
    for (uint32_t i = 0; i < ld->m->info.n_layers; i++) {
        ld->m->layers[i].ffn.act = ld->family->act;
        ld->m->layers[i].ffn.gated = ld->family->gated;
    }
    return keys_has(ld, "feed_forward_length")
               ? read_per_layer(ld, "feed_forward_length", field, 0, MAX_FFN, err)
               : 0;
}

static int read_scales(loader *ld, st_err *err)
{
    model *m = ld->m;
    const char *eps = ld->family->norm == NORM_RMS ? "attention.layer_norm_rms_epsilon"
                                                   : "attention.layer_norm_epsilon";
    float scale = 0.0f;
    int rc;
    if (!keys_has(ld, eps))
        return st_err_set(err, ST_EFORMAT, "key '%s.%s' is missing", ld->family->arch,
                          eps);
    rc = load_f32(ld, eps, 0.0f, &m->eps, err);
    if (!rc && (m->eps < 0.0f || m->eps > 1.0f))
        rc = st_err_set(err, ST_EFORMAT, "key '%s.%s' is %g, expected 0 to 1",
                        ld->family->arch, eps, (double)m->eps);
    if (!rc)
        rc = load_f32(ld, "attention.scale", 0.0f, &scale, err);
    if (!rc)
        rc = load_f32(ld, "attn_logit_softcapping", 0.0f, &m->attn_softcap, err);
    if (!rc)
        rc = load_f32(ld, "final_logit_softcapping", 0.0f, &m->logit_softcap, err);
    m->embd_scale = m->residual_scale = m->logit_scale = 1.0f;
    for (uint32_t i = 0; i < m->info.n_layers; i++) {
        layer *l = &m->layers[i];
        l->scale = scale != 0.0f ? scale : 1.0f / sqrtf((float)l->dim_k);
    }
    return rc;
}

void load_attn_scale(loader *ld, float scale)
{
    for (uint32_t i = 0; i < ld->m->info.n_layers; i++)
        ld->m->layers[i].scale = scale;
}

static int read_pooling(loader *ld, st_err *err)
{
    uint32_t v;
    int rc = load_u32(ld, "pooling_type", ld->family->encoder ? 1 : 0, &v, err);
    if (!rc && v > MODEL_POOL_LAST)
        rc = st_err_set(err, ST_EUNSUPPORTED,
                        "key '%s.pooling_type' is %u; 0 to 3 are "
                        "supported (none, mean, first, last)",
                        ld->family->arch, v);
    if (!rc)
        ld->m->info.pooling = (model_pooling)v;
    return rc;
}

int load_heads_sliding(loader *ld, st_err *err)
{
    uint32_t dim_k, dim_v;
    int rc = load_u32(ld, "attention.key_length_swa", 0, &dim_k, err);
    if (!rc)
        rc = load_u32(ld, "attention.value_length_swa", 0, &dim_v, err);
    if (!rc)
        rc = keys_in_range(ld, "attention.key_length_swa", dim_k, 0, MAX_HEAD_DIM, err);
    if (!rc)
        rc = keys_in_range(ld, "attention.value_length_swa", dim_v, 0, MAX_HEAD_DIM, err);
    for (uint32_t i = 0; i < ld->m->info.n_layers && !rc; i++) {
        layer *l = &ld->m->layers[i];
        if (l->window && dim_k)
            l->dim_k = dim_k;
        if (l->window && dim_v)
            l->dim_v = dim_v;
    }
    return rc;
}

/* ---- experts ---- */

static int read_gating(loader *ld, const expert_style *style, mixture *moe, st_err *err)
{
    uint32_t gating;
    int rc = load_bool(ld, "expert_weights_norm", style->normalise, &moe->normalise, err);
    if (!rc)
        rc = load_f32(ld, "expert_weights_scale", 1.0f, &moe->scale, err);
    if (!rc)
        rc = load_u32(ld, "expert_gating_func", style->gating + 1, &gating, err);
    if (!rc)
        rc = keys_in_range(ld, "expert_gating_func", gating, 1, MOE_SOFTMAX_CHOSEN + 1,
                           err);
    if (rc)
        return rc;
    moe->gating = (moe_gating)(gating - 1);
    if (moe->scale == 0.0f)
        moe->scale = 1.0f;
    return 0;
}

static int read_expert_counts(loader *ld, mixture *moe, uint32_t *ret_n_ff, st_err *err)
{
    uint32_t groups, n_shared, n_ff = 0;
    int rc = need_u32(ld, "expert_count", 1, MAX_EXPERTS, &moe->n_expert, err);
    if (!rc)
        rc = need_u32(ld, "expert_used_count", 1, moe->n_expert, &moe->n_used, err);
    if (!rc)
        rc = load_u32(ld, "expert_group_count", 1, &groups, err);
    if (!rc && groups > 1)
        rc = st_err_set(err, ST_EUNSUPPORTED,
                        "key '%s.expert_group_count' is %u; experts in "
                        "groups are not supported",
                        ld->family->arch, groups);
    if (!rc)
        rc = load_u32(ld, "expert_feed_forward_length", 0, &n_ff, err);
    if (!rc)
        rc = load_u32(ld, "expert_shared_count", 0, &n_shared, err);
    if (!rc)
        rc = keys_in_range(ld, "expert_feed_forward_length", n_ff, 0, MAX_FFN, err);
    if (!rc)
        rc = keys_in_range(ld, "expert_shared_count", n_shared, 0, MAX_EXPERTS, err);
    if (!rc)
        rc = load_u32(ld, "expert_shared_feed_forward_length", n_shared * n_ff,
                      &moe->shared.n_ff, err);
    if (!rc)
        rc = keys_in_range(ld, "expert_shared_feed_forward_length", moe->shared.n_ff, 0,
                           MAX_FFN, err);
    *ret_n_ff = n_ff;
    return rc;
}

static int give_experts(layer *l, const mixture *like, uint32_t n_ff, st_err *err)
{
    mixture *own = st_dup(like, sizeof *like);
    if (own)
        own->experts = st_zalloc_n(own->n_expert, sizeof(ffn));
    l->moe = own;
    if (!own || !own->experts)
        return st_err_set(err, ST_ENOMEM, "out of memory for %u experts", like->n_expert);
    for (uint32_t e = 0; e < own->n_expert; e++)
        own->experts[e] = (ffn){
            .n_ff = n_ff ? n_ff : l->ffn.n_ff, .act = own->shared.act, .gated = true};
    return 0;
}

int load_experts(loader *ld, const expert_style *style, st_err *err)
{
    mixture like = {.shared = {.act = style->act, .gated = true}};
    uint32_t n_ff = 0, count;
    int rc = load_u32(ld, "expert_count", 0, &count, err);
    if (rc || count == 0)
        return rc;
    rc = read_expert_counts(ld, &like, &n_ff, err);
    if (!rc)
        rc = read_gating(ld, style, &like, err);
    for (uint32_t i = 0; i < ld->m->info.n_layers && !rc; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%u.ffn_gate_inp.weight", i);
        if (bind_has(&ld->binder, name))
            rc = give_experts(&ld->m->layers[i], &like, n_ff, err);
    }
    return rc;
}

int keys_read(loader *ld, const model_opts *opts, st_err *err)
{
    int rc = read_sizes(ld, err);
    if (!rc)
        rc = read_heads(ld, err);
    if (!rc)
        rc = read_ffn(ld, err);
    if (!rc)
        rc = read_scales(ld, err);
    if (!rc)
        rc = read_pooling(ld, err);
    if (!rc)
        rc = load_bool(ld, "attention.causal", !ld->family->encoder, &ld->m->info.causal,
                       err);
    if (!rc)
        rc = load_u32(ld, "attention.sliding_window", 0, &ld->window, err);
    if (!rc)
        rc = positions_read(ld, err);
    if (rc)
        return rc;
    uint32_t trained = ld->m->info.n_ctx_train;
    ld->n_ctx = trained < DEFAULT_CTX ? trained : DEFAULT_CTX;
    if (opts->n_ctx)
        ld->n_ctx = opts->n_ctx < trained ? opts->n_ctx : trained;
    for (uint32_t i = 0; i < ld->m->info.n_layers; i++)
        ld->m->layers[i].rope = ld->family->rope == ROPE_NO ? ROPE_OFF : 0;
    return 0;
}
