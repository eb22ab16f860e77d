/* serve/wire_llama.c - POST /completion as llama-server has it: a raw prompt, its fields
 * and defaults, its answer. */
#include "serve/raw_prompt.h"
#include "serve/route.h"
#include "serve/talk_json.h"
#include <string.h>

/* ---- the answer ---- */

static json_t *token_json(const talk *t, int32_t id, double logp)
{
    return json_pack("{s:I, s:o, s:o, s:o}", "id", (json_int_t)id, "token",
                     talk_token_text(t->lm->tok, id), "bytes",
                     talk_token_bytes(t->lm->tok, id), "logprob",
                     json_real(logp > -9999 ? logp : -9999));
}

static json_t *probabilities(const talk *t, const gen *g, uint32_t from, uint32_t to)
{
    json_t *list = json_array();
    for (uint32_t i = from; list && i < to; i++) {
        const gen_token *k = &g->tokens[i];
        json_t *top = json_array();
        for (uint32_t j = 0; top && j < k->n_top; j++) {
            const sched_top *one = &g->top[k->top + j];
            top = talk_push(top, token_json(t, one->id, one->logp));
        }
        list = talk_push(list,
                         talk_with(token_json(t, k->id, k->logp), "top_logprobs", top));
    }
    return list;
}

static const char *stop_type(const gen *g)
{
    if (g->finish == GEN_LENGTH)
        return "limit";
    return g->stopped_by_word ? "word" : "eos";
}

/* What was asked for, as it was understood. */
static json_t *settings_json(const talk *t)
{
    const sampler_opts *h = &t->ask.how;
    return json_pack(
        "{s:I, s:f, s:I, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:b}", "seed",
        (json_int_t)(h->seed & INT64_MAX), "temperature", (double)h->temperature, "top_k",
        (json_int_t)h->top_k, "top_p", (double)h->top_p, "min_p", (double)h->min_p,
        "repeat_penalty", (double)h->repeat_penalty, "presence_penalty",
        (double)h->presence_penalty, "frequency_penalty", (double)h->frequency_penalty,
        "n_predict", t->ask.max_new ? (json_int_t)t->ask.max_new : -1, "n_probs",
        (json_int_t)t->ask.n_top, "stream", t->ask.stream);
}

static int end_add(const talk *t, const talk_text *x, json_t *answer)
{
    const gen *g = &x->g;
    const json_t *prompt = body_get(call_body(t->c), "prompt");
    const char *word = g->stopped_by_word ? t->spec.stops.text[g->stop_word] : "";
    return json_object_update_new(
        answer,
        json_pack("{s:s, s:o, s:O, s:b, s:b, s:s, s:s, s:I, s:o}", "model", t->model,
                  "generation_settings", settings_json(t), "prompt", prompt,
                  "has_new_line",
                  memchr(g->text.data ? g->text.data : "", '\n', g->text.len) != NULL,
                  "truncated", 0, "stop_type", stop_type(g), "stopping_word", word,
                  "tokens_cached", (json_int_t)g->n_prompt + g->n_new, "timings",
                  talk_timings(g)));
}

/* The text from x->shown on, which then is shown. */
static json_t *part_json(const talk *t, talk_text *x)
{
    const gen *g = &x->g;
    bool ended = g->finish != GEN_GOING;
    uint32_t n = g->n_tokens;
    while (!ended && n > 0 && g->tokens[n - 1].begin >= g->certain)
        n--;
    json_t *part = json_pack(
        "{s:I, s:o, s:o, s:b, s:i, s:I, s:I}", "index", (json_int_t)x->at, "content",
        talk_text_json(&g->text, x->shown, g->certain), "tokens",
        t->ask.return_tokens || t->ask.stream ? talk_ids(g, x->shown_ids) : json_array(),
        "stop", ended, "id_slot", -1, "tokens_predicted", (json_int_t)g->n_ids,
        "tokens_evaluated", (json_int_t)t->prompts[x->prompt].n);
    if (t->ask.logprobs)
        part = talk_with(part, "completion_probabilities",
                         probabilities(t, g, x->shown_tokens, n));
    if (!ended && t->ask.timings)
        part = talk_with(part, "timings", talk_timings(g));
    if (part && ended && end_add(t, x, part) < 0) {
        json_decref(part);
        part = NULL;
    }
    x->shown = g->certain;
    x->shown_tokens = n;
    x->shown_ids = g->n_ids;
    return part;
}

static bool more(talk *t, talk_text *x)
{
    if (!t->streams) {
        call_stream_begin(t->c);
        t->streams = true;
    }
    if (x->g.finish != GEN_GOING || x->g.certain <= x->shown)
        return true;
    return talk_send(t, NULL, part_json(t, x));
}

