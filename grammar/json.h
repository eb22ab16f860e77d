/* grammar/json.h - JSON text as a tree that forgets nothing.
 *
 * RFC 8259, strictly: one value, well-formed UTF-8, nothing behind the value.  Numbers
 * keep their text, so that bounds and equality are exact at any size; members keep their
 * order, which is the order that text is held to.
 *
 * Strings are UTF-8; a lone surrogate (\uD800) cannot be kept and is refused, naming the
 * place.  Nesting deeper than JSON_DEPTH and texts of over 1 GiB are ST_ELIMIT.
 *
 * Threads: a document is immutable.  Memory: json_free frees the whole tree. */
#ifndef GRAMMAR_JSON_H
#define GRAMMAR_JSON_H
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_DEPTH = 512 };

typedef enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
} json_type;

typedef struct json json;
struct json {
    json_type type;
    uint32_t n;        /* items or members; bytes of text */
    const char *text;  /* JSON_STRING: decoded; JSON_NUMBER: as written.  A NUL follows */
    const json *items; /* [n] of an array; the values of an object's members */
    const json *names; /* [n] JSON_STRING; of an object */
    const json *const *sorted; /* [n] the names again, by their bytes */
};

/* ST_EFORMAT says line and column.  An object with the same name twice is refused. */
ST_NODISCARD int json_read(const char *text, size_t len, const json **ret_root,
                           st_err *err);
/* The same, but where a name comes again its last value counts (RFC 8259 allows both). */
ST_NODISCARD int json_read_last(const char *text, size_t len, const json **ret_root,
                                st_err *err);
void json_free(const json *root); /* what json_read gave; NULL allowed */

/* The member of that name, or NULL (also when it is no object).  By bisection. */
const json *json_get(const json *object, const char *name);
const json *json_get_n(const json *object, const char *name, size_t len);
bool json_is(const json *string,
             const char *text); /* a string with that text? NULL: no */

/* Equality as JSON Schema has it: numbers by value (exponents of over 10^9 by text),
 * objects in any order. */
bool json_same(const json *a, const json *b);
/* The same for values that are equal, whatever their text. */
uint64_t json_hash(const json *value);

/* Where separators have a space: {"a":1,"b":2} or {"a": 1, "b": 2}. */
typedef enum json_space { JSON_COMPACT, JSON_SPACED } json_space;

/* Append as text: characters raw where JSON allows it (short escapes, \u00XX for other
 * control characters below U+0020), numbers as plain decimals where that takes at most
 * 400 digits. */
void json_write(const json *value, json_space space, st_buf *out);
void json_write_string(const char *text, size_t len, st_buf *out);
#endif
