/* gguf/convert_wordpiece.c - a WordPiece vocabulary in llama.cpp's conventions.
 *
 * GGUF marks the start of a word ("\u2581") where WordPiece marks its continuation
 * ("##"):
 * "##ing" becomes "ing" and "play" becomes "\u2581play"; control tokens keep their
 * spelling. Words come from tokenizer.json, or from vocab.txt where there is none. */
#include "gguf/convert_priv.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include <stdio.h>
#include <string.h>

enum {
    MAX_TOKEN_BYTES = 4096,
    MAX_VOCAB_TXT = 64 << 20,
    TYPE_NORMAL = 1, /* llama.cpp's numbers of token types */
    TYPE_CONTROL = 3,
    TYPE_USER = 4,
    TYPE_UNUSED = 5,
};

typedef struct vocab {
    uint32_t n;       /* rows of the embedding matrix */
    gguf_str *tokens; /* as in the model; data NULL: not filled */
    int32_t *types;
    bool lowercase;
    st_map ids;      /* token -> id */
    json_t *source;  /* tokenizer.json; owns its tokens */
    char *text;      /* vocab.txt; owns its tokens */
    st_buf spelling; /* GGUF's spellings, joined */
} vocab;

static int set_token(vocab *v, const char *token, size_t len, json_int_t id, int32_t type,
                     st_err *err)
{
    bool fresh;
    if (id < 0 || id >= (json_int_t)v->n)
        return st_err_set(err, ST_EFORMAT,
                          "token '%s': id %lld is not below vocab_size %u", token,
                          (long long)id, v->n);
    if (len == 0 || len > MAX_TOKEN_BYTES)
        return st_err_set(err, ST_EFORMAT, "token %lld: %zu bytes, not 1 to %d",
                          (long long)id, len, MAX_TOKEN_BYTES);
    gguf_str *slot = &v->tokens[id];
    if (slot->data && (slot->len != len || memcmp(slot->data, token, len) != 0))
        return st_err_set(err, ST_EFORMAT, "token '%s': id %lld is taken by another",
                          token, (long long)id);
    int rc = st_map_put(&v->ids, token, len, (uint32_t)id, &fresh);
    if (rc)
        return st_err_set(err, rc, "token '%s': %s", token, st_code_text(rc));
    if (!fresh && !slot->data)
        return st_err_set(err, ST_EFORMAT, "token '%s': has two ids", token);
    *slot = (gguf_str){token, len};
    v->types[id] = type;
    return 0;
}

/* ---- tokenizer.json ---- */

static int take_words(vocab *v, const json_t *words, st_err *err)
{
    const char *token;
    size_t len;
    json_t *id;
    if (!json_is_object(words))
        return st_err_set(err, ST_EFORMAT, "'model.vocab' is not an object");
    json_object_keylen_foreach((json_t *)(uintptr_t)words, token, len, id)
    {
        int rc =
            json_is_integer(id)
                ? set_token(v, token, len, json_integer_value(id), TYPE_NORMAL, err)
                : st_err_set(err, ST_EFORMAT, "token '%s': its id is no number", token);
        if (rc)
            return rc;
    }
    return 0;
}

