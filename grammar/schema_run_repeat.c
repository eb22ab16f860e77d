/* grammar/schema_run_repeat.c - names and items that may not come twice.
 *
 * What was there before is no part of a state: it is read from the text.  A frame's flags
 * say that something ended with the last byte that may be a repeat:
 *   FLAG_NAME   a name that is not listed, of the innermost object that is open
 *   FLAG_ITEM   an item of the innermost array that is open, whose items are unique
 *   FLAG_ENDED  such an item that was a number: the byte behind it ended it, ',' or the
 *               ']' of its array
 *   FLAG_FEW    inside such a name or item: it can become few only, and when all of them
 *               are there, there is no way on
 * FLAG_UNIQUE marks the frames of such items.
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

/* ---- what an item can still become ---- */

static bool can_grow(const number_rule *rule, number_state s)
{
    for (const char *c = "0123456789.e"; *c; c++)
        if (!number_dead(number_step(rule, s, (uint8_t)*c)))
            return true;
    return false;
}

static bool becomes_few(const run_plan *p, const uint32_t *t)
{
    if (p->shape->type == JSON_NUMBER)
        return p->shape->number.single ||
               (number_accepts(&p->shape->number, run_number(t)) &&
                !can_grow(&p->shape->number, run_number(t)));
    if (p->shape->type == JSON_STRING)
        return p->few && p->few[t[TEXT_AT]] < MANY;
    return p->shape->type != JSON_OBJECT || (p->few && p->few[t[NAME_AT]] < MANY);
}

void run_flag_few(run *r)
{
    const uint32_t *f = r->next;
    bool name = frame_place(f) == OBJECT_KEY;
    bool few = (name || (frame_flags(f) & FLAG_UNIQUE)) &&
               (frame_place(f) == LITERAL || f[FRAME_ESCAPE] == 0);
    if (!few)
        return;
    FOR_THREADS(r, f, r->n, t, p)
    {
        few = few && ((t[THREAD_PLAN] & COUNTED) || becomes_few(p, t));
    }
    if (few)
        r->next[FRAME_HEAD] |= frame_head(0, 0, FLAG_FEW);
}

/* Items before the last one that it could become. */
static uint32_t n_before(parts p, span last, const decimal *value)
{
    uint32_t n = 0;
    span s;
    while (next_part(&p, &s) && s.at != last.at) {
        decimal d;
        if (value)
            n += is_number(s) && decimal_read(s.at, (uint32_t)s.len, &d) &&
                 decimal_cmp(&d, value) == 0;
        else
            n += s.len >= last.len && memcmp(s.at, last.at, last.len) == 0;
    }
    return n;
}

/* Is all that the item under way can become there already? */
static bool all_there(const run *r, const uint32_t *f, uint32_t n, parts p)
{
    span last = {NULL, 0}, s;
    for (parts q = p; next_part(&q, &s);)
        last = s;
    uint32_t texts = 0;
    FOR_THREADS(r, f, n, t, plan)
    {
        decimal d;
        if (t[THREAD_PLAN] & COUNTED)
            continue;
        if (frame_place(f) == STRING || frame_place(f) == OBJECT_KEY)
            texts += plan->few[t[frame_place(f) == STRING ? TEXT_AT : NAME_AT]];
        if (frame_place(f) != NUMBER)
            continue;
        const number_rule *rule = &plan->shape->number;
        if (!rule->single && !decimal_read(last.at, (uint32_t)last.len, &d))
            return false;
        if (n_before(p, last, rule->single ? &rule->lo : &d) == 0)
            return false;
    }
    if (frame_place(f) == NUMBER)
        return true;
    return n_before(p, last, NULL) >= (frame_place(f) == LITERAL ? 1 : texts);
}

bool run_may_repeat(const automaton *a, state_id s)
{
    uint32_t n;
    return s != STATE_DEAD &&
           (frame_flags(run_frame((const run *)a, s, &n)) & ~(uint32_t)FLAG_UNIQUE) != 0;
}

bool run_repeats(const automaton *a, state_id s, const char *text, size_t len)
{
    const run *r = (const run *)a;
    uint32_t n;
    const uint32_t *f = run_frame(r, s, &n);
    uint32_t flags = frame_flags(f);
    nest x = nest_of(text, len);
    if (flags & FLAG_FEW)
        return x.n > 0 && all_there(r, f, n, parts_of(text, len, x.open[x.n - 1]));
    bool closed = len > 0 && text[len - 1] == ']';
    if ((flags & FLAG_ENDED) && closed && last_repeats(text, len, x.closed))
        return true;
    bool open = (flags & (FLAG_NAME | FLAG_ITEM)) || ((flags & FLAG_ENDED) && !closed);
    return open && x.n > 0 && last_repeats(text, len, x.open[x.n - 1]);
}

/* ---- what would be a repeat ---- */

/* Inside a name, or a string that is an item, where both are many: those before that
 * begin like it.  Anywhere else it cannot say. */
bool run_taken(const automaton *a, state_id s, const char *text, size_t len, st_buf *out)
{
    const run *r = (const run *)a;
    uint32_t n;
    const uint32_t *f = run_frame(r, s, &n);
    bool name = frame_place(f) == OBJECT_KEY;
    bool item = frame_place(f) == STRING && (frame_flags(f) & FLAG_UNIQUE) != 0;
    FOR_THREADS(r, f, n, t, p)
    {
        name = name && !p->few;
        item = item && !p->few;
    }
    if (!name && !item)
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
