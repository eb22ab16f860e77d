/* grammar/schema_run_value.c - where a value held to a schema begins and ends.
 *
 * Its first byte makes a frame with a thread for every shape of that type of every goal
 * asked for; at its end the goals of the threads that accept are stamped, and the frame
 * around goes on with the threads whose goal is among them. */
#include "grammar/schema_run_priv.h"

#include <string.h>

/* ---- the frame being made ---- */

void run_begin(run *r, uint32_t parent, place p, uint32_t depth, uint32_t flags)
{
    r->next[FRAME_PARENT] = parent;
    r->next[FRAME_HEAD] = frame_head(p, depth, flags);
    r->next[FRAME_ESCAPE] = 0;
    r->n = FRAME_THREADS;
}

/* The same value at another place. */
void run_begin_at(run *r, const uint32_t *f, place p)
{
    run_begin(r, f[FRAME_PARENT], p, frame_depth(f), 0);
}

uint32_t *run_copy(run *r, const uint32_t *thread, const run_plan *p)
{
    uint32_t *copy = r->next + r->n;
    memcpy(copy, thread, p->words * sizeof *copy);
    return copy;
}

bool run_alive(const run *r)
{
    return r->n > FRAME_THREADS && !(r->next[FRAME_THREADS + THREAD_PLAN] & COUNTED);
}

/* ---- goals ---- */

void run_ask(run *r, uint32_t goal)
{
    uint32_t at = r->n_asked;
    while (at > 0 && r->asked[at - 1] > goal)
        at--;
    if (at > 0 && r->asked[at - 1] == goal)
        return;
    memmove(r->asked + at + 1, r->asked + at, (r->n_asked - at) * sizeof *r->asked);
    r->asked[at] = goal;
    r->n_asked++;
}

/* What the value at this place must be, or may be counted as; *ret_unique: there must be
 * no other like it. */
static void ask(run *r, const uint32_t *f, uint32_t n, bool *ret_unique)
{
    uint32_t depth = frame_depth(f);
    *ret_unique = false;
    r->n_asked = 0;
    if (frame_place(f) == ROOT_VALUE)
        run_ask(r, schema_root(r->s));
    FOR_THREADS(r, f, n, t, p)
    {
        bool array = p->shape->type == JSON_ARRAY;
        goal_id goal = array ? items_goal(r, p, t, depth) : names_goal(r, p, t, depth);
        if (goal == GOAL_NONE)
            continue;
        run_ask(r, goal);
        *ret_unique = *ret_unique || (array && p->shape->array.unique);
        if (array)
            items_counted(r, p, t, depth);
        else
            names_counted(r, p, t, depth);
    }
}

void run_satisfy(run *r, const run_plan *p)
{
    r->stamp[p->goal] = r->now;
}

/* ---- a value ends ---- */

void run_none_satisfied(run *r)
{
    if (++r->now == 0) {
        memset(r->stamp, 0, r->n_goals * sizeof *r->stamp);
        r->now = 1;
    }
}

/* The frame around, after the value: threads live whose goal is satisfied. */
bool run_after_value(run *r, uint32_t parent, uint32_t flags)
{
    uint32_t n;
    const uint32_t *f = run_frame(r, parent, &n);
    uint32_t depth = frame_depth(f);
    if (frame_place(f) == ROOT_VALUE) {
        run_begin(r, 0, ROOT_DONE, 0, flags);
        return r->stamp[schema_root(r->s)] == r->now;
    }
    bool array = frame_place(f) == ARRAY_VALUE;
    bool unique = false;
    run_begin_at(r, f, array ? ARRAY_AFTER : OBJECT_AFTER);
    FOR_THREADS(r, f, n, t, p)
    {
        goal_id goal = array ? items_goal(r, p, t, depth) : names_goal(r, p, t, depth);
        if (goal == GOAL_NONE || r->stamp[goal] != r->now)
            continue;
        uint32_t *copy = run_copy(r, t, p);
        if (!(array ? items_ended(r, p, copy) : names_ended(r, p, copy, depth)))
            continue;
        r->n += p->words;
        unique = unique || (array && p->shape->array.unique);
    }
    r->next[FRAME_HEAD] |= frame_head(0, 0, flags | (unique ? FLAG_ITEM : 0));
    return run_alive(r);
}

