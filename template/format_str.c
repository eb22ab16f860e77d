/* template/format_str.c - str.format(), and HTML escapes.
 *
 * A replacement field reads attributes and items by the template's own rules (attr.c), so
 * a format string reaches nothing that an expression could not. */
#include "template/value.h"

#include <string.h>

typedef struct formatter {
    rt *r;
    tlist *pos;
    tdict *named;
    size_t next;
    bool automatic, numbered;
} formatter;

static int field_base(formatter *f, const tstr *name, val *ret)
{
    tint i = 0;
    bool big = false;
    bool number = name->len && tint_parse(name->s, name->len, 10, &i, &big) && !big;
    if (!name->len) {
        i = (tint)f->next++;
        f->automatic = true;
    } else {
        f->numbered |= number;
    }
    if (f->automatic && f->numbered)
        return rt_fail(f->r, ST_EFORMAT,
                       "cannot switch from manual field specification to automatic field "
                       "numbering");
    if (!name->len || number) {
        if (i < 0 || (size_t)i >= f->pos->n)
            return rt_fail(f->r, ST_EFORMAT,
                           "Replacement index %d out of range for "
                           "positional args tuple",
                           (int)i);
        *ret = f->pos->v[i];
        return 0;
    }
    val *value = tdict_text(f->r, f->named, name->s, name->len);
    if (!value)
        return rt_fail(f->r, ST_EFORMAT, "KeyError: '%.*s'",
                       (int)(name->len < 80 ? name->len : 80), name->s);
    *ret = *value;
    return 0;
}

/* One ".name" or "[key]" at name[*i]. */
static int field_step(formatter *f, const tstr *name, size_t *i, val *v)
{
    size_t from = *i + 1, to = from;
    bool attr = name->s[*i] == '.';
    while (to < name->len &&
           (attr ? name->s[to] != '.' && name->s[to] != '[' : name->s[to] != ']'))
        to++;
    if (to == from || (!attr && to == name->len))
        return rt_fail(f->r, ST_EFORMAT, "Empty attribute in format string");
    const tstr *part = tstr_part(f->r, name, from, to - from);
    if (!part)
        return f->r->err->code;
    *i = attr ? to : to + 1;
    if (attr)
        return val_attr(f->r, *v, part, v);
    tint at = 0;
    bool big = false;
    if (tint_parse(part->s, part->len, 10, &at, &big) && !big && at >= 0)
        return val_item(f->r, *v, val_int(at), v);
    return val_item(f->r, *v, val_str(part), v);
}

static int field_value(formatter *f, const tstr *name, val *ret)
{
    size_t i = 0;
    while (i < name->len && name->s[i] != '.' && name->s[i] != '[')
        i++;
    const tstr *base = tstr_part(f->r, name, 0, i);
    if (!base)
        return f->r->err->code;
    int rc = field_base(f, base, ret);
    while (!rc && i < name->len) {
        if (name->s[i] != '.' && name->s[i] != '[')
            return rt_fail(f->r, ST_EFORMAT,
                           "Only '.' or '[' may follow ']' in format field specifier");
        rc = field_step(f, name, &i, ret);
    }
    return rc;
}

static int convert(formatter *f, char how, val *v)
{
    tbuild b;
    const tstr *s;
    if (how == 's') {
        int rc = val_string(f->r, *v, &s);
        return rc ? rc : (*v = val_str(s), 0);
    }
    if (how != 'r' && how != 'a')
        return rt_fail(f->r, ST_EFORMAT, "Unknown conversion specifier %c", how);
    tbuild_init(&b, f->r);
    int rc = val_repr(&b, *v);
    return rc ? rc : tbuild_end(&b, v);
}

static int format_into(formatter *f, tbuild *b, const tstr *s, unsigned nested);

