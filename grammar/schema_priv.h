/* grammar/schema_priv.h - what the files that compile a schema share; private to them.
 *
 *   node     a subschema as read (schema_node.c), or a value of `enum` and `const`
 *   literal  a node, or its negation
 *   atom     one constraint on a value of one JSON type ("at least 3 characters")
 *   formula  a literal opened for one JSON type: atoms, literals and groups, all of which
 *            must hold (schema_open.c, schema_negate.c)
 *   group    alternatives, one of which must hold; each is a list of terms
 *   case     one way a value of a type can satisfy a goal: atoms that must all hold
 *            (schema_cases.c).  Each becomes a shape (schema_scalar.c, schema_array.c,
 *            schema_object.c)
 *
 * Threads: one owner.  Memory: all of it ends with the compilation but for the pool and
 * what the shapes hold. */
#ifndef GRAMMAR_SCHEMA_PRIV_H
#define GRAMMAR_SCHEMA_PRIV_H
#include "grammar/decimal.h"
#include "grammar/intern.h"
#include "grammar/schema_pool.h"
#include "grammar/shape.h"

enum { NODE_NO = UINT32_MAX, LIMIT_NO = UINT32_MAX };

typedef enum dialect {
    DRAFT_4 = 4,
    DRAFT_6 = 6,
    DRAFT_7 = 7,
    DRAFT_2019 = 2019,
    DRAFT_2020 = 2020,
} dialect;

/* JSON types as bits; JSON_NUMBER is any number, TYPE_INTEGER those without fraction. */
enum { TYPE_INTEGER = 1 << 7, TYPES_ALL = (1 << (JSON_OBJECT + 1)) - 1 };

typedef struct schema_resource { /* a schema with a URI of its own */
    char *uri;                   /* absolute, or "" */
    const json *root;
    dialect draft;
    bool recursive; /* $recursiveAnchor: true */
} schema_resource;

typedef struct anchor {
    uint32_t resource;
    const char *name;
    const json *at;
    bool dynamic;
} anchor;

typedef struct bound {
    uint32_t number; /* of compiler.decimals */
    bool upper, open;
} bound;

typedef struct dependent {
    uint32_t name;
    uint32_t node; /* NODE_NO: `needs` */
    list needs;    /* names */
} dependent;

typedef struct node {
    const json *raw; /* the schema, or the value */
    uint32_t resource;
    bool value; /* equal to `raw` */
    uint16_t types;
    bool has_choices; /* enum or const: */
    const json *choices;
    uint32_t n_choices;
    list choice_nodes; /* of the arrays and objects among them */
    /* numbers */
    uint32_t n_bounds;
    bound bounds[4];
    uint32_t multiple; /* of compiler.decimals, or LIMIT_NO */
    /* strings */
    uint32_t min_length, max_length;
    uint32_t pattern, format; /* of compiler.texts, or LIMIT_NO */
    /* arrays */
    list prefix;
    uint32_t rest;
    uint32_t min_items, max_items;
    bool unique;
    uint32_t contains, min_contains, max_contains;
    uint32_t other_items; /* unevaluatedItems */
    /* objects */
    list names, name_nodes;       /* properties, in order */
    list patterns, pattern_nodes; /* patternProperties: texts */
    uint32_t additional;
    list required;
    uint32_t min_props, max_props;
    uint32_t name_schema; /* propertyNames */
    uint32_t other_props; /* unevaluatedProperties */
    uint32_t n_dependents;
    const dependent *dependents;
    /* the value itself */
    list all; /* allOf and $ref */
    uint32_t n_any;
    const list *any; /* anyOf */
    list one;        /* oneOf */
    bool has_one;
    uint32_t not_node, if_node, then_node, else_node;
    bool exact; /* all of anyOf's alternatives must be known: something is unevaluated */
} node;

/* What a string may be, made when it is first asked for. */
typedef enum text_kind { TEXT_PATTERN, TEXT_FORMAT, TEXT_SET } text_kind;
typedef struct text_part {
    text_kind kind;
    uint32_t node;    /* to be named when it is refused */
    const json *from; /* the pattern or the format; of a set the array of values */
    uint32_t n;       /* values of a set */
    bool made, free;  /* free: holds nothing against any text */
    dfa *d;
} text_part;

