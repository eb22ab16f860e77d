/* tests/test_chat_wire.c - text from the real program: chat, completions and responses,
 * whole and streamed.
 *
 * A tiny model of random weights writes all kinds of text, also bytes that are no
 * characters; what its texts say does not matter, only that the same is said everywhere.
 */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/utf8.h"
#include "tests/serve_child.h"
#include "tests/tiny_model.h"
#include <pthread.h>

#define CHAT "/v1/chat/completions"
#define HELLO "\"messages\": [{\"role\": \"user\", \"content\": \"Tell me something.\"}]"
#define TOOLS                                                                            \
    "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"look\", "           \
    "\"parameters\": {\"type\": \"object\", \"properties\": {\"at\": {\"enum\": "        \
    "[\"sky\", \"sea\"]}, \"n\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": "  \
    "3}}, "                                                                              \
    "\"required\": [\"at\", \"n\"]}}}]"

static served s;
static char model[64];

static int setup(void **state)
{
    (void)state;
    snprintf(model, sizeof model, "/tmp/stint-tiny-chat-%d.gguf", (int)getpid());
    if (!tiny_model_write(model))
        model[0] = '\0';
    else
        served_start(&s, (const char *const[]){"--model", model, NULL});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (model[0]) {
        assert_int_equal(served_stop(&s, SIGTERM), 0);
        unlink(model);
    }
    return 0;
}

static answer ask(const char *path, const char *members, bool stream)
{
    st_buf body;
    if (!model[0])
        skip();
    st_buf_init(&body, 1 << 24);
    st_buf_fmt(&body, "{%s%s}", members, stream ? ", \"stream\": true" : "");
    answer a = ask_once(s.port, "POST", path, NULL, body.data);
    st_buf_done(&body);
    return a;
}

static answer good(const char *path, const char *members)
{
    answer a = ask(path, members, false);
    if (a.status != 200)
        fail_msg("%s: %d %s", members, a.status, a.body);
    return a;
}

/* What a field gets: its own name as param. */
static void refused(const char *path, const char *members, const char *param,
                    const char *code)
{
    answer a = ask(path, members, false);
    if (a.status != 400 || strcmp(answer_text(&a, "error.param"), param) != 0 ||
        (code && strcmp(answer_text(&a, "error.code"), code) != 0))
        fail_msg("%s: %d %s", members, a.status, a.body);
    answer_done(&a);
}

/* ---- streams put together again ---- */

enum { MAX_CHOICES = 4 };

typedef struct told { /* of one choice */
    st_buf content, arguments, names;
    json_t *logprobs;
    char finish[24];
    unsigned n_chunks, n_calls;
} told;

typedef struct stream {
    told choices[MAX_CHOICES];
    json_t *usage;
    bool done;
} stream;

static void call_take(told *c, const json_t *call)
{
    const json_t *function = json_object_get(call, "function");
    const char *name = json_string_value(json_object_get(function, "name"));
    const char *text = json_string_value(json_object_get(function, "arguments"));
    if (name) {
        st_buf_fmt(&c->names, "%s;", name);
        assert_non_null(json_string_value(json_object_get(call, "id")));
        c->n_calls++;
    }
    assert_int_equal(json_integer_value(json_object_get(call, "index")), c->n_calls - 1);
    st_buf_str(&c->arguments, text ? text : "");
}

static void chunk_take(stream *out, const json_t *chunk)
{
    const json_t *choice = json_array_get(json_object_get(chunk, "choices"), 0);
    const json_t *delta = json_object_get(choice, "delta"), *one;
    const json_t *usage = json_object_get(chunk, "usage");
    size_t i;
    if (!choice) {
        assert_true(json_is_object(usage));
        out->usage = json_deep_copy(usage);
        return;
    }
    told *c = &out->choices[json_integer_value(json_object_get(choice, "index"))];
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    if (c->n_chunks++ == 0 && delta)
        assert_string_equal(json_string_value(json_object_get(delta, "role")),
                            "assistant");
    assert_int_equal(c->finish[0], 0); /* nothing comes behind it */
    const json_t *said =
        json_object_get(delta ? delta : choice, delta ? "content" : "text");
    st_buf_add(&c->content, json_string_value(said), json_string_length(said));
    json_array_foreach(json_object_get(delta, "tool_calls"), i, one) call_take(c, one);
    json_array_extend(c->logprobs,
                      json_object_get(json_object_get(choice, "logprobs"), "content"));
    snprintf(c->finish, sizeof c->finish, "%s", finish ? finish : "");
}

