/* grammar/schema_run_names.c - threads of objects: which names may come.
 *
 * A name may come where the object can be finished after it.  In most objects (`simple`)
 * that is so wherever its place in the order allows it, and it was not there before.
 * Else what is missing is counted: required names, the names that those there and those
 * missing need, members of a kind (exists), against how many members there may be. */
#include "grammar/schema_run_priv.h"

/* A thread's members, and one more name that it may get. */
typedef struct members {
    uint32_t count, position, exists;
    const uint32_t *seen;
    int32_t more; /* index of a listed name; -1: none */
} members;

static members members_of(const uint32_t *thread)
{
    return (members){.count = thread[NAME_COUNT],
                     .position = thread[NAME_POSITION],
                     .exists = thread[NAME_EXISTS],
                     .seen = thread + NAME_SEEN,
                     .more = -1};
}

static bool has_name(const members *m, uint32_t name)
{
    return (int32_t)name == m->more || (m->seen[name / 32] >> name % 32 & 1);
}

static goal_id label_goal(const shape_object *o, uint32_t label)
{
    int32_t name = o->labels[label].name;
    return name >= 0 ? o->names[name].goal : o->label_goal[label];
}

/* ---- can it be finished? ---- */

enum { ABSENT, PRESENT, MISSING };

/* Marks what is there and what is missing; false: something can come no more. */
static bool find_missing(const run *r, const run_plan *p, const members *m,
                         uint32_t depth, uint32_t *ret_missing)
{
    const shape_object *o = &p->shape->object;
    uint8_t *mark = r->marks;
    for (uint32_t i = 0; i < o->n_names; i++)
        mark[i] = has_name(m, i) ? PRESENT : o->names[i].required ? MISSING : ABSENT;
    for (bool again = true; again;) {
        again = false;
        for (uint32_t i = 0; i < o->n_names; i++) {
            if (mark[i] == ABSENT)
                continue;
            for (uint32_t k = 0; k < o->names[i].n_needs; k++) {
                uint32_t needed = o->names[i].needs[k];
                again = again || (mark[needed] == ABSENT && needed < i);
                if (mark[needed] == ABSENT)
                    mark[needed] = MISSING;
            }
        }
    }
    uint32_t missing = 0;
    for (uint32_t i = 0; i < o->n_names; i++) {
        if (mark[i] != MISSING)
            continue;
        if ((!r->any_order && i < m->position) || !goal_fits(r, o->names[i].goal, depth))
            return false;
        missing++;
    }
    *ret_missing = missing;
    return true;
}

static uint32_t n_marked(const run *r, const run_plan *p, uint8_t as)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->shape->object.n_names; i++)
        n += r->marks[i] == as;
    return n;
}

/* Names that are not listed and could come still. */
static uint32_t free_names(const run *r, const run_plan *p, const members *m)
{
    if (p->supply == UINT32_MAX || p->supply == 0)
        return p->supply;
    uint32_t used = m->count - n_marked(r, p, PRESENT);
    return used < p->supply ? p->supply - used : 0;
}

static bool may_get(const run *r, const run_plan *p, const members *m, uint32_t name,
                    uint32_t depth)
{
    return r->marks[name] != PRESENT && (r->any_order || name >= m->position) &&
           goal_fits(r, p->shape->object.names[name].goal, depth);
}

/* Is there a member of the kind among those missing?  Else *ret_extra, where another one
 * may be; false: there can be none. */
static bool kind_may_come(const run *r, const run_plan *p, const members *m,
                          const shape_exists *e, uint32_t depth, bool *ret_extra)
{
    const shape_object *o = &p->shape->object;
    bool extra = false;
    for (uint32_t l = 0; l < o->n_labels; l++) {
        int32_t name = o->labels[l].name;
        if (!goal_fits(r, e->with[l], depth))
            continue;
        if (name >= 0 && r->marks[name] == MISSING)
            return true;
        extra = extra || (name >= 0 ? may_get(r, p, m, (uint32_t)name, depth)
                                    : free_names(r, p, m) > 0);
    }
    *ret_extra = true;
    return extra;
}

