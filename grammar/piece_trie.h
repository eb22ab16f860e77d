/* grammar/piece_trie.h - the pieces of a vocabulary as a trie of their bytes; private to
 * this room.
 *
 * Nodes lie in depth-first order, children by byte; a node knows where its subtree ends,
 * so a dead transition skips all of it, and the ids below a node are one run of `ids`.
 *
 * A plain piece is well-formed UTF-8 without control characters, '"' and '\': where a
 * state has room for so many characters (automaton_ops.room), plain pieces need no walk;
 * `plain` has them ready.
 *
 * Threads: immutable once made. */
#ifndef GRAMMAR_PIECE_TRIE_H
#define GRAMMAR_PIECE_TRIE_H
#include "grammar/grammar.h"

enum {
    TRIE_PLAIN = 16,  /* characters of the longest plain piece that is kept ready */
    TRIE_WALK = 255,  /* `need` where a walk is always needed */
    TRIE_DEEP = 65535 /* bytes of the longest piece */
};

typedef struct trie_node {
    uint32_t end;   /* the node behind the subtree */
    uint16_t depth; /* bytes from the root, this one included */
    uint8_t byte;
    uint8_t need; /* room that makes all pieces below plain ones, or TRIE_WALK */
} trie_node;

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
    uint32_t n_nodes;
    uint32_t deepest;
    trie_node *nodes; /* [n_nodes], without the root */
    uint32_t *first;  /* [n_nodes + 1] in ids: what ends at the node and below it */
    uint32_t *ids;    /* [n_texts] in the order of their bytes */
    uint32_t n_texts;
    uint32_t *plain; /* [TRIE_PLAIN + 1, n_words] plain pieces of at most so many
                      * characters */
    uint32_t n_plain[TRIE_PLAIN + 1];
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
