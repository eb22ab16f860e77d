/* tests/test_masker.c - masks are exactly the pieces that fit, found one piece at a time;
 * with little memory, after rewinding, beside other texts, when allocations fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "grammar/kind.h"
#include "grammar/piece_trie.h"
#include "tests/fault.h"
#include "tests/small_vocab.h"
#include <stdio.h>
#include <string.h>

/* ---- an automaton made by hand: "a","b",... without repeats, then perhaps <call> ----
 *
 * 1: before an item, 2: in it, 3: behind it, 4 to 8: in <call>, 9: behind it. */

enum { BEFORE = 1, INSIDE, BEHIND, CALL, CALLED = CALL + 5 };

static const char call[] = "<call>";

static void items_free(automaton *a)
{
    st_free(a);
}

static int items_step(automaton *a, state_id s, uint8_t byte, state_id *ret, st_err *err)
{
    (void)a;
    (void)err;
    *ret = STATE_DEAD;
    if (s == BEFORE && byte == '"')
        *ret = INSIDE;
    else if (s == INSIDE && byte >= 0x20 && byte != '\\')
        *ret = byte == '"' ? BEHIND : INSIDE;
    else if (s == BEHIND && byte == ',')
        *ret = BEFORE;
    else if (s == BEHIND && byte == '<')
        *ret = CALL;
    else if (s >= CALL && s < CALLED && byte == (uint8_t)call[s - CALL + 1])
        *ret = s + 1;
    return 0;
}

static bool items_accept(const automaton *a, state_id s)
{
    (void)a;
    return s == BEHIND || s == CALLED;
}

static size_t items_bytes(const automaton *a)
{
    (void)a;
    return 0;
}

static void items_forget(automaton *a)
{
    (void)a;
}

static uint32_t items_room(const automaton *a, state_id s)
{
    (void)a;
    return s == INSIDE ? UINT32_MAX : 0;
}

static bool items_loop(const automaton *a, state_id s)
{
    (void)a;
    return s == INSIDE;
}

static bool items_may_repeat(const automaton *a, state_id s)
{
    (void)a;
    return s == BEHIND;
}

/* The item that begins at `at`, with its quotes as far as they are there. */
static size_t item_len(const char *text, size_t len, size_t at)
{
    size_t end = at + 1;
    while (end < len && text[end] != '"')
        end++;
    return (end < len ? end + 1 : len) - at;
}

static bool items_repeat(const automaton *a, state_id s, const char *text, size_t len)
{
    size_t last = 0;
    (void)a;
    (void)s;
    for (size_t at = 0; at < len; at += item_len(text, len, at) + 1)
        last = at;
    size_t n = item_len(text, len, last);
    for (size_t at = 0; at < last; at += item_len(text, len, at) + 1) {
        if (item_len(text, len, at) == n && memcmp(text + at, text + last, n) == 0)
            return true;
    }
    return false;
}

static bool items_taken(const automaton *a, state_id s, const char *text, size_t len,
                        st_buf *out)
{
    size_t begun = 0;
    (void)a;
    if (s != BEFORE && s != INSIDE)
        return false;
    for (size_t at = 0; at < len; at += item_len(text, len, at) + 1)
        begun = at;
    if (s == BEFORE)
        begun = len;
    size_t have = len - begun;
    for (size_t at = 0; at < begun; at += item_len(text, len, at) + 1) {
        size_t n = item_len(text, len, at);
        if (n > have && memcmp(text + at, text + begun, have) == 0) {
            st_buf_add(out, text + at + have, n - have);
            st_buf_char(out, '\0');
        }
    }
    return true;
}

static const char *items_marker(const automaton *a, uint32_t i)
{
    (void)a;
    return i == 0 ? "<absent>" : i == 1 ? call : NULL;
}

static bool items_marker_may(const automaton *a, state_id s, uint32_t i)
{
    (void)a;
    return s == BEHIND && i == 1;
}

