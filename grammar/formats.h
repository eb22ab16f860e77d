/* grammar/formats.h - formats that no pattern of a bearable size describes; private to
 * the formats_ files.  regex.h has the door.
 *
 * Threads: any.  Memory: dfa_free. */
#ifndef GRAMMAR_FORMATS_H
#define GRAMMAR_FORMATS_H
#include "grammar/dfa.h"

/* RFC 3339, a leap second only where it is 23:59:60 in UTC. */
ST_NODISCARD int format_time(dfa **ret, st_err *err);
ST_NODISCARD int format_date_time(dfa **ret, st_err *err);
/* A date and a T: one accepted state, and nothing behind it. */
ST_NODISCARD int format_date_prefix(dfa **ret, st_err *err);
/* RFC 1123; labels that begin with "xn--" (RFC 5890: Punycode, which no finite automaton
 * can check) are left out. */
ST_NODISCARD int format_hostname(dfa **ret, st_err *err);
#endif
