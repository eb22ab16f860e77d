/* template/methods_str.c - methods of strings that give strings, numbers and truth. */
#include "template/value.h"

#include "base/utf8.h"
#include <string.h>

static int case_method(rt *r, const targs *a, tcase to, val *ret)
{
    return str_case(r, a->self.u.s, to, ret);
}

static int m_upper(rt *r, const targs *a, val *ret)
{
    return case_method(r, a, CASE_UPPER, ret);
}

static int m_lower(rt *r, const targs *a, val *ret)
{
    return case_method(r, a, CASE_LOWER, ret);
}

static int m_title(rt *r, const targs *a, val *ret)
{
    return case_method(r, a, CASE_TITLE, ret);
}

static int m_capitalize(rt *r, const targs *a, val *ret)
{
    return case_method(r, a, CASE_CAPITAL, ret);
}

static int m_swapcase(rt *r, const targs *a, val *ret)
{
    return case_method(r, a, CASE_SWAP, ret);
}

static int m_casefold(rt *r, const targs *a, val *ret)
{
    return case_method(r, a, CASE_FOLD, ret);
}

static int strip_method(rt *r, const targs *a, bool left, bool right, val *ret)
{
    const tstr *chars;
    int rc = arg_chars(r, a->v[0], &chars);
    const tstr *s = rc ? NULL : str_strip(r, a->self.u.s, chars, left, right);
    if (!s)
        return r->err->code;
    *ret = val_str(s);
    return 0;
}

static int m_strip(rt *r, const targs *a, val *ret)
{
    return strip_method(r, a, true, true, ret);
}

static int m_lstrip(rt *r, const targs *a, val *ret)
{
    return strip_method(r, a, true, false, ret);
}

static int m_rstrip(rt *r, const targs *a, val *ret)
{
    return strip_method(r, a, false, true, ret);
}

static int m_replace(rt *r, const targs *a, val *ret)
{
    const tstr *old, *with;
    tint count;
    int rc = arg_text(r, a->v[0], "replace() argument 1", &old);
    if (!rc)
        rc = arg_text(r, a->v[1], "replace() argument 2", &with);
    if (!rc)
        rc = arg_int(r, a->v[2], "replace() argument 3", -1, &count);
    return rc ? rc : str_replace(r, a->self.u.s, old, with, count, ret);
}

/* Arguments start and end, as bytes [*from, *to) of s; false: an empty range past it. */
static int arg_range(rt *r, const targs *a, const tstr *s, size_t *from, size_t *to,
                     bool *ret_inside)
{
    tint n = (tint)s->n_chars, start, end;
    val v1 = a->v[1].type == V_NONE ? val_of(V_MISSING) : a->v[1];
    val v2 = a->v[2].type == V_NONE ? val_of(V_MISSING) : a->v[2];
    int rc = arg_int(r, v1, "start", 0, &start);
    if (!rc)
        rc = arg_int(r, v2, "end", n, &end);
    if (rc)
        return rc;
    end = end > n ? n : end < 0 ? (end < -n ? 0 : end + n) : end;
    start = start < 0 ? (start < -n ? 0 : start + n) : start;
    *ret_inside = start <= end;
    *from = *ret_inside ? tstr_byte(s, (size_t)start) : 0;
    *to = *ret_inside ? tstr_byte(s, (size_t)end) : 0;
    return rt_step(r, *to / STEP_BYTES);
}

static size_t count_chars(const tstr *s, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n += ((unsigned char)s->s[i] & 0xC0) != 0x80;
    return n;
}

static int find_method(rt *r, const targs *a, bool last, bool must, val *ret)
{
    const tstr *s = a->self.u.s, *what;
    size_t from, to, at = SIZE_MAX;
    bool inside;
    int rc = arg_text(r, a->v[0], "find() argument", &what);
    if (rc || (rc = arg_range(r, a, s, &from, &to, &inside)))
        return rc;
    tstr cut = *s;
    cut.len = to;
    if (inside)
        at = last ? tstr_rfind(&cut, what, to) : tstr_find(&cut, what, from);
    if (at != SIZE_MAX && at < from)
        at = SIZE_MAX;
    if (at == SIZE_MAX && must)
        return rt_fail(r, ST_EFORMAT, "substring not found");
    *ret = val_int(at == SIZE_MAX ? -1 : (tint)count_chars(s, at));
    ret->data = tstr_has_data(s);
    return 0;
}

static int m_find(rt *r, const targs *a, val *ret)
{
    return find_method(r, a, false, false, ret);
}

static int m_rfind(rt *r, const targs *a, val *ret)
{
    return find_method(r, a, true, false, ret);
}

static int m_index(rt *r, const targs *a, val *ret)
{
    return find_method(r, a, false, true, ret);
}