typedef enum atom_kind {
    ATOM_LO,         /* number, open */
    ATOM_HI,         /* number, open */
    ATOM_INTEGER,    /* 1; 0: has a fraction */
    ATOM_MULTIPLE,   /* number, 1; 0: is none */
    ATOM_NUMBERS,    /* node: a number of its choices, 1; 0: none of them */
    ATOM_TEXT,       /* text, 1; 0: not that */
    ATOM_LENGTH,     /* min, max */
    ATOM_ITEMS,      /* node: items and prefixItems */
    ATOM_ITEM,       /* index, literal: there is such an item and it satisfies that */
    ATOM_COUNT,      /* min, max items */
    ATOM_UNIQUE,     /* 1; 0: two are equal */
    ATOM_CONTAINS,   /* literal, min, max, first index */
    ATOM_OTHERS,     /* node, nodes: items not looked at by those of the list */
    ATOM_PROPS,      /* node: properties, patternProperties, additionalProperties */
    ATOM_HAS,        /* name */
    ATOM_LACKS,      /* name */
    ATOM_VALUE,      /* name, literal: if it is there */
    ATOM_SOME,       /* node, which: a property of its pattern `which` (LIMIT_NO:
                        additional) that does not satisfy the schema for it */
    ATOM_NAMES,      /* literal: every name */
    ATOM_SOME_NAME,  /* literal: some name */
    ATOM_MEMBERS,    /* min, max */
    ATOM_NEEDS,      /* name, other name */
    ATOM_REST,       /* node, nodes: properties not looked at by those of the list */
    ATOM_SOME_REST,  /* node, nodes: one of them does not satisfy the schema for them */
    ATOM_SOME_OTHER, /* node: the same of items; becomes ATOM_CONTAINS */
} atom_kind;

typedef struct atom {
    uint32_t kind; /* atom_kind */
    uint32_t a, b, c, d;
    uint32_t node; /* to be named when it is refused */
} atom;

/* A term: two bits of kind, the rest a number. */
typedef uint32_t term;
enum { TERM_ATOM, TERM_LITERAL, TERM_GROUP, TERM_EXCEPT }; /* EXCEPT: not that literal */

typedef struct formula {
    bool made, never;
    list terms;
} formula;

typedef struct group {
    uint32_t n;
    const list *alternatives;
} group;

typedef enum verdict { UNKNOWN, UNDER_WAY, MAYBE, NEVER } verdict;

typedef struct goal {
    ids literals; /* sorted */
    verdict known;
    bool expanded;
    shapes shapes;
} goal;

typedef struct compiler {
    schema *s;
    pool pool; /* ends with the compilation */
    const json *root;
    bool draft_named; /* by the root's $schema */
    schema_refusal *refusal;
    schema_resource *resources;
    uint32_t n_resources, cap_resources;
    anchor *anchors;
    uint32_t n_anchors, cap_anchors;
    intern places; /* subschemas met by the index */
    uint32_t *place_resource;
    uint32_t cap_places;
    intern node_index; /* of a place in the document: node_ids */
    uint32_t *node_ids;
    uint32_t cap_node_ids;
    intern equal_index; /* of a schema by its content: equal_nodes */
    uint32_t *equal_nodes;
    uint32_t cap_equal;
    node *nodes;
    uint32_t n_nodes, cap_nodes;
    intern names;
    decimal *decimals;
    uint32_t n_decimals, cap_decimals;
    text_part *texts;
    uint32_t n_texts, cap_texts;
    intern text_index;
    intern atoms;
    formula *formulas; /* [2 * n_nodes, JSON_OBJECT + 1] */
    group *groups;
    uint32_t n_groups, cap_groups;
    intern lists; /* lists of nodes, for ATOM_REST and ATOM_OTHERS */
    intern goal_index;
    goal *goals; /* by goal_id */
    uint32_t cap_goals;
    intern key_index;
    struct keys *keys; /* schema_keys.h */
    uint32_t cap_keys;
    intern meet_index; /* atoms of strings that were compared */
    bool *meets;
    uint32_t cap_meets;
    uint32_t *name_at; /* [names] of an object that is made: index + 1 among its names */
    uint32_t at;       /* the node whose goal is expanded, to be named */
    uint32_t depth;    /* of goal_maybe */
    uint64_t steps;    /* of work done; over SCHEMA_STEPS it is refused */
    uint64_t bytes;    /* of automata made; over SCHEMA_BYTES it is refused */
} compiler;