static bool can_finish(const run *r, const run_plan *p, const members *m, uint32_t depth)
{
    const shape_object *o = &p->shape->object;
    uint32_t missing;
    if (p->simple)
        return true;
    if (!find_missing(r, p, m, depth, &missing))
        return false;
    bool extra = false;
    for (uint32_t k = 0; k < o->n_exists; k++)
        if (!(m->exists >> k & 1) &&
            !kind_may_come(r, p, m, &o->exists[k], depth, &extra))
            return false;
    if (o->max != UINT32_MAX && (uint64_t)m->count + missing + extra > o->max)
        return false;
    if (m->count >= p->min)
        return true;
    uint64_t most = (uint64_t)m->count + free_names(r, p, m);
    for (uint32_t i = 0; i < o->n_names; i++)
        most += may_get(r, p, m, i, depth);
    return most >= p->min;
}

/* Also when the member that was just named must be of a kind: *ret_kind. */
static bool can_finish_with(const run *r, const run_plan *p, members *m, uint32_t label,
                            uint32_t depth, goal_id *ret_kind)
{
    const shape_object *o = &p->shape->object;
    if (can_finish(r, p, m, depth))
        return true;
    uint32_t exists = m->exists;
    for (uint32_t k = 0; k < o->n_exists; k++) {
        goal_id with = o->exists[k].with[label];
        m->exists = exists | 1u << k;
        if (m->exists == exists || !goal_fits(r, with, depth))
            continue;
        if (can_finish(r, p, m, depth)) {
            *ret_kind = with;
            return true;
        }
    }
    m->exists = exists;
    return false;
}

/* ---- names ---- */

/* The members with the name of that label. */
static bool add_name(const run *r, const run_plan *p, uint32_t label, members *m)
{
    const shape_object *o = &p->shape->object;
    int32_t name = o->labels[label].name;
    uint32_t required = p->nearest[m->position];
    if (!r->any_order &&
        (name >= 0 ? (uint32_t)name < m->position || (uint32_t)name > required
                   : required < o->n_names))
        return false;
    if (r->any_order && name >= 0 && has_name(m, (uint32_t)name))
        return false;
    m->more = name;
    m->count += m->count < p->count_cap;
    if (!r->any_order)
        m->position = name >= 0 ? (uint32_t)name + 1 : o->n_names;
    return true;
}

static bool allowed(const run *r, const run_plan *p, const uint32_t *thread,
                    uint32_t label, uint32_t depth)
{
    members m = members_of(thread);
    goal_id kind;
    if (!goal_fits(r, label_goal(&p->shape->object, label), depth) ||
        !add_name(r, p, label, &m))
        return false;
    if (p->simple)
        return true;
    if (m.more < 0 && p->supply != UINT32_MAX) {
        uint32_t listed = 0;
        for (uint32_t i = 0; i < p->n_seen; i++)
            listed += (uint32_t)__builtin_popcount(thread[NAME_SEEN + i]);
        if (m.count - listed > p->supply)
            return false;
    }
    return can_finish_with(r, p, &m, label, depth, &kind);
}

static bool any_ahead(const run *r, const run_plan *p, const uint32_t *thread,
                      uint32_t at, uint32_t depth)
{
    const shape_object *o = &p->shape->object;
    uint32_t words = (o->n_labels + 63) / 64;
    const uint64_t *ahead = o->label_ahead + (size_t)at * words;
    for (uint32_t w = 0; w < words; w++)
        for (uint64_t bits = ahead[w]; bits; bits &= bits - 1)
            if (allowed(r, p, thread, w * 64 + (uint32_t)__builtin_ctzll(bits), depth))
                return true;
    return false;
}

bool names_may_more(const run *r, const run_plan *p, const uint32_t *thread,
                    uint32_t depth)
{
    uint32_t start = p->shape->object.keys->start;
    return start != DFA_DEAD && any_ahead(r, p, thread, start, depth);
}

