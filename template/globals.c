/* template/globals.c - the functions that every template can call. */
#include "template/run.h"

#include "base/clock.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { RANGE_MAX = 100000 }; /* as jinja2's sandbox */

static int g_range(rt *r, const targs *a, val *ret)
{
    tint v[3] = {0, 0, 1};
    size_t n = a->rest->n;
    if (n < 1 || n > 3)
        return rt_fail(r, ST_EFORMAT, "range expected 1 to 3 arguments, got %zu", n);
    for (size_t i = 0; i < n; i++) {
        int rc = arg_int(r, a->rest->v[i], "range()", 0, &v[n == 1 ? 1 : i]);
        if (rc)
            return rc;
    }
    if (v[2] == 0)
        return rt_fail(r, ST_EFORMAT, "range() arg 3 must not be zero");
    tint far = (tint)1 << 100;
    for (size_t i = 0; i < 3; i++) {
        if (v[i] > far || v[i] < -far)
            return rt_fail(r, ST_ELIMIT, "range too big");
    }
    trange *range = rt_take(r, 1, sizeof *range);
    if (!range)
        return r->err->code;
    *range = (trange){v[0], v[1], v[2]};
    tint span = v[1] > v[0] ? v[1] - v[0] : v[0] - v[1];
    tint step = v[2] < 0 ? -v[2] : v[2];
    if (span / step > RANGE_MAX || trange_length(range) > RANGE_MAX)
        return rt_fail(
            r, ST_ELIMIT,
            "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
            RANGE_MAX);
    *ret = val_of(V_RANGE);
    ret->u.range = range;
    return 0;
}

/* Pairs of a mapping or of a sequence of pairs. */
static int add_pairs(rt *r, tdict *d, val from)
{
    titer it;
    val v;
    bool more;
    tlist *pair;
    if (from.type == V_DICT) {
        int rc = 0;
        for (size_t i = 0; i < from.u.dict->n && !rc; i++)
            rc = tdict_set(r, d, from.u.dict->p[i].key, from.u.dict->p[i].value);
        return rc;
    }
    int rc = titer_init(r, from, &it);
    while (!rc && !(rc = titer_next(r, &it, &v, &more)) && more) {
        rc = val_items(r, v, &pair);
        if (!rc && pair->n != 2)
            rc = rt_fail(r, ST_EFORMAT,
                         "dictionary update sequence element has length %zu; 2 "
                         "is required",
                         pair->n);
        if (!rc)
            rc = tdict_set(r, d, pair->v[0], pair->v[1]);
    }
    return rc;
}

static int make_dict(rt *r, const targs *a, val *ret)
{
    if (a->rest->n > 1)
        return rt_fail(r, ST_EFORMAT, "dict expected at most 1 argument, got %zu",
                       a->rest->n);
    tdict *d = tdict_new(r, a->named->n);
    int rc = d ? 0 : r->err->code;
    if (!rc && a->rest->n)
        rc = add_pairs(r, d, a->rest->v[0]);
    if (!rc)
        rc = add_pairs(r, d, val_dict(a->named));
    if (!rc)
        *ret = val_dict(d);
    return rc;
}

static int g_dict(rt *r, const targs *a, val *ret)
{
    return make_dict(r, a, ret);
}

static int g_namespace(rt *r, const targs *a, val *ret)
{
    int rc = make_dict(r, a, ret);
    if (!rc)
        ret->type = V_NAMESPACE;
    return rc;
}

static int make_cycler(rt *r, vtype type, tlist *items, val *ret)
{
    tcycler *c = rt_take(r, 1, sizeof *c);
    if (!c)
        return r->err->code;
    c->items = items;
    *ret = val_of(type);
    ret->u.cycler = c;
    return 0;
}

static int g_cycler(rt *r, const targs *a, val *ret)
{
    if (!a->rest->n)
        return rt_fail(r, ST_EFORMAT, "at least one item has to be provided");
    return make_cycler(r, V_CYCLER, a->rest, ret);
}

static int g_joiner(rt *r, const targs *a, val *ret)
{
    tlist *items = tlist_new(r, L_LIST, 2);
    int rc = items ? val_text(r, "", &items->v[0]) : r->err->code;
    if (rc)
        return rc;
    items->n = 2;
    items->v[1] = a->v[0];
    if (a->v[0].type == V_MISSING && (rc = val_text(r, ", ", &items->v[1])))
        return rc;
    return make_cycler(r, V_JOINER, items, ret);
}

static int g_raise_exception(rt *r, const targs *a, val *ret)
{
    const tstr *text;
    (void)ret;
    int rc = val_string(r, a->v[0], &text);
    if (rc)
        return rc;
    return rt_fail(r, ST_ERAISED, "%.*s", (int)(text->len < 4000 ? text->len : 4000),
                   text->s);
}

