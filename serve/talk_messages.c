/* serve/talk_messages.c - OpenAI's messages as a conversation that templates read. */
#include "serve/talk_messages.h"

#include "serve/param.h"
#include "serve/talk_form.h"
#include <string.h>

#define CONTENT (MEMBER_STRING | MEMBER_ARRAY | MEMBER_NULL)

static const member call_function[] = {
    {"name", MEMBER_STRING, .need = true, .min = 1, .max = 256},
    {"arguments", MEMBER_STRING, .need = true, .about = "A JSON object as text."},
    {0}};

static const member call_members[] = {
    {"id", MEMBER_STRING, .max = 256},
    {"type", MEMBER_STRING, .words = "function"},
    {"index", MEMBER_INTEGER, .use = MEMBER_IDLE},
    {"function", MEMBER_OBJECT, .need = true, .of = call_function},
    {0}};

const member talk_message[] = {
    {"role", MEMBER_STRING, .need = true, .words = "system developer user assistant tool",
     .about = "Who says it."},
    {"content", CONTENT, .items = MEMBER_OBJECT | MEMBER_STRING, .nul = true,
     .about = "A text, or parts of type text."},
    {"name", MEMBER_STRING | MEMBER_NULL, .max = 256,
     .about = "Given to the template, where it shows names."},
    {"tool_calls", MEMBER_ARRAY | MEMBER_NULL, .of = call_members,
     .about = "Functions that the assistant called."},
    {"tool_call_id", MEMBER_STRING | MEMBER_NULL, .max = 256,
     .about = "The call that a tool answers."},
    {"refusal", MEMBER_STRING | MEMBER_NULL,
     .about = "What the assistant said instead of content."},
    {"reasoning_content", MEMBER_STRING | MEMBER_NULL, .use = MEMBER_IDLE,
     .about = "Not shown to the model."},
    {"annotations", MEMBER_ARRAY | MEMBER_NULL, .use = MEMBER_IDLE},
    {"audio", MEMBER_ANY, .use = MEMBER_REFUSE},
    {"function_call", MEMBER_ANY, .use = MEMBER_REFUSE},
    {0}};

static bool is_text_part(const char *type)
{
    return strcmp(type, "text") == 0 || strcmp(type, "input_text") == 0 ||
           strcmp(type, "output_text") == 0;
}

static void part_add(const json_t *part, const char *at, st_buf *text, problems *out)
{
    const json_t *type = json_object_get(part, "type");
    const char *word = json_string_value(type);
    bool refusal = word && strcmp(word, "refusal") == 0;
    if (json_is_string(part)) {
        st_buf_add(text, json_string_value(part), json_string_length(part));
        return;
    }
    if (!word) {
        problems_add(out, PROBLEM_MISSING, at, "a part has a \"type\"");
        return;
    }
    if (!refusal && !is_text_part(word)) {
        problems_add(out, PROBLEM_UNSUPPORTED, at,
                     "a part of type %.40s cannot be read: models here read text", word);
        return;
    }
    const json_t *said = json_object_get(part, refusal ? "refusal" : "text");
    if (json_is_string(said))
        st_buf_add(text, json_string_value(said), json_string_length(said));
    else
        problems_add(out, PROBLEM_MISSING, at, "a part of type %s has a string \"%s\"",
                     word, refusal ? "refusal" : "text");
}

void talk_content_add(const json_t *content, const char *at, st_buf *text, problems *out)
{
    char place[PROBLEM_PARAM_MAX];
    const json_t *part;
    size_t i;
    if (json_is_string(content))
        st_buf_add(text, json_string_value(content), json_string_length(content));
    json_array_foreach(content, i, part)
    {
        param_index(place, at, i);
        part_add(part, place, text, out);
    }
    out->out_of_memory = out->out_of_memory || text->code;
}

