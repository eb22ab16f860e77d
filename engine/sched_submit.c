/* engine/sched_submit.c - requests come, from any thread.
 *
 * A request is checked and its memory taken before the lock; under it there is only a
 * place to be had or not. */
#include "engine/sched_core.h"
#include "engine/trie.h"

#include "base/clock.h"
#include "base/mem.h"
#include <string.h>

enum { KEY_SHARE = 3 }; /* places a key may hold for each one that is free */

int req_ids_check(const sched *s, const int32_t *ids, uint32_t n, st_err *err)
{
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= s->n_vocab)
            return st_err_set(err, ST_EINVAL, "token %u is id %d of a vocabulary of %u",
                              i, ids[i], s->n_vocab);
    return 0;
}

static int held_check(const sched_generate *g, st_err *err)
{
    if (!g->held.masker)
        return 0;
    if (!g->held.tok)
        return st_err_set(err, ST_EINVAL, "held text, and no tokenizer");
    for (uint32_t i = 0; i < g->n_stop; i++)
        if (g->stop_ids[i] >= 0 && (uint32_t)g->stop_ids[i] < tok_n_vocab(g->held.tok) &&
            !tok_is_control(g->held.tok, g->stop_ids[i]))
            return st_err_set(err, ST_EINVAL,
                              "held text cannot stop at id %d: it is text itself",
                              g->stop_ids[i]);
    return 0;
}

static int generate_check(const sched *s, const sched_request *q, sampler *ret_pick,
                          st_err *err)
{
    const model_info *info = model_about(engine_model(s->engine));
    if (!info->has_head || !info->causal) {
        st_err_set(err, ST_EUNSUPPORTED, "the model '%s' makes no text", info->arch);
        st_err_hint(err, "an encoder gives states and embeddings");
        return ST_EUNSUPPORTED;
    }
    if (q->generate.max_new == 0)
        return st_err_set(err, ST_EINVAL, "max_new is 0");
    if (q->generate.n_top > SCHED_MAX_TOP || q->generate.n_bias > SCHED_MAX_BIAS)
        return st_err_set(
            err, ST_EINVAL,
            "%u likeliest tokens and %u biases; at most %d and %d are given",
            q->generate.n_top, q->generate.n_bias, SCHED_MAX_TOP, SCHED_MAX_BIAS);
    int rc = held_check(&q->generate, err);
    return rc < 0 ? rc : sampler_init(ret_pick, &q->generate.how, err);
}

static int options_check(const sched *s, const sched_request *q, st_err *err)
{
    const options_request *o = &q->options;
    uint64_t n = (uint64_t)q->n + (q->prefix ? q->prefix->pin->n : 0);
    if (!o->options || !o->ret_logp)
        return st_err_set(err, ST_EINVAL, "no options, or nowhere to put what they get");
    if (!model_about(engine_model(s->engine))->has_head)
        return st_err_set(err, ST_EUNSUPPORTED, "the model '%s' gives no logits",
                          model_about(engine_model(s->engine))->arch);
    if (n + o->options->depth <= s->n_ctx)
        return 0;
    st_err_set(err, ST_ELIMIT,
               "%u tokens and an option of %u after a prefix pass the context of %u",
               q->n, o->options->depth + 1, s->n_ctx);
    st_err_hint(err, "shorten the text, or ask for a longer context");
    return ST_ELIMIT;
}

static int adapter_check(const sched *s, const sched_request *q, st_err *err)
{
    if (q->adapter && adapter_model(q->adapter) != engine_model(s->engine))
        return st_err_set(err, ST_EINVAL, "an adapter of another model");
    if (q->prefix && q->prefix->pin->s->adapter != q->adapter)
        return st_err_set(err, ST_EINVAL, "the prefix was pinned with another adapter");
    if (q->adapter && q->kind == SCHED_EMBED)
        return st_err_set(err, ST_EUNSUPPORTED, "embeddings are made without an adapter");
    return 0;
}

static int request_check(const sched *s, const sched_request *q, sampler *ret_pick,
                         st_err *err)
{
    uint32_t before = q->prefix ? q->prefix->pin->n : 0;
    if ((q->class != SCHED_INTERACTIVE && q->class != SCHED_BULK) || !q->done)
        return st_err_set(err, ST_EINVAL, "a request has a class and a done callback");
    if (q->kind == SCHED_EMBED && q->prefix)
        return st_err_set(err, ST_EINVAL, "an embedding is of a text without a prefix");
    if (q->n == 0)
        return st_err_set(err, ST_EINVAL, "a request has at least one token");
    if (before > s->n_ctx || q->n > s->n_ctx - before) {
        st_err_set(err, ST_ELIMIT,
                   "a prompt of %u tokens after a prefix of %u passes "
                   "the context of %u",
                   q->n, before, s->n_ctx);
        st_err_hint(err, "shorten the text, or ask for a longer context");
        return ST_ELIMIT;
    }
    int rc = req_ids_check(s, q->tokens, q->n, err);
    if (rc == 0)
        rc = adapter_check(s, q, err);
    switch (q->kind) {
    case SCHED_GENERATE:
        return rc < 0 ? rc : generate_check(s, q, ret_pick, err);
    case SCHED_OPTIONS:
        return rc < 0 ? rc : options_check(s, q, err);
    case SCHED_STATES:
        return rc;
    case SCHED_EMBED:
        return rc == 0 && !q->ret_vector
                   ? st_err_set(err, ST_EINVAL, "nowhere to put an embedding")
                   : rc;
    }
    return st_err_set(err, ST_EINVAL, "a request of kind %d", (int)q->kind);
}

