/* task/chat.c - OpenAI's messages as the model's template wants them.
 *
 * Templates differ in what a call's arguments are: most write an object as JSON, some
 * paste a text.  They are given as objects; a template that cannot paste those fails, and
 * is asked again with texts.
 */
#include "task/chat.h"

#include "base/mem.h"
#include <string.h>

/* `object` [`key`] = value, which may be NULL when memory has run out. */
static int put(json_t *object, const char *key, json_t *value, st_err *err)
{
    return json_object_set_new(object, key, value) < 0
               ? st_err_set(err, ST_ENOMEM, "no memory for a message")
               : 0;
}

/* A call of an earlier turn: {"type", "function": {"name", "arguments"}}. */
static int call_check(json_t *call, size_t message, json_t **ret_function, st_err *err)
{
    json_t *function = json_object_get(call, "function");
    const json_t *arguments = json_object_get(function, "arguments");
    if (!json_is_string(json_object_get(function, "name")) ||
        !(json_is_string(arguments) || json_is_object(arguments)))
        return st_err_set(err, ST_EFORMAT,
                          "messages[%zu]: a call has \"function\": {\"name\", "
                          "\"arguments\"}, the arguments JSON text",
                          message);
    *ret_function = function;
    return 0;
}

/* The arguments of one call as an object or as text. */
static int arguments_set(json_t *function, bool text, size_t message, st_err *err)
{
    json_t *arguments = json_object_get(function, "arguments");
    if (json_is_string(arguments) == text)
        return 0;
    if (text) {
        char *dump = json_dumps(arguments, JSON_ENCODE_ANY);
        int rc = put(function, "arguments", dump ? json_string(dump) : NULL, err);
        st_free(dump);
        return rc;
    }
    json_error_t why;
    json_t *object =
        json_loadb(json_string_value(arguments), json_string_length(arguments),
                   JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (!json_is_object(object)) {
        json_decref(object);
        return st_err_set(err, ST_EFORMAT,
                          "messages[%zu]: the arguments of a call are no JSON object",
                          message);
    }
    return put(function, "arguments", object, err);
}

/* Calls as the template wants them, and content where a message with calls has none. */
static int turns_prepare(json_t *turns, bool text, st_err *err)
{
    json_t *turn, *call, *function;
    size_t i, k;
    int rc = 0;
    json_array_foreach(turns, i, turn)
    {
        json_t *calls = json_object_get(turn, "tool_calls");
        if (!json_is_object(turn) || (calls && !json_is_array(calls)))
            return st_err_set(err, ST_EFORMAT,
                              "messages[%zu] is no message, or its tool_calls no array",
                              i);
        if (calls && !json_is_string(json_object_get(turn, "content")))
            rc = put(turn, "content", json_string(""), err);
        json_array_foreach(calls, k, call)
        {
            if (rc == 0)
                rc = call_check(call, i, &function, err);
            if (rc == 0)
                rc = arguments_set(function, text, i, err);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- a model that knows no functions ---- */

/* A turn that calls, as the text that the format has for it. */
static int calls_to_text(json_t *turn, size_t message, const toolcall_format *format,
                         st_err *err)
{
    json_t *calls = json_object_get(turn, "tool_calls"), *call, *function;
    const char *content = json_string_value(json_object_get(turn, "content"));
    toolcalls all = {.content = content ? content : ""};
    st_buf text;
    size_t k;
    int rc = 0;
    all.content_len = strlen(all.content);
    all.calls = st_zalloc_n(json_array_size(calls) + 1, sizeof *all.calls);
    if (!all.calls)
        return st_err_set(err, ST_ENOMEM, "no memory for a message");
    st_buf_init(&text, SIZE_MAX / 2);
    json_array_foreach(calls, k, call)
    {
        if (rc == 0)
            rc = call_check(call, message, &function, err);
        if (rc == 0)
            rc = arguments_set(function, true, message, err);
        if (rc == 0)
            all.calls[all.n++] = (toolcall){
                .name = json_string_value(json_object_get(function, "name")),
                .arguments = json_string_value(json_object_get(function, "arguments")),
                .id = ""};
    }
    if (rc == 0)
        rc = toolcalls_write(format, &all, &text, err);
    if (rc == 0)
        rc = put(turn, "content", json_stringn(text.data, text.len), err);
    json_object_del(turn, "tool_calls");
    st_free(all.calls);
    st_buf_done(&text);
    return rc;
}

static int answer_to_text(json_t *turn, st_err *err)
{
    const json_t *content = json_object_get(turn, "content");
    st_buf text;
    st_buf_init(&text, SIZE_MAX / 2);
    st_buf_str(&text, "<tool_response>\n");
    if (json_is_string(content))
        st_buf_add(&text, json_string_value(content), json_string_length(content));
    st_buf_str(&text, "\n</tool_response>");
    int rc = text.code ? st_err_set(err, text.code, "no memory for a message")
                       : put(turn, "content", json_stringn(text.data, text.len), err);
    if (rc == 0)
        rc = put(turn, "role", json_string("user"), err);
    st_buf_done(&text);
    return rc;
}

/* Put `head` and a blank line before the content of the first turn of `role`, or make
 * such a turn. */
static int head_put(json_t *turns, const char *role, const char *head, st_err *err)
{
    json_t *turn = json_array_get(turns, 0);
    const char *has = json_string_value(json_object_get(turn, "role"));
    if (!has || strcmp(has, role) != 0) {
        turn = json_pack("{s:s, s:s}", "role", role, "content", head);
        return json_array_insert_new(turns, 0, turn) < 0
                   ? st_err_set(err, ST_ENOMEM, "no memory for a message")
                   : 0;
    }
    const char *content = json_string_value(json_object_get(turn, "content"));
    st_buf text;
    st_buf_init(&text, SIZE_MAX / 2);
    st_buf_str(&text, head);
    st_buf_str(&text, "\n\n");
    st_buf_str(&text, content ? content : "");
    int rc = text.code ? st_err_set(err, text.code, "no memory for a message")
                       : put(turn, "content", json_stringn(text.data, text.len), err);
    st_buf_done(&text);
    return rc;
}

static int turns_to_text(json_t *turns, const chat_tools *with, st_err *err)
{
    json_t *turn;
    size_t i;
    int rc = 0;
    json_array_foreach(turns, i, turn)
    {
        const char *role = json_string_value(json_object_get(turn, "role"));
        if (rc == 0 && json_object_get(turn, "tool_calls"))
            rc = calls_to_text(turn, i, with->format, err);
        else if (rc == 0 && role && strcmp(role, "tool") == 0)
            rc = answer_to_text(turn, err);
    }
    return rc;
}

/* The functions lead the system turn, or where the model has none the user's. */
static int told_encode(const lm *l, json_t *turns, const chat_tools *with,
                       const json_t *more, tok_ids *ids, st_err *err)
{
    st_buf head;
    st_err first = {0};
    json_t *led = NULL;
    st_buf_init(&head, SIZE_MAX / 2);
    int rc = turns_to_text(turns, with, err);
    if (rc == 0 && toolset_is_none(with->set)) {
        rc = lm_chat_with(l, turns, NULL, more, ids, err);
        goto out;
    }
    if (rc == 0)
        rc = toolset_instructions(with->set, &head, err);
    if (rc == 0 && !(led = json_deep_copy(turns)))
        rc = st_err_set(err, ST_ENOMEM, "no memory for a prompt");
    if (rc == 0)
        rc = head_put(led, "system", head.data, err);
    if (rc < 0)
        goto out;
    rc = lm_chat_with(l, led, NULL, more, ids, &first);
    if (rc == ST_ERAISED) {
        rc = head_put(turns, "user", head.data, err);
        if (rc == 0)
            rc = lm_chat_with(l, turns, NULL, more, ids, err);
    } else if (rc < 0) {
        st_err_set(err, rc, "%s", first.message);
        st_err_hint(err, "%s", first.hint);
    }
out:
    json_decref(led);
    st_buf_done(&head);
    return rc;
}

int chat_encode(const lm *l, const json_t *messages, const chat_tools *with,
                const json_t *more, tok_ids *ids, st_err *err)
{
    st_err first = {0};
    json_t *turns = json_deep_copy(messages);
    if (!turns)
        return st_err_set(err, ST_ENOMEM, "no memory for a prompt");
    int rc = turns_prepare(turns, false, err);
    if (rc < 0)
        goto out;
    if (with && !toolcall_format_is_own(with->format)) {
        rc = told_encode(l, turns, with, more, ids, err);
        goto out;
    }
    const json_t *tools = with && !toolset_is_none(with->set) ? with->tools : NULL;
    rc = lm_chat_with(l, turns, tools, more, ids, &first);
    if (rc == ST_EFORMAT && (rc = turns_prepare(turns, true, err)) == 0)
        rc = lm_chat_with(l, turns, tools, more, ids, err);
    if (rc < 0) {
        st_err_set(err, rc, "%s", first.message);
        st_err_hint(err, "%s", first.hint);
    }
out:
    json_decref(turns);
    return rc;
}
