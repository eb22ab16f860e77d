/* serve/vectors.c - the vectors of a call's texts. */
#include "serve/vectors.h"

#include "base/mem.h"
#include <pthread.h>
#include <string.h>

enum { UNDER_WAY = 16 }; /* texts of a call in the model's queue */

typedef struct part { /* one text */
    struct vectors *owner;
    tok_ids ids;
    sched_id id; /* 0: not in the queue */
} part;

struct vectors {
    call *c;
    hub_use *use;
    uint32_t n;
    uint32_t n_added;
    uint32_t n_embd;
    uint32_t n_tokens;
    part *parts;
    float *floats; /* [n, n_embd] */
    void (*then)(call *c, vectors *v, const st_err *why);
    void *arg;

    pthread_mutex_t lock; /* all that follows, and part.id */
    uint32_t next;        /* to be put into the queue */
    uint32_t open;        /* in the queue, and one for who fills it at first */
    st_err err;           /* the first */
};

static bool check_model(const hub_use *use, bool any, problems *out)
{
    const lm *l = hub_use_lm(use);
    if (!l) {
        problems_add(out, PROBLEM_UNSUPPORTED, "model", "'%s' has no language model",
                     hub_use_name(use));
        return false;
    }
    if (any || model_about(l->model)->pooling != MODEL_POOL_NONE)
        return true;
    problems_add(
        out, PROBLEM_UNSUPPORTED, "model",
        "'%s' writes text; this needs a model that was made for embeddings, such "
        "as all-minilm-l6-v2 (models that read two texts at once are not "
        "supported)",
        hub_use_name(use));
    return false;
}

vectors *vectors_new(call *c, hub_use *use, uint32_t n, bool any, problems *out)
{
    if (!check_model(use, any, out))
        return NULL;
    vectors *v = st_zalloc_n(1, sizeof *v);
    size_t floats = 0;
    if (v) {
        v->n_embd = model_about(hub_use_lm(use)->model)->n_embd;
        v->parts = st_zalloc_n(n, sizeof *v->parts);
        if (st_mul_ok(n, v->n_embd, &floats))
            v->floats = st_alloc_n(floats, sizeof *v->floats);
    }
    if (!v || !v->parts || !v->floats || pthread_mutex_init(&v->lock, NULL)) {
        if (v) {
            st_free(v->parts);
            st_free(v->floats);
        }
        st_free(v);
        problems_add(out, PROBLEM_SERVER, "", "no memory for %u vectors", n);
        return NULL;
    }
    v->c = c;
    v->use = use;
    v->n = n;
    return v;
}

void vectors_free(vectors *v)
{
    if (!v)
        return;
    for (uint32_t i = 0; i < v->n; i++)
        tok_ids_done(&v->parts[i].ids);
    pthread_mutex_destroy(&v->lock);
    st_free(v->parts);
    st_free(v->floats);
    st_free(v);
}

/* The text that was added last: is it one? */
static void check_part(vectors *v, const char *param, problems *out)
{
    const part *p = &v->parts[v->n_added];
    uint32_t most = hub_use_n_ctx(v->use);
    if (p->ids.n == 0)
        problems_add(out, PROBLEM_COUNT, param, "the text is empty");
    else if (p->ids.n > most)
        problems_add(out, PROBLEM_TOO_LONG, param,
                     "the text has %zu tokens, the model reads %u", p->ids.n, most);
    v->n_tokens += (uint32_t)p->ids.n;
    v->n_added++;
}

void vectors_add_text(vectors *v, const char *text, size_t len, const char *param,
                      problems *out)
{
    st_err err = {0};
    if (tok_encode(hub_use_lm(v->use)->tok, text, len, TOK_LITERAL | TOK_ADD,
                   &v->parts[v->n_added].ids, &err) < 0)
        problems_from(out, param, &err);
    else
        check_part(v, param, out);
}

