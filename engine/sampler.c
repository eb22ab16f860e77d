/* engine/sampler.c - biases, penalties, cuts, and the draw.
 *
 * top-k, top-p and min-p each keep a beginning of the candidates in falling order of
 * logit (ties: rising id), so one heap serves them all: it is built once over the
 * vocabulary and popped until a cut says stop.  Without a cut the draw walks the
 * vocabulary in order and nothing is sorted.
 *
 *   top-k  stops after k
 *   top-p  stops when the mass kept reaches top_p of what top-k left
 *   min-p  stops before a probability below min_p times the highest
 *
 * A logit that is not a number counts as minus infinity.  The best candidate is always
 * kept.  Penalties are counted from the history at each pick, so a sampler has no state
 * but that of the draw. */
#include "engine/sampler.h"

#include "base/mem.h"
#include "engine/expsum.h"
#include <math.h>

enum {
    LANES = 16,  /* maxima found side by side, as wide as a vector register may be */
    BLOCK = 1024 /* entries among which the highest is looked for again */
};

struct sampler_work {
    uint32_t n_vocab;
    uint32_t *counts; /* [n_vocab] 0 between picks */
    int32_t *heap;    /* [n_vocab] */
    float *mass;      /* [n_vocab] exp((logit - highest) / temperature) */
};

static int opts_check(const sampler_opts *o, st_err *err)
{
    if (!(o->temperature >= 0) || !isfinite(o->temperature))
        return st_err_set(err, ST_EINVAL, "temperature must be 0 or more");
    if (!(o->top_p > 0 && o->top_p <= 1))
        return st_err_set(err, ST_EINVAL, "top_p must be over 0 and at most 1");
    if (!(o->min_p >= 0 && o->min_p < 1))
        return st_err_set(err, ST_EINVAL, "min_p must be at least 0 and under 1");
    if (!(o->repeat_penalty > 0) || !isfinite(o->repeat_penalty))
        return st_err_set(err, ST_EINVAL, "repeat_penalty must be over 0");
    if (!isfinite(o->frequency_penalty))
        return st_err_set(err, ST_EINVAL, "frequency_penalty must be a number");
    if (!isfinite(o->presence_penalty))
        return st_err_set(err, ST_EINVAL, "presence_penalty must be a number");
    return 0;
}

int sampler_init(sampler *s, const sampler_opts *opts, st_err *err)
{
    int rc = opts_check(opts, err);
    if (rc == 0)
        *s = (sampler){.opts = *opts, .rng = {opts->seed}};
    return rc;
}

int sampler_bias_set(sampler *s, const sampler_bias *bias, uint32_t n, uint32_t n_vocab,
                     st_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        if (bias[i].id < 0 || (uint32_t)bias[i].id >= n_vocab)
            return st_err_set(err, ST_EINVAL, "a bias is for id %d of a vocabulary of %u",
                              bias[i].id, n_vocab);
        if (!isfinite(bias[i].add))
            return st_err_set(err, ST_EINVAL, "the bias for id %d must be a number",
                              bias[i].id);
    }
    s->bias = bias;
    s->n_bias = n;
    return 0;
}

int sampler_work_new(uint32_t n_vocab, sampler_work **ret_work, st_err *err)
{
    if (n_vocab == 0 || n_vocab > INT32_MAX)
        return st_err_set(err, ST_EINVAL, "a vocabulary of %u", n_vocab);
    sampler_work *w = st_zalloc_n(1, sizeof *w);
    if (!w)
        goto fail;
    w->n_vocab = n_vocab;
    w->counts = st_zalloc_n(n_vocab, sizeof *w->counts);
    w->heap = st_alloc_n(n_vocab, sizeof *w->heap);
    w->mass = st_alloc_n(n_vocab, sizeof *w->mass);
    if (!w->counts || !w->heap || !w->mass)
        goto fail;
    *ret_work = w;
    return 0;
fail:
    sampler_work_free(w);
    return st_err_set(err, ST_ENOMEM, "no memory for a sampler");
}

void sampler_work_free(sampler_work *w)
{
    if (!w)
        return;
    st_free(w->mass);
    st_free(w->heap);
    st_free(w->counts);
    st_free(w);
}

static bool penalises(const sampler_opts *o)
{
    return o->repeat_penalty < 1 || o->repeat_penalty > 1 || o->frequency_penalty < 0 ||
           o->frequency_penalty > 0 || o->presence_penalty < 0 || o->presence_penalty > 0;
}

bool sampler_takes_best(const sampler *s)
{
    return s->opts.temperature <= 0 && !penalises(&s->opts) && s->n_bias == 0;
}

/* Each id of the history once: its count is taken back where it is used. */
static void penalise(const sampler_opts *o, sampler_work *w, const int32_t *history,
                     uint32_t n, float *logits)
{
    for (uint32_t i = 0; i < n; i++)
        if (history[i] >= 0 && (uint32_t)history[i] < w->n_vocab)
            w->counts[history[i]]++;
    for (uint32_t i = 0; i < n; i++) {
        int32_t id = history[i];
        if (id < 0 || (uint32_t)id >= w->n_vocab || w->counts[id] == 0)
            continue;
        float x = logits[id];
        x = x > 0 ? x / o->repeat_penalty : x * o->repeat_penalty;
        x -= (float)w->counts[id] * o->frequency_penalty + o->presence_penalty;
        logits[id] = x;
        w->counts[id] = 0;
    }
}

