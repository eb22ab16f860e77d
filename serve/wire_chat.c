/* serve/wire_chat.c - POST /v1/chat/completions: OpenAI's chat, with what llama-server
 * and vLLM add. */
#include "base/mem.h"
#include "serve/chat_answer.h"
#include "serve/chat_task.h"
#include "serve/route.h"
#include "serve/talk_json.h"
#include "serve/talk_messages.h"
#include "serve/talk_prompt.h"
#include <string.h>

enum { MAX_MESSAGES = 4096, MAX_TOOLS = 128 };

/* ---- reading ---- */

static void max_new_read(talk *t, const json_t *body)
{
    int64_t old = body_integer(body, "max_tokens", 0);
    int64_t most = body_integer(body, "max_completion_tokens", old);
    if (old && most != old)
        problems_add(&t->wrong, PROBLEM_VALUE, "max_tokens",
                     "is the same as max_completion_tokens, which is %lld",
                     (long long)most);
    t->ask.max_new = (uint32_t)most;
}

static void logprobs_read(talk *t, const json_t *body)
{
    t->ask.logprobs = body_bool(body, "logprobs", false);
    t->ask.n_top = (uint32_t)body_integer(body, "top_logprobs", 0);
    if (t->ask.n_top > 0 && !t->ask.logprobs)
        problems_add(&t->wrong, PROBLEM_VALUE, "top_logprobs", "needs logprobs: true");
}

static void stream_read(talk *t, const json_t *body)
{
    const json_t *of_stream = body_get(body, "stream_options");
    chat_own *own = t->own;
    own->tells_usage = body_bool(of_stream, "include_usage", false);
    if (of_stream && !t->ask.stream)
        problems_add(&t->wrong, PROBLEM_VALUE, "stream_options", "needs stream: true");
}

static void read_all(talk *t, const json_t *body)
{
    t->ask.how = talk_how_openai;
    talk_ask_read(body, &t->ask, &t->wrong);
    max_new_read(t, body);
    logprobs_read(t, body);
    stream_read(t, body);
    t->n = (uint32_t)body_integer(body, "n", 1);
    talk_form_read(body, body_get(body, "response_format"), "response_format", &t->form,
                   &t->wrong);
    t->one_call = !body_bool(body, "parallel_tool_calls", true);
    talk_tools(t, body_get(body, "tools"), body_get(body, "tool_choice"));
    talk_held_check(t);
}

/* What the answer may repeat parts of. */
static void input_read(talk *t, const json_t *body, const json_t *turns)
{
    const json_t *prediction = body_get(body, "prediction");
    const json_t *said = talk_last_said(turns);
    if (prediction) {
        t->predicted = true;
        talk_content_add(body_get(prediction, "content"), "prediction.content", &t->input,
                         &t->wrong);
    } else if (said) {
        st_buf_add(&t->input, json_string_value(said), json_string_length(said));
    }
}

/* ---- the call ---- */

static const talk_view view = {
    .more = chat_stream_more, .finish = chat_finish, .fail = talk_fail_openai};

static talk *chat_new(call *c)
{
    talk *t = talk_new(c, &view, "chatcmpl-");
    chat_own *own = t ? st_zalloc_n(1, sizeof *own) : NULL;
    if (!t)
        return NULL;
    if (own)
        st_buf_init(&own->line, SIZE_MAX / 2);
    t->own = own;
    t->own_free = own ? chat_own_free : NULL;
    t->wrong.out_of_memory = !own;
    return talk_refuse(t) ? NULL : t;
}

static void chat(call *c)
{
    const json_t *body = call_body(c);
    talk *t = chat_new(c);
    if (!t)
        return;
    read_all(t, body);
    t->more = body_get(body, "chat_template_kwargs");
    t->effort = body_text(body, "reasoning_effort", NULL);
    json_t *turns = talk_messages_read(body_get(body, "messages"), "messages", &t->wrong);
    input_read(t, body, turns);
    talk_find(t);
    if (t->use && hub_use_kind(t->use) == HUB_TASK && t->wrong.n == 0)
        chat_task_check(t, body);
    if (talk_refuse(t)) {
        json_decref(turns);
        return;
    }
    if (hub_use_kind(t->use) == HUB_TASK) {
        json_decref(turns);
        chat_task(t);
        return;
    }
    talk_hold(t);
    if (t->wrong.n == 0)
        talk_chat_prompt(t, turns, "messages");
    json_decref(turns);
    if (!talk_refuse(t))
        talk_start(t);
}

/* ---- its members ---- */

static const member prediction[] = {
    {"type", MEMBER_STRING, .need = true, .words = "content"},
    {"content", MEMBER_STRING | MEMBER_ARRAY, .need = true, .nul = true,
     .items = MEMBER_OBJECT},
    {0}};

