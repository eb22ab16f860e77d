/* tests/test_number.c - numbers digit by digit against whole numbers of thousandths, and
 * against decimal arithmetic where they pass 64 bits. */
#include "grammar/number.h"

#include "base/rng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static decimal dec(const char *text)
{
    decimal d;
    assert_true(decimal_read(text, (uint32_t)strlen(text), &d));
    return d;
}

/* "[1,3.5)" with '(' and ')' for open ends and nothing for none; then multiples. */
static number_rule rule_of(bool integer, const char *lo, bool lo_open, const char *hi,
                           bool hi_open, const char *multiple)
{
    number_rule r = {.integer = integer, .lo_open = lo_open, .hi_open = hi_open};
    r.has_lo = lo != NULL;
    r.has_hi = hi != NULL;
    if (lo)
        r.lo = dec(lo);
    if (hi)
        r.hi = dec(hi);
    if (multiple)
        r.multiple[r.n_multiples++] = dec(multiple);
    assert_int_equal(number_rule_check(&r, NULL), 0);
    return r;
}

static number_state run(const number_rule *r, const char *text)
{
    number_state s = number_start(r, 0);
    for (; *text && !number_dead(s); text++)
        s = number_step(r, s, (uint8_t)*text);
    return s;
}

static bool accepts(const number_rule *r, const char *text)
{
    number_state s = run(r, text);
    return !number_dead(s) && number_accepts(r, s);
}

static bool begins(const number_rule *r, const char *text)
{
    return !number_dead(run(r, text));
}

static void same(number_rule r, const char *a, const char *b)
{
    number_state s = run(&r, a), t = run(&r, b);
    assert_memory_equal(&s, &t, sizeof s);
}

