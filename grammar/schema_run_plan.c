/* grammar/schema_run_plan.c - what is known of each shape before any text is read.
 *
 * Levels: a value nests at most SCHEMA_DEPTH deep, so near that depth only values may be
 * begun that need few levels; their least numbers are a fixpoint over the goals.  Supply:
 * how many names are allowed that are not listed; where they are few they can run out. */
#include "base/mem.h"
#include "grammar/schema_run_priv.h"

#include <string.h>

static int out_of_memory(st_err *err)
{
    return st_err_set(err, ST_ENOMEM, "out of memory for a schema's automaton");
}

/* ---- levels ---- */

static uint32_t more_of(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t array_levels(const run *r, const shape_array *a)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < a->min && i <= a->n_items; i++)
        most = more_of(most, r->goal_depth[i < a->n_items ? a->items[i] : a->rest]);
    for (uint32_t k = 0; k < a->n_contains; k++)
        if (a->contains[k].min > 0)
            most = more_of(most, r->goal_depth[a->contains[k].with]);
    return most;
}

static uint32_t object_levels(const run *r, const shape_object *o)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < o->n_names; i++) {
        const shape_name *name = &o->names[i];
        if (!name->required)
            continue;
        most = more_of(most, r->goal_depth[name->goal]);
        for (uint32_t k = 0; k < name->n_needs; k++)
            most = more_of(most, r->goal_depth[o->names[name->needs[k]].goal]);
    }
    for (uint32_t k = 0; k < o->n_exists; k++) {
        uint32_t least = UINT32_MAX;
        for (uint32_t l = 0; l < o->n_labels; l++)
            if (r->goal_depth[o->exists[k].with[l]] < least)
                least = r->goal_depth[o->exists[k].with[l]];
        most = more_of(most, least);
    }
    return most;
}

static uint32_t levels(const run *r, const shape *s)
{
    if (s->type != JSON_ARRAY && s->type != JSON_OBJECT)
        return 0;
    uint32_t most =
        s->type == JSON_ARRAY ? array_levels(r, &s->array) : object_levels(r, &s->object);
    return most == UINT32_MAX ? most : most + 1;
}

static void find_levels(run *r)
{
    for (uint32_t g = 0; g < r->n_goals; g++)
        r->goal_depth[g] = UINT32_MAX;
    for (bool again = true; again;) {
        again = false;
        for (uint32_t g = r->n_goals; g-- > 0;) {
            uint32_t least = r->goal_depth[g];
            for (uint32_t i = r->first[g]; i < r->first[g + 1] && least; i++) {
                r->plans[i].depth = levels(r, r->plans[i].shape);
                least = r->plans[i].depth < least ? r->plans[i].depth : least;
            }
            again = again || least < r->goal_depth[g];
            r->goal_depth[g] = least;
        }
    }
    uint32_t most = 0;
    for (uint32_t g = 0; g < r->n_goals; g++)
        if (r->goal_depth[g] != UINT32_MAX)
            most = more_of(most, r->goal_depth[g]);
    r->deep = most < SCHEMA_DEPTH ? SCHEMA_DEPTH - most : 0;
}

/* ---- texts that are few ---- */

/* From every state, how many texts lead to acceptance, where label l counts as
 * `counts[l]`: MANY until the states behind it are known, so a state on a circle stays
 * there.  *ret is NULL where every state has many. */
static int count_few(const dfa *d, const uint8_t *counts, uint8_t **ret, st_err *err)
{
    uint32_t bytes_of[256] = {0};
    uint8_t *few = st_alloc_n(d->n_states, 1);
    if (!few)
        return out_of_memory(err);
    for (uint32_t byte = 0; byte < 256; byte++)
        bytes_of[d->class_of[byte]]++;
    memset(few, MANY, d->n_states);
    few[DFA_DEAD] = 0;
    bool some = false;
    for (bool again = true; again;) {
        again = false;
        for (uint32_t s = d->n_states; s-- > 1;) {
            uint32_t sum = counts[d->label[s]];
            for (uint32_t c = 0; c < d->n_classes && sum < MANY; c++)
                sum += few[d->next[(size_t)s * d->n_classes + c]] * bytes_of[c];
            if (few[s] == MANY && sum < MANY) {
                few[s] = (uint8_t)sum;
                again = some = true;
            }
        }
    }
    if (!some)
        st_free(few);
    *ret = some ? few : NULL;
    return 0;
}

