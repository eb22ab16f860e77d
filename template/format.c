/* template/format.c - text made to a pattern: `%` on strings, str.format(), HTML escapes.
 *
 * A string that is put in keeps its marks; padding has the mark of the pattern. */
#include "template/value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PRECISION_MAX = 60, BODY = 480 };

typedef struct spec {
    const tstr *fill; /* NULL: a space */
    char align;       /* '<' '>' '^' '=' or 0 */
    char sign;        /* '+' '-' ' ' or 0 */
    bool alt, zero;
    char group; /* ',' '_' or 0 */
    char type;  /* 0 where not given */
    size_t width;
    int precision; /* -1: not given */
    unsigned char mark;
} spec;

static bool one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

static int pad(tbuild *b, const spec *s, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        rc = s->fill ? tbuild_str(b, s->fill) : tbuild_text(b, " ", s->mark);
        if (!rc)
            rc = rt_step(b->r, 1);
    }
    return rc;
}

/* `text` of `n_chars`, aligned; `head` bytes (sign, prefix) stay before '=' padding. */
static int add_aligned(tbuild *b, const spec *s, const tstr *text, size_t head,
                       char align)
{
    size_t gap = s->width > text->n_chars ? s->width - text->n_chars : 0;
    size_t before = align == '>' ? gap : align == '^' ? gap / 2 : 0;
    int rc = pad(b, s, before);
    if (!rc)
        rc = tbuild_part(b, text, 0, head);
    if (!rc && align == '=')
        rc = pad(b, s, gap);
    if (!rc)
        rc = tbuild_part(b, text, head, text->len - head);
    return rc || align == '=' ? rc : pad(b, s, gap - before);
}

static int add_string(tbuild *b, const spec *s, const tstr *text, char align)
{
    if (s->precision >= 0 && text->n_chars > (size_t)s->precision)
        text = tstr_part(b->r, text, 0, tstr_byte(text, (size_t)s->precision));
    if (!text)
        return b->r->err->code;
    return add_aligned(b, s, text, 0, s->align ? s->align : align);
}

/* Put a separator before each `every` of the leading digits, counted from the right. */
static size_t group_digits(char *text, size_t n, char separator, size_t every)
{
    size_t whole = 0, add;
    while (whole < n && (every == 4 || (text[whole] >= '0' && text[whole] <= '9')))
        whole++;
    add = whole ? (whole - 1) / every : 0;
    memmove(text + whole + add, text + whole, n - whole);
    for (size_t from = whole, to = whole + add, k = 0; from > 0; k++) {
        if (k && k % every == 0)
            text[--to] = separator;
        text[--to] = text[--from];
    }
    return n + add;
}

static void to_upper(char *text)
{
    for (; *text; text++) {
        if (*text >= 'a' && *text <= 'z')
            *text = (char)(*text - 32);
    }
}

static int int_body(rt *r, const spec *s, tint i, char *text, size_t *ret_n)
{
    unsigned base = 10;
    char type = s->type ? s->type : 'd';
    if (type == 'x' || type == 'X')
        base = 16;
    else if (type == 'o' || type == 'b')
        base = type == 'o' ? 8 : 2;
    else if (type != 'd' && type != 'i' && type != 'u' && type != 'n')
        return rt_fail(r, ST_EFORMAT, "Unknown format code '%c' for object of type 'int'",
                       type);
    *ret_n = tint_text(i, base, text);
    if (type == 'X')
        to_upper(text);
    return 0;
}

static int float_body(rt *r, const spec *s, double f, char *text, size_t *ret_n)
{
    int precision = s->precision < 0 ? 6 : s->precision;
    char type = s->type ? (char)(s->type | 0x20) : 0;
    if (precision > PRECISION_MAX)
        return rt_fail(r, ST_ELIMIT, "precision over %d", PRECISION_MAX);
    if (isnan(f) || isinf(f))
        snprintf(text, BODY, isnan(f) ? "nan%s" : "inf%s", s->type == '%' ? "%" : "");
    else if (!s->type && s->precision < 0)
        float_text(f, text);
    else if (type == 'e')
        snprintf(text, BODY, s->alt ? "%#.*e" : "%.*e", precision, f);
    else if (type == 'f')
        snprintf(text, BODY, s->alt ? "%#.*f" : "%.*f", precision, f);
    else if (s->type == '%')
        snprintf(text, BODY, "%.*f%%", precision, f * 100);
    else if (type == 'g' || s->type == 'n' || !s->type)
        snprintf(text, BODY, s->alt ? "%#.*g" : "%.*g", precision, f);
    else
        return rt_fail(r, ST_EFORMAT,
                       "Unknown format code '%c' for object of type 'float'", s->type);
    *ret_n = strlen(text);
    if (!s->type && s->precision >= 0 && !strpbrk(text, ".en"))
        *ret_n += (size_t)snprintf(text + *ret_n, 4, ".0");
    if (s->type && s->type != type)
        to_upper(text);
    return 0;
}

