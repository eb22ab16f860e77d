/* engine/sampler.h - choose the next token from logits.
 *
 * Order: biases; repetition, frequency and presence penalties; temperature; top-k; top-p;
 * min-p; draw.  Temperature 0 is greedy (lowest id wins a tie).  The same seed, history
 * and logits give the same token.
 *
 * A sampler is a value: options and the state of the draw.  What a pick needs besides is
 * one sampler_work for each thread that picks.
 *
 * Threads: one owner each. */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H
#include "base/err.h"
#include "base/rng.h"
#include <stdbool.h>

typedef struct sampler_opts {
    float temperature;       /* 0: greedy */
    uint32_t top_k;          /* 0: all */
    float top_p;             /* in (0, 1]; 1: all */
    float min_p;             /* in [0, 1); 0: all */
    float repeat_penalty;    /* > 0; 1: none (CTRL, Keskar 2019) */
    float frequency_penalty; /* as in the OpenAI API */
    float presence_penalty;
    uint64_t seed;
} sampler_opts;
#define SAMPLER_GREEDY ((sampler_opts){.top_p = 1, .repeat_penalty = 1})

typedef struct sampler_bias {
    int32_t id;
    float add; /* to its logit */
} sampler_bias;

typedef struct sampler {
    sampler_opts opts;
    const sampler_bias *bias; /* borrowed */
    uint32_t n_bias;
    st_rng rng;
} sampler;

typedef struct sampler_work sampler_work; /* arrays of the vocabulary's size */

/* ST_EINVAL names the option that is out of range. */
ST_NODISCARD int sampler_init(sampler *s, const sampler_opts *opts, st_err *err);
/* ST_EINVAL for what is not a number or no id of the vocabulary.  They must outlive the
 * sampler. */
ST_NODISCARD int sampler_bias_set(sampler *s, const sampler_bias *bias, uint32_t n,
                                  uint32_t n_vocab, st_err *err);
ST_NODISCARD int sampler_work_new(uint32_t n_vocab, sampler_work **ret_work, st_err *err);
void sampler_work_free(sampler_work *w); /* NULL allowed */

/* Does it always take sampler_best of the logits as they are? */
bool sampler_takes_best(const sampler *s);
/* The lowest id with the highest logit; what is not a number counts as the lowest. */
int32_t sampler_best(const float *logits, uint32_t n_vocab);
/* The next id; `logits` [n_vocab] are overwritten.  `history` [n]: prompt and chosen
 * tokens, for penalties; ids outside the vocabulary count for nothing. */
int32_t sampler_pick(sampler *s, sampler_work *w, const int32_t *history, uint32_t n,
                     float *logits);
#endif