bool names_may_end(const run *r, const run_plan *p, const uint32_t *thread)
{
    const shape_object *o = &p->shape->object;
    members m = members_of(thread);
    if (m.count < p->min || m.exists + 1 != 1u << o->n_exists)
        return false;
    if (!r->any_order && p->nearest[m.position] < o->n_names)
        return false;
    if (p->n_seen == 0)
        return true;
    uint32_t missing;
    if (!p->simple)
        return find_missing(r, p, &m, 0, &missing) && missing == 0;
    for (uint32_t i = p->nearest[0]; i < o->n_names; i = p->nearest[i + 1])
        if (!has_name(&m, i))
            return false;
    return true;
}

uint32_t names_step(const run *r, const run_plan *p, const uint32_t *thread, uint8_t byte,
                    uint32_t depth)
{
    uint32_t at = dfa_step(p->shape->object.keys, thread[NAME_AT], byte);
    return at != DFA_DEAD && any_ahead(r, p, thread, at, depth) ? at : DFA_DEAD;
}

bool names_keyed(const run *r, const run_plan *p, uint32_t *thread, uint32_t depth)
{
    const shape_object *o = &p->shape->object;
    uint32_t label = o->keys->label[thread[NAME_AT]];
    if (label == 0 || !allowed(r, p, thread, --label, depth))
        return false;
    members m = members_of(thread);
    if (!add_name(r, p, label, &m))
        return false;
    thread[NAME_AT] = label;
    thread[NAME_COUNT] = m.count;
    thread[NAME_POSITION] = m.position;
    if (m.more >= 0 && p->n_seen)
        thread[NAME_SEEN + m.more / 32] |= 1u << m.more % 32;
    return true;
}

goal_id names_goal(const run *r, const run_plan *p, const uint32_t *thread,
                   uint32_t depth)
{
    goal_id goal = label_goal(&p->shape->object, thread[NAME_AT]);
    members m = members_of(thread);
    if (p->shape->object.n_exists)
        (void)can_finish_with(r, p, &m, thread[NAME_AT], depth, &goal);
    return goal;
}

void names_counted(run *r, const run_plan *p, const uint32_t *thread, uint32_t depth)
{
    const shape_object *o = &p->shape->object;
    for (uint32_t k = 0; k < o->n_exists; k++) {
        goal_id with = o->exists[k].with[thread[NAME_AT]];
        if (!(thread[NAME_EXISTS] >> k & 1) && goal_fits(r, with, depth))
            run_ask(r, with | COUNTED);
    }
}

bool names_ended(const run *r, const run_plan *p, uint32_t *thread, uint32_t depth)
{
    const shape_object *o = &p->shape->object;
    for (uint32_t k = 0; k < o->n_exists; k++) {
        goal_id with = o->exists[k].with[thread[NAME_AT]];
        if (with != GOAL_NONE && r->stamp[with] == r->now)
            thread[NAME_EXISTS] |= 1u << k;
    }
    thread[NAME_AT] = 0;
    members m = members_of(thread);
    return o->n_exists == 0 || can_finish(r, p, &m, depth);
}

bool names_open(const run *r, const run_plan *p, const uint32_t *thread, uint32_t depth)
{
    return p->open && p->open[thread[NAME_AT]] >= DFA_ENDLESS &&
           allowed(r, p, thread, p->free_label, depth);
}

bool names_loop(const run *r, const run_plan *p, const uint32_t *thread, uint32_t depth)
{
    return names_open(r, p, thread, depth) && p->open[thread[NAME_AT]] == DFA_LOOPS;
}

bool names_unlisted(const run_plan *p, const uint32_t *thread)
{
    return p->shape->object.labels[thread[NAME_AT]].name < 0;
}

uint32_t names_place(const run_plan *p, const char *name, size_t len)
{
    const shape_object *o = &p->shape->object;
    uint32_t label = o->keys->label[dfa_run(o->keys, o->keys->start, name, len)];
    int32_t at = label ? o->labels[label - 1].name : -1;
    return at < 0 ? UINT32_MAX : (uint32_t)at;
}
