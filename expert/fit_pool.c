/* expert/fit_pool.c - the weights of the pool.
 *
 * Log-linear weights by out-of-fold NLL.  An expert with next to no weight is left out
 * and the others are fitted again; so is one that hardly lowers the NLL, because each
 * expert costs time in every decision. */
#include "base/mem.h"
#include "expert/fit_work.h"
#include "stats/blend.h"
#include <math.h>
#include <string.h>

#define PULL 10.0        /* rows' worth of drawing the weights together */
#define LEAST_SHARE 0.02 /* of all weight, to be served */
#define LEAST_GAIN 0.002 /* of the NLL, to be served */
#define MODEL_GAIN 0.01  /* the same for the only expert of a model: it costs a pass */

typedef struct chosen {
    uint32_t n;
    uint32_t expert[ARTIFACT_MAX_EXPERTS];
    double weights[ARTIFACT_MAX_EXPERTS];
    double nll;
} chosen;

static double mean_nll(const fit_work *f, const float *const *all, const chosen *c)
{
    double probs[QUESTION_MAX_OPTIONS], sum = 0;
    const float *row[ARTIFACT_MAX_EXPERTS];
    for (uint32_t i = 0; i < f->n_oof; i++) {
        for (uint32_t e = 0; e < c->n; e++)
            row[e] = all[e] + (size_t)i * f->k;
        blend_row(row, c->n, c->weights, f->k, probs);
        sum -= log(fmax(probs[f->oof_labels[i]], 1e-300));
    }
    return sum / f->n_oof;
}

static int fit_chosen(fit_work *f, chosen *c)
{
    const float *all[ARTIFACT_MAX_EXPERTS];
    for (uint32_t e = 0; e < c->n; e++)
        all[e] = f->oof[c->expert[e]];
    int code =
        blend_fit(all, c->n, f->oof_labels, f->n_oof, f->k, PULL, c->weights, f->err);
    if (!code)
        c->nll = mean_nll(f, all, c);
    return code;
}

static void leave_out(chosen *c, uint32_t at)
{
    c->n--;
    memmove(c->expert + at, c->expert + at + 1, (c->n - at) * sizeof *c->expert);
    memmove(c->weights + at, c->weights + at + 1, (c->n - at) * sizeof *c->weights);
}

/* Leave out the expert of least weight while it has next to none. */
static int drop_light(fit_work *f, chosen *c)
{
    int code = fit_chosen(f, c);
    while (!code && c->n > 1) {
        uint32_t least = 0;
        double sum = 0;
        for (uint32_t e = 0; e < c->n; e++) {
            sum += c->weights[e];
            least = c->weights[e] < c->weights[least] ? e : least;
        }
        if (c->weights[least] >= LEAST_SHARE * sum)
            break;
        leave_out(c, least);
        code = fit_chosen(f, c);
    }
    return code;
}

/* What leaving out expert `at` may cost and still be worth it. */
static double least_gain(const fit_work *f, const chosen *c, uint32_t at)
{
    const expert *all = f->out->a->experts, *x = &all[c->expert[at]];
    if (x->kind == EXPERT_WORDS) /* microseconds: anything pays for them */
        return 0;
    for (uint32_t e = 0; e < c->n; e++)
        if (e != at && all[c->expert[e]].kind != EXPERT_WORDS &&
            all[c->expert[e]].model == x->model)
            return LEAST_GAIN;
    return MODEL_GAIN;
}

/* Leave out the expert that is missed least, while that is less than it must bring. */
static int drop_idle(fit_work *f, chosen *c)
{
    int code = 0;
    bool dropped = true;
    while (!code && dropped && c->n > 1) {
        chosen best = *c;
        double least = 0;
        for (uint32_t e = c->n; e-- > 0 && !code;) {
            chosen without = *c;
            leave_out(&without, e);
            code = fit_chosen(f, &without);
            double missed = without.nll - c->nll * (1 + least_gain(f, c, e));
            if (!code && missed < least) {
                least = missed;
                best = without;
            }
        }
        dropped = best.n < c->n;
        *c = best;
    }
    return code;
}

int fit_weights(fit_work *f)
{
    chosen c = {.n = f->out->a->n_experts};
    for (uint32_t e = 0; e < c.n; e++) {
        c.expert[e] = e;
        f->out->a->experts[e].weight = 0;
    }
    int code = drop_light(f, &c);
    if (!code)
        code = drop_idle(f, &c);
    double sum = 0;
    for (uint32_t e = 0; e < c.n && !code; e++) {
        f->out->a->experts[c.expert[e]].weight = c.weights[e];
        sum += c.weights[e];
    }
    f->out->report.temperature = sum > 0 ? 1 / sum : 1;
    if (!code && !(sum > 0)) { /* nothing beats an even guess: keep the first, flat */
        f->out->a->experts[c.expert[0]].weight = 1e-3;
        f->out->report.temperature = 1e3;
    }
    return code;
}