static stream stream_read(const answer *a)
{
    stream out = {0};
    const char *at = a->body;
    if (a->status != 200)
        fail_msg("%d %s", a->status, a->body);
    for (int i = 0; i < MAX_CHOICES; i++) {
        st_buf_init(&out.choices[i].content, 1 << 24);
        st_buf_init(&out.choices[i].arguments, 1 << 24);
        st_buf_init(&out.choices[i].names, 1 << 24);
        out.choices[i].logprobs = json_array();
    }
    for (const char *end; (end = strstr(at, "\n\n")); at = end + 2) {
        assert_memory_equal(at, "data: ", 6);
        assert_false(out.done);
        out.done = strncmp(at + 6, "[DONE]", 6) == 0;
        if (out.done)
            continue;
        json_t *chunk = json_loadb(at + 6, (size_t)(end - at) - 6, JSON_ALLOW_NUL, NULL);
        if (!chunk)
            fail_msg("no JSON: %.200s", at);
        chunk_take(&out, chunk);
        json_decref(chunk);
    }
    assert_true(out.done);
    return out;
}

static void stream_done(stream *x)
{
    for (int i = 0; i < MAX_CHOICES; i++) {
        st_buf_done(&x->choices[i].content);
        st_buf_done(&x->choices[i].arguments);
        st_buf_done(&x->choices[i].names);
        json_decref(x->choices[i].logprobs);
    }
    json_decref(x->usage);
}

static const char *text_of(const st_buf *b)
{
    return b->data ? b->data : "";
}

static void message_same(const json_t *choice, const told *c)
{
    const json_t *message = json_object_get(choice, "message"), *one;
    const json_t *said =
        json_object_get(message ? message : choice, message ? "content" : "text");
    st_buf arguments;
    size_t i;
    st_buf_init(&arguments, 1 << 24);
    json_array_foreach(json_object_get(message, "tool_calls"), i, one)
        st_buf_str(&arguments, json_string_value(json_object_get(
                                   json_object_get(one, "function"), "arguments")));
    assert_int_equal(json_string_length(said), c->content.len);
    if (c->content.len > 0)
        assert_memory_equal(json_string_value(said), c->content.data, c->content.len);
    assert_string_equal(text_of(&arguments), text_of(&c->arguments));
    assert_string_equal(json_string_value(json_object_get(choice, "finish_reason")),
                        c->finish);
    const json_t *logprobs =
        json_object_get(json_object_get(choice, "logprobs"), "content");
    if (logprobs)
        assert_true(json_equal(logprobs, c->logprobs));
    st_buf_done(&arguments);
}

/* The same request whole and streamed. */
static void same_both_ways(const char *path, const char *members, unsigned n)
{
    answer whole = good(path, members), pieces = ask(path, members, true);
    stream x = stream_read(&pieces);
    assert_int_equal(json_array_size(answer_at(&whole, "choices")), n);
    for (unsigned i = 0; i < n; i++)
        message_same(json_array_get(answer_at(&whole, "choices"), i), &x.choices[i]);
    stream_done(&x);
    answer_done(&whole);
    answer_done(&pieces);
}

static void streams_say_the_same(void **state)
{
    static const char *const members[] = {
        HELLO ", \"temperature\": 0, \"max_tokens\": 60",
        HELLO ", \"seed\": 3, \"max_tokens\": 100, \"temperature\": 1.5, \"min_p\": 0",
        HELLO
        ", \"seed\": 4, \"max_tokens\": 60, \"logprobs\": true, \"top_logprobs\": 3",
        HELLO ", \"seed\": 5, \"max_tokens\": 30, \"stop\": [\"e\", \"the\", \"\\n\"]",
        HELLO ", \"seed\": 6, \"max_tokens\": 40, \"stop\": \"a\", \"logprobs\": true, "
              "\"include_stop_str_in_output\": true",
        HELLO ", \"seed\": 7, \"guided_regex\": \"[a-z ]{5,30}é*\", \"max_tokens\": 90",
        HELLO ", \"seed\": 8, \"max_tokens\": 7, \"json_schema\": {\"type\": \"object\"}",
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(members); i++)
        same_both_ways(CHAT, members[i], 1);
    same_both_ways(CHAT, HELLO ", \"seed\": 9, \"n\": 3, \"max_tokens\": 20", 3);
    same_both_ways("/v1/completions",
                   "\"prompt\": [\"One\", [5, 6, 7]], \"seed\": 1, \"n\": 2", 4);
}

