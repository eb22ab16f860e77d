/* grammar/schema_array.c - the atoms of arrays folded into shapes.
 *
 * Every position has the goal of all that look at it.  `contains` counts only behind the
 * listed positions; so each of those that it looks at is taken both ways, as one that it
 * counts and as one that it does not, each a shape of its own. */
#include "grammar/schema_priv.h"

#include <string.h>

enum { MAX_WAYS = 64 };

typedef struct counted { /* ATOM_CONTAINS */
    uint32_t literal, min, max, first, node;
} counted;

typedef struct array_fold {
    const ids *atoms;
    uint32_t n_prefix, min, max;
    bool never, unique;
    bool repeated; /* two items must be equal */
    uint32_t node; /* of uniqueItems */
    uint32_t n_counted;
    counted counted[SHAPE_CONTAINS];
} array_fold;

static uint32_t longer(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static int add_counted(compiler *c, array_fold *f, const atom *a, st_err *err)
{
    f->n_prefix = longer(f->n_prefix, a->d);
    f->never |= a->b > a->c;
    if (a->c == 0 || (a->b == 0 && a->c == LIMIT_NO))
        return 0; /* none of them: that is a matter of each position */
    if (f->n_counted == SHAPE_CONTAINS) {
        refuse(c, a->node, "contains", ST_ELIMIT, err, "over %d for one array",
               SHAPE_CONTAINS);
        st_err_hint(err, "join some of them, or list positions with prefixItems");
        return ST_ELIMIT;
    }
    f->counted[f->n_counted++] = (counted){a->a, a->b, a->c, a->d, a->node};
    return 0;
}

static int fold(compiler *c, const ids *atoms, array_fold *f, st_err *err)
{
    *f = (array_fold){.atoms = atoms, .max = LIMIT_NO};
    int rc = 0;
    for (uint32_t i = 0; i < atoms->n && rc == 0; i++) {
        atom a = atom_get(c, atoms->at[i]);
        if (a.kind == ATOM_OTHERS && a.b != 0) {
            size_t len;
            const uint32_t *nodes = intern_get(&c->lists, a.b, &len);
            for (size_t j = 0; j < len / sizeof *nodes; j++)
                f->n_prefix = longer(f->n_prefix, c->nodes[nodes[j]].prefix.n);
        } else if (a.kind == ATOM_ITEMS) {
            f->n_prefix = longer(f->n_prefix, c->nodes[a.a].prefix.n);
        } else if (a.kind == ATOM_ITEM) {
            f->n_prefix = longer(f->n_prefix, a.a + 1);
            f->min = longer(f->min, a.a + 1);
        } else if (a.kind == ATOM_COUNT) {
            f->min = longer(f->min, a.a);
            f->max = a.b < f->max ? a.b : f->max;
        } else if (a.kind == ATOM_UNIQUE) {
            f->unique |= a.a == 1;
            f->repeated |= a.a == 0;
            f->node = a.node;
        } else if (a.kind == ATOM_CONTAINS) {
            rc = add_counted(c, f, &a, err);
        }
    }
    if (f->repeated)
        f->min = longer(f->min, 2);
    return rc;
}

/* Does one of the nodes look at the item? */
static bool looked_at(const compiler *c, uint32_t nodes, uint32_t self, uint32_t index)
{
    size_t len;
    const uint32_t *at = intern_get(&c->lists, nodes, &len);
    for (size_t i = 0; i < len / sizeof *at; i++) {
        const node *n = &c->nodes[at[i]];
        if (index < n->prefix.n || n->rest != NODE_NO ||
            (at[i] != self && n->other_items != NODE_NO))
            return true;
    }
    return false;
}

/* What an atom asks of the item; LIMIT_NO: nothing.  Index LIMIT_NO: any behind those
 * that are listed. */
static uint32_t asked(const compiler *c, const atom *a, uint32_t index)
{
    const node *n =
        a->kind == ATOM_ITEMS || a->kind == ATOM_OTHERS ? &c->nodes[a->a] : NULL;
    if (a->kind == ATOM_ITEMS && index < n->prefix.n)
        return literal_of(n->prefix.at[index], false);
    if (a->kind == ATOM_ITEMS && n->rest != NODE_NO)
        return literal_of(n->rest, false);
    if (a->kind == ATOM_ITEM && a->a == index)
        return a->b;
    if (a->kind == ATOM_CONTAINS && a->c == 0 && index >= a->d)
        return a->a ^ 1;
    if (a->kind == ATOM_OTHERS && a->b != 0 && !looked_at(c, a->b, a->a, index))
        return literal_of(n->other_items, false);
    return LIMIT_NO;
}

static int item_goal(compiler *c, const array_fold *f, uint32_t index, const ids *also,
                     goal_id *ret, st_err *err)
{
    ids literals = {0};
    int rc = 0;
    for (uint32_t i = 0; i < f->atoms->n && rc == 0; i++) {
        atom a = atom_get(c, f->atoms->at[i]);
        uint32_t literal = asked(c, &a, index);
        if (literal != LIMIT_NO)
            rc = ids_add(&literals, literal, err);
    }
    for (uint32_t i = 0; also && i < also->n && rc == 0; i++)
        rc = ids_add(&literals, also->at[i], err);
    if (rc == 0)
        rc = goal_of(c, &literals, ret, err);
    ids_done(&literals);
    return rc;
}

static int item_maybe(compiler *c, const array_fold *f, uint32_t index, uint32_t literal,
                      bool *ret, st_err *err)
{
    goal_id g;
    ids also = {literal != LIMIT_NO, 0, &literal};
    int rc = item_goal(c, f, index, &also, &g, err);
    return rc < 0 ? rc : goal_maybe(c, g, ret, err);
}

/* Is there a place for an item that is counted? */
static int counted_maybe(compiler *c, const array_fold *f, const counted *k, bool *ret,
                         st_err *err)
{
    int rc = 0;
    *ret = false;
    for (uint32_t i = k->first; i < f->n_prefix && i < f->max && rc == 0 && !*ret; i++)
        rc = item_maybe(c, f, i, k->literal, ret, err);
    if (rc == 0 && !*ret && f->max > f->n_prefix)
        rc = item_maybe(c, f, LIMIT_NO, k->literal, ret, err);
    return rc;
}

int array_maybe(compiler *c, const ids *atoms, bool *ret, st_err *err)
{
    array_fold f;
    int rc = fold(c, atoms, &f, err);
    *ret = rc == 0 && f.min <= f.max && !f.never && !(f.repeated && f.unique);
    for (uint32_t i = 0; i < f.min && i < f.n_prefix && rc == 0 && *ret; i++)
        rc = item_maybe(c, &f, i, LIMIT_NO, ret, err);
    if (rc == 0 && *ret && f.min > f.n_prefix)
        rc = item_maybe(c, &f, LIMIT_NO, LIMIT_NO, ret, err);
    for (uint32_t i = 0; i < f.n_counted && rc == 0 && *ret; i++) {
        if (f.counted[i].min > 0)
            rc = counted_maybe(c, &f, &f.counted[i], ret, err);
    }
    return rc;
}

typedef struct array_build {
    compiler *c;
    array_fold f; /* min and counted change on the way */
    goal_id *items;
    shape_list *out;
    uint32_t ways;
    st_err *err;
} array_build;

static int emit_counted(array_build *b, shape_array *a)
{
    int rc = 0;
    for (uint32_t i = 0; i < b->f.n_counted && rc == 0; i++) {
        const counted *k = &b->f.counted[i];
        shape_contains one = {.min = k->min, .max = k->max, .without = a->rest};
        uint32_t literal = k->literal;
        if (k->min == 0 && k->max == LIMIT_NO)
            continue;
        rc = item_goal(b->c, &b->f, LIMIT_NO, &(ids){1, 0, &literal}, &one.with, b->err);
        literal ^= 1;
        if (rc == 0 && k->max != LIMIT_NO)
            rc = item_goal(b->c, &b->f, LIMIT_NO, &(ids){1, 0, &literal}, &one.without,
                           b->err);
        bool known = false;
        for (uint32_t j = 0; j < a->n_contains; j++)
            known |= memcmp(&a->contains[j], &one, sizeof one) == 0;
        if (!known)
            a->contains[a->n_contains++] = one;
    }
    return rc;
}

static int emit(array_build *b)
{
    shape s;
    memset(&s, 0, sizeof s);
    s.type = JSON_ARRAY;
    shape_array *a = &s.array;
    a->n_items = b->f.n_prefix;
    a->min = b->f.min;
    a->max = b->f.max;
    a->unique = b->f.unique;
    int rc = item_goal(b->c, &b->f, LIMIT_NO, NULL, &a->rest, b->err);
    if (rc == 0)
        rc = emit_counted(b, a);
    goal_id *items = NULL;
    if (rc == 0 && a->n_items > 0)
        rc = pool_get(&b->c->s->pool, a->n_items, sizeof *items, &items, b->err);
    if (rc < 0)
        return rc;
    if (a->n_items > 0)
        memcpy(items, b->items, a->n_items * sizeof *items);
    a->items = items;
    return shape_add(b->c, b->out, &s, b->err);
}

static int place(array_build *b, uint32_t index);

/* The item at `index` with the k-th count and those behind it both ways. */
static int choose(array_build *b, uint32_t index, uint32_t k, ids *also)
{
    while (k < b->f.n_counted &&
           (b->f.counted[k].first > index ||
            (b->f.counted[k].min == 0 && b->f.counted[k].max == LIMIT_NO)))
        k++;
    if (k == b->f.n_counted) {
        int rc = item_goal(b->c, &b->f, index, also, &b->items[index], b->err);
        return rc < 0 ? rc : place(b, index + 1);
    }
    if (++b->ways > MAX_WAYS) {
        refuse(b->c, b->f.counted[k].node, "contains", ST_ELIMIT, b->err,
               "too many listed positions beside it");
        st_err_hint(b->err, "use items instead of prefixItems");
        return ST_ELIMIT;
    }
    array_fold before = b->f;
    counted *one = &b->f.counted[k];
    int rc = 0;
    if (one->max > 0) {
        b->f.min = longer(b->f.min, index + 1);
        one->min -= one->min > 0;
        one->max -= one->max != LIMIT_NO;
        rc = ids_add(also, one->literal, b->err);
        if (rc == 0)
            rc = choose(b, index, k + 1, also);
        also->n -= rc == 0;
        b->f = before;
    }
    if (rc == 0 && one->max != LIMIT_NO)
        rc = ids_add(also, one->literal ^ 1, b->err);
    if (rc == 0)
        rc = choose(b, index, k + 1, also);
    if (rc == 0 && one->max != LIMIT_NO)
        also->n--;
    return rc;
}

static int place(array_build *b, uint32_t index)
{
    if (index == b->f.n_prefix)
        return emit(b);
    ids also = {0};
    int rc = choose(b, index, 0, &also);
    ids_done(&also);
    return rc;
}

int array_shape(compiler *c, const ids *atoms, shape_list *out, st_err *err)
{
    array_build b = {.c = c, .out = out, .err = err};
    int rc = fold(c, atoms, &b.f, err);
    if (rc < 0 || b.f.never || b.f.min > b.f.max || (b.f.repeated && b.f.unique))
        return rc;
    if (b.f.repeated) {
        refuse(c, b.f.node, "uniqueItems", ST_EUNSUPPORTED, err,
               "cannot be held where it must not hold");
        st_err_hint(err, "leave uniqueItems out of `not`, `if` and overlapping oneOf");
        return ST_EUNSUPPORTED;
    }
    if (b.f.n_prefix > b.f.max)
        b.f.n_prefix = b.f.max;
    if (b.f.n_prefix > 0)
        rc = pool_get(&c->pool, b.f.n_prefix, sizeof *b.items, &b.items, err);
    return rc < 0 ? rc : place(&b, 0);
}
