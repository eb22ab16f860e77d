/* template/filters_text.c - filters that make text. */
#include "template/value.h"

#include "base/utf8.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static int case_filter(rt *r, const targs *a, tcase to, val *ret)
{
    const tstr *s;
    int rc = val_string(r, a->v[0], &s);
    return rc ? rc : str_case(r, s, to, ret);
}

static int f_upper(rt *r, const targs *a, val *ret)
{
    return case_filter(r, a, CASE_UPPER, ret);
}

static int f_lower(rt *r, const targs *a, val *ret)
{
    return case_filter(r, a, CASE_LOWER, ret);
}

static int f_capitalize(rt *r, const targs *a, val *ret)
{
    return case_filter(r, a, CASE_CAPITAL, ret);
}

static bool ends_word(uint32_t code)
{
    return code == '-' || code == '(' || code == '{' || code == '[' || code == '<' ||
           code_is(code, CLASS_SPACE);
}

/* Words begin after white space and opening brackets only, unlike str.title(). */
static int f_title(rt *r, const targs *a, val *ret)
{
    const tstr *s;
    tbuild b;
    bool first = true;
    int rc = val_string(r, a->v[0], &s);
    tbuild_init(&b, r);
    for (size_t i = 0, n; !rc && i < s->len; i += n) {
        uint32_t code = st_utf8_decode(s->s + i, s->len - i, &n), mapped[3];
        size_t n_mapped = code_map(code, first ? CASE_UPPER : CASE_LOWER, mapped);
        for (size_t k = 0; k < n_mapped && !rc; k++)
            rc = tbuild_code(&b, mapped[k], tstr_mark(s, i));
        first = ends_word(code);
    }
    return rc ? rc : tbuild_end(&b, ret);
}

static int f_trim(rt *r, const targs *a, val *ret)
{
    const tstr *s, *chars;
    int rc = val_string(r, a->v[0], &s);
    if (!rc)
        rc = arg_chars(r, a->v[1], &chars);
    if (rc)
        return rc;
    s = str_strip(r, s, chars, true, true);
    if (!s)
        return r->err->code;
    *ret = val_str(s);
    return 0;
}

static int f_replace(rt *r, const targs *a, val *ret)
{
    const tstr *s, *old, *with;
    tint count;
    int rc = val_string(r, a->v[0], &s);
    if (!rc)
        rc = val_string(r, a->v[1], &old);
    if (!rc)
        rc = val_string(r, a->v[2], &with);
    if (!rc)
        rc = arg_int(r, a->v[3].type == V_NONE ? val_of(V_MISSING) : a->v[3], "count", -1,
                     &count);
    return rc ? rc : str_replace(r, s, old, with, count, ret);
}

/* What each line but the first starts with. */
static int indention(rt *r, val width, const tstr **ret)
{
    tint n;
    val text;
    if (width.type == V_STR) {
        *ret = width.u.s;
        return 0;
    }
    int rc = arg_int(r, width, "indent", 4, &n);
    const tstr *space = rc ? NULL : tstr_new(r, " ", 1, 0);
    if (!space)
        return r->err->code;
    rc = val_binary(r, OP_MUL, val_str(space), val_int(n), &text);
    if (!rc)
        *ret = text.u.s;
    return rc;
}

static int f_indent(rt *r, const targs *a, val *ret)
{
    const tstr *s, *indent;
    tlist *lines;
    tbuild b;
    bool first = val_truth(a->v[2]), blank = val_truth(a->v[3]);
    int rc = arg_text(r, a->v[0], "indent", &s);
    if (!rc)
        rc = indention(r, a->v[1], &indent);
    tbuild_init(&b, r);
    if (!rc) /* a last empty line counts as a line */
        rc = tbuild_str(&b, s);
    if (!rc)
        rc = tbuild_add(&b, "\n", 1, tstr_mark(s, 0));
    const tstr *whole = rc ? NULL : tbuild_take(&b);
    if (!whole || (rc = str_lines(r, whole, false, &lines)))
        return r->err->code;
    tbuild_init(&b, r);
    for (size_t i = 0; i < lines->n && !rc; i++) {
        const tstr *line = lines->v[i].u.s;
        if (i)
            rc = tbuild_add(&b, "\n", 1, tstr_mark(s, 0));
        if (!rc && (i ? blank || line->len : first))
            rc = tbuild_str(&b, indent);
        if (!rc)
            rc = tbuild_str(&b, line);
    }
    return rc ? rc : tbuild_end(&b, ret);
}

