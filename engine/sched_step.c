/* engine/sched_step.c - one step: mail, plan, run, deliver.
 *
 * The plan: one token of every request that is making text, of held text some; then, by
 * flow_next, prompts as long as the step has room for tokens.  Beside text that is being
 * made that room is prefill_chunk, else a whole batch.  When somebody finds no room to
 * get in, nobody else enters in that step: a large request is not overtaken for ever. */
#include "engine/sched_core.h"

#include "base/clock.h"
#include <assert.h>
#include <string.h>

/* --- mail */

static void end_all(sched *s, const st_err *err)
{
    while (s->n_live > 0)
        req_end(s, s->live[0], SCHED_END_ERROR, err);
    for (uint32_t i = 0; i < s->n_flows; i++)
        while (s->flows[i].first != NO_REQ)
            req_end(s, s->flows[i].first, SCHED_END_ERROR, err);
}

static void mail_take(sched *s)
{
    pthread_mutex_lock(&s->lock);
    bool stopping = s->stopping;
    uint32_t n_ending = s->n_cancels;
    if (s->n_active == 0 && s->n_inbox > 0)
        s->busy_us = st_clock_us();
    for (uint32_t i = 0; i < s->n_inbox; i++)
        flow_enter(s, s->inbox[i]);
    memcpy(s->ending, s->cancels, n_ending * sizeof *s->ending);
    s->n_inbox = 0;
    s->n_cancels = 0;
    pthread_mutex_unlock(&s->lock);
    st_err err = {0};
    st_err_set(&err, ST_ECANCELLED, "the request was cancelled");
    for (uint32_t i = 0; i < n_ending; i++)
        req_end(s, s->ending[i], SCHED_END_ERROR, &err);
    if (stopping)
        end_all(s, &err);
}

static void deadlines_check(sched *s)
{
    uint64_t now = st_clock_us();
    st_err err = {0};
    st_err_set(&err, ST_ETIMEOUT, "the request's deadline passed");
    for (uint32_t i = 0; i < s->max_requests; i++)
        if (s->deadlines[i] && now >= s->deadlines[i])
            req_end(s, i, SCHED_END_ERROR, &err);
}

/* --- plan */

/* The next tokens of a live request, at most `room`; returns how many were taken: 0 when
 * it was preempted or has failed. */
static uint32_t plan_live(sched *s, uint32_t at, uint32_t room)
{
    req *r = &s->reqs[at];
    uint32_t left = req_left(r), before = r->most_run;
    uint32_t end = r->run ? r->n_started + options_run_cost(r->run) : seq_len(r->s);
    step_item item;
    st_err err = {0};
    if (!r->run)
        item = chain_item(r->s, r->tokens, left < room ? left : room);
    else if (!options_run_next(r->run, room, &item))
        return 0;
    r->walk.n = 0;
    if (r->held && item.n == left && held_plan(s, at, room - item.n, &item, &err) < 0) {
        req_end(s, at, SCHED_END_ERROR, &err);
        return 0;
    }
    if (!room_turn(s, at, &item))
        return 0;
    r->most_run = end + item.n > before ? end + item.n : before;
    flow_charge(s, at, r->most_run - before); /* not again after a preemption */
    return item.n;
}

/* A request that became live with a sequence of what was kept. */
static int live_start(req *r, st_err *err)
{
    if (!r->run)
        return 0;
    r->n_started = seq_len(r->s);
    r->ask.options.s = r->s;
    r->ask.options.tokens = r->tokens + r->n_started;
    r->ask.options.n = r->n - r->n_started;
    return options_run_start(r->run, &r->ask.options, err);
}

/* Let it in, if there is room. */
static uint32_t plan_entry(sched *s, uint32_t at, uint32_t room, bool *ret_full)
{
    st_err err = {0};
    *ret_full = !room_admit(s, at);
    if (*ret_full)
        return 0;
    if (live_start(&s->reqs[at], &err) < 0) {
        req_end(s, at, SCHED_END_ERROR, &err);
        return 0;
    }
    if (!held_start(s, at))
        return 0;
    uint32_t n = plan_live(s, at, room);
    *ret_full = n == 0;
    return n;
}

