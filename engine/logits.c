/* engine/logits.c - from the final states of a pass to what its items asked for.
 *
 * The head is the widest matrix of a small model, so it is multiplied only for the rows
 * and ids that are wanted.  A normaliser needs the whole vocabulary: those rows are done
 * HEAD_ROWS at a time, rows of different sequences together, and are kept no longer.
 *
 * log-sum-exp: each chunk of LSE_CHUNK entries gives its maximum and, in double, the sum
 * of exp(logit - maximum) (expsum.h); the chunks are joined in order.  Chunks are fixed,
 * so the bytes do not depend on the threads. */
#include "engine/core.h"

#include "engine/expsum.h"
#include "engine/sampler.h"
#include <math.h>
#include <string.h>

typedef struct lse_job {
    engine *e;
    uint32_t n_vocab;
    uint32_t n_chunks; /* of one row */
} lse_job;

static void lse_chunk(void *arg, uint32_t at, uint32_t worker)
{
    const lse_job *job = arg;
    uint32_t row = at / job->n_chunks, from = at % job->n_chunks * LSE_CHUNK;
    uint32_t n = job->n_vocab - from < LSE_CHUNK ? job->n_vocab - from : LSE_CHUNK;
    const float *x = job->e->logits + (size_t)row * job->n_vocab + from;
    uint32_t best = (uint32_t)sampler_best(x, n);
    float max = isnan(x[best]) ? -INFINITY : x[best];
    double sum = 0;
    (void)worker;
    if (max > -INFINITY && job->e->lse_rows[row])
        sum = exp_sum(x, n, max, 1, NULL);
    job->e->parts[at] = (lse_part){from + best, max, sum};
}

static uint32_t best_join(const lse_part *parts, uint32_t n)
{
    const lse_part *best = parts;
    for (uint32_t i = 1; i < n; i++)
        best = parts[i].max > best->max ? &parts[i] : best;
    return best->best;
}

static double lse_join(const lse_part *parts, uint32_t n)
{
    float max = -INFINITY;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        max = parts[i].max > max ? parts[i].max : max;
    for (uint32_t i = 0; i < n && max > -INFINITY; i++)
        sum += parts[i].sum * exp((double)parts[i].max - (double)max);
    return (double)max + log(sum);
}

static bool wants_vocab(const piece *p)
{
    return p->item->ret_lse || p->item->ret_best ||
           (p->item->ret_logits && p->item->n_ids == 0 && !p->item->ids_end);
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

/* The piece with output *skip of piece p and those that follow; *skip is then its own. */
static const piece *piece_of(const piece *p, uint32_t *skip)
{
    while (*skip >= p->n_out)
        *skip -= (p++)->n_out;
    return p;
}

/* Mark the rows whose exponentials are wanted.  False when no row needs its chunks. */
static bool rows_sums(engine *e, const piece *p, uint32_t skip, uint32_t n_rows)
{
    bool any = false;
    for (uint32_t r = 0; r < n_rows; r++, skip++) {
        p = piece_of(p, &skip);
        e->lse_rows[r] = p->item->ret_lse;
        any = any || p->item->ret_lse || p->item->ret_best;
    }
    return any;
}

/* Whole-vocabulary logits of up to HEAD_ROWS rows, which start at row `row` of the pass
 * and at output `skip` of piece `p`; rows run on into the pieces that follow. */
static int rows_vocab(engine *e, const piece *p, uint32_t skip, uint32_t n_rows,
                      st_err *err)
{
    uint32_t n_vocab = model_about(e->model)->n_vocab;
    uint32_t n_chunks = (n_vocab + LSE_CHUNK - 1) / LSE_CHUNK;
    const float *hidden =
        e->hidden + (size_t)(p->row0 + skip) * model_about(e->model)->n_embd;
    lse_job job = {e, n_vocab, n_chunks};
    int rc = model_head(e->model, e->work, hidden, n_rows, NULL, n_vocab, e->logits, err);
    if (rc < 0)
        return rc;
    if (rows_sums(e, p, skip, n_rows))
        workers_run(e->workers, n_rows * n_chunks, lse_chunk, &job);
    for (uint32_t r = 0; r < n_rows; r++, skip++) {
        p = piece_of(p, &skip);
        uint32_t out = p->out0 + skip;
        const lse_part *parts = e->parts + r * n_chunks;
        row_scatter(p->item, out, e->logits + (size_t)r * n_vocab, n_vocab);
        if (p->item->ret_best)
            p->item->ret_best[out] = (int32_t)best_join(parts, n_chunks);
        if (p->item->ret_lse)
            p->item->ret_lse[out] = (float)lse_join(parts, n_chunks);
    }
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

/* The pieces from `first` on that want the whole vocabulary, as one run of rows. */
static int run_vocab(engine *e, uint32_t first, uint32_t n_pieces, uint32_t *ret_next,
                     st_err *err)
{
    uint32_t next = first, left = 0, skip = 0;
    const piece *p = &e->pieces[first];
    for (;
         next < n_pieces && (e->pieces[next].n_out == 0 || wants_vocab(&e->pieces[next]));
         next++)
        left += e->pieces[next].n_out;
    while (left > 0) {
        uint32_t n = left < HEAD_ROWS ? left : HEAD_ROWS;
        p = piece_of(p, &skip);
        int rc = rows_vocab(e, p, skip, n, err);
        if (rc < 0)
            return rc;
        skip += n;
        left -= n;
    }
    *ret_next = next;
    return 0;
}

int pass_outputs(engine *e, uint32_t n_pieces, st_err *err)
{
    uint32_t n_embd = model_about(e->model)->n_embd;
    for (uint32_t i = 0; i < n_pieces; i++) {
        const piece *p = &e->pieces[i];
        if (p->item->ret_hidden)
            memcpy(p->item->ret_hidden + (size_t)p->out0 * n_embd,
                   e->hidden + (size_t)p->row0 * n_embd,
                   (size_t)p->n_out * n_embd * sizeof(float));
    }
    for (uint32_t i = 0; i < n_pieces;) {
        const piece *p = &e->pieces[i];
        int rc = 0;
        if (p->n_out > 0 && wants_vocab(p)) {
            rc = run_vocab(e, i, n_pieces, &i, err);
        } else {
            if (p->n_out > 0 && p->item->ret_logits && p->item->n_ids > 0)
                rc = piece_ids(e, p, err);
            i++;
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}
