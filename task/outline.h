/* task/outline.h - what a JSON Schema says at first sight: which fields there are, and in
 * which order.
 *
 * Only names are looked at, through $ref within the schema, allOf, anyOf, oneOf, then and
 * else; what a value must be is the grammar's business.
 *
 * Threads: any. */
#ifndef TASK_OUTLINE_H
#define TASK_OUTLINE_H
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

/* Append the schema's text without white space.  ST_EFORMAT says line and column. */
ST_NODISCARD int outline_compact(const char *schema, size_t len, st_buf *out,
                                 st_err *err);

/* Can a pointer (RFC 6901; a part "*" is any item or name) lead to a value at all?  True
 * also where names are not listed. */
ST_NODISCARD int outline_knows(const char *schema, size_t len, const char *pointer,
                               bool *ret_known, st_err *err);

/* Append a value as the grammar would write it: members in the schema's order, others
 * behind them, one space after ':' and ',', numbers as they are written. */
ST_NODISCARD int outline_write(const char *schema, size_t schema_len, const char *value,
                               size_t len, st_buf *out, st_err *err);

/* Append a line for each property of an object, as a prompt has it: "name: description
 * (one of "a", "b")".  Nothing where the schema lists none. */
ST_NODISCARD int outline_describe(const char *schema, size_t len, st_buf *out,
                                  st_err *err);
#endif
