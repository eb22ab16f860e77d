/* kernels/matmul_c.c - quantising and matrix products in plain C: the twin that every ISA
 * is compared with, bit for bit. */
#include "kernels/kern_c.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Expand the planes of one block (layout.h draws them). */
static void codes_expand(const kfmt *f, const unsigned char *q, uint8_t (*u)[64])
{
    const unsigned char *pairs = q + (f->planes & Q_NIBBLES ? 256 : 0);
    const unsigned char *bits = pairs + (f->planes & Q_PAIRS ? 128 : 0);
    const int pairs_to = f->planes & Q_NIBBLES ? 4 : 0;
    const int bits_to = f->planes & Q_NIBBLES ? 4 : 2;
    for (int g = 0; g < 8; g++) {
        for (int j = 0; j < 64; j++) {
            int v = 0;
            if (f->planes & Q_BYTES)
                v = q[64 * g + j];
            if (f->planes & Q_NIBBLES)
                v = g < 4 ? q[64 * g + j] & 15 : q[64 * (g - 4) + j] >> 4;
            if (f->planes & Q_PAIRS)
                v |= (pairs[64 * (g / 4) + j] >> 2 * (g % 4) & 3) << pairs_to;
            if (f->planes & Q_BITS)
                v |= (bits[j] >> g & 1) << bits_to;
            u[g][j] = f->codes ? kfmt_codes[f->codes - 1][v] : (uint8_t)v;
        }
    }
}

static float half_of(const unsigned char *rec, int array, int lane)
{
    uint16_t h;
    memcpy(&h, rec + 32 * array + 2 * lane, 2);
    return st_f16_to_f32(h);
}

/* Row `lane`'s scale byte k; `at` is where the bytes of a record begin. */
static int byte_of(const unsigned char *at, int k, int lane)
{
    return at[16 * k + lane];
}

static float e8m0_half(uint32_t e)
{
    uint32_t bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

/* Scales of the formats with a record each 32 columns. */
static void scales_small(st_dtype type, const kfmt *f, const unsigned char *rec, float *d,
                         float *m)
{
    for (int r = 0; r < KERN_PANEL; r++) {
        d[r] = type == ST_MXFP4 ? e8m0_half(rec[r]) : half_of(rec, 0, r);
        if (f->has_min)
            m[r] = half_of(rec, 1, r);
    }
}

static void scales_k45(const unsigned char *rec, int b, float *d, float *m)
{
    const unsigned char *s = rec + 64;
    for (int r = 0; r < KERN_PANEL; r++) {
        int scale, min;
        if (b < 4) {
            scale = byte_of(s, b, r) & 63;
            min = byte_of(s, b + 4, r) & 63;
        } else {
            scale = (byte_of(s, b + 4, r) & 15) | byte_of(s, b - 4, r) >> 6 << 4;
            min = byte_of(s, b + 4, r) >> 4 | byte_of(s, b, r) >> 6 << 4;
        }
        d[r] = half_of(rec, 0, r) * (float)scale;
        m[r] = -(half_of(rec, 1, r) * (float)min);
    }
}

static void scales_iq4_xs(const unsigned char *rec, int b, float *d)
{
    const unsigned char *s = rec + 32;
    for (int r = 0; r < KERN_PANEL; r++) {
        int scale = byte_of(s, 2 + b / 2, r) >> b % 2 * 4 & 15;
        scale |= (byte_of(s, b / 4, r) >> b % 4 * 2 & 3) << 4;
        d[r] = half_of(rec, 0, r) * (float)(scale - 32);
    }
}

static int scale_q3(const unsigned char *s, int j, int lane)
{
    int low = byte_of(s, j % 8, lane) >> j / 8 * 4 & 15;
    return (low | (byte_of(s, 8 + j % 4, lane) >> j / 4 * 2 & 3) << 4) - 32;
}

/* Half `h` of block b: columns 32 b + 16 h ... */
static void scales_half(st_dtype type, const unsigned char *rec, int b, int h, float *d,
                        float *m)
{
    int j = 2 * b + h;
    for (int r = 0; r < KERN_PANEL; r++) {
        if (type == ST_Q2_K) {
            int s = byte_of(rec + 64, j, r);
            d[r] = half_of(rec, 0, r) * (float)(s & 15);
            m[r] = -(half_of(rec, 1, r) * (float)(s >> 4));
        } else if (type == ST_Q3_K) {
            d[r] = half_of(rec, 0, r) * (float)scale_q3(rec + 32, j, r);
        } else {
            d[r] = half_of(rec, 0, r) * (float)(int8_t)byte_of(rec + 32, j, r);
        }
    }
}

/* Block b of a record's blocks. */
static void scales_expand(st_dtype type, const kfmt *f, const unsigned char *rec, int b,
                          float (*d)[KERN_PANEL], float (*m)[KERN_PANEL])
{
    if (type == ST_Q4_K || type == ST_Q5_K) {
        scales_k45(rec, b, d[0], m[0]);
    } else if (type == ST_IQ4_XS) {
        scales_iq4_xs(rec, b, d[0]);
    } else if (f->halves) {
        scales_half(type, rec, b, 0, d[0], m[0]);
        scales_half(type, rec, b, 1, d[1], m[1]);
    } else {
        scales_small(type, f, rec, d[0], m[0]);
    }
}

static void expand(const kmat *w, const unsigned char *panel, uint32_t b0, uint32_t nb,
                   kblock *s)
{
    const kfmt fmt = kfmt_of(w->type), *f = &fmt;
    for (uint32_t b = 0; b < nb; b++) {
        int in_record = (int)((b0 + b) % (f->super / KERN_QBLOCK));
        codes_expand(f, panel + block_at(f, b0 + b), s[b].u);
        scales_expand(w->type, f, panel + record_at(f, b0 + b), in_record, s[b].d,
                      s[b].m);
    }
}

/* Integer sums of both halves of one block for one row. */
static void lane_dot(const uint8_t (*u)[64], const int8_t *q, int lane, int32_t *ret_sums)
{
    for (int h = 0; h < 2; h++) {
        int32_t sum = 0;
        for (int i = 0; i < 16; i++)
            sum += u[4 * h + i / 4][4 * lane + i % 4] * q[16 * h + i];
        ret_sums[h] = sum;
    }
}

static void block_mul(const kfmt *f, const kblock *s, const kqact *x, float *acc)
{
    const int32_t z[2] = {f->halves ? x->z2[0] : x->z, x->z2[1]};
    const float mins[2] = {f->halves ? x->s2[0] : x->s, x->s2[1]};
    for (int r = 0; r < KERN_PANEL; r++) {
        int32_t sum[2];
        lane_dot(s->u, x->q, r, sum);
        if (!f->halves)
            sum[0] += sum[1];
        for (int h = 0; !f->has_min && h <= f->halves; h++)
            sum[h] += z[h] / (128 >> f->shift);
        float part = s->d[0][r] * (float)sum[0];
        if (f->halves)
            part = fmaf(s->d[1][r], (float)sum[1], part);
        acc[r] = fmaf(part, x->d, acc[r]);
        for (int h = 0; f->has_min && h <= f->halves; h++)
            acc[r] = fmaf(s->m[h][r], mins[h], acc[r]);
    }
}

static void blocks(const kmat *w, const unsigned char *panel, uint32_t b0, uint32_t nb,
                   const kqact *x, size_t stride, uint32_t n, const uint8_t *at,
                   float (*acc)[KERN_PANEL])
{
    const kfmt f = kfmt_of(w->type);
    kblock s;
    for (uint32_t b = 0; b < nb; b++, x += stride) {
        expand(w, panel, b0 + b, 1, &s);
        for (uint32_t t = 0; t < n; t++)
            block_mul(&f, &s, x + t, acc[at[t]]);
    }
}

static void widen(st_dtype type, const unsigned char *panel, uint32_t c0, uint32_t nc,
                  kfstrip s)
{
    size_t n = (size_t)nc * KERN_PANEL, from = (size_t)c0 * KERN_PANEL;
    float *out = s[0];
    uint16_t h;
    if (type == ST_F32) {
        memcpy(out, panel + 4 * from, 4 * n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(&h, panel + 2 * (from + i), 2);
        out[i] = type == ST_F16 ? st_f16_to_f32(h) : st_bf16_to_f32(h);
    }
}

static void ftile(const float *s, uint32_t nc, const float *x, size_t ldx, uint32_t n,
                  float (*acc)[KERN_PANEL])
{
    for (uint32_t t = 0; t < n; t++)
        for (uint32_t c = 0; c < nc; c++)
            for (int r = 0; r < KERN_PANEL; r++)
                acc[t][r] = fmaf(s[c * KERN_PANEL + r], x[t * ldx + c], acc[t][r]);
}

#define ROUNDER 0x1.8p23f /* adding it rounds a small float to a whole, to even */

/* Largest magnitude as bits, so that a NaN or an infinity is the largest. */
static uint32_t block_max(const float *x, uint32_t n)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        bits &= 0x7FFFFFFF;
        most = bits > most ? bits : most;
    }
    return most;
}

