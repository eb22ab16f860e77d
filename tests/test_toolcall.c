/* tests/test_toolcall.c - functions that a model may call: what is accepted of a request,
 * how each family's calls are held, written and read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "grammar/kind.h"
#include "grammar/toolcall.h"
#include "tests/fault.h"
#include "tests/here.h"
#include "tests/vocab_tok.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEMPLATES "../shared/goldens/templates/"

#define WEATHER                                                                          \
    "{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"description\":"     \
    "\"Weather of a place.\",\"parameters\":{\"type\":\"object\",\"properties\":{"       \
    "\"place\":{\"type\":\"string\",\"maxLength\":12},\"unit\":{\"enum\":[\"C\","        \
    "\"F\"]}},\"required\":[\"place\"]}}}"
#define CLOCK                                                                            \
    "{\"type\":\"function\",\"function\":{\"name\":\"get_time\",\"strict\":true}}"
#define MOVE                                                                             \
    "{\"type\":\"function\",\"function\":{\"name\":\"get_weather.move-2\","              \
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"to\":{\"type\":\"array\","    \
    "\"items\":{\"type\":\"integer\"},\"maxItems\":3,\"uniqueItems\":true}}}}}"
#define THREE "[" WEATHER "," CLOCK "," MOVE "]"

static toolset *set_of(const char *tools, const char *choice, toolset_opts opts)
{
    toolset *set = NULL;
    grammar_refusal refusal = {0};
    st_err err = {0};
    opts.choice = choice;
    opts.choice_len = choice ? strlen(choice) : 0;
    if (toolset_new(tools, strlen(tools), &opts, &set, &refusal, &err) < 0)
        fail_msg("%s: %s", refusal.pointer, err.message);
    return set;
}

/* ---- requests ---- */

static void requests_are_read_strictly(void **state)
{
    static const struct {
        const char *tools, *choice, *pointer, *says;
    } cases[] = {
        {"{}", NULL, "/tools", "array"},
        {"[]", NULL, "/tools", "no functions"},
        {"[3]", NULL, "/tools/0", "\"type\": \"function\""},
        {"[" CLOCK ",{\"type\":\"retrieval\"}]", NULL, "/tools/1", "type"},
        {"[{\"function\":{\"name\":\"f\"}}]", NULL, "/tools/0", "type"},
        {"[{\"type\":\"function\"}]", NULL, "/tools/0", "\"function\""},
        {"[{\"type\":\"function\",\"function\":{\"name\":\"f\"},\"cache\":1}]", NULL,
         "/tools/0", "'cache'"},
        {"[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"returns\":{}}}]", NULL,
         "/tools/0/function", "'returns'"},
        {"[{\"type\":\"function\",\"function\":{}}]", NULL, "/tools/0/function/name",
         "has a name"},
        {"[{\"type\":\"function\",\"function\":{\"name\":\"\"}}]", NULL,
         "/tools/0/function/name", "1 to 64"},
        {"[{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}]", NULL,
         "/tools/0/function/name", "letters"},
        {"[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":3}}]",
         NULL, "/tools/0/function", "description"},
        {"[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":1}}]", NULL,
         "/tools/0/function", "strict"},
        {"[" CLOCK "," CLOCK "]", NULL, "/tools/1/function/name", "two functions"},
        {"[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
         "{\"type\":\"string\"}}}]",
         NULL, "/tools/0/function/parameters", "JSON object"},
        {"[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":false}}]",
         NULL, "/tools/0/function/parameters", "JSON object"},
        {"[" CLOCK ",{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
         "{\"properties\":{\"a\":{\"type\":\"strin\"}}}}}]",
         NULL, "/tools/1/function/parameters/properties/a", "function 'f'"},
        {"[" CLOCK ",{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
         "{\"properties\":{\"a\":{\"$ref\":\"http://e.org/x\"}}}}}]",
         NULL, "/tools/1/function/parameters/properties/a", "function 'f'"},
        {THREE, "\"always\"", "/tool_choice", "required"},
        {THREE, "{\"type\":\"function\"}", "/tool_choice", "function"},
        {THREE, "{}", "/tool_choice", "type"},
        {THREE, "3", "/tool_choice", "type"},
        {THREE, "{\"type\":\"allowed_tools\",\"allowed_tools\":{}}",
         "/tool_choice/allowed_tools", "auto"},
        {THREE, "{\"type\":\"function\",\"function\":{\"name\":\"nope\"}}",
         "/tool_choice", "'nope'"},
        {THREE, "{\"type\":\"function\",\"function\":{\"name\":\"get_time\",\"x\":1}}",
         "/tool_choice", "'x'"},
        {THREE, "{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"none\"}}",
         "/tool_choice/allowed_tools", "auto"},
        {THREE,
         "{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\",\"tools\":[]}"
         "}",
         "/tool_choice/allowed_tools", "array of functions"},
        {THREE,
         "{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\",\"tools\":"
         "[{\"type\":\"function\",\"function\":{\"name\":\"no\"}}]}}",
         "/tool_choice/allowed_tools/tools/0", "'no'"},
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        toolset *set = NULL;
        grammar_refusal refusal = {0};
        st_err err = {0};
        const char *choice = cases[i].choice;
        const toolset_opts opts = {.choice = choice,
                                   .choice_len = choice ? strlen(choice) : 0};
        int rc = toolset_new(cases[i].tools, strlen(cases[i].tools), &opts, &set,
                             &refusal, &err);
        if (rc >= 0 || strcmp(refusal.pointer, cases[i].pointer) != 0 ||
            !strstr(err.message, cases[i].says))
            fail_msg("case %zu: %d at '%s': %s", i, rc, refusal.pointer, err.message);
        assert_null(set);
    }
    st_err err = {0};
    toolset *set;
    assert_int_equal(toolset_new("[{]", 3, NULL, &set, NULL, &err), ST_EFORMAT);
    assert_non_null(strstr(err.message, "/tools"));
}

