/* model/load.c - from a family and a file to a model: keys, tensors, sums. */
#include "model/load.h"

#include "base/mem.h"
#include "model/keys.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NAME_ROOM = 96 };
#define MAX_VOCAB (1u << 24)

/* "blk.N.part" or "blk.N.partK" with what the format says; fits by construction. */
static const char *name_of(char room[NAME_ROOM], const char *fmt, ...) ST_PRINTF(2, 3);
static const char *name_of(char room[NAME_ROOM], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(room, NAME_ROOM, fmt, args);
    va_end(args);
    return room;
}

/* A norm by its full name without ".weight"; NULL and a missing "?name" bind nothing. */
static int fill_norm(loader *ld, const char *prefix, const char *part, uint64_t n,
                     norm *place, st_err *err)
{
    char name[NAME_ROOM];
    bool optional = part && part[0] == '?';
    if (!part)
        return 0;
    part += optional;
    if (optional && !bind_has(&ld->binder, name_of(name, "%s%s.weight", prefix, part)))
        return 0;
    name_of(name, "%s%s.weight", prefix, part);
    int rc = bind_vector(&ld->binder, name, 0, n, n, &place->w, err);
    if (rc || ld->family->norm != NORM_LAYER)
        return rc;
    name_of(name, "%s%s.bias", prefix, part);
    return bind_has(&ld->binder, name)
               ? bind_vector(&ld->binder, name, 0, n, n, &place->b, err)
               : 0;
}

/* A matrix and, when the file has one, its bias. */
static int fill_linear(loader *ld, const char *part, uint32_t rows, uint32_t cols,
                       linear *place, st_err *err)
{
    char name[NAME_ROOM];
    int rc = bind_matrix(&ld->binder, name_of(name, "%s.weight", part), rows, cols,
                         &place->w, err);
    if (rc || !bind_has(&ld->binder, name_of(name, "%s.bias", part)))
        return rc;
    return bind_vector(&ld->binder, name, 0, rows, rows, &place->bias, err);
}

static int fill_block_linear(loader *ld, uint32_t il, const char *part, uint32_t rows,
                             uint32_t cols, linear *place, st_err *err)
{
    char name[NAME_ROOM];
    return fill_linear(ld, name_of(name, "blk.%u.%s", il, part), rows, cols, place, err);
}

static int fill_qk_norms(loader *ld, uint32_t il, layer *l, st_err *err)
{
    const layer_names *names = &ld->family->layer;
    bool row = ld->family->q_norm_row;
    char prefix[NAME_ROOM];
    name_of(prefix, "blk.%u.", il);
    l->q_norm_row = row;
    int rc = fill_norm(ld, prefix, names->q_norm, row ? layer_q_dim(l) : l->dim_k,
                       &l->q_norm, err);
    return rc ? rc
              : fill_norm(ld, prefix, names->k_norm, row ? layer_k_dim(l) : l->dim_k,
                          &l->k_norm, err);
}

static int fill_conv(loader *ld, uint32_t il, layer *l, st_err *err)
{
    uint32_t n_embd = ld->m->info.n_embd, n_taps = l->conv.n_taps;
    uint64_t n = (uint64_t)n_taps * n_embd;
    char name[NAME_ROOM];
    int rc = fill_block_linear(ld, il, "shortconv.in_proj", 3 * n_embd, n_embd,
                               &l->conv.in, err);
    if (!rc)
        rc = bind_vector(&ld->binder, name_of(name, "blk.%u.shortconv.conv.weight", il),
                         0, n, n, &l->conv.taps, err);
    return rc ? rc
              : fill_block_linear(ld, il, "shortconv.out_proj", n_embd, n_embd, &l->o,
                                  err);
}

static int fill_attention(loader *ld, uint32_t il, layer *l, st_err *err)
{
    uint32_t n_embd = ld->m->info.n_embd;
    char name[NAME_ROOM];
    int rc;
    if (bind_has(&ld->binder, name_of(name, "blk.%u.attn_qkv.weight", il))) {
        rc =
            fill_block_linear(ld, il, "attn_qkv", layer_qkv_dim(l), n_embd, &l->qkv, err);
    } else {
        rc = fill_block_linear(ld, il, "attn_q", layer_q_dim(l), n_embd, &l->q, err);
        if (!rc)
            rc = fill_block_linear(ld, il, "attn_k", layer_k_dim(l), n_embd, &l->k, err);
        if (!rc)
            rc = fill_block_linear(ld, il, "attn_v", layer_v_dim(l), n_embd, &l->v, err);
    }
    if (!rc)
        rc = fill_block_linear(ld, il, "attn_output", n_embd, l->n_head * l->dim_v, &l->o,
                               err);
    if (!rc)
        rc = fill_qk_norms(ld, il, l, err);
    if (!rc && ld->family->layer.sinks)
        rc = bind_vector(&ld->binder,
                         name_of(name, "blk.%u.%s.weight", il, ld->family->layer.sinks),
                         0, l->n_head, l->n_head, &l->sinks, err);
    return rc;
}

