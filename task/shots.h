/* task/shots.h - which examples are shown to a model beside an input.
 *
 *   fixed   the same ones for every input: those that the other examples are nearest to,
 *           picked one after the other
 *   words   the nearest by words and pieces of words (expert/words.h)
 *   model   the nearest by an encoder's embedding
 *
 * Threads: one owner, who owns the encoder too.  Memory: texts are borrowed while it is
 * made; shots_free. */
#ifndef TASK_SHOTS_H
#define TASK_SHOTS_H
#include "expert/lm.h"
#include "expert/words.h"

enum { SHOTS_MAX = 8 };

typedef enum shots_way { SHOTS_FIXED, SHOTS_WORDS, SHOTS_MODEL } shots_way;
const char *shots_way_name(shots_way way); /* "fixed", "words", "model" */

typedef struct shots shots;

/* `encoder` for SHOTS_MODEL only; n > 0. */
ST_NODISCARD int shots_new(const words_text *texts, uint32_t n, shots_way way,
                           lm *encoder, shots **ret_shots, st_err *err);
void shots_free(shots *s); /* NULL allowed */

/* At most k examples, the nearest last, without example `skip` (UINT32_MAX: none): when
 * an example is itself the input.  A text of over the encoder's context is looked up by
 * its beginning. */
ST_NODISCARD int shots_find(shots *s, const char *text, size_t len, uint32_t k,
                            uint32_t skip, uint32_t ret_rows[SHOTS_MAX], uint32_t *ret_n,
                            st_err *err);
#endif
