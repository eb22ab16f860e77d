/* tests/test_chat.c - conversations with functions as prompts, through the templates of
 * the goldens and of models that know no functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "task/chat.h"
#include "tests/fault.h"
#include "tests/here.h"
#include "tests/vocab_tok.h"
#include <stdio.h>
#include <string.h>

#define TEMPLATES "../shared/goldens/templates/"

#define TOOLS                                                                            \
    "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"Does it.\"," \
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}" \
    "}}]"

/* A template that knows roles and content and nothing else. */
static const char plain[] =
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] + '.' }}{% endfor %}";
/* ... and no system turns */
static const char headless[] =
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no') }}"
    "{% endif %}[{{ m['role'] }}]{{ m['content'] + '.' }}{% endfor %}";
/* A template that pastes arguments as text. */
static const char pastes[] =
    "{% for m in messages %}{% if m.tool_calls %}{% for c in m.tool_calls %}"
    "<function={{ c.function.name }}>{{ c.function.arguments + '' }}</function>"
    "{% endfor %}{% endif %}{{ m.content }}{% endfor %}";

/* Every byte is a token. */
static tok *byte_tokenizer(void)
{
    static gguf_str tokens[256];
    static char pieces[256][4];
    static const gguf_str merges[] = {{"a a", 3}};
    static int32_t types[256];
    for (unsigned i = 0; i < 256; i++) {
        tokens[i] = vocab_byte(i, pieces[i]);
        types[i] = 1;
    }
    const vocab_spec spec = {.model = "gpt2",
                             .pre = "gpt-2",
                             .tokens = tokens,
                             .n_tokens = 256,
                             .types = types,
                             .n_types = 256,
                             .merges = merges};
    return vocab_tok(&spec);
}

static lm model_of(const char *source, tok *t)
{
    lm l = {.tok = t};
    st_err err = {0};
    if (tmpl_parse(source, strlen(source), &l.chat, &err) < 0)
        fail_msg("%s", err.message);
    return l;
}

/* What a conversation comes to, as text; `ret_rc` its code. */
static char *prompt_of(const char *source, const char *messages, const char *format,
                       const char *choice, int *ret_rc, st_err *err)
{
    tok *t = byte_tokenizer();
    lm l = model_of(source, t);
    toolset *set = NULL;
    st_err why = {0};
    tok_ids ids = {0};
    st_buf text;
    const toolset_opts opts = {.choice = choice,
                               .choice_len = choice ? strlen(choice) : 0};
    json_t *turns = json_loads(messages, 0, NULL), *tools = json_loads(TOOLS, 0, NULL);
    assert_non_null(turns);
    st_buf_init(&text, 1 << 20);
    if (toolset_new(TOOLS, strlen(TOOLS), &opts, &set, NULL, &why) < 0)
        fail_msg("%s", why.message);
    const chat_tools with = {tools, set, toolcall_format_named(format)};
    *ret_rc = chat_encode(&l, turns, &with, NULL, &ids, err);
    if (*ret_rc == 0)
        assert_int_equal(tok_decode(t, ids.ids, ids.n, true, &text, err), 0);
    st_buf_char(&text, '\0');
    tok_ids_done(&ids);
    json_decref(turns);
    json_decref(tools);
    toolset_free(set);
    tmpl_free(l.chat);
    tok_free(t);
    return st_buf_detach(&text, NULL);
}

#define CONVERSATION                                                                     \
    "[{\"role\":\"system\",\"content\":\"Be kind\"},{\"role\":\"user\",\"content\":"     \
    "\"Do\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"x\","    \
    "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": "    \
    "1}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"x\",\"content\":\"done\"}]"

static void models_without_functions_are_told(void **state)
{
    int rc;
    st_err err = {0};
    (void)state;
    char *text = prompt_of(plain, CONVERSATION, "json", NULL, &rc, &err);
    if (rc < 0)
        fail_msg("%s", err.message);
    char *end = strstr(text, "\n\nBe kind.[user]Do.[assistant]<tool_call>[{\"name\": "
                             "\"f\", \"arguments\": {\"a\": 1}}]</tool_call>.[user]"
                             "<tool_response>\ndone\n</tool_response>.");
    assert_non_null(end);
    assert_int_equal(strncmp(text, "[system]You can call", 20), 0);
    st_free(text);
    text = prompt_of(plain, "[{\"role\":\"user\",\"content\":\"Do\"}]", "json", NULL, &rc,
                     &err);
    assert_non_null(strstr(text, "[user]Do."));
    assert_int_equal(strncmp(text, "[system]You can call", 20), 0);
    st_free(text);
    text = prompt_of(headless, "[{\"role\":\"user\",\"content\":\"Do\"}]", "json", NULL,
                     &rc, &err);
    assert_int_equal(rc, 0);
    assert_int_equal(strncmp(text, "[user]You can call", 18), 0);
    assert_non_null(strstr(text, "\n\nDo."));
    st_free(text);
    text = prompt_of(plain, CONVERSATION, "json", "\"none\"", &rc, &err);
    assert_null(strstr(text, "You can call"));
    st_free(text);
}

static void arguments_are_pasted_where_they_must_be(void **state)
{
    int rc;
    st_err err = {0};
    (void)state;
    char *text = prompt_of(pastes, CONVERSATION, "functionary-3.1", NULL, &rc, &err);
    if (rc < 0)
        fail_msg("%s", err.message);
    assert_non_null(strstr(text, "<function=f>{\"a\": 1}</function>"));
    st_free(text);
}

