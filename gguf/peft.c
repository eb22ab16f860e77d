/* gguf/peft.c - the folder of an adapter that PEFT saved.
 *
 * Source: PEFT's LoraConfig and save_pretrained.  The product is scaled by lora_alpha /
 * r, or by lora_alpha / sqrt(r) with use_rslora, where r is the module's own
 * (rank_pattern). Every setting is either read, known to change nothing, or refused
 * unless it is off: a later PEFT may have settings that do. */
#include "gguf/lora_priv.h"

#include "base/mem.h"
#include "gguf/convert_priv.h"
#include <math.h>
#include <string.h>

/* Read below, or about training, or told by the tensors themselves. */
static const char *const plain[] = {
    "peft_type",           "r",
    "lora_alpha",          "use_rslora",
    "init_lora_weights",   "bias",
    "rank_pattern",        "base_model_name_or_path",
    "task_type",           "inference_mode",
    "lora_dropout",        "target_modules",
    "exclude_modules",     "layers_to_transform",
    "layers_pattern",      "revision",
    "auto_mapping",        "megatron_core",
    "peft_version",        "qalora_group_size",
    "ensure_weight_tying",
};

/* Module of a layer -> tensor of the base. */
static const struct {
    const char *module, *tensor;
} modules[] = {
    {"self_attn.q_proj", "attn_q"},     {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},     {"self_attn.o_proj", "attn_output"},
    {"self_attn.qkv_proj", "attn_qkv"}, {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},          {"mlp.down_proj", "ffn_down"},
    {"mlp.gate_up_proj", "ffn_up"},
};

typedef struct settings {
    double alpha;
    json_int_t rank;
    bool by_root; /* scaled by alpha / sqrt(rank) */
    bool ranks_vary;
} settings;

static bool is_off(const json_t *v)
{
    return json_is_null(v) || json_is_false(v) ||
           (json_is_object(v) && json_object_size(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0);
}

static int refuse(const char *key, const json_t *v, st_err *err)
{
    const char *text = json_string_value(v);
    return st_err_set(err, ST_EUNSUPPORTED,
                      "adapter_config.json: '%s'%s%.60s%s is not supported", key,
                      text ? " '" : "", text ? text : "", text ? "'" : "");
}

static int settings_check(json_t *config, st_err *err)
{
    const char *key;
    json_t *v;
    json_object_foreach(config, key, v)
    {
        bool known = is_off(v);
        for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
            known = known || strcmp(key, plain[i]) == 0;
        if (!known)
            return refuse(key, v, err);
    }
    const json_t *bias = json_object_get(config, "bias");
    if (bias && !is_off(bias) &&
        (!json_is_string(bias) || strcmp(json_string_value(bias), "none") != 0))
        return refuse("bias", bias, err);
    const json_t *init = json_object_get(config, "init_lora_weights");
    const char *name = json_string_value(init);
    if (name && strcmp(name, "gaussian") != 0 && strcmp(name, "orthogonal") != 0 &&
        strcmp(name, "eva") != 0) /* the others change the base too */
        return refuse("init_lora_weights", init, err);
    return 0;
}

static int settings_read(json_t *config, settings *ret, st_err *err)
{
    const char *type = json_string_value(json_object_get(config, "peft_type"));
    const json_t *alpha = json_object_get(config, "lora_alpha");
    const json_t *rank = json_object_get(config, "r");
    if (!type || strcmp(type, "LORA") != 0)
        return st_err_set(err, ST_EUNSUPPORTED,
                          "adapter_config.json: peft_type '%.40s', expected 'LORA'",
                          type ? type : "(missing)");
    int rc = settings_check(config, err);
    if (rc < 0)
        return rc;
    *ret = (settings){.alpha = json_number_value(alpha),
                      .rank = json_integer_value(rank),
                      .by_root = json_is_true(json_object_get(config, "use_rslora")),
                      .ranks_vary = !is_off(json_object_get(config, "rank_pattern")) &&
                                    json_object_get(config, "rank_pattern")};
    if (!json_is_number(alpha) || !(fabs(ret->alpha) <= 1e6))
        return st_err_set(err, ST_EFORMAT,
                          "adapter_config.json: 'lora_alpha' is not a number");
    if (!json_is_integer(rank) || ret->rank < 1)
        return st_err_set(err, ST_EFORMAT,
                          "adapter_config.json: 'r' is not a number from 1 on");
    return 0;
}

/* --- tensors */

/* "base_model.model.model.layers.N.MODULE" into the tensor of the base. */
static bool tensor_of(const char *path, size_t len, char ret[LORA_NAME_ROOM])
{
    static const char before[] = "base_model.model.model.layers.";
    size_t at = sizeof before - 1, layer = 0, digits = 0;
    if (len < at || memcmp(path, before, at) != 0)
        return false;
    for (; at < len && digits < 6 && path[at] >= '0' && path[at] <= '9'; at++, digits++)
        layer = 10 * layer + (size_t)(path[at] - '0');
    if (digits == 0 || at >= len || path[at++] != '.')
        return false;
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        const char *m = modules[i].module;
        if (strlen(m) == len - at && memcmp(path + at, m, len - at) == 0) {
            snprintf(ret, LORA_NAME_ROOM, "blk.%zu.%s.weight", layer, modules[i].tensor);
            return true;
        }
    }
    return false;
}