/* ---- formats ---- */

static void names_of_formats(void **state)
{
    (void)state;
    for (uint32_t i = 0; toolcall_format_at(i); i++) {
        const toolcall_format *f = toolcall_format_at(i);
        assert_ptr_equal(toolcall_format_named(toolcall_format_name(f)), f);
        assert_int_equal(toolcall_format_is_own(f), toolcall_format_at(i + 1) != NULL);
    }
    assert_null(toolcall_format_named("nonsense"));
    assert_false(toolcall_format_is_own(toolcall_format_of(NULL)));
    assert_false(toolcall_format_is_own(toolcall_format_of("{{ messages }}")));
}

static char *file_read(const char *path, size_t *ret_len)
{
    static char text[1 << 20];
    FILE *in = fopen(path, "rb");
    *ret_len = in ? fread(text, 1, sizeof text - 1, in) : 0;
    text[*ret_len] = '\0';
    if (in)
        fclose(in);
    return text;
}

static void templates_are_recognised(void **state)
{
    static const char *const cases[][2] = {
        {"Qwen-Qwen2.5-7B-Instruct", "hermes"},
        {"Qwen-Qwen3-0.6B", "hermes"},
        {"NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "hermes"},
        {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "hermes"},
        {"ibm-granite-granite-4.0", "hermes"},
        {"ibm-granite-granite-4.1", "hermes"},
        {"MiMo-VL", "hermes"},
        {"meta-llama-Llama-3.1-8B-Instruct", "llama3"},
        {"meta-llama-Llama-3.3-70B-Instruct", "llama3"},
        {"Mistral-Small-3.2-24B-Instruct-2506", "mistral-id"},
        {"mistralai-Ministral-3-14B-Reasoning-2512", "mistral-args"},
        {"unsloth-mistral-Devstral-Small-2507", "mistral-args"},
        {"meetkai-functionary-medium-v3.2", "functionary-3.2"},
        {"fireworks-ai-llama-3-firefunction-v2", "firefunction"},
        {"NVIDIA-Nemotron-Nano-v2", "nemotron"},
        {"Apriel-1.6-15b-Thinker-fixed", "apriel"},
        {"MiniMax-M1", "minimax-m1"},
        {"Apertus-8B-Instruct", "apertus"},
        {"deepseek-ai-DeepSeek-V3.1", "deepseek-v3.1"},
        {"moonshotai-Kimi-K2", "kimi-k2"},
        {"CohereForAI-c4ai-command-r7b-12-2024-tool_use", "cohere"},
        {"Cohere2MoE", "cohere"},
        {"upstage-Solar-Open-100B", "solar"},
        /* arguments that are no JSON object: not known */
        {"Qwen3.5-4B", "json"},
        {"GLM-4.6", "json"},
        {"ByteDance-Seed-OSS", "json"},
        {"google-gemma-4-31B-it", "json"},
        {"MiniMax-M3", "json"},
        {"deepseek-ai-DeepSeek-V3.2", "json"},
        {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "json"},
        {"llama-cpp-deepseek-r1", "json"},
        {"LFM2.5-8B-A1B", "json"},
        /* no functions at all */
        {"microsoft-Phi-3.5-mini-instruct", "json"},
        {"llama-cpp-rwkv-world", "json"},
    };
    char path[300];
    size_t len;
    (void)state;
    if (!is_here(TEMPLATES "cases.jsonl"))
        return;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        snprintf(path, sizeof path, TEMPLATES "files/%s.jinja", cases[i][0]);
        const char *name =
            toolcall_format_name(toolcall_format_of(file_read(path, &len)));
        assert_true(len > 0);
        if (strcmp(name, cases[i][1]) != 0)
            fail_msg("%s: taken for %s", cases[i][0], name);
    }
}

static bool same_calls(const toolcalls *a, const toolcalls *b, bool ids)
{
    bool same = a->n == b->n && a->content_len == b->content_len &&
                memcmp(a->content, b->content, a->content_len) == 0;
    for (uint32_t i = 0; same && i < a->n; i++)
        same = strcmp(a->calls[i].name, b->calls[i].name) == 0 &&
               strcmp(a->calls[i].arguments, b->calls[i].arguments) == 0 &&
               (!ids || strcmp(a->calls[i].id, b->calls[i].id) == 0);
    return same;
}

