/* base/err.h - error codes and the error value.
 *
 * Every function that can fail returns 0 or a negative ST_E... code and, where it takes
 * an `st_err *`, fills it with what happened, where, and what to do.  The first error
 * wins: setting an error that is already set keeps the old one.  Outputs (`ret_...`) are
 * untouched on failure.  Library rooms never print and never exit.
 *
 * Threads: an st_err belongs to its caller.  Memory: fixed size, no ownership. */
#ifndef BASE_ERR_H
#define BASE_ERR_H
#include "base/compiler.h"

/* name, value, text, process exit code of the command line */
#define ST_ERR_MAP(X)                                                                    \
    X(ST_EINVAL, -1, "invalid argument", 2)                                              \
    X(ST_ENOMEM, -2, "out of memory", 3)                                                 \
    X(ST_EIO, -3, "input or output failed", 4)                                           \
    X(ST_EFORMAT, -4, "malformed file", 5)                                               \
    X(ST_EUNSUPPORTED, -5, "not supported", 6)                                           \
    X(ST_ENOTFOUND, -6, "not found", 7)                                                  \
    X(ST_ELIMIT, -7, "over a limit", 8)                                                  \
    X(ST_EBUSY, -8, "busy", 9)                                                           \
    X(ST_EMISMATCH, -9, "bound to other bytes", 10)                                      \
    X(ST_ECONTRACT, -10, "invalid task contract", 11)                                    \
    X(ST_ERAISED, -11, "raised by the template", 12)                                     \
    X(ST_ECANCELLED, -12, "cancelled", 13)                                               \
    X(ST_ETIMEOUT, -13, "out of time", 14)

enum st_code {
#define ST_ERR_ENUM(name, value, text, exit) name = (value),
    ST_ERR_MAP(ST_ERR_ENUM)
#undef ST_ERR_ENUM
};

typedef struct st_err {
    int code;           /* 0 while unset */
    char message[384];  /* lower case, names the place: "model.gguf: tensor 'x': ..." */
    char hint[192];     /* what to do about it; may be empty */
} st_err;

/* Record an error and return `code`.  `err` may be NULL; an error already set stays. */
int st_err_set(st_err *err, int code, const char *fmt, ...) ST_PRINTF(3, 4);

/* Add what to do about it.  Does nothing when `err` is NULL or has a hint. */
void st_err_hint(st_err *err, const char *fmt, ...) ST_PRINTF(2, 3);

/* Put "place: " before the message of an error that is set. */
void st_err_at(st_err *err, const char *fmt, ...) ST_PRINTF(2, 3);

const char *st_code_text(int code); /* "out of memory"; never NULL */
int st_code_exit(int code);         /* exit status of the command line; 0 for 0 */
#endif