static bool is_float_type(char type)
{
    return one_of(type, "eEfFgG%");
}

/* Sign, prefix, digits; the head (sign and prefix) is kept apart for '=' alignment. */
static int add_number(tbuild *b, const spec *s, val v)
{
    char text[BODY * 2];
    bool whole = val_is_int(v) && !is_float_type(s->type);
    bool minus =
        whole ? val_as_int(v) < 0 : signbit(val_as_float(v)) && !isnan(val_as_float(v));
    size_t head = 0, n = 0;
    if (minus || s->sign == '+' || s->sign == ' ')
        text[head++] = minus ? '-' : s->sign;
    if (whole && s->alt && one_of(s->type, "xXob")) {
        text[head++] = '0';
        text[head++] = s->type;
    }
    int rc = whole ? int_body(b->r, s, val_as_int(v), text + head, &n)
                   : float_body(b->r, s, fabs(val_as_float(v)), text + head, &n);
    if (rc)
        return rc;
    if (whole && minus) { /* the digits come with their sign */
        memmove(text + head, text + head + 1, n);
        n--;
    }
    if (whole && s->precision > PRECISION_MAX)
        return rt_fail(b->r, ST_ELIMIT, "precision over %d", PRECISION_MAX);
    for (; whole && s->precision >= 0 && n < (size_t)s->precision; n++) {
        memmove(text + head + 1, text + head, n + 1);
        text[head] = '0';
    }
    if (s->group)
        n = group_digits(text + head, n, s->group, one_of(s->type, "xXob") ? 4 : 3);
    tstr all = {
        .s = text, .len = head + n, .n_chars = head + n, .mark = v.data ? 1 : s->mark};
    return add_aligned(b, s, &all, head, s->align ? s->align : '>');
}

/* --- "{:>5}" --- */

static bool is_align(char c)
{
    return c == '<' || c == '>' || c == '^' || c == '=';
}

static size_t read_count(const char *text, size_t n, size_t *i)
{
    size_t count = 0;
    for (; *i < n && text[*i] >= '0' && text[*i] <= '9'; ++*i) {
        if (count < SIZE_MAX / 100)
            count = count * 10 + (size_t)(text[*i] - '0');
    }
    return count;
}

static int parse_spec(rt *r, const tstr *text, spec *ret)
{
    const char *t = text->s;
    size_t n = text->len, i = 0;
    static const tstr zero = {.s = "0", .len = 1, .n_chars = 1};
    spec s = {.precision = -1, .mark = tstr_mark(text, 0)};
    size_t first = n ? tstr_byte(text, 1) : 0;
    if (n > first && is_align(t[first])) {
        s.fill = tstr_part(r, text, 0, first);
        s.align = t[first];
        i = first + 1;
        if (!s.fill)
            return r->err->code;
    } else if (n && is_align(t[0])) {
        s.align = t[i++];
    }
    if (i < n && (t[i] == '+' || t[i] == '-' || t[i] == ' '))
        s.sign = t[i++];
    if (i < n && t[i] == '#')
        s.alt = t[i++] == '#';
    if (i < n && t[i] == '0') {
        s.zero = true;
        s.fill = s.fill ? s.fill : &zero;
        s.align = s.align ? s.align : '=';
        i++;
    }
    s.width = read_count(t, n, &i);
    if (i < n && (t[i] == ',' || t[i] == '_'))
        s.group = t[i++];
    if (i + 1 < n && t[i] == '.') {
        i++;
        size_t count = read_count(t, n, &i);
        s.precision = count > 1000000 ? 1000000 : (int)count;
    }
    if (i < n)
        s.type = t[i++];
    if (i != n)
        return rt_fail(r, ST_EFORMAT, "Invalid format specifier");
    *ret = s;
    return 0;
}

