/* model/rope.c - rotary positions: frequencies once, sines and cosines a token. */
#include "model/rope.h"

#include "base/mem.h"
#include <math.h>

#define PI 3.14159265358979323846

/* The pair whose wave turns `turns` times within the original context. */
static double yarn_pair(const rope_spec *spec, double turns)
{
    return spec->n_rot * log(spec->n_ctx_orig / (turns * 2.0 * PI)) /
           (2.0 * log((double)spec->base));
}

/* Fast pairs keep their frequency, slow ones are divided by the factor, with a ramp. */
static void yarn_blend(const rope_spec *spec, float *freq)
{
    double low = fmax(floor(yarn_pair(spec, (double)spec->beta_fast)), 0.0);
    double high = fmin(ceil(yarn_pair(spec, (double)spec->beta_slow)), spec->n_rot - 1.0);
    if (!(high > low))
        high = low + 0.001;
    for (uint32_t i = 0; i < spec->n_rot / 2; i++) {
        float ramp = (float)fmin(fmax((i - low) / (high - low), 0.0), 1.0);
        freq[i] = freq[i] / spec->factor * ramp + freq[i] * (1.0f - ramp);
    }
}

static bool positive(float v)
{
    return isfinite(v) && v > 0.0f;
}

static int check(const rope_spec *spec, st_err *err)
{
    if (!positive(spec->base) || !positive(spec->factor) || !positive(spec->attn_factor))
        return st_err_set(
            err, ST_EFORMAT,
            "rope base %g, factor %g and attention factor %g must be positive",
            (double)spec->base, (double)spec->factor, (double)spec->attn_factor);
    if (spec->scaling == ROPE_YARN &&
        (!positive(spec->beta_fast) || !positive(spec->beta_slow) ||
         spec->n_ctx_orig == 0 || spec->base <= 1.0f))
        return st_err_set(err, ST_EFORMAT,
                          "rope scaling 'yarn' needs positive betas, an "
                          "original context length and a base over 1");
    for (uint32_t i = 0; spec->divisors && i < spec->n_rot / 2; i++)
        if (!positive(spec->divisors[i]))
            return st_err_set(err, ST_EFORMAT, "rope factor %u is not a positive number",
                              i);
    return 0;
}

int rope_init(rope *r, const rope_spec *spec, st_err *err)
{
    int rc = check(spec, err);
    if (rc)
        return rc;
    uint32_t half = spec->n_rot / 2;
    float *freq = st_alloc_n(half, sizeof *freq);
    if (!freq)
        return st_err_set(err, ST_ENOMEM, "out of memory for rope frequencies");
    for (uint32_t i = 0; i < half; i++) {
        float power = (float)(2 * i) / (float)spec->n_rot;
        freq[i] = 1.0f / (float)pow((double)spec->base, (double)power);
        if (spec->divisors)
            freq[i] /= spec->divisors[i];
        if (spec->scaling == ROPE_LINEAR)
            freq[i] /= spec->factor;
    }
    r->mscale = spec->attn_factor;
    if (spec->scaling == ROPE_YARN) {
        yarn_blend(spec, freq);
        if (spec->factor > 1.0f)
            r->mscale *= 0.1f * logf(spec->factor) + 1.0f;
    }
    r->half = half;
    r->freq = freq;
    return 0;
}

void rope_done(rope *r)
{
    st_free(r->freq);
    *r = (rope){0};
}

void rope_at(const rope *r, uint32_t position, float *cos_out, float *sin_out)
{
    for (uint32_t i = 0; i < r->half; i++) {
        double angle = (double)((float)position * r->freq[i]);
        cos_out[i] = (float)cos(angle) * r->mscale;
        sin_out[i] = (float)sin(angle) * r->mscale;
    }
}
