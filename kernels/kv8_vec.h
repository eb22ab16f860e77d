/* kernels/kv8_vec.h - keys and values in 8 bits on 16 lanes.
 *
 * The meaning is that of kv8_c.c, byte for byte.  Tokens that share pages go through a
 * page together, with all query heads of a key head: up to KV8_ROWS rows.  The includer
 * brings the sums of products (kv8_float.h, or attn_vnni.c):
 *     kv8_term            what an element of a query or a weight is kept as
 *     kv8_page_open       panels [p0, p1) of a page are about to be used
 *     kv8_query_store     whole numbers to r->q
 *     kv8_scores          sums of q * k to r->score
 *     kv8_weight_store    whole numbers, less 128, to r->weight
 *     kv8_fold            sums of w * v, lanes [j0, j1), through kv8_out
 *
 * A block in which some of a token's positions stand in other slots (the end of a tree's
 * branch) is copied to a page of its own, in order, and run for that token alone. */
#ifndef KERNELS_KV8_VEC_H
#define KERNELS_KV8_VEC_H
#include "kernels/kv8.h"
#include "kernels/ops_vec.h"

#include <math.h>
#include <string.h>

enum { KV8_PAGE = KV_PAGE_TOKENS, KV8_PANELS = KV_PAGE_TOKENS / 16 };

typedef struct kv8_run {
    const kattn *a;
    uint32_t kv_head, n_heads; /* of a token */
    uint32_t wk, wv;           /* padded widths */
    kv8_term *q;               /* [rows][wk] */
    float (*score)[KV8_PAGE];  /* [rows] */
    kv8_term *weight;          /* [rows][KV8_PAGE]; may be the scores' room */
    unsigned char *spare;      /* a page of one head, keys then values */
    const void *keys;          /* of the page in use, as kv8_page_open left them */
    const void *values;
    void *wide;             /* for kv8_page_open */
    bool direct;            /* keys and values are the page's own bytes */
    float factor[KV8_ROWS]; /* of a score */
    float q_sum[KV8_ROWS];  /* of the query's whole numbers */
    float most[KV8_ROWS], mass[KV8_ROWS], keep[KV8_ROWS], dw[KV8_ROWS];
    uint32_t first[KV8_ROWS], last[KV8_ROWS]; /* lanes of the block */
    float *out[KV8_ROWS];
} kv8_run;

static void kv8_page_open(kv8_run *r, const unsigned char *keys,
                          const unsigned char *values, uint32_t n_rows, uint32_t p0,
                          uint32_t p1);
static void kv8_query_store(kv8_run *r, uint32_t row, const float *q);
static void kv8_weight_store(kv8_run *r, uint32_t row, uint32_t panel, vec w);
static void kv8_scores(kv8_run *r, uint32_t row0, uint32_t row1, uint32_t p0,
                       uint32_t p1);
static void kv8_fold(kv8_run *r, uint32_t row0, uint32_t row1, uint32_t j0, uint32_t j1);

/* Elements from d on of a row's output, `left` in all: fma(sum, dw, out * keep). */
ST_INLINE void kv8_out(const kv8_run *r, uint32_t row, uint32_t d, uint32_t left, vec sum)
{
    float *out = r->out[row] + d;
    const vec keep = v_set(r->keep[row]), dw = v_set(r->dw[row]);
    if (left >= 16)
        v_store(out, v_fma(sum, dw, v_mul(v_load(out), keep)));
    else
        v_store_n(out, v_fma(sum, dw, v_mul(v_load_n(out, left), keep)), left);
}

/* ---- rotation and rounding ---- */

ST_INLINE vec kv8_stage(vec v, int h)
{
    static const float sign[4][16] = {
        {1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1},
        {1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1},
        {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1},
        {1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1}};
    return v_fma(v, v_load(sign[h]), v_flip(v, h));
}

