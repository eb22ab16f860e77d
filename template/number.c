/* template/number.c - numbers to text and back, as Python writes them. */
#include "template/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t tint_text(tint i, unsigned base, char *buf)
{
    char digits[136];
    size_t n = 0, len = 0;
    __extension__ unsigned __int128 u =
        i < 0 ? -(unsigned __int128)i : (unsigned __int128)i;
    do {
        digits[n++] = "0123456789abcdef"[u % base];
        u /= base;
    } while (u);
    if (i < 0)
        buf[len++] = '-';
    while (n)
        buf[len++] = digits[--n];
    buf[len] = '\0';
    return len;
}

/* Digits and decimal exponent of the shortest text that reads back as f. */
static int shortest(double f, char *digits)
{
    char text[40];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, f);
        if (strtod(text, NULL) == f || precision == 16)
            break;
    }
    char *e = strchr(text, 'e');
    size_t n = 0;
    for (char *p = text; p < e; p++) {
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    }
    digits[n] = '\0';
    return (int)strtol(e + 1, NULL, 10);
}

size_t float_text(double f, char *buf)
{
    char digits[24];
    if (isnan(f) || isinf(f))
        return (size_t)snprintf(buf, NUMBER_TEXT, "%s",
                                isnan(f) ? "nan"
                                : f < 0  ? "-inf"
                                         : "inf");
    const char *sign = signbit(f) ? "-" : "";
    f = fabs(f);
    int e = f == 0 ? 0 : shortest(f, digits);
    int n = (int)(f == 0 ? 0 : strlen(digits));
    if (f == 0)
        return (size_t)snprintf(buf, NUMBER_TEXT, "%s0.0", sign);
    if (e < -4 || e >= 16)
        return (size_t)snprintf(buf, NUMBER_TEXT, "%s%c%s%se%c%02d", sign, digits[0],
                                n > 1 ? "." : "", digits + 1, e < 0 ? '-' : '+', abs(e));
    if (e < 0)
        return (size_t)snprintf(buf, NUMBER_TEXT, "%s0.%.*s%s", sign, -e - 1, "0000",
                                digits);
    if (n <= e + 1)
        return (size_t)snprintf(buf, NUMBER_TEXT, "%s%s%.*s.0", sign, digits, e + 1 - n,
                                "0000000000000000");
    return (size_t)snprintf(buf, NUMBER_TEXT, "%s%.*s.%s", sign, e + 1, digits,
                            digits + e + 1);
}

static unsigned digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'z' ? (unsigned)(c - 'a') + 10 : 99;
}

/* A prefix such as 0x, where `base` allows it; base 0 takes the prefix's. */
static size_t take_prefix(const char *s, size_t n, unsigned *base)
{
    unsigned of = 0;
    if (n > 2 && s[0] == '0') {
        char c = (char)(s[1] | 0x20);
        of = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
    }
    if (of && (*base == 0 || *base == of)) {
        *base = of;
        return 2;
    }
    if (*base == 0)
        *base = 10;
    return 0;
}

/* Digits with single underscores between them. */
static bool parse_digits(const char *s, size_t n, unsigned base, tint *ret, bool *ret_big)
{
    tint value = 0;
    bool digit_before = false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '_') {
            if (!digit_before || i + 1 == n)
                return false;
            digit_before = false;
            continue;
        }
        unsigned d = digit_value(s[i]);
        if (d >= base)
            return false;
        digit_before = true;
        if (*ret_big || __builtin_mul_overflow(value, (tint)base, &value) ||
            __builtin_add_overflow(value, (tint)d, &value))
            *ret_big = true;
    }
    *ret = value;
    return n > 0 && digit_before;
}

bool tint_parse(const char *s, size_t n, unsigned base, tint *ret, bool *ret_big)
{
    size_t left = space_left(s, n);
    s += left;
    n -= left;
    n -= space_right(s, n);
    bool minus = n && *s == '-', zero_base = base == 0;
    *ret_big = false;
    if (n && (*s == '-' || *s == '+')) {
        s++;
        n--;
    }
    size_t prefix = take_prefix(s, n, &base);
    s += prefix;
    n -= prefix;
    if (prefix && n && *s == '_') {
        s++;
        n--;
    }
    tint value;
    if (!parse_digits(s, n, base, &value, ret_big))
        return false;
    if (zero_base && !prefix && n > 1 && *s == '0' && value != 0)
        return false; /* 017 */
    *ret = minus ? -value : value;
    return true;
}

static bool is_word(const char *s, size_t n, const char *word)
{
    size_t i = 0;
    for (; i < n && word[i]; i++) {
        if ((s[i] | 0x20) != word[i])
            return false;
    }
    return i == n && !word[i];
}

/* The grammar of a decimal float, underscores dropped into `text`. */
static bool float_shape(const char *s, size_t n, char *text, size_t cap)
{
    size_t len = 0, digits = 0;
    bool dot = false, e = false;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        bool digit = c >= '0' && c <= '9';
        if (c == '_') {
            bool between = i && i + 1 < n && s[i - 1] >= '0' && s[i - 1] <= '9' &&
                           s[i + 1] >= '0' && s[i + 1] <= '9';
            if (!between)
                return false;
            continue;
        }
        bool sign = (c == '+' || c == '-') && (i == 0 || (s[i - 1] | 0x20) == 'e');
        bool point = c == '.' && !dot && !e;
        bool exponent = (c | 0x20) == 'e' && !e && digits;
        if (!(digit || sign || point || exponent) || len + 1 >= cap)
            return false;
        digits = digit ? digits + 1 : exponent ? 0 : digits;
        dot |= point;
        e |= exponent;
        text[len++] = c;
    }
    text[len] = '\0';
    return digits > 0;
}

bool float_parse(const char *s, size_t n, double *ret)
{
    char text[NUMBER_TEXT];
    size_t left = space_left(s, n);
    s += left;
    n -= left;
    n -= space_right(s, n);
    size_t sign = n && (*s == '-' || *s == '+');
    const char *word = s + sign;
    if (is_word(word, n - sign, "inf") || is_word(word, n - sign, "infinity"))
        *ret = *s == '-' ? -INFINITY : INFINITY;
    else if (is_word(word, n - sign, "nan"))
        *ret = NAN;
    else if (float_shape(s, n, text, sizeof text))
        *ret = strtod(text, NULL);
    else
        return false;
    return true;
}

int float_to_int(rt *r, double f, tint *ret)
{
    if (isnan(f))
        return rt_fail(r, ST_EFORMAT, "cannot convert float NaN to integer");
    if (isinf(f))
        return rt_fail(r, ST_EFORMAT, "cannot convert float infinity to integer");
    if (fabs(f) >= 0x1p126)
        return rt_fail(r, ST_ELIMIT, "integer over 128 bits");
    *ret = (tint)f;
    return 0;
}