static void streams_of_calls_say_the_same(void **state)
{
    (void)state;
    same_both_ways(CHAT,
                   HELLO ", " TOOLS ", \"seed\": 1, \"tool_choice\": \"required\", "
                         "\"parallel_tool_calls\": false, \"max_tokens\": 200",
                   1);
    same_both_ways(CHAT,
                   HELLO ", " TOOLS ", \"seed\": 2, \"tool_choice\": \"required\", "
                         "\"max_tokens\": 25",
                   1); /* cut inside a call */
    same_both_ways(CHAT, HELLO ", " TOOLS ", \"seed\": 3, \"max_tokens\": 60", 1);
}

/* ---- what fields do ---- */

static char *content_of(const char *members)
{
    answer a = good(CHAT, members);
    char *text = st_strdup(answer_text(&a, "choices.0.message.content"));
    answer_done(&a);
    assert_non_null(text);
    return text;
}

static bool same_content(const char *one, const char *other)
{
    char *a = content_of(one), *b = content_of(other);
    bool same = strcmp(a, b) == 0;
    st_free(a);
    st_free(b);
    return same;
}

#define BASE HELLO ", \"max_tokens\": 24, \"seed\": 1"

static void fields_have_effect(void **state)
{
    static const char *const changing[] = {
        "\"temperature\": 0",
        "\"top_p\": 0.05",
        "\"top_k\": 1",
        "\"min_p\": 0.99",
        "\"frequency_penalty\": 2, \"temperature\": 0",
        "\"presence_penalty\": 2, \"temperature\": 0",
        "\"repeat_penalty\": 3, \"temperature\": 0",
        "\"repetition_penalty\": 3, \"temperature\": 0"};
    (void)state;
    assert_true(same_content(BASE, BASE)); /* a seed gives the same text again */
    assert_false(same_content(BASE, HELLO ", \"max_tokens\": 24, \"seed\": 2"));
    for (size_t i = 0; i < ST_COUNT(changing); i++) {
        char members[400];
        snprintf(members, sizeof members, BASE ", %s", changing[i]);
        if (same_content(members, BASE))
            fail_msg("%s changes nothing", changing[i]);
    }
    static const char *const penalties[] = {"frequency_penalty", "presence_penalty",
                                            "repeat_penalty"};
    for (size_t i = 0; i < ST_COUNT(penalties); i++) {
        char members[400];
        snprintf(members, sizeof members, BASE ", \"temperature\": 0, \"%s\": 2",
                 penalties[i]);
        if (same_content(members, BASE ", \"temperature\": 0"))
            fail_msg("%s changes nothing", penalties[i]);
    }
}

static void a_bias_forces_and_forbids(void **state)
{
    char members[300];
    (void)state;
    answer a = good(CHAT, BASE ", \"temperature\": 0, \"return_tokens\": true");
    json_int_t first = answer_number(&a, "choices.0.tokens.0");
    answer_done(&a);
    snprintf(members, sizeof members,
             BASE ", \"temperature\": 0, \"return_tokens\": true, \"logit_bias\": "
                  "{\"%d\": -100}",
             (int)first);
    a = good(CHAT, members);
    for (size_t i = 0; i < json_array_size(answer_at(&a, "choices.0.tokens")); i++)
        assert_int_not_equal(
            json_integer_value(json_array_get(answer_at(&a, "choices.0.tokens"), i)),
            first);
    answer_done(&a);
    a = good(CHAT, HELLO ", \"max_tokens\": 5, \"return_tokens\": true, \"logit_bias\": "
                         "[[40, 100]]");
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(
            json_integer_value(json_array_get(answer_at(&a, "choices.0.tokens"), i)), 40);
    answer_done(&a);
    snprintf(members, sizeof members,
             BASE
             ", \"temperature\": 0, \"return_tokens\": true, \"stop_token_ids\": [%d]",
             (int)first);
    a = good(CHAT, members);
    assert_string_equal(answer_text(&a, "choices.0.finish_reason"), "stop");
    assert_int_equal(json_array_size(answer_at(&a, "choices.0.tokens")), 0);
    answer_done(&a);
}

/* A stop word cuts the text where it stands, however tokens divide it. */
static void stop_words_cut(void **state)
{
    char members[400], word[12];
    char *all = content_of(BASE);
    size_t len = strlen(all), used;
    (void)state;
    for (size_t at = 1; at + 6 < len; at += used) {
        if (st_utf8_decode(all + at, len - at, &used) == ST_UTF8_BAD)
            used = 1;
        if (!st_utf8_valid(all + at, 3, NULL) || memchr(all + at, '"', 3) ||
            memchr(all + at, '\\', 3) || memchr(all + at, '\n', 3) || all[at] < ' ' ||
            all[at + 1] < ' ' || all[at + 2] < ' ')
            continue;
        snprintf(word, sizeof word, "%.3s", all + at);
        snprintf(members, sizeof members, BASE ", \"stop\": [\"%s\"]", word);
        answer a = good(CHAT, members);
        const char *cut = answer_text(&a, "choices.0.message.content");
        assert_int_equal(strlen(cut), (size_t)(strstr(all, word) - all));
        assert_memory_equal(cut, all, strlen(cut));
        assert_string_equal(answer_text(&a, "choices.0.finish_reason"), "stop");
        answer_done(&a);
    }
    st_free(all);
}

