/* expert/readout_ask.c - texts through a readout, many in shared steps.
 *
 * A job is one prompt: a text as one view asks about it.  Jobs are gathered until the
 * engine has no sequence left, or JOBS of them; then their options are scored together.
 */
#include "expert/readout_view.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engine/kvfile.h"

enum { JOBS = 32 }; /* several full passes of short inputs */

/* Stands for "no input" where PMI asks what the model answers to nothing. */
static const char neutral_text[] = "N/A";

typedef struct job {
    const view *view;
    tok_ids prompt;
    seq *s;
    double *ret_logp;
} job;

typedef struct jobs {
    job job[JOBS];
    uint32_t n;
    uint64_t n_pages; /* that they may take */
} jobs;

static bool is_held(const readout *r)
{
    return r->opts.mode == READOUT_HELD;
}

/* A sequence that holds as much of `prompt` as the view has run already, never all. */
static int start_sequence(const readout *r, const view *v, const tok_ids *prompt,
                          seq **ret_seq, st_err *err)
{
    size_t n = 0;
    if (!v->base)
        return seq_new(r->lm->engine, ret_seq, err);
    while (n < v->prefix.n && n + 1 < prompt->n && v->prefix.ids[n] == prompt->ids[n])
        n++;
    return seq_fork(v->base, (uint32_t)n, ret_seq, err);
}

static int encode(const readout *r, const view *v, const char *text, size_t len,
                  tok_ids *prompt, st_err *err)
{
    uint32_t n_ctx = engine_n_ctx(r->lm->engine), depth = options_depth(v->replies);
    int rc = prompt_encode(&v->form, text, len, prompt, err);
    if (rc == 0 && prompt->n + depth > n_ctx)
        rc = st_err_set(err, ST_ELIMIT,
                        "the prompt has %zu tokens and an option %u more; the context "
                        "holds %u",
                        prompt->n, depth, n_ctx);
    return rc;
}

static void jobs_clear(jobs *all)
{
    for (uint32_t i = 0; i < all->n; i++) {
        seq_free(all->job[i].s);
        tok_ids_done(&all->job[i].prompt);
    }
    all->n = 0;
    all->n_pages = 0;
}

static int jobs_run(const readout *r, jobs *all, st_err *err)
{
    options_request q[JOBS];
    for (uint32_t i = 0; i < all->n; i++) {
        const job *j = &all->job[i];
        uint32_t done = seq_len(j->s);
        q[i] = (options_request){.options = j->view->replies,
                                 .s = j->s,
                                 .tokens = j->prompt.ids + done,
                                 .n = (uint32_t)j->prompt.n - done,
                                 .held = is_held(r),
                                 .ret_logp = j->ret_logp};
    }
    int rc = options_score_many(q, all->n, err);
    jobs_clear(all);
    return rc;
}

/* The most pages that a job takes: its tokens, the nodes of its tree, and a shared page
 * that it writes into. */
static uint64_t pages_of(const readout *r, const job *j)
{
    const engine *e = r->lm->engine;
    uint64_t nodes = options_n_run(j->view->replies, is_held(r));
    if (nodes > engine_max_batch(e))
        nodes = engine_max_batch(e);
    return (j->prompt.n + nodes) / KV_PAGE_TOKENS + 2;
}

/* Takes the prompt's ids, also when it fails. */
static int job_add(const readout *r, jobs *all, const view *v, tok_ids *prompt,
                   double *ret_logp, st_err *err)
{
    st_err why = {0};
    job j = {.view = v, .prompt = *prompt, .ret_logp = ret_logp};
    uint64_t pages = pages_of(r, &j);
    bool full = all->n == JOBS || all->n_pages + pages > engine_free_pages(r->lm->engine);
    int rc = full && all->n > 0 ? jobs_run(r, all, &why) : 0;
    if (rc == 0)
        rc = start_sequence(r, v, prompt, &j.s, &why);
    if (rc == ST_EBUSY && all->n > 0) { /* no sequence left */
        why = (st_err){0};
        rc = jobs_run(r, all, &why);
        if (rc == 0)
            rc = start_sequence(r, v, prompt, &j.s, &why);
    }
    if (rc) {
        tok_ids_done(prompt);
        return st_err_set(err, rc, "%s", why.message);
    }
    all->job[all->n++] = j;
    all->n_pages += pages;
    return 0;
}

