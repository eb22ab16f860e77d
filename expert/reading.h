/* expert/reading.h - texts as hidden states of a model.
 *
 * Texts are tokenised literally with what the model adds.  A text with more tokens than
 * the context is refused, never cut.  A text without a token reads as zeros.
 *
 * Threads: the owner of the lm. */
#ifndef EXPERT_READING_H
#define EXPERT_READING_H
#include "base/progress.h"
#include "expert/experts.h"
#include "expert/words.h"

typedef struct reading_job {
    lm *lm;
    const char *name; /* of the model, for errors and progress */
    const question *q;
    const st_progress *progress; /* may be NULL */
    uint32_t first;              /* the caller's number of the first text, for errors */
} reading_job;

uint32_t reading_width(const reading *r, const lm *l);
bool reading_same(const reading *a, const reading *b);

/* Write "mean of 3+6", "last of 8 in the prompt" (at most `size` bytes). */
void reading_name(const reading *r, char *ret_text, size_t size);

/* ret_rows [n, width], every layer's part of unit length.  ST_ELIMIT: text i is too long;
 * ST_ECANCELLED. */
ST_NODISCARD int reading_run(const reading_job *job, const reading *r,
                             const words_text *texts, uint32_t n, float *ret_rows,
                             st_err *err);

/* The same for a range of layers at once, for trying them out: ret_mean and ret_last
 * [n, last - first + 1, n_embd], either may be NULL; not scaled. */
ST_NODISCARD int reading_layers(const reading_job *job, bool prompt, uint32_t first,
                                uint32_t last, const words_text *texts, uint32_t n,
                                float *ret_mean, float *ret_last, st_err *err);

/* Tokens of the texts together. */
ST_NODISCARD int reading_count(const reading_job *job, bool prompt,
                               const words_text *texts, uint32_t n, uint64_t *ret_tokens,
                               st_err *err);

void reading_unit(float *row, uint32_t n); /* scale to unit length; zeros stay */

/* Mean and variance of n training rows [n, d]. */
ST_NODISCARD int scaling_fit(const float *rows, uint32_t n, uint32_t d,
                             scaling *ret_scale, st_err *err);
void scaling_apply(const scaling *s, const float *rows, uint32_t n, float *ret_rows);
#endif
