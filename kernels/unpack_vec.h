/* kernels/unpack_vec.h - packed blocks to bytes and float scales, quantising, and float
 * products, on the registers of vec_*.h.
 *
 * Written once; the types are constants where the functions are inlined, so that each
 * caller has one straight path a format. */
#ifndef KERNELS_UNPACK_VEC_H
#define KERNELS_UNPACK_VEC_H
#include "kernels/kern_c.h"

/* Group g of a block's codes. */
ST_INLINE bvec codes_unpack(st_dtype t, bvec table, const unsigned char *q, int g)
{
    const int planes = kfmt_of(t).planes, nibbles = planes & Q_NIBBLES;
    bvec u = bv_load(q + (planes & Q_BYTES ? 64 * g : 64 * (g % 4)));
    if (nibbles) {
        u = bv_field(u, g < 4 ? 0 : 4, 4, 0);
        q += 256;
    }
    if (planes & Q_PAIRS) {
        bvec pair = bv_field(bv_load(q + 64 * (g / 4)), 2 * (g % 4), 2, nibbles ? 4 : 0);
        u = nibbles ? bv_or(u, pair) : pair;
        q += 128;
    }
    if (planes & Q_BITS)
        u = bv_or(u, bv_field(bv_load(q), g, 1, nibbles ? 4 : 2));
    return kfmt_of(t).codes ? bv_look(table, u) : u;
}

ST_INLINE bvec table_load(st_dtype t)
{
    return bv_table(kfmt_codes[kfmt_of(t).codes == 2]);
}

ST_INLINE vec half_at(const unsigned char *p)
{
    return v_load_half((const uint16_t *)(const void *)p);
}

ST_INLINE vec negated(vec v)
{
    return v_mul(v, v_set(-1));
}

ST_INLINE void scales_k45(const unsigned char *rec, uint32_t b, vec *d, vec *m)
{
    const unsigned char *s = rec + 64;
    b16 scale, min;
    if (b < 4) {
        scale = b16_field(b16_load(s + 16 * b), 0, 6, 0);
        min = b16_field(b16_load(s + 16 * (b + 4)), 0, 6, 0);
    } else {
        b16 both = b16_load(s + 16 * (b + 4));
        scale = b16_or(b16_field(both, 0, 4, 0),
                       b16_field(b16_load(s + 16 * (b - 4)), 6, 2, 4));
        min = b16_or(b16_field(both, 4, 4, 0), b16_field(b16_load(s + 16 * b), 6, 2, 4));
    }
    d[0] = v_mul(half_at(rec), v_from_u8(scale));
    m[0] = negated(v_mul(half_at(rec + 32), v_from_u8(min)));
}

/* f16 d times (6-bit scale - 32): low 4 bits and, from bit `from` of `high`, 2 more. */
ST_INLINE vec scale_signed(const unsigned char *rec, b16 low, bool odd, b16 high,
                           uint32_t from)
{
    low = odd ? b16_field(low, 4, 4, 0) : b16_field(low, 0, 4, 0);
    high = from == 0   ? b16_field(high, 0, 2, 4)
           : from == 2 ? b16_field(high, 2, 2, 4)
           : from == 4 ? b16_field(high, 4, 2, 4)
                       : b16_field(high, 6, 2, 4);
    vec scale = v_sub(v_from_u8(b16_or(low, high)), v_set(32));
    return v_mul(half_at(rec), scale);
}

ST_INLINE void scales_half(st_dtype t, const unsigned char *rec, uint32_t j, vec *d,
                           vec *m)
{
    if (t == ST_Q3_K) {
        const unsigned char *s = rec + 32;
        *d = scale_signed(rec, b16_load(s + 16 * (j % 8)), j / 8,
                          b16_load(s + 16 * (8 + j % 4)), j / 4 * 2);
    } else if (t == ST_Q6_K) {
        *d = v_mul(half_at(rec), v_from_i8(b16_load(rec + 32 + 16 * j)));
    } else {
        b16 both = b16_load(rec + 64 + 16 * j);
        *d = v_mul(half_at(rec), v_from_u8(b16_field(both, 0, 4, 0)));
        *m = negated(v_mul(half_at(rec + 32), v_from_u8(b16_field(both, 4, 4, 0))));
    }
}

/* Scales of block b of a record's blocks; d and m have two where the type has halves. */
ST_INLINE void scales_unpack(st_dtype t, const unsigned char *rec, uint32_t b, vec *d,
                             vec *m)
{
    if (t == ST_Q4_K || t == ST_Q5_K) {
        scales_k45(rec, b, d, m);
    } else if (t == ST_IQ4_XS) {
        const unsigned char *s = rec + 32;
        d[0] = scale_signed(rec, b16_load(s + 16 * (2 + b / 2)), b % 2,
                            b16_load(s + 16 * (b / 4)), b % 4 * 2);
    } else if (t == ST_MXFP4) {
        d[0] = v_from_e8m0(b16_load(rec));
    } else if (kfmt_of(t).halves) {
        scales_half(t, rec, 2 * b, &d[0], &m[0]);
        scales_half(t, rec, 2 * b + 1, &d[1], &m[1]);
    } else {
        d[0] = half_at(rec);
        if (kfmt_of(t).has_min)
            m[0] = half_at(rec + 32);
    }
}

