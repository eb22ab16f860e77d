/* expert/readout_view.h - what a readout keeps of its question; for readout*.c only.
 *
 * A `view` is one rotation: its prompt form, the beginning that the prompts of all inputs
 * share, pinned in the scheduler, and the trie of replies in the order of the question's
 * options.  A prompt that begins otherwise is run whole, so the shared beginning saves
 * time and never changes a result. */
#ifndef EXPERT_READOUT_VIEW_H
#define EXPERT_READOUT_VIEW_H
#include "base/hash.h"
#include "engine/options.h"
#include "expert/names.h"
#include "expert/prompt.h"
#include "expert/readout_ask.h"

typedef struct view {
    prompt_form form;
    tok_ids prefix;
    sched_prefix *pin; /* of the prefix; NULL when there is no room to keep it */
    options *replies;
    char replies_digest[ST_DIGEST_TEXT];
} view;

typedef struct asking asking; /* a text under way */

struct readout {
    lm *lm;
    const question *q;
    readout_opts opts;
    view views[READOUT_MAX_ROTATIONS];
    char codes[QUESTION_MAX_OPTIONS][PROMPT_CODE_BYTES];
    int32_t code_ids[QUESTION_MAX_OPTIONS];
    sched *sched;      /* NULL until bound */
    asking *asked;     /* those under way, the youngest first */
    uint64_t n_asked;  /* ever */
    bool asks_neutral; /* that is under way; */
    double *neutral;   /* [rotations, n_options]; NULL until it has come */
    names *names;      /* READOUT_NAMES, once bound */
};

/* Cancel what is under way and step until it has ended. */
void readout_stop(readout *r);
#endif
