/* expert/words.h - texts as hashed word 1-2-grams and character 2-4-grams.
 *
 * A feature's number is 24 bits of the hash of its text; words and characters are
 * weighted by (1 + log count) * idf and scaled to unit length each on its own, so a text
 * has length sqrt 2.  Characters are taken within words, with a mark at both ends.
 *
 * Threads: any.  Memory: words_model and sparse rows are the caller's. */
#ifndef EXPERT_WORDS_H
#define EXPERT_WORDS_H
#include "expert/experts.h"
#include "stats/sparse.h"

typedef struct words_text {
    const char *text;
    size_t len;
} words_text;

/* Choose the features: those in at least `min_rows` of the texts; the number is raised
 * until at most `most` are left.  Fills n, feature and idf of ret_model. */
ST_NODISCARD int words_choose(const words_text *texts, uint32_t n, uint32_t min_rows,
                              uint32_t most, words_model *ret_model, st_err *err);

/* The rows of texts over the features of the model. */
ST_NODISCARD int words_rows(const words_model *m, const words_text *texts, uint32_t n,
                            sparse *ret_rows, st_err *err);
#endif
