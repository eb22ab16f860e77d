/* tests/test_dfa.c - automata against the plain meaning of what they were made from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "grammar/dfa.h"
#include "grammar/dfa_automaton.h"
#include "grammar/text.h"
#include "tests/fault.h"
#include <stdio.h>
#include <string.h>

static bool accepts(const dfa *d, const char *text, size_t len)
{
    return d->label[dfa_run(d, d->start, text, len)] != 0;
}

/* What dfa.h promises of every automaton. */
static void check_form(const dfa *d)
{
    uint8_t *seen = st_zalloc_n(d->n_states, 1);
    assert_non_null(seen);
    assert_int_equal(d->start, d->n_states > 1);
    assert_int_equal(d->label[0], 0);
    for (uint32_t c = 0; c < d->n_classes; c++)
        assert_int_equal(d->next[c], 0);
    for (uint32_t s = 1; s < d->n_states; s++) {
        for (uint32_t c = 0; c < d->n_classes; c++) {
            uint32_t to = d->next[(size_t)s * d->n_classes + c];
            assert_true(to < d->n_states);
            if (s < to)
                seen[to] = 1;
        }
    }
    for (uint32_t s = 2; s < d->n_states; s++)
        assert_true(seen[s]);
    /* From every state a text is accepted. */
    memset(seen, 0, d->n_states);
    for (bool again = true; again;) {
        again = false;
        for (uint32_t s = d->n_states; s-- > 1;) {
            bool living = d->label[s] != 0;
            for (uint32_t c = 0; c < d->n_classes; c++)
                living = living || seen[d->next[(size_t)s * d->n_classes + c]];
            again = again || living != (bool)seen[s];
            seen[s] = living;
        }
    }
    for (uint32_t s = 1; s < d->n_states; s++)
        assert_true(seen[s]);
    st_free(seen);
}

static dfa *of_texts(const char *const *texts, uint32_t n)
{
    size_t lens[64];
    dfa *d = NULL;
    assert_true(n <= 64);
    for (uint32_t i = 0; i < n; i++)
        lens[i] = strlen(texts[i]);
    assert_int_equal(dfa_texts(texts, lens, n, &d, NULL), 0);
    check_form(d);
    return d;
}

static void test_any(void **state)
{
    (void)state;
    dfa *d;
    assert_int_equal(dfa_any(&d, NULL), 0);
    check_form(d);
    assert_int_equal(d->n_states, 9);
    assert_int_equal(dfa_count(d, 1000), 1000);
    st_rng rng = {1};
    static const uint8_t edges[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                    0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE,
                                    0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    uint32_t accepted = 0;
    for (int i = 0; i < 200000; i++) {
        char text[5];
        size_t len = st_rng_below(&rng, 6);
        for (size_t k = 0; k < len; k++)
            text[k] = (char)edges[st_rng_below(&rng, sizeof edges)];
        bool valid = st_utf8_valid(text, len, NULL);
        assert_int_equal(accepts(d, text, len), valid);
        accepted += valid;
    }
    assert_true(accepted > 1000);
    dfa_free(d);
}

static void test_plain(void **state)
{
    (void)state;
    dfa *d;
    uint8_t open[16];
    assert_int_equal(dfa_plain(&d, NULL), 0);
    check_form(d);
    assert_true(d->n_states <= sizeof open);
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char text[4];
        bool control = c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029;
        if (c >= 0xD800 && c < 0xE000)
            continue;
        size_t len = st_utf8_encode(c, text);
        if (accepts(d, text, len) != (!control && c != '"' && c != '\\'))
            fail_msg("U+%04X", c);
    }
    assert_false(accepts(d, "\xED\xA0\x80", 3));
    assert_int_equal(dfa_open(d, open, NULL), 0);
    assert_int_equal(open[d->start], DFA_LOOPS);
    assert_int_equal(open[dfa_run(d, d->start, "\xE2", 1)], 0);
    dfa_free(d);
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const words[] = {"stop", "top", "stopp",
                                        "tops", "",    "\xC3\xA9t\xC3\xA9"};
    dfa *d = of_texts(words, 6);
    for (size_t i = 0; i < 6; i++)
        assert_true(accepts(d, words[i], strlen(words[i])));
    assert_false(accepts(d, "sto", 3));
    assert_false(accepts(d, "stops", 5));
    assert_false(accepts(d, "top\0", 4));
    assert_int_equal(dfa_count(d, 100), 6);
    assert_int_equal(dfa_count(d, 6), 6);
    assert_int_equal(dfa_count(d, 5), 5);
    assert_int_equal(dfa_count(d, 0), 0);
    dfa_free(d);
    /* Common ends are shared. */
    static const char *const ends[] = {"aing", "bing", "cing"};
    d = of_texts(ends, 3);
    assert_int_equal(d->n_states, 1 + 5);
    dfa_free(d);
    d = of_texts(NULL, 0);
    assert_int_equal(d->start, DFA_DEAD);
    assert_int_equal(dfa_count(d, 9), 0);
    dfa_free(d);
    const char *bad[] = {"fine", "\xFF"};
    size_t lens[] = {4, 1};
    st_err err = {0};
    d = NULL;
    assert_int_equal(dfa_texts(bad, lens, 2, &d, &err), ST_EINVAL);
    assert_null(d);
    assert_non_null(strstr(err.message, "text 2"));
}

