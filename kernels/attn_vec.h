/* kernels/attn_vec.h - keys, values and attention on 16 lanes.
 *
 * Written once over the names of vec_*.h.  The meaning and the order of blocks are those
 * of attn_c.c.  Up to ATTN_HEADS rows go together, so that each key and value is loaded
 * once for them: query heads that share a KV head or, where none do, tokens that see the
 * same positions.
 *     scores   a register holds one element of 16 keys, a lane is a key;
 *     values   a register holds 16 elements of one value.
 * A lane's sum runs over the elements in order, so a score is the same bytes whichever
 * keys stand beside it. */
#ifndef KERNELS_ATTN_VEC_H
#define KERNELS_ATTN_VEC_H
#include "kernels/kern_c.h"
#include "kernels/ops_vec.h"

#include <math.h>
#include <string.h>

enum { ATTN_HEADS = 4, KEY_PANELS = KV_PAGE_TOKENS / KERN_PANEL };

typedef float attn_scores[KV_PAGE_TOKENS];

/* Rows under way that see the same keys: heads of a token that share a KV head, or one
 * head of several tokens; and a block of at most KV_PAGE_TOKENS keys: lanes [first, last)
 * of `score`, whose values are at `value`. */
typedef struct attn_run {
    const kattn *a;
    const kview *view;
    const float *q; /* [n][dim_k], ldq floats apart */
    float *out;     /* [n][dim_v], ldo apart */
    size_t ldq, ldo;
    uint32_t n;
    uint32_t kv_head;
    attn_scores *score; /* [n] */
    float most[ATTN_HEADS];
    float mass[ATTN_HEADS];
    uint32_t first, last;
    const unsigned char *value[KV_PAGE_TOKENS];
} attn_run;

ST_INLINE vec elems_load(bool half, const unsigned char *p, size_t i)
{
    return half ? v_load_half((const uint16_t *)(const void *)p + i)
                : v_load((const float *)(const void *)p + i);
}

/* Scores of n heads x np panels of keys from `keys`. */
ST_INLINE void panels_score(int n, int np, bool half, const unsigned char *keys,
                            uint32_t dim, const float *q, size_t ldq, attn_scores *score)
{
    vec s[ATTN_HEADS][KEY_PANELS];
    for (int h = 0; h < n; h++)
        for (int p = 0; p < np; p++)
            s[h][p] = v_set(0);
    for (uint32_t i = 0; i < dim; i++) {
        for (int p = 0; p < np; p++) {
            vec k = elems_load(half, keys, ((size_t)p * dim + i) * KERN_PANEL);
            for (int h = 0; h < n; h++)
                s[h][p] = v_fma(v_set(q[(size_t)h * ldq + i]), k, s[h][p]);
        }
    }
    for (int h = 0; h < n; h++)
        for (int p = 0; p < np; p++)
            v_store(score[h] + p * KERN_PANEL, s[h][p]);
}

/* Panels [p0, p1) of a page for n heads; as many at once as registers allow. */
ST_INLINE void keys_score(int n, bool half, const unsigned char *keys, uint32_t p0,
                          uint32_t p1, uint32_t dim, const float *q, size_t ldq,
                          attn_scores *score)
{
    const int most = n * 4 <= VEC_ACCS ? 4 : n * 2 <= VEC_ACCS ? 2 : 1;
    const size_t bytes = (size_t)dim * KERN_PANEL * (half ? 2 : 4);
    for (uint32_t p = p0; p < p1;) {
        attn_scores *to = (attn_scores *)(void *)(score[0] + p * KERN_PANEL);
        if (most >= 4 && p + 4 <= p1) {
            panels_score(n, 4, half, keys + p * bytes, dim, q, ldq, to);
            p += 4;
        } else if (most >= 2 && p + 2 <= p1) {
            panels_score(n, 2, half, keys + p * bytes, dim, q, ldq, to);
            p += 2;
        } else {
            panels_score(n, 1, half, keys + p * bytes, dim, q, ldq, to);
            p += 1;
        }
    }
}

ST_INLINE void keys_score_type(int n, const attn_run *r, const unsigned char *keys,
                               uint32_t p0, uint32_t p1, attn_scores *score)
{
    if (r->a->kv->type == ST_F16)
        keys_score(n, true, keys, p0, p1, r->a->kv->dim_k, r->q, r->ldq, score);
    else
        keys_score(n, false, keys, p0, p1, r->a->kv->dim_k, r->q, r->ldq, score);
}

