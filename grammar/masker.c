/* grammar/masker.c - the trie walked beside the automaton, once for each state.
 *
 * A walk goes down one of the tries of piece_trie.h with the state of each open node;
 * where the automaton dies the subtree is skipped.  Transitions are kept in rows of 256
 * states, masks as the list of their ids, or as bits where those are smaller; plain
 * pieces (piece_trie.h) are not listed: they are in as a whole as far as the state has
 * room for them.
 *
 * All is dropped at once when the bound is reached: states are numbers of the automaton,
 * which forgets them too. */
#include "grammar/masker.h"

#include "base/mem.h"
#include "grammar/kind.h"
#include <string.h>

enum { ROWS = 16, ROW = 256, MASKER_BYTES = 64 << 20 };

/* What texts are held with that have no tokens. */
static uint32_t no_words[1]; /* never written */
static const vocab no_pieces = {.plain = no_words};

static int out_of_memory(st_err *err)
{
    return st_err_set(err, ST_ENOMEM, "out of memory for masks");
}

size_t masker_bytes(const masker *m)
{
    return m->bytes + m->a->ops->bytes(m->a);
}

static int check_bound(const masker *m, size_t more, st_err *err)
{
    if (masker_bytes(m) + more <= m->limit)
        return 0;
    int rc = st_err_set(err, ST_ELIMIT, "the states of one text need over %zu bytes",
                        m->limit);
    st_err_hint(err, "give the masks more memory, or simplify the grammar");
    return rc;
}

static int list_add(list32 *l, uint32_t value, st_err *err)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? 2 * l->cap : 256;
        uint32_t *at = st_realloc_n(l->at, cap, sizeof *at);
        if (!at)
            return out_of_memory(err);
        l->at = at;
        l->cap = cap;
    }
    l->at[l->n++] = value;
    return 0;
}

/* Have `seen` reach to s. */
static int reach(masker *m, state_id s, st_err *err)
{
    if (s < m->cap_seen)
        return 0;
    uint32_t cap = s + s / 2 + 64;
    seen_state *seen = st_realloc_n(m->seen, cap, sizeof *seen);
    if (!seen)
        return out_of_memory(err);
    memset(seen + m->cap_seen, 0, (cap - m->cap_seen) * sizeof *seen);
    m->bytes += (cap - m->cap_seen) * sizeof *seen;
    m->seen = seen;
    m->cap_seen = cap;
    return 0;
}

static int new_row(masker *m, state_id **ret, st_err *err)
{
    if (m->n_rows == m->n_chunks * ROWS) {
        size_t size = ROWS * ROW * sizeof **m->chunks;
        int rc = check_bound(m, size, err);
        if (rc < 0)
            return rc;
        if (m->n_chunks == m->cap_chunks) {
            uint32_t cap = m->cap_chunks ? 2 * m->cap_chunks : 16;
            state_id **chunks = st_realloc_n(m->chunks, cap, sizeof *chunks);
            if (!chunks)
                return out_of_memory(err);
            m->chunks = chunks;
            m->cap_chunks = cap;
        }
        m->chunks[m->n_chunks] = st_alloc(size);
        if (!m->chunks[m->n_chunks])
            return out_of_memory(err);
        memset(m->chunks[m->n_chunks++], 0xFF, size); /* STATE_UNKNOWN */
        m->bytes += size;
    }
    *ret = m->chunks[m->n_rows / ROWS] + m->n_rows % ROWS * ROW;
    m->n_rows++;
    return 0;
}

/* A transition that was not met yet; *ret as rows have it. */
static int step_anew(masker *m, state_id s, uint8_t byte, state_id *ret, st_err *err)
{
    const automaton_ops *ops = m->a->ops;
    state_id to;
    int rc = reach(m, s, err);
    if (rc == 0 && !m->seen[s].row)
        rc = new_row(m, &m->seen[s].row, err);
    if (rc == 0)
        rc = ops->step(m->a, s, byte, &to, err);
    if (rc == 0)
        rc = check_bound(m, 0, err);
    if (rc == 0)
        rc = reach(m, to, err);
    if (rc < 0)
        return rc;
    if (to != STATE_DEAD && ops->may_repeat && ops->may_repeat(m->a, to))
        to |= STATE_REPEATS;
    m->seen[s].row[byte] = *ret = to;
    return 0;
}

int masker_step(masker *m, state_id s, uint8_t byte, state_id *ret, st_err *err)
{
    const state_id *row = s < m->cap_seen ? m->seen[s].row : NULL;
    state_id to = row ? row[byte] : STATE_UNKNOWN;
    int rc = to == STATE_UNKNOWN ? step_anew(m, s, byte, &to, err) : 0;
    if (rc == 0)
        *ret = to & ~STATE_REPEATS;
    return rc;
}

