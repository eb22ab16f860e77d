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
    uint32_t plain; /* bytes of plain characters that it begins with */
    uint8_t need;
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

/* How a piece begins, and what it needs. */
static void look_at(entry *e)
{
    uint32_t n = 0;
    size_t at = 0;
    for (size_t used; at < e->len; at += used, n++) {
        uint32_t c = st_utf8_decode(e->bytes + at, e->len - at, &used);
        bool control = c < 0x20 || (c >= 0x7F && c < 0xA0);
        bool separator = c == 0x2028 || c == 0x2029;
        if (c == ST_UTF8_BAD || control || separator || c == '"' || c == '\\')
            break;
    }
    e->plain = (uint32_t)at;
    e->need = at < e->len || n > TRIE_PLAIN ? TRIE_WALK : (uint8_t)n;
}

static void keep_plain(vocab *v, const entry *e)
{
    for (uint32_t room = e->need < TRIE_ANY ? e->need : TRIE_ANY; room <= TRIE_ANY;
         room++) {
        v->plain[(size_t)room * v->n_words + e->id / 32] |= 1u << e->id % 32;
        v->n_plain[room]++;
    }
}

/* Nodes for the bytes of an entry that those before it lack; `open` [deepest] are the
 * nodes of the way to the last entry. */
static void add_entry(trie *t, const entry *e, size_t have, uint32_t *open)
{
    for (size_t d = have; d < e->len; d++) {
        open[d] = t->n_nodes;
        t->first[t->n_nodes] = t->n_ids;
        t->nodes[t->n_nodes++] =
            (trie_node){.depth = (uint16_t)(d + 1), .byte = (uint8_t)e->bytes[d]};
    }
    for (size_t d = 0; d < e->len; d++) {
        trie_node *node = &t->nodes[open[d]];
        if (node->need < e->need)
            node->need = e->need;
    }
    t->ids[t->n_ids++] = e->id;
}

static void close_nodes(trie *t, const uint32_t *open, size_t from, size_t to)
{
    for (size_t d = from; d < to; d++)
        t->nodes[open[d]].end = t->n_nodes;
}

/* The trie of n entries, which are sorted here. */
static int build(trie *t, entry *e, uint32_t n, st_err *err)
{
    size_t n_nodes = 0, deepest = 0;
    qsort(e, n, sizeof *e, by_bytes);
    for (uint32_t i = 0; i < n; i++) {
        n_nodes += e[i].len - (i ? shared(&e[i - 1], &e[i]) : 0);
        deepest = e[i].len > deepest ? e[i].len : deepest;
    }
    if (n_nodes > UINT32_MAX / 2)
        return st_err_set(err, ST_ELIMIT, "the trie of the vocabulary is too large");
    t->nodes = st_alloc_n(n_nodes, sizeof *t->nodes);
    t->first = st_alloc_n(n_nodes + 1, sizeof *t->first);
    t->ids = st_alloc_n(n, sizeof *t->ids);
    uint32_t *open = st_alloc_n(deepest, sizeof *open);
    if (!t->nodes || !t->first || !t->ids || !open) {
        st_free(open);
        return out_of_memory(err);
    }
    t->deepest = (uint32_t)deepest;
    for (uint32_t i = 0; i < n; i++) {
        size_t have = i ? shared(&e[i - 1], &e[i]) : 0;
        close_nodes(t, open, have, i ? e[i - 1].len : 0);
        add_entry(t, &e[i], have, open);
    }
    close_nodes(t, open, 0, n ? e[n - 1].len : 0);
    t->first[t->n_nodes] = t->n_ids;
    st_free(open);
    return 0;
}

/* All tries; the entries are used up. */
static int build_all(vocab *v, entry *e, uint32_t n, st_err *err)
{
    uint32_t rest = 0, behind = 0;
    int rc = build(&v->all, e, n, err);
    for (uint32_t i = 0; i < n; i++) {
        if (e[i].plain == e[i].len)
            keep_plain(v, &e[i]);
        if (e[i].need == TRIE_WALK)
            e[rest++] = e[i];
    }
    if (rc == 0)
        rc = build(&v->rest, e, rest, err);
    for (uint32_t i = 0; i < rest; i++) {
        entry x = e[i];
        if (x.plain < x.len)
            e[behind++] = (entry){.bytes = x.bytes + x.plain,
                                  .len = x.len - x.plain,
                                  .id = x.id,
                                  .need = TRIE_WALK};
    }
    return rc < 0 ? rc : build(&v->behind, e, behind, err);
}

static int sort_and_build(vocab *v, st_err *err)
{
    entry *e = st_alloc_n(v->n_ids, sizeof *e);
    uint32_t n = 0;
    v->plain = st_zalloc_n((TRIE_ANY + 1) * (size_t)v->n_words, sizeof *v->plain);
    if (!e || !v->plain) {
        st_free(e);
        return out_of_memory(err);
    }
    for (uint32_t id = 0; id < v->n_ids; id++) {
        entry x = {.id = id};
        x.bytes = vocab_bytes(v, id, &x.len);
        look_at(&x);
        if (x.len > 0)
            e[n++] = x;
    }
    int rc = build_all(v, e, n, err);
    st_free(e);
    return rc;
}

static void trie_done(trie *t)
{
    st_free(t->nodes);
    st_free(t->first);
    st_free(t->ids);
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
    trie_done(&v->all);
    trie_done(&v->rest);
    trie_done(&v->behind);
    st_free(v->plain);
    st_free(v->controls);
    st_free(v->spellings);
    st_free(v);
}

uint32_t vocab_n(const vocab *v)
{
    return v->n_ids;
}
