/* engine/sched_flow.c - requests of one key and class, and which one comes next.
 *
 * Start-time fair queueing (Goyal, Vin, Cheng 1996) over tokens: the flow that was served
 * least is served next.  A flow that comes alive starts where its class stands, so that
 * nobody saves up; one that went idle keeps what it was charged, so that nobody gains by
 * leaving. */
#include "engine/sched_core.h"

#include <assert.h>

static uint32_t flow_find(sched *s, uint64_t key, sched_class class)
{
    uint32_t spare = s->n_flows;
    for (uint32_t i = 0; i < s->n_flows; i++) {
        const flow *f = &s->flows[i];
        if (f->key == key && f->class == class)
            return i;
        if (f->n_reqs == 0 && (spare == s->n_flows || f->served < s->flows[spare].served))
            spare = i;
    }
    if (s->n_flows < s->max_requests)
        spare = s->n_flows++;
    assert(spare < s->max_requests); /* there are as many flows as requests */
    s->flows[spare] = (flow){.key = key, .class = class, .first = NO_REQ, .last = NO_REQ};
    return spare;
}

void flow_enter(sched *s, uint32_t at)
{
    req *r = &s->reqs[at];
    r->flow = flow_find(s, r->ask.key, r->ask.class);
    flow *f = &s->flows[r->flow];
    if (f->n_reqs++ == 0 && f->served < s->clock[f->class])
        f->served = s->clock[f->class];
    s->n_active++;
    s->deadlines[at] = r->ask.deadline_us;
    flow_wait(s, at);
}

void flow_leave(sched *s, uint32_t at)
{
    s->flows[s->reqs[at].flow].n_reqs--;
    s->n_active--;
}

void flow_wait(sched *s, uint32_t at)
{
    req *r = &s->reqs[at];
    flow *f = &s->flows[r->flow];
    uint32_t *link = &f->first;
    if (f->first != NO_REQ && s->reqs[f->last].id < r->id)
        link = &s->reqs[f->last].next;
    while (*link != NO_REQ && s->reqs[*link].id < r->id)
        link = &s->reqs[*link].next;
    r->next = *link;
    *link = at;
    if (r->next == NO_REQ)
        f->last = at;
    r->is_waiting = true;
    s->stats.waiting++;
}

void flow_unwait(sched *s, uint32_t at)
{
    flow *f = &s->flows[s->reqs[at].flow];
    uint32_t *link = &f->first, before = NO_REQ;
    for (; *link != at; link = &s->reqs[*link].next)
        before = *link;
    *link = s->reqs[at].next;
    if (f->last == at)
        f->last = before;
    s->reqs[at].is_waiting = false;
    s->stats.waiting--;
}

void flow_charge(sched *s, uint32_t at, uint32_t n_tokens)
{
    flow *f = &s->flows[s->reqs[at].flow];
    if (s->clock[f->class] < f->served)
        s->clock[f->class] = f->served;
    f->served += n_tokens;
}

static bool comes_before(const sched *s, uint32_t a, uint32_t b)
{
    if (b == NO_REQ)
        return true;
    const flow *x = &s->flows[s->reqs[a].flow], *y = &s->flows[s->reqs[b].flow];
    if (x->class != y->class)
        return (x->class < y->class) != s->bulk_turn;
    return x->served != y->served ? x->served < y->served : s->reqs[a].id < s->reqs[b].id;
}

/* May the first of a flow enter?  Not past the one of bulk that waits for room. */
static bool may_come(const sched *s, uint32_t at)
{
    const req *in = s->bulk_in == NO_REQ ? NULL : &s->reqs[s->bulk_in];
    const flow *f = &s->flows[at];
    return f->first != NO_REQ && !f->held && (!in || !in->is_waiting || in->flow == at);
}

uint32_t flow_next(const sched *s, bool may_enter)
{
    uint32_t next = NO_REQ;
    for (uint32_t i = 0; i < s->n_live; i++)
        if (!s->reqs[s->live[i]].in_turn && comes_before(s, s->live[i], next))
            next = s->live[i];
    for (uint32_t i = 0; may_enter && i < s->n_flows; i++) {
        if (may_come(s, i) && comes_before(s, s->flows[i].first, next))
            next = s->flows[i].first;
    }
    return next;
}
