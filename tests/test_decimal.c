/* tests/test_decimal.c - numbers of JSON: reading, order, multiples, writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "grammar/decimal.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static decimal of(const char *text)
{
    decimal d;
    assert_true(decimal_read(text, (uint32_t)strlen(text), &d));
    return d;
}

static void test_read(void **state)
{
    static const struct {
        const char *text, *written;
    } rows[] = {
        {"0", "0"},
        {"-0", "0"},
        {"0.0", "0"},
        {"-0.000e5", "0"},
        {"0e-999999999", "0"},
        {"1", "1"},
        {"1.0", "1"},
        {"1e0", "1"},
        {"1E+0", "1"},
        {"10e-1", "1"},
        {"0.1e1", "1"},
        {"-100", "-100"},
        {"1e2", "100"},
        {"0.01e4", "100"},
        {"0.001", "0.001"},
        {"1e-3", "0.001"},
        {"12.50", "12.5"},
        {"0012.5e0", "12.5"}, /* no JSON, but harmless */
        {"120.0340e1", "1200.34"},
        {"-120.0340e-4", "-0.0120034"},
        {"3.14159", "3.14159"},
        {"90071992547409931234567890.000000000000000001",
         "90071992547409931234567890.000000000000000001"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        st_buf out;
        st_buf_init(&out, 1 << 16);
        decimal d = of(rows[i].text);
        decimal_write(&d, &out);
        assert_int_equal(out.code, 0);
        assert_string_equal(out.data, rows[i].written);
        decimal again = of(out.data);
        assert_int_equal(decimal_cmp(&d, &again), 0);
        st_buf_done(&out);
    }
}

static void test_exponents_have_a_bound(void **state)
{
    decimal d;
    (void)state;
    assert_true(decimal_read("1e1000000000", 12, &d));
    assert_true(decimal_read("1e-1000000000", 13, &d));
    assert_false(decimal_read("1e1000000001", 12, &d));
    assert_false(decimal_read("1e-99999999999999999999999999", 29, &d));
    assert_true(decimal_read("1e00000000000000000000000001", 28, &d));
    assert_int_equal(d.exp, 2);
}

/* Every pair of a rising list, both ways round. */
static void test_order(void **state)
{
    static const char *const rising[] = {
        "-1e999999999", "-1e400",   "-100.5", "-100",  "-99.99", "-1.1",   "-1",
        "-0.5",         "-0.05",    "-1e-9",  "0",     "1e-999", "1e-9",   "0.05",
        "0.5",          "0.500001", "0.51",   "1",     "1.0001", "1.1",    "9",
        "10",           "99.99",    "100",    "100.5", "1e400",  "1.1e400"};
    enum { N = sizeof rising / sizeof *rising };
    (void)state;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            decimal a = of(rising[i]), b = of(rising[j]);
            int c = decimal_cmp(&a, &b);
            assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
        }
    }
}

static void test_digits(void **state)
{
    decimal d = of("-120.0340e1"); /* 1200.34 */
    static const struct {
        int power;
        uint32_t digit;
    } rows[] = {{4, 0}, {3, 1}, {2, 2}, {1, 0}, {0, 0}, {-1, 3}, {-2, 4}, {-3, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(decimal_digit(&d, rows[i].power), rows[i].digit);
    assert_int_equal(decimal_digit(&d, INT64_C(5000000000)), 0);
    assert_int_equal(decimal_digit(&d, -INT64_C(5000000000)), 0);
}

static void test_integers(void **state)
{
    (void)state;
    for (const char *const *p =
             (const char *const[]){"0", "1", "1.0", "-3", "1e2", "1.5e1", "1e400", NULL};
         *p; p++) {
        decimal d = of(*p);
        assert_true(decimal_is_integer(&d));
    }
    for (const char *const *p =
             (const char *const[]){"0.5", "1e-1", "15e-1", "1.0000001", NULL};
         *p; p++) {
        decimal d = of(*p);
        assert_false(decimal_is_integer(&d));
    }
}

static bool is_multiple(const char *a, const char *b)
{
    bool sure;
    decimal x = of(a), y = of(b);
    bool is = decimal_is_multiple(&x, &y, &sure);
    assert_true(sure);
    return is;
}

static void test_multiples(void **state)
{
    (void)state;
    assert_true(is_multiple("0", "7"));
    assert_true(is_multiple("21", "7"));
    assert_true(is_multiple("-21", "7"));
    assert_false(is_multiple("22", "7"));
    assert_true(is_multiple("0.0075", "0.0001"));
    assert_false(is_multiple("0.00751", "0.0001"));
    assert_true(is_multiple("19.99", "0.01")); /* where binary floats fail */
    assert_true(is_multiple("1e308", "0.5"));
    assert_true(is_multiple("12391239123", "1e-8"));
    assert_false(is_multiple("1e308", "0.123456789"));
    assert_true(is_multiple("1e22", "10000000000000000000000"));
    assert_true(is_multiple("4.5", "1.5"));
    assert_false(is_multiple("35", "1.5"));
    assert_true(is_multiple("1e4000", "1e-50"));
    assert_false(is_multiple("100", "1e3"));
}

/* Over 18 digits another way is taken: a * b is a multiple of both, and one more is not.
 */
static void test_long_divisors(void **state)
{
    (void)state;
    /* 12345678901234567891 * 98765432109876543211 */
    const char *product = "1219326311370217952348574912122374638001";
    assert_true(is_multiple(product, "12345678901234567891"));
    assert_true(is_multiple(product, "98765432109876543211"));
    assert_false(
        is_multiple("1219326311370217952348574912122374638002", "12345678901234567891"));
    assert_true(is_multiple("1219326311370217952348574912122374638001e700",
                            "12345678901234567891"));
    assert_false(is_multiple("12345678901234567890", "12345678901234567891"));
}

static void test_too_long_to_divide(void **state)
{
    bool sure = true;
    decimal a = of("1e5000"), three = of("3"), one = of("1e-3");
    (void)state;
    assert_false(decimal_is_multiple(&a, &three, &sure));
    assert_false(sure);
    assert_true(decimal_is_multiple(&a, &one, &sure)); /* nothing to divide */
    assert_true(sure);
}

/* Small integers against the processor, with the '.' and the exponent anywhere. */
static void test_against_machine_numbers(void **state)
{
    st_rng rng = {.state = 7};
    (void)state;
    for (int i = 0; i < 20000; i++) {
        int64_t x = (int64_t)(st_rng_u64(&rng) % 20001) - 10000;
        int64_t y = (int64_t)(st_rng_u64(&rng) % 60) + 1;
        int move = (int)(st_rng_u64(&rng) % 9) - 4;
        char a[64], b[64], plain[64];
        snprintf(a, sizeof a, "%lld.00e%d", (long long)x, move);
        snprintf(b, sizeof b, "%llde%d", (long long)y, move);
        assert_int_equal(is_multiple(a, b), x % y == 0);
        decimal da = of(a), db = of(b);
        int c = decimal_cmp(&da, &db);
        assert_int_equal((c > 0) - (c < 0), (x > y) - (x < y));
        snprintf(plain, sizeof plain, "%.6f", (double)x * pow(10, move));
        decimal dp = of(plain);
        assert_int_equal(decimal_cmp(&da, &dp), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_exponents_have_a_bound),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_digits),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_multiples),
        cmocka_unit_test(test_long_divisors),
        cmocka_unit_test(test_too_long_to_divide),
        cmocka_unit_test(test_against_machine_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
