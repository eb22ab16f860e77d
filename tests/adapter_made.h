/* tests/adapter_made.h - adapters of drawn numbers, written as GGUF and as PEFT writes
 * them, byte by byte; and their base with W + scale * B A instead of W.
 *
 * B's rows of q and k are kept in GGUF's order here; a PEFT file gets them in the order
 * of Hugging Face, by the definition of the converter:
 *     W_gguf = W_hf.reshape(n_head, 2, dim / 2, cols).swapaxes(1, 2).reshape(W_hf.shape)
 */
#ifndef TESTS_ADAPTER_MADE_H
#define TESTS_ADAPTER_MADE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "gguf/encode.h"
#include "gguf/gguf.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MADE_MOST = 128, MADE_NAME = 96, MADE_PATH = 256 };

typedef struct made_pair {
    char tensor[MADE_NAME]; /* "blk.0.attn_q.weight" */
    uint32_t rows, cols;    /* of W */
    float *a;               /* [rank, cols] */
    float *b;               /* [rows, rank] */
} made_pair;

typedef struct made {
    char arch[32];
    uint32_t rank;
    float alpha;
    bool by_root; /* rslora */
    bool paired;  /* the arch's q and k are */
    uint32_t dim; /* of a key head */
    made_pair pairs[MADE_MOST];
    uint32_t n;
} made;

static inline float made_scale(const made *m)
{
    return m->alpha / (m->by_root ? sqrtf((float)m->rank) : (float)m->rank);
}

static inline bool made_takes(const char *name)
{
    static const char *const parts[] = {"attn_qkv",    "attn_q",   "attn_k", "attn_v",
                                        "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
    char part[MADE_NAME];
    unsigned il;
    int end = 0;
    if (sscanf(name, "blk.%u.%95[a-z_].weight%n", &il, part, &end) != 2 || end == 0 ||
        name[end])
        return false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strcmp(part, parts[i]) == 0)
            return true;
    return false;
}

static inline float *made_floats(st_rng *rng, size_t n, float most)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(2 * st_rng_unit(rng) - 1) * most;
    return x;
}

/* For about one in `sparse` of the matrices that can be adapted. */
static inline void made_draw(made *m, const gguf *g, uint32_t rank, uint32_t sparse,
                             st_rng *rng)
{
    gguf_str arch;
    char key[64];
    uint32_t n_embd, n_head;
    *m = (made){.rank = rank, .alpha = (float)rank * 0.75f};
    assert_int_equal(gguf_string(g, "general.architecture", &arch, NULL), 0);
    snprintf(m->arch, sizeof m->arch, "%.*s", (int)arch.len, arch.data);
    m->paired = strcmp(m->arch, "llama") == 0 || strcmp(m->arch, "smollm3") == 0;
    snprintf(key, sizeof key, "%s.embedding_length", m->arch);
    assert_int_equal(gguf_u32(g, key, &n_embd, NULL), 0);
    snprintf(key, sizeof key, "%s.attention.head_count", m->arch);
    assert_int_equal(gguf_u32(g, key, &n_head, NULL), 0);
    snprintf(key, sizeof key, "%s.attention.key_length", m->arch);
    assert_int_equal(gguf_u32_or(g, key, n_embd / n_head, &m->dim, NULL), 0);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (!made_takes(t->name) || (sparse > 1 && st_rng_below(rng, sparse) > 0 && m->n))
            continue;
        assert_true(m->n < MADE_MOST && t->n_dims == 2);
        made_pair *p = &m->pairs[m->n++];
        snprintf(p->tensor, sizeof p->tensor, "%s", t->name);
        p->cols = (uint32_t)t->dims[0];
        p->rows = (uint32_t)t->dims[1];
        p->a = made_floats(rng, (size_t)rank * p->cols, 0.2f);
        p->b = made_floats(rng, (size_t)p->rows * rank, 0.2f);
    }
    assert_true(m->n > 0);
}

