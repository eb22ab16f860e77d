/* tests/test_regex.c - patterns against what they mean: tables written by hand, PCRE2 on
 * texts made at random, the patterns of real schemas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "grammar/intern.h"
#include "grammar/json.h"
#include "grammar/regex.h"
#include "grammar/text.h"
#include "grammar/validate_priv.h"
#include "tests/fault.h"
#include "tests/gz_lines.h"
#include "tests/here.h"
#include <stdio.h>
#include <string.h>

static bool accepts(const dfa *d, const char *text, size_t len)
{
    return d->label[dfa_run(d, d->start, text, len)] != 0;
}

static dfa *compiled(const char *source, regex_match how)
{
    dfa *d = NULL;
    st_err err = {0};
    if (regex_dfa(source, strlen(source), how, &d, &err) < 0)
        fail_msg("%s: %s", source, err.message);
    return d;
}

typedef struct sample {
    const char *pattern;
    const char *yes[8], *no[8];
} sample;

static const sample searched[] = {
    {"", {"", "a"}, {NULL}},
    {"ab", {"ab", "xabx", "aab"}, {"", "a", "ba"}},
    {"^ab", {"ab", "abx"}, {"xab", ""}},
    {"ab$", {"ab", "xab"}, {"abx", "ab\n"}},
    {"^$", {""}, {"a", "\n"}},
    {"^a|b$", {"a", "ax", "b", "xb"}, {"xa", "bx", ""}},
    {"a$|^b|^$", {"", "xa", "bx"}, {"ax", "x"}},
    {"^a+?b*$", {"a", "aab", "abbb"}, {"", "b", "aba"}},
    {"^(?:ab){2,3}$", {"abab", "ababab"}, {"ab", "abababab", "aba"}},
    {"^a{2}$", {"aa"}, {"a", "aaa"}},
    {"^a{2,}$", {"aa", "aaaaa"}, {"a", ""}},
    {"^a{0}$", {""}, {"a"}},
    {"^a{0,1}b{,2}$", {"b{,2}", "ab{,2}"}, {"a", "bb"}},
    {"^x{$", {"x{"}, {"x"}},
    {"^}]$", {"}]"}, {"}"}},
    {"^(a*)*$", {"", "aaa"}, {"b"}},
    {"^(|a)+$", {"", "aa"}, {"b"}},
    {"^(a?){3}b$", {"b", "aaab"}, {"aaaab"}},
    {"^.$",
     {"a", "\xC3\xA9", "\xF0\x9F\x98\x80", " ", "\v"},
     {"", "\n", "\r", "\xE2\x80\xA8", "ab"}},
    {"^[^a]$", {"\n", "\xC3\xA9", "b"}, {"a", ""}},
    {"^[^]$", {"\n", "a"}, {"", "aa"}},
    {"^a[]b|c$", {"c"}, {"ab", "a"}},
    {"^[]-a]$", {NULL}, {"]", "-", "a"}},
    {"^[\\]-a]$", {"]", "^", "_", "`", "a"}, {"-", "b", "\\"}},
    {"^[a-]$", {"a", "-"}, {"b", ","}},
    {"^[-a]$", {"a", "-"}, {"b"}},
    {"^[\\w-.]$", {"_", "-", ".", "7"}, {" ", "/"}},
    {"^[+--]$", {"+", ",", "-"}, {"."}},
    {"^[[a]$", {"[", "a"}, {"]"}},
    {"^[\\b]$", {"\b"}, {"b"}},
    {"^\\d\\D\\w\\W\\s\\S$", {"1a_- x"}, {"aa_- x", "1a_-xx"}},
    {"^\\d$", {"0"}, {"\xD9\xA0", "\xEF\xBC\x90"}},
    {"^\\w$", {"a", "_"}, {"\xC3\xA9", "-"}},
    {"^\\s$",
     {" ", "\t", "\xC2\xA0", "\xEF\xBB\xBF", "\xE2\x80\xA9", "\v"},
     {"", "\xE1\xA0\x8E", "\xC2\x85"}},
    {"^[\\S]$", {"a"}, {" ", "\xE3\x80\x80"}},
    {"^[^\\S]$", {" "}, {"a"}},
    {"^[\\d\\s]$", {"1", " "}, {"a"}},
    {"^\\x41\\u0042\\u{43}\\u{1F600}$", {"ABC\xF0\x9F\x98\x80"}, {"ABC"}},
    {"^\\ud83d\\ude00$", {"\xF0\x9F\x98\x80"}, {"", "\xEF\xBF\xBD"}},
    {"^[\\ud83d\\ude00-\\ud83d\\ude02]$", {"\xF0\x9F\x98\x81"}, {"\xF0\x9F\x98\x83"}},
    {"^[\xC3\xA9-\xC3\xAB]+$", {"\xC3\xAA\xC3\xAB"}, {"\xC3\xAC", "\xC3"}},
    {"^[\\x80-\\uFFFF]$", {"\xC2\x80", "\xEF\xBF\xBF"}, {"\x7F", "\xF0\x90\x80\x80"}},
    {"^\\cJ\\t\\n\\v\\f\\r\\0$", {NULL}, {"\n\t\n\v\f\r"}},
    {"^\\_\\-\\@\\'\\\"\\/\\<$", {"_-@'\"/<"}, {""}},
    {"\\bfoo\\b",
     {"foo", "a foo", "foo-",
      "\xC3\xA9"
      "foo"},
     {"afoo", "foo1", "_foo"}},
    {"\\Bb", {"ab", "abb"}, {"b", "-b"}},
    {"^\\b", {"a", "a-"}, {"", "-a"}},
    {"\\b$", {"a", "-a"}, {"", "a-"}},
    {"^a\\Bb\\b.c$", {"ab-c"}, {"abxc"}},
    {"(?<year>\\d{4})-(\\d\\d)", {"2024-01"}, {"2024-1"}},
    {"^(?=a)[a-c]+$", {"a", "abc"}, {"ba", ""}},
    {"^(?!a)[a-c]+$", {"b", "ca"}, {"ab", ""}},
    {"^(?=.*\\d)(?=.*[a-z]).{3,5}$", {"a1b", "1aaaa"}, {"abc", "123", "a1", "a1bbbb"}},
    {"^((?!bad).)*$", {"", "ba", "b ad"}, {"bad", "xbadx", "bbad"}},
    {"^[a-z]+(?=\\.)", {"a.", "abc.d"}, {"a", ".a"}},
    {"(?!a)$", {"", "a", "b"}, {NULL}},
    {"^(?!^a)", {"b", ""}, {"a"}},
    {"^x(?=\\b)", {"x", "x-"}, {"xy"}},
    {"^(?:(?!ab|cd)[a-d])+$", {"ac", "ba", "dc", "a"}, {"ab", "acd", ""}},
    {"^(?=(?!b)[a-c])[a-z]*$", {"a", "cz"}, {"b", "z", ""}},
    {"^(?!(?=a)..)\\w*$", {"a", "ba", ""}, {"ab"}},
    {"^(?:a(?=b)|b(?=a))*b$", {"b", "ab", "bab"}, {"bb", "abb", "a"}},
    {"^(?=a)*b$", {"b"}, {"ab"}},
    {"^(?=a){1,2}b$", {NULL}, {"b", "ab"}},
    {"^(?!lucene|builtin).*", {"x", "", "luce"}, {"lucene", "builtin.x"}},
    {"^\\p{Lu}\\P{L}\\p{Nd}$", {"A-1", "\xC3\x89 \xD9\xA0"}, {"a-1", "Aa1", "A-x"}},
    {"^[\\p{L}\\p{digit}_]+$", {"a\xC3\xA9\xE4\xBD\xA0\xD9\xA1_"}, {"-", " "}},
    {"^[^\\p{L}]$", {"1"}, {"a"}},
    {"^\\p{General_Category=Currency_Symbol}$", {"$", "\xE2\x82\xAC"}, {"a"}},
    {"^\\p{Any}\\p{ASCII}\\p{AHex}$",
     {"\xF4\x8F\xBF\xBF"
      "af"},
     {"\xC3\xA9\xC3\xA9"
      "a",
      "aag"}},
    {"^\\p{Co}$", {"\xEE\x80\x80", "\xF4\x8F\xBF\xBD"}, {"\xF4\x8F\xBF\xBF", "a"}},
    {"^\\P{Cn}$", {"a"}, {"\xF4\x8F\xBF\xBF", "\xF1\x80\x80\x80"}},
};

static void check_samples(const sample *s, size_t n, regex_match how)
{
    for (size_t i = 0; i < n; i++) {
        dfa *d = compiled(s[i].pattern, how);
        for (size_t k = 0; k < 8 && s[i].yes[k]; k++) {
            if (!accepts(d, s[i].yes[k], strlen(s[i].yes[k])))
                fail_msg("%s rejects '%s'", s[i].pattern, s[i].yes[k]);
        }
        for (size_t k = 0; k < 8 && s[i].no[k]; k++) {
            if (accepts(d, s[i].no[k], strlen(s[i].no[k])))
                fail_msg("%s accepts '%s'", s[i].pattern, s[i].no[k]);
        }
        assert_false(accepts(d, "\xFF", 1));
        assert_false(accepts(d, "a\xED\xA0\x80", 4));
        dfa_free(d);
    }
}

static void test_searched(void **state)
{
    (void)state;
    check_samples(searched, ST_COUNT(searched), REGEX_SEARCH);
    dfa *d = compiled("^\\0$", REGEX_SEARCH);
    assert_true(accepts(d, "\0", 1));
    assert_false(accepts(d, "", 0));
    dfa_free(d);
}

static void test_whole(void **state)
{
    (void)state;
    static const sample whole[] = {
        {"", {""}, {"a"}},
        {"a|bc", {"a", "bc"}, {"abc", "b", "xa", "ax"}},
        {"^a$|b", {"a", "b"}, {"ab", ""}},
        {"a(?=b)", {NULL}, {"a", "ab"}},
        {"a(?!b).?", {"a", "ac"}, {"ab"}},
    };
    check_samples(whole, ST_COUNT(whole), REGEX_WHOLE);
}

typedef struct bad_sample {
    const char *pattern;
    int code;
    const char *message;
} bad_sample;

static const bad_sample bad[] = {
    {"(a", ST_EFORMAT, "character 1: '(' has no ')'"},
    {"a)", ST_EFORMAT, "character 2: ')' has no '('"},
    {"\xC3\xA9[a", ST_EFORMAT, "character 2: '[' has no ']'"},
    {"*a", ST_EFORMAT, "character 1: nothing to repeat"},
    {"a**", ST_EFORMAT, "character 3: nothing to repeat"},
    {"a{2}{3}", ST_EFORMAT, "character 5: nothing to repeat"},
    {"^*", ST_EFORMAT, "character 2: nothing to repeat"},
    {"\\b+", ST_EFORMAT, "character 3: nothing to repeat"},
    {"a|+", ST_EFORMAT, "character 3: nothing to repeat"},
    {"a{3,2}", ST_EFORMAT, "character 2: the counts are in the wrong order"},
    {"[z-a]", ST_EFORMAT, "character 2: a range in the wrong order"},
    {"a\\", ST_EFORMAT, "character 2: '\\' at the end"},
    {"[\\", ST_EFORMAT, "'\\' at the end"},
    {"\\a", ST_EFORMAT, "character 1: no such escape"},
    {"x\\Z", ST_EFORMAT, "character 2: no such escape"},
    {"\\u12", ST_EFORMAT, "no such escape"},
    {"\\u{110000}", ST_EFORMAT, "no such escape"},
    {"\\u{}", ST_EFORMAT, "no such escape"},
    {"\\x4", ST_EFORMAT, "no such escape"},
    {"\\c1", ST_EFORMAT, "no such escape"},
    {"[\\B]", ST_EFORMAT, "no such escape"},
    {"\\pL", ST_EFORMAT, "a property is written"},
    {"\\p{L", ST_EFORMAT, "a property is written"},
    {"(?<a", ST_EFORMAT, "a group's name"},
    {"(?<>a)", ST_EFORMAT, "a group's name"},
    {"\xFF", ST_EFORMAT, "not well-formed UTF-8"},
    {"\\p{Script=Greek}", ST_EUNSUPPORTED, "the property 'Script=Greek'"},
    {"\\p{L }", ST_EUNSUPPORTED, "the property 'L '"},
    {"(a)\\1", ST_EUNSUPPORTED, "character 4: back-references"},
    {"\\k<a>", ST_EUNSUPPORTED, "back-references"},
    {"[\\1]", ST_EUNSUPPORTED, "back-references"},
    {"\\01", ST_EUNSUPPORTED, "back-references"},
    {"(?<=a)b", ST_EUNSUPPORTED, "look-behind"},
    {"(?<!a)b", ST_EUNSUPPORTED, "look-behind"},
    {"(?i)a", ST_EUNSUPPORTED, "this kind of group"},
    {"(?", ST_EUNSUPPORTED, "this kind of group"},
    {"(?>a)", ST_EUNSUPPORTED, "this kind of group"},
    {"\\ud83d", ST_EUNSUPPORTED, "surrogate"},
    {"[\\ud800-\\udbff]", ST_EUNSUPPORTED, "surrogate"},
    {"a{100001}", ST_ELIMIT, "the count is too large"},
    {"(a{1000}){1000}", ST_ELIMIT, "too large"},
    {"^.{39999}$", ST_ELIMIT, "states"},
    {"(a|b)*a(a|b){20}c", ST_ELIMIT, "too many states"},
    {"^(?!(a|b)*a(a|b){20}c)", ST_ELIMIT, "too many states"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ST_COUNT(bad); i++) {
        dfa *d = NULL;
        st_err err = {0};
        int rc =
            regex_dfa(bad[i].pattern, strlen(bad[i].pattern), REGEX_SEARCH, &d, &err);
        if (rc != bad[i].code || !strstr(err.message, bad[i].message))
            fail_msg("%s: %d '%s'", bad[i].pattern, rc, err.message);
        assert_null(d);
        assert_int_equal(err.code, rc);
        if (rc == ST_EUNSUPPORTED)
            assert_true(err.hint[0]);
    }
    /* Deep, but not too deep; and too deep. */
    enum { DEEP = 150, TOO_DEEP = 300 };
    char source[2 * TOO_DEEP + 1];
    dfa *d;
    memset(source, '(', DEEP);
    memset(source + DEEP, ')', DEEP);
    assert_int_equal(regex_dfa(source, 2 * DEEP, REGEX_WHOLE, &d, NULL), 0);
    assert_true(accepts(d, "", 0));
    dfa_free(d);
    memset(source, '(', TOO_DEEP);
    memset(source + TOO_DEEP, ')', TOO_DEEP);
    assert_int_equal(regex_dfa(source, 2 * TOO_DEEP, REGEX_WHOLE, &d, NULL), ST_ELIMIT);
    size_t len = (1 << 16) + 1;
    char *text = st_alloc(len);
    assert_non_null(text);
    memset(text, 'a', len);
    assert_int_equal(regex_dfa(text, len, REGEX_WHOLE, &d, NULL), ST_ELIMIT);
    st_free(text);
}

