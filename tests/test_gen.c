/* tests/test_gen.c - one text that a model makes: tokens in, what may be shown out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "base/utf8.h"
#include "serve/gen.h"
#include "tests/fault.h"
#include "tests/small_vocab.h"
#include <math.h>
#include <string.h>

enum { MOST = 40 };

typedef struct script { /* what a model says */
    int32_t ids[MOST];
    uint32_t n;
    sched_end end;
} script;

static int32_t id_of(const char *piece)
{
    for (size_t i = 0; i < ST_COUNT(small_pieces); i++)
        if (strcmp(small_pieces[i], piece) == 0)
            return 256 + (int32_t)i;
    fail_msg("no piece %s", piece);
    return -1;
}

/* Give the tokens to a text; the beginnings that were shown never change. */
static void play(gen *g, const gen_spec *spec, const script *s)
{
    static const sched_top top[] = {{1, -0.5}, {2, -1.5}};
    char shown[512];
    size_t n_shown = 0, bad;
    bool on = true;
    uint32_t i = 0;
    for (; on && i < s->n; i++) {
        const sched_token token = {.id = s->ids[i],
                                   .index = i,
                                   .logp = i == 1 ? (double)NAN : -1,
                                   .forced = i == 1,
                                   .top = top,
                                   .n_top = i == 1 ? 0 : 2};
        on = gen_add(g, spec, &token);
        if (g->finish == GEN_FAILED)
            break;
        assert_true(g->certain >= n_shown && g->certain <= g->text.len);
        if (n_shown > 0)
            assert_memory_equal(g->text.data, shown, n_shown);
        n_shown = g->certain;
        if (n_shown > 0)
            memcpy(shown, g->text.data, n_shown);
        assert_true(st_utf8_valid(shown, n_shown, &bad));
    }
    const sched_result result = {.end = on ? s->end : SCHED_END_STOP, .n_new = i};
    gen_end(g, spec, &result);
    if (g->finish == GEN_FAILED)
        return;
    assert_int_equal(g->certain, g->text.len);
    if (n_shown > 0)
        assert_memory_equal(g->text.data, shown, n_shown);
}

static void text_is(const gen *g, const char *text)
{
    assert_int_equal(g->text.len, strlen(text));
    assert_string_equal(g->text.data ? g->text.data : "", text);
}

static void characters_that_tokens_divide(void **state)
{
    tok *t = small_tok();
    const gen_spec spec = {.tok = t, .logp = true};
    script s = {.ids = {id_of("\xF0\x9F"), id_of("\x98\x80"), id_of("e\xC3"),
                        id_of("\xA9\""), id_of("\xF0\x9F")},
                .n = 5,
                .end = SCHED_END_LENGTH};
    gen g;
    (void)state;
    gen_init(&g);
    play(&g, &spec, &s);
    text_is(&g, "\xF0\x9F\x98\x80"
                "e\xC3\xA9\"\xEF\xBF\xBD\xEF\xBF\xBD");
    assert_int_equal(g.finish, GEN_LENGTH);
    assert_int_equal(g.n_tokens, 5);
    assert_true(g.tokens[1].logp == 0 && g.tokens[1].n_top == 0); /* was forced */
    assert_int_equal(g.tokens[2].n_top, 2);
    assert_int_equal(g.tokens[2].begin, 4);
    assert_true(g.top[g.tokens[2].top + 1].logp == -1.5);
    gen_done(&g);
    tok_free(t);
}

static void a_stop_word_across_tokens(void **state)
{
    tok *t = small_tok();
    gen_spec spec = {.tok = t, .logp = true};
    script s = {.ids = {id_of("hello"), id_of("abc"), id_of("ab"), id_of("bc"), 'x'},
                .n = 5,
                .end = SCHED_END_STOP};
    gen g;
    (void)state;
    spec.stops.text[0] = "zz";
    spec.stops.len[0] = 2;
    spec.stops.text[1] = "cabb";
    spec.stops.len[1] = 4;
    spec.stops.n = 2;
    gen_init(&g);
    play(&g, &spec, &s);
    text_is(&g, "helloab");
    assert_true(g.stopped_by_word);
    assert_int_equal(g.stop_word, 1);
    assert_int_equal(g.finish, GEN_STOP);
    assert_int_equal(g.n_tokens, 2); /* "abc" began before the cut */
    assert_int_equal(g.n_ids, 4);
    gen_done(&g);
    spec.keeps_stop = true;
    gen_init(&g);
    play(&g, &spec, &s);
    text_is(&g, "helloabcabb");
    gen_done(&g);
    tok_free(t);
}

