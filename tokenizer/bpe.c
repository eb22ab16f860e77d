/* tokenizer/bpe.c - BPE by a table of merges: over bytes in words, or over characters. */
#include "tokenizer/tok_priv.h"

#include "base/utf8.h"

static int push_symbols(tok_run *r)
{
    int rc = 0;
    for (uint32_t i = 0; !rc && i < r->n_syms; i++) {
        const merge_sym *sym = &r->syms[i];
        if (sym->len)
            rc = sym->id >= 0 ? tok_push(r, sym->id)
                              : tok_push_bytes(r, r->text + sym->at, sym->len);
    }
    return rc;
}

/* A byte that has no piece is left out before merging, as the reference does. */
static int encode_word(void *arg, const char *s, size_t len)
{
    tok_run *r = arg;
    uint32_t id;
    if (r->t->whole_words && st_map_get(&r->t->by_raw, s, len, &id))
        return tok_push(r, (int32_t)id);
    int rc = merge_begin(r, s, len);
    for (size_t i = 0; !rc && i < len; i++) {
        int32_t byte = r->t->byte_ids[(unsigned char)s[i]];
        if (byte >= 0)
            merge_add(r, (uint32_t)i, 1, byte);
    }
    if (!rc)
        rc = merge_run(r);
    return rc ? rc : push_symbols(r);
}

static int encode_well_formed(tok_run *r, const char *s, size_t len)
{
    int rc = r->t->nfc ? normal_nfc(r, s, len, &s, &len) : 0;
    return rc ? rc : pre_words(r->t->pre, r->match, s, len, encode_word, r, r->err);
}

/* Patterns know characters only, so bytes that are none are set apart. */
static int encode_bytes(tok_run *r, const char *s, size_t len)
{
    while (len) {
        size_t good = len;
        (void)st_utf8_valid(s, len, &good);
        int rc = good ? encode_well_formed(r, s, good) : 0;
        if (!rc && good < len)
            rc = tok_push_bytes(r, s + good++, 1);
        if (rc)
            return rc;
        s += good;
        len -= good;
    }
    return 0;
}

static int encode_characters(tok_run *r, const char *s, size_t len)
{
    int rc = merge_begin(r, s, len);
    for (size_t at = 0, used; !rc && at < len; at += used) {
        (void)st_utf8_decode(s + at, len - at, &used);
        merge_add(r, (uint32_t)at, (uint32_t)used, vocab_literal(r->t, s + at, used));
    }
    if (!rc)
        rc = merge_run(r);
    return rc ? rc : push_symbols(r);
}

int characters_encode(tok_run *r, const char *s, size_t len, bool prefix)
{
    st_buf_reset(&r->work);
    int rc = prefix ? st_buf_add(&r->work, TOK_SPACE, 3) : 0;
    for (size_t i = 0; !rc && i < len; i++)
        rc = s[i] == ' ' ? st_buf_add(&r->work, TOK_SPACE, 3)
                         : st_buf_char(&r->work, s[i]);
    const char *text = r->work.data;
    for (size_t at = 0, end; !rc && at < r->work.len; at = end) {
        end = vocab_word_end(r->t, text, r->work.len, at);
        rc = encode_characters(r, text + at, end - at);
    }
    return rc;
}

int bpe_encode(tok_run *r, const char *s, size_t len)
{
    return r->t->algo == TOK_BYTE_BPE ? encode_bytes(r, s, len)
                                      : characters_encode(r, s, len, false);
}
