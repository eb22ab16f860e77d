/* kernels/attn_c.c - keys, values and attention in plain C.
 *
 * Scores of at most KV_PAGE_TOKENS positions are made at a time, a block, and folded into
 * a running maximum, mass and weighted sum of values (online softmax).  Blocks end where
 * pages end, counted from position 0 of the sequence, so they are the same however the
 * sequence was fed; the extra slots count on from the last position, so that a token of a
 * tree gets the bytes it would have got in a chain. */
#include "kernels/kv8.h"

#include <math.h>
#include <string.h>

static float elem_get(const kkv *kv, const unsigned char *base, size_t i)
{
    float f;
    uint16_t h;
    if (kv->type == ST_F16) {
        memcpy(&h, base + 2 * i, 2);
        return st_f16_to_f32(h);
    }
    memcpy(&f, base + 4 * i, 4);
    return f;
}

static void elem_put(const kkv *kv, unsigned char *base, size_t i, float f)
{
    uint16_t h = st_f32_to_f16(f);
    if (kv->type == ST_F16)
        memcpy(base + 2 * i, &h, 2);
    else
        memcpy(base + 4 * i, &f, 4);
}

size_t kkv_bytes(st_dtype type, uint32_t n_kv_head, uint32_t dim)
{
    const size_t width = type == ST_F16 ? 2 : 4;
    if (type == ST_Q8_0)
        return n_kv_head * kv8_head_bytes(dim);
    return n_kv_head * (size_t)KV_PAGE_TOKENS * dim * width;
}

/* Index of element i of the key in slot s of a page. */
static size_t key_at(uint32_t dim, uint32_t s, uint32_t i)
{
    return ((size_t)(s / KERN_PANEL) * dim + i) * KERN_PANEL + s % KERN_PANEL;
}

void kv_store_c(const kkv *kv, const uint32_t *pages, uint32_t slot, const float *k,
                const float *v)
{
    uint32_t page = pages[slot / KV_PAGE_TOKENS], s = slot % KV_PAGE_TOKENS;
    if (kv->type == ST_Q8_0) {
        kv8_store_c(kv, pages, slot, k, v);
        return;
    }
    for (uint32_t h = 0; h < kv->n_kv_head; h++) {
        unsigned char *keys = kkv_keys(kv, page, h), *values = kkv_values(kv, page, h);
        for (uint32_t i = 0; i < kv->dim_k; i++)
            elem_put(kv, keys, key_at(kv->dim_k, s, i), *k++);
        for (uint32_t i = 0; i < kv->dim_v; i++)
            elem_put(kv, values, (size_t)s * kv->dim_v + i, *v++);
    }
}

void kkv_copy(const kkv *kv, const uint32_t *pages, uint32_t from, uint32_t to)
{
    uint32_t page_from = pages[from / KV_PAGE_TOKENS], s = from % KV_PAGE_TOKENS;
    uint32_t page_to = pages[to / KV_PAGE_TOKENS], t = to % KV_PAGE_TOKENS;
    size_t w = kkv_width(kv);
    for (uint32_t h = 0; h < kv->n_kv_head; h++) {
        const unsigned char *kf = kkv_keys(kv, page_from, h);
        unsigned char *kt = kkv_keys(kv, page_to, h);
        if (kv->type == ST_Q8_0) {
            kv8_key_copy(kv->dim_k, kt, t, kf, s);
            kv8_value_copy(kv->dim_v, kkv_values(kv, page_to, h), t,
                           kkv_values(kv, page_from, h), s);
            continue;
        }
        for (uint32_t i = 0; i < kv->dim_k; i++)
            memcpy(kt + w * key_at(kv->dim_k, t, i), kf + w * key_at(kv->dim_k, s, i), w);
        memmove(kkv_values(kv, page_to, h) + w * t * kv->dim_v,
                kkv_values(kv, page_from, h) + w * s * kv->dim_v, w * kv->dim_v);
    }
}

