/* template/print.c - values as text: Python's str() and repr(), and JSON.
 *
 * A string printed alone keeps the mark of each byte.  Anything else that holds data is
 * marked as data as a whole, brackets and quotes included. */
#include "template/value.h"

#include "base/utf8.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add_number(tbuild *b, val v, unsigned char mark)
{
    char text[NUMBER_TEXT];
    size_t n = v.type == V_INT ? tint_text(v.u.i, 10, text) : float_text(v.u.f, text);
    return tbuild_add(b, text, n, mark);
}

static int repr_code(tbuild *b, uint32_t code, char quote, unsigned char mark)
{
    char text[16];
    if (code == (unsigned char)quote || code == '\\')
        snprintf(text, sizeof text, "\\%c", (char)code);
    else if (code == '\n' || code == '\r' || code == '\t')
        snprintf(text, sizeof text, "\\%c",
                 code == '\n'   ? 'n'
                 : code == '\r' ? 'r'
                                : 't');
    else if (code_is(code, CLASS_PRINTABLE))
        return tbuild_code(b, code, mark);
    else if (code < 0x100)
        snprintf(text, sizeof text, "\\x%02x", (unsigned)code);
    else if (code < 0x10000)
        snprintf(text, sizeof text, "\\u%04x", (unsigned)code);
    else
        snprintf(text, sizeof text, "\\U%08x", (unsigned)code);
    return tbuild_text(b, text, mark);
}

static int repr_str(tbuild *b, const tstr *s, unsigned char mark)
{
    bool single = memchr(s->s, '\'', s->len) != NULL;
    char quote = single && !memchr(s->s, '"', s->len) ? '"' : '\'';
    int rc = s->markup ? tbuild_text(b, "Markup(", mark) : 0;
    if (!rc)
        rc = tbuild_add(b, &quote, 1, mark);
    for (size_t i = 0, n; i < s->len && !rc; i += n) {
        unsigned char c = (unsigned char)s->s[i];
        n = 1;
        if (c >= ' ' && c < 0x7F && c != (unsigned char)quote && c != '\\')
            rc = tbuild_add(b, s->s + i, 1, mark);
        else
            rc = repr_code(b, st_utf8_decode(s->s + i, s->len - i, &n), quote, mark);
    }
    if (!rc)
        rc = tbuild_add(b, &quote, 1, mark);
    return rc || !s->markup ? rc : tbuild_text(b, ")", mark);
}

static int repr_marked(tbuild *b, val v, unsigned char mark);

static int repr_list(tbuild *b, const tlist *list, unsigned char mark)
{
    bool tuple = list->kind == L_TUPLE || list->kind == L_GROUP;
    int rc = 0;
    if (list->kind == L_ITER)
        return tbuild_text(b, "<generator object>", mark);
    if (list->kind >= L_KEYS) {
        rc = tbuild_text(b, val_type_name(val_list((tlist *)(uintptr_t)list)), mark);
        if (!rc)
            rc = tbuild_text(b, "(", mark);
    }
    if (!rc)
        rc = tbuild_text(b, tuple ? "(" : "[", mark);
    for (size_t i = 0; i < list->n && !rc; i++) {
        if (i)
            rc = tbuild_text(b, ", ", mark);
        if (!rc)
            rc = repr_marked(b, list->v[i], mark);
    }
    if (!rc && tuple && list->n == 1)
        rc = tbuild_text(b, ",", mark);
    if (!rc)
        rc = tbuild_text(b, tuple ? ")" : "]", mark);
    return rc || list->kind < L_KEYS ? rc : tbuild_text(b, ")", mark);
}

static int repr_dict(tbuild *b, const tdict *d, unsigned char mark)
{
    int rc = tbuild_text(b, "{", mark);
    for (size_t i = 0; i < d->n && !rc; i++) {
        if (i)
            rc = tbuild_text(b, ", ", mark);
        if (!rc)
            rc = repr_marked(b, d->p[i].key, mark);
        if (!rc)
            rc = tbuild_text(b, ": ", mark);
        if (!rc)
            rc = repr_marked(b, d->p[i].value, mark);
    }
    return rc ? rc : tbuild_text(b, "}", mark);
}

static int repr_range(tbuild *b, const trange *range, unsigned char mark)
{
    char start[NUMBER_TEXT], stop[NUMBER_TEXT], step[NUMBER_TEXT], text[140];
    tint_text(range->start, 10, start);
    tint_text(range->stop, 10, stop);
    tint_text(range->step, 10, step);
    bool plain = range->step == 1;
    snprintf(text, sizeof text, "range(%.40s, %.40s%s%.40s)", start, stop,
             plain ? "" : ", ", plain ? "" : step);
    return tbuild_text(b, text, mark);
}

