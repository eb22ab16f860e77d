/* grammar/piece_trie.c - vocab: pieces sorted by their bytes, then laid out depth first.
 */
#include "grammar/piece_trie.h"

#include "base/mem.h"
#include "base/utf8.h"
#include <stdlib.h>
#include <string.h>

typedef struct entry { /* a piece on its way into the trie */
    const char *bytes;
    size_t len;
    uint32_t id;
} entry;

static int out_of_memory(st_err *err)
{
    return st_err_set(err, ST_ENOMEM, "out of memory for the trie of a vocabulary");
}

static int by_bytes(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->bytes, y->bytes, n);
    if (order != 0)
        return order;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

/* The bytes of every id, one behind the other. */
static int read_pieces(vocab *v, const tok *t, st_err *err)
{
    st_buf all;
    st_buf_init(&all, SIZE_MAX / 2);
    int rc = 0;
    for (uint32_t id = 0; rc == 0 && id < v->n_ids; id++) {
        v->begin[id] = all.len;
        if (tok_is_text(t, (int32_t)id))
            rc = tok_piece(t, (int32_t)id, &all, err);
        if (rc == 0 && all.len - v->begin[id] > TRIE_DEEP)
            rc = st_err_set(err, ST_ELIMIT, "token %u has over %d bytes", id, TRIE_DEEP);
    }
    v->begin[v->n_ids] = all.len;
    if (rc == 0 && !all.data)
        rc = st_buf_room(&all, 1);
    if (rc < 0) {
        st_buf_done(&all);
        return err && err->code ? rc : out_of_memory(err);
    }
    v->bytes = all.data;
    return 0;
}

static int read_controls(vocab *v, const tok *t, st_err *err)
{
    st_buf all;
    st_buf_init(&all, SIZE_MAX / 2);
    uint32_t n = 0;
    for (uint32_t id = 0; id < v->n_ids; id++)
        n += tok_is_control(t, (int32_t)id);
    v->controls = st_zalloc_n(n, sizeof *v->controls);
    int rc = v->controls ? st_buf_room(&all, 1) : ST_ENOMEM;
    for (uint32_t id = 0; rc == 0 && id < v->n_ids; id++) {
        if (!tok_is_control(t, (int32_t)id))
            continue;
        size_t before = all.len;
        rc = tok_piece(t, (int32_t)id, &all, err);
        v->controls[v->n_controls++] = (trie_control){.len = all.len - before, .id = id};
    }
    if (rc < 0) {
        st_buf_done(&all);
        return out_of_memory(err);
    }
    v->spellings = all.data;
    size_t at = 0;
    for (uint32_t i = 0; i < n; at += v->controls[i++].len)
        v->controls[i].spelling = all.data + at;
    return 0;
}

static size_t shared(const entry *a, const entry *b)
{
    size_t n = 0;
    while (n < a->len && n < b->len && a->bytes[n] == b->bytes[n])
        n++;
    return n;
}

/* Characters of a plain piece, or TRIE_WALK. */
static uint8_t need_of(const char *s, size_t len)
{
    uint32_t n = 0;
    for (size_t i = 0, used; i < len; i += used, n++) {
        uint32_t c = st_utf8_decode(s + i, len - i, &used);
        bool control = c < 0x20 || (c >= 0x7F && c < 0xA0);
        if (c == ST_UTF8_BAD || control || c == '"' || c == '\\' || n == TRIE_PLAIN)
            return TRIE_WALK;
    }
    return (uint8_t)n;
}

static void keep_plain(vocab *v, uint32_t id, uint8_t need)
{
    for (uint32_t room = need; room <= TRIE_PLAIN; room++) {
        v->plain[(size_t)room * v->n_words + id / 32] |= 1u << id % 32;
        v->n_plain[room]++;
    }
}

/* Nodes for the bytes of an entry that those before it lack; `open` [deepest] are the
 * nodes of the way to the last entry. */
