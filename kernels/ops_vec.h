/* kernels/ops_vec.h - norms, activations and other vector operations on 16 lanes.
 *
 * Written once over the names of vec_*.h, which the including file brings; every ISA
 * gives the same bytes.  A tail of fewer than 16 elements is loaded with zeros beside
 * it. */
#ifndef KERNELS_OPS_VEC_H
#define KERNELS_OPS_VEC_H
#include <math.h>

/* e^x: x = n ln 2 + r, |r| <= ln 2 / 2, and a polynomial for e^r (minimax, 4e-9). */
ST_INLINE vec v_exp(vec x)
{
    x = v_min(v_set(89), v_max(v_set(-110), x)); /* a NaN stays */
    vec n = v_round(v_mul(x, v_set(1.44269504f)));
    vec r = v_fma(n, v_set(-0.693145752f), x);
    r = v_fma(n, v_set(-1.42860677e-6f), r);
    vec p = v_fma(v_set(0.00138154021f), r, v_set(0.00836934894f));
    p = v_fma(p, r, v_set(0.0416684076f));
    p = v_fma(p, r, v_set(0.166665152f));
    p = v_fma(p, r, v_set(0.49999994f));
    p = v_fma(v_mul(p, r), r, v_add(r, v_set(1)));
    return v_scale(p, n);
}

/* erfc(a) for a >= 0: e^(-a^2) t P(t), t = 1 / (1 + 0.4 a); P fitted to 1e-8. */
ST_INLINE vec v_erfc(vec a)
{
    vec t = v_div(v_set(1), v_fma(v_set(0.4f), a, v_set(1)));
    vec p = v_fma(v_set(-0.0295943376f), t, v_set(0.198013216f));
    p = v_fma(p, t, v_set(-0.498811513f));
    p = v_fma(p, t, v_set(0.547435462f));
    p = v_fma(p, t, v_set(-0.284366697f));
    p = v_fma(p, t, v_set(0.272066236f));
    p = v_fma(p, t, v_set(0.129679605f));
    p = v_fma(p, t, v_set(0.214919105f));
    p = v_fma(p, t, v_set(0.224952027f));
    p = v_fma(p, t, v_set(0.225706905f));
    vec e = v_exp(v_sub(v_set(0), v_mul(a, a)));
    return v_mul(v_mul(p, t), e);
}

/* x / (1 + e^-z) */
ST_INLINE vec v_gate(vec x, vec z)
{
    return v_div(x, v_add(v_set(1), v_exp(v_sub(v_set(0), z))));
}

ST_INLINE vec v_tanh(vec x)
{
    vec e = v_exp(v_mul(v_set(-2), v_abs(x)));
    vec t = v_div(v_sub(v_set(1), e), v_add(v_set(1), e));
    return v_where_negative(x, v_sub(v_set(0), t), t);
}

ST_INLINE vec v_silu(vec x)
{
    return v_gate(x, x);
}

ST_INLINE vec v_gelu_tanh(vec x)
{
    vec cube = v_mul(v_mul(v_mul(v_set(0.044715f), x), x), x);
    return v_gate(x, v_mul(v_set(2 * 0.79788456080286536f), v_add(x, cube)));
}

ST_INLINE vec v_gelu_erf(vec x)
{
    vec a = v_mul(v_abs(x), v_set(0.70710678118654752f));
    vec tail = v_mul(v_mul(v_set(0.5f), x), v_erfc(a));
    return v_where_negative(x, tail, v_sub(x, tail));
}

/* y[i] = f(y[i], x[i]) over all n. */
#define VEC_LOOP(n, whole, rest)                                                         \
    do {                                                                                 \
        uint32_t i = 0;                                                                  \
        for (; i + 16 <= (n); i += 16) {                                                 \
            whole;                                                                       \
        }                                                                                \
        if (i < (n)) {                                                                   \
            rest;                                                                        \
        }                                                                                \
    } while (0)

ST_INLINE void add_vec(float *y, const float *x, uint32_t n)
{
    VEC_LOOP(
        n, v_store(y + i, v_add(v_load(y + i), v_load(x + i))),
        v_store_n(y + i, v_add(v_load_n(y + i, n - i), v_load_n(x + i, n - i)), n - i));
}