/* A language of texts over {a, b, é} of up to 4 characters, as bits; texts are numbered.
 */
enum { N_TEXTS = 1 + 3 + 9 + 27 + 81 };

static size_t text_number(uint32_t number, char *text)
{
    static const char *const letters[] = {"a", "b", "\xC3\xA9"};
    uint32_t n = 1, len = 0;
    for (; number >= n; n *= 3, len++)
        number -= n;
    size_t at = 0;
    for (uint32_t i = 0; i < len; i++, number /= 3) {
        const char *letter = letters[number % 3];
        memcpy(text + at, letter, strlen(letter));
        at += strlen(letter);
    }
    return at;
}

static dfa *random_language(st_rng *rng, bool *in)
{
    static char texts[N_TEXTS][8];
    const char *list[N_TEXTS];
    size_t lens[N_TEXTS];
    uint32_t n = 0, share = 1 + st_rng_below(rng, 40);
    dfa *d = NULL;
    for (uint32_t i = 0; i < N_TEXTS; i++) {
        in[i] = st_rng_below(rng, share) == 0;
        if (!in[i])
            continue;
        lens[n] = text_number(i, texts[n]);
        list[n] = texts[n];
        n++;
    }
    assert_int_equal(dfa_texts(list, lens, n, &d, NULL), 0);
    check_form(d);
    return d;
}

/* Not in `out`, where only the numbered texts are looked at. */
static void test_sets(void **state)
{
    (void)state;
    st_rng rng = {2};
    for (int round = 0; round < 60; round++) {
        bool in[4][N_TEXTS];
        dfa *d[4], *meet, *join, *back;
        for (int i = 0; i < 4; i++)
            d[i] = random_language(&rng, in[i]);
        uint32_t n_in = st_rng_below(&rng, 3), n_out = st_rng_below(&rng, 3);
        const dfa *const *parts = (const dfa *const *)d;
        assert_int_equal(dfa_meet(parts, n_in, parts + 2, n_out, &meet, NULL), 0);
        assert_int_equal(dfa_join(parts, 4, &join, NULL), 0);
        check_form(meet);
        check_form(join);
        uint32_t n_join = 0;
        for (uint32_t i = 0; i < N_TEXTS; i++) {
            char text[8];
            size_t len = text_number(i, text);
            bool want = true, any = false;
            for (uint32_t k = 0; k < 4; k++)
                any = any || in[k][i];
            for (uint32_t k = 0; k < n_in; k++)
                want = want && in[k][i];
            for (uint32_t k = 0; k < n_out; k++)
                want = want && !in[2 + k][i];
            assert_int_equal(accepts(meet, text, len), want);
            assert_int_equal(accepts(join, text, len), any);
            n_join += any;
        }
        assert_int_equal(dfa_count(join, N_TEXTS), n_join);
        /* Not not is the same automaton: minimal and numbered alike. */
        const dfa *one = join;
        dfa *no;
        assert_int_equal(dfa_meet(NULL, 0, &one, 1, &no, NULL), 0);
        check_form(no);
        assert_int_equal(accepts(no, "zz", 2), 1);
        assert_int_equal(accepts(no, "\xFF", 1), 0);
        const dfa *not_one = no;
        assert_int_equal(dfa_meet(NULL, 0, &not_one, 1, &back, NULL), 0);
        assert_int_equal(back->n_states, join->n_states);
        assert_int_equal(dfa_count(back, 1 << 20), n_join);
        dfa_free(back);
        dfa_free(no);
        dfa_free(meet);
        dfa_free(join);
        for (int i = 0; i < 4; i++)
            dfa_free(d[i]);
    }
    dfa *none;
    assert_int_equal(dfa_join(NULL, 0, &none, NULL), 0);
    assert_int_equal(none->start, DFA_DEAD);
    dfa_free(none);
}

