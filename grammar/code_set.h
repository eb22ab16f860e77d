/* grammar/code_set.h - sets of Unicode characters; private to this room.
 *
 * Sorted ranges that neither overlap nor touch, of scalar values only: surrogates are no
 * characters.  Building: add ranges in any order, then code_set_settle once.
 *
 * Threads: one owner.  Memory: code_set_done. */
#ifndef GRAMMAR_CODE_SET_H
#define GRAMMAR_CODE_SET_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CODE_MAX = 0x10FFFF, CODE_SURROGATE = 0xD800, CODE_AFTER_SURROGATES = 0xE000 };

typedef struct code_range {
    uint32_t lo, hi; /* both in it */
} code_range;

typedef struct code_set {
    code_range *ranges;
    uint32_t n, cap;
} code_set;

void code_set_done(code_set *s);
ST_NODISCARD int code_set_add(code_set *s, uint32_t lo, uint32_t hi, st_err *err);
ST_NODISCARD int code_set_join(code_set *s, const code_set *other, st_err *err);
void code_set_settle(code_set *s);
/* All characters that are not in a settled set. */
ST_NODISCARD int code_set_negate(code_set *s, st_err *err);

/* d, w, s: \d \w \s as ECMA-262 has them; '.': any but line terminators. */
ST_NODISCARD int code_set_class(code_set *s, char name, st_err *err);
/* \p{name} or \p{name=value}: general categories by any of their names, Any, Assigned,
 * ASCII, ASCII_Hex_Digit.  ST_EUNSUPPORTED: another property. */
ST_NODISCARD int code_set_property(code_set *s, const char *name, size_t len,
                                   st_err *err);
#endif
