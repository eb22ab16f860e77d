/* tests/test_decision_errors.c - every way in which a body of decisions can be wrong, in
 * the dialect of its route: what is named, with which status and code.
 *
 * Nothing is served: bodies are read as the routes read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "serve/decision_priv.h"
#include "tests/fault.h"
#include <string.h>

typedef struct seen {
    json_t *body; /* of the error; NULL: the body is good */
    unsigned status;
    decision d;
    json_t *sent;
} seen;

static seen read_json(json_t *sent, dialect as)
{
    seen s = {.sent = sent};
    problems p = {0};
    size_t len;
    assert_non_null(sent);
    if (as == DIALECT_OPENAI)
        decision_read(sent, &s.d, &p);
    else
        decision_read_systemone(sent, &s.d, &p);
    assert_false(p.out_of_memory);
    if (p.n > 0) {
        char *text = problems_body(&p, as, &len);
        assert_non_null(text);
        s.status = problems_status(&p, as);
        s.body = json_loadb(text, len, 0, NULL);
        assert_non_null(s.body);
        st_free(text);
    }
    problems_done(&p);
    return s;
}

static seen read_text(const char *text, dialect as)
{
    problems p = {0};
    json_t *sent = body_parse(text, strlen(text), 128, &p);
    if (p.n > 0)
        fail_msg("%s: %s", text, p.list[0].message);
    return read_json(sent, as);
}

static void seen_done(seen *s)
{
    json_decref(s->body);
    json_decref(s->sent);
    decision_done(&s->d);
}

/* "questions.s.criteria" of a detail's loc, or error.param. */
static void place_of(const json_t *error, dialect as, char *to, size_t room)
{
    const json_t *item;
    size_t i, n = 0;
    to[0] = '\0';
    if (as == DIALECT_OPENAI) {
        const char *param = json_string_value(json_object_get(error, "param"));
        snprintf(to, room, "%s", param ? param : "");
        return;
    }
    json_array_foreach(json_object_get(error, "loc"), i, item)
    {
        if (json_is_integer(item))
            n +=
                (size_t)snprintf(to + n, room - n, "[%d]", (int)json_integer_value(item));
        else if (i > 0)
            n += (size_t)snprintf(to + n, room - n, "%s%s", n ? "." : "",
                                  json_string_value(item));
    }
}

typedef struct row {
    const char *body;
    const char *place;
    const char *code;
} row;

static void row_check(const row *r, dialect as)
{
    char place[PROBLEM_PARAM_MAX];
    seen s = read_text(r->body, as);
    if (!s.body)
        fail_msg("%s is taken for good", r->body);
    const json_t *error = as == DIALECT_OPENAI
                              ? json_object_get(s.body, "error")
                              : json_array_get(json_object_get(s.body, "detail"), 0);
    const char *code =
        json_string_value(json_object_get(error, as == DIALECT_OPENAI ? "code" : "type"));
    const char *text = json_string_value(
        json_object_get(error, as == DIALECT_OPENAI ? "message" : "msg"));
    place_of(error, as, place, sizeof place);
    assert_int_equal(s.status, as == DIALECT_OPENAI ? 400 : 422);
    if (strcmp(place, r->place) != 0 || !code || strcmp(code, r->code) != 0)
        fail_msg("%s\n  %s %s: %s\n  not %s %s", r->body, place, code, text, r->place,
                 r->code);
    assert_true(text && strlen(text) > 4);
    seen_done(&s);
}

/* ---- OpenAI ---- */

#define BODY(input, questions)                                                           \
    "{\"model\":\"m\",\"input\":" input ",\"questions\":[" questions "]}"
#define YES "{\"type\":\"predicate\",\"instructions\":\"Is it?\"}"
#define ON(item) BODY("[" item "]", YES)
#define ASK(question) BODY("\"x\"", question)
#define USER(parts) ON("{\"role\":\"user\",\"content\":[" parts "]}")
#define CALL                                                                             \
    "{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"}"