/* Nothing more than what is needed: small patterns are small automata. */
static void test_small(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        uint32_t n_states;
    } small[] = {
        {"^[a-z]+$", 3}, {"^(a|b)*$", 2}, {"^(abc|abd|abe)$", 5},  {"^a{3}$", 5},
        {"", 9},         {"^(?!x)", 10},  {"^(?=[a-f])[d-z]$", 3},
    };
    for (size_t i = 0; i < ST_COUNT(small); i++) {
        dfa *d = compiled(small[i].pattern, REGEX_SEARCH);
        if (d->n_states != small[i].n_states)
            fail_msg("%s: %u states", small[i].pattern, d->n_states);
        dfa_free(d);
    }
    dfa *d = compiled("^(?=a)b", REGEX_SEARCH);
    assert_int_equal(d->start, DFA_DEAD);
    dfa_free(d);
}

/* Where plain text leads on: what masks of free text rely on. */
static void test_open(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        int open;
    } places[] = {
        {"^.*$", "", DFA_LOOPS},
        {"^.+$", "", DFA_ENDLESS},
        {"^.+$", "a", DFA_LOOPS},
        {"^[^/]*$", "", 0},
        {"^.{2}", "a", DFA_ENDLESS},
        {"^.{2}", "ab", DFA_LOOPS},
        {"^(..)*$", "a", DFA_ENDLESS},
        {"^.{0,9}$", "", 9},
        {"^.{0,9}$", "\xC3\xA9xx", 6},
        {"^.{0,90}$", "", DFA_FAR},
        {"^(?:\\S+\\s+){0,3}\\S+$", "a", 6},
        {"^[a-z]*$", "", 0},
        {"^[^\\x00-\\x1f]*$", "", DFA_LOOPS},
        {"^.*$", "\xC3", 0},
        {"foo", "f", DFA_ENDLESS},
        {"foo", "foo", DFA_LOOPS},
        {"^\\S+ ", "a", 0},
        {"^a|b.*$", "xb", DFA_LOOPS},
        {"^((?!ab).)*$", "", 1},
    };
    for (size_t i = 0; i < ST_COUNT(places); i++) {
        dfa *d = compiled(places[i].pattern, REGEX_SEARCH);
        uint8_t *open = st_alloc(d->n_states);
        assert_int_equal(dfa_open(d, open, NULL), 0);
        uint32_t s = dfa_run(d, d->start, places[i].text, strlen(places[i].text));
        if (s == DFA_DEAD || open[s] != places[i].open)
            fail_msg("%s behind '%s': %d", places[i].pattern, places[i].text, open[s]);
        st_free(open);
        dfa_free(d);
    }
}