static const automaton_ops listed = {
    .free = items_free,
    .step = items_step,
    .accepts = items_accept,
    .bytes = items_bytes,
    .forget = items_forget,
    .room = items_room,
    .loops = items_loop,
    .may_repeat = items_may_repeat,
    .repeats = items_repeat,
    .marker = items_marker,
    .marker_may = items_marker_may,
    .taken = items_taken,
};
static const automaton_ops asked = {
    .free = items_free,
    .step = items_step,
    .accepts = items_accept,
    .bytes = items_bytes,
    .forget = items_forget,
    .room = items_room,
    .loops = items_loop,
    .may_repeat = items_may_repeat,
    .repeats = items_repeat,
    .marker = items_marker,
    .marker_may = items_marker_may,
};

static int items_new(const automaton_ops *ops, automaton **ret, st_err *err)
{
    automaton *a = st_alloc(sizeof *a);
    if (!a)
        return st_err_set(err, ST_ENOMEM, "out of memory");
    a->ops = ops;
    *ret = a;
    return 0;
}

static int listed_new(const grammar *g, automaton **ret, st_err *err)
{
    (void)g;
    return items_new(&listed, ret, err);
}

static int asked_new(const grammar *g, automaton **ret, st_err *err)
{
    (void)g;
    return items_new(&asked, ret, err);
}

static void kept(grammar *g)
{
    (void)g;
}

static const grammar_ops listed_ops = {kept, listed_new, NULL};
static const grammar_ops asked_ops = {kept, asked_new, NULL};
static grammar items_listed = {&listed_ops}, items_asked = {&asked_ops};

/* ---- grammars of every kind ---- */

static grammar *gbnf(const char *text)
{
    grammar *g;
    st_err err = {0};
    if (grammar_gbnf(text, strlen(text), &g, &err) < 0)
        fail_msg("%s", err.message);
    return g;
}

static grammar *choices(const char *const *texts, uint32_t n)
{
    size_t lens[16];
    grammar *g;
    st_err err = {0};
    for (uint32_t i = 0; i < n; i++)
        lens[i] = strlen(texts[i]);
    if (grammar_choices(texts, lens, n, &g, &err) < 0)
        fail_msg("%s", err.message);
    return g;
}

static grammar *regex(const char *text)
{
    grammar *g;
    st_err err = {0};
    if (grammar_regex(text, strlen(text), &g, &err) < 0)
        fail_msg("%s", err.message);
    return g;
}

static grammar *json_schema(const char *text, grammar_space space, bool any_order)
{
    grammar *g;
    st_err err = {0};
    if (grammar_schema(text, strlen(text), &(grammar_schema_opts){space, any_order}, &g,
                       NULL, &err) < 0)
        fail_msg("%s", err.message);
    return g;
}

enum { N_KINDS = 17 };

