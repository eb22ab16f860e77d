/* bench/loops_avx2.c - VPMADDUBSW, VPMADDWD, VPADDD: 32 products in three instructions.
 *
 * Tiles of 16 rows by 3 tokens: six sums in registers. */
#include "bench/loops.h"

#include <immintrin.h>
#include <string.h>

enum { TILE = 3 };

static inline __m256i four(const uint8_t *x)
{
    int32_t word;
    memcpy(&word, x, sizeof word);
    return _mm256_set1_epi32(word);
}

static inline __m256i products(__m256i sum, __m256i x, __m256i w, __m256i ones)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), ones));
}

static __m256i tile(const int8_t *w, const uint8_t *x)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i y[TILE][2], all = _mm256_setzero_si256();
    for (int t = 0; t < TILE; t++)
        y[t][0] = y[t][1] = _mm256_setzero_si256();
    for (uint32_t c = 0; c < LOOP_COLS; c += 4) {
        __m256i low = _mm256_load_si256((const void *)(w + c * 16));
        __m256i high = _mm256_load_si256((const void *)(w + c * 16 + 32));
#pragma GCC unroll 3
        for (int t = 0; t < TILE; t++) {
            __m256i q = four(x + t * LOOP_COLS + c);
            y[t][0] = products(y[t][0], q, low, ones);
            y[t][1] = products(y[t][1], q, high, ones);
        }
    }
    for (int t = 0; t < TILE; t++)
        all = _mm256_add_epi32(all, _mm256_add_epi32(y[t][0], y[t][1]));
    return all;
}

static uint32_t multiply(const int8_t *w, const uint8_t *x)
{
    __m256i all = _mm256_setzero_si256();
    uint32_t lanes[8], sum = 0;
    for (uint32_t r = 0; r < LOOP_ROWS; r += 16)
        for (uint32_t t = 0; t < LOOP_TOKENS; t += TILE)
            all = _mm256_add_epi32(
                all, tile(w + (size_t)r * LOOP_COLS, x + (size_t)t * LOOP_COLS));
    _mm256_storeu_si256((void *)lanes, all);
    for (int i = 0; i < 8; i++)
        sum += lanes[i];
    return sum;
}

static uint64_t read_words(const void *p, size_t bytes)
{
    const __m256i *v = p;
    __m256i sum[8];
    uint64_t lanes[4];
    for (int i = 0; i < 8; i++)
        sum[i] = _mm256_setzero_si256();
    for (size_t at = 0; at < bytes / sizeof *v; at += 8)
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            sum[i] = _mm256_add_epi64(sum[i], _mm256_load_si256(v + at + i));
    for (int i = 1; i < 8; i++)
        sum[0] = _mm256_add_epi64(sum[0], sum[i]);
    _mm256_storeu_si256((void *)lanes, sum[0]);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

const loops loops_avx2 = {multiply, read_words};
