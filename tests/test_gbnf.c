/* tests/test_gbnf.c - GBNF: what is read and what is refused, and that the automaton and
 * Earley's algorithm agree on every short text of many grammars. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "grammar/gbnf_earley.h"
#include "grammar/gbnf_rules.h"
#include "grammar/grammar.h"
#include "grammar/kind.h"
#include "tests/fault.h"
#include <stdio.h>
#include <string.h>

/* A grammar and an automaton over it. */
typedef struct pair {
    grammar *g;
    automaton *a;
} pair;

static pair make(const char *text)
{
    pair p;
    st_err err = {0};
    if (grammar_gbnf(text, strlen(text), &p.g, &err) < 0 ||
        p.g->ops->automaton(p.g, &p.a, &err) < 0)
        fail_msg("%s: %s", text, err.message);
    return p;
}

static void drop(pair p)
{
    automaton_free(p.a);
    grammar_free(p.g);
}

static state_id run(const pair *p, const char *text, size_t len)
{
    state_id s = STATE_START;
    for (size_t i = 0; i < len && s != STATE_DEAD; i++)
        assert_int_equal(p->a->ops->step(p->a, s, (uint8_t)text[i], &s, NULL), 0);
    return s;
}

/* Is it in the language?  Both ways must agree. */
static bool holds(const pair *p, const char *text, size_t len)
{
    state_id s = run(p, text, len);
    bool in = s != STATE_DEAD && p->a->ops->accepts(p->a, s);
    int rc = grammar_validate(p->g, text, len, NULL);
    if (rc != (in ? 0 : ST_EFORMAT))
        fail_msg("'%.*s': automaton %d, Earley %d", (int)len, text, in, rc);
    return in;
}

/* Texts in the language, then NULL, then texts that are not. */
static void expect(const char *text, const char *const *texts)
{
    pair p = make(text);
    for (; *texts; texts++) {
        if (!holds(&p, *texts, strlen(*texts)))
            fail_msg("%s: '%s' is not taken", text, *texts);
    }
    for (texts++; *texts; texts++) {
        if (holds(&p, *texts, strlen(*texts)))
            fail_msg("%s: '%s' is taken", text, *texts);
    }
    drop(p);
}

#define EXPECT(text, ...) expect(text, (const char *const[]){__VA_ARGS__, NULL})

static void notation(void **state)
{
    (void)state;
    EXPECT("root ::= \"a\" | \"bc\"", "a", "bc", NULL, "", "b", "abc", "aa");
    EXPECT("root ::= \"\"", "", NULL, "a");
    EXPECT("root ::=", "", NULL, "a");
    EXPECT("root ::= | \"a\" |", "", "a", NULL, "aa");
    EXPECT("root::=\"a\"  # a comment\n\n# another\r\n", "a", NULL, "");
    EXPECT("x ::= \"a\"\nroot ::= x\n  | x x\n\t| \"b\"", "a", "aa", "b", NULL, "aaa");
    EXPECT("root ::= (\n \"a\" # in a group\n | \"b\"\n)+ \"c\"", "ac", "abbac", NULL,
           "c", "ab");
    EXPECT("root ::= \"ab\"*", "", "ab", "abab", NULL, "a", "aba");
    EXPECT("root ::= \"ab\"+", "ab", "abab", NULL, "", "abb");
    EXPECT("root ::= \"ab\"? \"c\"", "c", "abc", NULL, "ac", "ababc");
    EXPECT("root ::= \"a\"{2}", "aa", NULL, "a", "aaa");
    EXPECT("root ::= \"a\"{2,}", "aa", "aaaaa", NULL, "a", "");
    EXPECT("root ::= \"a\"{0,2}", "", "a", "aa", NULL, "aaa");
    EXPECT("root ::= \"a\"{,2} \"b\"", "b", "ab", "aab", NULL, "aaab");
    EXPECT("root ::= (\"a\" | \"bb\"){ 1 , 2 }", "a", "bb", "abb", "bba", NULL, "", "b",
           "aaa");
    EXPECT("root ::= \"a\"{0} \"b\"{0,0} \"c\"", "c", NULL, "ac", "bc");
    EXPECT("root ::= \"a\"{1,3}{2}", "aa", "aaaaaa", NULL, "a", "aaaaaaa");
    EXPECT("root ::= a-b_2\na-b_2 ::= \"x\"", "x", NULL, "");
}