void vectors_add_ids(vectors *v, const json_t *ids, const char *param, problems *out)
{
    tok_ids *to = &v->parts[v->n_added].ids;
    uint32_t n_vocab = tok_n_vocab(hub_use_lm(v->use)->tok);
    size_t n = json_array_size(ids);
    to->ids = st_alloc_n(n, sizeof *to->ids);
    if (!to->ids) {
        problems_add(out, PROBLEM_SERVER, param, "no memory for tokens");
        return;
    }
    to->cap = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(ids, i);
        json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value >= (json_int_t)n_vocab) {
            problems_add(out, PROBLEM_VALUE, param,
                         "its member %zu is no token id: an integer below %u", i,
                         n_vocab);
            return;
        }
        to->ids[to->n++] = (int32_t)value;
    }
    check_part(v, param, out);
}

static void finish(call *c, void *arg)
{
    vectors *v = arg;
    pthread_mutex_lock(&v->lock);
    st_err why = v->err; /* the client may hang up yet */
    pthread_mutex_unlock(&v->lock);
    call_work work = {.model = hub_use_name(v->use),
                      .version = hub_use_version(v->use),
                      .n_prompt = v->n_tokens};
    if (!why.code)
        call_add_work(c, &work);
    v->then(c, v, why.code ? &why : NULL);
}

static void part_done(void *arg, const sched_result *result);

/* Put the next text into the queue.  False: there is none, or it was refused.  Lock held.
 */
static bool put_next(vectors *v, bool follows)
{
    if (v->err.code || v->next == v->n)
        return false;
    part *p = &v->parts[v->next];
    sched_request request = {
        .class = call_class(v->c),
        .key = call_key(v->c),
        .tokens = p->ids.ids,
        .n = (uint32_t)p->ids.n,
        .deadline_us = call_deadline_us(v->c),
        .follows = follows,
        .kind = SCHED_EMBED,
        .ret_vector = v->floats + (size_t)v->next * v->n_embd,
        .done = part_done,
        .arg = p,
    };
    st_err err = {0};
    int rc = hub_submit(v->use, &request, &p->id, &err);
    if (rc == 0) {
        v->next++;
        v->open++;
    } else if (rc != ST_EBUSY || v->open <= 1) {
        v->err = err; /* else those under way bring it with them */
    }
    return rc == 0;
}

/* One less is under way; the last one ends the work. */
static void let_go(vectors *v)
{
    pthread_mutex_lock(&v->lock);
    bool last = --v->open == 0;
    pthread_mutex_unlock(&v->lock);
    if (last)
        call_later(v->c, finish, v);
}

static void part_done(void *arg, const sched_result *result)
{
    part *p = arg;
    vectors *v = p->owner;
    pthread_mutex_lock(&v->lock);
    p->id = 0;
    if (result->end == SCHED_END_ERROR && !v->err.code)
        v->err = *result->err;
    put_next(v, true);
    pthread_mutex_unlock(&v->lock);
    let_go(v);
}

static void gone(void *arg)
{
    vectors *v = arg;
    pthread_mutex_lock(&v->lock);
    st_err_set(&v->err, ST_ECANCELLED, "the client hung up");
    for (uint32_t i = 0; i < v->next; i++)
        if (v->parts[i].id)
            hub_cancel(v->use, v->parts[i].id);
    pthread_mutex_unlock(&v->lock);
}

void vectors_run(vectors *v, void (*then)(call *c, vectors *v, const st_err *why),
                 void *arg)
{
    v->then = then;
    v->arg = arg;
    v->open = 1;
    for (uint32_t i = 0; i < v->n; i++)
        v->parts[i].owner = v;
    call_on_gone(v->c, gone, v);
    pthread_mutex_lock(&v->lock);
    for (uint32_t i = 0; i < UNDER_WAY && put_next(v, false); i++)
        ;
    pthread_mutex_unlock(&v->lock);
    let_go(v);
}

void *vectors_arg(const vectors *v)
{
    return v->arg;
}

uint32_t vectors_n_embd(const vectors *v)
{
    return v->n_embd;
}

const float *vectors_of(const vectors *v, uint32_t i)
{
    return v->floats + (size_t)i * v->n_embd;
}

double vectors_cosine(const vectors *v, uint32_t i, uint32_t j)
{
    const float *a = vectors_of(v, i), *b = vectors_of(v, j);
    double sum = 0;
    for (uint32_t k = 0; k < v->n_embd; k++)
        sum += (double)a[k] * (double)b[k];
    return sum;
}

uint32_t vectors_n_tokens(const vectors *v)
{
    return v->n_tokens;
}
