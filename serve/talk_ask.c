/* serve/talk_ask.c - what a body says about how text is made. */
#include "serve/talk_ask.h"

#include "serve/param.h"
#include <errno.h>
#include <sodium/randombytes.h>
#include <stdlib.h>
#include <string.h>

const member talk_stream_options[] = {
    {"include_usage", TALK_BOOL, .about = "A last chunk tells the usage."},
    {"include_obfuscation", TALK_BOOL, .use = MEMBER_IDLE},
    {0}};

const sampler_opts talk_how_openai = {
    .temperature = 1, .top_p = 1, .min_p = 0.05F, .repeat_penalty = 1};

/* ---- stop words ---- */

static void stop_add(talk_ask *a, const json_t *word, const char *at, problems *out)
{
    size_t len = json_string_length(word);
    if (len == 0 || len > STOP_MAX_LEN) {
        problems_add(out, PROBLEM_COUNT, at, "a stop word has 1 to %d bytes, not %zu",
                     (int)STOP_MAX_LEN, len);
        return;
    }
    a->stops.text[a->stops.n] = json_string_value(word);
    a->stops.len[a->stops.n++] = len;
}

static void stops_read(const json_t *body, talk_ask *a, problems *out)
{
    const json_t *stop = body_get(body, "stop"), *word;
    char at[PROBLEM_PARAM_MAX];
    size_t i;
    if (json_is_string(stop))
        stop_add(a, stop, "stop", out);
    if (json_array_size(stop) > STOP_MAX) {
        problems_add(out, PROBLEM_COUNT, "stop", "at most %d stop words, got %zu",
                     (int)STOP_MAX, json_array_size(stop));
        return;
    }
    json_array_foreach(stop, i, word)
    {
        param_index(at, "stop", i);
        stop_add(a, word, at, out);
    }
    stop = body_get(body, "stop_token_ids");
    json_array_foreach(stop, i, word)
    {
        json_int_t id = (json_int_t)json_number_value(word);
        param_index(at, "stop_token_ids", i);
        if (id < 0 || id > INT32_MAX)
            problems_add(out, PROBLEM_VALUE, at, "is no token id");
        else
            a->stop_ids[a->n_stop_ids++] = (int32_t)id;
    }
}

/* ---- biases ---- */

static void bias_add(talk_ask *a, int64_t id, double add, const char *at, problems *out)
{
    if (id < 0 || id > INT32_MAX)
        problems_add(out, PROBLEM_VALUE, at, "is no token id");
    else if (!(add >= -100 && add <= 100))
        problems_add(out, PROBLEM_VALUE, at, "a bias is from -100 to 100, not %.15g",
                     add);
    else
        a->bias[a->n_bias++] = (sched_bias){(int32_t)id, (float)add};
}

/* OpenAI's object of ids. */
static void bias_object(const json_t *bias, talk_ask *a, problems *out)
{
    json_t *walked = (json_t *)(uintptr_t)bias, *add;
    char at[PROBLEM_PARAM_MAX];
    const char *name;
    json_object_foreach(walked, name, add)
    {
        char *end;
        errno = 0;
        long long id = *name >= '0' && *name <= '9' ? strtoll(name, &end, 10) : -1;
        param_name(at, "logit_bias", name);
        if (!json_is_number(add))
            problems_add(out, PROBLEM_TYPE, at, "a bias is a number");
        else
            bias_add(a, id >= 0 && !*end && !errno ? id : -1, json_number_value(add), at,
                     out);
    }
}

/* llama-server's array of [id, bias]; a bias of false is "never". */
static void bias_array(const json_t *bias, talk_ask *a, problems *out)
{
    const json_t *pair;
    char at[PROBLEM_PARAM_MAX];
    size_t i;
    json_array_foreach(bias, i, pair)
    {
        const json_t *id = json_array_get(pair, 0), *add = json_array_get(pair, 1);
        param_index(at, "logit_bias", i);
        if (!json_is_integer(id) || !(json_is_number(add) || json_is_false(add)))
            problems_add(out, PROBLEM_TYPE, at, "expected [token id, bias]");
        else
            bias_add(a, json_integer_value(id),
                     json_is_false(add) ? -100 : json_number_value(add), at, out);
    }
}

