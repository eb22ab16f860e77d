/* bench/loops_vnni.c - VPDPBUSD: 64 products in one instruction.
 *
 * The instruction is written out: gcc 12 copies every sum around the intrinsic. */
#include "bench/loops_512.h"

ST_INLINE __m512i products(__m512i sum, __m512i x, __m512i w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
    return sum;
}

static uint32_t multiply(const int8_t *w, const uint8_t *x)
{
    return multiply_512(w, x, products);
}

const loops loops_vnni = {multiply, read_512};
