/* engine/sched_room.c - places and pages: who gets in, who gives way.
 *
 * Pages are found in this order: free ones, kept text that nobody uses, those of the live
 * request that stands last.  To get in, a request may push out only those that will stand
 * behind it: a lower class, or a flow that has at least two live requests more.  So a
 * push is never answered by a push back. */
#include "engine/sched_core.h"

#include "base/clock.h"
#include <assert.h>

/* Pages that n tokens after the first `end` of a sequence take. */
static uint32_t pages_after(const seq *s, uint32_t end, uint32_t n)
{
    uint32_t held = kv_pages_for(end) < s->n_pages ? kv_pages_for(end) : s->n_pages;
    bool copy = n > 0 && end % KV_PAGE_TOKENS != 0 &&
                (s->kept_tail != KV_NO_PAGE || /* the copy may be given back first */
                 kvpool_holders(s->engine->pool, s->pages[end / KV_PAGE_TOKENS]) > 1);
    return kv_pages_for(end + n) - held + copy;
}

static uint32_t item_pages(const step_item *it)
{
    return pages_after(it->s, it->s->len + it->n_tree, it->n);
}

/* All that a live request may yet take, but for text it has not made. */
static uint32_t pages_left(const req *r)
{
    return pages_after(r->s, r->s->len, req_left(r) + r->n_nodes);
}

static uint32_t rank_of(const sched *s, const req *r)
{
    uint32_t rank = 0;
    for (uint32_t i = 0; i < s->n_live; i++) {
        const req *other = &s->reqs[s->live[i]];
        rank += other->flow == r->flow && other->id < r->id;
    }
    return rank;
}

/* The live request that stands last, or NO_REQ; with its rank. */
static uint32_t last_standing(const sched *s, uint32_t *ret_rank)
{
    uint32_t last = NO_REQ, last_rank = 0;
    for (uint32_t i = 0; i < s->n_live; i++) {
        const req *r = &s->reqs[s->live[i]];
        if (s->live[i] == s->bulk_in && s->n_live > 1)
            continue;
        const req *than = last == NO_REQ ? NULL : &s->reqs[last];
        uint32_t rank = rank_of(s, r);
        bool behind = !than || r->ask.class > than->ask.class;
        if (than && r->ask.class == than->ask.class)
            behind = rank != last_rank ? rank > last_rank : r->id > than->id;
        if (behind) {
            last = s->live[i];
            last_rank = rank;
        }
    }
    *ret_rank = last_rank;
    return last;
}

static void turn_remove(sched *s, uint32_t at)
{
    for (uint32_t i = 0; i < s->n_turns; i++)
        if (s->turns[i].req == at && !s->turns[i].prefix) {
            s->reserved -= s->turns[i].pages;
            s->turns[i] = s->turns[--s->n_turns];
            break;
        }
    s->reqs[at].in_turn = false;
}

void room_leave(sched *s, uint32_t at)
{
    req *r = &s->reqs[at];
    sched_prefix *p = r->ask.prefix;
    turn_remove(s, at);
    seq_tree_drop(r->s);
    prefix_tree_keep(s->tree, r->ask.key, p ? p->pin : NULL, r->s, r->tokens, true);
    seq_free(r->s);
    r->s = NULL;
    s->flows[r->flow].n_live--;
    for (uint32_t i = 0; i < s->n_live; i++)
        if (s->live[i] == at) {
            s->live[i] = s->live[--s->n_live];
            break;
        }
}

static void preempt(sched *s, uint32_t at)
{
    room_leave(s, at);
    flow_wait(s, at);
    s->reqs[at].n_preempted++;
    s->stats.preemptions++;
}

bool room_give_way(sched *s)
{
    uint32_t rank, last = last_standing(s, &rank);
    if (last != NO_REQ)
        preempt(s, last);
    return last != NO_REQ;
}

/* Push out the live request that stands last if it would stand behind r. */
static bool push_out(sched *s, const req *r)
{
    uint32_t rank, last = last_standing(s, &rank);
    if (last == NO_REQ || last == s->bulk_in)
        return false;
    const req *other = &s->reqs[last];
    if (other->ask.class < r->ask.class ||
        (other->ask.class == r->ask.class && rank <= s->flows[r->flow].n_live))
        return false;
    preempt(s, last);
    return true;
}