static void control_tokens_are_no_text(void **state)
{
    tok *t = small_tok();
    const gen_spec spec = {.tok = t, .logp = true}, held = {.tok = t, .held = true};
    script s = {
        .ids = {SMALL_CONTROL, 'a', SMALL_CONTROL}, .n = 3, .end = SCHED_END_DONE};
    gen g;
    (void)state;
    gen_init(&g);
    play(&g, &spec, &s);
    text_is(&g, "a");
    assert_int_equal(g.n_tokens, 1);
    gen_done(&g);
    gen_init(&g);
    play(&g, &held, &s); /* a grammar allows them where they stand */
    text_is(&g, "<call>a<call>");
    gen_done(&g);
    tok_free(t);
}

static void errors_are_kept(void **state)
{
    tok *t = small_tok();
    const gen_spec spec = {.tok = t};
    const st_err why = {.code = ST_ETIMEOUT, .message = "too late", .hint = "wait"};
    const sched_result result = {.end = SCHED_END_ERROR, .err = &why};
    gen g;
    (void)state;
    gen_init(&g);
    gen_end(&g, &spec, &result);
    assert_int_equal(g.finish, GEN_FAILED);
    assert_int_equal(g.err.code, ST_ETIMEOUT);
    assert_string_equal(g.err.message, "too late");
    gen_done(&g);
    tok_free(t);
}

/* Content is told, what may be a call is not, and a stop word ends content only. */
static void content_before_calls(void **state)
{
    static const char text[] = "hello <tool_call>[{\"name\": \"f\", \"arguments\": {}}]";
    tok *t = small_tok();
    gen_spec spec = {.tok = t, .held = true, .calls = toolcall_format_named("json")};
    gen g;
    (void)state;
    spec.stops = (stop_set){.text = {"name"}, .len = {4}, .n = 1};
    gen_init(&g);
    for (uint32_t i = 0; i < sizeof text - 1; i++) {
        const sched_token token = {.id = (unsigned char)text[i], .index = i};
        assert_true(gen_add(&g, &spec, &token));
        assert_int_equal(g.certain, i < 5 ? i + 1 : 5);
    }
    assert_true(g.seen.begun);
    assert_int_equal(g.seen.calls, 6);
    gen_done(&g);
    tok_free(t);
}

static void random_texts_are_the_same_however_divided(void **state)
{
    tok *t = small_tok();
    gen_spec spec = {.tok = t};
    st_rng rng = {5};
    (void)state;
    spec.stops = (stop_set){.text = {"ab,", "}}", "aaa"}, .len = {3, 2, 3}, .n = 3};
    for (int round = 0; round < 400; round++) {
        script s = {.end = SCHED_END_LENGTH};
        st_buf bytes;
        gen whole, single;
        st_err err = {0};
        st_buf_init(&bytes, 1 << 16);
        while (s.n < MOST / 2) {
            s.ids[s.n] = 256 + (int32_t)st_rng_below(&rng, ST_COUNT(small_pieces));
            assert_int_equal(tok_piece(t, s.ids[s.n++], &bytes, &err), 0);
        }
        gen_init(&whole);
        gen_init(&single);
        play(&whole, &spec, &s);
        bool on = true;
        for (size_t i = 0; on && i < bytes.len; i++) {
            const sched_token token = {.id = (unsigned char)bytes.data[i]};
            on = gen_add(&single, &spec, &token);
        }
        const sched_result result = {.end = SCHED_END_LENGTH};
        gen_end(&single, &spec, &result);
        assert_int_equal(whole.text.len, single.text.len);
        assert_memory_equal(whole.text.data, single.text.data, whole.text.len);
        assert_int_equal(whole.finish, single.finish);
        gen_done(&whole);
        gen_done(&single);
        st_buf_done(&bytes);
    }
    tok_free(t);
}

static int gen_work(void *arg)
{
    const gen_spec spec = {.tok = arg, .logp = true};
    script s = {.ids = {id_of("hello"), id_of("\xF0\x9F"), id_of("\x98\x80"), 'a'},
                .n = 4,
                .end = SCHED_END_DONE};
    gen g;
    gen_init(&g);
    play(&g, &spec, &s);
    int code = g.finish == GEN_FAILED ? g.err.code : 0;
    if (code == 0)
        text_is(&g, "hello\xF0\x9F\x98\x80"
                    "a");
    gen_done(&g);
    return code;
}

static void running_out_of_memory(void **state)
{
    tok *t = small_tok();
    (void)state;
    assert_true(fault_sweep(gen_work, t, 1) > 4);
    tok_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_that_tokens_divide),
        cmocka_unit_test(a_stop_word_across_tokens),
        cmocka_unit_test(control_tokens_are_no_text),
        cmocka_unit_test(errors_are_kept),
        cmocka_unit_test(content_before_calls),
        cmocka_unit_test(random_texts_are_the_same_however_divided),
        cmocka_unit_test(running_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
