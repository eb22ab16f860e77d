/* tokenizer/vocab.c - the pieces of a vocabulary: spellings, kinds, bytes, order.
 *
 * Everything is copied out of the file, so that the file may be closed.  An entry of the
 * file that contradicts another is an error that names its key; nothing is repaired by
 * guessing.  Two spellings may not be the same: one of them could never be reached. */
#include "tokenizer/tok_priv.h"

#include "base/mem.h"
#include "base/utf8.h"
#include <math.h>
#include <string.h>

#define KEY_TOKENS "tokenizer.ggml.tokens"
#define KEY_TYPES "tokenizer.ggml.token_type"
#define KEY_SCORES "tokenizer.ggml.scores"

static int out_of_memory(st_err *err)
{
    return st_err_set(err, ST_ENOMEM, "out of memory for a vocabulary");
}

/* Room for all spellings, checked one by one. */
static int measure(const gguf_str *tokens, size_t n, size_t *ret_bytes, st_err *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        if (tokens[i].len > TOK_MAX_PIECE)
            return st_err_set(err, ST_EFORMAT,
                              KEY_TOKENS "[%zu]: %zu bytes, at most %d are taken", i,
                              tokens[i].len, TOK_MAX_PIECE);
        bytes += tokens[i].len;
    }
    *ret_bytes = bytes;
    return 0;
}

static int copy_spellings(tok *t, const gguf_str *tokens, size_t bytes, st_err *err)
{
    t->pieces = st_zalloc_n(t->n, sizeof *t->pieces);
    t->text_blob = st_alloc(bytes);
    if (!t->pieces || !t->text_blob)
        return out_of_memory(err);
    char *at = t->text_blob;
    for (uint32_t i = 0; i < t->n; i++) {
        piece *p = &t->pieces[i];
        p->text = p->raw = at;
        p->text_len = p->raw_len = (uint32_t)tokens[i].len;
        p->kind = PIECE_NORMAL;
        if (p->text_len)
            memcpy(at, tokens[i].data, p->text_len);
        at += p->text_len;
        if (p->text_len > t->max_text)
            t->max_text = p->text_len;
    }
    return 0;
}

static int load_spellings(tok *t, const gguf *g, st_err *err)
{
    gguf_str *tokens;
    size_t n, bytes = 0;
    int rc = gguf_strings(g, KEY_TOKENS, &tokens, &n, err);
    if (rc)
        return rc;
    if (n == 0 || n > INT32_MAX)
        rc = st_err_set(err, ST_EFORMAT, KEY_TOKENS ": %zu entries", n);
    if (!rc)
        rc = measure(tokens, n, &bytes, err);
    if (!rc) {
        t->n = (uint32_t)n;
        rc = copy_spellings(t, tokens, bytes, err);
    }
    st_free(tokens);
    return rc;
}

static int wrong_count(const char *key, size_t n, uint32_t want, st_err *err)
{
    return st_err_set(err, ST_EFORMAT, "%s: %zu entries for %u tokens", key, n, want);
}

static int load_kinds(tok *t, const gguf *g, st_err *err)
{
    int32_t *kinds;
    size_t n;
    if (!gguf_has(g, KEY_TYPES))
        return 0;
    int rc = gguf_i32s(g, KEY_TYPES, &kinds, &n, err);
    if (rc)
        return rc;
    if (n != t->n)
        rc = wrong_count(KEY_TYPES, n, t->n, err);
    for (uint32_t i = 0; !rc && i < t->n; i++) {
        if (kinds[i] < 0 || kinds[i] > PIECE_BYTE)
            rc = st_err_set(err, ST_EFORMAT, KEY_TYPES "[%u]: type %d is not defined", i,
                            kinds[i]);
        else
            t->pieces[i].kind = (uint8_t)(kinds[i] ? kinds[i] : PIECE_NORMAL);
    }
    st_free(kinds);
    return rc;
}

/* Floats in the order of unsigned numbers, the highest score first. */
static uint32_t order_of(float score)
{
    union {
        float f;
        uint32_t u;
    } v = {score + 0.0f}; /* -0 and 0 are one score */
    return v.u & 0x80000000u ? v.u : ~(v.u | 0x80000000u);
}