static grammar *kind(unsigned i)
{
    static const char *const words[] = {"ab", "abc", "aaaa", "hello", "h\xC3\xA9", "e"};
    switch (i) {
    case 0:
        return &items_listed;
    case 1:
        return &items_asked;
    case 2:
        return choices(words, ST_COUNT(words));
    case 3:
        return gbnf("root ::= \"(\" root? \")\" | [a-c]+");
    case 4: /* every text without a quote, then one */
        return gbnf("root ::= [^\"]* \"\\\"\"");
    case 5:
        return gbnf("root ::= e\ne ::= e \"+\" t | t\nt ::= \"(\" e \")\" | [0-9]{1,3}");
    case 6:
        return gbnf(
            "root ::= o\no ::= \"{\" (p (\", \" p)*)? \"}\"\n"
            "p ::= s \": \" (s | o | [0-9]+)\n"
            "s ::= \"\\\"\" ([^\"\\\\\\x00-\\x1F] | \"\\\\\" [n\"\\\\])* \"\\\"\"");
    case 7:
        return regex("[a-e]{3,9}( [a-c\xC3\xA9]*)?|\\d+(\\.5)?");
    case 8:
        return regex("[^\"\\\\]*\"");
    case 9:
        return json_schema("{\"type\": [\"object\", \"null\"]}", GRAMMAR_EITHER, true);
    case 10:
        return json_schema("{\"properties\": {\"a\": {\"type\": \"integer\"}, \"ab\": "
                           "{\"type\": \"string\", \"maxLength\": 3}}, \"required\": "
                           "[\"a\"], \"type\": \"object\"}",
                           GRAMMAR_SPACED, false);
    case 11:
        return json_schema("{\"type\": \"array\", \"uniqueItems\": true, \"items\": "
                           "{\"type\": [\"integer\", \"boolean\"]}}",
                           GRAMMAR_COMPACT, false);
    case 12:
        return json_schema(
            "{\"type\": \"array\", \"uniqueItems\": true, \"minItems\": 2, "
            "\"items\": {\"type\": \"string\", \"minLength\": 1}}",
            GRAMMAR_SPACED, false);
    case 13:
        return json_schema("{\"type\": \"string\", \"minLength\": 2, \"maxLength\": 40}",
                           GRAMMAR_SPACED, false);
    case 14:
        return json_schema("{\"$defs\": {\"n\": {\"type\": \"object\", \"properties\": "
                           "{\"x\": {\"$ref\": \"#/$defs/n\"}, \"y\": {\"enum\": [\"a\", "
                           "\"ab\", null, 12]}}, \"additionalProperties\": false}}, "
                           "\"$ref\": \"#/$defs/n\"}",
                           GRAMMAR_EITHER, true);
    case 15:
        return regex("(a|b)*(?=a)abc|x.*");
    default:
        return gbnf("root ::= (\"ab\" | \"a\" | \"b\" | \"abc\"){2,5} \"\\n\"*");
    }
}

/* ---- what a mask should be, piece by piece ---- */

typedef struct fixture {
    vocab *v;
    grammar *g;
    masker *m;
    matcher *t;
    automaton *a; /* another one, for what should be */
} fixture;

static void fixture_init(fixture *f, unsigned i, size_t bytes)
{
    st_err err = {0};
    f->v = small_vocab();
    f->g = kind(i);
    if (masker_new(f->g, f->v, &(masker_opts){bytes}, &f->m, &err) < 0 ||
        matcher_new(f->m, &f->t, &err) < 0 || f->g->ops->automaton(f->g, &f->a, &err) < 0)
        fail_msg("%s", err.message);
}

static void fixture_done(fixture *f)
{
    f->a->ops->free(f->a);
    matcher_free(f->t);
    masker_free(f->m);
    grammar_free(f->g);
    vocab_free(f->v);
}

/* Where the automaton is after text and piece; STATE_DEAD where they do not fit. */
static state_id reached(automaton *a, const char *text, size_t len, const char *piece,
                        size_t n)
{
    st_buf all;
    st_err err = {0};
    state_id s = STATE_START;
    st_buf_init(&all, 1 << 20);
    st_buf_add(&all, text, len);
    st_buf_add(&all, piece, n);
    for (size_t i = 0; i < all.len && s != STATE_DEAD; i++) {
        assert_int_equal(a->ops->step(a, s, (uint8_t)all.data[i], &s, &err), 0);
        if (s != STATE_DEAD && a->ops->may_repeat && a->ops->may_repeat(a, s) &&
            a->ops->repeats(a, s, all.data, i + 1))
            s = STATE_DEAD;
    }
    st_buf_done(&all);
    return s;
}

static bool should_be_in(const fixture *f, const char *text, size_t len, uint32_t id)
{
    size_t n;
    const char *piece = vocab_bytes(f->v, id, &n);
    if (id == SMALL_CONTROL && f->a->ops->marker)
        return reached(f->a, text, len, "", 0) == BEHIND;
    return n > 0 && reached(f->a, text, len, piece, n) != STATE_DEAD;
}

static bool is_in(const mask *k, uint32_t id)
{
    return k->bits[id / 32] >> id % 32 & 1;
}

