/* grammar/kind.h - what a kind of grammar has to bring; private to this room.
 *
 *   schema, regex, choices, gbnf, tool calls: each is a struct that begins with `grammar`
 *
 * Threads: a grammar is immutable. */
#ifndef GRAMMAR_KIND_H
#define GRAMMAR_KIND_H
#include "grammar/automaton.h"
#include "grammar/grammar.h"

typedef struct grammar_ops {
    void (*free)(grammar *g); /* half-built ones too */
    /* A new automaton over it, which may point into the grammar. */
    int (*automaton)(const grammar *g, automaton **ret, st_err *err);
    int (*validate)(const grammar *g, const char *text, size_t len, st_err *err);
} grammar_ops;

struct grammar { /* first member of every kind */
    const grammar_ops *ops;
};

static inline void automaton_free(automaton *a) /* NULL allowed */
{
    if (a)
        a->ops->free(a);
}
#endif
