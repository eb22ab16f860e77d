/* grammar/number_rule.c - what a number may be, held digit by digit.
 *
 * Without its sign a number is read from the left against a lower and an upper limit.  Of
 * the digits so far only this matters: how they compare with as many first digits of
 * each limit (and how many they are, as long as their number decides), and their
 * remainder.  A limit that is kept whatever follows is DONE, and no longer told apart.
 *
 * Is there a way on?  For every length the whole part may still get: the tails that may
 * follow lie between the tail of the lower and the tail of the upper limit, counted in
 * units of 10^-places.  One of them must have the remainder that makes a multiple.
 * Where there is no step, units one place finer than the limits' own are enough: between
 * two numbers of p places there is one of p + 1. */
#include "grammar/number.h"

enum {
    DIGITS_MAX = 1100, /* of a limit, before and behind the point: doubles have fewer */
    PLACES_MAX = 17,   /* of a step */
};
#define STEP_MAX UINT64_C(1000000000000)        /* so that 10^18 units are 10^6 values */
#define UNITS_MAX UINT64_C(1000000000000000000) /* ten times it fits a word */

typedef enum phase {
    NOTHING, /* dead */
    START,
    MINUS,
    ZERO, /* a 0 that only a point may follow */
    WHOLE,
    POINT,
    PLACE, /* at least one digit behind the point */
    EXP,
    EXP_SIGN,
    EXP_1,
    EXP_2,
    EXP_3,
} phase;

/* The digits so far beside the first digits of a limit. */
typedef enum beside { DONE, LESS, SAME, MORE } beside;

typedef struct view { /* a state, unpacked */
    phase phase;
    uint32_t how; /* NUMBER_PLAIN, NUMBER_LOOSE */
    bool negative;
    bool nonzero; /* a digit behind the point is not 0; kept for `fraction` only */
    beside lo, hi;
    uint32_t n; /* digits of the whole part while that matters */
    uint32_t f; /* digits behind the point while that matters */
    uint64_t rest;
} view;

typedef struct limit { /* of the number without its sign */
    bool there;
    bool never; /* no number of this sign */
    bool open;
    uint32_t whole; /* digits before the point, at least one */
    const decimal *d;
} limit;

static const decimal zero = {.text = "0"};

static number_state pack(const view *v)
{
    number_state s = {{0}};
    s.word[0] = (uint64_t)v->phase | (uint64_t)v->negative << 4 |
                (uint64_t)v->nonzero << 5 | (uint64_t)v->lo << 6 | (uint64_t)v->hi << 8 |
                (uint64_t)v->how << 10 | (uint64_t)v->n << 16 | (uint64_t)v->f << 32;
    s.word[1] = v->rest;
    return s;
}

static view unpack(number_state s)
{
    uint64_t w = s.word[0];
    return (view){.phase = (phase)(w & 15),
                  .negative = w >> 4 & 1,
                  .nonzero = w >> 5 & 1,
                  .lo = (beside)(w >> 6 & 3),
                  .hi = (beside)(w >> 8 & 3),
                  .how = w >> 10 & 3,
                  .n = w >> 16 & 0xffff,
                  .f = (uint32_t)(w >> 32),
                  .rest = s.word[1]};
}

static limit limit_at(const decimal *d, bool open)
{
    return (limit){
        .there = true, .open = open, .whole = d->exp > 1 ? (uint32_t)d->exp : 1, .d = d};
}

static limit lower(const number_rule *r, bool negative)
{
    if (negative)
        return r->has_hi && r->hi.negative ? limit_at(&r->hi, r->hi_open)
                                           : limit_at(&zero, true);
    if (r->has_lo && !r->lo.negative)
        return limit_at(&r->lo, r->lo_open);
    return (limit){0};
}

static limit upper(const number_rule *r, bool negative)
{
    const decimal *d = negative ? &r->lo : &r->hi;
    if (!(negative ? r->has_lo : r->has_hi))
        return (limit){0};
    if (d->negative != negative)
        return (limit){.never = true};
    return limit_at(d, negative ? r->lo_open : r->hi_open);
}

/* Has it no digit other than 0 below that of 10^power? */
static bool ends_at(const decimal *d, int64_t power)
{
    return d->n == 0 || d->exp - (int64_t)d->n >= power;
}

