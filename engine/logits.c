/* engine/logits.c - from the final states of a pass to what its items asked for.
 *
 * The head is the widest matrix of a small model, so it is multiplied only for the rows
 * and ids that are wanted; one by one where an output may take few ids.  A normaliser and
 * a choice among many need the whole vocabulary: those rows are done HEAD_ROWS at a time,
 * rows of different sequences together, and are kept no longer.
 *
 * log-sum-exp: each chunk of LSE_CHUNK entries gives its maximum and, in double, the sum
 * of exp(logit - maximum) (expsum.h); the chunks are joined in order.  Chunks are fixed,
 * so the bytes do not depend on the threads. */
#include "engine/core.h"

#include "engine/expsum.h"
#include "engine/likely.h"
#include "engine/sampler.h"
#include <math.h>
#include <string.h>

typedef struct lse_job {
    engine *e;
    uint32_t n_vocab;
    uint32_t n_chunks; /* of one row */
} lse_job;

uint32_t allowed_count(const uint32_t *bits, uint32_t n_vocab)
{
    uint32_t n = 0, words = n_vocab / 32, rest = n_vocab % 32;
    for (uint32_t i = 0; i < words; i++)
        n += (uint32_t)__builtin_popcount(bits[i]);
    if (rest > 0)
        n += (uint32_t)__builtin_popcount(bits[words] & ((UINT32_C(1) << rest) - 1));
    return n;
}

/* Rule out what is not allowed of the ids [from, from + n); returns the first allowed one
 * or NO_ID. */
static uint32_t chunk_mask(const uint32_t *bits, uint32_t from, uint32_t n, float *x)
{
    uint32_t first = NO_ID;
    for (uint32_t i = 0; i < n; i += 32) {
        uint32_t word = bits[(from + i) / 32], end = n - i < 32 ? n - i : 32;
        if (word == UINT32_MAX && first != NO_ID)
            continue;
        for (uint32_t k = 0; k < end; k++) {
            bool may = word >> k & 1;
            x[i + k] = may ? x[i + k] : -INFINITY;
            if (may && first == NO_ID)
                first = from + i + k;
        }
    }
    return first;
}

static float finite_or_low(float x)
{
    return isnan(x) ? -INFINITY : x;
}

static void lse_chunk(void *arg, uint32_t at, uint32_t worker)
{
    const lse_job *job = arg;
    uint32_t row = at / job->n_chunks, from = at % job->n_chunks * LSE_CHUNK;
    uint32_t n = job->n_vocab - from < LSE_CHUNK ? job->n_vocab - from : LSE_CHUNK;
    float *x = job->e->logits + (size_t)row * job->n_vocab + from;
    const head_row *r = &job->e->head_rows[row];
    uint32_t best = (uint32_t)sampler_best(x, n), first = from;
    float max = finite_or_low(x[best]);
    lse_part part = {.max = max};
    (void)worker;
    if (max > -INFINITY && r->item->ret_lse)
        part.sum = exp_sum(x, n, max, 1, NULL);
    if (r->item->n_likely > 0)
        part.n_likely = likely_find(x, from, n, r->item->n_likely,
                                    job->e->likely + (size_t)at * STEP_MAX_LIKELY);
    if (r->item->allowed) {
        first = chunk_mask(r->item->allowed[r->out], from, n, x);
        best = (uint32_t)sampler_best(x, n);
        max = finite_or_low(x[best]);
    }
    part.best = max > -INFINITY ? from + best : first;
    part.best_max = max;
    if (max > -INFINITY && r->item->ret_held_lse)
        part.held = exp_sum(x, n, max, 1, NULL);
    job->e->parts[at] = part;
}

static uint32_t best_join(const lse_part *parts, uint32_t n)
{
    const lse_part *best = NULL;
    for (uint32_t i = 0; i < n; i++)
        if (parts[i].best != NO_ID && (!best || parts[i].best_max > best->best_max))
            best = &parts[i];
    return best ? best->best : 0; /* there is one: items_check */
}

static double lse_join(const lse_part *parts, uint32_t n, bool held)
{
    float max = -INFINITY;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        float part = held ? parts[i].best_max : parts[i].max;
        max = part > max ? part : max;
    }
    for (uint32_t i = 0; i < n && max > -INFINITY; i++)
        sum += (held ? parts[i].held : parts[i].sum) *
               exp((double)(held ? parts[i].best_max : parts[i].max) - (double)max);
    return (double)max + log(sum);
}