static int m_rindex(rt *r, const targs *a, val *ret)
{
    return find_method(r, a, true, true, ret);
}

static int m_count(rt *r, const targs *a, val *ret)
{
    const tstr *s = a->self.u.s, *what;
    size_t from, to;
    bool inside;
    tint n = 0;
    int rc = arg_text(r, a->v[0], "count() argument", &what);
    if (rc || (rc = arg_range(r, a, s, &from, &to, &inside)))
        return rc;
    tstr cut = *s;
    cut.len = to;
    if (inside && !what->len)
        n = (tint)(count_chars(s, to) - count_chars(s, from)) + 1;
    while (inside && what->len && (from = tstr_find(&cut, what, from)) != SIZE_MAX) {
        from += what->len;
        n++;
    }
    *ret = val_int(n);
    return 0;
}

static bool edge_is(const tstr *s, size_t from, size_t to, const tstr *what, bool end)
{
    if (what->len > to - from)
        return false;
    return memcmp(s->s + (end ? to - what->len : from), what->s, what->len) == 0;
}

static int edge_method(rt *r, const targs *a, bool end, val *ret)
{
    const tstr *s = a->self.u.s, *what;
    size_t from, to;
    bool inside, is = false;
    int rc = arg_range(r, a, s, &from, &to, &inside);
    if (rc)
        return rc;
    if (val_is_tuple(a->v[0])) {
        const tlist *any = a->v[0].u.list;
        for (size_t i = 0; i < any->n && !rc && !is; i++) {
            rc = arg_text(r, any->v[i], "startswith()", &what);
            is = !rc && inside && edge_is(s, from, to, what, end);
        }
    } else if (!(rc = arg_text(r, a->v[0], end ? "endswith()" : "startswith()", &what))) {
        is = inside && edge_is(s, from, to, what, end);
    }
    if (!rc)
        *ret = val_bool(is);
    return rc;
}

static int m_startswith(rt *r, const targs *a, val *ret)
{
    return edge_method(r, a, false, ret);
}

static int m_endswith(rt *r, const targs *a, val *ret)
{
    return edge_method(r, a, true, ret);
}

static int m_join(rt *r, const targs *a, val *ret)
{
    tbuild b;
    titer it;
    val v;
    bool more;
    int rc = titer_init(r, a->v[0], &it);
    tbuild_init(&b, r);
    for (size_t i = 0; !rc && !(rc = titer_next(r, &it, &v, &more)) && more; i++) {
        if (v.type != V_STR)
            return rt_fail(r, ST_EFORMAT,
                           "sequence item %zu: expected str instance, %s found", i,
                           val_type_name(v));
        rc = i ? tbuild_str(&b, a->self.u.s) : 0;
        if (!rc)
            rc = tbuild_str(&b, v.u.s);
    }
    return rc ? rc : tbuild_end(&b, ret);
}

static int m_format(rt *r, const targs *a, val *ret)
{
    return str_format(r, a->self.u.s, a->rest, a->named, ret);
}

static int m_format_map(rt *r, const targs *a, val *ret)
{
    tlist *none = tlist_new(r, L_TUPLE, 0);
    if (!none)
        return r->err->code;
    if (a->v[0].type != V_DICT)
        return rt_fail(r, ST_EFORMAT, "format_map() needs a mapping");
    return str_format(r, a->self.u.s, none, a->v[0].u.dict, ret);
}

/* Width and fill character of center, ljust, rjust; *ret_gap: what is missing. */
static int arg_fill(rt *r, const targs *a, size_t *ret_gap, const tstr **ret_fill)
{
    tint width;
    const tstr *space = tstr_new(r, " ", 1, 0);
    int rc = space ? arg_int(r, a->v[0], "width", 0, &width) : r->err->code;
    *ret_fill = space;
    if (!rc && a->v[1].type != V_MISSING)
        rc = arg_text(r, a->v[1], "fill character", ret_fill);
    if (rc)
        return rc;
    if ((*ret_fill)->n_chars != 1)
        return rt_fail(r, ST_EFORMAT,
                       "The fill character must be exactly one character long");
    tint gap = width - (tint)a->self.u.s->n_chars;
    *ret_gap = gap < 0 ? 0 : gap > (tint)(SIZE_MAX / 4) ? SIZE_MAX / 4 : (size_t)gap;
    return 0;
}

static int m_center(rt *r, const targs *a, val *ret)
{
    size_t gap = 0;
    const tstr *fill;
    int rc = arg_fill(r, a, &gap, &fill);
    if (rc)
        return rc;
    size_t width = gap + a->self.u.s->n_chars;
    size_t left = gap / 2 + (gap & width & 1);
    return str_padded(r, a->self.u.s, left, gap - left, fill, ret);
}

