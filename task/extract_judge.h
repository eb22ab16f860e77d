/* task/extract_judge.h - what a model wrote, as an answer.
 *
 * For the files of extraction only. */
#ifndef TASK_EXTRACT_JUDGE_H
#define TASK_EXTRACT_JUDGE_H
#include "task/extraction_parts.h"

void extract_refuse(extract_answer *a, int code, const char *why);

/* Take over what a reply wrote, with its fields and checks. */
ST_NODISCARD int extract_settle(const extraction *x, const extract_ask *ask,
                                extract_reply *r, extract_answer *a, st_err *err);

/* Is one more attempt worth it?  Its ask, with `why` for what failed. */
ST_NODISCARD int extract_ask_again(const extraction *x, const extract_answer *a,
                                   extract_ask *ask, st_buf *why, bool *ret_again,
                                   st_err *err);

/* The better of two answers to the same input stays in `a`. */
void extract_take_better(extract_answer *a, extract_answer *again);
#endif
