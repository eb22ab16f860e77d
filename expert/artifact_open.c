/* expert/artifact_open.c - read an artifact, trusting nothing.
 *
 * Every count is checked against the options, every tensor against the shape its expert
 * must have, every number for being finite and in its range.  What is read is copied, so
 * the file may go away. */
#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "expert/experts.h"
#include "gguf/safetensors.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LAYER = 4096 };

typedef struct load {
    safet *file;
    artifact *a;
    uint32_t expert;
    st_err *err;
} load;

static int bad(load *t, const char *what)
{
    return st_err_set(t->err, ST_EFORMAT, "artifact: %s", what);
}

static int bad_expert(load *t, const char *what)
{
    return st_err_set(t->err, ST_EFORMAT, "artifact: expert %u: %s", t->expert, what);
}

/* The tensor "expert.what" if it has this type and shape (cols 0: one dimension). */
static const safet_tensor *tensor(load *t, const char *what, const char *dtype,
                                  uint64_t rows, uint64_t cols)
{
    char name[64];
    snprintf(name, sizeof name, "%u.%s", t->expert, what);
    const safet_tensor *x = safet_find(t->file, name);
    bool ok = x && strcmp(x->dtype, dtype) == 0 && x->n_dims == (cols ? 2u : 1u) &&
              x->dims[0] == rows && (!cols || x->dims[1] == cols);
    if (!ok)
        st_err_set(t->err, ST_EFORMAT,
                   "artifact: tensor '%s' is missing or not %s [%llu, %llu]", name, dtype,
                   (unsigned long long)rows, (unsigned long long)cols);
    return ok ? x : NULL;
}

static int finite_copy(load *t, const safet_tensor *x, float **ret)
{
    float *out = st_alloc_n(x->n, sizeof *out);
    if (!out)
        return st_err_set(t->err, ST_ENOMEM, "artifact: out of memory");
    if (x->dtype[1] == '1') { /* F16 */
        const unsigned char *p = x->data;
        for (uint64_t i = 0; i < x->n; i++)
            out[i] = st_f16_to_f32((uint16_t)(p[2 * i] | p[2 * i + 1] << 8));
    } else if (x->bytes) {
        memcpy(out, x->data, x->bytes);
    }
    *ret = out; /* owned by the expert from here on */
    for (uint64_t i = 0; i < x->n; i++)
        if (!isfinite(out[i]))
            return st_err_set(t->err, ST_EFORMAT,
                              "artifact: tensor '%s': number %llu is "
                              "not finite",
                              x->name, (unsigned long long)i);
    return 0;
}

static int floats(load *t, const char *what, const char *dtype, uint64_t rows,
                  uint64_t cols, float **ret)
{
    const safet_tensor *x = tensor(t, what, dtype, rows, cols);
    return x ? finite_copy(t, x, ret) : ST_EFORMAT;
}

/* I32 numbers, each in [low, high); `rising` strictly. */
static int ints(load *t, const char *what, uint64_t n, uint32_t high, bool rising,
                uint32_t **ret)
{
    const safet_tensor *x = tensor(t, what, "I32", n, 0);
    if (!x)
        return ST_EFORMAT;
    uint32_t *out = st_dup(x->data, x->bytes);
    if (!out)
        return st_err_set(t->err, ST_ENOMEM, "artifact: out of memory");
    *ret = out;
    for (uint64_t i = 0; i < n; i++)
        if (out[i] >= high || (rising && i > 0 && out[i] <= out[i - 1]))
            return st_err_set(t->err, ST_EFORMAT,
                              "artifact: tensor '%s': number %llu is out of range",
                              x->name, (unsigned long long)i);
    return 0;
}

/* The dimension of a tensor of this expert that says how large the others must be. */
static int size_of(load *t, const char *what, uint32_t dim, uint32_t limit, uint32_t *ret)
{
    char name[64];
    snprintf(name, sizeof name, "%u.%s", t->expert, what);
    const safet_tensor *x = safet_find(t->file, name);
    if (!x || dim >= x->n_dims || x->dims[dim] == 0 || x->dims[dim] > limit)
        return st_err_set(t->err, ST_EFORMAT,
                          "artifact: tensor '%s' is missing or has a "
                          "size that cannot be",
                          name);
    *ret = (uint32_t)x->dims[dim];
    return 0;
}

static int load_scaling(load *t, scaling *s)
{
    int code = size_of(t, "mean", 0, EXPERT_MAX_WIDTH, &s->d);
    if (!code)
        code = floats(t, "mean", "F32", s->d, 0, &s->mean);
    return code ? code : floats(t, "factor", "F32", s->d, 0, &s->factor);
}

static int load_words(load *t, words_model *m)
{
    int code = size_of(t, "feature", 0, 1u << 28, &m->n);
    if (!code)
        code = ints(t, "feature", m->n, UINT32_MAX, true, &m->feature);
    if (!code)
        code = floats(t, "idf", "F32", m->n, 0, &m->idf);
    return code ? code
                : floats(t, "rows", "F16", (uint64_t)m->n + 1, t->a->n_options, &m->rows);
}

