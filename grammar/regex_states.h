/* grammar/regex_states.h - a pattern as a deterministic automaton over atoms; private to
 * the regex_ files.
 *
 * Threads: immutable once made.  Memory: regex_table_done. */
#ifndef GRAMMAR_REGEX_STATES_H
#define GRAMMAR_REGEX_STATES_H
#include "grammar/regex_atoms.h"
#include "grammar/regex_nfa.h"

/* What stands before a place in the text, as far as ^ and \b care. */
typedef enum regex_before {
    BEFORE_NOTHING,
    BEFORE_WORD,
    BEFORE_OTHER,
    N_BEFORE
} regex_before;

enum { FATE_YES = 1, FATE_NO = 2 };

typedef struct regex_table {
    uint32_t n_states, n_atoms; /* state 0: the pattern cannot match any more */
    uint32_t *next;             /* [n_states, n_atoms] */
    uint8_t *accept;            /* [n_states] */
    /* Looks only: [n_states] FATE_YES: some text is accepted from here, FATE_NO: some is
     * not. */
    uint8_t *fate;
    uint32_t start[N_BEFORE]; /* of a look; the pattern's is that of BEFORE_NOTHING */
} regex_table;

ST_NODISCARD int regex_table_make(const regex_tree *t, const regex_atoms *atoms,
                                  const regex_nfa *a, regex_table *ret, st_err *err);
void regex_table_done(regex_table *t);
#endif
