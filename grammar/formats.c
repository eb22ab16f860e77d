/* grammar/formats.c - formats of JSON Schema by name, most of them as patterns.
 *
 * Each pattern is the grammar of its standard, put together from that grammar's rules. */
#include "grammar/formats.h"

#include "grammar/regex.h"
#include <string.h>

/* RFC 3339; 29 February where the year is a leap year. */
#define LEAP_YEAR                                                                        \
    "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
#define DATE                                                                             \
    "(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])"                           \
    "|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))"                    \
    "|" LEAP_YEAR "-02-29)"

/* RFC 3339, appendix A. */
#define DURATION_TIME "T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S)"
#define DURATION                                                                         \
    "P(?:(?:\\d+D|\\d+M(?:\\d+D)?|\\d+Y(?:\\d+M(?:\\d+D)?)?)(?:" DURATION_TIME ")?"      \
    "|" DURATION_TIME "|\\d+W)"

/* RFC 2673 and RFC 4291, as RFC 3986 writes them. */
#define OCTET "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4 OCTET "(?:\\." OCTET "){3}"
#define H16 "[0-9A-Fa-f]{1,4}"
#define LS32 "(?:" H16 ":" H16 "|" IPV4 ")"
#define UP_TO(n) "(?:(?:" H16 ":){0," #n "}" H16 ")?::"
#define IPV6                                                                             \
    "(?:(?:" H16 ":){6}" LS32 "|::(?:" H16 ":){5}" LS32 "|(?:" H16 ")?::(?:" H16         \
    ":){4}" LS32 "|" UP_TO(1) "(?:" H16 ":){3}" LS32 "|" UP_TO(2) "(?:" H16 ":){2}" LS32 \
                                                                  "|" UP_TO(3) H16       \
        ":" LS32 "|" UP_TO(4) LS32 "|" UP_TO(5) H16 "|" UP_TO(6) ")"

/* RFC 5321, Mailbox; RFC 6531 adds all other characters. */
#define MAILBOX(more)                                                                    \
    "(?:[\\w!#$%&'*+\\-/=?^`{|}~" more "]+(?:\\.[\\w!#$%&'*+\\-/=?^`{|}~" more "]+)*"    \
    "|\"(?:[ !#-\\[\\]-~" more "]|\\\\[ -~])*\")"                                        \
    "@(?:" LABEL(more) "(?:\\." LABEL(more) ")*"                                         \
                                            "|\\[(?:" IPV4 "|IPv6:" IPV6 ")\\])"
#define LABEL(more) "[A-Za-z0-9" more "](?:[A-Za-z0-9\\-" more "]*[A-Za-z0-9" more "])?"
#define NOT_ASCII "\\x80-\\u{10FFFF}"

/* RFC 3986; with `more` as RFC 3987. */
#define PERCENT "%[0-9A-Fa-f]{2}"
#define PLAIN "A-Za-z0-9\\-._~!$&'()*+,;="
#define PCHAR(more) "(?:[" PLAIN ":@" more "]|" PERCENT ")"
#define AUTHORITY(more)                                                                  \
    "(?:(?:[" PLAIN ":" more "]|" PERCENT ")*@)?"                                        \
    "(?:\\[(?:" IPV6 "|[vV][0-9A-Fa-f]+\\.[" PLAIN ":]+)\\]"                             \
    "|(?:[" PLAIN more "]|" PERCENT ")*)(?::\\d*)?"
#define SEGMENTS(more) "(?:/" PCHAR(more) "*)*"
#define ROOTED(more)                                                                     \
    "//" AUTHORITY(more) SEGMENTS(more) "|/(?:" PCHAR(more) "+" SEGMENTS(more) ")?"
#define TAIL(more, private)                                                              \
    "(?:\\?(?:" PCHAR(more private) "|[/?])*)?(?:#(?:" PCHAR(more) "|[/?])*)?"
#define ABSOLUTE(more)                                                                   \
    "[A-Za-z][A-Za-z0-9+\\-.]*:(?:" ROOTED(more) "|" PCHAR(more) "+" SEGMENTS(more) "|)"
