/* grammar/piece_trie.h - the pieces of a vocabulary as a trie of their bytes; private to
 * this room.
 *
 * Nodes lie in depth-first order, children by byte; a node knows where its subtree ends,
 * so a dead transition skips all of it, and the ids below a node are one run of `ids`.
 *
 * A plain piece is plain text (dfa.h): where a state has room for so many characters
 * (automaton_ops.room), plain pieces need no walk; `plain` has them ready.  Then `rest`
 * is walked, the pieces that are not plain or are longer than TRIE_PLAIN.  Where plain
 * text even leads back to the same state, it does not matter what plain characters a
 * piece begins with: `behind` has the pieces that are not plain by what is behind those.
 *
 * Threads: immutable once made. */
#ifndef GRAMMAR_PIECE_TRIE_H
#define GRAMMAR_PIECE_TRIE_H
#include "grammar/grammar.h"

enum {
    TRIE_PLAIN = 16,  /* characters of the longest plain piece that is kept ready */
    TRIE_ANY,         /* plain pieces of any length */
    TRIE_WALK = 255,  /* `need` where a walk is always needed */
    TRIE_DEEP = 65535 /* bytes of the longest piece */
};

typedef struct trie_node {
    uint32_t end;   /* the node behind the subtree */
    uint16_t depth; /* bytes from the root, this one included */
    uint8_t byte;
    uint8_t need; /* room that makes all pieces below plain ones, or TRIE_WALK */
} trie_node;

typedef struct trie {
    uint32_t n_nodes, n_ids, deepest;
    trie_node *nodes; /* without the root */
    uint32_t *first; /* [n_nodes + 1] in ids: what ends at the node, then what is below */
    uint32_t *ids;   /* in the order of their bytes */
} trie;

typedef struct trie_control { /* a control token */
    const char *spelling;
    size_t len;
    uint32_t id;
} trie_control;

struct vocab {
    uint32_t n_ids;   /* of the tokenizer */
    uint32_t n_words; /* of a mask */
    char *bytes;      /* of all pieces */
    size_t *begin;    /* [n_ids + 1] in bytes; empty where an id is no text */
    trie all, rest, behind;
    uint32_t *plain; /* [TRIE_ANY + 1, n_words] plain pieces of at most so many characters
                      */
    uint32_t n_plain[TRIE_ANY + 1];
    trie_control *controls;
    uint32_t n_controls;
    char *spellings;
};

static inline const char *vocab_bytes(const vocab *v, uint32_t id, size_t *ret_len)
{
    *ret_len = v->begin[id + 1] - v->begin[id];
    return v->bytes + v->begin[id];
}

static inline const uint32_t *vocab_plain(const vocab *v, uint32_t room)
{
    return v->plain + (size_t)room * v->n_words;
}
#endif