/* Put `to`, which is no longer, wherever `from` stands. */
static void text_swap(char *text, const char *from, const char *to)
{
    size_t len = strlen(to);
    for (char *at; (at = strstr(text, from)) != NULL;) {
        memmove(at + len, at + strlen(from), strlen(at + strlen(from)) + 1);
        memcpy(at, to, len);
    }
}

/* Take `, "id": "..."` out of a text: a member that templates add. */
static void ids_cut(char *text, const char *id)
{
    char member[100];
    snprintf(member, sizeof member, ", \"id\": \"%s\"", id);
    text_swap(text, member, "");
}

/* The calls of a golden conversation's turn, ids as the format has them. */
static uint32_t golden_calls(const json_t *turn, const char *format, toolcall *calls,
                             uint32_t most)
{
    static char ids[8][8], *kept[8];
    const json_t *list = json_object_get(turn, "tool_calls");
    bool counts = strcmp(format, "kimi-k2") == 0 || strcmp(format, "cohere") == 0;
    uint32_t n = (uint32_t)json_array_size(list);
    assert_true(n <= most);
    for (uint32_t i = 0; i < n; i++) {
        const json_t *call = json_array_get(list, i);
        const json_t *function = json_object_get(call, "function");
        if (!json_is_object(json_object_get(function, "arguments")))
            return 0; /* a text, which templates show in ways of their own */
        snprintf(ids[i], sizeof ids[i], "%u", i);
        free(kept[i]);
        kept[i] =
            json_dumps(json_object_get(function, "arguments"), JSON_REAL_PRECISION(3));

        calls[i] = (toolcall){
            .name = json_string_value(json_object_get(function, "name")),
            .arguments = kept[i],
            .id = counts ? ids[i] : json_string_value(json_object_get(call, "id"))};
    }
    return n;
}

/* What a template renders of an assistant's calls holds what the row writes of them, and
 * that reads back as the calls. */
static void rows_write_as_templates_do(void **state)
{
    static char line[1 << 18];
    unsigned n_held = 0, n_two = 0;
    (void)state;
    if (!is_here(TEMPLATES "cases.jsonl"))
        return;
    FILE *in = fopen(TEMPLATES "cases.jsonl", "rb");
    while (in && fgets(line, sizeof line, in)) {
        json_t *row = json_loads(line, 0, NULL), *turn;
        const char *expected = json_string_value(json_object_get(row, "expected"));
        const char *file = json_string_value(json_object_get(row, "template"));
        char path[300];
        size_t len, i;
        snprintf(path, sizeof path, TEMPLATES "files/%s", file);
        const toolcall_format *f = toolcall_format_of(file_read(path, &len));
        const char *name = toolcall_format_name(f);
        json_array_foreach(json_object_get(row, "messages"), i, turn)
        {
            toolcall calls[8];
            toolcalls all = {.content = "", .calls = calls}, read;
            st_buf text;
            st_err err = {0};
            all.n = golden_calls(turn, name, calls, 8);
            if (!expected || !toolcall_format_is_own(f) || all.n == 0)
                continue;
            st_buf_init(&text, 1 << 20);
            char *clean = st_strdup(expected);
            for (uint32_t k = 0; k < all.n; k++)
                ids_cut(clean, calls[k].id);
            text_swap(clean, "\\u00fc", "ü");
            text_swap(clean, "1e-07", "1e-7"); /* Python's way and jansson's */
            assert_int_equal(toolcalls_write(f, &all, &text, &err), 0);
            char *bare = st_strdup(text.data);
            text_swap(clean, " ", ""); /* blanks around calls differ */
            text_swap(clean, "\n", "");
            text_swap(bare, " ", "");
            text_swap(bare, "\n", "");
            if (!strstr(clean, bare))
                fail_msg("%s: '%s' is not in '%s'", file, text.data, clean);
            if (toolcalls_read(NULL, f, text.data, text.len, &read, &err) < 0)
                fail_msg("%s: %s in '%s'", file, err.message, text.data);
            assert_true(same_calls(&all, &read, strcmp(read.calls[0].id, "") != 0));
            n_held++;
            n_two += all.n > 1;
            toolcalls_done(&read);
            st_buf_done(&text);
            st_free(bare);
            st_free(clean);
        }
        json_decref(row);
    }
    if (in)
        fclose(in);
    print_message("%u turns of calls, %u with several\n", n_held, n_two);
    assert_true(n_held > 80 && n_two > 15);
}

/* ---- reading ---- */

