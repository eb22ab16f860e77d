/* kernels/dots_vnni.c - integer products with VPDPBUSD.
 *
 * A register of weights holds 4 columns of 16 rows; one instruction multiplies it with 4
 * activations of a token, broadcast from memory, and adds into 16 sums.  Codes that have
 * an offset are lifted to one of 128, so that the sums start from a number that was
 * stored with the activations. */
#include "kernels/tile.h"
#include "kernels/vec_avx512.h"

#include "kernels/unpack_vec.h"

typedef struct act_four {
    int8_t q[4];
} act_four;

/* The activations are broadcast as they are read.  Written out: gcc 12 would load them
 * first, and copy every sum around the intrinsic. */
ST_INLINE ivec dot_add(ivec sum, bvec u, const int8_t *q)
{
    __asm__("vpdpbusd %2%{1to16%}, %1, %0"
            : "+v"(sum)
            : "v"(u), "m"(*(const act_four *)(const void *)q));
    return sum;
}

/* In two chains, for a lone token. */
ST_INLINE ivec dots(kfmt f, int h, const bvec *u, const kqact *x)
{
    const bvec lift = _mm512_set1_epi8((char)(128 - (1 << f.shift)));
    ivec sum[2] = {iv_set(f.has_min ? 0 : f.halves ? x->z2[h] : x->z), iv_set(0)};
    for (int g = 0; g < (f.halves ? 4 : 8); g++) {
        const bvec w = f.has_min ? u[g] : _mm512_add_epi8(u[g], lift);
        sum[g % 2] = dot_add(sum[g % 2], w, x->q + 16 * h + 4 * g);
    }
    return _mm512_add_epi32(sum[0], sum[1]);
}

#include "kernels/block_vec.h"

void blocks_vnni(const kmat *w, const unsigned char *panel, uint32_t b0, uint32_t nb,
                 const kqact *x, size_t stride, uint32_t n, const uint8_t *at,
                 float (*acc)[KERN_PANEL])
{
    blocks_vec(w, panel, b0, nb, x, stride, n, at, acc);
}
