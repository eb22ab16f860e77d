/* expert/readout_many.c - texts through a readout at once: started, and the scheduler
 * stepped until all have ended. */
#include "expert/readout_view.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

enum { MOST_PROMPTS = 96 }; /* under way: several full passes of short inputs */

typedef struct gathering { /* one call */
    readout *r;
    double *logp;  /* [n, rotations, n_options] or NULL */
    double *probs; /* [n, n_options] or NULL: scores only */
    double *mass;  /* [n] or NULL */
    uint32_t n_left;
    st_err why; /* what ends the call */
} gathering;

typedef struct place { /* of one text */
    gathering *of;
    uint32_t index;
    uint64_t handle;
} place;

static void text_ended(void *arg, const readout_reply *reply, const st_err *why)
{
    place *p = arg;
    gathering *g = p->of;
    size_t width = g->r->q->n_options, stride = g->r->opts.rotations * width;
    p->handle = 0;
    g->n_left--;
    if (!reply) {
        st_err_set(&g->why, why->code, "%s", why->message);
        return;
    }
    if (g->logp)
        memcpy(g->logp + p->index * stride, reply->logp, stride * sizeof *g->logp);
    if (g->probs)
        memcpy(g->probs + p->index * width, reply->probs, width * sizeof *g->probs);
    if (g->mass)
        g->mass[p->index] = reply->mass;
}

static void step_until(gathering *g, uint32_t most_left)
{
    while (g->n_left > most_left && sched_step(g->r->sched))
        ;
}

/* Start one text; where the queue is full, when there is room again. */
static int start_one(gathering *g, place *p, const char *text, size_t len, st_err *err)
{
    const readout_ask ask = {.text = text,
                             .len = len,
                             .scores = !g->probs,
                             .class = SCHED_BULK,
                             .done = text_ended,
                             .arg = p};
    uint32_t most = MOST_PROMPTS / g->r->opts.rotations;
    int rc;
    for (;;) {
        st_err why = {0};
        rc = readout_start(g->r, &ask, &p->handle, &why);
        if (rc != ST_EBUSY || !g->r->sched || !sched_step(g->r->sched)) {
            if (rc)
                st_err_set(err, rc, "%s", why.message);
            break;
        }
    }
    g->n_left += rc == 0;
    step_until(g, most - 1);
    return rc;
}

static int ask_all(gathering *g, place *places, const char *const *texts,
                   const size_t *lens, uint32_t n, int *ret_codes, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0 && g->why.code == 0; i++) {
        st_err why = {0};
        places[i] = (place){.of = g, .index = i};
        if (g->mass)
            g->mass[i] = (double)NAN;
        rc = start_one(g, &places[i], texts[i], lens[i], &why);
        ret_codes[i] = rc == ST_ELIMIT ? rc : 0;
        if (rc == ST_ELIMIT)
            rc = 0;
        else if (rc)
            st_err_set(err, rc, "%s", why.message);
    }
    for (uint32_t i = 0; (rc || g->why.code) && i < n && places[i].of; i++)
        readout_cancel(g->r, places[i].handle);
    step_until(g, 0);
    return rc || g->why.code == 0 ? rc
                                  : st_err_set(err, g->why.code, "%s", g->why.message);
}

static int gather(gathering *g, const char *const *texts, const size_t *lens, uint32_t n,
                  int *ret_codes, st_err *err)
{
    place *places = st_zalloc_n(n, sizeof *places);
    if (!places)
        return st_err_set(err, ST_ENOMEM, "no memory to decide %u texts", n);
    int rc = ask_all(g, places, texts, lens, n, ret_codes, err);
    st_free(places);
    return rc;
}

/* ---- encoders: text by text ---- */