static int load_scores(tok *t, const gguf *g, st_err *err)
{
    float *scores;
    size_t n;
    if (t->algo != TOK_SPM)
        return 0;
    int rc = gguf_f32s(g, KEY_SCORES, &scores, &n, err);
    if (rc)
        return rc;
    if (n != t->n)
        rc = wrong_count(KEY_SCORES, n, t->n, err);
    for (uint32_t i = 0; !rc && i < t->n; i++) {
        if (isnan(scores[i]))
            rc = st_err_set(err, ST_EFORMAT, KEY_SCORES "[%u]: not a number", i);
        t->pieces[i].order = order_of(scores[i]);
    }
    st_free(scores);
    return rc;
}

/* The byte that byte-level BPE writes as the character c, or -1: printable bytes stand
 * for themselves, the other 68 are U+0100 and on, in order. */
static int byte_of_char(uint32_t c)
{
    if ((c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0xFF))
        return (int)c;
    if (c < 0x100 || c > 0x143)
        return -1;
    c -= 0x100;
    return (int)(c <= 0x20 ? c : c < 67 ? 0x7F + (c - 33) : 0xAD);
}

/* Bytes of a byte-level spelling; 0 when a character stands for no byte. */
static uint32_t decode_bytes(const piece *p, char *out)
{
    uint32_t n = 0;
    for (size_t at = 0, used; at < p->text_len; at += used) {
        int byte = byte_of_char(st_utf8_decode(p->text + at, p->text_len - at, &used));
        if (byte < 0)
            return 0;
        out[n++] = (char)byte;
    }
    return n;
}

static uint32_t decode_spaces(const piece *p, char *out)
{
    uint32_t n = 0;
    for (uint32_t at = 0; at < p->text_len;) {
        bool space = p->text_len - at >= 3 && memcmp(p->text + at, TOK_SPACE, 3) == 0;
        out[n++] = space ? ' ' : p->text[at];
        at += space ? 3 : 1;
    }
    return n;
}

static uint32_t decode_wordpiece(const tok *t, const piece *p, char *out)
{
    const char *mark = t->hash_prefix ? "##" : TOK_SPACE;
    size_t skip = strlen(mark);
    bool marked = p->text_len >= skip && memcmp(p->text, mark, skip) == 0;
    uint32_t n = 0;
    if (marked != t->hash_prefix)
        out[n++] = ' '; /* the first piece of a word */
    if (!marked)
        skip = 0;
    memcpy(out + n, p->text + skip, p->text_len - skip);
    return n + p->text_len - (uint32_t)skip;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "<0x0A>" */
static uint32_t decode_byte_piece(const piece *p, char *out)
{
    if (p->text_len != 6 || memcmp(p->text, "<0x", 3) != 0 || p->text[5] != '>')
        return 0;
    int high = hex_digit(p->text[3]), low = hex_digit(p->text[4]);
    if (high < 0 || low < 0)
        return 0;
    out[0] = (char)(16 * high + low);
    return 1;
}

static uint32_t decode_piece(const tok *t, const piece *p, char *out)
{
    if (p->kind == PIECE_CONTROL || p->kind == PIECE_UNKNOWN)
        return 0;
    if (p->kind == PIECE_BYTE)
        return decode_byte_piece(p, out);
    switch (t->algo) {
    case TOK_BYTE_BPE:
        return p->kind == PIECE_USER ? 0 : decode_bytes(p, out);
    case TOK_SPACE_BPE:
    case TOK_SPM:
        return decode_spaces(p, out);
    case TOK_WORDPIECE:
        return p->text_len ? decode_wordpiece(t, p, out) : 0;
    }
    return 0;
}

/* Fill raw; where decode_piece() has nothing to say a piece stands for its spelling. */
static int decode_pieces(tok *t, st_err *err)
{
    size_t bytes = t->n;
    for (uint32_t i = 0; i < t->n; i++)
        bytes += t->pieces[i].text_len;
    char *at = t->raw_blob = st_alloc(bytes);
    if (!at)
        return out_of_memory(err);
    for (uint32_t i = 0; i < t->n; i++) {
        piece *p = &t->pieces[i];
        uint32_t len = decode_piece(t, p, at);
        if (!len && p->kind == PIECE_BYTE)
            return st_err_set(err, ST_EFORMAT,
                              KEY_TOKENS "[%u]: a byte token that is not spelled <0xNN>",
                              i);
        if (!len)
            continue;
        p->raw = at;
        p->raw_len = len;
        at += len;
    }
    return 0;
}

/* Are inner pieces marked ("##ing") or first ones (U+2581 "the")? */
static bool marks_inner(const tok *t)
{
    size_t inner = 0, first = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        const piece *p = &t->pieces[i];
        inner += p->text_len > 2 && memcmp(p->text, "##", 2) == 0;
        first += p->text_len > 3 && memcmp(p->text, TOK_SPACE, 3) == 0;
    }
    return inner > first;
}