#define RELATIVE(more)                                                                   \
    "(?:" ROOTED(more) "|(?:[" PLAIN "@" more "]|" PERCENT ")+" SEGMENTS(more) "|)"
#define UCSCHAR                                                                          \
    "\\u00A0-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFEF\\u{10000}-\\u{1FFFD}"                 \
    "\\u{20000}-\\u{2FFFD}\\u{30000}-\\u{3FFFD}\\u{40000}-\\u{4FFFD}"                    \
    "\\u{50000}-\\u{5FFFD}\\u{60000}-\\u{6FFFD}\\u{70000}-\\u{7FFFD}"                    \
    "\\u{80000}-\\u{8FFFD}\\u{90000}-\\u{9FFFD}\\u{A0000}-\\u{AFFFD}"                    \
    "\\u{B0000}-\\u{BFFFD}\\u{C0000}-\\u{CFFFD}\\u{D0000}-\\u{DFFFD}"                    \
    "\\u{E1000}-\\u{EFFFD}"
#define PRIVATE "\\uE000-\\uF8FF\\u{F0000}-\\u{FFFFD}\\u{100000}-\\u{10FFFD}"

/* RFC 6570, with erratum 6937 (an apostrophe is a literal). */
#define VARCHAR "(?:\\w|" PERCENT ")"
#define VARSPEC VARCHAR "(?:\\.?" VARCHAR ")*(?::[1-9]\\d{0,3}|\\*)?"
#define TEMPLATE                                                                         \
    "(?:[!#$&-;=?-\\[\\]_a-z~" UCSCHAR PRIVATE "]|" PERCENT                              \
    "|\\{[+#./;?&=,!@|]?" VARSPEC "(?:," VARSPEC ")*\\})*"

/* RFC 6901. */
#define POINTER "(?:/(?:[^/~]|~[01])*)*"

static const struct format {
    const char *name;
    const char *pattern;                 /* or NULL and ... */
    int (*make)(dfa **ret, st_err *err); /* ... both NULL: not supported */
} formats[] = {
    {"date", DATE, NULL},
    {"time", NULL, format_time},
    {"date-time", NULL, format_date_time},
    {"duration", DURATION, NULL},
    {"email", MAILBOX(""), NULL},
    {"idn-email", MAILBOX(NOT_ASCII), NULL},
    {"hostname", NULL, format_hostname},
    {"idn-hostname", NULL, NULL},
    {"ipv4", IPV4, NULL},
    {"ipv6", IPV6, NULL},
    {"uri", ABSOLUTE("") TAIL("", ""), NULL},
    {"uri-reference", "(?:" ABSOLUTE("") "|" RELATIVE("") ")" TAIL("", ""), NULL},
    {"iri", ABSOLUTE(UCSCHAR) TAIL(UCSCHAR, PRIVATE), NULL},
    {"iri-reference",
     "(?:" ABSOLUTE(UCSCHAR) "|" RELATIVE(UCSCHAR) ")" TAIL(UCSCHAR, PRIVATE), NULL},
    {"uri-template", TEMPLATE, NULL},
    {"uuid", "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", NULL},
    {"json-pointer", POINTER, NULL},
    {"relative-json-pointer", "(?:0|[1-9]\\d*)(?:#|" POINTER ")", NULL},
    {"regex", NULL, NULL},
};

int format_date_prefix(dfa **ret, st_err *err)
{
    static const char pattern[] = DATE "[Tt]";
    return regex_dfa(pattern, sizeof pattern - 1, REGEX_WHOLE, ret, err);
}

int format_dfa(const char *name, dfa **ret, st_err *err)
{
    for (size_t i = 0; i < ST_COUNT(formats); i++) {
        const struct format *f = &formats[i];
        if (strcmp(f->name, name) != 0)
            continue;
        if (f->make)
            return f->make(ret, err);
        if (f->pattern)
            return regex_dfa(f->pattern, strlen(f->pattern), REGEX_WHOLE, ret, err);
        st_err_set(err, ST_EUNSUPPORTED, "format '%s' cannot be held", name);
        st_err_hint(err, "leave it out, or say by `pattern` what is meant");
        return ST_EUNSUPPORTED;
    }
    return st_err_set(err, ST_ENOTFOUND, "no format '%.60s'", name);
}
