/* kernels/kv8_float.h - sums of products of 8-bit keys and values in floats.
 *
 * For ISAs without a product of four bytes: every sum of whole numbers is exact in a
 * float.  For many rows a page is widened first; one tile of rows widens on the way. */
#ifndef KERNELS_KV8_FLOAT_H
#define KERNELS_KV8_FLOAT_H

typedef float kv8_term;
#include "kernels/kv8_vec.h"

enum { KV8_TILE = 6 }; /* rows of a tile */

/* The page's panels [p0, p1) as [panel][dim][16] and [slot][dim], when rows are many. */
static void kv8_page_open(kv8_run *r, const unsigned char *keys,
                          const unsigned char *values, uint32_t n_rows, uint32_t p0,
                          uint32_t p1)
{
    float *k = r->wide, *v = k + (size_t)KV_PAGE_TOKENS * r->wk;
    r->direct = n_rows <= KV8_TILE;
    r->keys = r->direct ? (const void *)keys : k;
    r->values = r->direct ? (const void *)values : v;
    if (r->direct)
        return;
    for (uint32_t g = p0 * r->wk / 4; g < p1 * r->wk / 4; g++)
        for (int i = 0; i < 4; i++)
            v_store(k + ((size_t)g * 4 + (size_t)i) * 16, v_lane_byte(keys + g * 64, i));
    for (uint32_t s = p0 * 4; s < p1 * 4; s++)
        for (uint32_t d = 0; d < r->wv / 16; d++)
            for (int i = 0; i < 4; i++)
                v_store(v + ((size_t)s * 4 + (size_t)i) * r->wv + (size_t)d * 16,
                        v_lane_byte(values + ((size_t)s * (r->wv / 16) + d) * 64, i));
}

static void kv8_query_store(kv8_run *r, uint32_t row, const float *q)
{
    memcpy(r->q + (size_t)row * r->wk, q, r->wk * sizeof *q);
}

static void kv8_weight_store(kv8_run *r, uint32_t row, uint32_t panel, vec w)
{
    v_store(r->weight + (size_t)row * KV8_PAGE + (size_t)panel * 16,
            v_add(w, v_set(128)));
}

ST_INLINE void kv8_scores_tile(int n, bool direct, const kv8_run *r, uint32_t row,
                               uint32_t p)
{
    const unsigned char *bytes = (const unsigned char *)r->keys + (size_t)p * r->wk * 16;
    const float *k = (const float *)r->keys + (size_t)p * r->wk * 16;
    const float *q = r->q + (size_t)row * r->wk;
    vec s[KV8_TILE];
    for (int i = 0; i < n; i++)
        s[i] = v_set(0);
    for (uint32_t d = 0; d < r->wk; d += 4) {
        for (int b = 0; b < 4; b++) {
            vec kd = direct ? v_lane_byte(bytes + (size_t)d * 16, b)
                            : v_load(k + ((size_t)d + (size_t)b) * 16);
            for (int i = 0; i < n; i++)
                s[i] = v_fma(v_set(q[(size_t)i * r->wk + d + (size_t)b]), kd, s[i]);
        }
    }
    for (int i = 0; i < n; i++)
        v_store(r->score[row + (uint32_t)i] + (size_t)p * 16, s[i]);
}

ST_INLINE void kv8_scores_rows(bool direct, const kv8_run *r, uint32_t row0,
                               uint32_t row1, uint32_t p)
{
    uint32_t row = row0;
    for (; row + KV8_TILE <= row1; row += KV8_TILE)
        kv8_scores_tile(KV8_TILE, direct, r, row, p);
    for (; row + 3 <= row1; row += 3)
        kv8_scores_tile(3, direct, r, row, p);
    for (; row < row1; row++)
        kv8_scores_tile(1, direct, r, row, p);
}

static void kv8_scores(kv8_run *r, uint32_t row0, uint32_t row1, uint32_t p0, uint32_t p1)
{
    for (uint32_t p = p0; p < p1; p++) {
        if (r->direct)
            kv8_scores_rows(true, r, row0, row1, p);
        else
            kv8_scores_rows(false, r, row0, row1, p);
    }
}

/* 16 elements of n rows' outputs from element d on; quads of lanes, for what is masked
 * weighs nothing. */
ST_INLINE void kv8_fold_tile(int n, bool direct, const kv8_run *r, uint32_t row,
                             uint32_t d, uint32_t quad0, uint32_t quad1)
{
    const unsigned char *bytes = (const unsigned char *)r->values + (size_t)d * 4;
    const float *v = (const float *)r->values + d;
    const float *w = r->weight + (size_t)row * KV8_PAGE;
    vec s[KV8_TILE];
    for (int i = 0; i < n; i++)
        s[i] = v_set(0);
    for (uint32_t g = quad0; g < quad1; g++) {
        for (int b = 0; b < 4; b++) {
            vec vj = direct ? v_lane_byte(bytes + (size_t)g * r->wv * 4, b)
                            : v_load(v + ((size_t)g * 4 + (size_t)b) * r->wv);
            for (int i = 0; i < n; i++)
                s[i] = v_fma(v_set(w[i * KV8_PAGE + (int)g * 4 + b]), vj, s[i]);
        }
    }
    for (int i = 0; i < n; i++)
        kv8_out(r, row + (uint32_t)i, d, r->a->kv->dim_v - d, s[i]);
}

ST_INLINE void kv8_fold_rows(bool direct, const kv8_run *r, uint32_t row0, uint32_t row1,
                             uint32_t d, uint32_t quad0, uint32_t quad1)
{
    uint32_t row = row0;
    for (; row + KV8_TILE <= row1; row += KV8_TILE)
        kv8_fold_tile(KV8_TILE, direct, r, row, d, quad0, quad1);
    for (; row + 3 <= row1; row += 3)
        kv8_fold_tile(3, direct, r, row, d, quad0, quad1);
    for (; row < row1; row++)
        kv8_fold_tile(1, direct, r, row, d, quad0, quad1);
}

static void kv8_fold(kv8_run *r, uint32_t row0, uint32_t row1, uint32_t j0, uint32_t j1)
{
    const uint32_t quad0 = j0 / 4, quad1 = (j1 + 3) / 4;
    for (uint32_t d = 0; d < r->a->kv->dim_v; d += 16) {
        if (r->direct)
            kv8_fold_rows(true, r, row0, row1, d, quad0, quad1);
        else
            kv8_fold_rows(false, r, row0, row1, d, quad0, quad1);
    }
}
#endif