static mask mask_of(matcher *t)
{
    mask k;
    st_err err = {0};
    if (matcher_mask(t, &k, &err) < 0)
        fail_msg("%s", err.message);
    return k;
}

static void expect_mask(const fixture *f)
{
    mask k = mask_of(f->t);
    size_t len;
    const char *text = matcher_text(f->t, &len);
    uint32_t n = 0;
    assert_int_equal(vocab_n(f->v), SMALL_N);
    for (uint32_t id = 0; id < SMALL_N; id++) {
        if (is_in(&k, id) != should_be_in(f, text, len, id))
            fail_msg("token %u after '%.*s': %d", id, (int)len, text, is_in(&k, id));
        n += is_in(&k, id);
    }
    assert_int_equal(k.n, n);
    state_id s = reached(f->a, text, len, "", 0);
    assert_int_equal(k.may_end, f->a->ops->accepts(f->a, s));
    assert_int_equal(k.may_end, matcher_may_end(f->t));
    if (f->g->ops->validate) /* the whole language, not only what is let end */
        assert_int_equal(grammar_validate(f->g, text, len, NULL),
                         k.may_end ? 0 : ST_EFORMAT);
    assert_int_equal(matcher_must_end(f->t), k.may_end && n == 0);
}

/* Any id of the mask, or -1.  Long pieces are drawn as often as bytes. */
static int32_t draw(matcher *t, st_rng *rng)
{
    mask k = mask_of(t);
    uint32_t from = st_rng_below(rng, 2) ? 256 : st_rng_below(rng, SMALL_N);
    for (uint32_t i = 0; i < SMALL_N; i++) {
        uint32_t id = (from + i) % SMALL_N;
        if (is_in(&k, id))
            return (int32_t)id;
    }
    return -1;
}

static void accept(matcher *t, int32_t id)
{
    st_err err = {0};
    if (matcher_accept(t, id, &err) < 0)
        fail_msg("%s", err.message);
}

/* What is not in the mask is refused, and nothing changes. */
static void expect_refused(const fixture *f, st_rng *rng)
{
    mask k = mask_of(f->t);
    size_t before, after;
    matcher_text(f->t, &before);
    for (unsigned i = 0; i < 8; i++) {
        uint32_t id = st_rng_below(rng, SMALL_N);
        st_err err = {0};
        if (is_in(&k, id))
            continue;
        assert_int_equal(matcher_accept(f->t, (int32_t)id, &err), ST_EINVAL);
        assert_true(err.message[0] != '\0');
        matcher_text(f->t, &after);
        assert_int_equal(before, after);
    }
    assert_int_equal(matcher_accept(f->t, -1, NULL), ST_EINVAL);
    assert_int_equal(matcher_accept(f->t, SMALL_N, NULL), ST_EINVAL);
}

enum { LONGEST = 24 }; /* tokens */

static void masks_are_exact(void **state)
{
    st_rng rng = {3};
    (void)state;
    for (unsigned i = 0; i < N_KINDS; i++) {
        fixture f;
        fixture_init(&f, i, 0);
        for (unsigned round = 0; round < 12; round++) {
            matcher_reset(f.t);
            for (unsigned n = 0; n < LONGEST; n++) {
                expect_mask(&f);
                expect_refused(&f, &rng);
                int32_t id = draw(f.t, &rng);
                if (id < 0)
                    break;
                accept(f.t, id);
            }
        }
        fixture_done(&f);
    }
}

/* The same walk with memory for all and for a few states. */
static void little_memory_is_enough(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_KINDS; i++) {
        fixture f, g;
        st_rng rng = {5};
        fixture_init(&f, i, 0);
        fixture_init(&g, i, 96 << 10);
        for (unsigned n = 0; n < 60; n++) {
            mask k = mask_of(f.t), l = mask_of(g.t);
            assert_int_equal(k.n, l.n);
            assert_int_equal(k.may_end, l.may_end);
            assert_memory_equal(k.bits, l.bits, (SMALL_N + 31) / 32 * sizeof *k.bits);
            int32_t id = draw(f.t, &rng);
            if (id < 0)
                break;
            accept(f.t, id);
            accept(g.t, id);
        }
        fixture_done(&f);
        fixture_done(&g);
    }
}