static void logprobs_are_of_the_text(void **state)
{
    (void)state;
    answer a = good(CHAT, BASE ", \"temperature\": 0, \"logprobs\": true, "
                               "\"top_logprobs\": 2");
    const json_t *list = answer_at(&a, "choices.0.logprobs.content"), *row, *byte;
    st_buf bytes;
    size_t i, k;
    st_buf_init(&bytes, 1 << 20);
    json_array_foreach(list, i, row)
    {
        const json_t *top = json_object_get(row, "top_logprobs");
        double logp = json_real_value(json_object_get(row, "logprob"));
        assert_int_equal(json_array_size(top), 2);
        assert_true(logp <= 0);
        /* temperature 0 takes the likeliest */
        assert_true(logp ==
                    json_real_value(json_object_get(json_array_get(top, 0), "logprob")));
        assert_true(logp >=
                    json_real_value(json_object_get(json_array_get(top, 1), "logprob")));
        json_array_foreach(json_object_get(row, "bytes"), k, byte)
            st_buf_char(&bytes, (char)json_integer_value(byte));
    }
    const char *text = answer_text(&a, "choices.0.message.content");
    if (st_utf8_valid(text_of(&bytes), bytes.len, NULL))
        assert_string_equal(text_of(&bytes), text);
    assert_true(json_array_size(list) > 4);
    st_buf_done(&bytes);
    answer_done(&a);
}

static void lengths_and_counts(void **state)
{
    (void)state;
    answer a = good(CHAT, HELLO ", \"max_tokens\": 5, \"ignore_eos\": true, \"n\": 2");
    assert_string_equal(answer_text(&a, "choices.1.finish_reason"), "length");
    assert_int_equal(answer_number(&a, "usage.completion_tokens"), 10);
    assert_int_equal(answer_number(&a, "usage.total_tokens"),
                     10 + answer_number(&a, "usage.prompt_tokens"));
    assert_memory_equal(answer_text(&a, "id"), "chatcmpl-", 9);
    assert_int_equal(strlen(answer_text(&a, "id")), 33);
    assert_memory_equal(answer_text(&a, "system_fingerprint"), "fp_", 3);
    answer_done(&a);
    a = good(CHAT, HELLO ", \"max_completion_tokens\": 3, \"ignore_eos\": true, "
                         "\"timings_per_token\": true");
    assert_int_equal(answer_number(&a, "usage.completion_tokens"), 3);
    assert_int_equal(answer_number(&a, "timings.predicted_n"), 3);
    answer_done(&a);
    a = ask(CHAT,
            HELLO ", \"max_tokens\": 3, \"stream_options\": {\"include_usage\": true}",
            true);
    stream x = stream_read(&a);
    assert_int_equal(json_integer_value(json_object_get(x.usage, "completion_tokens")),
                     3);
    stream_done(&x);
    answer_done(&a);
    a = good(CHAT, HELLO ", \"t_max_predict_ms\": 1, \"ignore_eos\": true");
    assert_string_equal(answer_text(&a, "choices.0.finish_reason"), "length");
    answer_done(&a);
}

/* Text of one cache key is not reused under another, nor where nothing may be. */
static void what_is_reused(void **state)
{
    static const char *const keys[] = {"\"prompt_cache_key\": \"a\"",
                                       "\"prompt_cache_key\": \"b\"",
                                       "\"cache_prompt\": false"};
    char members[300];
    (void)state;
    for (size_t i = 0; i < 2 * ST_COUNT(keys); i++) {
        snprintf(members, sizeof members, BASE ", %s", keys[i % 3]);
        answer a = good(CHAT, members);
        json_int_t n = answer_number(&a, "usage.prompt_tokens_details.cached_tokens");
        if (i < 3 || i % 3 == 2)
            assert_int_equal(n, 0);
        else
            assert_true(n > 0);
        answer_done(&a);
    }
}

/* ---- held texts ---- */