static const row openai_rows[] = {
    {"[]", "", "invalid_type"},
    {"{\"input\":\"x\",\"questions\":[" YES "]}", "model", "missing_required_parameter"},
    {"{\"model\":\"\",\"input\":\"x\",\"questions\":[" YES "]}", "model", "too_short"},
    {"{\"model\":\"m\",\"questions\":[" YES "]}", "input", "missing_required_parameter"},
    {"{\"model\":\"m\",\"input\":\"x\"}", "questions", "missing_required_parameter"},
    {BODY("7", YES), "input", "invalid_type"},
    {BODY("[]", YES), "input", "too_short"},
    {BODY("\"x\"", ""), "questions", "too_short"},
    {"{\"model\":\"m\",\"input\":\"x\",\"questions\":{}}", "questions", "invalid_type"},
    {"{\"model\":\"m\",\"input\":\"x\",\"questions\":[" YES "],\"store\":true}", "store",
     "unknown_parameter"},
    {"{\"model\":\"m\",\"input\":\"x\",\"questions\":[" YES
     "],\"safety_identifier\":\"u\"}",
     "safety_identifier", "unsupported_parameter"},
    {"{\"model\":\"m\",\"input\":\"x\",\"questions\":[" YES
     "],\"prompt_cache_options\":{\"mode\":\"never\"}}",
     "prompt_cache_options.mode", "invalid_value"},
    {"{\"model\":\"m\",\"input\":\"x\",\"questions\":[" YES
     "],\"prompt_cache_options\":{\"ttl\":\"1h\"}}",
     "prompt_cache_options.ttl", "invalid_value"},
    {"{\"model\":\"m\",\"input\":\"x\",\"questions\":[" YES "],\"prompt_cache_key\":1}",
     "prompt_cache_key", "invalid_type"},
    /* items */
    {ON("3"), "input[0]", "invalid_type"},
    {ON("{\"type\":\"reasoning\"}"), "input[0].type", "invalid_value"},
    {ON("{\"type\":5}"), "input[0].type", "invalid_type"},
    {ON("{\"role\":\"tool\",\"content\":\"x\"}"), "input[0].role", "invalid_value"},
    {ON("{\"content\":\"x\"}"), "input[0].role", "missing_required_parameter"},
    {ON("{\"role\":\"user\"}"), "input[0].content", "missing_required_parameter"},
    {ON("{\"role\":\"user\",\"content\":1}"), "input[0].content", "invalid_type"},
    {ON("{\"role\":\"user\",\"content\":\"x\",\"id\":\"i\"}"), "input[0].id",
     "unknown_parameter"},
    {ON("{\"role\":\"user\",\"content\":\"x\",\"phase\":\"commentary\"}"),
     "input[0].phase", "invalid_value"},
    {ON("{\"role\":\"assistant\",\"content\":\"x\",\"phase\":\"done\"}"),
     "input[0].phase", "invalid_value"},
    {ON("{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"\"}"),
     "input[0].call_id", "missing_required_parameter"},
    {ON("{\"type\":\"function_call\",\"call_id\":\"c\",\"arguments\":\"\"}"),
     "input[0].name", "missing_required_parameter"},
    {ON("{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\"}"),
     "input[0].arguments", "missing_required_parameter"},
    {ON("{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":"
        "\"\",\"status\":\"lost\"}"),
     "input[0].status", "invalid_value"},
    {ON("{\"type\":\"custom_tool_call\",\"call_id\":\"c\",\"name\":\"f\"}"),
     "input[0].input", "missing_required_parameter"},
    {ON("{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"x\"}"),
     "input[0].call_id", "invalid_value"},
    {ON("{\"type\":\"function_call_output\",\"call_id\":\"c\"}"), "input[0].output",
     "missing_required_parameter"},
    {ON(CALL "," CALL), "input[1].call_id", "invalid_value"},
    {ON(CALL
        ",{\"type\":\"custom_tool_call_output\",\"call_id\":\"c\",\"output\":\"x\"}"),
     "input[1].call_id", "invalid_value"},
    {ON("{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"x\"}," CALL),
     "input[0].call_id", "invalid_value"},
    {ON(CALL ",{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":[{"
             "\"type\":\"input_image\"}]}"),
     "input[1].output[0]", "unsupported_content"},
    /* parts */
    {USER("{\"type\":\"input_text\",\"text\":\"a\"},{\"type\":\"input_image\",\"image_"
          "url\":\"data:\"}"),
     "input[0].content[1]", "unsupported_content"},
    {USER("\"x\""), "input[0].content[0]", "invalid_type"},
    {USER("{\"text\":\"x\"}"), "input[0].content[0].type", "missing_required_parameter"},
    {USER("{\"type\":7}"), "input[0].content[0].type", "invalid_type"},
    {USER("{\"type\":\"output_text\",\"text\":\"x\"}"), "input[0].content[0].type",
     "invalid_value"},
    {USER("{\"type\":\"input_text\"}"), "input[0].content[0].text",
     "missing_required_parameter"},
    {USER("{\"type\":\"input_text\",\"text\":\"x\",\"bold\":1}"),
     "input[0].content[0].bold", "unknown_parameter"},
    {USER("{\"type\":\"input_text\",\"text\":\"x\",\"prompt_cache_breakpoint\":{\"mode\":"
          "\"implicit\"}}"),
     "input[0].content[0].prompt_cache_breakpoint.mode", "invalid_value"},
    {USER("{\"type\":\"input_json\",\"data\":7}"), "input[0].content[0].data",
     "invalid_type"},
    {USER("{\"type\":\"input_json\",\"data\":[7]}"), "input[0].content[0].data[0]",
     "invalid_type"},
    {ON("{\"role\":\"system\",\"content\":[{\"type\":\"input_json\",\"data\":{}}]}"),
     "input[0].content[0].type", "invalid_value"},
    {ON("{\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\",\"text\":\"x\"}]}"),
     "input[0].content[0].text", "unknown_parameter"},
    /* questions */
    {ASK("7"), "questions[0]", "invalid_type"},
    {ASK("{\"instructions\":\"x\"}"), "questions[0].type", "missing_required_parameter"},
    {ASK("{\"type\":\"box\",\"instructions\":\"x\"}"), "questions[0].type",
     "invalid_value"},
    {ASK("{\"type\":\"predicate\"}"), "questions[0].instructions",
     "missing_required_parameter"},
    {ASK("{\"type\":\"predicate\",\"instructions\":null}"), "questions[0].instructions",
     "invalid_type"},
    {ASK("{\"type\":\"predicate\",\"instructions\":\"x\",\"name\":null}"),
     "questions[0].name", "invalid_type"},
    {ASK("{\"type\":\"predicate\",\"instructions\":\"x\",\"choices\":[]}"),
     "questions[0].choices", "unknown_parameter"},
    {ASK("{\"type\":\"predicate\",\"instructions\":[{\"type\":\"input_image\"}]}"),
     "questions[0].instructions[0]", "unsupported_content"},
    {ASK("{\"type\":\"predicate\",\"instructions\":[{\"type\":\"input_text\",\"text\":"
         "\"x\",\"prompt_cache_breakpoint\":{\"mode\":\"explicit\"}}]}"),
     "questions[0].instructions[0].prompt_cache_breakpoint", "unknown_parameter"},
    {ASK("{\"type\":\"predicate\",\"instructions\":\"a\\u0000b\"}"),
     "questions[0].instructions", "invalid_value"},
    {ASK("{\"type\":\"choice\",\"instructions\":\"x\"}"), "questions[0].choices",
     "missing_required_parameter"},
    {ASK("{\"type\":\"choice\",\"instructions\":\"x\",\"choices\":[{\"value\":\"a\"}]}"),
     "questions[0].choices", "too_short"},
    {ASK("{\"type\":\"choice\",\"instructions\":\"x\",\"choices\":[{\"value\":1},{"
         "\"value\":\"a\"}]}"),
     "questions[0].choices[0].value", "invalid_type"},
    {ASK("{\"type\":\"choice\",\"instructions\":\"x\",\"choices\":[{\"value\":\"\"},{"
         "\"value\":\"a\"}]}"),
     "questions[0].choices[0].value", "too_short"},
    {ASK("{\"type\":\"choice\",\"instructions\":\"x\",\"choices\":[{\"value\":\"a\"},{"
         "\"value\":\"a\"}]}"),
     "questions[0].choices[1].value", "invalid_value"},
    {ASK("{\"type\":\"choice\",\"instructions\":\"x\",\"choices\":[{\"value\":true},{"
         "\"value\":true}]}"),
     "questions[0].choices[1].value", "invalid_value"},
    {ASK("{\"type\":\"choice\",\"instructions\":\"x\",\"choices\":[{\"value\":\"a\"},{"
         "\"label\":\"b\"}]}"),
     "questions[0].choices[1].label", "unknown_parameter"},
    {ASK("{\"type\":\"score\",\"instructions\":\"x\"}"), "questions[0].levels",
     "missing_required_parameter"},
    {ASK("{\"type\":\"score\",\"instructions\":\"x\",\"levels\":[{\"label\":\"a\"}]}"),
     "questions[0].levels", "too_short"},
    {ASK("{\"type\":\"score\",\"instructions\":\"x\",\"levels\":[{\"label\":true},{"
         "\"label\":\"b\"}]}"),
     "questions[0].levels[0].label", "invalid_type"},
    /* mixtures */
    {"{\"model\":\"m\",\"input\":\"x\",\"state\":\"x\",\"questions\":[" YES "]}", "state",
     "invalid_value"},
    {ASK("{\"id\":\"a\",\"type\":\"yes_no\",\"question\":\"x\",\"instructions\":\"x\"}"),
     "questions[0]", "invalid_value"},
    {ASK(YES ",{\"id\":\"a\",\"type\":\"yes_no\",\"question\":\"x\"}"), "questions[1]",
     "invalid_value"},
    {ASK("{\"id\":\"a\",\"type\":\"yes_no\",\"question\":\"x\"}," YES), "questions[1]",
     "invalid_value"},
    /* SGLang */
    {ASK("{\"type\":\"yes_no\",\"question\":\"x\"}"), "questions[0].id",
     "missing_required_parameter"},
    {ASK("{\"id\":\"a\",\"type\":\"yes_no\"}"), "questions[0].question",
     "missing_required_parameter"},
    {ASK("{\"id\":\"a\",\"question\":\"x\"}"), "questions[0].type",
     "missing_required_parameter"},
    {ASK("{\"id\":\"a\",\"question\":\"x\",\"type\":\"noul\"}"), "questions[0].type",
     "invalid_value"},
    {ASK("{\"id\":\"a\",\"question\":\"x\",\"type\":\"yes_no\",\"levels\":[]}"),
     "questions[0].levels", "unknown_parameter"},
    {ASK("{\"id\":\"a\",\"question\":\"x\",\"options\":[{\"name\":\"b\"}]}"),
     "questions[0].options", "too_short"},
    {ASK("{\"id\":\"a\",\"question\":\"x\",\"options\":[{\"name\":\"b\"},{\"name\":\"b\"}"
         "]}"),
     "questions[0].options[1]", "invalid_value"},
    {ASK("{\"id\":\"a\",\"question\":\"x\",\"levels\":[\"b\",1]}"),
     "questions[0].levels[1]", "invalid_type"},
    {ASK("{\"id\":\"a\",\"question\":\"x\",\"levels\":[\"b\",\"\"]}"),
     "questions[0].levels[1]", "invalid_value"},
    {ASK("{\"id\":\"a\",\"question\":\"x\",\"yes_no\":true},{\"id\":\"a\",\"question\":"
         "\"x\",\"yes_no\":true}"),
     "questions[1].id", "invalid_value"},
    {"{\"model\":\"m\",\"input\":\"x\",\"temperature\":0.5,\"questions\":[{\"id\":\"a\","
     "\"question\":\"x\",\"yes_no\":true}]}",
     "temperature", "unsupported_parameter"},
    {"{\"model\":\"m\",\"input\":\"x\",\"return_prompt_token_ids\":true,\"questions\":[{"
     "\"id\":\"a\",\"question\":\"x\",\"yes_no\":true}]}",
     "return_prompt_token_ids", "unsupported_parameter"},
    /* TypeSafe's body on this route: OpenAI's errors */
    {"{\"model\":\"m\",\"state\":\"x\",\"questions\":{\"a\":{\"type\":\"box\"}}}",
     "questions.a.type", "unsupported_parameter"},
};

static void openai_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ST_COUNT(openai_rows); i++)
        row_check(&openai_rows[i], DIALECT_OPENAI);
}

