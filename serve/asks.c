/* serve/asks.c - the inputs of a call put to a task, and what came back for each. */
#include "serve/asks.h"

#include "base/mem.h"
#include "serve/param.h"
#include <string.h>

asks *asks_new(call *c, hub_use *use, uint32_t n, problems *out)
{
    if (!hub_use_contract(use)) {
        problems_add(out, PROBLEM_UNSUPPORTED, "model", "'%s' is no task",
                     hub_use_name(use));
        return NULL;
    }
    asks *a = st_zalloc_n(1, sizeof *a);
    asked *list = st_zalloc_n(n, sizeof *list);
    if (!a || !list || pthread_mutex_init(&a->lock, NULL)) {
        st_free(list);
        st_free(a);
        problems_add(out, PROBLEM_SERVER, "", "no memory for %u inputs", n);
        return NULL;
    }
    a->c = c;
    a->use = use;
    a->n = n;
    a->list = list;
    return a;
}

void asks_free(asks *a)
{
    if (!a)
        return;
    for (uint32_t i = 0; i < a->n; i++) {
        st_free(a->list[i].probs);
        st_free(a->list[i].written);
    }
    pthread_mutex_destroy(&a->lock);
    st_free(a->list);
    st_free(a);
}

static const char *route_of(const asked *one)
{
    return one->probs ? task_route_name(one->decided.route) : "extract";
}

/* What the counters are told. */
static void tell(const asks *a)
{
    const contract *k = hub_use_contract(a->use);
    for (uint32_t i = 0; i < a->n; i++) {
        const asked *one = &a->list[i];
        if (one->err.code)
            continue;
        const char *label =
            one->probs ? k->question.options[one->decided.answer].value : "";
        call_add_decision(a->c, k->name, hub_use_version(a->use), label, route_of(one),
                          one->probs ? one->decided.confidence : 1);
    }
    call_work work = {.model = hub_use_name(a->use),
                      .version = hub_use_version(a->use),
                      .n_prompt = a->n_tokens};
    call_add_work(a->c, &work);
}

static void finish(call *c, void *arg)
{
    asks *a = arg;
    for (uint32_t i = 0; i < a->n; i++)
        a->n_tokens += a->list[i].n_tokens;
    tell(a);
    a->then(c, a);
}

static void let_go(asks *a)
{
    pthread_mutex_lock(&a->lock);
    bool last = --a->open == 0;
    pthread_mutex_unlock(&a->lock);
    if (last)
        call_later(a->c, finish, a);
}

/* Copy what lasts only as long as the callback. */
static void keep(asked *one, const hub_answer *answer, uint32_t n_options)
{
    int code = answer->decided ? answer->decided->code : answer->written->code;
    one->n_tokens = answer->n_tokens;
    if (code) {
        st_err_set(&one->err, code, "%s",
                   answer->decided ? answer->decided->why : answer->written->why);
        return;
    }
    if (answer->decided) {
        one->decided = *answer->decided;
        one->probs = st_dup(answer->probs, n_options * sizeof *answer->probs);
    } else {
        one->written = st_dup(answer->written->output, answer->written->len);
    }
    if (!one->probs && !one->written)
        st_err_set(&one->err, ST_ENOMEM, "no memory for an answer");
}

static void ask_done(void *arg, const hub_answer *answer, const st_err *why)
{
    asked *one = arg;
    asks *a = one->owner;
    if (why)
        one->err = *why;
    else
        keep(one, answer, hub_use_contract(a->use)->question.n_options);
    pthread_mutex_lock(&a->lock);
    one->id = 0;
    pthread_mutex_unlock(&a->lock);
    let_go(a);
}

/* Lock held. */
static void cancel_all(asks *a)
{
    a->cancelled = true;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->list[i].id)
            hub_ask_cancel(a->use, a->list[i].id);
}

static void gone(void *arg)
{
    asks *a = arg;
    pthread_mutex_lock(&a->lock);
    cancel_all(a);
    pthread_mutex_unlock(&a->lock);
}

static void put(asks *a, asked *one)
{
    hub_ask ask = {.text = one->text,
                   .len = one->len,
                   .class = call_class(a->c),
                   .key = call_key(a->c),
                   .deadline_us = call_deadline_us(a->c),
                   .done = ask_done,
                   .arg = one};
    one->owner = a;
    if (a->cancelled) {
        st_err_set(&one->err, ST_ECANCELLED, "the others were cancelled");
        return;
    }
    a->open++;
    if (hub_ask_task(a->use, &ask, &one->id, &one->err) < 0) {
        a->open--;
        cancel_all(a); /* half an answer is none */
    }
}

void asks_run(asks *a, void (*then)(call *c, asks *a), void *arg)
{
    a->then = then;
    a->arg = arg;
    a->open = 1;
    call_on_gone(a->c, gone, a);
    pthread_mutex_lock(&a->lock);
    for (uint32_t i = 0; i < a->n; i++)
        put(a, &a->list[i]);
    pthread_mutex_unlock(&a->lock);
    let_go(a);
}

void asks_problems(const asks *a, const char *param, bool one, problems *out)
{
    char at[PROBLEM_PARAM_MAX];
    bool refused = false; /* for load: those it took along say nothing new */
    for (uint32_t i = 0; i < a->n; i++)
        refused |= a->list[i].err.code == ST_EBUSY;
    for (uint32_t i = 0; i < a->n; i++) {
        const st_err *err = &a->list[i].err;
        if (!err->code || (refused && err->code != ST_EBUSY))
            continue;
        param_index(at, param, i);
        problems_from(out, one ? param : at, err);
    }
}