/* Blocks of n registers through the Hadamard matrix. */
ST_INLINE void kv8_rotate(int n, float *x, uint32_t width)
{
    for (uint32_t b = 0; b < width; b += 16 * (uint32_t)n) {
        vec v[4];
        for (int i = 0; i < n; i++) {
            v[i] = v_load(x + b + 16 * i);
            v[i] = kv8_stage(kv8_stage(v[i], 0), 1);
            v[i] = kv8_stage(kv8_stage(v[i], 2), 3);
        }
        for (int h = 1; h < n; h *= 2) {
            for (int i = 0; i < n; i++) {
                if (i & h)
                    continue;
                vec a = v[i], c = v[i + h];
                v[i] = v_add(a, c);
                v[i + h] = v_sub(a, c);
            }
        }
        for (int i = 0; i < n; i++)
            v_store(x + b + 16 * i, v[i]);
    }
}

/* To whole numbers of magnitude up to 127, in x; their scale. */
ST_INLINE float kv8_round(float *x, uint32_t width)
{
    uint32_t bits = 0;
    float most;
    for (uint32_t i = 0; i < width; i += 32) {
        uint32_t b = v_largest_bits(v_load(x + i), v_load(x + i + 16));
        bits = b > bits ? b : bits;
    }
    memcpy(&most, &bits, sizeof most);
    const bool finite = bits < 0x7F800000, empty = !finite || most < KV8_TINY;
    const vec inverse = v_set(empty ? 0 : 127.0f / most);
    for (uint32_t i = 0; i < width; i += 16)
        v_store(x + i, empty ? v_set(0) : v_round(v_mul(v_load(x + i), inverse)));
    return !finite ? NAN : empty ? 0 : most / 127.0f;
}

/* A key or a query, rotated and rounded in room[width]. */
ST_INLINE float kv8_key_round(const float *x, uint32_t dim, float *room)
{
    const uint32_t w = kv8_width(dim);
    memcpy(room, x, dim * sizeof *x);
    memset(room + dim, 0, (w - dim) * sizeof *x);
    if (kv8_block(w) == 64)
        kv8_rotate(4, room, w);
    else
        kv8_rotate(2, room, w);
    return kv8_round(room, w);
}

static inline void kv8_store(const kkv *kv, const uint32_t *pages, uint32_t slot,
                             const float *k, const float *v)
{
    const uint32_t page = pages[slot / KV_PAGE_TOKENS], s = slot % KV_PAGE_TOKENS;
    const uint32_t wk = kv8_width(kv->dim_k), wv = kv8_width(kv->dim_v);
    float room[KV8_MAX_DIM];
    int8_t q[16];
    for (uint32_t h = 0; h < kv->n_kv_head; h++, k += kv->dim_k, v += kv->dim_v) {
        unsigned char *keys = kkv_keys(kv, page, h), *values = kkv_values(kv, page, h);
        kv8_scales(keys, kv->dim_k)[s] = kv8_key_round(k, kv->dim_k, room);
        for (uint32_t i = 0; i < wk; i += 16) {
            v_store_i8(q, v_load(room + i));
            for (uint32_t j = 0; j < 16; j += 4)
                memcpy(keys + kv8_key_at(wk, s, i + j), q + j, 4);
        }
        memcpy(room, v, kv->dim_v * sizeof *v);
        memset(room + kv->dim_v, 0, (wv - kv->dim_v) * sizeof *v);
        kv8_scales(values, kv->dim_v)[s] = kv8_round(room, wv);
        for (uint32_t i = 0; i < wv; i += 16) {
            v_store_i8(q, v_load(room + i));
            for (uint32_t j = 0; j < 16; j++)
                values[kv8_value_at(wv, s, i + j)] = (unsigned char)q[j];
        }
    }
}

/* ---- a block ---- */

/* v in the lanes of panel p that a row sees, else other. */
ST_INLINE vec kv8_seen(const kv8_run *r, uint32_t row, uint32_t p, vec v, vec other)
{
    const uint32_t at = p * 16, first = r->first[row], last = r->last[row];
    if (first <= at && last >= at + 16)
        return v;
    if (first >= at + 16 || last <= at)
        return other;
    return v_keep(v, first > at ? first - at : 0, last < at + 16 ? last - at : 16, other);
}