static int score_names(readout *r, const char *text, size_t len, double *ret_logp,
                       double *ret_probs, double *ret_mass, st_err *err)
{
    double logp[QUESTION_MAX_OPTIONS];
    int rc = readout_bind(r, err);
    if (rc == 0)
        rc = names_score(r->names, text, len, logp, err);
    if (rc)
        return rc;
    if (ret_logp)
        memcpy(ret_logp, logp, r->q->n_options * sizeof *logp);
    if (ret_probs)
        (void)readout_combine(&r->opts, r->q->n_options, logp, NULL, ret_probs);
    if (ret_mass)
        *ret_mass = (double)NAN;
    return 0;
}

static int gather_names(gathering *g, const char *const *texts, const size_t *lens,
                        uint32_t n, int *ret_codes, st_err *err)
{
    size_t width = g->r->q->n_options;
    for (uint32_t i = 0; i < n; i++) {
        st_err why = {0};
        int rc = score_names(
            g->r, texts[i], lens[i], g->logp ? g->logp + i * width : NULL,
            g->probs ? g->probs + i * width : NULL, g->mass ? g->mass + i : NULL, &why);
        ret_codes[i] = rc == ST_ELIMIT ? rc : 0;
        if (rc && rc != ST_ELIMIT)
            return st_err_set(err, rc, "%s", why.message);
    }
    return 0;
}

/* ---- the door ---- */

static int ask_many(gathering *g, const char *const *texts, const size_t *lens,
                    uint32_t n, int *ret_codes, st_err *err)
{
    if (n == 0)
        return 0;
    return g->r->opts.mode == READOUT_NAMES
               ? gather_names(g, texts, lens, n, ret_codes, err)
               : gather(g, texts, lens, n, ret_codes, err);
}

/* One text, whose being too long is the call's error. */
static int ask_one(gathering *g, const char *text, size_t len, st_err *err)
{
    place at = {.of = g};
    if (g->r->opts.mode == READOUT_NAMES)
        return score_names(g->r, text, len, g->logp, g->probs, g->mass, err);
    int rc = start_one(g, &at, text, len, err);
    step_until(g, 0);
    return rc || g->why.code == 0 ? rc
                                  : st_err_set(err, g->why.code, "%s", g->why.message);
}

int readout_raw_many(readout *r, const char *const *texts, const size_t *lens, uint32_t n,
                     double *ret_logp, int *ret_codes, st_err *err)
{
    gathering g = {.r = r, .logp = ret_logp};
    return ask_many(&g, texts, lens, n, ret_codes, err);
}

int readout_raw(readout *r, const char *text, size_t len, double *ret_logp, st_err *err)
{
    gathering g = {.r = r, .logp = ret_logp};
    return ask_one(&g, text, len, err);
}

int readout_decide_many(readout *r, const char *const *texts, const size_t *lens,
                        uint32_t n, double *ret_probs, double *ret_mass, int *ret_codes,
                        st_err *err)
{
    gathering g = {.r = r, .probs = ret_probs, .mass = ret_mass};
    return ask_many(&g, texts, lens, n, ret_codes, err);
}

int readout_decide(readout *r, const char *text, size_t len, double *ret_probs,
                   double *ret_mass, st_err *err)
{
    gathering g = {.r = r, .probs = ret_probs, .mass = ret_mass};
    return ask_one(&g, text, len, err);
}

int readout_cost(readout *r, const char *text, size_t len, uint64_t *ret_tokens,
                 st_err *err)
{
    uint64_t sum = 0;
    int rc = readout_bind(r, err);
    for (uint32_t i = 0; rc == 0 && !r->names && i < r->opts.rotations; i++) {
        view *v = &r->views[i];
        tok_ids prompt = {0};
        rc = prompt_encode(&v->form, text, len, &prompt, err);
        size_t kept = v->pin ? v->prefix.n : 0;
        sum += prompt.n > kept ? prompt.n - kept : 1;
        sum += options_n_nodes(v->replies);
        tok_ids_done(&prompt);
    }
    if (rc == 0)
        *ret_tokens = sum;
    return rc;
}
