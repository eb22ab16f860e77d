/* serve/wire_responses.c - POST /v1/responses: OpenAI's, of text and functions.  Nothing
 * is stored: every request brings its whole conversation. */
#include "base/mem.h"
#include "serve/responses_items.h"
#include "serve/responses_read.h"
#include "serve/route.h"
#include "serve/talk_messages.h"
#include "serve/talk_prompt.h"
#include <string.h>

enum { MAX_ITEMS = 4096, MAX_TOOLS = 128 };

static const talk_view view = {
    .more = responses_more, .finish = responses_finish, .fail = responses_fail};

static talk *responses_new(call *c)
{
    talk *t = talk_new(c, &view, "resp_");
    responses_own *own = t ? st_zalloc_n(1, sizeof *own) : NULL;
    if (!t)
        return NULL;
    t->own = own;
    t->own_free = own ? responses_own_free : NULL;
    t->wrong.out_of_memory = !own || !(own->output = json_array());
    return talk_refuse(t) ? NULL : t;
}

static void logprobs_read(talk *t, const json_t *body)
{
    const json_t *list = body_get(body, "include");
    t->ask.n_top = (uint32_t)body_integer(body, "top_logprobs", 0);
    t->ask.logprobs = t->ask.n_top > 0 || json_array_size(list) > 0;
}

static void read_all(talk *t, const json_t *body)
{
    responses_own *own = t->own;
    const json_t *tools = body_get(body, "tools");
    t->ask.how = talk_how_openai;
    talk_ask_read(body, &t->ask, &t->wrong);
    t->ask.max_new = (uint32_t)body_integer(body, "max_output_tokens", 0);
    logprobs_read(t, body);
    talk_form_read(body, body_get(body_get(body, "text"), "format"), "text.format",
                   &t->form, &t->wrong);
    t->one_call = !body_bool(body, "parallel_tool_calls", true);
    t->flat_tools = true;
    t->owned_tools = responses_tools(tools, &t->wrong);
    own->choice = responses_choice(body_get(body, "tool_choice"));
    bool idle = !json_array_size(t->owned_tools) && json_is_string(own->choice) &&
                strcmp(json_string_value(own->choice), "auto") == 0;
    talk_tools(t, t->owned_tools, idle ? NULL : own->choice);
    talk_held_check(t);
    talk_not_told(t, (const char *const[]){"timings_per_token", "return_tokens", NULL});
    t->more = body_get(body, "chat_template_kwargs");
    t->effort = body_text(body_get(body, "reasoning"), "effort", NULL);
    t->effort_at = "reasoning.effort";
}

static void respond(call *c)
{
    const json_t *body = call_body(c);
    talk *t = responses_new(c);
    if (!t)
        return;
    read_all(t, body);
    json_t *turns = responses_turns(body_get(body, "input"),
                                    body_text(body, "instructions", NULL), &t->wrong);
    const json_t *said = talk_last_said(turns);
    if (said)
        st_buf_add(&t->input, json_string_value(said), json_string_length(said));
    talk_find_model(t);
    if (t->wrong.n == 0 && !t->wrong.out_of_memory)
        talk_hold(t);
    if (t->wrong.n == 0 && !t->wrong.out_of_memory)
        talk_chat_prompt(t, turns, "input");
    json_decref(turns);
    if (!talk_refuse(t))
        talk_start(t);
}

/* ---- its members ---- */

static const member format_members[] = {
    {"type", MEMBER_STRING, .need = true, .words = "text json_object json_schema"},
    {"name", TALK_STRING, .max = 256},
    {"description", TALK_STRING, .use = MEMBER_IDLE},
    {"schema", MEMBER_OBJECT | MEMBER_BOOL | MEMBER_NULL, .about = "A JSON Schema."},
    {"strict", TALK_BOOL, .use = MEMBER_IDLE,
     .about = "The answer fits the schema in any case."},
    {0}};

static const member text_members[] = {
    {"format", TALK_OBJECT, .of = format_members, .about = "What the text is held to."},
    {"verbosity", MEMBER_ANY, .use = MEMBER_REFUSE, .words = "medium"},
    {0}};

