/* grammar/shape.h - a JSON Schema as shapes: what a value may look like; private to this
 * room.
 *
 * A goal is what a value must satisfy: a set of subschemas, some negated, all at once.
 * A goal is a list of shapes; a value satisfies the goal when it fits at least one.  A
 * shape is of one JSON type and has every constraint of every subschema merged into it:
 * allOf and $ref add to the set, anyOf, oneOf and if/then/else make several shapes, `not`
 * is pushed down to the keywords.  Goals that nothing satisfies are GOAL_NONE: a shape
 * never leads to a value that cannot be finished.
 *
 *   raw schema (json.h) --parse, $ref--> nodes --expand--> goals = shapes -> goals ...
 *
 * Threads: immutable once made.  Memory: schema_free frees everything. */
#ifndef GRAMMAR_SHAPE_H
#define GRAMMAR_SHAPE_H
#include "grammar/dfa.h"
#include "grammar/json.h"
#include "grammar/number.h"
#include "grammar/text.h"

typedef uint32_t goal_id;
enum { GOAL_NONE = 0, GOAL_ANY = 1 }; /* nothing; any value */

/* Between min and max of the items behind the first n_items satisfy something. */
typedef struct shape_contains {
    goal_id with;    /* one that does: `rest` and that together */
    goal_id without; /* one that does not: `rest` and not that; where there is no max
                        (UINT32_MAX) just `rest`; GOAL_NONE: every one does */
    uint32_t min, max;
} shape_contains;

enum { SHAPE_CONTAINS = 8, SHAPE_EXISTS = 8 };

typedef struct shape_array {
    const goal_id *items; /* [n_items] of the first positions */
    uint32_t n_items;
    goal_id rest; /* of all further ones */
    uint32_t min, max;
    bool unique; /* over few values: max is at most their number */
    uint32_t n_contains;
    shape_contains contains[SHAPE_CONTAINS];
} shape_array;

typedef struct shape_name { /* a listed property */
    const char *name;
    size_t len;
    goal_id goal; /* GOAL_NONE: must be absent */
    bool required;
    uint32_t n_needs; /* when present, so are these (indexes of names) */
    const uint32_t *needs;
} shape_name;

typedef struct shape_exists { /* some property with a label of the set has `goal` */
    const goal_id *with; /* [n_labels] label's goal and this one together; GOAL_NONE */
} shape_exists;

/* Names are read by `keys`, whose labels tell them apart; label_goal has the goal of each
 * label, also of those with a name (names[].goal says the same).  A name that `keys` does
 * not accept is not allowed.  In the schema's order, listed ones come as in `names` and
 * all others after them. */
typedef struct shape_object {
    const shape_name *names; /* [n_names] in the schema's order */
    uint32_t n_names;
    uint32_t n_required;
    dfa *keys;
    const dfa_label *labels;   /* [n_labels] */
    const goal_id *label_goal; /* [n_labels]; GOAL_NONE: not allowed */
    uint32_t n_labels;
    uint64_t *label_ahead; /* [keys->n_states, (n_labels + 63) / 64] still possible */
    uint32_t min, max;     /* properties */
    uint32_t n_exists;
    shape_exists exists[SHAPE_EXISTS];
} shape_object;

typedef struct shape {
    json_type type; /* JSON_FALSE, JSON_TRUE, JSON_NULL: the value itself */
    union {
        number_rule number;
        text_rule string;
        shape_array array;
        shape_object object;
    };
} shape;

typedef struct shapes {
    uint32_t n;
    const shape *shapes;
} shapes;

typedef struct schema schema;

/* Where a schema is refused: a JSON pointer into it, the keyword, what is wrong; the hint
 * of `err` is a way to rewrite it. */
typedef struct schema_refusal {
    char pointer[256];
    char keyword[64];
} schema_refusal;

enum { SCHEMA_MAX_SHAPES = 4096 }; /* of one goal; over it: ST_ELIMIT */

/* `root` must outlive it.  ST_EFORMAT: no valid schema; ST_EUNSUPPORTED, ST_ELIMIT:
 * refused.  A schema that nothing satisfies is ST_EINVAL.  Draft 2020-12 unless `$schema`
 * says draft-07, 06 or 04 (where boolean exclusiveMinimum, `id`, items arrays ... mean
 * what they did). */
ST_NODISCARD int schema_new(const json *root, schema **ret_schema,
                            schema_refusal *ret_refusal, st_err *err);
void schema_free(schema *s); /* NULL allowed */
goal_id schema_root(const schema *s);
shapes schema_shapes(const schema *s, goal_id goal);
uint32_t schema_n_goals(const schema *s);
#endif
