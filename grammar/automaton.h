/* grammar/automaton.h - automata over bytes whose states are made as they are met;
 * private to this room.
 *
 *   schema_automaton (JSON Schema), rules_automaton (GBNF), dfa_automaton (regex,
 * choice), parts_automaton (free text, literals and the others in a row: tool calls)
 *
 * A state is a number: 0 is dead, the start is 1.  An automaton keeps its states by
 * value (intern.h), so the same situation is always the same number, and a text may be
 * continued from any state that was met.  Every state but 0 can be continued to an
 * accepted text; where that cannot be promised, the automaton's file says so.
 *
 * Threads: one owner.  Memory: each automaton frees itself by its `free`. */
#ifndef GRAMMAR_AUTOMATON_H
#define GRAMMAR_AUTOMATON_H
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct automaton automaton;
typedef uint32_t state_id;
enum { STATE_DEAD = 0, STATE_START = 1 };

typedef struct automaton_ops {
    void (*free)(automaton *a);
    /* The state after one more byte.  Fails with ST_ENOMEM or ST_ELIMIT only. */
    int (*step)(automaton *a, state_id s, uint8_t byte, state_id *ret, st_err *err);
    bool (*accepts)(const automaton *a, state_id s); /* the text may end here */
    /* How many states there are, and forget all but the start. */
    size_t (*bytes)(const automaton *a);
    void (*forget)(automaton *a);
    /* Any plain text (dfa.h) of at most this many characters leads from s to a living
     * state; 0: unsure.  May be NULL. */
    uint32_t (*room)(const automaton *a, state_id s);
    /* Any such text, however long, leads from s back to s; asked where `room` has no
     * end.  May be NULL: unsure. */
    bool (*loops)(const automaton *a, state_id s);
    /* What has no finite state: names and items that may not come twice.  All NULL where
     * nothing of the kind is held; `text` [len] is what was read since the start.
     *   may_repeat: s is just behind the last byte of such a name or item
     *   repeats: asked only there; the one that ends with the text was there before
     *   taken: for speed, may be NULL.  True: `out` has, each ended by a NUL, every text
     *     by which the first such name or item to end after s would be a repeat; false:
     * it cannot say, and `repeats` is asked for each way on */
    bool (*may_repeat)(const automaton *a, state_id s);
    bool (*repeats)(const automaton *a, state_id s, const char *text, size_t len);
    bool (*taken)(const automaton *a, state_id s, const char *text, size_t len,
                  st_buf *out);
    /* Spellings that a vocabulary may have as one control token (<tool_call>, [ARGS]).
     * Control tokens are no text, so a mask allows such a token only where this says that
     * it may stand; it then steps as its bytes.  Spelled with pieces of text, it is text
     * like any other.  Both NULL where there are none.
     *   marker: spelling i, NULL from the last one on.  marker_may: may it come at s? */
    const char *(*marker)(const automaton *a, uint32_t i);
    bool (*marker_may)(const automaton *a, state_id s, uint32_t i);
} automaton_ops;

struct automaton { /* first member of every automaton */
    const automaton_ops *ops;
};
#endif
