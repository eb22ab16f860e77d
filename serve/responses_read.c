/* serve/responses_read.c - the input of /v1/responses as a conversation. */
#include "serve/responses_read.h"

#include "serve/param.h"
#include "serve/talk_json.h"
#include "serve/talk_messages.h"
#include <string.h>

static const member message_item[] = {
    {"type", MEMBER_STRING, .words = "message"},
    {"role", MEMBER_STRING, .need = true, .words = "system developer user assistant"},
    {"content", MEMBER_STRING | MEMBER_ARRAY, .need = true, .items = MEMBER_OBJECT,
     .nul = true},
    {"id", MEMBER_STRING | MEMBER_NULL, .use = MEMBER_IDLE},
    {"status", MEMBER_STRING | MEMBER_NULL, .use = MEMBER_IDLE},
    {"phase", MEMBER_STRING | MEMBER_NULL, .use = MEMBER_IDLE},
    {0}};

static const member call_item[] = {
    {"type", MEMBER_STRING, .need = true, .words = "function_call"},
    {"call_id", MEMBER_STRING, .need = true, .max = 256},
    {"name", MEMBER_STRING, .need = true, .max = 256},
    {"arguments", MEMBER_STRING, .need = true},
    {"id", MEMBER_STRING | MEMBER_NULL, .use = MEMBER_IDLE},
    {"status", MEMBER_STRING | MEMBER_NULL, .use = MEMBER_IDLE},
    {0}};

static const member output_item[] = {
    {"type", MEMBER_STRING, .need = true, .words = "function_call_output"},
    {"call_id", MEMBER_STRING, .need = true, .max = 256},
    {"output", MEMBER_STRING | MEMBER_ARRAY, .need = true, .items = MEMBER_OBJECT,
     .nul = true},
    {"id", MEMBER_STRING | MEMBER_NULL, .use = MEMBER_IDLE},
    {"status", MEMBER_STRING | MEMBER_NULL, .use = MEMBER_IDLE},
    {0}};

static bool append(json_t *turns, json_t *turn, problems *out)
{
    if (json_array_append_new(turns, turn) == 0)
        return true;
    out->out_of_memory = true;
    return false;
}

static void said_add(json_t *turns, const char *role, const json_t *content,
                     const char *at, const char *id, problems *out)
{
    st_buf text;
    char place[PROBLEM_PARAM_MAX];
    st_buf_init(&text, SIZE_MAX / 2);
    param_name(place, at, id ? "output" : "content");
    talk_content_add(content, place, &text, out);
    json_t *turn = json_pack("{s:s, s:o}", "role", role, "content",
                             json_stringn(text.data ? text.data : "", text.len));
    if (id)
        turn = talk_with(turn, "tool_call_id", json_string(id));
    st_buf_done(&text);
    append(turns, turn, out);
}

/* Calls that follow each other are one turn. */
static void call_add(json_t *turns, const json_t *item, problems *out)
{
    json_t *one =
        json_pack("{s:O, s:s, s:{s:O, s:O}}", "id", json_object_get(item, "call_id"),
                  "type", "function", "function", "name", json_object_get(item, "name"),
                  "arguments", json_object_get(item, "arguments"));
    size_t n = json_array_size(turns);
    json_t *last = n > 0 ? json_array_get(turns, n - 1) : NULL;
    json_t *calls = json_object_get(last, "tool_calls");
    if (calls)
        append(calls, one, out);
    else if (last && strcmp(body_text(last, "role", ""), "assistant") == 0)
        out->out_of_memory |=
            json_object_set_new(last, "tool_calls", json_pack("[o]", one)) < 0;
    else
        append(turns,
               json_pack("{s:s, s:s, s:[o]}", "role", "assistant", "content", "",
                         "tool_calls", one),
               out);
}

