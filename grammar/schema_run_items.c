/* grammar/schema_run_items.c - threads of arrays: how many items, and how many of them
 * are of a kind (contains).
 *
 * Whether an item is of the kind is asked for beside what it must be.  Where the items
 * left are no more than those missing, it must be of the kind; where there are enough,
 * it must not.  Listed positions are not counted.  Two such demands at once cannot be
 * asked for: then an item may be begun that turns out to be one too many. */
#include "grammar/schema_run_priv.h"

static uint32_t enough(const shape_contains *c)
{
    return c->max == UINT32_MAX ? c->min : c->max;
}

/* Further items there can be behind the listed positions; UINT32_MAX: any number. */
static uint32_t items_left(const run_plan *p, uint32_t index)
{
    uint32_t listed = p->shape->array.n_items;
    return p->max == UINT32_MAX ? p->max : p->max - (index > listed ? index : listed);
}

goal_id items_goal(const run *r, const run_plan *p, const uint32_t *thread,
                   uint32_t depth)
{
    const shape_array *a = &p->shape->array;
    uint32_t i = thread[ITEM_INDEX];
    if (p->max != UINT32_MAX && i >= p->max)
        return GOAL_NONE;
    goal_id goal = i < a->n_items ? a->items[i] : a->rest;
    for (uint32_t k = 0; k < a->n_contains && i >= a->n_items; k++) {
        const shape_contains *c = &a->contains[k];
        uint32_t n = thread[ITEM_COUNTS + k];
        if (goal == a->rest && c->max != UINT32_MAX && n >= c->max)
            goal = c->without;
        if (n < c->min && c->min - n >= items_left(p, i))
            goal = c->with;
    }
    return goal_fits(r, goal, depth) ? goal : GOAL_NONE;
}

bool items_may_end(const run_plan *p, const uint32_t *thread)
{
    const shape_array *a = &p->shape->array;
    for (uint32_t k = 0; k < a->n_contains; k++)
        if (thread[ITEM_COUNTS + k] < a->contains[k].min)
            return false;
    return thread[ITEM_INDEX] >= a->min;
}

void items_counted(run *r, const run_plan *p, const uint32_t *thread, uint32_t depth)
{
    const shape_array *a = &p->shape->array;
    for (uint32_t k = 0; k < a->n_contains && thread[ITEM_INDEX] >= a->n_items; k++) {
        const shape_contains *c = &a->contains[k];
        bool counts = c->max != UINT32_MAX || thread[ITEM_COUNTS + k] < c->min;
        if (counts && goal_fits(r, c->with, depth))
            run_ask(r, c->with | COUNTED);
    }
}

bool items_ended(const run *r, const run_plan *p, uint32_t *thread)
{
    const shape_array *a = &p->shape->array;
    uint32_t i = thread[ITEM_INDEX], next = i + 1;
    for (uint32_t k = 0; k < a->n_contains && i >= a->n_items; k++) {
        const shape_contains *c = &a->contains[k];
        uint32_t *n = &thread[ITEM_COUNTS + k];
        if (c->with != GOAL_NONE && r->stamp[c->with] == r->now) {
            if (c->max != UINT32_MAX && *n >= c->max)
                return false;
            *n += *n < enough(c);
        }
        if (*n < c->min && c->min - *n > items_left(p, next))
            return false;
    }
    thread[ITEM_INDEX] = next < p->index_cap ? next : p->index_cap;
    return true;
}