/* A step of the walk that is not in the row yet. */
static int walk_anew(masker *m, trie_node node, state_id *ret, st_err *err)
{
    state_id from = m->open[node.depth - 1];
    int rc = step_anew(m, from, node.byte, ret, err);
    if (rc == 0)
        m->rows[node.depth - 1] = m->seen[from].row;
    return rc;
}

/* Lists the pieces that lead from s to a living state and are not among the plain ones
 * that the state has room for. */
static int walk(masker *m, const trie *t, state_id s, uint32_t room, st_err *err)
{
    const uint32_t *plain = vocab_plain(m->v, room);
    uint32_t behind = 0; /* end of the subtree under the last first repeat */
    m->open[0] = s;
    m->rows[0] = m->seen[s].row;
    for (uint32_t i = 0; i < t->n_nodes;) {
        trie_node node = t->nodes[i];
        if (node.need <= room) {
            i = node.end;
            continue;
        }
        const state_id *row = m->rows[node.depth - 1];
        state_id next = row ? row[node.byte] : STATE_UNKNOWN;
        int rc = next == STATE_UNKNOWN ? walk_anew(m, node, &next, err) : 0;
        if (rc == 0 && next == STATE_DEAD) {
            i = node.end;
            continue;
        }
        if (rc == 0 && next & STATE_REPEATS) {
            rc = list_add(i < behind ? &m->later : &m->first, i, err);
            behind = i < behind ? behind : node.end;
            next &= ~STATE_REPEATS;
        }
        if (rc < 0)
            return rc;
        m->open[node.depth] = next;
        m->rows[node.depth] = m->seen[next].row;
        for (uint32_t k = t->first[i]; k < t->first[i + 1]; k++) {
            uint32_t id = t->ids[k];
            m->ids[m->n_ids] = id;
            m->n_ids += (plain[id / 32] >> id % 32 & 1) == 0;
        }
        i++;
    }
    return 0;
}

/* Where a run of bytes leads; STATE_DEAD when it leads nowhere. */
static int run(masker *m, state_id s, const char *bytes, size_t len, state_id *ret,
               st_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && s != STATE_DEAD && i < len; i++)
        rc = masker_step(m, s, (uint8_t)bytes[i], &s, err);
    *ret = s;
    return rc;
}

static int add_markers(masker *m, state_id s, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < m->n_markers; i++) {
        const masker_marker *k = &m->markers[i];
        state_id to;
        if (!m->a->ops->marker_may(m->a, s, k->marker))
            continue;
        rc = run(m, s, k->control->spelling, k->control->len, &to, err);
        if (rc == 0 && to != STATE_DEAD)
            m->ids[m->n_ids++] = k->id;
    }
    return rc;
}

static void show(masker *m, const kept_mask *k)
{
    const vocab *v = m->v;
    if (k->dense) {
        memcpy(m->bits, k->data, v->n_words * sizeof *m->bits);
        return;
    }
    memcpy(m->bits, vocab_plain(v, k->room), v->n_words * sizeof *m->bits);
    for (uint32_t i = 0; i < k->n_ids; i++)
        m->bits[k->data[i] / 32] |= 1u << k->data[i] % 32;
}

/* Keep what the walk has listed. */
static int keep(masker *m, const trie *t, state_id s, uint32_t room, st_err *err)
{
    const vocab *v = m->v;
    bool dense = m->n_ids > v->n_words;
    uint32_t n_ids = dense ? v->n_words : m->n_ids;
    size_t n = (size_t)n_ids + m->first.n + m->later.n;
    size_t size = sizeof(kept_mask) + n * sizeof(uint32_t);
    int rc = check_bound(m, size, err);
    if (rc < 0)
        return rc;
    kept_mask *k = st_alloc(size);
    if (!k)
        return out_of_memory(err);
    *k = (kept_mask){.n = v->n_plain[room] + m->n_ids,
                     .room = room,
                     .of = t,
                     .n_ids = n_ids,
                     .n_first = m->first.n,
                     .n_later = m->later.n,
                     .dense = dense};
    uint32_t *data = k->data;
    if (dense) {
        memcpy(data, vocab_plain(v, room), n_ids * sizeof *data);
        for (uint32_t i = 0; i < m->n_ids; i++)
            data[m->ids[i] / 32] |= 1u << m->ids[i] % 32;
    } else if (n_ids > 0) {
        memcpy(data, m->ids, n_ids * sizeof *data);
    }
    if (m->first.n > 0)
        memcpy(data + n_ids, m->first.at, m->first.n * sizeof *data);
    if (m->later.n > 0)
        memcpy(data + n_ids + m->first.n, m->later.at, m->later.n * sizeof *data);
    m->seen[s].mask = k;
    m->bytes += size;
    return 0;
}