static void scores_make(const attn_run *r, const unsigned char *keys, uint32_t p0,
                        uint32_t p1, attn_scores *score)
{
    if (r->n == 1)
        keys_score_type(1, r, keys, p0, p1, score);
    else if (r->n == 2)
        keys_score_type(2, r, keys, p0, p1, score);
    else if (r->n == 3)
        keys_score_type(3, r, keys, p0, p1, score);
    else
        keys_score_type(4, r, keys, p0, p1, score);
}

/* Raw products to weights: scale, cap, mask, running maximum, exp; the new mass. */
ST_INLINE void scores_weigh(attn_run *r, uint32_t h)
{
    const float cap = r->a->softcap;
    const vec scale = v_set(r->a->scale), lowest = v_set(-INFINITY);
    const uint32_t p0 = r->first / KERN_PANEL, p1 = (r->last + 15) / KERN_PANEL;
    vec most = lowest, sum = v_set(0);
    for (uint32_t p = p0; p < p1; p++) {
        float *at = r->score[h] + p * KERN_PANEL;
        vec s = v_mul(v_load(at), scale);
        if (cap > 0)
            s = v_mul(v_set(cap), v_tanh(v_div(s, v_set(cap))));
        uint32_t lo = p == p0 ? r->first % KERN_PANEL : 0;
        uint32_t hi = p + 1 == p1 ? r->last - p * KERN_PANEL : KERN_PANEL;
        s = v_keep(s, lo, hi, lowest);
        most = v_max(s, most);
        v_store(at, s);
    }
    float top = fmaxf(r->most[h], v_largest(most));
    for (uint32_t p = p0; p < p1; p++) {
        float *at = r->score[h] + p * KERN_PANEL;
        vec e = v_exp(v_sub(v_load(at), v_set(top)));
        sum = v_add(sum, e);
        v_store(at, e);
    }
    float keep = v_largest(v_exp(v_set(r->most[h] - top)));
    r->mass[h] = r->mass[h] * keep + v_sum(sum);
    r->most[h] = top;
    float *out = r->out + h * r->ldo;
    for (uint32_t i = 0; keep != 1 && i < r->a->kv->dim_v; i++)
        out[i] *= keep;
}

/* out[h][16 d ...] += weights x values for n heads x nd registers of values. */
ST_INLINE void values_add(int n, int nd, bool half, const attn_run *r, uint32_t d)
{
    float *out = r->out + (size_t)d * 16;
    vec o[ATTN_HEADS][4];
    for (int h = 0; h < n; h++)
        for (int i = 0; i < nd; i++)
            o[h][i] = v_load(out + (size_t)h * r->ldo + i * 16);
    for (uint32_t j = r->first; j < r->last; j++) {
        for (int i = 0; i < nd; i++) {
            vec v = elems_load(half, r->value[j], ((size_t)d + (size_t)i) * 16);
            for (int h = 0; h < n; h++)
                o[h][i] = v_fma(v_set(r->score[h][j]), v, o[h][i]);
        }
    }
    for (int h = 0; h < n; h++)
        for (int i = 0; i < nd; i++)
            v_store(out + (size_t)h * r->ldo + i * 16, o[h][i]);
}

/* The elements after the last whole register. */
static void values_rest(const attn_run *r)
{
    const uint32_t dim = r->a->kv->dim_v;
    for (uint32_t h = 0; h < r->n; h++) {
        float *out = r->out + h * r->ldo;
        for (uint32_t j = r->first; j < r->last; j++) {
            for (uint32_t i = dim / 16 * 16; i < dim; i++) {
                float f =
                    r->a->kv->type == ST_F16
                        ? st_f16_to_f32(((const uint16_t *)(const void *)r->value[j])[i])
                        : ((const float *)(const void *)r->value[j])[i];
                out[i] = fmaf(r->score[h][j], f, out[i]);
            }
        }
    }
}

ST_INLINE void values_all(int n, bool half, const attn_run *r)
{
    const int most = n * 4 <= VEC_ACCS ? 4 : n * 2 <= VEC_ACCS ? 2 : 1;
    const uint32_t nd = r->a->kv->dim_v / 16;
    for (uint32_t d = 0; d < nd;) {
        if (most >= 4 && d + 4 <= nd) {
            values_add(n, 4, half, r, d);
            d += 4;
        } else if (most >= 2 && d + 2 <= nd) {
            values_add(n, 2, half, r, d);
            d += 2;
        } else {
            values_add(n, 1, half, r, d);
            d += 1;
        }
    }
}

