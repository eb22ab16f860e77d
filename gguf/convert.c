/* gguf/convert.c - a Hugging Face model folder written as one GGUF file. */
#include "gguf/convert.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "gguf/convert_priv.h"
#include "gguf/encode.h"
#include <string.h>

enum { MAX_JSON = 64 << 20 }; /* bytes of one JSON file; tokenizers reach 20 MB */

/* model_type of config.json -> converter */
static const struct {
    const char *model_type;
    int (*convert)(convert *c, st_err *err);
} families[] = {
    {"bert", convert_bert},
};

char *convert_path(const char *folder, const char *name)
{
    st_buf path;
    st_buf_init(&path, 1 << 16);
    st_buf_fmt(&path, "%s/%s", folder, name);
    char *s = st_buf_detach(&path, NULL);
    st_buf_done(&path);
    return s;
}

static int parse_json(const char *path, json_t **ret, st_err *err)
{
    char *text;
    size_t len;
    json_error_t why;
    int rc = st_file_read(path, MAX_JSON, &text, &len, err);
    if (rc)
        return rc;
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    st_free(text);
    if (!json && !why.text[0]) /* jansson says why, but for this */
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", path);
    if (!json)
        return st_err_set(err, ST_EFORMAT, "%s:%d:%d: %s", path, why.line, why.column,
                          why.text);
    *ret = json;
    return 0;
}

int convert_json(const convert *c, const char *name, json_t **ret, st_err *err)
{
    st_err why = {0};
    char *path = convert_path(c->folder, name);
    int rc = path ? parse_json(path, ret, &why) : ST_ENOMEM;
    if (rc && rc != ST_ENOTFOUND)
        st_err_set(err, rc, "%s", path ? why.message : "out of memory");
    st_free(path);
    return rc;
}

int convert_count(const convert *c, const char *key, uint32_t max, uint32_t *ret,
                  st_err *err)
{
    const json_t *value = json_object_get(c->config, key);
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 1 || n > max)
        return st_err_set(err, ST_EFORMAT,
                          "config.json: '%s' is not a number from 1 to %u", key, max);
    *ret = (uint32_t)n;
    return 0;
}

static int check_shape(const safet_tensor *t, uint64_t rows, uint64_t cols, st_err *err)
{
    bool vector = rows == 0;
    if (vector ? t->n_dims == 1 && t->dims[0] == cols
               : t->n_dims == 2 && t->dims[0] == rows && t->dims[1] == cols)
        return 0;
    return st_err_set(err, ST_EFORMAT,
                      "tensor '%s': its shape is not the one config.json says", t->name);
}

/* The tensor's numbers in `type`, noted in c->blocks; *ret_data lives as long as c. */
static int encode_tensor(convert *c, const safet_tensor *t, st_dtype type,
                         const void **ret_data, st_err *err)
{
    size_t bytes;
    float *floats = st_alloc_n((size_t)t->n, sizeof *floats);
    void *block = st_dtype_size(type, t->n, &bytes) ? st_alloc(bytes) : NULL;
    int rc = floats && block ? 0 : st_err_set(err, ST_ENOMEM, "out of memory");
    if (!rc)
        rc = decode_safet(t->dtype, t->data, t->n, floats, err);
    if (!rc)
        rc = encode_floats(type, floats, t->n, block, err);
    st_free(floats);
    if (rc) {
        st_free(block);
        st_err_at(err, "tensor '%s'", t->name);
        return rc;
    }
    c->blocks[c->n_blocks++] = block;
    *ret_data = block;
    return 0;
}

static st_dtype format_of(const convert *c, uint64_t cols, bool large)
{
    if (!large)
        return ST_F32;
    return cols % st_dtype_get(c->matrix)->block ? ST_F16 : c->matrix;
}