/* ---- TypeSafe ---- */

#define STATE(questions) "{\"model\":\"m\",\"state\":\"x\",\"questions\":{" questions "}}"
#define Q(rest) STATE("\"q\":{" rest "}")

static const row typesafe_rows[] = {
    {"[]", "", "type_error"},
    {"{\"state\":\"x\",\"questions\":{\"q\":{\"type\":\"noul\"}}}", "model", "missing"},
    {"{\"model\":\"m\",\"questions\":{\"q\":{\"type\":\"noul\"}}}", "state", "missing"},
    {"{\"model\":\"m\",\"state\":7,\"questions\":{\"q\":{\"type\":\"noul\"}}}", "state",
     "type_error"},
    {"{\"model\":\"m\",\"state\":null,\"questions\":{\"q\":{\"type\":\"noul\"}}}",
     "state", "type_error"},
    {"{\"model\":\"m\",\"state\":\"x\"}", "questions", "missing"},
    {"{\"model\":\"m\",\"state\":\"x\",\"questions\":[]}", "questions", "type_error"},
    {STATE(""), "questions", "too_short"},
    {"{\"model\":\"m\",\"state\":\"x\",\"assets\":[\"a\"],\"questions\":{\"q\":{\"type\":"
     "\"noul\"}}}",
     "assets", "unsupported"},
    {"{\"model\":\"m\",\"state\":\"x\",\"images\":[\"a\"],\"questions\":{\"q\":{\"type\":"
     "\"noul\"}}}",
     "images", "unsupported"},
    {STATE("\"q\":7"), "questions.q", "type_error"},
    {Q("\"instructions\":\"x\""), "questions.q.type", "missing"},
    {Q("\"type\":\"predicate\""), "questions.q.type", "value_error"},
    {Q("\"type\":1"), "questions.q.type", "type_error"},
    {Q("\"type\":\"box\",\"instructions\":\"x\""), "questions.q.type", "unsupported"},
    {Q("\"type\":\"noul\",\"instructions\":5"), "questions.q.instructions", "type_error"},
    {Q("\"type\":\"noul\",\"name\":\"x\""), "questions.q.name", "extra_forbidden"},
    {Q("\"type\":\"noul\",\"criteria\":[]"), "questions.q.criteria", "type_error"},
    {Q("\"type\":\"noul\",\"criteria\":{\"maybe\":\"x\"}"), "questions.q.criteria.maybe",
     "extra_forbidden"},
    {Q("\"type\":\"noul\",\"instructions\":\"a\\u0000\""), "questions.q.instructions",
     "value_error"},
    {Q("\"type\":\"choice\""), "questions.q.criteria", "missing"},
    {Q("\"type\":\"choice\",\"criteria\":[\"a\"]"), "questions.q.criteria", "type_error"},
    {Q("\"type\":\"choice\",\"criteria\":{}"), "questions.q.criteria", "too_short"},
    {Q("\"type\":\"choice\",\"criteria\":{\"a\":1}"), "questions.q.criteria.a",
     "type_error"},
    {Q("\"type\":\"choice\",\"criteria\":{\"\":null}"), "questions.q.criteria.",
     "value_error"},
    {Q("\"type\":\"score\""), "questions.q.criteria", "missing"},
    {Q("\"type\":\"score\",\"criteria\":{}"), "questions.q.criteria", "type_error"},
    {Q("\"type\":\"score\",\"criteria\":[\"one\"]"), "questions.q.criteria", "too_short"},
    {Q("\"type\":\"score\",\"criteria\":[\"one\",2]"), "questions.q.criteria[1]",
     "type_error"},
    {Q("\"type\":\"score\",\"criteria\":[\"one\",\"\"]"), "questions.q.criteria[1]",
     "value_error"},
};

