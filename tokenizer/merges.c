/* tokenizer/merges.c - the merge table of BPE: a pair of ids gives its rank and result.
 *
 * Open addressing over mixed 64-bit keys, at most half full.  A merge whose result or
 * parts text may not spell (a control token) is left out: no text becomes one by
 * merging. */
#include "tokenizer/tok_priv.h"

#include "base/mem.h"
#include <string.h>

#define KEY_MERGES "tokenizer.ggml.merges"

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static size_t start_of(const tok *t, uint64_t pair)
{
    pair ^= pair >> 31; /* the finaliser of splitmix64 */
    pair *= 0x7FB5D329728EA185u;
    pair ^= pair >> 27;
    pair *= 0x81DADEF4BC2DD44Du;
    pair ^= pair >> 33;
    return (size_t)pair & (t->n_merge_slots - 1);
}

const merge_slot *merges_find(const tok *t, int32_t left, int32_t right)
{
    uint64_t pair = pair_of(left, right);
    for (size_t i = start_of(t, pair);; i = (i + 1) & (t->n_merge_slots - 1)) {
        const merge_slot *slot = &t->merges[i];
        if (slot->id < 0)
            return NULL;
        if (slot->pair == pair)
            return slot;
    }
}

/* The first merge of a pair counts. */
static void put(tok *t, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    uint64_t pair = pair_of(left, right);
    size_t i = start_of(t, pair);
    while (t->merges[i].id >= 0) {
        if (t->merges[i].pair == pair)
            return;
        i = (i + 1) & (t->n_merge_slots - 1);
    }
    t->merges[i] = (merge_slot){pair, rank, id};
}

static int missing(uint32_t rank, const gguf_str *m, st_err *err)
{
    return st_err_set(err, ST_EFORMAT,
                      KEY_MERGES
                      "[%u]: '%.*s' is not two pieces of the vocabulary that make "
                      "a third",
                      rank, m->len > 60 ? 60 : (int)m->len, m->data);
}

typedef struct merge_read { /* what reading the list carries from merge to merge */
    char *whole;            /* the result's spelling */
    uint32_t expected; /* the result's id when the vocabulary has the merges' order */
} merge_read;

/* The piece that is spelled r->whole.  Most vocabularies were built merge by merge, so
 * the next piece is tried before the map is. */
static bool find_result(const tok *t, merge_read *r, size_t len, uint32_t *ret_id)
{
    const piece *p = &t->pieces[r->expected < t->n ? r->expected : 0];
    *ret_id = (uint32_t)(p - t->pieces);
    if ((p->text_len != len || memcmp(p->text, r->whole, len) != 0) &&
        !st_map_get(&t->by_text, r->whole, len, ret_id))
        return false;
    r->expected = *ret_id + 1;
    return true;
}

/* "left right": pieces hold no space, but one may be a lone character of any kind. */
static int add_merge(tok *t, const gguf_str *m, uint32_t rank, merge_read *r, st_sha *sha,
                     st_err *err)
{
    char *whole = r->whole;
    const char *gap = m->len > 2 ? memchr(m->data + 1, ' ', m->len - 2) : NULL;
    uint32_t left, right, id;
    if (!gap || m->len > 2 * (size_t)TOK_MAX_PIECE)
        return missing(rank, m, err);
    size_t n_left = (size_t)(gap - m->data), n_right = m->len - n_left - 1;
    memcpy(whole, m->data, n_left);
    memcpy(whole + n_left, gap + 1, n_right);
    if (!st_map_get(&t->by_text, whole, n_left, &left) ||
        !st_map_get(&t->by_text, whole + n_left, n_right, &right) ||
        !find_result(t, r, n_left + n_right, &id))
        return missing(rank, m, err);
    uint32_t row[] = {left, right, id};
    st_sha_add(sha, row, sizeof row);
    if (piece_is_literal(&t->pieces[left]) && piece_is_literal(&t->pieces[right]) &&
        piece_is_literal(&t->pieces[id]))
        put(t, (int32_t)left, (int32_t)right, rank, (int32_t)id);
    return 0;
}

static int make_table(tok *t, size_t n, st_err *err)
{
    size_t slots = 16;
    if (n > UINT32_MAX / 2)
        return st_err_set(err, ST_EFORMAT, KEY_MERGES ": %zu entries", n);
    while (slots < 2 * n)
        slots *= 2;
    t->merges = st_alloc_n(slots, sizeof *t->merges);
    if (!t->merges)
        return st_err_set(err, ST_ENOMEM, "out of memory for %zu merges", n);
    memset(t->merges, 0xFF, slots * sizeof *t->merges); /* id -1 */
    t->n_merge_slots = slots;
    return 0;
}

int merges_load(tok *t, const gguf *g, st_sha *sha, st_err *err)
{
    gguf_str *merges;
    size_t n;
    int rc = gguf_strings(g, KEY_MERGES, &merges, &n, err);
    if (rc)
        return rc;
    merge_read r = {.whole = st_alloc(2 * (size_t)TOK_MAX_PIECE)};
    if (!r.whole)
        rc = st_err_set(err, ST_ENOMEM, "out of memory for %zu merges", n);
    if (!rc)
        rc = make_table(t, n, err);
    for (size_t i = 0; !rc && i < n; i++)
        rc = add_merge(t, &merges[i], (uint32_t)i, &r, sha, err);
    st_free(r.whole);
    st_free(merges);
    return rc;
}
