/* kernels/dots_maddubs.h - integer products with VPMADDUBSW, for AVX2 and for AVX-512
 * without VNNI.
 *
 * The instruction multiplies unsigned by signed bytes and adds pairs into 16 bits,
 * saturating.  So that nothing saturates, as many groups of columns are added in 16 bits
 * as the largest code allows (a pair is at most 2 * 127 * code): 8 for codes up to 15, 4
 * up to 31, 2 up to 63.  A whole byte is multiplied as two codes of 4 bits, which is
 * faster than with signs (|w| and x with the sign of w), where each product must be
 * widened. */
#ifndef KERNELS_DOTS_MADDUBS_H
#define KERNELS_DOTS_MADDUBS_H
#include "kernels/unpack_vec.h"

typedef enum code_part { CODE_WHOLE, CODE_LOW, CODE_HIGH } code_part;

ST_INLINE bvec code_get(const bvec *u, code_part part)
{
    return part == CODE_WHOLE ? *u : bv_field(*u, part == CODE_HIGH ? 4 : 0, 4, 0);
}

/* Groups of columns that fit into 16 bits. */
ST_INLINE int pairs_run(kfmt f)
{
    const int most = kfmt_most(f), groups = f.halves ? 4 : 8;
    const int run = most <= 15 || most == 255 ? 8 : most <= 31 ? 4 : 2;
    return run < groups ? run : groups;
}

/* sum[t] += a part of the codes times the activations q of x[t], from column `c`. */
ST_INLINE void dots_add(kfmt f, int n, const bvec *u, code_part part, const kqact *x,
                        int c, ivec *sum)
{
    const int run = pairs_run(f);
    for (int from = 0; from < (f.halves ? 4 : 8); from += run) {
        bvec pairs[TILE_TOKENS], w = code_get(&u[from], part);
        for (int t = 0; t < n; t++)
            pairs[t] = bv_pairs(w, bv_four(x[t].q + c + 4 * from));
        for (int g = from + 1; g < from + run; g++) {
            w = code_get(&u[g], part);
            for (int t = 0; t < n; t++)
                pairs[t] = bv_pairs_add(pairs[t], w, bv_four(x[t].q + c + 4 * g));
        }
        for (int t = 0; t < n; t++)
            sum[t] = iv_add_pairs(sum[t], pairs[t], part == CODE_HIGH ? 16 : 1);
    }
}

ST_INLINE void dots(kfmt f, int n, int h, const bvec *u, const kqact *x, ivec *sum)
{
    for (int t = 0; t < n; t++) {
        ivec z = iv_set(f.halves ? x[t].z2[h] : x[t].z);
        sum[t] = f.has_min ? iv_set(0) : iv_shift_right(z, 7 - f.shift);
    }
    if (kfmt_most(f) == 255) {
        dots_add(f, n, u, CODE_LOW, x, 16 * h, sum);
        dots_add(f, n, u, CODE_HIGH, x, 16 * h, sum);
    } else {
        dots_add(f, n, u, CODE_WHOLE, x, 16 * h, sum);
    }
}

#include "kernels/block_vec.h"

static void direct_part(const kmat *w, const unsigned char *panel, uint32_t b0,
                        uint32_t nb, const kqact *x, size_t stride, uint32_t n,
                        const uint8_t *at, float (*acc)[KERN_PANEL])
{
    direct_vec(w, panel, b0, nb, x, stride, n, at, acc);
}
#endif