void kkv_clear(const kkv *kv, uint32_t page, uint32_t from)
{
    size_t w = kkv_width(kv);
    for (uint32_t h = 0; h < kv->n_kv_head; h++) {
        unsigned char *keys = kkv_keys(kv, page, h), *values = kkv_values(kv, page, h);
        for (uint32_t s = from; s < KV_PAGE_TOKENS; s++) {
            if (kv->type == ST_Q8_0) {
                kv8_clear(kv, keys, values, s);
                continue;
            }
            for (uint32_t i = 0; i < kv->dim_k; i++)
                memset(keys + w * key_at(kv->dim_k, s, i), 0, w);
            memset(values + w * s * kv->dim_v, 0, w * kv->dim_v);
        }
    }
}

/* The running state of one head. */
typedef struct head {
    float most;
    float mass;
} head;

static float score_one(const kattn *a, const unsigned char *keys, uint32_t s,
                       const float *q)
{
    const kkv *kv = a->kv;
    double sum = 0;
    for (uint32_t i = 0; i < kv->dim_k; i++)
        sum += (double)q[i] * (double)elem_get(kv, keys, key_at(kv->dim_k, s, i));
    float score = (float)sum * a->scale;
    return a->softcap > 0 ? a->softcap * tanhf(score / a->softcap) : score;
}

/* Fold scores of n slots into a head: out = sum of exp(score - most) * value. */
static void block_fold(const kattn *a, uint32_t kv_head, const uint32_t *slots,
                       uint32_t n, float *score, head *h, float *out)
{
    const kkv *kv = a->kv;
    float most = h->most;
    for (uint32_t j = 0; j < n; j++)
        most = fmaxf(most, score[j]);
    float keep = expf(h->most - most);
    for (uint32_t i = 0; i < kv->dim_v; i++)
        out[i] *= keep;
    h->mass *= keep;
    h->most = most;
    for (uint32_t j = 0; j < n; j++) {
        uint32_t page = a->pages[slots[j] / KV_PAGE_TOKENS],
                 s = slots[j] % KV_PAGE_TOKENS;
        const unsigned char *values = kkv_values(kv, page, kv_head);
        float p = expf(score[j] - most);
        h->mass += p;
        for (uint32_t i = 0; i < kv->dim_v; i++)
            out[i] = fmaf(p, elem_get(kv, values, (size_t)s * kv->dim_v + i), out[i]);
    }
}

static void block_run(const kattn *a, uint32_t kv_head, const uint32_t *slots, uint32_t n,
                      const float *q, float *score, head *h, float *out)
{
    for (uint32_t j = 0; j < n; j++) {
        uint32_t page = a->pages[slots[j] / KV_PAGE_TOKENS];
        score[j] =
            score_one(a, kkv_keys(a->kv, page, kv_head), slots[j] % KV_PAGE_TOKENS, q);
    }
    block_fold(a, kv_head, slots, n, score, h, out);
}

static void head_run(const kattn *a, const kview *view, uint32_t head_at, const float *q,
                     float *out, float *score)
{
    uint32_t kv_head = head_at / (a->n_head / a->kv->n_kv_head);
    uint32_t slots[KV_PAGE_TOKENS];
    head h = {-INFINITY, 0};
    if (a->sinks)
        h = (head){a->sinks[head_at], 1};
    memset(out, 0, a->kv->dim_v * sizeof *out);
    uint32_t extra0 = view->lo > view->hi ? view->lo : view->hi;
    uint32_t end = extra0 + view->n_extra;
    for (uint32_t p = view->lo; p < end;) {
        uint32_t n = 0;
        do {
            slots[n++] = p < view->hi ? p : view->extra[p - extra0];
            p++;
        } while (p < end && p % KV_PAGE_TOKENS);
        block_run(a, kv_head, slots, n, q, score, &h, out);
    }
    float scale = h.mass > 0 ? 1.0f / h.mass : 0;
    for (uint32_t i = 0; i < a->kv->dim_v; i++)
        out[i] *= scale;
}

void attn_c(const kattn *a, uint32_t head0, uint32_t head1, const float *q, float *out,
            float *scratch)
{
    if (a->kv->type == ST_Q8_0) {
        kv8_attn_c(a, head0, head1, q, out);
        return;
    }
    for (uint32_t t = 0; t < a->n; t++)
        for (uint32_t h = head0; h < head1; h++)
            head_run(a, &a->views[t], h, q + t * a->ldq + (h - head0) * a->kv->dim_k,
                     out + t * a->ldo + (h - head0) * a->kv->dim_v, scratch);
}
