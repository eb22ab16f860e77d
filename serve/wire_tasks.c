/* serve/wire_tasks.c - the tasks that answer here: what they are, and inputs for them.
 *
 *   POST /v1/tasks/{task}   {"input": TEXT} -> its answer
 *                           {"inputs": [TEXT, ...]} -> one for each, or its error
 *
 * All inputs of a call are asked at once; the last one that comes back writes the answer.
 * One that cannot be answered fails alone.  What fails for the server's sake fails the
 * call, so that it can be sent again whole. */
#include "base/clock.h"
#include "base/mem.h"
#include "serve/param.h"
#include "serve/route.h"
#include "serve/task_about.h"
#include "serve/task_item.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_INPUTS = 256, /* an idle server takes them all from one client */
    MAX_TEXT = 10 << 20,
};

typedef struct asked asked;

typedef struct asked_input {
    asked *of;
    uint64_t id; /* under lock; 0: not asked yet */
    task_item item;
} asked_input;

struct asked { /* the inputs of one call */
    call *c;
    hub_use *use;
    uint64_t start_us;
    bool many;
    uint32_t n;
    st_err refused;   /* why not all of them could be asked */
    atomic_uint left; /* inputs under way, and the asking itself */
    pthread_mutex_t lock;
    bool gone; /* the client; or nothing is to be cancelled any more */
    asked_input inputs[];
};

static void asked_free(asked *a)
{
    for (uint32_t i = 0; i < a->n; i++)
        task_item_done(&a->inputs[i].item);
    pthread_mutex_destroy(&a->lock);
    st_free(a);
}

/* ---- answers ---- */

static void tell_metrics(const asked *a)
{
    const char *name = hub_use_name(a->use), *version = hub_use_version(a->use);
    call_work work = {.model = name,
                      .version = version,
                      .finish = "stop",
                      .total_us = st_clock_us() - a->start_us};
    for (uint32_t i = 0; i < a->n; i++) {
        const task_item *it = &a->inputs[i].item;
        work.n_prompt += it->n_prompt;
        work.n_cached += it->n_cached;
        work.n_new += it->n_new;
        if (it->queued_us > work.queued_us)
            work.queued_us = it->queued_us;
        if (it->label)
            call_add_decision(a->c, name, version, it->label, it->route, it->confidence);
    }
    call_add_work(a->c, &work);
}

static bool one_write(const asked *a, const char *by, st_buf *out)
{
    st_buf more;
    st_buf_init(&more, SIZE_MAX / 2);
    st_buf_fmt(&more, "\"model\":%s,", by);
    bool good = more.code == 0 && task_item_write(&a->inputs[0].item, more.data, out);
    st_buf_done(&more);
    return good;
}

static bool many_write(const asked *a, const char *by, st_buf *out)
{
    uint64_t n_prompt = 0, n_cached = 0, n_new = 0;
    bool good = true;
    st_buf_fmt(out, "{\"object\":\"list\",\"model\":%s,\"data\":[", by);
    for (uint32_t i = 0; i < a->n && good; i++) {
        const task_item *it = &a->inputs[i].item;
        char index[32];
        snprintf(index, sizeof index, "\"index\":%u,", i);
        st_buf_str(out, i ? "," : "");
        good = task_item_write(it, index, out);
        n_prompt += it->n_prompt;
        n_cached += it->n_cached;
        n_new += it->n_new;
    }
    json_t *usage = task_usage(n_prompt, n_cached, n_new);
    char *text = usage ? json_dumps(usage, JSON_COMPACT) : NULL;
    if (text)
        st_buf_fmt(out, "],\"usage\":%s}", text);
    good = good && text;
    st_free(text);
    json_decref(usage);
    return good;
}

static void reply_written(asked *a)
{
    st_buf out;
    json_t *name = json_string(hub_use_name(a->use));
    char *by = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    st_buf_init(&out, SIZE_MAX / 2);
    bool good = by && (a->many ? many_write(a, by, &out) : one_write(a, by, &out));
    tell_metrics(a);
    if (good && out.code == 0)
        call_reply_text(a->c, 200, "application/json", out.data, out.len);
    else
        call_reply_json(a->c, 200, NULL);
    st_buf_done(&out);
    st_free(by);
    json_decref(name);
}

