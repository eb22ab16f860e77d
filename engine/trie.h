/* engine/trie.h - the trie of options.c as options_run.c reads it; private to this room.
 *
 * Row 0 is the last token before the continuations; row r > 0 is the r-th node that has
 * children, in depth-first order.  A node's probability is read from its parent's row, so
 * leaves are never run. */
#ifndef ENGINE_TRIE_H
#define ENGINE_TRIE_H
#include "engine/options.h"

typedef struct trie_node {
    int32_t parent; /* -1: the end of the sequence */
    int32_t token;
    uint32_t row;    /* 0: a leaf */
    bool is_option;  /* a continuation ends here */
    uint32_t nested; /* the most options strictly below that begin one another */
    uint32_t below;  /* options strictly below */
    bool forks;      /* two children or more, its own or of a node below */
} trie_node;

struct options {
    uint32_t n; /* continuations */
    uint32_t n_nodes;
    uint32_t n_rows;    /* 1 + the nodes that have children */
    uint32_t n_forks;   /* nodes with `forks` */
    bool is_nested;     /* an option begins another */
    uint32_t depth;     /* rows on the longest path, row 0 not counted */
    trie_node *nodes;   /* depth-first */
    uint32_t *leaf;     /* [n] the node each continuation ends in */
    int32_t *row_node;  /* [n_rows] -1 for row 0 */
    uint32_t *row_end;  /* [n_rows] where the children of a row end in `children` */
    uint32_t *children; /* [n_nodes] nodes: children of row 0, of row 1, ... */
};

static inline uint32_t row_begin(const options *o, uint32_t row)
{
    return row > 0 ? o->row_end[row - 1] : 0;
}

static inline uint32_t row_width(const options *o, uint32_t row)
{
    return o->row_end[row] - row_begin(o, row);
}

/* The row that a node's probability is read from. */
static inline uint32_t parent_row(const options *o, const trie_node *v)
{
    return v->parent < 0 ? 0 : o->nodes[v->parent].row;
}
#endif