static void check_labels(const dfa *d, const dfa_label *labels, uint32_t n_labels,
                         const char *text, size_t len, bool within, int32_t name,
                         uint64_t parts)
{
    uint32_t label = d->label[dfa_run(d, d->start, text, len)];
    assert_true(label <= n_labels);
    assert_int_equal(label != 0, within);
    if (!within)
        return;
    assert_int_equal(labels[label - 1].name, name);
    assert_true(labels[label - 1].parts == parts);
}

static void test_labels(void **state)
{
    (void)state;
    st_rng rng = {3};
    for (int round = 0; round < 60; round++) {
        bool in[3][N_TEXTS];
        dfa *d[3], *all;
        dfa_label *labels;
        uint32_t n_labels, n_names = 0;
        char texts[N_TEXTS][8];
        const char *names[N_TEXTS];
        size_t lens[N_TEXTS];
        int32_t name_of[N_TEXTS];
        for (int i = 0; i < 3; i++)
            d[i] = random_language(&rng, in[i]);
        const dfa *const *parts = (const dfa *const *)d;
        bool limited = st_rng_below(&rng, 2);
        for (uint32_t i = 0; i < N_TEXTS; i++) {
            name_of[i] = -1;
            if (st_rng_below(&rng, 5))
                continue;
            lens[n_names] = text_number(i, texts[n_names]);
            names[n_names] = texts[n_names];
            name_of[i] = (int32_t)n_names++;
        }
        assert_int_equal(dfa_labels(names, lens, n_names, parts, 2,
                                    limited ? parts[2] : NULL, &all, &labels, &n_labels,
                                    NULL),
                         0);
        check_form(all);
        for (uint32_t i = 0; i < N_TEXTS; i++) {
            char text[8];
            size_t len = text_number(i, text);
            uint64_t accept = (uint64_t)in[0][i] | (uint64_t)in[1][i] << 1;
            check_labels(all, labels, n_labels, text, len, !limited || in[2][i],
                         name_of[i], accept);
        }
        check_labels(all, labels, n_labels, "abab\xC3\xA9", 6, !limited, -1, 0);
        check_labels(all, labels, n_labels, "ab\x80", 3, false, -1, 0);
        dfa_free(all);
        st_free(labels);
        for (int i = 0; i < 3; i++)
            dfa_free(d[i]);
    }
}

/* As many names as the largest schemas have: one state a byte, and none lost. */
static void test_many_names(void **state)
{
    (void)state;
    enum { N = 1000 };
    static char texts[N][24];
    const char *names[N];
    size_t lens[N];
    for (uint32_t i = 0; i < N; i++) {
        lens[i] = (size_t)snprintf(texts[i], sizeof texts[i], "%u_property_%u",
                                   i * 7919 % N, i);
        names[i] = texts[i];
    }
    dfa *d;
    dfa_label *labels;
    uint32_t n_labels;
    assert_int_equal(
        dfa_labels(names, lens, N, NULL, 0, NULL, &d, &labels, &n_labels, NULL), 0);
    check_form(d);
    for (uint32_t i = 0; i < N; i++)
        check_labels(d, labels, n_labels, names[i], lens[i], true, (int32_t)i, 0);
    check_labels(d, labels, n_labels, "7_property", 10, true, -1, 0);
    dfa_free(d);
    st_free(labels);
    st_err err = {0};
    const dfa *parts[65] = {0};
    assert_int_equal(
        dfa_labels(NULL, NULL, 0, parts, 65, NULL, &d, &labels, &n_labels, &err),
        ST_ELIMIT);
}

