/* expert/readout_view.h - what a readout keeps of its question; for readout*.c only.
 *
 * A `view` is one rotation: its prompt form, the sequence that holds the beginning shared
 * by the prompts of all inputs, and the trie of replies in the order of the question's
 * options.  A decision forks each view's sequence as far as the input's own prompt agrees
 * with it, so the shared beginning saves time and never changes a result. */
#ifndef EXPERT_READOUT_VIEW_H
#define EXPERT_READOUT_VIEW_H
#include "base/hash.h"
#include "engine/options.h"
#include "expert/names.h"
#include "expert/prompt.h"
#include "expert/readout.h"

typedef struct view {
    prompt_form form;
    tok_ids prefix;
    seq *base; /* holds the prefix; NULL when there is no room to keep it */
    options *replies;
    char replies_digest[ST_DIGEST_TEXT];
} view;

struct readout {
    lm *lm;
    const question *q;
    readout_opts opts;
    view views[READOUT_MAX_ROTATIONS];
    char codes[QUESTION_MAX_OPTIONS][PROMPT_CODE_BYTES];
    int32_t code_ids[QUESTION_MAX_OPTIONS];
    double *neutral; /* [rotations, n_options]; NULL until needed */
    names *names;    /* READOUT_NAMES */
};
#endif