static void likely_all(const engine *e, const step_item *it, uint32_t out, uint32_t part0,
                       uint32_t n_parts)
{
    step_likely *ret = it->ret_likely + (size_t)out * it->n_likely;
    uint32_t n = 0;
    for (uint32_t i = part0; i < part0 + n_parts; i++)
        n = likely_join(ret, n, e->likely + (size_t)i * STEP_MAX_LIKELY,
                        e->parts[i].n_likely, it->n_likely);
}

static bool wants_head(const step_item *it)
{
    return it->ret_lse || it->ret_best || it->ret_held_lse || it->n_likely > 0 ||
           (it->ret_logits && (it->n_ids > 0 || !it->ids_end));
}

/* Of an item that wants the head: the whole of it, or only its `ids`? */
static bool wants_vocab(const step_item *it)
{
    return it->ret_lse || it->ret_best || it->ret_held_lse || it->n_likely > 0 ||
           (it->n_ids == 0 && !it->ids_end);
}

/* Where the wanted ids of output `out` begin, and how many they are. */
static uint32_t ids_of(const step_item *it, uint32_t out, size_t *ret_at)
{
    if (!it->ids_end) {
        *ret_at = 0;
        return it->n_ids;
    }
    uint32_t from = out > 0 ? it->ids_end[out - 1] : 0;
    *ret_at = from;
    return it->ids_end[out] - from;
}

/* Give output `out` of an item what it wants of a row of logits. */
static void row_scatter(const step_item *it, uint32_t out, const float *logits,
                        uint32_t n_vocab)
{
    size_t at;
    uint32_t n = ids_of(it, out, &at);
    if (!it->ret_logits)
        return;
    if (it->n_ids == 0 && !it->ids_end) {
        memcpy(it->ret_logits + (size_t)out * n_vocab, logits, n_vocab * sizeof *logits);
        return;
    }
    float *to = it->ret_logits + (it->ids_end ? at : (size_t)out * it->n_ids);
    for (uint32_t i = 0; i < n; i++)
        to[i] = logits[it->ids[at + i]];
}

/* What the rows that were put together want. */
static int rows_flush(engine *e, st_err *err)
{
    uint32_t n_vocab = model_about(e->model)->n_vocab, n_rows = e->n_head_rows;
    uint32_t n_chunks = (n_vocab + LSE_CHUNK - 1) / LSE_CHUNK;
    lse_job job = {e, n_vocab, n_chunks};
    bool chunks = false;
    e->n_head_rows = 0;
    int rc = model_head(e->model, e->work, e->head_hidden, n_rows, NULL, n_vocab,
                        e->logits, err);
    if (rc < 0)
        return rc;
    for (uint32_t r = 0; r < n_rows; r++) {
        const step_item *it = e->head_rows[r].item;
        chunks = chunks || it->ret_lse || it->ret_best || it->allowed || it->n_likely;
    }
    if (chunks)
        workers_run(e->workers, n_rows * n_chunks, lse_chunk, &job);
    for (uint32_t r = 0; r < n_rows; r++) {
        const step_item *it = e->head_rows[r].item;
        const float *logits = e->logits + (size_t)r * n_vocab;
        uint32_t out = e->head_rows[r].out;
        const lse_part *parts = e->parts + (size_t)r * n_chunks;
        row_scatter(it, out, logits, n_vocab);
        if (it->ret_best)
            it->ret_best[out] = (int32_t)best_join(parts, n_chunks);
        if (it->ret_top)
            it->ret_top[out] = logits[it->ret_best[out]];
        if (it->ret_lse)
            it->ret_lse[out] = (float)lse_join(parts, n_chunks, false);
        if (it->ret_held_lse)
            it->ret_held_lse[out] = (float)lse_join(parts, n_chunks, true);
        if (it->n_likely > 0)
            likely_all(e, it, out, r * n_chunks, n_chunks);
    }
    return 0;
}

/* An output that wants the whole vocabulary; rows of different sequences together. */
static int row_add(engine *e, const step_item *it, uint32_t out, const float *hidden,
                   st_err *err)
{
    uint32_t n_embd = model_about(e->model)->n_embd;
    memcpy(e->head_hidden + (size_t)e->n_head_rows * n_embd, hidden,
           n_embd * sizeof *hidden);
    e->head_rows[e->n_head_rows++] = (head_row){it, out};
    return e->n_head_rows == HEAD_ROWS ? rows_flush(e, err) : 0;
}

