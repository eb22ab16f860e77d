/* grammar/gbnf_rules.h - a context-free grammar ready to be run from left to right;
 * private to this room.
 *
 * Alternatives lie one behind the other, each ended by RULES_END; a place is an index in
 * them.  What derives no text is left out, so every place can be finished.  R ::= R a | b
 * became R ::= b T, T ::= | a T; other left recursion is refused.
 *
 * Classes are tables over bytes of UTF-8, shared: table t is next[256 * t + byte], with
 * RULES_DEAD, RULES_DONE or the table for the next byte.
 *
 * Threads: immutable once made.  Memory: rules_free. */
#ifndef GRAMMAR_GBNF_RULES_H
#define GRAMMAR_GBNF_RULES_H
#include "grammar/automaton.h"
#include "grammar/gbnf.h"

enum { RULES_DEAD, RULES_DONE, RULES_MAX_TABLES = 1 << 14 };

typedef enum rules_kind { RULES_END, RULES_CLASS, RULES_RULE } rules_kind;

typedef struct rules_symbol {
    rules_kind kind;
    uint32_t index; /* of a table or a rule */
} rules_symbol;

/* What a class has of plain text (dfa.h). */
typedef enum rules_plain { RULES_SOME, RULES_NONE, RULES_ALL } rules_plain;

typedef struct rules {
    uint32_t root, n_rules;
    rules_symbol *symbols;
    uint32_t *first;  /* [n_rules + 1] where its alternatives begin in `starts` */
    uint32_t *starts; /* places */
    uint16_t *next;   /* tables; 0 and 1 are none */
    uint8_t *plain;   /* [table] of the first table of a class: rules_plain */
} rules;

/* ST_EUNSUPPORTED: left recursion, naming the rule; ST_EINVAL: no text fits. */
ST_NODISCARD int rules_new(const gbnf *g, rules **ret, st_err *err);
void rules_free(rules *r); /* NULL allowed */

/* A state is a set of stacks of places.  `r` must outlive it. */
ST_NODISCARD int rules_automaton_new(const rules *r, automaton **ret, st_err *err);
#endif
