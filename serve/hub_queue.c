/* serve/hub_queue.c - who waits for a task's answer, and who comes first. */
#include "serve/hub_desk.h"

#include "base/mem.h"

static void count(hub_desk *d, desk_flow *f, int by)
{
    f->n += (uint32_t)by;
    d->turn.n_waiting += (uint32_t)by;
    d->use->hub->n_asks += (uint32_t)by;
}

static desk_flow *flow_find(const hub_desk *d, uint64_t key, sched_class class)
{
    desk_flow *f = d->flows;
    while (f && (f->key != key || f->class != class))
        f = f->next;
    return f;
}

static desk_flow *flow_add(hub_desk *d, desk_flow *f, const hub_ask *ask)
{
    *f = (desk_flow){.next = d->flows,
                     .key = ask->key,
                     .class = ask->class,
                     .served = d->clock[ask->class]};
    f->last = &f->first;
    d->flows = f;
    return f;
}

void desk_enter(hub_desk *d, desk_wait *w, desk_flow *flow)
{
    desk_flow *f = flow_find(d, w->ask.key, w->ask.class);
    if (f)
        st_free(flow);
    else
        f = flow_add(d, flow, &w->ask);
    if (!f->first && f->served < d->clock[f->class])
        f->served = d->clock[f->class]; /* nothing is saved up */
    w->next = NULL;
    *f->last = w;
    f->last = &w->next;
    count(d, f, 1);
}

void desk_return(hub_desk *d, desk_wait *w)
{
    desk_flow *f = flow_find(d, w->ask.key, w->ask.class);
    w->next = f->first;
    f->first = w;
    if (!w->next)
        f->last = &w->next;
    f->served--;
    count(d, f, 1);
}

static void take_out(hub_desk *d, desk_flow *f, desk_wait **at)
{
    desk_wait *w = *at;
    *at = w->next;
    if (!*at)
        f->last = at;
    w->next = NULL;
    count(d, f, -1);
}

static bool comes_before(const desk_flow *a, const desk_flow *b)
{
    if (a->class != b->class)
        return a->class == SCHED_INTERACTIVE;
    if (a->served != b->served)
        return a->served < b->served;
    return a->first->id < b->first->id;
}

desk_wait *desk_next(hub_desk *d)
{
    desk_flow *best = NULL;
    for (desk_flow *f = d->flows; f; f = f->next)
        if (f->first && (!best || comes_before(f, best)))
            best = f;
    if (!best)
        return NULL;
    desk_wait *w = best->first;
    take_out(d, best, &best->first);
    if (d->clock[best->class] < best->served)
        d->clock[best->class] = best->served;
    best->served++;
    return w;
}

desk_wait *desk_expired(hub_desk *d, uint64_t now)
{
    desk_wait *over = NULL;
    for (desk_flow *f = d->flows; f; f = f->next)
        for (desk_wait **at = &f->first; *at;) {
            desk_wait *w = *at;
            bool late = w->ask.deadline_us != 0 && w->ask.deadline_us <= now;
            w->cancelled = w->cancelled || d->use->hub->stopping;
            if (!w->cancelled && !late) {
                at = &w->next;
                continue;
            }
            take_out(d, f, at);
            w->next = over;
            over = w;
        }
    return over;
}

desk_wait *desk_find(const hub_desk *d, uint64_t id)
{
    for (const desk_flow *f = d->flows; f; f = f->next)
        for (desk_wait *w = f->first; w; w = w->next)
            if (w->id == id)
                return w;
    desk_wait *w = d->started;
    while (w && w->id != id)
        w = w->next;
    return w;
}

uint32_t desk_held(const hub_desk *d, uint64_t key)
{
    uint32_t n = 0;
    for (const desk_flow *f = d->flows; f; f = f->next)
        n += f->key == key ? f->n : 0;
    return n;
}

void desk_flows_free(hub_desk *d)
{
    for (desk_flow **at = &d->flows; *at;) {
        desk_flow *f = *at;
        if (f->first) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        st_free(f);
    }
}
