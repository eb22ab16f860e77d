/* expert/ask_priv.h - what ask_base.c and ask.c share.
 *
 *   chat opening  text  Question:  |  Who? A. ... B. ...  turn's end  Answer:  |  A
 *   '-------- base: ids ---------'    '---- own tokens of an order ----'   reply
 *                       '- anchor'                        '- tail -'
 *
 * How a text is tokenised depends on what stands before it, so own tokens are encoded
 * with the anchor before them. */
#ifndef EXPERT_ASK_PRIV_H
#define EXPERT_ASK_PRIV_H
#include "expert/ask.h"

#define ASK_ANCHOR "Question:"

struct ask_base {
    const lm *lm;
    tok_ids ids;
    st_buf tail;       /* text between the end of a question and its reply */
    st_buf tail_marks; /* of each byte: 1 data, 0 the template's own */
};
#endif
