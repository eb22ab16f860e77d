/* grammar/instance.h - would a text that is held to a schema be let write these values?
 *
 * A line {"schema": ..., "tests": [{"data": ...}, ...]} is answered by one line:
 *
 *   {"compiled":true,"accepts":[true,...]}
 *   {"compiled":false,"pointer":"/...","keyword":"...","message":"...","hint":"..."}
 *   {"error":"..."}                                     the line is none of these
 *
 * A value is let be written when every byte of its text is one that the mask allows, and
 * the text may end there.  Numbers are written as plain decimals.  Members stand in the
 * order of the schema's `properties`, others behind; with `any_order` as in the line.
 *
 * Threads: any. */
#ifndef GRAMMAR_INSTANCE_H
#define GRAMMAR_INSTANCE_H
#include "base/buf.h"
#include "base/err.h"
#include "grammar/grammar.h"
#include <stdbool.h>
#include <stddef.h>

typedef struct instance_opts {
    bool any_order;
    bool times; /* add "compile_us" to what is compiled: until a text can begin */
} instance_opts;

/* Append the answer, with its '\n'.  0; ST_EFORMAT: a line of another form, which has its
 * answer too; other errors have none. */
ST_NODISCARD int instance_check_line(const char *line, size_t len,
                                     const instance_opts *opts, st_buf *out, st_err *err);

/* 0: the value in `text` would be let be written; ST_EFORMAT: not. */
ST_NODISCARD int instance_check(const grammar *g, const char *text, size_t len,
                                const instance_opts *opts, st_err *err);
#endif
