/* tests/test_talk.c - what lies between tokens and answers: stop words, characters in
 * pieces, calls that are still being made, what texts are held to and share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "grammar/toolcall.h"
#include "serve/gen.h"
#include "serve/held_cache.h"
#include "serve/talk_form.h"
#include "tests/fault.h"
#include "tests/small_vocab.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- stop words ---- */

static stop_set set_of(const char *const *words, uint32_t n)
{
    stop_set set = {.n = n};
    for (uint32_t i = 0; i < n; i++) {
        set.text[i] = words[i];
        set.len[i] = strlen(words[i]);
    }
    return set;
}

typedef struct shown { /* what a reader of a growing text sees */
    size_t certain, begin, end;
    bool stopped;
} shown;

/* Grow the text by pieces of a random length. */
static shown grow(const stop_set *set, const char *text, size_t len, st_rng *rng)
{
    shown s = {0};
    for (size_t at = 0, next; at < len && !s.stopped; at = next) {
        next = at + 1 + st_rng_below(rng, 4);
        next = next < len ? next : len;
        s.stopped = stop_find(set, text, at, next, &s.begin, &s.end);
        size_t certain = s.stopped ? s.begin : stop_certain(set, text, next);
        assert_true(certain >= s.certain); /* nothing that was shown is taken back */
        s.certain = certain;
    }
    return s;
}

static void stops_do_not_depend_on_pieces(void **state)
{
    static const char *const words[] = {"ab", "abcab", "ca", "bbb", "cc"};
    st_rng rng = {1};
    (void)state;
    for (int round = 0; round < 3000; round++) {
        char text[40];
        size_t len = 1 + st_rng_below(&rng, sizeof text - 1);
        stop_set set = set_of(words + st_rng_below(&rng, 3), 2);
        for (size_t i = 0; i < len; i++)
            text[i] = (char)('a' + st_rng_below(&rng, 3));
        shown first = grow(&set, text, len, &rng);
        for (int again = 0; again < 5; again++) {
            shown other = grow(&set, text, len, &rng);
            assert_int_equal(other.stopped, first.stopped);
            assert_int_equal(other.begin, first.begin);
            assert_int_equal(other.end, first.end);
        }
        if (!first.stopped)
            assert_true(len - first.certain < 5);
    }
}

static void the_first_whole_word_counts(void **state)
{
    static const char *const words[] = {"abcd", "bc", "xbc"};
    size_t begin, end;
    stop_set set = set_of(words, 3);
    (void)state;
    assert_true(stop_find(&set, "abcd", 0, 4, &begin, &end));
    assert_int_equal(begin, 1);
    assert_true(stop_find(&set, "axbc", 0, 4, &begin, &end));
    assert_int_equal(begin, 1); /* the longest of those that end there */
    assert_false(stop_find(&set, "ab", 0, 2, &begin, &end));
    assert_int_equal(stop_certain(&set, "zab", 3), 1);
}

/* ---- characters in pieces ---- */

static void joined(const char *text, size_t len, st_rng *rng, st_buf *out)
{
    text_join join = {0};
    size_t bad;
    for (size_t at = 0, n; at < len; at += n) {
        n = rng ? 1 + st_rng_below(rng, 3) : len;
        n = at + n < len ? n : len - at;
        text_join_add(&join, text + at, n, out);
        assert_true(st_utf8_valid(out->data ? out->data : "", out->len, &bad));
    }
    text_join_end(&join, out);
    assert_true(st_utf8_valid(out->data ? out->data : "", out->len, &bad));
}

static void characters_are_never_split(void **state)
{
    static const unsigned char bytes[] = {0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0x80, 'a',
                                          0xC3, 0xA9, 0xED, 0xA0, 0xFF, 0xC0, 0xF4, 0x90};
    st_rng rng = {2};
    (void)state;
    for (int round = 0; round < 3000; round++) {
        char text[24];
        size_t len = 1 + st_rng_below(&rng, sizeof text - 1);
        st_buf whole, pieces;
        st_buf_init(&whole, 1 << 16);
        st_buf_init(&pieces, 1 << 16);
        size_t from = st_rng_below(&rng, sizeof bytes);
        for (size_t i = 0; i < len;
             i++) /* runs of the table: characters, whole and cut */
            text[i] = (char)bytes[st_rng_below(&rng, 4) ? (from + i) % sizeof bytes
                                                        : st_rng_below(&rng, 16)];
        joined(text, len, NULL, &whole);
        joined(text, len, &rng, &pieces);
        assert_int_equal(whole.len, pieces.len);
        assert_memory_equal(whole.data, pieces.data, whole.len);
        if (st_utf8_valid(text, len, NULL)) {
            assert_int_equal(whole.len, len);
            assert_memory_equal(whole.data, text, len);
        }
        st_buf_done(&whole);
        st_buf_done(&pieces);
    }
}

/* ---- calls that are still being made ---- */

