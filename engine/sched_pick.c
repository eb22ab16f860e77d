/* engine/sched_pick.c - what the turns of a step ask of it, and the tokens they choose.
 */
#include "engine/sched_core.h"

#include <string.h>

static uint32_t top_count(const sched *s, const sched_generate *g)
{
    return g->n_top < s->n_vocab ? g->n_top : s->n_vocab;
}

static void item_fill(sched *s, turn *t, step_item *it, uint32_t *n_draws)
{
    const req *r = &s->reqs[t->req];
    const sched_generate *g = &r->ask.generate;
    bool best = sampler_takes_best(&r->pick);
    *it = t->item;
    if (!t->gives)
        return;
    t->row = s->n_rows;
    s->n_rows += r->held ? r->walk.n_out : 1;
    it->out = &t->last;
    it->n_out = 1;
    it->ret_best = best ? s->best + t->row : NULL;
    it->ret_top = best ? s->top + t->row : NULL;
    if (r->held)
        held_fill(s, t, it);
    it->ret_lse = g->logp || g->n_top > 0 ? s->lse + t->row : NULL;
    it->ret_likely = s->likely + (size_t)t->row * SCHED_MAX_TOP;
    it->n_likely = top_count(s, g);
    if (!best)
        it->ret_logits = s->logits + (size_t)(*n_draws)++ * s->n_vocab;
}

void items_fill(sched *s)
{
    uint32_t n_draws = 0;
    s->n_rows = 0;
    for (uint32_t i = 0; i < s->n_turns; i++)
        item_fill(s, &s->turns[i], &s->items[i], &n_draws);
}

static bool may_be(const step_item *it, int32_t id)
{
    return !it->allowed || it->allowed[0][id / 32] >> id % 32 & 1;
}

static void pick(void *arg, uint32_t at, uint32_t worker)
{
    sched *s = arg;
    turn *t = &s->turns[at];
    const step_item *it = &s->items[at];
    req *r = &s->reqs[t->req];
    float *logits = it->ret_logits;
    if (!t->gives)
        return;
    bool logp = r->ask.generate.logp;
    if (!logits) {
        t->token.id = *it->ret_best;
        t->token.logp = logp ? (double)*it->ret_top - (double)*it->ret_lse : 0;
        return;
    }
    if (logp) {
        logits = s->draws[worker].logits;
        memcpy(logits, it->ret_logits, s->n_vocab * sizeof *logits);
    }
    t->token.id = sampler_pick(&r->pick, s->draws[worker].work, r->tokens, r->n, logits);
    if (!may_be(it, t->token.id)) /* all that may be are ruled out by the model */
        t->token.id = *it->ret_best;
    if (!logp)
        return;
    double logit = (double)it->ret_logits[t->token.id];
    t->token.logp = logit - (double)*it->ret_lse;
    if (it->ret_held_lse)
        t->token.held_logp = logit - (double)*it->ret_held_lse;
}

void tokens_pick(sched *s)
{
    workers_run(engine_workers(s->engine), s->n_turns, pick, s);
}

void tops_give(sched *s, const turn *t, uint32_t i, sched_token *token)
{
    uint32_t n = top_count(s, &s->reqs[t->req].ask.generate);
    const step_likely *from = s->likely + (size_t)t->row * SCHED_MAX_TOP + (size_t)i * n;
    for (uint32_t k = 0; k < n; k++)
        s->tops[k] =
            (sched_top){from[k].id, (double)from[k].logit - (double)s->lse[t->row + i]};
    token->top = s->tops;
    token->n_top = n;
}