/* Random texts. ---------------------------------------------------------------------- */

enum { TEXT_BYTES = 400 };

/* A walk through the automaton: often an accepted text, or nearly. */
static size_t walk(const dfa *d, st_rng *rng, char *text)
{
    uint32_t s = d->start;
    size_t len = 0;
    size_t most = 1 + st_rng_below(rng, TEXT_BYTES - 8);
    while (s != DFA_DEAD && len < most) {
        if (d->label[s] && st_rng_below(rng, 4) == 0)
            break;
        for (int tries = 0; tries < 400; tries++) {
            uint8_t byte = (uint8_t)st_rng_below(rng, st_rng_below(rng, 8) ? 128 : 256);
            uint32_t to = dfa_step(d, s, byte);
            if (to == DFA_DEAD)
                continue;
            text[len++] = (char)byte;
            s = to;
            break;
        }
        if (st_rng_below(rng, 64) == 0)
            break;
    }
    return len;
}

static const char *const letters[] = {"a",
                                      "b",
                                      "z",
                                      "A",
                                      "0",
                                      "9",
                                      "_",
                                      "-",
                                      ".",
                                      " ",
                                      "\n",
                                      "/",
                                      ":",
                                      "\xC3\xA9",
                                      "\xE4\xBD\xA0",
                                      "\xF0\x9F\x98\x80",
                                      "@",
                                      "1"};

