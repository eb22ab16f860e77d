/* kernels/pack.c - re-lay the rows of a GGUF tensor into panels.
 *
 * A group of 4 columns is one 32-bit word, byte i its column i, so that the bits of the
 * file are moved with word operations: a block of 32 columns becomes 8 words of codes,
 * and the planes of the panel (layout.h) are made of these. */
#include "kernels/layout.h"

#include <string.h>

#define BYTES4(b) ((uint32_t)(b)*0x01010101u)

ST_INLINE uint32_t word_at(const unsigned char *p)
{
    uint32_t w;
    memcpy(&w, p, 4);
    return w;
}

/* Four bits to the low bits of four bytes. */
ST_INLINE uint32_t bits_spread(uint32_t bits)
{
    return (bits & 15) * 0x00204081u & BYTES4(1);
}

/* 16 bytes: low nibbles are columns 0..15, high ones 16..31. */
ST_INLINE void codes_nibbles(const unsigned char *qs, uint32_t *c)
{
    for (int v = 0; v < 4; v++) {
        uint32_t w = word_at(qs + 4 * v);
        c[v] = w & BYTES4(15);
        c[v + 4] = w >> 4 & BYTES4(15);
    }
}

ST_INLINE void codes_q5(const unsigned char *qh, const unsigned char *qs, uint32_t *c)
{
    uint32_t bits = word_at(qh);
    codes_nibbles(qs, c);
    for (int g = 0; g < 8; g++)
        c[g] |= bits_spread(bits >> 4 * g) << 4;
}

ST_INLINE void codes_bytes(const unsigned char *qs, uint32_t *c)
{
    for (int g = 0; g < 8; g++)
        c[g] = word_at(qs + 4 * g) ^ BYTES4(0x80);
}

/* 32 bytes, a field of each: `mask` bits from `shift`, put at bit `to`. */
ST_INLINE void codes_field(const unsigned char *p, uint32_t shift, uint32_t mask,
                           uint32_t to, uint32_t *c)
{
    for (int g = 0; g < 8; g++)
        c[g] |= (word_at(p + 4 * g) >> shift & BYTES4(mask)) << to;
}

/* Codes of block `b` (0 in a 32-column format, 0..7 in a 256-column one). */
ST_INLINE void codes_get(st_dtype type, const unsigned char *p, uint32_t b, uint32_t *c)
{
    uint32_t half = b / 4, k = b % 4;
    memset(c, 0, 8 * sizeof *c);
    if (type == ST_Q4_0 || type == ST_IQ4_NL) {
        codes_nibbles(p + 2, c);
    } else if (type == ST_Q4_1) {
        codes_nibbles(p + 4, c);
    } else if (type == ST_MXFP4) {
        codes_nibbles(p + 1, c);
    } else if (type == ST_IQ4_XS) {
        codes_nibbles(p + 8 + 16 * b, c);
    } else if (type == ST_Q5_0) {
        codes_q5(p + 2, p + 6, c);
    } else if (type == ST_Q5_1) {
        codes_q5(p + 4, p + 8, c);
    } else if (type == ST_Q8_0) {
        codes_bytes(p + 2, c);
    } else if (type == ST_Q2_K) {
        codes_field(p + 16 + 32 * half, 2 * k, 3, 0, c);
    } else if (type == ST_Q3_K) {
        codes_field(p + 32 + 32 * half, 2 * k, 3, 0, c);
        codes_field(p, b, 1, 2, c);
    } else if (type == ST_Q4_K) {
        codes_field(p + 16 + 32 * (b / 2), 4 * (b % 2), 15, 0, c);
    } else if (type == ST_Q5_K) {
        codes_field(p + 48 + 32 * (b / 2), 4 * (b % 2), 15, 0, c);
        codes_field(p + 16, b, 1, 4, c);
    } else if (type == ST_Q6_K) {
        codes_field(p + 64 * half + 32 * (k % 2), 4 * (k / 2), 15, 0, c);
        codes_field(p + 128 + 32 * half, 2 * k, 3, 4, c);
    }
}

ST_INLINE void lane_put(unsigned char *vector, uint32_t lane, uint32_t word)
{
    memcpy(vector + 4 * lane, &word, 4);
}