static int repr_scalar(tbuild *b, val v, unsigned char mark)
{
    switch ((vtype)v.type) {
    case V_MISSING:
    case V_UNDEF:
        return tbuild_text(b, "Undefined", mark);
    case V_NONE:
        return tbuild_text(b, "None", mark);
    case V_BOOL:
        return tbuild_text(b, v.u.b ? "True" : "False", mark);
    case V_INT:
    case V_FLOAT:
        return add_number(b, v, mark);
    case V_RANGE:
        return repr_range(b, v.u.range, mark);
    case V_STR:
        return repr_str(b, v.u.s, mark);
    case V_FUNC:
        return tbuild_text(b, "<built-in function>", mark);
    case V_MACRO:
        return tbuild_text(b, "<Macro>", mark);
    case V_LOOP:
        return tbuild_text(b, "<LoopContext>", mark);
    case V_CYCLER:
    case V_JOINER:
        return tbuild_text(b, "<helper object>", mark);
    case V_LIST:
    case V_DICT:
    case V_NAMESPACE:
        break;
    }
    return 0;
}

static int repr_marked(tbuild *b, val v, unsigned char mark)
{
    if (v.type != V_LIST && v.type != V_DICT && v.type != V_NAMESPACE)
        return repr_scalar(b, v, mark);
    int rc = rt_enter(b->r);
    if (rc)
        return rc;
    if (v.type == V_NAMESPACE)
        rc = tbuild_text(b, "<Namespace ", mark);
    if (!rc)
        rc = v.type == V_LIST ? repr_list(b, v.u.list, mark)
                              : repr_dict(b, v.u.dict, mark);
    if (!rc && v.type == V_NAMESPACE)
        rc = tbuild_text(b, ">", mark);
    b->r->depth--;
    return rc;
}

int val_repr(tbuild *b, val v)
{
    return repr_marked(b, v, val_has_data(v));
}

int val_print(tbuild *b, val v)
{
    if (v.type == V_STR)
        return tbuild_str(b, v.u.s);
    if (v.type == V_UNDEF || v.type == V_MISSING)
        return 0;
    return val_repr(b, v);
}

int val_string(rt *r, val v, const tstr **ret)
{
    tbuild b;
    if (v.type == V_STR) {
        *ret = v.u.s;
        return 0;
    }
    tbuild_init(&b, r);
    int rc = val_print(&b, v);
    if (rc)
        return rc;
    const tstr *s = tbuild_take(&b);
    if (!s)
        return r->err->code;
    *ret = s;
    return 0;
}

/* --- JSON as Python's json.dumps writes it --- */

typedef struct writer {
    tbuild *b;
    const json_style *style;
    unsigned char mark;
    size_t level;
} writer;

static int json_escape(writer *w, uint32_t code)
{
    static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    char text[16];
    for (size_t i = 0; i + 1 < sizeof names; i += 2) {
        if (code == (unsigned char)names[i]) {
            snprintf(text, sizeof text, "\\%c", names[i + 1]);
            return tbuild_text(w->b, text, w->mark);
        }
    }
    if (code >= 0x20 && (code < 0x7F || !w->style->ascii))
        return tbuild_code(w->b, code, w->mark);
    if (code == 0x7F)
        return tbuild_code(w->b, code, w->mark);
    if (code < 0x10000)
        snprintf(text, sizeof text, "\\u%04x", (unsigned)code);
    else
        snprintf(text, sizeof text, "\\u%04x\\u%04x",
                 (unsigned)(0xD800 + ((code - 0x10000) >> 10)),
                 (unsigned)(0xDC00 + ((code - 0x10000) & 0x3FF)));
    return tbuild_text(w->b, text, w->mark);
}

static int json_str(writer *w, const tstr *s)
{
    int rc = tbuild_text(w->b, "\"", w->mark);
    for (size_t i = 0, n; i < s->len && !rc; i += n) {
        unsigned char c = (unsigned char)s->s[i];
        n = 1;
        if (c >= ' ' && c < 0x7F && c != '"' && c != '\\')
            rc = tbuild_add(w->b, s->s + i, 1, w->mark);
        else
            rc = json_escape(w, st_utf8_decode(s->s + i, s->len - i, &n));
    }
    return rc ? rc : tbuild_text(w->b, "\"", w->mark);
}

