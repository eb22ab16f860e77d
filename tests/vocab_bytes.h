/* tests/vocab_bytes.h - vocabulary-only GGUF files put together in memory. */
#ifndef TESTS_VOCAB_BYTES_H
#define TESTS_VOCAB_BYTES_H
#include "base/utf8.h"
#include "tests/gguf_bytes.h"
#include <stdbool.h>
#include <stdio.h>

typedef struct vocab_spec { /* NULL and 0 leave a key out */
    const char *model;
    const char *pre;
    const char *name; /* general.name */
    const gguf_str *tokens;
    size_t n_tokens;
    const int32_t *types; /* -1 ends a shorter list */
    size_t n_types;
    const float *scores;
    size_t n_scores;
    const gguf_str *merges;
    size_t n_merges;
    struct {
        const char *key; /* the whole key */
        uint32_t value;
    } ids[6];
    struct {
        const char *key;
        bool value;
    } flags[6];
    const char *chat_template;
} vocab_spec;

static inline void put_strings(st_buf *b, const char *key, const gguf_str *v, size_t n)
{
    put_array(b, key, GGUF_STRING, n);
    for (size_t i = 0; i < n; i++) {
        put_u64(b, v[i].len);
        st_buf_add(b, v[i].data, v[i].len);
    }
}

static inline void put_text(st_buf *b, const char *key, const char *value)
{
    put_str(b, key);
    put_u32(b, GGUF_STRING);
    put_str(b, value);
}

static inline uint64_t put_numbers(st_buf *b, const vocab_spec *v)
{
    uint64_t n = 0;
    for (size_t i = 0; i < ST_COUNT(v->ids) && v->ids[i].key; i++, n++) {
        put_str(b, v->ids[i].key);
        put_u32(b, GGUF_U32);
        put_u32(b, v->ids[i].value);
    }
    for (size_t i = 0; i < ST_COUNT(v->flags) && v->flags[i].key; i++, n++) {
        put_str(b, v->flags[i].key);
        put_u32(b, GGUF_BOOL);
        st_buf_char(b, v->flags[i].value ? 1 : 0);
    }
    return n;
}

static inline uint64_t put_arrays(st_buf *b, const vocab_spec *v)
{
    uint64_t n = 0;
    if (v->tokens)
        put_strings(b, "tokenizer.ggml.tokens", v->tokens, v->n_tokens), n++;
    if (v->merges)
        put_strings(b, "tokenizer.ggml.merges", v->merges, v->n_merges), n++;
    if (v->types) {
        put_array(b, "tokenizer.ggml.token_type", GGUF_I32, v->n_types);
        st_buf_add(b, v->types, v->n_types * sizeof *v->types);
        n++;
    }
    if (v->scores) {
        put_array(b, "tokenizer.ggml.scores", GGUF_F32, v->n_scores);
        st_buf_add(b, v->scores, v->n_scores * sizeof *v->scores);
        n++;
    }
    return n;
}

/* The file, in a buffer that the caller releases. */
static inline void vocab_build(const vocab_spec *v, st_buf *ret_file)
{
    const struct {
        const char *key;
        const char *value;
    } texts[] = {{"tokenizer.ggml.model", v->model},
                 {"tokenizer.ggml.pre", v->pre},
                 {"general.name", v->name},
                 {"tokenizer.chat_template", v->chat_template}};
    uint64_t n = 0;
    put_header(ret_file, 3, 0, 0);
    ret_file->limit = 64 << 20;
    for (size_t i = 0; i < ST_COUNT(texts); i++) {
        if (texts[i].value)
            put_text(ret_file, texts[i].key, texts[i].value), n++;
    }
    n += put_numbers(ret_file, v);
    n += put_arrays(ret_file, v);
    if (ret_file->len >= 24)
        memcpy(ret_file->data + 16, &n, sizeof n);
    put_padding(ret_file, 32);
}

/* A byte as byte-level BPE spells it; at most 2 bytes and a NUL. */
static inline gguf_str vocab_byte(unsigned byte, char room[4])
{
    uint32_t c = byte;
    if (byte <= 0x20)
        c = 0x100 + byte;
    else if (byte >= 0x7F && byte <= 0xA0)
        c = 0x121 + byte - 0x7F;
    else if (byte == 0xAD)
        c = 0x143;
    return (gguf_str){room, st_utf8_encode(c, room)};
}
#endif