static int f_center(rt *r, const targs *a, val *ret)
{
    const tstr *s, *space = tstr_new(r, " ", 1, 0);
    tint width;
    int rc = space ? val_string(r, a->v[0], &s) : r->err->code;
    if (!rc)
        rc = arg_int(r, a->v[1], "width", 80, &width);
    if (rc)
        return rc;
    tint gap = width - (tint)s->n_chars;
    if (gap <= 0)
        return *ret = val_str(s), 0;
    size_t n = gap > (tint)(SIZE_MAX / 4) ? SIZE_MAX / 4 : (size_t)gap;
    size_t left = n / 2 + (n & (size_t)width & 1);
    return str_padded(r, s, left, n - left, space, ret);
}

/* The first n characters of s, back to the last space unless words may be cut. */
static const tstr *cut_words(rt *r, const tstr *s, size_t n, bool kill)
{
    size_t to = tstr_byte(s, n);
    size_t space = kill ? 0 : to;
    while (space > 0 && s->s[space - 1] != ' ')
        space--;
    return tstr_part(r, s, 0, space ? space - 1 : to);
}

static int f_truncate(rt *r, const targs *a, val *ret)
{
    const tstr *s, *end = tstr_new(r, "...", 3, 0);
    tint length, leeway;
    size_t n;
    tbuild b;
    int rc = end ? val_length(r, a->v[0], &n) : r->err->code;
    if (!rc)
        rc = arg_int(r, a->v[1], "length", 255, &length);
    if (!rc && a->v[3].type != V_MISSING)
        rc = arg_text(r, a->v[3], "end", &end);
    if (!rc)
        rc = arg_int(r, a->v[4].type == V_NONE ? val_of(V_MISSING) : a->v[4], "leeway", 5,
                     &leeway);
    if (rc)
        return rc;
    if (length < (tint)end->n_chars || leeway < 0)
        return rt_fail(r, ST_EFORMAT, "expected length >= %zu", end->n_chars);
    if ((tint)n - leeway <= length)
        return *ret = a->v[0], 0;
    if ((rc = arg_text(r, a->v[0], "truncate", &s)))
        return rc;
    s = cut_words(r, s, (size_t)length - end->n_chars, val_truth(a->v[2]));
    tbuild_init(&b, r);
    rc = s ? tbuild_str(&b, s) : r->err->code;
    if (!rc)
        rc = tbuild_str(&b, end);
    return rc ? rc : tbuild_end(&b, ret);
}

static int f_wordcount(rt *r, const targs *a, val *ret)
{
    const tstr *s;
    tint words = 0;
    bool in_word = false;
    int rc = val_string(r, a->v[0], &s);
    for (size_t i = 0, n; !rc && i < s->len; i += n) {
        bool word = code_is(st_utf8_decode(s->s + i, s->len - i, &n), CLASS_WORD);
        words += word && !in_word;
        in_word = word;
    }
    *ret = val_int(words);
    return rc;
}

static int f_escape(rt *r, const targs *a, val *ret)
{
    return val_escape(r, a->v[0], ret);
}

static int f_forceescape(rt *r, const targs *a, val *ret)
{
    const tstr *s;
    tbuild b;
    int rc = val_string(r, a->v[0], &s);
    tbuild_init(&b, r);
    if (!rc)
        rc = html_escape(&b, s);
    if (!rc)
        rc = tbuild_end(&b, ret);
    return rc ? rc : val_markup(r, ret);
}

static int f_safe(rt *r, const targs *a, val *ret)
{
    const tstr *s;
    int rc = val_string(r, a->v[0], &s);
    *ret = rc ? val_of(V_NONE) : val_str(s);
    return rc ? rc : val_markup(r, ret);
}

static int f_string(rt *r, const targs *a, val *ret)
{
    const tstr *s;
    int rc = val_string(r, a->v[0], &s);
    if (!rc)
        *ret = val_str(s);
    return rc;
}

static int f_format(rt *r, const targs *a, val *ret)
{
    const tstr *s;
    int rc = val_string(r, a->v[0], &s);
    if (rc)
        return rc;
    if (a->rest->n && a->named->n)
        return rt_fail(r, ST_EFORMAT,
                       "can't handle positional and keyword arguments at the same time");
    return str_percent(r, s, a->named->n ? val_dict(a->named) : val_list(a->rest), ret);
}