/* Combinations that Python refuses. */
static int check_spec(rt *r, const spec *s, val v)
{
    bool whole = val_is_int(v) && !is_float_type(s->type);
    if (whole && s->precision >= 0)
        return rt_fail(r, ST_EFORMAT,
                       "Precision not allowed in integer format specifier");
    bool letters = one_of(s->type, "nsc") || (s->group == ',' && one_of(s->type, "xXob"));
    if (s->group && (letters || v.type == V_STR))
        return rt_fail(r, ST_EFORMAT, "Cannot specify '%c' with '%c'.", s->group,
                       s->type ? s->type : 's');
    if (v.type == V_STR && (s->sign || s->alt))
        return rt_fail(r, ST_EFORMAT, "%s not allowed in string format specifier",
                       s->sign ? "Sign" : "Alternate form (#)");
    return 0;
}

int format_spec(tbuild *b, val v, const tstr *text)
{
    spec s = {0};
    const tstr *str;
    int rc = parse_spec(b->r, text, &s);
    if (!rc)
        rc = check_spec(b->r, &s, v);
    if (rc)
        return rc;
    if (v.type == V_BOOL && !s.type && text->len == 0)
        return val_print(b, v);
    if (val_is_num(v))
        return add_number(b, &s, v);
    if (v.type != V_STR && text->len)
        return rt_fail(b->r, ST_EFORMAT,
                       "unsupported format string passed to %s.__format__",
                       val_type_name(v));
    if (s.type && s.type != 's')
        return rt_fail(b->r, ST_EFORMAT,
                       "Unknown format code '%c' for object of type 'str'", s.type);
    if (s.align == '=' && !s.zero)
        return rt_fail(b->r, ST_EFORMAT,
                       "'=' alignment not allowed in string format specifier");
    if (s.align == '=')
        s.align = '<';
    rc = val_string(b->r, v, &str);
    return rc ? rc : add_string(b, &s, str, '<');
}

/* --- "%5s" % x --- */

typedef struct percent {
    rt *r;
    const tstr *fmt;
    size_t i;
    val args;
    size_t next; /* argument to be taken */
    bool keyed;
} percent;

static int next_arg(percent *p, val *ret)
{
    bool tuple = val_is_tuple(p->args);
    size_t n = tuple ? p->args.u.list->n : 1;
    if (p->next >= n)
        return rt_fail(p->r, ST_EFORMAT, "not enough arguments for format string");
    *ret = tuple ? p->args.u.list->v[p->next] : p->args;
    p->next++;
    return 0;
}

static int keyed_arg(percent *p, val *ret)
{
    const char *from = p->fmt->s + p->i + 1;
    const char *end = memchr(from, ')', p->fmt->len - p->i - 1);
    if (!end)
        return rt_fail(p->r, ST_EFORMAT, "incomplete format key");
    if (p->args.type != V_DICT)
        return rt_fail(p->r, ST_EFORMAT, "format requires a mapping");
    size_t n = (size_t)(end - from);
    val *value = tdict_text(p->r, p->args.u.dict, from, n);
    if (!value)
        return rt_fail(p->r, ST_EFORMAT, "KeyError: '%.*s'", (int)(n < 80 ? n : 80),
                       from);
    *ret = *value;
    p->i += n + 2;
    p->keyed = true;
    return 0;
}

static int star_or_count(percent *p, size_t *ret, bool *ret_minus)
{
    val v;
    *ret_minus = false;
    if (p->i >= p->fmt->len || p->fmt->s[p->i] != '*') {
        *ret = read_count(p->fmt->s, p->fmt->len, &p->i);
        return 0;
    }
    p->i++;
    int rc = next_arg(p, &v);
    if (rc)
        return rc;
    if (!val_is_int(v))
        return rt_fail(p->r, ST_EFORMAT, "* wants int");
    tint i = val_as_int(v);
    *ret_minus = i < 0;
    i = i < 0 ? -i : i;
    *ret = i > (tint)(SIZE_MAX / 2) ? SIZE_MAX / 2 : (size_t)i;
    return 0;
}

static int percent_flags(percent *p, spec *s)
{
    static const tstr zero = {.s = "0", .len = 1, .n_chars = 1};
    bool minus;
    for (; p->i < p->fmt->len && one_of(p->fmt->s[p->i], "-+ #0"); p->i++) {
        char c = p->fmt->s[p->i];
        if (c == '-')
            s->align = '<';
        else if (c == '+' || (c == ' ' && s->sign != '+'))
            s->sign = c;
        s->alt |= c == '#';
        s->zero |= c == '0';
    }
    int rc = star_or_count(p, &s->width, &minus);
    if (rc)
        return rc;
    s->align = minus ? '<' : s->align;
    if (s->zero && s->align != '<') {
        s->fill = &zero;
        s->align = '=';
    }
    if (p->i < p->fmt->len && p->fmt->s[p->i] == '.') {
        size_t count;
        p->i++;
        if ((rc = star_or_count(p, &count, &minus)))
            return rc;
        s->precision = minus ? 0 : count > 1000000 ? 1000000 : (int)count;
    }
    return 0;
}

