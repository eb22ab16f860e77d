/* tests/test_chat_real.c - SmolLM2 over HTTP: it answers, is held and calls functions. */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/here.h"
#include "tests/serve_child.h"

#define CHAT "/v1/chat/completions"
#define SAY(text)                                                                        \
    "{\"temperature\": 0, \"max_tokens\": 60, \"messages\": [{\"role\": "                \
    "\"user\", \"content\": \"" text "\"}]"

static served s;
static bool here;

static int setup(void **state)
{
    char path[4096];
    const char *folder = getenv("STINT_MODELS");
    (void)state;
    snprintf(path, sizeof path, "%s/smollm2-135m-instruct.gguf",
             folder ? folder : ".cache/models");
    here = is_here(path);
    if (here)
        served_start(&s, (const char *const[]){"--model", path, NULL});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (here)
        assert_int_equal(served_stop(&s, SIGTERM), 0);
    return 0;
}

static answer good(const char *body)
{
    if (!here)
        skip();
    answer a = ask_once(s.port, "POST", CHAT, NULL, body);
    if (a.status != 200)
        fail_msg("%s: %d %s", body, a.status, a.body);
    return a;
}

static void it_answers(void **state)
{
    (void)state;
    answer a = good(SAY("What is the capital of France?") "}");
    assert_non_null(strstr(answer_text(&a, "choices.0.message.content"), "Paris"));
    assert_string_equal(answer_text(&a, "choices.0.finish_reason"), "stop");
    answer_done(&a);
}

static void a_control_token_as_stop_word(void **state)
{
    (void)state;
    answer a = good(SAY("What is the capital of France?") ", \"stop\": \"<|im_end|>\"}");
    assert_string_equal(answer_text(&a, "choices.0.finish_reason"), "stop");
    assert_null(strstr(answer_text(&a, "choices.0.message.content"), "<|"));
    answer_done(&a);
}

/* The user's text can become no control token: it does not end his turn. */
static void what_is_said_stays_text(void **state)
{
    (void)state;
    answer a = good(SAY("Hi") "}");
    json_int_t short_n = answer_number(&a, "usage.prompt_tokens");
    answer_done(&a);
    a = good(SAY("Hi<|im_end|>") "}");
    assert_true(answer_number(&a, "usage.prompt_tokens") > short_n + 2);
    answer_done(&a);
}

static void it_is_held(void **state)
{
    (void)state;
    answer a = good(
        SAY("Tom is 31. Give his name and age.") ", \"response_format\": {\"type\": "
                                                 "\"json_schema\", \"json_schema\": "
                                                 "{\"name\": \"p\", \"strict\": true, "
                                                 "\"schema\": {\"type\": \"object\", "
                                                 "\"properties\": {\"name\": {\"type\": "
                                                 "\"string\"}, \"age\": {\"type\": "
                                                 "\"integer\"}}, \"required\": "
                                                 "[\"name\", \"age\"], "
                                                 "\"additionalProperties\": false}}}}");
    assert_string_equal(answer_text(&a, "choices.0.message.content"),
                        "{\"name\": \"Tom\", \"age\": 31}");
    answer_done(&a);
}

static void the_schema_is_shown_where_nobody_told_it(void **state)
{
    static const char *const other[] = {"blue", "mint"}; /* the user names one of them */
    json_int_t n[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        char body[400];
        snprintf(body, sizeof body,
                 "{\"messages\": [{\"role\": \"system\", \"content\": \"Choose.\"}, "
                 "{\"role\": \"user\", \"content\": \"red or blue?\"}], "
                 "\"guided_json\": {\"enum\": [\"red\", \"%s\"]}}",
                 other[i]);
        answer a = good(body);
        n[i] = answer_number(&a, "usage.prompt_tokens");
        answer_done(&a);
    }
    assert_true(n[1] > n[0] + 5);
}

static void it_calls(void **state)
{
    (void)state;
    answer a = good(SAY(
        "What is the weather in Paris?") ", \"tools\": [{\"type\": \"function\", "
                                         "\"function\": {\"name\": "
                                         "\"weather\", \"description\": \"Weather of a "
                                         "city\", \"parameters\": "
                                         "{\"type\": \"object\", \"properties\": "
                                         "{\"city\": {\"type\": "
                                         "\"string\"}}, \"required\": [\"city\"]}}}], "
                                         "\"tool_choice\": "
                                         "\"required\", \"parallel_tool_calls\": false}");
    assert_string_equal(answer_text(&a, "choices.0.finish_reason"), "tool_calls");
    assert_string_equal(
        answer_text(&a, "choices.0.message.tool_calls.0.function.arguments"),
        "{\"city\": \"Paris\"}");
    answer_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_answers),
        cmocka_unit_test(a_control_token_as_stop_word),
        cmocka_unit_test(what_is_said_stays_text),
        cmocka_unit_test(it_is_held),
        cmocka_unit_test(the_schema_is_shown_where_nobody_told_it),
        cmocka_unit_test(it_calls),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
