/* model/adapt.c - y += scale * B (A x) for the rows that carry an adapter.
 *
 * A tile of rows is one worker's from A to the sum, so threads meet once a product.  The
 * kernels give a row the same bytes whatever rows are beside it, and so does a tile. */
#include "model/adapt.h"

enum {
    TILE_ROWS = 16, /* that share each reading of a factor */
    PANELS = 64,    /* of B at a time: what they give stays near */
    OUTS = PANELS * KERN_PANEL,
};
_Static_assert(TILE_ROWS *(ADAPTER_MAX_RANK + OUTS) <= KERN_ATTN_SCRATCH,
               "a tile fits a thread's scratch");

typedef struct adapt_job {
    const pass *p;
    const adapt_part *parts;
    uint32_t n_parts;
} adapt_job;

static const adapter *adapter_of(const pass *p, uint32_t row)
{
    return p->batch->spans[p->wk->at[live_token(p, row)].span].adapter;
}

static uint32_t tiles_find(const pass *p)
{
    adapt_tile *tiles = p->wk->tiles;
    uint32_t n = 0;
    for (uint32_t row = 0; row < p->n_live; row++) {
        const adapter *a = adapter_of(p, row);
        adapt_tile *last = n > 0 ? &tiles[n - 1] : NULL;
        if (last && last->adapter == a && last->row0 + last->n == row &&
            last->n < TILE_ROWS)
            last->n++;
        else if (a)
            tiles[n++] = (adapt_tile){a, row, 1};
    }
    return n;
}

/* Panels [panel0, panel0 + PANELS) of a float matrix, or as many as there are. */
static kmat panels_of(const kmat *w, uint32_t panel0)
{
    uint32_t row0 = panel0 * KERN_PANEL, left = w->rows - row0;
    size_t panel_bytes = 0;
    bool ok = kmat_bytes(w->type, KERN_PANEL, w->cols, &panel_bytes);
    (void)ok; /* adapter_open has packed it */
    return (kmat){.type = w->type,
                  .rows = left < OUTS ? left : OUTS,
                  .cols = w->cols,
                  .data = (const unsigned char *)w->data + panel0 * panel_bytes};
}

/* low = scale * A x for n rows; `folded` is room for fold * fold of
 * their ranks. */
static void low_run(const kern *k, const low_rank *lr, const float *x, uint32_t n,
                    float *low, float *folded)
{
    const kact in = {.n = n * lr->fold, .cols = lr->a.cols, .x = x};
    const uint32_t rank = lr->rank, fold = lr->fold;
    k->matmul(&lr->a, &in, 0, kmat_panels(&lr->a), folded, lr->a.rows);
    for (uint32_t t = 0; t < n; t++)
        for (uint32_t r = 0; r < rank; r++) {
            const float *from = folded + (size_t)t * fold * lr->a.rows + r;
            float sum = *from;
            for (uint32_t f = 1; f < fold; f++)
                sum += from[(size_t)f * (lr->a.rows + rank)];
            low[(size_t)t * rank + r] = lr->scale * sum;
        }
}

static void tile_run(const adapt_job *job, const adapt_tile *t, const adapt_part *part,
                     float *scratch)
{
    const kern *k = job->p->m->kern;
    size_t il = (size_t)(job->p->layer - job->p->m->layers);
    const low_rank *lr = &t->adapter->layers[il].slots[part->slot];
    const kact low = {.n = t->n, .cols = lr->rank, .x = scratch};
    float *out = scratch + (size_t)t->n * lr->rank;
    if (!lr->a.data)
        return;
    low_run(k, lr, part->x + (size_t)t->row0 * lr->fold * lr->a.cols, t->n, scratch, out);
    for (uint32_t panel = 0; panel < kmat_panels(&lr->b); panel += PANELS) {
        const kmat b = panels_of(&lr->b, panel);
        k->matmul(&b, &low, 0, kmat_panels(&b), out, b.rows);
        for (uint32_t i = 0; i < t->n; i++)
            k->add(part->y + (t->row0 + i) * part->ldy + (size_t)panel * KERN_PANEL,
                   out + (size_t)i * b.rows, b.rows);
    }
}

static void item_run(void *arg, uint32_t item, uint32_t worker)
{
    const adapt_job *job = arg;
    const model_work *wk = job->p->wk;
    tile_run(job, &wk->tiles[item / job->n_parts], &job->parts[item % job->n_parts],
             wk->scratch + (size_t)worker * KERN_ATTN_SCRATCH);
}

void adapt_run(const pass *p, const adapt_part *parts, uint32_t n)
{
    adapt_job job = {p, parts, n};
    if (!p->adapted)
        return;
    uint32_t n_items = tiles_find(p) * n;
    if (p->wk->n_threads > 1 && n_items > 0)
        workers_run(p->wk->w, n_items, item_run, &job);
    for (uint32_t i = 0; p->wk->n_threads == 1 && i < n_items; i++)
        item_run(&job, i, 0);
}
