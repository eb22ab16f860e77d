/* expert/ask_combine.c - from log-probabilities of replies to an answer. */
#include "expert/ask.h"

#include "expert/readout.h"
#include <math.h>

/* Of each option: the sum over the replies that mean it. */
static void options_sum(const ask *a, const double *logp, double *ret)
{
    for (uint32_t i = 0; i < a->n_options; i++)
        ret[i] = -HUGE_VAL;
    for (uint32_t i = 0; i < a->n_replies; i++) {
        double *to = &ret[a->option_of[i]], high = fmax(*to, logp[i]);
        if (high > -HUGE_VAL)
            *to = high + log(exp(*to - high) + exp(logp[i] - high));
    }
}

double ask_score(const double *probs, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += i * probs[i];
    return sum;
}

static uint32_t best_of(const double *probs, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (probs[i] > probs[best])
            best = i;
    return best;
}

double ask_confidence(question_type type, const double *probs, uint32_t n)
{
    double mode = best_of(probs, n), even = 0, off = 0;
    if (n < 2)
        return 1;
    if (type != QUESTION_SCORE)
        return fmax(0, (probs[(uint32_t)mode] - 1.0 / n) / (1 - 1.0 / n));
    for (uint32_t i = 0; i < n; i++) {
        even += fabs(i - (n - 1) / 2.0) / n;
        off += probs[i] * fabs(i - mode);
    }
    return fmax(0, 1 - off / even);
}

void ask_combine(const ask *a, const double *logp, double *ret_probs,
                 ask_answer *ret_answer)
{
    const readout_opts how = {
        .mode = READOUT_TEXT, .rotations = a->n_orders, .temperature = 1};
    double sums[ASK_MAX_ORDERS * QUESTION_MAX_OPTIONS];
    uint32_t n = a->n_options;
    for (uint32_t i = 0; i < a->n_orders; i++)
        options_sum(a, logp + (size_t)i * a->n_replies, sums + (size_t)i * n);
    ret_answer->mass = readout_combine(&how, n, sums, NULL, ret_probs);
    ret_answer->best = best_of(ret_probs, n);
    ret_answer->confidence = ask_confidence(a->type, ret_probs, n);
    ret_answer->score = ask_score(ret_probs, n);
}
