/* kernels/layout.c - what each format looks like when packed. */
#include "kernels/layout.h"

#include "base/mem.h"

_Static_assert(sizeof(kqact) == 64, "an activation block is one cache line");

const uint8_t kfmt_codes[2][16] = {
    /* IQ4_NL and IQ4_XS: the table of the format plus 128. */
    {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241},
    /* MXFP4: twice the values {0, .5, 1, 1.5, 2, 3, 4, 6} and their negatives, + 16. */
    {16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4},
};

uint64_t panel_bytes(st_dtype type, uint32_t cols)
{
    const kfmt f = kfmt_of(type);
    uint64_t bytes;
    if (f.bunch) {
        if (cols % f.super)
            return 0;
        uint32_t blocks = cols / KERN_QBLOCK, rest = blocks % f.bunch;
        bytes = bunch_at(&f, blocks);
        if (rest)
            bytes += bunch_head(&f) + rest * f.block_bytes;
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
    uint32_t blocks = cols / KERN_QBLOCK + (cols % KERN_QBLOCK != 0);
    size_t count;
    return st_mul_ok((size_t)blocks + fine_slots(blocks), n, &count) &&
           st_mul_ok(count, sizeof(kqact), ret_bytes);
}
