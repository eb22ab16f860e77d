/* expert/artifact_save.c - write an artifact as safetensors.
 *
 * "stint.*" metadata are JSON texts with sorted keys; expert i's tensors are named
 * "i.what".  Large tables that a decision sums over (word rows, neighbours' keys) are
 * stored in F16: fit rounds them before anything is measured with them. */
#include "base/buf.h"
#include "base/mem.h"
#include "expert/experts.h"
#include "gguf/safetensors.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { MAX_HALVES = 2 * ARTIFACT_MAX_EXPERTS };

typedef struct save {
    const artifact *a;
    safet_writer *writer;
    uint16_t *halves[MAX_HALVES]; /* F16 copies, which must outlive the write */
    uint32_t n_halves;
    uint32_t expert;
    st_err *err;
} save;

static int put(save *s, const char *what, const char *dtype, uint64_t rows, uint64_t cols,
               const void *data)
{
    char name[64];
    uint64_t dims[2] = {rows, cols};
    snprintf(name, sizeof name, "%u.%s", s->expert, what);
    return safet_put(s->writer, name, dtype, dims, cols ? 2 : 1, data, s->err);
}

static int put_half(save *s, const char *what, uint64_t rows, uint64_t cols,
                    const float *data)
{
    size_t n = (size_t)(rows * cols);
    uint16_t *half = st_alloc_n(n, sizeof *half);
    if (!half)
        return st_err_set(s->err, ST_ENOMEM, "artifact: out of memory");
    s->halves[s->n_halves++] = half;
    for (size_t i = 0; i < n; i++)
        half[i] = st_f32_to_f16(data[i]);
    return put(s, what, "F16", rows, cols, half);
}

static int put_scaling(save *s, const scaling *scale)
{
    int code = put(s, "mean", "F32", scale->d, 0, scale->mean);
    return code ? code : put(s, "factor", "F32", scale->d, 0, scale->factor);
}

static int put_tensors(save *s, const expert *x)
{
    uint32_t k = s->a->n_options;
    int code = 0;
    switch (x->kind) {
    case EXPERT_WORDS: {
        const words_model *m = &x->as.words;
        (void)((code = put(s, "feature", "I32", m->n, 0, m->feature)) ||
               (code = put(s, "idf", "F32", m->n, 0, m->idf)) ||
               (code = put_half(s, "rows", (uint64_t)m->n + 1, k, m->rows)));
        break;
    }
    case EXPERT_HEAD: {
        const head_model *m = &x->as.head;
        (void)((code = put_scaling(s, &m->scale)) ||
               (code = put(s, "rows", "F32", (uint64_t)m->scale.d + 1, k, m->rows)));
        break;
    }
    case EXPERT_NEIGHBOURS: {
        const neighbours_model *m = &x->as.near;
        (void)((code = put_scaling(s, &m->scale)) ||
               (code = put(s, "basis", "F32", m->scale.d, m->r, m->basis)) ||
               (code = put_half(s, "keys", m->n, m->r, m->keys)) ||
               (code = put(s, "labels", "I32", m->n, 0, m->labels)));
        break;
    }
    }
    return code;
}

static int text_add(const char *bytes, size_t len, void *arg)
{
    return st_buf_add(arg, bytes, len) ? -1 : 0;
}

/* Put the value's text under the key, and release it. */
static int put_json(save *s, const char *key, json_t *value)
{
    st_buf text;
    st_buf_init(&text, SIZE_MAX / 2);
    int code = value && json_dump_callback(value, text_add, &text,
                                           JSON_COMPACT | JSON_SORT_KEYS) == 0
                   ? safet_put_meta(s->writer, key, text.data, s->err)
                   : st_err_set(s->err, ST_ENOMEM,
                                "artifact: %s: not UTF-8, or out of memory", key);
    json_decref(value);
    st_buf_done(&text);
    return code;
}

static json_t *options_json(const artifact *a)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < a->n_options; i++)
        if (json_array_append_new(list, json_string(a->options[i])))
            goto fail;
    return list;
fail:
    json_decref(list);
    return NULL;
}

static json_t *models_json(const artifact *a)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < a->n_models; i++) {
        const artifact_model *m = &a->models[i];
        json_t *item =
            json_pack("{s:s, s:s, s:s, s:b}", "name", m->name, "digest", m->digest,
                      "tokenizer", m->tok_digest, "used", (int)m->used);
        if (json_array_append_new(list, item)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *reading_json(const reading *r)
{
    json_t *layers = json_array();
    for (uint32_t i = 0; i < r->n_layers; i++)
        if (json_array_append_new(layers, json_integer(r->layers[i]))) {
            json_decref(layers);
            return NULL;
        }
    return json_pack("{s:o, s:s, s:b}", "layers", layers, "pooling",
                     r->pooling == READING_LAST ? "last" : "mean", "prompt",
                     (int)r->prompt);
}

static json_t *expert_json(const expert *x)
{
    json_t *item = json_pack("{s:s, s:s, s:f}", "kind", expert_kind_name(x->kind), "name",
                             x->name, "weight", x->weight);
    int bad = !item;
    if (x->kind != EXPERT_WORDS) {
        bad |= json_object_set_new(item, "model", json_integer(x->model));
        bad |= json_object_set_new(item, "reading", reading_json(&x->read));
    }
    if (x->kind == EXPERT_NEIGHBOURS) {
        bad |= json_object_set_new(item, "k", json_integer(x->as.near.k));
        bad |= json_object_set_new(item, "spread", json_real(x->as.near.spread));
        bad |= json_object_set_new(item, "doubt", json_real(x->as.near.doubt));
    }
    if (!bad)
        return item;
    json_decref(item);
    return NULL;
}

static json_t *experts_json(const artifact *a)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < a->n_experts; i++)
        if (json_array_append_new(list, expert_json(&a->experts[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *settings_json(const artifact *a)
{
    json_t *map = json_object();
    for (uint32_t i = 0; i < a->n_settings; i++)
        if (json_object_set_new(map, a->settings[i].key,
                                json_string(a->settings[i].value))) {
            json_decref(map);
            return NULL;
        }
    return map;
}

static int put_all(save *s)
{
    const artifact *a = s->a;
    int code;
    if ((code = safet_put_meta(s->writer, "stint.format", ARTIFACT_FORMAT, s->err)) ||
        (code = safet_put_meta(s->writer, "stint.contract", a->contract, s->err)) ||
        (code = put_json(s, "stint.options", options_json(a))) ||
        (code = put_json(s, "stint.models", models_json(a))) ||
        (code = put_json(s, "stint.experts", experts_json(a))) ||
        (code = put_json(s, "stint.settings", settings_json(a))))
        return code;
    for (s->expert = 0; s->expert < a->n_experts && !code; s->expert++)
        code = put_tensors(s, &a->experts[s->expert]);
    return code;
}

int artifact_save(const artifact *a, const char *path, st_err *err)
{
    save s = {.a = a, .err = err};
    int code = safet_writer_new(&s.writer, err);
    if (!code)
        code = put_all(&s);
    if (!code)
        code = safet_write(s.writer, path, err);
    safet_writer_free(s.writer);
    for (uint32_t i = 0; i < s.n_halves; i++)
        st_free(s.halves[i]);
    return code;
}