/* Texts share a call when they are of one kind and stop at the same layer. */
static bool text_fits(const sched *s, const req *r, uint32_t room)
{
    if (s->n_texts == 0)
        return true;
    const req *first = &s->reqs[s->texts[0]];
    uint32_t before = r->ask.prefix ? r->ask.prefix->pin->n : 0;
    return r->n - before <= room && r->ask.kind == first->ask.kind &&
           r->ask.states.last_layer == first->ask.states.last_layer;
}

static void plan_text(sched *s, uint32_t at)
{
    req *r = &s->reqs[at];
    const sched_prefix *p = r->ask.prefix;
    uint32_t before = p ? p->pin->n : 0;
    flow_unwait(s, at);
    flow_charge(s, at, r->n - before);
    r->n_cached = before;
    s->stats.tokens_cached += before;
    r->queued_us = st_clock_us() - r->submit_us;
    s->text_tokens[s->n_texts] = r->tokens + before;
    s->text_n[s->n_texts] = r->n - before;
    s->text_wants[s->n_texts] = r->ask.states;
    s->text_wants[s->n_texts].prefix = p ? p->pin->s : NULL;
    s->texts[s->n_texts++] = at;
}

/* The next tokens of a prefix, for the request that waits for it. */
static uint32_t plan_prefix(sched *s, uint32_t at, uint32_t room, bool *ret_full)
{
    const req *r = &s->reqs[at];
    const sched_prefix *p = r->ask.prefix;
    uint32_t left = p->pin->n - seq_len(p->pin->s), n = left < room ? left : room;
    s->flows[r->flow].held = true;
    if (p->in_turn)
        return 0;
    *ret_full = !room_prefix(s, at, n);
    if (*ret_full)
        return 0;
    flow_charge(s, at, n);
    return n;
}

/* Let the first of a flow in.  Returns the tokens that it takes of the step, and in
 * *ret_full whether it found no room. */
static uint32_t plan_waiting(sched *s, uint32_t at, uint32_t room, bool *ret_full)
{
    req *r = &s->reqs[at];
    if (r->ask.prefix && !prefix_pin_is_full(r->ask.prefix->pin))
        return plan_prefix(s, at, room, ret_full);
    if (r->ask.kind == SCHED_GENERATE || r->run)
        return plan_entry(s, at, room, ret_full);
    if (!text_fits(s, r, room)) {
        s->flows[r->flow].held = true;
        return 0;
    }
    *ret_full = !room_text(s, at);
    if (*ret_full)
        return 0;
    plan_text(s, at);
    return s->text_n[s->n_texts - 1];
}

/* Tokens that held text being made may take of a step. */
static uint32_t held_share(const sched *s)
{
    uint32_t batch = engine_max_batch(s->engine) - 1;
    uint32_t share = s->n_live > 0 ? batch / s->n_live : batch;
    share = share < s->prefill_chunk ? share : s->prefill_chunk;
    return share > 0 ? share : 1;
}

static uint32_t plan_made(sched *s)
{
    uint32_t n = 0, share = held_share(s);
    for (uint32_t i = 0; i < s->n_live;) {
        uint32_t at = s->live[i];
        const req *r = &s->reqs[at];
        uint32_t most = r->held ? share : 1;
        if (r->in_turn || r->n == r->n_prompt || req_left(r) > most) {
            i++;
            continue;
        }
        n += plan_live(s, at, most);
        i = 0; /* who gave way left the list */
    }
    return n;
}

static void plan(sched *s)
{
    bool full = false;
    s->n_turns = s->n_texts = s->reserved = s->other_pages = 0;
    for (uint32_t i = 0; i < s->n_flows; i++)
        s->flows[i].held = false;
    uint32_t made = plan_made(s), batch = engine_max_batch(s->engine) - made;
    uint32_t room = made > 0 && s->prefill_chunk < batch ? s->prefill_chunk : batch;
    while (room > 0) {
        uint32_t at = flow_next(s, !full);
        if (at == NO_REQ)
            break;
        bool is_live = s->reqs[at].s;
        uint32_t n = is_live ? plan_live(s, at, room) : plan_waiting(s, at, room, &full);
        full = full || (is_live && n == 0); /* who gave way does not come back at once */
        room -= n < room ? n : room;
    }
}

