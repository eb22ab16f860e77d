/* serve/wire_completions.c - POST /v1/completions: OpenAI's, of raw prompts. */
#include "serve/raw_prompt.h"
#include "serve/route.h"
#include "serve/talk_json.h"
#include <string.h>

enum { DEFAULT_NEW = 16 };

/* ---- the answer ---- */

/* OpenAI's old form of tokens' probabilities. */
static json_t *logp_json(double logp)
{
    return json_real(logp > -9999 ? logp : -9999);
}

static json_t *top_json(const talk *t, const gen *g, const gen_token *k)
{
    json_t *top = json_object();
    for (uint32_t j = 0; top && j < k->n_top; j++) {
        const sched_top *one = &g->top[k->top + j];
        json_t *name = talk_token_text(t->lm->tok, one->id);
        const char *text = json_string_value(name);
        /* bytes that are no character look alike: the likeliest stays */
        if (!text || !json_object_get(top, text))
            top = talk_with(top, text ? text : "", text ? logp_json(one->logp) : NULL);
        json_decref(name);
    }
    return top;
}

static json_t *logprobs_json(const talk *t, const gen *g, uint32_t from, uint32_t to)
{
    json_t *tokens = json_array(), *logps = json_array(), *tops = json_array(),
           *offsets = json_array();
    for (uint32_t i = from; i < to; i++) {
        const gen_token *k = &g->tokens[i];
        tokens = talk_push(tokens, talk_token_text(t->lm->tok, k->id));
        logps = talk_push(logps, logp_json(k->logp));
        tops = talk_push(tops, top_json(t, g, k));
        offsets = talk_push(offsets, json_integer((json_int_t)k->begin));
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "tokens", tokens, "token_logprobs", logps,
                     "top_logprobs", tops, "text_offset", offsets);
}

/* The text from x->shown on, which then is shown. */
static json_t *choice_json(const talk *t, talk_text *x)
{
    const gen *g = &x->g;
    bool ended = g->finish != GEN_GOING;
    uint32_t n = g->n_tokens;
    json_t *logprobs = json_null();
    while (!ended && n > 0 && g->tokens[n - 1].begin >= g->certain)
        n--;
    if (t->ask.logprobs)
        logprobs = logprobs_json(t, g, x->shown_tokens, n);
    json_t *choice = json_pack(
        "{s:I, s:o, s:o, s:o}", "index", (json_int_t)x->at, "text",
        talk_text_json(&g->text, x->shown, g->certain), "logprobs", logprobs,
        "finish_reason",
        ended ? json_string(g->finish == GEN_LENGTH ? "length" : "stop") : json_null());
    if (t->ask.return_tokens)
        choice = talk_with(choice, "tokens", talk_ids(g, x->shown_ids));
    x->shown = g->certain;
    x->shown_tokens = n;
    x->shown_ids = g->n_ids;
    return choice;
}

static json_t *answer_json(const talk *t, json_t *choices, bool usage)
{
    json_t *answer =
        json_pack("{s:s, s:s, s:I, s:s, s:o, s:s}", "id", t->id, "object",
                  "text_completion", "created", (json_int_t)t->created, "model", t->model,
                  "choices", choices, "system_fingerprint", t->print);
    return usage ? talk_with(answer, "usage", talk_usage(t)) : answer;
}

static json_t *chunk_json(const talk *t, talk_text *x)
{
    json_t *chunk = answer_json(t, json_pack("[o]", choice_json(t, x)), false);
    return t->ask.timings ? talk_with(chunk, "timings", talk_timings(&x->g)) : chunk;
}

static bool more(talk *t, talk_text *x)
{
    if (!t->streams) {
        call_stream_begin(t->c);
        t->streams = true;
    }
    if (x->g.finish != GEN_GOING || x->g.certain <= x->shown)
        return true;
    return talk_send(t, NULL, chunk_json(t, x));
}

static bool tells_usage(const talk *t)
{
    return body_bool(body_get(call_body(t->c), "stream_options"), "include_usage", false);
}

static void stream_finish(talk *t)
{
    bool there = true;
    if (!t->streams)
        call_stream_begin(t->c);
    for (uint32_t i = 0; there && i < t->n_texts; i++)
        there = talk_send(t, NULL, chunk_json(t, &t->texts[i]));
    if (there && tells_usage(t))
        there = talk_send(t, NULL, answer_json(t, json_array(), true));
    if (there)
        call_stream_text(t->c, "data: [DONE]\n\n", 14);
    call_stream_end(t->c);
}