/* Why the whole call has no answer, if so. */
static bool find_problem(asked *a, problems *p)
{
    if (a->refused.code)
        problems_from(p, "", &a->refused);
    for (uint32_t i = 0; i < a->n && p->n == 0 && !p->out_of_memory; i++) {
        const task_item *it = &a->inputs[i].item;
        if (it->rest || (a->many && !task_item_is_ours(it)))
            continue;
        p->out_of_memory = !it->wrong.message;
        if (it->wrong.message)
            problems_add(p, it->wrong.kind, a->many ? "" : "input", "%s",
                         it->wrong.message);
    }
    return p->n > 0 || p->out_of_memory;
}

/* The place of an input that failed alone. */
static void name_problems(asked *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        task_item *it = &a->inputs[i].item;
        char param[PROBLEM_PARAM_MAX];
        param_index(param, "inputs", i);
        if (!it->rest)
            it->wrong.param = st_strdup(param);
        if (!it->rest && !it->wrong.param)
            a->refused.code = ST_ENOMEM;
    }
}

static void answer(call *c, void *arg)
{
    asked *a = arg;
    problems p = {0};
    pthread_mutex_lock(&a->lock);
    a->gone =
        true; /* the use is let go with the call: nothing is cancelled from here on */
    pthread_mutex_unlock(&a->lock);
    if (a->many)
        name_problems(a);
    if (find_problem(a, &p))
        call_reply_problems(c, &p);
    else
        reply_written(a);
    asked_free(a);
}

static void leave(asked *a)
{
    if (atomic_fetch_sub(&a->left, 1) == 1)
        call_later(a->c, answer, a);
}

static void input_done(void *arg, const hub_answer *got, const st_err *why)
{
    asked_input *in = arg;
    task_item_take(&in->item, in->of->use, got, why);
    leave(in->of);
}

/* ---- asking ---- */

static void cancel_all(asked *a)
{
    for (uint32_t i = 0; i < a->n; i++)
        if (a->inputs[i].id)
            hub_ask_cancel(a->use, a->inputs[i].id);
}

static void client_gone(void *arg)
{
    asked *a = arg;
    pthread_mutex_lock(&a->lock);
    if (!a->gone)
        cancel_all(a);
    a->gone = true;
    pthread_mutex_unlock(&a->lock);
}

static int ask_one(asked *a, asked_input *in, const json_t *text, st_err *err)
{
    const hub_ask ask = {.text = json_string_value(text),
                         .len = json_string_length(text),
                         .class = call_class(a->c),
                         .key = call_key(a->c),
                         .deadline_us = call_deadline_us(a->c),
                         .done = input_done,
                         .arg = in};
    uint64_t id;
    atomic_fetch_add(&a->left, 1);
    int rc = hub_ask_task(a->use, &ask, &id, err);
    if (rc) {
        atomic_fetch_sub(&a->left, 1); /* the asking itself is left */
        return rc;
    }
    pthread_mutex_lock(&a->lock);
    in->id = id;
    if (a->gone)
        hub_ask_cancel(a->use, id);
    pthread_mutex_unlock(&a->lock);
    return 0;
}

static void ask_all(asked *a, const json_t *texts)
{
    int rc = 0;
    call_on_gone(a->c, client_gone, a);
    for (uint32_t i = 0; i < a->n && rc == 0; i++)
        rc = ask_one(a, &a->inputs[i], a->many ? json_array_get(texts, i) : texts,
                     &a->refused);
    if (rc) {
        pthread_mutex_lock(&a->lock);
        cancel_all(a);
        pthread_mutex_unlock(&a->lock);
    }
    leave(a);
}

static asked *asked_new(call *c, hub_use *u, const json_t *texts)
{
    bool many = json_is_array(texts);
    uint32_t n = many ? (uint32_t)json_array_size(texts) : 1;
    asked *a = st_zalloc_n(1, sizeof *a + n * sizeof *a->inputs);
    if (!a)
        return NULL;
    a->c = c;
    a->use = u;
    a->start_us = st_clock_us();
    a->many = many;
    a->n = n;
    pthread_mutex_init(&a->lock, NULL);
    atomic_store(&a->left, 1);
    for (uint32_t i = 0; i < n; i++)
        a->inputs[i].of = a;
    return a;
}

