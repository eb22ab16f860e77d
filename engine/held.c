/* engine/held.c - what may come next in a text that is held to a grammar.
 *
 * Forced text is looked for once where it begins: its tokens become due one after the
 * other, and the last is left to a choice under the mask of its own place, where tokens
 * that begin with it and go on are allowed too.  What the tokenizer would write is asked
 * of the tokenizer, with some text before it, since words and spaces join.  Where it
 * cannot be told, or does not fit, the mask decides token by token. */
#include "engine/held_core.h"

#include "base/mem.h"
#include "engine/core.h"
#include <assert.h>
#include <string.h>

enum { MOST_FORCED = 1 << 20 /* bytes of a run */ };

int held_new(const sched_held *ask, const int32_t *stop_ids, uint32_t n_stop,
             uint32_t n_vocab, held_text **ret, st_err *err)
{
    held_text *h = st_zalloc_n(1, sizeof *h);
    if (!h)
        return st_err_set(err, ST_ENOMEM, "no memory for a held text");
    h->ask = *ask;
    h->n_vocab = n_vocab;
    h->words = n_vocab / 32 + (n_vocab % 32 != 0);
    h->stop_ids = stop_ids;
    h->n_stop = n_stop;
    h->input = (lookup){ask->input, ask->input ? ask->input_len : 0};
    st_buf_init(&h->forced, MOST_FORCED);
    st_buf_init(&h->text, MOST_FORCED + HELD_TAIL);
    h->bits = st_alloc_n(h->words, sizeof *h->bits);
    h->rows = st_alloc_n((size_t)h->words * (HELD_GUESSES + 1), sizeof *h->rows);
    int rc = ST_ENOMEM;
    if (!h->bits || !h->rows)
        st_err_set(err, rc, "no memory for the masks of %u ids", n_vocab);
    else
        rc = matcher_new(ask->masker, &h->m, err);
    if (rc < 0) {
        held_free(h);
        return rc;
    }
    *ret = h;
    return 0;
}

void held_free(held_text *h)
{
    if (!h)
        return;
    matcher_free(h->m);
    tok_ids_done(&h->guess);
    tok_ids_done(&h->ids);
    tok_ids_done(&h->due);
    st_buf_done(&h->text);
    st_buf_done(&h->forced);
    st_free(h->rows);
    st_free(h->bits);
    st_free(h);
}

bool held_is_end(const held_text *h, int32_t id)
{
    for (uint32_t i = 0; i < h->n_stop; i++)
        if (h->stop_ids[i] == id)
            return true;
    return tok_is_end(h->ask.tok, id);
}

/* --- tokens of text */

/* The token of h->ids from which on they are the last `len` bytes; h->ids.n: none is. */
static int boundary_find(held_text *h, const char *text, size_t len, size_t *ret_from,
                         st_err *err)
{
    size_t from = h->ids.n, n = 0;
    st_buf_reset(&h->text);
    while (from > 0 && n < len) {
        int rc = tok_piece(h->ask.tok, h->ids.ids[--from], &h->text, err);
        if (rc < 0)
            return rc;
        n = h->text.len;
    }
    *ret_from = h->ids.n;
    if (n != len)
        return 0;
    int rc = 0;
    st_buf_reset(&h->text);
    for (size_t i = from; rc == 0 && i < h->ids.n; i++)
        rc = tok_piece(h->ask.tok, h->ids.ids[i], &h->text, err);
    if (rc == 0 && memcmp(h->text.data, text, len) == 0)
        *ret_from = from;
    return rc;
}

static int encode_with(held_text *h, const char *before, size_t n_before,
                       const char *text, size_t len, unsigned flags, size_t *ret_from,
                       st_err *err)
{
    st_buf_reset(&h->text);
    st_buf_add(&h->text, before, n_before);
    st_buf_add(&h->text, text, len);
    if (h->text.code)
        return st_err_set(err, h->text.code, "no room for %zu bytes of forced text", len);
    h->ids.n = 0;
    int rc = tok_encode(h->ask.tok, h->text.data, h->text.len, flags, &h->ids, err);
    return rc < 0 ? rc : boundary_find(h, text, len, ret_from, err);
}

int held_encode_after(held_text *h, const char *text, size_t len, unsigned flags,
                      size_t *ret_from, st_err *err)
{
    size_t had, from;
    const char *before = matcher_text(h->m, &had);
    for (from = had > HELD_TAIL ? had - HELD_TAIL : 0; from < had; from++)
        if (((unsigned char)before[from] & 0xC0) != 0x80)
            break;
    int rc = 0;
    *ret_from = h->ids.n = 0;
    if (had > 0)
        rc = encode_with(h, before + from, had - from, text, len, flags, ret_from, err);
    if (rc == 0 && *ret_from == h->ids.n) /* a text may begin with a space of its own */
        rc = encode_with(h, "", 0, text, len, flags, ret_from, err);
    if (rc == 0 && *ret_from == h->ids.n)
        rc = encode_with(h, "\n", 1, text, len, flags, ret_from, err);
    return rc;
}

