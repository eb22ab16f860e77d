/* grammar/schema_negate.c - what a value must satisfy for not satisfying a node: one of
 * the node's keywords must fail.
 *
 * Each keyword gives one alternative or a few.  Where the node cannot hold for the type
 * at all, its negation always does. */
#include "grammar/schema_priv.h"

/* One alternative of a single atom. */
static int either_atom(opening *o, atom_kind kind, uint32_t a, uint32_t b, uint32_t c,
                       uint32_t d)
{
    ids one = {0};
    int rc = add_atom(o, &one, kind, a, b, c, d);
    if (rc == 0)
        rc = cases_add(&o->either, &one, o->err);
    ids_done(&one);
    return rc;
}

/* One alternative of literals: the first n_of `nodes`, all with the same sign. */
static int either_all(opening *o, const list *nodes, bool negated)
{
    ids one = {0};
    int rc = 0;
    for (uint32_t i = 0; i < nodes->n && rc == 0; i++)
        rc = add_literal(o, &one, nodes->at[i], negated);
    if (rc == 0)
        rc = cases_add(&o->either, &one, o->err);
    ids_done(&one);
    return rc;
}

static int either_two(opening *o, uint32_t a, bool not_a, uint32_t b, bool not_b)
{
    ids one = {0};
    int rc = add_literal(o, &one, a, not_a);
    if (rc == 0)
        rc = add_literal(o, &one, b, not_b);
    if (rc == 0)
        rc = cases_add(&o->either, &one, o->err);
    ids_done(&one);
    return rc;
}

/* None of oneOf, or two of them. */
static int negate_one(opening *o)
{
    const list *one = &o->n->one;
    int rc = either_all(o, one, true);
    for (uint32_t i = 0; i < one->n && rc == 0; i++) {
        for (uint32_t j = i + 1; j < one->n && rc == 0; j++)
            rc = either_two(o, one->at[i], false, one->at[j], false);
    }
    return rc;
}

static int negate_branches(opening *o)
{
    const node *n = o->n;
    int rc = 0;
    for (uint32_t i = 0; i < n->all.n && rc == 0; i++)
        rc = either_all(o, &(list){1, &n->all.at[i]}, true);
    for (uint32_t i = 0; i < n->n_any && rc == 0; i++)
        rc = either_all(o, &n->any[i], true);
    if (rc == 0 && n->has_one)
        rc = negate_one(o);
    if (rc == 0 && n->not_node != NODE_NO)
        rc = either_all(o, &(list){1, &n->not_node}, false);
    if (rc == 0 && n->if_node != NODE_NO && n->then_node != NODE_NO)
        rc = either_two(o, n->if_node, false, n->then_node, true);
    if (rc == 0 && n->if_node != NODE_NO && n->else_node != NODE_NO)
        rc = either_two(o, n->if_node, true, n->else_node, true);
    return rc;
}

static int negate_number(opening *o)
{
    const node *n = o->n;
    int rc = 0;
    if (!(n->types & 1 << JSON_NUMBER))
        rc = either_atom(o, ATOM_INTEGER, 0, 0, 0, 0);
    for (uint32_t i = 0; i < n->n_bounds && rc == 0; i++) {
        const bound *b = &n->bounds[i];
        rc = either_atom(o, b->upper ? ATOM_LO : ATOM_HI, b->number, !b->open, 0, 0);
    }
    if (rc == 0 && n->multiple != LIMIT_NO)
        rc = either_atom(o, ATOM_MULTIPLE, n->multiple, 0, 0, 0);
    if (rc == 0 && n->has_choices)
        rc = either_atom(o, ATOM_NUMBERS, o->id, 0, 0, 0);
    return rc;
}

static int negate_range(opening *o, atom_kind kind, uint32_t min, uint32_t max)
{
    int rc = 0;
    if (min > 0)
        rc = either_atom(o, kind, 0, min - 1, 0, 0);
    if (rc == 0 && max < LIMIT_NO - 1)
        rc = either_atom(o, kind, max + 1, LIMIT_NO, 0, 0);
    return rc;
}

static int negate_string(opening *o)
{
    const node *n = o->n;
    int rc = negate_range(o, ATOM_LENGTH, n->min_length, n->max_length);
    if (rc == 0 && n->has_choices) {
        uint32_t set;
        rc = text_of(o->c, TEXT_SET, o->id, n->choices, n->n_choices, &set, o->err);
        if (rc == 0)
            rc = either_atom(o, ATOM_TEXT, set, 0, 0, 0);
    }
    if (rc == 0 && n->pattern != LIMIT_NO)
        rc = either_atom(o, ATOM_TEXT, n->pattern, 0, 0, 0);
    if (rc == 0 && n->format != LIMIT_NO)
        rc = either_atom(o, ATOM_TEXT, n->format, 0, 0, 0);
    return rc;
}

static int negate_array(opening *o)
{
    const node *n = o->n;
    int rc = n->has_choices ? either_all(o, &n->choice_nodes, true) : 0;
    if (rc == 0)
        rc = negate_range(o, ATOM_COUNT, n->min_items, n->max_items);
    for (uint32_t i = 0; i < n->prefix.n && rc == 0; i++)
        rc = either_atom(o, ATOM_ITEM, i, literal_of(n->prefix.at[i], true), 0, 0);
    if (rc == 0 && n->rest != NODE_NO)
        rc = either_atom(o, ATOM_CONTAINS, literal_of(n->rest, true), 1, LIMIT_NO,
                         n->prefix.n);
    if (rc == 0 && n->unique)
        rc = either_atom(o, ATOM_UNIQUE, 0, 0, 0, 0);
    uint32_t contains = literal_of(n->contains, false);
    if (rc == 0 && n->contains != NODE_NO && n->min_contains > 0)
        rc = either_atom(o, ATOM_CONTAINS, contains, 0, n->min_contains - 1, 0);
    if (rc == 0 && n->contains != NODE_NO && n->max_contains < LIMIT_NO - 1)
        rc = either_atom(o, ATOM_CONTAINS, contains, n->max_contains + 1, LIMIT_NO, 0);
    return rc;
}

