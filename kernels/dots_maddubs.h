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

/* sum + a part of the codes times the activations from q. */
ST_INLINE ivec dots_add(kfmt f, const bvec *u, code_part part, const int8_t *q, ivec sum)
{
    const int run = pairs_run(f);
    for (int from = 0; from < (f.halves ? 4 : 8); from += run) {
        bvec pairs = bv_pairs(code_get(&u[from], part), bv_four(q + 4 * from));
        for (int g = from + 1; g < from + run; g++)
            pairs = bv_pairs_add(pairs, code_get(&u[g], part), bv_four(q + 4 * g));
        sum = iv_add_pairs(sum, pairs, part == CODE_HIGH ? 16 : 1);
    }
    return sum;
}

ST_INLINE ivec dots(kfmt f, int h, const bvec *u, const kqact *x)
{
    const ivec z = iv_set(f.halves ? x->z2[h] : x->z);
    const ivec sum = f.has_min ? iv_set(0) : iv_shift_right(z, 7 - f.shift);
    const int8_t *q = x->q + 16 * h;
    if (kfmt_most(f) == 255)
        return dots_add(f, u, CODE_HIGH, q, dots_add(f, u, CODE_LOW, q, sum));
    return dots_add(f, u, CODE_WHOLE, q, sum);
}

#include "kernels/block_vec.h"

static void blocks_part(const kmat *w, const unsigned char *panel, uint32_t b0,
                        uint32_t nb, const kqact *x, size_t stride, uint32_t n,
                        const uint8_t *at, float (*acc)[KERN_PANEL])
{
    blocks_vec(w, panel, b0, nb, x, stride, n, at, acc);
}
#endif