/* All views of a text.  Its rotations are encoded first, so that a text which is too long
 * for one of them is not run by any. */
static int text_add(const readout *r, jobs *all, const char *text, size_t len,
                    double *ret_logp, st_err *err)
{
    tok_ids prompts[READOUT_MAX_ROTATIONS] = {{0}};
    uint32_t n = r->opts.rotations, at = 0;
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = encode(r, &r->views[i], text, len, &prompts[i], err);
    for (; at < n && rc == 0; at++)
        rc = job_add(r, all, &r->views[at], &prompts[at],
                     ret_logp + (size_t)at * r->q->n_options, err);
    for (; at < n; at++)
        tok_ids_done(&prompts[at]);
    return rc;
}

int readout_raw_many(readout *r, const char *const *texts, const size_t *lens, uint32_t n,
                     double *ret_logp, int *ret_codes, st_err *err)
{
    size_t stride = (size_t)r->opts.rotations * r->q->n_options;
    jobs all = {.n = 0};
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        st_err why = {0};
        double *to = ret_logp + i * stride;
        rc = r->names ? names_score(r->names, texts[i], lens[i], to, &why)
                      : text_add(r, &all, texts[i], lens[i], to, &why);
        ret_codes[i] = rc == ST_ELIMIT ? rc : 0;
        if (rc == ST_ELIMIT)
            rc = 0;
        else if (rc)
            st_err_set(err, rc, "%s", why.message);
    }
    if (rc == 0)
        rc = jobs_run(r, &all, err);
    jobs_clear(&all);
    return rc;
}

int readout_raw(readout *r, const char *text, size_t len, double *ret_logp, st_err *err)
{
    jobs all = {.n = 0};
    if (!text) {
        text = neutral_text;
        len = sizeof neutral_text - 1;
    }
    if (r->names)
        return names_score(r->names, text, len, ret_logp, err);
    int rc = text_add(r, &all, text, len, ret_logp, err);
    if (rc == 0)
        rc = jobs_run(r, &all, err);
    jobs_clear(&all);
    return rc;
}

