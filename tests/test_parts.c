/* tests/test_parts.c - automata made of parts, against regular expressions of the C
 * library over every text of a small alphabet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "grammar/parts_automaton.h"
#include "tests/fault.h"
#include <regex.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST = 16 };

/* A pet automaton: one digit or more, or with `empty` none; with `unique` a digit may not
 * come twice.  A state is 1 + how many digits were read, up to 2. */
typedef struct digits {
    automaton base;
    bool empty, unique;
} digits;

static int digits_alive; /* how many were made and not freed */

static void digits_free(automaton *a)
{
    digits_alive--;
    st_free(a);
}

static int digits_step(automaton *a, state_id s, uint8_t byte, state_id *ret, st_err *err)
{
    (void)a;
    (void)err;
    bool digit = byte >= '0' && byte <= '9';
    *ret = s == STATE_DEAD || !digit ? STATE_DEAD : 2;
    return 0;
}

static bool digits_accepts(const automaton *a, state_id s)
{
    return s == 2 || (s == 1 && ((const digits *)a)->empty);
}

static size_t digits_bytes(const automaton *a)
{
    (void)a;
    return 0;
}

static void digits_forget(automaton *a)
{
    (void)a;
}

static bool digits_may_repeat(const automaton *a, state_id s)
{
    return ((const digits *)a)->unique && s == 2;
}

static bool digits_repeats(const automaton *a, state_id s, const char *text, size_t len)
{
    (void)a;
    (void)s;
    return len > 1 && memchr(text, text[len - 1], len - 1) != NULL;
}

static automaton *digits_new(bool empty, bool unique)
{
    static const automaton_ops ops = {
        .free = digits_free,
        .step = digits_step,
        .accepts = digits_accepts,
        .bytes = digits_bytes,
        .forget = digits_forget,
        .may_repeat = digits_may_repeat,
        .repeats = digits_repeats,
    };
    digits *d = st_zalloc_n(1, sizeof *d);
    if (!d)
        return NULL;
    *d = (digits){.base = {.ops = &ops}, .empty = empty, .unique = unique};
    digits_alive++;
    return &d->base;
}

static part_id text(parts *p, const char *s)
{
    return part_text(p, s, strlen(s));
}

static parts *begin(void)
{
    parts *p;
    st_err err = {0};
    assert_int_equal(parts_new(&p, &err), 0);
    return p;
}

static automaton *finish(parts *p, part_id root)
{
    automaton *a;
    st_err err = {0};
    if (parts_automaton(p, root, NULL, 0, &a, &err) < 0)
        fail_msg("%s", err.message);
    return a;
}

typedef struct walk {
    automaton *a;
    const char *alphabet;
    regex_t re;
    size_t most, texts, accepted;
} walk;

/* Every text of up to `most` bytes: accepted when the expression says so; and what is
 * dead has no accepted text behind it.  Returns whether some text behind is accepted. */
static bool walk_on(walk *w, state_id s, char *read, size_t len)
{
    read[len] = '\0';
    bool accepts = w->a->ops->accepts(w->a, s);
    bool expected = regexec(&w->re, read, 0, NULL, 0) == 0;
    if (accepts != expected)
        fail_msg("'%s' is%s accepted", read, accepts ? "" : " not");
    w->texts++;
    w->accepted += accepts;
    bool any = accepts;
    if (len < w->most) {
        for (const char *c = w->alphabet; *c; c++) {
            state_id next;
            st_err err = {0};
            assert_int_equal(w->a->ops->step(w->a, s, (uint8_t)*c, &next, &err), 0);
            read[len] = *c;
            any = walk_on(w, next, read, len + 1) || any;
        }
        if (s == STATE_DEAD)
            assert_false(any);
    }
    return any;
}

static void same(automaton *a, const char *expression, const char *alphabet, size_t most)
{
    char read[LONGEST + 1];
    walk w = {.a = a, .alphabet = alphabet, .most = most};
    assert_int_equal(regcomp(&w.re, expression, REG_EXTENDED | REG_NOSUB), 0);
    walk_on(&w, STATE_START, read, 0);
    assert_true(w.accepted > 0);
    regfree(&w.re);
    a->ops->forget(a);
    state_id s;
    st_err err = {0};
    assert_int_equal(a->ops->step(a, STATE_START, '~', &s, &err), 0);
    assert_int_equal(s, STATE_DEAD);
    a->ops->free(a);
}

