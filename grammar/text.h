/* grammar/text.h - what a string may be: one automaton and a length; private to this
 * room.
 *
 * Lengths count code points.  A state is a DFA state and how many characters were read,
 * counted only as long as it matters, so that endless text has few states.
 *
 * Threads: immutable once made.  Memory: text_rule_done. */
#ifndef GRAMMAR_TEXT_H
#define GRAMMAR_TEXT_H
#include "grammar/dfa.h"

typedef struct text_rule {
    dfa *d;            /* owned */
    uint32_t min, max; /* max UINT32_MAX: none */
    uint32_t cap;      /* characters beyond this count are not told apart */
    uint8_t *open;     /* [n_states] dfa_open */
    uint8_t *pending;  /* [n_states] bytes missing to the character's end */
    /* NULL where the automaton alone says it.  Else bit k of state s: k more characters
     * lead to acceptance (without max: k or more); from the last bit on, as that one. */
    uint64_t *lengths;
    uint32_t words;   /* of `lengths` for a state */
    uint32_t horizon; /* the last bit */
    uint32_t slack;   /* open states are at most this many characters from acceptance */
} text_rule;

typedef struct text_state {
    uint32_t at; /* DFA state; 0: dead */
    uint32_t n;  /* characters whose last byte was read, at most cap */
} text_state;

/* Takes `d`, also when it fails.  ST_ELIMIT: automaton times length is too large. */
ST_NODISCARD int text_rule_make(dfa *d, uint32_t min, uint32_t max, text_rule *ret,
                                st_err *err);
void text_rule_done(text_rule *r);
bool text_rule_empty(const text_rule *r);                    /* no text at all */
uint64_t text_rule_count(const text_rule *r, uint64_t most); /* as dfa_count */
text_state text_start(const text_rule *r);
/* One byte of UTF-8.  Dead as soon as no accepted text of the right length begins so. */
text_state text_step(const text_rule *r, text_state s, uint8_t byte);
bool text_accepts(const text_rule *r, text_state s);
/* Any plain text (dfa.h) of at most this many characters more keeps it alive (for fast
 * masks); 0: unsure. */
uint32_t text_room(const text_rule *r, text_state s);
bool text_loops(const text_rule *r, text_state s); /* such text leads back to s */
#endif
