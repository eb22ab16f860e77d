/* grammar/regex_bytes.c - an automaton over atoms as one over bytes.
 *
 * All characters are laid out once as a tree of continuation bytes: a block has 64 ways,
 * into smaller blocks or, at its lowest level, to atoms.  Equal blocks are one.  Every
 * state then leads, by the lead bytes, into its own copies of the blocks, in which atoms
 * are replaced by states; copies that lead to the same states are one too. */
#include "grammar/regex_bytes.h"

#include "base/mem.h"
#include "grammar/dfa_build.h"
#include <string.h>

enum { WAYS = 64, N_LEADS = 256, N_LEVELS = 3 };

typedef struct block {
    uint32_t level;     /* continuation bytes behind this one */
    uint32_t way[WAYS]; /* level 0: atom + 1; else a block; 0: no character */
} block;

/* One byte of each class: ASCII, with its atom; lead bytes, with the block behind them;
 * continuation bytes, as ways of a block. */
typedef struct sort {
    uint8_t class;
    uint32_t of;
} sort;

typedef struct maker {
    const regex_atoms *atoms;
    const regex_table *t;
    intern blocks;             /* values: block */
    uint32_t *whole[N_LEVELS]; /* [n_atoms] the block that is all of one atom, or 0 */
    uint32_t lead[N_LEADS];    /* block behind a lead byte; 0: none */
    sort ascii[256], leads[256], ways[WAYS];
    uint32_t n_ascii, n_leads, n_ways;
    dfa_draft w;
    intern copies;     /* block and its ways as states -> state */
    uint32_t *made;    /* [blocks.n + 1] its copy for the present state ... */
    uint32_t *made_of; /* ... when this says so */
    st_err *err;
} maker;

/* The stretch that holds a character. */
static uint32_t cut_of(const regex_atoms *a, uint32_t code)
{
    uint32_t lo = 0, hi = a->n_cuts;
    while (hi - lo > 1) {
        uint32_t middle = lo + (hi - lo) / 2;
        if (a->cuts[middle] <= code)
            lo = middle;
        else
            hi = middle;
    }
    return lo;
}

static int put_block(maker *m, const block *b, uint32_t *ret)
{
    return intern_put(&m->blocks, b, sizeof *b, ret, m->err);
}

static int whole_block(maker *m, uint32_t level, uint32_t atom, uint32_t *ret)
{
    block b = {.level = level};
    uint32_t way = atom + 1;
    int rc = 0;
    if (atom == REGEX_NO_ATOM || m->whole[level][atom]) {
        *ret = atom == REGEX_NO_ATOM ? 0 : m->whole[level][atom];
        return 0;
    }
    if (level > 0)
        rc = whole_block(m, level - 1, atom, &way);
    for (uint32_t i = 0; i < WAYS; i++)
        b.way[i] = way;
    if (!rc)
        rc = put_block(m, &b, ret);
    if (!rc)
        m->whole[level][atom] = *ret;
    return rc;
}

/* The block of the characters from `from` on; those below `least` are written with fewer
 * bytes and left out. */
static int make_block(maker *m, uint32_t level, uint32_t from, uint32_t least,
                      uint32_t *ret)
{
    block b = {.level = level};
    uint32_t size = 1u << 6 * level; /* characters of one way */
    int rc = 0;
    *ret = 0;
    if (from > CODE_MAX || from + WAYS * size <= least)
        return 0;
    uint32_t cut = cut_of(m->atoms, from);
    if (from >= least && m->atoms->cuts[cut + 1] >= from + WAYS * size)
        return whole_block(m, level, m->atoms->atom[cut], ret);
    bool any = false;
    for (uint32_t i = 0; !rc && i < WAYS; i++) {
        uint32_t code = from + i * size;
        if (level > 0) {
            rc = make_block(m, level - 1, code, least, &b.way[i]);
        } else if (code <= CODE_MAX && code >= least) {
            uint32_t atom = m->atoms->atom[cut_of(m->atoms, code)];
            b.way[i] = atom == REGEX_NO_ATOM ? 0 : atom + 1;
        }
        any = any || b.way[i];
    }
    return rc || !any ? rc : put_block(m, &b, ret);
}

static int make_leads(maker *m)
{
    int rc = 0;
    for (uint32_t byte = 0xC2; !rc && byte < 0xF5; byte++) {
        if (byte < 0xE0)
            rc = make_block(m, 0, (byte & 0x1F) << 6, 0x80, &m->lead[byte]);
        else if (byte < 0xF0)
            rc = make_block(m, 1, (byte & 0x0F) << 12, 0x800, &m->lead[byte]);
        else
            rc = make_block(m, 2, (byte & 0x07) << 18, 0x10000, &m->lead[byte]);
    }
    return rc;
}

