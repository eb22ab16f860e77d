/* grammar/parts_automaton.h - an automaton made of parts: literal text and other
 * automata, one after the other, one of several, or again and again; private to this
 * room.
 *
 *   part_row("<tool_call>", part_choice(f, g), "</tool_call>")
 *
 * Parts are a tree while they are put together and a graph of leaves when they run: a
 * state is the set of leaves that the text may be in, each with its own place in it, so
 * it does not matter how long two ways look alike.
 *
 * Markers are spellings that a vocabulary may have as one control token; such a token may
 * stand exactly where a literal spells it (automaton.h).
 *
 * No dead ends, if every automaton given is one of a language that is not empty.
 *
 * Threads: one owner.  Memory: a part belongs to its parts; parts_automaton or parts_free
 * frees them all. */
#ifndef GRAMMAR_PARTS_AUTOMATON_H
#define GRAMMAR_PARTS_AUTOMATON_H
#include "grammar/automaton.h"

typedef struct parts parts;
typedef uint32_t part_id; /* 0: none, of parts that failed */

enum { PARTS_MAX_LEAVES = 200000, PARTS_MARKERS = 8 };

ST_NODISCARD int parts_new(parts **ret, st_err *err);
void parts_free(parts *p); /* NULL allowed */

/* The first failure sticks: parts made after it are 0, and parts_automaton returns it. */
part_id part_text(parts *p, const char *text, size_t len);
/* An automaton, which then belongs to the parts, also when this fails; one of them may
 * stand at many places. */
part_id part_sub(parts *p, automaton *a);
part_id part_row(parts *p, const part_id *ids, uint32_t n); /* n = 0: no text */
part_id part_choice(parts *p, const part_id *ids, uint32_t n);
/* `item`, which is no empty literal, once or more with `between`; at most `max` times, 0:
 * as often as one likes. */
part_id part_repeat(parts *p, part_id item, part_id between, uint32_t max);

/* The automaton of the texts of `root`.  Takes `p`, also when it fails; texts are copied.
 * ST_ELIMIT: over PARTS_MAX_LEAVES. */
ST_NODISCARD int parts_automaton(parts *p, part_id root, const char *const *markers,
                                 uint32_t n_markers, automaton **ret, st_err *err);
#endif