static void typesafe_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ST_COUNT(typesafe_rows); i++)
        row_check(&typesafe_rows[i], DIALECT_TYPESAFE);
}

/* ---- all at once ---- */

static void all_problems_are_told(void **state)
{
    static const char *const openai = "{\"model\":7,\"input\":[{\"role\":\"user\","
                                      "\"content\":[{\"type\":\"input_image\"}"
                                      "]}],\"questions\":[{\"type\":\"x\"},{\"type\":"
                                      "\"score\",\"instructions\":\"x\"}],"
                                      "\"other\":1}";
    static const char *const typesafe =
        "{\"model\":\"m\",\"state\":1,\"questions\":{\"a.b\":{\"type\":\"x\"},\"c\":{"
        "\"type\":\"score\",\"criteria\":[]}}}";
    (void)state;
    seen s = read_text(openai, DIALECT_OPENAI);
    assert_int_equal(
        json_array_size(json_object_get(json_object_get(s.body, "error"), "errors")), 5);
    seen_done(&s);
    s = read_text(typesafe, DIALECT_TYPESAFE);
    const json_t *detail = json_object_get(s.body, "detail");
    assert_int_equal(json_array_size(detail), 3);
    const json_t *loc = json_object_get(json_array_get(detail, 1), "loc");
    assert_string_equal(json_string_value(json_array_get(loc, 2)), "a.b");
    seen_done(&s);
}