ST_INLINE void mul_vec(float *y, const float *x, uint32_t n)
{
    VEC_LOOP(
        n, v_store(y + i, v_mul(v_load(y + i), v_load(x + i))),
        v_store_n(y + i, v_mul(v_load_n(y + i, n - i), v_load_n(x + i, n - i)), n - i));
}

ST_INLINE void axpy_vec(float *y, float a, const float *x, uint32_t n)
{
    const vec s = v_set(a);
    VEC_LOOP(n, v_store(y + i, v_fma(s, v_load(x + i), v_load(y + i))),
             v_store_n(y + i, v_fma(s, v_load_n(x + i, n - i), v_load_n(y + i, n - i)),
                       n - i));
}

ST_INLINE float dot_vec(const float *a, const float *b, uint32_t n)
{
    vec s0 = v_set(0), s1 = v_set(0);
    uint32_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 = v_fma(v_load(a + i), v_load(b + i), s0);
        s1 = v_fma(v_load(a + i + 16), v_load(b + i + 16), s1);
    }
    if (i + 16 <= n) {
        s0 = v_fma(v_load(a + i), v_load(b + i), s0);
        i += 16;
    }
    if (i < n)
        s1 = v_fma(v_load_n(a + i, n - i), v_load_n(b + i, n - i), s1);
    return v_sum(v_add(s0, s1));
}

ST_INLINE void silu_mul_vec(float *g, const float *u, uint32_t n)
{
    VEC_LOOP(n, v_store(g + i, v_mul(v_silu(v_load(g + i)), v_load(u + i))),
             v_store_n(g + i,
                       v_mul(v_silu(v_load_n(g + i, n - i)), v_load_n(u + i, n - i)),
                       n - i));
}

ST_INLINE void gelu_tanh_mul_vec(float *g, const float *u, uint32_t n)
{
    VEC_LOOP(n, v_store(g + i, v_mul(v_gelu_tanh(v_load(g + i)), v_load(u + i))),
             v_store_n(g + i,
                       v_mul(v_gelu_tanh(v_load_n(g + i, n - i)), v_load_n(u + i, n - i)),
                       n - i));
}

/* x[i] + b[i] for up to 16 of the n - i that are left. */
ST_INLINE vec biased(const float *x, const float *b, uint32_t i, uint32_t n)
{
    vec v = n - i < 16 ? v_load_n(x + i, n - i) : v_load(x + i);
    if (!b)
        return v;
    return v_add(v, n - i < 16 ? v_load_n(b + i, n - i) : v_load(b + i));
}

ST_INLINE void gelu_erf_vec(float *x, const float *b, uint32_t n)
{
    VEC_LOOP(n, v_store(x + i, v_gelu_erf(biased(x, b, i, n))),
             v_store_n(x + i, v_gelu_erf(biased(x, b, i, n)), n - i));
}

ST_INLINE void gelu_tanh_vec(float *x, const float *b, uint32_t n)
{
    VEC_LOOP(n, v_store(x + i, v_gelu_tanh(biased(x, b, i, n))),
             v_store_n(x + i, v_gelu_tanh(biased(x, b, i, n)), n - i));
}

ST_INLINE void rms_norm_vec(const float *x, const float *w, float eps, uint32_t n,
                            float *y)
{
    const vec scale = v_set(1.0f / sqrtf(dot_vec(x, x, n) / (float)n + eps));
    if (w)
        VEC_LOOP(
            n, v_store(y + i, v_mul(v_mul(v_load(x + i), scale), v_load(w + i))),
            v_store_n(y + i,
                      v_mul(v_mul(v_load_n(x + i, n - i), scale), v_load_n(w + i, n - i)),
                      n - i));
    else
        VEC_LOOP(n, v_store(y + i, v_mul(v_load(x + i), scale)),
                 v_store_n(y + i, v_mul(v_load_n(x + i, n - i), scale), n - i));
}

/* Sum of x - shift (squared where asked); lanes past n count nothing. */
ST_INLINE float sum_vec(const float *x, uint32_t n, float shift, bool square)
{
    const vec mean = v_set(shift), zero = v_set(0);
    vec sum = zero;
    for (uint32_t i = 0; i < n; i += 16) {
        vec v = n - i < 16 ? v_keep(v_sub(v_load_n(x + i, n - i), mean), 0, n - i, zero)
                           : v_sub(v_load(x + i), mean);
        sum = square ? v_fma(v, v, sum) : v_add(v, sum);
    }
    return v_sum(sum);
}