/* --- forced text */

int held_tried(int rc, const st_err *why, bool *ret_fits, st_err *err)
{
    *ret_fits = rc == 0;
    if (rc == 0 || rc == ST_EINVAL)
        return 0;
    if (err)
        *err = *why;
    return rc;
}

/* Do the tokens fit?  Then the last stays only where nothing can follow. */
static int due_check(held_text *h, size_t len, bool *ret_fit, st_err *err)
{
    bool fits = true;
    int rc = 0;
    for (size_t i = 0; rc == 0 && fits && i < h->due.n; i++) {
        int32_t id = h->due.ids[i];
        st_err why = {0};
        fits = !held_is_end(h, id) && (uint32_t)id < h->n_vocab;
        if (fits)
            rc = held_tried(matcher_accept(h->m, id, &why), &why, &fits, err);
    }
    *ret_fit = rc == 0 && fits && h->due.n > 0;
    if (*ret_fit && !matcher_must_end(h->m))
        h->due.n--; /* the last may merge with what follows */
    matcher_rewind(h->m, len);
    return rc;
}

static int due_fill(held_text *h, const int32_t *ids, size_t n, st_err *err)
{
    if (n > h->due.cap) {
        int32_t *more = st_realloc_n(h->due.ids, n, sizeof *more);
        if (!more)
            return st_err_set(err, ST_ENOMEM, "no memory for %zu forced tokens", n);
        h->due.ids = more;
        h->due.cap = n;
    }
    memcpy(h->due.ids, ids, n * sizeof *ids);
    h->due.n = n;
    return 0;
}

/* Control tokens where the grammar says that they may stand, text everywhere else. */
static int due_find(held_text *h, size_t len, st_err *err)
{
    static const unsigned ways[] = {TOK_PARSE, TOK_LITERAL};
    bool fit = false;
    int rc = 0;
    for (int i = 0; rc == 0 && !fit && i < 2; i++) {
        size_t from;
        rc = held_encode_after(h, h->forced.data, h->forced.len, ways[i], &from, err);
        if (rc == 0 && from < h->ids.n)
            rc = due_fill(h, h->ids.ids + from, h->ids.n - from, err);
        if (rc == 0 && h->due.n > 0)
            rc = due_check(h, len, &fit, err);
        if (rc < 0 || !fit)
            h->due.n = 0;
    }
    return rc;
}

static int forced_find(held_text *h, st_err *err)
{
    size_t len;
    matcher_text(h->m, &len);
    h->due.n = h->due_at = 0;
    if (len < h->settled)
        return 0;
    st_buf_reset(&h->forced);
    int rc = matcher_forced(h->m, &h->forced, err);
    if (rc == ST_ELIMIT) /* endless: a run at a time */
        rc = 0;
    if (rc < 0 || h->forced.len == 0)
        return rc;
    h->settled = len + h->forced.len;
    return due_find(h, len, err);
}

/* --- masks */

static void bit_set(uint32_t *bits, uint32_t id, bool on)
{
    uint32_t bit = UINT32_C(1) << id % 32;
    bits[id / 32] = on ? bits[id / 32] | bit : bits[id / 32] & ~bit;
}

static void ends_set(held_text *h, bool on)
{
    uint32_t n_ends;
    const int32_t *ends = tok_ends(h->ask.tok, &n_ends);
    for (uint32_t i = 0; i < n_ends; i++)
        if ((uint32_t)ends[i] < h->n_vocab)
            bit_set(h->bits, (uint32_t)ends[i], on);
    for (uint32_t i = 0; i < h->n_stop; i++)
        if ((uint32_t)h->stop_ids[i] < h->n_vocab)
            bit_set(h->bits, (uint32_t)h->stop_ids[i], on);
}