/* Is the head multiplied for the allowed ids alone? */
static bool is_few(const engine *e, const step_item *it, uint32_t out)
{
    uint32_t n_vocab = model_about(e->model)->n_vocab;
    return it->allowed && !it->ret_lse && it->n_likely == 0 &&
           allowed_count(it->allowed[out], n_vocab) <= n_vocab / FEW_SHARE;
}

static uint32_t few_list(const engine *e, const uint32_t *bits)
{
    uint32_t n_vocab = model_about(e->model)->n_vocab, n = 0;
    for (uint32_t i = 0; i < n_vocab; i += 32)
        for (uint32_t word = bits[i / 32]; word; word &= word - 1) {
            uint32_t id = i + (uint32_t)__builtin_ctz(word);
            if (id < n_vocab)
                e->few[n++] = (int32_t)id;
        }
    return n;
}

static int row_few(engine *e, const step_item *it, uint32_t out, const float *hidden,
                   st_err *err)
{
    uint32_t n_vocab = model_about(e->model)->n_vocab;
    uint32_t n = few_list(e, it->allowed[out]);
    int rc = model_head(e->model, e->work, hidden, 1, e->few, n, e->few_logits, err);
    if (rc < 0)
        return rc;
    uint32_t best = (uint32_t)sampler_best(e->few_logits, n);
    float max = finite_or_low(e->few_logits[best]);
    float *logits = it->ret_logits ? it->ret_logits + (size_t)out * n_vocab : NULL;
    for (uint32_t i = 0; logits && i < n_vocab; i++)
        logits[i] = -INFINITY;
    for (uint32_t i = 0; logits && i < n; i++)
        logits[e->few[i]] = e->few_logits[i];
    if (it->ret_best)
        it->ret_best[out] = e->few[best];
    if (it->ret_top)
        it->ret_top[out] = e->few_logits[best];
    if (it->ret_held_lse)
        it->ret_held_lse[out] =
            max > -INFINITY
                ? (float)((double)max + log(exp_sum(e->few_logits, n, max, 1, NULL)))
                : -INFINITY;
    return 0;
}

/* Only the wanted ids. */
static int piece_ids(engine *e, const piece *p, st_err *err)
{
    const step_item *it = p->item;
    uint32_t n_embd = model_about(e->model)->n_embd;
    const float *hidden = e->hidden + (size_t)p->row0 * n_embd;
    if (!it->ids_end)
        return model_head(e->model, e->work, hidden, p->n_out, it->ids, it->n_ids,
                          it->ret_logits + (size_t)p->out0 * it->n_ids, err);
    for (uint32_t i = 0; i < p->n_out; i++) {
        size_t at;
        uint32_t n = ids_of(it, p->out0 + i, &at);
        int rc = n == 0 ? 0
                        : model_head(e->model, e->work, hidden + (size_t)i * n_embd, 1,
                                     it->ids + at, n, it->ret_logits + at, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int piece_outputs(engine *e, const piece *p, st_err *err)
{
    const step_item *it = p->item;
    uint32_t n_embd = model_about(e->model)->n_embd;
    const float *hidden = e->hidden + (size_t)p->row0 * n_embd;
    int rc = 0;
    if (it->ret_hidden)
        memcpy(it->ret_hidden + (size_t)p->out0 * n_embd, hidden,
               (size_t)p->n_out * n_embd * sizeof(float));
    if (!wants_head(it))
        return 0;
    if (!wants_vocab(it))
        return p->n_out > 0 ? piece_ids(e, p, err) : 0;
    for (uint32_t i = 0; rc == 0 && i < p->n_out; i++, hidden += n_embd)
        rc = is_few(e, it, p->out0 + i) ? row_few(e, it, p->out0 + i, hidden, err)
                                        : row_add(e, it, p->out0 + i, hidden, err);
    return rc;
}

int pass_outputs(engine *e, uint32_t n_pieces, st_err *err)
{
    int rc = 0;
    e->n_head_rows = 0;
    for (uint32_t i = 0; rc == 0 && i < n_pieces; i++)
        rc = piece_outputs(e, &e->pieces[i], err);
    return rc == 0 && e->n_head_rows > 0 ? rows_flush(e, err) : rc;
}