/* Weights w to whole numbers under one scale.  One that is not finite shows in the sum.
 */
ST_INLINE void kv8_weights_round(kv8_run *r, uint32_t row, const vec *w, uint32_t p0,
                                 uint32_t p1)
{
    vec sum = v_set(0), most = v_set(0);
    const vec mid = v_set(128);
    for (uint32_t p = p0; p < p1; p++) {
        sum = v_add(sum, w[p]);
        most = v_max(w[p], most);
    }
    const float largest = v_largest(most);
    const bool finite = isfinite(v_sum(sum)), empty = !finite || largest < KV8_TINY;
    const vec inverse = v_set(empty ? 0 : (float)KV8_TOP / largest);
    for (uint32_t p = p0; p < p1; p++)
        kv8_weight_store(r, row, p,
                         empty ? v_set(-128) : v_round(v_sub(v_mul(w[p], inverse), mid)));
    r->dw[row] = !finite ? NAN : empty ? 0 : largest / (float)KV8_TOP;
}

/* Products to weights: scale, cap, mask, running maximum, exp. */
ST_INLINE void kv8_weigh(kv8_run *r, uint32_t row, const float *dk, const float *dv,
                         uint32_t p0, uint32_t p1)
{
    const float cap = r->a->softcap, before = r->most[row];
    const vec lowest = v_set(-INFINITY), zero = v_set(0), factor = v_set(r->factor[row]);
    vec most = lowest, sum = zero, w[KV8_PANELS];
    if (r->first[row] == r->last[row]) {
        for (uint32_t p = p0; p < p1; p++)
            kv8_weight_store(r, row, p, v_set(-128));
        r->keep[row] = 1;
        r->dw[row] = 0;
        return;
    }
    for (uint32_t p = p0; p < p1; p++) {
        vec s = v_mul(v_load(r->score[row] + p * 16), v_mul(v_load(dk + p * 16), factor));
        if (cap > 0)
            s = v_mul(v_set(cap), v_tanh(v_div(s, v_set(cap))));
        w[p] = kv8_seen(r, row, p, s, lowest);
        most = v_max(w[p], most);
    }
    const float top = fmaxf(before, v_largest(most));
    for (uint32_t p = p0; p < p1; p++) {
        vec e = v_exp(v_sub(w[p], v_set(top)));
        sum = v_add(sum, e);
        w[p] = kv8_seen(r, row, p, v_mul(e, v_load(dv + p * 16)), zero);
    }
    r->keep[row] = before == top ? 1 : v_largest(v_exp(v_set(before - top)));
    r->mass[row] = r->mass[row] * r->keep[row] + v_sum(sum);
    r->most[row] = top;
    kv8_weights_round(r, row, w, p0, p1);
}

/* Rows [row0, row1) see lanes of one page; some may see none. */
static void kv8_block_run(kv8_run *r, uint32_t row0, uint32_t row1, unsigned char *keys,
                          unsigned char *values)
{
    uint32_t lo = KV8_PAGE, hi = 0;
    while (row0 < row1 && r->first[row0] == r->last[row0])
        row0++;
    while (row0 < row1 && r->first[row1 - 1] == r->last[row1 - 1])
        row1--;
    for (uint32_t i = row0; i < row1; i++) {
        lo = r->first[i] < lo ? r->first[i] : lo;
        hi = r->last[i] > hi ? r->last[i] : hi;
    }
    if (lo >= hi)
        return;
    const uint32_t p0 = lo / 16, p1 = (hi + 15) / 16;
    kv8_page_open(r, keys, values, row1 - row0, p0, p1);
    kv8_scores(r, row0, row1, p0, p1);
    for (uint32_t i = row0; i < row1; i++)
        kv8_weigh(r, i, kv8_scales(keys, r->a->kv->dim_k),
                  kv8_scales(values, r->a->kv->dim_v), p0, p1);
    kv8_fold(r, row0, row1, lo, hi);
}

