/* task/extractor.c - a model that writes answers held to a contract's schema. */
#include "task/extractor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "engine/sched.h"
#include "grammar/grammar.h"

enum {
    MAX_LIVE = 16, /* inputs that share steps; a client may not fill the whole queue */
    MAX_TEXT = 64 << 20,
};
#define LOOP_TEMPERATURE 0.7F /* by which a loop is left; the draw is always the same */
#define LOOP_TOP_P 0.9F

struct extractor {
    lm *lm;
    const contract *c;
    char *system;
    vocab *vocab;
    masker *masker;
    sched *sched;
    tok_ids beginning; /* of every prompt */
    sched_prefix *prefix;
};

typedef struct writing { /* one input under way */
    extractor *x;
    extract_reply *reply;
    masker *own; /* of what this text is held to alone; NULL */
    st_buf text;
    uint32_t cap;
    int rc;
    st_err err;
} writing;

/* ---- opening ---- */

static size_t common_beginning(const tok_ids *a, const tok_ids *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->ids[n] == b->ids[n])
        n++;
    return n;
}

/* What the prompts of two inputs have in common that have nothing in common. */
static int find_beginning(extractor *x, const extract_ask *shared, st_err *err)
{
    extract_ask one = {.text = "a", .len = 1};
    extract_ask two = {.text = "9.", .len = 2};
    tok_ids other = {0};
    if (shared) {
        one.shots = two.shots = shared->shots;
        one.n_shots = two.n_shots = shared->n_shots;
    } else {
        static const shot a = {"a", 1, "a", 1};
        static const shot b = {"9.", 2, "9", 1};
        static const shot *const as[] = {&a};
        static const shot *const bs[] = {&b};
        one.shots = as;
        two.shots = bs;
        one.n_shots = two.n_shots = 1;
    }
    int rc = extract_prompt_encode(x->lm, x->system, &one, &x->beginning, err);
    if (rc == 0)
        rc = extract_prompt_encode(x->lm, x->system, &two, &other, err);
    if (rc == 0)
        x->beginning.n = common_beginning(&x->beginning, &other);
    tok_ids_done(&other);
    return rc;
}

/* A beginning that does not fit is no error here: the prompts themselves are judged. */
static int pin_beginning(extractor *x, st_err *err)
{
    st_err why = {0};
    if (x->beginning.n == 0)
        return 0;
    int rc = sched_prefix_pin(x->sched, x->beginning.ids, (uint32_t)x->beginning.n,
                              &x->prefix, &why);
    if (rc == ST_ELIMIT)
        return 0;
    if (rc)
        return st_err_set(err, rc, "%s", why.message);
    rc = x->lm->keeps ? sched_prefix_run_kept(x->sched, x->prefix, &why) : 0;
    return rc == 0 || rc == ST_EBUSY ? 0 : st_err_set(err, rc, "%s", why.message);
}

static int open_parts(extractor *x, const extract_ask *shared, st_err *err)
{
    const sched_opts opts = {.max_requests = 4 * MAX_LIVE, .max_live = MAX_LIVE};
    st_buf system;
    st_buf_init(&system, MAX_TEXT);
    int rc = extract_prompt_system(x->c, &system, err);
    if (rc == 0 && !(x->system = st_buf_detach(&system, NULL)))
        rc = st_err_set(err, ST_ENOMEM, "no memory for a prompt");
    st_buf_done(&system);
    if (rc == 0)
        rc = vocab_new(x->lm->tok, &x->vocab, err);
    if (rc == 0)
        rc = masker_new(x->c->output.grammar, x->vocab, NULL, &x->masker, err);
    if (rc == 0)
        rc = sched_new(x->lm->engine, &opts, &x->sched, err);
    if (rc == 0)
        rc = find_beginning(x, shared, err);
    return rc ? rc : pin_beginning(x, err);
}

int extractor_new(lm *l, const contract *c, const extract_ask *shared,
                  extractor **ret_extractor, st_err *err)
{
    if (!model_about(l->model)->has_head || !model_about(l->model)->causal) {
        st_err_set(err, ST_EUNSUPPORTED, "%s writes no text: it is an encoder", l->path);
        st_err_hint(err, "name a language model in `models`");
        return ST_EUNSUPPORTED;
    }
    extractor *x = st_zalloc_n(1, sizeof *x);
    if (!x)
        return st_err_set(err, ST_ENOMEM, "no memory to extract");
    x->lm = l;
    x->c = c;
    int rc = open_parts(x, shared, err);
    if (rc) {
        extractor_free(x);
        return rc;
    }
    *ret_extractor = x;
    return 0;
}

