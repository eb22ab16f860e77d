/* grammar/schema_keys.h - the names of an object, read by one automaton; private to the
 * files that compile a schema.
 *
 * Memory: automata belong to the schema, the rest to its pool. */
#ifndef GRAMMAR_SCHEMA_KEYS_H
#define GRAMMAR_SCHEMA_KEYS_H
#include "grammar/schema_priv.h"

typedef struct keys {
    dfa *d;
    const dfa_label *labels;
    uint32_t n_labels;
    uint64_t *label_ahead; /* as in shape_object */
} keys;

/* What tells names apart. */
typedef struct key_spec {
    ids names;  /* of compiler.names, in order */
    ids parts;  /* texts: patterns */
    ids others; /* literals of strings: parts behind those, one each */
    ids within; /* literals of strings: all hold for every name */
} key_spec;

ST_NODISCARD int keys_of(compiler *c, const key_spec *spec, uint32_t at, keys *ret,
                         st_err *err);
void key_spec_done(key_spec *spec);
#endif