static size_t random_letters(st_rng *rng, const char *source, size_t source_len,
                             char *text)
{
    size_t len = 0, n = st_rng_below(rng, 12);
    for (size_t i = 0; i < n; i++) {
        if (source_len && st_rng_below(rng, 2)) {
            char c = source[st_rng_below(rng, (uint32_t)source_len)];
            text[len++] = (uint8_t)c < 0x80 ? c : 'x';
        } else {
            const char *letter = letters[st_rng_below(rng, ST_COUNT(letters))];
            memcpy(text + len, letter, strlen(letter));
            len += strlen(letter);
        }
    }
    return len;
}

/* One character out, in or other. */
static size_t mutate(st_rng *rng, char *text, size_t len)
{
    size_t at = st_rng_below(rng, (uint32_t)len + 1);
    const char *letter = letters[st_rng_below(rng, ST_COUNT(letters))];
    size_t n = st_rng_below(rng, 3) ? strlen(letter) : 0, out = 0;
    while (at < len && ((uint8_t)text[at] & 0xC0) == 0x80)
        at++;
    if (at < len && st_rng_below(rng, 2)) {
        out = 1;
        while (at + out < len && ((uint8_t)text[at + out] & 0xC0) == 0x80)
            out++;
    }
    if (len + n > TEXT_BYTES)
        return len;
    memmove(text + at + n, text + at + out, len - at - out);
    memcpy(text + at, letter, n);
    return len + n - out;
}

