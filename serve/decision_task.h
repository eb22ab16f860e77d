/* serve/decision_task.h - a question that is a task's own.
 *
 * On a task's name, a choice or score with the options of its contract, in any order, is
 * the task's question; so is a predicate that asks in the contract's words, or in none.
 * The task answers it as it answers everything: by its rules, its fitted experts, or as
 * its model is best asked.
 *
 * Threads: any. */
#ifndef SERVE_DECISION_TASK_H
#define SERVE_DECISION_TASK_H
#include "serve/decision_priv.h"

typedef struct task_match {
    bool is_own;
    uint8_t option_of[QUESTION_MAX_OPTIONS]; /* the contract's, of each of the question's
                                              */
} task_match;

/* `own` NULL: no task.  Returns is_own. */
bool decision_task_match(const contract *own, const decision_question *q,
                         task_match *ret);

/* Its answer in the order of the question's options; out->probs has room for it. */
void decision_task_take(const task_match *m, const decision_question *q,
                        const hub_answer *answer, decided *out);
#endif
