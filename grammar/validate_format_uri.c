/* grammar/validate_format_uri.c - URIs (RFC 3986), IRIs (RFC 3987), templates (RFC 6570).
 *
 * A URI is cut at its first ':', '/', '?' and '#' where the grammar allows it, and each
 * part may hold only certain characters. */
#include "grammar/validate_format.h"

#include "base/utf8.h"

/* Is it a character of `ucschar`, or with `more` of `iprivate`? */
static bool is_iri_code(uint32_t c, bool more)
{
    bool plane = (c & 0xFFFF) < 0xFFFE;
    if ((c >= 0xE000 && c <= 0xF8FF) || c >= 0xF0000)
        return more && plane;
    return (c >= 0xA0 && c <= 0xD7FF) || (c >= 0xF900 && c <= 0xFDCF) ||
           (c >= 0xFDF0 && c <= 0xFFEF) || (c >= 0x10000 && c < 0xE0000 && plane) ||
           (c >= 0xE1000 && c < 0xF0000 && plane);
}

/* Only unreserved characters, sub-delimiters, %XX and those of `more`; others beyond
 * ASCII where `iri` is set. */
static bool only(scan t, const char *more, bool iri, bool private)
{
    while (t.s < t.end) {
        char c = *t.s;
        size_t n = 1;
        if ((unsigned char)c >= 0x80) {
            uint32_t code = st_utf8_decode(t.s, (size_t)(t.end - t.s), &n);
            if (!iri || code == ST_UTF8_BAD || !is_iri_code(code, private))
                return false;
        } else if (c == '%') {
            if (t.end - t.s < 3 || !is_hex(t.s[1]) || !is_hex(t.s[2]))
                return false;
            n = 3;
        } else if (!is_letter(c) && !is_digit(c) &&
                   (c == '\0' || (!strchr("-._~!$&'()*+,;=", c) && !strchr(more, c)))) {
            return false;
        }
        t.s += n;
    }
    return true;
}

static scan until(scan *t, const char *stops) /* the text before one of them */
{
    scan part = {t->s, t->s};
    while (t->s < t->end && (*t->s == '\0' || !strchr(stops, *t->s)))
        t->s++;
    part.end = t->s;
    return part;
}

static bool is_ip_literal(scan t) /* between '[' and ']' */
{
    if ((scan_peek(&t) | 32) != 'v')
        return format_ipv6(t.s, (size_t)(t.end - t.s));
    const char *version = ++t.s;
    while (is_hex(scan_peek(&t)))
        t.s++;
    if (t.s == version || !scan_char(&t, '.') || t.s == t.end)
        return false;
    return !memchr(t.s, '%', (size_t)(t.end - t.s)) && only(t, ":", false, false);
}

static bool is_authority(scan t, bool iri)
{
    const char *at = NULL;
    for (const char *s = t.s; s < t.end && !at; s++)
        at = *s == '@' ? s : NULL;
    if (at) {
        if (!only((scan){t.s, at}, ":", iri, false))
            return false;
        t.s = at + 1;
    }
    if (scan_char(&t, '[')) {
        scan host = until(&t, "]");
        if (!scan_char(&t, ']') || !is_ip_literal(host))
            return false;
    } else if (!only(until(&t, ":"), "", iri, false)) {
        return false;
    }
    if (t.s < t.end && !scan_char(&t, ':'))
        return false;
    while (is_digit(scan_peek(&t)))
        t.s++;
    return t.s == t.end;
}

static bool is_scheme(scan t)
{
    if (!is_letter(scan_peek(&t)))
        return false;
    for (; t.s < t.end; t.s++)
        if (!is_letter(*t.s) && !is_digit(*t.s) && !memchr("+-.", *t.s, 3))
            return false;
    return true;
}

static bool is_reference(const char *text, size_t len, bool absolute, bool iri)
{
    scan t = {text, text + len};
    scan scheme = until(&t, ":/?#");
    bool has_scheme = scan_char(&t, ':');
    if (has_scheme ? !is_scheme(scheme) : absolute)
        return false; /* a ':' in the first segment makes it a scheme */
    if (!has_scheme)
        t.s = text;
    if (t.end - t.s >= 2 && t.s[0] == '/' && t.s[1] == '/') {
        t.s += 2;
        if (!is_authority(until(&t, "/?#"), iri))
            return false;
    }
    if (!only(until(&t, "?#"), "/:@", iri, false))
        return false;
    if (scan_char(&t, '?') && !only(until(&t, "#"), "/:@?", iri, true))
        return false;
    return !scan_char(&t, '#') || only(t, "/:@?", iri, false);
}

bool format_uri(const char *text, size_t len)
{
    return is_reference(text, len, true, false);
}

bool format_uri_reference(const char *text, size_t len)
{
    return is_reference(text, len, false, false);
}

bool format_iri(const char *text, size_t len)
{
    return is_reference(text, len, true, true);
}

bool format_iri_reference(const char *text, size_t len)
{
    return is_reference(text, len, false, true);
}

static bool scan_name(scan *t) /* letters, digits, '_' and %XX, with single dots */
{
    bool some = false;
    for (;;) {
        char c = scan_peek(t);
        if (is_letter(c) || is_digit(c) || c == '_') {
            t->s++;
            some = true;
        } else if (c == '%' && t->end - t->s >= 3 && is_hex(t->s[1]) && is_hex(t->s[2])) {
            t->s += 3;
            some = true;
        } else if (c == '.' && some) {
            t->s++;
            some = false;
        } else {
            return some;
        }
    }
}

/* The variables between braces. */
static bool scan_expression(scan *t)
{
    char first = scan_peek(t);
    t->s += first && strchr("+#./;?&=,!@|", first);
    do {
        if (!scan_name(t))
            return false;
        if (scan_char(t, ':')) {
            int digits = 0;
            if (scan_peek(t) == '0')
                return false;
            for (; is_digit(scan_peek(t)); t->s++)
                digits++;
            if (digits < 1 || digits > 4)
                return false;
        } else {
            scan_char(t, '*');
        }
    } while (scan_char(t, ','));
    return scan_char(t, '}');
}

bool format_uri_template(const char *text, size_t len)
{
    scan t = {text, text + len};
    while (t.s < t.end) {
        unsigned char c = (unsigned char)*t.s;
        if (scan_char(&t, '{')) {
            if (!scan_expression(&t))
                return false;
        } else if (c == '%') {
            if (t.end - t.s < 3 || !is_hex(t.s[1]) || !is_hex(t.s[2]))
                return false;
            t.s += 3;
        } else if (c >= 0x80) {
            size_t n;
            if (!is_iri_code(st_utf8_decode(t.s, (size_t)(t.end - t.s), &n), true))
                return false;
            t.s += n;
        } else if (c <= 0x20 || c == 0x7F || strchr("\"<>\\^`|}", c)) {
            return false;
        } else {
            t.s++;
        }
    }
    return true;
}
