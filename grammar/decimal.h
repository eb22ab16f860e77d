/* grammar/decimal.h - numbers as JSON writes them, compared exactly.
 *
 * value = (-1)^negative * 0.d1 d2 ... dn * 10^exp, d1 and dn not 0; n = 0 is zero.
 *
 * Threads: values are immutable.  Memory: digits lie in the text they were read from. */
#ifndef GRAMMAR_DECIMAL_H
#define GRAMMAR_DECIMAL_H
#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

enum { DECIMAL_DIVIDE = 4096 };

typedef struct decimal {
    bool negative;
    uint32_t n;       /* digits */
    uint32_t dot;     /* digits before the '.' that is among them; n: none is */
    const char *text; /* the digits, with that '.' */
    int64_t exp;
} decimal;

/* A well-formed JSON number.  False: its exponent passes 10^9. */
bool decimal_read(const char *text, uint32_t len, decimal *ret);
uint32_t decimal_digit(const decimal *d, int64_t power); /* the digit for 10^power */
int decimal_cmp(const decimal *a, const decimal *b);     /* < 0, 0, > 0 */
bool decimal_is_integer(const decimal *d);
/* a is a whole multiple of b > 0.  False also where deciding it would take more than
 * DECIMAL_DIVIDE digits; *ret_sure then false. */
bool decimal_is_multiple(const decimal *a, const decimal *b, bool *ret_sure);
void decimal_write(const decimal *d, st_buf *out); /* plain, no exponent */
#endif