static void wrong_messages_are_named(void **state)
{
    static const struct {
        const char *messages, *says;
    } cases[] = {
        {"[3]", "messages[0] is no message"},
        {"[{\"role\":\"assistant\",\"tool_calls\":{}}]", "messages[0]"},
        {"[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"tool_calls\":"
         "[{}]}]",
         "messages[1]: a call has"},
        {"[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
         "\"arguments\":\"[]\"}}]}]",
         "no JSON object"},
        {"[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
         "\"arguments\":\"{\\\"a\\\"\"}}]}]",
         "no JSON object"},
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        int rc;
        st_err err = {0};
        st_free(prompt_of(plain, cases[i].messages, "json", NULL, &rc, &err));
        if (rc != ST_EFORMAT || !strstr(err.message, cases[i].says))
            fail_msg("case %zu: %d '%s'", i, rc, err.message);
    }
}

/* Arguments as text, as OpenAI's API has them, come out as in the goldens, which have
 * them as objects. */
static void goldens_with_arguments_as_text(void **state)
{
    static char line[1 << 18];
    unsigned n = 0;
    (void)state;
    if (!is_here(TEMPLATES "cases.jsonl"))
        return;
    FILE *in = fopen(TEMPLATES "cases.jsonl", "rb");
    tok *t = byte_tokenizer();
    while (in && fgets(line, sizeof line, in)) {
        json_t *row = json_loads(line, 0, NULL), *turn, *call;
        const char *expected = json_string_value(json_object_get(row, "expected"));
        json_t *tools = json_object_get(row, "tools");
        const char *file = json_string_value(json_object_get(row, "template"));
        bool calls = false;
        size_t i, k;
        char path[300], *source;
        size_t len;
        json_array_foreach(json_object_get(row, "messages"), i, turn)
        {
            json_array_foreach(json_object_get(turn, "tool_calls"), k, call)
            {
                json_t *function = json_object_get(call, "function");
                json_t *arguments = json_object_get(function, "arguments");
                char *text = json_dumps(arguments, JSON_REAL_PRECISION(3));
                calls = json_is_object(arguments) && !strstr(text, "1e-7");
                json_object_set_new(function, "arguments", json_string(text));
                st_free(text);
            }
        }
        if (!expected || !calls || !json_is_array(tools) || !strstr(file, "Qwen2.5") ||
            !json_is_true(json_object_get(row, "add_generation_prompt"))) {
            json_decref(row);
            continue;
        }
        st_err err = {0};
        snprintf(path, sizeof path, TEMPLATES "files/%s", file);
        assert_int_equal(st_file_read(path, 1 << 20, &source, &len, &err), 0);
        lm l = model_of(source, t);
        toolset *set = NULL;
        char *offered = json_dumps(tools, 0);
        st_buf text;
        tok_ids ids = {0};
        st_buf_init(&text, 1 << 20);
        if (toolset_new(offered, strlen(offered), NULL, &set, NULL, &err) < 0)
            fail_msg("%s", err.message);
        const chat_tools with = {tools, set, toolcall_format_of(source)};
        if (chat_encode(&l, json_object_get(row, "messages"), &with, NULL, &ids, &err) <
            0)
            fail_msg("%s: %s", file, err.message);
        assert_int_equal(tok_decode(t, ids.ids, ids.n, true, &text, &err), 0);
        assert_string_equal(text.data, expected);
        n++;
        tok_ids_done(&ids);
        st_buf_done(&text);
        toolset_free(set);
        tmpl_free(l.chat);
        st_free(offered);
        st_free(source);
        json_decref(row);
    }
    if (in)
        fclose(in);
    tok_free(t);
    assert_true(n > 0);
}

typedef struct asking {
    lm l;
    json_t *turns;
    chat_tools with;
} asking;

static int encode_once(void *arg)
{
    asking *a = arg;
    tok_ids ids = {0};
    st_err err = {0};
    int rc = chat_encode(&a->l, a->turns, &a->with, NULL, &ids, &err);
    tok_ids_done(&ids);
    return rc;
}

static void memory_runs_out(void **state)
{
    static const char *const sources[] = {plain, headless, pastes};
    tok *t = byte_tokenizer();
    toolset *set = NULL;
    st_err err = {0};
    json_t *tools = json_loads(TOOLS, 0, NULL);
    (void)state;
    assert_int_equal(toolset_new(TOOLS, strlen(TOOLS), NULL, &set, NULL, &err), 0);
    for (size_t i = 0; i < ST_COUNT(sources); i++) {
        asking a = {.l = model_of(sources[i], t),
                    .turns = json_loads(CONVERSATION, 0, NULL)};
        if (i == 1)
            json_array_remove(a.turns, 0); /* which has no system turns */
        a.with = (chat_tools){tools, set,
                              toolcall_format_named(i < 2 ? "json" : "functionary-3.1")};
        assert_true(fault_sweep(encode_once, &a, 1) > 5);
        json_decref(a.turns);
        tmpl_free(a.l.chat);
    }
    json_decref(tools);
    toolset_free(set);
    tok_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_without_functions_are_told),
        cmocka_unit_test(arguments_are_pasted_where_they_must_be),
        cmocka_unit_test(wrong_messages_are_named),
        cmocka_unit_test(goldens_with_arguments_as_text),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