/* A feed-forward whose tensors end in `suffix`. */
static int fill_ffn(loader *ld, uint32_t il, const char *suffix, ffn *f, st_err *err)
{
    uint32_t n_embd = ld->m->info.n_embd;
    char name[NAME_ROOM];
    uint32_t up_rows = f->n_ff;
    int rc = 0;
    if (f->n_ff == 0)
        return st_err_set(err, ST_EFORMAT,
                          "key '%s.feed_forward_length' is missing or 0 for "
                          "layer %u",
                          ld->family->arch, il);
    name_of(name, "blk.%u.ffn_gate%s.weight", il, suffix);
    if (f->gated && bind_has(&ld->binder, name)) {
        name_of(name, "blk.%u.ffn_gate%s", il, suffix);
        rc = fill_linear(ld, name, f->n_ff, n_embd, &f->gate, err);
    } else if (f->gated) {
        up_rows = 2 * f->n_ff;
    }
    if (!rc)
        rc = fill_linear(ld, name_of(name, "blk.%u.ffn_up%s", il, suffix), up_rows,
                         n_embd, &f->up, err);
    if (!rc)
        rc = fill_linear(ld, name_of(name, "blk.%u.ffn_down%s", il, suffix), n_embd,
                         f->n_ff, &f->down, err);
    return rc;
}

/* Matrix `e` of the experts: a slice of "..._exps", or, in old files, its own tensor. */
static int fill_expert(loader *ld, uint32_t il, const char *part, uint32_t e, uint32_t n,
                       uint32_t rows, uint32_t cols, linear *place, st_err *err)
{
    char name[NAME_ROOM];
    if (!bind_has(&ld->binder, name_of(name, "blk.%u.%s_exps.weight", il, part)) &&
        bind_has(&ld->binder, name_of(name, "blk.%u.%s.%u.weight", il, part, e)))
        return bind_matrix(&ld->binder, name, rows, cols, &place->w, err);
    name_of(name, "blk.%u.%s_exps.weight", il, part);
    int rc = bind_slice(&ld->binder, name, e, n, rows, cols, &place->w, err);
    if (rc || !bind_has(&ld->binder, name_of(name, "blk.%u.%s_exps.bias", il, part)))
        return rc;
    return bind_vector(&ld->binder, name, (uint64_t)e * rows, rows, (uint64_t)n * rows,
                       &place->bias, err);
}

static int fill_moe(loader *ld, uint32_t il, mixture *moe, st_err *err)
{
    uint32_t n_embd = ld->m->info.n_embd, n = moe->n_expert;
    char name[NAME_ROOM];
    ld->binder.layers = false; /* a rounding there may choose another expert */
    int rc = fill_block_linear(ld, il, "ffn_gate_inp", n, n_embd, &moe->router, err);
    ld->binder.layers = true;
    if (!rc && bind_has(&ld->binder, name_of(name, "blk.%u.exp_probs_b.bias", il)))
        rc = bind_vector(&ld->binder, name, 0, n, n, &moe->choice_bias, err);
    for (uint32_t e = 0; e < n && !rc; e++) {
        ffn *f = &moe->experts[e];
        if (f->n_ff == 0)
            return st_err_set(err, ST_EFORMAT,
                              "key '%s.expert_feed_forward_length' is "
                              "missing or 0",
                              ld->family->arch);
        rc = fill_expert(ld, il, "ffn_gate", e, n, f->n_ff, n_embd, &f->gate, err);
        if (!rc)
            rc = fill_expert(ld, il, "ffn_up", e, n, f->n_ff, n_embd, &f->up, err);
        if (!rc)
            rc = fill_expert(ld, il, "ffn_down", e, n, n_embd, f->n_ff, &f->down, err);
    }
    if (!rc && moe->shared.n_ff)
        rc = fill_ffn(ld, il, "_shexp", &moe->shared, err);
    if (!rc &&
        bind_has(&ld->binder, name_of(name, "blk.%u.ffn_gate_inp_shexp.weight", il)))
        rc = bind_slice(&ld->binder, name, 0, 1, 1, n_embd, &moe->shared_gate.w, err);
    return rc;
}

