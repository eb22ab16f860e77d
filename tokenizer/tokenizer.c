/* tokenizer/tokenizer.c - the door: make a tok, encode, decode. */
#include "tokenizer/tok_priv.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "tokenizer/wordmark.h"
#include <string.h>

static const struct algo_name {
    const char *name; /* tokenizer.ggml.model */
    tok_algo algo;
} algo_names[] = {
    {"gpt2", TOK_BYTE_BPE},
    {"gemma4", TOK_SPACE_BPE},
    {"llama", TOK_SPM},
    {"bert", TOK_WORDPIECE},
};

static int load_algo(tok *t, const gguf *g, st_sha *sha, st_err *err)
{
    gguf_str name;
    int rc = gguf_string(g, "tokenizer.ggml.model", &name, err);
    if (rc)
        return rc;
    st_sha_add(sha, name.data, name.len);
    for (size_t i = 0; i < ST_COUNT(algo_names); i++) {
        if (strlen(algo_names[i].name) == name.len &&
            memcmp(algo_names[i].name, name.data, name.len) == 0) {
            t->algo = algo_names[i].algo;
            return 0;
        }
    }
    rc = st_err_set(err, ST_EUNSUPPORTED, "tokenizer.ggml.model: '%.*s' is not supported",
                    name.len > 60 ? 60 : (int)name.len, name.data);
    st_err_hint(err, "supported are gpt2, llama, gemma4 and bert");
    return rc;
}

static int load_pre(tok *t, const gguf *g, unsigned *ret_flags, st_sha *sha, st_err *err)
{
    gguf_str name;
    *ret_flags = 0;
    if (t->algo != TOK_BYTE_BPE)
        return 0;
    int rc = gguf_string(g, "tokenizer.ggml.pre", &name, err);
    if (rc == ST_ENOTFOUND)
        st_err_hint(err, "files of before May 2024 lack it and cannot be split rightly: "
                         "convert the model again");
    if (!rc)
        rc = pre_new(name.data, name.len, &t->pre, ret_flags, err);
    if (rc)
        return rc;
    st_sha_add(sha, name.data, name.len);
    t->nfc = *ret_flags & PRE_NFC;
    t->whole_words = *ret_flags & PRE_WHOLE;
    return 0;
}

static int load_template(tok *t, const gguf *g, st_err *err)
{
    gguf_str text;
    if (!gguf_has(g, "tokenizer.chat_template"))
        return 0;
    int rc = gguf_string(g, "tokenizer.chat_template", &text, err);
    if (rc)
        return rc;
    if (text.len && memchr(text.data, '\0', text.len))
        return st_err_set(err, ST_EFORMAT, "tokenizer.chat_template holds a NUL");
    t->chat_template = st_dup(text.data, text.len);
    return t->chat_template ? 0 : st_err_set(err, ST_ENOMEM, "out of memory");
}

static void finish_digest(tok *t, st_sha *sha)
{
    const bool flags[] = {t->nfc,     t->whole_words,   t->space_prefix,
                          t->add_bos, t->add_eos,       t->add_sep,
                          t->lower,   t->strip_accents, t->hash_prefix};
    const int32_t ids[] = {t->bos, t->eos, t->unk, t->sep};
    st_sha_add(sha, flags, sizeof flags);
    st_sha_add(sha, ids, sizeof ids);
    vocab_digest(t, sha);
    for (uint32_t i = 0; i < t->n; i++) {
        const bool marks[] = {t->pieces[i].ends, t->pieces[i].rstrip};
        st_sha_add(sha, marks, sizeof marks);
    }
    st_sha_end(sha, t->digest);
}

static int load(tok *t, const gguf *g, st_err *err)
{
    st_sha sha;
    unsigned flags;
    st_sha_init(&sha);
    int rc = load_algo(t, g, &sha, err);
    if (!rc)
        rc = load_pre(t, g, &flags, &sha, err);
    if (!rc)
        rc = vocab_load(t, g, err);
    if (!rc)
        rc = roles_load(t, g, flags, err);
    if (!rc)
        rc = vocab_decode(t, err);
    if (!rc && (t->algo == TOK_BYTE_BPE || t->algo == TOK_SPACE_BPE))
        rc = merges_load(t, g, &sha, err);
    if (!rc)
        rc = special_index(t, err);
    if (!rc)
        rc = load_template(t, g, err);
    if (!rc)
        finish_digest(t, &sha);
    return rc;
}

