/* grammar/validate_priv.h - a schema made ready for the validator; private to its files.
 *
 * Every subschema is a node: its keywords with their values, the nodes that they lead to,
 * and what they refer to.  A resource is a schema with a URI of its own. */
#ifndef GRAMMAR_VALIDATE_PRIV_H
#define GRAMMAR_VALIDATE_PRIV_H
#include "base/map.h"
#include "grammar/decimal.h"
#include "grammar/schema_pool.h"
#include "grammar/validate.h"

typedef enum draft {
    DRAFT4 = 1,
    DRAFT6 = 2,
    DRAFT7 = 4,
    DRAFT2019 = 8,
    DRAFT2020 = 16,
} draft;

typedef struct vnode vnode;
typedef struct vrule vrule;
typedef struct vrun vrun;
typedef struct pattern pattern;
typedef bool format_check(const char *text, size_t len);

typedef struct vresource {
    const char *uri; /* absolute, or relative where nothing says to what; no fragment */
    const vnode *root;
    draft draft;
    bool recursive; /* "$recursiveAnchor": true */
} vresource;

typedef struct vanchor {
    const vresource *in;
    const char *name;
    const vnode *node;
    bool dynamic;
} vanchor;

/* 1: holds; 0: does not, and the reason is said; negative: an error.  `seen` [value->n]
 * is NULL or gets true for each item or member that was looked at. */
typedef int vcheck(vrun *r, const vnode *node, const vrule *rule, const json *value,
                   bool *seen);

typedef enum vkind { /* what the value of a keyword must be */
                     VALUE_ANY,
                     VALUE_REFUSED, /* asserts what is not checked here */
                     VALUE_BOOL,
                     VALUE_COUNT,
                     VALUE_NUMBER,
                     VALUE_DIVISOR,
                     VALUE_EXCLUSIVE, /* a number; true or false in draft 4 */
                     VALUE_STRING,
                     VALUE_PATTERN,
                     VALUE_FORMAT,
                     VALUE_TYPE,
                     VALUE_LIST,
                     VALUE_STRINGS,
                     VALUE_STRINGS_BY_NAME,
                     VALUE_SCHEMA,
                     VALUE_SCHEMAS,
                     VALUE_ITEMS, /* one schema or, before 2020-12, a list of them */
                     VALUE_SCHEMA_BY_NAME,
                     VALUE_SCHEMA_BY_PATTERN,
                     VALUE_DEPENDENCIES, /* by name, a schema or strings */
                     VALUE_REF,
                     VALUE_DYNAMIC_REF,
                     VALUE_RECURSIVE_REF,
} vkind;

typedef struct vword {
    const char *name;
    unsigned drafts;
    vkind kind;
    vcheck *check; /* NULL: looked at by another keyword, or by none */
    bool late;     /* after all others: what they looked at counts */
} vword;

const vword *vword_find(const json *name); /* NULL: no keyword (validate.c) */

struct vrule {
    const vword *word;
    const json *value;
    const vnode *const *nodes;      /* [n] in the order of the value; NULL: no schema */
    const pattern *const *patterns; /* [n] */
    uint32_t n;
    uint64_t count;
    decimal number;
    format_check *format;
    const vnode *target;      /* of a reference */
    const char *dynamic_name; /* or NULL: it is where it points to */
};

struct vnode {
    const json *at;
    const vresource *in;
    uint32_t n_rules;
    const vrule *rules;
    bool late; /* has a late rule */
};

struct validator {
    pool pool;
    const json *root;
    vnode **nodes; /* [n_nodes] in the order they were met */
    uint32_t n_nodes, cap_nodes;
    vresource **resources;
    uint32_t n_resources, cap_resources;
    vanchor *anchors;
    uint32_t n_anchors, cap_anchors;
    pattern **patterns; /* to be freed */
    uint32_t n_patterns, cap_patterns;
    st_map by_place; /* address of a json -> index of its node */
    bool tracks;     /* some rule is late */
};

const vrule *vnode_rule(const vnode *node, const char *word); /* or NULL */

/* A run of the validator (validate.c). */

typedef struct vstep { /* from a value to one in it */
    const struct vstep *up;
    const json *name; /* NULL: an item */
    uint32_t index;
} vstep;

typedef struct vscope { /* a resource that was entered */
    const struct vscope *up;
    const vresource *in;
} vscope;

struct vrun {
    const validator *v;
    st_err *err;
    const vstep *at;
    const vscope *scope;
    uint32_t silent; /* above 0: a failure is only a "no" to a question */
    uint32_t depth;
    uint64_t work;
};

/* Say that a keyword does not hold here, and why; returns 0. */
int vrun_no(vrun *r, const char *word, const char *what);
int vrun_is_so(vrun *r, bool holds, const vrule *rule, const char *what); /* 1, or that */

/* Apply a schema to a value, or to item or member i of it; to ask makes "no" an answer
 * and no failure. */
int vrun_apply(vrun *r, const vnode *node, const json *value, bool *seen);
int vrun_apply_in(vrun *r, const vnode *node, const json *value, uint32_t i);
int vrun_ask(vrun *r, const vnode *node, const json *value, bool *seen);
int vrun_ask_in(vrun *r, const vnode *node, const json *value, uint32_t i);

/* Keywords (validate_scalar.c, validate_parts.c). */
vcheck check_minimum, check_maximum, check_exclusive_minimum, check_exclusive_maximum,
    check_multiple_of, check_min_length, check_max_length, check_pattern, check_format,
    check_min_items, check_max_items, check_unique_items, check_prefix_items, check_items,
    check_additional_items, check_contains, check_unevaluated_items, check_min_properties,
    check_max_properties, check_required, check_properties, check_pattern_properties,
    check_additional_properties, check_property_names, check_dependents,
    check_unevaluated_properties, check_type, check_enum, check_const;

/* One more step of a JSON pointer: a member's name or, where it is NULL, an index. */
void validate_put_step(const json *name, uint32_t index, st_buf *out);

/* An absolute URI from a reference, in memory of the pool (RFC 3986, 5.2).  The fragment
 * is left out; *ret_fragment is its text without '#' and escapes, or NULL. */
ST_NODISCARD int validate_uri(pool *p, const char *base, const char *ref,
                              const char **ret_uri, const char **ret_fragment,
                              st_err *err);

/* A regular expression of ECMA-262 in Unicode mode that is searched for.  ST_EFORMAT or
 * ST_EUNSUPPORTED says why not. */
ST_NODISCARD int pattern_new(const char *text, size_t len, pattern **ret, st_err *err);
void pattern_free(pattern *p);
bool pattern_is_valid(const char *text,
                      size_t len); /* an expression of ECMA-262 at all? */
/* 1: found; 0: not; ST_ELIMIT, ST_ENOMEM. */
int pattern_find(const pattern *p, const char *text, size_t len, st_err *err);

/* The check of a format; NULL where it is none that is asserted; *ret_known then says
 * whether it is one of the specification that cannot be checked. */
format_check *format_find(const json *name, bool *ret_known);
#endif