static uint32_t places_of(const decimal *d)
{
    int64_t places = (int64_t)d->n - d->exp;
    return d->n && places > 0 ? (uint32_t)places : 0;
}

/* ---- which tails may follow ---- */

typedef struct tails {
    const decimal *lo, *hi; /* NULL: from all zeros, to all nines */
    bool lo_open, hi_open;
    int64_t top, low; /* powers of ten of their first and last digit */
} tails;

typedef struct units {
    bool any;
    uint64_t span;  /* last minus first, at most UNITS_MAX */
    uint64_t first; /* of the first one: the remainder, */
    uint64_t part;  /* what is behind the point, if that is at most PLACES_MAX digits, */
    bool parted;    /* and whether it is other than 0 */
} units;

static units units_between(const tails *t, uint64_t step)
{
    units u = {.any = true};
    for (int64_t p = t->top; p >= t->low; p--) {
        uint32_t a = t->lo ? decimal_digit(t->lo, p) : 0;
        uint32_t b = t->hi ? decimal_digit(t->hi, p) : 9;
        if (u.span < UNITS_MAX) {
            if (u.span == 0 && b < a)
                return (units){0};
            u.span = u.span * 10 + b - a;
        }
        if (u.span > UNITS_MAX)
            u.span = UNITS_MAX;
        u.first = (u.first * 10 + a) % step;
        if (p < 0) {
            u.part = u.part < UNITS_MAX / 10 ? u.part * 10 + a : u.part;
            u.parted = u.parted || a != 0;
        }
    }
    bool up = t->lo && (t->lo_open || !ends_at(t->lo, t->low));
    bool down = t->hi && t->hi_open && ends_at(t->hi, t->low);
    if (u.span < (uint64_t)up + down)
        return (units){0};
    u.span -= u.span == UNITS_MAX ? 0 : (uint64_t)up + down;
    u.first = (u.first + up) % step;
    u.part += up;
    u.parted = u.parted || up;
    return u;
}

static uint64_t power_of_ten(uint32_t n)
{
    uint64_t p = 1;
    while (n--)
        p *= 10;
    return p;
}

/* Is one of the units, behind digits that leave `rest` (nonzero: with a part behind the
 * point), a value of the rule? */
static bool units_have(const number_rule *r, const units *u, uint64_t rest, bool nonzero,
                       uint32_t places)
{
    if (!u->any)
        return false;
    uint64_t skip = (2 * r->step - rest - u->first) % r->step;
    if (skip > u->span)
        return false;
    if (!r->fraction || nonzero || u->span - skip >= r->step)
        return true; /* of two values side by side one is no integer */
    if (skip == 0)
        return u->parted;
    return places > PLACES_MAX || (u->part + skip) % power_of_ten(places) != 0;
}

/* Can `more` further digits before the point and any behind it make a value? */
static bool may_become(const number_rule *r, const view *v, uint32_t more)
{
    limit lo = lower(r, v->negative), hi = upper(r, v->negative);
    bool whole = v->phase <= WHOLE;
    uint32_t n = v->n + more;
    if (whole && ((v->lo != DONE && (n < lo.whole || (n == lo.whole && v->lo == LESS))) ||
                  (v->hi != DONE && (n > hi.whole || (n == hi.whole && v->hi == MORE)))))
        return false;
    uint32_t places = r->places > v->f ? r->places - v->f : !r->stepped;
    tails t = {.lo_open = lo.open, .hi_open = hi.open};
    t.top = whole ? (int64_t)more - 1 : -(int64_t)v->f - 1;
    t.low = -(int64_t)v->f - places;
    if (v->lo == SAME && (!whole || n == lo.whole))
        t.lo = lo.d;
    if (v->hi == SAME && (!whole || n == hi.whole))
        t.hi = hi.d;
    uint64_t rest = v->rest;
    for (uint32_t i = 0; i < more + places && rest; i++)
        rest = rest * 10 % r->step;
    units u = units_between(&t, r->step);
    return units_have(r, &u, rest, v->nonzero, places);
}

static bool alive(const number_rule *r, const view *v)
{
    if (v->phase != WHOLE)
        return may_become(r, v, 0);
    if (v->hi == DONE)
        return true; /* with more digits any limit is passed, any remainder is met */
    uint32_t most = upper(r, v->negative).whole;
    for (uint32_t more = 0; v->n + more <= most; more++)
        if (may_become(r, v, more))
            return true;
    return false;
}