/* Names that are not listed; a listed one is told apart by the names seen. */
static int few_names(run_plan *p, st_err *err)
{
    const shape_object *o = &p->shape->object;
    uint8_t *counts = st_zalloc_n((size_t)o->n_labels + 1, 1);
    if (!counts)
        return out_of_memory(err);
    for (uint32_t l = 0; l < o->n_labels; l++)
        counts[l + 1] = o->labels[l].name >= 0 ? MANY : o->label_goal[l] != GOAL_NONE;
    int rc = count_few(o->keys, counts, &p->few, err);
    st_free(counts);
    return rc;
}

/* ---- names that are not listed ---- */

typedef struct visit {
    uint32_t state;
    uint32_t by; /* the next class of bytes to go by */
} visit;

typedef struct search { /* depth first */
    const shape_object *o;
    const uint64_t *wanted; /* labels */
    uint32_t words;
    uint32_t bytes_of[256]; /* of a class */
    visit *stack;
    uint64_t *texts; /* [n_states] from there; OPEN: on the stack; UNSEEN */
} search;
#define UNSEEN UINT64_MAX
#define OPEN (UINT64_MAX - 1)
enum { SUPPLY_MAX = 1 << 20 };

static bool leads_on(const search *f, uint32_t state)
{
    const uint64_t *ahead = f->o->label_ahead + (size_t)state * f->words;
    for (uint32_t w = 0; w < f->words; w++)
        if (ahead[w] & f->wanted[w])
            return true;
    return false;
}

static uint64_t texts_here(const search *f, uint32_t state)
{
    uint32_t label = f->o->keys->label[state];
    return label && (f->wanted[(label - 1) / 64] >> (label - 1) % 64 & 1);
}

/* Texts of the wanted labels; UINT32_MAX: endless, or over SUPPLY_MAX. */
static uint32_t count_texts(search *f)
{
    const dfa *d = f->o->keys;
    uint32_t n = 0;
    f->stack[n++] = (visit){d->start, 0};
    f->texts[d->start] = OPEN;
    while (n > 0) {
        visit *v = &f->stack[n - 1];
        if (v->by == d->n_classes) {
            uint64_t sum = texts_here(f, v->state);
            for (uint32_t c = 0; c < d->n_classes; c++) {
                uint32_t to = d->next[(size_t)v->state * d->n_classes + c];
                if (to != DFA_DEAD && leads_on(f, to))
                    sum += f->texts[to] * f->bytes_of[c];
            }
            if (sum > SUPPLY_MAX)
                return UINT32_MAX;
            f->texts[v->state] = sum;
            n--;
            continue;
        }
        uint32_t to = d->next[(size_t)v->state * d->n_classes + v->by++];
        if (to == DFA_DEAD || !leads_on(f, to))
            continue;
        if (f->texts[to] == OPEN)
            return UINT32_MAX;
        if (f->texts[to] == UNSEEN) {
            f->texts[to] = OPEN;
            f->stack[n++] = (visit){to, 0};
        }
    }
    return (uint32_t)f->texts[d->start];
}

/* Are the wanted labels ahead wherever a name may be? */
static bool leads_on_everywhere(const search *f)
{
    for (uint32_t s = 1; s < f->o->keys->n_states; s++)
        if (!leads_on(f, s))
            return false;
    return true;
}

static int search_names(run_plan *p, search *f, st_err *err)
{
    const dfa *d = f->o->keys;
    for (uint32_t byte = 0; byte < 256; byte++)
        f->bytes_of[d->class_of[byte]]++;
    for (uint32_t s = 0; s < d->n_states; s++)
        f->texts[s] = UNSEEN;
    p->supply = leads_on(f, d->start) ? count_texts(f) : 0;
    if (p->supply != UINT32_MAX && p->supply > 0)
        return few_names(p, err);
    if (p->supply != UINT32_MAX || f->o->n_exists || !leads_on_everywhere(f))
        return 0;
    p->open = st_alloc_n(d->n_states, 1);
    return p->open ? dfa_open(d, p->open, err) : out_of_memory(err);
}