/* A list of many texts with common ends: none is lost, none is added. */
static void test_long_list(void **state)
{
    (void)state;
    enum { N = 12000 };
    static char text[N][32];
    static const char *texts[N];
    static size_t lens[N];
    for (uint32_t i = 0; i < N; i++) {
        lens[i] = (size_t)snprintf(text[i], sizeof text[i], "item-%u-of-the-list", 7 * i);
        texts[i] = text[i];
    }
    dfa *d;
    assert_int_equal(dfa_texts(texts, lens, N, &d, NULL), 0);
    check_form(d);
    assert_int_equal(dfa_count(d, 2 * N), N);
    for (uint32_t i = 0; i < N; i += 37)
        assert_true(accepts(d, text[i], lens[i]));
    assert_false(accepts(d, "item-8-of-the-list", 18));
    assert_true(d->n_states < 2000);
    dfa_free(d);
    st_err err = {0};
    texts[N - 1] = "\xC3";
    lens[N - 1] = 1;
    assert_int_equal(dfa_texts(texts, lens, N, &d, &err), ST_EINVAL);
    assert_non_null(strstr(err.message, "text 12000"));
}

static void test_too_many_states(void **state)
{
    (void)state;
    enum { LEN = 3000, N = 30 };
    static char text[N][LEN];
    const char *texts[N];
    size_t lens[N];
    st_rng rng = {4};
    for (uint32_t i = 0; i < N; i++) {
        for (uint32_t k = 0; k < LEN; k++)
            text[i][k] = (char)('a' + st_rng_below(&rng, 26));
        texts[i] = text[i];
        lens[i] = LEN;
    }
    dfa *d = NULL;
    st_err err = {0};
    assert_int_equal(dfa_texts(texts, lens, N, &d, &err), ST_ELIMIT);
    assert_null(d);
    assert_true(err.hint[0]);
}

/* Every beginning of every numbered text: alive exactly while it can become an accepted
 * text of the right length. */
static void check_rule(const text_rule *r, const bool *in, uint32_t min, uint32_t max)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < N_TEXTS; i++) {
        char text[8];
        size_t len = text_number(i, text), chars = 0;
        text_state s = text_start(r);
        for (size_t k = 0; k < len; k++) {
            s = text_step(r, s, (uint8_t)text[k]);
            chars += ((uint8_t)text[k] & 0xC0) != 0x80;
        }
        bool want = in[i] && chars >= min && chars <= max, alive = false;
        n += want;
        assert_int_equal(text_accepts(r, s), want);
        for (uint32_t j = 0; j < N_TEXTS && !alive; j++) {
            char other[8];
            size_t other_len = text_number(j, other), other_chars = 0;
            for (size_t k = 0; k < other_len; k++)
                other_chars += ((uint8_t)other[k] & 0xC0) != 0x80;
            alive = in[j] && other_chars >= min && other_chars <= max &&
                    other_len >= len && memcmp(other, text, len) == 0;
        }
        assert_int_equal(s.at != DFA_DEAD, alive);
    }
    assert_int_equal(text_rule_count(r, N_TEXTS), n);
    assert_int_equal(text_rule_count(r, 2), n < 2 ? n : 2);
    assert_int_equal(text_rule_empty(r), n == 0);
}

static void test_lengths(void **state)
{
    (void)state;
    st_rng rng = {5};
    for (int round = 0; round < 200; round++) {
        bool in[N_TEXTS];
        text_rule r;
        uint32_t min = st_rng_below(&rng, 6);
        uint32_t max = st_rng_below(&rng, 2) ? UINT32_MAX : st_rng_below(&rng, 6);
        dfa *d = random_language(&rng, in);
        assert_int_equal(text_rule_make(d, min, max, &r, NULL), 0);
        check_rule(&r, in, min, max);
        text_rule_done(&r);
    }
}

static text_state read_text(const text_rule *r, const char *text)
{
    text_state s = text_start(r);
    for (; *text; text++)
        s = text_step(r, s, (uint8_t)*text);
    return s;
}