/* ---- limits, at and behind ---- */

static json_t *list_of(const json_t *one, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_deep_copy(one));
    return list;
}

static json_t *long_text(size_t n)
{
    char *text = st_alloc(n);
    memset(text, 'a', n);
    json_t *value = json_stringn(text, n);
    st_free(text);
    return value;
}

static json_t *numbered(const char *key, size_t n)
{
    json_t *list = json_array();
    char name[32];
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "v%zu", i);
        json_array_append_new(list, json_pack("{s:s}", key, name));
    }
    return list;
}

static json_t *openai_body(json_t *input, json_t *questions)
{
    return json_pack("{s:s, s:o, s:o}", "model", "m", "input", input, "questions",
                     questions);
}

static json_t *predicate(json_t *instructions)
{
    return json_pack("{s:s, s:o}", "type", "predicate", "instructions", instructions);
}

static json_t *one_question(json_t *q)
{
    return openai_body(json_string("x"), json_pack("[o]", q));
}

static json_t *user_parts(json_t *parts)
{
    return openai_body(json_pack("[{s:s, s:o}]", "role", "user", "content", parts),
                       json_pack("[o]", predicate(json_string("x"))));
}

static json_t *json_part(json_t *data)
{
    return user_parts(json_pack("[{s:s, s:o}]", "type", "input_json", "data", data));
}

