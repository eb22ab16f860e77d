/* serve/text_join.c - bytes that come in pieces, as well-formed UTF-8. */
#include "serve/text_join.h"

#include "base/utf8.h"
#include <stdbool.h>
#include <string.h>

#define NO_CHARACTER "\xEF\xBF\xBD"

static unsigned char_len(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* Can these bytes, which are no character, become one?  Every lead byte lets its second
 * be 80 or BF. */
static bool may_become(const char *s, unsigned n)
{
    unsigned len = char_len((unsigned char)*s);
    size_t used;
    if (n >= len)
        return false;
    for (unsigned fill = 0x80; fill <= 0xBF; fill += 0x3F) {
        char whole[4];
        memset(whole, (int)fill, sizeof whole);
        memcpy(whole, s, n);
        if (st_utf8_decode(whole, len, &used) != ST_UTF8_BAD)
            return true;
    }
    return false;
}

/* Move what is decided out of the waiting bytes. */
static void settle(text_join *j, bool last, st_buf *out)
{
    size_t used;
    while (j->n > 0) {
        bool good = st_utf8_decode(j->bytes, j->n, &used) != ST_UTF8_BAD;
        if (!good && !last && may_become(j->bytes, j->n))
            return;
        if (good)
            st_buf_add(out, j->bytes, used);
        else
            st_buf_str(out, NO_CHARACTER);
        j->n -= (unsigned)used;
        memmove(j->bytes, j->bytes + used, j->n);
    }
}

void text_join_add(text_join *j, const char *bytes, size_t len, st_buf *out)
{
    for (size_t i = 0; i < len; i++) {
        j->bytes[j->n++] = bytes[i];
        settle(j, false, out);
    }
}

void text_join_end(text_join *j, st_buf *out)
{
    settle(j, true, out);
}