static void held_texts_fit(void **state)
{
    static const struct {
        const char *members;
        const char *answers; /* one of these */
    } rows[] = {
        {"\"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": "
         "\"x\", \"schema\": {\"enum\": [\"red\", \"blue\"]}}}",
         "\"red\"|\"blue\""},
        {"\"response_format\": {\"type\": \"json_object\", \"schema\": {\"const\": 4}}",
         "4"},
        {"\"json_schema\": {\"type\": \"boolean\"}", "true|false"},
        {"\"grammar\": \"root ::= \\\"ab\\\" | \\\"cd\\\"\"", "ab|cd"},
        {"\"structured_outputs\": {\"choice\": [\"yes\", \"no\"]}", "yes|no"},
        {"\"structured_outputs\": {\"regex\": \"x{2,3}\"}", "xx|xxx"},
        {"\"structured_outputs\": {\"json\": \"{\\\"const\\\": \\\"k\\\"}\"}", "\"k\""},
        {"\"structured_outputs\": {\"grammar\": \"root ::= \\\"g\\\"\"}", "g"},
        {"\"guided_json\": {\"const\": null}, \"show_schema\": true", "null"},
        {"\"guided_regex\": \"a|b\"", "a|b"},
        {"\"guided_choice\": [\"one\"]", "one"},
        {"\"guided_grammar\": \"root ::= \\\"z\\\"\"", "z"},
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        char members[600];
        bool fits = false;
        snprintf(members, sizeof members, HELLO ", \"seed\": 2, %s", rows[i].members);
        char *text = content_of(members);
        for (const char *at = rows[i].answers; *at;) {
            size_t n = strcspn(at, "|");
            fits |= strlen(text) == n && memcmp(text, at, n) == 0;
            at += n + (at[n] == '|');
        }
        if (!fits)
            fail_msg("%s: %s", rows[i].members, text);
        st_free(text);
    }
}

static void a_cut_form_is_no_answer(void **state)
{
    (void)state;
    answer a = good(CHAT, HELLO ", \"max_tokens\": 2, \"seed\": 1, \"json_schema\": "
                                "{\"type\": \"string\", \"minLength\": 50}");
    assert_string_equal(answer_text(&a, "choices.0.finish_reason"), "length");
    answer_done(&a);
    a = good(CHAT, HELLO ", " TOOLS ", \"max_tokens\": 2, \"tool_choice\": \"required\"");
    assert_string_equal(answer_text(&a, "choices.0.finish_reason"), "length");
    answer_done(&a);
}

static void calls_are_of_the_functions(void **state)
{
    (void)state;
    answer a =
        good(CHAT, HELLO ", " TOOLS ", \"seed\": 1, \"tool_choice\": \"required\", "
                         "\"parallel_tool_calls\": false");
    assert_string_equal(answer_text(&a, "choices.0.finish_reason"), "tool_calls");
    assert_true(json_is_null(answer_at(&a, "choices.0.message.content")));
    assert_int_equal(json_array_size(answer_at(&a, "choices.0.message.tool_calls")), 1);
    assert_string_equal(answer_text(&a, "choices.0.message.tool_calls.0.function.name"),
                        "look");
    assert_memory_equal(answer_text(&a, "choices.0.message.tool_calls.0.id"), "call_", 5);
    json_t *arguments = json_loads(
        answer_text(&a, "choices.0.message.tool_calls.0.function.arguments"), 0, NULL);
    json_int_t n = json_integer_value(json_object_get(arguments, "n"));
    assert_true(n >= 1 && n <= 3);
    json_decref(arguments);
    answer_done(&a);
    a = good(CHAT, HELLO ", " TOOLS ", \"tool_choice\": \"none\", \"max_tokens\": 5");
    assert_null(answer_at(&a, "choices.0.message.tool_calls"));
    answer_done(&a);
}

/* ---- refusals ---- */

