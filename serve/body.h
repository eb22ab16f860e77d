/* serve/body.h - a request's JSON, read against the table of its members.
 *
 * A wire lists its members once.  The table reads a body, all problems at once, and is
 * the body's JSON Schema in /openapi.json.  What a table cannot say (either this or that,
 * one member that depends on another) the wire checks itself and adds to the same
 * problems.
 *
 *   static const member part[] = {{"type", MEMBER_STRING, .need = true, .words = "text"},
 *                                {"text", MEMBER_STRING, .need = true}, {0}};
 *
 * Threads: tables are immutable. */
#ifndef SERVE_BODY_H
#define SERVE_BODY_H
#include "serve/problem.h"
#include <stdbool.h>
#include <stdint.h>

enum member_type { /* bits */
                   MEMBER_NULL = 1,
                   MEMBER_BOOL = 2,
                   MEMBER_INTEGER = 4,
                   MEMBER_NUMBER = 8, /* integers too */
                   MEMBER_STRING = 16,
                   MEMBER_ARRAY = 32,
                   MEMBER_OBJECT = 64,
                   MEMBER_ANY = 127,
};

typedef enum member_use {
    MEMBER_READ,
    MEMBER_IDLE,   /* accepted; cannot change an answer (user, metadata, store: false) */
    MEMBER_REFUSE, /* would change the meaning and is not done: PROBLEM_UNSUPPORTED,
                    * unless null, false, or one of `words` (numbers too: "1"), which mean
                    * "as it is here" */
} member_use;

typedef struct member {
    const char *name; /* NULL ends the table; with .open there, others are accepted */
    unsigned types;   /* member_type */
    bool need;
    member_use use;
    double min, max;   /* of a number; characters of a string; members of an array
                        * or object.  Both 0: any; max < min: no upper bound */
    const char *words; /* "auto none": what a string (or each string of an array) may
                        * be; NULL: anything */
    const struct member *of; /* fields of the object, or of each object in the array */
    bool open;               /* `of` does not list all: others are the wire's to judge */
    unsigned items;    /* types of an array's members; 0: objects when `of`, else any */
    const char *about; /* one sentence */
    bool nul;          /* a string may hold U+0000: read it with json_string_length.
                        * Without it such a string is refused, so that body_text is all
                        * of it */
    /* Instead of `of`: an object is of one of these tables (ended by NULL), told apart by
     * the words of its first member.  Where that is missing, it is of the one whose first
     * member need not be there. */
    const struct member *const *either;
    bool map; /* of an object: each value, whatever its name, is as the members of an
               * array would be: `items`, `of`, `either` */
} member;

enum { BODY_MAX_VALUES = 1000000 };

/* Parse, bounded: at most `max_depth` containers deep, BODY_MAX_VALUES values, no name
 * twice in an object, one value.  NULL with a problem (PROBLEM_JSON, line and column). */
json_t *body_parse(const char *text, size_t len, unsigned max_depth, problems *out);

/* Compare with the table; names in problems begin with `at` ("" for the body).  `open`:
 * fields that are not listed are accepted. */
void body_check(const json_t *body, const member *members, bool open, const char *at,
                problems *out);

/* The table as a JSON Schema; NULL when memory ran out. */
json_t *body_schema(const member *members, bool open);
/* The same of an answer: strings may hold anything, objects more than is listed. */
json_t *body_answer_schema(const member *members);

/* Members that body_check has found good; `def` when absent or null. */
const char *body_text(const json_t *body, const char *name, const char *def);
double body_number(const json_t *body, const char *name, double def);
int64_t body_integer(const json_t *body, const char *name, int64_t def);
int64_t body_int(const json_t *value, int64_t def); /* also of 7.0; def: no integer */
bool body_bool(const json_t *body, const char *name, bool def);
json_t *body_get(const json_t *body, const char *name); /* borrowed; NULL also for null */
#endif