static int take_added(vocab *v, const json_t *added, st_err *err)
{
    size_t i;
    json_t *entry;
    json_array_foreach((json_t *)(uintptr_t)added, i, entry)
    {
        const json_t *content = json_object_get(entry, "content");
        const json_t *id = json_object_get(entry, "id");
        bool special = json_is_true(json_object_get(entry, "special"));
        if (!json_is_string(content) || !json_is_integer(id))
            return st_err_set(err, ST_EFORMAT, "'added_tokens' %zu: no content or id", i);
        int rc =
            set_token(v, json_string_value(content), json_string_length(content),
                      json_integer_value(id), special ? TYPE_CONTROL : TYPE_USER, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int check_model(const json_t *model, st_err *err)
{
    const char *type = json_string_value(json_object_get(model, "type"));
    const char *prefix =
        json_string_value(json_object_get(model, "continuing_subword_prefix"));
    if (!type || strcmp(type, "WordPiece") != 0)
        return st_err_set(err, ST_EUNSUPPORTED, "tokenizer of type '%s' is not WordPiece",
                          type ? type : "(missing)");
    if (prefix && strcmp(prefix, "##") != 0)
        return st_err_set(err, ST_EUNSUPPORTED, "subword prefix '%s' is not '##'",
                          prefix);
    return 0;
}

/* Only what our WordPiece does: BERT's clean-up, and accents stripped with the case. */
static int take_normalizer(vocab *v, const json_t *norm, st_err *err)
{
    const char *type = json_string_value(json_object_get(norm, "type"));
    const json_t *accents = json_object_get(norm, "strip_accents");
    if (!type || strcmp(type, "BertNormalizer") != 0)
        return st_err_set(err, ST_EUNSUPPORTED, "normalizer '%s' is not BertNormalizer",
                          type ? type : "(missing)");
    v->lowercase = json_is_true(json_object_get(norm, "lowercase"));
    if (json_is_boolean(accents) && json_is_true(accents) != v->lowercase)
        return st_err_set(err, ST_EUNSUPPORTED,
                          "normalizer: strip_accents unlike lowercase is not supported");
    if (json_is_false(json_object_get(norm, "clean_text")) ||
        json_is_false(json_object_get(norm, "handle_chinese_chars")))
        return st_err_set(err, ST_EUNSUPPORTED,
                          "normalizer: clean_text and handle_chinese_chars must be true");
    return 0;
}

static int from_tokenizer_json(vocab *v, st_err *err)
{
    const json_t *model = json_object_get(v->source, "model");
    int rc = check_model(model, err);
    if (!rc)
        rc = take_normalizer(v, json_object_get(v->source, "normalizer"), err);
    if (!rc)
        rc = take_words(v, json_object_get(model, "vocab"), err);
    if (!rc)
        rc = take_added(v, json_object_get(v->source, "added_tokens"), err);
    if (rc)
        st_err_at(err, "tokenizer.json");
    return rc;
}

/* ---- vocab.txt ---- */

static bool is_control(const char *token, size_t len)
{
    static const char *const names[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    for (size_t i = 0; i < ST_COUNT(names); i++) {
        if (strlen(names[i]) == len && memcmp(names[i], token, len) == 0)
            return true;
    }
    return false;
}

static int from_vocab_txt(const convert *c, vocab *v, st_err *err)
{
    char path[4096];
    size_t len;
    json_int_t id = 0;
    json_t *config = NULL;
    int n = snprintf(path, sizeof path, "%s/vocab.txt", c->folder);
    int rc = n < 0 || (size_t)n >= sizeof path ? ST_EINVAL : 0;
    if (!rc)
        rc = st_file_read(path, MAX_VOCAB_TXT, &v->text, &len, err);
    if (rc) {
        st_err_set(err, rc, "%s: the path is too long", c->folder);
        st_err_hint(err, "a WordPiece model has a tokenizer.json or a vocab.txt");
        return rc;
    }
    for (char *at = v->text, *end = v->text + len; at < end && !rc; id++) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t line = (size_t)((stop ? stop : end) - at);
        size_t token = line && at[line - 1] == '\r' ? line - 1 : line;
        at[token] = '\0';
        rc = set_token(v, at, token, id,
                       is_control(at, token) ? TYPE_CONTROL : TYPE_NORMAL, err);
        at += line + 1;
    }
    if (rc) {
        st_err_at(err, "vocab.txt");
        return rc;
    }
    rc = convert_json(c, "tokenizer_config.json", &config, err);
    v->lowercase = !json_is_false(json_object_get(config, "do_lower_case"));
    json_decref(config);
    return rc == ST_ENOTFOUND ? 0 : rc;
}

/* ---- writing ---- */

/* Unused rows of the matrix get a spelling that no text has. */
static int fill_unused(vocab *v, st_err *err)
{
    uint32_t last = v->n;
    while (last && !v->tokens[last - 1].data)
        last--;
    for (uint32_t i = 0; i < last; i++) {
        if (!v->tokens[i].data)
            return st_err_set(err, ST_EFORMAT, "the vocabulary has no token with id %u",
                              i);
    }
    for (uint32_t i = last; i < v->n; i++)
        v->types[i] = TYPE_UNUSED;
    return 0;
}

static void add_spelling(st_buf *out, const vocab *v, uint32_t i)
{
    gguf_str t = v->tokens[i];
    if (v->types[i] == TYPE_UNUSED) {
        st_buf_fmt(out, "[PAD%u]", i);
    } else if (v->types[i] != TYPE_NORMAL) {
        st_buf_add(out, t.data, t.len);
    } else if (t.len > 2 && memcmp(t.data, "##", 2) == 0) {
        st_buf_add(out, t.data + 2, t.len - 2);
    } else {
        st_buf_str(out, "\xE2\x96\x81");
        st_buf_add(out, t.data, t.len);
    }
}

static int put_tokens(convert *c, vocab *v, st_err *err)
{
    size_t *ends = st_alloc_n(v->n, sizeof *ends);
    gguf_str *list = st_alloc_n(v->n, sizeof *list);
    int rc = ends && list ? 0 : ST_ENOMEM;
    for (uint32_t i = 0; i < v->n && !rc; i++) {
        add_spelling(&v->spelling, v, i);
        ends[i] = v->spelling.len;
        rc = v->spelling.code;
    }
    for (uint32_t i = 0; i < v->n && !rc; i++) {
        size_t begin = i ? ends[i - 1] : 0;
        list[i] = (gguf_str){v->spelling.data + begin, ends[i] - begin};
    }
    if (rc)
        st_err_set(err, rc, "vocabulary: %s", st_code_text(rc));
    if (!rc)
        rc = gguf_put_strings(c->out, "tokenizer.ggml.tokens", list, v->n, err);
    if (!rc)
        rc = gguf_put_i32s(c->out, "tokenizer.ggml.token_type", v->types, v->n, err);
    st_free(list);
    st_free(ends);
    return rc;
}

static int put_special(convert *c, const vocab *v, st_err *err)
{
    static const struct {
        const char *token, *key;
        bool needed;
    } rows[] = {
        {"[CLS]", "tokenizer.ggml.bos_token_id", true},
        {"[CLS]", "tokenizer.ggml.cls_token_id", true},
        {"[SEP]", "tokenizer.ggml.eos_token_id", true},
        {"[SEP]", "tokenizer.ggml.seperator_token_id", true}, /* llama.cpp's spelling */
        {"[UNK]", "tokenizer.ggml.unknown_token_id", true},
        {"[PAD]", "tokenizer.ggml.padding_token_id", false},
        {"[MASK]", "tokenizer.ggml.mask_token_id", false},
    };
    int rc = 0;
    for (size_t i = 0; i < ST_COUNT(rows) && !rc; i++) {
        uint32_t id;
        if (st_map_get(&v->ids, rows[i].token, strlen(rows[i].token), &id))
            rc = gguf_put_u32(c->out, rows[i].key, id, err);
        else if (rows[i].needed)
            rc = st_err_set(err, ST_EUNSUPPORTED, "the vocabulary has no %s",
                            rows[i].token);
    }
    return rc;
}

static int put_vocab(convert *c, vocab *v, st_err *err)
{
    int rc = gguf_put_string(c->out, "tokenizer.ggml.model", "bert", 4, err);
    if (!rc)
        rc = gguf_put_string(c->out, "tokenizer.ggml.pre", "default", 7, err);
    if (!rc)
        rc = fill_unused(v, err);
    if (!rc)
        rc = put_tokens(c, v, err);
    if (!rc)
        rc = put_special(c, v, err);
    if (!rc)
        rc = gguf_put_bool(c->out, "tokenizer.ggml.normalizer.lowercase", v->lowercase,
                           err);
    return rc;
}

int convert_wordpiece(convert *c, uint32_t n_rows, st_err *err)
{
    vocab v = {.n = n_rows, .lowercase = true};
    st_buf_init(&v.spelling, (size_t)1 << 30);
    v.tokens = st_zalloc_n(n_rows, sizeof *v.tokens);
    v.types = st_zalloc_n(n_rows, sizeof *v.types);
    int rc = v.tokens && v.types ? 0 : st_err_set(err, ST_ENOMEM, "out of memory");
    if (!rc)
        rc = convert_json(c, "tokenizer.json", &v.source, err);
    if (rc == ST_ENOTFOUND)
        rc = from_vocab_txt(c, &v, err);
    else if (!rc)
        rc = from_tokenizer_json(&v, err);
    if (!rc)
        rc = put_vocab(c, &v, err);
    st_map_done(&v.ids);
    st_buf_done(&v.spelling);
    st_free(v.tokens);
    st_free(v.types);
    st_free(v.text);
    json_decref(v.source);
    return rc;
}
