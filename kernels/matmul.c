/* kernels/matmul.c - the loops around the parts that each ISA brings.
 *
 * For each group of tokens, for each panel: strips of blocks are multiplied with all
 * tokens of the group, so that each block is unpacked once for many tokens.  The
 * accumulators of a group wait on the stack; an addition chain belongs to one
 * (row, token) and runs over the columns in order, whatever the grouping. */
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

static void quant_group(const kparts *p, const kmat *w, const unsigned char *panel,
                        const token_group *g, float (*acc)[KERN_PANEL])
{
    const uint32_t blocks = w->cols / KERN_QBLOCK;
    uint32_t run = 0;
    for (uint32_t b = 0; b < blocks; b += STRIP_BLOCKS) {
        uint32_t nb = min_u32(blocks - b, STRIP_BLOCKS);
        p->blocks(w, panel, b, nb, g->q + b * (size_t)g->stride, g->stride, g->n,
                  g->every, acc);
        for (; run < g->n_runs && g->runs[run].block < b + nb; run++) {
            const fine_run *r = &g->runs[run];
            p->blocks(w, panel, r->block, 1, g->act + r->first, r->n, r->n,
                      g->token + r->first, acc);
        }
    }
}

static void float_group(const kparts *p, const kmat *w, const unsigned char *panel,
                        const kact *x, uint32_t t, uint32_t n, float (*acc)[KERN_PANEL])
{
    ST_ALIGNED(64) kfstrip room;
    if (n == 1 && p->fone) {
        p->fone(w->type, panel, w->cols, x->x + t * (size_t)x->cols, acc[0]);
        return;
    }
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

/* acc[0..n) = a panel x the tokens of a group. */
static void group_mul(const kparts *p, const kmat *w, uint32_t panel, const kact *x,
                      const token_group *g, float (*acc)[KERN_PANEL])
{
    const unsigned char *at = panel_at(w, panel);
    acc_clear(acc, g->n);
    if (kfmt_of(w->type).bunch)
        quant_group(p, w, at, g, acc);
    else
        float_group(p, w, at, x, g->t, g->n, acc);
}

static void group_make(const kmat *w, const kact *x, uint32_t t, uint32_t n,
                       token_group *g)
{
    g->t = t;
    g->n = n;
    g->n_runs = 0;
    for (uint32_t i = 0; i < n; i++)
        g->every[i] = (uint8_t)i;
    if (!kfmt_of(w->type).bunch)
        return;
    g->q = kact_at(x, t, &g->stride);
    if (x->fine)
        fine_gather(x, g);
}

void matmul_panels(const kparts *p, const kmat *w, const kact *x, uint32_t panel0,
                   uint32_t panel1, float *y, size_t ldy)
{
    ST_ALIGNED(64) float acc[GROUP_TOKENS][KERN_PANEL];
    token_group g;
    assert(x->cols == w->cols);
    for (uint32_t t = 0; t < x->n; t += GROUP_TOKENS) {
        group_make(w, x, t, min_u32(x->n - t, GROUP_TOKENS), &g);
        for (uint32_t panel = panel0; panel < panel1; panel++) {
            uint32_t row = panel * KERN_PANEL;
            uint32_t rows = min_u32(w->rows - row, KERN_PANEL);
            group_mul(p, w, panel, x, &g, acc);
            acc_store(acc, g.n, rows, y + t * ldy + row, ldy);
        }
    }
}

void matmul_rows(const kparts *p, const kmat *w, const kact *x, uint32_t t,
                 const int32_t *rows, uint32_t n, float *y)
{
    ST_ALIGNED(64) float acc[1][KERN_PANEL];
    uint32_t have = UINT32_MAX;
    token_group g;
    assert(x->cols == w->cols && t < x->n);
    group_make(w, x, t, 1, &g);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = (uint32_t)rows[i], panel = row / KERN_PANEL;
        assert(row < w->rows);
        if (panel != have)
            group_mul(p, w, panel, x, &g, acc);
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