static void classes(void **state)
{
    (void)state;
    EXPECT("root ::= [a-cx]", "a", "b", "c", "x", NULL, "d", "", "ab", "-");
    EXPECT("root ::= [^a-cx]", "d", "\n", "\xC3\xA9", "\xF0\x9F\x98\x80", NULL, "a", "x",
           "", "\xC3", "\xED\xA0\x80");
    EXPECT("root ::= [a-]", "a", "-", NULL, "b");
    EXPECT("root ::= [-a]", "a", "-", NULL, "b");
    EXPECT("root ::= [\\]\\[\\\\\\-\\^]+", "][\\-^", NULL, "a");
    EXPECT("root ::= [^]", "a", "\n", NULL, "", "ab");
    EXPECT("root ::= .", "a", "\n", "\xE4\xBD\xA0", NULL, "", "\x80", "\xF4\x90\x80\x80");
    EXPECT("root ::= [\\x41\\u00e9\\U0001F600]", "A", "\xC3\xA9", "\xF0\x9F\x98\x80",
           NULL, "a", "\xC3\xA8");
    EXPECT("root ::= \"\\t\\r\\n\\\"\\\\\\x7F\"", "\t\r\n\"\\\x7F", NULL, "\t\r\n\"\\");
    EXPECT("root ::= [\\u0780-\\u0820]", "\xDE\x80", "\xDF\xBF", "\xE0\xA0\x80",
           "\xE0\xA0\xA0", NULL, "\xDD\xBF", "\xE0\xA0\xA1", "\xE0\x9F\xBF");
    EXPECT("root ::= [\\uFFF0-\\U00010010]", "\xEF\xBF\xB0", "\xEF\xBF\xBF",
           "\xF0\x90\x80\x80", "\xF0\x90\x80\x90", NULL, "\xF0\x90\x80\x91",
           "\xF0\x8F\xBF\xBF");
    EXPECT("root ::= [b-da-cc-e]", "a", "b", "c", "d", "e", NULL, "f", "`");
}

/* Every code point once, and what is no code point, against the ranges themselves. */
static void every_character(void **state)
{
    pair p =
        make("root ::= [^\\x00-\\x1F\"\\\\\\x7F\\u0800-\\u0FFF\\U00010000-\\U0001FFFF]");
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char bytes[4];
        if (c >= 0xD800 && c < 0xE000)
            continue;
        size_t n = st_utf8_encode(c, bytes);
        bool out = c < 0x20 || c == '"' || c == '\\' || c == 0x7F ||
                   (c >= 0x800 && c < 0x1000) || (c >= 0x10000 && c < 0x20000);
        state_id s = run(&p, bytes, n);
        if ((s != STATE_DEAD && p.a->ops->accepts(p.a, s)) == out)
            fail_msg("U+%04X", c);
    }
    drop(p);
}

static void recursion(void **state)
{
    (void)state;
    EXPECT("root ::= \"(\" root \")\" root | \"\"", "", "()", "(())()", NULL, "(", ")(",
           "(()");
    EXPECT("root ::= e\ne ::= e \"+\" t | t\nt ::= \"x\" | \"(\" e \")\"", "x", "x+x+x",
           "(x+x)+x", NULL, "", "x+", "(x");
    EXPECT("root ::= root root | \"a\" | \"b\" root", "a", "aa",
           "bab"
           "a",
           NULL, "", "b");
    EXPECT("root ::= (\"a\"*)* \"b\"", "b", "aaab", NULL, "a");
    EXPECT("root ::= (\"a\"? \"b\"?)+", "", "abba", NULL, "c");
    EXPECT("root ::= root | \"a\"", "a", NULL, "", "aa");
    EXPECT("root ::= x root | \"b\"\nx ::= \"a\"?", "b", "aab", NULL, "a");
}