static int load_head(load *t, head_model *m)
{
    int code = load_scaling(t, &m->scale);
    return code ? code
                : floats(t, "rows", "F32", (uint64_t)m->scale.d + 1, t->a->n_options,
                         &m->rows);
}

static int load_neighbours(load *t, neighbours_model *m, json_t *item)
{
    json_int_t k;
    uint32_t *labels = NULL;
    if (json_unpack(item, "{s:I, s:F, s:F}", "k", &k, "spread", &m->spread, "doubt",
                    &m->doubt))
        return bad_expert(t, "neighbours without k, spread or doubt");
    if (k < 1 || k > 1024 || !(m->spread > 0 && m->spread < 1e6) ||
        !(m->doubt > 0 && m->doubt < 1))
        return bad_expert(t, "k, spread or doubt is out of range");
    m->k = (uint32_t)k;
    int code;
    (void)((code = load_scaling(t, &m->scale)) ||
           (code = size_of(t, "keys", 0, EXPERT_MAX_ROWS, &m->n)) ||
           (code = size_of(t, "keys", 1, EXPERT_MAX_WIDTH, &m->r)) ||
           (code = floats(t, "basis", "F32", m->scale.d, m->r, &m->basis)) ||
           (code = floats(t, "keys", "F16", m->n, m->r, &m->keys)) ||
           (code = ints(t, "labels", m->n, t->a->n_options, false, &labels)));
    m->labels = (int32_t *)labels;
    return code;
}

static int load_reading(load *t, json_t *item, expert *x)
{
    json_t *layers;
    const char *pooling;
    int prompt;
    json_int_t at_model;
    if (json_unpack(item, "{s:I, s:{s:o, s:s, s:b}}", "model", &at_model, "reading",
                    "layers", &layers, "pooling", &pooling, "prompt", &prompt))
        return bad_expert(t, "no model, or no reading");
    if (at_model < 0 || at_model >= t->a->n_models)
        return bad_expert(t, "its model is not in the list");
    x->model = (uint32_t)at_model;
    size_t n = json_array_size(layers);
    if (n < 1 || n > READING_MAX_LAYERS)
        return bad_expert(t, "a number of layers that cannot be");
    for (size_t i = 0; i < n; i++) {
        json_t *layer = json_array_get(layers, i);
        json_int_t at = json_is_integer(layer) ? json_integer_value(layer) : -1;
        if (at < 0 || at > MAX_LAYER || (i > 0 && at <= x->read.layers[i - 1]))
            return bad_expert(t, "layers that are not rising numbers");
        x->read.layers[i] = (uint32_t)at;
    }
    x->read.n_layers = (uint32_t)n;
    x->read.prompt = prompt;
    if (strcmp(pooling, "mean") != 0 && strcmp(pooling, "last") != 0)
        return bad_expert(t, "a pooling other than mean and last");
    x->read.pooling = pooling[0] == 'l' ? READING_LAST : READING_MEAN;
    return 0;
}

static int load_expert(load *t, json_t *item, expert *x)
{
    const char *kind, *name;
    if (json_unpack(item, "{s:s, s:s, s:F}", "kind", &kind, "name", &name, "weight",
                    &x->weight))
        return bad_expert(t, "no kind, name or weight");
    if (!(x->weight > 0 && x->weight < 1e6))
        return bad_expert(t, "its weight is out of range");
    if (!(x->name = st_strdup(name)))
        return st_err_set(t->err, ST_ENOMEM, "artifact: out of memory");
    x->model = ARTIFACT_MAX_MODELS;
    if (strcmp(kind, "words") == 0)
        return load_words(t, &x->as.words);
    bool head = strcmp(kind, "head") == 0;
    if (!head && strcmp(kind, "neighbours") != 0)
        return bad_expert(t, "of no known kind");
    x->kind = head ? EXPERT_HEAD : EXPERT_NEIGHBOURS;
    int code = load_reading(t, item, x);
    if (!code)
        code = head ? load_head(t, &x->as.head) : load_neighbours(t, &x->as.near, item);
    if (!code && expert_width(x) % x->read.n_layers)
        code = bad_expert(t, "its width is not a whole number of layers");
    return code;
}

static json_t *meta_json(load *t, const char *key)
{
    const char *text = safet_meta(t->file, key);
    json_t *value = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (!value)
        st_err_set(t->err, ST_EFORMAT, "artifact: metadata '%s' is missing or not JSON",
                   key);
    return value;
}

static int load_experts(load *t)
{
    json_t *list = meta_json(t, "stint.experts");
    int code = list ? 0 : ST_EFORMAT;
    if (!code && (!json_is_array(list) || json_array_size(list) > ARTIFACT_MAX_EXPERTS))
        code = bad(t, "its list of experts is none, or too long");
    if (!code && json_array_size(list) && t->a->n_options == 0)
        code = bad(t, "experts without options");
    for (t->expert = 0; !code && t->expert < json_array_size(list); t->expert++) {
        t->a->n_experts++;
        code = load_expert(t, json_array_get(list, t->expert), &t->a->experts[t->expert]);
    }
    json_decref(list);
    return code;
}