static void too_little_is_refused(void **state)
{
    fixture f;
    mask k;
    st_err err = {0};
    (void)state;
    fixture_init(&f, 6, 256);
    assert_int_equal(matcher_mask(f.t, &k, &err), ST_ELIMIT);
    assert_non_null(strstr(err.message, "256 bytes"));
    err = (st_err){0};
    assert_int_equal(matcher_accept_text(f.t, "{", 1, &err), ST_ELIMIT);
    fixture_done(&f);
}

/* Texts beside each other, one of them rewound again and again. */
static void texts_do_not_mix(void **state)
{
    fixture f;
    matcher *other;
    st_rng rng = {7};
    (void)state;
    for (unsigned i = 0; i < N_KINDS; i++) {
        fixture_init(&f, i, i % 2 ? 128 << 10 : 0);
        assert_int_equal(matcher_new(f.m, &other, NULL), 0);
        for (unsigned n = 0; n < 40; n++) {
            int32_t id = draw(other, &rng);
            if (id < 0)
                matcher_reset(other);
            else
                accept(other, id);
            id = draw(f.t, &rng);
            size_t len;
            matcher_text(f.t, &len);
            if (id < 0 || n % 3 == 2)
                matcher_rewind(f.t, st_rng_below(&rng, (uint32_t)len + 1));
            else
                accept(f.t, id);
            expect_mask(&f);
        }
        matcher_free(other);
        fixture_done(&f);
    }
}

static void expect_forced(matcher *t, const char *text, const char *forced)
{
    st_buf out;
    st_err err = {0};
    st_buf_init(&out, 1 << 20);
    matcher_reset(t);
    assert_int_equal(matcher_accept_text(t, text, strlen(text), &err), 0);
    assert_int_equal(matcher_forced(t, &out, &err), 0);
    assert_int_equal(out.len, strlen(forced));
    assert_memory_equal(out.data ? out.data : "", forced, out.len);
    size_t len;
    matcher_text(t, &len);
    assert_int_equal(len, strlen(text));
    st_buf_done(&out);
}

static void forced_text(void **state)
{
    fixture f;
    (void)state;
    fixture_init(&f, 2, 0); /* ab abc aaaa hello h(C3 A9) e */
    expect_forced(f.t, "", "");
    expect_forced(f.t, "a", "");
    expect_forced(f.t, "aa", "aa");
    expect_forced(f.t, "ab", ""); /* it may end here */
    expect_forced(f.t, "h", "");
    expect_forced(f.t, "he", "llo");
    expect_forced(f.t, "h\xC3", "\xA9");
    fixture_done(&f);

    static const char *const alike[] = {"x\xC3\xA9", "x\xC3\xA8"};
    f.v = small_vocab();
    f.g = choices(alike, 2);
    assert_int_equal(masker_new(f.g, f.v, NULL, &f.m, NULL), 0);
    assert_int_equal(matcher_new(f.m, &f.t, NULL), 0);
    expect_forced(f.t, "", "x"); /* no half characters */
    matcher_free(f.t);
    masker_free(f.m);
    grammar_free(f.g);
    vocab_free(f.v);

    fixture_init(&f, 0, 0);
    expect_forced(f.t, "", "\"");
    expect_forced(f.t, "\"a\",", "\"");
    expect_forced(f.t, "\"a\"<c", "all>");
    fixture_done(&f);
}

static void repeats_are_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        fixture f;
        st_err err = {0};
        fixture_init(&f, i, 0);
        assert_int_equal(matcher_accept_text(f.t, "\"a\",\"b\",\"a", 10, &err), 0);
        assert_int_equal(matcher_accept_text(f.t, "\"", 1, &err), ST_EINVAL);
        assert_non_null(strstr(err.message, "repeat"));
        expect_mask(&f);
        assert_int_equal(matcher_accept_text(f.t, "b\"", 2, NULL), 0);
        expect_mask(&f);
        fixture_done(&f);
    }
}