static void answers_are_read(void **state)
{
    static const struct {
        const char *format, *text, *content;
        uint32_t n;
        const char *last_name, *last_arguments, *last_id;
    } cases[] = {
        {"hermes", "", "", 0, NULL, NULL, NULL},
        {"hermes", "No call < > <tool_cal", "No call < > <tool_cal", 0, NULL, NULL, NULL},
        {"hermes",
         "I look.\n<tool_call>\n{\"name\": \"get_time\", \"arguments\": "
         "{}}\n</tool_call>",
         "I look.", 1, "get_time", "{}", ""},
        {"hermes",
         "<tool_call>{\"arguments\":{\"place\":\"</"
         "tool_call>\"},\"name\":\"get_weather\"}"
         "</tool_call>\n<tool_call> {\"name\":\"get_time\",\"arguments\":\"{ }\"} "
         "</tool_call>\n\n",
         "", 2, "get_time", "{ }", ""},
        {"llama3", "{\"type\": \"function\", \"name\": \"get_time\", \"parameters\": {}}",
         "{\"type\": \"function\", \"name\": \"get_time\", \"parameters\": {}}", 0, NULL,
         NULL, NULL},
        {"llama3", "<|python_tag|>{\"name\": \"get_time\", \"parameters\": {}}", "", 1,
         "get_time", "{}", ""},
        {"llama3",
         "{\"name\": \"get_time\", \"parameters\": {}}; {\"name\": \"get_weather\", "
         "\"parameters\": {\"place\": \"a;b\\\"}\"}}",
         "", 2, "get_weather", "{\"place\": \"a;b\\\"}\"}", ""},
        {"llama3", "Say {\"name\": \"x\"}", "Say {\"name\": \"x\"}", 0, NULL, NULL, NULL},
        {"mistral",
         "[TOOL_CALLS] [{\"name\": \"get_time\", \"arguments\": {}, \"id\": "
         "\"AbC123xYz\"}]",
         "", 1, "get_time", "{}", "AbC123xYz"},
        {"mistral-args",
         "Now:[TOOL_CALLS]get_weather[ARGS]{\"place\": \"[ARGS]\"}[TOOL_CALLS]get_time"
         "[ARGS]{}",
         "Now:", 2, "get_time", "{}", ""},
        {"mistral-id", "[TOOL_CALLS]get_time[CALL_ID]123456789[ARGS]{}", "", 1,
         "get_time", "{}", "123456789"},
        {"functionary-3.2", "all\nHello.", "Hello.", 0, NULL, NULL, NULL},
        {"functionary-3.2", "all\nWait.>>>get_time\n{}>>>get_time\n{ }", "Wait.", 2,
         "get_time", "{ }", ""},
        {"functionary-3.2", "get_weather\n{\"place\": \"all\"}", "", 1, "get_weather",
         "{\"place\": \"all\"}", ""},
        {"functionary-3.1", "<function=get_time>{}</function>", "", 1, "get_time", "{}",
         ""},
        {"functionary-3.1",
         "x <function=get_time>{}</function><function=get_time>{}</function>", "x", 2,
         "get_time", "{}", ""},
        {"kimi-k2",
         "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather.move-2:0"
         "<|tool_call_argument_begin|>{\"to\": [1]}<|tool_call_end|>"
         "<|tool_calls_section_end|>",
         "", 1, "get_weather.move-2", "{\"to\": [1]}", "0"},
        {"json", "<tool_call>[{\"name\": \"get_time\", \"arguments\": {}}]</tool_call>",
         "", 1, "get_time", "{}", ""},
    };
    (void)state;
    toolset *set = set_of(THREE, NULL, (toolset_opts){0});
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        toolcalls calls;
        st_err err = {0};
        const toolcall_format *f = toolcall_format_named(cases[i].format);
        if (toolcalls_read(set, f, cases[i].text, strlen(cases[i].text), &calls, &err) <
            0)
            fail_msg("case %zu: %s", i, err.message);
        assert_string_equal(calls.content, cases[i].content);
        assert_int_equal(calls.content_len, strlen(cases[i].content));
        assert_int_equal(calls.n, cases[i].n);
        if (calls.n > 0) {
            const toolcall *last = &calls.calls[calls.n - 1];
            assert_string_equal(last->name, cases[i].last_name);
            assert_string_equal(last->arguments, cases[i].last_arguments);
            assert_string_equal(last->id, cases[i].last_id);
        }
        toolcalls_done(&calls);
    }
    toolset_free(set);
}

