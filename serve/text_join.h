/* serve/text_join.h - bytes that come in pieces, as well-formed UTF-8.
 *
 * A character whose bytes are not all there waits for them; a byte that belongs to none
 * becomes U+FFFD.  What comes out does not depend on how the bytes were cut.
 *
 * Threads: one owner. */
#ifndef SERVE_TEXT_JOIN_H
#define SERVE_TEXT_JOIN_H
#include "base/buf.h"

typedef struct text_join { /* zeroes: nothing waits */
    char bytes[4];
    unsigned n;
} text_join;

/* Append what is whole to `out`. */
void text_join_add(text_join *j, const char *bytes, size_t len, st_buf *out);
/* No more comes: what waits is no character. */
void text_join_end(text_join *j, st_buf *out);
#endif
