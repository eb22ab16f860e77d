/* tokenizer/normal.c - Unicode canonical composition (NFC, UAX #15).
 *
 * Decompositions and compositions come from utf8proc; the ordering of combining marks is
 * done here by counting, since a text of a million marks must not take a million steps
 * for each. */
#include "tokenizer/tok_priv.h"

#include "base/mem.h"
#include "base/utf8.h"
#include <string.h>
#include <utf8proc.h>

/* Below U+0300 nothing combines and every character is its own composition. */
static bool may_change(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)s[i] >= 0xCC)
            return true;
    }
    return false;
}

static unsigned mark_class(int32_t c)
{
    return c < 0x300 ? 0 : (unsigned)utf8proc_get_property(c)->combining_class & 0xFFu;
}

/* Canonical decomposition into `out`, which has room for 4 code points a byte. */
static size_t decompose(const char *s, size_t len, int32_t *out)
{
    size_t n = 0;
    for (size_t at = 0, used; at < len; at += used) {
        int boundary = 0;
        int32_t c = (int32_t)st_utf8_decode(s + at, len - at, &used);
        utf8proc_ssize_t more =
            c < 0x80
                ? 0
                : utf8proc_decompose_char(c, out + n, 4, UTF8PROC_DECOMPOSE, &boundary);
        if (more > 0 && more <= 4)
            n += (size_t)more;
        else
            out[n++] = c;
    }
    return n;
}

/* Stable sort of one run of marks by class. */
static void order_run(int32_t *marks, size_t n, int32_t *spare)
{
    size_t starts[257] = {0};
    bool sorted = true;
    for (size_t i = 1; i < n; i++)
        sorted &= mark_class(marks[i - 1]) <= mark_class(marks[i]);
    if (sorted)
        return;
    for (size_t i = 0; i < n; i++)
        starts[mark_class(marks[i]) + 1]++;
    for (size_t i = 1; i < 257; i++)
        starts[i] += starts[i - 1];
    for (size_t i = 0; i < n; i++)
        spare[starts[mark_class(marks[i])]++] = marks[i];
    memcpy(marks, spare, n * sizeof *marks);
}

static void order_marks(int32_t *chars, size_t n, int32_t *spare)
{
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && mark_class(chars[end]) != 0)
            end++;
        if (end - i > 1)
            order_run(chars + i, end - i, spare);
        i = end + 1;
    }
}

static int write_utf8(st_buf *out, const int32_t *chars, size_t n)
{
    st_buf_reset(out);
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        size_t len = st_utf8_encode((uint32_t)chars[i], bytes);
        int rc = st_buf_add(out, bytes, len);
        if (rc)
            return rc;
    }
    return 0;
}

int normal_nfc(tok_run *r, const char *s, size_t len, const char **ret_s, size_t *ret_len)
{
    *ret_s = s;
    *ret_len = len;
    if (!may_change(s, len))
        return 0;
    /* A character of k bytes decomposes into at most k + 1, so two per byte are enough;
     * decompose() asks for room for four at its last step. */
    size_t room = 2 * len + 4;
    int32_t *chars = st_alloc_n(room, 2 * sizeof *chars);
    if (!chars)
        return ST_ENOMEM;
    size_t n = decompose(s, len, chars);
    order_marks(chars, n, chars + room);
    utf8proc_ssize_t composed = utf8proc_normalize_utf32(
        chars, (utf8proc_ssize_t)n, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    int rc = composed < 0 ? ST_EINVAL : write_utf8(&r->work, chars, (size_t)composed);
    st_free(chars);
    if (!rc) {
        *ret_s = r->work.data;
        *ret_len = r->work.len;
    }
    return rc;
}