static void wrong_answers_say_where(void **state)
{
    static const struct {
        const char *choice, *format, *text, *says;
    } cases[] = {
        {NULL, "hermes", "a<tool_call>", "byte 12 of the answer: expected '{'"},
        {NULL, "hermes", "<tool_call>\n{\"name\": \"get_time\", \"argu", "does not end"},
        {NULL, "hermes", "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}",
         "expected '\n</tool_call>'"},
        {NULL, "hermes",
         "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call> bye",
         "expected '\n</tool_call>'"},
        {NULL, "hermes",
         "<tool_call>\n{\"name\": \"get_tim\", \"arguments\": {}}\n"
         "</tool_call>",
         "'get_tim' is no function of the request"},
        {NULL, "hermes", "<tool_call>{\"name\": \"get_time\"}</tool_call>",
         "no arguments"},
        {NULL, "hermes", "<tool_call>{\"arguments\": {}}</tool_call>", "no name"},
        {NULL, "hermes", "<tool_call>{\"name\": 3, \"arguments\": {}}</tool_call>",
         "'3' is no string"},
        {NULL, "hermes",
         "<tool_call>{\"name\": \"get_time\", \"arguments\": {}, \"x\": 1}</tool_call>",
         "'x' has no meaning"},
        {NULL, "hermes",
         "<tool_call>{\"name\": \"get_time\", \"arguments\": {\"a\": 1}}</tool_call>",
         "arguments of get_time"},
        {NULL, "hermes",
         "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"place\": 5}}"
         "</tool_call>",
         "/place"},
        {NULL, "hermes",
         "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"place\": \"a\", "
         "\"more\": 1}}</tool_call>",
         "more"},
        {NULL, "hermes",
         "<tool_call>{\"name\": \"get_time\", \"arguments\": \"{}\\u0000x\"}</tool_call>",
         "NUL"},
        {NULL, "mistral-args", "[TOOL_CALLS]get_time{}", "expected '[ARGS]'"},
        {NULL, "mistral-args", "[TOOL_CALLS][ARGS]{}", "a function's name"},
        {NULL, "json", "<tool_call>[{\"name\": \"get_time\", \"arguments\": {}}",
         "expected ']</tool_call>'"},
        {"\"required\"", "hermes", "hello", "calls no function"},
        {"\"none\"", "hermes",
         "<tool_call>{\"name\": \"get_time\", \"arguments\": {}}</tool_call>",
         "calls a function"},
        {"{\"type\":\"function\",\"function\":{\"name\":\"get_time\"}}", "hermes",
         "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"place\": \"x\"}}"
         "</tool_call>",
         "tool_choice"},
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        toolset *set = set_of(THREE, cases[i].choice, (toolset_opts){0});
        toolcalls calls;
        st_err err = {0};
        const toolcall_format *f = toolcall_format_named(cases[i].format);
        int rc =
            toolcalls_read(set, f, cases[i].text, strlen(cases[i].text), &calls, &err);
        if (rc != ST_EFORMAT || !strstr(err.message, cases[i].says))
            fail_msg("case %zu: %d '%s'", i, rc, err.message);
        toolset_free(set);
    }
}

/* ---- masks ---- */

typedef struct held { /* an automaton and its state */
    automaton *a;
    state_id s;
} held;

static bool held_text(held *h, const char *text, size_t len)
{
    st_err err = {0};
    for (size_t i = 0; i < len; i++) {
        if (h->a->ops->step(h->a, h->s, (uint8_t)text[i], &h->s, &err) < 0)
            fail_msg("%s", err.message);
    }
    return h->s != STATE_DEAD;
}

static grammar *grammar_of(const toolset *set, const char *format)
{
    grammar *g = NULL;
    st_err err = {0};
    if (grammar_tools(set, toolcall_format_named(format), &g, NULL, &err) < 0)
        fail_msg("%s: %s", format, err.message);
    return g;
}

static bool text_is_held(const grammar *g, const char *text)
{
    held h = {.s = STATE_START};
    st_err err = {0};
    assert_int_equal(g->ops->automaton(g, &h.a, &err), 0);
    bool ok = held_text(&h, text, strlen(text)) && h.a->ops->accepts(h.a, h.s);
    h.a->ops->free(h.a);
    return ok;
}

static void texts_are_held(void **state)
{
    static const struct {
        const char *format, *choice, *text;
        bool one_call, held;
    } cases[] = {
        {"hermes", NULL, "", false, true},
        {"hermes", NULL, "free text <tool_cal", false, true},
        {"hermes", NULL, "free <tool_call>", false, false},
        {"hermes", "\"none\"", "free text", false, true},
        {"hermes", "\"none\"",
         "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>", false,
         false},
        {"hermes", "\"required\"", "free text", false, false},
        {"hermes", NULL,
         "x\n<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>",
         false, true},
        {"hermes", NULL,
         "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>\n"
         "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"place\": \"a\", "
         "\"unit\": \"F\"}}\n</tool_call>",
         false, true},
        {"hermes", NULL,
         "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>\n"
         "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>",
         true, false},
        {"hermes", NULL,
         "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"unit\": \"F\"}}\n"
         "</tool_call>",
         false, false},
        {"hermes", NULL,
         "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"place\": \"a\", "
         "\"x\": 1}}\n</tool_call>",
         false, false},
        {"hermes", "{\"type\":\"function\",\"function\":{\"name\":\"get_time\"}}",
         "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"place\": \"a\"}}\n"
         "</tool_call>",
         false, false},
        {"llama3", NULL, "{\"name\": \"get_time\", \"parameters\": {}}", false, true},
        {"llama3", NULL, "<|python_tag|>{\"name\": \"get_time\", \"parameters\": {}}",
         false, true},
        {"llama3", NULL, "{\"name\": \"no\", \"parameters\": {}}", false, false},
        {"llama3", NULL, " { \"name\" : \"no\"", false, false},
        {"llama3", NULL, "{\"nam\": \"no\"", false, true},
        {"llama3", NULL, "see {\"name\": \"no\"", false, true},
        {"mistral-id", NULL, "[TOOL_CALLS]get_time[CALL_ID]AbC123xYz[ARGS]{}", false,
         true},
        {"mistral-id", NULL, "[TOOL_CALLS]get_time[CALL_ID]AbC123xY[ARGS]{}", false,
         false},
        {"functionary-3.2", NULL, "all\nhello", false, true},
        {"functionary-3.2", NULL, "hello", false, false},
        {"functionary-3.2", NULL, "get_time\n{}", false, true},
        {"functionary-3.2", NULL, "all\nhello>>>get_time\n{}", false, true},
        {"functionary-3.2", NULL, "all\nhello get_time\n{}>>>", false, false},
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        toolset *set =
            set_of(THREE, cases[i].choice, (toolset_opts){.one_call = cases[i].one_call});
        grammar *g = grammar_of(set, cases[i].format);
        if (text_is_held(g, cases[i].text) != cases[i].held)
            fail_msg("case %zu: '%s' is%s held", i, cases[i].text,
                     cases[i].held ? " not" : "");
        st_err err = {0};
        int rc = grammar_validate(g, cases[i].text, strlen(cases[i].text), &err);
        if (cases[i].held && rc < 0)
            fail_msg("case %zu: %s", i, err.message);
        grammar_free(g);
        toolset_free(set);
    }
}

