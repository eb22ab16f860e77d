/* task/fields.h - the fields of an object that was written as JSON text, and where they
 * stand in it.
 *
 * A field is a value that is no object, reached through objects alone: a text, a number,
 * true, false, null, or a whole array.  Values inside arrays are listed too, because
 * checks ask about them, but they are parts of their array's field.  Pointers are those
 * of RFC 6901.
 *
 * Fields are compared as units: a field that is no array and not null is one unit, an
 * array is one unit for each item.  Two units are the same when they have the same
 * pointer (an item: that of its array, wherever it stands in it) and the same value:
 * texts with runs of white space taken as one space and none at the ends, numbers by
 * value.
 *
 * Threads: any, on different objects.  Memory: borrows the text; fields_done. */
#ifndef TASK_FIELDS_H
#define TASK_FIELDS_H
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FIELDS_DEPTH = 128 };

typedef enum field_kind {
    FIELD_NULL,
    FIELD_BOOLEAN,
    FIELD_NUMBER,
    FIELD_TEXT,
    FIELD_ARRAY,
    FIELD_OBJECT, /* no field: holds some */
} field_kind;

typedef struct field {
    field_kind kind;
    size_t name;       /* its pointer, in names */
    size_t from;       /* behind the value that ended before it */
    size_t begin, end; /* its value in the text */
    uint32_t parent;   /* entry of the object or array it is in; UINT32_MAX: none */
    bool inside;       /* of an array */
} field;

typedef struct fields {
    const char *text;
    field *at; /* [n] in the order of the text, outer ones first */
    uint32_t n;
    uint32_t cap;
    st_buf names;
} fields;

/* ST_EFORMAT: no JSON text; ST_ELIMIT: nested deeper than FIELDS_DEPTH. */
ST_NODISCARD int fields_read(const char *text, size_t len, fields *ret_fields,
                             st_err *err);
void fields_done(fields *f);

const char *fields_pointer(const fields *f, uint32_t i);
bool fields_is(const fields *f, uint32_t i); /* a field, no object and not inside */
/* Append a text's characters, or another value as it is written. */
int fields_value(const fields *f, uint32_t i, st_buf *out);
/* Does a pointer have this form, where a part "*" stands for any item or name? */
bool fields_match(const char *form, const char *pointer);

typedef struct fields_count { /* of units */
    uint64_t hits;            /* given and wanted */
    uint64_t given;
    uint64_t wanted;
} fields_count;
double fields_f1(const fields_count *c); /* 2 hits / (given + wanted); 1 for none */

/* Add to *count; ret_right (may be NULL) [given->n]: this field has just the units that
 * are wanted of it. */
ST_NODISCARD int fields_compare(const fields *given, const fields *wanted,
                                fields_count *count, bool *ret_right, st_err *err);
#endif
