/* engine/held_guess.c - which token is likely at a choice in held text.
 *
 *   inside forced text    the token that was left of it
 *   inside a value        what follows in the input where the same was read (lookup.h)
 *   where one begins      what stands behind its name in the input; else, where few ids
 *                         may come, the word of the input that fits best; else the word
 *                         after the last copy
 *   where a copy ends     the shortest end of the value, with what is forced behind it
 *
 * Only as much of the input as the grammar lets pass is tried. */
#include "engine/held_core.h"

#include "base/mem.h"
#include <string.h>

enum {
    COPY_MOST = 64,   /* bytes of the input tried at once */
    WORDS_MOST = 128, /* words of the input that are tried on the grammar */
    NARROW_SHARE = 64 /* under this share of the vocabulary, words are tried */
};

static int guess_push(held_text *h, const int32_t *ids, size_t n, st_err *err)
{
    if (n > h->guess.cap) {
        int32_t *more = st_realloc_n(h->guess.ids, n, sizeof *more);
        if (!more)
            return st_err_set(err, ST_ENOMEM, "no memory for %zu tokens", n);
        h->guess.ids = more;
        h->guess.cap = n;
    }
    if (n > 0)
        memcpy(h->guess.ids, ids, n * sizeof *ids);
    h->guess.n = n;
    h->guess_at = 0;
    return 0;
}

/* The tokens of a text that goes on here, but for the last `less`, at most `most`. */
static int text_push(held_text *h, const char *text, size_t len, size_t less, size_t most,
                     st_err *err)
{
    size_t from, n;
    int rc = held_encode_after(h, text, len, TOK_LITERAL, &from, err);
    if (rc < 0)
        return rc;
    n = h->ids.n - from;
    n = n > less ? n - less : 0;
    return guess_push(h, h->ids.ids + from, n < most ? n : most, err);
}

/* How many bytes of a text the grammar lets pass here. */
static int passing(held_text *h, const char *text, size_t len, size_t *ret_n, st_err *err)
{
    size_t had;
    bool fits = true;
    int rc = 0;
    matcher_text(h->m, &had);
    for (*ret_n = 0; rc == 0 && *ret_n < len; ++*ret_n) {
        st_err why = {0};
        rc = held_tried(matcher_accept_text(h->m, text + *ret_n, 1, &why), &why, &fits,
                        err);
        if (!fits)
            break;
    }
    matcher_rewind(h->m, had);
    return rc;
}

/* Where the last value begins: behind forced text and quotes. */
static size_t value_begin(const held_text *h, const char *text, size_t len)
{
    size_t at = len;
    while (at > 0 && at > h->settled && text[at - 1] != '"')
        at--;
    return at;
}

/* --- where a value begins */

/* The word of the input of which most passes; among equal ones the first after the last
 * copy. */
static int word_fitting(held_text *h, size_t *ret_at, st_err *err)
{
    size_t best = 0, at = 0, n;
    *ret_at = LOOKUP_NONE;
    for (int i = 0; i < WORDS_MOST; i++, at++) {
        at = lookup_word(&h->input, at);
        if (at == LOOKUP_NONE)
            break;
        int rc = passing(h, h->input.input + at,
                         lookup_extent(&h->input, at, COPY_MOST, "", 0), &n, err);
        if (rc < 0)
            return rc;
        if (n > best || (n > 0 && n == best && *ret_at < h->copied && at >= h->copied)) {
            best = n;
            *ret_at = at;
        }
    }
    return 0;
}

static int place_find(held_text *h, const char *text, size_t len, size_t value,
                      size_t *ret_at, st_err *err)
{
    const char *name;
    size_t n;
    *ret_at = LOOKUP_NONE;
    if (value < len) {
        *ret_at = lookup_resume(&h->input, text, len, value);
        return 0;
    }
    bool named = lookup_named(text, len, &name, &n);
    if (named)
        *ret_at = lookup_label(&h->input, name, n);
    if (*ret_at == LOOKUP_NONE && h->n_allowed <= h->n_vocab / NARROW_SHARE)
        return word_fitting(h, ret_at, err);
    if (!named && h->copied > 0)
        *ret_at = lookup_word(&h->input, h->copied);
    return 0;
}

/* --- what is pushed */

static int copy_push(held_text *h, size_t at, const char *value, size_t len, st_err *err)
{
    size_t n, extent = lookup_extent(&h->input, at, COPY_MOST, value, len);
    int rc = passing(h, h->input.input + at, extent, &n, err);
    if (rc < 0 || n == 0)
        return rc;
    h->closes = n < extent || extent < COPY_MOST;
    h->copied = at + n;
    return text_push(h, h->input.input + at, n, !h->closes, SIZE_MAX, err);
}

/* The shortest end of a value, and what is forced behind it. */
static int close_push(held_text *h, st_err *err)
{
    static const char ends[] = "\",}]";
    size_t had;
    bool fits = false;
    int rc = 0;
    h->closes = false;
    matcher_text(h->m, &had);
    st_buf_reset(&h->forced);
    for (int i = 0; rc == 0 && !fits && ends[i]; i++) {
        st_err why = {0};
        rc = held_tried(matcher_accept_text(h->m, &ends[i], 1, &why), &why, &fits, err);
        if (!fits)
            continue;
        st_buf_char(&h->forced, ends[i]);
        rc = matcher_forced(h->m, &h->forced, err);
    }
    matcher_rewind(h->m, had);
    return rc < 0 || !fits ? rc : text_push(h, h->forced.data, h->forced.len, 0, 1, err);
}

static int rest_push(held_text *h, st_err *err)
{
    st_buf_reset(&h->forced);
    int rc = matcher_forced(h->m, &h->forced, err);
    if (rc < 0 || h->forced.len == 0 || strcmp(h->forced.data, " ") == 0)
        return rc; /* a space joins the word behind it */
    return text_push(h, h->forced.data, h->forced.len, 0, 1, err);
}

static int guess_fill(held_text *h, st_err *err)
{
    size_t len, at;
    const char *text = matcher_text(h->m, &len);
    if (len < h->settled)
        return rest_push(h, err);
    if (h->closes)
        return close_push(h, err);
    if (h->input.len == 0)
        return 0;
    size_t value = value_begin(h, text, len);
    int rc = place_find(h, text, len, value, &at, err);
    if (rc < 0 || at == LOOKUP_NONE)
        return rc;
    text = matcher_text(h->m, &len);
    rc = copy_push(h, at, text + value, len - value, err);
    return rc == 0 && h->guess.n == 0 ? close_push(h, err) : rc;
}

int held_guess(held_text *h, int32_t *ret_id, st_err *err)
{
    int rc = 0;
    *ret_id = -1;
    if (h->guess_at == h->guess.n) {
        h->guess.n = h->guess_at = 0;
        rc = guess_fill(h, err);
    }
    if (rc == 0 && h->guess_at < h->guess.n)
        *ret_id = h->guess.ids[h->guess_at++];
    return rc;
}