/* Write one row's codes into the planes of a block. */
ST_INLINE void planes_put(uint32_t planes, unsigned char *to, uint32_t lane,
                          const uint32_t *c)
{
    uint32_t high = planes & Q_NIBBLES ? 4 : planes & Q_PAIRS ? 2 : 0;
    if (planes & Q_BYTES)
        for (int g = 0; g < 8; g++)
            lane_put(to + 64 * g, lane, c[g]);
    if (planes & Q_NIBBLES) {
        for (int v = 0; v < 4; v++)
            lane_put(to + 64 * v, lane,
                     (c[v] & BYTES4(15)) | (c[v + 4] & BYTES4(15)) << 4);
        to += 256;
    }
    if (planes & Q_PAIRS) {
        uint32_t from = planes & Q_NIBBLES ? 4 : 0;
        for (int h = 0; h < 2; h++) {
            uint32_t w = 0;
            for (int f = 0; f < 4; f++)
                w |= (c[4 * h + f] >> from & BYTES4(3)) << 2 * f;
            lane_put(to + 64 * h, lane, w);
        }
        to += 128;
    }
    if (planes & Q_BITS) {
        uint32_t w = 0;
        for (int g = 0; g < 8; g++)
            w |= (c[g] >> high & BYTES4(1)) << g;
        lane_put(to, lane, w);
    }
}

ST_INLINE void scales_put(const kfmt *f, const unsigned char *block, unsigned char *to,
                          uint32_t lane)
{
    for (uint32_t i = 0; i < f->n_half; i++)
        memcpy(to + 32 * i + 2 * lane, block + f->at_half + 2 * i, 2);
    to += 32 * f->n_half;
    for (uint32_t i = 0; i < f->n_byte; i++)
        to[16 * i + lane] = block[f->at_byte + i];
}

/* `type` is a constant where this is expanded, so that tests on it cost nothing. */
ST_INLINE void panel_put(st_dtype type, uint32_t cols, const unsigned char *rows,
                         uint32_t n, unsigned char *to)
{
    const kfmt f = kfmt_of(type);
    const size_t file_bytes = st_dtype_get(type)->bytes;
    const uint32_t per = f.super / KERN_QBLOCK, supers = cols / f.super;
    for (uint32_t s = 0; s < supers; s++) {
        for (uint32_t r = 0; r < n; r++) {
            const unsigned char *block = rows + (r * (size_t)supers + s) * file_bytes;
            for (uint32_t b = 0; b < per; b++) {
                uint32_t c[8];
                codes_get(type, block, b, c);
                planes_put(f.planes, to + block_at(&f, s * per + b), r, c);
            }
            scales_put(&f, block, to + record_at(&f, s * per), r);
        }
    }
}

static void panel_pack(st_dtype type, uint32_t cols, const unsigned char *rows,
                       uint32_t n, unsigned char *to)
{
    switch ((unsigned)type) {
#define PACK_CASE(name, ...)                                                             \
    case ST_##name:                                                                      \
        panel_put(ST_##name, cols, rows, n, to);                                         \
        break;
        KFMT_MAP(PACK_CASE)
#undef PACK_CASE
    }
}

static void panel_pack_f32(const unsigned char *rows, uint32_t n, uint32_t cols,
                           unsigned char *to)
{
    for (uint32_t r = 0; r < n; r++)
        for (size_t c = 0; c < cols; c++)
            memcpy(to + (c * KERN_PANEL + r) * 4, rows + (r * (size_t)cols + c) * 4, 4);
}

static void panel_pack_f16(const unsigned char *rows, uint32_t n, uint32_t cols,
                           unsigned char *to)
{
    for (uint32_t r = 0; r < n; r++)
        for (size_t c = 0; c < cols; c++)
            memcpy(to + (c * KERN_PANEL + r) * 2, rows + (r * (size_t)cols + c) * 2, 2);
}

void kmat_pack(const kmat *m, const void *blocks, void *room, uint32_t panel0,
               uint32_t panel1)
{
    size_t bytes = (size_t)panel_bytes(m->type, m->cols), row_bytes = 0;
    if (!st_dtype_size(m->type, m->cols, &row_bytes))
        return; /* kmat_bytes() has refused it */
    for (uint32_t p = panel0; p < panel1; p++) {
        uint32_t row = p * KERN_PANEL;
        uint32_t n = m->rows - row < KERN_PANEL ? m->rows - row : KERN_PANEL;
        const unsigned char *rows = (const unsigned char *)blocks + row * row_bytes;
        unsigned char *to = (unsigned char *)room + p * bytes;
        if (n < KERN_PANEL)
            memset(to, 0, bytes);
        if (kfmt_of(m->type).bunch)
            panel_pack(m->type, m->cols, rows, n, to);
        else if (m->type == ST_F32)
            panel_pack_f32(rows, n, m->cols, to);
        else
            panel_pack_f16(rows, n, m->cols, to);
    }
}
