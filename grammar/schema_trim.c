/* grammar/schema_trim.c - shapes that no finite value fits are dropped, and goals without
 * a shape with them.
 *
 * A goal is alive when one of its shapes is; a shape is alive when all that it requires
 * is.  The least set of that kind is found by going round until nothing changes, so a
 * goal that requires itself for ever is not in it. */
#include "grammar/schema_priv.h"

#include "base/mem.h"
#include <string.h>

enum { MANY = 1000000 };

typedef struct trimmer {
    compiler *c;
    bool *alive;    /* [goals] */
    goal_id *order; /* goals that the root leads to */
    goal_id *anew;  /* [goals] their new numbers */
    uint32_t n;
    st_err *err;
} trimmer;

/* How many values a goal of scalars has; MANY: more, or others. */
static uint64_t count(const trimmer *t, goal_id g)
{
    uint64_t n = 0;
    const shapes *all = &t->c->goals[g].shapes;
    for (uint32_t i = 0; g != GOAL_NONE && i < all->n && n < MANY; i++) {
        const shape *s = &all->shapes[i];
        if (s->type == JSON_NUMBER)
            n += number_rule_count(&s->number, MANY);
        else if (s->type == JSON_STRING)
            n += text_rule_count(&s->string, MANY);
        else
            n += s->type >= JSON_ARRAY ? MANY : 1;
    }
    return n < MANY ? n : MANY;
}

static bool object_alive(const trimmer *t, const shape_object *o)
{
    uint64_t possible = 0;
    for (uint32_t i = 0; i < o->n_names; i++) {
        bool alive = t->alive[o->names[i].goal];
        if (o->names[i].required && !alive)
            return false;
        possible += alive;
    }
    for (uint32_t i = 0; i < o->n_labels; i++) {
        if (o->labels[i].name < 0 && t->alive[o->label_goal[i]])
            possible += MANY;
    }
    for (uint32_t i = 0; i < o->n_exists; i++) {
        bool some = false;
        for (uint32_t j = 0; j < o->n_labels && !some; j++)
            some = t->alive[o->exists[i].with[j]];
        if (!some)
            return false;
    }
    if (o->n_exists > 0 && o->max == 0)
        return false;
    return o->min <= o->max && o->n_required <= o->max && o->min <= possible;
}

/* An item that nothing fits ends the array before it; items that may not be equal end it
 * when there are no others. */
static uint32_t room(const trimmer *t, const shape_array *a)
{
    uint32_t max = a->max;
    for (uint32_t i = 0; i < a->n_items && i < max; i++) {
        if (!t->alive[a->items[i]])
            max = i;
    }
    uint64_t kinds = t->alive[a->rest] ? a->unique ? count(t, a->rest) : MANY : 0;
    if (kinds < MANY && max > a->n_items + kinds)
        max = a->n_items + (uint32_t)kinds;
    return max;
}

static bool array_alive(const trimmer *t, const shape_array *a)
{
    uint32_t max = room(t, a);
    if (a->min > max)
        return false;
    for (uint32_t i = 0; i < a->n_contains; i++) {
        const shape_contains *k = &a->contains[i];
        if (k->min > 0 &&
            (!t->alive[k->with] || a->n_items >= max || k->min > max - a->n_items))
            return false;
        if (k->min > k->max)
            return false;
        if (k->max != LIMIT_NO && !t->alive[k->without] && a->min > a->n_items &&
            a->min - a->n_items > k->max)
            return false;
    }
    return true;
}

static bool shape_alive(const trimmer *t, const shape *s)
{
    if (s->type == JSON_ARRAY)
        return array_alive(t, &s->array);
    return s->type == JSON_OBJECT ? object_alive(t, &s->object) : true;
}

static void find_alive(trimmer *t)
{
    for (bool again = true; again;) {
        again = false;
        for (uint32_t i = t->n; i-- > 0;) {
            goal_id g = t->order[i];
            const shapes *all = &t->c->goals[g].shapes;
            for (uint32_t j = 0; j < all->n && !t->alive[g]; j++) {
                t->alive[g] = shape_alive(t, &all->shapes[j]);
                again |= t->alive[g];
            }
        }
    }
}

static goal_id renamed(const trimmer *t, goal_id g)
{
    return t->alive[g] ? t->anew[g] : GOAL_NONE;
}

static int rename_list(trimmer *t, const goal_id **goals, uint32_t n)
{
    goal_id *to = NULL;
    int rc = n ? pool_get(&t->c->s->pool, n, sizeof *to, &to, t->err) : 0;
    for (uint32_t i = 0; i < n && rc == 0; i++)
        to[i] = renamed(t, (*goals)[i]);
    if (rc == 0)
        *goals = to;
    return rc;
}

static int trim_array(trimmer *t, shape_array *a)
{
    a->max = room(t, a);
    if (a->n_items >= a->max) {
        a->n_items = a->max;
        a->rest = GOAL_NONE;
        a->n_contains = 0;
    }
    a->rest = renamed(t, a->rest);
    for (uint32_t i = 0; i < a->n_contains; i++) {
        a->contains[i].with = renamed(t, a->contains[i].with);
        a->contains[i].without = renamed(t, a->contains[i].without);
    }
    return rename_list(t, &a->items, a->n_items);
}

