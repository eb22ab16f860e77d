/* kernels/matmul.c - the loops around the parts that each ISA brings.
 *
 * For each panel, for each group of tokens: strips are expanded one after another and
 * multiplied with all tokens of the group, so that many tokens pay once for expansion and
 * the working set (a strip, and the activations under it) stays in the first cache.  The
 * accumulators of a group wait on the stack between strips; an addition chain belongs to
 * one (row, token) and runs over the columns in order, whatever the grouping. */
#include "kernels/layout.h"

#include <assert.h>
#include <string.h>

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Sizes that the compiler knows: the copies are a few registers. */
static void acc_clear(float (*acc)[KERN_PANEL], uint32_t n)
{
    for (uint32_t t = 0; t < n; t++)
        memset(acc[t], 0, sizeof acc[t]);
}

static void acc_store(float (*acc)[KERN_PANEL], uint32_t n, uint32_t rows, float *y,
                      size_t ldy)
{
    for (uint32_t t = 0; t < n; t++) {
        if (rows == KERN_PANEL)
            memcpy(y + t * ldy, acc[t], sizeof acc[t]);
        else
            memcpy(y + t * ldy, acc[t], rows * sizeof(float));
    }
}

static uint32_t fine_count(const fine_group *g)
{
    return g && g->n_runs ? g->runs[g->n_runs - 1].first + g->runs[g->n_runs - 1].n : 0;
}

static void quant_group(const kparts *p, const kmat *w, const unsigned char *panel,
                        const kact *x, uint32_t t, uint32_t n, fine_group *fine,
                        float (*acc)[KERN_PANEL])
{
    const kfmt f = kfmt_of(w->type);
    const uint32_t blocks = w->cols / KERN_QBLOCK;
    kblock strip[STRIP_BLOCKS];
    uint32_t run = 0;
    if (n == 1 && p->one) {
        p->one(w, panel, x->q + t, x->n, fine ? fine->act : NULL, fine_count(fine),
               acc[0]);
        return;
    }
    acc_clear(acc, n);
    for (uint32_t b = 0; b < blocks; b += STRIP_BLOCKS) {
        uint32_t nb = min_u32(blocks - b, STRIP_BLOCKS);
        p->expand(w, panel, b, nb, strip);
        p->tile(&f, strip, nb, x->q + b * (size_t)x->n + t, x->n, n, acc);
        if (fine)
            fine_strip(p, &f, strip, b, nb, fine, &run);
    }
    if (fine)
        fine_join(fine, acc);
}

static void float_group(const kparts *p, const kmat *w, const unsigned char *panel,
                        const kact *x, uint32_t t, uint32_t n, float (*acc)[KERN_PANEL])
{
    ST_ALIGNED(64) kfstrip room;
    if (n == 1 && p->fone) {
        p->fone(w->type, panel, w->cols, x->x + t * (size_t)x->cols, acc[0]);
        return;
    }
    acc_clear(acc, n);
    for (uint32_t c = 0; c < w->cols; c += STRIP_COLS) {
        uint32_t nc = min_u32(w->cols - c, STRIP_COLS);
        const float *s = room[0];
        if (w->type == ST_F32)
            s = (const float *)(const void *)panel + (size_t)c * KERN_PANEL;
        else
            p->widen(w->type, panel, c, nc, room);
        p->ftile(s, nc, x->x + t * (size_t)x->cols + c, x->cols, n, acc);
    }
}

/* acc[0..n) = a panel x tokens t..t+n. */
static void group_run(const kparts *p, const kmat *w, uint32_t panel, const kact *x,
                      uint32_t t, uint32_t n, fine_group *fine, float (*acc)[KERN_PANEL])
{
    const unsigned char *at = panel_at(w, panel);
    if (kfmt_of(w->type).bunch)
        quant_group(p, w, at, x, t, n, fine, acc);
    else
        float_group(p, w, at, x, t, n, acc);
}

void matmul_panels(const kparts *p, const kmat *w, const kact *x, uint32_t panel0,
                   uint32_t panel1, float *y, size_t ldy)
{
    ST_ALIGNED(64) float acc[GROUP_TOKENS][KERN_PANEL];
    const bool fine = x->fine && kfmt_of(w->type).bunch;
    fine_group g;
    assert(x->cols == w->cols);
    for (uint32_t t = 0; t < x->n; t += GROUP_TOKENS) {
        uint32_t n = min_u32(x->n - t, GROUP_TOKENS);
        if (fine)
            fine_gather(x, t, n, &g);
        for (uint32_t panel = panel0; panel < panel1; panel++) {
            uint32_t row = panel * KERN_PANEL;
            uint32_t rows = min_u32(w->rows - row, KERN_PANEL);
            group_run(p, w, panel, x, t, n, fine ? &g : NULL, acc);
            acc_store(acc, n, rows, y + t * ldy + row, ldy);
        }
    }
}

void matmul_rows(const kparts *p, const kmat *w, const kact *x, uint32_t t,
                 const int32_t *rows, uint32_t n, float *y)
{
    ST_ALIGNED(64) float acc[1][KERN_PANEL];
    const bool fine = x->fine && kfmt_of(w->type).bunch;
    uint32_t have = UINT32_MAX;
    fine_group g;
    assert(x->cols == w->cols && t < x->n);
    if (fine)
        fine_gather(x, t, 1, &g);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = (uint32_t)rows[i], panel = row / KERN_PANEL;
        assert(row < w->rows);
        if (panel != have)
            group_run(p, w, panel, x, t, 1, fine ? &g : NULL, acc);
        have = panel;
        y[i] = acc[0][row % KERN_PANEL];
    }
}

static void strip_row(const kfmt *f, const kblock *s, uint32_t nb, uint32_t lane,
                      float *out)
{
    const int offset = f->has_min ? 0 : 1 << f->shift;
    for (uint32_t b = 0; b < nb; b++) {
        for (int i = 0; i < KERN_QBLOCK; i++) {
            int half = f->halves ? i / 16 : 0;
            int u = s[b].u[i / 4][4 * lane + i % 4] - offset;
            float v = (float)u * s[b].d[half][lane];
            *out++ = f->has_min ? v + s[b].m[half][lane] : v;
        }
    }
}

void matmul_row(const kparts *p, const kmat *w, uint32_t r, float *out)
{
    const kfmt f = kfmt_of(w->type);
    const unsigned char *panel = panel_at(w, r / KERN_PANEL);
    const uint32_t lane = r % KERN_PANEL, blocks = w->cols / KERN_QBLOCK;
    kblock s[STRIP_BLOCKS];
    ST_ALIGNED(64) kfstrip fs;
    assert(r < w->rows);
    for (uint32_t b = 0; f.bunch && b < blocks; b += STRIP_BLOCKS) {
        uint32_t nb = min_u32(blocks - b, STRIP_BLOCKS);
        p->expand(w, panel, b, nb, s);
        strip_row(&f, s, nb, lane, out + b * (size_t)KERN_QBLOCK);
    }
    for (uint32_t c = 0; !f.bunch && c < w->cols; c += STRIP_COLS) {
        uint32_t nc = min_u32(w->cols - c, STRIP_COLS);
        p->widen(w->type, panel, c, nc, fs);
        for (uint32_t i = 0; i < nc; i++)
            out[c + i] = fs[i][lane];
    }
}