/* x[n] -= ln sum exp(x); returns that logarithm. */
static double normalise(double *x, uint32_t n)
{
    double max = -HUGE_VAL;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    if (!isfinite(max)) { /* the model rules out every option: no preference */
        for (uint32_t i = 0; i < n; i++)
            x[i] = -log((double)n);
        return -HUGE_VAL;
    }
    for (uint32_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    double lse = max + log(sum);
    for (uint32_t i = 0; i < n; i++)
        x[i] -= lse;
    return lse;
}

double readout_combine(const readout_opts *opts, uint32_t n, const double *logp,
                       const double *neutral, double *ret_probs)
{
    double row[QUESTION_MAX_OPTIONS];
    double mass = 0;
    memset(ret_probs, 0, n * sizeof *ret_probs);
    for (uint32_t r = 0; r < opts->rotations; r++) {
        const double *from = logp + (size_t)r * n;
        memcpy(row, from, n * sizeof *row);
        mass += exp(normalise(row, n)) / opts->rotations;
        for (uint32_t i = 0; opts->pmi && i < n; i++)
            row[i] = from[i] - neutral[(size_t)r * n + i];
        if (opts->pmi)
            (void)normalise(row, n);
        for (uint32_t i = 0; i < n; i++)
            ret_probs[i] += row[i] / (opts->rotations * opts->temperature);
    }
    (void)normalise(ret_probs, n);
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += ret_probs[i] = exp(ret_probs[i]);
    for (uint32_t i = 0; i < n; i++)
        ret_probs[i] /= sum;
    if (opts->mode == READOUT_NAMES || opts->mode == READOUT_HELD)
        return (double)NAN;
    return mass < 1 ? mass : 1;
}

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

/* Ask about the neutral input, or recall what an earlier run was answered. */
static int ask_neutral(readout *r, double *ret, st_err *err)
{
    uint32_t n = r->opts.rotations * r->q->n_options;
    char what[ST_DIGEST_TEXT];
    if (!r->lm->keeps || r->names)
        return readout_raw(r, NULL, 0, ret, err);
    int rc = neutral_digest(r, what, err);
    if (rc || engine_recall(r->lm->engine, what, ret, n))
        return rc;
    rc = readout_raw(r, NULL, 0, ret, err);
    if (rc == 0)
        engine_keep(r->lm->engine, what, ret, n);
    return rc;
}

static int need_neutral(readout *r, st_err *err)
{
    size_t n = (size_t)r->opts.rotations * r->q->n_options;
    if (!r->opts.pmi || r->neutral)
        return 0;
    double *neutral = st_alloc_n(n, sizeof *neutral);
    if (!neutral)
        return st_err_set(err, ST_ENOMEM, "no memory for a readout");
    int rc = ask_neutral(r, neutral, err);
    if (rc)
        st_free(neutral);
    else
        r->neutral = neutral;
    return rc;
}

int readout_decide_many(readout *r, const char *const *texts, const size_t *lens,
                        uint32_t n, double *ret_probs, double *ret_mass, int *ret_codes,
                        st_err *err)
{
    uint32_t width = r->q->n_options;
    size_t stride = (size_t)r->opts.rotations * width, size;
    if (n == 0)
        return 0;
    double *logp = st_mul_ok(n, stride, &size) ? st_alloc_n(size, sizeof *logp) : NULL;
    int rc = need_neutral(r, err);
    if (rc == 0 && !logp)
        rc = st_err_set(err, ST_ENOMEM, "no memory to decide %u texts", n);
    if (rc == 0)
        rc = readout_raw_many(r, texts, lens, n, logp, ret_codes, err);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        if (ret_mass)
            ret_mass[i] = (double)NAN;
        if (ret_codes[i])
            continue;
        double mass = readout_combine(&r->opts, width, logp + i * stride, r->neutral,
                                      ret_probs + (size_t)i * width);
        if (ret_mass)
            ret_mass[i] = mass;
    }
    st_free(logp);
    return rc;
}

int readout_decide(readout *r, const char *text, size_t len, double *ret_probs,
                   double *ret_mass, st_err *err)
{
    size_t stride = (size_t)r->opts.rotations * r->q->n_options;
    int rc = need_neutral(r, err);
    double *logp = rc == 0 ? st_alloc_n(stride, sizeof *logp) : NULL;
    if (rc == 0 && !logp)
        rc = st_err_set(err, ST_ENOMEM, "no memory for a decision");
    if (rc == 0)
        rc = readout_raw(r, text, len, logp, err);
    if (rc == 0) {
        double mass =
            readout_combine(&r->opts, r->q->n_options, logp, r->neutral, ret_probs);
        if (ret_mass)
            *ret_mass = mass;
    }
    st_free(logp);
    return rc;
}

int readout_cost(readout *r, const char *text, size_t len, uint64_t *ret_tokens,
                 st_err *err)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; !r->names && i < r->opts.rotations; i++) {
        view *v = &r->views[i];
        tok_ids prompt = {0};
        int rc = prompt_encode(&v->form, text, len, &prompt, err);
        if (rc)
            return rc;
        size_t kept = v->base ? v->prefix.n : 0;
        sum += prompt.n > kept ? prompt.n - kept : 1;
        sum += options_n_nodes(v->replies);
        tok_ids_done(&prompt);
    }
    *ret_tokens = sum;
    return 0;
}
