/* grammar/validate.h - does a finished value satisfy a JSON Schema?  Private to this
 * room.
 *
 * The plain reading of the specification: every keyword in turn over the parsed value. It
 * shares nothing with the shapes and automata that hold a text to a schema, but for the
 * JSON reader: patterns run in PCRE2, formats are read by hand.  So a mistake in one is
 * found by the other.
 *
 * Drafts 2020-12 (also when no $schema says otherwise), 2019-09, 7, 6 and 4.  `format` is
 * asserted; formats that no draft names are not.  Refused: schemas elsewhere (remote
 * $ref), other values of $schema, expressions that ECMA-262 or this reader does not know.
 *
 * Threads: a validator is immutable; any number of threads may run it.  Memory:
 * validator_free; the schema it was made from must outlive it. */
#ifndef GRAMMAR_VALIDATE_H
#define GRAMMAR_VALIDATE_H
#include "grammar/json.h"

typedef struct validator validator;

/* ST_EFORMAT: no schema, with the JSON pointer to what is wrong; ST_EUNSUPPORTED. */
ST_NODISCARD int validator_new(const json *schema, validator **ret, st_err *err);
void validator_free(validator *v); /* NULL allowed */

/* 0: valid.  ST_EFORMAT: not, and `err` names the place in the value by its JSON pointer
 * and the keyword.  ST_ELIMIT: it takes too much work to say. */
ST_NODISCARD int validator_run(const validator *v, const json *value, st_err *err);
#endif
