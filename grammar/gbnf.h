/* grammar/gbnf.h - llama.cpp's grammar notation as a context-free grammar; private to
 * this room.
 *
 *   root  ::= "a" item{1,3} | ("b" | [^c-f\n]) .   # to the end of the line
 *   item  ::= "\x41\u00e9\U0001F600"
 *
 * Groups and quantifiers become rules of their own: x* is R ::= | R x, x? is R ::= | x,
 * x{m,n} is m times x and R ::= | x R' nested.  A rule is a list of alternatives, an
 * alternative a list of symbols, a symbol a rule or a class of characters (code points,
 * never surrogates).  Tokens (<[12]>, <think>) are refused: a grammar is one of text.
 *
 * Threads: immutable once made.  Memory: gbnf_free. */
#ifndef GRAMMAR_GBNF_H
#define GRAMMAR_GBNF_H
#include "grammar/intern.h"
#include <stdbool.h>

enum {
    GBNF_MAX_SYMBOLS = 1 << 18, /* of a whole grammar, repetitions written out */
    GBNF_MAX_COUNT = 10000,     /* in x{m,n} */
    GBNF_MAX_NESTING = 200,     /* groups in groups */
};

typedef struct gbnf_range { /* code points lo to hi */
    uint32_t lo, hi;
} gbnf_range;

typedef struct gbnf_symbol {
    bool is_rule;
    uint32_t index; /* of a rule, or the number of a class in `classes` */
} gbnf_symbol;

typedef struct gbnf_alt { /* symbols begin to begin + n */
    uint32_t rule;
    uint32_t begin, n;
} gbnf_alt;

typedef struct gbnf_rule { /* alternatives begin to begin + n */
    uint32_t begin, n;
    uint32_t name; /* in `names`; what a group stands in has its name too */
} gbnf_rule;

typedef struct gbnf {
    uint32_t root;
    uint32_t n_rules, n_alts, n_symbols;
    gbnf_rule *rules;
    gbnf_alt *alts; /* by rule */
    gbnf_symbol *symbols;
    intern classes; /* gbnf_range[], in order, apart from each other */
    intern names;
} gbnf;

/* ST_EFORMAT, ST_EUNSUPPORTED and ST_ELIMIT say line and column. */
ST_NODISCARD int gbnf_read(const char *text, size_t len, gbnf **ret, st_err *err);
void gbnf_free(gbnf *g); /* NULL allowed */

static inline const gbnf_range *gbnf_class(const gbnf *g, uint32_t number, size_t *ret_n)
{
    const gbnf_range *ranges = intern_get(&g->classes, number, ret_n);
    *ret_n /= sizeof *ranges;
    return ranges;
}

static inline const char *gbnf_name(const gbnf *g, uint32_t rule, int *ret_len)
{
    size_t len;
    const char *name = intern_get(&g->names, g->rules[rule].name, &len);
    *ret_len = (int)len;
    return name;
}
#endif