/* ---- one more byte ---- */

static beside beside_digit(beside before, uint32_t digit, uint32_t of_limit)
{
    if (before != SAME || digit == of_limit)
        return before;
    return digit < of_limit ? LESS : MORE;
}

/* The remainder matters only modulo what the places to come cannot make up for. */
static uint64_t reduced(const number_rule *r, uint64_t rest, uint32_t places)
{
    uint64_t by = r->step;
    for (uint32_t i = 0; i < places && by > 1; i++) {
        by /= by % 2 == 0 ? 2 : 1;
        by /= by % 5 == 0 ? 5 : 1;
    }
    return rest % by;
}

static uint32_t places_left(const number_rule *r, uint32_t f)
{
    return r->places > f ? r->places - f : 0;
}

/* Drop what no longer tells states apart. */
static void forget(const number_rule *r, view *v)
{
    if (v->lo == DONE && v->hi == DONE) {
        v->negative = false; /* so the limits are not to be looked at again */
        v->n = 0;
        uint32_t most = r->stepped ? r->places : 0;
        v->f = v->f < most ? v->f : most;
        return;
    }
    uint32_t most = r->places;
    if (r->has_lo && places_of(&r->lo) > most)
        most = places_of(&r->lo);
    if (r->has_hi && places_of(&r->hi) > most)
        most = places_of(&r->hi);
    v->f = v->f <= most ? v->f : most + 1;
}

static bool read_whole(const number_rule *r, view *v, uint32_t digit)
{
    limit lo = lower(r, v->negative), hi = upper(r, v->negative);
    if (v->phase == ZERO)
        return false;
    if (v->phase != WHOLE) {
        if (hi.never)
            return false;
        v->phase = digit == 0 ? ZERO : WHOLE;
        v->lo = lo.there ? SAME : DONE;
        v->hi = hi.there ? SAME : DONE;
    }
    v->n++;
    if (v->lo != DONE) {
        v->lo = beside_digit(v->lo, digit, decimal_digit(lo.d, (int64_t)lo.whole - v->n));
        if (v->n > lo.whole || (v->n == lo.whole && v->lo == MORE))
            v->lo = DONE;
    }
    if (v->hi != DONE) {
        if (v->n > hi.whole)
            return false;
        v->hi = beside_digit(v->hi, digit, decimal_digit(hi.d, (int64_t)hi.whole - v->n));
    }
    v->rest = reduced(r, v->rest * 10 + digit, r->places);
    return true;
}

static bool read_place(const number_rule *r, view *v, uint32_t digit)
{
    if ((r->stepped && v->f >= r->places && digit != 0) ||
        (r->single && !(v->how & NUMBER_LOOSE) && v->f >= places_of(&r->lo)))
        return false;
    v->phase = PLACE;
    v->f++;
    v->nonzero = r->fraction && (v->nonzero || digit != 0);
    int64_t power = -(int64_t)v->f;
    if (v->lo == SAME)
        v->lo = beside_digit(SAME, digit, decimal_digit(lower(r, v->negative).d, power));
    if (v->hi == SAME)
        v->hi = beside_digit(SAME, digit, decimal_digit(upper(r, v->negative).d, power));
    if (v->lo == LESS || v->hi == MORE)
        return false;
    v->lo = v->lo == MORE ? DONE : v->lo;
    v->hi = v->hi == LESS ? DONE : v->hi;
    if (!r->stepped || v->f <= r->places)
        v->rest = reduced(r, v->rest * 10 + digit, places_left(r, v->f));
    return true;
}

static bool read_digit(const number_rule *r, view *v, uint32_t digit)
{
    if (v->phase >= EXP) {
        v->phase = v->phase < EXP_1 ? EXP_1 : v->phase + 1;
        return v->phase <= EXP_3;
    }
    if (v->phase >= POINT ? !read_place(r, v, digit) : !read_whole(r, v, digit))
        return false;
    forget(r, v);
    return alive(r, v);
}