/* Reserve n free pages; takes nobody's place. */
static bool pages_reserve(sched *s, uint32_t n)
{
    uint32_t free = engine_free_pages(s->engine);
    if (free < s->reserved + n)
        prefix_tree_evict(s->tree, s->reserved + n - free);
    if (engine_free_pages(s->engine) < s->reserved + n)
        return false;
    s->reserved += n;
    return true;
}

/* Pages that the live requests will take for what they have to run. */
static uint64_t pages_owed(const sched *s)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < s->n_live; i++)
        n += pages_left(&s->reqs[s->live[i]]);
    return n;
}

static bool pages_suffice(const sched *s, const req *r)
{
    uint64_t has = (uint64_t)engine_free_pages(s->engine) + prefix_tree_spare(s->tree);
    return has >= s->other_pages + pages_owed(s) + pages_left(r);
}

static void sequence_fill(sched *s, req *r)
{
    const sched_prefix *p = r->ask.prefix;
    int rc = seq_set_adapter(r->s, r->ask.adapter, NULL); /* it is empty */
    assert(rc == 0);
    (void)rc;
    prefix_tree_attach(s->tree, r->ask.key, p ? p->pin : NULL, r->s, r->tokens, r->n);
}

static bool sequence_get(sched *s, req *r)
{
    while (s->n_live == s->max_live || seq_new(s->engine, &r->s, NULL) < 0)
        if (!push_out(s, r))
            return false;
    sequence_fill(s, r);
    /* a page that is shared in part is held twice for a while */
    if (!pages_suffice(s, r))
        seq_truncate(r->s, r->s->len - r->s->len % KV_PAGE_TOKENS);
    while (!pages_suffice(s, r)) {
        if (!push_out(s, r)) {
            seq_free(r->s);
            r->s = NULL;
            return false;
        }
    }
    return true;
}

bool room_admit(sched *s, uint32_t at)
{
    req *r = &s->reqs[at];
    if (!sequence_get(s, r))
        return false;
    flow_unwait(s, at);
    s->flows[r->flow].n_live++;
    s->live[s->n_live++] = at;
    if (!r->was_live) {
        r->was_live = true;
        r->queued_us = st_clock_us() - r->submit_us;
        r->n_cached = seq_len(r->s);
        r->most_run = r->n_cached;
        s->stats.tokens_cached += r->n_cached;
    }
    return true;
}

static void turn_add(sched *s, uint32_t at, const step_item *item, sched_prefix *prefix)
{
    const req *r = &s->reqs[at];
    bool gives = !prefix && r->ask.kind == SCHED_GENERATE && item->n >= req_left(r);
    s->turns[s->n_turns++] = (turn){
        .req = at,
        .prefix = prefix,
        .item = *item,
        .pages = item_pages(item),
        .last = item->n - 1,
        .gives = gives,
    };
}

bool room_turn(sched *s, uint32_t at, const step_item *item)
{
    req *r = &s->reqs[at];
    while (!pages_reserve(s, item_pages(item))) {
        room_give_way(s);
        if (!r->s)
            return false;
    }
    r->in_turn = true;
    turn_add(s, at, item, NULL);
    return true;
}

/* Pages for what is no live request's, as if the one that asks came live with them. */
static bool others_reserve(sched *s, const req *r, uint32_t n)
{
    while (!pages_reserve(s, n))
        if (!push_out(s, r))
            return false;
    s->other_pages += n;
    return true;
}

bool room_prefix(sched *s, uint32_t at, uint32_t n)
{
    sched_prefix *p = s->reqs[at].ask.prefix;
    const step_item item = chain_item(p->pin->s, p->pin->tokens, n);
    if (s->n_turns == s->max_turns || !others_reserve(s, &s->reqs[at], item_pages(&item)))
        return false;
    p->in_turn = true;
    turn_add(s, at, &item, p);
    return true;
}

bool room_text(sched *s, uint32_t at)
{
    const req *r = &s->reqs[at];
    uint32_t shared = r->ask.prefix ? r->ask.prefix->pin->n / KV_PAGE_TOKENS : 0;
    return others_reserve(s, r, kv_pages_for(r->n) - shared);
}