static json_t *nested(size_t depth)
{
    json_t *at = json_object();
    for (size_t i = 1; i < depth; i++)
        at = json_pack("{s:o}", "a", at);
    return at;
}

static json_t *make_openai(unsigned which, size_t n)
{
    json_t *x = json_string("x");
    json_t *text = json_pack("{s:s, s:s}", "type", "input_text", "text", "a");
    json_t *message = json_pack("{s:s, s:s}", "role", "user", "content", "a");
    json_t *made = NULL, *yes = predicate(json_string("x"));
    switch (which) {
    case 0:
        made = openai_body(json_string("x"), list_of(yes, n));
        break;
    case 1:
        made = one_question(json_pack("{s:s, s:s, s:o}", "type", "choice", "instructions",
                                      "x", "choices", numbered("value", n)));
        break;
    case 2:
        made = one_question(json_pack("{s:s, s:s, s:o}", "type", "score", "instructions",
                                      "x", "levels", numbered("label", n)));
        break;
    case 3:
        made = openai_body(long_text(n), json_pack("[O]", yes));
        break;
    case 4:
        made = one_question(predicate(long_text(n)));
        break;
    case 5:
        made = openai_body(list_of(message, n), json_pack("[O]", yes));
        break;
    case 6:
        made = user_parts(list_of(text, n));
        break;
    case 7:
        made = json_part(nested(n));
        break;
    case 8:
        made = json_part(json_pack("{s:o}", "a", list_of(x, n - 1)));
        break;
    case 9: /* {"a":""} has eight bytes */
        made = json_part(json_pack("{s:o}", "a", long_text(n - 8)));
        break;
    case 10:
        made = one_question(json_pack("{s:s, s:s, s:[{s:o}, {s:s}]}", "type", "choice",
                                      "instructions", "x", "choices", "value",
                                      long_text(n), "value", "b"));
        break;
    case 11:
        made = one_question(predicate(
            json_pack("[{s:s, s:o}]", "type", "input_text", "text", long_text(n))));
        break;
    }
    json_decref(x);
    json_decref(text);
    json_decref(message);
    json_decref(yes);
    return made;
}

static json_t *make_typesafe(unsigned which, size_t n)
{
    json_t *map = json_object(), *q = NULL, *state = json_string("x");
    char name[32];
    for (size_t i = 0; i < n && which < 2; i++) {
        snprintf(name, sizeof name, "v%zu", i);
        json_object_set_new(
            map, name, which == 0 ? json_pack("{s:s}", "type", "noul") : json_null());
    }
    if (which == 1)
        q = json_pack("{s:s, s:O}", "type", "choice", "criteria", map);
    if (which == 2) {
        json_t *level = json_string("x");
        q = json_pack("{s:s, s:o}", "type", "score", "criteria", list_of(level, n));
        json_decref(level);
    }
    if (which == 3) {
        json_decref(state);
        state = long_text(n);
        q = json_pack("{s:s}", "type", "noul");
    }
    if (which == 4)
        q = json_pack("{s:s, s:o}", "type", "noul", "instructions", long_text(n));
    if (which == 5)
        q = json_pack("{s:s, s:{s:o}}", "type", "choice", "criteria", "a", long_text(n));
    json_t *body = json_pack("{s:s, s:o, s:o}", "model", "m", "state", state, "questions",
                             which == 0 ? json_incref(map) : json_pack("{s:o}", "q", q));
    json_decref(map);
    return body;
}

static void limit_check(json_t *body, dialect as, const char *place, const char *code)
{
    char got[PROBLEM_PARAM_MAX];
    seen s = read_json(body, as);
    const json_t *error = as == DIALECT_OPENAI
                              ? json_object_get(s.body, "error")
                              : json_array_get(json_object_get(s.body, "detail"), 0);
    if (!place) {
        if (s.body)
            fail_msg("refused: %s",
                     json_string_value(json_object_get(
                         error, as == DIALECT_OPENAI ? "message" : "msg")));
    } else {
        place_of(error, as, got, sizeof got);
        assert_string_equal(got, place);
        assert_string_equal(json_string_value(json_object_get(
                                error, as == DIALECT_OPENAI ? "code" : "type")),
                            code);
    }
    seen_done(&s);
}