static inline void made_done(made *m)
{
    for (uint32_t i = 0; i < m->n; i++) {
        free(m->pairs[i].a);
        free(m->pairs[i].b);
    }
    m->n = 0;
}

static inline void *made_encode(st_dtype type, const float *x, size_t n, size_t *ret_len)
{
    assert_true(st_dtype_size(type, n, ret_len));
    void *data = malloc(*ret_len);
    assert_non_null(data);
    assert_int_equal(encode_floats(type, x, n, data, NULL), 0);
    return data;
}

static inline void made_write_gguf(const made *m, st_dtype type, const char *path)
{
    gguf_writer *w;
    void *data[2 * MADE_MOST];
    size_t len;
    assert_int_equal(gguf_writer_new(&w, NULL), 0);
    assert_int_equal(gguf_put_string(w, "general.type", "adapter", 7, NULL), 0);
    assert_int_equal(
        gguf_put_string(w, "general.architecture", m->arch, strlen(m->arch), NULL), 0);
    assert_int_equal(gguf_put_string(w, "adapter.type", "lora", 4, NULL), 0);
    assert_int_equal(gguf_put_f32(w, "adapter.lora.alpha", m->alpha, NULL), 0);
    for (uint32_t i = 0; i < m->n; i++) {
        const made_pair *p = &m->pairs[i];
        const uint64_t a[] = {p->cols, m->rank}, b[] = {m->rank, p->rows};
        char name[MADE_NAME + 8];
        data[2 * i] = made_encode(type, p->a, (size_t)m->rank * p->cols, &len);
        data[2 * i + 1] = made_encode(type, p->b, (size_t)p->rows * m->rank, &len);
        snprintf(name, sizeof name, "%s.lora_a", p->tensor);
        assert_int_equal(gguf_put_tensor(w, name, type, a, 2, data[2 * i], NULL), 0);
        snprintf(name, sizeof name, "%s.lora_b", p->tensor);
        assert_int_equal(gguf_put_tensor(w, name, type, b, 2, data[2 * i + 1], NULL), 0);
    }
    assert_int_equal(gguf_write(w, path, NULL), 0);
    gguf_writer_free(w);
    for (uint32_t i = 0; i < 2 * m->n; i++)
        free(data[i]);
}

/* --- PEFT */