/* A random text that the automaton lets end; NULL when it came to none. */
static const char *walk_at_random(automaton *a, st_rng *rng, size_t *ret_len)
{
    static char text[2000];
    held h = {.a = a, .s = STATE_START};
    st_err err = {0};
    for (size_t len = 0; len < sizeof text - 1; len++) {
        bool may_end = a->ops->accepts(a, h.s);
        uint8_t ways[256];
        unsigned n = 0, n_repeats = 0;
        for (unsigned c = 0; c < 256 && !(c == 0x7F && n > 0); c++) { /* ASCII if any */
            state_id next;
            uint8_t byte = (uint8_t)c;
            text[len] = (char)byte;
            assert_int_equal(a->ops->step(a, h.s, byte, &next, &err), 0);
            bool repeats = next != STATE_DEAD && a->ops->may_repeat(a, next) &&
                           a->ops->repeats(a, next, text, len + 1);
            n_repeats += repeats;
            if (next != STATE_DEAD && !repeats)
                ways[n++] = byte;
        }
        text[len] = '\0';
        if (n == 0 && !may_end && n_repeats > 0)
            return NULL; /* an item begun that would be there twice */
        if (n == 0 && !may_end)
            fail_msg("no way on from '%s'", text);
        *ret_len = len;
        if (may_end && (n == 0 || st_rng_below(rng, 4) == 0))
            return text;
        text[len] = (char)ways[st_rng_below(rng, n)];
        assert_true(held_text(&h, text + len, 1));
    }
    return NULL;
}

/* Whatever the masks let through, the reader finds right: random texts of every format;
 * and what it finds wrong in a text with one byte changed, the masks refuse too. */
static void masks_and_reader_agree(void **state)
{
    st_rng rng = {.state = 7};
    (void)state;
    toolset *set = set_of(THREE, "\"required\"", (toolset_opts){.max_calls = 3});
    for (uint32_t k = 0; toolcall_format_at(k); k++) {
        const char *name = toolcall_format_name(toolcall_format_at(k));
        grammar *g = grammar_of(set, name);
        automaton *a;
        st_err err = {0};
        unsigned n_done = 0, n_wrong = 0;
        assert_int_equal(g->ops->automaton(g, &a, &err), 0);
        for (int i = 0; i < 60; i++) {
            size_t len;
            st_err why = {0};
            const char *text = walk_at_random(a, &rng, &len);
            if (!text)
                continue;
            n_done++;
            if (grammar_validate(g, text, len, &why) < 0)
                fail_msg("%s: %s: '%s'", name, why.message, text);
            char *other = st_dup(text, len);
            other[st_rng_below(&rng, (uint32_t)len)] ^=
                (char)(1 << st_rng_below(&rng, 5));
            held h = {.a = a, .s = STATE_START};
            if (grammar_validate(g, other, len, NULL) < 0) {
                n_wrong++;
                /* a repeated item alone is no matter of states */
                if (held_text(&h, other, len) && a->ops->accepts(a, h.s) &&
                    !strstr(other, "\"to\": ["))
                    fail_msg("%s: held but wrong: '%s'", name, other);
            }
            st_free(other);
        }
        a->ops->free(a);
        grammar_free(g);
        if (n_done < 20 || n_wrong < 10)
            fail_msg("%s: only %u texts, %u wrong ones", name, n_done, n_wrong);
    }
    toolset_free(set);
}

static void markers_are_named(void **state)
{
    static const struct {
        const char *format, *text;
        const char *may; /* the marker that may come, or NULL */
    } cases[] = {
        {"hermes", "", "<tool_call>"},
        {"hermes", "some text", "<tool_call>"},
        {"hermes",
         "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"place\": \"", NULL},
        {"hermes", "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n",
         "</tool_call>"},
        {"mistral-args", "[TOOL_CALLS]get_time", "[ARGS]"},
        {"mistral-args", "[TOOL_CALLS]get_weather", "[ARGS]"},
        {"mistral-args", "[TOOL_CALLS]get_weather[ARGS]{\"place\": \"", NULL},
        {"llama3", "", "<|python_tag|>"},
        {"llama3", "x", NULL},
    };
    (void)state;
    toolset *set = set_of(THREE, NULL, (toolset_opts){0});
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        grammar *g = grammar_of(set, cases[i].format);
        held h = {.s = STATE_START};
        st_err err = {0};
        assert_int_equal(g->ops->automaton(g, &h.a, &err), 0);
        assert_true(held_text(&h, cases[i].text, strlen(cases[i].text)));
        const char *marker, *may = NULL;
        for (uint32_t m = 0; (marker = h.a->ops->marker(h.a, m)) != NULL; m++) {
            if (h.a->ops->marker_may(h.a, h.s, m)) {
                assert_null(may);
                may = marker;
            }
        }
        if (!may != !cases[i].may || (may && strcmp(may, cases[i].may) != 0))
            fail_msg("case %zu: %s", i, may ? may : "none");
        h.a->ops->free(h.a);
        grammar_free(g);
    }
    toolset_free(set);
}