/* --- run */

static void item_fill(sched *s, turn *t, step_item *it, uint32_t *n_draws)
{
    const req *r = &s->reqs[t->req];
    bool logp = r->ask.generate.logp, best = sampler_takes_best(&r->pick);
    *it = t->item;
    if (!t->gives)
        return;
    t->row = s->n_rows;
    s->n_rows += r->held ? r->walk.n_out : 1;
    it->out = &t->last;
    it->n_out = 1;
    it->ret_lse = logp ? s->lse + t->row : NULL;
    it->ret_best = best && !logp ? s->best + t->row : NULL;
    if (r->held)
        held_fill(s, t, it);
    if (!best || (logp && !r->held))
        it->ret_logits = s->logits + (size_t)(*n_draws)++ * s->n_vocab;
}

static void items_fill(sched *s)
{
    uint32_t n_draws = 0;
    s->n_rows = 0;
    for (uint32_t i = 0; i < s->n_turns; i++)
        item_fill(s, &s->turns[i], &s->items[i], &n_draws);
}

static void turn_over(sched *s, const turn *t)
{
    *(t->prefix ? &t->prefix->in_turn : &s->reqs[t->req].in_turn) = false;
}

/* Run what failed together one by one; who fails alone is ended. */
static void turns_part(sched *s)
{
    for (uint32_t i = 0; i < s->n_turns;) {
        st_err err = {0};
        const turn failed = s->turns[i];
        if (engine_step(s->engine, &s->items[i], 1, &err) == 0) {
            i++;
            continue;
        }
        s->turns[i] = s->turns[--s->n_turns];
        s->items[i] = s->items[s->n_turns];
        if (s->turns[i].gives)
            s->items[i].out =
                s->reqs[s->turns[i].req].held ? s->turns[i].out : &s->turns[i].last;
        turn_over(s, &failed);
        req_end(s, failed.req, SCHED_END_ERROR, &err);
    }
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
    if (!logits) {
        t->token.id = *it->ret_best;
        return;
    }
    if (it->ret_lse) {
        logits = s->draws[worker].logits;
        memcpy(logits, it->ret_logits, s->n_vocab * sizeof *logits);
    }
    t->token.id = sampler_pick(&r->pick, s->draws[worker].work, r->tokens, r->n, logits);
    if (!may_be(it, t->token.id)) /* all that may be are ruled out by the model */
        t->token.id = *it->ret_best;
    if (it->ret_lse)
        t->token.logp = (double)it->ret_logits[t->token.id] - (double)*it->ret_lse;
    if (it->ret_held_lse)
        t->token.held_logp =
            (double)it->ret_logits[t->token.id] - (double)*it->ret_held_lse;
}

static void turns_run(sched *s)
{
    int rc = ST_EBUSY;
    while (rc == ST_EBUSY && s->n_turns > 0) {
        items_fill(s);
        rc = engine_step(s->engine, s->items, s->n_turns, NULL);
        if (rc == ST_EBUSY && !room_give_way(s)) /* the pages are held elsewhere */
            break;
    }
    if (rc < 0)
        turns_part(s);
    workers_run(engine_workers(s->engine), s->n_turns, pick, s);
}

/* --- deliver */

static bool is_stop(const sched_generate *g, int32_t id)
{
    for (uint32_t i = 0; i < g->n_stop; i++)
        if (g->stop_ids[i] == id)
            return true;
    return false;
}

void req_begun(sched *s, uint32_t at)
{
    req *r = &s->reqs[at];
    const sched_prefix *p = r->ask.prefix;
    r->first_us = st_clock_us() - r->submit_us;
    prefix_tree_keep(s->tree, r->ask.key, p ? p->pin : NULL, r->s, r->tokens, false);
}

static void token_give(sched *s, uint32_t at, sched_token token)
{
    req *r = &s->reqs[at];
    const sched_generate *g = &r->ask.generate;
    token.index = r->n - r->n_prompt;
    r->n_steps++;
    if (token.index == 0)
        req_begun(s, at);
    if (is_stop(g, token.id)) {
        req_end(s, at, SCHED_END_STOP, NULL);
        return;
    }
    r->tokens[r->n++] = token.id;
    if (g->on_token && !g->on_token(r->ask.arg, &token))
        req_end(s, at, SCHED_END_STOP, NULL);
    else if (r->n == r->limit)
        req_end(s, at, SCHED_END_LENGTH, NULL);
}

