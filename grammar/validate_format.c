/* grammar/validate_format.c - formats of JSON Schema read by hand.
 *
 * Times as in RFC 3339, mailboxes RFC 5321, hosts RFC 1123, addresses RFC 4291, pointers
 * RFC 6901.  A host's label that begins with "xn--" is refused: what it stands for would
 * have to be looked at. */
#include "grammar/validate_format.h"

#include "grammar/validate_priv.h"

enum { HOST_MAX = 253, LABEL_MAX = 63 };

static bool scan_date(scan *t)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day;
    if (!scan_digits(t, 4, &year) || !scan_char(t, '-') || !scan_digits(t, 2, &month) ||
        !scan_char(t, '-') || !scan_digits(t, 2, &day) || month < 1 || month > 12)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

/* 'Z' or +hh:mm; *ret_minutes is what is ahead of UTC. */
static bool scan_offset(scan *t, int *ret_minutes)
{
    int hour, minute;
    *ret_minutes = 0;
    if (scan_char(t, 'Z') || scan_char(t, 'z'))
        return true;
    bool minus = scan_char(t, '-');
    if ((!minus && !scan_char(t, '+')) || !scan_digits(t, 2, &hour) ||
        !scan_char(t, ':') || !scan_digits(t, 2, &minute) || hour > 23 || minute > 59)
        return false;
    *ret_minutes = (hour * 60 + minute) * (minus ? -1 : 1);
    return true;
}

/* A 60th second only where it is 23:59 in UTC. */
static bool scan_time(scan *t)
{
    int hour, minute, second, ahead;
    if (!scan_digits(t, 2, &hour) || !scan_char(t, ':') || !scan_digits(t, 2, &minute) ||
        !scan_char(t, ':') || !scan_digits(t, 2, &second) || hour > 23 || minute > 59 ||
        second > 60)
        return false;
    if (scan_char(t, '.')) {
        if (!is_digit(scan_peek(t)))
            return false;
        while (is_digit(scan_peek(t)))
            t->s++;
    }
    if (!scan_offset(t, &ahead))
        return false;
    int day = 24 * 60, utc = (hour * 60 + minute - ahead + day) % day;
    return second < 60 || utc == day - 1;
}

static bool format_date(const char *text, size_t len)
{
    scan t = {text, text + len};
    return scan_date(&t) && t.s == t.end;
}

static bool format_time(const char *text, size_t len)
{
    scan t = {text, text + len};
    return scan_time(&t) && t.s == t.end;
}

static bool format_date_time(const char *text, size_t len)
{
    scan t = {text, text + len};
    return scan_date(&t) && (scan_char(&t, 'T') || scan_char(&t, 't')) && scan_time(&t) &&
           t.s == t.end;
}

/* Numbers with units in their order, none left out in between; how many there are. */
static int scan_units(scan *t, const char *units)
{
    int n = 0;
    while (is_digit(scan_peek(t))) {
        scan ahead = *t;
        while (is_digit(scan_peek(&ahead)))
            ahead.s++;
        char unit = scan_peek(&ahead);
        const char *at = unit ? strchr(units, unit) : NULL;
        if (!at || (n > 0 && at != units))
            break;
        units = at + 1;
        t->s = ahead.s + 1;
        n++;
    }
    return n;
}

static bool format_duration(const char *text, size_t len)
{
    scan t = {text, text + len};
    if (!scan_char(&t, 'P'))
        return false;
    if (scan_units(&t, "W"))
        return t.s == t.end;
    int n = scan_units(&t, "YMD");
    if (!scan_char(&t, 'T'))
        return n > 0 && t.s == t.end;
    return scan_units(&t, "HMS") > 0 && t.s == t.end;
}

static bool format_ipv4(const char *text, size_t len)
{
    scan t = {text, text + len};
    for (int i = 0; i < 4; i++) {
        int value = 0, n = 0;
        if (i && !scan_char(&t, '.'))
            return false;
        const char *first = t.s;
        for (; is_digit(scan_peek(&t)) && n < 3; n++)
            value = value * 10 + (*t.s++ - '0');
        if (n == 0 || value > 255 || (n > 1 && *first == '0'))
            return false;
    }
    return t.s == t.end;
}

bool format_ipv6(const char *text, size_t len)
{
    scan t = {text, text + len};
    int groups = 0;
    bool gap = false;
    if (len >= 2 && text[0] == ':' && text[1] == ':') {
        gap = true;
        t.s += 2;
    }
    while (t.s < t.end) {
        const char *first = t.s;
        while (is_hex(scan_peek(&t)))
            t.s++;
        if (scan_peek(&t) == '.')
            return groups + 2 <= 8 - gap && (gap || groups == 6) &&
                   format_ipv4(first, (size_t)(t.end - first));
        if (t.s == first || t.s - first > 4)
            return false;
        groups++;
        if (t.s == t.end)
            break;
        if (!scan_char(&t, ':') || t.s == t.end)
            return false;
        if (scan_peek(&t) == ':') {
            if (gap)
                return false;
            gap = true;
            t.s++;
        }
    }
    return gap ? groups <= 7 : groups == 8;
}