static int load_options(load *t)
{
    json_t *list = meta_json(t, "stint.options");
    size_t n = json_array_size(list);
    int code = 0;
    if (!list || !json_is_array(list) || n > QUESTION_MAX_OPTIONS) {
        json_decref(list);
        return bad(t, "its list of options is none, or too long");
    }
    t->a->options = st_zalloc_n(n + 1, sizeof *t->a->options);
    if (!t->a->options)
        code = st_err_set(t->err, ST_ENOMEM, "artifact: out of memory");
    for (size_t i = 0; !code && i < n; i++) {
        const char *value = json_string_value(json_array_get(list, i));
        if (!value)
            code = bad(t, "an option that is not a string");
        else if (!(t->a->options[i] = st_strdup(value)))
            code = st_err_set(t->err, ST_ENOMEM, "artifact: out of memory");
        t->a->n_options++;
    }
    json_decref(list);
    return code;
}

static int load_model(load *t, json_t *item)
{
    const char *name, *digest, *tokenizer;
    int used;
    if (json_unpack(item, "{s:s, s:s, s:s, s:b}", "name", &name, "digest", &digest,
                    "tokenizer", &tokenizer, "used", &used))
        return bad(t, "a model without name, digest, tokenizer or used");
    artifact_model *m = &t->a->models[t->a->n_models++];
    *m = (artifact_model){st_strdup(name), st_strdup(digest), st_strdup(tokenizer), used};
    if (m->name && m->digest && m->tok_digest)
        return 0;
    return st_err_set(t->err, ST_ENOMEM, "artifact: out of memory");
}

static int load_models(load *t)
{
    json_t *list = meta_json(t, "stint.models");
    int code = list ? 0 : ST_EFORMAT;
    if (!code && (!json_is_array(list) || json_array_size(list) > ARTIFACT_MAX_MODELS))
        code = bad(t, "its list of models is none, or too long");
    for (size_t i = 0; !code && i < json_array_size(list); i++)
        code = load_model(t, json_array_get(list, i));
    json_decref(list);
    return code;
}

static int load_settings(load *t)
{
    json_t *map = meta_json(t, "stint.settings"), *value;
    const char *key;
    int code = map ? 0 : ST_EFORMAT;
    if (!code && !json_is_object(map))
        code = bad(t, "its settings are no object");
    if (!code)
        json_object_foreach(map, key, value)
        {
            code = json_is_string(value)
                       ? artifact_set(t->a, key, json_string_value(value), t->err)
                       : bad(t, "a setting that is not a string");
            if (code)
                break;
        }
    json_decref(map);
    return code == 0 || code == ST_ENOMEM ? code : ST_EFORMAT;
}

static int load_format(load *t)
{
    const char *format = safet_meta(t->file, "stint.format");
    const char *contract = safet_meta(t->file, "stint.contract");
    if (!format)
        return bad(t, "not one: metadata 'stint.format' is missing");
    if (strcmp(format, ARTIFACT_FORMAT) != 0) {
        st_err_set(t->err, ST_EUNSUPPORTED,
                   "artifact: format '%.40s', this program reads "
                   "'%s'",
                   format, ARTIFACT_FORMAT);
        st_err_hint(t->err, "run `stint fit` again");
        return ST_EUNSUPPORTED;
    }
    if (!contract || strlen(contract) != ST_DIGEST_TEXT - 1)
        return bad(t, "metadata 'stint.contract' is missing or no digest");
    memcpy(t->a->contract, contract, ST_DIGEST_TEXT);
    return 0;
}

int artifact_open_bytes(const void *data, size_t len, artifact **ret_artifact,
                        st_err *err)
{
    load t = {.err = err};
    int code = safet_open_bytes(data, len, &t.file, err);
    if (code) {
        st_err_at(err, "artifact");
        return code;
    }
    t.a = st_zalloc_n(1, sizeof *t.a);
    if (!t.a)
        code = st_err_set(err, ST_ENOMEM, "artifact: out of memory");
    if (!code)
        (void)((code = load_format(&t)) || (code = load_options(&t)) ||
               (code = load_models(&t)) || (code = load_experts(&t)) ||
               (code = load_settings(&t)));
    safet_close(t.file);
    if (code) {
        artifact_close(t.a);
        return code;
    }
    st_sha_of(data, len, t.a->digest);
    *ret_artifact = t.a;
    return 0;
}

int artifact_open(const char *path, artifact **ret_artifact, st_err *err)
{
    st_file_map map;
    int code = st_file_map_open(path, &map, err);
    if (code)
        return code;
    code = artifact_open_bytes(map.data, map.len, ret_artifact, err);
    if (code)
        st_err_at(err, "%s", path);
    st_file_map_close(&map);
    return code;
}