static void limits_are_as_said(void **state)
{
    static const struct {
        dialect as;
        unsigned which;
        size_t least; /* 0: none to test */
        size_t most;
        const char *place;
    } rows[] = {
        {DIALECT_OPENAI, 0, 1, 400, "questions"},
        {DIALECT_OPENAI, 1, 2, 255, "questions[0].choices"},
        {DIALECT_OPENAI, 2, 2, 10, "questions[0].levels"},
        {DIALECT_OPENAI, 3, 0, 10 << 20, "input"},
        {DIALECT_OPENAI, 4, 0, 1 << 20, "questions[0].instructions"},
        {DIALECT_OPENAI, 5, 0, 131072, "input"},
        {DIALECT_OPENAI, 6, 0, 16384, "input[0].content"},
        {DIALECT_OPENAI, 7, 0, 32, "input[0].content[0].data"},
        {DIALECT_OPENAI, 8, 0, 10000, "input[0].content[0].data"},
        {DIALECT_OPENAI, 9, 0, 256 << 10, "input[0].content[0].data"},
        {DIALECT_OPENAI, 10, 0, 1 << 20, "questions[0].choices[0]"},
        {DIALECT_OPENAI, 11, 0, 1 << 20, "questions[0].instructions"},
        {DIALECT_TYPESAFE, 0, 1, 400, "questions"},
        {DIALECT_TYPESAFE, 1, 1, 255, "questions.q.criteria"},
        {DIALECT_TYPESAFE, 2, 2, 10, "questions.q.criteria"},
        {DIALECT_TYPESAFE, 3, 0, 10 << 20, "state"},
        {DIALECT_TYPESAFE, 4, 0, 1 << 20, "questions.q.instructions"},
        {DIALECT_TYPESAFE, 5, 0, 1 << 20, "questions.q.criteria.a"},
    };
    (void)state;
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        json_t *(*make)(unsigned, size_t) =
            rows[i].as == DIALECT_OPENAI ? make_openai : make_typesafe;
        limit_check(make(rows[i].which, rows[i].most), rows[i].as, NULL, NULL);
        limit_check(make(rows[i].which, rows[i].most + 1), rows[i].as, rows[i].place,
                    "too_long");
        if (rows[i].least == 0)
            continue;
        limit_check(make(rows[i].which, rows[i].least), rows[i].as, NULL, NULL);
        limit_check(make(rows[i].which, rows[i].least - 1), rows[i].as, rows[i].place,
                    "too_short");
    }
}

/* ---- what is read ---- */

static void text_is(const char *input, const char *want)
{
    st_buf body;
    st_buf_init(&body, 1 << 16);
    st_buf_fmt(&body, BODY("%s", YES), input);
    seen s = read_text(body.data, DIALECT_OPENAI);
    if (s.body)
        fail_msg("%s is refused", input);
    assert_string_equal(s.d.text.data, want);
    seen_done(&s);
    st_buf_done(&body);
}

static void inputs_become_one_text(void **state)
{
    (void)state;
    text_is("\"plain\"", "plain");
    text_is("[{\"role\":\"user\",\"content\":\"plain\"}]", "plain");
    text_is(
        "[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"a\"},{"
        "\"type\":\"input_json\",\"data\":{\"z\":1.10,\"a\":[true,null,\"\\u00e9\"]}}]}"
        "]",
        "a\n{\"z\":1.1,\"a\":[true,null,\"\xc3\xa9\"]}");
    text_is("[{\"role\":\"system\",\"content\":\"Be\"},{\"type\":\"message\",\"role\":"
            "\"assistant\",\"phase\":\"commentary\",\"content\":[{\"type\":\"output_"
            "text\",\"text\":\"so\"},{\"type\":\"refusal\",\"refusal\":\"no\"}]}]",
            "[system]\nBe\n\n[assistant, commentary]\nso\nno");
    text_is("[" CALL ",{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":"
            "\"done\"},{\"type\":\"custom_tool_call\",\"call_id\":\"d\",\"name\":\"g\","
            "\"input\":\"i\",\"namespace\":\"n\"},{\"type\":\"custom_tool_call_output\","
            "\"call_id\":\"d\",\"output\":[{\"type\":\"input_text\",\"text\":\"t\"}]}]",
            "[call: f]\n{}\n\n[output: f]\ndone\n\n[call: n.g]\ni\n\n[output: g]\nt");
}