/* Where the module's path ends in a name, if it ends in `which` ("lora_A"), the name of
 * the adapter or none, and "weight". */
static size_t path_end(const char *name, const char *which)
{
    static const char *const ends[] = {".weight", ".default.weight"};
    size_t len = strlen(name), n_which = strlen(which);
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(ends[i]) + n_which + 1;
        if (len > n && name[len - n] == '.' &&
            memcmp(name + len - n + 1, which, n_which) == 0 &&
            strcmp(name + len - strlen(ends[i]), ends[i]) == 0)
            return len - n;
    }
    return 0;
}

static int factor_read(const safet_tensor *t, lora_factor *ret, st_err *err)
{
    static const struct {
        const char *name;
        st_dtype type;
    } types[] = {{"F32", ST_F32}, {"F16", ST_F16}, {"BF16", ST_BF16}};
    if (t->n_dims != 2)
        return st_err_set(err, ST_EFORMAT, "tensor '%s' is no matrix", t->name);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(t->dtype, types[i].name) == 0) {
            *ret = (lora_factor){types[i].type, t->dims[0], t->dims[1], t->data};
            return 0;
        }
    return st_err_set(err, ST_EUNSUPPORTED,
                      "tensor '%s' is %s; F32, F16 and BF16 are "
                      "read",
                      t->name, t->dtype);
}

/* The other factor of a module: the same name with a B. */
static int other_find(const safet *s, const char *name, size_t len,
                      const safet_tensor **ret, st_err *err)
{
    char *other = st_strdup(name);
    if (!other)
        return st_err_set(err, ST_ENOMEM, "out of memory");
    other[len + sizeof ".lora_" - 1] = 'B';
    *ret = safet_find(s, other);
    st_free(other);
    return *ret ? 0
                : st_err_set(err, ST_EFORMAT, "tensor '%.120s' has no lora_B beside it",
                             name);
}

static int pair_read(lora *l, const settings *set, const safet_tensor *a, size_t len,
                     st_err *err)
{
    lora_pair p = {0};
    const safet_tensor *b = NULL;
    if (!tensor_of(a->name, len, p.tensor))
        return st_err_set(err, ST_EUNSUPPORTED,
                          "the adapted module '%.*s' is not supported: those of layers "
                          "are, self_attn.{q,k,v,o,qkv}_proj and "
                          "mlp.{gate,up,down,gate_up}_proj",
                          (int)(len < 120 ? len : 120), a->name);
    int rc = other_find(l->tensors, a->name, len, &b, err);
    if (rc == 0)
        rc = factor_read(a, &p.a, err);
    if (rc == 0)
        rc = factor_read(b, &p.b, err);
    if (rc < 0)
        return rc;
    if (!set->ranks_vary && p.a.rows != (uint64_t)set->rank)
        return st_err_set(err, ST_EFORMAT,
                          "tensor '%s' has rank %llu; adapter_config.json says %lld",
                          a->name, (unsigned long long)p.a.rows, (long long)set->rank);
    p.scale = set->alpha / (set->by_root ? sqrt((double)p.a.rows) : (double)p.a.rows);
    return lora_add(l, &p, err);
}

static int pairs_read(lora *l, const settings *set, st_err *err)
{
    size_t n_b = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < safet_n_tensors(l->tensors); i++) {
        const safet_tensor *t = safet_tensor_at(l->tensors, i);
        size_t len = path_end(t->name, "lora_A");
        if (len > 0)
            rc = pair_read(l, set, t, len, err);
        else if (path_end(t->name, "lora_B") > 0)
            n_b++;
        else
            rc = st_err_set(err, ST_EUNSUPPORTED, "tensor '%.120s' is no low-rank factor",
                            t->name);
    }
    if (rc == 0 && n_b != l->n_pairs)
        rc = st_err_set(err, ST_EFORMAT, "%zu tensors lora_A and %zu lora_B", l->n_pairs,
                        n_b);
    return rc;
}

static int tensors_open(lora *l, const char *folder, st_err *err)
{
    char *path = convert_path(folder, "adapter_model.safetensors");
    if (!path)
        return st_err_set(err, ST_ENOMEM, "out of memory");
    int rc = safet_open(path, &l->tensors, err);
    if (rc == ST_ENOTFOUND)
        st_err_hint(err, "adapter_model.bin is not read: save it with safetensors");
    st_free(path);
    return rc;
}

int lora_read_peft(lora *l, const char *folder, st_err *err)
{
    const convert c = {.folder = folder};
    json_t *config = NULL;
    settings set = {0};
    int rc = convert_json(&c, "adapter_config.json", &config, err);
    if (rc == ST_ENOTFOUND)
        st_err_set(err, rc, "no adapter_config.json in it");
    if (rc == 0 && !json_is_object(config))
        rc = st_err_set(err, ST_EFORMAT, "adapter_config.json holds no object");
    if (rc == 0)
        rc = settings_read(config, &set, err);
    if (rc == 0)
        rc = tensors_open(l, folder, err);
    const char *base =
        rc == 0 ? json_string_value(json_object_get(config, "base_model_name_or_path"))
                : NULL;
    if (base && !(l->base = st_strdup(base)))
        rc = st_err_set(err, ST_ENOMEM, "out of memory");
    if (rc == 0)
        rc = pairs_read(l, &set, err);
    json_decref(config);
    return rc;
}