/* One block of n <= 32 values; what is missing counts as zero. */
void kqact_make(const float *x, uint32_t n, kqact *a)
{
    uint32_t bits = block_max(x, n);
    float most;
    memcpy(&most, &bits, 4);
    memset(a, 0, sizeof *a);
    if (bits >= 0x7F800000)
        a->d = a->s = a->s2[0] = a->s2[1] = NAN;
    if (bits >= 0x7F800000 || most < KQACT_TINY)
        return;
    float inverse = 127.0f / most;
    for (uint32_t i = 0; i < n; i++)
        a->q[i] = (int8_t)(x[i] * inverse + ROUNDER - ROUNDER);
    int32_t sum[2] = {0, 0};
    for (int i = 0; i < KERN_QBLOCK; i++)
        sum[i / 16] += a->q[i];
    a->d = most / 127.0f;
    a->s = a->d * (float)(sum[0] + sum[1]);
    a->z = -128 * (sum[0] + sum[1]);
    for (int h = 0; h < 2; h++) {
        a->s2[h] = a->d * (float)sum[h];
        a->z2[h] = -128 * sum[h];
    }
}

void quant_c(const kact *x, uint32_t row0, uint32_t row1)
{
    for (uint32_t t = row0; t < row1; t++) {
        uint32_t stride;
        kqact *to = kact_at(x, t, &stride);
        for (uint32_t c = 0; c < x->cols; c += KERN_QBLOCK, to += stride) {
            uint32_t n = x->cols - c < KERN_QBLOCK ? x->cols - c : KERN_QBLOCK;
            kqact_make(x->x + t * (size_t)x->cols + c, n, to);
        }
    }
}

static const kparts parts = {
    .expand = expand, .blocks = blocks, .widen = widen, .ftile = ftile};

void matmul_c(const kmat *w, const kact *x, uint32_t panel0, uint32_t panel1, float *y,
              size_t ldy)
{
    matmul_panels(&parts, w, x, panel0, panel1, y, ldy);
}

void rows_c(const kmat *w, const kact *x, uint32_t t, const int32_t *rows, uint32_t n,
            float *y)
{
    matmul_rows(&parts, w, x, t, rows, n, y);
}

void row_c(const kmat *w, uint32_t r, float *out)
{
    matmul_row(&parts, w, r, out);
}