typedef struct tally {
    uint64_t n_yes, n_no;
} tally;

static void compare(const pattern *judge, const dfa *d, const char *source,
                    const char *text, size_t len, tally *t)
{
    if (!st_utf8_valid(text, len, NULL))
        return;
    int want = pattern_find(judge, text, len, NULL);
    if (want < 0)
        return; /* over its limits */
    if (accepts(d, text, len) != want)
        fail_msg("pattern '%s', text '%.*s': PCRE2 says %d", source, (int)len, text,
                 want);
    *(want ? &t->n_yes : &t->n_no) += 1;
}

/* Both must take the pattern, or both refuse it, but for what only PCRE2 can do. */
static void compare_random(const char *source, size_t len, int n, st_rng *rng, tally *t)
{
    pattern *judge;
    dfa *d;
    char text[TEXT_BYTES + 8];
    st_err err = {0};
    int rc = regex_dfa(source, len, REGEX_SEARCH, &d, &err);
    int judged = pattern_new(source, len, &judge, NULL);
    if (judged < 0 && rc == 0)
        fail_msg("pattern '%s': only PCRE2 refuses it", source);
    if (judged == 0 && rc == ST_EFORMAT)
        fail_msg("pattern '%s': %s; PCRE2 takes it", source, err.message);
    for (int i = 0; judged == 0 && rc == 0 && i < n; i++) {
        size_t used = st_rng_below(rng, 3) ? walk(d, rng, text)
                                           : random_letters(rng, source, len, text);
        compare(judge, d, source, text, used, t);
        for (int k = 0; k < 3; k++) {
            used = mutate(rng, text, used);
            compare(judge, d, source, text, used, t);
        }
    }
    if (rc == 0)
        dfa_free(d);
    if (judged == 0)
        pattern_free(judge);
}