static void block_fold(attn_run *r)
{
    const bool half = r->a->kv->type == ST_F16;
    for (uint32_t h = 0; h < r->n; h++)
        scores_weigh(r, h);
    if (r->n == 1)
        half ? values_all(1, true, r) : values_all(1, false, r);
    else if (r->n == 2)
        half ? values_all(2, true, r) : values_all(2, false, r);
    else if (r->n == 3)
        half ? values_all(3, true, r) : values_all(3, false, r);
    else
        half ? values_all(4, true, r) : values_all(4, false, r);
    if (r->a->kv->dim_v % 16)
        values_rest(r);
}

/* Keys and values of positions [p, end), all of one page, to the lanes of their slots. */
static void page_gather(attn_run *r, uint32_t p, uint32_t end)
{
    const kkv *kv = r->a->kv;
    const uint32_t page = r->a->pages[p / KV_PAGE_TOKENS];
    const unsigned char *values = kkv_values(kv, page, r->kv_head);
    const uint32_t first = p % KV_PAGE_TOKENS, last = first + end - p;
    scores_make(r, kkv_keys(kv, page, r->kv_head), first / KERN_PANEL,
                (last + KERN_PANEL - 1) / KERN_PANEL, r->score);
    for (uint32_t j = first; j < last; j++)
        r->value[j] = values + (size_t)j * kv->dim_v * kkv_width(kv);
}

/* The key and value in a slot anywhere, to a lane: its panel is scored, its lane kept. */
static void slot_gather(attn_run *r, uint32_t slot, uint32_t lane)
{
    const kkv *kv = r->a->kv;
    const uint32_t page = r->a->pages[slot / KV_PAGE_TOKENS];
    const uint32_t s = slot % KV_PAGE_TOKENS, p = s / KERN_PANEL;
    float room[ATTN_HEADS][KV_PAGE_TOKENS];
    scores_make(r, kkv_keys(kv, page, r->kv_head), p, p + 1, room);
    for (uint32_t h = 0; h < r->n; h++)
        r->score[h][lane] = room[h][s];
    r->value[lane] =
        kkv_values(kv, page, r->kv_head) + (size_t)s * kv->dim_v * kkv_width(kv);
}

/* The block of positions [p, end); those from `extra0` on are extra slots. */
static void block_run(attn_run *r, uint32_t p, uint32_t end, uint32_t extra0)
{
    const kview *view = r->view;
    r->first = p % KV_PAGE_TOKENS;
    r->last = r->first + end - p;
    if (p < view->hi) {
        uint32_t own = end < view->hi ? end : view->hi;
        page_gather(r, p, own);
        p = own;
    }
    for (; p < end; p++)
        slot_gather(r, view->extra[p - extra0], p % KV_PAGE_TOKENS);
    block_fold(r);
}

/* The rows of `r`: tokens of one head, or heads from `head` on. */
static void rows_run(attn_run *r, uint32_t head, bool tokens)
{
    const kattn *a = r->a;
    const kview *view = r->view;
    r->kv_head = head / (a->n_head / a->kv->n_kv_head);
    for (uint32_t h = 0; h < r->n; h++) {
        r->most[h] = a->sinks ? a->sinks[tokens ? head : head + h] : -INFINITY;
        r->mass[h] = a->sinks ? 1 : 0;
        memset(r->out + h * r->ldo, 0, a->kv->dim_v * sizeof *r->out);
    }
    const uint32_t extra0 = view->lo > view->hi ? view->lo : view->hi;
    const uint32_t end = extra0 + view->n_extra;
    for (uint32_t p = view->lo; p < end;) {
        uint32_t stop = (p / KV_PAGE_TOKENS + 1) * KV_PAGE_TOKENS;
        stop = stop < end ? stop : end;
        block_run(r, p, stop, extra0);
        p = stop;
    }
    for (uint32_t h = 0; h < r->n; h++) {
        const float scale = r->mass[h] > 0 ? 1.0f / r->mass[h] : 0;
        for (uint32_t i = 0; i < a->kv->dim_v; i++)
            r->out[h * r->ldo + i] *= scale;
    }
}

/* The heads of token t; those that share a KV head go together. */
static void token_attend(const kattn *a, uint32_t t, uint32_t head0, uint32_t head1,
                         const float *q, float *out, float *scratch)
{
    const uint32_t group = a->n_head / a->kv->n_kv_head;
    const size_t dim_k = a->kv->dim_k, dim_v = a->kv->dim_v;
    attn_run r = {.a = a, .view = &a->views[t], .ldq = dim_k, .ldo = dim_v};
    r.score = (attn_scores *)(void *)scratch;
    for (uint32_t h = head0; h < head1; h += r.n) {
        uint32_t rest = group - h % group;
        rest = rest < head1 - h ? rest : head1 - h;
        r.n = rest < ATTN_HEADS ? rest : ATTN_HEADS;
        r.q = q + t * a->ldq + (h - head0) * dim_k;
        r.out = out + t * a->ldo + (h - head0) * dim_v;
        rows_run(&r, h, false);
    }
}