bool run_close(run *r, const uint32_t *f, uint32_t n, uint32_t flags)
{
    run_none_satisfied(r);
    FOR_THREADS(r, f, n, t, p)
    {
        if (p->shape->type == JSON_ARRAY ? items_may_end(p, t) : names_may_end(r, p, t))
            run_satisfy(r, p);
    }
    return run_after_value(r, f[FRAME_PARENT], flags);
}

/* ---- a value begins ---- */

static bool type_of(uint8_t byte, json_type *ret)
{
    switch (byte) {
    case '"':
        *ret = JSON_STRING;
        return true;
    case '[':
        *ret = JSON_ARRAY;
        return true;
    case '{':
        *ret = JSON_OBJECT;
        return true;
    case 't':
        *ret = JSON_TRUE;
        return true;
    case 'f':
        *ret = JSON_FALSE;
        return true;
    case 'n':
        *ret = JSON_NULL;
        return true;
    default:
        *ret = JSON_NUMBER;
        return byte == '-' || (byte >= '0' && byte <= '9');
    }
}

number_state run_number(const uint32_t *thread)
{
    number_state s;
    memcpy(&s, thread + NUMBER_STATE, sizeof s);
    return s;
}

/* The first words of a thread; false: nothing of this shape begins so. */
static bool begin_thread(const run_plan *p, uint8_t byte, uint32_t depth, uint32_t how,
                         uint32_t *t)
{
    memset(t, 0, p->words * sizeof *t);
    if (p->shape->type == JSON_STRING) {
        text_state s = text_start(&p->shape->string);
        t[TEXT_AT] = s.at;
        t[TEXT_N] = s.n;
        return s.at != DFA_DEAD;
    }
    if (p->shape->type == JSON_NUMBER) {
        const number_rule *rule = &p->shape->number;
        number_state s = number_step(rule, number_start(rule, how), byte);
        memcpy(t + NUMBER_STATE, &s, sizeof s);
        return !number_dead(s);
    }
    return p->depth <= SCHEMA_DEPTH && p->depth + depth <= SCHEMA_DEPTH;
}

static bool begin_value(run *r, uint32_t parent, uint32_t depth, bool unique,
                        uint8_t byte)
{
    static const uint8_t places[] = {
        [JSON_NULL] = LITERAL,      [JSON_FALSE] = LITERAL, [JSON_TRUE] = LITERAL,
        [JSON_NUMBER] = NUMBER,     [JSON_STRING] = STRING, [JSON_ARRAY] = ARRAY_OPEN,
        [JSON_OBJECT] = OBJECT_OPEN};
    json_type type;
    if (!type_of(byte, &type))
        return false;
    bool inside = type == JSON_ARRAY || type == JSON_OBJECT;
    run_begin(r, parent, (place)places[type], depth + inside,
              unique && !inside ? FLAG_UNIQUE : 0);
    if (places[type] == LITERAL)
        r->next[FRAME_ESCAPE] = (uint32_t)byte << 8 | 1;
    bool counts = r->n_asked > 0 && (r->asked[r->n_asked - 1] & COUNTED);
    for (uint32_t k = 0; k < r->n_asked; k++) {
        uint32_t counted = r->asked[k] & COUNTED;
        goal_id goal = r->asked[k] ^ counted;
        uint32_t how = counted ? NUMBER_LOOSE : counts ? NUMBER_PLAIN : 0;
        for (uint32_t i = r->first[goal]; i < r->first[goal + 1]; i++) {
            const run_plan *p = &r->plans[i];
            uint32_t *t = r->next + r->n;
            if (p->shape->type != type || !begin_thread(p, byte, depth, how, t))
                continue;
            t[THREAD_PLAN] = i | counted;
            r->n += p->words;
        }
    }
    run_flag_few(r);
    return run_alive(r);
}

/* The value's frame; its parent is the frame at its plain ..VALUE place. */
int run_begin_value(run *r, state_id s, place at, uint8_t byte, bool *ret_alive,
                    st_err *err)
{
    uint32_t n;
    const uint32_t *f = run_frame(r, s, &n);
    uint32_t head = frame_head(at, frame_depth(f), 0);
    bool unique;
    ask(r, f, n, &unique);
    if (f[FRAME_HEAD] != head) {
        memcpy(r->next, f, n * sizeof *f);
        r->next[FRAME_HEAD] = head;
        int rc = intern_put(&r->states, r->next, n * sizeof *r->next, &s, err);
        if (rc < 0)
            return rc;
    }
    *ret_alive = begin_value(r, s, head >> 8 & 255, unique, byte);
    return 0;
}
