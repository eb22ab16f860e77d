/* bench/loops_avx512.c - VPMADDUBSW, VPMADDWD, VPADDD: 64 products in three instructions.
 */
#include "bench/loops_512.h"

ST_INLINE __m512i products(__m512i sum, __m512i x, __m512i w)
{
    __m512i pairs = _mm512_maddubs_epi16(x, w);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

static uint32_t multiply(const int8_t *w, const uint8_t *x)
{
    return multiply_512(w, x, products);
}

const loops loops_avx512 = {multiply, read_512};
