/* kernels/kv8_c.c - keys and values in 8 bits, in plain C.
 *
 * Unlike the other curves the exponential is that of ops_vec.h, operation by operation:
 * a weight near the middle between two whole numbers must be rounded as the vector tables
 * round it, so all tables give the same bytes here. */
#include "kernels/kv8.h"

#include <math.h>
#include <string.h>

static float exp_one(float x)
{
    x = -110.0f > x ? -110.0f : x;
    x = 89.0f < x ? 89.0f : x;
    float n = rintf(x * 1.44269504f);
    float r = fmaf(n, -0.693145752f, x);
    r = fmaf(n, -1.42860677e-6f, r);
    float p = fmaf(0.00138154021f, r, 0.00836934894f);
    p = fmaf(p, r, 0.0416684076f);
    p = fmaf(p, r, 0.166665152f);
    p = fmaf(p, r, 0.49999994f);
    p = fmaf(p * r, r, r + 1.0f);
    return isnan(p) ? p : ldexpf(p, (int)n);
}

static float tanh_one(float x)
{
    float e = exp_one(-2.0f * fabsf(x));
    float t = (1.0f - e) / (1.0f + e);
    return signbit(x) ? 0.0f - t : t;
}

/* Sum by halves, as v_sum. */
static float sum_16(const float *v)
{
    float s[16];
    memcpy(s, v, sizeof s);
    for (int n = 8; n; n /= 2)
        for (int i = 0; i < n; i++)
            s[i] += s[i + n];
    return s[0];
}

static void rotate(float *x, uint32_t width)
{
    const uint32_t block = kv8_block(width);
    for (uint32_t h = 1; h < block; h *= 2) {
        for (uint32_t i = 0; i < width; i++) {
            if (i & h)
                continue;
            float a = x[i], b = x[i + h];
            x[i] = a + b;
            x[i + h] = a - b;
        }
    }
}

/* Whole numbers of magnitude up to 127 and their scale; NaN where x is not finite. */
static float round_8(const float *x, uint32_t n, int8_t *q)
{
    float most = 0;
    bool finite = true;
    for (uint32_t i = 0; i < n; i++) {
        finite = finite && isfinite(x[i]);
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    }
    memset(q, 0, n);
    if (!finite || most < KV8_TINY)
        return finite ? 0.0f : NAN;
    const float inverse = 127.0f / most;
    for (uint32_t i = 0; i < n; i++)
        q[i] = (int8_t)rintf(x[i] * inverse);
    return most / 127.0f;
}

static float round_rotated(const float *x, uint32_t dim, int8_t *q)
{
    float room[KV8_MAX_DIM] = {0};
    memcpy(room, x, dim * sizeof *x);
    rotate(room, kv8_width(dim));
    return round_8(room, kv8_width(dim), q);
}

void kv8_store_c(const kkv *kv, const uint32_t *pages, uint32_t slot, const float *k,
                 const float *v)
{
    const uint32_t page = pages[slot / KV_PAGE_TOKENS], s = slot % KV_PAGE_TOKENS;
    const uint32_t wk = kv8_width(kv->dim_k), wv = kv8_width(kv->dim_v);
    int8_t q[KV8_MAX_DIM];
    for (uint32_t h = 0; h < kv->n_kv_head; h++, k += kv->dim_k, v += kv->dim_v) {
        unsigned char *keys = kkv_keys(kv, page, h), *values = kkv_values(kv, page, h);
        kv8_scales(keys, kv->dim_k)[s] = round_rotated(k, kv->dim_k, q);
        for (uint32_t i = 0; i < wk; i++)
            keys[kv8_key_at(wk, s, i)] = (unsigned char)q[i];
        kv8_scales(values, kv->dim_v)[s] = round_8(v, kv->dim_v, q);
        for (uint32_t i = 0; i < wv; i++)
            values[kv8_value_at(wv, s, i)] = (unsigned char)(i < kv->dim_v ? q[i] : 0);
    }
}

void kv8_key_copy(uint32_t dim, unsigned char *head_to, uint32_t to,
                  const unsigned char *head_from, uint32_t from)
{
    const uint32_t w = kv8_width(dim);
    for (uint32_t i = 0; i < w; i += 4)
        memcpy(head_to + kv8_key_at(w, to, i), head_from + kv8_key_at(w, from, i), 4);
    memcpy(head_to + (size_t)KV_PAGE_TOKENS * w + 4 * to,
           head_from + (size_t)KV_PAGE_TOKENS * w + 4 * from, 4);
}

void kv8_value_copy(uint32_t dim, unsigned char *head_to, uint32_t to,
                    const unsigned char *head_from, uint32_t from)
{
    const uint32_t w = kv8_width(dim);
    for (uint32_t i = 0; i < w; i++)
        head_to[kv8_value_at(w, to, i)] = head_from[kv8_value_at(w, from, i)];
    memcpy(head_to + (size_t)KV_PAGE_TOKENS * w + 4 * to,
           head_from + (size_t)KV_PAGE_TOKENS * w + 4 * from, 4);
}

void kv8_clear(const kkv *kv, unsigned char *keys, unsigned char *values, uint32_t s)
{
    const uint32_t wk = kv8_width(kv->dim_k), wv = kv8_width(kv->dim_v);
    for (uint32_t i = 0; i < wk; i += 4)
        memset(keys + kv8_key_at(wk, s, i), 0, 4);
    for (uint32_t i = 0; i < wv; i++)
        values[kv8_value_at(wv, s, i)] = 0;
    kv8_scales(keys, kv->dim_k)[s] = kv8_scales(values, kv->dim_v)[s] = 0;
}