static float high_find(const float *x, uint32_t n)
{
    float lanes[LANES];
    uint32_t i = 0;
    for (int k = 0; k < LANES; k++)
        lanes[k] = -INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            lanes[k] = x[i + k] > lanes[k] ? x[i + k] : lanes[k];
    for (; i < n; i++)
        lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
    for (int k = 1; k < LANES; k++)
        lanes[0] = lanes[k] > lanes[0] ? lanes[k] : lanes[0];
    return lanes[0];
}

int32_t sampler_best(const float *logits, uint32_t n_vocab)
{
    float high = -INFINITY;
    uint32_t at = 0;
    for (uint32_t i = 0; i < n_vocab; i += BLOCK) {
        float x = high_find(logits + i, n_vocab - i < BLOCK ? n_vocab - i : BLOCK);
        if (x > high) {
            high = x;
            at = i;
        }
    }
    while (high > -INFINITY && !(logits[at] >= high))
        at++;
    return (int32_t)at;
}

static bool comes_before(const float *logits, int32_t a, int32_t b)
{
    return logits[a] > logits[b] || (logits[a] >= logits[b] && a < b);
}

static void sift_down(int32_t *heap, uint32_t n, uint32_t at, const float *logits)
{
    int32_t moving = heap[at];
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && comes_before(logits, heap[child + 1], heap[child]))
            child++;
        if (!comes_before(logits, heap[child], moving))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

/* Move the best candidate behind the heap: after k pops the k best stand at the end of
 * the array, the best last. */
static int32_t heap_pop(int32_t *heap, uint32_t *n, const float *logits)
{
    int32_t top = heap[0];
    heap[0] = heap[--*n];
    if (*n > 0)
        sift_down(heap, *n, 0, logits);
    heap[*n] = top;
    return top;
}

/* Keep the candidates that the cuts leave; returns how many, they stand at the end of the
 * heap array, the best last. */
static uint32_t candidates_cut(const sampler_opts *o, sampler_work *w,
                               const float *logits, double total)
{
    uint32_t n = w->n_vocab, k = o->top_k > 0 && o->top_k < n ? o->top_k : n, kept = 0;
    int32_t *end = w->heap + w->n_vocab - 1;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        w->heap[i] = (int32_t)i;
    for (uint32_t i = n / 2; i-- > 0;)
        sift_down(w->heap, n, i, logits);
    if (k < w->n_vocab) {
        total = 0;
        for (uint32_t i = 0; i < k; i++)
            total += (double)w->mass[heap_pop(w->heap, &n, logits)];
    }
    while (kept < k && (kept == 0 || sum < (double)o->top_p * total)) {
        int32_t id = k < w->n_vocab ? end[-(int64_t)kept] : heap_pop(w->heap, &n, logits);
        if (kept > 0 && w->mass[id] < o->min_p)
            break; /* the highest mass is 1 */
        sum += (double)w->mass[id];
        kept++;
    }
    return kept;
}

static int32_t draw_all(sampler *s, const sampler_work *w, double total, int32_t best)
{
    double at = st_rng_unit(&s->rng) * total;
    for (uint32_t i = 0; i < w->n_vocab; i++) {
        at -= (double)w->mass[i];
        if (at < 0)
            return (int32_t)i;
    }
    return best; /* rounding: the sum was reached, not passed */
}

static int32_t draw_kept(sampler *s, const sampler_work *w, uint32_t kept)
{
    const int32_t *end = w->heap + w->n_vocab - 1;
    double total = 0;
    for (uint32_t i = 0; i < kept; i++)
        total += (double)w->mass[end[-(int64_t)i]];
    double at = st_rng_unit(&s->rng) * total;
    for (uint32_t i = 0; i < kept; i++) {
        at -= (double)w->mass[end[-(int64_t)i]];
        if (at < 0)
            return end[-(int64_t)i];
    }
    return end[0];
}

int32_t sampler_pick(sampler *s, sampler_work *w, const int32_t *history, uint32_t n,
                     float *logits)
{
    const sampler_opts *o = &s->opts;
    for (uint32_t i = 0; i < s->n_bias; i++)
        logits[s->bias[i].id] += s->bias[i].add;
    if (penalises(o))
        penalise(o, w, history, n, logits);
    int32_t best = sampler_best(logits, w->n_vocab);
    float high = logits[best];
    if (o->temperature <= 0 || isinf(high) || isnan(high))
        return best;
    if (o->top_k > 0 || o->top_p < 1 || o->min_p > 0)
        for (uint32_t i = 0; i < w->n_vocab; i++)
            logits[i] = isnan(logits[i]) ? -INFINITY : logits[i]; /* they are compared */
    double total = exp_sum(logits, w->n_vocab, high, 1 / o->temperature, w->mass);
    bool cut = (o->top_k > 0 && o->top_k < w->n_vocab) || o->top_p < 1 || o->min_p > 0;
    return cut ? draw_kept(s, w, candidates_cut(o, w, logits, total))
               : draw_all(s, w, total, best);
}