static inline const char *made_module(const made *m, const char *part)
{
    static const char *const names[][2] = {
        {"attn_q", "self_attn.q_proj"},     {"attn_k", "self_attn.k_proj"},
        {"attn_v", "self_attn.v_proj"},     {"attn_output", "self_attn.o_proj"},
        {"attn_qkv", "self_attn.qkv_proj"}, {"ffn_gate", "mlp.gate_proj"},
        {"ffn_down", "mlp.down_proj"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(part, names[i][0]) == 0)
            return names[i][1];
    return strcmp(m->arch, "phi3") == 0 ? "mlp.gate_up_proj" : "mlp.up_proj";
}

/* B with its rows as Hugging Face has them. */
static inline float *made_hf_rows(const made *m, const made_pair *p)
{
    size_t row = m->rank * sizeof *p->b;
    float *hf = malloc(p->rows * row);
    uint32_t half = m->dim / 2;
    bool moves =
        m->paired && (strstr(p->tensor, ".attn_q.") || strstr(p->tensor, ".attn_k."));
    assert_non_null(hf);
    for (uint32_t h = 0; h < p->rows / m->dim; h++)
        for (uint32_t i = 0; i < half; i++)
            for (uint32_t j = 0; j < 2; j++) {
                uint32_t gguf_row = (h * half + i) * 2 + j;
                uint32_t hf_row = moves ? (h * 2 + j) * half + i : gguf_row;
                memcpy(hf + (size_t)hf_row * m->rank, p->b + (size_t)gguf_row * m->rank,
                       row);
            }
    uint32_t rest = p->rows / m->dim * m->dim; /* a feed-forward's need no heads */
    memcpy(hf + (size_t)rest * m->rank, p->b + (size_t)rest * m->rank,
           (p->rows - rest) * row);
    return hf;
}

static inline void made_peft_tensor(st_buf *head, st_buf *data, const char *module,
                                    unsigned il, char which, st_dtype type,
                                    const float *x, uint32_t rows, uint32_t cols)
{
    size_t len;
    void *bytes = made_encode(type, x, (size_t)rows * cols, &len);
    st_buf_fmt(head,
               "%s\"base_model.model.model.layers.%u.%s.lora_%c.weight\":{\"dtype\":"
               "\"%s\",\"shape\":[%u,%u],\"data_offsets\":[%zu,%zu]}",
               head->len > 1 ? "," : "", il, module, which, st_dtype_get(type)->name,
               rows, cols, data->len, data->len + len);
    st_buf_add(data, bytes, len);
    free(bytes);
}

static inline void made_file(const char *folder, const char *name, const void *data,
                             size_t len)
{
    char path[MADE_PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(st_file_write(path, data, len, NULL), 0);
}

static inline void made_config(const made *m, const char *more, const char *folder)
{
    char text[512];
    int len = snprintf(text, sizeof text,
                       "{\"peft_type\": \"LORA\", \"r\": %u, \"lora_alpha\": %g, "
                       "\"use_rslora\": %s, \"bias\": \"none\", \"modules_to_save\": "
                       "null, \"use_dora\": false, \"lora_dropout\": 0.05%s}",
                       m->rank, (double)m->alpha, m->by_root ? "true" : "false", more);
    made_file(folder, "adapter_config.json", text, (size_t)len);
}

static inline void made_write_peft(const made *m, st_dtype type, const char *folder)
{
    st_buf head, data, file;
    st_buf_init(&head, SIZE_MAX / 2);
    st_buf_init(&data, SIZE_MAX / 2);
    st_buf_init(&file, SIZE_MAX / 2);
    st_buf_char(&head, '{');
    for (uint32_t i = 0; i < m->n; i++) {
        const made_pair *p = &m->pairs[i];
        char part[MADE_NAME];
        unsigned il;
        assert_int_equal(sscanf(p->tensor, "blk.%u.%95[a-z_]", &il, part), 2);
        const char *module = made_module(m, part);
        float *b = made_hf_rows(m, p);
        made_peft_tensor(&head, &data, module, il, 'A', type, p->a, m->rank, p->cols);
        made_peft_tensor(&head, &data, module, il, 'B', type, b, p->rows, m->rank);
        free(b);
    }
    st_buf_char(&head, '}');
    uint64_t len = head.len;
    st_buf_add(&file, &len, sizeof len);
    st_buf_add(&file, head.data, head.len);
    st_buf_add(&file, data.data, data.len);
    assert_int_equal(file.code, 0);
    made_file(folder, "adapter_model.safetensors", file.data, file.len);
    made_config(m, "", folder);
    st_buf_done(&file);
    st_buf_done(&data);
    st_buf_done(&head);
}

/* --- the base with the adapter in its weights */

/* `bytes` are those of an F32 base; `g` is open on them. */
static inline void made_merge(const made *m, const gguf *g, unsigned char *bytes)
{
    for (uint32_t i = 0; i < m->n; i++) {
        const made_pair *p = &m->pairs[i];
        const gguf_tensor *t = gguf_find_tensor(g, p->tensor);
        assert_non_null(t);
        assert_int_equal(t->type, ST_F32);
        unsigned char *w = bytes + ((const unsigned char *)t->data - bytes);
        for (uint32_t r = 0; r < p->rows; r++)
            for (uint32_t c = 0; c < p->cols; c++) {
                float x;
                double sum = 0;
                size_t at = ((size_t)r * p->cols + c) * sizeof x;
                for (uint32_t k = 0; k < m->rank; k++)
                    sum += (double)p->b[(size_t)r * m->rank + k] *
                           (double)p->a[(size_t)k * p->cols + c];
                memcpy(&x, w + at, sizeof x);
                x += (float)(sum * (double)made_scale(m));
                memcpy(w + at, &x, sizeof x);
            }
    }
}
#endif