enum { OPEN = 256, CLOSE, TOKENS };

/* Every byte is a token, and both marks of the format are control tokens. */
static tok *marked_tokenizer(void)
{
    static gguf_str tokens[TOKENS];
    static char pieces[256][4];
    static const gguf_str merges[] = {{"a a", 3}};
    static int32_t types[TOKENS];
    for (unsigned i = 0; i < 256; i++) {
        tokens[i] = vocab_byte(i, pieces[i]);
        types[i] = 1;
    }
    tokens[OPEN] = (gguf_str){"<tool_call>", 11};
    tokens[CLOSE] = (gguf_str){"</tool_call>", 12};
    types[OPEN] = types[CLOSE] = 3;
    const vocab_spec spec = {.model = "gpt2",
                             .pre = "gpt-2",
                             .tokens = tokens,
                             .n_tokens = TOKENS,
                             .types = types,
                             .n_types = TOKENS,
                             .merges = merges};
    return vocab_tok(&spec);
}

static bool allows(matcher *t, int32_t id)
{
    mask m;
    st_err err = {0};
    if (matcher_mask(t, &m, &err) < 0)
        fail_msg("%s", err.message);
    return m.bits[id / 32] >> (id % 32) & 1;
}

static void go_on(matcher *t, const char *text)
{
    st_err err = {0};
    if (matcher_accept_text(t, text, strlen(text), &err) < 0)
        fail_msg("'%s': %s", text, err.message);
}

/* Control tokens that spell a format's marks are allowed where the marks stand and
 * nowhere else; the text is the same as with the marks spelled in pieces. */
static void control_tokens_are_marks(void **state)
{
    static const char call[] =
        "\n{\"name\": \"get_weather\", \"arguments\": {\"place\": \"";
    tok *tokens = marked_tokenizer();
    toolset *set = set_of(THREE, NULL, (toolset_opts){0});
    grammar *g = grammar_of(set, "hermes");
    vocab *v = NULL;
    masker *m = NULL;
    matcher *t = NULL;
    st_err err = {0};
    size_t len;
    (void)state;
    assert_int_equal(vocab_new(tokens, &v, &err), 0);
    assert_int_equal(masker_new(g, v, NULL, &m, &err), 0);
    assert_int_equal(matcher_new(m, &t, &err), 0);
    assert_true(allows(t, OPEN) && allows(t, '<') && !allows(t, CLOSE));
    go_on(t, "Wait");
    assert_true(allows(t, OPEN) && !allows(t, CLOSE));
    assert_int_equal(matcher_accept(t, OPEN, &err), 0);
    assert_true(allows(t, '\n') && !allows(t, 'x') && !allows(t, OPEN));
    go_on(t, call);
    assert_true(allows(t, '<') && !allows(t, OPEN) && !allows(t, CLOSE));
    assert_int_equal(matcher_accept(t, OPEN, &err), ST_EINVAL);
    go_on(t, "<tool_call>\"}}\n");
    assert_true(allows(t, CLOSE) && allows(t, '<'));
    assert_int_equal(matcher_accept(t, CLOSE, &err), 0);
    assert_true(matcher_may_end(t));
    const char *text = matcher_text(t, &len);
    toolcalls calls;
    if (toolcalls_read(set, toolcall_format_named("hermes"), text, len, &calls, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(calls.n, 1);
    assert_string_equal(calls.content, "Wait");
    assert_string_equal(calls.calls[0].arguments, "{\"place\": \"<tool_call>\"}");
    toolcalls_done(&calls);
    matcher_free(t);
    masker_free(m);
    vocab_free(v);
    grammar_free(g);
    toolset_free(set);
    tok_free(tokens);
}

static void names_that_mean_content(void **state)
{
    (void)state;
    toolset *set = set_of("[{\"type\":\"function\",\"function\":{\"name\":\"all\"}}]",
                          NULL, (toolset_opts){0});
    grammar *g = NULL;
    grammar_refusal refusal = {0};
    st_err err = {0};
    assert_int_equal(
        grammar_tools(set, toolcall_format_named("functionary-3.2"), &g, &refusal, &err),
        ST_EUNSUPPORTED);
    assert_string_equal(refusal.pointer, "/tools/0/function/name");
    assert_true(err.hint[0]);
    toolset_free(set);
}

/* An object that lists what it takes is closed where that changes nothing else. */
static void arguments_are_closed(void **state)
{
    static const struct {
        const char *parameters, *arguments;
        bool fits;
    } cases[] = {
        {"{\"properties\":{\"a\":{}}}", "{\"a\": 1}", true},
        {"{\"properties\":{\"a\":{}}}", "{\"b\": 1}", false},
        {"{\"properties\":{\"a\":{}},\"additionalProperties\":true}", "{\"b\": 1}", true},
        {"{\"properties\":{\"a\":{}},\"required\":[\"b\"]}", "{\"b\": 1}", true},
        {"{\"properties\":{\"a\":{}},\"minProperties\":2}", "{\"a\": 1, \"b\": 1}", true},
        {"{\"properties\":{\"a\":{}},\"allOf\":[{\"required\":[\"b\"]}]}", "{\"b\": 1}",
         true},
        {"{\"properties\":{\"a\":{\"properties\":{\"b\":{}}}}}", "{\"a\": {\"c\": 1}}",
         false},
        {"{\"properties\":{\"a\":{\"items\":{\"properties\":{\"b\":{}}}}}}",
         "{\"a\": [{\"c\": 1}]}", false},
        {"{\"properties\":{\"a\":{\"anyOf\":[{\"properties\":{\"b\":{}}}]}}}",
         "{\"a\": {\"c\": 1}}", true},
        {"{\"properties\":{\"a\":{\"properties\":{\"b\":{}}},\"d\":{\"$ref\":"
         "\"#/properties/a\"}}}",
         "{\"a\": {\"c\": 1}}", true},
        {"{\"$defs\":{\"x\":{\"properties\":{\"b\":{}}}},\"properties\":{\"a\":{\"$ref\":"
         "\"#/$defs/x\"}}}",
         "{\"a\": {\"c\": 1}}", true},
        {"{}", "{\"free\": 1}", true},
        {"{}", "[]", false},
        {"true", "{\"free\": 1}", true},
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(cases); i++) {
        char tools[400], text[400];
        snprintf(
            tools, sizeof tools,
            "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":%s}}]",
            cases[i].parameters);
        snprintf(text, sizeof text,
                 "<tool_call>\n{\"name\": \"f\", \"arguments\": %s}\n</tool_call>",
                 cases[i].arguments);
        toolset *set = set_of(tools, NULL, (toolset_opts){0});
        grammar *g = grammar_of(set, "hermes");
        bool fits = grammar_validate(g, text, strlen(text), NULL) == 0;
        if (fits != cases[i].fits || text_is_held(g, text) != cases[i].fits)
            fail_msg("case %zu: %s%s", i, text, fits ? " fits" : "");
        grammar_free(g);
        toolset_free(set);
    }
}

