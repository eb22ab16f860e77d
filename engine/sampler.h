/* engine/sampler.h - choose the next token from logits.
 *
 * Order: repetition, frequency and presence penalties; temperature; top-k; top-p; min-p;
 * draw.  Temperature 0 is greedy (lowest id wins a tie).  The same seed, history and
 * logits give the same token.
 *
 * Threads: one owner. */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H
#include "base/err.h"
#include <stdint.h>

typedef struct sampler sampler;

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

/* ST_EINVAL names the option that is out of range. */
ST_NODISCARD int sampler_new(const sampler_opts *opts, uint32_t n_vocab,
                             sampler **ret_sampler, st_err *err);
void sampler_free(sampler *s);
void sampler_accept(sampler *s, int32_t id); /* a prompt or chosen token, for penalties */
/* The next id; `logits` [n_vocab] are overwritten.  Does not call sampler_accept. */
int32_t sampler_pick(sampler *s, float *logits);
#endif
