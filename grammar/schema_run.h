/* grammar/schema_run.h - the automaton of a JSON Schema: its texts are the values that
 * satisfy the schema, each written in one way; private to this room.
 *
 * One way: members and items have no space around them but the one after ':' and ',';
 * characters stand for themselves, '"', '\' and control characters as json_write_string
 * has them; numbers as number.h says.  In the schema's order, listed names come as they
 * are listed and all others after them; else in any order.
 *
 * Every state can be finished, but for this: names that are not listed, and items of
 * arrays with uniqueItems, may run out; and an object that needs several members of a
 * kind (negated properties) together with maxProperties may find no room for them.
 *
 * Threads: one owner.  Memory: `s` must outlive it. */
#ifndef GRAMMAR_SCHEMA_RUN_H
#define GRAMMAR_SCHEMA_RUN_H
#include "grammar/automaton.h"
#include "grammar/grammar.h"
#include "grammar/shape.h"

enum { SCHEMA_DEPTH = 128 }; /* arrays and objects inside each other */

ST_NODISCARD int schema_automaton_new(const schema *s, grammar_space space,
                                      bool any_order, automaton **ret, st_err *err);

/* To write a known value in the schema's order.  A shape is a number; one is tried after
 * the other for each array and object, inside the shape `around` that was chosen for the
 * value around it (SHAPE_ROOT: none).
 *
 * The `way`th one (from 0) that is possible at s, just behind a '[' or '{'.  False: there
 * is none, or it is no automaton of a schema. */
#define SHAPE_ROOT UINT32_MAX
bool schema_automaton_shape(const automaton *a, state_id s, uint32_t around, uint32_t way,
                            uint32_t *ret_shape);
/* Behind an item or member: may the value around it still be of that shape? */
bool schema_automaton_still(const automaton *a, state_id s, uint32_t around);
/* Where an object's shape lists a name; UINT32_MAX: it does not. */
uint32_t schema_automaton_place(const automaton *a, uint32_t as, const char *name,
                                size_t len);
#endif