static void texts_of_free_numbers(void **state)
{
    (void)state;
    number_rule r = rule_of(false, NULL, 0, NULL, 0, NULL);
    const char *good[] = {
        "0",   "-1",   "10",      "0.5",   "-0.50",
        "1e5", "1E+5", "-2.5e-7", "1e999", "123456789012345678901234567890"};
    const char *bad[] = {"",   "-",  "00",  "01",   "-0",     "-0.0", "1.",  ".5",
                         "+1", "1e", "1e+", "1e1e", "1e1000", "1.e5", "-0e5"};
    const char *dead[] = {"00",   "01", ".",      "+",  "1..",
                          "1.2.", "-.", "1e1000", "-e", "1ee"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(accepts(&r, good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(accepts(&r, bad[i]));
    for (size_t i = 0; i < sizeof dead / sizeof *dead; i++)
        assert_false(begins(&r, dead[i]));
    number_rule n = rule_of(true, NULL, 0, NULL, 0, NULL);
    assert_true(accepts(&n, "-123456789012345678901234567890"));
    assert_true(accepts(&n, "0"));
    assert_false(begins(&n, "1."));
    assert_false(begins(&n, "1e"));
    assert_false(begins(&n, "-0"));
}

static void bounds_and_multiples(void **state)
{
    (void)state;
    number_rule none = rule_of(false, "3", 0, "5", 0, "7");
    assert_true(number_rule_empty(&none));
    assert_true(number_dead(number_start(&none, 0)));
    assert_int_equal(number_rule_count(&none, 10), 0);
    number_rule one =
        rule_of(false, "0.30000000000000004", 0, "0.30000000000000004", 0, NULL);
    assert_true(accepts(&one, "0.30000000000000004"));
    assert_false(begins(&one, "0.300000000000000040"));
    assert_false(begins(&one, "0.30000000000000005"));
    assert_false(begins(&one, "0.300000000000000001"));
    assert_false(begins(&one, "1"));
    assert_int_equal(number_rule_count(&one, 10), 1);
    number_rule big = rule_of(true, "123456789012345678901234567890", 1,
                              "123456789012345678901234567892", 1, NULL);
    assert_true(accepts(&big, "123456789012345678901234567891"));
    assert_int_equal(number_rule_count(&big, 10), 1);
    const char *text = "123456789012345678901234567891";
    number_state s = number_start(&big, 0);
    for (; *text; text++)
        for (uint8_t c = 0; c < 255; c++)
            if (c == (uint8_t)*text) {
                s = number_step(&big, s, c);
                break;
            } else {
                assert_true(number_dead(number_step(&big, s, c)));
            }
    number_rule cents = rule_of(false, "0", 1, "2", 1, "0.01");
    assert_true(accepts(&cents, "1.99"));
    assert_true(accepts(&cents, "1.9900"));
    assert_false(begins(&cents, "1.991"));
    assert_false(accepts(&cents, "0.00"));
    assert_false(begins(&cents, "2"));
    assert_int_equal(number_rule_count(&cents, 1000), 199);
    number_rule above = rule_of(false, "1.3", 1, "1.4", 1, NULL);
    assert_false(accepts(&above, "1.30"));
    assert_true(accepts(&above, "1.3001"));
    assert_false(begins(&above, "1.4"));
    number_rule zero = rule_of(false, "-0.0", 0, "0", 0, NULL);
    assert_true(accepts(&zero, "0"));
    assert_false(begins(&zero, "-"));
    assert_false(begins(&zero, "0."));
}

static void few_states(void **state)
{
    (void)state;
    same(rule_of(true, NULL, 0, NULL, 0, NULL), "12", "-34567");
    same(rule_of(false, "5", 0, NULL, 0, NULL), "12", "34567");
    same(rule_of(false, "0", 0, "1000", 0, NULL), "12", "34");
    same(rule_of(false, "0", 0, "1000", 0, NULL), "12.5", "340.123");
    same(rule_of(true, NULL, 0, NULL, 0, "7"), "12", "19");
    same(rule_of(false, NULL, 0, NULL, 0, "0.25"), "1", "222");
    same(rule_of(false, NULL, 0, NULL, 0, "0.01"), "1.00", "-3.450000");
    same(rule_of(false, NULL, 0, NULL, 0, NULL), "1.5", "-0.01");
}

static bool accepts_as(const number_rule *r, uint32_t how, const char *text)
{
    number_state s = number_start(r, how);
    for (; *text && !number_dead(s); text++)
        s = number_step(r, s, (uint8_t)*text);
    return !number_dead(s) && number_accepts(r, s);
}

static void other_ways_to_write(void **state)
{
    (void)state;
    number_rule free = rule_of(false, NULL, 0, NULL, 0, NULL);
    assert_false(accepts_as(&free, NUMBER_PLAIN, "1e5"));
    assert_true(accepts_as(&free, NUMBER_PLAIN, "1.50"));
    number_rule whole = rule_of(true, NULL, 0, NULL, 0, NULL);
    assert_true(accepts_as(&whole, NUMBER_LOOSE, "-12.000"));
    assert_false(accepts_as(&whole, NUMBER_LOOSE, "-12.0001"));
    assert_false(accepts_as(&whole, NUMBER_LOOSE, "-0.0"));
    number_rule one = rule_of(false, "1.5", 0, "1.5", 0, NULL);
    assert_true(accepts_as(&one, NUMBER_LOOSE, "1.500"));
    assert_false(accepts_as(&one, NUMBER_LOOSE, "1.501"));
    number_rule five = rule_of(true, "5", 0, "5", 0, NULL);
    assert_true(accepts_as(&five, NUMBER_LOOSE, "5.0"));
    assert_false(accepts_as(&five, 0, "5.0"));
}

static void refused(void **state)
{
    (void)state;
    number_rule r = {.n_multiples = 2,
                     .multiple = {dec("999999999989"), dec("999999999961")}};
    st_err err = {0};
    assert_int_equal(number_rule_check(&r, &err), ST_EUNSUPPORTED);
    assert_true(err.hint[0] != 0);
    number_rule far = {.has_hi = true, .hi = dec("1e5000")};
    assert_int_equal(number_rule_check(&far, NULL), ST_EUNSUPPORTED);
    number_rule near = {.has_lo = true, .lo = dec("1e-5000")};
    assert_int_equal(number_rule_check(&near, NULL), ST_EUNSUPPORTED);
    number_rule tiny = {.n_multiples = 1, .multiple = {dec("1e-18")}};
    assert_int_equal(number_rule_check(&tiny, NULL), ST_EUNSUPPORTED);
    number_rule fine = {
        .integer = true, .n_multiples = 1, .multiple = {dec("0.123456789")}};
    assert_int_equal(number_rule_check(&fine, NULL), 0);
    assert_true(accepts(&fine, "246913578"));
    assert_false(accepts(&fine, "246913579"));
}

/* ---- thousandths ---- */

typedef struct plain {
    number_rule rule;
    char text[4][16];
    int64_t lo, hi, multiple; /* thousandths */
} plain;

static bool plain_takes(const plain *p, int64_t v)
{
    const number_rule *r = &p->rule;
    if (r->has_lo && (r->lo_open ? v <= p->lo : v < p->lo))
        return false;
    if (r->has_hi && (r->hi_open ? v >= p->hi : v > p->hi))
        return false;
    if ((r->integer && v % 1000) || (r->fraction && v % 1000 == 0))
        return false;
    return r->n_multiples == 0 || v % p->multiple == 0;
}

/* No number of this sign is further from 0, in thousandths. */
static int64_t farthest(const plain *p, bool minus)
{
    bool there = minus ? p->rule.has_lo : p->rule.has_hi;
    int64_t most = minus ? -p->lo : p->hi;
    return !there ? INT64_MAX : most;
}

/* Is there a value that is written with this beginning?  Three more digits before the
 * point are tried. */
static bool plain_begins(const plain *p, const char *text)
{
    bool minus = *text == '-';
    text += minus;
    const char *point = strchr(text, '.');
    size_t n = point ? (size_t)(point - text) : strlen(text);
    int64_t whole = 0, part = 0, unit = 1000;
    for (size_t i = 0; i < n; i++)
        whole = whole * 10 + (text[i] - '0');
    for (size_t i = 1; point && point[i]; i++) {
        unit /= 10;
        part += (point[i] - '0') * unit;
    }
    if (point && p->rule.integer)
        return false;
    size_t more = point || (n == 1 && *text == '0') ? 0 : n == 0 ? 4 : 3;
    int64_t first = whole, last = whole, far = farthest(p, minus);
    for (size_t i = 0; i <= more; i++, first *= 10, last = last * 10 + 9)
        for (int64_t w = first; w <= last && w * 1000 <= far; w++)
            for (int64_t v = w * 1000 + part; v < w * 1000 + part + unit; v++)
                if (plain_takes(p, minus ? -v : v) && !(minus && v == 0))
                    return true;
    return false;
}

static int64_t between(st_rng *rng, int64_t lo, int64_t hi)
{
    return lo + (int64_t)st_rng_below(rng, (uint32_t)(hi - lo + 1));
}

static plain random_plain(st_rng *rng)
{
    static const int64_t steps[] = {10,  20,   50,   250, 500,   1000, 1500,
                                    700, 7000, 3000, 90,  12000, 40,   110};
    plain p = {.multiple = 1};
    number_rule *r = &p.rule;
    r->integer = between(rng, 0, 2) == 0;
    r->fraction = !r->integer && between(rng, 0, 4) == 0;
    r->has_lo = between(rng, 0, 2) > 0;
    r->has_hi = between(rng, 0, 2) > 0;
    r->lo_open = between(rng, 0, 1);
    r->hi_open = between(rng, 0, 1);
    int64_t wide = between(rng, 0, 1) ? 2000 : 30;
    int64_t lo = between(rng, -wide, wide);
    int64_t hi = lo + between(rng, 0, between(rng, 0, 1) ? 6 : 400);
    int64_t unit = between(rng, 0, 1) ? 100 : 10;
    p.lo = lo * unit;
    p.hi = hi * unit;
    p.multiple = steps[st_rng_below(rng, sizeof steps / sizeof *steps)];
    r->n_multiples = st_rng_below(rng, 2);
    return p;
}

/* The texts are the caller's: the rule borrows them. */
static void plain_ready(plain *p)
{
    const int64_t value[3] = {p->lo, p->hi, p->multiple};
    decimal *to[3] = {&p->rule.lo, &p->rule.hi, &p->rule.multiple[0]};
    for (int i = 0; i < 3; i++) {
        snprintf(p->text[i], sizeof p->text[i], "%s%d.%03d", value[i] < 0 ? "-" : "",
                 abs((int)value[i]) / 1000, abs((int)value[i]) % 1000);
        *to[i] = dec(p->text[i]);
    }
    assert_int_equal(number_rule_check(&p->rule, NULL), 0);
}

static int64_t thousandths(const char *text)
{
    return (int64_t)(strtod(text, NULL) * 1000 + (*text == '-' ? -0.5 : 0.5));
}

static void check_text(const plain *p, const char *text)
{
    const number_rule *r = &p->rule;
    bool alive = !number_dead(run(r, text));
    bool value = text[0] && text[strlen(text) - 1] != '.' && strcmp(text, "-") != 0;
    if (value && (strcmp(text, "-0") == 0 || strncmp(text, "-0.", 3) == 0))
        value = strpbrk(text, "123456789") != NULL;
    bool good = value && !(r->integer && strchr(text, '.'));
    decimal d;
    if (value) {
        d = dec(text);
        good = good && number_rule_takes(r, &d);
        assert_int_equal(number_rule_takes(r, &d), plain_takes(p, thousandths(text)));
    }
    if (alive != plain_begins(p, text) || accepts(r, text) != good)
        fail_msg("'%s' of %s%s %c%s %s%c multiple %s: alive %d, accepted %d", text,
                 r->integer ? "integer" : "", r->fraction ? "fraction" : "",
                 r->lo_open ? '(' : '[', r->has_lo ? p->text[0] : "",
                 r->has_hi ? p->text[1] : "", r->hi_open ? ')' : ']',
                 r->n_multiples ? p->text[2] : "", alive, accepts(r, text));
}

/* Every text one byte longer than a living one, up to two places. */
static void dead_exactly_when_nothing_begins_so(void **state)
{
    (void)state;
    st_rng rng = {7};
    for (int round = 0; round < 1500; round++) {
        plain p = random_plain(&rng);
        plain_ready(&p);
        if (p.rule.single)
            continue; /* has no superfluous zeros: see singles */
        char text[16] = "";
        for (size_t n = 0; n < 7; n++) {
            char alive[16];
            uint32_t n_alive = 0;
            for (const char *c = n ? ".0123456789" : "-0123456789"; *c; c++) {
                text[n] = *c;
                text[n + 1] = 0;
                const char *point = strchr(text, '.');
                if (text[n] == '.' && (point != text + n || text[n - 1] == '-'))
                    continue;
                if (strncmp(text + (*text == '-'), "0", 1) == 0 && n > (*text == '-') &&
                    text[1 + (*text == '-')] != '.')
                    continue;
                if (point && text + n - point > 2)
                    continue;
                check_text(&p, text);
                if (begins(&p.rule, text))
                    alive[n_alive++] = *c;
            }
            if (n_alive == 0)
                break;
            text[n] = alive[st_rng_below(&rng, n_alive)];
            text[n + 1] = 0;
        }
    }
}

static void counts(void **state)
{
    (void)state;
    st_rng rng = {3};
    for (int round = 0; round < 3000; round++) {
        plain p = random_plain(&rng);
        plain_ready(&p);
        const number_rule *r = &p.rule;
        uint64_t n = 0;
        for (int64_t v = p.lo - 1000; v <= p.hi + 1000; v++)
            n += plain_takes(&p, v);
        uint64_t most = 100000;
        if (!r->stepped && n > 0 && !r->single)
            n = most;
        if (!r->has_lo || !r->has_hi)
            n = r->empty ? 0 : most;
        assert_int_equal(number_rule_count(r, most), n);
        assert_int_equal(number_rule_empty(r), n == 0);
    }
}

static void singles(void **state)
{
    (void)state;
    st_rng rng = {5};
    for (int round = 0; round < 500; round++) {
        plain p = random_plain(&rng);
        p.hi = p.lo;
        p.rule.has_lo = p.rule.has_hi = true;
        p.rule.lo_open = p.rule.hi_open = false;
        plain_ready(&p);
        if (p.rule.empty) {
            assert_false(plain_takes(&p, p.lo));
            continue;
        }
        st_buf text;
        st_buf_init(&text, 100);
        decimal_write(&p.rule.lo, &text);
        number_state s = number_start(&p.rule, 0);
        for (size_t i = 0; i <= text.len; i++) {
            assert_int_equal(number_accepts(&p.rule, s), i == text.len);
            number_state next = {{0}};
            for (int c = 1; c < 256; c++) { /* one way on */
                number_state t = number_step(&p.rule, s, (uint8_t)c);
                assert_int_equal(number_dead(t), i == text.len || c != text.data[i]);
                next = number_dead(t) ? next : t;
            }
            s = next;
        }
        st_buf_done(&text);
    }
}

/* ---- beyond 64 bits ---- */

static void random_digits(st_rng *rng, char *text, size_t whole, size_t places)
{
    size_t n = 0;
    if (st_rng_below(rng, 3) == 0)
        text[n++] = '-';
    for (size_t i = 0; i < whole; i++)
        text[n++] = (char)('0' + (i ? 0 : 1) + st_rng_below(rng, i ? 10 : 9));
    if (places)
        text[n++] = '.';
    for (size_t i = 0; i < places; i++)
        text[n++] = (char)('0' + st_rng_below(rng, 10));
    text[n] = 0;
}

/* From a living state something accepted is reached: any living byte at random, ending as
 * soon as it may end. */
static void finish(st_rng *rng, const number_rule *r, number_state s, char *text,
                   size_t n)
{
    for (int steps = 0; !number_accepts(r, s); steps++) {
        assert_true(steps < 200 && n < 255);
        number_state next[16];
        char byte[16];
        uint32_t n_next = 0;
        for (const char *c = "-.0123456789"; *c; c++) {
            number_state t = number_step(r, s, (uint8_t)*c);
            if (!number_dead(t) && (*c != '.' || n_next == 0)) {
                byte[n_next] = *c;
                next[n_next++] = t;
            }
        }
        assert_true(n_next > 0);
        uint32_t pick = st_rng_below(rng, n_next);
        text[n++] = byte[pick];
        s = next[pick];
    }
    text[n] = 0;
    decimal d = dec(text);
    assert_true(number_rule_takes(r, &d));
}

static void long_numbers(void **state)
{
    (void)state;
    st_rng rng = {11};
    for (int round = 0; round < 2000; round++) {
        char lo[64], hi[64], text[256];
        size_t whole = 1 + st_rng_below(&rng, 30), places = st_rng_below(&rng, 20);
        random_digits(&rng, lo, whole, places);
        memcpy(hi, lo, sizeof hi);
        size_t from = st_rng_below(&rng, (uint32_t)strlen(hi)), len = strlen(hi);
        for (size_t i = from; i < len; i++)
            if (hi[i] >= '0' && i > 1)
                hi[i] = (char)('0' + st_rng_below(&rng, 10));
        decimal a = dec(lo), b = dec(hi);
        bool swap = decimal_cmp(&a, &b) > 0;
        const char *steps[] = {NULL, "7", "0.01", "123457", "0.0625", "1000003"};
        number_rule r =
            rule_of(st_rng_below(&rng, 2), swap ? hi : lo, st_rng_below(&rng, 2),
                    swap ? lo : hi, st_rng_below(&rng, 2), steps[st_rng_below(&rng, 6)]);
        decimal d = dec(hi);
        bool common = !r.single && (!r.integer || !strchr(hi, '.'));
        assert_int_equal(accepts(&r, hi) && common, number_rule_takes(&r, &d) && common);
        if (r.empty) {
            assert_false(number_rule_takes(&r, &d));
            continue;
        }
        number_state s = number_start(&r, 0);
        size_t n = 0;
        for (; lo[n]; n++) { /* along the limit, then off it */
            number_state t = number_step(&r, s, (uint8_t)lo[n]);
            if (number_dead(t))
                break;
            text[n] = lo[n];
            s = t;
            if (st_rng_below(&rng, 10) == 0) {
                n++;
                break;
            }
        }
        finish(&rng, &r, s, text, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_free_numbers),
        cmocka_unit_test(bounds_and_multiples),
        cmocka_unit_test(few_states),
        cmocka_unit_test(other_ways_to_write),
        cmocka_unit_test(refused),
        cmocka_unit_test(dead_exactly_when_nothing_begins_so),
        cmocka_unit_test(counts),
        cmocka_unit_test(singles),
        cmocka_unit_test(long_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
