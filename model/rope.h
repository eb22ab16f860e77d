/* model/rope.h - rotary positions: frequencies once, sines and cosines a token.
 *
 * Sources: RoFormer (Su 2021); linear interpolation (Chen 2023); YaRN (Peng 2023);
 * LongRoPE (Ding 2024).  Angles are float32 products, as Hugging Face computes them.
 *
 * Threads: immutable after rope_init. */
#ifndef MODEL_ROPE_H
#define MODEL_ROPE_H
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum rope_scaling {
    ROPE_PLAIN,
    ROPE_LINEAR,
    ROPE_YARN,
} rope_scaling;

typedef struct rope_spec {
    uint32_t n_rot; /* even, > 0 */
    float base;
    rope_scaling scaling;
    float factor;      /* of linear and YaRN; 1: none */
    float attn_factor; /* multiplies sines and cosines */
    float beta_fast;   /* YaRN */
    float beta_slow;
    uint32_t n_ctx_orig;   /* YaRN: context before scaling */
    const float *divisors; /* [n_rot / 2] of the frequencies, or NULL */
} rope_spec;

typedef struct rope {
    uint32_t half; /* pairs rotated; 0: not in use */
    bool halves;   /* pairs (i, i + half), else (2i, 2i + 1) */
    float mscale;
    float *freq; /* [half], owned */
} rope;

/* 0, ST_ENOMEM, or ST_EFORMAT for a base, factor or divisor that is not a positive
 * number.  `halves` is left alone. */
ST_NODISCARD int rope_init(rope *r, const rope_spec *spec, st_err *err);
void rope_done(rope *r); /* NULL inside allowed */

/* Sines and cosines of one position. */
void rope_at(const rope *r, uint32_t position, float *cos_out, float *sin_out);
#endif
