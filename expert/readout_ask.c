/* expert/readout_ask.c - texts through a readout, whose answers come later.
 *
 * An `asking` is a text under way: its rotations are requests of the scheduler, and the
 * last one that ends finishes it, or the neutral input's answer does. */
#include "expert/readout_view.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engine/kvfile.h"

/* Stands for "no input" where PMI asks what the model answers to nothing. */
static const char neutral_text[] = "N/A";

typedef struct rotation {
    asking *of;
    sched_id id; /* 0: not under way */
} rotation;

struct asking {
    readout *r;
    asking *next;
    uint64_t handle;
    readout_ask ask; /* done NULL: nobody waits for it any more */
    rotation rotations[READOUT_MAX_ROTATIONS];
    uint32_t n_left; /* rotations under way */
    st_err why;      /* of the first that failed */
    readout_reply reply;
    double logp[]; /* [rotations, n_options] */
};

/* ---- ends ---- */

static void unlink_asking(asking *a)
{
    asking **at = &a->r->asked;
    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
}

/* Tell who asked, and forget it. */
static void finish(asking *a)
{
    const readout *r = a->r;
    double probs[QUESTION_MAX_OPTIONS];
    unlink_asking(a);
    if (a->ask.done && a->why.code) {
        a->ask.done(a->ask.arg, NULL, &a->why);
    } else if (a->ask.done) {
        a->reply.logp = a->logp;
        if (!a->ask.scores) {
            a->reply.mass =
                readout_combine(&r->opts, r->q->n_options, a->logp, r->neutral, probs);
            a->reply.probs = probs;
        }
        a->ask.done(a->ask.arg, &a->reply, NULL);
    }
    st_free(a);
}

static bool waits_for_neutral(const asking *a)
{
    return a->r->opts.pmi && !a->ask.scores && !a->r->neutral && a->why.code == 0;
}

static bool is_whole(const asking *a)
{
    return a->n_left == 0 && !waits_for_neutral(a);
}

static asking *find_whole(const readout *r)
{
    asking *a = r->asked;
    while (a && !is_whole(a))
        a = a->next;
    return a;
}

static void cancel_rotations(asking *a)
{
    for (uint32_t i = 0; i < a->r->opts.rotations; i++)
        if (a->rotations[i].id)
            sched_cancel(a->r->sched, a->rotations[i].id);
}

static void fail(asking *a, const st_err *why)
{
    if (a->why.code)
        return;
    a->why = *why;
    cancel_rotations(a);
}

static void rotation_ended(void *arg, const sched_result *result)
{
    rotation *at = arg;
    asking *a = at->of;
    readout_reply *reply = &a->reply;
    at->id = 0;
    a->n_left--;
    reply->n_prompt += result->n_prompt;
    reply->n_cached += result->n_cached;
    if (reply->queued_us == 0 || result->queued_us < reply->queued_us)
        reply->queued_us = result->queued_us;
    if (result->end == SCHED_END_ERROR)
        fail(a, result->err);
    if (is_whole(a))
        finish(a);
}

void readout_cancel(readout *r, uint64_t handle)
{
    st_err why = {0};
    asking *a = r->asked;
    while (a && (a->handle != handle || !a->ask.done))
        a = a->next;
    if (!a || handle == 0)
        return;
    st_err_set(&why, ST_ECANCELLED, "the request was cancelled");
    fail(a, &why);
    if (is_whole(a))
        finish(a);
}

void readout_stop(readout *r)
{
    st_err why = {0};
    st_err_set(&why, ST_ECANCELLED, "the task was closed");
    for (asking *a = r->asked, *next; a; a = next) {
        next = a->next;
        fail(a, &why);
    }
    while (r->asked && r->sched && sched_step(r->sched))
        ;
    while (r->asked)
        finish(r->asked);
}

/* ---- beginnings ---- */

static int encode(const readout *r, const view *v, const readout_ask *ask,
                  tok_ids *prompt, st_err *err)
{
    uint32_t n_ctx = engine_n_ctx(r->lm->engine), depth = options_depth(v->replies);
    int rc = prompt_encode(&v->form, ask->text, ask->len, prompt, err);
    if (rc == 0 && prompt->n + depth > n_ctx)
        rc = st_err_set(err, ST_ELIMIT,
                        "the prompt has %zu tokens and an option %u more; the context "
                        "holds %u",
                        prompt->n, depth, n_ctx);
    return rc;
}

static bool begins_with(const tok_ids *ids, const tok_ids *beginning)
{
    size_t n = beginning->n;
    return ids->n > n && memcmp(ids->ids, beginning->ids, n * sizeof *ids->ids) == 0;
}

static int submit(asking *a, uint32_t i, const tok_ids *prompt, st_err *err)
{
    const readout *r = a->r;
    const view *v = &r->views[i];
    bool shares = v->pin && begins_with(prompt, &v->prefix);
    size_t from = shares ? v->prefix.n : 0;
    a->rotations[i].of = a;
    const sched_request request = {
        .class = a->ask.class,
        .key = a->ask.key,
        .deadline_us = a->ask.deadline_us,
        .prefix = shares ? v->pin : NULL,
        .tokens = prompt->ids + from,
        .n = (uint32_t)(prompt->n - from),
        .kind = SCHED_OPTIONS,
        .options = {.options = v->replies,
                    .held = r->opts.mode == READOUT_HELD,
                    .ret_logp = a->logp + (size_t)i * r->q->n_options},
        .done = rotation_ended,
        .arg = &a->rotations[i],
    };
    int rc = sched_submit(r->sched, &request, &a->rotations[i].id, err);
    a->n_left += rc == 0;
    return rc;
}

