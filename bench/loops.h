/* bench/loops.h - the two loops of a limit, one pair for each ISA; private to the room.
 *
 * Weights [LOOP_ROWS / 16][LOOP_COLS / 4][16][4] int8, so that a register holds four
 * columns of many rows; activations [LOOP_TOKENS][LOOP_COLS], 0 to 127, so that the sum
 * of two products fits in 16 bits where an ISA passes through them. */
#ifndef BENCH_LOOPS_H
#define BENCH_LOOPS_H
#include "base/cpu.h"
#include <stddef.h>
#include <stdint.h>

enum {
    LOOP_ROWS = 32,
    LOOP_COLS = 512, /* 16 KB of weights, 6 KB of activations: the first cache */
    LOOP_TOKENS = 12,
};
#define LOOP_MACS ((double)LOOP_ROWS * LOOP_COLS * LOOP_TOKENS)

typedef struct loops {
    /* The matrix product; returns the sum of its outputs modulo 2^32, the same number
     * for every ISA. */
    uint32_t (*multiply)(const int8_t *w, const uint8_t *x);
    /* Read `bytes` (a multiple of 1024) from p, 64-byte aligned; their sum as 64-bit
     * words. */
    uint64_t (*read)(const void *p, size_t bytes);
} loops;

extern const loops loops_c, loops_avx2, loops_avx512, loops_vnni;

const loops *loops_get(st_isa isa);    /* never NULL */
const loops *loops_native(st_isa isa); /* of this architecture; NULL: the C loops */
#endif