static void add_entry(vocab *v, const entry *e, size_t have, uint32_t *open)
{
    uint8_t need = need_of(e->bytes, e->len);
    for (size_t d = have; d < e->len; d++) {
        open[d] = v->n_nodes;
        v->first[v->n_nodes] = v->n_texts;
        v->nodes[v->n_nodes++] =
            (trie_node){.depth = (uint16_t)(d + 1), .byte = (uint8_t)e->bytes[d]};
    }
    for (size_t d = 0; d < e->len; d++) {
        trie_node *node = &v->nodes[open[d]];
        if (node->need < need)
            node->need = need;
    }
    if (need != TRIE_WALK)
        keep_plain(v, e->id, need);
    v->ids[v->n_texts++] = e->id;
}

static void close_nodes(vocab *v, const uint32_t *open, size_t from, size_t to)
{
    for (size_t d = from; d < to; d++)
        v->nodes[open[d]].end = v->n_nodes;
}

static int build(vocab *v, const entry *e, uint32_t n, st_err *err)
{
    size_t n_nodes = 0, deepest = 0;
    for (uint32_t i = 0; i < n; i++) {
        n_nodes += e[i].len - (i ? shared(&e[i - 1], &e[i]) : 0);
        deepest = e[i].len > deepest ? e[i].len : deepest;
    }
    if (n_nodes > UINT32_MAX / 2)
        return st_err_set(err, ST_ELIMIT, "the trie of the vocabulary is too large");
    v->nodes = st_alloc_n(n_nodes, sizeof *v->nodes);
    v->first = st_alloc_n(n_nodes + 1, sizeof *v->first);
    v->ids = st_alloc_n(n, sizeof *v->ids);
    v->plain = st_zalloc_n((TRIE_PLAIN + 1) * (size_t)v->n_words, sizeof *v->plain);
    uint32_t *open = st_alloc_n(deepest, sizeof *open);
    if (!v->nodes || !v->first || !v->ids || !v->plain || !open) {
        st_free(open);
        return out_of_memory(err);
    }
    v->deepest = (uint32_t)deepest;
    for (uint32_t i = 0; i < n; i++) {
        size_t have = i ? shared(&e[i - 1], &e[i]) : 0;
        close_nodes(v, open, have, i ? e[i - 1].len : 0);
        add_entry(v, &e[i], have, open);
    }
    close_nodes(v, open, 0, n ? e[n - 1].len : 0);
    v->first[v->n_nodes] = v->n_texts;
    st_free(open);
    return 0;
}

static int sort_and_build(vocab *v, st_err *err)
{
    entry *e = st_alloc_n(v->n_ids, sizeof *e);
    uint32_t n = 0;
    if (!e)
        return out_of_memory(err);
    for (uint32_t id = 0; id < v->n_ids; id++) {
        size_t len;
        const char *bytes = vocab_bytes(v, id, &len);
        if (len > 0)
            e[n++] = (entry){bytes, len, id};
    }
    qsort(e, n, sizeof *e, by_bytes);
    int rc = build(v, e, n, err);
    st_free(e);
    return rc;
}

int vocab_new(const tok *t, vocab **ret, st_err *err)
{
    vocab *v = st_zalloc_n(1, sizeof *v);
    if (!v)
        return out_of_memory(err);
    v->n_ids = tok_n_vocab(t);
    v->n_words = (v->n_ids + 31) / 32;
    v->begin = st_alloc_n((size_t)v->n_ids + 1, sizeof *v->begin);
    int rc = v->begin ? read_pieces(v, t, err) : out_of_memory(err);
    if (rc == 0)
        rc = read_controls(v, t, err);
    if (rc == 0)
        rc = sort_and_build(v, err);
    if (rc < 0) {
        vocab_free(v);
        return rc;
    }
    *ret = v;
    return 0;
}

void vocab_free(vocab *v)
{
    if (!v)
        return;
    st_free(v->bytes);
    st_free(v->begin);
    st_free(v->nodes);
    st_free(v->first);
    st_free(v->ids);
    st_free(v->plain);
    st_free(v->controls);
    st_free(v->spellings);
    st_free(v);
}

uint32_t vocab_n(const vocab *v)
{
    return v->n_ids;
}