/* ---- attention of one head ---- */

typedef struct state {
    const kattn *a;
    uint32_t kv_head;
    int8_t q[KV8_MAX_DIM];
    float factor; /* of a score: dq * scale / block */
    float most, mass;
    float *out;
} state;

/* Where the key and the value of a slot are. */
static unsigned char *slot_find(const state *st, uint32_t slot, bool value)
{
    const uint32_t page = st->a->pages[slot / KV_PAGE_TOKENS];
    return value ? kkv_values(st->a->kv, page, st->kv_head)
                 : kkv_keys(st->a->kv, page, st->kv_head);
}

static float score_one(const state *st, uint32_t slot)
{
    const uint32_t dim = st->a->kv->dim_k, w = kv8_width(dim), s = slot % KV_PAGE_TOKENS;
    unsigned char *keys = slot_find(st, slot, false);
    int32_t sum = 0;
    for (uint32_t i = 0; i < w; i++)
        sum += st->q[i] * (int8_t)keys[kv8_key_at(w, s, i)];
    float score = (float)sum * (kv8_scales(keys, dim)[s] * st->factor);
    const float cap = st->a->softcap;
    return cap > 0 ? cap * tanh_one(score / cap) : score;
}

/* Weights of 64 lanes to whole numbers, and their scale.  One that is not finite shows in
 * the sum. */
static float weights_round(float *w)
{
    float most = 0, sums[16] = {0};
    for (int i = 0; i < KV_PAGE_TOKENS; i++) {
        sums[i % 16] += w[i];
        most = w[i] > most ? w[i] : most;
    }
    const bool finite = isfinite(sum_16(sums)), empty = !finite || most < KV8_TINY;
    const float inverse = empty ? 0 : (float)KV8_TOP / most;
    for (int i = 0; i < KV_PAGE_TOKENS; i++)
        w[i] = empty ? 0 : rintf(w[i] * inverse - 128.0f) + 128.0f;
    return !finite ? NAN : empty ? 0 : most / (float)KV8_TOP;
}

/* Lanes [first, last) hold the slots `slots`. */
static void block_fold(state *st, const uint32_t *slots, uint32_t first, uint32_t last)
{
    const uint32_t dim = st->a->kv->dim_v, w = kv8_width(dim);
    float score[KV_PAGE_TOKENS], weight[KV_PAGE_TOKENS] = {0}, sums[16] = {0};
    float top = st->most;
    for (uint32_t j = first; j < last; j++) {
        score[j] = score_one(st, slots[j]);
        top = score[j] > top ? score[j] : top;
    }
    for (uint32_t j = first; j < last; j++) {
        float e = exp_one(score[j] - top);
        sums[j % 16] += e;
        weight[j] =
            e * kv8_scales(slot_find(st, slots[j], true), dim)[slots[j] % KV_PAGE_TOKENS];
    }
    const float keep = st->most == top ? 1 : exp_one(st->most - top),
                dw = weights_round(weight);
    st->mass = st->mass * keep + sum_16(sums);
    st->most = top;
    for (uint32_t i = 0; i < dim; i++) {
        int32_t sum = 0;
        for (uint32_t j = first; j < last; j++) {
            const unsigned char *values = slot_find(st, slots[j], true);
            int8_t v = (int8_t)values[kv8_value_at(w, slots[j] % KV_PAGE_TOKENS, i)];
            sum += (int32_t)weight[j] * v;
        }
        st->out[i] = fmaf((float)sum, dw, st->out[i] * keep);
    }
}

static void head_run(const kattn *a, const kview *view, uint32_t head, const float *q,
                     float *out)
{
    state st = {.a = a, .kv_head = head / (a->n_head / a->kv->n_kv_head), .out = out};
    const uint32_t block = kv8_block(kv8_width(a->kv->dim_k));
    st.factor = round_rotated(q, a->kv->dim_k, st.q) * (a->scale / (float)block);
    st.most = a->sinks ? a->sinks[head] : -INFINITY;
    st.mass = a->sinks ? 1 : 0;
    memset(out, 0, a->kv->dim_v * sizeof *out);
    const uint32_t extra0 = view->lo > view->hi ? view->lo : view->hi;
    const uint32_t end = extra0 + view->n_extra;
    for (uint32_t p = view->lo; p < end;) {
        uint32_t slots[KV_PAGE_TOKENS], first = p % KV_PAGE_TOKENS, lane = first;
        for (; lane < KV_PAGE_TOKENS && p < end; p++)
            slots[lane++] = p < view->hi ? p : view->extra[p - extra0];
        block_fold(&st, slots, first, lane);
    }
    const float scale = st.mass == 0 ? 0 : 1.0f / st.mass;
    for (uint32_t i = 0; i < a->kv->dim_v; i++)
        out[i] = fmaf(out[i], scale, 0.0f); /* one zero, not two */
}

void kv8_attn_c(const kattn *a, uint32_t head0, uint32_t head1, const float *q,
                float *out)
{
    for (uint32_t t = 0; t < a->n; t++)
        for (uint32_t h = head0; h < head1; h++)
            head_run(a, &a->views[t], h, q + t * a->ldq + (h - head0) * a->kv->dim_k,
                     out + t * a->ldo + (h - head0) * a->kv->dim_v);
}