enum { SCHEMA_STEPS = 150000, SCHEMA_GOALS = 30000, SCHEMA_BYTES = 96 << 20 };

/* ---- schema_refs.c */

/* Find the resources and anchors of a document. */
ST_NODISCARD int refs_index(compiler *c, const json *root, st_err *err);
/* Where `ref` leads from a place in a resource. */
ST_NODISCARD int refs_find(compiler *c, const char *ref, uint32_t resource,
                           const json **ret, uint32_t *ret_resource, st_err *err);
uint32_t refs_resource(const compiler *c, const json *at, uint32_t otherwise);

/* ---- schema_node.c */

/* The node of a subschema or (value) of a value; read when all of them are. */
ST_NODISCARD int node_of(compiler *c, const json *raw, uint32_t resource, bool value,
                         uint32_t *ret, st_err *err);
ST_NODISCARD int nodes_read(compiler *c, st_err *err); /* all that are not yet */
ST_NODISCARD int name_of(compiler *c, const char *text, size_t len, uint32_t *ret,
                         st_err *err);
ST_NODISCARD int text_of(compiler *c, text_kind kind, uint32_t at, const json *from,
                         uint32_t n, uint32_t *ret, st_err *err);
ST_NODISCARD int decimal_of(compiler *c, const json *number, uint32_t at,
                            const char *keyword, uint32_t *ret, st_err *err);
/* Refuse the schema at a node; returns `code`. */
int refuse(compiler *c, uint32_t at, const char *keyword, int code, st_err *err,
           const char *fmt, ...) ST_PRINTF(6, 7);
int refuse_place(compiler *c, const json *at, const char *keyword, int code, st_err *err,
                 const char *message); /* the same at a place; NULL: the root */

/* ---- schema_loops.c */

/* Refuse subschemas that apply to a value only by applying to it. */
ST_NODISCARD int loops_check(compiler *c, st_err *err);

/* ---- schema_open.c, schema_negate.c */

static inline term term_of(uint32_t kind, uint32_t number)
{
    return kind << 30 | number;
}
static inline uint32_t term_kind(term t)
{
    return t >> 30;
}
static inline uint32_t term_number(term t)
{
    return t & 0x3fffffffu;
}

/* Alternatives, each a list of terms; or cases, each a sorted list of atoms. */
typedef struct cases {
    uint32_t n, cap;
    ids *at;
} cases;
ST_NODISCARD int cases_add(cases *s, ids *taken,
                           st_err *err); /* takes it, also failing */
void cases_done(cases *s);

/* A formula under construction, of a node for a type. */
typedef struct opening {
    compiler *c;
    const node *n;
    uint32_t id;
    json_type type;
    bool no_rest; /* without unevaluatedProperties and unevaluatedItems */
    bool never;   /* nothing of the type satisfies it */
    ids terms;    /* all must hold */
    cases either; /* negation: one of these must hold */
    bool always;  /* negation: everything of the type satisfies it */
    st_err *err;
} opening;

ST_NODISCARD int formula_of(compiler *c, uint32_t literal, json_type type,
                            const formula **ret, st_err *err);
atom atom_get(const compiler *c, uint32_t number);
/* Add a term to a list; kind, a .. d as in atom_kind. */
ST_NODISCARD int add_atom(opening *o, ids *to, atom_kind kind, uint32_t a, uint32_t b,
                          uint32_t c, uint32_t d);
ST_NODISCARD int add_literal(opening *o, ids *to, uint32_t id, bool negated);
/* Does a choice of the type exist?  (enum, const) */
bool has_choice(const node *n, json_type type);
ST_NODISCARD int open_positive(opening *o);
ST_NODISCARD int open_negative(opening *o);

/* What a literal comes down to: one that only refers becomes what it refers to. */
typedef enum truth { TRUTH_OPEN, TRUTH_ALWAYS, TRUTH_NEVER } truth;
truth literal_plain(const compiler *c, uint32_t *literal);
static inline uint32_t literal_of(uint32_t id, bool negated)
{
    return 2 * id + negated;
}

