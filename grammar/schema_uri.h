/* grammar/schema_uri.h - URI references resolved as RFC 3986, section 5.2; private to
 * this room. */
#ifndef GRAMMAR_SCHEMA_URI_H
#define GRAMMAR_SCHEMA_URI_H
#include "base/buf.h"
#include <stddef.h>

/* Append what `ref` [len], a reference without fragment, means at `base`. */
void uri_resolve(const char *base, const char *ref, size_t len, st_buf *out);
/* Append [len] with its %XX decoded. */
void uri_decode(const char *text, size_t len, st_buf *out);
#endif
