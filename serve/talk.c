/* serve/talk.c - a call that asks a model for texts. */
#include "serve/talk.h"

#include "base/clock.h"
#include "base/mem.h"
#include <stdio.h>
#include <string.h>

talk *talk_new(call *c, const talk_view *view, const char *prefix)
{
    talk *t = st_zalloc_n(1, sizeof *t);
    if (!t) {
        call_reply_json(c, 500, NULL);
        return NULL;
    }
    t->c = c;
    t->view = view;
    t->created = st_clock_unix();
    t->n = 1;
    t->effort_at = "reasoning_effort";
    id_make(prefix, t->id);
    st_buf_init(&t->input, SIZE_MAX / 2);
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

void talk_free(talk *t)
{
    for (uint32_t i = 0; i < t->n_texts; i++) {
        gen_done(&t->texts[i].g);
        toolcalls_done(&t->texts[i].calls);
    }
    for (uint32_t i = 0; i < t->n_prompts; i++)
        tok_ids_done(&t->prompts[i]);
    if (t->own_free)
        t->own_free(t->own);
    st_free(t->texts);
    st_free(t->prompts);
    st_buf_done(&t->input);
    held_form_release(t->held);
    talk_form_done(&t->form);
    json_decref(t->owned_tools);
    st_free(t->tools_text);
    st_free(t->choice);
    problems_done(&t->wrong);
    pthread_mutex_destroy(&t->lock);
    st_free(t);
}

bool talk_refuse(talk *t)
{
    if (t->wrong.n == 0 && !t->wrong.out_of_memory)
        return false;
    call_reply_problems(t->c, &t->wrong);
    talk_free(t);
    return true;
}

void talk_find(talk *t)
{
    t->use = call_use(t->c, NULL, &t->wrong);
    if (!t->use)
        return;
    t->lm = hub_use_lm(t->use);
    t->model = hub_use_name(t->use);
    if (t->lm)
        snprintf(t->print, sizeof t->print, "fp_%.10s", t->lm->digest);
    if (t->lm && hub_use_kind(t->use) != HUB_TASK)
        talk_ask_bind(&t->ask, t->lm->tok, &t->wrong);
}

void talk_find_model(talk *t)
{
    talk_find(t);
    if (t->use && (!t->lm || hub_use_kind(t->use) == HUB_TASK))
        problems_add(&t->wrong, PROBLEM_UNSUPPORTED, "model",
                     "'%s' is a task: ask it on /v1/tasks or /v1/chat/completions",
                     t->model);
}

/* ---- what texts are held to ---- */

void talk_not_told(talk *t, const char *const *names)
{
    for (; *names; names++)
        if (body_bool(call_body(t->c), *names, false))
            problems_add(&t->wrong, PROBLEM_UNSUPPORTED, *names,
                         "has no effect on this route");
}

void talk_held_check(talk *t)
{
    if (t->form.kind == FORM_NONE && !t->calls)
        return;
    if (t->form.kind != FORM_NONE && t->ask.stops.n > 0)
        problems_add(&t->wrong, PROBLEM_VALUE, "stop",
                     "a text that is held by %s ends where it is whole", t->form.param);
    if (t->ask.ignore_eos)
        problems_add(&t->wrong, PROBLEM_VALUE, "ignore_eos",
                     "a text that is held ends where it is whole");
}

/* "/tools/2/function" and "/tool_choice" are members of the body. */
static void tools_refused(talk *t, const grammar_refusal *why, const st_err *err)
{
    grammar_refusal below = *why;
    const char *param = "tools";
    const char *pointer = why->pointer;
    if (strncmp(pointer, "/tool_choice", 12) == 0) {
        param = "tool_choice";
        pointer += 12;
    } else if (strncmp(pointer, "/tools", 6) == 0) {
        pointer += 6;
    }
    size_t head = pointer[0] == '/' ? 1 + strcspn(pointer + 1, "/") : 0;
    const char *tail = pointer + head;
    if (t->flat_tools && strncmp(tail, "/function", 9) == 0)
        tail += 9;
    snprintf(below.pointer, sizeof below.pointer, "%.*s%s", (int)head, pointer, tail);
    talk_form_refused(param, &below, err, &t->wrong);
}

void talk_hold(talk *t)
{
    st_err err = {0};
    grammar_refusal why = {0};
    form_ask ask = {.kind = t->form.kind, .text = t->form.text, .len = t->form.len};
    if (t->calls) {
        t->spec.calls = toolcall_format_of(tok_chat_template(t->lm->tok));
        ask = (form_ask){.kind = FORM_TOOLS,
                         .text = t->tools_text,
                         .len = strlen(t->tools_text),
                         .choice = t->choice,
                         .one_call = t->one_call,
                         .format = t->spec.calls};
    }
    if (ask.kind == FORM_NONE)
        return;
    t->spec.held = true;
    int rc = held_cache_get(call_forms(t->c), t->lm->tok, &ask, &t->held, &why, &err);
    if (rc < 0 && t->calls)
        tools_refused(t, &why, &err);
    else if (rc < 0)
        talk_form_refused(t->form.param, &why, &err, &t->wrong);
}

void talk_prompt(talk *t, tok_ids *ids, const char *param)
{
    uint32_t n_ctx = hub_use_n_ctx(t->use);
    tok_ids *more = st_realloc_n(t->prompts, (size_t)t->n_prompts + 1, sizeof *more);
    if (!more) {
        t->wrong.out_of_memory = true;
        tok_ids_done(ids);
        return;
    }
    t->prompts = more;
    t->prompts[t->n_prompts++] = *ids;
    if (ids->n == 0)
        problems_add(&t->wrong, PROBLEM_COUNT, param, "has no token");
    if (ids->n > n_ctx)
        problems_add(&t->wrong, PROBLEM_TOO_LONG, param,
                     "%zu tokens, and the model's context holds %u; shorten it", ids->n,
                     n_ctx);
    *ids = (tok_ids){0};
}

/* ---- the end: on a pool thread ---- */

static void work_tell(const talk *t)
{
    for (uint32_t i = 0; i < t->n_texts; i++) {
        const gen *g = &t->texts[i].g;
        const call_work work = {
            .model = t->model,
            .version = hub_use_version(t->use),
            .n_prompt = g->n_prompt,
            .n_cached = g->n_cached,
            .n_new = g->n_new,
            .finish = g->finish == GEN_STOP     ? "stop"
                      : g->finish == GEN_LENGTH ? "length"
                                                : "error",
            .queued_us = g->queued_us,
            .first_us = g->first_us,
            .total_us = g->total_us,
        };
        if (t->texts[i].asked)
            call_add_work(t->c, &work);
    }
}

/* Is a text that ended well one of its form's?  Another reading than the masks'. */
static void text_check(talk *t, talk_text *x)
{
    st_err err = {0};
    const char *text = x->g.text.data ? x->g.text.data : "";
    int rc = 0;
    if (x->g.finish == GEN_FAILED && x->g.err.code == ST_ELIMIT) {
        /* not the prompt's length, which was checked */
        problems_add(&t->wrong, PROBLEM_NOT_DONE, "", "%s", x->g.err.message);
        return;
    }
    if (x->g.finish == GEN_FAILED) {
        problems_from(&t->wrong, "", &x->g.err);
        return;
    }
    if (!t->held || x->g.finish != GEN_STOP || x->g.stopped_by_word)
        return;
    if (t->calls)
        rc = toolcalls_read(held_form_tools(t->held), t->spec.calls, text, x->g.text.len,
                            &x->calls, &err);
    else
        rc = grammar_validate(held_form_grammar(t->held), text, x->g.text.len, &err);
    if (rc == ST_ENOMEM)
        problems_from(&t->wrong, "", &err);
    else if (rc < 0)
        problems_add(&t->wrong, PROBLEM_NOT_DONE, "",
                     "the finished text is not what was asked for: %s", err.message);
}

static void talk_fail(talk *t)
{
    if (t->streams) {
        t->view->fail(t, &t->wrong);
        call_stream_end(t->c);
    } else {
        call_reply_problems(t->c, &t->wrong);
    }
}

static void talk_ended(call *c, void *arg)
{
    talk *t = arg;
    (void)c;
    pthread_mutex_lock(&t->lock); /* the use is done when the call is */
    for (uint32_t i = 0; i < t->n_texts; i++)
        t->texts[i].id = 0;
    pthread_mutex_unlock(&t->lock);
    call_mark(t->c, "made");
    for (uint32_t i = 0; i < t->n_texts && t->wrong.n == 0; i++)
        text_check(t, &t->texts[i]);
    work_tell(t);
    if (t->wrong.n > 0 || t->wrong.out_of_memory)
        talk_fail(t);
    else
        t->view->finish(t);
    talk_free(t);
}

/* n texts have ended, or were never begun. */
static void texts_leave(talk *t, uint32_t n)
{
    if (n > 0 && atomic_fetch_sub(&t->left, n) == n)
        call_later(t->c, talk_ended, t);
}

/* ---- under way: on the engine thread ---- */

static bool token_came(void *arg, const sched_token *token)
{
    talk_text *x = arg;
    talk *t = x->of;
    bool goes_on = gen_add(&x->g, &t->spec, token);
    if (t->ask.stream && x->g.finish != GEN_FAILED && !t->view->more(t, x))
        return false;
    return goes_on;
}

static void text_ended(void *arg, const sched_result *result)
{
    talk_text *x = arg;
    talk *t = x->of;
    gen_end(&x->g, &t->spec, result);
    if (t->held)
        held_form_measure(t->held);
    x->ended = true;
    texts_leave(t, 1);
}

/* ---- the beginning ---- */

static void client_gone(void *arg)
{
    talk *t = arg;
    pthread_mutex_lock(&t->lock);
    t->gone = true;
    for (uint32_t i = 0; i < t->n_texts; i++)
        if (t->texts[i].id)
            hub_cancel(t->use, t->texts[i].id);
    pthread_mutex_unlock(&t->lock);
}

/* The stop ids: the tokenizer's ends and those asked for; held text has its own ends. */
static int text_submit(talk *t, talk_text *x, const int32_t *stops, uint32_t n_stop)
{
    st_err err = {0};
    sched_id id = 0;
    const tok_ids *prompt = &t->prompts[x->prompt];
    sched_request ask = {
        .class = call_class(t->c),
        .key = t->key,
        .tokens = prompt->ids,
        .n = (uint32_t)prompt->n,
        .deadline_us = call_deadline_us(t->c),
        .kind = SCHED_GENERATE,
        .generate = {.how = t->ask.how,
                     .bias = t->ask.bias,
                     .n_bias = t->ask.n_bias,
                     .stop_ids = stops,
                     .n_stop = n_stop,
                     .max_new = t->ask.max_new ? t->ask.max_new : TALK_MAX_NEW,
                     .logp = t->ask.logprobs,
                     .n_top = t->ask.n_top,
                     .on_token = token_came},
        .done = text_ended,
        .arg = x,
    };
    if (t->held)
        ask.generate.held = (sched_held){held_form_masker(t->held), t->lm->tok,
                                         t->input.data, t->input.len};
    st_rng seeds = {t->ask.how.seed + x->at % t->n};
    if (x->at % t->n > 0)
        ask.generate.how.seed = st_rng_u64(&seeds);
    x->asked = true;
    int rc = hub_submit(t->use, &ask, &id, &err);
    pthread_mutex_lock(&t->lock);
    x->asked = rc == 0;
    x->id = id;
    if (rc == 0 && t->gone)
        hub_cancel(t->use, id);
    pthread_mutex_unlock(&t->lock);
    if (rc < 0)
        problems_from(&t->wrong, "", &err);
    return rc;
}

static int texts_make(talk *t)
{
    t->n_texts = 0;
    t->texts = st_zalloc_n((size_t)t->n_prompts * t->n, sizeof *t->texts);
    if (!t->texts)
        return ST_ENOMEM;
    t->n_texts = t->n_prompts * t->n;
    for (uint32_t i = 0; i < t->n_texts; i++) {
        talk_text *x = &t->texts[i];
        gen_init(&x->g);
        x->of = t;
        x->at = i;
        x->prompt = i / t->n;
    }
    return 0;
}

static uint32_t stops_list(const talk *t, int32_t *ret)
{
    uint32_t n = 0, n_ends = 0;
    const int32_t *ends = tok_ends(t->lm->tok, &n_ends);
    for (uint32_t i = 0; !t->held && i < n_ends && n < TALK_MAX_STOP_IDS; i++)
        ret[n++] = ends[i];
    for (uint32_t i = 0; i < t->ask.n_stop_ids; i++)
        ret[n++] = t->ask.stop_ids[i];
    return n;
}

void talk_start(talk *t)
{
    int32_t stops[2 * TALK_MAX_STOP_IDS];
    t->spec.tok = t->lm->tok;
    t->spec.stops = t->ask.stops;
    t->spec.keeps_stop = t->ask.keeps_stop;
    t->spec.logp = t->ask.logprobs;
    t->spec.most_us = t->ask.most_us;
    t->key = t->ask.cache_key ? call_key_part(t->c, t->ask.cache_key) : call_key(t->c);
    if (!t->ask.reuses)
        t->key = call_key_part(t->c, t->id);
    if (texts_make(t) < 0)
        t->wrong.out_of_memory = true;
    if (talk_refuse(t))
        return;
    uint32_t n = t->n_texts, i, n_stop = stops_list(t, stops);
    call_mark(t->c, "submitted");
    atomic_store(&t->left, n + 1);
    call_on_gone(t->c, client_gone, t);
    for (i = 0; i < n; i++)
        if (text_submit(t, &t->texts[i], stops, n_stop) < 0)
            break;
    if (i < n)
        client_gone(t);
    texts_leave(t, 1 + n - i);
}
