/* kernels/attn_vnni.c - attention over 8-bit keys and values by products of four bytes.
 *
 * The instruction multiplies unsigned by signed bytes: keys are made unsigned (128 more)
 * and the sums begin at what that adds; weights are unsigned by nature. */
#include "kernels/vec_avx512.h"

typedef int8_t kv8_term;
#include "kernels/attn_vec.h"
#include "kernels/kv8_vec.h"
#include "kernels/tile.h"

enum { TILE = 6, WIDE = 4 }; /* rows and registers of a tile: 24 sums */

static void kv8_page_open(kv8_run *r, const unsigned char *keys,
                          const unsigned char *values, uint32_t n_rows, uint32_t p0,
                          uint32_t p1)
{
    (void)n_rows;
    (void)p0;
    (void)p1;
    r->keys = keys;
    r->values = values;
}

static void kv8_query_store(kv8_run *r, uint32_t row, const float *q)
{
    for (uint32_t i = 0; i < r->wk; i += 16)
        v_store_i8(r->q + (size_t)row * r->wk + i, v_load(q + i));
}

static void kv8_weight_store(kv8_run *r, uint32_t row, uint32_t panel, vec w)
{
    __m128i q = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(w));
    _mm_store_si128(
        (__m128i *)(void *)(r->weight + (size_t)row * KV8_PAGE + (size_t)panel * 16),
        _mm_xor_si128(q, _mm_set1_epi8((char)0x80)));
}

/* sum += four products of unsigned u and signed s in each lane.  In assembly, because gcc
 * 12 copies the 24 sums of a tile around. */
ST_INLINE __m512i dot_add(__m512i sum, __m512i u, __m512i s)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u), "v"(s));
    return sum;
}

typedef struct bytes4 {
    int8_t b[4];
} bytes4;

/* The same with four signed bytes, sixteen times. */
ST_INLINE __m512i dot_add_four(__m512i sum, __m512i u, const bytes4 *four)
{
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(u), "m"(*four));
    return sum;
}

/* Four bytes, sixteen times. */
ST_INLINE __m512i four_load(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}

ST_INLINE void scores_tile(int n, int np, const kv8_run *r, uint32_t row, uint32_t p)
{
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    const size_t panel = (size_t)r->wk * 16;
    const unsigned char *k = (const unsigned char *)r->keys + p * panel;
    const bytes4 *q = (const void *)(r->q + (size_t)row * r->wk);
    const uint32_t quads = r->wk / 4;
    __m512i s[TILE][WIDE];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < np; j++)
            s[i][j] = _mm512_set1_epi32(-128 * (int)r->q_sum[row + (uint32_t)i]);
    for (uint32_t g = 0; g < quads; g++) {
        for (int j = 0; j < np; j++) {
            __m512i u = _mm512_xor_si512(
                _mm512_load_si512(k + (size_t)j * panel + (size_t)g * 64), flip);
            for (int i = 0; i < n; i++)
                s[i][j] = dot_add_four(s[i][j], u, q + (size_t)i * quads + g);
        }
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < np; j++)
            v_store(r->score[row + (uint32_t)i] + (p + (uint32_t)j) * 16,
                    _mm512_cvtepi32_ps(s[i][j]));
}

ST_INLINE void scores_rows(int np, const kv8_run *r, uint32_t row0, uint32_t row1,
                           uint32_t p)
{
    uint32_t row = row0;
    for (; row + TILE <= row1; row += TILE)
        scores_tile(TILE, np, r, row, p);
    for (; row + 3 <= row1; row += 3)
        scores_tile(3, np, r, row, p);
    for (; row < row1; row++)
        scores_tile(1, np, r, row, p);
}

static void kv8_scores(kv8_run *r, uint32_t row0, uint32_t row1, uint32_t p0, uint32_t p1)
{
    uint32_t p = p0;
    for (; p + WIDE <= p1; p += WIDE)
        scores_rows(WIDE, r, row0, row1, p);
    for (; p < p1; p++)
        scores_rows(1, r, row0, row1, p);
}

ST_INLINE void fold_tile(int n, int nd, const kv8_run *r, uint32_t row, uint32_t d,
                         uint32_t quad0, uint32_t quad1)
{
    const size_t slots = (size_t)r->wv * 4;
    const unsigned char *v = (const unsigned char *)r->values + (size_t)d * 4;
    const int8_t *w = r->weight + (size_t)row * KV8_PAGE;
    const uint32_t left = r->a->kv->dim_v - d;
    __m512i s[TILE][WIDE];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < nd; j++)
            s[i][j] = _mm512_setzero_si512();
    for (uint32_t g = quad0; g < quad1; g++) {
        __m512i vg[WIDE];
        for (int j = 0; j < nd; j++)
            vg[j] = _mm512_load_si512(v + g * slots + (size_t)j * 64);
        for (int i = 0; i < n; i++) {
            __m512i u = four_load(w + i * KV8_PAGE + (int)g * 4);
            for (int j = 0; j < nd; j++)
                s[i][j] = dot_add(s[i][j], u, vg[j]);
        }
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < nd; j++)
            kv8_out(r, row + (uint32_t)i, d + (uint32_t)j * 16, left - (uint32_t)j * 16,
                    _mm512_cvtepi32_ps(s[i][j]));
}

ST_INLINE void fold_rows(int nd, const kv8_run *r, uint32_t row0, uint32_t row1,
                         uint32_t d, uint32_t quad0, uint32_t quad1)
{
    uint32_t row = row0;
    for (; row + TILE <= row1; row += TILE)
        fold_tile(TILE, nd, r, row, d, quad0, quad1);
    for (; row + 3 <= row1; row += 3)
        fold_tile(3, nd, r, row, d, quad0, quad1);
    for (; row < row1; row++)
        fold_tile(1, nd, r, row, d, quad0, quad1);
}

static void kv8_fold(kv8_run *r, uint32_t row0, uint32_t row1, uint32_t j0, uint32_t j1)
{
    const uint32_t dim = r->a->kv->dim_v, quad0 = j0 / 4, quad1 = (j1 + 3) / 4;
    uint32_t d = 0;
    for (; d + 16 * WIDE <= dim; d += 16 * WIDE)
        fold_rows(WIDE, r, row0, row1, d, quad0, quad1);
    for (; d < dim; d += 16)
        fold_rows(1, r, row0, row1, d, quad0, quad1);
}

void attn_vnni(const kattn *a, uint32_t head0, uint32_t head1, const float *q, float *out,
               float *scratch)
{
    if (a->kv->type == ST_Q8_0)
        kv8_attn(a, head0, head1, q, out, scratch);
    else
        attn_vec(a, head0, head1, q, out, scratch);
}
