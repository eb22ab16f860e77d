/* grammar/regex_atoms.h - the characters of a pattern in as few sorts as it tells apart;
 * private to the regex_ files.
 *
 * An atom is a set of characters of which every set of the pattern holds all or none.
 *
 * Threads: immutable once made.  Memory: regex_atoms_done. */
#ifndef GRAMMAR_REGEX_ATOMS_H
#define GRAMMAR_REGEX_ATOMS_H
#include "grammar/regex_tree.h"

#define REGEX_NO_ATOM UINT32_MAX /* of what is no character: surrogates */

typedef struct regex_atoms {
    uint32_t n;
    uint32_t n_cuts;
    uint32_t *cuts;  /* [n_cuts + 1] ascending, from 0 to CODE_MAX + 1 */
    uint32_t *atom;  /* [n_cuts] of the characters from cuts[i] to cuts[i + 1] - 1 */
    uint32_t *begin; /* [n_sets + 2] atoms of set s: list[begin[s]] ... */
    uint32_t *list;
    bool *word; /* [n] for \b */
} regex_atoms;

ST_NODISCARD int regex_atoms_make(const regex_tree *t, regex_atoms *ret, st_err *err);
void regex_atoms_done(regex_atoms *a);
#endif