/* The inside of "{...}". */
static int add_field(formatter *f, tbuild *b, const tstr *field, unsigned nested)
{
    size_t end = 0, bracket = 0;
    while (end < field->len &&
           (bracket || (field->s[end] != '!' && field->s[end] != ':'))) {
        bracket = field->s[end] == '[' ? 1 : field->s[end] == ']' ? 0 : bracket;
        end++;
    }
    val v;
    tbuild spec;
    const tstr *name = tstr_part(f->r, field, 0, end);
    if (!name)
        return f->r->err->code;
    int rc = field_value(f, name, &v);
    if (!rc && end < field->len && field->s[end] == '!') {
        if (end + 1 >= field->len)
            return rt_fail(f->r, ST_EFORMAT,
                           "end of string while looking for conversion");
        rc = convert(f, field->s[end + 1], &v);
        end += 2;
    }
    if (rc)
        return rc;
    if (end < field->len && field->s[end] != ':')
        return rt_fail(f->r, ST_EFORMAT, "expected ':' after conversion specifier");
    end += end < field->len;
    const tstr *text = tstr_part(f->r, field, end, field->len - end);
    if (!text)
        return f->r->err->code;
    tbuild_init(&spec, f->r);
    if ((rc = format_into(f, &spec, text, nested + 1)))
        return rc;
    text = tbuild_take(&spec);
    if (!text)
        return f->r->err->code;
    return v.type == V_UNDEF && !text->len ? 0 : format_spec(b, v, text);
}

/* Bytes of the field that starts at s[i], up to its closing brace. */
static size_t field_length(const tstr *s, size_t i)
{
    size_t depth = 1, n = 0;
    for (; i + n < s->len; n++) {
        char c = s->s[i + n];
        depth += c == '{';
        depth -= c == '}';
        if (!depth)
            return n;
    }
    return SIZE_MAX;
}

static int format_into(formatter *f, tbuild *b, const tstr *s, unsigned nested)
{
    int rc = 0;
    if (nested > 2)
        return rt_fail(f->r, ST_EFORMAT, "Max string recursion exceeded");
    for (size_t i = 0; i < s->len && !rc;) {
        char c = s->s[i];
        bool brace = c == '{' || c == '}';
        if (!brace || (i + 1 < s->len && s->s[i + 1] == c)) {
            rc = tbuild_part(b, s, i, 1);
            i += brace ? 2 : 1;
            continue;
        }
        size_t n = c == '{' ? field_length(s, i + 1) : SIZE_MAX;
        if (n == SIZE_MAX)
            return rt_fail(f->r, ST_EFORMAT,
                           c == '{' ? "expected '}' before end of string"
                                    : "Single '}' encountered in format "
                                      "string");
        const tstr *field = tstr_part(f->r, s, i + 1, n);
        rc = field ? add_field(f, b, field, nested) : f->r->err->code;
        i += n + 2;
    }
    return rc;
}

int str_format(rt *r, const tstr *fmt, tlist *pos, tdict *named, val *ret)
{
    tbuild b;
    formatter f = {.r = r, .pos = pos, .named = named};
    tbuild_init(&b, r);
    int rc = format_into(&f, &b, fmt, 0);
    return rc ? rc : tbuild_end(&b, ret);
}

int html_escape(tbuild *b, const tstr *s)
{
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    static const char plain[] = "&<>'\"";
    int rc = 0;
    for (size_t i = 0; i < s->len && !rc; i++) {
        const char *at = s->s[i] ? strchr(plain, s->s[i]) : NULL;
        rc = at ? tbuild_text(b, names[at - plain], tstr_mark(s, i))
                : tbuild_part(b, s, i, 1);
    }
    return rc;
}

int val_markup(rt *r, val *v)
{
    tstr *copy = rt_take(r, 1, sizeof *copy);
    if (!copy)
        return r->err->code;
    *copy = *v->u.s;
    copy->markup = true;
    *v = val_str(copy);
    return 0;
}

int val_escape(rt *r, val v, val *ret)
{
    tbuild b;
    const tstr *s;
    int rc = val_string(r, v, &s);
    if (rc)
        return rc;
    if (s->markup) {
        *ret = val_str(s);
        return 0;
    }
    tbuild_init(&b, r);
    rc = html_escape(&b, s);
    if (!rc)
        rc = tbuild_end(&b, ret);
    return rc ? rc : val_markup(r, ret);
}