/* All rotations of a text, encoded first, so that one that is too long for any is not run
 * by another. */
static int submit_all(asking *a, st_err *err)
{
    tok_ids prompts[READOUT_MAX_ROTATIONS] = {{0}};
    const readout *r = a->r;
    uint32_t n = r->opts.rotations;
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = encode(r, &r->views[i], &a->ask, &prompts[i], err);
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = submit(a, i, &prompts[i], err);
    for (uint32_t i = 0; i < n; i++)
        tok_ids_done(&prompts[i]);
    return rc;
}

static int start(readout *r, const readout_ask *ask, uint64_t *ret_handle, st_err *err)
{
    size_t n = (size_t)r->opts.rotations * r->q->n_options;
    asking *a = st_zalloc_n(1, sizeof *a + n * sizeof *a->logp);
    if (!a)
        return st_err_set(err, ST_ENOMEM, "no memory for a decision");
    a->r = r;
    a->ask = *ask;
    a->handle = ++r->n_asked;
    a->reply.mass = (double)NAN;
    a->next = r->asked;
    r->asked = a;
    uint64_t handle = a->handle;
    int rc = submit_all(a, err);
    if (rc) { /* rotations that were submitted end by themselves */
        a->ask.done = NULL;
        fail(a, &(st_err){.code = rc});
        if (is_whole(a))
            finish(a);
        return rc;
    }
    *ret_handle = handle;
    return 0;
}

/* ---- the neutral input ---- */

/* All that the answers to the neutral input depend on beside the engine. */
static int neutral_digest(const readout *r, char ret[ST_DIGEST_TEXT], st_err *err)
{
    st_sha sha;
    st_sha_init(&sha);
    st_sha_add(&sha, "stint.neutral.1", 15);
    for (uint32_t i = 0; i < r->opts.rotations; i++) {
        tok_ids prompt = {0};
        int rc = prompt_encode(&r->views[i].form, neutral_text, sizeof neutral_text - 1,
                               &prompt, err);
        if (rc) {
            tok_ids_done(&prompt);
            return rc;
        }
        st_sha_add(&sha, r->views[i].replies_digest, ST_DIGEST_TEXT);
        st_sha_add(&sha, &prompt.n, sizeof prompt.n);
        st_sha_add(&sha, prompt.ids, prompt.n * sizeof *prompt.ids);
        tok_ids_done(&prompt);
    }
    st_sha_end(&sha, ret);
    return 0;
}

static void neutral_store(readout *r, const double *logp)
{
    size_t n = (size_t)r->opts.rotations * r->q->n_options;
    char what[ST_DIGEST_TEXT];
    r->neutral = st_dup(logp, n * sizeof *logp);
    if (r->lm->keeps && neutral_digest(r, what, NULL) == 0)
        engine_keep(r->lm->engine, what, logp, (uint32_t)n);
}

/* Those that waited for it only are whole now, or have failed with it. */
static void neutral_came(void *arg, const readout_reply *reply, const st_err *why)
{
    readout *r = arg;
    st_err none = {0};
    r->asks_neutral = false;
    if (reply)
        neutral_store(r, reply->logp);
    if (!r->neutral) {
        st_err_set(&none, why ? why->code : ST_ENOMEM, "%s",
                   why ? why->message : "no memory for a readout");
        for (asking *a = r->asked; a; a = a->next)
            if (!a->ask.scores)
                fail(a, &none);
    }
    for (asking *a; (a = find_whole(r));) /* done may ask and cancel: begin anew */
        finish(a);
}

/* What the model answers to nothing: known, recalled from an earlier run, or asked. */
static int need_neutral(readout *r, st_err *err)
{
    size_t n = (size_t)r->opts.rotations * r->q->n_options;
    char what[ST_DIGEST_TEXT];
    uint64_t handle;
    if (!r->opts.pmi || r->neutral || r->asks_neutral)
        return 0;
    if (r->lm->keeps) {
        int rc = neutral_digest(r, what, err);
        double *known = rc == 0 ? st_alloc_n(n, sizeof *known) : NULL;
        if (rc == 0 && !known)
            rc = st_err_set(err, ST_ENOMEM, "no memory for a readout");
        if (rc)
            return rc;
        if (engine_recall(r->lm->engine, what, known, (uint32_t)n)) {
            r->neutral = known;
            return 0;
        }
        st_free(known);
    }
    const readout_ask ask = {.text = neutral_text,
                             .len = sizeof neutral_text - 1,
                             .scores = true,
                             .class = SCHED_INTERACTIVE,
                             .done = neutral_came,
                             .arg = r};
    int rc = start(r, &ask, &handle, err);
    r->asks_neutral = rc == 0;
    return rc;
}

int readout_start(readout *r, const readout_ask *ask, uint64_t *ret_handle, st_err *err)
{
    readout_ask it = *ask;
    if (!it.text) {
        it.text = neutral_text;
        it.len = sizeof neutral_text - 1;
    }
    int rc = readout_bind(r, err);
    if (rc == 0 && !it.scores)
        rc = need_neutral(r, err);
    return rc ? rc : start(r, &it, ret_handle, err);
}
