/* task/fields.c - the fields of an object that was written as JSON text.
 *
 * One pass over the text, going down into objects and arrays.  The text has been checked
 * by somebody else before (grammar_validate, a JSON reader): what is looked at here is
 * only what keeps the pass inside it. */
#include "task/fields.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

enum { MAX_NAMES = 64 << 20 };

typedef struct scan {
    fields *f;
    size_t len;
    size_t at;
    size_t last;    /* end of the value that ended last */
    st_buf pointer; /* of the value at hand */
    st_err *err;
} scan;

static int fail_text(scan *s)
{
    return st_err_set(s->err, ST_EFORMAT, "byte %zu: not JSON", s->at + 1);
}

static int fail_memory(scan *s)
{
    return st_err_set(s->err, ST_ENOMEM, "no memory for the fields of a text");
}

static void skip_space(scan *s)
{
    while (s->at < s->len && s->f->text[s->at] && strchr(" \t\r\n", s->f->text[s->at]))
        s->at++;
}

static char peek(const scan *s)
{
    return s->at < s->len ? s->f->text[s->at] : '\0';
}

static int skip_text(scan *s)
{
    for (s->at++; s->at < s->len; s->at++) {
        if (s->f->text[s->at] == '\\')
            s->at++;
        else if (s->f->text[s->at] == '"') {
            s->at++;
            return 0;
        }
    }
    return fail_text(s);
}

static field_kind kind_of(char c)
{
    switch (c) {
    case 'n':
        return FIELD_NULL;
    case 't':
    case 'f':
        return FIELD_BOOLEAN;
    case '"':
        return FIELD_TEXT;
    case '[':
        return FIELD_ARRAY;
    case '{':
        return FIELD_OBJECT;
    default:
        return FIELD_NUMBER;
    }
}

static int add_field(scan *s, uint32_t parent, bool inside)
{
    fields *f = s->f;
    if (f->n == f->cap) {
        uint32_t cap = f->cap ? 2 * f->cap : 16;
        field *grown = st_realloc_n(f->at, cap, sizeof *grown);
        if (!grown)
            return fail_memory(s);
        f->at = grown;
        f->cap = cap;
    }
    f->at[f->n++] = (field){
        .kind = kind_of(peek(s)),
        .name = f->names.len,
        .from = s->last,
        .begin = s->at,
        .parent = parent,
        .inside = inside,
    };
    st_buf_add(&f->names, s->pointer.data ? s->pointer.data : "", s->pointer.len);
    return st_buf_char(&f->names, '\0') ? fail_memory(s) : 0;
}

/* Append the hexadecimal character at `p` (behind "\u"); how many bytes were read. */
static size_t put_escaped(const char *p, const char *end, st_buf *out)
{
    unsigned code[2] = {0, 0};
    size_t used = 0;
    for (int half = 0; half < 2; half++) {
        if (end - p < 4 || sscanf(p, "%4x", &code[half]) != 1)
            break;
        p += 4;
        used += 4;
        bool more = half == 0 && code[0] >= 0xD800 && code[0] < 0xDC00 && end - p >= 6 &&
                    p[0] == '\\' && p[1] == 'u';
        if (!more)
            break;
        p += 2;
        used += 2;
    }
    uint32_t c = code[0];
    char bytes[4];
    if (code[1] >= 0xDC00 && code[1] < 0xE000)
        c = 0x10000 + ((code[0] - 0xD800) << 10) + (code[1] - 0xDC00);
    st_buf_add(out, bytes, st_utf8_encode(c, bytes));
    return used;
}

/* The characters of the text whose quotes stand at begin and end - 1. */
static int put_text(const char *text, size_t begin, size_t end, st_buf *out)
{
    static const char letters[] = "bfnrt";
    static const char meant[] = "\b\f\n\r\t";
    const char *stop = text + end - 1;
    for (const char *p = text + begin + 1; p < stop; p++) {
        if (*p != '\\' || p + 1 >= stop) {
            st_buf_char(out, *p);
            continue;
        }
        p++;
        const char *letter = strchr(letters, *p);
        if (*p == 'u')
            p += put_escaped(p + 1, stop, out);
        else
            st_buf_char(out, letter ? meant[letter - letters] : *p);
    }
    return out->code;
}

/* Append a name to the pointer: "/" and the name with '~' and '/' written as ~0, ~1. */
static int push_name(scan *s, size_t begin, size_t end)
{
    st_buf name;
    st_buf_init(&name, MAX_NAMES);
    put_text(s->f->text, begin, end, &name);
    st_buf_char(&s->pointer, '/');
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '~' || name.data[i] == '/')
            st_buf_str(&s->pointer, name.data[i] == '~' ? "~0" : "~1");
        else
            st_buf_char(&s->pointer, name.data[i] ? name.data[i] : '?');
    }
    int rc = name.code ? name.code : s->pointer.code;
    st_buf_done(&name);
    return rc ? fail_memory(s) : 0;
}

