/* bench/loops_512.h - the loops with 512-bit registers, for a file that says what one
 * step of products is.
 *
 * Tiles of 32 rows by 6 tokens: twelve sums in registers, more than the latency of a
 * product times the products started each cycle. */
#ifndef BENCH_LOOPS_512_H
#define BENCH_LOOPS_512_H
#include "base/compiler.h"
#include "bench/loops.h"

#include <immintrin.h>
#include <string.h>

enum { TILE = 6 };

typedef __m512i products_fn(__m512i sum, __m512i x, __m512i w);

ST_INLINE __m512i four(const uint8_t *x)
{
    int32_t word;
    memcpy(&word, x, sizeof word);
    return _mm512_set1_epi32(word);
}

ST_INLINE uint32_t multiply_512(const int8_t *w, const uint8_t *x, products_fn *products)
{
    __m512i all = _mm512_setzero_si512();
    for (uint32_t t0 = 0; t0 < LOOP_TOKENS; t0 += TILE, x += (size_t)TILE * LOOP_COLS) {
        __m512i y[TILE][2];
#pragma GCC unroll 6
        for (int t = 0; t < TILE; t++)
            y[t][0] = y[t][1] = _mm512_setzero_si512();
        for (uint32_t c = 0; c < LOOP_COLS; c += 4) {
            __m512i low = _mm512_load_si512(w + c * 16);
            __m512i high = _mm512_load_si512(w + c * 16 + 16 * LOOP_COLS);
#pragma GCC unroll 6
            for (int t = 0; t < TILE; t++) {
                __m512i q = four(x + t * LOOP_COLS + c);
                y[t][0] = products(y[t][0], q, low);
                y[t][1] = products(y[t][1], q, high);
            }
        }
#pragma GCC unroll 6
        for (int t = 0; t < TILE; t++)
            all = _mm512_add_epi32(all, _mm512_add_epi32(y[t][0], y[t][1]));
    }
    return (uint32_t)_mm512_reduce_add_epi32(all);
}

static uint64_t read_512(const void *p, size_t bytes)
{
    const char *from = p;
    __m512i sum[8];
    for (int i = 0; i < 8; i++)
        sum[i] = _mm512_setzero_si512();
    for (size_t at = 0; at < bytes; at += sizeof sum)
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            sum[i] = _mm512_add_epi64(sum[i], _mm512_load_si512(from + at + 64 * i));
    for (int i = 1; i < 8; i++)
        sum[0] = _mm512_add_epi64(sum[0], sum[i]);
    return (uint64_t)_mm512_reduce_add_epi64(sum[0]);
}
#endif