static void what_derives_nothing_is_cut(void **state)
{
    pair p = make("root ::= \"a\" never | \"b\"\nnever ::= \"c\" never");
    (void)state;
    assert_int_equal(run(&p, "a", 1), STATE_DEAD);
    assert_true(holds(&p, "b", 1));
    drop(p);
}

static void refused(void **state)
{
    static const struct {
        const char *text, *message;
        int code;
    } rows[] = {
        {"", "line 1, column 1: the rule root is missing", ST_EFORMAT},
        {"a ::= \"x\"", "the rule root is missing", ST_EFORMAT},
        {"root ::= a", "line 1, column 10: a rule of this name is missing", ST_EFORMAT},
        {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: this rule is there already",
         ST_EFORMAT},
        {"root = \"a\"", "line 1, column 6: ::= is missing here", ST_EFORMAT},
        {"root ::= \"\xC3\xA9", "line 1, column 10: this text has no end", ST_EFORMAT},
        {"root ::= \"\xC3\xA9\" )", "line 1, column 14: this cannot stand here",
         ST_EFORMAT},
        {"root ::= [a", "column 11: this class has no end", ST_EFORMAT},
        {"root ::= []", "column 10: a class without characters", ST_EFORMAT},
        {"root ::= [\\uD800-\\uDFFF]", "no character has this number", ST_EFORMAT},
        {"root ::= [b-a]", "column 11: a range that goes backwards", ST_EFORMAT},
        {"root ::= \"\\q\"", "column 11: an escape that is not known", ST_EFORMAT},
        {"root ::= \"\\x4\"", "column 14: a hexadecimal digit is missing", ST_EFORMAT},
        {"root ::= \"\\U00110000\"", "no character has this number", ST_EFORMAT},
        {"root ::= (\n\"a\"\n", "line 1, column 10: this group has no end", ST_EFORMAT},
        {"root ::= (\"a\" ]", "column 15: a ) is missing here", ST_EFORMAT},
        {"root ::= * \"a\"", "column 10: nothing stands before", ST_EFORMAT},
        {"root ::= (*)", "column 11: nothing stands before", ST_EFORMAT},
        {"root ::= \"a\"{x}", "column 14: a number is missing", ST_EFORMAT},
        {"root ::= \"a\"{2,1}", "column 13: the most is less than the least", ST_EFORMAT},
        {"root ::= \"a\"{1", "a } is missing here", ST_EFORMAT},
        {"root ::= \"a\"{10001}", "at most 10000 repetitions", ST_ELIMIT},
        {"root ::= \"\xFF\"", "column 11: not UTF-8", ST_EFORMAT},
        {"root ::= <think>", "column 10: tokens are not taken", ST_EUNSUPPORTED},
        {"root ::= \"a\" !<[12]>", "column 14: tokens are not taken", ST_EUNSUPPORTED},
        {"root ::= a\na ::= b \"x\" | \"y\"\nb ::= a", "rule 'a' can begin with itself",
         ST_EUNSUPPORTED},
        {"root ::= a\na ::= n a \"x\" | \"y\"\nn ::= \"z\"?", "'a' can begin with itself",
         ST_EUNSUPPORTED},
        {"root ::= root \"a\"", "no text fits", ST_EINVAL},
        {"root ::= a\na ::= \"x\" b\nb ::= a a", "no text fits", ST_EINVAL},
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        grammar *g = NULL;
        st_err err = {0};
        int rc = grammar_gbnf(rows[i].text, strlen(rows[i].text), &g, &err);
        if (rc != rows[i].code || g || !strstr(err.message, rows[i].message))
            fail_msg("%s: %d, %s", rows[i].text, rc, err.message);
    }
}

static void too_large(void **state)
{
    enum { N = (1 << 18) + 32 };
    char *text = st_alloc(N);
    st_err err = {0};
    grammar *g = NULL;
    (void)state;
    assert_non_null(text);
    memset(text, 'a', N);
    memcpy(text, "root ::= \"", 10);
    text[N - 1] = '"';
    assert_int_equal(grammar_gbnf(text, N, &g, &err), ST_ELIMIT);
    assert_non_null(strstr(err.message, "too many symbols"));
    st_free(text);
}