int convert_tensor(convert *c, const char *from, const char *to, uint64_t rows,
                   uint64_t cols, bool large, st_err *err)
{
    const safet_tensor *t = safet_find(c->weights, from);
    const void *data = NULL;
    uint64_t dims[2] = {cols, rows};
    if (!t)
        return st_err_set(err, ST_EFORMAT, "model.safetensors: tensor '%s' is missing",
                          from);
    size_t index = (size_t)(t - safet_tensor_at(c->weights, 0));
    if (c->used[index])
        return st_err_set(err, ST_EINVAL, "tensor '%s' is written twice", from);
    st_dtype type = format_of(c, cols, large);
    int rc = check_shape(t, rows, cols, err);
    if (!rc)
        rc = encode_tensor(c, t, type, &data, err);
    if (!rc)
        rc = gguf_put_tensor(c->out, to, type, dims, rows ? 2 : 1, data, err);
    if (!rc)
        c->used[index] = true;
    if (!rc && !st_progress_report(c->progress, "converting tensors", c->n_blocks,
                                   safet_n_tensors(c->weights)))
        rc = st_err_set(err, ST_ECANCELLED, "cancelled");
    return rc;
}

static int open_weights(convert *c, st_err *err)
{
    st_err why = {0};
    char *path = convert_path(c->folder, "model.safetensors");
    int rc = path ? safet_open(path, &c->weights, &why) : ST_ENOMEM;
    if (rc) {
        st_err_set(err, rc, "%s", path ? why.message : "out of memory");
        st_err_hint(err, "%s",
                    rc == ST_ENOTFOUND ? "only one model.safetensors is read: neither "
                                         "pytorch_model.bin nor files in several parts"
                                       : why.hint);
        st_free(path);
        return rc;
    }
    st_free(path);
    size_t n = safet_n_tensors(c->weights);
    c->used = st_zalloc_n(n, sizeof *c->used);
    c->blocks = st_zalloc_n(n, sizeof *c->blocks);
    return c->used && c->blocks ? 0 : st_err_set(err, ST_ENOMEM, "out of memory");
}

static int run_family(convert *c, st_err *err)
{
    const char *type = json_string_value(json_object_get(c->config, "model_type"));
    for (size_t i = 0; i < ST_COUNT(families); i++) {
        if (type && strcmp(type, families[i].model_type) == 0)
            return families[i].convert(c, err);
    }
    st_err_set(err, ST_EUNSUPPORTED,
               "%s/config.json: model_type '%s' cannot be converted", c->folder,
               type ? type : "(missing)");
    st_err_hint(err, "convert knows: bert; other families come as GGUF files");
    return ST_EUNSUPPORTED;
}

static int file_type(st_dtype matrix) /* general.file_type of llama.cpp */
{
    return matrix == ST_F32 ? 0 : matrix == ST_F16 ? 1 : 7;
}

static int put_general(convert *c, st_err *err)
{
    int rc = gguf_put_string(c->out, "general.type", "model", 5, err);
    if (!rc)
        rc = gguf_put_string(c->out, "general.name", c->name, strlen(c->name), err);
    if (!rc)
        rc = gguf_put_u32(c->out, "general.file_type", (uint32_t)file_type(c->matrix),
                          err);
    if (!rc)
        rc = gguf_put_u32(c->out, "general.quantization_version", 2, err);
    return rc;
}

static void convert_done(convert *c)
{
    for (size_t i = 0; i < c->n_blocks; i++)
        st_free(c->blocks[i]);
    st_free(c->blocks);
    st_free(c->used);
    safet_close(c->weights);
    json_decref(c->config);
    gguf_writer_free(c->out);
}

int convert_folder(const char *folder, const char *out_path, const char *name,
                   st_dtype matrix, const st_progress *progress, st_err *err)
{
    convert c = {.folder = folder, .name = name, .matrix = matrix, .progress = progress};
    if (matrix != ST_F32 && matrix != ST_F16 && matrix != ST_Q8_0)
        return st_err_set(err, ST_EINVAL, "matrices are written as F32, F16 or Q8_0");
    int rc = convert_json(&c, "config.json", &c.config, err);
    if (rc == ST_ENOTFOUND) {
        st_err_set(err, rc, "%s: no config.json in it", folder);
        st_err_hint(err, "give the folder of a Hugging Face model");
    }
    if (!rc)
        rc = open_weights(&c, err);
    if (!rc)
        rc = gguf_writer_new(&c.out, err);
    if (!rc)
        rc = run_family(&c, err);
    if (!rc)
        rc = put_general(&c, err);
    if (!rc)
        rc = gguf_write(c.out, out_path, err);
    convert_done(&c);
    return rc;
}