static const member body_members[] = {
    {"model", TALK_STRING, .about = "A model, an adapter or a task."},
    {"messages", MEMBER_ARRAY, .need = true, .min = 1, .max = MAX_MESSAGES,
     .of = talk_message, .about = "The conversation."},
    TALK_SAMPLING TALK_FORMS{
        "max_tokens", TALK_INTEGER, .min = 1, .max = TALK_MAX_NEW,
        .about = "Most tokens of an answer; without it as many as the context holds."},
    {"max_completion_tokens", TALK_INTEGER, .min = 1, .max = TALK_MAX_NEW,
     .about = "The same as max_tokens."},
    {"n", TALK_INTEGER, .min = 1, .max = TALK_MAX_TEXTS, .about = "Answers to give."},
    {"stream_options", TALK_OBJECT, .of = talk_stream_options, .about = "Of a stream."},
    {"logprobs", TALK_BOOL, .about = "Tell how likely each token was."},
    {"top_logprobs", TALK_INTEGER, .max = SCHED_MAX_TOP,
     .about = "Tell the likeliest tokens at each place."},
    {"response_format", TALK_OBJECT, .of = talk_form_response,
     .about = "What the answer is held to."},
    {"tools", MEMBER_ARRAY | MEMBER_NULL, .max = MAX_TOOLS, .items = MEMBER_OBJECT,
     .about = "Functions that the model may call; `strict` is true of all of them."},
    {"tool_choice", MEMBER_STRING | TALK_OBJECT,
     .about = "auto, none, required, or the function to call."},
    {"parallel_tool_calls", TALK_BOOL, .about = "false: at most one call."},
    {"chat_template_kwargs", TALK_OBJECT, .about = "Variables of the model's template."},
    {"reasoning_effort", TALK_STRING, .words = "none minimal low medium high xhigh",
     .about = "For models whose template knows it."},
    {"prediction", TALK_OBJECT, .of = prediction,
     .about = "What a held answer likely repeats: it is tried many tokens at a time."},
    {"modalities", MEMBER_ARRAY | MEMBER_NULL, .items = MEMBER_STRING, .words = "text",
     .about = "Text."},
    {"user", TALK_STRING, .use = MEMBER_IDLE},
    {"metadata", TALK_OBJECT, .use = MEMBER_IDLE},
    {"safety_identifier", TALK_STRING, .use = MEMBER_IDLE},
    {"service_tier", TALK_STRING, .use = MEMBER_IDLE,
     .about = "The header x-stint-class says who comes first."},
    {"prompt_cache_retention", TALK_STRING, .use = MEMBER_IDLE},
    {"store", MEMBER_ANY, .use = MEMBER_REFUSE, .about = "Nothing is stored."},
    {"verbosity", MEMBER_ANY, .use = MEMBER_REFUSE, .words = "medium"},
    {"audio", MEMBER_ANY, .use = MEMBER_REFUSE},
    {"functions", MEMBER_ANY, .use = MEMBER_REFUSE, .about = "Send `tools`."},
    {"function_call", MEMBER_ANY, .use = MEMBER_REFUSE, .about = "Send `tool_choice`."},
    {"web_search_options", MEMBER_ANY, .use = MEMBER_REFUSE},
    {0}};

static const member function_members[] = {{"name", MEMBER_STRING, .need = true},
                                          {"arguments", MEMBER_STRING, .need = true},
                                          {0}};
static const member call_members[] = {
    {"id", MEMBER_STRING, .need = true},
    {"type", MEMBER_STRING, .need = true},
    {"function", MEMBER_OBJECT, .need = true, .of = function_members},
    {0}};
static const member message_members[] = {{"role", MEMBER_STRING, .need = true},
                                         {"content", TALK_STRING, .need = true},
                                         {"refusal", MEMBER_NULL, .need = true},
                                         {"tool_calls", MEMBER_ARRAY, .of = call_members},
                                         {0}};
static const member choice_members[] = {
    {"index", MEMBER_INTEGER, .need = true},
    {"message", MEMBER_OBJECT, .need = true, .of = message_members},
    {"logprobs", TALK_OBJECT, .need = true},
    {"finish_reason", MEMBER_STRING, .need = true, .words = "stop length tool_calls",
     .about = "length: the text was cut, and what it is held to is not whole."},
    {"tokens", MEMBER_ARRAY, .items = MEMBER_INTEGER},
    {0}};
static const member answer_members[] = {
    {"id", MEMBER_STRING, .need = true},
    {"object", MEMBER_STRING, .need = true, .words = "chat.completion"},
    {"created", MEMBER_INTEGER, .need = true},
    {"model", MEMBER_STRING, .need = true},
    {"choices", MEMBER_ARRAY, .need = true, .of = choice_members},
    {"usage", MEMBER_OBJECT, .need = true},
    {"service_tier", MEMBER_STRING, .about = "default"},
    {"system_fingerprint", MEMBER_STRING, .about = "Of the model's file."},
    {"timings", MEMBER_OBJECT, .about = "With timings_per_token."},
    {"stint", MEMBER_OBJECT, .about = "Of a task's answer."},
    {0}};

const route wire_chat[] = {
    {"POST", "/v1/chat/completions", "createChatCompletion",
     "Answer a conversation; with a task's name its last message is decided.",
     SCOPE_CLIENT, .body = body_members, .answer = answer_members, .streams = true,
     .handle = chat},
    {0}};
