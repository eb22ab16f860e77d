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

ST_INLINE void dots(kfmt f, int n, int h, const bvec *u, const kqact *x, ivec *sum)
{
    const bvec lift = _mm512_set1_epi8((char)(128 - (1 << f.shift)));
    ivec other = iv_set(0); /* a lone token has two chains */
    for (int t = 0; t < n; t++)
        sum[t] = iv_set(f.has_min ? 0 : f.halves ? x[t].z2[h] : x[t].z);
    for (int g = 0; g < (f.halves ? 4 : 8); g++) {
        const bvec w = f.has_min ? u[g] : _mm512_add_epi8(u[g], lift);
        for (int t = 0; t < n; t++) {
            ivec *to = n == 1 && g % 2 ? &other : &sum[t];
            *to = dot_add(*to, w, x[t].q + 16 * h + 4 * g);
        }
    }
    if (n == 1)
        sum[0] = _mm512_add_epi32(sum[0], other);
}

#include "kernels/block_vec.h"

void direct_vnni(const kmat *w, const unsigned char *panel, uint32_t b0, uint32_t nb,
                 const kqact *x, size_t stride, uint32_t n, const uint8_t *at,
                 float (*acc)[KERN_PANEL])
{
    direct_vec(w, panel, b0, nb, x, stride, n, at, acc);
}
