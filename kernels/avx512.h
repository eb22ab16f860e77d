/* kernels/avx512.h - the functions of the AVX-512 tables.
 *
 * Private to the room. */
#ifndef KERNELS_AVX512_H
#define KERNELS_AVX512_H
#include "kernels/layout.h"

void quant_avx512(const kact *x, uint32_t row0, uint32_t row1);
void expand_avx512(const kmat *w, const unsigned char *panel, uint32_t b0, uint32_t nb,
                   kstrip *s);
void widen_avx512(st_dtype type, const unsigned char *panel, uint32_t c0, uint32_t nc,
                  kfstrip s);
void ftile_avx512(const float *s, uint32_t nc, const float *x, size_t ldx,
                  uint32_t n, float (*acc)[KERN_PANEL]);
void fone_avx512(st_dtype type, const unsigned char *panel, uint32_t cols, const float *x,
                 float *acc);
void tile_avx512(const kfmt *f, const kstrip *s, uint32_t nb, const kqact *x, size_t stride,
                 uint32_t n, float (*acc)[KERN_PANEL]);
void tile_vnni(const kfmt *f, const kstrip *s, uint32_t nb, const kqact *x, size_t stride,
               uint32_t n, float (*acc)[KERN_PANEL]);
void one_vnni(const kmat *w, const unsigned char *panel, const kqact *x, size_t stride,
              float *acc);
#endif