static void finish(talk *t)
{
    json_t *list;
    bool there = true;
    if (t->ask.stream) {
        if (!t->streams)
            call_stream_begin(t->c);
        for (uint32_t i = 0; there && i < t->n_texts; i++)
            there = talk_send(t, NULL, part_json(t, &t->texts[i]));
        call_stream_end(t->c);
        return;
    }
    if (t->n_texts == 1) {
        call_reply_json(t->c, 200, part_json(t, &t->texts[0]));
        return;
    }
    list = json_array();
    for (uint32_t i = 0; list && i < t->n_texts; i++)
        list = talk_push(list, part_json(t, &t->texts[i]));
    call_reply_json(t->c, 200, list);
}

static const talk_view view = {.more = more, .finish = finish, .fail = talk_fail_openai};

/* ---- the call ---- */

static void complete(call *c)
{
    const json_t *body = call_body(c);
    talk *t = talk_new(c, &view, "cmpl-");
    if (!t)
        return;
    t->ask.how = (sampler_opts){.temperature = 0.8F,
                                .top_k = 40,
                                .top_p = 0.95F,
                                .min_p = 0.05F,
                                .repeat_penalty = 1};
    talk_ask_read(body, &t->ask, &t->wrong);
    int64_t most = body_integer(body, "n_predict", body_integer(body, "max_tokens", -1));
    t->ask.max_new = most > 0 ? (uint32_t)most : 0;
    t->ask.n_top = (uint32_t)body_integer(body, "n_probs", 0);
    t->ask.logprobs = t->ask.n_top > 0;
    t->spec.continues = true;
    talk_form_read(body, NULL, "", &t->form, &t->wrong);
    if (most == 0)
        problems_add(&t->wrong, PROBLEM_VALUE, "n_predict", "nothing would be made");
    raw_start(t, body, false);
}

/* ---- its members ---- */

static const member body_members[] = {
    {"model", TALK_STRING, .about = "A model or an adapter."},
    {"prompt", RAW_PROMPT_TYPES, .need = true, .min = 1, .max = -1, .nul = true,
     .items = MEMBER_STRING | MEMBER_INTEGER | MEMBER_ARRAY,
     .about = "A text, or texts and token ids in their order, or an array of arrays."},
    TALK_SAMPLING TALK_FORMS{
        "n_predict", TALK_INTEGER, .min = -1, .max = TALK_MAX_NEW,
        .about = "Most tokens of the text; -1: as many as the context holds."},
    {"max_tokens", TALK_INTEGER, .min = -1, .max = TALK_MAX_NEW,
     .about = "The same as n_predict."},
    {"n_probs", TALK_INTEGER, .max = SCHED_MAX_TOP,
     .about = "Tell how likely tokens were, and so many of the likeliest."},
    {"post_sampling_probs", MEMBER_ANY, .use = MEMBER_REFUSE},
    {"id_slot", MEMBER_ANY, .use = MEMBER_REFUSE, .words = "-1"},
    {"lora", MEMBER_ANY, .use = MEMBER_REFUSE, .about = "Name an adapter as the model."},
    {"n_keep", MEMBER_ANY, .use = MEMBER_REFUSE, .words = "0"},
    {"n_discard", MEMBER_ANY, .use = MEMBER_REFUSE, .words = "0"},
    {"n_indent", MEMBER_ANY, .use = MEMBER_REFUSE, .words = "0"},
    {"samplers", MEMBER_ANY, .use = MEMBER_REFUSE},
    {"typical_p", MEMBER_ANY, .use = MEMBER_REFUSE, .words = "1"},
    {"mirostat", MEMBER_ANY, .use = MEMBER_REFUSE, .words = "0"},
    {"dry_multiplier", MEMBER_ANY, .use = MEMBER_REFUSE, .words = "0"},
    {"xtc_probability", MEMBER_ANY, .use = MEMBER_REFUSE, .words = "0"},
    {"dynatemp_range", MEMBER_ANY, .use = MEMBER_REFUSE, .words = "0"},
    {"image_data", MEMBER_ANY, .use = MEMBER_REFUSE},
    {0}};

static const member answer_members[] = {
    {"index", MEMBER_INTEGER, .need = true},
    {"content", MEMBER_STRING, .need = true},
    {"tokens", MEMBER_ARRAY, .need = true, .items = MEMBER_INTEGER},
    {"stop", MEMBER_BOOL, .need = true},
    {"model", MEMBER_STRING, .need = true},
    {"tokens_predicted", MEMBER_INTEGER, .need = true},
    {"tokens_evaluated", MEMBER_INTEGER, .need = true},
    {"stop_type", MEMBER_STRING, .need = true, .words = "eos limit word"},
    {"stopping_word", MEMBER_STRING, .need = true},
    {"timings", MEMBER_OBJECT, .need = true},
    {0}};

const route wire_llama[] = {{"POST", "/completion", "completion",
                             "Go on with a text, as llama-server does.", SCOPE_CLIENT,
                             .body = body_members, .answer = answer_members,
                             .streams = true, .handle = complete},
                            {0}};
