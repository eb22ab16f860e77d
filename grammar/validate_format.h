/* grammar/validate_format.h - a text read from left to right, and the formats of it;
 * private to the validator's files. */
#ifndef GRAMMAR_VALIDATE_FORMAT_H
#define GRAMMAR_VALIDATE_FORMAT_H
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct scan {
    const char *s;
    const char *end;
} scan;

static inline char scan_peek(const scan *t) /* NUL at the end (and for a NUL) */
{
    return t->s < t->end ? *t->s : '\0';
}

static inline bool scan_char(scan *t, char c) /* take it if it is there */
{
    bool is = t->s < t->end && *t->s == c;
    t->s += is;
    return is;
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool is_hex(char c)
{
    return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static inline bool is_letter(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

/* Exactly n digits; false when they are not there. */
static inline bool scan_digits(scan *t, int n, int *ret)
{
    int value = 0;
    for (; n > 0; n--) {
        if (!is_digit(scan_peek(t)))
            return false;
        value = value * 10 + (*t->s++ - '0');
    }
    *ret = value;
    return true;
}

bool format_ipv6(const char *text, size_t len);
bool format_uri(const char *text, size_t len);
bool format_uri_reference(const char *text, size_t len);
bool format_iri(const char *text, size_t len);
bool format_iri_reference(const char *text, size_t len);
bool format_uri_template(const char *text, size_t len);
#endif