static void deep_groups(void **state)
{
    char text[2048] = "root ::= ";
    size_t n = strlen(text);
    st_err err = {0};
    grammar *g = NULL;
    (void)state;
    memset(text + n, '(', 201);
    assert_int_equal(grammar_gbnf(text, n + 201, &g, &err), ST_ELIMIT);
    assert_non_null(strstr(err.message, "nested too deep"));
    memset(text + n, '(', 200);
    text[n + 200] = 'x';
    memset(text + n + 201, ')', 200);
    memcpy(text + n + 401, "\nx::=\"a\"", 9);
    pair p = make(text);
    assert_true(holds(&p, "a", 1));
    drop(p);
}

/* A long text: sets of stacks stay small, Earley's sets too. */
static void long_texts(void **state)
{
    static const char *const texts[] = {"root ::= (item \",\")* item\nitem ::= [a-z ]+",
                                        "root ::= [a-z ]+ (\",\" root)?",
                                        "root ::= \"a,\"{5000,9000} \"a\""};
    enum { N = 14001 };
    char *text = st_alloc(N);
    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < N; i++)
        text[i] = i % 2 ? ',' : 'a';
    for (size_t i = 0; i < ST_COUNT(texts); i++) {
        pair p = make(texts[i]);
        assert_true(holds(&p, text, N));
        assert_false(holds(&p, text, N - 1));
        drop(p);
    }
    st_free(text);
}

/* ---- random grammars ---- */

static void put_symbols(st_rng *rng, st_buf *b, unsigned depth)
{
    static const char *const quantifiers[] = {"",  "",    "",      "*",   "+",
                                              "?", "{2}", "{0,2}", "{1,}"};
    unsigned n = st_rng_below(rng, 4);
    if (n == 0)
        st_buf_str(b, "\"\" ");
    for (unsigned i = 0; i < n; i++) {
        unsigned what = st_rng_below(rng, depth < 2 ? 6 : 5);
        if (what == 5) {
            st_buf_str(b, "( ");
            put_symbols(rng, b, depth + 1);
            st_buf_str(b, "| ");
            put_symbols(rng, b, depth + 1);
            st_buf_str(b, ")");
        } else if (what >= 3) {
            st_buf_fmt(b, "%c", "xyz"[st_rng_below(rng, 3)]);
        } else {
            st_buf_str(b, what == 0 ? "\"a\"" : what == 1 ? "[ab]" : "\"b\"");
        }
        st_buf_fmt(b, "%s ", quantifiers[st_rng_below(rng, ST_COUNT(quantifiers))]);
    }
}

static void put_grammar(st_rng *rng, st_buf *b)
{
    static const char *const names[] = {"root", "x", "y", "z"};
    for (unsigned i = 0; i < ST_COUNT(names); i++) {
        st_buf_fmt(b, "%s ::= ", names[i]);
        for (unsigned n = 1 + st_rng_below(rng, 3); n > 0; n--) {
            put_symbols(rng, b, 0);
            if (n > 1)
                st_buf_str(b, "| ");
        }
        st_buf_char(b, '\n');
    }
}

enum { MOST_STATES = 200 };

/* From every state that is met some text is accepted, as far as all can be looked at. */
static void expect_no_dead_ends(const pair *p, const char *text)
{
    static state_id next[MOST_STATES + 1][2];
    static bool good[MOST_STATES + 1];
    state_id n = 1;
    for (state_id s = 1; s <= n; s++) {
        for (unsigned c = 0; c < 2; c++) {
            int rc = p->a->ops->step(p->a, s, (uint8_t)('a' + c), &next[s][c], NULL);
            if (rc == ST_ELIMIT)
                return; /* very ambiguous */
            assert_int_equal(rc, 0);
            n = next[s][c] > n ? next[s][c] : n;
        }
        good[s] = p->a->ops->accepts(p->a, s);
        if (n > MOST_STATES)
            return; /* an endless grammar */
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (state_id s = 1; s <= n; s++) {
            for (unsigned c = 0; c < 2; c++) {
                if (!good[s] && next[s][c] != STATE_DEAD && good[next[s][c]])
                    good[s] = changed = true;
            }
        }
    }
    for (state_id s = 1; s <= n; s++) {
        if (!good[s])
            fail_msg("%s: a dead end", text);
    }
}