ST_INLINE void expand_type(st_dtype t, const unsigned char *panel, uint32_t b0,
                           uint32_t nb, kblock *s)
{
    const kfmt f = kfmt_of(t);
    const uint32_t per = f.super / KERN_QBLOCK;
    const bvec table = table_load(t);
    for (uint32_t b = 0; b < nb; b++) {
        vec d[2], m[2];
        for (int g = 0; g < 8; g++)
            bv_store(s[b].u[g], codes_unpack(t, table, panel + block_at(&f, b0 + b), g));
        scales_unpack(t, panel + record_at(&f, b0 + b), (b0 + b) % per, d, m);
        for (int h = 0; h <= f.halves; h++) {
            v_store(s[b].d[h], d[h]);
            if (f.has_min)
                v_store(s[b].m[h], m[h]);
        }
    }
}

ST_INLINE void expand_vec(const kmat *w, const unsigned char *panel, uint32_t b0,
                          uint32_t nb, kblock *s)
{
    switch ((unsigned)w->type) {
#define EXPAND_CASE(name, ...)                                                           \
    case ST_##name:                                                                      \
        expand_type(ST_##name, panel, b0, nb, s);                                        \
        break;
        KFMT_MAP(EXPAND_CASE)
#undef EXPAND_CASE
    }
}

/* Column c of a float panel. */
ST_INLINE vec column_load(st_dtype type, const unsigned char *panel, size_t c)
{
    if (type == ST_F32)
        return v_load((const float *)(const void *)panel + c * KERN_PANEL);
    const uint16_t *p = (const uint16_t *)(const void *)panel + c * KERN_PANEL;
    return type == ST_F16 ? v_load_half(p) : v_from_bf16(p);
}

ST_INLINE void widen_vec(st_dtype type, const unsigned char *panel, uint32_t c0,
                         uint32_t nc, kfstrip s)
{
    for (uint32_t c = 0; c < nc; c++)
        v_store(s[c], column_load(type, panel, (size_t)c0 + c));
}

ST_INLINE void fone_type(st_dtype type, const unsigned char *panel, uint32_t cols,
                         const float *x, float *acc)
{
    vec a = v_set(0);
    for (uint32_t c = 0; c < cols; c++)
        a = v_fma(column_load(type, panel, c), v_set(x[c]), a);
    v_store(acc, a);
}

ST_INLINE void fone_vec(st_dtype type, const unsigned char *panel, uint32_t cols,
                        const float *x, float *acc)
{
    if (type == ST_F32)
        fone_type(ST_F32, panel, cols, x, acc);
    else if (type == ST_F16)
        fone_type(ST_F16, panel, cols, x, acc);
    else
        fone_type(ST_BF16, panel, cols, x, acc);
}

ST_INLINE void ftile_tokens(uint32_t n, const float *s, uint32_t nc, const float *x,
                            size_t ldx, float (*acc)[KERN_PANEL])
{
    vec a[VEC_ACCS];
    for (uint32_t t = 0; t < n; t++)
        a[t] = v_load(acc[t]);
    for (uint32_t c = 0; c < nc; c++) {
        vec w = v_load(s + (size_t)c * KERN_PANEL);
        for (uint32_t t = 0; t < n; t++)
            a[t] = v_fma(w, v_set(x[t * ldx + c]), a[t]);
    }
    for (uint32_t t = 0; t < n; t++)
        v_store(acc[t], a[t]);
}

ST_INLINE void ftile_vec(const float *s, uint32_t nc, const float *x, size_t ldx,
                         uint32_t n, float (*acc)[KERN_PANEL])
{
    const uint32_t most = VEC_ACCS / 4 * 3; /* some registers for weights */
    uint32_t t = 0;
    for (; t + most <= n; t += most)
        ftile_tokens(most, s, nc, x + t * ldx, ldx, acc + t);
    for (; t + 3 <= n; t += 3)
        ftile_tokens(3, s, nc, x + t * ldx, ldx, acc + t);
    for (; t < n; t++)
        ftile_tokens(1, s, nc, x + t * ldx, ldx, acc + t);
}

ST_INLINE void block_quant(const float *x, kqact *a)
{
    vec x0 = v_load(x), x1 = v_load(x + 16);
    union {
        uint32_t u;
        float f;
    } most = {v_largest_bits(x0, x1)};
    if (most.u >= 0x7F800000 || most.f < KQACT_TINY) {
        kqact_make(x, KERN_QBLOCK, a);
        return;
    }
    const vec inverse = v_set(127.0f / most.f);
    int32_t sum0 = v_store_i8(a->q, v_mul(x0, inverse));
    int32_t sum1 = v_store_i8(a->q + 16, v_mul(x1, inverse));
    a->d = most.f / 127.0f;
    a->s = a->d * (float)(sum0 + sum1);
    a->s2[0] = a->d * (float)sum0;
    a->s2[1] = a->d * (float)sum1;
    a->z = -128 * (sum0 + sum1);
    a->z2[0] = -128 * sum0;
    a->z2[1] = -128 * sum1;
    a->block = 0;
}

ST_INLINE void quant_vec(const kact *x, uint32_t row0, uint32_t row1)
{
    const uint32_t whole = x->cols / KERN_QBLOCK, rest = x->cols % KERN_QBLOCK;
    for (uint32_t t = row0; t < row1; t++) {
        const float *row = x->x + t * (size_t)x->cols;
        uint32_t stride;
        kqact *a = kact_at(x, t, &stride);
        for (uint32_t b = 0; b < whole; b++, a += stride)
            block_quant(row + (size_t)b * KERN_QBLOCK, a);
        if (rest)
            kqact_make(row + (size_t)whole * KERN_QBLOCK, rest, a);
    }
}
#endif