static void finish(talk *t)
{
    if (t->ask.stream) {
        stream_finish(t);
        return;
    }
    json_t *choices = json_array();
    for (uint32_t i = 0; choices && i < t->n_texts; i++)
        choices = talk_push(choices, choice_json(t, &t->texts[i]));
    json_t *answer = answer_json(t, choices, true);
    if (t->ask.timings)
        answer = talk_with(answer, "timings", talk_timings(&t->texts[0].g));
    call_reply_json(t->c, 200, answer);
}

static const talk_view view = {.more = more, .finish = finish, .fail = talk_fail_openai};

/* ---- the call ---- */

static void complete(call *c)
{
    const json_t *body = call_body(c);
    talk *t = talk_new(c, &view, "cmpl-");
    if (!t)
        return;
    t->ask.how = talk_how_openai;
    talk_ask_read(body, &t->ask, &t->wrong);
    t->ask.max_new = (uint32_t)body_integer(body, "max_tokens", DEFAULT_NEW);
    t->ask.logprobs = body_get(body, "logprobs") != NULL;
    t->ask.n_top = (uint32_t)body_integer(body, "logprobs", 0);
    t->n = (uint32_t)body_integer(body, "n", 1);
    t->spec.continues = true;
    if (body_get(body, "stream_options") && !t->ask.stream)
        problems_add(&t->wrong, PROBLEM_VALUE, "stream_options", "needs stream: true");
    talk_form_read(body, body_get(body, "response_format"), "response_format", &t->form,
                   &t->wrong);
    raw_start(t, body, true);
}

/* ---- its members ---- */

static const member body_members[] = {
    {"model", TALK_STRING, .about = "A model or an adapter."},
    {"prompt", RAW_PROMPT_TYPES, .need = true, .min = 1, .max = -1, .nul = true,
     .items = MEMBER_STRING | MEMBER_INTEGER | MEMBER_ARRAY,
     .about = "A text, an array of texts, token ids, or an array of those."},
    TALK_SAMPLING TALK_FORMS{"max_tokens", TALK_INTEGER, .min = 1, .max = TALK_MAX_NEW,
                             .about = "Most tokens of a text; 16 without it."},
    {"n", TALK_INTEGER, .min = 1, .max = TALK_MAX_TEXTS,
     .about = "Texts of each prompt."},
    {"stream_options", TALK_OBJECT, .of = talk_stream_options, .about = "Of a stream."},
    {"logprobs", TALK_INTEGER, .max = SCHED_MAX_TOP,
     .about = "Tell how likely each token was, and so many of the likeliest."},
    {"response_format", TALK_OBJECT, .of = talk_form_response,
     .about = "What the text is held to."},
    {"user", TALK_STRING, .use = MEMBER_IDLE},
    {"metadata", TALK_OBJECT, .use = MEMBER_IDLE},
    {"safety_identifier", TALK_STRING, .use = MEMBER_IDLE},
    {"service_tier", TALK_STRING, .use = MEMBER_IDLE},
    {"echo", MEMBER_ANY, .use = MEMBER_REFUSE},
    {"best_of", MEMBER_ANY, .use = MEMBER_REFUSE, .words = "1"},
    {"suffix", MEMBER_ANY, .use = MEMBER_REFUSE},
    {"store", MEMBER_ANY, .use = MEMBER_REFUSE, .about = "Nothing is stored."},
    {0}};

static const member choice_members[] = {
    {"index", MEMBER_INTEGER, .need = true},
    {"text", MEMBER_STRING, .need = true},
    {"logprobs", TALK_OBJECT, .need = true},
    {"finish_reason", MEMBER_STRING, .need = true, .words = "stop length"},
    {"tokens", MEMBER_ARRAY, .items = MEMBER_INTEGER},
    {0}};

static const member answer_members[] = {
    {"id", MEMBER_STRING, .need = true},
    {"object", MEMBER_STRING, .need = true, .words = "text_completion"},
    {"created", MEMBER_INTEGER, .need = true},
    {"model", MEMBER_STRING, .need = true},
    {"choices", MEMBER_ARRAY, .need = true, .of = choice_members},
    {"system_fingerprint", MEMBER_STRING, .about = "Of the model's file."},
    {"usage", MEMBER_OBJECT, .need = true},
    {"timings", MEMBER_OBJECT, .about = "With timings_per_token."},
    {0}};

const route wire_completions[] = {
    {"POST", "/v1/completions", "createCompletion", "Go on with a text.", SCOPE_CLIENT,
     .body = body_members, .answer = answer_members, .streams = true, .handle = complete},
    {0}};
