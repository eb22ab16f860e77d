/* grammar/dfa.h - finite automata over the bytes of UTF-8 text; private to this room.
 *
 * Complete and trimmed: state 0 is dead, from every other state some text is accepted.
 * So a text is the beginning of an accepted one exactly while its state is not 0.
 * Every language here is one of well-formed UTF-8, its complement too.  The start is
 * state 1, and a way from a lower number leads to each of the others.
 *
 * Threads: immutable once made.  Memory: dfa_free. */
#ifndef GRAMMAR_DFA_H
#define GRAMMAR_DFA_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DFA_DEAD = 0, DFA_MAX_STATES = 40000 };

typedef struct dfa {
    uint32_t n_states;
    uint32_t n_classes;
    uint32_t start; /* 1; DFA_DEAD: the empty language */
    uint8_t class_of[256];
    uint32_t *next;  /* [n_states, n_classes] */
    uint32_t *label; /* [n_states] 0: not accepted; else which label (dfa_labels), 1 */
} dfa;

static inline uint32_t dfa_step(const dfa *d, uint32_t state, uint8_t byte)
{
    return d->next[(size_t)state * d->n_classes + d->class_of[byte]];
}
uint32_t dfa_run(const dfa *d, uint32_t state, const char *text, size_t len);

void dfa_free(dfa *d); /* NULL allowed */

/* Any text.  Exactly one of n texts; ST_EINVAL: one is not well-formed UTF-8.  More than
 * DFA_MAX_STATES states: ST_ELIMIT, here and everywhere below. */
ST_NODISCARD int dfa_any(dfa **ret, st_err *err);
ST_NODISCARD int dfa_texts(const char *const *texts, const size_t *lens, uint32_t n,
                           dfa **ret, st_err *err);
/* Texts in all of `in` and in none of `out`; with n_in 0, any text not in `out`.
 * Minimal, except that one automaton alone is copied. */
ST_NODISCARD int dfa_meet(const dfa *const *in, uint32_t n_in, const dfa *const *out,
                          uint32_t n_out, dfa **ret, st_err *err);
ST_NODISCARD int dfa_join(const dfa *const *parts, uint32_t n, dfa **ret, st_err *err);

/* Texts that are accepted, at most `most`; `most` where there are more or endless. */
uint64_t dfa_count(const dfa *d, uint64_t most);

/* Plain text: well-formed UTF-8 without control characters (U+0000 to U+001F, U+007F to
 * U+009F), U+2028, U+2029, '"' and '\\': what strings of JSON have as it is, and '.' of a
 * pattern takes. */
ST_NODISCARD int dfa_plain(dfa **ret, st_err *err);
/* open[s], for [n_states]: plain text of at least so many characters, up to DFA_FAR,
 * leads from s on to living states, whatever it is; DFA_ENDLESS: of any length;
 * DFA_LOOPS: it leads back to s at each character. */
enum { DFA_FAR = 16, DFA_ENDLESS = 254, DFA_LOOPS = 255 };
ST_NODISCARD int dfa_open(const dfa *d, uint8_t *open, st_err *err);

/* Which of many a text is: names and parts run side by side.  A label says which name the
 * text is, if any, and which of the parts accept it (bit p: parts[p], at most 64); label
 * 0 of `label` is "not accepted", label i is ret_labels[i - 1].  Every text of `within`
 * (NULL: any text) has a label. */
typedef struct dfa_label {
    int32_t name; /* index, or -1 */
    uint64_t parts;
} dfa_label;
ST_NODISCARD int dfa_labels(const char *const *names, const size_t *lens,
                            uint32_t n_names, const dfa *const *parts, uint32_t n_parts,
                            const dfa *within, dfa **ret, dfa_label **ret_labels,
                            uint32_t *ret_n_labels, st_err *err);
#endif