static void models_are_told(void **state)
{
    (void)state;
    toolset *set = set_of(THREE,
                          "{\"type\":\"function\",\"function\":{\"name\":"
                          "\"get_weather\"}}",
                          (toolset_opts){.one_call = true});
    st_buf text;
    st_err err = {0};
    st_buf_init(&text, 1 << 20);
    assert_int_equal(toolset_instructions(set, &text, &err), 0);
    assert_non_null(strstr(text.data, "{\"name\": \"get_weather\", \"description\": "
                                      "\"Weather of a place.\", \"parameters\": {"));
    assert_null(strstr(text.data, "get_time"));
    assert_null(strstr(text.data, "Several"));
    st_buf_done(&text);
    toolset_free(set);
}

static int everything(void *arg)
{
    static const char text[] = "Wait.\n<tool_call>\n{\"name\": \"get_weather\", "
                               "\"arguments\": {\"place\": \"a\"}}\n</tool_call>";
    toolset *set = NULL;
    grammar *g = NULL;
    toolcalls calls;
    st_err err = {0};
    st_buf out;
    (void)arg;
    st_buf_init(&out, 1 << 20);
    int rc = toolset_new(THREE, sizeof THREE - 1, NULL, &set, NULL, &err);
    if (rc == 0)
        rc = grammar_tools(set, toolcall_format_named("hermes"), &g, NULL, &err);
    if (rc == 0) {
        automaton *a = NULL;
        rc = g->ops->automaton(g, &a, &err);
        if (a)
            a->ops->free(a);
    }
    if (rc == 0)
        rc = toolset_instructions(set, &out, &err);
    if (rc == 0)
        rc = toolcalls_read(set, toolcall_format_named("hermes"), text, sizeof text - 1,
                            &calls, &err);
    if (rc == 0) {
        rc = toolcalls_write(toolcall_format_named("hermes"), &calls, &out, &err);
        toolcalls_done(&calls);
    }
    st_buf_done(&out);
    grammar_free(g);
    toolset_free(set);
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    assert_true(fault_sweep(everything, NULL, 7) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_read_strictly),
        cmocka_unit_test(names_of_formats),
        cmocka_unit_test(templates_are_recognised),
        cmocka_unit_test(rows_write_as_templates_do),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(wrong_answers_say_where),
        cmocka_unit_test(texts_are_held),
        cmocka_unit_test(masks_and_reader_agree),
        cmocka_unit_test(markers_are_named),
        cmocka_unit_test(control_tokens_are_marks),
        cmocka_unit_test(names_that_mean_content),
        cmocka_unit_test(arguments_are_closed),
        cmocka_unit_test(models_are_told),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
