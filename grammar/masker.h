/* grammar/masker.h - states met so far, their transitions and masks; private to this
 * room.
 *
 * Whatever takes memory may fail with ST_ELIMIT when the bound is reached; the matcher
 * then has all forgotten, goes through its text again and tries once more. */
#ifndef GRAMMAR_MASKER_H
#define GRAMMAR_MASKER_H
#include "grammar/automaton.h"
#include "grammar/piece_trie.h"

typedef struct kept_mask { /* the mask of one state */
    uint32_t n;            /* bits that are set */
    uint32_t room;         /* plain pieces of so many characters are in, up to TRIE_ANY */
    const trie *of;        /* whose nodes those are */
    uint32_t n_ids;        /* other ids, listed; or n_words when `dense` */
    uint32_t n_first; /* nodes of the trie behind the first name or item that may not */
    uint32_t n_later; /* come twice, and behind later ones */
    bool dense;       /* `data` begins with the bits themselves */
    uint32_t data[];  /* ids or bits, nodes first, nodes later */
} kept_mask;

enum { WAY_NONE = -1, WAY_MANY = -2 };

typedef struct seen_state {
    state_id *row; /* [256] where each byte leads, or STATE_UNKNOWN; NULL: not asked */
    kept_mask *mask;
} seen_state;

#define STATE_UNKNOWN UINT32_MAX
#define STATE_REPEATS 0x40000000u /* in rows: a name or item has ended that may be one   \
                                   */

typedef struct masker_marker { /* a control token that some states allow */
    uint32_t id;
    uint32_t marker; /* of the automaton */
    const trie_control *control;
} masker_marker;

typedef struct list32 {
    uint32_t *at;
    uint32_t n, cap;
} list32;

struct masker {
    const vocab *v;
    automaton *a;
    size_t limit, bytes; /* bytes: of what is kept here, without the automaton's own */
    uint64_t epoch;      /* how often all was forgotten; states are of one epoch */
    seen_state *seen;    /* [cap_seen] by state */
    uint32_t cap_seen;
    state_id **chunks; /* rows, ROWS of them at a time */
    uint32_t n_chunks, cap_chunks, n_rows;
    masker_marker *markers;
    uint32_t n_markers;
    uint32_t *bits;  /* the mask that is shown */
    state_id shown;  /* whose it is; STATE_DEAD: nobody's */
    state_id *open;  /* [deepest + 1] states on the way to a node */
    state_id **rows; /* [deepest + 1] and their rows */
    uint32_t *ids;   /* [n_ids of the vocabulary + 1] while a mask is made */
    uint32_t n_ids;
    list32 first, later;
};

/* One byte on, remembered. */
ST_NODISCARD int masker_step(masker *m, state_id s, uint8_t byte, state_id *ret,
                             st_err *err);
/* Have `bits` show the mask of s, repeats included. */
ST_NODISCARD int masker_show(masker *m, state_id s, const kept_mask **ret, st_err *err);
/* The only byte that leads on from s, or WAY_NONE, WAY_MANY. */
ST_NODISCARD int masker_way(masker *m, state_id s, int *ret, st_err *err);
bool masker_marks(const masker *m, state_id s); /* may a marker come at s? */
void masker_forget(masker *m);

/* The automaton, and its state behind the text; DEAD where it was forgotten. */
const automaton *matcher_at(const matcher *t, state_id *ret);
#endif
