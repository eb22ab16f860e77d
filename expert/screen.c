/* expert/screen.c - choose a reading.
 *
 * The states of all layers are kept for the sample, so a candidate costs a short fit and
 * no pass of the model.  Wide states are folded to SKETCH numbers by signed sums (a count
 * sketch), which keeps distances well enough to compare candidates. */
#include "expert/screen.h"

#include "base/mem.h"
#include "base/rng.h"
#include "expert/learn.h"
#include "stats/folds.h"
#include <math.h>
#include <string.h>

enum {
    MOST_ROWS = 2000,
    LEAST_ROWS = 200,
    LEAST_LAYERS = 4,  /* tried, whatever they cost */
    PROMPT_ROWS = 600, /* at most, with the prompt, which is many times longer */
    SKETCH = 1152,
    N_FOLDS = 3,
    ALL_FOLDS_ROWS = 600, /* up to here every fold is judged, above only the first */
    ITERS = 25,
    LAYERS_TRIED = 16, /* each alone */
    MORE_TRIED = 8,    /* beside the best */
    SKETCH_SEED = 5,
};
#define BUDGET_MACS 6e11 /* multiplications spent on states of the sample */
#define ENCODE_MACS 4e12 /* and on those of all rows, by a decoder of the best depth */
#define BUDGET_BYTES (256.0 * (1 << 20)) /* memory for them */
#define L2 1e-7 /* as weak as a final fit may choose: few iterations shrink enough */
#define DEPTH_COST                                                                       \
    0.06 /* of the NLL, for all layers of a decoder: each is paid for in use */
#define PROMPT_BETTER 0.94 /* the prompt costs several times as much as the text */
#define BETTER 0.985       /* a further layer must bring the NLL below this share */

typedef struct sample {
    const reading_job *job;
    gemm *g;
    words_text *texts;
    int32_t *labels;
    uint32_t n, k;
    uint8_t *folds;
    uint32_t n_all; /* rows that will be read with the choice */
    uint32_t n_embd;
    uint32_t top[2];          /* highest layer tried: states are [n, top + 1, n_embd] */
    float *mean[2], *last[2]; /* [0] bare, [1] in the prompt; NULL when not tried */
    uint32_t prompt_rows;     /* the first rows that have prompt states */
    uint32_t n_judged;        /* candidates so far, for progress */
    st_err *err;
} sample;

typedef struct judged_reading {
    reading r;
    double nll;
} judged_reading;

static void sample_done(sample *s)
{
    st_free(s->texts);
    st_free(s->labels);
    st_free(s->folds);
    for (int i = 0; i < 2; i++) {
        st_free(s->mean[i]);
        st_free(s->last[i]);
    }
}

static uint32_t limit_rows(double want, uint32_t least, uint32_t most)
{
    return want < least ? least : want > most ? most : (uint32_t)want;
}

/* How deep and how many rows can be afforded, given the first rows' tokens. */
static int count_rows(sample *s, const words_text *texts, uint32_t n, bool prompt,
                      uint32_t *ret_rows)
{
    const model_info *m = model_about(s->job->lm->model);
    uint32_t probe = n < 50 ? n : 50;
    uint64_t tokens;
    int code = reading_count(s->job, prompt, texts, probe, &tokens, s->err);
    if (code)
        return code;
    double layer = (double)(tokens ? tokens : 1) / probe * (double)m->macs_per_token /
                   (m->n_layers ? m->n_layers : 1);
    uint32_t least = m->n_layers < LEAST_LAYERS ? m->n_layers : LEAST_LAYERS;
    s->top[prompt] = m->n_layers;
    if (m->causal)
        s->top[prompt] = limit_rows(ENCODE_MACS / (layer * s->n_all), least, m->n_layers);
    uint32_t top = s->top[prompt];
    double bytes = 4.0 * sizeof(float) * (top + 1) * m->n_embd;
    uint32_t rows =
        limit_rows(BUDGET_MACS / (layer * (top ? top : 1)), LEAST_ROWS, MOST_ROWS);
    rows = limit_rows(BUDGET_BYTES / bytes, LEAST_ROWS, rows);
    *ret_rows = rows < n ? rows : n;
    return 0;
}

static int pick_rows(sample *s, const words_text *texts, const int32_t *labels,
                     uint32_t n, uint32_t want, uint64_t seed)
{
    uint32_t *rows = st_alloc_n(want, sizeof *rows);
    s->texts = st_alloc_n(want, sizeof *s->texts);
    s->labels = st_alloc_n(want, sizeof *s->labels);
    s->folds = st_alloc_n(want, 1);
    int64_t count = rows && s->texts && s->labels && s->folds
                        ? folds_sample(labels, n, s->k, want, seed, rows, s->err)
                        : st_err_set(s->err, ST_ENOMEM, "screening: out of memory");
    for (int64_t i = 0; i < count; i++) {
        s->texts[i] = texts[rows[i]];
        s->labels[i] = labels[rows[i]];
    }
    st_free(rows);
    if (count < 0)
        return (int)count;
    s->n = (uint32_t)count;
    return folds_assign(s->labels, s->n, s->k, N_FOLDS, seed, s->folds, s->err);
}

