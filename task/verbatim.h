/* task/verbatim.h - fields held to the input's own words while they are written.
 *
 * For a field with a check `verbatim`, the schema gets what the input offers beside what
 * it says itself: runs of whole words within a line for texts, its numbers for numbers.
 * So a model cannot make up an order number, nor take one from an example.  The check is
 * still made afterwards: this only helps to pass it.
 *
 * Left as it is: a field that does not stand under `properties` of the schema itself and
 * of its properties, an array's field, and every field when the input offers more than
 * VERBATIM_MAX_RUNS runs or VERBATIM_MAX_BYTES bytes of them.
 *
 * Threads: any. */
#ifndef TASK_VERBATIM_H
#define TASK_VERBATIM_H
#include "task/contract.h"
#include "base/buf.h"

enum {
    VERBATIM_MAX_RUNS = 600,
    VERBATIM_MAX_BYTES = 1 << 14,
    VERBATIM_MAX_WORDS = 8, /* of a run */
    VERBATIM_MAX_NUMBERS = 40,
};

/* Write the contract's schema for this input.  *ret_changed false: as it is, and nothing
 * is written. */
ST_NODISCARD int verbatim_schema(const contract *c, const char *text, size_t len,
                                 st_buf *out, bool *ret_changed, st_err *err);
#endif