/* Tokens from t on that see the same positions, at most ATTN_HEADS. */
static uint32_t alike(const kattn *a, uint32_t t)
{
    const kview *view = &a->views[t];
    uint32_t n = 1;
    while (t + n < a->n && n < ATTN_HEADS && view[n].lo == view->lo &&
           view[n].hi == view->hi && view[n].n_extra == 0 && view->n_extra == 0)
        n++;
    return n;
}

/* Each head of n tokens that see the same positions, as those of an encoder do. */
static void tokens_attend(const kattn *a, uint32_t t, uint32_t n, uint32_t head0,
                          uint32_t head1, const float *q, float *out, float *scratch)
{
    const size_t dim_k = a->kv->dim_k, dim_v = a->kv->dim_v;
    attn_run r = {.a = a, .view = &a->views[t], .ldq = a->ldq, .ldo = a->ldo, .n = n};
    r.score = (attn_scores *)(void *)scratch;
    for (uint32_t h = head0; h < head1; h++) {
        r.q = q + t * a->ldq + (h - head0) * dim_k;
        r.out = out + t * a->ldo + (h - head0) * dim_v;
        rows_run(&r, h, true);
    }
}

/* Floats in pages. */
ST_INLINE void attn_vec(const kattn *a, uint32_t head0, uint32_t head1, const float *q,
                        float *out, float *scratch)
{
    const bool apart = a->n_head == a->kv->n_kv_head; /* no heads share keys */
    for (uint32_t t = 0, n; t < a->n; t += n) {
        n = apart ? alike(a, t) : 1;
        if (n > 1)
            tokens_attend(a, t, n, head0, head1, q, out, scratch);
        else
            token_attend(a, t, head0, head1, q, out, scratch);
    }
}

/* Keys of a token go to lane slot % 16 of every register of their panel. */
ST_INLINE void key_store(const kkv *kv, unsigned char *keys, uint32_t s, const float *k)
{
    const size_t at = (size_t)(s / KERN_PANEL) * kv->dim_k * KERN_PANEL + s % KERN_PANEL;
    uint16_t halves[16];
    for (uint32_t i = 0; i < kv->dim_k; i += 16) {
        const uint32_t n = kv->dim_k - i < 16 ? kv->dim_k - i : 16;
        if (kv->type == ST_F16) {
            uint16_t *to = (uint16_t *)(void *)keys + at + (size_t)i * KERN_PANEL;
            v_store_half(halves, n < 16 ? v_load_n(k + i, n) : v_load(k + i));
            for (uint32_t j = 0; j < n; j++)
                to[j * KERN_PANEL] = halves[j];
        } else {
            float *to = (float *)(void *)keys + at + (size_t)i * KERN_PANEL;
            for (uint32_t j = 0; j < n; j++)
                to[j * KERN_PANEL] = k[i + j];
        }
    }
}

ST_INLINE void value_store(const kkv *kv, unsigned char *values, uint32_t s,
                           const float *v)
{
    const uint32_t whole = kv->dim_v / 16 * 16, rest = kv->dim_v - whole;
    uint16_t halves[16];
    if (kv->type == ST_F32) {
        memcpy(values + (size_t)s * kv->dim_v * 4, v, kv->dim_v * sizeof *v);
        return;
    }
    uint16_t *to = (uint16_t *)(void *)values + (size_t)s * kv->dim_v;
    for (uint32_t i = 0; i < whole; i += 16)
        v_store_half(to + i, v_load(v + i));
    if (rest) {
        v_store_half(halves, v_load_n(v + whole, rest));
        memcpy(to + whole, halves, rest * sizeof *halves);
    }
}

ST_INLINE void kv_store_vec(const kkv *kv, const uint32_t *pages, uint32_t slot,
                            const float *k, const float *v)
{
    const uint32_t page = pages[slot / KV_PAGE_TOKENS], s = slot % KV_PAGE_TOKENS;
    for (uint32_t h = 0; h < kv->n_kv_head; h++) {
        key_store(kv, kkv_keys(kv, page, h), s, k + (size_t)h * kv->dim_k);
        value_store(kv, kkv_values(kv, page, h), s, v + (size_t)h * kv->dim_v);
    }
}
#endif