/* --- tojson --- */

static int json_indent(rt *r, val indent, json_style *style)
{
    style->has_indent = indent.type != V_MISSING && indent.type != V_NONE;
    if (!style->has_indent)
        return 0;
    return indention(r, indent, &style->indent);
}

static int f_tojson(rt *r, const targs *a, val *ret)
{
    tbuild b;
    json_style style = {.ascii = val_truth(a->v[1]), .sorted = val_truth(a->v[4])};
    val separators = a->v[3];
    int rc = json_indent(r, a->v[2], &style);
    if (rc)
        return rc;
    style.item_separator =
        tstr_new(r, style.has_indent ? "," : ", ", style.has_indent ? 1 : 2, 0);
    style.key_separator = tstr_new(r, ": ", 2, 0);
    if (!style.item_separator || !style.key_separator)
        return r->err->code;
    if (separators.type != V_MISSING && separators.type != V_NONE) {
        tlist *pair;
        if ((rc = val_items(r, separators, &pair)))
            return rc;
        if (pair->n != 2)
            return rt_fail(r, ST_EFORMAT, "tojson: separators are two strings");
        rc = arg_text(r, pair->v[0], "separator", &style.item_separator);
        if (!rc)
            rc = arg_text(r, pair->v[1], "separator", &style.key_separator);
    }
    tbuild_init(&b, r);
    if (!rc)
        rc = val_json(&b, a->v[0], &style);
    return rc ? rc : tbuild_end(&b, ret);
}

/* --- urlencode --- */

static int url_quote(tbuild *b, val v, bool query)
{
    const tstr *s;
    int rc = val_string(b->r, v, &s);
    for (size_t i = 0; !rc && i < s->len; i++) {
        unsigned char c = (unsigned char)s->s[i];
        bool plain = c < 0x80 && (code_is(c, CLASS_ALNUM) || strchr("_.-~", c));
        char hex[4];
        if ((plain && c) || (c == '/' && !query)) {
            rc = tbuild_part(b, s, i, 1);
        } else if (c == ' ' && query) {
            rc = tbuild_text(b, "+", tstr_mark(s, i));
        } else {
            snprintf(hex, sizeof hex, "%%%02X", c);
            rc = tbuild_text(b, hex, tstr_mark(s, i));
        }
    }
    return rc;
}

static int url_pair(tbuild *b, val pair, bool first)
{
    tlist *two;
    int rc = val_items(b->r, pair, &two);
    if (rc)
        return rc;
    if (two->n != 2)
        return rt_fail(b->r, ST_EFORMAT,
                       "urlencode: pairs of a key and a value are needed");
    rc = first ? 0 : tbuild_text(b, "&", 0);
    if (!rc)
        rc = url_quote(b, two->v[0], true);
    if (!rc)
        rc = tbuild_text(b, "=", 0);
    return rc ? rc : url_quote(b, two->v[1], true);
}

static int f_urlencode(rt *r, const targs *a, val *ret)
{
    tbuild b;
    titer it;
    val v = a->v[0], pair;
    bool more;
    tbuild_init(&b, r);
    if (v.type == V_STR || !val_iterable(v)) {
        int rc = url_quote(&b, v, false);
        return rc ? rc : tbuild_end(&b, ret);
    }
    if (v.type == V_DICT) {
        static const tstr items = {.s = "items", .len = 5, .n_chars = 5};
        tcall none = {0};
        int rc = val_attr(r, v, &items, &v);
        if (rc || (rc = val_call(r, v, &none, &v)))
            return rc;
    }
    int rc = titer_init(r, v, &it);
    for (size_t i = 0; !rc && !(rc = titer_next(r, &it, &pair, &more)) && more; i++)
        rc = url_pair(&b, pair, i == 0);
    return rc ? rc : tbuild_end(&b, ret);
}

/* --- striptags --- */

/* Drop everything from `from` to the `to` after it, as often as both are there. */
static const tstr *drop_between(rt *r, const tstr *s, const char *from, const char *to)
{
    tbuild b;
    const tstr *open = tstr_new(r, from, strlen(from), 0);
    const tstr *close = tstr_new(r, to, strlen(to), 0);
    size_t i = 0, at, end;
    tbuild_init(&b, r);
    if (!open || !close)
        return NULL;
    while ((at = tstr_find(s, open, i)) != SIZE_MAX &&
           (end = tstr_find(s, close, at)) != SIZE_MAX) {
        if (tbuild_part(&b, s, i, at - i) || rt_step(r, 1))
            return NULL;
        i = end + close->len;
    }
    return tbuild_part(&b, s, i, s->len - i) ? NULL : tbuild_take(&b);
}