/* Labels of letters, digits and inner hyphens; beyond ASCII anything where `any` is set.
 * Where the name is one of the DNS, its limits too. */
static bool is_host(const char *text, size_t len, bool any, bool dns)
{
    scan t = {text, text + len};
    if (dns && len > HOST_MAX)
        return false;
    do {
        const char *first = t.s;
        while (is_letter(scan_peek(&t)) || is_digit(scan_peek(&t)) ||
               scan_peek(&t) == '-' || (any && (unsigned char)scan_peek(&t) >= 0x80))
            t.s++;
        size_t n = (size_t)(t.s - first);
        if (n == 0 || (dns && n > LABEL_MAX) || *first == '-' || t.s[-1] == '-')
            return false;
        if (dns && n >= 4 && (first[0] | 32) == 'x' && (first[1] | 32) == 'n' &&
            first[2] == '-' && first[3] == '-')
            return false;
    } while (scan_char(&t, '.'));
    return t.s == t.end;
}

static bool format_hostname(const char *text, size_t len)
{
    return is_host(text, len, false, true);
}

static bool is_atom_char(char c, bool any)
{
    return is_letter(c) || is_digit(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c)) ||
           (any && (unsigned char)c >= 0x80);
}

/* What stands before the '@': atoms with dots between them, or a quoted string. */
static bool scan_local(scan *t, bool any)
{
    if (!scan_char(t, '"')) {
        do {
            if (!is_atom_char(scan_peek(t), any))
                return false;
            while (is_atom_char(scan_peek(t), any))
                t->s++;
        } while (scan_char(t, '.'));
        return true;
    }
    while (t->s < t->end && *t->s != '"') {
        bool escape = scan_char(t, '\\');
        unsigned char c = (unsigned char)scan_peek(t);
        if (c < 0x20 || c == 0x7F || (c >= 0x80 && (!any || escape)))
            return false;
        t->s++;
    }
    return scan_char(t, '"');
}

/* The grammar of RFC 5321, 4.1.2; its sizes (4.5.3.1) are what programs must at least be
 * able to receive, no part of it. */
static bool is_mailbox(const char *text, size_t len, bool any)
{
    scan t = {text, text + len};
    if (!scan_local(&t, any) || !scan_char(&t, '@'))
        return false;
    size_t n = (size_t)(t.end - t.s);
    if (scan_peek(&t) != '[')
        return is_host(t.s, n, any, false);
    if (n < 3 || t.end[-1] != ']')
        return false;
    if (n > 7 && memcmp(t.s, "[IPv6:", 6) == 0)
        return format_ipv6(t.s + 6, n - 7);
    return format_ipv4(t.s + 1, n - 2);
}

static bool format_email(const char *text, size_t len)
{
    return is_mailbox(text, len, false);
}

static bool format_idn_email(const char *text, size_t len)
{
    return is_mailbox(text, len, true);
}

static bool format_uuid(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !is_hex(text[i]))
            return false;
    }
    return len == 36;
}

static bool format_json_pointer(const char *text, size_t len)
{
    scan t = {text, text + len};
    if (len && *text != '/')
        return false;
    while (t.s < t.end) {
        bool escape = scan_char(&t, '~');
        if (escape && scan_peek(&t) != '0' && scan_peek(&t) != '1')
            return false;
        t.s++;
    }
    return true;
}

static bool format_relative_json_pointer(const char *text, size_t len)
{
    scan t = {text, text + len};
    if (!is_digit(scan_peek(&t)))
        return false;
    if (!scan_char(&t, '0'))
        while (is_digit(scan_peek(&t)))
            t.s++;
    if (scan_char(&t, '#'))
        return t.s == t.end;
    return format_json_pointer(t.s, (size_t)(t.end - t.s));
}

format_check *format_find(const json *name, bool *ret_known)
{
    static const struct {
        const char *name;
        format_check *check;
    } formats[] = {
        {"date", format_date},
        {"time", format_time},
        {"date-time", format_date_time},
        {"duration", format_duration},
        {"email", format_email},
        {"idn-email", format_idn_email},
        {"hostname", format_hostname},
        {"idn-hostname", NULL},
        {"ipv4", format_ipv4},
        {"ipv6", format_ipv6},
        {"uri", format_uri},
        {"uri-reference", format_uri_reference},
        {"iri", format_iri},
        {"iri-reference", format_iri_reference},
        {"uri-template", format_uri_template},
        {"uuid", format_uuid},
        {"json-pointer", format_json_pointer},
        {"relative-json-pointer", format_relative_json_pointer},
        {"regex", pattern_is_valid},
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        *ret_known = json_is(name, formats[i].name);
        if (*ret_known)
            return formats[i].check;
    }
    return NULL;
}
