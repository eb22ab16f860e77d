/* kernels/ops_c.c - norms, activations and other vector operations in plain C.
 *
 * The reference: sums in double, functions from libm.  The other tables stay within the
 * budgets that tests/check_kernels.c states. */
#include "kernels/kern_c.h"

#include <math.h>

void rms_norm_c(const float *x, const float *w, float eps, uint32_t n, float *y)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    float scale = (float)(1.0 / sqrt(sum / n + (double)eps));
    for (uint32_t i = 0; i < n; i++)
        y[i] = w ? x[i] * scale * w[i] : x[i] * scale;
}

void layer_norm_c(const float *x, const float *w, const float *b, float eps, uint32_t n,
                  float *y)
{
    double sum = 0, var = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)x[i];
    double mean = sum / n;
    for (uint32_t i = 0; i < n; i++)
        var += ((double)x[i] - mean) * ((double)x[i] - mean);
    double scale = 1.0 / sqrt(var / n + (double)eps);
    for (uint32_t i = 0; i < n; i++) {
        float v = (float)(((double)x[i] - mean) * scale);
        v = w ? v * w[i] : v;
        y[i] = b ? v + b[i] : v;
    }
}

void add_c(float *y, const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] += x[i];
}

void mul_c(float *y, const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] *= x[i];
}

void axpy_c(float *y, float a, const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] = fmaf(a, x[i], y[i]);
}

float dot_c(const float *a, const float *b, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return (float)sum;
}

void silu_mul_c(float *g, const float *u, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        g[i] = g[i] / (1.0f + expf(-g[i])) * u[i];
}

/* 0.5 (1 + tanh(z)) is 1 / (1 + exp(-2 z)), which keeps its digits for large -z. */
static float gelu_tanh_one(float x)
{
    float z = 0.79788456080286536f * (x + 0.044715f * x * x * x);
    return x / (1.0f + expf(-2.0f * z));
}

void gelu_tanh_mul_c(float *g, const float *u, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        g[i] = gelu_tanh_one(g[i]) * u[i];
}

void gelu_erf_c(float *x, const float *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        float v = x[i] + (b ? b[i] : 0);
        x[i] = 0.5f * v * erfcf(-v * 0.70710678118654752f);
    }
}

void gelu_tanh_c(float *x, const float *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] = gelu_tanh_one(x[i] + (b ? b[i] : 0));
}

void softmax_c(float *x, uint32_t n)
{
    float most = -INFINITY;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        most = fmaxf(most, x[i]);
    if (most == -INFINITY)
        most = 0; /* nothing is possible: zeros below, not NaN */
    for (uint32_t i = 0; i < n; i++) {
        x[i] = expf(x[i] - most);
        sum += (double)x[i];
    }
    float scale = sum > 0 ? (float)(1.0 / sum) : 0;
    for (uint32_t i = 0; i < n; i++)
        x[i] *= scale;
}

void rope_c(float *x, const float *cos, const float *sin, uint32_t half, bool neox)
{
    const uint32_t step = neox ? 1 : 2, other = neox ? half : 1;
    for (uint32_t i = 0; i < half; i++) {
        float *a = x + i * step, *b = a + other;
        float u = *a, v = *b;
        *a = u * cos[i] - v * sin[i];
        *b = u * sin[i] + v * cos[i];
    }
}