static int make(masker *m, state_id s, st_err *err)
{
    const automaton_ops *ops = m->a->ops;
    uint32_t room = ops->room ? ops->room(m->a, s) : 0;
    const trie *t = room < TRIE_PLAIN ? &m->v->all : &m->v->rest;
    bool loops = room == UINT32_MAX && ops->loops && ops->loops(m->a, s);
    room = room < TRIE_PLAIN ? room : TRIE_PLAIN;
    if (loops) {
        t = &m->v->behind;
        room = TRIE_ANY;
    }
    m->n_ids = m->first.n = m->later.n = 0;
    int rc = reach(m, s, err);
    if (rc == 0)
        rc = walk(m, t, s, room, err);
    if (rc == 0 && loops && m->first.n > 0) {
        /* What would be repeated depends on the plain characters too. */
        t = &m->v->rest;
        room = TRIE_PLAIN;
        m->n_ids = m->first.n = m->later.n = 0;
        rc = walk(m, t, s, room, err);
    }
    if (rc == 0)
        rc = add_markers(m, s, err);
    return rc < 0 ? rc : keep(m, t, s, room, err);
}

int masker_show(masker *m, state_id s, const kept_mask **ret, st_err *err)
{
    if (s >= m->cap_seen || !m->seen[s].mask) {
        int rc = make(m, s, err);
        if (rc < 0)
            return rc;
    }
    *ret = m->seen[s].mask;
    if (m->shown != s)
        show(m, *ret);
    m->shown = s;
    return 0;
}

int masker_way(masker *m, state_id s, int *ret, st_err *err)
{
    int way = WAY_NONE;
    for (unsigned byte = 0; byte < ROW && way != WAY_MANY; byte++) {
        state_id to;
        int rc = masker_step(m, s, (uint8_t)byte, &to, err);
        if (rc < 0)
            return rc;
        if (to != STATE_DEAD)
            way = way == WAY_NONE ? (int)byte : WAY_MANY;
    }
    *ret = way;
    return 0;
}

bool masker_marks(const masker *m, state_id s)
{
    for (uint32_t i = 0; i < m->n_markers; i++) {
        if (m->a->ops->marker_may(m->a, s, m->markers[i].marker))
            return true;
    }
    return false;
}

void masker_forget(masker *m)
{
    for (uint32_t i = 0; i < m->cap_seen; i++)
        st_free(m->seen[i].mask);
    st_free(m->seen);
    for (uint32_t i = 0; i < m->n_chunks; i++)
        st_free(m->chunks[i]);
    m->seen = NULL;
    m->cap_seen = m->n_chunks = m->n_rows = 0;
    m->bytes = 0;
    m->shown = STATE_DEAD;
    m->epoch++;
    if (m->a)
        m->a->ops->forget(m->a);
}

/* The control tokens of the vocabulary that the automaton knows. */
static int find_markers(masker *m, st_err *err)
{
    const automaton_ops *ops = m->a->ops;
    m->markers = st_alloc_n(m->v->n_controls, sizeof *m->markers);
    if (!m->markers)
        return out_of_memory(err);
    for (uint32_t i = 0; ops->marker && ops->marker(m->a, i); i++) {
        const char *spelling = ops->marker(m->a, i);
        for (uint32_t c = 0; c < m->v->n_controls; c++) {
            const trie_control *control = &m->v->controls[c];
            if (control->len == strlen(spelling) &&
                memcmp(control->spelling, spelling, control->len) == 0 &&
                m->n_markers < m->v->n_controls)
                m->markers[m->n_markers++] = (masker_marker){control->id, i, control};
        }
    }
    return 0;
}

int masker_new(const grammar *g, const vocab *v, const masker_opts *opts, masker **ret,
               st_err *err)
{
    masker *m = st_zalloc_n(1, sizeof *m);
    if (!m)
        return out_of_memory(err);
    v = v ? v : &no_pieces;
    m->v = v;
    m->limit = opts && opts->bytes ? opts->bytes : MASKER_BYTES;
    m->bits = st_zalloc_n(v->n_words, sizeof *m->bits);
    m->open = st_alloc_n((size_t)v->all.deepest + 1, sizeof *m->open);
    m->rows = st_alloc_n((size_t)v->all.deepest + 1, sizeof *m->rows);
    m->ids = st_alloc_n((size_t)v->n_ids + 1, sizeof *m->ids);
    int rc = m->bits && m->open && m->rows && m->ids ? 0 : out_of_memory(err);
    if (rc == 0)
        rc = g->ops->automaton(g, &m->a, err);
    if (rc == 0)
        rc = find_markers(m, err);
    if (rc < 0) {
        masker_free(m);
        return rc;
    }
    *ret = m;
    return 0;
}

void masker_free(masker *m)
{
    if (!m)
        return;
    masker_forget(m);
    automaton_free(m->a);
    st_free(m->chunks);
    st_free(m->markers);
    st_free(m->bits);
    st_free(m->open);
    st_free(m->rows);
    st_free(m->ids);
    st_free(m->first.at);
    st_free(m->later.at);
    st_free(m);
}