static void test_room(void **state)
{
    (void)state;
    dfa *d;
    text_rule r;
    assert_int_equal(dfa_any(&d, NULL), 0);
    assert_int_equal(text_rule_make(d, 2, 10, &r, NULL), 0);
    assert_int_equal(text_room(&r, text_start(&r)), 10);
    assert_int_equal(text_room(&r, read_text(&r, "a\xC3\xA9\xF0\x9F\x98\x80")), 7);
    assert_int_equal(text_room(&r, read_text(&r, "a\xC3")), 0);
    assert_int_equal(text_room(&r, read_text(&r, "aaaaaaaaaa")), 0);
    assert_true(text_rule_count(&r, UINT64_MAX) == UINT64_MAX);
    text_rule_done(&r);
    /* No limit that matters: nothing is counted. */
    assert_int_equal(dfa_any(&d, NULL), 0);
    assert_int_equal(text_rule_make(d, 0, UINT32_MAX, &r, NULL), 0);
    assert_int_equal(read_text(&r, "abc").n, 0);
    assert_true(text_room(&r, read_text(&r, "abc")) == UINT32_MAX);
    text_rule_done(&r);
    assert_int_equal(dfa_any(&d, NULL), 0);
    assert_int_equal(text_rule_make(d, 3, UINT32_MAX, &r, NULL), 0);
    assert_int_equal(read_text(&r, "abcdef").n, 3);
    assert_true(text_room(&r, read_text(&r, "a")) == UINT32_MAX);
    text_rule_done(&r);
    /* All but a few texts: open from where none of them can follow. */
    static const char *const few[] = {"abc", "abd"};
    d = of_texts(few, 2);
    const dfa *out = d;
    dfa *no;
    assert_int_equal(dfa_meet(NULL, 0, &out, 1, &no, NULL), 0);
    dfa_free(d);
    assert_int_equal(text_rule_make(no, 0, 5, &r, NULL), 0);
    assert_true(text_accepts(&r, read_text(&r, "abcd")));
    assert_false(text_accepts(&r, read_text(&r, "abc")));
    assert_true(text_room(&r, read_text(&r, "ac")) <= 3);
    text_rule_done(&r);
}

static void test_automaton(void **state)
{
    (void)state;
    static const char *const words[] = {"yes", "no"};
    dfa *d = of_texts(words, 2);
    automaton *a;
    state_id s = STATE_START, n;
    assert_int_equal(dfa_automaton_new(d, &a, NULL), 0);
    assert_false(a->ops->accepts(a, s));
    assert_int_equal(a->ops->step(a, s, 'n', &s, NULL), 0);
    assert_int_equal(a->ops->room(a, s), 0);
    assert_int_equal(a->ops->step(a, s, 'x', &n, NULL), 0);
    assert_int_equal(n, STATE_DEAD);
    assert_int_equal(a->ops->step(a, s, 'o', &s, NULL), 0);
    assert_true(a->ops->accepts(a, s));
    a->ops->forget(a);
    assert_true(a->ops->accepts(a, s));
    a->ops->free(a);
    dfa_free(d);
    assert_int_equal(dfa_any(&d, NULL), 0);
    assert_int_equal(dfa_automaton_new(d, &a, NULL), 0);
    assert_true(a->ops->room(a, STATE_START) == UINT32_MAX);
    assert_int_equal(a->ops->step(a, STATE_START, 0xC3, &s, NULL), 0);
    assert_int_equal(a->ops->room(a, s), 0);
    a->ops->free(a);
    dfa_free(d);
    d = of_texts(NULL, 0);
    assert_int_equal(dfa_automaton_new(d, &a, NULL), ST_EINVAL);
    dfa_free(d);
}

static int work(void *arg)
{
    (void)arg;
    static const char *const texts[] = {"one", "two", "three"};
    static const size_t lens[] = {3, 3, 5};
    dfa *a = NULL, *b = NULL, *all = NULL;
    dfa_label *labels = NULL;
    automaton *run = NULL;
    text_rule r = {0};
    uint32_t n;
    int rc = dfa_texts(texts, lens, 3, &a, NULL);
    const dfa *out = a;
    if (!rc)
        rc = dfa_meet(NULL, 0, &out, 1, &b, NULL);
    const dfa *part = b;
    if (!rc)
        rc = dfa_labels(texts, lens, 3, &part, 1, NULL, &all, &labels, &n, NULL);
    if (!rc)
        rc = dfa_automaton_new(all, &run, NULL);
    if (run)
        run->ops->free(run);
    if (!rc) {
        rc = text_rule_make(b, 1, 3, &r, NULL);
        b = NULL;
    }
    text_rule_done(&r);
    dfa_free(a);
    dfa_free(b);
    dfa_free(all);
    st_free(labels);
    return rc;
}

static void test_memory(void **state)
{
    (void)state;
    assert_true(fault_sweep(work, NULL, 1) > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any),       cmocka_unit_test(test_plain),
        cmocka_unit_test(test_texts),     cmocka_unit_test(test_sets),
        cmocka_unit_test(test_labels),    cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_long_list), cmocka_unit_test(test_too_many_states),
        cmocka_unit_test(test_lengths),   cmocka_unit_test(test_room),
        cmocka_unit_test(test_automaton), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
