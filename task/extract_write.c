/* task/extract_write.c - one text that a model writes, held to a contract's schema. */
#include "task/extract_write.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_TEXT = 64 << 20 };
#define LOOP_TEMPERATURE 0.7F /* by which a loop is left; the draw is always the same */
#define LOOP_TOP_P 0.9F

struct writing {
    extractor *x;
    writing_opts opts;
    sched_id id;
    extract_reply reply;
    masker *own; /* of what this text is held to alone; NULL */
    st_buf text;
    uint32_t cap;
    int rc; /* of what came */
    st_err err;
};

static void writing_free(writing *w)
{
    extract_reply_done(&w->reply);
    st_buf_done(&w->text);
    masker_free(w->own);
    st_free(w);
}

void extract_reply_done(extract_reply *r)
{
    st_free(r->text);
    st_free(r->tokens);
    *r = (extract_reply){0};
}

static int keep_token(writing *w, const sched_token *token)
{
    extract_reply *r = &w->reply;
    if (r->n_tokens == w->cap) {
        uint32_t cap = w->cap ? 2 * w->cap : 64;
        extract_token *grown = st_realloc_n(r->tokens, cap, sizeof *grown);
        if (!grown)
            return st_err_set(&w->err, ST_ENOMEM, "no memory for an answer");
        r->tokens = grown;
        w->cap = cap;
    }
    r->tokens[r->n_tokens++] = (extract_token){
        .end = w->text.len,
        .logp = token->forced ? 0 : token->logp,
        .held_logp = token->forced ? 0 : token->held_logp,
        .forced = token->forced,
    };
    return 0;
}

static bool token_came(void *arg, const sched_token *token)
{
    writing *w = arg;
    const tok *t = w->x->lm->tok;
    if (tok_is_end(t, token->id))
        return true;
    w->rc = tok_piece(t, token->id, &w->text, &w->err);
    if (w->rc == 0)
        w->rc = keep_token(w, token);
    return w->rc == 0;
}

static int judge_text(writing *w, const sched_result *result)
{
    if (w->rc)
        return w->rc;
    if (result->end == SCHED_END_ERROR)
        return st_err_set(&w->err, result->err->code, "%s", result->err->message);
    if (result->end == SCHED_END_LENGTH)
        return st_err_set(&w->err, ST_ELIMIT, "no whole answer in %u tokens",
                          result->n_new);
    if (result->end != SCHED_END_DONE)
        return st_err_set(&w->err, ST_EFORMAT, "the answer ended too early");
    return grammar_validate(w->x->c->output.grammar, w->text.data ? w->text.data : "",
                            w->text.len, &w->err);
}

/* Is it nobody's fault but the server's, or the caller's wish? */
static bool ends_the_ask(int code)
{
    return code == ST_ECANCELLED || code == ST_ETIMEOUT || code == ST_ENOMEM ||
           code == ST_EBUSY;
}

static void text_ended(void *arg, const sched_result *result)
{
    writing *w = arg;
    extract_reply *r = &w->reply;
    int rc = judge_text(w, result);
    r->n_prompt = result->n_prompt;
    r->n_cached = result->n_cached;
    r->queued_us = result->queued_us;
    r->n_steps = result->n_steps;
    r->n_forced = result->n_forced;
    if (rc == 0 && !(r->text = st_buf_detach(&w->text, &r->len)))
        rc = st_err_set(&w->err, ST_ENOMEM, "no memory for an answer");
    if (rc) {
        r->code = rc;
        snprintf(r->why, sizeof r->why, "%s", w->err.message);
    }
    w->opts.done(w->opts.arg, ends_the_ask(rc) ? NULL : r,
                 ends_the_ask(rc) ? &w->err : NULL);
    writing_free(w);
}

/* The prompt, with as many of its examples as leave room for an answer: the farthest go
 * first. */
static int encode(const extractor *x, const extract_ask *ask, tok_ids *ids, st_err *err)
{
    extract_ask fewer = *ask;
    uint32_t n_ctx = engine_n_ctx(x->lm->engine);
    uint32_t most =
        x->c->output.max_tokens < n_ctx / 4 ? x->c->output.max_tokens : n_ctx / 4;
    for (;;) {
        ids->n = 0;
        int rc = extract_prompt_encode(x->lm, x->system, &fewer, ids, err);
        if (rc || ids->n + most <= n_ctx || (fewer.n_shots == 0 && ids->n < n_ctx))
            return rc;
        if (fewer.n_shots == 0)
            return st_err_set(err, ST_ELIMIT,
                              "the prompt has %zu tokens, the context holds %u", ids->n,
                              n_ctx);
        fewer.shots++;
        fewer.n_shots--;
    }
}

static int submit_ids(writing *w, const extract_ask *ask, const tok_ids *ids, st_err *err)
{
    const extractor *x = w->x;
    sampler_opts how = SAMPLER_GREEDY;
    if (ask->looped) {
        how.temperature = LOOP_TEMPERATURE;
        how.top_p = LOOP_TOP_P;
    }
    size_t n = x->beginning.n;
    bool shares = x->prefix && ids->n > n &&
                  memcmp(ids->ids, x->beginning.ids, n * sizeof *ids->ids) == 0;
    size_t from = shares ? n : 0;
    const sched_request request = {
        .class = w->opts.class,
        .key = w->opts.key,
        .deadline_us = w->opts.deadline_us,
        .follows = w->opts.follows,
        .prefix = shares ? x->prefix : NULL,
        .tokens = ids->ids + from,
        .n = (uint32_t)(ids->n - from),
        .generate = {.how = how,
                     .max_new = x->c->output.max_tokens,
                     .logp = true,
                     .held = {.masker = w->own ? w->own : x->masker,
                              .tok = x->lm->tok,
                              .input = ask->text,
                              .input_len = ask->len},
                     .on_token = token_came},
        .done = text_ended,
        .arg = w,
    };
    return sched_submit(x->sched, &request, &w->id, err);
}

static int submit(writing *w, const extract_ask *ask, st_err *err)
{
    tok_ids ids = {0};
    int rc = encode(w->x, ask, &ids, err);
    if (rc == 0 && ask->held)
        rc = masker_new(ask->held, w->x->vocab, NULL, &w->own, err);
    if (rc == 0)
        rc = submit_ids(w, ask, &ids, err);
    tok_ids_done(&ids);
    return rc;
}

int writing_start(extractor *x, const extract_ask *ask, const writing_opts *opts,
                  writing **ret_writing, st_err *err)
{
    int rc = extractor_bind(x, err);
    if (rc)
        return rc;
    writing *w = st_zalloc_n(1, sizeof *w);
    if (!w)
        return st_err_set(err, ST_ENOMEM, "no memory for an answer");
    w->x = x;
    w->opts = *opts;
    st_buf_init(&w->text, MAX_TEXT);
    rc = submit(w, ask, err);
    if (rc)
        writing_free(w);
    else
        *ret_writing = w;
    return rc;
}

void writing_cancel(writing *w)
{
    sched_cancel(w->x->sched, w->id);
}

/* ---- scores ---- */

field_score extract_score(const extract_reply *r, const fields *f, uint32_t i)
{
    field_score s = {0};
    size_t begin = 0;
    for (uint32_t t = 0; t < r->n_tokens; t++) {
        const extract_token *token = &r->tokens[t];
        if (begin >= f->at[i].from && begin < f->at[i].end && !token->forced) {
            s.logp += token->logp;
            s.held_logp += token->held_logp;
            s.n++;
        }
        begin = token->end;
    }
    return s;
}
