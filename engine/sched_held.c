/* engine/sched_held.c - the turns of requests whose text is held to a grammar.
 *
 * All that is forced joins a request's tokens as soon as it is known, so its last token
 * is always one after which there is a choice.  The item with that token may go on:
 * tokens of a walk stand behind it, in req.tokens from n on, and the step gives what the
 * model chooses at each choice of the walk.  As long as that is the walk's own token, the
 * next choice counts too; what was run behind the first other one is cut off.
 *
 *   tokens   p p p p f f | g d d g     p prompt, f forced, g guessed, d due after a guess
 *   choices            ^ a     b  c    a = g: take d d, look at b; b != g: take it, cut g
 *   n                   ^ */
#include "engine/sched_core.h"

#include "base/clock.h"
#include <math.h>

/* Called for tokens in their order.  False: on_token ended the text after it. */
static bool token_tell(req *r, sched_token token)
{
    const sched_generate *g = &r->ask.generate;
    token.index = r->n_told++;
    r->n_forced += token.forced;
    return !g->on_token || g->on_token(r->ask.arg, &token);
}

static sched_token token_forced(const req *r, int32_t id)
{
    return (sched_token){
        .id = id, .logp = r->ask.generate.logp ? (double)NAN : 0, .forced = true};
}

static void text_end(sched *s, uint32_t at, sched_end end, const st_err *err)
{
    req *r = &s->reqs[at];
    if (seq_len(r->s) > r->n) /* what is kept of a sequence is its tokens' */
        seq_truncate(r->s, r->n);
    req_end(s, at, end, err);
}

/* Take what is due.  *ret_ended: the text ended, with *ret_end. */
static int due_take(req *r, bool tells, bool *ret_ended, sched_end *ret_end, st_err *err)
{
    held_kind kind;
    int32_t id;
    int rc;
    *ret_ended = false;
    while ((rc = held_next(r->held, &kind, &id, err)) == 0 && kind == HELD_DUE &&
           r->n < r->limit) {
        rc = held_take(r->held, id, err);
        if (rc < 0)
            return rc;
        r->tokens[r->n++] = id;
        if (tells && !token_tell(r, token_forced(r, id))) {
            *ret_ended = true;
            *ret_end = SCHED_END_STOP;
            return 0;
        }
    }
    if (rc < 0)
        return rc;
    *ret_ended = kind == HELD_OVER || r->n == r->limit;
    *ret_end = kind == HELD_OVER ? SCHED_END_DONE : SCHED_END_LENGTH;
    return 0;
}

/* Tell about the tokens that were forced before any was chosen. */
static bool first_tell(req *r)
{
    while (r->n_told < r->n - r->n_prompt)
        if (!token_tell(r, token_forced(r, r->tokens[r->n_prompt + r->n_told]))) {
            r->n = r->n_prompt + r->n_told;
            return false;
        }
    return true;
}

bool held_start(sched *s, uint32_t at)
{
    req *r = &s->reqs[at];
    const sched_generate *g = &r->ask.generate;
    st_err err = {0};
    bool ended;
    sched_end end = SCHED_END_ERROR;
    if (r->held || !g->held.masker)
        return true;
    int rc = held_new(&g->held, g->stop_ids, g->n_stop, s->n_vocab, &r->held, &err);
    if (rc == 0)
        rc = due_take(r, false, &ended, &end, &err);
    if (rc < 0) {
        req_end(s, at, SCHED_END_ERROR, &err);
        return false;
    }
    if (!ended)
        return true;
    r->first_us = st_clock_us() - r->submit_us;
    req_end(s, at, first_tell(r) ? end : SCHED_END_STOP, NULL);
    return false;
}

int held_plan(sched *s, uint32_t at, uint32_t room, step_item *item, st_err *err)
{
    req *r = &s->reqs[at];
    uint32_t most = r->limit - 1 - r->n; /* the last token made is not run */
    uint32_t guesses = sampler_takes_best(&r->pick) ? r->guesses : 0;
    int rc = held_walk_on(r->held, guesses, room < most ? room : most, r->tokens + r->n,
                          &r->walk, err);
    if (rc == 0)
        item->n += r->walk.n;
    return rc;
}

