/* grammar/number.h - what a number may be, held digit by digit; private to this room.
 *
 * A state is dead exactly when no number that the rule allows begins so.  The texts:
 * an integer rule has digits only; any other allows a fraction, also with superfluous
 * zeros at its end unless just one value is allowed; an exponent, of at most three
 * digits, only where there are no bounds and no multiples.  Zero has no minus sign.
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

    /* Set by number_rule_check; values are multiples of step / 10^places */
    bool stepped; /* `integer` or multiples; else step is 1 */
    bool single;  /* one value */
    bool empty;
    uint32_t places; /* not stepped: one more than the bounds have */
    uint64_t step;
} number_rule;

typedef struct number_state { /* compared as bytes */
    uint64_t word[2];         /* all zero: dead */
} number_state;

/* To be called when a rule is complete, before anything below.  ST_EUNSUPPORTED says why
 * it cannot be held. */
ST_NODISCARD int number_rule_check(number_rule *r, st_err *err);
bool number_rule_empty(const number_rule *r); /* no number at all */
/* Values, at most `most` (up to 10^6); `most` where there are more or endless. */
uint64_t number_rule_count(const number_rule *r, uint64_t most);
bool number_rule_takes(const number_rule *r, const decimal *value);
/* Texts that only some number rules allow, for one that is to tell values apart beside
 * others: NUMBER_PLAIN has no exponent; NUMBER_LOOSE any fraction of the value's. */
enum { NUMBER_PLAIN = 1, NUMBER_LOOSE = 2 };
number_state number_start(const number_rule *r, uint32_t how);
number_state number_step(const number_rule *r, number_state s, uint8_t byte);
bool number_accepts(const number_rule *r, number_state s);
bool number_dead(number_state s);
#endif
