/* grammar/regex.h - regular expressions and formats to automata; private to this room.
 *
 * ECMA-262 with the u flag's view of text as code points: classes, \d \w \s and \b (the
 * standard's sets), \p{..} general categories, groups, alternation, counted repetition
 * (greedy or lazy: the language is the same), ^ and $, look-ahead anywhere.
 * Back-references, look-behind and flags are refused with the place and a way round.
 *
 * Threads: any.  Memory: dfa_free. */
#ifndef GRAMMAR_REGEX_H
#define GRAMMAR_REGEX_H
#include "grammar/dfa.h"

typedef enum regex_match {
    REGEX_SEARCH, /* the pattern occurs in the text, as `pattern` of JSON Schema means */
    REGEX_WHOLE,  /* the pattern is the text */
} regex_match;

/* ST_EFORMAT: malformed; ST_EUNSUPPORTED: refused; both say at which character.
 * ST_ELIMIT: too many states. */
ST_NODISCARD int regex_dfa(const char *pattern, size_t len, regex_match how, dfa **ret,
                           st_err *err);

/* A format of JSON Schema by name: date, time, date-time (RFC 3339, leap years and leap
 * seconds), duration (its appendix A), email (RFC 5321), idn-email, hostname, ipv4, ipv6,
 * uuid, uri, uri-reference, iri, iri-reference, uri-template, json-pointer,
 * relative-json-pointer.  Host names in Punycode ("xn--") are left out: no finite
 * automaton can check them.  ST_EUNSUPPORTED: a known one that cannot be held
 * (idn-hostname, regex); ST_ENOTFOUND: no such format, which JSON Schema says is not to
 * be held against a text. */
ST_NODISCARD int format_dfa(const char *name, dfa **ret, st_err *err);
#endif