static int fill_layer(loader *ld, uint32_t il, st_err *err)
{
    const layer_names *names = &ld->family->layer;
    layer *l = &ld->m->layers[il];
    uint32_t n_embd = ld->m->info.n_embd;
    char prefix[NAME_ROOM];
    const struct {
        const char *part;
        norm *place;
    } norms[] = {
        {names->attn_pre, &l->attn_pre}, {names->attn_post, &l->attn_post},
        {names->attn_out, &l->attn_out}, {names->ffn_pre, &l->ffn_pre},
        {names->ffn_post, &l->ffn_post}, {names->ffn_out, &l->ffn_out},
    };
    name_of(prefix, "blk.%u.", il);
    for (size_t i = 0; i < ST_COUNT(norms); i++) {
        int rc = fill_norm(ld, prefix, norms[i].part, n_embd, norms[i].place, err);
        if (rc)
            return rc;
    }
    if (names->out_scale) {
        char name[NAME_ROOM];
        name_of(name, "%s%s.weight", prefix, names->out_scale);
        int rc = bind_vector(&ld->binder, name, 0, 1, 1, &l->out_scale, err);
        if (rc)
            return rc;
    }
    int rc = l->conv.n_taps ? fill_conv(ld, il, l, err) : fill_attention(ld, il, l, err);
    if (rc)
        return rc;
    return l->moe ? fill_moe(ld, il, l->moe, err) : fill_ffn(ld, il, "", &l->ffn, err);
}

static int fill_head(loader *ld, st_err *err)
{
    model *m = ld->m;
    if (ld->family->encoder)
        return 0;
    m->info.has_head = true;
    return bind_has(&ld->binder, "output.weight")
               ? fill_linear(ld, "output", m->info.n_vocab, m->info.n_embd, &m->head, err)
               : 0;
}

/* What stands before and after the layers. */
static int fill_ends(loader *ld, st_err *err)
{
    const family *f = ld->family;
    model *m = ld->m;
    const gguf_tensor *t = gguf_find_tensor(ld->g, "token_embd.weight");
    uint32_t n_embd = m->info.n_embd;
    char name[NAME_ROOM];
    if (!t)
        return st_err_set(err, ST_EFORMAT, "tensor 'token_embd.weight' is missing");
    if (t->dims[1] == 0 || t->dims[1] > MAX_VOCAB)
        return st_err_set(err, ST_EFORMAT,
                          "tensor 'token_embd.weight': a vocabulary of %llu "
                          "is out of range",
                          (unsigned long long)t->dims[1]);
    m->info.n_vocab = (uint32_t)t->dims[1];
    int rc = bind_matrix(&ld->binder, t->name, m->info.n_vocab, n_embd, &m->embd, err);
    if (!rc && f->positions)
        rc = bind_matrix(&ld->binder, name_of(name, "%s.weight", f->positions),
                         m->info.n_ctx_train, n_embd, &m->positions, err);
    if (!rc && f->types) {
        t = gguf_find_tensor(ld->g, name_of(name, "%s.weight", f->types));
        uint32_t n = t && t->dims[1] <= MAX_VOCAB ? (uint32_t)t->dims[1] : 1;
        rc = bind_matrix(&ld->binder, name, n, n_embd, &m->types, err);
    }
    if (!rc)
        rc = fill_norm(ld, "", f->embd_norm, n_embd, &m->embd_norm, err);
    if (!rc)
        rc = fill_norm(ld, "", f->out_norm, n_embd, &m->out_norm, err);
    return rc ? rc : fill_head(ld, err);
}

/* What a convolution keeps is read back as floats; wide heads do not fit the kernel. */
static bool fits_8_bits(const model *m)
{
    for (uint32_t i = 0; i < m->info.n_layers; i++) {
        const layer *l = &m->layers[i];
        if (l->conv.n_taps || l->dim_k > KKV8_MAX_DIM || l->dim_v > KKV8_MAX_DIM)
            return false;
    }
    return true;
}

/* Keys and values of a layer start where those of the layer before end. */
static void place_kv(model *m)
{
    static const st_dtype types[KV_KINDS] = {ST_F32, ST_F16, ST_Q8_0};
    for (int k = 0; k < KV_KINDS; k++) {
        size_t at = 0;
        for (uint32_t i = 0; i < m->info.n_layers; i++) {
            layer *l = &m->layers[i];
            l->kv_first[k] = at;
            at += kkv_bytes(types[k], l->n_kv, l->dim_k) +
                  kkv_bytes(types[k], l->n_kv, l->dim_v);
        }
        m->kv_page[k] = (at + 63) / 64 * 64;
    }
    if (!fits_8_bits(m))
        m->kv_page[KV_Q8] = 0;
}

/* What one token costs. */
typedef struct cost {
    uint64_t macs;
    size_t bytes; /* of packed weights read */
} cost;