/* ---- schema_cases.c */

/* Every way in which a value of the type satisfies the goal. */
ST_NODISCARD int cases_of(compiler *c, goal_id g, json_type type, cases *ret,
                          st_err *err);
/* Is there one?  True also where that is not easily seen. */
ST_NODISCARD int cases_exist(compiler *c, goal_id g, json_type type, bool *ret,
                             st_err *err);
/* ST_ELIMIT: too much, with what was done before; a step is some microseconds. */
ST_NODISCARD int work_done(compiler *c, uint64_t steps, st_err *err);

/* ---- schema_goal.c */

/* Can no value be both?  As far as types and choices say. */
bool nodes_clash(const compiler *c, uint32_t a, uint32_t b);
ST_NODISCARD int goal_of(compiler *c, const ids *literals, goal_id *ret, st_err *err);
ST_NODISCARD int goal_both(compiler *c, goal_id a, goal_id b, goal_id *ret, st_err *err);
/* False: nothing satisfies it.  True also where that is not easily seen. */
ST_NODISCARD int goal_maybe(compiler *c, goal_id g, bool *ret, st_err *err);
/* Is there a value of the type that satisfies all atoms?  As far as is easily seen.
 * `deep`: automata of strings are compared too. */
ST_NODISCARD int atoms_maybe(compiler *c, const ids *atoms, json_type type, bool deep,
                             bool *ret, st_err *err);

/* ---- schema_rest.c */

/* Copy atoms; those of unevaluatedProperties and unevaluatedItems get the list of nodes
 * that look at properties or items where the literals hold. */
ST_NODISCARD int rest_atoms(compiler *c, const ids *atoms, const ids *literals, ids *ret,
                            st_err *err);

/* ---- schema_number.c, schema_string.c, schema_array.c, schema_object.c */

typedef struct shape_list {
    uint32_t n, cap;
    shape *at;
} shape_list;
/* Takes what the shape holds, also when it fails. */
ST_NODISCARD int shape_add(compiler *c, shape_list *v, const shape *s, st_err *err);

/* To be called for every automaton made: bounds their number and size. */
ST_NODISCARD int automaton_made(compiler *c, const dfa *d, st_err *err);
ST_NODISCARD int text_dfa(compiler *c, uint32_t text, const dfa **ret, bool *ret_free,
                          st_err *err);
ST_NODISCARD int numbers_maybe(compiler *c, const ids *atoms, bool *ret, st_err *err);
ST_NODISCARD int strings_maybe(compiler *c, const ids *atoms, bool deep, bool *ret,
                               st_err *err);
ST_NODISCARD int array_maybe(compiler *c, const ids *atoms, bool *ret, st_err *err);
ST_NODISCARD int object_maybe(compiler *c, const ids *atoms, bool *ret, st_err *err);
ST_NODISCARD int numbers_shape(compiler *c, const cases *s, shape_list *out, st_err *err);
ST_NODISCARD int strings_shape(compiler *c, const cases *s, shape_list *out, st_err *err);
ST_NODISCARD int array_shape(compiler *c, const ids *atoms, shape_list *out, st_err *err);
ST_NODISCARD int object_shape(compiler *c, const ids *atoms, shape_list *out,
                              st_err *err);
/* One automaton for the names that satisfy a goal of strings. */
ST_NODISCARD int strings_dfa(compiler *c, const ids *literals, dfa **ret, st_err *err);

/* ---- schema_trim.c */

/* Give the schema its goals: those that the root leads to, numbered anew, without shapes
 * that no finite value fits. */
ST_NODISCARD int goals_trim(compiler *c, goal_id root, st_err *err);

/* ---- schema_unique.c */

ST_NODISCARD int unique_check(compiler *c, st_err *err); /* of the finished schema */

/* ---- schema.c */

struct schema {
    pool pool;
    dfa **automata; /* of names */
    uint32_t n_automata, cap_automata;
    text_rule *texts; /* of the shapes, to be freed */
    uint32_t n_texts, cap_texts;
    const shapes *goals; /* [n_goals] */
    uint32_t n_goals;
    goal_id root;
};
/* Takes the automaton, also when it fails. */
ST_NODISCARD int schema_keep(schema *s, dfa *d, st_err *err);

#endif