ST_INLINE vec norm_one(vec x, vec mean, vec scale, vec w, vec b)
{
    return v_fma(v_mul(v_sub(x, mean), scale), w, b);
}

ST_INLINE void layer_norm_vec(const float *x, const float *w, const float *b, float eps,
                              uint32_t n, float *y)
{
    const float mean = sum_vec(x, n, 0, false) / (float)n;
    const float var = sum_vec(x, n, mean, true) / (float)n;
    const vec m = v_set(mean), scale = v_set(1.0f / sqrtf(var + eps));
    VEC_LOOP(
        n,
        v_store(y + i, norm_one(v_load(x + i), m, scale, w ? v_load(w + i) : v_set(1),
                                b ? v_load(b + i) : v_set(0))),
        v_store_n(y + i,
                  norm_one(v_load_n(x + i, n - i), m, scale,
                           w ? v_load_n(w + i, n - i) : v_set(1),
                           b ? v_load_n(b + i, n - i) : v_set(0)),
                  n - i));
}

ST_INLINE float largest_vec(const float *x, uint32_t n)
{
    const vec lowest = v_set(-INFINITY);
    vec most = lowest;
    for (uint32_t i = 0; i < n; i += 16) {
        vec v =
            n - i < 16 ? v_keep(v_load_n(x + i, n - i), 0, n - i, lowest) : v_load(x + i);
        most = v_max(v, most);
    }
    return v_largest(most);
}

ST_INLINE void softmax_vec(float *x, uint32_t n)
{
    float most = largest_vec(x, n);
    const vec shift = v_set(most == -INFINITY ? 0 : most);
    VEC_LOOP(n, v_store(x + i, v_exp(v_sub(v_load(x + i), shift))),
             v_store_n(x + i, v_exp(v_sub(v_load_n(x + i, n - i), shift)), n - i));
    float sum = sum_vec(x, n, 0, false);
    const vec scale = v_set(sum > 0 ? 1.0f / sum : 0);
    VEC_LOOP(n, v_store(x + i, v_mul(v_load(x + i), scale)),
             v_store_n(x + i, v_mul(v_load_n(x + i, n - i), scale), n - i));
}

ST_INLINE void rope_halves(float *a, float *b, vec c, vec s, uint32_t n)
{
    vec u = n < 16 ? v_load_n(a, n) : v_load(a), v = n < 16 ? v_load_n(b, n) : v_load(b);
    vec x = v_sub(v_mul(u, c), v_mul(v, s)), y = v_add(v_mul(u, s), v_mul(v, c));
    if (n < 16) {
        v_store_n(a, x, n);
        v_store_n(b, y, n);
    } else {
        v_store(a, x);
        v_store(b, y);
    }
}

/* Pairs (2i, 2i + 1), 8 at a time: x cos and the other of its pair (-sin, sin). */
ST_INLINE uint32_t rope_pairs(float *x, const float *cos, const float *sin, uint32_t half)
{
    uint32_t i = 0;
    for (; i + 8 <= half; i += 8) {
        vec v = v_load(x + 2 * i);
        vec s = v_mul(v_swap_pairs(v), v_load_twice(sin + i));
        v_store(x + 2 * i, v_add_alternate(v_mul(v, v_load_twice(cos + i)), s));
    }
    return i;
}

ST_INLINE void rope_vec(float *x, const float *cos, const float *sin, uint32_t half,
                        bool neox)
{
    uint32_t i = 0;
    if (neox) {
        for (; i + 16 <= half; i += 16)
            rope_halves(x + i, x + half + i, v_load(cos + i), v_load(sin + i), 16);
        if (i < half)
            rope_halves(x + i, x + half + i, v_load_n(cos + i, half - i),
                        v_load_n(sin + i, half - i), half - i);
        return;
    }
    for (i = rope_pairs(x, cos, sin, half); i < half; i++) {
        float u = x[2 * i], v = x[2 * i + 1];
        x[2 * i] = u * cos[i] - v * sin[i];
        x[2 * i + 1] = u * sin[i] + v * cos[i];
    }
}
#endif
