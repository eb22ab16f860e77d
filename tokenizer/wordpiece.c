/* tokenizer/wordpiece.c - BERT: words, each cut into the longest pieces from the left.
 *
 * Characters pass through the normaliser of the reference one by one (clean, set
 * ideographs apart, decompose and drop accents, lower-case) into the word under way,
 * which is looked up when something ends it.  A word of over 100 characters is unknown,
 * so the work for each character is bounded. */
#include "tokenizer/tok_priv.h"

#include "base/utf8.h"
#include "tokenizer/wordmark.h"
#include <string.h>
#include <utf8proc.h>

enum {
    MAX_CHARS = 100, /* of a word, as the models were trained */
    MARK_ROOM = 3,   /* for the mark of a first piece */
};

typedef struct word {
    char bytes[MARK_ROOM + 4 * MAX_CHARS]; /* the mark, then the word */
    size_t len;                            /* without the mark */
    size_t n_chars;
    bool broken; /* holds bytes that are no character */
} word;

/* The longest piece that starts at `from`; its end, or 0. */
static size_t longest_piece(const tok *t, const word *w, size_t from, int32_t *ret_id)
{
    bool mark_first = !t->hash_prefix && from == 0;
    size_t most = t->max_text < w->len - from ? from + t->max_text : w->len;
    char key[2 + 4 * MAX_CHARS] = "##";
    for (size_t to = most; to > from; to--) {
        size_t n = to - from;
        const char *s = w->bytes + MARK_ROOM + from;
        if (mark_first)
            *ret_id = vocab_literal(t, w->bytes, MARK_ROOM + n);
        else if (t->hash_prefix && from) {
            memcpy(key + 2, s, n);
            *ret_id = vocab_literal(t, key, 2 + n);
        } else
            *ret_id = vocab_literal(t, s, n);
        if (*ret_id >= 0)
            return to;
    }
    return 0;
}

static int push_unknown(tok_run *r)
{
    if (r->t->unk >= 0)
        return tok_push(r, r->t->unk);
    return st_err_set(r->err, ST_EUNSUPPORTED,
                      "the vocabulary has no unknown token and no piece for a word");
}

/* All pieces of the word, or the unknown token. */
static int end_word(tok_run *r, word *w)
{
    size_t before = r->out->n, from = 0;
    int rc = 0;
    if (w->n_chars > MAX_CHARS || w->broken)
        rc = push_unknown(r);
    else {
        while (!rc && from < w->len) {
            int32_t id;
            size_t to = longest_piece(r->t, w, from, &id);
            if (!to) {
                r->out->n = before;
                rc = push_unknown(r);
                break;
            }
            rc = tok_push(r, id);
            from = to;
        }
    }
    w->len = w->n_chars = 0;
    w->broken = false;
    return rc;
}

static void add_char(word *w, uint32_t c)
{
    if (w->n_chars < MAX_CHARS)
        w->len += st_utf8_encode(c, w->bytes + MARK_ROOM + w->len);
    w->n_chars++;
}

/* A normalised character. */
static int feed(tok_run *r, word *w, uint32_t c)
{
    if (wordmark_is_space(c))
        return end_word(r, w);
    if (!wordmark_is_punct(c)) {
        add_char(w, c);
        return 0;
    }
    int rc = end_word(r, w);
    add_char(w, c);
    return rc ? rc : end_word(r, w);
}

static int feed_lower(tok_run *r, word *w, uint32_t c)
{
    if (!r->t->lower)
        return feed(r, w, c);
    int rc = feed(r, w, (uint32_t)utf8proc_tolower((int32_t)c));
    /* The one character that becomes two: capital I with a dot above */
    return !rc && c == 0x130 ? feed(r, w, 0x307) : rc;
}

static int feed_stripped(tok_run *r, word *w, uint32_t c)
{
    int32_t parts[4];
    int boundary = 0;
    if (!r->t->strip_accents || c < 0x80)
        return feed_lower(r, w, c);
    utf8proc_ssize_t n =
        utf8proc_decompose_char((int32_t)c, parts, 4, UTF8PROC_DECOMPOSE, &boundary);
    if (n < 1 || n > 4) {
        parts[0] = (int32_t)c;
        n = 1;
    }
    int rc = 0;
    for (int i = 0; !rc && i < n; i++) {
        if (!wordmark_is_mark((uint32_t)parts[i]))
            rc = feed_lower(r, w, (uint32_t)parts[i]);
    }
    return rc;
}

static int feed_text(tok_run *r, word *w, uint32_t c)
{
    if (c == ST_UTF8_BAD) {
        w->broken = true;
        add_char(w, '?'); /* keeps the word from being empty; it is unknown anyway */
        return 0;
    }
    if (wordmark_is_dropped(c))
        return 0;
    bool alone = wordmark_is_ideograph(c);
    int rc = alone ? end_word(r, w) : 0;
    if (!rc)
        rc = feed_stripped(r, w, c);
    return !rc && alone ? end_word(r, w) : rc;
}

int wordpiece_encode(tok_run *r, const char *s, size_t len)
{
    word w;
    memcpy(w.bytes, TOK_SPACE, MARK_ROOM);
    w.len = w.n_chars = 0;
    w.broken = false;
    int rc = 0;
    for (size_t at = 0, used; !rc && at < len; at += used)
        rc = feed_text(r, &w, st_utf8_decode(s + at, len - at, &used));
    return rc ? rc : end_word(r, &w);
}
