/* grammar/schema_unique.c - uniqueItems that holds in one alternative and not in another
 * that is still possible.
 *
 * Whether items repeat is read from the text, beside the states of the automaton, so it
 * must be the same for all that is asked of an array at once.  From the root on every
 * pair of goals that can be asked of one value is looked at; a pair of arrays of which
 * only one may not repeat is refused. */
#include "grammar/schema_priv.h"

enum { MAX_PAIRS = 200000 };

typedef struct pairs {
    const schema *s;
    intern seen; /* goal, goal */
    bool mixed, many;
    st_err *err;
} pairs;

static int add_pair(pairs *p, goal_id a, goal_id b)
{
    goal_id pair[2] = {a < b ? a : b, a < b ? b : a};
    uint32_t number;
    if (pair[0] == GOAL_NONE || pair[1] == GOAL_ANY)
        return 0;
    p->many |= p->seen.n >= MAX_PAIRS;
    return p->many ? 0 : intern_put(&p->seen, pair, sizeof pair, &number, p->err);
}

static goal_id item_of(const shape_array *a, uint32_t index)
{
    return index < a->n_items ? a->items[index] : a->rest;
}

static uint32_t types_of(const schema *s, goal_id g)
{
    shapes all = schema_shapes(s, g);
    uint32_t types = 0;
    for (uint32_t i = 0; i < all.n; i++)
        types |= 1u << all.shapes[i].type;
    return types;
}

/* Can an array of two items or more be both?  As far as types say. */
static bool overlap(const schema *s, const shape_array *a, const shape_array *b)
{
    for (uint32_t i = 0; i < 2; i++) {
        if (!(types_of(s, item_of(a, i)) & types_of(s, item_of(b, i))))
            return false;
    }
    return a->max >= 2 && b->max >= 2 && a->min <= b->max && b->min <= a->max;
}

/* The k-th of the goals that are asked of an item behind the listed ones. */
static goal_id asked_of_rest(const shape_array *a, uint32_t k)
{
    if (k == 0)
        return a->rest;
    const shape_contains *c = &a->contains[(k - 1) / 2];
    return k % 2 ? c->with : c->without;
}

static int pair_arrays(pairs *p, const shape_array *a, const shape_array *b)
{
    uint32_t most = a->max < b->max ? a->max : b->max;
    uint32_t listed = a->n_items > b->n_items ? a->n_items : b->n_items;
    int rc = 0;
    p->mixed |= a->unique != b->unique && overlap(p->s, a, b);
    for (uint32_t i = 0; i < listed && i < most && rc == 0; i++)
        rc = add_pair(p, item_of(a, i), item_of(b, i));
    for (uint32_t i = 0; i <= 2 * a->n_contains && rc == 0; i++) {
        for (uint32_t j = 0; j <= 2 * b->n_contains && rc == 0; j++)
            rc = add_pair(p, asked_of_rest(a, i), asked_of_rest(b, j));
    }
    return rc;
}

static goal_id asked_of_label(const shape_object *o, uint32_t label, uint32_t k)
{
    return k == 0 ? o->label_goal[label] : o->exists[k - 1].with[label];
}

static int pair_labels(pairs *p, const shape_object *a, uint32_t i, const shape_object *b,
                       uint32_t j)
{
    int rc = 0;
    for (uint32_t k = 0; k <= a->n_exists && rc == 0; k++) {
        for (uint32_t l = 0; l <= b->n_exists && rc == 0; l++)
            rc = add_pair(p, asked_of_label(a, i, k), asked_of_label(b, j, l));
    }
    return rc;
}

/* Each listed name of `a` with what `b` says of it. */
static int pair_names(pairs *p, const shape_object *a, const shape_object *b)
{
    int rc = 0;
    for (uint32_t i = 0; i < a->n_labels && rc == 0; i++) {
        if (a->labels[i].name < 0)
            continue;
        const shape_name *n = &a->names[a->labels[i].name];
        uint32_t j = b->keys->label[dfa_run(b->keys, b->keys->start, n->name, n->len)];
        if (j != 0)
            rc = pair_labels(p, a, i, b, j - 1);
    }
    return rc;
}

static int pair_objects(pairs *p, const shape_object *a, const shape_object *b)
{
    int rc = pair_names(p, a, b);
    if (rc == 0 && a != b)
        rc = pair_names(p, b, a);
    for (uint32_t i = 0; i < a->n_labels && rc == 0; i++) {
        for (uint32_t j = 0; a->labels[i].name < 0 && j < b->n_labels && rc == 0; j++) {
            if (b->labels[j].name < 0 && (a->keys != b->keys || i == j))
                rc = pair_labels(p, a, i, b, j);
        }
    }
    return rc;
}

static int pair_goals(pairs *p, goal_id a, goal_id b)
{
    shapes all = schema_shapes(p->s, a), others = schema_shapes(p->s, b);
    int rc = 0;
    for (uint32_t i = 0; i < all.n && rc == 0; i++) {
        for (uint32_t j = a == b ? i : 0; j < others.n && rc == 0; j++) {
            const shape *x = &all.shapes[i], *y = &others.shapes[j];
            if (x->type == JSON_ARRAY && y->type == JSON_ARRAY)
                rc = pair_arrays(p, &x->array, &y->array);
            else if (x->type == JSON_OBJECT && y->type == JSON_OBJECT)
                rc = pair_objects(p, &x->object, &y->object);
        }
    }
    return rc;
}

static bool has_unique(const schema *s)
{
    for (goal_id g = 1; g < s->n_goals; g++) {
        for (uint32_t i = 0; i < s->goals[g].n; i++) {
            const shape *p = &s->goals[g].shapes[i];
            if (p->type == JSON_ARRAY && p->array.unique)
                return true;
        }
    }
    return false;
}

int unique_check(compiler *c, st_err *err)
{
    pairs p = {.s = c->s, .err = err};
    if (!has_unique(c->s))
        return 0;
    int rc = add_pair(&p, c->s->root, c->s->root);
    for (uint32_t i = 1; i <= p.seen.n && rc == 0 && !p.mixed; i++) {
        size_t len;
        const goal_id *pair = intern_get(&p.seen, i, &len);
        rc = pair_goals(&p, pair[0], pair[1]);
    }
    intern_done(&p.seen);
    if (rc == 0 && (p.mixed || p.many)) {
        refuse(c, NODE_NO, "uniqueItems", p.many ? ST_ELIMIT : ST_EUNSUPPORTED, err,
               "holds in one alternative and not in another that is still possible");
        st_err_hint(err, "ask it of both, or tell them apart by their items");
        return p.many ? ST_ELIMIT : ST_EUNSUPPORTED;
    }
    return rc;
}