/* What the table cannot say: one of the two, texts of a bounded size. */
static const json_t *read_texts(const json_t *body, problems *p)
{
    const json_t *one = body_get(body, "input"), *many = body_get(body, "inputs");
    char param[PROBLEM_PARAM_MAX];
    if (!one && !many)
        problems_add(p, PROBLEM_MISSING, "input", "one text, or several in `inputs`");
    if (one && many)
        problems_add(p, PROBLEM_VALUE, "inputs", "either `input` or `inputs`");
    for (size_t i = 0; i < json_array_size(many); i++) {
        if (json_string_length(json_array_get(many, i)) <= MAX_TEXT)
            continue;
        param_index(param, "inputs", i);
        problems_add(p, PROBLEM_COUNT, param, "at most %d bytes", MAX_TEXT);
    }
    return many ? many : one;
}

static hub_use *use_task(call *c, problems *p)
{
    const char *name = call_path_value(c, 0);
    hub_use *u = call_use(c, name, p);
    if (u && hub_use_kind(u) != HUB_TASK) {
        problems_add(p, PROBLEM_NO_MODEL, "task", "'%s' is no task", name);
        return NULL;
    }
    return u;
}

static void task_ask_wire(call *c)
{
    problems p = {0};
    const json_t *texts = read_texts(call_body(c), &p);
    hub_use *u = p.n == 0 ? use_task(c, &p) : NULL;
    asked *a = u ? asked_new(c, u, texts) : NULL;
    if (u && !a)
        p.out_of_memory = true;
    if (a)
        ask_all(a, texts);
    else
        call_reply_problems(c, &p);
}

/* ---- what they are ---- */

static bool append_task(call *c, const hub_entry *e, json_t *list)
{
    hub_use *u;
    if (e->kind != HUB_TASK || !call_may_use(c, e->name))
        return true;
    if (hub_find(call_hub(c), e->name, &u, NULL) < 0)
        return true; /* it was unloaded just now */
    json_t *one = hub_use_kind(u) == HUB_TASK ? task_about(u, false) : json_null();
    hub_done(u);
    if (json_is_null(one))
        return true;
    return one && json_array_append_new(list, one) == 0;
}

static void tasks_list(call *c)
{
    hub_entry *list;
    uint32_t n;
    st_err err = {0};
    if (hub_list(call_hub(c), &list, &n, &err) < 0) {
        call_reply_error(c, "", &err);
        return;
    }
    json_t *data = json_array();
    bool good = data != NULL;
    for (uint32_t i = 0; i < n && good; i++)
        good = append_task(c, &list[i], data);
    st_free(list);
    json_t *all = good ? json_pack("{s:s, s:O}", "object", "list", "data", data) : NULL;
    json_decref(data);
    call_reply_json(c, 200, all);
}

static void task_one(call *c)
{
    problems p = {0};
    hub_use *u = use_task(c, &p);
    if (u)
        call_reply_json(c, 200, task_about(u, true));
    else
        call_reply_problems(c, &p);
}

static const member task_body[] = {
    {"input", MEMBER_STRING | MEMBER_NULL, .max = MAX_TEXT, .about = "A text."},
    {"inputs", MEMBER_ARRAY | MEMBER_NULL, .items = MEMBER_STRING, .min = 1,
     .max = MAX_INPUTS, .about = "Several texts; each has its answer or its error."},
    {"user", MEMBER_STRING | MEMBER_NULL, .use = MEMBER_IDLE},
    {"metadata", MEMBER_OBJECT | MEMBER_NULL, .use = MEMBER_IDLE, .open = true},
    {0},
};

static const member tasks_members[] = {
    {"object", MEMBER_STRING, .need = true, .words = "list"},
    {"data", MEMBER_ARRAY, .need = true, .of = task_about_members},
    {0},
};

const route wire_tasks[] = {
    {"GET", "/v1/tasks", "listTasks", "The tasks that answer here.", SCOPE_CLIENT,
     .answer = tasks_members, .handle = tasks_list},
    {"GET", "/v1/tasks/{task}", "retrieveTask", "One of them, with its contract.",
     SCOPE_CLIENT, .answer = task_about_members, .handle = task_one},
    {"POST", "/v1/tasks/{task}", "askTask", "Its answer to a text, or to several.",
     SCOPE_CLIENT, .body = task_body, .answer = task_item_members,
     .handle = task_ask_wire},
    {0},
};