static bool read_point(const number_rule *r, view *v)
{
    bool strict = !(v->how & NUMBER_LOOSE);
    if ((v->phase != ZERO && v->phase != WHOLE) || (r->integer && strict) ||
        (r->single && strict && places_of(&r->lo) == 0))
        return false;
    if (v->lo != DONE && (v->n < lower(r, v->negative).whole || v->lo == LESS))
        return false;
    if (v->hi != DONE && v->n < upper(r, v->negative).whole)
        v->hi = DONE;
    if (v->hi == MORE)
        return false;
    v->hi = v->hi == LESS ? DONE : v->hi;
    v->phase = POINT;
    v->n = 0;
    forget(r, v);
    return alive(r, v);
}

static bool read_minus(const number_rule *r, view *v)
{
    v->phase = MINUS;
    v->negative = true;
    for (uint32_t digit = 0; digit < 10; digit++) {
        view next = *v;
        if (read_digit(r, &next, digit))
            return true;
    }
    return false;
}

static bool is_value(const number_rule *r, const view *v)
{
    if (v->phase >= EXP_1)
        return true;
    if (v->phase != ZERO && v->phase != WHOLE && v->phase != PLACE)
        return false;
    if (v->rest != 0 || (r->fraction && !v->nonzero))
        return false;
    bool whole = v->phase != PLACE;
    int64_t power = whole ? 0 : -(int64_t)v->f;
    limit lo = lower(r, v->negative), hi = upper(r, v->negative);
    if (v->lo != DONE &&
        (v->lo != SAME || (whole && v->n < lo.whole) || lo.open || !ends_at(lo.d, power)))
        return false;
    if (v->hi == DONE || v->hi == LESS || (whole && v->n < hi.whole))
        return true;
    return v->hi == SAME && !(hi.open && ends_at(hi.d, power));
}

static bool read_exp(const number_rule *r, view *v)
{
    if (r->stepped || r->fraction || r->has_lo || r->has_hi || v->how ||
        v->phase >= EXP || !is_value(r, v))
        return false;
    *v = (view){.phase = EXP};
    return true;
}

static bool read_byte(const number_rule *r, view *v, uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return v->phase != NOTHING && read_digit(r, v, byte - '0');
    if (byte == '.')
        return read_point(r, v);
    if (byte == 'e' || byte == 'E')
        return read_exp(r, v);
    if (byte == '-' && v->phase == START)
        return read_minus(r, v);
    if ((byte == '-' || byte == '+') && v->phase == EXP) {
        v->phase = EXP_SIGN;
        return true;
    }
    return false;
}

number_state number_step(const number_rule *r, number_state s, uint8_t byte)
{
    view v = unpack(s);
    return read_byte(r, &v, byte) ? pack(&v) : (number_state){{0}};
}

number_state number_start(const number_rule *r, uint32_t how)
{
    view v = {.phase = r->empty ? NOTHING : START, .how = how};
    if (r->empty)
        v.how = 0;
    return pack(&v);
}

bool number_accepts(const number_rule *r, number_state s)
{
    view v = unpack(s);
    return is_value(r, &v);
}

bool number_dead(number_state s)
{
    return s.word[0] == 0;
}

/* ---- the rule ---- */

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t c = a % b;
        a = b;
        b = c;
    }
    return a;
}

/* *a times b stays below 10^18? */
static bool times(uint64_t *a, uint64_t b)
{
    if (b != 0 && *a >= UNITS_MAX / b)
        return false;
    *a *= b;
    return true;
}

/* What d is in units of 10^-places. */
static bool in_units(const decimal *d, uint32_t places, uint64_t *ret)
{
    uint64_t x = 0;
    int64_t low = -(int64_t)places;
    if (d->n == 0 || d->exp > PLACES_MAX || !ends_at(d, low))
        return false;
    for (int64_t p = d->exp - 1; p >= low; p--) {
        if (!times(&x, 10))
            return false;
        x += decimal_digit(d, p);
    }
    *ret = x;
    return true;
}

/* The least common multiple of all multiples, and of 1 for integers. */
static bool set_step(number_rule *r)
{
    uint32_t places = 0;
    for (uint32_t i = 0; i < r->n_multiples; i++)
        if (places_of(&r->multiple[i]) > places)
            places = places_of(&r->multiple[i]);
    if (places > PLACES_MAX)
        return false;
    uint64_t step = r->integer ? power_of_ten(places) : 1;
    for (uint32_t i = 0; i < r->n_multiples; i++) {
        uint64_t x;
        if (!in_units(&r->multiple[i], places, &x) || !times(&step, x / gcd(step, x)))
            return false;
    }
    for (; places > 0 && step % 10 == 0; places--)
        step /= 10;
    r->step = step;
    r->places = places;
    uint64_t one = power_of_ten(places);
    return step <= STEP_MAX && (!r->fraction || times(&step, one / gcd(step, one)));
}