static void true_is_not_the_word(void **state)
{
    (void)state;
    seen s = read_text(
        ASK("{\"type\":\"choice\",\"instructions\":\"x\",\"choices\":[{\"value\":true},{"
            "\"value\":\"true\"},{\"value\":\"no\",\"description\":\"d\"}]}"),
        DIALECT_OPENAI);
    assert_null(s.body);
    const question *q = &s.d.questions[0].q;
    assert_string_equal(q->options[0].value, "true");
    assert_string_equal(q->options[1].value, "\"true\"");
    assert_string_equal(q->options[2].value, "\"no\"");
    assert_string_equal(q->options[2].description, "d");
    assert_true(json_is_true(s.d.questions[0].options[0]));
    seen_done(&s);
}

/* Three bodies that ask the same. */
static void shapes_mean_the_same(void **state)
{
    static const char *const bodies[] = {
        ASK("{\"type\":\"choice\",\"name\":\"t\",\"instructions\":\"Who?\",\"choices\":[{"
            "\"value\":\"a\",\"description\":\"x\"},{\"value\":\"b\"}]}"),
        ASK("{\"id\":\"t\",\"question\":\"Who?\",\"options\":[{\"name\":\"a\","
            "\"description\":\"x\"},{\"name\":\"b\"}]}"),
        STATE("\"t\":{\"type\":\"choice\",\"instructions\":\"Who?\",\"criteria\":{\"a\":"
              "\"x\",\"b\":null}}"),
    };
    static const decision_shape shapes[] = {DECISION_OPENAI, DECISION_SGLANG,
                                            DECISION_SYSTEMONE};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        seen s = read_text(bodies[i], DIALECT_OPENAI);
        assert_null(s.body);
        const decision_question *q = &s.d.questions[0];
        assert_int_equal(s.d.shape, shapes[i]);
        assert_string_equal(s.d.text.data, "x");
        assert_string_equal(q->name, "t");
        assert_string_equal(q->q.instructions, "Who?");
        assert_int_equal(q->q.n_options, 2);
        assert_string_equal(q->q.options[0].value, "a");
        assert_string_equal(q->q.options[0].description, "x");
        assert_null(q->q.options[1].description);
        seen_done(&s);
    }
}

static void unknown_top_fields_of_typesafe_are_ignored(void **state)
{
    (void)state;
    seen s =
        read_text("{\"model\":\"m\",\"state\":[1.5,{\"b\":2,\"a\":1}],\"extra\":1,"
                  "\"questions\":{\"q\":{\"type\":\"noul\",\"instructions\":{\"ask\":"
                  "\"x\"},\"criteria\":{\"true\":\"y\",\"false\":null}}}}",
                  DIALECT_TYPESAFE);
    assert_null(s.body);
    assert_string_equal(s.d.text.data, "[1.5,{\"b\":2,\"a\":1}]");
    assert_string_equal(s.d.questions[0].q.instructions, "{\"ask\":\"x\"}");
    assert_string_equal(s.d.questions[0].q.options[0].description, "y");
    seen_done(&s);
}

/* ---- memory ---- */

static int read_all(void *arg)
{
    static const char text[] =
        "{\"model\":\"m\",\"input\":[" CALL ",{\"role\":\"user\",\"content\":[{\"type\":"
        "\"input_json\",\"data\":{\"a\":1}}]}],"
        "\"questions\":[" YES
        ",{\"type\":\"choice\",\"instructions\":\"x\",\"choices\":[{"
        "\"value\":true},{\"value\":\"b\"}]}]}";
    const char *const bodies[] = {
        text,
        STATE("\"t\":{\"type\":\"score\",\"instructions\":[1],\"criteria\":[\"a\",{}]}"),
        ASK("{\"id\":\"t\",\"question\":\"Who?\",\"options\":[{\"name\":\"a\"},{\"name\":"
            "\"b\"}]}"),
    };
    bool lost = false;
    (void)arg;
    for (size_t i = 0; i < ST_COUNT(bodies); i++) {
        problems p = {0};
        decision d = {0};
        json_t *sent = body_parse(bodies[i], strlen(bodies[i]), 128, &p);
        if (sent)
            decision_read(sent, &d, &p);
        lost = lost || p.out_of_memory || p.n > 0;
        problems_done(&p);
        decision_done(&d);
        json_decref(sent);
    }
    return lost ? ST_ENOMEM : 0;
}

static void memory_may_run_out(void **state)
{
    (void)state;
    assert_true(fault_sweep(read_all, NULL, 1) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openai_errors),
        cmocka_unit_test(typesafe_errors),
        cmocka_unit_test(all_problems_are_told),
        cmocka_unit_test(limits_are_as_said),
        cmocka_unit_test(inputs_become_one_text),
        cmocka_unit_test(true_is_not_the_word),
        cmocka_unit_test(shapes_mean_the_same),
        cmocka_unit_test(unknown_top_fields_of_typesafe_are_ignored),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
