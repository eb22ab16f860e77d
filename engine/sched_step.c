/* engine/sched_step.c - one step: mail, plan, run, deliver.
 *
 * The plan: one token of every request that is making text, of held text some; then, by
 * flow_next, prompts as long as the step has room for tokens.  That room is what the
 * pace says (sched_pace.c), beside text that is being made at most prefill_chunk.  When
 * somebody finds no room to get in, nobody else enters in that step: a large request is
 * not overtaken for ever. */
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
    text_plan(s, at);
    return s->text_n[s->n_texts - 1];
}

/* Tokens that held text being made may take of a step. */
static uint32_t held_share(const sched *s)
{
    uint32_t batch = engine_max_batch(s->engine) - 1, pace = pace_room(s, 0);
    uint32_t most = batch < pace ? batch : pace;
    uint32_t share = s->n_live > 0 ? most / s->n_live : most;
    share = share < s->prefill_chunk ? share : s->prefill_chunk;
    return share > 0 ? share : 1;
}

/* Returns the tokens of text being made; in *ret_more those beyond one for each. */
static uint32_t plan_made(sched *s, uint32_t *ret_more)
{
    uint32_t n = 0, share = held_share(s);
    *ret_more = 0;
    for (uint32_t i = 0; i < s->n_live;) {
        uint32_t at = s->live[i];
        const req *r = &s->reqs[at];
        uint32_t most = r->held ? share : 1;
        if (r->in_turn || r->n == r->n_prompt || req_left(r) > most) {
            i++;
            continue;
        }
        uint32_t took = plan_live(s, at, most);
        n += took;
        *ret_more += took > 1 ? took - 1 : 0;
        i = 0; /* who gave way left the list */
    }
    return n;
}

/* Has a request that was planned ended meanwhile?  Then its place may be another's. */
static bool is_over(sched *s, uint32_t at, sched_id id)
{
    pthread_mutex_lock(&s->lock);
    bool over = s->ids[at] != id;
    pthread_mutex_unlock(&s->lock);
    return over;
}

/* Bulk's turn came to a request and no other of bulk is live: it keeps its place or,
 * where it found no room, is the next to enter. */
static void bulk_see(sched *s, uint32_t at, bool full)
{
    const req *r = &s->reqs[at];
    bool is_here = r->s || (full && r->is_waiting);
    if (s->bulk_turn && s->bulk_in == NO_REQ && r->ask.class == SCHED_BULK && is_here)
        s->bulk_in = at;
    else if (s->bulk_in == at && !is_here)
        s->bulk_in = NO_REQ;
}

/* In bulk's turn the oldest of bulk that is live keeps its place. */
static void bulk_turn_begin(sched *s)
{
    s->bulk_turn = s->stats.steps % BULK_EVERY == BULK_EVERY - 1;
    if (s->bulk_in != NO_REQ && s->reqs[s->bulk_in].is_waiting)
        s->bulk_in = s->flows[s->reqs[s->bulk_in].flow].first; /* or one before it */
    if (!s->bulk_turn || s->bulk_in != NO_REQ)
        return;
    for (uint32_t i = 0; i < s->n_live; i++) {
        const req *r = &s->reqs[s->live[i]];
        bool older = s->bulk_in == NO_REQ || r->id < s->reqs[s->bulk_in].id;
        if (r->ask.class == SCHED_BULK && older)
            s->bulk_in = s->live[i];
    }
}

static void plan_begin(sched *s)
{
    s->n_turns = s->n_texts = s->reserved = s->other_pages = 0;
    for (uint32_t i = 0; i < s->n_flows; i++)
        s->flows[i].held = false;
    bulk_turn_begin(s);
}

/* Returns the tokens beside one for each text being made. */
static uint32_t plan(sched *s)
{
    bool full = false;
    uint32_t more;
    plan_begin(s);
    uint32_t made = plan_made(s, &more), batch = engine_max_batch(s->engine) - made;
    uint32_t room = made > 0 && s->prefill_chunk < batch ? s->prefill_chunk : batch;
    uint32_t pace = pace_room(s, more);
    room = pace < room ? pace : room;
    while (room > 0) {
        uint32_t at = flow_next(s, !full);
        if (at == NO_REQ)
            break;
        sched_id id = s->reqs[at].id;
        bool is_live = s->reqs[at].s;
        uint32_t n = is_live ? plan_live(s, at, room) : plan_waiting(s, at, room, &full);
        if (!is_over(s, at, id))
            bulk_see(s, at, full);
        full = full || (is_live && n == 0); /* who gave way does not come back at once */
        more += n;
        room -= n < room ? n : room;
    }
    return more;
}

/* --- run */

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
    tokens_pick(s);
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

static void token_give(sched *s, const turn *t)
{
    uint32_t at = t->req;
    req *r = &s->reqs[at];
    const sched_generate *g = &r->ask.generate;
    sched_token token = t->token;
    tops_give(s, t, 0, &token);
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
            token_give(s, t);
        else if (r->run && !t->prefix)
            options_take(s, t->req);
    }
}

/* Nobody runs and somebody waits: the pages are held outside, or by pins. */
static void stuck_end(sched *s)
{
    st_err err = {0};
    for (uint32_t i = 0; i < s->n_flows; i++)
        s->flows[i].held = false;
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
    s->stats.pages = engine_pages(s->engine);
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
        uint64_t begin = st_clock_us();
        uint32_t n = plan(s);
        if (s->n_turns + s->n_texts == 0 && s->n_active == n_active) /* nobody ended */
            stuck_end(s);
        if (s->n_turns > 0)
            turns_run(s);
        turns_deliver(s);
        if (s->n_texts > 0)
            texts_run(s, 0, s->n_texts);
        pace_learn(s, n, st_clock_us() - begin);
    }
    s->stats.steps++;
    return stats_show(s);
}