/* Patterns put together at random from the parts that both know. */
static size_t random_pattern(st_rng *rng, int depth, char *out)
{
    static const char *const atoms[] = {
        "a",   "b",   "c", "[ab]", "[^a]", ".", "\\d", "\\w", "[a-c\\d]", "\xC3\xA9",
        "\\b", "\\B", "^", "$",    "",     "-", "\\W", "ab",  "[^\\w]"};
    static const char *const signs[] = {"*",     "+",    "?",  "{2}",
                                        "{0,2}", "{1,}", "*?", "{2,3}"};
    size_t len = 0;
    uint32_t rows = 1 + (st_rng_below(rng, 3) == 0);
    for (uint32_t r = 0; r < rows; r++) {
        if (r)
            out[len++] = '|';
        uint32_t parts = 1 + st_rng_below(rng, 3);
        for (uint32_t i = 0; i < parts; i++) {
            bool group = depth > 0 && st_rng_below(rng, 3) == 0;
            if (group) {
                static const char *const opens[] = {"(", "(?:", "(?=", "(?!", "(?:", "("};
                const char *open = opens[st_rng_below(rng, ST_COUNT(opens))];
                memcpy(out + len, open, strlen(open));
                len += strlen(open);
                len += random_pattern(rng, depth - 1, out + len);
                out[len++] = ')';
                if (strchr(open, '=') || strchr(open, '!'))
                    continue;
            } else {
                const char *atom = atoms[st_rng_below(rng, ST_COUNT(atoms))];
                memcpy(out + len, atom, strlen(atom));
                len += strlen(atom);
                if (strchr("^$", atom[0]) || strcmp(atom, "\\b") == 0 ||
                    strcmp(atom, "\\B") == 0)
                    continue;
            }
            if (st_rng_below(rng, 3) == 0) {
                const char *sign = signs[st_rng_below(rng, ST_COUNT(signs))];
                memcpy(out + len, sign, strlen(sign));
                len += strlen(sign);
            }
        }
    }
    return len;
}

