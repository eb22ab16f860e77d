/* task/csv.h - records of a CSV text (RFC 4180), one at a time.
 *
 * Fields are separated by commas and may be quoted with '"' ('""' is one quote); quoted
 * fields may hold commas and line ends.  Lines end in LF or CRLF.  A quote inside an
 * unquoted field, text after a closing quote and a quote that is never closed are errors.
 *
 * Memory: fields point into a buffer of the reader and live until the next record. */
#ifndef TASK_CSV_H
#define TASK_CSV_H
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum { CSV_MAX_FIELDS = 256 };

typedef struct csv {
    const char *at;
    const char *end;
    size_t line; /* of the next record, from 1 */
    st_buf text; /* the fields, each followed by a NUL */
    size_t start[CSV_MAX_FIELDS];
    size_t len[CSV_MAX_FIELDS];
    unsigned n_fields;
    size_t record_line; /* of the record read last */
} csv;

void csv_init(csv *c, const char *text, size_t len);
void csv_done(csv *c);
/* Read one record; *ret_more is false at the end.  Empty lines are passed over. */
ST_NODISCARD int csv_next(csv *c, bool *ret_more, st_err *err);
const char *csv_field(const csv *c, unsigned i);
#endif
