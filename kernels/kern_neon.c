/* kernels/kern_neon.c - the table of NEON, ARMv8-A without extensions.
 *
 * A register holds 4 columns of 4 rows.  Codes are made signed by taking the offset off
 * first (it is at most 128, so they fit).  Two products of at most 127 * 128 are added in
 * 16 bits, the rest in 32. */
#include "kernels/vec_neon.h"

#include "kernels/table_vec.h"

enum { TOKENS = 4 };

/* Four activations, four times. */
ST_INLINE int8x16_t act_load(const kqact *x, int g)
{
    int32_t four;
    memcpy(&four, x->q + 4 * g, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/* Codes of rows row..row+3 of a group, signed. */
ST_INLINE int8x16_t code_load(const uint8_t *u, int row, uint8x16_t offset)
{
    return vreinterpretq_s8_u8(vsubq_u8(vld1q_u8(u + 4 * row), offset));
}

/* Groups [g0, g1), two at a time.  Bytes 0..7 of a register are two rows, so adding pairs
 * twice brings each row's products into one lane. */
ST_INLINE void sums_add(int n, const uint8_t (*u)[64], int row, int g0, int g1,
                        int offset, const kqact *x, int32x4_t *sum)
{
    const uint8x16_t off = vdupq_n_u8((uint8_t)offset);
    for (int g = g0; g < g1; g += 2) {
        int8x16_t w0 = code_load(u[g], row, off), w1 = code_load(u[g + 1], row, off);
        for (int t = 0; t < n; t++) {
            int8x16_t q0 = act_load(&x[t], g), q1 = act_load(&x[t], g + 1);
            int16x8_t low = vmull_s8(vget_low_s8(w0), vget_low_s8(q0));
            int16x8_t high = vmull_high_s8(w0, q0);
            low = vmlal_s8(low, vget_low_s8(w1), vget_low_s8(q1));
            high = vmlal_high_s8(high, w1, q1);
            sum[t] = vaddq_s32(sum[t], vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
        }
    }
}

ST_INLINE void block_mul(int n, bool has_min, bool halves, int offset, const kblock *s,
                         uint32_t b, int row, const kqact *x, float32x4_t *a)
{
    for (int h = 0; h <= halves; h++) {
        const float32x4_t d = vld1q_f32(s[b].d[h] + row);
        int32x4_t sum[TOKENS];
        for (int t = 0; t < n; t++)
            sum[t] = vdupq_n_s32(0);
        sums_add(n, s[b].u, row, 4 * h, halves ? 4 * h + 4 : 8, offset, x, sum);
        for (int t = 0; t < n; t++)
            a[t] = vfmaq_f32(a[t], vmulq_n_f32(d, x[t].d), vcvtq_f32_s32(sum[t]));
    }
    for (int h = 0; has_min && h <= halves; h++) {
        const float32x4_t m = vld1q_f32(s[b].m[h] + row);
        for (int t = 0; t < n; t++)
            a[t] = vfmaq_f32(a[t], m, vdupq_n_f32(halves ? x[t].s2[h] : x[t].s));
    }
}

ST_INLINE void tokens_mul(int n, bool has_min, bool halves, int offset, const kblock *s,
                          uint32_t nb, const kqact *x, size_t stride,
                          float (*acc)[KERN_PANEL])
{
    for (int row = 0; row < KERN_PANEL; row += 4) {
        float32x4_t a[TOKENS];
        for (int t = 0; t < n; t++)
            a[t] = vld1q_f32(acc[t] + row);
        for (uint32_t b = 0; b < nb; b++)
            block_mul(n, has_min, halves, offset, s, b, row, x + b * stride, a);
        for (int t = 0; t < n; t++)
            vst1q_f32(acc[t] + row, a[t]);
    }
}

ST_INLINE void kind_mul(bool has_min, bool halves, int offset, const kblock *s,
                        uint32_t nb, const kqact *x, size_t stride, uint32_t n,
                        float (*acc)[KERN_PANEL])
{
    uint32_t t = 0;
    for (; t + TOKENS <= n; t += TOKENS)
        tokens_mul(TOKENS, has_min, halves, offset, s, nb, x + t, stride, acc + t);
    for (; t < n; t++)
        tokens_mul(1, has_min, halves, offset, s, nb, x + t, stride, acc + t);
}

static void tile(const kfmt *f, const kblock *s, uint32_t nb, const kqact *x,
                 size_t stride, uint32_t n, float (*acc)[KERN_PANEL])
{
    const int offset = f->has_min ? 0 : 1 << f->shift;
    if (f->has_min && f->halves)
        kind_mul(true, true, offset, s, nb, x, stride, n, acc);
    else if (f->has_min)
        kind_mul(true, false, offset, s, nb, x, stride, n, acc);
    else if (f->halves)
        kind_mul(false, true, offset, s, nb, x, stride, n, acc);
    else
        kind_mul(false, false, offset, s, nb, x, stride, n, acc);
}

static const kparts parts = {expand_part, tile, NULL, widen_part, ftile_part, fone_part};

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
                               TABLE_VEC};

const kern *kern_native(st_isa isa)
{
    return isa == ST_ISA_NEON ? &kern_neon : NULL;
}
