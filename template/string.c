/* template/string.c - immutable strings with provenance, and their builder.
 *
 * A builder keeps one mark for all bytes until a byte with another mark comes; only then
 * it writes marks out.  Lengths in characters are counted once, when a string is made. */
#include "template/value.h"

#include "base/utf8.h"
#include <string.h>

enum { BUILD_MIN = 48 };

void tbuild_init(tbuild *b, rt *r)
{
    *b = (tbuild){.r = r, .limit = SIZE_MAX};
}

static int make_room(tbuild *b, size_t n)
{
    if (n > b->limit || b->len > b->limit - n)
        return rt_fail(b->r, ST_ELIMIT, "the output is over %zu bytes", b->limit);
    if (rt_step(b->r, n / STEP_BYTES))
        return ST_ELIMIT;
    if (b->s && b->cap - b->len >= n)
        return 0;
    if (n > b->r->mem.limit)
        return b->r->mem.over = true, rt_oom(b->r);
    size_t cap = b->cap * 2 > b->len + n ? b->cap * 2 : b->len + n;
    cap = cap < BUILD_MIN ? BUILD_MIN : cap;
    char *s = tarena_grow(&b->r->mem, b->s, b->len, cap);
    if (!s)
        return rt_oom(b->r);
    b->s = s;
    if (b->marks) {
        unsigned char *marks = tarena_grow(&b->r->mem, b->marks, b->len, cap);
        if (!marks)
            return rt_oom(b->r);
        b->marks = marks;
    }
    b->cap = cap;
    return 0;
}

/* From here on every byte has a mark of its own. */
static int write_marks_out(tbuild *b)
{
    b->marks = tarena_take(&b->r->mem, b->cap);
    if (!b->marks)
        return rt_oom(b->r);
    memset(b->marks, b->mark, b->len);
    return 0;
}

int tbuild_add(tbuild *b, const char *s, size_t n, unsigned char mark)
{
    if (!n)
        return 0;
    int rc = make_room(b, n);
    if (rc)
        return rc;
    if (!b->len)
        b->mark = mark;
    else if (!b->marks && mark != b->mark && (rc = write_marks_out(b)))
        return rc;
    memcpy(b->s + b->len, s, n);
    if (b->marks)
        memset(b->marks + b->len, mark, n);
    b->len += n;
    return 0;
}

int tbuild_text(tbuild *b, const char *s, unsigned char mark)
{
    return tbuild_add(b, s, strlen(s), mark);
}

int tbuild_code(tbuild *b, uint32_t code, unsigned char mark)
{
    char bytes[4];
    return tbuild_add(b, bytes, st_utf8_encode(code, bytes), mark);
}

int tbuild_part(tbuild *b, const tstr *s, size_t from, size_t n)
{
    if (!n || !s->marks)
        return tbuild_add(b, s->s + from, n, s->mark);
    int rc = make_room(b, n);
    if (rc)
        return rc;
    if (!b->marks && (rc = write_marks_out(b)))
        return rc;
    memcpy(b->s + b->len, s->s + from, n);
    memcpy(b->marks + b->len, s->marks + from, n);
    b->len += n;
    return 0;
}

int tbuild_str(tbuild *b, const tstr *s)
{
    return tbuild_part(b, s, 0, s->len);
}

static size_t count_chars(const char *s, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)s[i] & 0xC0) != 0x80;
    return count;
}

const tstr *tbuild_take(tbuild *b)
{
    tstr *s = rt_take(b->r, 1, sizeof *s);
    if (!s)
        return NULL;
    *s = (tstr){
        .s = b->len ? b->s : "", .len = b->len, .marks = b->marks, .mark = b->mark};
    s->n_chars = count_chars(s->s, s->len);
    return s;
}

int tbuild_end(tbuild *b, val *ret)
{
    const tstr *s = tbuild_take(b);
    if (!s)
        return b->r->err->code;
    *ret = val_str(s);
    return 0;
}

const tstr *tstr_new(rt *r, const char *s, size_t n, unsigned char mark)
{
    tstr *str = rt_take(r, 1, sizeof *str);
    if (!str || rt_step(r, n / STEP_BYTES))
        return NULL;
    *str = (tstr){.s = s, .len = n, .n_chars = count_chars(s, n), .mark = mark};
    return str;
}

const tstr *tstr_part(rt *r, const tstr *s, size_t from, size_t n)
{
    if (from == 0 && n == s->len)
        return s;
    tstr *part = rt_take(r, 1, sizeof *part);
    if (!part || rt_step(r, n / STEP_BYTES))
        return NULL;
    *part = (tstr){.s = s->s + from,
                   .len = n,
                   .marks = s->marks ? s->marks + from : NULL,
                   .mark = s->mark,
                   .markup = s->markup};
    part->n_chars = s->n_chars == s->len ? n : count_chars(part->s, n);
    return part;
}

size_t tstr_byte(const tstr *s, size_t n_char)
{
    if (s->n_chars == s->len || n_char == 0)
        return n_char < s->len ? n_char : s->len;
    size_t i = 0;
    for (; i < s->len; i++) {
        if (((unsigned char)s->s[i] & 0xC0) != 0x80 && n_char-- == 0)
            break;
    }
    return i;
}

bool tstr_is(const tstr *s, const char *text)
{
    return strlen(text) == s->len && memcmp(s->s, text, s->len) == 0;
}

unsigned char tstr_mark(const tstr *s, size_t at)
{
    return s->marks && at < s->len ? s->marks[at] : s->mark;
}

bool tstr_has_data(const tstr *s)
{
    if (!s->len)
        return false;
    return s->marks ? memchr(s->marks, 1, s->len) != NULL : s->mark;
}

size_t tstr_find(const tstr *s, const tstr *what, size_t from)
{
    size_t last = s->len;
    if (what->len > s->len || from > last - what->len)
        return SIZE_MAX;
    if (!what->len)
        return from;
    while (from + what->len <= last) {
        const char *p = memchr(s->s + from, what->s[0], last - what->len + 1 - from);
        if (!p)
            return SIZE_MAX;
        from = (size_t)(p - s->s);
        if (memcmp(p, what->s, what->len) == 0)
            return from;
        from++;
    }
    return SIZE_MAX;
}

size_t tstr_rfind(const tstr *s, const tstr *what, size_t end)
{
    if (what->len > end)
        return SIZE_MAX;
    for (size_t at = end - what->len + 1; at-- > 0;) {
        if (memcmp(s->s + at, what->s, what->len) == 0)
            return at;
    }
    return SIZE_MAX;
}

int val_text(rt *r, const char *s, val *ret)
{
    const tstr *str = tstr_new(r, s, strlen(s), 0);
    if (!str)
        return r->err->code;
    *ret = val_str(str);
    return 0;
}