static uint32_t kv8_extra0(const kview *v)
{
    return v->lo > v->hi ? v->lo : v->hi;
}

/* Lanes of block b (positions from 64 b on) that a token sees. */
static void kv8_lanes(const kview *v, uint32_t b, uint32_t *ret_first, uint32_t *ret_last)
{
    const uint64_t from = (uint64_t)b * KV8_PAGE,
                   end = (uint64_t)kv8_extra0(v) + v->n_extra;
    *ret_first = v->lo > from ? (uint32_t)(v->lo - from) : 0;
    *ret_last = end < from              ? 0
                : end - from < KV8_PAGE ? (uint32_t)(end - from)
                                        : KV8_PAGE;
    if (*ret_first >= *ret_last)
        *ret_first = *ret_last = 0;
}

/* Does block b hold positions that stand in other slots? */
static bool kv8_strays(const kview *v, uint32_t b)
{
    uint32_t first, last;
    kv8_lanes(v, b, &first, &last);
    return first < last && v->n_extra && (uint64_t)b * KV8_PAGE + last > kv8_extra0(v);
}

/* Block b of a token whose last positions stand in other slots, in a page of its own. The
 * sequence's part of it stays there for the next token: `had` sees the same part. */
static void kv8_gather(const kv8_run *r, const kview *v, uint32_t b, uint32_t last,
                       const kview *had)
{
    const kkv *kv = r->a->kv;
    const size_t key_bytes = kv8_head_bytes(kv->dim_k);
    unsigned char *keys = r->spare, *values = keys + key_bytes;
    const uint32_t from = b * KV8_PAGE, own = v->hi > from ? v->hi - from : 0;
    const uint32_t extra0 = kv8_extra0(v);
    if (own > 0 && !(had && had->hi == v->hi)) {
        memcpy(keys, kkv_keys(kv, r->a->pages[b], r->kv_head), key_bytes);
        memcpy(values, kkv_values(kv, r->a->pages[b], r->kv_head),
               kv8_head_bytes(kv->dim_v));
    }
    for (uint32_t j = extra0 > from ? extra0 - from : 0; j < last; j++) {
        uint32_t slot = v->extra[from + j - extra0];
        uint32_t page = r->a->pages[slot / KV8_PAGE], s = slot % KV8_PAGE;
        kv8_key_copy(kv->dim_k, keys, j, kkv_keys(kv, page, r->kv_head), s);
        kv8_value_copy(kv->dim_v, values, j, kkv_values(kv, page, r->kv_head), s);
    }
}

/* Block b of tokens [t0, t1): runs of them that read the page itself, others alone. */
static void kv8_tokens_run(kv8_run *r, const kview *views, uint32_t n, uint32_t b)
{
    const kkv *kv = r->a->kv;
    for (uint32_t t = 0; t < n * r->n_heads; t++)
        kv8_lanes(&views[t / r->n_heads], b, &r->first[t], &r->last[t]);
    const kview *had = NULL; /* gathered last */
    for (uint32_t t = 0; t < n;) {
        uint32_t end = t;
        while (end < n && !kv8_strays(&views[end], b))
            end++;
        if (end > t) {
            uint32_t page = r->a->pages[b];
            kv8_block_run(r, t * r->n_heads, end * r->n_heads,
                          kkv_keys(kv, page, r->kv_head),
                          kkv_values(kv, page, r->kv_head));
            t = end;
            continue;
        }
        uint32_t row = t * r->n_heads;
        kv8_gather(r, &views[t], b, r->last[row], had);
        had = &views[t];
        kv8_block_run(r, row, row + r->n_heads, r->spare,
                      r->spare + kv8_head_bytes(kv->dim_k));
        t++;
    }
}

/* ---- all blocks ---- */