static void fields_are_refused_by_name(void **state)
{
    static const struct {
        const char *members, *param, *code;
    } rows[] = {
        {"\"temprature\": 1", "temprature", "unknown_parameter"},
        {"\"temperature\": -1", "temperature", NULL},
        {"\"top_p\": 2", "top_p", NULL},
        {"\"n\": 0", "n", NULL},
        {"\"max_tokens\": 0", "max_tokens", NULL},
        {"\"max_tokens\": 3, \"max_completion_tokens\": 4", "max_tokens", NULL},
        {"\"top_logprobs\": 3", "top_logprobs", NULL},
        {"\"logprobs\": true, \"top_logprobs\": 21", "top_logprobs", NULL},
        {"\"logit_bias\": {\"x\": 1}", "logit_bias.x", NULL},
        {"\"logit_bias\": {\"5\": 101}", "logit_bias.5", NULL},
        {"\"logit_bias\": {\"99999999\": 1}", "logit_bias", NULL},
        {"\"stop\": [\"\"]", "stop[0]", NULL},
        {"\"stream_options\": {\"include_usage\": true}", "stream_options", NULL},
        {"\"store\": true", "store", "unsupported_parameter"},
        {"\"modalities\": [\"audio\"]", "modalities[0]", NULL},
        {"\"audio\": {}", "audio", "unsupported_parameter"},
        {"\"functions\": []", "functions", "unsupported_parameter"},
        {"\"verbosity\": \"high\"", "verbosity", "unsupported_parameter"},
        {"\"reasoning_effort\": \"high\"", "reasoning_effort", "unsupported_parameter"},
        {"\"chat_template_kwargs\": {\"qqq\": 1}", "chat_template_kwargs.qqq", NULL},
        {"\"tool_choice\": \"required\"", "tool_choice", NULL},
        {"\"guided_json\": {}, \"guided_regex\": \"a\"", "guided_regex", NULL},
        {"\"guided_regex\": \"a\", \"stop\": \"a\"", "stop", NULL},
        {"\"guided_regex\": \"(\"", "guided_regex", "invalid_schema"},
        {"\"show_schema\": true", "show_schema", NULL},
        {"\"response_format\": {\"type\": \"json_schema\"}",
         "response_format.json_schema", NULL},
        {"\"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": "
         "\"x\", \"schema\": {\"properties\": {\"a b\": {\"type\": \"x\"}}}}}",
         "response_format.json_schema.schema.properties[\"a b\"]", "invalid_schema"},
        {"\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", "
         "\"parameters\": {\"type\": \"object\", \"properties\": {\"a\": {\"type\": "
         "\"x\"}}}}}]",
         "tools[0].function.parameters.properties.a", NULL},
        {TOOLS ", \"guided_regex\": \"a\"", "guided_regex", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        char members[700];
        snprintf(members, sizeof members, HELLO ", %s", rows[i].members);
        refused(CHAT, members, rows[i].param, rows[i].code);
    }
    refused(
        CHAT,
        "\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", "
        "\"text\": \"a\"}, {\"type\": \"image_url\", \"image_url\": {\"url\": \"x\"}}]}]",
        "messages[0].content[1]", "unsupported_parameter");
    refused(CHAT, "\"messages\": [{\"role\": \"tool\", \"content\": \"a\"}]",
            "messages[0].tool_call_id", NULL);
    refused(CHAT, "\"messages\": []", "messages", NULL);
    refused("/v1/completions", "\"prompt\": \"a\", \"echo\": true", "echo",
            "unsupported_parameter");
    refused("/v1/completions", "\"prompt\": [1, 99999999]", "prompt", NULL);
    refused("/v1/responses", "\"input\": \"a\", \"previous_response_id\": \"x\"",
            "previous_response_id", "unsupported_parameter");
    refused("/v1/responses", "\"input\": \"a\", \"return_tokens\": true", "return_tokens",
            "unsupported_parameter");
    refused("/v1/completions",
            "\"prompt\": \"a\", \"show_schema\": true, \"json_schema\": true",
            "show_schema", NULL);
    refused("/completion", "\"prompt\": \"a\", \"mirostat\": 2", "mirostat",
            "unsupported_parameter");
    refused("/v1/responses", "\"input\": [{\"type\": \"reasoning\"}]", "input[0]", NULL);
    refused("/v1/responses", "\"input\": \"a\", \"tools\": [{\"type\": \"web_search\"}]",
            "tools[0]", NULL);
}

static void a_prompt_that_is_too_long(void **state)
{
    st_buf body;
    (void)state;
    st_buf_init(&body, 1 << 24);
    st_buf_str(&body, "\"messages\": [{\"role\": \"user\", \"content\": \"");
    for (int i = 0; i < 3 * TINY_CONTEXT; i++)
        st_buf_str(&body, "ab cd ");
    st_buf_str(&body, "\"}]");
    refused(CHAT, body.data, "messages", "context_length_exceeded");
    st_buf_done(&body);
}

/* ---- responses ---- */

static void responses_are_items(void **state)
{
    static const char members[] = "\"input\": \"Tell me\", \"instructions\": \"Do.\", "
                                  "\"seed\": 4, \"max_output_tokens\": 12";
    (void)state;
    answer a = good("/v1/responses", members);
    answer b = ask("/v1/responses", members, true);
    assert_string_equal(answer_text(&a, "object"), "response");
    assert_string_equal(answer_text(&a, "output.0.type"), "message");
    assert_string_equal(answer_text(&a, "output.0.content.0.type"), "output_text");
    const char *text = answer_text(&a, "output.0.content.0.text");
    st_buf deltas;
    json_int_t n = 0;
    json_t *last = NULL;
    st_buf_init(&deltas, 1 << 20);
    for (const char *at = b.body, *end; (end = strstr(at, "\n\n")); at = end + 2) {
        const char *data = strstr(at, "data: ") + 6;
        json_decref(last);
        last = json_loadb(data, (size_t)(end - data), JSON_ALLOW_NUL, NULL);
        assert_int_equal(json_integer_value(json_object_get(last, "sequence_number")),
                         n++);
        const char *delta = json_string_value(json_object_get(last, "delta"));
        st_buf_str(&deltas, delta ? delta : "");
    }
    assert_string_equal(text_of(&deltas), text);
    answer whole = {.json = json_object_get(last, "response")};
    assert_string_equal(answer_text(&whole, "status"), answer_text(&a, "status"));
    assert_string_equal(answer_text(&whole, "output.0.content.0.text"), text);
    assert_int_equal(answer_number(&whole, "usage.output_tokens"),
                     answer_number(&a, "usage.output_tokens"));
    json_decref(last);
    st_buf_done(&deltas);
    answer_done(&a);
    answer_done(&b);
}

static void completion_is_llama_servers(void **state)
{
    static const char members[] = "\"prompt\": [\"ab\", 7, \"cd\"], \"seed\": 3, "
                                  "\"n_predict\": 12, \"n_probs\": 2, \"stop\": [\"zq\"]";
    (void)state;
    answer a = good("/completion", members), b = ask("/completion", members, true);
    st_buf content;
    json_t *last = NULL, *probs = json_array();
    st_buf_init(&content, 1 << 20);
    for (const char *at = b.body, *end; (end = strstr(at, "\n\n")); at = end + 2) {
        json_decref(last);
        last = json_loadb(at + 6, (size_t)(end - at) - 6, JSON_ALLOW_NUL, NULL);
        const json_t *text = json_object_get(last, "content");
        st_buf_add(&content, json_string_value(text), json_string_length(text));
        json_array_extend(probs, json_object_get(last, "completion_probabilities"));
    }
    const json_t *whole = answer_at(&a, "content");
    assert_int_equal(json_string_length(whole), content.len);
    assert_memory_equal(json_string_value(whole), text_of(&content), content.len);
    assert_true(json_equal(answer_at(&a, "completion_probabilities"), probs));
    assert_true(json_is_true(json_object_get(last, "stop")));
    assert_string_equal(json_string_value(json_object_get(last, "stop_type")),
                        answer_text(&a, "stop_type"));
    assert_int_equal(answer_number(&a, "timings.predicted_n"),
                     answer_number(&a, "tokens_predicted"));
    json_decref(last);
    json_decref(probs);
    st_buf_done(&content);
    answer_done(&a);
    answer_done(&b);
}

static void responses_call(void **state)
{
    (void)state;
    answer a =
        good("/v1/responses",
             "\"input\": [{\"role\": \"user\", \"content\": [{\"type\": \"input_text\", "
             "\"text\": \"a\"}]}, {\"type\": \"function_call\", \"call_id\": \"c\", "
             "\"name\": \"f\", \"arguments\": \"{}\"}, {\"type\": "
             "\"function_call_output\", \"call_id\": \"c\", \"output\": \"7\"}], "
             "\"tools\": [{\"type\": \"function\", \"name\": \"f\", \"parameters\": "
             "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": "
             "\"boolean\"}}, \"required\": [\"a\"]}}], \"tool_choice\": {\"type\": "
             "\"function\", \"name\": \"f\"}, \"parallel_tool_calls\": false");
    assert_string_equal(answer_text(&a, "output.0.type"), "function_call");
    assert_string_equal(answer_text(&a, "output.0.name"), "f");
    assert_string_equal(answer_text(&a, "output.0.status"), "completed");
    assert_memory_equal(answer_text(&a, "output.0.arguments"), "{\"a\": ", 6);
    assert_memory_equal(answer_text(&a, "output.0.call_id"), "call_", 5);
    answer_done(&a);
}

/* ---- many at once ---- */

enum { N_CLIENTS = 5 };

static const char *const mixed[] = {
    HELLO ", \"seed\": 1, \"max_tokens\": 20",
    HELLO ", \"seed\": 2, \"guided_choice\": [\"sun\", \"moon\", \"stars\"]",
    HELLO ", \"seed\": 3, \"n\": 2, \"max_tokens\": 12, \"logit_bias\": {\"40\": -100}",
    HELLO ", \"seed\": 4, \"json_schema\": {\"type\": \"array\", \"items\": {\"type\": "
          "\"integer\"}, \"maxItems\": 3}, \"max_tokens\": 20",
    HELLO ", " TOOLS ", \"seed\": 5, \"tool_choice\": \"required\", \"max_tokens\": 30",
    HELLO ", \"temperature\": 0, \"guided_regex\": \"[ab]{3,9}c\"",
};

typedef struct asker {
    const answer *alone; /* [ST_COUNT(mixed)] */
    unsigned from, wrong;
} asker;

/* Ids of calls are made up each time. */
static bool same_choices(const answer *a, const answer *b)
{
    json_t *one = json_deep_copy(answer_at(a, "choices"));
    json_t *other = json_deep_copy(answer_at(b, "choices"));
    json_t *const both[] = {one, other};
    size_t i;
    json_t *part;
    for (int k = 0; k < 2; k++)
        json_array_foreach(
            json_object_get(json_object_get(json_array_get(both[k], 0), "message"),
                            "tool_calls"),
            i, part) json_object_del(part, "id");
    bool same = one && json_equal(one, other);
    json_decref(one);
    json_decref(other);
    return same;
}

static void *asker_run(void *arg)
{
    asker *k = arg;
    for (unsigned i = 0; i < 2 * ST_COUNT(mixed); i++) {
        unsigned at = (k->from + i) % ST_COUNT(mixed);
        st_buf body;
        st_buf_init(&body, 1 << 20);
        st_buf_fmt(&body, "{%s}", mixed[at]);
        answer a = ask_once(s.port, "POST", CHAT, NULL, body.data);
        k->wrong += a.status != 200 || !same_choices(&a, &k->alone[at]);
        answer_done(&a);
        st_buf_done(&body);
    }
    return NULL;
}

static void many_get_what_one_gets_alone(void **state)
{
    answer alone[ST_COUNT(mixed)];
    pthread_t threads[N_CLIENTS];
    asker askers[N_CLIENTS];
    (void)state;
    for (size_t i = 0; i < ST_COUNT(mixed); i++)
        alone[i] = good(CHAT, mixed[i]);
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        askers[i] = (asker){alone, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, asker_run, &askers[i]), 0);
    }
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(askers[i].wrong, 0);
    }
    for (size_t i = 0; i < ST_COUNT(mixed); i++)
        answer_done(&alone[i]);
}