static int read_states(sample *s, bool prompt, uint32_t rows)
{
    size_t n = (size_t)(s->top[prompt] + 1) * s->n_embd;
    s->mean[prompt] = st_alloc_n(rows, n * sizeof(float));
    s->last[prompt] = st_alloc_n(rows, n * sizeof(float));
    if (!s->mean[prompt] || !s->last[prompt])
        return st_err_set(s->err, ST_ENOMEM, "screening: out of memory");
    return reading_layers(s->job, prompt, 0, s->top[prompt], s->texts, rows,
                          s->mean[prompt], s->last[prompt], s->err);
}

/* Add a layer's unit vector into the sketch of a row. */
static void sketch_add(const float *x, uint32_t n, uint32_t width, bool whole,
                       uint32_t at, st_rng *rng, float *row)
{
    if (whole) {
        memcpy(row + at, x, n * sizeof *x);
        reading_unit(row + at, n);
        return;
    }
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    float scale = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t h = st_rng_u64(rng);
        row[(h >> 1) % width] += (h & 1 ? scale : -scale) * x[i];
    }
}

/* The rows of a reading over the first n rows of the sample: [n, *ret_d], scaled. */
static int candidate_rows(sample *s, const reading *r, uint32_t n, float **ret_rows,
                          uint32_t *ret_d)
{
    const float *states = (r->pooling == READING_LAST ? s->last : s->mean)[r->prompt];
    uint32_t whole = r->n_layers * s->n_embd, d = whole < SKETCH ? whole : SKETCH;
    float *rows = st_zalloc_n((size_t)n * d, sizeof *rows);
    if (!rows)
        return st_err_set(s->err, ST_ENOMEM, "screening: out of memory");
    for (uint32_t i = 0; i < n; i++) {
        st_rng rng = {SKETCH_SEED};
        for (uint32_t l = 0; l < r->n_layers; l++)
            sketch_add(
                states + ((size_t)i * (s->top[r->prompt] + 1) + r->layers[l]) * s->n_embd,
                s->n_embd, d, d == whole, l * s->n_embd, &rng, rows + (size_t)i * d);
    }
    scaling scale;
    int code = scaling_fit(rows, n, d, &scale, s->err);
    if (code) {
        st_free(rows);
        return code;
    }
    scaling_apply(&scale, rows, n, rows);
    st_free(scale.mean);
    st_free(scale.factor);
    *ret_rows = rows;
    *ret_d = d;
    return 0;
}

typedef struct fold_work {
    float *weights; /* [n]: 0 for the rows of the fold */
    float *model;
    float *logp;     /* [n, k]; the fold's rows are moved to the front */
    int32_t *labels; /* of those */
} fold_work;

static int fold_alloc(fold_work *w, uint32_t n, uint32_t d, uint32_t k)
{
    w->weights = st_alloc_n(n, sizeof *w->weights);
    w->model = st_alloc_n(logit_size(d, k), sizeof *w->model);
    w->logp = st_alloc_n((size_t)n * k, sizeof *w->logp);
    w->labels = st_alloc_n(n, sizeof *w->labels);
    return w->weights && w->model && w->logp && w->labels ? 0 : ST_ENOMEM;
}

static void fold_done(fold_work *w)
{
    st_free(w->weights);
    st_free(w->model);
    st_free(w->logp);
    st_free(w->labels);
}

/* NLL of one fold of the rows, fitted on the others. */
static int fold_nll(sample *s, fold_work *w, const logit_rows *rows, uint32_t fold,
                    double *ret_nll)
{
    logit_opts opts = {.l2 = L2,
                       .weights = w->weights,
                       .search = {.max_iters = ITERS, .tolerance = 1e-4}};
    uint32_t n_test = 0;
    for (uint32_t i = 0; i < rows->n; i++)
        w->weights[i] = s->folds[i] != fold;
    memset(w->model, 0, logit_size(rows->d, s->k) * sizeof *w->model);
    int code = logit_fit(s->g, rows, s->labels, s->k, &opts, w->model, NULL, s->err);
    if (code)
        return code;
    logit_predict(s->g, rows, s->k, w->model, w->logp);
    for (uint32_t i = 0; i < rows->n; i++) {
        if (s->folds[i] != fold)
            continue;
        memmove(w->logp + (size_t)n_test * s->k, w->logp + (size_t)i * s->k,
                s->k * sizeof *w->logp);
        w->labels[n_test++] = s->labels[i];
    }
    *ret_nll = n_test ? learn_nll(w->logp, w->labels, n_test, s->k) : log(s->k);
    return 0;
}