/* Directive letters; %z and %Z are empty for a clock without zone, %f is its own. */
#define TIME_MAP(X)                                                                      \
    X('a', "%a")                                                                         \
    X('A', "%A")                                                                         \
    X('b', "%b")                                                                         \
    X('B', "%B") X('c', "%a %b %e %T %Y") X('C', "%C") X('d', "%d") X('e', "%e")         \
        X('F', "%F") X('G', "%G") X('h', "%h") X('H', "%H") X('I', "%I") X('j', "%j")    \
            X('m', "%m") X('M', "%M") X('n', "%n") X('p', "%p") X('r', "%r")             \
                X('R', "%R") X('S', "%S") X('t', "%t") X('T', "%T") X('u', "%u")         \
                    X('U', "%U") X('V', "%V") X('w', "%w") X('W', "%W") X('X', "%X")     \
                        X('Y', "%Y") X('%', "%%")

static void time_text(const struct tm *now, char directive, char *out, size_t cap)
{
    out[0] = '\0';
    switch (directive) {
#define TIME_CASE(letter, format)                                                        \
    case letter:                                                                         \
        strftime(out, cap, format, now);                                                 \
        break;
        TIME_MAP(TIME_CASE)
#undef TIME_CASE
    case 'y':
        snprintf(out, cap, "%02d", (now->tm_year % 100 + 100) % 100);
        break;
    case 'x':
    case 'D':
        snprintf(out, cap, "%02d/%02d/%02d", now->tm_mon + 1, now->tm_mday,
                 (now->tm_year % 100 + 100) % 100);
        break;
    case 'f':
        snprintf(out, cap, "000000");
        break;
    case 'z':
    case 'Z':
        break;
    default:
        snprintf(out, cap, "%%%c", directive);
    }
}

/* The directive at fmt, which stands after '%'; returns its bytes.  "%-d" is without the
 * padding. */
static size_t time_part(const struct tm *now, const char *fmt, size_t n, char *out,
                        size_t cap)
{
    bool bare = n > 1 && fmt[0] == '-';
    time_text(now, fmt[bare], out, cap);
    size_t pad = 0;
    while (bare && (out[pad] == '0' || out[pad] == ' ') && out[pad + 1])
        pad++;
    memmove(out, out + pad, strlen(out + pad) + 1);
    return bare ? 2 : 1;
}

static int g_strftime_now(rt *r, const targs *a, val *ret)
{
    const tstr *fmt;
    struct tm now;
    tbuild b;
    char text[100];
    time_t t = (time_t)(r->now_unix ? r->now_unix : st_clock_unix());
    int rc = arg_text(r, a->v[0], "strftime_now()", &fmt);
    if (rc)
        return rc;
    if (!gmtime_r(&t, &now))
        return rt_fail(r, ST_EINVAL, "the clock is out of range");
    tbuild_init(&b, r);
    for (size_t i = 0; i < fmt->len && !rc; i++) {
        if (fmt->s[i] != '%' || i + 1 == fmt->len) {
            rc = tbuild_part(&b, fmt, i, 1);
            continue;
        }
        unsigned char mark = tstr_mark(fmt, i);
        i += time_part(&now, fmt->s + i + 1, fmt->len - i - 1, text, sizeof text);
        rc = tbuild_text(&b, text, mark);
    }
    return rc ? rc : tbuild_end(&b, ret);
}

static int g_lipsum(rt *r, const targs *a, val *ret)
{
    (void)a;
    (void)ret;
    return rt_fail(r, ST_EUNSUPPORTED, "lipsum() is not supported in chat templates");
}

const tbuiltin *global_find(const tstr *name)
{
    static const tbuiltin table[] = {
        {"range", "*", 0, g_range},
        {"dict", "* **", 0, g_dict},
        {"namespace", "* **", 0, g_namespace},
        {"cycler", "*", 0, g_cycler},
        {"joiner", "sep", 0, g_joiner},
        {"raise_exception", "message", 1, g_raise_exception},
        {"strftime_now", "format", 1, g_strftime_now},
        {"lipsum", "* **", 0, g_lipsum},
        {0},
    };
    return builtin_find(table, name);
}

int context_find(rt *r, const tstr *name, val *ret, bool *ret_found)
{
    val *value = tdict_text(r, r->vars, name->s, name->len);
    *ret_found = true;
    if (value) {
        *ret = *value;
        return 0;
    }
    const tbuiltin *fn = global_find(name);
    *ret_found = fn != NULL;
    if (!fn)
        return 0;
    tfunc *func = rt_take(r, 1, sizeof *func);
    if (!func)
        return r->err->code;
    *func = (tfunc){fn, val_of(V_MISSING)};
    *ret = val_of(V_FUNC);
    ret->u.func = func;
    return 0;
}
