/* serve/talk_prompt.c - a conversation, with functions and a schema to be shown, as the
 * prompt of a talk. */
#include "serve/talk_prompt.h"

#include "base/mem.h"
#include "serve/talk_json.h"
#include "serve/talk_messages.h"
#include "task/chat.h"
#include <string.h>

void talk_tools(talk *t, json_t *tools, const json_t *choice)
{
    const char *word = json_string_value(choice);
    bool none = word && strcmp(word, "none") == 0;
    if (json_array_size(tools) == 0) {
        if (choice && !none)
            problems_add(&t->wrong, PROBLEM_VALUE, "tool_choice", "there are no tools");
        return;
    }
    t->tools = tools;
    t->calls = !none;
    t->tools_text = json_dumps(tools, JSON_COMPACT);
    t->choice = choice ? json_dumps(choice, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (!t->tools_text || (choice && !t->choice))
        t->wrong.out_of_memory = true;
    if (t->calls && t->form.kind != FORM_NONE)
        problems_add(&t->wrong, PROBLEM_UNSUPPORTED, t->form.param,
                     "with tools: an answer that may call functions is held to their "
                     "arguments and to nothing else");
}

/* Variables of the template that the body sets; one that the template does not know would
 * be accepted and ignored. */
static json_t *variables(talk *t)
{
    const char *text = tok_chat_template(t->lm->tok);
    json_t *more = json_deep_copy(t->more), *value;
    const char *name;
    char at[PROBLEM_PARAM_MAX];
    json_object_foreach(more, name, value)
    {
        snprintf(at, sizeof at, "chat_template_kwargs.%s", name);
        if (!json_is_null(value) && !json_is_false(value) &&
            (!text || !strstr(text, name)))
            problems_add(&t->wrong, PROBLEM_UNSUPPORTED, at,
                         "the model's template has no such variable");
    }
    t->wrong.out_of_memory |= t->more && !more;
    if (!t->effort)
        return more;
    bool thinks = text && strstr(text, "enable_thinking");
    bool weighs = text && strstr(text, "reasoning_effort");
    bool none = strcmp(t->effort, "none") == 0;
    if (!thinks && !weighs && !none)
        problems_add(&t->wrong, PROBLEM_UNSUPPORTED, t->effort_at,
                     "the model does not reason");
    more = more ? more : json_object();
    if (thinks)
        more = talk_with(more, "enable_thinking", json_boolean(!none));
    if (weighs)
        more = talk_with(more, "reasoning_effort", json_string(t->effort));
    t->wrong.out_of_memory |= !more;
    return more;
}

static bool has_calls(const json_t *turns)
{
    const json_t *turn;
    size_t i;
    json_array_foreach(turns, i, turn)
    {
        const char *role = json_string_value(json_object_get(turn, "role"));
        if (json_object_get(turn, "tool_calls") || (role && strcmp(role, "tool") == 0))
            return true;
    }
    return false;
}

/* Earlier calls in a conversation that may call nothing now, of a model that knows no
 * functions: they are text all the same. */
static int past_encode(const talk *t, const json_t *turns, const json_t *more,
                       tok_ids *ids, st_err *err)
{
    static const char some[] =
        "[{\"type\": \"function\", \"function\": {\"name\": \"none\"}}]";
    const toolset_opts none = {.choice = "\"none\"", .choice_len = 6};
    grammar_refusal why;
    toolset *set;
    const char *text = tok_chat_template(t->lm->tok);
    const toolcall_format *format = toolcall_format_of(text);
    if (toolcall_format_is_own(format) || !has_calls(turns))
        return chat_encode(t->lm, turns, NULL, more, ids, err);
    int rc = toolset_new(some, sizeof some - 1, &none, &set, &why, err);
    if (rc < 0)
        return rc;
    const chat_tools with = {.set = set, .format = format};
    rc = chat_encode(t->lm, turns, &with, more, ids, err);
    toolset_free(set);
    return rc;
}

static int turns_encode(talk *t, const json_t *turns, const json_t *more, tok_ids *ids,
                        st_err *err)
{
    if (!t->calls)
        return past_encode(t, turns, more, ids, err);
    const chat_tools with = {.tools = t->tools,
                             .set = t->held ? held_form_tools(t->held) : NULL,
                             .format = t->spec.calls};
    return chat_encode(t->lm, turns, &with, more, ids, err);
}

/* The schema leads the system's turn; of models that know no such turn the user's. */
static int told_encode(talk *t, const json_t *turns, const json_t *more, tok_ids *ids,
                       st_err *err)
{
    char *told = talk_form_told(t->form.schema);
    st_err first = {0};
    int rc = ST_ENOMEM;
    static const char *const roles[] = {"system", "user"};
    for (int i = 0; told && i < 2; i++) {
        json_t *led = json_deep_copy(turns);
        rc = led && talk_messages_lead(led, roles[i], told)
                 ? turns_encode(t, led, more, ids, i == 0 ? &first : err)
                 : ST_ENOMEM;
        json_decref(led);
        if (rc != ST_ERAISED)
            break;
    }
    st_free(told);
    if (rc < 0)
        st_err_set(err, rc, "%s", first.code ? first.message : "no memory for a prompt");
    return rc;
}

void talk_chat_prompt(talk *t, const json_t *turns, const char *param)
{
    st_err err = {0};
    tok_ids ids = {0};
    const json_t *schema = t->form.schema;
    json_t *more = variables(t);
    bool tells = schema && body_bool(call_body(t->c), "show_schema",
                                     !talk_messages_tell(turns, schema));
    int rc = 0;
    if (t->wrong.n == 0 && !t->wrong.out_of_memory)
        rc = tells ? told_encode(t, turns, more, &ids, &err)
                   : turns_encode(t, turns, more, &ids, &err);
    if (rc == ST_EFORMAT || rc == ST_EUNSUPPORTED || rc == ST_ERAISED)
        problems_add(&t->wrong, PROBLEM_VALUE, param, "%s", err.message);
    else if (rc < 0)
        problems_from(&t->wrong, param, &err);
    else if (t->wrong.n == 0 && !t->wrong.out_of_memory)
        talk_prompt(t, &ids, param);
    tok_ids_done(&ids);
    json_decref(more);
}