static int index_spellings(tok *t, st_err *err)
{
    if (st_map_reserve(&t->by_text, t->n))
        return out_of_memory(err);
    for (uint32_t i = 0; i < t->n; i++) {
        const piece *p = &t->pieces[i];
        bool fresh = true;
        uint32_t other = 0;
        if (p->text_len && st_map_put(&t->by_text, p->text, p->text_len, i, &fresh))
            return out_of_memory(err);
        if (fresh)
            continue;
        (void)st_map_get(&t->by_text, p->text, p->text_len, &other);
        return st_err_set(err, ST_EFORMAT, KEY_TOKENS "[%u]: '%.*s' is already entry %u",
                          i, p->text_len > 60 ? 60 : (int)p->text_len, p->text, other);
    }
    return 0;
}

static void index_bytes(tok *t)
{
    t->has_bytes = true;
    for (unsigned b = 0; b < 256; b++)
        t->byte_ids[b] = -1;
    for (uint32_t i = 0; i < t->n; i++) {
        const piece *p = &t->pieces[i];
        bool byte = t->algo == TOK_BYTE_BPE
                        ? p->raw_len == 1 && p->raw != p->text && p->kind != PIECE_USER
                        : p->kind == PIECE_BYTE;
        if (byte && t->byte_ids[(unsigned char)p->raw[0]] < 0)
            t->byte_ids[(unsigned char)p->raw[0]] = (int32_t)i;
    }
    for (unsigned b = 0; b < 256; b++)
        t->has_bytes = t->has_bytes && t->byte_ids[b] >= 0;
}

/* Is a written space at `at`, and no other one before it? */
static bool starts_word(const char *s, size_t len, size_t at)
{
    return at > 0 && len - at >= 3 && memcmp(s + at, TOK_SPACE, 3) == 0 &&
           (at < 3 || memcmp(s + at - 3, TOK_SPACE, 3) != 0);
}

static void index_spaces(tok *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        const piece *p = &t->pieces[i];
        for (size_t at = 1; piece_is_literal(p) && at < p->text_len; at++) {
            if (starts_word(p->text, p->text_len, at))
                t->space_after[(unsigned char)p->text[at - 1]] = true;
        }
    }
}

size_t vocab_word_end(const tok *t, const char *s, size_t len, size_t at)
{
    for (at++; at < len; at++) {
        if (starts_word(s, len, at) && !t->space_after[(unsigned char)s[at - 1]])
            break;
    }
    return at;
}

static int index_words(tok *t, st_err *err)
{
    if (!t->whole_words)
        return 0;
    if (st_map_reserve(&t->by_raw, t->n))
        return out_of_memory(err);
    for (uint32_t i = 0; i < t->n; i++) {
        const piece *p = &t->pieces[i];
        if (p->raw_len && piece_is_literal(p) &&
            st_map_put(&t->by_raw, p->raw, p->raw_len, i, NULL))
            return out_of_memory(err);
    }
    return 0;
}

int vocab_load(tok *t, const gguf *g, st_err *err)
{
    int rc = load_spellings(t, g, err);
    if (!rc)
        rc = load_kinds(t, g, err);
    if (!rc)
        rc = load_scores(t, g, err);
    if (!rc)
        rc = index_spellings(t, err);
    return rc;
}

int vocab_decode(tok *t, st_err *err)
{
    t->hash_prefix = t->algo == TOK_WORDPIECE && marks_inner(t);
    int rc = decode_pieces(t, err);
    if (rc)
        return rc;
    index_bytes(t);
    index_spaces(t);
    return index_words(t, err);
}

int32_t vocab_literal(const tok *t, const char *text, size_t len)
{
    uint32_t id;
    if (!st_map_get(&t->by_text, text, len, &id) || !piece_is_literal(&t->pieces[id]))
        return -1;
    return (int32_t)id;
}

void vocab_digest(const tok *t, st_sha *sha)
{
    st_sha_add(sha, &t->n, sizeof t->n);
    for (uint32_t i = 0; i < t->n; i++) {
        const piece *p = &t->pieces[i];
        uint32_t head[] = {p->text_len, p->kind, p->order};
        st_sha_add(sha, head, sizeof head);
        st_sha_add(sha, p->text, p->text_len);
    }
}