int tok_new(const gguf *g, tok **ret_tok, st_err *err)
{
    tok *t = st_zalloc_n(1, sizeof *t);
    if (!t)
        return st_err_set(err, ST_ENOMEM, "out of memory");
    int rc = load(t, g, err);
    if (rc) {
        tok_free(t);
        st_err_at(err, "%s", gguf_path(g));
        return rc;
    }
    *ret_tok = t;
    return 0;
}

void tok_free(tok *t)
{
    if (!t)
        return;
    pre_free(t->pre);
    st_map_done(&t->by_text);
    st_map_done(&t->by_raw);
    st_free(t->pieces);
    st_free(t->text_blob);
    st_free(t->raw_blob);
    st_free(t->merges);
    st_free(t->specials);
    st_free(t->chat_template);
    st_free(t);
}

void tok_ids_done(tok_ids *ids)
{
    st_free(ids->ids);
    *ids = (tok_ids){0};
}

int tok_push(tok_run *r, int32_t id)
{
    tok_ids *out = r->out;
    if (out->n == out->cap) {
        size_t cap = out->cap ? 2 * out->cap : 64;
        int32_t *ids = st_realloc_n(out->ids, cap, sizeof *ids);
        if (!ids)
            return ST_ENOMEM;
        out->ids = ids;
        out->cap = cap;
    }
    out->ids[out->n++] = id;
    r->unknown_end = 0;
    return 0;
}

/* A run of characters that have neither piece nor bytes is one unknown token.  Byte-level
 * vocabularies have no unknown token: what lacks a piece is left out, as the reference
 * leaves it out. */
int tok_push_bytes(tok_run *r, const char *s, size_t len)
{
    const tok *t = r->t;
    int rc = 0;
    if (t->has_bytes || t->algo == TOK_BYTE_BPE) {
        for (size_t i = 0; !rc && i < len; i++) {
            int32_t id = t->byte_ids[(unsigned char)s[i]];
            rc = id >= 0 ? tok_push(r, id) : 0;
        }
        return rc;
    }
    if (t->unk < 0)
        return st_err_set(
            r->err, ST_EUNSUPPORTED,
            "the vocabulary has no unknown token and no piece for a character");
    if (r->unknown_end && r->unknown_end == r->out->n)
        return 0;
    rc = tok_push(r, t->unk);
    r->unknown_end = r->out->n;
    return rc;
}

static int encode_stretch(tok_run *r, const char *s, size_t len)
{
    if (!len)
        return 0;
    switch (r->t->algo) {
    case TOK_BYTE_BPE:
    case TOK_SPACE_BPE:
        return bpe_encode(r, s, len);
    case TOK_SPM: /* every stretch starts after a control token or at the start */
        return characters_encode(r, s, len, r->t->space_prefix);
    case TOK_WORDPIECE:
        return wordpiece_encode(r, s, len);
    }
    return ST_EINVAL;
}

static size_t skip_space(const char *s, size_t len, size_t at)
{
    size_t used;
    while (at < len && wordmark_is_space(st_utf8_decode(s + at, len - at, &used)))
        at += used;
    return at;
}

static int encode_text(tok_run *r, const char *s, const unsigned char *marks, size_t len,
                       bool parse)
{
    const tok *t = r->t;
    size_t at = 0, found;
    int32_t id;
    while (special_next(t, s, marks, len, at, parse, &found, &id)) {
        int rc = encode_stretch(r, s + at, found - at);
        if (!rc)
            rc = tok_push(r, id);
        if (rc)
            return rc;
        at = found + t->pieces[id].raw_len;
        if (t->pieces[id].rstrip)
            at = skip_space(s, len, at);
    }
    return encode_stretch(r, s + at, len - at);
}

static int encode_all(tok_run *r, const char *s, const unsigned char *marks, size_t len,
                      unsigned flags)
{
    const tok *t = r->t;
    bool add = flags & TOK_ADD;
    int rc = add && t->add_bos ? tok_push(r, t->bos) : 0;
    if (!rc)
        rc = encode_text(r, s, marks, len, flags & TOK_PARSE);
    if (!rc && add && t->add_sep)
        rc = tok_push(r, t->sep);
    if (!rc && add && t->add_eos)
        rc = tok_push(r, t->eos);
    return rc;
}