/* What must be there for the role. */
static void role_check(const json_t *message, const char *role, const char *at,
                       problems *out)
{
    char place[PROBLEM_PARAM_MAX];
    bool calls = json_array_size(json_object_get(message, "tool_calls")) > 0;
    bool assistant = strcmp(role, "assistant") == 0;
    bool says = body_get(message, "content") ||
                (assistant && (calls || body_get(message, "refusal")));
    if (!says) {
        param_name(place, at, "content");
        problems_add(out, PROBLEM_MISSING, place, "is missing");
    }
    if (calls && !assistant) {
        param_name(place, at, "tool_calls");
        problems_add(out, PROBLEM_VALUE, place, "only an assistant calls");
    }
    if (strcmp(role, "tool") == 0 && !body_get(message, "tool_call_id")) {
        param_name(place, at, "tool_call_id");
        problems_add(out, PROBLEM_MISSING, place, "is missing");
    }
}

static json_t *turn_make(const json_t *message, const char *at, problems *out)
{
    static const char *const kept[] = {"name", "tool_call_id", "tool_calls"};
    char place[PROBLEM_PARAM_MAX];
    const char *role = body_text(message, "role", "");
    st_buf text;
    st_buf_init(&text, SIZE_MAX / 2);
    role_check(message, role, at, out);
    param_name(place, at, "content");
    talk_content_add(body_get(message, "content"), place, &text, out);
    if (!body_get(message, "content") && body_get(message, "refusal"))
        st_buf_str(&text, body_text(message, "refusal", ""));
    if (strcmp(role, "developer") == 0)
        role = "system";
    json_t *turn = json_pack("{s:s, s:o}", "role", role, "content",
                             json_stringn(text.data ? text.data : "", text.len));
    for (size_t i = 0; turn && i < ST_COUNT(kept); i++) {
        json_t *value = body_get(message, kept[i]);
        if (value && (!json_is_array(value) || json_array_size(value) > 0))
            json_object_set(turn, kept[i], value);
    }
    out->out_of_memory = out->out_of_memory || !turn || text.code;
    st_buf_done(&text);
    return turn;
}

json_t *talk_messages_read(const json_t *messages, const char *at, problems *out)
{
    char place[PROBLEM_PARAM_MAX];
    uint32_t before = out->n;
    json_t *turns = json_array();
    const json_t *message;
    size_t i;
    if (json_array_size(messages) == 0)
        problems_add(out, PROBLEM_COUNT, at, "has no message");
    json_array_foreach(messages, i, message)
    {
        param_index(place, at, i);
        if (turns && json_array_append_new(turns, turn_make(message, place, out)) < 0)
            out->out_of_memory = true;
    }
    if (!turns || out->n > before || out->out_of_memory) {
        out->out_of_memory = out->out_of_memory || !turns;
        json_decref(turns);
        return NULL;
    }
    return turns;
}

const json_t *talk_last_said(const json_t *turns)
{
    for (size_t i = json_array_size(turns); i > 0; i--) {
        const json_t *turn = json_array_get(turns, i - 1);
        if (strcmp(body_text(turn, "role", ""), "user") == 0)
            return json_object_get(turn, "content");
    }
    return NULL;
}

bool talk_messages_tell(const json_t *turns, const json_t *schema)
{
    st_buf all;
    const json_t *turn;
    size_t i;
    st_buf_init(&all, SIZE_MAX / 2);
    json_array_foreach(turns, i, turn)
    {
        const json_t *said = json_object_get(turn, "content");
        st_buf_add(&all, json_string_value(said), json_string_length(said));
        st_buf_char(&all, '\n');
    }
    bool told = !all.code && talk_form_is_told(schema, all.data ? all.data : "", all.len);
    st_buf_done(&all);
    return told;
}

bool talk_messages_lead(json_t *turns, const char *role, const char *text)
{
    json_t *first = json_array_get(turns, 0);
    if (strcmp(body_text(first, "role", ""), role) != 0)
        return json_array_insert_new(
                   turns, 0, json_pack("{s:s, s:s}", "role", role, "content", text)) == 0;
    const json_t *said = json_object_get(first, "content");
    st_buf both;
    st_buf_init(&both, SIZE_MAX / 2);
    st_buf_add(&both, json_string_value(said), json_string_length(said));
    st_buf_str(&both, "\n\n");
    st_buf_str(&both, text);
    bool good = !both.code && json_object_set_new(first, "content",
                                                  json_stringn(both.data, both.len)) == 0;
    st_buf_done(&both);
    return good;
}
