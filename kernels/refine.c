/* kernels/refine.c - a second, finer term for the few blocks of a row that hold its
 * largest values.
 *
 * A language model's activations have a handful of channels far larger than the rest, and
 * these stay where they are.  The 31 neighbours of such a value are rounded to its scale:
 * most of the rounding error of a row comes from one or two blocks.  For those the
 * remainder x - d * q is quantised once more and multiplied with the same weights, at the
 * cost of these blocks only (measured on SmolLM2: 7 % of the products, half of the
 * divergence).
 *
 * A row keeps up to fine_slots() blocks after its plain ones, rising by block number; a
 * slot that is not used has the number FINE_NONE.  A product adds the fine blocks of a
 * strip in that order after its plain ones, so the result of (row, token) does not depend
 * on which tokens are multiplied together. */
#include "kernels/kern_c.h"

#include <string.h>

#define FINE_SHARE 3.0f /* times a block's equal share of the squared rounding error */

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
    for (uint32_t t = row0; t < row1; t++) {
        uint32_t stride;
        kqact *a = kact_at(x, t, &stride);
        row_refine(x->x + t * (size_t)x->cols, a, stride, x->cols / KERN_QBLOCK);
    }
}

/* ---- products ---- */

enum { DIGIT = 6 }; /* bits of a block number that one pass sorts by */

typedef struct fine_key {
    uint32_t block;
    uint8_t token; /* in the group */
    uint8_t slot;
} fine_key;

/* By block; those of one block stay in the order of tokens. */
static void keys_sort(fine_key *keys, uint32_t n, uint32_t blocks)
{
    fine_key sorted[GROUP_TOKENS * FINE_MAX];
    for (uint32_t shift = 0; shift < 32 && (blocks - 1) >> shift; shift += DIGIT) {
        uint32_t end[(1 << DIGIT) + 1] = {0}, *next = end;
        const uint32_t mask = (1 << DIGIT) - 1;
        for (uint32_t i = 0; i < n; i++)
            end[(keys[i].block >> shift & mask) + 1]++;
        for (uint32_t i = 1; i <= mask; i++)
            end[i] += end[i - 1];
        for (uint32_t i = 0; i < n; i++)
            sorted[next[keys[i].block >> shift & mask]++] = keys[i];
        memcpy(keys, sorted, n * sizeof *keys);
    }
}

void fine_gather(const kact *x, token_group *g)
{
    const uint32_t blocks = x->cols / KERN_QBLOCK, slots = fine_slots(blocks);
    const kqact *fine = g->q + blocks * (size_t)g->stride;
    fine_key keys[GROUP_TOKENS * FINE_MAX];
    uint32_t n = 0;
    for (uint32_t t = 0; t < g->n; t++) {
        for (uint32_t k = 0; k < slots; k++) {
            uint32_t block = fine[k * (size_t)g->stride + t].block;
            if (block == FINE_NONE)
                break;
            keys[n++] = (fine_key){block, (uint8_t)t, (uint8_t)k};
        }
    }
    if (g->n > 1) /* the blocks of one token rise already */
        keys_sort(keys, n, blocks);
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || keys[i].block != keys[i - 1].block)
            g->runs[g->n_runs++] = (fine_run){keys[i].block, i, 0};
        g->runs[g->n_runs - 1].n++;
        g->token[i] = keys[i].token;
        g->act[i] = fine[keys[i].slot * (size_t)g->stride + keys[i].token];
    }
}
