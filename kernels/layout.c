/* kernels/layout.c - what each format looks like when packed. */
#include "kernels/layout.h"

#include "base/mem.h"
#include <stddef.h>

_Static_assert(sizeof(kqact) == 64, "an activation block is one cache line");

/* IQ4_NL and IQ4_XS: the table of the format plus 128. */
static const uint8_t iq4_codes[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                      129, 141, 153, 166, 181, 197, 217, 241};
/* MXFP4: twice the E2M1 values {0, .5, 1, 1.5, 2, 3, 4, 6} and their negatives, plus 16. */
static const uint8_t mxfp4_codes[16] = {16, 17, 18, 19, 20, 22, 24, 28,
                                        16, 15, 14, 13, 12, 10, 8,  4};

static const kfmt q4_0 = {Q_NIBBLES, 3, 0, 0, 256, 32, 1, 0, 0, 0, NULL};
static const kfmt q4_1 = {Q_NIBBLES, 0, 1, 0, 256, 32, 2, 0, 0, 0, NULL};
static const kfmt q5_0 = {Q_NIBBLES | Q_BITS, 4, 0, 0, 320, 32, 1, 0, 0, 0, NULL};
static const kfmt q5_1 = {Q_NIBBLES | Q_BITS, 0, 1, 0, 320, 32, 2, 0, 0, 0, NULL};
static const kfmt q8_0 = {Q_BYTES, 7, 0, 0, 512, 32, 1, 0, 0, 0, NULL};
static const kfmt q2_k = {Q_PAIRS, 0, 1, 1, 128, 256, 2, 16, 80, 0, NULL};
static const kfmt q3_k = {Q_PAIRS | Q_BITS, 2, 0, 1, 192, 256, 1, 12, 108, 96, NULL};
static const kfmt q4_k = {Q_NIBBLES, 0, 1, 0, 256, 256, 2, 12, 0, 4, NULL};
static const kfmt q5_k = {Q_NIBBLES | Q_BITS, 0, 1, 0, 320, 256, 2, 12, 0, 4, NULL};
static const kfmt q6_k = {Q_NIBBLES | Q_PAIRS, 5, 0, 1, 384, 256, 1, 16, 208, 192, NULL};
static const kfmt iq4_nl = {Q_NIBBLES, 7, 0, 0, 256, 32, 1, 0, 0, 0, iq4_codes};
static const kfmt iq4_xs = {Q_NIBBLES, 7, 0, 0, 256, 256, 1, 6, 0, 2, iq4_codes};
static const kfmt mxfp4 = {Q_NIBBLES, 4, 0, 0, 256, 32, 0, 1, 0, 0, mxfp4_codes};

static const struct {
    st_dtype type;
    const kfmt *fmt;
} formats[] = {
    {ST_Q4_0, &q4_0},     {ST_Q4_1, &q4_1},     {ST_Q5_0, &q5_0}, {ST_Q5_1, &q5_1},
    {ST_Q8_0, &q8_0},     {ST_Q2_K, &q2_k},     {ST_Q3_K, &q3_k}, {ST_Q4_K, &q4_k},
    {ST_Q5_K, &q5_k},     {ST_Q6_K, &q6_k},     {ST_MXFP4, &mxfp4},
    {ST_IQ4_NL, &iq4_nl}, {ST_IQ4_XS, &iq4_xs},
};

const kfmt *kfmt_get(st_dtype type)
{
    for (size_t i = 0; i < ST_COUNT(formats); i++)
        if (formats[i].type == type)
            return formats[i].fmt;
    return NULL;
}

uint64_t panel_bytes(st_dtype type, uint32_t cols)
{
    const kfmt *f = kfmt_get(type);
    uint64_t bytes;
    if (f) {
        if (cols % f->super)
            return 0;
        bytes = (uint64_t)(cols / KERN_QBLOCK) * f->block_bytes +
                (uint64_t)(cols / f->super) * record_bytes(f);
    } else if (type == ST_F32) {
        bytes = (uint64_t)cols * 4 * KERN_PANEL;
    } else if (type == ST_F16 || type == ST_BF16) {
        bytes = (uint64_t)cols * 2 * KERN_PANEL;
    } else {
        return 0;
    }
    return (bytes + 63) / 64 * 64;
}

bool kmat_bytes(st_dtype type, uint32_t rows, uint32_t cols, size_t *ret_bytes)
{
    uint64_t panel = panel_bytes(type, cols);
    uint64_t panels = ((uint64_t)rows + KERN_PANEL - 1) / KERN_PANEL;
    return panel && panel <= SIZE_MAX && panels &&
           st_mul_ok((size_t)panels, (size_t)panel, ret_bytes);
}

bool kact_bytes(uint32_t n, uint32_t cols, size_t *ret_bytes)
{
    size_t blocks = ((size_t)cols + KERN_QBLOCK - 1) / KERN_QBLOCK;
    size_t count;
    return st_mul_ok(blocks, n, &count) && st_mul_ok(count, sizeof(kqact), ret_bytes);
}