static int json_scalar(writer *w, val v)
{
    char text[NUMBER_TEXT];
    switch ((vtype)v.type) {
    case V_NONE:
        return tbuild_text(w->b, "null", w->mark);
    case V_BOOL:
        return tbuild_text(w->b, v.u.b ? "true" : "false", w->mark);
    case V_INT:
        return add_number(w->b, v, w->mark);
    case V_FLOAT:
        if (isnan(v.u.f) || isinf(v.u.f))
            snprintf(text, sizeof text, "%s",
                     isnan(v.u.f) ? "NaN"
                     : v.u.f < 0  ? "-Infinity"
                                  : "Infinity");
        else
            float_text(v.u.f, text);
        return tbuild_text(w->b, text, w->mark);
    case V_STR:
        return json_str(w, v.u.s);
    case V_MISSING:
    case V_UNDEF:
    case V_LIST:
    case V_DICT:
    case V_RANGE:
    case V_NAMESPACE:
    case V_FUNC:
    case V_MACRO:
    case V_LOOP:
    case V_CYCLER:
    case V_JOINER:
        break;
    }
    return rt_fail(w->b->r, ST_EFORMAT, "Object of type %s is not JSON serializable",
                   val_type_name(v));
}

/* A new line at the present level, where the style has lines. */
static int json_line(writer *w)
{
    if (!w->style->has_indent)
        return 0;
    int rc = tbuild_text(w->b, "\n", w->mark);
    for (size_t i = 0; i < w->level && !rc; i++)
        rc = tbuild_add(w->b, w->style->indent->s, w->style->indent->len, w->mark);
    return rc;
}

/* What stands before item `i`: separator and line. */
static int json_before(writer *w, size_t i)
{
    const tstr *sep = w->style->item_separator;
    int rc = i ? tbuild_add(w->b, sep->s, sep->len, w->mark) : 0;
    return rc ? rc : json_line(w);
}

static int json_value(writer *w, val v);

static int json_list(writer *w, const tlist *list)
{
    int rc = tbuild_text(w->b, "[", w->mark);
    w->level++;
    for (size_t i = 0; i < list->n && !rc; i++) {
        rc = json_before(w, i);
        if (!rc)
            rc = json_value(w, list->v[i]);
    }
    w->level--;
    if (!rc && list->n)
        rc = json_line(w);
    return rc ? rc : tbuild_text(w->b, "]", w->mark);
}

static int json_key(writer *w, val key)
{
    if (key.type == V_STR)
        return json_str(w, key.u.s);
    if (!val_is_num(key) && key.type != V_NONE)
        return rt_fail(w->b->r, ST_EFORMAT,
                       "keys must be str, int, float, bool or None, not %s",
                       val_type_name(key));
    int rc = tbuild_text(w->b, "\"", w->mark);
    if (!rc)
        rc = json_scalar(w, key);
    return rc ? rc : tbuild_text(w->b, "\"", w->mark);
}

/* Numbers of the pairs in the order of their keys (insertion sort by halves is enough:
 * objects are small; the steps are counted). */
static int sort_keys(rt *r, const tdict *d, size_t *order)
{
    for (size_t i = 0; i < d->n; i++) {
        size_t low = 0, high = i;
        while (low < high) {
            size_t mid = (low + high) / 2;
            bool less;
            int rc = val_less(r, d->p[i].key, d->p[order[mid]].key, "<", &less);
            if (rc)
                return rc;
            if (less)
                high = mid;
            else
                low = mid + 1;
        }
        if (rt_step(r, 1 + (i - low) / STEP_BYTES))
            return ST_ELIMIT;
        memmove(order + low + 1, order + low, (i - low) * sizeof *order);
        order[low] = i;
    }
    return 0;
}

static int json_dict(writer *w, const tdict *d)
{
    size_t *order = NULL;
    const tstr *sep = w->style->key_separator;
    int rc = tbuild_text(w->b, "{", w->mark);
    if (!rc && w->style->sorted) {
        order = rt_take(w->b->r, d->n, sizeof *order);
        rc = order ? sort_keys(w->b->r, d, order) : w->b->r->err->code;
    }
    w->level++;
    for (size_t i = 0; i < d->n && !rc; i++) {
        const tpair *pair = &d->p[order ? order[i] : i];
        rc = json_before(w, i);
        if (!rc)
            rc = json_key(w, pair->key);
        if (!rc)
            rc = tbuild_add(w->b, sep->s, sep->len, w->mark);
        if (!rc)
            rc = json_value(w, pair->value);
    }
    w->level--;
    if (!rc && d->n)
        rc = json_line(w);
    return rc ? rc : tbuild_text(w->b, "}", w->mark);
}

static int json_value(writer *w, val v)
{
    bool list = v.type == V_LIST && v.u.list->kind <= L_GROUP;
    if (!list && v.type != V_DICT)
        return json_scalar(w, v);
    int rc = rt_enter(w->b->r);
    if (rc)
        return rc;
    rc = list ? json_list(w, v.u.list) : json_dict(w, v.u.dict);
    w->b->r->depth--;
    return rc;
}

int val_json(tbuild *b, val v, const json_style *style)
{
    writer w = {.b = b, .style = style, .mark = val_has_data(v)};
    return json_value(&w, v);
}
