/* engine/sampler.c - penalties, cuts, and the draw.
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
 * kept.  What the penalties need is two arrays of the vocabulary's size, so accepting a
 * token allocates nothing. */
#include "engine/sampler.h"

#include "base/mem.h"
#include "base/rng.h"
#include <math.h>

struct sampler {
    sampler_opts opts;
    uint32_t n_vocab;
    st_rng rng;
    uint32_t *counts; /* [n_vocab] times accepted */
    int32_t *seen;    /* [n_vocab] ids with counts > 0, in order of their first time */
    uint32_t n_seen;
    int32_t *heap; /* [n_vocab] */
    double *mass;  /* [n_vocab] exp(logit - highest) */
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

int sampler_new(const sampler_opts *opts, uint32_t n_vocab, sampler **ret_sampler,
                st_err *err)
{
    int rc = opts_check(opts, err);
    if (rc < 0)
        return rc;
    if (n_vocab == 0 || n_vocab > INT32_MAX)
        return st_err_set(err, ST_EINVAL, "a vocabulary of %u", n_vocab);
    sampler *s = st_zalloc_n(1, sizeof *s);
    if (!s)
        goto fail;
    s->opts = *opts;
    s->n_vocab = n_vocab;
    s->rng.state = opts->seed;
    s->counts = st_zalloc_n(n_vocab, sizeof *s->counts);
    s->seen = st_alloc_n(n_vocab, sizeof *s->seen);
    s->heap = st_alloc_n(n_vocab, sizeof *s->heap);
    s->mass = st_alloc_n(n_vocab, sizeof *s->mass);
    if (!s->counts || !s->seen || !s->heap || !s->mass)
        goto fail;
    *ret_sampler = s;
    return 0;
fail:
    sampler_free(s);
    return st_err_set(err, ST_ENOMEM, "no memory for a sampler");
}

void sampler_free(sampler *s)
{
    if (!s)
        return;
    st_free(s->mass);
    st_free(s->heap);
    st_free(s->seen);
    st_free(s->counts);
    st_free(s);
}

void sampler_accept(sampler *s, int32_t id)
{
    if (id < 0 || (uint32_t)id >= s->n_vocab)
        return;
    if (s->counts[id] == 0)
        s->seen[s->n_seen++] = id;
    if (s->counts[id] < UINT32_MAX)
        s->counts[id]++;
}

static void penalise(const sampler *s, float *logits)
{
    const sampler_opts *o = &s->opts;
    for (uint32_t i = 0; i < s->n_seen; i++) {
        int32_t id = s->seen[i];
        float x = logits[id];
        x = x > 0 ? x / o->repeat_penalty : x * o->repeat_penalty;
        x -= (float)s->counts[id] * o->frequency_penalty + o->presence_penalty;
        logits[id] = x;
    }
}

/* Make what is not a number minus infinity; the lowest id with the highest logit. */
static int32_t best_find(float *logits, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (isnan(logits[i]))
            logits[i] = -INFINITY;
        if (logits[i] > logits[best])
            best = i;
    }
    return (int32_t)best;
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
static uint32_t candidates_cut(sampler *s, const float *logits, double total)
{
    const sampler_opts *o = &s->opts;
    uint32_t n = s->n_vocab, k = o->top_k > 0 && o->top_k < n ? o->top_k : n, kept = 0;
    int32_t *end = s->heap + s->n_vocab - 1;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        s->heap[i] = (int32_t)i;
    for (uint32_t i = n / 2; i-- > 0;)
        sift_down(s->heap, n, i, logits);
    if (k < s->n_vocab) {
        total = 0;
        for (uint32_t i = 0; i < k; i++)
            total += s->mass[heap_pop(s->heap, &n, logits)];
    }
    while (kept < k && (kept == 0 || sum < (double)o->top_p * total)) {
        int32_t id = k < s->n_vocab ? end[-(int64_t)kept] : heap_pop(s->heap, &n, logits);
        if (kept > 0 && s->mass[id] < (double)o->min_p)
            break; /* the highest mass is 1 */
        sum += s->mass[id];
        kept++;
    }
    return kept;
}

static int32_t draw_all(sampler *s, double total, int32_t best)
{
    double at = st_rng_unit(&s->rng) * total;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        at -= s->mass[i];
        if (at < 0)
            return (int32_t)i;
    }
    return best; /* rounding: the sum was reached, not passed */
}

static int32_t draw_kept(sampler *s, uint32_t kept)
{
    const int32_t *end = s->heap + s->n_vocab - 1;
    double total = 0;
    for (uint32_t i = 0; i < kept; i++)
        total += s->mass[end[-(int64_t)i]];
    double at = st_rng_unit(&s->rng) * total;
    for (uint32_t i = 0; i < kept; i++) {
        at -= s->mass[end[-(int64_t)i]];
        if (at < 0)
            return end[-(int64_t)i];
    }
    return end[0];
}

int32_t sampler_pick(sampler *s, float *logits)
{
    const sampler_opts *o = &s->opts;
    double total = 0;
    penalise(s, logits);
    int32_t best = best_find(logits, s->n_vocab);
    float high = logits[best];
    if (o->temperature <= 0 || isinf(high))
        return best;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        s->mass[i] = exp(((double)logits[i] - (double)high) / (double)o->temperature);
        total += s->mass[i];
    }
    bool cut = (o->top_k > 0 && o->top_k < s->n_vocab) || o->top_p < 1 || o->min_p > 0;
    return cut ? draw_kept(s, candidates_cut(s, logits, total))
               : draw_all(s, total, best);
}
