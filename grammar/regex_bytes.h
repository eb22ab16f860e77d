/* grammar/regex_bytes.h - from atoms to the bytes of UTF-8; private to the regex_ files.
 *
 * Threads: one owner.  Memory: nothing is kept. */
#ifndef GRAMMAR_REGEX_BYTES_H
#define GRAMMAR_REGEX_BYTES_H
#include "grammar/regex_states.h"

ST_NODISCARD int regex_bytes_make(const regex_atoms *atoms, const regex_table *t,
                                  dfa **ret, st_err *err);
#endif