/* ---- a client that hangs up ---- */

/* Tokens that the request made, from the log's line about it; -1: it is not over. */
static long made(const char *id)
{
    char part[80];
    char *log = served_log(&s);
    snprintf(part, sizeof part, "\"id\":\"%s\"", id);
    const char *at = strstr(log, part);
    at = at ? strstr(at, "\"new_tokens\":") : NULL;
    long n = at ? strtol(at + 13, NULL, 10) : -1;
    st_free(log);
    return n;
}

static void hanging_up_cancels(void **state)
{
    static const char body[] =
        "{" HELLO ", \"stream\": true, \"ignore_eos\": true, \"max_tokens\": 2000}";
    static char chunk[1 << 18];
    client_answer head = {0};
    (void)state;
    if (!model[0])
        skip();
    client c = client_open(s.port);
    assert_true(client_ask(&c, "POST", CHAT, "x-request-id: gone-1\r\n", body));
    assert_true(client_head(&c, &head));
    assert_true(client_chunk(&c, chunk, sizeof chunk) > 0);
    client_abort(&c);
    while (made("gone-1") < 0)
        served_pause();
    assert_true(made("gone-1") < 1900);
    answer a = good(CHAT, BASE); /* and others are answered */
    answer_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_say_the_same),
        cmocka_unit_test(streams_of_calls_say_the_same),
        cmocka_unit_test(fields_have_effect),
        cmocka_unit_test(a_bias_forces_and_forbids),
        cmocka_unit_test(stop_words_cut),
        cmocka_unit_test(logprobs_are_of_the_text),
        cmocka_unit_test(lengths_and_counts),
        cmocka_unit_test(what_is_reused),
        cmocka_unit_test(held_texts_fit),
        cmocka_unit_test(a_cut_form_is_no_answer),
        cmocka_unit_test(calls_are_of_the_functions),
        cmocka_unit_test(fields_are_refused_by_name),
        cmocka_unit_test(a_prompt_that_is_too_long),
        cmocka_unit_test(responses_are_items),
        cmocka_unit_test(responses_call),
        cmocka_unit_test(completion_is_llama_servers),
        cmocka_unit_test(many_get_what_one_gets_alone),
        cmocka_unit_test(hanging_up_cancels),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