static void cost_linear(cost *c, const linear *lin, uint32_t times)
{
    size_t bytes = 0;
    if (!lin->w.rows || !kmat_bytes(lin->w.type, lin->w.rows, lin->w.cols, &bytes))
        return;
    c->macs += (uint64_t)lin->w.rows * lin->w.cols * times;
    c->bytes += bytes * times;
}

static void cost_ffn(cost *c, const ffn *f, uint32_t times)
{
    cost_linear(c, &f->gate, times);
    cost_linear(c, &f->up, times);
    cost_linear(c, &f->down, times);
}

static void count_costs(model *m)
{
    cost c = {0}, head = {0};
    for (uint32_t i = 0; i < m->info.n_layers; i++) {
        const layer *l = &m->layers[i];
        const linear *all[] = {&l->qkv, &l->conv.in, &l->q, &l->k, &l->v, &l->o};
        for (size_t j = 0; j < ST_COUNT(all); j++)
            cost_linear(&c, all[j], 1);
        cost_ffn(&c, &l->ffn, 1);
        if (l->moe) {
            cost_linear(&c, &l->moe->router, 1);
            cost_ffn(&c, &l->moe->experts[0], l->moe->n_used);
            cost_ffn(&c, &l->moe->shared, 1);
        }
    }
    if (m->info.has_head)
        cost_linear(&head, &m->head, 1);
    m->info.macs_per_token = c.macs;
    m->info.head_macs = head.macs;
    m->info.token_bytes = c.bytes + head.bytes;
}

static int fill_name(loader *ld, st_err *err)
{
    gguf_str s = {"", 0};
    if (gguf_has(ld->g, "general.name")) {
        int rc = gguf_string(ld->g, "general.name", &s, err);
        if (rc)
            return rc;
    }
    ld->m->name = st_dup(s.data, s.len);
    if (!ld->m->name)
        return st_err_set(err, ST_ENOMEM, "out of memory for the model's name");
    ld->m->info.name = ld->m->name;
    ld->m->info.arch = ld->family->arch;
    return 0;
}

/* The weights, and the context, by which some families choose their rotations. */
static void make_id(const loader *ld)
{
    model *m = ld->m;
    st_sha sha;
    m->info.id = m->id;
    if (!m->weights.key[0])
        return;
    st_sha_init(&sha);
    st_sha_add(&sha, m->weights.key, sizeof m->weights.key);
    st_sha_add(&sha, &ld->n_ctx, sizeof ld->n_ctx);
    st_sha_end(&sha, m->id);
}

static int fill_all(loader *ld, const model_opts *opts, st_err *err)
{
    model *m = ld->m;
    int rc = fill_ends(ld, err);
    ld->binder.int8 = opts->int8;
    ld->binder.layers = true;
    for (uint32_t i = 0; i < m->info.n_layers && !rc; i++)
        rc = fill_layer(ld, i, err);
    if (!rc)
        rc = bind_all_used(&ld->binder, err);
    if (!rc)
        rc = packed_make(&ld->binder, opts->workers, opts->digest, &m->weights, err);
    if (rc)
        return rc;
    if (m->info.has_head && !m->head.w.data)
        m->head.w = m->embd;
    m->info.floats = ld->binder.floats;
    m->info.n_params = ld->binder.n_params;
    m->info.weight_bytes = ld->binder.bytes;
    make_id(ld);
    place_kv(m);
    count_costs(m);
    return 0;
}

static int load_into(loader *ld, const model_opts *opts, st_err *err)
{
    int rc = fill_name(ld, err);
    if (!rc)
        rc = keys_read(ld, opts, err);
    if (!rc && ld->family->adjust)
        rc = ld->family->adjust(ld, err);
    if (!rc)
        rc = positions_ready(ld, err);
    return rc ? rc : fill_all(ld, opts, err);
}

int load_model(const gguf *g, const family *f, const model_opts *opts,
               const kern *kernels, model **ret_model, st_err *err)
{
    static const model_opts defaults = {0};
    loader ld = {.g = g, .family = f};
    ld.m = st_zalloc_n(1, sizeof *ld.m);
    if (!ld.m)
        return st_err_set(err, ST_ENOMEM, "out of memory for a model");
    ld.m->kern = kernels;
    ld.m->norm_kind = f->norm;
    ld.m->parallel = f->parallel;
    ld.m->norm_after_rope = f->norm_after_rope;
    ld.m->qk_paired = f->qk_paired;
    binder_init(&ld.binder, g);
    int rc = load_into(&ld, opts ? opts : &defaults, err);
    binder_done(&ld.binder);
    st_free(ld.divisors);
    if (rc)
        model_free(ld.m);
    else
        *ret_model = ld.m;
    return rc;
}