static void cut_pointer(scan *s, size_t len)
{
    s->pointer.len = len;
    if (s->pointer.data)
        s->pointer.data[len] = '\0';
}

static int read_value(scan *s, uint32_t parent, bool inside, uint32_t depth);

/* One member or item, from its name on. */
static int read_part(scan *s, uint32_t own, bool object, uint32_t number, bool inside,
                     uint32_t depth)
{
    size_t kept = s->pointer.len;
    int rc = 0;
    if (object) {
        size_t begin = s->at;
        if (peek(s) != '"')
            return fail_text(s);
        rc = skip_text(s);
        if (rc == 0)
            rc = push_name(s, begin, s->at);
        skip_space(s);
        if (rc == 0 && peek(s) != ':')
            rc = fail_text(s);
        s->at++;
    } else if (st_buf_fmt(&s->pointer, "/%u", number)) {
        rc = fail_memory(s);
    }
    skip_space(s);
    if (rc == 0)
        rc = read_value(s, own, inside || !object, depth + 1);
    cut_pointer(s, kept);
    return rc;
}

static int read_parts(scan *s, uint32_t own, bool object, bool inside, uint32_t depth)
{
    char close = object ? '}' : ']';
    s->at++;
    skip_space(s);
    if (peek(s) == close) {
        s->at++;
        return 0;
    }
    for (uint32_t i = 0;; i++) {
        int rc = read_part(s, own, object, i, inside, depth);
        if (rc)
            return rc;
        skip_space(s);
        char c = peek(s);
        s->at++;
        if (c == close)
            return 0;
        if (c != ',')
            return fail_text(s);
        skip_space(s);
    }
}

static int read_value(scan *s, uint32_t parent, bool inside, uint32_t depth)
{
    uint32_t own = s->f->n;
    if (s->at >= s->len)
        return fail_text(s);
    if (depth > FIELDS_DEPTH)
        return st_err_set(s->err, ST_ELIMIT, "nested deeper than %d", FIELDS_DEPTH);
    int rc = add_field(s, parent, inside);
    if (rc)
        return rc;
    field_kind kind = s->f->at[own].kind;
    size_t begin = s->at;
    if (kind == FIELD_OBJECT || kind == FIELD_ARRAY)
        rc = read_parts(s, own, kind == FIELD_OBJECT, inside, depth);
    else if (kind == FIELD_TEXT)
        rc = skip_text(s);
    else
        while (s->at < s->len && !strchr(" \t\r\n,]}", s->f->text[s->at]))
            s->at++;
    if (rc == 0 && s->at == begin)
        rc = fail_text(s);
    s->f->at[own].end = s->last = s->at;
    return rc;
}

int fields_read(const char *text, size_t len, fields *ret_fields, st_err *err)
{
    fields f = {.text = text};
    scan s = {.f = &f, .len = len, .err = err};
    st_buf_init(&f.names, MAX_NAMES);
    st_buf_init(&s.pointer, MAX_NAMES);
    skip_space(&s);
    int rc = read_value(&s, UINT32_MAX, false, 0);
    skip_space(&s);
    if (rc == 0 && s.at != len)
        rc = fail_text(&s);
    st_buf_done(&s.pointer);
    if (rc) {
        fields_done(&f);
        return rc;
    }
    *ret_fields = f;
    return 0;
}

void fields_done(fields *f)
{
    st_free(f->at);
    st_buf_done(&f->names);
    *f = (fields){0};
}

const char *fields_pointer(const fields *f, uint32_t i)
{
    return f->names.data + f->at[i].name;
}

bool fields_is(const fields *f, uint32_t i)
{
    return f->at[i].kind != FIELD_OBJECT && !f->at[i].inside;
}

int fields_value(const fields *f, uint32_t i, st_buf *out)
{
    const field *x = &f->at[i];
    if (x->kind == FIELD_TEXT)
        return put_text(f->text, x->begin, x->end, out);
    return st_buf_add(out, f->text + x->begin, x->end - x->begin);
}

bool fields_match(const char *form, const char *pointer)
{
    while (*form && *pointer) {
        size_t part = 1 + strcspn(form + 1, "/");
        size_t has = 1 + strcspn(pointer + 1, "/");
        bool any = part == 2 && form[1] == '*';
        if (!any && (part != has || memcmp(form, pointer, part) != 0))
            return false;
        form += part;
        pointer += has;
    }
    return !*form && !*pointer;
}