void extractor_free(extractor *x)
{
    if (!x)
        return;
    if (x->sched)
        sched_prefix_unpin(x->sched, x->prefix);
    sched_free(x->sched);
    masker_free(x->masker);
    vocab_free(x->vocab);
    tok_ids_done(&x->beginning);
    st_free(x->system);
    st_free(x);
}

/* ---- writing ---- */

void extract_reply_done(extract_reply *r)
{
    st_free(r->text);
    st_free(r->tokens);
    *r = (extract_reply){0};
}

static int keep_token(writing *w, const sched_token *token)
{
    extract_reply *r = w->reply;
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
    if (result->end == SCHED_END_ERROR)
        return st_err_set(&w->err, result->err->code, "%s", result->err->message);
    if (w->rc)
        return w->rc;
    if (result->end == SCHED_END_LENGTH)
        return st_err_set(&w->err, ST_ELIMIT, "no whole answer in %u tokens",
                          result->n_new);
    if (result->end != SCHED_END_DONE)
        return st_err_set(&w->err, ST_EFORMAT, "the answer ended too early");
    return grammar_validate(w->x->c->output.grammar, w->text.data ? w->text.data : "",
                            w->text.len, &w->err);
}

static void refuse(extract_reply *r, int code, const st_err *why)
{
    r->code = code;
    snprintf(r->why, sizeof r->why, "%s", why->message);
}

static void text_ended(void *arg, const sched_result *result)
{
    writing *w = arg;
    extract_reply *r = w->reply;
    int rc = judge_text(w, result);
    r->n_prompt = result->n_prompt;
    r->n_steps = result->n_steps;
    r->n_forced = result->n_forced;
    r->us = (double)result->total_us;
    if (rc == 0 && !(r->text = st_buf_detach(&w->text, &r->len)))
        rc = st_err_set(&w->err, ST_ENOMEM, "no memory for an answer");
    if (rc)
        refuse(r, rc, &w->err);
    st_buf_done(&w->text);
}

static int submit_ids(extractor *x, writing *w, const extract_ask *ask,
                      const tok_ids *ids, st_err *err)
{
    sched_id id;
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
        .class = SCHED_BULK,
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
    return sched_submit(x->sched, &request, &id, err);
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

/* A prompt that does not fit is a reply's error; running out of memory is the call's. */
static int submit(extractor *x, writing *w, const extract_ask *ask, st_err *err)
{
    st_err why = {0};
    tok_ids ids = {0};
    int rc = encode(x, ask, &ids, &why);
    if (rc == 0 && ask->held)
        rc = masker_new(ask->held, x->vocab, NULL, &w->own, &why);
    if (rc == 0)
        rc = submit_ids(x, w, ask, &ids, &why);
    tok_ids_done(&ids);
    if (rc == ST_ENOMEM)
        return st_err_set(err, rc, "%s", why.message);
    if (rc)
        refuse(w->reply, rc, &why);
    return 0;
}

static int run_some(extractor *x, const extract_ask *asks, uint32_t n,
                    extract_reply *replies, st_err *err)
{
    writing at[MAX_LIVE];
    int rc = 0;
    for (uint32_t i = 0; i < n; i++) {
        at[i] = (writing){.x = x, .reply = &replies[i]};
        st_buf_init(&at[i].text, MAX_TEXT);
    }
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = submit(x, &at[i], &asks[i], err);
    while (sched_step(x->sched))
        ;
    for (uint32_t i = 0; i < n; i++) {
        st_buf_done(&at[i].text);
        masker_free(at[i].own);
        if (rc == 0 && replies[i].code == ST_ENOMEM)
            rc = st_err_set(err, ST_ENOMEM, "%s", replies[i].why);
    }
    return rc;
}

int extractor_run(extractor *x, const extract_ask *asks, uint32_t n,
                  extract_reply *ret_replies, st_err *err)
{
    int rc = 0;
    memset(ret_replies, 0, n * sizeof *ret_replies);
    for (uint32_t i = 0; i < n && rc == 0; i += MAX_LIVE)
        rc = run_some(x, asks + i, n - i < MAX_LIVE ? n - i : MAX_LIVE, ret_replies + i,
                      err);
    return rc;
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
