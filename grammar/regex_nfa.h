/* grammar/regex_nfa.h - a pattern as a nondeterministic automaton over atoms; private to
 * the regex_ files.
 *
 * Threads: immutable once made.  Memory: regex_nfa_done. */
#ifndef GRAMMAR_REGEX_NFA_H
#define GRAMMAR_REGEX_NFA_H
#include "grammar/regex.h"
#include "grammar/regex_tree.h"

enum { REGEX_MAX_NODES = 200000 };

typedef enum nfa_kind {
    NFA_MATCH, /* accepted, whatever follows where `more` */
    NFA_SET,   /* reads one of a set */
    NFA_FORK,  /* goes both ways */
    NFA_BEGIN, /* only at the beginning, end, edge of a word, elsewhere */
    NFA_END,
    NFA_WORD,
    NFA_NO_WORD,
    NFA_LOOK, /* what follows must be a text of the look */
} nfa_kind;

typedef struct nfa_node {
    uint32_t kind;
    uint32_t arg; /* NFA_SET: set; NFA_FORK: the other way; NFA_LOOK: look */
    uint32_t to;
} nfa_node;

typedef struct nfa_look {
    uint32_t start; /* of the look's own nodes, which end in the match that takes more */
    bool negated;   /* a text of the look must not follow */
} nfa_look;

typedef struct regex_nfa {
    nfa_node *nodes;
    uint32_t n, cap;
    uint32_t start;
    uint32_t match;      /* the pattern's own end */
    uint32_t match_more; /* an end behind which anything may follow */
    nfa_look *looks;     /* [n_looks] inner ones first */
    uint32_t n_looks;
} regex_nfa;

/* `any`: the set of all characters. */
ST_NODISCARD int regex_nfa_make(const regex_tree *t, regex_match how, uint32_t any,
                                regex_nfa *ret, st_err *err);
void regex_nfa_done(regex_nfa *a);
#endif
