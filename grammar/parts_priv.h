/* grammar/parts_priv.h - what parts_automaton.c makes and parts_states.c runs.
 *
 * Threads, memory: as parts_automaton.h. */
#ifndef GRAMMAR_PARTS_PRIV_H
#define GRAMMAR_PARTS_PRIV_H
#include "grammar/parts_automaton.h"

typedef enum part_kind {
    PART_TEXT,
    PART_SUB,
    PART_ROW,
    PART_CHOICE,
    PART_REPEAT,
} part_kind;

typedef struct part_node {
    part_kind kind;
    uint32_t n;   /* bytes of text, index of the automaton, or how many ids */
    uint32_t max; /* PART_REPEAT: times; 0: endless */
    char *text;   /* owned; PART_TEXT */
    part_id *ids; /* owned; [n] */
} part_node;

typedef struct part_leaf { /* of the graph: a literal or an automaton at one place */
    const char *text;      /* the node's, at least one byte; NULL: an automaton */
    uint32_t n;            /* bytes of text, or index of the automaton */
    uint32_t follows, n_follows; /* its run of `follows` */
    bool last;                   /* the whole text may end behind it */
} part_leaf;

typedef struct part_follow {
    uint32_t from, to;
} part_follow;

struct parts {
    part_node *nodes; /* [n_nodes] number i is nodes[i - 1] */
    uint32_t n_nodes, cap_nodes;
    automaton **subs; /* [n_subs] owned */
    uint32_t n_subs, cap_subs;
    part_leaf *leaves; /* [n_leaves] */
    uint32_t n_leaves, cap_leaves;
    part_follow *follows; /* [n_follows] sorted by `from` when the graph is made */
    uint32_t n_follows, cap_follows;
    int code; /* the first failure */
    st_err err;
};

/* Make the graph.  *ret_first [n]: the leaves that a text may begin with, freed by the
 * caller; *ret_empty: it may be no text at all.  On failure p->code and p->err say. */
ST_NODISCARD int parts_graph(parts *p, part_id root, uint32_t **ret_first,
                             uint32_t *ret_n_first, bool *ret_empty);
#endif
