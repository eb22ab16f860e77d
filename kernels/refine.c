/* kernels/refine.c - a second, finer term for the few blocks of a row that hold its
 * largest values.
 *
 * A language model's activations have a handful of channels far larger than the rest, and
 * these stay where they are.  The 31 neighbours of such a value are rounded to its scale:
 * most of the rounding error of a row comes from one or two blocks.  For those the
 * remainder x - d * q is quantised once more and multiplied with the same weights, at the
 * cost of these blocks only (measured on SmolLM2: a tenth of the products, a quarter of
 * the divergence).
 *
 * Row t of `n` keeps up to fine_slots() blocks after the plain ones, at [(blocks + k) * n
 * + t], rising by block number; a slot that is not used has the number FINE_NONE.  A
 * product adds the partial sums of fine blocks in that order to the plain sum, so the
 * result of (row, token) does not depend on which tokens are multiplied together. */
#include "kernels/kern_c.h"

#include <string.h>

#define FINE_SHARE 2.0f /* times a block's equal share of the squared rounding error */

/* The refined blocks of a row: those with the largest scales, when they stand out. */
static uint32_t blocks_choose(const kqact *a, uint32_t n, uint32_t blocks, uint32_t *ret)
{
    const uint32_t slots = fine_slots(blocks);
    uint32_t count = 0;
    float sum = 0;
    for (uint32_t b = 0; b < blocks; b++)
        sum += a[b * (size_t)n].d * a[b * (size_t)n].d;
    const float least = FINE_SHARE * sum / (float)blocks;
    for (uint32_t b = 0; b < blocks; b++) {
        float d = a[b * (size_t)n].d;
        uint32_t at = count;
        if (!(d * d > least))
            continue;
        while (at > 0 && a[ret[at - 1] * (size_t)n].d < d)
            at--;
        if (at == slots)
            continue;
        if (count < slots)
            count++;
        for (uint32_t i = count - 1; i > at; i--)
            ret[i] = ret[i - 1];
        ret[at] = b;
    }
    return count;
}

static void blocks_sort(uint32_t *block, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        uint32_t b = block[i], at = i;
        for (; at > 0 && block[at - 1] > b; at--)
            block[at] = block[at - 1];
        block[at] = b;
    }
}

static void row_refine(const float *x, kqact *a, uint32_t n, uint32_t blocks)
{
    uint32_t chosen[FINE_MAX], slots = fine_slots(blocks);
    uint32_t count = blocks_choose(a, n, blocks, chosen);
    float rest[KERN_QBLOCK];
    blocks_sort(chosen, count);
    for (uint32_t k = 0; k < slots; k++) {
        kqact *fine = a + (blocks + k) * (size_t)n;
        if (k >= count) {
            fine->block = FINE_NONE;
            continue;
        }
        const kqact *plain = a + chosen[k] * (size_t)n;
        const float *from = x + chosen[k] * (size_t)KERN_QBLOCK;
        for (int i = 0; i < KERN_QBLOCK; i++)
            rest[i] = (float)((double)from[i] - (double)plain->d * (double)plain->q[i]);
        kqact_make(rest, KERN_QBLOCK, fine);
        fine->block = chosen[k];
    }
}

void kact_refine(const kact *x, uint32_t row0, uint32_t row1)
{
    for (uint32_t t = row0; t < row1; t++)
        row_refine(x->x + t * (size_t)x->cols, x->q + t, x->n, x->cols / KERN_QBLOCK);
}

/* ---- products ---- */

/* The number of the next fine block of each token, smallest first. */
void fine_gather(const kact *x, uint32_t t, uint32_t n, fine_group *g)
{
    const uint32_t blocks = x->cols / KERN_QBLOCK, slots = fine_slots(blocks);
    const kqact *at = x->q + blocks * (size_t)x->n + t;
    uint8_t next[GROUP_TOKENS] = {0};
    uint32_t used = 0, block = 0;
    for (g->n_runs = 0;; g->n_runs++) {
        block = FINE_NONE;
        for (uint32_t i = 0; i < n; i++) {
            const kqact *fine = at + next[i] * (size_t)x->n + i;
            if (next[i] < slots && fine->block < block)
                block = fine->block;
        }
        if (block == FINE_NONE)
            return;
        fine_run *run = &g->runs[g->n_runs];
        *run = (fine_run){.block = block, .first = used};
        for (uint32_t i = 0; i < n; i++) {
            const kqact *fine = at + next[i] * (size_t)x->n + i;
            if (next[i] >= slots || fine->block != block)
                continue;
            g->token[used] = (uint8_t)i;
            g->act[used++] = *fine;
            next[i]++;
        }
        run->n = used - run->first;
    }
}

void fine_strip(const kparts *p, const kfmt *f, const kblock *strip, uint32_t b0,
                uint32_t nb, fine_group *g, uint32_t *run)
{
    for (; *run < g->n_runs && g->runs[*run].block < b0 + nb; (*run)++) {
        const fine_run *r = &g->runs[*run];
        for (uint32_t i = 0; i < r->n; i++)
            memset(g->part[r->first + i], 0, sizeof g->part[0]);
        p->tile(f, &strip[r->block - b0], 1, g->act + r->first, r->n, r->n,
                g->part + r->first);
    }
}

void fine_join(const fine_group *g, float (*acc)[KERN_PANEL])
{
    if (!g->n_runs)
        return;
    const fine_run *last = &g->runs[g->n_runs - 1];
    for (uint32_t i = 0; i < last->first + last->n; i++)
        for (int lane = 0; lane < KERN_PANEL; lane++)
            acc[g->token[i]][lane] += g->part[i][lane];
}
