/* grammar/regex_tree.h - a regular expression as it was written; private to this room.
 *
 * ECMA-262 with the u flag, and what annex B of the standard allows without it where that
 * has one meaning: escapes of characters that need none, a lone ']', '{' or '}'.
 *
 * Threads: one owner.  Memory: regex_tree_done. */
#ifndef GRAMMAR_REGEX_TREE_H
#define GRAMMAR_REGEX_TREE_H
#include "grammar/code_set.h"
#include "grammar/intern.h"

enum {
    REGEX_MAX_LEN = 1 << 16, /* bytes of a pattern */
    REGEX_MAX_DEPTH = 200,   /* groups in groups */
    REGEX_MAX_COUNT = 100000,
};

typedef enum regex_kind {
    REGEX_EMPTY,   /* no character */
    REGEX_SET,     /* one of a set */
    REGEX_ROW,     /* children one after the other */
    REGEX_EITHER,  /* one of the children */
    REGEX_REPEAT,  /* the child min to max times; max UINT32_MAX: no limit */
    REGEX_BEGIN,   /* ^ */
    REGEX_END,     /* $ */
    REGEX_WORD,    /* \b */
    REGEX_NO_WORD, /* \B */
    REGEX_LOOK,    /* what follows begins with the child */
    REGEX_NO_LOOK, /* ... does not */
} regex_kind;

typedef struct regex_node {
    regex_kind kind;
    uint32_t set;          /* REGEX_SET: number in `sets`; looks: which one, from 0 */
    uint32_t min, max;     /* REGEX_REPEAT */
    uint32_t child, after; /* the first child; the next one of the same parent; 0: none */
} regex_node;

typedef struct regex_tree {
    regex_node *nodes; /* [n_nodes] from 1 on */
    uint32_t n_nodes, cap;
    uint32_t root;
    intern sets;      /* arrays of code_range, settled */
    uint32_t n_looks; /* inner ones come before outer ones */
    bool words;       /* \b or \B occurs */
} regex_tree;

ST_NODISCARD int regex_parse(const char *pattern, size_t len, regex_tree *ret,
                             st_err *err);
void regex_tree_done(regex_tree *t);

static inline const code_range *regex_set(const regex_tree *t, uint32_t set,
                                          uint32_t *ret_n)
{
    size_t len;
    const code_range *ranges = intern_get(&t->sets, set, &len);
    *ret_n = (uint32_t)(len / sizeof *ranges);
    return ranges;
}
#endif
