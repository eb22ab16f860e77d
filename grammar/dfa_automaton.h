/* grammar/dfa_automaton.h - an automaton over one DFA: regular expressions and lists;
 * private to this room.
 *
 * Its states are the DFA's; there is nothing to make, keep or forget.
 *
 * Threads: as automaton.h.  Memory: the DFA is borrowed and must outlive it. */
#ifndef GRAMMAR_DFA_AUTOMATON_H
#define GRAMMAR_DFA_AUTOMATON_H
#include "grammar/automaton.h"
#include "grammar/dfa.h"

/* ST_EINVAL: the DFA accepts nothing. */
ST_NODISCARD int dfa_automaton_new(const dfa *d, automaton **ret, st_err *err);
#endif
