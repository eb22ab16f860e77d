/* expert/screen.h - which states of a model to read, judged on some of the rows.
 *
 * The layers, both poolings, the bare text and (for a decoder) the text in the prompt
 * are compared by the out-of-fold NLL of a briefly fitted head; then up to two more
 * layers are added to the best where that clearly helps (for a decoder only lower ones:
 * the model is not run beyond the best).  How many rows are used depends on what they
 * cost.
 *
 * Threads: the owner of the lm and the gemm. */
#ifndef EXPERT_SCREEN_H
#define EXPERT_SCREEN_H
#include "expert/reading.h"
#include "stats/gemm.h"

/* Labels in [0, k). */
ST_NODISCARD int screen_run(const reading_job *job, gemm *g, const words_text *texts,
                            const int32_t *labels, uint32_t n, uint32_t k, uint64_t seed,
                            reading *ret_reading, st_err *err);
#endif