static void test_random(void **state)
{
    (void)state;
    st_rng rng = {7};
    tally t = {0};
    for (int i = 0; i < 2000; i++) {
        char source[4096];
        size_t len = random_pattern(&rng, 3, source);
        source[len] = '\0';
        compare_random(source, len, 12, &rng, &t);
    }
    assert_true(t.n_yes > 5000);
    assert_true(t.n_no > 5000);
}

/* Where there is room, any plain text of that length leads on. */
static void check_room(const text_rule *r, text_state at, st_rng *rng, const char *source)
{
    static const char *const plain[] = {"a",
                                        "b",
                                        "c",
                                        "x",
                                        " ",
                                        "-",
                                        "0",
                                        "/",
                                        "\xC2\xA0",
                                        "\xC3\xA9",
                                        "\xE4\xBD\xA0",
                                        "\xE2\x80\xA7",
                                        "\xF0\x9F\x98\x80",
                                        "~"};
    uint32_t room = text_room(r, at);
    for (uint32_t i = 0; i < room && i < 20; i++) {
        const char *character = plain[st_rng_below(rng, ST_COUNT(plain))];
        for (; *character; character++)
            at = text_step(r, at, (uint8_t)*character);
        if (at.at == DFA_DEAD)
            fail_msg("%s: room for %u, not for %u", source, room, i + 1);
    }
}

/* A pattern and a length are what the pattern and a counted pattern are at once: alive,
 * accepted and counted alike. */
static void check_length(const dfa *d, uint32_t min, uint32_t max, st_rng *rng,
                         const char *source)
{
    char limit[40], text[TEXT_BYTES + 8];
    text_rule r;
    dfa *both, *twin;
    if (max == UINT32_MAX)
        snprintf(limit, sizeof limit, "[^]{%u,}", min);
    else
        snprintf(limit, sizeof limit, "[^]{%u,%u}", min, max);
    dfa *counted = compiled(limit, REGEX_WHOLE);
    assert_int_equal(dfa_meet((const dfa *const[]){d, counted}, 2, NULL, 0, &both, NULL),
                     0);
    assert_int_equal(dfa_meet(&d, 1, NULL, 0, &twin, NULL), 0);
    assert_int_equal(text_rule_make(twin, min, max, &r, NULL), 0);
    assert_int_equal(text_rule_empty(&r), both->start == DFA_DEAD);
    assert_true(text_rule_count(&r, 5000) == dfa_count(both, 5000));
    for (int i = 0; i < 20; i++) {
        size_t len = walk(i % 2 ? d : both, rng, text);
        text_state at = text_start(&r);
        uint32_t s = both->start;
        for (size_t k = 0; k <= len; k++) {
            if ((at.at != DFA_DEAD) != (s != DFA_DEAD) ||
                text_accepts(&r, at) != (both->label[s] != 0))
                fail_msg("%s, %u to %u: '%.*s'", source, min, max, (int)k, text);
            if (k == len || s == DFA_DEAD)
                break;
            if (st_rng_below(rng, 4) == 0)
                check_room(&r, at, rng, source);
            at = text_step(&r, at, (uint8_t)text[k]);
            s = dfa_step(both, s, (uint8_t)text[k]);
        }
    }
    text_rule_done(&r);
    dfa_free(both);
    dfa_free(counted);
}

