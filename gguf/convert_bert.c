/* gguf/convert_bert.c - BERT encoders (MiniLM, bge, ...) in llama.cpp's conventions.
 *
 * The pooling comes from the sentence-transformers files beside the model; without them
 * it is the mean.  Heads on top (pooler, masked-word prediction) take no part in an
 * embedding and are left out by name; any other tensor left over is refused. */
#include "gguf/convert_priv.h"

#include <stdio.h>
#include <string.h>

enum {
    MAX_LAYERS = 1024,
    MAX_WIDTH = 1 << 16,
    MAX_VOCAB = 1 << 21,
    POOL_MEAN = 1, /* llama.cpp's numbers of bert.pooling_type */
    POOL_CLS = 2,
    POOL_LAST = 3,
};

typedef struct shape {
    uint32_t n_layers;
    uint32_t n_heads;
    uint32_t width;
    uint32_t ff_width;
    uint32_t n_positions;
    uint32_t n_types;
    uint32_t n_vocab;
    double eps;
    uint32_t pooling;
} shape;

static int check_text(const convert *c, const char *key, const char *want, st_err *err)
{
    const char *is = json_string_value(json_object_get(c->config, key));
    if (!is || strcmp(is, want) == 0)
        return 0;
    return st_err_set(err, ST_EUNSUPPORTED,
                      "config.json: %s '%s' is not supported, only '%s'", key, is, want);
}

static int read_shape(const convert *c, shape *s, st_err *err)
{
    const struct {
        const char *key;
        uint32_t max;
        uint32_t *ret;
    } rows[] = {
        {"num_hidden_layers", MAX_LAYERS, &s->n_layers},
        {"num_attention_heads", MAX_WIDTH, &s->n_heads},
        {"hidden_size", MAX_WIDTH, &s->width},
        {"intermediate_size", MAX_WIDTH, &s->ff_width},
        {"max_position_embeddings", MAX_VOCAB, &s->n_positions},
        {"type_vocab_size", MAX_WIDTH, &s->n_types},
        {"vocab_size", MAX_VOCAB, &s->n_vocab},
    };
    int rc = check_text(c, "hidden_act", "gelu", err);
    if (!rc)
        rc = check_text(c, "position_embedding_type", "absolute", err);
    for (size_t i = 0; i < ST_COUNT(rows) && !rc; i++)
        rc = convert_count(c, rows[i].key, rows[i].max, rows[i].ret, err);
    if (rc)
        return rc;
    if (s->width % s->n_heads)
        return st_err_set(err, ST_EFORMAT,
                          "config.json: hidden_size %u is not a multiple of its %u heads",
                          s->width, s->n_heads);
    s->eps = json_number_value(json_object_get(c->config, "layer_norm_eps"));
    if (!(s->eps > 0 && s->eps < 1))
        return st_err_set(err, ST_EFORMAT,
                          "config.json: 'layer_norm_eps' is not in (0, 1)");
    return 0;
}

/* ---- pooling ---- */

static int pooling_of(const json_t *config, uint32_t *ret, st_err *err)
{
    static const struct {
        const char *key;
        uint32_t pooling;
    } rows[] = {
        {"pooling_mode_mean_tokens", POOL_MEAN},
        {"pooling_mode_cls_token", POOL_CLS},
        {"pooling_mode_lasttoken", POOL_LAST},
    };
    uint32_t found = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)config, key, value)
    {
        if (strncmp(key, "pooling_mode_", 13) != 0 || !json_is_true(value))
            continue;
        uint32_t pooling = 0;
        for (size_t i = 0; i < ST_COUNT(rows); i++) {
            if (strcmp(rows[i].key, key) == 0)
                pooling = rows[i].pooling;
        }
        if (!pooling || found)
            return st_err_set(err, ST_EUNSUPPORTED, "pooling: '%s'%s is not supported",
                              key, found ? " joined with another" : "");
        found = pooling;
    }
    if (!found)
        return st_err_set(err, ST_EFORMAT,
                          "pooling: its config.json names no known mode");
    *ret = found;
    return 0;
}

