/* kernels/tile.h - what the x86 tables share across files of different flags.
 *
 * Private to the room; the contract is kparts in layout.h. */
#ifndef KERNELS_TILE_H
#define KERNELS_TILE_H
#include "kernels/layout.h"

void blocks_vnni(const kmat *w, const unsigned char *panel, uint32_t b0, uint32_t nb,
                 const kqact *x, size_t stride, uint32_t n, const uint8_t *at,
                 float (*acc)[KERN_PANEL]);

void attn_vnni(const kattn *a, uint32_t head0, uint32_t head1, const float *q, float *out,
               float *scratch);

extern const kern kern_avx2, kern_avx512, kern_vnni;
#endif