/* A name that needs one that cannot be there cannot be there. */
static void drop_needy(shape_name *names, uint32_t n)
{
    for (bool again = true; again;) {
        again = false;
        for (uint32_t i = 0; i < n; i++) {
            for (uint32_t j = 0; names[i].goal != GOAL_NONE && j < names[i].n_needs;
                 j++) {
                if (names[names[i].needs[j]].goal == GOAL_NONE) {
                    names[i].goal = GOAL_NONE;
                    again = true;
                }
            }
        }
    }
}

/* Where all that is required is all there is room for, nothing else may come. */
static int trim_object(trimmer *t, shape_object *o)
{
    bool full = o->max == o->n_required;
    int rc = rename_list(t, &o->label_goal, o->n_labels);
    shape_name *names = NULL;
    if (rc == 0 && o->n_names > 0)
        rc = pool_get(&t->c->s->pool, o->n_names, sizeof *names, &names, t->err);
    for (uint32_t i = 0; i < o->n_names && rc == 0; i++) {
        names[i] = o->names[i];
        names[i].goal =
            full && !names[i].required ? GOAL_NONE : renamed(t, names[i].goal);
    }
    if (rc == 0)
        drop_needy(names, o->n_names);
    goal_id *goals = NULL;
    if (rc == 0)
        rc = pool_get(&t->c->s->pool, o->n_labels + 1u, sizeof *goals, &goals, t->err);
    for (uint32_t i = 0; i < o->n_labels && rc == 0; i++) {
        int32_t name = o->labels[i].name;
        goals[i] = name >= 0 ? names[name].goal : full ? GOAL_NONE : o->label_goal[i];
    }
    for (uint32_t i = 0; i < o->n_exists && rc == 0; i++)
        rc = rename_list(t, &o->exists[i].with, o->n_labels);
    o->names = names;
    o->label_goal = goals;
    return rc;
}

static int trim_goal(trimmer *t, goal_id g, shapes *ret)
{
    const shapes *all = &t->c->goals[g].shapes;
    shape *kept = NULL;
    uint32_t n = 0;
    int rc = pool_get(&t->c->s->pool, all->n + 1u, sizeof *kept, &kept, t->err);
    for (uint32_t i = 0; i < all->n && rc == 0; i++) {
        shape s = all->shapes[i];
        if (!shape_alive(t, &s))
            continue;
        if (s.type == JSON_ARRAY)
            rc = trim_array(t, &s.array);
        else if (s.type == JSON_OBJECT)
            rc = trim_object(t, &s.object);
        kept[n++] = s;
    }
    *ret = (shapes){n, kept};
    return rc;
}

/* Goals that an alive shape leads to are listed behind those that are. */
static void reach(trimmer *t, goal_id g)
{
    if (!t->alive[g] || t->anew[g] != 0)
        return;
    t->anew[g] = t->n + 1;
    t->order[t->n++] = g;
}

static void reach_all(trimmer *t, goal_id g)
{
    const shapes *all = &t->c->goals[g].shapes;
    for (uint32_t i = 0; i < all->n; i++) {
        const shape *s = &all->shapes[i];
        if (!shape_alive(t, s))
            continue;
        for (uint32_t j = 0; s->type == JSON_ARRAY && j < s->array.n_items; j++)
            reach(t, s->array.items[j]);
        if (s->type == JSON_ARRAY)
            reach(t, s->array.rest);
        for (uint32_t j = 0; s->type == JSON_ARRAY && j < s->array.n_contains; j++) {
            reach(t, s->array.contains[j].with);
            reach(t, s->array.contains[j].without);
        }
        for (uint32_t j = 0; s->type == JSON_OBJECT && j < s->object.n_labels; j++) {
            reach(t, s->object.label_goal[j]);
            for (uint32_t k = 0; k < s->object.n_exists; k++)
                reach(t, s->object.exists[k].with[j]);
        }
    }
}

static int trim(trimmer *t, goal_id root)
{
    schema *s = t->c->s;
    find_alive(t);
    t->n = 0;
    reach(t, GOAL_ANY);
    reach(t, root);
    for (uint32_t i = 0; i < t->n; i++)
        reach_all(t, t->order[i]);
    shapes *goals = NULL;
    int rc = pool_get(&s->pool, t->n + 1u, sizeof *goals, &goals, t->err);
    for (uint32_t i = 0; i < t->n && rc == 0; i++)
        rc = trim_goal(t, t->order[i], &goals[i + 1]);
    s->goals = goals;
    s->n_goals = t->n + 1;
    s->root = renamed(t, root);
    return rc;
}

int goals_trim(compiler *c, goal_id root, st_err *err)
{
    uint32_t n = c->goal_index.n + 1;
    trimmer t = {.c = c, .err = err};
    t.alive = st_zalloc_n(n, sizeof *t.alive);
    t.order = st_zalloc_n(n, sizeof *t.order);
    t.anew = st_zalloc_n(n, sizeof *t.anew);
    int rc = t.alive && t.order && t.anew
                 ? 0
                 : st_err_set(err, ST_ENOMEM, "out of memory for a schema");
    for (goal_id g = 1; g < n && rc == 0; g++) {
        if (c->goals[g].expanded)
            t.order[t.n++] = g;
    }
    if (rc == 0)
        rc = trim(&t, root);
    st_free(t.alive);
    st_free(t.order);
    st_free(t.anew);
    return rc;
}
