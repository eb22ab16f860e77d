/* serve/decision_task.c - a question that is a task's own. */
#include "serve/decision_task.h"
#include <string.h>

static bool is_instruction(const contract *own, const char *said)
{
    return !said || !said[0] ||
           (own->question.instructions && strcmp(said, own->question.instructions) == 0);
}

/* Find each of the question's options among the contract's; strings only. */
static bool options_match(const contract *own, const decision_question *q,
                          task_match *ret)
{
    bool score = q->q.type == QUESTION_SCORE;
    if (q->q.n_options != own->question.n_options)
        return false;
    for (uint32_t i = 0; i < q->q.n_options; i++) {
        const char *value = q->q.options[i].value;
        if (json_is_boolean(q->options[i]))
            return false;
        int32_t at = contract_option(own, value, strlen(value));
        if (at < 0 || (score && (uint32_t)at != i))
            return false;
        ret->option_of[i] = (uint8_t)at;
    }
    return true;
}

bool decision_task_match(const contract *own, const decision_question *q, task_match *ret)
{
    ret->is_own = false;
    if (!own || own->question.type != q->q.type)
        return false;
    if (q->q.type == QUESTION_PREDICATE) {
        ret->option_of[0] = 0;
        ret->option_of[1] = 1;
        ret->is_own = is_instruction(own, q->q.instructions);
    } else {
        ret->is_own = options_match(own, q, ret);
    }
    return ret->is_own;
}

void decision_task_take(const task_match *m, const decision_question *q,
                        const hub_answer *answer, decided *out)
{
    uint32_t n = q->q.type == QUESTION_PREDICATE ? 2 : q->q.n_options;
    out->answer.best = 0;
    for (uint32_t i = 0; i < n; i++) {
        out->probs[i] = answer->probs[m->option_of[i]];
        if (out->probs[i] > out->probs[out->answer.best])
            out->answer.best = i;
    }
    out->route = task_route_name(answer->decided->route);
    out->calibrated = answer->decided->route != TASK_ZERO_SHOT;
    out->mass = answer->decided->label_mass;
    out->answer.confidence = ask_confidence(q->q.type, out->probs, n);
    out->answer.score = ask_score(out->probs, n);
}