static int find_supply(run_plan *p, st_err *err)
{
    const shape_object *o = &p->shape->object;
    p->supply = 0;
    p->free_label = NO_LABEL;
    uint32_t words = (o->n_labels + 63) / 64;
    uint64_t *wanted = st_zalloc_n((size_t)words + 1, sizeof *wanted);
    if (!wanted)
        return out_of_memory(err);
    for (uint32_t l = 0; l < o->n_labels; l++) {
        if (o->labels[l].name >= 0 || o->label_goal[l] == GOAL_NONE)
            continue;
        wanted[l / 64] |= UINT64_C(1) << l % 64;
        p->free_label = l;
    }
    int rc = 0;
    if (p->free_label != NO_LABEL && o->keys->start != DFA_DEAD) {
        search f = {.o = o, .wanted = wanted, .words = words};
        f.stack = st_alloc_n((size_t)o->keys->n_states + 1, sizeof *f.stack);
        f.texts = st_alloc_n(o->keys->n_states, sizeof *f.texts);
        rc = f.stack && f.texts ? search_names(p, &f, err) : out_of_memory(err);
        st_free(f.stack);
        st_free(f.texts);
    }
    st_free(wanted);
    return rc;
}

static int few_of_goal(run *r, goal_id goal, st_err *err)
{
    static const uint8_t counts[2] = {0, 1};
    int rc = 0;
    for (uint32_t i = r->first[goal]; rc == 0 && i < r->first[goal + 1]; i++) {
        run_plan *p = &r->plans[i];
        if (p->shape->type != JSON_STRING || p->few_known)
            continue;
        p->few_known = true;
        rc = count_few(p->shape->string.d, counts, &p->few, err);
    }
    return rc;
}

static int few_of_items(run *r, const shape_array *a, st_err *err)
{
    int rc = a->unique ? few_of_goal(r, a->rest, err) : 0;
    for (uint32_t i = 0; a->unique && rc == 0 && i < a->n_items; i++)
        rc = few_of_goal(r, a->items[i], err);
    for (uint32_t k = 0; a->unique && rc == 0 && k < a->n_contains; k++) {
        rc = few_of_goal(r, a->contains[k].with, err);
        if (rc == 0)
            rc = few_of_goal(r, a->contains[k].without, err);
    }
    return rc;
}

/* ---- plans ---- */

static void plan_array(run_plan *p)
{
    const shape_array *a = &p->shape->array;
    p->words = ITEM_COUNTS + a->n_contains;
    p->max = a->max;
    for (uint32_t i = 0; i <= a->n_items && i < p->max; i++)
        if ((i < a->n_items ? a->items[i] : a->rest) == GOAL_NONE)
            p->max = i;
    for (uint32_t k = 0; k < a->n_contains; k++) {
        const shape_contains *c = &a->contains[k];
        bool all_count = c->max != UINT32_MAX && c->without == GOAL_NONE;
        if (all_count && c->max < p->max && a->n_items < p->max - c->max)
            p->max = a->n_items + c->max;
    }
    p->index_cap = p->max != UINT32_MAX ? p->max : more_of(a->n_items, a->min);
}

static int plan_object(run *r, run_plan *p, uint32_t *nearest, st_err *err)
{
    const shape_object *o = &p->shape->object;
    int rc = find_supply(p, err);
    if (rc < 0)
        return rc;
    bool needs = false;
    nearest[o->n_names] = o->n_names;
    for (uint32_t i = o->n_names; i-- > 0;) {
        nearest[i] = o->names[i].required ? i : nearest[i + 1];
        needs = needs || o->names[i].n_needs > 0;
    }
    p->nearest = nearest;
    p->min = o->min <= o->n_required ? 0 : o->min;
    bool endless = p->supply == UINT32_MAX;
    p->simple = o->max == UINT32_MAX && o->n_exists == 0 && !needs &&
                (endless || (p->supply == 0 && p->min == 0));
    bool capped = o->max == UINT32_MAX && (endless || p->supply == 0);
    p->count_cap = capped ? p->min : UINT32_MAX;
    p->n_seen = r->any_order || !p->simple ? (o->n_names + 31) / 32 : 0;
    p->words = NAME_SEEN + p->n_seen;
    r->repeats = r->repeats || p->supply > 0;
    return 0;
}

