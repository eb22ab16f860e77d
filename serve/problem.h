/* serve/problem.h - what is wrong with a request, all of it, in the dialect of its route.
 *
 * A problem has a kind; the kind has a status, a type and a code in each dialect, in one
 * table (problem.c).  OpenAI:    {"error": {"message", "type", "param", "code"}}
 *                     TypeSafe:  {"detail": [{"loc", "msg", "type"}]} where the body is
 *                                wrong, {"detail": {"error_type", "message"}} elsewhere
 *                     KServe:    {"error": "message"}
 * Several problems: the first that was added gives status and param, the message names
 * them all, and "errors" (OpenAI: inside "error") lists each.
 *
 * A problem's message does not repeat its param: answers put "param: " in front,
 * TypeSafe's has it in "loc".  Params are written by serve/param.h.
 *
 * Threads: a list has one owner. */
#ifndef SERVE_PROBLEM_H
#define SERVE_PROBLEM_H
#include "base/buf.h"
#include "base/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum dialect { DIALECT_OPENAI, DIALECT_TYPESAFE, DIALECT_KSERVE } dialect;

typedef enum problem_kind {
    /* of the body */
    PROBLEM_JSON,        /* no JSON, or nested too deep, or a name twice */
    PROBLEM_MISSING,     /* a field that must be there */
    PROBLEM_TYPE,        /* of another type */
    PROBLEM_VALUE,       /* out of range, an unknown word, two that contradict */
    PROBLEM_COUNT,       /* too few or too many members, characters, bytes */
    PROBLEM_UNKNOWN,     /* a field that no one knows */
    PROBLEM_UNSUPPORTED, /* one that would change the meaning and is not done here */
    PROBLEM_TOO_LONG,    /* more tokens than the context holds */
    PROBLEM_SCHEMA,      /* a JSON schema, regex or grammar that cannot be held */
    /* of the request */
    PROBLEM_NO_KEY,
    PROBLEM_BAD_KEY,
    PROBLEM_FORBIDDEN, /* a good key, without this right */
    PROBLEM_NO_MODEL,  /* no model, task or adapter of this name */
    PROBLEM_NO_ROUTE,
    PROBLEM_METHOD,
    PROBLEM_TOO_LARGE,  /* of body bytes */
    PROBLEM_MEDIA_TYPE, /* Content-Type is not the route's */
    /* of the server */
    PROBLEM_BUSY,     /* queue full: Retry-After */
    PROBLEM_DRAINING, /* going down: Retry-After */
    PROBLEM_DEADLINE, /* not done in the time that was given */
    PROBLEM_NOT_DONE, /* the model's answer was cut, or not valid */
    PROBLEM_SERVER,   /* memory, files, anything of ours */
    PROBLEM_KINDS
} problem_kind;

enum { PROBLEMS_MAX = 64, PROBLEM_PARAM_MAX = 256 };

typedef struct problem {
    problem_kind kind;
    char *param;   /* "messages[0].content[1]", "" for the whole request */
    char *message; /* what is wrong and what would be right */
    char *code;    /* instead of the kind's code; NULL */
} problem;

typedef struct problems {
    problem list[PROBLEMS_MAX];
    uint32_t n;
    uint32_t n_more; /* that found no room */
    double retry_s;  /* of BUSY and DRAINING */
    bool out_of_memory;
} problems;

void problems_done(problems *p);
void problems_add(problems *p, problem_kind kind, const char *param, const char *fmt, ...)
    ST_PRINTF(4, 5);
/* The same with a code of its own for the last one added. */
void problems_code(problems *p, const char *code);
/* From an error of another room: problem_of_code(err->code); its hint is part of the
 * message. */
void problems_from(problems *p, const char *param, const st_err *err);

unsigned problems_status(const problems *p, dialect d);
/* The answer's body; NULL when memory ran out. */
char *problems_body(const problems *p, dialect d, size_t *ret_len);
/* One problem as {"message", "type", "param", "code"}, for a stream that fails midway:
 * what OpenAI has inside "error".  NULL when memory ran out. */
json_t *problem_json(const problem *p);
/* ST_EBUSY is BUSY, ST_ELIMIT TOO_LONG, ST_EINVAL VALUE, ST_ENOTFOUND NO_MODEL, ST_ENOMEM
 * SERVER, and so on. */
problem_kind problem_of_code(int st_code);
/* The row of a kind, for descriptions: its status in a dialect, its code. */
unsigned problem_status(problem_kind kind, dialect d);
const char *problem_code(problem_kind kind, dialect d);
#endif
