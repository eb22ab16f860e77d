/* grammar/decimal.c - numbers as JSON writes them, compared exactly.
 *
 * Nothing is rounded: a number is its digits, and a division is done by hand. */
#include "grammar/decimal.h"

#include <string.h>

enum {
    EXP_MAX = 1000000000,
    WORD_DIGITS = 18, /* a divisor below 10^18 leaves room for ten times a remainder */
    LIMB = 1000000000,
    LIMB_DIGITS = 9,
    LIMBS = DECIMAL_DIVIDE / LIMB_DIGITS + 2,
};

/* The k-th digit, from 0. */
static uint32_t digit(const decimal *d, uint32_t k)
{
    return (uint32_t)(d->text[k + (k >= d->dot)] - '0');
}

/* The exponent behind an 'e', or false when it is too large. */
static bool read_exponent(const char *s, const char *end, int64_t *ret)
{
    bool minus = s < end && *s == '-';
    if (s < end && (*s == '-' || *s == '+'))
        s++;
    int64_t e = 0;
    for (; s < end; s++) {
        e = e * 10 + (*s - '0');
        if (e > EXP_MAX)
            return false;
    }
    *ret = minus ? -e : e;
    return true;
}

/* Characters [first, last) without the zeros on both sides, the last of which is behind
 * `point`; digits only once they begin there. */
static void set_digits(decimal *d, const char *first, const char *last, const char *point)
{
    while (first < last && (*first == '0' || *first == '.'))
        first++;
    while (last > first && (last[-1] == '0' || last[-1] == '.'))
        last--;
    bool inside = first < point && point < last;
    d->text = first;
    d->n = (uint32_t)(last - first) - inside;
    d->dot = inside ? (uint32_t)(point - first) : d->n;
    d->exp += first < point ? point - first : point + 1 - first;
}

bool decimal_read(const char *text, uint32_t len, decimal *ret)
{
    const char *end = text + len;
    decimal d = {.negative = len && *text == '-'};
    const char *first = text + d.negative;
    const char *last = first;
    const char *point = NULL;
    for (; last < end && *last != 'e' && *last != 'E'; last++)
        if (*last == '.')
            point = last;
    if (last < end && !read_exponent(last + 1, end, &d.exp))
        return false;
    set_digits(&d, first, last, point ? point : last);
    if (d.n == 0)
        d = (decimal){.text = text};
    *ret = d;
    return true;
}

uint32_t decimal_digit(const decimal *d, int64_t power)
{
    int64_t k = d->exp - 1 - power;
    return k < 0 || k >= d->n ? 0 : digit(d, (uint32_t)k);
}

static int cmp_size(const decimal *a, const decimal *b)
{
    if (a->n == 0 || b->n == 0)
        return (a->n != 0) - (b->n != 0);
    if (a->exp != b->exp)
        return a->exp < b->exp ? -1 : 1;
    for (uint32_t k = 0; k < a->n && k < b->n; k++)
        if (digit(a, k) != digit(b, k))
            return digit(a, k) < digit(b, k) ? -1 : 1;
    return (a->n > b->n) - (a->n < b->n);
}

int decimal_cmp(const decimal *a, const decimal *b)
{
    if (a->negative != b->negative)
        return a->negative ? -1 : 1;
    return a->negative ? cmp_size(b, a) : cmp_size(a, b);
}

bool decimal_is_integer(const decimal *d)
{
    return d->exp >= d->n;
}

/* Schoolbook remainder by a divisor of at most WORD_DIGITS digits. */
static bool divides_word(const decimal *a, uint64_t zeros, const decimal *b)
{
    uint64_t by = 0, rest = 0;
    for (uint32_t k = 0; k < b->n; k++)
        by = by * 10 + digit(b, k);
    for (uint64_t k = 0; k < a->n + zeros; k++)
        rest = (rest * 10 + (k < a->n ? digit(a, (uint32_t)k) : 0)) % by;
    return rest == 0;
}

typedef struct natural { /* little end first */
    uint32_t limb[LIMBS];
    uint32_t n; /* limbs in use; the last is not 0 */
} natural;

static void natural_push(natural *x, uint32_t d) /* x = 10 x + d */
{
    uint64_t carry = d;
    for (uint32_t i = 0; i < x->n; i++) {
        carry += (uint64_t)x->limb[i] * 10;
        x->limb[i] = (uint32_t)(carry % LIMB);
        carry /= LIMB;
    }
    if (carry)
        x->limb[x->n++] = (uint32_t)carry;
}

static bool natural_less(const natural *x, const natural *y)
{
    if (x->n != y->n)
        return x->n < y->n;
    for (uint32_t i = x->n; i-- > 0;)
        if (x->limb[i] != y->limb[i])
            return x->limb[i] < y->limb[i];
    return false;
}

static void natural_sub(natural *x, const natural *y) /* x -= y, where y <= x */
{
    int64_t borrow = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        borrow += (int64_t)x->limb[i] - (i < y->n ? y->limb[i] : 0);
        x->limb[i] = (uint32_t)(borrow < 0 ? borrow + LIMB : borrow);
        borrow = borrow < 0 ? -1 : 0;
    }
    while (x->n && x->limb[x->n - 1] == 0)
        x->n--;
}

static bool divides_long(const decimal *a, uint64_t zeros, const decimal *b)
{
    natural by = {.n = 0}, rest = {.n = 0};
    for (uint32_t k = 0; k < b->n; k++)
        natural_push(&by, digit(b, k));
    for (uint64_t k = 0; k < a->n + zeros; k++) {
        natural_push(&rest, k < a->n ? digit(a, (uint32_t)k) : 0);
        while (!natural_less(&rest, &by))
            natural_sub(&rest, &by);
    }
    return rest.n == 0;
}

/* a = A 10^p and b = B 10^q with whole A and B that end in no zero: for p < q no whole
 * number times b is a, else B must divide A 10^(p - q). */
bool decimal_is_multiple(const decimal *a, const decimal *b, bool *ret_sure)
{
    *ret_sure = true;
    if (a->n == 0)
        return true;
    int64_t zeros = (a->exp - a->n) - (b->exp - b->n);
    if (zeros < 0 || b->n == 0)
        return false;
    if (b->n == 1 && digit(b, 0) == 1)
        return true;
    if (zeros > DECIMAL_DIVIDE || a->n + zeros > DECIMAL_DIVIDE ||
        b->n > DECIMAL_DIVIDE) {
        *ret_sure = false;
        return false;
    }
    return b->n <= WORD_DIGITS ? divides_word(a, (uint64_t)zeros, b)
                               : divides_long(a, (uint64_t)zeros, b);
}

void decimal_write(const decimal *d, st_buf *out)
{
    if (d->negative)
        st_buf_char(out, '-');
    if (d->exp <= 0 || d->n == 0)
        st_buf_char(out, '0');
    for (int64_t power = d->exp - 1; d->n && power >= 0 && !out->code; power--)
        st_buf_char(out, (char)('0' + decimal_digit(d, power)));
    if (decimal_is_integer(d))
        return;
    st_buf_char(out, '.');
    int64_t first = d->exp > 0 ? -1 : d->exp - 1;
    for (int64_t power = -1; power > first && !out->code; power--)
        st_buf_char(out, '0');
    for (int64_t power = first; power >= d->exp - (int64_t)d->n && !out->code; power--)
        st_buf_char(out, (char)('0' + decimal_digit(d, power)));
}
