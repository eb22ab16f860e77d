/* tests/documented.h - does docs/server.md say it? */
#ifndef TESTS_DOCUMENTED_H
#define TESTS_DOCUMENTED_H
#include "base/file.h"
#include "base/mem.h"
#include <string.h>

static inline void documented(const char *word)
{
    char *text;
    size_t len;
    st_err err = {0};
    assert_int_equal(st_file_read("docs/server.md", 1 << 20, &text, &len, &err), 0);
    if (!strstr(text, word))
        fail_msg("docs/server.md does not say '%s'", word);
    st_free(text);
}
#endif