static int make_plan(run *r, run_plan *p, uint32_t **nearest, st_err *err)
{
    p->words = p->shape->type == JSON_STRING   ? TEXT_WORDS
               : p->shape->type == JSON_NUMBER ? NUMBER_WORDS
                                               : 1;
    if (p->shape->type == JSON_ARRAY) {
        plan_array(p);
        r->repeats = r->repeats || p->shape->array.unique;
        return few_of_items(r, &p->shape->array, err);
    }
    if (p->shape->type != JSON_OBJECT)
        return 0;
    int rc = plan_object(r, p, *nearest, err);
    *nearest += (size_t)p->shape->object.n_names + 1;
    return rc;
}

/* Room for everything whose size is known once the shapes are counted. */
static int take_room(run *r, size_t names, uint32_t most_names, st_err *err)
{
    r->nearest = st_alloc_n(names + 1, sizeof *r->nearest);
    r->marks = st_alloc_n((size_t)most_names + 1, 1);
    r->goal_depth = st_alloc_n(r->n_goals, sizeof *r->goal_depth);
    r->asked = st_alloc_n(r->n_goals, 2 * sizeof *r->asked);
    r->stamp = st_zalloc_n(r->n_goals, sizeof *r->stamp);
    return r->nearest && r->marks && r->goal_depth && r->asked && r->stamp
               ? 0
               : out_of_memory(err);
}

static int list_plans(run *r, st_err *err)
{
    r->first = st_alloc_n((size_t)r->n_goals + 1, sizeof *r->first);
    if (!r->first)
        return out_of_memory(err);
    uint32_t n = 0;
    for (goal_id g = 0; g < r->n_goals; g++) {
        r->first[g] = n;
        n += schema_shapes(r->s, g).n;
    }
    r->first[r->n_goals] = n;
    r->plans = st_zalloc_n((size_t)n + 1, sizeof *r->plans);
    return r->plans ? 0 : out_of_memory(err);
}

int run_plans(run *r, st_err *err)
{
    r->n_goals = schema_n_goals(r->s);
    int rc = list_plans(r, err);
    size_t names = 0;
    uint32_t most_names = 0;
    for (goal_id g = 0; rc == 0 && g < r->n_goals; g++) {
        shapes list = schema_shapes(r->s, g);
        for (uint32_t i = 0; i < list.n; i++) {
            const shape *s = &list.shapes[i];
            r->plans[r->first[g] + i] = (run_plan){.goal = g, .shape = s};
            if (s->type != JSON_OBJECT)
                continue;
            names += (size_t)s->object.n_names + 1;
            most_names = more_of(most_names, s->object.n_names);
        }
    }
    if (rc == 0)
        rc = take_room(r, names, most_names, err);
    if (rc < 0)
        return rc;
    find_levels(r);
    uint32_t *nearest = r->nearest;
    size_t words = FRAME_THREADS;
    for (uint32_t i = 0; rc == 0 && i < r->first[r->n_goals]; i++) {
        rc = make_plan(r, &r->plans[i], &nearest, err);
        words += 2 * (size_t)r->plans[i].words; /* asked for, and counted beside it */
    }
    if (rc < 0)
        return rc;
    r->next = st_alloc_n(words, sizeof *r->next);
    r->made = st_alloc_n(words, sizeof *r->made);
    return r->next && r->made ? 0 : out_of_memory(err);
}

void run_plans_done(run *r)
{
    for (uint32_t i = 0; r->plans && i < r->first[r->n_goals]; i++) {
        st_free(r->plans[i].open);
        st_free(r->plans[i].few);
    }
    st_free(r->plans);
    st_free(r->first);
    st_free(r->nearest);
    st_free(r->marks);
    st_free(r->goal_depth);
    st_free(r->asked);
    st_free(r->stamp);
    st_free(r->next);
    st_free(r->made);
}
