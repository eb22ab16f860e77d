/* tokenizer/special.c - find the spellings of control and user-defined tokens in a text.
 *
 * The spellings are sorted.  At each place the range of those that agree with the text is
 * narrowed byte by byte; most bytes start no spelling and cost one look. */
#include "tokenizer/tok_priv.h"

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

/* The text a piece is found by: its bytes, since user-defined runs of spaces may be
 * spelled with the character that stands for a space. */
static unsigned char byte_of(const tok *t, uint32_t i, size_t depth)
{
    return (unsigned char)t->pieces[t->specials[i]].raw[depth];
}

static bool is_special(const piece *p)
{
    return p->raw_len && (p->kind == PIECE_CONTROL || p->kind == PIECE_UNKNOWN ||
                          p->kind == PIECE_USER);
}

typedef struct spelled { /* a piece while sorting */
    const piece *p;
    int32_t id;
} spelled;

static int by_spelling(const void *left, const void *right)
{
    const spelled *a = left, *b = right;
    size_t n = a->p->raw_len < b->p->raw_len ? a->p->raw_len : b->p->raw_len;
    int order = memcmp(a->p->raw, b->p->raw, n);
    if (order)
        return order;
    if (a->p->raw_len != b->p->raw_len)
        return a->p->raw_len < b->p->raw_len ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static int check_lengths(const tok *t, st_err *err)
{
    for (uint32_t i = 0; i < t->n; i++) {
        if (is_special(&t->pieces[i]) && t->pieces[i].raw_len > TOK_MAX_SPECIAL)
            return st_err_set(
                err, ST_EFORMAT,
                "tokenizer.ggml.tokens[%u]: a control token of %u bytes, at "
                "most %d are taken",
                i, t->pieces[i].raw_len, TOK_MAX_SPECIAL);
    }
    return 0;
}

static void sort_specials(tok *t, spelled *all)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        if (is_special(&t->pieces[i]))
            all[n++] = (spelled){&t->pieces[i], (int32_t)i};
    }
    qsort(all, n, sizeof *all, by_spelling);
    for (uint32_t i = 0; i < n; i++)
        t->specials[i] = all[i].id;
    uint32_t next = 0;
    for (unsigned c = 0; c <= 256; c++) {
        while (next < n && byte_of(t, next, 0) < c)
            next++;
        t->special_first[c] = next;
    }
}

int special_index(tok *t, st_err *err)
{
    int rc = check_lengths(t, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < t->n; i++)
        t->n_specials += is_special(&t->pieces[i]);
    spelled *all = st_alloc_n(t->n_specials, sizeof *all);
    t->specials = st_alloc_n(t->n_specials, sizeof *t->specials);
    if (all && t->specials)
        sort_specials(t, all);
    else
        rc = st_err_set(err, ST_ENOMEM, "out of memory for a vocabulary");
    st_free(all);
    return rc;
}

/* Of the sorted spellings [low, high), all longer than depth, the first whose byte there
 * is at least c. */
static uint32_t narrow(const tok *t, uint32_t low, uint32_t high, size_t depth,
                       unsigned c)
{
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (byte_of(t, mid, depth) < c)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The longest spelling at the start of text that counts, or -1.  A control token counts
 * when asked for and when none of its bytes is marked as data. */
static int32_t match_here(const tok *t, const char *text, const unsigned char *marks,
                          size_t len, bool parse)
{
    unsigned c = (unsigned char)text[0];
    uint32_t low = t->special_first[c], high = t->special_first[c + 1];
    int32_t best = -1;
    bool marked = marks && marks[0];
    for (size_t depth = 1; low < high; depth++) {
        for (; low < high && t->pieces[t->specials[low]].raw_len == depth; low++) {
            if (t->pieces[t->specials[low]].kind == PIECE_USER || (parse && !marked))
                best = t->specials[low];
        }
        if (depth == len)
            break;
        c = (unsigned char)text[depth];
        marked = marked || (marks && marks[depth]);
        low = narrow(t, low, high, depth, c);
        high = narrow(t, low, high, depth, c + 1);
    }
    return best;
}

bool special_next(const tok *t, const char *text, const unsigned char *marks, size_t len,
                  size_t at, bool parse, size_t *ret_at, int32_t *ret_id)
{
    for (; at < len; at++) {
        unsigned c = (unsigned char)text[at];
        if (t->special_first[c] == t->special_first[c + 1])
            continue;
        int32_t id = match_here(t, text + at, marks ? marks + at : NULL, len - at, parse);
        if (id >= 0) {
            *ret_at = at;
            *ret_id = id;
            return true;
        }
    }
    return false;
}