static bool digits_ok(const decimal *d)
{
    return d->exp <= DIGITS_MAX && places_of(d) <= DIGITS_MAX;
}

static bool starts(const number_rule *r)
{
    for (uint8_t digit = '0'; digit <= '9'; digit++) {
        view v = {.phase = START};
        if (read_byte(r, &v, digit))
            return true;
    }
    view v = {.phase = START};
    return read_byte(r, &v, '-');
}

int number_rule_check(number_rule *r, st_err *err)
{
    r->stepped = r->integer || r->n_multiples > 0;
    r->step = 1;
    if ((r->has_lo && !digits_ok(&r->lo)) || (r->has_hi && !digits_ok(&r->hi))) {
        st_err_set(err, ST_EUNSUPPORTED, "a bound has over %d digits", DIGITS_MAX);
        st_err_hint(err, "leave the bound out");
        return ST_EUNSUPPORTED;
    }
    if (r->stepped && !set_step(r)) {
        st_err_set(err, ST_EUNSUPPORTED, "the common multiple has too many digits");
        st_err_hint(err, "multiples of at most %d digits can be held", 12);
        return ST_EUNSUPPORTED;
    }
    if (!r->stepped) {
        uint32_t lo = r->has_lo ? places_of(&r->lo) : 0;
        uint32_t hi = r->has_hi ? places_of(&r->hi) : 0;
        r->places = (lo > hi ? lo : hi) + 1;
    }
    r->single = r->has_lo && r->has_hi && decimal_cmp(&r->lo, &r->hi) == 0;
    r->empty = (r->fraction && r->stepped && r->places == 0) || !starts(r);
    return 0;
}

bool number_rule_empty(const number_rule *r)
{
    return r->empty;
}

/* Values of one sign that are multiples of step / 10^places; ENDLESS: 10^6 or more. */
#define ENDLESS (UINT64_MAX / 4)
static uint64_t count_side(const number_rule *r, bool negative, uint64_t step)
{
    limit lo = lower(r, negative), hi = upper(r, negative);
    if (hi.never)
        return 0;
    if (!hi.there)
        return ENDLESS;
    tails t = {.lo = lo.d, .lo_open = lo.open, .hi = hi.d, .hi_open = hi.open};
    t.top = (int64_t)(lo.there && lo.whole > hi.whole ? lo.whole : hi.whole) - 1;
    t.low = -(int64_t)r->places;
    units u = units_between(&t, step);
    uint64_t skip = (step - u.first) % step;
    if (!u.any || skip > u.span)
        return 0;
    return u.span == UNITS_MAX ? ENDLESS : (u.span - skip) / step + 1;
}

uint64_t number_rule_count(const number_rule *r, uint64_t most)
{
    if (r->empty)
        return 0;
    uint64_t n = r->single ? 1 : ENDLESS;
    if (r->stepped && !r->single)
        n = count_side(r, false, r->step) + count_side(r, true, r->step);
    if (r->fraction && n > 1 && n < ENDLESS) { /* less the integers among them */
        uint64_t one = power_of_ten(r->places);
        uint64_t whole = r->step * (one / gcd(r->step, one));
        n -= count_side(r, false, whole) + count_side(r, true, whole);
    }
    return n < most ? n : most;
}

bool number_rule_takes(const number_rule *r, const decimal *value)
{
    int lo = r->has_lo ? decimal_cmp(value, &r->lo) : 1;
    int hi = r->has_hi ? decimal_cmp(value, &r->hi) : -1;
    if (lo < 0 || (lo == 0 && r->lo_open) || hi > 0 || (hi == 0 && r->hi_open))
        return false;
    bool whole = decimal_is_integer(value);
    if ((r->integer && !whole) || (r->fraction && whole))
        return false;
    for (uint32_t i = 0; i < r->n_multiples; i++) {
        bool sure;
        if (!decimal_is_multiple(value, &r->multiple[i], &sure))
            return false;
    }
    return true;
}