static void options_take(sched *s, uint32_t at)
{
    req *r = &s->reqs[at];
    options_run_take(r->run);
    if (options_run_is_done(r->run))
        req_end(s, at, SCHED_END_DONE, NULL);
}

/* Did it run tokens that were made, as they were made? */
static bool is_making(const turn *t, const req *r)
{
    if (t->prefix || r->n == r->n_prompt)
        return false;
    return r->held ? t->gives && seq_len(r->s) - t->item.n >= r->n_prompt
                   : t->item.n == 1;
}

static void turns_deliver(sched *s)
{
    uint32_t n = s->n_turns;
    s->n_turns = 0; /* requests may end from here on */
    for (uint32_t i = 0; i < n; i++) {
        const turn *t = &s->turns[i];
        const req *r = &s->reqs[t->req];
        turn_over(s, t);
        *(is_making(t, r) ? &s->stats.tokens_decoded : &s->stats.tokens_prefilled) +=
            t->item.n;
        if (t->gives && r->held)
            held_deliver(s, t);
        else if (t->gives)
            token_give(s, t->req, t->token);
        else if (r->run && !t->prefix)
            options_take(s, t->req);
    }
}

/* Run texts [from, to) of one kind; one by one where that fails. */
static void texts_run(sched *s, uint32_t from, uint32_t to)
{
    uint32_t n = to - from, n_embd = model_about(engine_model(s->engine))->n_embd;
    st_err err = {0};
    bool embed = s->reqs[s->texts[from]].ask.kind == SCHED_EMBED;
    int rc = embed ? engine_embed(s->engine, s->text_tokens + from, s->text_n + from, n,
                                  s->vectors, &err)
                   : engine_states(s->engine, s->text_tokens + from, s->text_n + from,
                                   s->text_wants + from, n, &err);
    if (rc < 0 && n > 1) {
        for (uint32_t i = from; i < to; i++)
            texts_run(s, i, i + 1);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = s->texts[from + i];
        s->stats.tokens_prefilled += s->text_n[from + i];
        if (rc == 0 && embed)
            memcpy(s->reqs[at].ask.ret_vector, s->vectors + (size_t)i * n_embd,
                   n_embd * sizeof(float));
        req_end(s, at, rc < 0 ? SCHED_END_ERROR : SCHED_END_DONE, rc < 0 ? &err : NULL);
    }
}

/* Nobody runs and somebody waits: the pages are held outside, or by pins. */
static void stuck_end(sched *s)
{
    st_err err = {0};
    uint32_t at = flow_next(s, true);
    assert(at != NO_REQ && s->n_live == 0);
    st_err_set(&err, ST_EBUSY, "%u free pages do not hold the request",
               engine_free_pages(s->engine));
    st_err_hint(&err, "unpin prefixes, or give the engine more kv_bytes");
    req_end(s, at, SCHED_END_ERROR, &err);
}

static bool stats_show(sched *s)
{
    s->stats.live = s->n_live;
    s->stats.pages_free = engine_free_pages(s->engine);
    s->stats.pages_cached = prefix_tree_spare(s->tree);
    s->stats.retry_us = s->each_us * s->n_active;
    pthread_mutex_lock(&s->lock);
    s->shown = s->stats;
    bool left = s->n_active + s->n_inbox > 0;
    pthread_mutex_unlock(&s->lock);
    return left;
}

bool sched_step(sched *s)
{
    mail_take(s);
    deadlines_check(s);
    uint32_t n_active = s->n_active;
    if (n_active > 0) {
        plan(s);
        if (s->n_turns + s->n_texts == 0 && s->n_active == n_active) /* nobody ended */
            stuck_end(s);
        if (s->n_turns > 0)
            turns_run(s);
        turns_deliver(s);
        if (s->n_texts > 0)
            texts_run(s, 0, s->n_texts);
    }
    s->stats.steps++;
    return stats_show(s);
}