static int judge(sample *s, uint32_t n, judged_reading *c)
{
    float *x = NULL;
    uint32_t d = 0;
    fold_work w = {0};
    int code = candidate_rows(s, &c->r, n, &x, &d);
    if (!code && fold_alloc(&w, n, d, s->k))
        code = st_err_set(s->err, ST_ENOMEM, "screening: out of memory");
    uint32_t folds = n <= ALL_FOLDS_ROWS ? N_FOLDS : 1;
    logit_rows rows = {.dense = x, .n = n, .d = d};
    c->nll = 0;
    for (uint32_t f = 0; f < folds && !code; f++) {
        double nll = 0;
        code = fold_nll(s, &w, &rows, f, &nll);
        c->nll += nll / folds;
    }
    fold_done(&w);
    st_free(x);
    const model_info *m = model_about(s->job->lm->model);
    if (m->causal && m->n_layers)
        c->nll *= 1 + DEPTH_COST * c->r.layers[c->r.n_layers - 1] / m->n_layers;
    s->n_judged++;
    if (!code && !st_progress_report(s->job->progress, "comparing layers", s->n_judged,
                                     s->n_judged + MORE_TRIED))
        code = st_err_set(s->err, ST_ECANCELLED, "cancelled while comparing layers");
    return code;
}

/* Judge the layers of one way of reading; the best of them and of *best stays. */
static int judge_layers(sample *s, bool prompt, reading_pooling pooling, uint32_t rows,
                        judged_reading *best)
{
    uint32_t stride = s->top[prompt] / LAYERS_TRIED + 1;
    int code = 0;
    for (uint32_t l = 0; l <= s->top[prompt] && !code; l += stride) {
        judged_reading c = {.r = {1, {l}, pooling, prompt}};
        code = judge(s, rows, &c);
        if (!code && c.nll < best->nll)
            *best = c;
    }
    return code;
}

/* The reading with one more layer, in order; false when it is there or there is no room.
 */
static bool with_layer(const reading *r, uint32_t layer, reading *ret)
{
    *ret = *r;
    if (r->n_layers == READING_MAX_LAYERS - 1)
        return false;
    uint32_t at = r->n_layers;
    for (uint32_t i = 0; i < r->n_layers; i++)
        if (r->layers[i] == layer)
            return false;
    for (; at > 0 && ret->layers[at - 1] > layer; at--)
        ret->layers[at] = ret->layers[at - 1];
    ret->layers[at] = layer;
    ret->n_layers++;
    return true;
}

/* Add the layer that helps most, below or above: the first choice between two layers may
 * be a near tie.  *ret_more is false when none clearly does. */
static int add_layer(sample *s, uint32_t rows, judged_reading *best, bool *ret_more)
{
    uint32_t top = s->top[best->r.prompt];
    uint32_t stride = top / MORE_TRIED + 1;
    judged_reading found = *best;
    int code = 0;
    for (uint32_t i = 0; i <= top && !code; i += stride) {
        judged_reading c;
        if (!with_layer(&best->r, top - i, &c.r))
            continue;
        code = judge(s, rows, &c);
        if (!code && c.nll < found.nll)
            found = c;
    }
    *ret_more = found.nll < best->nll * BETTER;
    if (*ret_more)
        *best = found;
    return code;
}

/* Compare bare text and prompt on the same rows, and keep the better way's best. */
static int try_prompt(sample *s, judged_reading *best)
{
    uint32_t rows;
    int code = count_rows(s, s->texts, s->n, true, &rows);
    if (code)
        return code;
    rows = rows < PROMPT_ROWS ? rows : PROMPT_ROWS;
    rows = rows < s->n ? rows : s->n;
    judged_reading bare = *best, inside = {.nll = INFINITY};
    (void)((code = read_states(s, true, rows)) || (code = judge(s, rows, &bare)) ||
           (code = judge_layers(s, true, READING_MEAN, rows, &inside)) ||
           (code = judge_layers(s, true, READING_LAST, rows, &inside)));
    if (!code && inside.nll < bare.nll * PROMPT_BETTER)
        *best = inside;
    s->prompt_rows = rows;
    return code;
}

static int choose(sample *s, reading *ret_reading)
{
    judged_reading best = {.nll = INFINITY};
    bool more = true;
    int code;
    if ((code = read_states(s, false, s->n)) ||
        (code = judge_layers(s, false, READING_MEAN, s->n, &best)) ||
        (code = judge_layers(s, false, READING_LAST, s->n, &best)))
        return code;
    if (model_about(s->job->lm->model)->causal && s->n_all <= MOST_ROWS)
        code = try_prompt(s, &best);
    uint32_t rows = best.r.prompt ? s->prompt_rows : s->n;
    while (!code && more && best.r.n_layers < READING_MAX_LAYERS - 1)
        code = add_layer(s, rows, &best, &more);
    if (!code)
        *ret_reading = best.r;
    return code;
}

int screen_run(const reading_job *job, gemm *g, const words_text *texts,
               const int32_t *labels, uint32_t n, uint32_t k, uint64_t seed,
               reading *ret_reading, st_err *err)
{
    const model_info *m = model_about(job->lm->model);
    sample s = {.job = job, .g = g, .k = k, .n_all = n, .n_embd = m->n_embd, .err = err};
    uint32_t want;
    int code = count_rows(&s, texts, n, false, &want);
    if (!code)
        code = pick_rows(&s, texts, labels, n, want, seed);
    if (!code)
        code = choose(&s, ret_reading);
    sample_done(&s);
    return code;
}