static void choices_that_begin_alike(void **state)
{
    (void)state;
    parts *p = begin();
    part_id words[] = {text(p, "ab"), text(p, "abc"), text(p, "a"), text(p, "")};
    part_id row[] = {part_choice(p, words, 4), part_choice(p, words, 3), text(p, "c")};
    same(finish(p, part_row(p, row, 3)), "^(abc|ab|a|)(abc|ab|a)c$", "abc", 8);
}

static void counted_repetition(void **state)
{
    (void)state;
    parts *p = begin();
    part_id words[] = {text(p, "a"), text(p, "ab")};
    part_id item = part_choice(p, words, 2);
    part_id row[] = {text(p, "<"), part_repeat(p, item, text(p, ","), 3), text(p, ">")};
    same(finish(p, part_row(p, row, 3)), "^<(a|ab)(,(a|ab)){0,2}>$", "<ab,>", 8);
}

static void endless_repetition(void **state)
{
    (void)state;
    parts *p = begin();
    part_id words[] = {text(p, "a"), text(p, "b,")};
    part_id item = part_choice(p, words, 2);
    same(finish(p, part_repeat(p, item, text(p, ","), 0)), "^(a|b,)(,(a|b,))*$", "ab,",
         9);
}

static void repetition_of_what_may_be_empty(void **state)
{
    (void)state;
    for (uint32_t max = 0; max <= 3; max += 3) {
        parts *p = begin();
        part_id item = part_sub(p, digits_new(true, false));
        automaton *a = finish(p, part_repeat(p, item, text(p, ","), max));
        same(a, max ? "^[0-9]*(,[0-9]*){0,2}$" : "^[0-9]*(,[0-9]*)*$", "1,", 9);
    }
}

static void repetition_with_nothing_between(void **state)
{
    (void)state;
    parts *p = begin();
    part_id loop = part_repeat(p, text(p, "ab"), text(p, ""), 0);
    same(finish(p, loop), "^(ab)+$", "ab", 10);
}

static void automata_among_parts(void **state)
{
    (void)state;
    parts *p = begin();
    part_id n = part_sub(p, digits_new(false, false));
    part_id maybe = part_sub(p, digits_new(true, false));
    part_id row[] = {text(p, "1"), n, maybe, text(p, "2"), maybe};
    part_id all[] = {part_row(p, row, 5), part_row(p, NULL, 0)};
    same(finish(p, part_choice(p, all, 2)), "^(1[0-9]+[0-9]*2[0-9]*)?$", "12,", 9);
    assert_int_equal(digits_alive, 0);
}

/* A digit that came in an earlier place of the same automaton is no repeat. */
static void repeats_belong_to_one_place(void **state)
{
    (void)state;
    const struct {
        const char *text;
        bool repeats;
    } cases[] = {{"[1", false},         {"[12", false},     {"[121", true},
                 {"[1],[1", false},     {"[1],[12", false}, {"[1],[3],[133", true},
                 {"[1],[3],[13", false}};
    parts *p = begin();
    part_id row[] = {text(p, "["), part_sub(p, digits_new(false, true)), text(p, "]")};
    automaton *a = finish(p, part_repeat(p, part_row(p, row, 3), text(p, ","), 0));
    for (int twice = 0; twice < 2; twice++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            state_id s = STATE_START;
            st_err err = {0};
            for (const char *c = cases[i].text; *c; c++)
                assert_int_equal(a->ops->step(a, s, (uint8_t)*c, &s, &err), 0);
            assert_true(a->ops->may_repeat(a, s));
            assert_int_equal(a->ops->repeats(a, s, cases[i].text, strlen(cases[i].text)),
                             cases[i].repeats);
        }
    }
    /* a long text, read on from where an earlier reading stopped */
    char longer[1000] = "";
    for (int i = 0; i < 200; i++)
        memcpy(longer + 4 * i, i % 2 ? "[1]," : "[2],", 5);
    memcpy(longer + 800, "[12", 4);
    for (int i = 0; i < 3; i++) {
        const char *tails[] = {"[12", "[11", "[21"};
        memcpy(longer + 800, tails[i], 4);
        assert_int_equal(a->ops->repeats(a, 0, longer, 803), i == 1);
    }
    a->ops->free(a);
}