int tok_encode_marked(const tok *t, const char *text, const unsigned char *marks,
                      size_t len, unsigned flags, tok_ids *ids, st_err *err)
{
    tok_run r = {.t = t, .out = ids, .err = err};
    size_t before = ids->n;
    int rc = 0;
    if (len > TOK_MAX_TEXT)
        return st_err_set(err, ST_ELIMIT, "a text of %zu bytes, at most %d are taken",
                          len, TOK_MAX_TEXT);
    st_buf_init(&r.work, 4 * (size_t)TOK_MAX_TEXT - 1);
    if (t->pre)
        rc = pre_match_new(t->pre, &r.match);
    if (!rc)
        rc = encode_all(&r, text, marks, len, flags);
    pre_match_free(r.match);
    st_buf_done(&r.work);
    st_free(r.syms);
    st_free(r.heap);
    if (rc)
        ids->n = before;
    return rc ? st_err_set(err, rc, "tokenise: %s", st_code_text(rc)) : 0;
}

int tok_encode(const tok *t, const char *text, size_t len, unsigned flags, tok_ids *ids,
               st_err *err)
{
    return tok_encode_marked(t, text, NULL, len, flags, ids, err);
}

static int check_id(const tok *t, int32_t id, st_err *err)
{
    if (id >= 0 && (uint32_t)id < t->n)
        return 0;
    return st_err_set(err, ST_EINVAL, "token id %d is not one of %u", id, t->n);
}

static bool is_markup(const piece *p)
{
    return p->kind == PIECE_CONTROL || p->kind == PIECE_UNKNOWN;
}

/* How a piece reads at its place: `start` where a stretch of text starts. */
static int add_piece(const tok *t, const piece *p, bool start, bool first, st_buf *out)
{
    const char *s = p->raw;
    size_t len = p->raw_len;
    bool space = len && s[0] == ' ' && p->kind != PIECE_BYTE;
    if (t->algo == TOK_SPM && t->space_prefix && start && space && !is_markup(p))
        s++, len--; /* the space that encoding put there */
    if (t->algo == TOK_WORDPIECE) {
        if (is_markup(p) && !first)
            (void)st_buf_char(out, ' ');
        else if (space && (first || (len > 1 && memchr(".?!,", s[1], 4))))
            s++, len--;
    }
    return st_buf_add(out, s, len);
}

int tok_decode(const tok *t, const int32_t *ids, size_t n, bool special, st_buf *out,
               st_err *err)
{
    bool start = true, first = true;
    for (size_t i = 0; i < n; i++) {
        int rc = check_id(t, ids[i], err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < n; i++) {
        const piece *p = &t->pieces[ids[i]];
        bool markup = is_markup(p);
        if (special || !markup) {
            int rc = add_piece(t, p, start, first, out);
            if (rc)
                return st_err_set(err, rc, "decode: %s", st_code_text(rc));
            first = false;
        }
        start = markup || p->kind == PIECE_USER;
    }
    return 0;
}

int tok_piece(const tok *t, int32_t id, st_buf *out, st_err *err)
{
    int rc = check_id(t, id, err);
    if (rc)
        return rc;
    rc = st_buf_add(out, t->pieces[id].raw, t->pieces[id].raw_len);
    return rc ? st_err_set(err, rc, "decode: %s", st_code_text(rc)) : 0;
}

uint32_t tok_n_vocab(const tok *t)
{
    return t->n;
}

int32_t tok_find(const tok *t, const char *spelling)
{
    uint32_t id;
    return st_map_get(&t->by_text, spelling, strlen(spelling), &id) ? (int32_t)id : -1;
}

int32_t tok_bos(const tok *t)
{
    return t->bos;
}

int32_t tok_eos(const tok *t)
{
    return t->eos;
}

bool tok_is_end(const tok *t, int32_t id)
{
    return id >= 0 && (uint32_t)id < t->n && t->pieces[id].ends;
}

const int32_t *tok_ends(const tok *t, uint32_t *ret_n)
{
    *ret_n = t->n_ends;
    return t->ends;
}

bool tok_is_control(const tok *t, int32_t id)
{
    return id >= 0 && (uint32_t)id < t->n && t->pieces[id].kind == PIECE_CONTROL;
}

bool tok_is_text(const tok *t, int32_t id)
{
    if (id < 0 || (uint32_t)id >= t->n)
        return false;
    const piece *p = &t->pieces[id];
    return !is_markup(p) && p->kind != PIECE_UNUSED && p->raw_len > 0;
}

const char *tok_chat_template(const tok *t)
{
    return t->chat_template;
}

const char *tok_digest(const tok *t)
{
    return t->digest;
}
