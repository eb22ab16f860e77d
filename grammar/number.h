/* grammar/number.h - what a number may be, held digit by digit; private to this room.
 *
 * A state is dead exactly when no number that the rule allows begins so.  Where a rule
 * has bounds or multiples, numbers are plain decimals; else an exponent is allowed too.
 * Integers are written without '.' and exponent.
 *
 * Threads: immutable once made.  Memory: a rule borrows the text its decimals are in. */
#ifndef GRAMMAR_NUMBER_H
#define GRAMMAR_NUMBER_H
#include "base/err.h"
#include "grammar/decimal.h"

enum { NUMBER_MULTIPLES = 4 };

typedef struct number_rule {
    bool integer;
    bool fraction; /* not an integer (the negation of `integer`) */
    bool has_lo, has_hi;
    bool lo_open, hi_open; /* the bound itself is not allowed */
    decimal lo, hi;
    uint32_t n_multiples;
    decimal multiple[NUMBER_MULTIPLES]; /* each > 0 */
} number_rule;

typedef struct number_state { /* compared as bytes: unused ones are zero */
    uint64_t word[6];         /* all zero: dead */
} number_state;

/* Can it be held at all?  ST_EUNSUPPORTED says what stands in the way. */
ST_NODISCARD int number_rule_check(const number_rule *r, st_err *err);
bool number_rule_empty(const number_rule *r); /* no number at all */
uint64_t number_rule_count(const number_rule *r, uint64_t most);
bool number_rule_takes(const number_rule *r, const decimal *value);
number_state number_start(const number_rule *r);
number_state number_step(const number_rule *r, number_state s, uint8_t byte);
bool number_accepts(const number_rule *r, number_state s);
bool number_dead(number_state s);
#endif