static void markers_where_they_are_spelled(void **state)
{
    (void)state;
    const char *const markers[] = {"<call>", "</call>"};
    automaton *a;
    st_err err = {0};
    parts *p = begin();
    part_id either[] = {text(p, "x<call>"), part_sub(p, digits_new(false, false))};
    part_id row[] = {text(p, "<call>"), part_choice(p, either, 2), text(p, "</call>")};
    assert_int_equal(parts_automaton(p, part_row(p, row, 3), markers, 2, &a, &err), 0);
    assert_string_equal(a->ops->marker(a, 1), "</call>");
    assert_null(a->ops->marker(a, 2));
    const struct {
        const char *text;
        bool first, second;
    } cases[] = {{"", true, false},
                 {"<", false, false},
                 {"<call>", false, false},
                 {"<call>x", true, false},
                 {"<call>x<call>", false, true},
                 {"<call>12", false, true},
                 {"<call>12<", false, false},
                 {"<call>1</call>", false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        state_id s = STATE_START;
        for (const char *c = cases[i].text; *c; c++)
            assert_int_equal(a->ops->step(a, s, (uint8_t)*c, &s, &err), 0);
        assert_int_equal(a->ops->marker_may(a, s, 0), cases[i].first);
        assert_int_equal(a->ops->marker_may(a, s, 1), cases[i].second);
    }
    a->ops->free(a);
}

static void what_cannot_be(void **state)
{
    (void)state;
    automaton *a;
    st_err err = {0};
    parts *p = begin();
    assert_int_equal(parts_automaton(p, part_choice(p, NULL, 0), NULL, 0, &a, &err),
                     ST_EINVAL);
    p = begin();
    st_err empty = {0};
    part_id none = part_repeat(p, text(p, ""), text(p, ","), 2);
    assert_int_equal(parts_automaton(p, none, NULL, 0, &a, &empty), ST_EINVAL);
    p = begin();
    part_id many = text(p, "a");
    for (int i = 0; i < 4; i++)
        many = part_repeat(p, many, text(p, ","), 100);
    st_err limit = {0};
    assert_int_equal(parts_automaton(p, many, NULL, 0, &a, &limit), ST_ELIMIT);
    assert_non_null(strstr(limit.message, "too many parts"));
}

static int everything(void *arg)
{
    const char *const markers[] = {"<a>"};
    automaton *a = NULL;
    parts *p;
    st_err err = {0};
    (void)arg;
    int rc = parts_new(&p, &err);
    if (rc < 0)
        return rc;
    automaton *d = digits_new(false, true);
    part_id n = d ? part_sub(p, d) : 0;
    part_id row[] = {part_text(p, "<a>", 3), n, part_text(p, "</a>", 4)};
    part_id loop = part_repeat(p, part_row(p, row, 3), part_text(p, ",", 1), 2);
    if (!d) {
        parts_free(p);
        return ST_ENOMEM;
    }
    rc = parts_automaton(p, loop, markers, 1, &a, &err);
    state_id s = STATE_START;
    for (const char *c = "<a>12</a>,<a>3"; rc == 0 && *c; c++)
        rc = a->ops->step(a, s, (uint8_t)*c, &s, &err);
    if (a)
        a->ops->free(a);
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    assert_true(fault_sweep(everything, NULL, 1) > 10);
    assert_int_equal(digits_alive, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choices_that_begin_alike),
        cmocka_unit_test(counted_repetition),
        cmocka_unit_test(endless_repetition),
        cmocka_unit_test(repetition_of_what_may_be_empty),
        cmocka_unit_test(repetition_with_nothing_between),
        cmocka_unit_test(automata_among_parts),
        cmocka_unit_test(repeats_belong_to_one_place),
        cmocka_unit_test(markers_where_they_are_spelled),
        cmocka_unit_test(what_cannot_be),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
