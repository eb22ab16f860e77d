/* serve/chat_task.c - a task's name as the model of a chat. */
#include "serve/chat_task.h"

#include "base/mem.h"
#include "serve/chat_answer.h"
#include "serve/stint_extra.h"
#include "serve/talk_json.h"
#include <string.h>

typedef struct asked { /* an answer on its way */
    talk *t;
    char *content; /* owned */
    json_t *stint; /* who answered */
    char version[80];
    uint32_t n_prompt, n_cached, n_new;
    atomic_uint left; /* of asking and of its answer */
    pthread_mutex_t lock;
    uint64_t id; /* 0: nothing is to be cancelled (any more) */
    bool gone;
} asked;

void chat_task_check(talk *t, const json_t *body)
{
    static const char *const others[] = {"tools",
                                         "logprobs",
                                         "stop",
                                         "stop_token_ids",
                                         "logit_bias",
                                         "prediction",
                                         "chat_template_kwargs",
                                         "reasoning_effort"};
    for (size_t i = 0; i < ST_COUNT(others); i++) {
        const json_t *value = body_get(body, others[i]);
        if (value && !json_is_false(value))
            problems_add(&t->wrong, PROBLEM_UNSUPPORTED, others[i],
                         "'%s' is a task: it answers as its contract says", t->model);
    }
    if (t->form.kind != FORM_NONE)
        problems_add(&t->wrong, PROBLEM_UNSUPPORTED, t->form.param,
                     "'%s' is a task: it answers as its contract says", t->model);
    if (t->n > 1)
        problems_add(&t->wrong, PROBLEM_UNSUPPORTED, "n", "'%s' is a task: one answer",
                     t->model);
    if (t->input.len == 0)
        problems_add(&t->wrong, PROBLEM_COUNT, "messages",
                     "a task decides what the user says, which is nothing");
}

static void asked_free(asked *a)
{
    talk *t = a->t;
    pthread_mutex_destroy(&a->lock);
    json_decref(a->stint);
    st_free(a->content);
    st_free(a);
    talk_free(t);
}

static json_t *usage_json(const asked *a)
{
    return json_pack("{s:I, s:I, s:I, s:{s:I}}", "prompt_tokens", (json_int_t)a->n_prompt,
                     "completion_tokens", (json_int_t)a->n_new, "total_tokens",
                     (json_int_t)a->n_prompt + a->n_new, "prompt_tokens_details",
                     "cached_tokens", (json_int_t)a->n_cached);
}

static json_t *chunk_json(const asked *a, json_t *choices, bool usage)
{
    const talk *t = a->t;
    return json_pack("{s:s, s:s, s:I, s:s, s:o, s:o, s:o}", "id", t->id, "object",
                     "chat.completion.chunk", "created", (json_int_t)t->created, "model",
                     t->model, "choices", choices, "usage",
                     usage ? usage_json(a) : json_null(), "stint", json_incref(a->stint));
}

static void stream(asked *a)
{
    talk *t = a->t;
    const chat_own *own = t->own;
    call_stream_begin(t->c);
    bool there =
        talk_send(t, NULL,
                  chunk_json(a,
                             json_pack("[{s:i, s:{s:s, s:s}, s:n, s:n}]", "index", 0,
                                       "delta", "role", "assistant", "content",
                                       a->content, "logprobs", "finish_reason"),
                             false));
    there = there &&
            talk_send(t, NULL,
                      chunk_json(a,
                                 json_pack("[{s:i, s:{}, s:n, s:s}]", "index", 0, "delta",
                                           "logprobs", "finish_reason", "stop"),
                                 false));
    if (there && own->tells_usage)
        there = talk_send(t, NULL, chunk_json(a, json_array(), true));
    if (there)
        call_stream_text(t->c, "data: [DONE]\n\n", 14);
    call_stream_end(t->c);
}

static void reply(asked *a)
{
    const talk *t = a->t;
    call_reply_json(
        t->c, 200,
        json_pack("{s:s, s:s, s:I, s:s, s:[{s:i, s:{s:s, s:s, s:n}, s:n, s:s}], s:o, "
                  "s:o}",
                  "id", t->id, "object", "chat.completion", "created",
                  (json_int_t)t->created, "model", t->model, "choices", "index", 0,
                  "message", "role", "assistant", "content", a->content, "refusal",
                  "logprobs", "finish_reason", "stop", "usage", usage_json(a), "stint",
                  json_incref(a->stint)));
}