static void control_tokens_are_no_text(void **state)
{
    fixture f;
    (void)state;
    fixture_init(&f, 4, 0); /* any text */
    mask k = mask_of(f.t);
    assert_false(is_in(&k, SMALL_CONTROL));
    assert_int_equal(matcher_accept(f.t, SMALL_CONTROL, NULL), ST_EINVAL);
    assert_int_equal(matcher_accept(f.t, SMALL_END, NULL), ST_EINVAL);
    assert_int_equal(matcher_accept_text(f.t, "<call>", 6, NULL), 0);
    fixture_done(&f);

    fixture_init(&f, 0, 0);
    assert_int_equal(matcher_accept(f.t, SMALL_CONTROL, NULL), ST_EINVAL);
    assert_int_equal(matcher_accept_text(f.t, "\"a\"", 3, NULL), 0);
    expect_mask(&f);
    accept(f.t, SMALL_CONTROL);
    size_t len;
    const char *text = matcher_text(f.t, &len);
    assert_int_equal(len, 9);
    assert_memory_equal(text, "\"a\"<call>", 9);
    assert_true(matcher_must_end(f.t));
    fixture_done(&f);
}

/* ---- every allocation fails once ---- */

static int make_vocab(void *arg)
{
    vocab *v = NULL;
    st_err err = {0};
    int rc = vocab_new(arg, &v, &err);
    assert_int_equal(rc, err.code);
    vocab_free(v);
    return rc;
}

typedef struct faulty {
    const grammar *g;
    const vocab *v;
    const char *text;
    size_t bytes;
} faulty;

static int make_masks(void *arg)
{
    const faulty *x = arg;
    masker *m = NULL;
    matcher *t = NULL;
    mask k;
    st_buf out;
    st_err err = {0};
    st_buf_init(&out, 1 << 20);
    int rc = masker_new(x->g, x->v, &(masker_opts){x->bytes}, &m, &err);
    if (rc == 0)
        rc = matcher_new(m, &t, &err);
    for (size_t i = 0; rc == 0 && x->text[i]; i++) {
        rc = matcher_mask(t, &k, &err);
        if (rc == 0)
            rc = matcher_forced(t, &out, &err);
        size_t before, after;
        const char *text = matcher_text(t, &before);
        if (rc == 0)
            rc = matcher_accept(t, (uint8_t)x->text[i], &err);
        text = matcher_text(t, &after);
        assert_int_equal(after, before + (rc == 0));
        assert_memory_equal(text, x->text, after);
    }
    assert_int_equal(rc, err.code);
    matcher_free(t);
    masker_free(m);
    st_buf_done(&out);
    return rc;
}

static void allocations_fail(void **state)
{
    tok *t = small_tok();
    vocab *v = small_vocab();
    static const struct {
        unsigned kind;
        const char *text;
    } rows[] = {{0, "\"a\",\"b\",\"ab\""}, {2, "hello"}, {6, "{\"a\": {\"hello\": 12}}"}};
    (void)state;
    fault_sweep(make_vocab, t, 1);
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        faulty x = {kind(rows[i].kind), v, rows[i].text, 0};
        fault_sweep(make_masks, &x, 1);
        x.bytes = 96 << 10;
        fault_sweep(make_masks, &x, 1);
        grammar_free((grammar *)(uintptr_t)x.g);
    }
    vocab_free(v);
    tok_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_are_exact),
        cmocka_unit_test(little_memory_is_enough),
        cmocka_unit_test(too_little_is_refused),
        cmocka_unit_test(texts_do_not_mix),
        cmocka_unit_test(forced_text),
        cmocka_unit_test(repeats_are_refused),
        cmocka_unit_test(control_tokens_are_no_text),
        cmocka_unit_test(allocations_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