static void kv8_row_start(kv8_run *r, uint32_t row, uint32_t head, const float *q,
                          float *out)
{
    const kattn *a = r->a;
    float room[KV8_MAX_DIM];
    const float dq = kv8_key_round(q, a->kv->dim_k, room);
    vec sum = v_set(0);
    for (uint32_t i = 0; i < r->wk; i += 16)
        sum = v_add(sum, v_load(room + i));
    kv8_query_store(r, row, room);
    r->q_sum[row] = v_sum(sum); /* whole numbers: exact */
    r->factor[row] = dq * (a->scale / (float)kv8_block(r->wk));
    r->most[row] = a->sinks ? a->sinks[head] : -INFINITY;
    r->mass[row] = a->sinks ? 1 : 0;
    r->out[row] = out;
    memset(out, 0, a->kv->dim_v * sizeof *out);
}

static void kv8_row_end(const kv8_run *r, uint32_t row)
{
    const float mass = r->mass[row];
    const vec scale = v_set(mass == 0 ? 0 : 1.0f / mass), zero = v_set(0);
    float *out = r->out[row];
    const uint32_t n = r->a->kv->dim_v;
    VEC_LOOP(n, v_store(out + i, v_fma(v_load(out + i), scale, zero)),
             v_store_n(out + i, v_fma(v_load_n(out + i, n - i), scale, zero), n - i));
}

/* Tokens [t0, t1) x heads [h0, h1) of one key head: at most KV8_ROWS rows. */
static void kv8_group_run(kv8_run *r, uint32_t head0, uint32_t t0, uint32_t t1,
                          uint32_t h0, uint32_t h1, const float *q, float *out)
{
    const kattn *a = r->a;
    uint32_t lo = UINT32_MAX, end = 0, row = 0;
    r->n_heads = h1 - h0;
    r->kv_head = h0 / (a->n_head / a->kv->n_kv_head);
    for (uint32_t t = t0; t < t1; t++) {
        const kview *v = &a->views[t];
        const uint32_t last = kv8_extra0(v) + v->n_extra;
        lo = v->lo < lo ? v->lo : lo;
        end = last > end ? last : end;
        for (uint32_t h = h0; h < h1; h++)
            kv8_row_start(r, row++, h, q + t * a->ldq + (h - head0) * a->kv->dim_k,
                          out + t * a->ldo + (h - head0) * a->kv->dim_v);
    }
    for (uint32_t b = lo / KV8_PAGE; (uint64_t)b * KV8_PAGE < end; b++)
        kv8_tokens_run(r, a->views + t0, t1 - t0, b);
    while (row-- > 0)
        kv8_row_end(r, row);
}

static void *kv8_take(float **room, size_t bytes)
{
    void *p = *room;
    *room += (bytes + 63) / 64 * 16;
    return p;
}

static void kv8_attn(const kattn *a, uint32_t head0, uint32_t head1, const float *q,
                     float *out, float *scratch)
{
    kv8_run r = {.a = a, .wk = kv8_width(a->kv->dim_k), .wv = kv8_width(a->kv->dim_v)};
    const uint32_t group = a->n_head / a->kv->n_kv_head;
    scratch += (64 - (uintptr_t)scratch % 64) % 64 / sizeof *scratch;
    r.q = kv8_take(&scratch, KV8_ROWS * r.wk * sizeof *r.q);
    r.score = kv8_take(&scratch, KV8_ROWS * sizeof *r.score);
    r.weight = kv8_take(&scratch, (size_t)KV8_ROWS * KV8_PAGE * sizeof *r.weight);
    r.spare =
        kv8_take(&scratch, kv8_head_bytes(a->kv->dim_k) + kv8_head_bytes(a->kv->dim_v));
    r.wide = scratch;
    for (uint32_t h = head0; h < head1;) {
        uint32_t stop = (h / group + 1) * group, n;
        stop = stop < head1 ? stop : head1;
        stop = stop - h < KV8_ROWS ? stop : h + KV8_ROWS;
        n = KV8_ROWS / (stop - h);
        for (uint32_t t = 0; t < a->n; t += n)
            kv8_group_run(&r, head0, t, t + n < a->n ? t + n : a->n, h, stop, q, out);
        h = stop;
    }
}
#endif
