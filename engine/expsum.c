/* engine/expsum.c - exp in plain C that a compiler turns into vector code.
 *
 * exp(x) = 2^k exp(r), k the integer nearest to x / ln 2, |r| <= ln 2 / 2; exp(r) by the
 * polynomial of Cephes (Moshier, expf).  Adding MAGIC rounds to an integer, which then
 * stands in the low bits.  There is no instruction set to choose, so the bytes are the
 * same at every level. */
#include "engine/expsum.h"

#include <string.h>

enum { LANES = 16 };

static const float MAGIC = 12582912.0f; /* 1.5 * 2^23 */
static const float LOWEST = -87.0f;     /* exp of it is still a normal number */

static void lanes_exp(const float *x, float shift, float scale, float *ret)
{
    float a[LANES], t[LANES], y[LANES];
    int32_t k[LANES], bits[LANES];
    for (int i = 0; i < LANES; i++)
        a[i] = (x[i] - shift) * scale;
    for (int i = 0; i < LANES; i++)
        t[i] = a[i] * 1.44269504088896341f + MAGIC;
    memcpy(k, t, sizeof k);
    for (int i = 0; i < LANES; i++) {
        float n = t[i] - MAGIC;
        float r = a[i] - n * 0.693359375f + n * 2.12194440e-4f;
        float p = 1.9875691500e-4f;
        p = p * r + 1.3981999507e-3f;
        p = p * r + 8.3334519073e-3f;
        p = p * r + 4.1665795894e-2f;
        p = p * r + 1.6666665459e-1f;
        p = p * r + 5.0000001201e-1f;
        y[i] = p * r * r + r + 1.0f;
    }
    memcpy(bits, y, sizeof bits);
    for (int i = 0; i < LANES; i++)
        bits[i] = (int32_t)((uint32_t)bits[i] + ((uint32_t)k[i] << 23));
    memcpy(y, bits, sizeof y);
    for (int i = 0; i < LANES; i++)
        ret[i] = a[i] >= LOWEST ? y[i] : 0;
}

double exp_sum(const float *x, uint32_t n, float shift, float scale, float *ret)
{
    double sums[LANES] = {0}, sum = 0;
    for (uint32_t i = 0; i < n; i += LANES) {
        float e[LANES], rest[LANES];
        uint32_t left = n - i < LANES ? n - i : LANES;
        const float *from = x + i;
        if (left < LANES) {
            for (uint32_t k = 0; k < LANES; k++)
                rest[k] = k < left ? x[i + k] : shift;
            from = rest;
        }
        lanes_exp(from, shift, scale, e);
        for (uint32_t k = left; k < LANES; k++)
            e[k] = 0;
        for (int k = 0; k < LANES; k++)
            sums[k] += (double)e[k];
        if (ret)
            memcpy(ret + i, e, left * sizeof *e);
    }
    for (int k = 0; k < LANES; k++)
        sum += sums[k];
    return sum;
}