static void bias_read(const json_t *body, talk_ask *a, problems *out)
{
    const json_t *bias = body_get(body, "logit_bias");
    if (json_is_true(bias))
        problems_add(out, PROBLEM_TYPE, "logit_bias", "expected an object");
    if (json_is_object(bias))
        bias_object(bias, a, out);
    if (json_is_array(bias))
        bias_array(bias, a, out);
}

/* ---- all ---- */

static void how_read(const json_t *body, talk_ask *a, problems *out)
{
    sampler_opts *h = &a->how;
    h->temperature = (float)body_number(body, "temperature", h->temperature);
    h->top_p = (float)body_number(body, "top_p", h->top_p);
    h->min_p = (float)body_number(body, "min_p", h->min_p);
    int64_t k = body_integer(body, "top_k", h->top_k);
    h->top_k = k < 0 ? 0 : (uint32_t)k;
    h->frequency_penalty =
        (float)body_number(body, "frequency_penalty", h->frequency_penalty);
    h->presence_penalty =
        (float)body_number(body, "presence_penalty", h->presence_penalty);
    double repeat = body_number(body, "repeat_penalty", h->repeat_penalty);
    double repetition = body_number(body, "repetition_penalty", repeat);
    if (body_get(body, "repeat_penalty") && repetition != repeat)
        problems_add(out, PROBLEM_VALUE, "repetition_penalty",
                     "is the same as repeat_penalty, which is %.15g", repeat);
    h->repeat_penalty = (float)repetition;
    int64_t seed = body_integer(body, "seed", -1);
    if (seed == -1)
        randombytes_buf(&h->seed, sizeof h->seed);
    else
        h->seed = (uint64_t)seed;
    if (h->top_p <= 0) /* the smallest share there is: the likeliest token */
        h->top_p = 1e-6F;
    if (h->min_p >= 1) {
        h->min_p = 0;
        h->top_k = 1;
    }
}

void talk_ask_read(const json_t *body, talk_ask *ret, problems *out)
{
    how_read(body, ret, out);
    stops_read(body, ret, out);
    bias_read(body, ret, out);
    ret->stream = body_bool(body, "stream", false);
    ret->keeps_stop = body_bool(body, "include_stop_str_in_output", false);
    ret->ignore_eos = body_bool(body, "ignore_eos", false);
    ret->reuses = body_bool(body, "cache_prompt", true);
    ret->cache_key = body_text(body, "prompt_cache_key", NULL);
    int64_t most_ms = body_integer(body, "t_max_predict_ms", 0);
    ret->most_us = most_ms > 0 ? (uint64_t)most_ms * 1000 : 0;
    ret->timings = body_bool(body, "timings_per_token", false);
    ret->return_tokens = body_bool(body, "return_tokens", false);
}

static void id_check(int32_t id, const char *what, const tok *t, problems *out)
{
    if ((uint32_t)id >= tok_n_vocab(t))
        problems_add(out, PROBLEM_VALUE, what, "%d is no token of the model's %u",
                     (int)id, tok_n_vocab(t));
}

void talk_ask_bind(talk_ask *a, const tok *t, problems *out)
{
    uint32_t n_ends;
    const int32_t *ends = tok_ends(t, &n_ends);
    for (uint32_t i = 0; i < a->n_bias; i++)
        id_check(a->bias[i].id, "logit_bias", t, out);
    for (uint32_t i = 0; i < a->n_stop_ids; i++)
        id_check(a->stop_ids[i], "stop_token_ids", t, out);
    for (uint32_t i = 0; i < a->stops.n && a->n_stop_ids < TALK_MAX_STOP_IDS; i++) {
        int32_t id = tok_find(t, a->stops.text[i]);
        if (id >= 0 && tok_is_control(t, id))
            a->stop_ids[a->n_stop_ids++] = id;
    }
    for (uint32_t i = 0; i < n_ends && a->ignore_eos; i++) {
        if (a->n_bias == SCHED_MAX_BIAS) {
            problems_add(out, PROBLEM_COUNT, "logit_bias",
                         "with ignore_eos there is room for %u biases",
                         (unsigned)SCHED_MAX_BIAS - n_ends);
            return;
        }
        a->bias[a->n_bias++] = (sched_bias){ends[i], -1e9F};
    }
}
