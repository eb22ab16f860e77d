/* grammar/schema_run_repeat.c - names and items that may not come twice.
 *
 * What was there before is no part of a state: it is read from the text.  A frame's flags
 * say that something ended with the last byte that may be a repeat:
 *   FLAG_NAME   a name that is not listed, of the innermost object that is open
 *   FLAG_ITEM   an item of the innermost array that is open, whose items are unique
 *   FLAG_ENDED  such an item that was a number: the byte behind it ended it, ',' or the
 *               ']' of its array
 *
 * The text is the automaton's own: names and strings are equal when their bytes are. */
#include "base/mem.h"
#include "grammar/decimal.h"
#include "grammar/schema_run_priv.h"
#include <string.h>

typedef struct span {
    const char *at;
    size_t len;
} span;

/* The containers that a text leaves open, and the last one that it closed. */
typedef struct nest {
    size_t open[SCHEMA_DEPTH]; /* where their first bytes are */
    uint32_t n;
    size_t closed;
} nest;

/* Behind the string that begins at i. */
static size_t skip_string(const char *text, size_t len, size_t i)
{
    for (i++; i < len && text[i] != '"'; i++)
        i += text[i] == '\\';
    return i < len ? i + 1 : len;
}

static nest nest_of(const char *text, size_t len)
{
    nest x = {.n = 0};
    for (size_t i = 0; i < len;) {
        if (text[i] == '"') {
            i = skip_string(text, len, i);
            continue;
        }
        if ((text[i] == '[' || text[i] == '{') && x.n < SCHEMA_DEPTH)
            x.open[x.n++] = i;
        else if ((text[i] == ']' || text[i] == '}') && x.n > 0)
            x.closed = x.open[--x.n];
        i++;
    }
    return x;
}

/* Items of an array, names of an object: each in turn. */
typedef struct parts {
    const char *text;
    size_t len, next;
    bool names;
} parts;

static parts parts_of(const char *text, size_t len, size_t open)
{
    return (parts){text, len, open + 1, text[open] == '{'};
}

/* Behind the value at i. */
static size_t skip_value(const char *text, size_t len, size_t i)
{
    uint32_t depth = 0;
    for (; i < len; i++) {
        if (text[i] == '"') {
            i = skip_string(text, len, i) - 1;
        } else if (text[i] == '[' || text[i] == '{') {
            depth++;
        } else if (text[i] == ']' || text[i] == '}') {
            if (depth == 0)
                return i;
            depth--;
        } else if (text[i] == ',' && depth == 0) {
            return i;
        }
    }
    return len;
}

static bool next_part(parts *p, span *ret)
{
    size_t i = p->next;
    while (i < p->len && (p->text[i] == ',' || p->text[i] == ' '))
        i++;
    if (i == p->len || p->text[i] == ']' || p->text[i] == '}')
        return false;
    size_t end =
        p->names ? skip_string(p->text, p->len, i) : skip_value(p->text, p->len, i);
    *ret = (span){p->text + i, end - i};
    p->next = p->names ? skip_value(p->text, p->len, end) : end;
    return true;
}

/* ---- the same value? ---- */

static bool is_number(span s)
{
    return s.at[0] == '-' || (s.at[0] >= '0' && s.at[0] <= '9');
}

static bool same_trees(span a, span b)
{
    const json *x = NULL, *y = NULL;
    bool same = true; /* also when memory runs out: nothing is repeated */
    if (json_read(a.at, a.len, &x, NULL) == 0 && json_read(b.at, b.len, &y, NULL) == 0)
        same = json_same(x, y);
    json_free(x);
    json_free(y);
    return same;
}

static bool same_value(span a, span b)
{
    if (a.len == b.len && memcmp(a.at, b.at, a.len) == 0)
        return true;
    if (is_number(a) && is_number(b)) {
        decimal x, y;
        return decimal_read(a.at, (uint32_t)a.len, &x) &&
               decimal_read(b.at, (uint32_t)b.len, &y) && decimal_cmp(&x, &y) == 0;
    }
    return a.at[0] == b.at[0] && (a.at[0] == '[' || a.at[0] == '{') && same_trees(a, b);
}

/* Was the last part of a container there before? */
static bool last_repeats(const char *text, size_t len, size_t open)
{
    span last = {NULL, 0}, s;
    for (parts p = parts_of(text, len, open); next_part(&p, &s);)
        last = s;
    for (parts p = parts_of(text, len, open); next_part(&p, &s) && s.at != last.at;)
        if (same_value(s, last))
            return true;
    return false;
}

bool run_may_repeat(const automaton *a, state_id s)
{
    uint32_t n;
    return s != STATE_DEAD && frame_flags(run_frame((const run *)a, s, &n)) != 0;
}

bool run_repeats(const automaton *a, state_id s, const char *text, size_t len)
{
    uint32_t n;
    uint32_t flags = frame_flags(run_frame((const run *)a, s, &n));
    nest x = nest_of(text, len);
    bool closed = len > 0 && text[len - 1] == ']';
    if ((flags & FLAG_ENDED) && closed && last_repeats(text, len, x.closed))
        return true;
    bool open = (flags & (FLAG_NAME | FLAG_ITEM)) || ((flags & FLAG_ENDED) && !closed);
    return open && x.n > 0 && last_repeats(text, len, x.open[x.n - 1]);
}

/* ---- what would be a repeat ---- */

static bool is_unique(const run *r, state_id s)
{
    uint32_t n;
    const uint32_t *f = run_frame(r, s, &n);
    bool unique = false;
    if (frame_place(f) != ARRAY_VALUE)
        return false;
    FOR_THREADS(r, f, n, t, p)
    {
        unique = unique || p->shape->array.unique;
    }
    return unique;
}

/* Inside a name, or a string that is an item: those before that begin like it.  Anywhere
 * else it cannot say. */
bool run_taken(const automaton *a, state_id s, const char *text, size_t len, st_buf *out)
{
    const run *r = (const run *)a;
    uint32_t n;
    const uint32_t *f = run_frame(r, s, &n);
    bool name = frame_place(f) == OBJECT_KEY;
    if (!name && (frame_place(f) != STRING || !is_unique(r, f[FRAME_PARENT])))
        return false;
    nest x = nest_of(text, len);
    if (x.n == 0)
        return false;
    span last = {NULL, 0}, part;
    for (parts p = parts_of(text, len, x.open[x.n - 1]); next_part(&p, &part);)
        last = part;
    for (parts p = parts_of(text, len, x.open[x.n - 1]);
         next_part(&p, &part) && part.at != last.at;) {
        if (part.len <= last.len || memcmp(part.at, last.at, last.len) != 0)
            continue;
        st_buf_add(out, part.at + last.len, part.len - last.len);
        st_buf_char(out, 0);
    }
    return true;
}