static int pooling_in(const convert *c, const char *folder, uint32_t *ret, st_err *err)
{
    char name[512];
    json_t *config;
    int n = snprintf(name, sizeof name, "%s/config.json", folder);
    if (n < 0 || (size_t)n >= sizeof name)
        return st_err_set(err, ST_EFORMAT, "modules.json: a path is too long");
    int rc = convert_json(c, name, &config, err);
    if (rc)
        return rc;
    rc = pooling_of(config, ret, err);
    json_decref(config);
    return rc;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool is_plain_name(const char *path)
{
    return path && *path && !strchr(path, '/') && strcmp(path, "..") != 0;
}

/* modules.json: a transformer, its pooling, perhaps a normalisation; nothing else. */
static int pooling_from_modules(const convert *c, const json_t *modules, uint32_t *ret,
                                st_err *err)
{
    size_t i;
    json_t *module;
    json_array_foreach((json_t *)(uintptr_t)modules, i, module)
    {
        const char *type = json_string_value(json_object_get(module, "type"));
        const char *path = json_string_value(json_object_get(module, "path"));
        int rc = 0;
        if (type && ends_with(type, ".Pooling") && is_plain_name(path)) {
            rc = pooling_in(c, path, ret, err);
            if (rc == ST_ENOTFOUND)
                st_err_set(err, rc, "%s/%s/config.json is missing", c->folder, path);
        } else if (!type ||
                   (!ends_with(type, ".Transformer") && !ends_with(type, ".Normalize"))) {
            rc = st_err_set(err, ST_EUNSUPPORTED,
                            "modules.json: module '%s' is not supported",
                            type ? type : "(no type)");
        }
        if (rc)
            return rc;
    }
    return 0;
}

static int find_pooling(const convert *c, uint32_t *ret, st_err *err)
{
    json_t *modules;
    *ret = POOL_MEAN;
    int rc = convert_json(c, "modules.json", &modules, err);
    if (!rc) {
        rc = pooling_from_modules(c, modules, ret, err);
        json_decref(modules);
    } else if (rc == ST_ENOTFOUND) {
        rc = pooling_in(c, "1_Pooling", ret, err);
        if (rc == ST_ENOTFOUND)
            rc = 0;
    }
    return rc;
}

/* ---- keys ---- */

static int put_keys(convert *c, const shape *s, st_err *err)
{
    const struct {
        const char *key;
        uint32_t value;
    } rows[] = {
        {"bert.block_count", s->n_layers},
        {"bert.context_length", s->n_positions},
        {"bert.embedding_length", s->width},
        {"bert.feed_forward_length", s->ff_width},
        {"bert.attention.head_count", s->n_heads},
        {"bert.pooling_type", s->pooling},
        {"tokenizer.ggml.token_type_count", s->n_types},
    };
    int rc = gguf_put_string(c->out, "general.architecture", "bert", 4, err);
    for (size_t i = 0; i < ST_COUNT(rows) && !rc; i++)
        rc = gguf_put_u32(c->out, rows[i].key, rows[i].value, err);
    if (!rc)
        rc =
            gguf_put_f32(c->out, "bert.attention.layer_norm_epsilon", (float)s->eps, err);
    if (!rc)
        rc = gguf_put_bool(c->out, "bert.attention.causal", false, err);
    return rc;
}

/* ---- tensors ---- */

/* The name inside the file: some are written with the class's "bert." in front. */
static const char *prefix_of(const convert *c)
{
    return safet_find(c->weights, "bert.embeddings.word_embeddings.weight") ? "bert."
                                                                            : "";
}

static int put_embeddings(convert *c, const shape *s, const char *prefix, st_err *err)
{
    const struct {
        const char *from, *to;
        uint64_t rows;
        bool large;
    } rows[] = {
        {"word_embeddings.weight", "token_embd.weight", s->n_vocab, true},
        {"position_embeddings.weight", "position_embd.weight", s->n_positions, false},
        {"token_type_embeddings.weight", "token_types.weight", s->n_types, false},
        {"LayerNorm.weight", "token_embd_norm.weight", 0, false},
        {"LayerNorm.bias", "token_embd_norm.bias", 0, false},
    };
    int rc = 0;
    for (size_t i = 0; i < ST_COUNT(rows) && !rc; i++) {
        char from[128];
        snprintf(from, sizeof from, "%sembeddings.%s", prefix, rows[i].from);
        rc = convert_tensor(c, from, rows[i].to, rows[i].rows, s->width, rows[i].large,
                            err);
    }
    return rc;
}

static int put_layer(convert *c, const shape *s, const char *prefix, uint32_t layer,
                     st_err *err)
{
    const struct {
        const char *from, *to;
        uint64_t rows, cols; /* of the weight; the bias has `rows`, a norm 0 rows */
    } rows[] = {
        {"attention.self.query", "attn_q", s->width, s->width},
        {"attention.self.key", "attn_k", s->width, s->width},
        {"attention.self.value", "attn_v", s->width, s->width},
        {"attention.output.dense", "attn_output", s->width, s->width},
        {"attention.output.LayerNorm", "attn_output_norm", 0, s->width},
        {"intermediate.dense", "ffn_up", s->ff_width, s->width},
        {"output.dense", "ffn_down", s->width, s->ff_width},
        {"output.LayerNorm", "layer_output_norm", 0, s->width},
    };
    int rc = 0;
    for (size_t i = 0; i < ST_COUNT(rows) * 2 && !rc; i++) {
        char from[128], to[64];
        bool bias = i % 2;
        const char *part = bias ? "bias" : "weight";
        uint64_t n_rows = bias ? 0 : rows[i / 2].rows;
        uint64_t n_cols = bias && rows[i / 2].rows ? rows[i / 2].rows : rows[i / 2].cols;
        snprintf(from, sizeof from, "%sencoder.layer.%u.%s.%s", prefix, layer,
                 rows[i / 2].from, part);
        snprintf(to, sizeof to, "blk.%u.%s.%s", layer, rows[i / 2].to, part);
        rc = convert_tensor(c, from, to, n_rows, n_cols, n_rows != 0, err);
    }
    return rc;
}

static int refuse_rest(const convert *c, const char *prefix, st_err *err)
{
    static const char *const heads[] = {"pooler.", "cls.", "embeddings.position_ids"};
    size_t skip = strlen(prefix);
    for (size_t i = 0; i < safet_n_tensors(c->weights); i++) {
        const char *name = safet_tensor_at(c->weights, i)->name;
        bool head = false;
        for (size_t j = 0; j < ST_COUNT(heads); j++) {
            size_t n = strlen(heads[j]);
            head = head || strncmp(name, heads[j], n) == 0 ||
                   (strncmp(name, prefix, skip) == 0 &&
                    strncmp(name + skip, heads[j], n) == 0);
        }
        if (!c->used[i] && !head)
            return st_err_set(
                err, ST_EUNSUPPORTED,
                "model.safetensors: tensor '%s' has no place in a bert encoder", name);
    }
    return 0;
}

int convert_bert(convert *c, st_err *err)
{
    shape s = {0};
    const char *prefix = prefix_of(c);
    int rc = read_shape(c, &s, err);
    if (!rc)
        rc = find_pooling(c, &s.pooling, err);
    if (!rc)
        rc = put_keys(c, &s, err);
    if (!rc)
        rc = convert_wordpiece(c, s.n_vocab, err);
    if (!rc)
        rc = put_embeddings(c, &s, prefix, err);
    for (uint32_t i = 0; i < s.n_layers && !rc; i++)
        rc = put_layer(c, &s, prefix, i, err);
    if (!rc)
        rc = refuse_rest(c, prefix, err);
    return rc;
}