static int negate_dependents(opening *o)
{
    int rc = 0;
    for (uint32_t i = 0; i < o->n->n_dependents && rc == 0; i++) {
        const dependent *d = &o->n->dependents[i];
        uint32_t n = d->node == NODE_NO ? d->needs.n : 1;
        for (uint32_t j = 0; j < n && rc == 0; j++) {
            ids one = {0};
            rc = add_atom(o, &one, ATOM_HAS, d->name, 0, 0, 0);
            if (rc == 0 && d->node == NODE_NO)
                rc = add_atom(o, &one, ATOM_LACKS, d->needs.at[j], 0, 0, 0);
            else if (rc == 0)
                rc = add_literal(o, &one, d->node, true);
            if (rc == 0)
                rc = cases_add(&o->either, &one, o->err);
            ids_done(&one);
        }
    }
    return rc;
}

/* A listed property is there and not as it should be; where it must be there anyway, it
 * is enough that it is not as it should be if it is. */
static int negate_prop(opening *o, uint32_t name, uint32_t id, bool must)
{
    uint32_t literal = literal_of(id, true);
    if (literal_plain(o->c, &literal) == TRUTH_NEVER)
        return must ? either_atom(o, ATOM_LACKS, name, 0, 0, 0) : 0;
    ids one = {0};
    int rc = must ? 0 : add_atom(o, &one, ATOM_HAS, name, 0, 0, 0);
    if (rc == 0)
        rc = add_atom(o, &one, ATOM_VALUE, name, literal, 0, 0);
    if (rc == 0)
        rc = cases_add(&o->either, &one, o->err);
    ids_done(&one);
    return rc;
}

static bool among(const list *names, uint32_t name)
{
    for (uint32_t i = 0; i < names->n; i++) {
        if (names->at[i] == name)
            return true;
    }
    return false;
}

/* Some listed property, some of a pattern, or some other one that is not as it should. */
static int negate_props(opening *o)
{
    const node *n = o->n;
    int rc = 0;
    for (uint32_t i = 0; i < n->required.n && rc == 0; i++) {
        if (!among(&n->names, n->required.at[i]))
            rc = either_atom(o, ATOM_LACKS, n->required.at[i], 0, 0, 0);
    }
    for (uint32_t i = 0; i < n->names.n && rc == 0; i++)
        rc = negate_prop(o, n->names.at[i], n->name_nodes.at[i],
                         among(&n->required, n->names.at[i]));
    for (uint32_t i = 0; i < n->patterns.n && rc == 0; i++) {
        uint32_t literal = literal_of(n->pattern_nodes.at[i], true);
        if (literal_plain(o->c, &literal) != TRUTH_NEVER)
            rc = either_atom(o, ATOM_SOME, o->id, i, 0, 0);
    }
    uint32_t literal = literal_of(n->additional, true);
    if (rc == 0 && (n->value || (n->additional != NODE_NO &&
                                 literal_plain(o->c, &literal) != TRUTH_NEVER)))
        rc = either_atom(o, ATOM_SOME, o->id, LIMIT_NO, 0, 0);
    return rc;
}

static int negate_object(opening *o)
{
    const node *n = o->n;
    int rc = n->has_choices ? either_all(o, &n->choice_nodes, true) : 0;
    if (rc == 0)
        rc = negate_range(o, ATOM_MEMBERS, n->min_props, n->max_props);
    if (rc == 0)
        rc = negate_props(o);
    if (rc == 0 && n->name_schema != NODE_NO)
        rc = either_atom(o, ATOM_SOME_NAME, literal_of(n->name_schema, true), 0, 0, 0);
    return rc < 0 ? rc : negate_dependents(o);
}

/* All else holds, but what is left over by it is not as it should be. */
static int negate_rest(opening *o)
{
    const node *n = o->n;
    bool props = o->type == JSON_OBJECT && n->other_props != NODE_NO;
    if (!props && !(o->type == JSON_ARRAY && n->other_items != NODE_NO))
        return 0;
    opening all = {
        .c = o->c, .n = n, .id = o->id, .type = o->type, .no_rest = true, .err = o->err};
    int rc = open_positive(&all);
    if (rc == 0)
        rc = add_atom(o, &all.terms, props ? ATOM_SOME_REST : ATOM_SOME_OTHER, o->id, 0,
                      0, 0);
    if (rc == 0 && !all.never)
        rc = cases_add(&o->either, &all.terms, o->err);
    ids_done(&all.terms);
    return rc;
}

int open_negative(opening *o)
{
    const node *n = o->n;
    uint16_t wanted = (uint16_t)(1 << o->type);
    if (o->type == JSON_NUMBER)
        wanted |= TYPE_INTEGER;
    if (!(n->types & wanted) || (n->has_choices && !has_choice(n, o->type))) {
        o->always = true;
        return 0;
    }
    int rc = 0;
    if (o->type == JSON_NUMBER)
        rc = negate_number(o);
    else if (o->type == JSON_STRING)
        rc = negate_string(o);
    else if (o->type == JSON_ARRAY)
        rc = negate_array(o);
    else if (o->type == JSON_OBJECT)
        rc = negate_object(o);
    if (rc == 0)
        rc = negate_branches(o);
    return rc < 0 ? rc : negate_rest(o);
}