/* Bytes that no block and no state tells apart share a class. */
static int make_classes(maker *m, uint8_t class_of[256], uint32_t *ret_n)
{
    intern known = {0};
    uint32_t n_blocks = m->blocks.n, number;
    size_t len;
    uint32_t *column = st_zalloc_n((size_t)n_blocks + 2, sizeof *column);
    int rc = column ? 0 : dfa_out_of_memory(m->err);
    for (uint32_t byte = 0; !rc && byte < 256; byte++) {
        memset(column, 0, (n_blocks + 2) * sizeof *column);
        if (byte < 0x80) {
            column[0] = m->atoms->atom[cut_of(m->atoms, byte)] + 1;
        } else if (byte < 0xC0) {
            for (uint32_t i = 0; i < n_blocks; i++) {
                const block *b = intern_get(&m->blocks, i + 1, &len);
                column[i + 2] = b->way[byte - 0x80];
            }
        } else {
            column[1] = m->lead[byte];
        }
        rc = intern_put(&known, column, (n_blocks + 2) * sizeof *column, &number, m->err);
        if (!rc)
            class_of[byte] = (uint8_t)(number - 1);
    }
    *ret_n = known.n;
    intern_done(&known);
    st_free(column);
    return rc;
}

static void list_sorts(maker *m, const uint8_t class_of[256])
{
    bool seen[256] = {false};
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint8_t class = class_of[byte];
        if (seen[class])
            continue;
        seen[class] = true;
        if (byte < 0x80)
            m->ascii[m->n_ascii++] =
                (sort){class, m->atoms->atom[cut_of(m->atoms, byte)]};
        else if (byte < 0xC0)
            m->ways[m->n_ways++] = (sort){class, byte - 0x80};
        else if (m->lead[byte])
            m->leads[m->n_leads++] = (sort){class, m->lead[byte]};
    }
}

static uint32_t state_after(const maker *m, uint32_t state, uint32_t atom)
{
    return m->t->next[(size_t)state * m->t->n_atoms + atom];
}

/* The copy of a block for a state. */
static int copy_block(maker *m, uint32_t state, uint32_t number, uint32_t *ret)
{
    uint32_t to[WAYS + 1] = {number}, known;
    size_t len;
    bool any = false;
    int rc = 0;
    *ret = DFA_DEAD;
    if (number == 0)
        return 0;
    if (m->made_of[number] == state) {
        *ret = m->made[number];
        return 0;
    }
    const block *b = intern_get(&m->blocks, number, &len);
    for (uint32_t i = 0; !rc && i < m->n_ways; i++) {
        uint32_t way = b->way[m->ways[i].of];
        if (b->level > 0)
            rc = copy_block(m, state, way, &to[i + 1]);
        else if (way)
            to[i + 1] = state_after(m, state, way - 1);
        any = any || to[i + 1] != DFA_DEAD;
    }
    if (!rc && any) {
        rc = intern_put(&m->copies, to, (m->n_ways + 1) * sizeof *to, &known, m->err);
        *ret = m->t->n_states - 1 + known;
        if (!rc && *ret == m->w.n_states) {
            rc = dfa_draft_add(&m->w, 0, ret, m->err);
            for (uint32_t i = 0; !rc && i < m->n_ways; i++)
                dfa_draft_row(&m->w, *ret)[m->ways[i].class] = to[i + 1];
        }
    }
    m->made[number] = *ret;
    m->made_of[number] = state;
    return rc;
}

static int fill_state(maker *m, uint32_t state)
{
    int rc = 0;
    for (uint32_t i = 0; i < m->n_ascii; i++)
        dfa_draft_row(&m->w, state)[m->ascii[i].class] =
            state_after(m, state, m->ascii[i].of);
    for (uint32_t i = 0; !rc && i < m->n_leads; i++) {
        uint32_t to;
        rc = copy_block(m, state, m->leads[i].of, &to);
        if (!rc)
            dfa_draft_row(&m->w, state)[m->leads[i].class] = to;
    }
    return rc;
}

static int make(maker *m, dfa **ret)
{
    uint8_t class_of[256];
    uint32_t n_classes, state;
    int rc = make_leads(m);
    if (!rc)
        rc = make_classes(m, class_of, &n_classes);
    if (!rc) {
        list_sorts(m, class_of);
        rc = dfa_draft_init(&m->w, class_of, n_classes, m->err);
    }
    if (!rc) {
        m->made = st_zalloc_n((size_t)m->blocks.n + 1, sizeof *m->made);
        m->made_of = st_zalloc_n((size_t)m->blocks.n + 1, sizeof *m->made_of);
        rc = m->made && m->made_of ? 0 : dfa_out_of_memory(m->err);
    }
    for (uint32_t s = 1; !rc && s < m->t->n_states; s++)
        rc = dfa_draft_add(&m->w, m->t->accept[s], &state, m->err);
    for (uint32_t s = 1; !rc && s < m->t->n_states; s++)
        rc = fill_state(m, s);
    m->w.start = m->t->start[BEFORE_NOTHING];
    return rc ? rc : dfa_finish(&m->w, true, ret, m->err);
}

int regex_bytes_make(const regex_atoms *atoms, const regex_table *t, dfa **ret,
                     st_err *err)
{
    maker m = {.atoms = atoms, .t = t, .err = err};
    m.whole[0] = st_zalloc_n(atoms->n, N_LEVELS * sizeof *m.whole[0]);
    for (uint32_t i = 1; m.whole[0] && i < N_LEVELS; i++)
        m.whole[i] = m.whole[i - 1] + atoms->n;
    int rc = m.whole[0] ? make(&m, ret) : dfa_out_of_memory(err);
    st_free(m.whole[0]);
    st_free(m.made);
    st_free(m.made_of);
    intern_done(&m.blocks);
    intern_done(&m.copies);
    dfa_draft_done(&m.w);
    return rc;
}