static int tokens_copy(const sched *s, const sched_request *q, req *r, st_err *err)
{
    uint32_t before = q->prefix ? q->prefix->pin->n : 0, n_stop = 0, most = 0;
    r->n = r->n_prompt = before + q->n;
    if (q->kind == SCHED_GENERATE) {
        n_stop = q->generate.n_stop;
        most = s->n_ctx - r->n_prompt + 1; /* the last token made is not run */
    }
    r->limit = r->n + (q->generate.max_new < most ? q->generate.max_new : most);
    r->tokens = st_alloc_n((size_t)r->limit + n_stop, sizeof *r->tokens);
    if (!r->tokens)
        return st_err_set(err, ST_ENOMEM, "no memory for a request of %u tokens",
                          r->limit);
    if (q->prefix)
        memcpy(r->tokens, q->prefix->pin->tokens, before * sizeof *r->tokens);
    memcpy(r->tokens + before, q->tokens, q->n * sizeof *r->tokens);
    if (n_stop > 0)
        memcpy(r->tokens + r->limit, q->generate.stop_ids, n_stop * sizeof *r->tokens);
    r->ask.tokens = r->tokens;
    r->ask.generate.stop_ids = r->tokens + r->limit;
    return 0;
}

/* The sampler's biases are the request's own. */
static int bias_copy(const sched *s, const sched_request *q, req *r, st_err *err)
{
    uint32_t n = q->kind == SCHED_GENERATE ? q->generate.n_bias : 0;
    if (n == 0)
        return 0;
    r->bias = st_dup(q->generate.bias, n * sizeof *r->bias);
    if (!r->bias)
        return st_err_set(err, ST_ENOMEM, "no memory for %u biases", n);
    return sampler_bias_set(&r->pick, r->bias, n, s->n_vocab, err);
}

static int run_make(const sched *s, req *r, st_err *err)
{
    const options_request *o = &r->ask.options;
    uint32_t batch = engine_max_batch(s->engine);
    if (r->ask.kind != SCHED_OPTIONS)
        return 0;
    r->n_nodes = options_n_run(o->options, o->held);
    r->n_nodes = r->n_nodes < batch ? r->n_nodes : batch;
    return options_run_new(s->engine, options_n_nodes(o->options), &r->run, err);
}

void req_free(req *r)
{
    options_run_free(r->run);
    st_free(r->bias);
    st_free(r->tokens);
}

/* Everything that can be made without the lock. */
static int request_make(const sched *s, const sched_request *q, req *ret, st_err *err)
{
    req r = {.ask = *q, .guesses = 8, .submit_us = st_clock_us(), .next = NO_REQ};
    int rc = request_check(s, q, &r.pick, err);
    if (rc == 0)
        rc = tokens_copy(s, q, &r, err);
    if (rc == 0)
        rc = bias_copy(s, q, &r, err);
    if (rc == 0)
        rc = run_make(s, &r, err);
    if (rc < 0)
        req_free(&r);
    else
        *ret = r;
    return rc;
}

static int pages_check(const sched *s, const req *r, st_err *err)
{
    const sched_prefix *p = r->ask.prefix;
    uint32_t n_pages = kvpool_n_pages(s->engine->pool);
    uint32_t others = s->n_pinned - (p ? p->pin->n / KV_PAGE_TOKENS : 0);
    uint32_t run = r->limit > r->n_prompt ? r->limit - 1 : r->limit + r->n_nodes;
    uint32_t copy = r->n_nodes > 0; /* of the page that a tree begins in */
    if (kv_pages_for(run) + copy <= n_pages - others)
        return 0;
    st_err_set(err, ST_ELIMIT, "%u tokens take %u pages of %u, %u of which are pinned",
               run, kv_pages_for(run), n_pages, others);
    st_err_hint(err, "ask for fewer new tokens, or give the engine more kv_bytes");
    return ST_ELIMIT;
}

/* The last place is for those that follow: each is taken before that of the one it
 * follows is given back. */
static int place_check(sched *s, const sched_request *q, st_err *err)
{
    uint32_t held = 0, n_free = s->n_free - 1;
    uint64_t key = q->key;
    if (q->follows && !s->stopping && s->n_free > 0)
        return 0;
    for (uint32_t i = 0; i < s->max_requests; i++)
        held += s->ids[i] != 0 && s->keys[i] == key;
    if (!s->draining && s->n_free > 1 && held < KEY_SHARE * (uint64_t)n_free)
        return 0;
    s->n_refused++;
    if (s->draining)
        return st_err_set(err, ST_EBUSY, "no more requests are accepted");
    st_err_set(err, ST_EBUSY, "%u requests are waiting, %u of this client",
               s->max_requests - s->n_free, held);
    st_err_hint(err, "try again in %.1f s", (double)s->shown.retry_us / 1e6);
    return ST_EBUSY;
}

/* Under the lock. */
static int request_post(sched *s, req *r, sched_id *ret_id, st_err *err)
{
    int rc = pages_check(s, r, err);
    if (rc == 0)
        rc = place_check(s, &r->ask, err);
    if (rc < 0)
        return rc;
    uint32_t at = s->free[--s->n_free];
    *ret_id = s->ids[at] = r->id = ++s->n_submitted << ID_SLOT_BITS | at;
    s->reqs[at] = *r;
    s->keys[at] = r->ask.key;
    s->inbox[s->n_inbox++] = at;
    if (r->ask.prefix)
        r->ask.prefix->n_refs++;
    pthread_cond_signal(&s->came);
    return 0;
}

int sched_submit(sched *s, const sched_request *request, sched_id *ret_id, st_err *err)
{
    req r;
    int rc = request_make(s, request, &r, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&s->lock);
    rc = request_post(s, &r, ret_id, err);
    pthread_mutex_unlock(&s->lock);
    if (rc < 0)
        req_free(&r);
    else
        work_tell(s);
    return rc;
}