enum { SHORT = 6 };

typedef struct language {
    const pair *p; /* NULL: nothing is in it */
    const gbnf *g;
    const char *text;
    unsigned n;
    bool wide;
} language;

/* All texts that begin with the word, both ways; those of p in state s. */
static void expect_agreement(language *l, char *word, unsigned len, state_id s)
{
    bool in = s != STATE_DEAD && l->p->a->ops->accepts(l->p->a, s);
    int rc = gbnf_earley(l->g, word, len, NULL);
    if (rc != (in ? 0 : ST_EFORMAT))
        fail_msg("%s'%.*s': automaton %d, Earley %d", l->text, (int)len, word, in, rc);
    l->n += in;
    for (unsigned c = 0; len < SHORT && c < 2 && !l->wide; c++) {
        state_id next = STATE_DEAD;
        word[len] = (char)('a' + c);
        if (s != STATE_DEAD) {
            rc = l->p->a->ops->step(l->p->a, s, (uint8_t)word[len], &next, NULL);
            l->wide = rc == ST_ELIMIT; /* more ways are open than are followed */
            assert_true(rc == 0 || l->wide);
        }
        if (!l->wide)
            expect_agreement(l, word, len + 1, next);
    }
}

static void random_grammars(void **state)
{
    st_rng rng = {1};
    unsigned agreed = 0, turned = 0, empty = 0, words = 0;
    (void)state;
    for (unsigned i = 0; i < 400; i++) {
        st_buf b;
        pair p = {0};
        gbnf *g;
        st_err err = {0};
        st_buf_init(&b, 1 << 16);
        put_grammar(&rng, &b);
        assert_int_equal(gbnf_read(b.data, b.len, &g, NULL), 0);
        int rc = grammar_gbnf(b.data, b.len, &p.g, &err);
        if (rc == 0) {
            assert_int_equal(p.g->ops->automaton(p.g, &p.a, NULL), 0);
            language l = {.p = &p, .g = g, .text = b.data};
            expect_agreement(&l, (char[SHORT]){0}, 0, STATE_START);
            words += l.n;
            agreed += !l.wide;
            expect_no_dead_ends(&p, b.data);
            drop(p);
        } else if (rc == ST_EINVAL) {
            language l = {.g = g, .text = b.data};
            expect_agreement(&l, (char[SHORT]){0}, 0, STATE_DEAD);
            empty++;
        } else {
            assert_int_equal(rc, ST_EUNSUPPORTED);
            turned++;
        }
        gbnf_free(g);
        st_buf_done(&b);
    }
    assert_true(agreed > 100 && empty > 0 && turned > 50 && words > 5000);
}

static int make_and_run(void *arg)
{
    const char *text = arg;
    grammar *g = NULL;
    automaton *a = NULL;
    st_err err = {0};
    int rc = grammar_gbnf(text, strlen(text), &g, &err);
    if (rc == 0)
        rc = g->ops->automaton(g, &a, &err);
    state_id s = STATE_START;
    for (const char *p = "(x+\xC3\xA9)+x"; rc == 0 && *p; p++)
        rc = a->ops->step(a, s, (uint8_t)*p, &s, &err);
    if (rc == 0)
        assert_true(a->ops->accepts(a, s));
    if (rc == 0)
        rc = grammar_validate(g, "(x+\xC3\xA9)+x", 8, &err);
    assert_int_equal(rc, err.code);
    automaton_free(a);
    grammar_free(g);
    return rc;
}

static void allocations_fail(void **state)
{
    char text[] = "root ::= e\ne ::= e \"+\" t | t # left\n"
                  "t ::= [^ab+()]{1,2} | \"(\" e \")\" | \"q\"+";
    (void)state;
    fault_sweep(make_and_run, text, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notation),
        cmocka_unit_test(classes),
        cmocka_unit_test(every_character),
        cmocka_unit_test(recursion),
        cmocka_unit_test(what_derives_nothing_is_cut),
        cmocka_unit_test(refused),
        cmocka_unit_test(too_large),
        cmocka_unit_test(deep_groups),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(random_grammars),
        cmocka_unit_test(allocations_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
