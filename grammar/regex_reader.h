/* grammar/regex_reader.h - the reader of patterns and its reader of sets; private to the
 * regex_ files.
 *
 * Threads: one owner.  Memory: borrows text and tree. */
#ifndef GRAMMAR_REGEX_READER_H
#define GRAMMAR_REGEX_READER_H
#include "grammar/regex_tree.h"

typedef struct regex_reader {
    const char *text;
    size_t len, at; /* bytes */
    uint32_t depth; /* of groups */
    bool half;      /* half of a surrogate pair was met in this set */
    regex_tree *tree;
    st_err *err;
} regex_reader;

/* An error at byte `at`, told in characters.  Returns `code`. */
int regex_error(regex_reader *p, size_t at, int code, const char *what);

/* The set that one character of the pattern, an escape or a [class] stands for, settled.
 */
ST_NODISCARD int regex_read_set(regex_reader *p, code_set *ret);
#endif
