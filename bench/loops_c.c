/* bench/loops_c.c - the loops of a limit in plain C, as the compiler makes them. */
#include "bench/loops.h"

static uint32_t multiply(const int8_t *w, const uint8_t *x)
{
    uint32_t sum = 0;
    for (uint32_t t = 0; t < LOOP_TOKENS; t++)
        for (uint32_t p = 0; p < LOOP_ROWS / 16; p++) {
            const int8_t *panel = w + (size_t)p * 16 * LOOP_COLS;
            int32_t y[16] = {0};
            for (uint32_t c = 0; c < LOOP_COLS; c += 4)
                for (uint32_t r = 0; r < 16; r++)
                    for (uint32_t i = 0; i < 4; i++)
                        y[r] += panel[c * 16 + r * 4 + i] * x[t * LOOP_COLS + c + i];
            for (uint32_t r = 0; r < 16; r++)
                sum += (uint32_t)y[r];
        }
    return sum;
}

static uint64_t read_words(const void *p, size_t bytes)
{
    const uint64_t *words = p;
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (size_t i = 0; i < bytes / sizeof *words; i += 4) {
        a += words[i];
        b += words[i + 1];
        c += words[i + 2];
        d += words[i + 3];
    }
    return a + b + c + d;
}

const loops loops_c = {multiply, read_words};

const loops *loops_get(st_isa isa)
{
    const loops *l = loops_native(isa);
    return l ? l : &loops_c;
}