static void id_set(asked *a, uint64_t id)
{
    pthread_mutex_lock(&a->lock);
    a->id = id;
    if (id && a->gone)
        hub_ask_cancel(a->t->use, id);
    pthread_mutex_unlock(&a->lock);
}

static void client_gone(void *arg)
{
    asked *a = arg;
    pthread_mutex_lock(&a->lock);
    a->gone = true;
    if (a->id)
        hub_ask_cancel(a->t->use, a->id);
    pthread_mutex_unlock(&a->lock);
}

static void answer(call *c, void *arg)
{
    asked *a = arg;
    id_set(a, 0); /* the use is done when the call is */
    const call_work work = {.model = a->t->model,
                            .version = a->version,
                            .n_prompt = a->n_prompt,
                            .n_cached = a->n_cached,
                            .n_new = a->n_new,
                            .finish = "stop"};
    if (a->t->wrong.n == 0 && !a->content)
        a->t->wrong.out_of_memory = true;
    if (a->t->wrong.n > 0 || a->t->wrong.out_of_memory) {
        call_reply_problems(c, &a->t->wrong);
        asked_free(a);
        return;
    }
    call_add_work(c, &work);
    if (a->t->ask.stream)
        stream(a);
    else
        reply(a);
    asked_free(a);
}

static void decided_take(asked *a, const hub_answer *got)
{
    const contract *k = hub_use_contract(a->t->use);
    const task_answer *d = got->decided;
    if (d->code < 0) {
        const st_err err = {.code = d->code};
        problems_from(&a->t->wrong, "messages", &err);
        return;
    }
    a->content = st_strdup(k->question.options[d->answer].value);
    call_add_decision(a->t->c, a->t->model, got->version, a->content ? a->content : "",
                      stint_route(got), d->confidence);
}

static void written_take(asked *a, const hub_answer *got)
{
    const extract_answer *w = got->written;
    if (w->code < 0) {
        problems_add(&a->t->wrong, PROBLEM_NOT_DONE, "", "%s", w->why);
        return;
    }
    a->content = w->text ? st_strdup(w->text) : st_dup(w->output, w->len);
    a->n_prompt = w->n_prompt;
    a->n_cached = w->n_cached;
    a->n_new = w->n_tokens;
}

static void leave(asked *a)
{
    if (atomic_fetch_sub(&a->left, 1) == 1)
        call_later(a->t->c, answer, a);
}

static void task_done(void *arg, const hub_answer *got, const st_err *why)
{
    asked *a = arg;
    if (!got) {
        problems_from(&a->t->wrong, "", why);
    } else {
        snprintf(a->version, sizeof a->version, "%s", got->version);
        a->n_prompt = got->n_tokens;
        a->n_cached = got->n_cached;
        if (got->decided)
            decided_take(a, got);
        else
            written_take(a, got);
        if (a->content && !(a->stint = stint_extra(a->t->use, got)))
            a->t->wrong.out_of_memory = true;
    }
    leave(a);
}

void chat_task(talk *t)
{
    st_err err = {0};
    asked *a = st_zalloc_n(1, sizeof *a);
    t->wrong.out_of_memory = !a;
    if (talk_refuse(t))
        return;
    a->t = t;
    pthread_mutex_init(&a->lock, NULL);
    const hub_ask ask = {.text = t->input.data,
                         .len = t->input.len,
                         .class = call_class(t->c),
                         .key = t->ask.cache_key ? call_key_part(t->c, t->ask.cache_key)
                                                 : call_key(t->c),
                         .deadline_us = call_deadline_us(t->c),
                         .done = task_done,
                         .arg = a};
    uint64_t id;
    atomic_store(&a->left, 2);
    call_on_gone(t->c, client_gone, a);
    if (hub_ask_task(t->use, &ask, &id, &err) == 0) {
        id_set(a, id);
    } else {
        problems_from(&t->wrong, "", &err);
        leave(a);
    }
    leave(a);
}
