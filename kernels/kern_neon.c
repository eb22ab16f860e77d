/* kernels/kern_neon.c - the table of NEON, ARMv8-A without extensions.
 *
 * A register holds 4 columns of 4 rows.  Codes are made signed by taking the offset off
 * first (it is at most 128, so they fit).  Two products of at most 127 * 128 are added in
 * 16 bits, the rest in 32. */
#include "kernels/vec_neon.h"

#include "kernels/table_vec.h"

/* Four activations, four times. */
ST_INLINE int8x16_t act_load(const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/* Two groups at a time.  Bytes 0..7 of a register are two rows, so adding pairs twice
 * brings each row's products into one lane. */
ST_INLINE ivec dots(kfmt f, int h, const bvec *u, const kqact *x)
{
    const uint8x16_t off = vdupq_n_u8((uint8_t)(f.has_min ? 0 : 1 << f.shift));
    ivec sum = iv_set(0);
    for (int g = 0; g < (f.halves ? 4 : 8); g += 2) {
        const int8x16_t q0 = act_load(x->q + 16 * h + 4 * g);
        const int8x16_t q1 = act_load(x->q + 16 * h + 4 * g + 4);
        for (int i = 0; i < 4; i++) {
            int8x16_t w0 = vreinterpretq_s8_u8(vsubq_u8(u[g].v[i], off));
            int8x16_t w1 = vreinterpretq_s8_u8(vsubq_u8(u[g + 1].v[i], off));
            int16x8_t low = vmull_s8(vget_low_s8(w0), vget_low_s8(q0));
            int16x8_t high = vmull_high_s8(w0, q0);
            low = vmlal_s8(low, vget_low_s8(w1), vget_low_s8(q1));
            high = vmlal_high_s8(high, w1, q1);
            sum.v[i] =
                vaddq_s32(sum.v[i], vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
        }
    }
    return sum;
}

#include "kernels/block_vec.h"

static void blocks_part(const kmat *w, const unsigned char *panel, uint32_t b0,
                        uint32_t nb, const kqact *x, size_t stride, uint32_t n,
                        const uint8_t *at, float (*acc)[KERN_PANEL])
{
    blocks_vec(w, panel, b0, nb, x, stride, n, at, acc);
}

static const kparts parts = {expand_part, blocks_part, widen_part, ftile_part, fone_part};

static void matmul_neon(const kmat *w, const kact *x, uint32_t panel0, uint32_t panel1,
                        float *y, size_t ldy)
{
    matmul_panels(&parts, w, x, panel0, panel1, y, ldy);
}

static void rows_neon(const kmat *w, const kact *x, uint32_t t, const int32_t *rows,
                      uint32_t n, float *y)
{
    matmul_rows(&parts, w, x, t, rows, n, y);
}

static void row_neon(const kmat *w, uint32_t r, float *out)
{
    matmul_row(&parts, w, r, out);
}

static const kern kern_neon = {.isa = ST_ISA_NEON,
                               .matmul = matmul_neon,
                               .rows = rows_neon,
                               .row = row_neon,
                               .attn = attn_part,
                               TABLE_VEC};

const kern *kern_native(st_isa isa)
{
    return isa == ST_ISA_NEON ? &kern_neon : NULL;
}