typedef struct reader { /* of an answer that grows */
    toolcalls_seen seen;
    size_t at, n;
    char arguments[2][64], name[2][16];
    size_t content;
} reader;

static void reader_look(reader *r, const toolcall_format *f, const char *text, size_t len)
{
    toolcall_part part;
    toolcalls_look(f, text, len, &r->seen);
    assert_true(r->seen.end >= r->seen.begin && r->seen.end >= r->content);
    r->content = r->seen.end;
    if (!r->seen.begun)
        return;
    if (r->n == 0)
        r->at = r->seen.calls;
    while (r->n < 2) {
        size_t at = r->at;
        if (!toolcalls_part(f, text, len, &r->seen, &at, &part))
            return;
        size_t had = strlen(r->arguments[r->n]); /* what was told stays */
        assert_true(part.arguments_len >= had && part.arguments_len < 64);
        assert_memory_equal(part.arguments, r->arguments[r->n], had);
        snprintf(r->arguments[r->n], 64, "%.*s", (int)part.arguments_len, part.arguments);
        snprintf(r->name[r->n], 16, "%.*s", (int)part.name_len, part.name);
        if (at == r->at)
            return;
        r->at = at;
        r->n++;
    }
}

static void one_format(const toolcall_format *f, const char *content)
{
    toolcall calls[] = {{.name = "get_x",
                         .arguments = "{\"a\": \"}\\\"{\", \"b\": [1, {}]}",
                         .id = "123456789"},
                        {.name = "put", .arguments = "{}", .id = "987654321"}};
    toolcalls all = {
        .content = content, .content_len = strlen(content), .calls = calls, .n = 2};
    toolcalls whole;
    st_buf text;
    st_err err = {0};
    reader r = {0};
    st_buf_init(&text, 1 << 16);
    assert_int_equal(toolcalls_write(f, &all, &text, &err), 0);
    assert_int_equal(toolcalls_read(NULL, f, text.data, text.len, &whole, &err), 0);
    for (size_t len = 1; len <= text.len; len++)
        reader_look(&r, f, text.data, len);
    assert_true(r.seen.begun);
    assert_int_equal(r.seen.end - r.seen.begin, whole.content_len);
    assert_memory_equal(text.data + r.seen.begin, whole.content, whole.content_len);
    for (uint32_t i = 0; i < 2; i++) {
        assert_string_equal(r.name[i], whole.calls[i].name);
        assert_string_equal(r.arguments[i], whole.calls[i].arguments);
    }
    toolcalls_done(&whole);
    st_buf_done(&text);
}

static void calls_are_read_as_they_grow(void **state)
{
    const toolcall_format *f;
    (void)state;
    for (uint32_t i = 0; (f = toolcall_format_at(i)); i++) {
        one_format(f, "");
        if (strcmp(toolcall_format_name(f), "llama3") !=
            0) /* calls lead or are not there */
            one_format(f, "Let me <look.\n");
    }
}

static void content_that_is_no_call(void **state)
{
    toolcalls_seen seen = {0};
    const toolcall_format *llama = toolcall_format_named("llama3");
    static const char text[] = "{\"name\": x}";
    (void)state;
    toolcalls_look(llama, text, 9, &seen);
    assert_int_equal(seen.end, 0); /* it may become one */
    toolcalls_look(llama, text, sizeof text - 1, &seen);
    assert_false(seen.begun);
    assert_int_equal(seen.end, sizeof text - 1);
}

/* ---- forms ---- */

enum { N_THREADS = 4, N_SCHEMAS = 6 };

typedef struct user {
    held_cache *cache;
    const tok *t;
    uint32_t seed, wrong;
} user;

static form_ask schema_ask(char room[80], unsigned i)
{
    int n = snprintf(room, 80, "{\"enum\": [\"a%u\", \"b%u\"]}", i, i);
    return (form_ask){.kind = FORM_SCHEMA, .text = room, .len = (size_t)n};
}

static void *user_run(void *arg)
{
    user *u = arg;
    st_rng rng = {u->seed};
    for (int round = 0; round < 60; round++) {
        char text[80];
        held_form *f;
        st_err err = {0};
        form_ask ask = schema_ask(text, st_rng_below(&rng, N_SCHEMAS));
        if (held_cache_get(u->cache, u->t, &ask, &f, NULL, &err) < 0) {
            u->wrong++;
            continue;
        }
        bool fits = grammar_validate(held_form_grammar(f), "\"a3\"", 4, NULL) == 0;
        u->wrong += fits != (strstr(text, "a3") != NULL);
        held_form_release(f);
    }
    return NULL;
}

