/* template/strip.c - the string operations that methods and filters share. */
#include "template/value.h"

#include "base/utf8.h"
#include <string.h>

int arg_chars(rt *r, val v, const tstr **ret)
{
    *ret = NULL;
    if (v.type == V_MISSING || v.type == V_NONE)
        return 0;
    return arg_text(r, v, "strip", ret);
}

static bool has_char(const tstr *chars, const char *s, size_t n)
{
    tstr one = {.s = s, .len = n};
    return tstr_find(chars, &one, 0) != SIZE_MAX;
}

/* Bytes at the start (or end) of s that are in `chars`. */
static size_t strip_count(const tstr *s, const tstr *chars, bool right)
{
    size_t i = 0, n = 0;
    while (i < s->len) {
        if (right) {
            n = 1;
            while (i + n < s->len && ((unsigned char)s->s[s->len - i - n] & 0xC0) == 0x80)
                n++;
        } else {
            st_utf8_decode(s->s + i, s->len - i, &n);
        }
        if (!has_char(chars, right ? s->s + s->len - i - n : s->s + i, n))
            break;
        i += n;
    }
    return i;
}

const tstr *str_strip(rt *r, const tstr *s, const tstr *chars, bool left, bool right)
{
    size_t from = 0, to = s->len;
    if (left)
        from = chars ? strip_count(s, chars, false) : space_left(s->s, s->len);
    if (from == to)
        return tstr_part(r, s, 0, 0);
    if (right)
        to -= chars ? strip_count(s, chars, true) : space_right(s->s, s->len);
    return tstr_part(r, s, from, to - from);
}

/* An empty `old` stands before every character and at the end. */
static int replace_empty(tbuild *b, const tstr *s, const tstr *with, tint count)
{
    int rc = 0;
    size_t i = 0, n;
    for (; i < s->len && !rc; i += n) {
        st_utf8_decode(s->s + i, s->len - i, &n);
        if (count != 0) {
            count--;
            rc = tbuild_str(b, with);
        }
        if (!rc)
            rc = tbuild_part(b, s, i, n);
    }
    return rc || count == 0 ? rc : tbuild_str(b, with);
}

int str_replace(rt *r, const tstr *s, const tstr *old, const tstr *with, tint count,
                val *ret)
{
    tbuild b;
    int rc = rt_step(r, s->len / STEP_BYTES);
    size_t i = 0;
    tbuild_init(&b, r);
    if (!rc && !old->len) {
        rc = replace_empty(&b, s, with, count);
        return rc ? rc : tbuild_end(&b, ret);
    }
    while (!rc && count != 0) {
        size_t at = tstr_find(s, old, i);
        if (at == SIZE_MAX)
            break;
        rc = tbuild_part(&b, s, i, at - i);
        if (!rc)
            rc = tbuild_str(&b, with);
        if (!rc)
            rc = rt_step(r, 1);
        i = at + old->len;
        count--;
    }
    if (!rc && i == 0) {
        *ret = val_str(s); /* nothing found */
        return 0;
    }
    if (!rc)
        rc = tbuild_part(&b, s, i, s->len - i);
    return rc ? rc : tbuild_end(&b, ret);
}

/* Bytes of the line end at i, 0 where there is none. */
static size_t line_end(const tstr *s, size_t i)
{
    size_t n;
    uint32_t c = st_utf8_decode(s->s + i, s->len - i, &n);
    if (c == '\r')
        return i + 1 < s->len && s->s[i + 1] == '\n' ? 2 : 1;
    bool end = (c >= '\n' && c <= '\f') || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
               c == 0x2028 || c == 0x2029;
    return end ? n : 0;
}

int str_lines(rt *r, const tstr *s, bool keep_ends, tlist **ret)
{
    tlist *lines = tlist_new(r, L_LIST, 0);
    int rc = lines ? rt_step(r, s->len / STEP_BYTES) : r->err->code;
    for (size_t from = 0, i = 0; i < s->len && !rc;) {
        size_t end = line_end(s, i), n = 1;
        if (!end && i + 1 < s->len) {
            i += n;
            continue;
        }
        size_t to = end ? i : s->len;
        const tstr *line = tstr_part(r, s, from, (keep_ends ? to + end : to) - from);
        rc = line ? tlist_add(r, lines, val_str(line)) : r->err->code;
        from = i = end ? i + end : s->len;
    }
    if (!rc)
        *ret = lines;
    return rc;
}

int str_padded(rt *r, const tstr *s, size_t left, size_t right, const tstr *fill,
               val *ret)
{
    tbuild b;
    int rc = 0;
    tbuild_init(&b, r);
    for (size_t i = 0; i < left && !rc; i++)
        rc = (rc = rt_step(r, 1)) ? rc : tbuild_str(&b, fill);
    if (!rc)
        rc = tbuild_str(&b, s);
    for (size_t i = 0; i < right && !rc; i++)
        rc = (rc = rt_step(r, 1)) ? rc : tbuild_str(&b, fill);
    return rc ? rc : tbuild_end(&b, ret);
}
