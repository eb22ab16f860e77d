/* grammar/regex_class.c - characters, escapes and [classes] of regular expressions. */
#include "base/utf8.h"
#include "grammar/regex_reader.h"
#include <string.h>

/* What a class may hold at one place: a character, or a set such as \d. */
typedef struct class_atom {
    bool is_set;
    uint32_t code;
} class_atom;

static uint32_t next_code(regex_reader *p)
{
    size_t used;
    uint32_t code = st_utf8_decode(p->text + p->at, p->len - p->at, &used);
    p->at += used;
    return code;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Exactly n digits; nothing is read when there are fewer. */
static bool read_hex(regex_reader *p, size_t n, uint32_t *ret)
{
    uint32_t code = 0;
    if (p->len - p->at < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int digit = hex_digit(p->text[p->at + i]);
        if (digit < 0)
            return false;
        code = 16 * code + (uint32_t)digit;
    }
    p->at += n;
    *ret = code;
    return true;
}

static bool read_braced_hex(regex_reader *p, uint32_t *ret)
{
    uint64_t code = 0;
    size_t at = p->at + 1;
    for (; at < p->len && hex_digit(p->text[at]) >= 0; at++) {
        code = 16 * code + (uint64_t)hex_digit(p->text[at]);
        if (code > CODE_MAX)
            return false;
    }
    if (at == p->at + 1 || at == p->len || p->text[at] != '}')
        return false;
    p->at = at + 1;
    *ret = (uint32_t)code;
    return true;
}

/* Behind "\u".  Two escapes that are a surrogate pair are one character. */
static bool read_unicode(regex_reader *p, uint32_t *ret)
{
    if (p->at < p->len && p->text[p->at] == '{')
        return read_braced_hex(p, ret);
    if (!read_hex(p, 4, ret))
        return false;
    uint32_t low;
    size_t behind = p->at;
    if (*ret >= CODE_SURROGATE && *ret < 0xDC00 && p->len - p->at >= 6 &&
        memcmp(p->text + p->at, "\\u", 2) == 0) {
        p->at += 2;
        if (read_hex(p, 4, &low) && low >= 0xDC00 && low < CODE_AFTER_SURROGATES)
            *ret = 0x10000 + ((*ret - CODE_SURROGATE) << 10) + (low - 0xDC00);
        else
            p->at = behind;
    }
    p->half = p->half || (*ret >= CODE_SURROGATE && *ret < CODE_AFTER_SURROGATES);
    return true;
}

/* Behind "\p" or "\P". */
static int read_property(regex_reader *p, size_t from, code_set *set)
{
    const char *text = p->text + p->at;
    const char *end = p->at < p->len ? memchr(text, '}', p->len - p->at) : NULL;
    if (!end || *text != '{')
        return regex_error(p, from, ST_EFORMAT, "a property is written \\p{...}");
    p->at += (size_t)(end - text) + 1;
    return code_set_property(set, text + 1, (size_t)(end - text) - 1, p->err);
}

static bool is_letter(uint32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Escapes that stand for one character.  In \cX: the control character of a letter. */
static int read_character_escape(regex_reader *p, size_t from, bool in_class,
                                 uint32_t *ret)
{
    static const char plain[] = "fnrtv";
    static const char controls[] = "\f\n\r\t\v";
    uint32_t c = next_code(p);
    const char *found = c && c < 0x80 ? strchr(plain, (int)c) : NULL;
    bool digit = p->at < p->len && p->text[p->at] >= '0' && p->text[p->at] <= '9';
    *ret = c;
    if (found) {
        *ret = (uint32_t)controls[found - plain];
    } else if (c == 'b' && in_class) {
        *ret = '\b';
    } else if (c == '0' && !digit) {
        *ret = 0;
    } else if (c == 'c' && p->at < p->len && is_letter((uint8_t)p->text[p->at])) {
        *ret = (uint8_t)p->text[p->at++] % 32;
    } else if ((c == 'x' && read_hex(p, 2, ret)) || (c == 'u' && read_unicode(p, ret))) {
        return 0;
    } else if ((c >= '0' && c <= '9') || c == 'k') {
        regex_error(p, from, ST_EUNSUPPORTED, "back-references are not supported");
        st_err_hint(p->err, "repeat the group itself, or list the cases as alternatives");
        return ST_EUNSUPPORTED;
    } else if (is_letter(c)) {
        regex_error(p, from, ST_EFORMAT, "no such escape");
        st_err_hint(p->err, "\\A and \\Z are ^ and $; a letter needs no '\\'");
        return ST_EFORMAT;
    }
    return 0;
}

/* Behind "\": a set, or one character. */
static int read_escape(regex_reader *p, bool in_class, code_set *set, class_atom *ret)
{
    size_t from = p->at - 1;
    if (p->at == p->len)
        return regex_error(p, from, ST_EFORMAT, "'\\' at the end");
    char c = p->text[p->at];
    bool negated = c == 'D' || c == 'W' || c == 'S' || c == 'P';
    char kind = negated ? (char)(c + 'a' - 'A') : c;
    if (kind != 'd' && kind != 'w' && kind != 's' && kind != 'p') {
        ret->is_set = false;
        return read_character_escape(p, from, in_class, &ret->code);
    }
    p->at++;
    code_set named = {0};
    int rc = kind == 'p' ? read_property(p, from, &named)
                         : code_set_class(&named, kind, p->err);
    code_set_settle(&named);
    if (!rc && negated)
        rc = code_set_negate(&named, p->err);
    if (!rc)
        rc = code_set_join(set, &named, p->err);
    code_set_done(&named);
    ret->is_set = true;
    return rc;
}

static int read_class_atom(regex_reader *p, code_set *set, class_atom *ret)
{
    if (p->text[p->at] == '\\') {
        p->at++;
        return read_escape(p, true, set, ret);
    }
    *ret = (class_atom){.code = next_code(p)};
    return 0;
}

/* "a", "a-z" or "\d"; beside a set, '-' is a character. */
static int read_class_part(regex_reader *p, code_set *set)
{
    size_t from = p->at;
    class_atom lo, hi;
    int rc = read_class_atom(p, set, &lo);
    if (rc < 0)
        return rc;
    bool range =
        p->len - p->at >= 2 && p->text[p->at] == '-' && p->text[p->at + 1] != ']';
    if (!range)
        return lo.is_set ? 0 : code_set_add(set, lo.code, lo.code, p->err);
    p->at++;
    rc = read_class_atom(p, set, &hi);
    if (rc < 0)
        return rc;
    if (!lo.is_set && !hi.is_set) {
        if (hi.code < lo.code)
            return regex_error(p, from, ST_EFORMAT, "a range in the wrong order");
        return code_set_add(set, lo.code, hi.code, p->err);
    }
    rc = code_set_add(set, '-', '-', p->err);
    if (!rc && !lo.is_set)
        rc = code_set_add(set, lo.code, lo.code, p->err);
    if (!rc && !hi.is_set)
        rc = code_set_add(set, hi.code, hi.code, p->err);
    return rc;
}

/* Behind "[".  `[]` is no character, `[^]` any. */
static int read_class(regex_reader *p, code_set *set)
{
    size_t from = p->at - 1;
    bool negated = p->at < p->len && p->text[p->at] == '^';
    int rc = 0;
    p->at += negated;
    while (!rc && p->at < p->len && p->text[p->at] != ']')
        rc = read_class_part(p, set);
    if (rc < 0)
        return rc;
    if (p->at == p->len)
        return regex_error(p, from, ST_EFORMAT, "'[' has no ']'");
    p->at++;
    code_set_settle(set);
    return negated ? code_set_negate(set, p->err) : 0;
}

int regex_read_set(regex_reader *p, code_set *ret)
{
    size_t from = p->at;
    class_atom atom = {0};
    uint32_t code = next_code(p);
    int rc;
    p->half = false;
    if (code == '[') {
        rc = read_class(p, ret);
    } else if (code == '\\') {
        rc = read_escape(p, false, ret, &atom);
        if (!rc && !atom.is_set)
            rc = code_set_add(ret, atom.code, atom.code, p->err);
    } else if (code == '.') {
        rc = code_set_class(ret, '.', p->err);
    } else {
        rc = code_set_add(ret, code, code, p->err);
    }
    code_set_settle(ret);
    if (!rc && ret->n == 0 && p->half) {
        regex_error(p, from, ST_EUNSUPPORTED, "halves of surrogate pairs are no text");
        st_err_hint(p->err, "write characters over U+FFFF as \\u{10000}-\\u{10FFFF}");
        rc = ST_EUNSUPPORTED;
    }
    return rc;
}