/* Read the mask into `bits`: ids of both vocabularies; ends as the grammar has them. */
static int mask_read(held_text *h, bool *ret_may_end, st_err *err)
{
    uint32_t n_tok = tok_n_vocab(h->ask.tok), words = n_tok / 32 + (n_tok % 32 != 0);
    mask now;
    int rc = matcher_mask(h->m, &now, err);
    if (rc < 0)
        return rc;
    if (words > h->words)
        words = h->words;
    memcpy(h->bits, now.bits, words * sizeof *h->bits);
    memset(h->bits + words, 0, (h->words - words) * sizeof *h->bits);
    if (h->n_vocab % 32)
        h->bits[h->words - 1] &= (UINT32_C(1) << h->n_vocab % 32) - 1;
    ends_set(h, false);
    h->n_allowed = allowed_count(h->bits, h->n_vocab);
    *ret_may_end = now.may_end;
    if (now.may_end)
        ends_set(h, true);
    return 0;
}

static int32_t bit_first(const uint32_t *bits)
{
    uint32_t i = 0;
    while (bits[i] == 0)
        i++;
    return (int32_t)(i * 32 + (uint32_t)__builtin_ctz(bits[i]));
}

int held_next(held_text *h, held_kind *ret_kind, int32_t *ret_id, st_err *err)
{
    bool may_end;
    int rc = h->due_at < h->due.n ? 0 : forced_find(h, err);
    if (rc < 0)
        return rc;
    if (h->due_at < h->due.n) {
        *ret_id = h->due.ids[h->due_at];
        *ret_kind = HELD_DUE;
        return 0;
    }
    rc = mask_read(h, &may_end, err);
    if (rc < 0)
        return rc;
    if (h->n_allowed == 0 && !may_end)
        return st_err_set(err, ST_ELIMIT,
                          "no token of the vocabulary can go on with the "
                          "text, and it is not whole");
    *ret_kind = h->n_allowed == 0             ? HELD_OVER
                : h->n_allowed > 1 || may_end ? HELD_CHOICE
                                              : HELD_DUE;
    if (*ret_kind == HELD_DUE)
        *ret_id = bit_first(h->bits);
    return 0;
}

int held_take(held_text *h, int32_t id, st_err *err)
{
    int rc = matcher_accept(h->m, id, err);
    if (rc == 0 && h->due_at < h->due.n)
        h->due_at++;
    return rc;
}

/* --- walks */

/* Go past a choice by its guess and past what is due after it.  *ret_on: a choice comes
 * next and there is room for more. */
static int guess_pass(held_text *h, int32_t id, uint32_t most, int32_t *tokens,
                      held_walk *w, bool *ret_on, st_err *err)
{
    held_kind kind = HELD_DUE;
    int rc = held_take(h, id, err);
    tokens[w->n++] = id;
    w->n_right++;
    while (rc == 0 && kind == HELD_DUE) {
        rc = held_next(h, &kind, &id, err);
        if (rc < 0 || kind != HELD_DUE)
            break;
        held_guess_drop(h); /* it went on another way than the guess */
        if (w->n == most)
            break;
        rc = held_take(h, id, err);
        tokens[w->n++] = id;
    }
    if (kind == HELD_OVER) { /* nothing to be asked behind it: it need not be run */
        w->n = w->out[w->n_out - 1];
        w->n_right--;
    }
    *ret_on = kind == HELD_CHOICE;
    return rc;
}

static int walk(held_text *h, uint32_t most_guesses, uint32_t most, int32_t *tokens,
                held_walk *w, st_err *err)
{
    bool on = true;
    int rc = 0;
    while (rc == 0 && on) {
        uint32_t *row = h->rows + (size_t)w->n_out * h->words;
        int32_t id = -1;
        memcpy(row, h->bits, h->words * sizeof *row);
        w->allowed[w->n_out] = row;
        w->out[w->n_out++] = w->n;
        if (w->n_right == most_guesses || w->n == most)
            break;
        rc = held_guess(h, &id, err);
        if (rc < 0 || id < 0 || (uint32_t)id >= h->n_vocab ||
            !(row[id / 32] >> id % 32 & 1) || held_is_end(h, id))
            break;
        rc = guess_pass(h, id, most, tokens, w, &on, err);
    }
    return rc;
}

int held_walk_on(held_text *h, uint32_t most_guesses, uint32_t most_tokens,
                 int32_t *ret_tokens, held_walk *ret_walk, st_err *err)
{
    size_t len, settled = h->settled;
    held_kind kind;
    int32_t id;
    int rc = held_next(h, &kind, &id, err);
    if (rc < 0)
        return rc;
    assert(kind == HELD_CHOICE);
    if (most_guesses > HELD_GUESSES)
        most_guesses = HELD_GUESSES;
    matcher_text(h->m, &len);
    held_guess_drop(h);
    *ret_walk = (held_walk){0};
    rc = walk(h, most_guesses, most_tokens, ret_tokens, ret_walk, err);
    matcher_rewind(h->m, len);
    h->settled = settled;
    h->due.n = h->due_at = 0;
    return rc;
}