static void item_add(json_t *turns, const json_t *item, const char *at, problems *out)
{
    const char *type = body_text(item, "type", "message");
    uint32_t before = out->n;
    if (strcmp(type, "function_call") == 0) {
        body_check(item, call_item, false, at, out);
        if (out->n == before)
            call_add(turns, item, out);
    } else if (strcmp(type, "function_call_output") == 0) {
        body_check(item, output_item, false, at, out);
        if (out->n == before)
            said_add(turns, "tool", json_object_get(item, "output"), at,
                     body_text(item, "call_id", ""), out);
    } else if (strcmp(type, "message") == 0) {
        const char *role = body_text(item, "role", "");
        body_check(item, message_item, false, at, out);
        if (out->n == before)
            said_add(turns, strcmp(role, "developer") == 0 ? "system" : role,
                     json_object_get(item, "content"), at, NULL, out);
    } else {
        problems_add(out, PROBLEM_UNSUPPORTED, at,
                     "an item of type %.40s cannot be read here", type);
    }
}

/* Instructions come before all else that the system says. */
static void instructions_add(json_t *turns, const char *text, problems *out)
{
    json_t *first = json_array_get(turns, 0);
    const json_t *said = json_object_get(first, "content");
    st_buf both;
    st_buf_init(&both, SIZE_MAX / 2);
    st_buf_str(&both, text);
    if (strcmp(body_text(first, "role", ""), "system") == 0) {
        st_buf_str(&both, "\n\n");
        st_buf_add(&both, json_string_value(said), json_string_length(said));
        json_array_remove(turns, 0);
    }
    json_t *turn = json_pack("{s:s, s:o}", "role", "system", "content",
                             both.code ? NULL : json_stringn(both.data, both.len));
    if (json_array_insert_new(turns, 0, turn) < 0)
        out->out_of_memory = true;
    st_buf_done(&both);
}

json_t *responses_turns(const json_t *input, const char *instructions, problems *out)
{
    json_t *turns = json_array();
    uint32_t before = out->n;
    const json_t *item;
    char at[PROBLEM_PARAM_MAX];
    size_t i;
    if (json_is_string(input))
        append(turns,
               json_pack("{s:s, s:O}", "role", "user", "content",
                         (json_t *)(uintptr_t)input),
               out);
    else if (json_array_size(input) == 0)
        problems_add(out, PROBLEM_COUNT, "input", "has no item");
    json_array_foreach(input, i, item)
    {
        param_index(at, "input", i);
        item_add(turns, item, at, out);
    }
    if (instructions && *instructions)
        instructions_add(turns, instructions, out);
    if (out->n == before && !out->out_of_memory)
        return turns;
    json_decref(turns);
    return NULL;
}

json_t *responses_tools(const json_t *tools, problems *out)
{
    static const char *const kept[] = {"name", "description", "parameters", "strict"};
    static const member known[] = {
        {"type", MEMBER_STRING, .need = true},
        {"name", MEMBER_STRING, .need = true},
        {"description", MEMBER_STRING | MEMBER_NULL, .about = "What it does."},
        {"parameters", MEMBER_OBJECT | MEMBER_NULL, .about = "A JSON Schema."},
        {"strict", MEMBER_BOOL | MEMBER_NULL, .about = "true of every function."},
        {0}};
    json_t *list = json_array();
    const json_t *one;
    char at[PROBLEM_PARAM_MAX];
    size_t i;
    json_array_foreach(tools, i, one)
    {
        const char *type = body_text(one, "type", "function");
        param_index(at, "tools", i);
        if (strcmp(type, "function") != 0) {
            problems_add(out, PROBLEM_UNSUPPORTED, at,
                         "a tool of type %.40s does not run here; only functions do",
                         type);
            continue;
        }
        body_check(one, known, false, at, out);
        json_t *function = json_object();
        for (size_t k = 0; k < ST_COUNT(kept); k++) {
            json_t *value = body_get(one, kept[k]);
            if (value)
                json_object_set(function, kept[k], value);
        }
        append(list, json_pack("{s:s, s:o}", "type", "function", "function", function),
               out);
    }
    return list;
}

json_t *responses_choice(const json_t *choice)
{
    json_t *name = body_get(choice, "name");
    if (name && strcmp(body_text(choice, "type", ""), "function") == 0)
        return json_pack("{s:s, s:{s:O}}", "type", "function", "function", "name", name);
    return choice ? json_deep_copy(choice) : NULL;
}
