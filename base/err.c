/* base/err.c - error codes and the error value. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int st_err_set(st_err *err, int code, const char *fmt, ...)
{
    if (err && err->code == 0) {
        va_list ap;
        err->code = code;
        err->hint[0] = '\0';
        va_start(ap, fmt);
        vsnprintf(err->message, sizeof err->message, fmt, ap);
        va_end(ap);
    }
    return code;
}

void st_err_hint(st_err *err, const char *fmt, ...)
{
    va_list ap;
    if (!err || err->code == 0 || err->hint[0])
        return;
    va_start(ap, fmt);
    vsnprintf(err->hint, sizeof err->hint, fmt, ap);
    va_end(ap);
}

void st_err_at(st_err *err, const char *fmt, ...)
{
    char place[sizeof err->message];
    char whole[sizeof err->message];
    va_list ap;
    if (!err || err->code == 0)
        return;
    va_start(ap, fmt);
    vsnprintf(place, sizeof place, fmt, ap);
    va_end(ap);
    /* A message that does not fit loses its end, never its place. */
    snprintf(whole, sizeof whole, "%s: %s", place, err->message);
    memcpy(err->message, whole, sizeof err->message);
}

const char *st_code_text(int code)
{
    switch (code) {
    case 0:
        return "no error";
#define ST_ERR_CASE(name, value, text, exit)                                             \
    case name:                                                                           \
        return text;
        ST_ERR_MAP(ST_ERR_CASE)
#undef ST_ERR_CASE
    }
    return "unknown error";
}

int st_code_exit(int code)
{
    switch (code) {
    case 0:
        return 0;
#define ST_ERR_CASE(name, value, text, exit)                                             \
    case name:                                                                           \
        return exit;
        ST_ERR_MAP(ST_ERR_CASE)
#undef ST_ERR_CASE
    }
    return 1;
}