static int percent_number(percent *p, tbuild *b, spec *s, val v)
{
    if (!val_is_num(v))
        return rt_fail(p->r, ST_EFORMAT, "%%%c format: %s is required, not %s", s->type,
                       one_of(s->type, "xXo") ? "an integer" : "a real number",
                       val_type_name(v));
    if (is_float_type(s->type))
        return add_number(b, s, v);
    if (v.type == V_FLOAT) {
        tint i = 0;
        bool decimal = one_of(s->type, "diu");
        if (!decimal)
            return rt_fail(p->r, ST_EFORMAT,
                           "%%%c format: an integer is required, not float", s->type);
        int rc = float_to_int(p->r, v.u.f, &i);
        if (rc)
            return rc;
        bool data = v.data;
        v = val_int(i);
        v.data = data;
    }
    return add_number(b, s, v);
}

static int percent_text(percent *p, tbuild *b, spec *s, val v)
{
    const tstr *text;
    tbuild piece;
    char align = s->align == '<' ? '<' : '>';
    s->fill = NULL;
    s->align = 0;
    int rc = 0;
    if (s->type == 's') {
        rc = val_string(p->r, v, &text);
        return rc ? rc : add_string(b, s, text, align);
    }
    tbuild_init(&piece, p->r);
    if (s->type == 'c' && val_is_int(v)) {
        tint code = val_as_int(v);
        if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
            return rt_fail(p->r, ST_EFORMAT, "%%c arg not in range(0x110000)");
        rc = tbuild_code(&piece, (uint32_t)code, v.data);
    } else if (s->type == 'c') {
        if (v.type != V_STR || v.u.s->n_chars != 1)
            return rt_fail(p->r, ST_EFORMAT, "%%c requires int or char");
        rc = tbuild_str(&piece, v.u.s);
    } else {
        rc = val_repr(&piece, v);
    }
    text = rc ? NULL : tbuild_take(&piece);
    return text ? add_string(b, s, text, align) : p->r->err->code;
}

/* One directive; p->i stands after the '%'. */
static int percent_one(percent *p, tbuild *b)
{
    val v = val_of(V_MISSING);
    spec s = {.precision = -1, .mark = tstr_mark(p->fmt, p->i - 1)};
    int rc = 0;
    if (p->i < p->fmt->len && p->fmt->s[p->i] == '(')
        rc = keyed_arg(p, &v);
    if (!rc)
        rc = percent_flags(p, &s);
    if (rc)
        return rc;
    while (p->i < p->fmt->len && one_of(p->fmt->s[p->i], "hlL"))
        p->i++;
    if (p->i >= p->fmt->len)
        return rt_fail(p->r, ST_EFORMAT, "incomplete format");
    s.type = p->fmt->s[p->i++];
    if (s.type == '%')
        return tbuild_text(b, "%", s.mark);
    if (!one_of(s.type, "diuxXoeEfFgGsrac"))
        return rt_fail(p->r, ST_EFORMAT, "unsupported format character '%c'", s.type);
    if (v.type == V_MISSING && (rc = next_arg(p, &v)))
        return rc;
    if (one_of(s.type, "srac"))
        return percent_text(p, b, &s, v);
    return percent_number(p, b, &s, v);
}

int str_percent(rt *r, const tstr *fmt, val args, val *ret)
{
    tbuild b;
    percent p = {.r = r, .fmt = fmt, .args = args};
    int rc = 0;
    tbuild_init(&b, r);
    while (p.i < fmt->len && !rc) {
        const char *sign = memchr(fmt->s + p.i, '%', fmt->len - p.i);
        size_t to = sign ? (size_t)(sign - fmt->s) : fmt->len;
        rc = tbuild_part(&b, fmt, p.i, to - p.i);
        p.i = to + 1;
        if (!rc && sign)
            rc = percent_one(&p, &b);
    }
    size_t n = val_is_tuple(args) ? args.u.list->n : 1;
    bool mapping = args.type == V_DICT || val_is_list(args, L_LIST);
    if (!rc && p.next < n && !mapping)
        rc = rt_fail(r, ST_EFORMAT,
                     "not all arguments converted during string formatting");
    return rc ? rc : tbuild_end(&b, ret);
}