static const member reasoning_members[] = {
    {"effort", TALK_STRING, .words = "none minimal low medium high xhigh"},
    {"summary", MEMBER_ANY, .use = MEMBER_REFUSE},
    {"generate_summary", MEMBER_ANY, .use = MEMBER_REFUSE},
    {0}};

static const member stream_options[] = {
    {"include_obfuscation", TALK_BOOL, .use = MEMBER_IDLE}, {0}};

static const member body_members[] = {
    {"model", TALK_STRING, .about = "A model or an adapter."},
    {"input", MEMBER_STRING | MEMBER_ARRAY, .need = true, .min = 1, .max = -1,
     .items = MEMBER_OBJECT, .nul = true,
     .about = "A text, or messages, function calls and their outputs."},
    {"instructions", TALK_STRING, .about = "Said by the system before all else."},
    TALK_SAMPLING TALK_FORMS{"max_output_tokens", TALK_INTEGER, .min = 1,
                             .max = TALK_MAX_NEW, .about = "Most tokens of the answer."},
    {"top_logprobs", TALK_INTEGER, .max = SCHED_MAX_TOP,
     .about = "Tell the likeliest tokens at each place."},
    {"include", MEMBER_ARRAY | MEMBER_NULL, .items = MEMBER_STRING,
     .words = "message.output_text.logprobs", .about = "Tell how likely tokens were."},
    {"text", TALK_OBJECT, .of = text_members, .about = "Of the text."},
    {"tools", MEMBER_ARRAY | MEMBER_NULL, .max = MAX_TOOLS, .items = MEMBER_OBJECT,
     .about = "Functions that the model may call; `strict` is true of all of them."},
    {"tool_choice", MEMBER_STRING | TALK_OBJECT,
     .about = "auto, none, required, or the function to call."},
    {"parallel_tool_calls", TALK_BOOL, .about = "false: at most one call."},
    {"reasoning", TALK_OBJECT, .of = reasoning_members,
     .about = "For models whose template knows it."},
    {"chat_template_kwargs", TALK_OBJECT, .about = "Variables of the model's template."},
    {"stream_options", TALK_OBJECT, .of = stream_options},
    {"store", TALK_BOOL, .use = MEMBER_IDLE,
     .about = "Nothing is stored; the answer says store: false."},
    {"user", TALK_STRING, .use = MEMBER_IDLE},
    {"metadata", TALK_OBJECT, .use = MEMBER_IDLE},
    {"safety_identifier", TALK_STRING, .use = MEMBER_IDLE},
    {"service_tier", TALK_STRING, .use = MEMBER_IDLE,
     .about = "The header x-stint-class says who comes first."},
    {"prompt_cache_retention", TALK_STRING, .use = MEMBER_IDLE},
    {"truncation", MEMBER_ANY, .use = MEMBER_REFUSE, .words = "disabled"},
    {"previous_response_id", MEMBER_ANY, .use = MEMBER_REFUSE},
    {"conversation", MEMBER_ANY, .use = MEMBER_REFUSE},
    {"prompt", MEMBER_ANY, .use = MEMBER_REFUSE},
    {"background", MEMBER_ANY, .use = MEMBER_REFUSE},
    {"max_tool_calls", MEMBER_ANY, .use = MEMBER_REFUSE,
     .about = "Of tools that a server runs; none runs here."},
    {0}};

static const member answer_members[] = {
    {"id", MEMBER_STRING, .need = true},
    {"object", MEMBER_STRING, .need = true, .words = "response"},
    {"created_at", MEMBER_INTEGER, .need = true},
    {"status", MEMBER_STRING, .need = true, .words = "completed incomplete"},
    {"model", MEMBER_STRING, .need = true},
    {"output", MEMBER_ARRAY, .need = true, .items = MEMBER_OBJECT},
    {"usage", MEMBER_OBJECT, .need = true},
    {0}};

const route wire_responses[] = {
    {"POST", "/v1/responses", "createResponse",
     "Answer a conversation in items: a message, calls of functions.", SCOPE_CLIENT,
     .body = body_members, .answer = answer_members, .streams = true, .handle = respond},
    {0}};