static int m_ljust(rt *r, const targs *a, val *ret)
{
    size_t gap = 0;
    const tstr *fill;
    int rc = arg_fill(r, a, &gap, &fill);
    return rc ? rc : str_padded(r, a->self.u.s, 0, gap, fill, ret);
}

static int m_rjust(rt *r, const targs *a, val *ret)
{
    size_t gap = 0;
    const tstr *fill;
    int rc = arg_fill(r, a, &gap, &fill);
    return rc ? rc : str_padded(r, a->self.u.s, gap, 0, fill, ret);
}

static int m_zfill(rt *r, const targs *a, val *ret)
{
    const tstr *s = a->self.u.s;
    size_t sign = s->len && (s->s[0] == '+' || s->s[0] == '-') ? 1 : 0;
    targs fill = *a;
    size_t gap = 0;
    const tstr *space, *zero = tstr_new(r, "0", 1, 0);
    fill.v[1] = val_of(V_MISSING);
    int rc = zero ? arg_fill(r, &fill, &gap, &space) : r->err->code;
    tbuild b;
    tbuild_init(&b, r);
    if (!rc)
        rc = tbuild_part(&b, s, 0, sign);
    for (size_t i = 0; !rc && i < gap; i++)
        rc = (rc = rt_step(r, 1)) ? rc : tbuild_str(&b, zero);
    if (!rc)
        rc = tbuild_part(&b, s, sign, s->len - sign);
    return rc ? rc : tbuild_end(&b, ret);
}

static int m_expandtabs(rt *r, const targs *a, val *ret)
{
    const tstr *s = a->self.u.s;
    tint size;
    tbuild b;
    size_t column = 0, n;
    int rc = arg_int(r, a->v[0], "tabsize", 8, &size);
    tbuild_init(&b, r);
    for (size_t i = 0; i < s->len && !rc; i += n) {
        st_utf8_decode(s->s + i, s->len - i, &n);
        if (s->s[i] != '\t') {
            column = s->s[i] == '\n' || s->s[i] == '\r' ? 0 : column + 1;
            rc = tbuild_part(&b, s, i, n);
            continue;
        }
        size_t gap = size > 0 ? (size_t)(size - (tint)column % size) : 0;
        column += gap;
        for (; gap > 0 && !rc; gap--)
            rc = (rc = rt_step(r, 1)) ? rc : tbuild_add(&b, " ", 1, tstr_mark(s, i));
    }
    return rc ? rc : tbuild_end(&b, ret);
}

static int remove_edge(rt *r, const targs *a, bool end, val *ret)
{
    const tstr *s = a->self.u.s, *what;
    int rc = arg_text(r, a->v[0], "removeprefix() argument", &what);
    if (rc)
        return rc;
    if (edge_is(s, 0, s->len, what, end))
        s = tstr_part(r, s, end ? 0 : what->len, s->len - what->len);
    if (!s)
        return r->err->code;
    *ret = val_str(s);
    return 0;
}

static int m_removeprefix(rt *r, const targs *a, val *ret)
{
    return remove_edge(r, a, false, ret);
}

static int m_removesuffix(rt *r, const targs *a, val *ret)
{
    return remove_edge(r, a, true, ret);
}

const tbuiltin methods_str[] = {
    {"upper", "", 0, m_upper},
    {"lower", "", 0, m_lower},
    {"title", "", 0, m_title},
    {"capitalize", "", 0, m_capitalize},
    {"swapcase", "", 0, m_swapcase},
    {"casefold", "", 0, m_casefold},
    {"strip", "chars", 0, m_strip},
    {"lstrip", "chars", 0, m_lstrip},
    {"rstrip", "chars", 0, m_rstrip},
    {"replace", "old new count", 2, m_replace},
    {"find", "sub start end", 1, m_find},
    {"rfind", "sub start end", 1, m_rfind},
    {"index", "sub start end", 1, m_index},
    {"rindex", "sub start end", 1, m_rindex},
    {"count", "sub start end", 1, m_count},
    {"startswith", "prefix start end", 1, m_startswith},
    {"endswith", "suffix start end", 1, m_endswith},
    {"join", "iterable", 1, m_join},
    {"format", "* **", 0, m_format},
    {"format_map", "mapping", 1, m_format_map},
    {"center", "width fillchar", 1, m_center},
    {"ljust", "width fillchar", 1, m_ljust},
    {"rjust", "width fillchar", 1, m_rjust},
    {"zfill", "width", 1, m_zfill},
    {"expandtabs", "tabsize", 0, m_expandtabs},
    {"removeprefix", "prefix", 1, m_removeprefix},
    {"removesuffix", "suffix", 1, m_removesuffix},
    {0},
};