static int f_striptags(rt *r, const targs *a, val *ret)
{
    static const char *const entities[][2] = {{"&lt;", "<"},    {"&gt;", ">"},
                                              {"&#39;", "'"},   {"&#34;", "\""},
                                              {"&quot;", "\""}, {"&amp;", "&"}};
    static const tstr split_name = {.s = "split", .len = 5, .n_chars = 5};
    const tstr *s;
    tcall none = {0};
    int rc = val_string(r, a->v[0], &s);
    s = rc ? NULL : drop_between(r, s, "<!--", "-->");
    s = s ? drop_between(r, s, "<", ">") : NULL;
    if (!s)
        return r->err->code;
    val words, fn;
    tbuild b;
    tbuild_init(&b, r);
    rc = val_attr(r, val_str(s), &split_name, &fn);
    if (!rc)
        rc = val_call(r, fn, &none, &words);
    for (size_t i = 0; !rc && i < words.u.list->n; i++) {
        rc = i ? tbuild_text(&b, " ", tstr_mark(s, 0)) : 0;
        if (!rc)
            rc = tbuild_str(&b, words.u.list->v[i].u.s);
    }
    if (!rc)
        rc = tbuild_end(&b, ret);
    for (size_t i = 0; !rc && i < ST_COUNT(entities); i++) {
        const tstr *from = tstr_new(r, entities[i][0], strlen(entities[i][0]), 0);
        const tstr *to = tstr_new(r, entities[i][1], 1, tstr_mark(s, 0));
        rc = from && to ? str_replace(r, ret->u.s, from, to, -1, ret) : r->err->code;
    }
    return rc;
}

static int f_filesizeformat(rt *r, const targs *a, val *ret)
{
    static const char prefixes[] = "kMGTPEZY";
    bool binary = val_truth(a->v[1]);
    double f = 0, base = binary ? 1024 : 1000, unit = base;
    char text[NUMBER_TEXT];
    if (val_is_num(a->v[0]))
        f = val_as_float(a->v[0]);
    else if (a->v[0].type != V_STR || !float_parse(a->v[0].u.s->s, a->v[0].u.s->len, &f))
        return rt_fail(r, ST_EFORMAT, "filesizeformat: a number is required");
    size_t i = 0;
    while (i + 2 < sizeof prefixes && f >= unit * base) {
        unit *= base;
        i++;
    }
    if (f == 1)
        snprintf(text, sizeof text, "1 Byte");
    else if (f < base)
        snprintf(text, sizeof text, "%.0f Bytes", f < 0 ? ceil(f) : floor(f));
    else
        snprintf(text, sizeof text, "%.1f %c%sB", f / unit,
                 binary && i == 0 ? 'K' : prefixes[i], binary ? "i" : "");
    tbuild b;
    tbuild_init(&b, r);
    int rc = tbuild_text(&b, text, a->v[0].data);
    return rc ? rc : tbuild_end(&b, ret);
}

const tbuiltin filters_text[] = {
    {"upper", "s", 1, f_upper},
    {"lower", "s", 1, f_lower},
    {"capitalize", "s", 1, f_capitalize},
    {"title", "s", 1, f_title},
    {"trim", "value chars", 1, f_trim},
    {"replace", "s old new count", 3, f_replace},
    {"indent", "s width first blank", 1, f_indent},
    {"center", "value width", 1, f_center},
    {"truncate", "s length killwords end leeway", 1, f_truncate},
    {"wordcount", "s", 1, f_wordcount},
    {"escape", "s", 1, f_escape},
    {"e", "s", 1, f_escape},
    {"forceescape", "value", 1, f_forceescape},
    {"safe", "value", 1, f_safe},
    {"string", "value", 1, f_string},
    {"format", "value * **", 1, f_format},
    {"tojson", "x ensure_ascii indent separators sort_keys", 1, f_tojson},
    {"urlencode", "value", 1, f_urlencode},
    {"striptags", "value", 1, f_striptags},
    {"filesizeformat", "value binary", 1, f_filesizeformat},
    {0},
};