static void test_lengths(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "",         "^.*$",      "^(..)*$",     "^(...)*$|^(.{4})*$", "^a*b?",     "a.b",
        "^x{3,7}$", "^(ab|c)+$", "^\xC3\xA9+$", "^(.{5})+.{2}$",      "^[^]{4}|^x"};
    st_rng rng = {11};
    for (int i = 0; i < 400; i++) {
        char source[4096];
        size_t len;
        dfa *d;
        if (i < (int)ST_COUNT(sources) * 8) {
            len = strlen(sources[i / 8]);
            memcpy(source, sources[i / 8], len);
        } else {
            len = random_pattern(&rng, 2, source);
        }
        source[len] = '\0';
        if (regex_dfa(source, len, REGEX_SEARCH, &d, NULL) < 0)
            continue;
        uint32_t min = st_rng_below(&rng, 2) ? st_rng_below(&rng, 12) : 0;
        uint32_t max = st_rng_below(&rng, 3) ? min + st_rng_below(&rng, 12) : UINT32_MAX;
        check_length(d, min, max, &rng, source);
        dfa_free(d);
    }
}

/* Patterns of real schemas. ------------------------------------------------------------
 */

#define SCHEMAS "../shared/data/jsonschemabench/give_part.jsonl.gz"

static void collect(const json *schema, intern *patterns)
{
    uint32_t number;
    const json *parts = json_get(schema, "patternProperties");
    const json *source = json_get(schema, "pattern");
    if (source && source->type == JSON_STRING)
        assert_int_equal(intern_put(patterns, source->text, source->n, &number, NULL), 0);
    for (uint32_t i = 0; parts && parts->type == JSON_OBJECT && i < parts->n; i++) {
        assert_int_equal(
            intern_put(patterns, parts->names[i].text, parts->names[i].n, &number, NULL),
            0);
    }
    if (schema->type == JSON_OBJECT || schema->type == JSON_ARRAY) {
        for (uint32_t i = 0; i < schema->n; i++)
            collect(&schema->items[i], patterns);
    }
}

static void test_schemas(void **state)
{
    (void)state;
    if (!is_here(SCHEMAS))
        return;
    intern patterns = {0};
    gz_lines in = gz_open(SCHEMAS);
    while (gz_next(&in)) {
        const json *row = NULL;
        assert_int_equal(json_read(in.line, in.len, &row, NULL), 0);
        collect(json_get(row, "schema"), &patterns);
        json_free(row);
    }
    assert_true(gz_close(&in));
    assert_true(patterns.n > 800);
    st_rng rng = {8};
    tally t = {0};
    uint32_t refused = 0;
    for (uint32_t i = 1; i <= patterns.n; i++) {
        size_t len;
        const char *source = intern_get(&patterns, i, &len);
        dfa *d = NULL;
        st_err err = {0};
        if (regex_dfa(source, len, REGEX_SEARCH, &d, &err) < 0) {
            print_message("refused: %.*s: %s\n", (int)len, source, err.message);
            refused++;
        }
        dfa_free(d);
        compare_random(source, len, 8, &rng, &t);
    }
    print_message("%u patterns, %u refused; %llu texts matched, %llu did not\n",
                  patterns.n, refused, (unsigned long long)t.n_yes,
                  (unsigned long long)t.n_no);
    assert_true(refused <= 2); /* one is malformed, one counts to 127 times 63 */
    assert_true(t.n_yes > 4000);
    assert_true(t.n_no > 4000);
    intern_done(&patterns);
}

static int work(void *arg)
{
    const char *source = arg;
    dfa *d = NULL;
    int rc = regex_dfa(source, strlen(source), REGEX_SEARCH, &d, NULL);
    dfa_free(d);
    return rc;
}

static void test_memory(void **state)
{
    (void)state;
    char source[] = "^(?!.*x{2})(?:[a-f\\d]+|\\bz|\xC3\xA9*?){2,5}(?=\\p{Lu})";
    assert_true(fault_sweep(work, source, 1) > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_searched), cmocka_unit_test(test_whole),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_small),
        cmocka_unit_test(test_open),     cmocka_unit_test(test_random),
        cmocka_unit_test(test_lengths),  cmocka_unit_test(test_schemas),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
