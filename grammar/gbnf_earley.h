/* grammar/gbnf_earley.h - is a text one of a grammar's?  Private to this room.
 *
 * Earley's algorithm (1970) over code points, with empty rules as Aycock and Horspool
 * (2002) have them.  It shares the reader of the notation with the automaton, and
 * nothing else: left recursion stays as it is, what derives no text is not cut. */
#ifndef GRAMMAR_GBNF_EARLEY_H
#define GRAMMAR_GBNF_EARLEY_H
#include "grammar/gbnf.h"

/* ST_EFORMAT: no; says at which byte no rule goes on.  ST_ELIMIT: too ambiguous. */
ST_NODISCARD int gbnf_earley(const gbnf *g, const char *text, size_t len, st_err *err);
#endif