static void a_form_is_compiled_once(void **state)
{
    pthread_t threads[N_THREADS];
    user users[N_THREADS];
    held_cache *cache;
    held_cache_stats stats;
    st_err err = {0};
    tok *t = small_tok();
    (void)state;
    assert_int_equal(held_cache_new(0, &cache, &err), 0);
    for (uint32_t i = 0; i < N_THREADS; i++) {
        users[i] = (user){cache, t, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, user_run, &users[i]), 0);
    }
    for (uint32_t i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(users[i].wrong, 0);
    }
    held_cache_stats_get(cache, &stats);
    assert_int_equal(stats.compiled, N_SCHEMAS);
    assert_int_equal(stats.forms, N_SCHEMAS);
    assert_int_equal(stats.hits, N_THREADS * 60 - N_SCHEMAS);
    held_cache_free(cache);
    tok_free(t);
}

static void the_longest_unused_goes_first(void **state)
{
    held_cache *cache;
    held_cache_stats stats;
    held_form *kept, *f;
    char text[80];
    st_err err = {0};
    tok *t = small_tok();
    (void)state;
    assert_int_equal(held_cache_new(1, &cache, &err), 0); /* nothing unused stays */
    form_ask ask = schema_ask(text, 1);
    assert_int_equal(held_cache_get(cache, t, &ask, &kept, NULL, &err), 0);
    for (unsigned i = 2; i < 5; i++) {
        ask = schema_ask(text, i);
        assert_int_equal(held_cache_get(cache, t, &ask, &f, NULL, &err), 0);
        held_form_release(f);
    }
    held_cache_stats_get(cache, &stats);
    assert_int_equal(stats.forms, 1); /* the one in use */
    ask = schema_ask(text, 1);
    assert_int_equal(held_cache_get(cache, t, &ask, &f, NULL, &err), 0);
    assert_ptr_equal(f, kept);
    held_form_release(f);
    held_form_release(kept);
    held_cache_stats_get(cache, &stats);
    assert_int_equal(stats.forms, 0);
    assert_int_equal(stats.bytes, 0);
    held_cache_free(cache);
    tok_free(t);
}

static void a_refusal_is_told_and_not_kept(void **state)
{
    static const char bad[] = "{\"properties\": {\"a\": {\"type\": \"strin\"}}}";
    held_cache *cache;
    held_cache_stats stats;
    held_form *f;
    grammar_refusal why = {0};
    st_err err = {0};
    tok *t = small_tok();
    const form_ask ask = {.kind = FORM_SCHEMA, .text = bad, .len = sizeof bad - 1};
    (void)state;
    assert_int_equal(held_cache_new(0, &cache, &err), 0);
    assert_true(held_cache_get(cache, t, &ask, &f, &why, &err) < 0);
    assert_string_equal(why.pointer, "/properties/a");
    held_cache_stats_get(cache, &stats);
    assert_int_equal(stats.forms, 0);
    problems p = {0};
    talk_form_refused("response_format.json_schema.schema", &why, &err, &p);
    assert_string_equal(p.list[0].param,
                        "response_format.json_schema.schema.properties.a");
    problems_done(&p);
    held_cache_free(cache);
    tok_free(t);
}

static int form_work(void *arg)
{
    held_cache *cache;
    held_form *f;
    char text[80];
    st_err err = {0};
    form_ask ask = schema_ask(text, 3);
    int rc = held_cache_new(0, &cache, &err);
    if (rc < 0)
        return rc;
    rc = held_cache_get(cache, arg, &ask, &f, NULL, &err);
    if (rc == 0)
        held_form_release(f);
    held_cache_free(cache);
    return rc;
}

static void running_out_of_memory(void **state)
{
    tok *t = small_tok();
    (void)state;
    assert_true(fault_sweep(form_work, t, 7) > 3);
    tok_free(t);
}

static void a_schema_that_was_told(void **state)
{
    json_t *schema =
        json_loads("{\"type\": \"object\", \"properties\": {\"city\": "
                   "{\"enum\": [\"Rome\", \"Oslo\"]}, \"n\": {\"const\": \"x\"}},"
                   " \"required\": [\"city\"]}",
                   0, NULL);
    static const char all[] = "Tell the city, Rome or Oslo, and n, which is x.";
    static const char less[] = "Tell the city, Rome or Berlin, and n, which is x.";
    (void)state;
    assert_true(talk_form_is_told(schema, all, sizeof all - 1));
    assert_false(talk_form_is_told(schema, less, sizeof less - 1));
    assert_false(talk_form_is_told(schema, "", 0));
    char *told = talk_form_told(schema);
    assert_true(talk_form_is_told(schema, told, strlen(told)));
    st_free(told);
    json_decref(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_do_not_depend_on_pieces),
        cmocka_unit_test(the_first_whole_word_counts),
        cmocka_unit_test(characters_are_never_split),
        cmocka_unit_test(calls_are_read_as_they_grow),
        cmocka_unit_test(content_that_is_no_call),
        cmocka_unit_test(a_form_is_compiled_once),
        cmocka_unit_test(the_longest_unused_goes_first),
        cmocka_unit_test(a_refusal_is_told_and_not_kept),
        cmocka_unit_test(running_out_of_memory),
        cmocka_unit_test(a_schema_that_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