void held_fill(sched *s, turn *t, step_item *item)
{
    const req *r = &s->reqs[t->req];
    const held_walk *w = &r->walk;
    for (uint32_t i = 0; i < w->n_out; i++)
        t->out[i] = item->n - w->n - 1 + w->out[i];
    item->out = t->out;
    item->n_out = w->n_out;
    item->allowed = w->allowed;
    item->ret_best = s->best + t->row;
    item->ret_top = s->top + t->row;
    item->ret_held_lse = r->ask.generate.logp ? s->held_lse + t->row : NULL;
}

/* What the model chose at choice i. */
static sched_token choice(const sched *s, const turn *t, uint32_t i)
{
    const req *r = &s->reqs[t->req];
    uint32_t row = t->row + i;
    if (!sampler_takes_best(&r->pick))
        return t->token;
    sched_token token = {.id = s->best[row]};
    if (r->ask.generate.logp) {
        token.logp = (double)s->top[row] - (double)s->lse[row];
        token.held_logp = (double)s->top[row] - (double)s->held_lse[row];
    }
    return token;
}

/* Take a token that was chosen and what is due after it. */
static int chosen_take(req *r, const sched_token *token, bool *ret_ended,
                       sched_end *ret_end, st_err *err)
{
    *ret_ended = true;
    *ret_end = SCHED_END_DONE;
    if (held_is_end(r->held, token->id))
        return 0;
    int rc = held_take(r->held, token->id, err);
    if (rc < 0)
        return rc;
    r->tokens[r->n++] = token->id;
    *ret_end = SCHED_END_STOP;
    return token_tell(r, *token) ? due_take(r, true, ret_ended, ret_end, err) : 0;
}

/* Choices are taken as long as the walk went the same way. */
static int choices_take(sched *s, const turn *t, bool *ret_ended, sched_end *ret_end,
                        st_err *err)
{
    req *r = &s->reqs[t->req];
    bool right = true;
    int rc = 0;
    *ret_ended = false;
    for (uint32_t i = 0; rc == 0 && right && !*ret_ended && i < r->walk.n_out; i++) {
        sched_token token = choice(s, t, i);
        tops_give(s, t, i, &token);
        right = i < r->walk.n_right && r->tokens[r->n] == token.id;
        if (right)
            r->n_agreed++;
        else if (seq_len(r->s) > r->n)
            seq_truncate(r->s, r->n);
        rc = chosen_take(r, &token, ret_ended, ret_end, err);
    }
    return rc;
}

/* Many when they were right, few when they were not: a wrong one costs about a quarter of
 * the step that a right one saves, and more where many texts share the step. */
static void guesses_learn(req *r, uint32_t agreed)
{
    uint32_t n = agreed + 2;
    if (agreed == r->walk.n_right)
        n = r->guesses > 2 * n ? r->guesses : 2 * n;
    r->guesses = n < HELD_GUESSES ? n : HELD_GUESSES;
}

void held_deliver(sched *s, const turn *t)
{
    req *r = &s->reqs[t->req];
    st_err err = {0};
    uint32_t agreed = r->n_agreed;
    bool ended = false;
    sched_end end = SCHED_END_STOP;
    if (r->first_us == 0)
        req_begun(s, t->req);
    r->n_steps++;
    r->n_proposed += r->walk.n_right;
    if (!first_tell(r)) {
        text_end(s, t->req, end, NULL);
        return;
    }
    int rc = choices_take(s, t, &ended, &end, &err);
    guesses_learn(r, r->n_agreed - agreed);
    if (rc < 0)
        text_end(s, t->req, SCHED_END_ERROR, &err);
    else if (ended)
        text_end(s, t->req, end, NULL);
}
