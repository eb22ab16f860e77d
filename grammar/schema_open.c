/* grammar/schema_open.c - a literal opened for one JSON type: what it asks of a value.
 *
 * Keywords of other types hold by themselves, so they vanish here; a node that does not
 * allow the type is `never`.  Formulas are kept by literal and type. */
#include "grammar/schema_priv.h"

#include "base/mem.h"
#include <string.h>

int cases_add(cases *s, ids *taken, st_err *err)
{
    int rc = array_room(&s->at, s->n, &s->cap, sizeof *s->at, err);
    if (rc == 0)
        s->at[s->n++] = *taken;
    else
        ids_done(taken);
    *taken = (ids){0};
    return rc;
}

void cases_done(cases *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        ids_done(&s->at[i]);
    st_free(s->at);
    *s = (cases){0};
}

/* Does it say nothing but what `all` says? */
static bool is_blank(const node *n)
{
    return !n->value && n->types == TYPES_ALL && !n->has_choices && n->n_bounds == 0 &&
           n->multiple == LIMIT_NO && n->min_length == 0 && n->max_length == LIMIT_NO &&
           n->pattern == LIMIT_NO && n->format == LIMIT_NO && n->prefix.n == 0 &&
           n->rest == NODE_NO && n->min_items == 0 && n->max_items == LIMIT_NO &&
           !n->unique && n->contains == NODE_NO && n->other_items == NODE_NO &&
           n->names.n == 0 && n->patterns.n == 0 && n->additional == NODE_NO &&
           n->required.n == 0 && n->min_props == 0 && n->max_props == LIMIT_NO &&
           n->name_schema == NODE_NO && n->other_props == NODE_NO &&
           n->n_dependents == 0 && n->n_any == 0 && !n->has_one &&
           n->not_node == NODE_NO && n->if_node == NODE_NO;
}

truth literal_plain(const compiler *c, uint32_t *literal)
{
    for (;;) {
        const node *n = &c->nodes[*literal / 2];
        bool negated = *literal & 1;
        if (n->types == 0)
            return negated ? TRUTH_ALWAYS : TRUTH_NEVER;
        if (!is_blank(n) || n->all.n > 1)
            return TRUTH_OPEN;
        if (n->all.n == 0)
            return negated ? TRUTH_NEVER : TRUTH_ALWAYS;
        *literal = literal_of(n->all.at[0], negated);
    }
}

atom atom_get(const compiler *c, uint32_t number)
{
    size_t len;
    atom a;
    memcpy(&a, intern_get(&c->atoms, number, &len), sizeof a);
    return a;
}

int add_atom(opening *o, ids *to, atom_kind kind, uint32_t a, uint32_t b, uint32_t c,
             uint32_t d)
{
    bool refusable = kind == ATOM_MULTIPLE || kind == ATOM_UNIQUE ||
                     kind == ATOM_CONTAINS || kind == ATOM_NAMES ||
                     kind == ATOM_SOME_NAME;
    atom x = {kind, a, b, c, d, refusable ? o->id : NODE_NO};
    uint32_t number;
    int rc = intern_put(&o->c->atoms, &x, sizeof x, &number, o->err);
    return rc < 0 ? rc : ids_add(to, term_of(TERM_ATOM, number), o->err);
}

int add_literal(opening *o, ids *to, uint32_t id, bool negated)
{
    uint32_t literal = literal_of(id, negated);
    truth t = literal_plain(o->c, &literal);
    if (t == TRUTH_ALWAYS)
        return 0;
    if (t == TRUTH_NEVER && to == &o->terms)
        o->never = true;
    return ids_add(to, term_of(TERM_LITERAL, literal), o->err);
}

bool has_choice(const node *n, json_type type)
{
    for (uint32_t i = 0; i < n->n_choices; i++) {
        if (n->choices[i].type == type)
            return true;
    }
    return false;
}

/* Make a group of alternatives and add it to `to`. */
static int add_group(opening *o, ids *to, const cases *alternatives)
{
    compiler *c = o->c;
    int rc =
        array_room(&c->groups, c->n_groups, &c->cap_groups, sizeof *c->groups, o->err);
    list *lists = NULL;
    if (rc == 0)
        rc = pool_get(&c->pool, alternatives->n, sizeof *lists, &lists, o->err);
    for (uint32_t i = 0; i < alternatives->n && rc == 0; i++)
        rc = pool_list(&c->pool, &alternatives->at[i], &lists[i], o->err);
    if (rc == 0)
        rc = ids_add(to, term_of(TERM_GROUP, c->n_groups), o->err);
    if (rc == 0)
        c->groups[c->n_groups++] = (group){alternatives->n, lists};
    return rc;
}

/* The alternatives are complete: a group of them, unless something failed before. */
static int close_group(opening *o, cases *alternatives, int rc)
{
    if (rc == 0)
        rc = add_group(o, &o->terms, alternatives);
    cases_done(alternatives);
    return rc;
}

/* An alternative of one literal. */
static int add_alternative(opening *o, cases *to, uint32_t node_index, bool negated)
{
    ids one = {0};
    int rc = add_literal(o, &one, node_index, negated);
    if (rc == 0)
        rc = cases_add(to, &one, o->err);
    ids_done(&one);
    return rc;
}

/* One of the nodes must hold; `exact`: and of each it must be known whether it does. */
static int open_any(opening *o, const list *nodes, bool exact)
{
    cases either = {0};
    int rc = 0;
    for (uint32_t i = 0; i < nodes->n && rc == 0; i++)
        rc = add_alternative(o, &either, nodes->at[i], false);
    rc = close_group(o, &either, rc);
    for (uint32_t i = 0; i < nodes->n && rc == 0 && exact; i++) {
        cases known = {0};
        rc = add_alternative(o, &known, nodes->at[i], false);
        if (rc == 0)
            rc = add_alternative(o, &known, nodes->at[i], true);
        rc = close_group(o, &known, rc);
    }
    return rc;
}

/* Exactly one: each without all the others, where they can hold together at all. */
static int open_one(opening *o)
{
    const list *nodes = &o->n->one;
    cases either = {0};
    int rc = 0;
    for (uint32_t i = 0; i < nodes->n && rc == 0; i++) {
        ids one = {0};
        rc = add_literal(o, &one, nodes->at[i], false);
        for (uint32_t j = 0; j < nodes->n && rc == 0; j++) {
            uint32_t other = literal_of(nodes->at[j], false);
            if (j == i || nodes_clash(o->c, nodes->at[i], nodes->at[j]))
                continue;
            literal_plain(o->c, &other);
            rc = ids_add(&one, term_of(TERM_EXCEPT, other), o->err);
        }
        if (rc == 0)
            rc = cases_add(&either, &one, o->err);
        ids_done(&one);
    }
    return close_group(o, &either, rc);
}

static int open_if(opening *o)
{
    const node *n = o->n;
    if (n->then_node == NODE_NO && n->else_node == NODE_NO && !n->exact)
        return 0;
    cases either = {0};
    int rc = 0;
    for (int negated = 0; negated < 2 && rc == 0; negated++) {
        uint32_t so = negated ? n->else_node : n->then_node;
        ids one = {0};
        rc = add_literal(o, &one, n->if_node, negated);
        if (rc == 0 && so != NODE_NO)
            rc = add_literal(o, &one, so, false);
        if (rc == 0)
            rc = cases_add(&either, &one, o->err);
        ids_done(&one);
    }
    return close_group(o, &either, rc);
}

static int open_branches(opening *o)
{
    const node *n = o->n;
    int rc = 0;
    for (uint32_t i = 0; i < n->all.n && rc == 0; i++)
        rc = add_literal(o, &o->terms, n->all.at[i], false);
    for (uint32_t i = 0; i < n->n_any && rc == 0; i++)
        rc = open_any(o, &n->any[i], n->exact);
    if (rc == 0 && n->has_one)
        rc = open_one(o);
    if (rc == 0 && n->not_node != NODE_NO)
        rc = add_literal(o, &o->terms, n->not_node, true);
    if (rc == 0 && n->if_node != NODE_NO)
        rc = open_if(o);
    return rc;
}

static int open_number(opening *o)
{
    const node *n = o->n;
    int rc = 0;
    if (!(n->types & 1 << JSON_NUMBER))
        rc = add_atom(o, &o->terms, ATOM_INTEGER, 1, 0, 0, 0);
    for (uint32_t i = 0; i < n->n_bounds && rc == 0; i++) {
        const bound *b = &n->bounds[i];
        rc = add_atom(o, &o->terms, b->upper ? ATOM_HI : ATOM_LO, b->number, b->open, 0,
                      0);
    }
    if (rc == 0 && n->multiple != LIMIT_NO)
        rc = add_atom(o, &o->terms, ATOM_MULTIPLE, n->multiple, 1, 0, 0);
    if (rc == 0 && n->has_choices)
        rc = add_atom(o, &o->terms, ATOM_NUMBERS, o->id, 1, 0, 0);
    return rc;
}

static int open_string(opening *o)
{
    const node *n = o->n;
    uint32_t set;
    int rc = 0;
    if (n->has_choices) {
        rc = text_of(o->c, TEXT_SET, o->id, n->choices, n->n_choices, &set, o->err);
        if (rc == 0)
            rc = add_atom(o, &o->terms, ATOM_TEXT, set, 1, 0, 0);
    }
    if (rc == 0 && (n->min_length > 0 || n->max_length != LIMIT_NO))
        rc = add_atom(o, &o->terms, ATOM_LENGTH, n->min_length, n->max_length, 0, 0);
    if (rc == 0 && n->pattern != LIMIT_NO)
        rc = add_atom(o, &o->terms, ATOM_TEXT, n->pattern, 1, 0, 0);
    if (rc == 0 && n->format != LIMIT_NO)
        rc = add_atom(o, &o->terms, ATOM_TEXT, n->format, 1, 0, 0);
    return rc;
}

static int open_array(opening *o)
{
    const node *n = o->n;
    int rc = 0;
    if (n->has_choices)
        rc = open_any(o, &n->choice_nodes, false);
    if (rc == 0 && (n->prefix.n > 0 || n->rest != NODE_NO))
        rc = add_atom(o, &o->terms, ATOM_ITEMS, o->id, 0, 0, 0);
    if (rc == 0 && (n->min_items > 0 || n->max_items != LIMIT_NO))
        rc = add_atom(o, &o->terms, ATOM_COUNT, n->min_items, n->max_items, 0, 0);
    if (rc == 0 && n->unique)
        rc = add_atom(o, &o->terms, ATOM_UNIQUE, 1, 0, 0, 0);
    if (rc == 0 && n->contains != NODE_NO)
        rc = add_atom(o, &o->terms, ATOM_CONTAINS, literal_of(n->contains, false),
                      n->min_contains, n->max_contains, 0);
    if (rc == 0 && n->other_items != NODE_NO && !o->no_rest)
        rc = add_atom(o, &o->terms, ATOM_OTHERS, o->id, 0, 0, 0);
    return rc;
}

static int open_dependents(opening *o)
{
    int rc = 0;
    for (uint32_t i = 0; i < o->n->n_dependents && rc == 0; i++) {
        const dependent *d = &o->n->dependents[i];
        if (d->node == NODE_NO) {
            for (uint32_t j = 0; j < d->needs.n && rc == 0; j++)
                rc = add_atom(o, &o->terms, ATOM_NEEDS, d->name, d->needs.at[j], 0, 0);
            continue;
        }
        cases either = {0};
        ids absent = {0}, present = {0};
        rc = add_atom(o, &absent, ATOM_LACKS, d->name, 0, 0, 0);
        if (rc == 0)
            rc = add_atom(o, &present, ATOM_HAS, d->name, 0, 0, 0);
        if (rc == 0)
            rc = add_literal(o, &present, d->node, false);
        if (rc == 0)
            rc = cases_add(&either, &absent, o->err);
        if (rc == 0)
            rc = cases_add(&either, &present, o->err);
        if (rc == 0)
            rc = add_group(o, &o->terms, &either);
        ids_done(&absent);
        ids_done(&present);
        cases_done(&either);
    }
    return rc;
}

static int open_object(opening *o)
{
    const node *n = o->n;
    int rc = 0;
    if (n->has_choices)
        rc = open_any(o, &n->choice_nodes, false);
    if (rc == 0 &&
        (n->value || n->names.n > 0 || n->patterns.n > 0 || n->additional != NODE_NO))
        rc = add_atom(o, &o->terms, ATOM_PROPS, o->id, 0, 0, 0);
    for (uint32_t i = 0; i < n->required.n && rc == 0; i++)
        rc = add_atom(o, &o->terms, ATOM_HAS, n->required.at[i], 0, 0, 0);
    if (rc == 0 && (n->min_props > 0 || n->max_props != LIMIT_NO))
        rc = add_atom(o, &o->terms, ATOM_MEMBERS, n->min_props, n->max_props, 0, 0);
    if (rc == 0 && n->name_schema != NODE_NO)
        rc = add_atom(o, &o->terms, ATOM_NAMES, literal_of(n->name_schema, false), 0, 0,
                      0);
    if (rc == 0)
        rc = open_dependents(o);
    if (rc == 0 && n->other_props != NODE_NO && !o->no_rest)
        rc = add_atom(o, &o->terms, ATOM_REST, o->id, 0, 0, 0);
    return rc;
}

int open_positive(opening *o)
{
    const node *n = o->n;
    uint16_t wanted = (uint16_t)(1 << o->type);
    if (o->type == JSON_NUMBER)
        wanted |= TYPE_INTEGER;
    if (!(n->types & wanted) || (n->has_choices && !has_choice(n, o->type))) {
        o->never = true;
        return 0;
    }
    int rc = 0;
    if (o->type == JSON_NUMBER)
        rc = open_number(o);
    else if (o->type == JSON_STRING)
        rc = open_string(o);
    else if (o->type == JSON_ARRAY)
        rc = open_array(o);
    else if (o->type == JSON_OBJECT)
        rc = open_object(o);
    return rc < 0 ? rc : open_branches(o);
}

/* What open_negative found, as terms. */
static int close_negative(opening *o)
{
    if (o->always)
        return 0;
    o->never = o->either.n == 0;
    if (o->either.n > 1)
        return add_group(o, &o->terms, &o->either);
    int rc = 0;
    for (uint32_t i = 0; o->either.n == 1 && i < o->either.at[0].n && rc == 0; i++)
        rc = ids_add(&o->terms, o->either.at[0].at[i], o->err);
    return rc;
}

int formula_of(compiler *c, uint32_t literal, json_type type, const formula **ret,
               st_err *err)
{
    formula *f = &c->formulas[(size_t)literal * (JSON_OBJECT + 1) + type];
    *ret = f;
    if (f->made)
        return 0;
    opening o = {
        .c = c, .n = &c->nodes[literal / 2], .id = literal / 2, .type = type, .err = err};
    int rc = literal & 1 ? open_negative(&o) : open_positive(&o);
    if (rc == 0 && (literal & 1))
        rc = close_negative(&o);
    if (rc == 0 && !o.never)
        rc = pool_list(&c->pool, &o.terms, &f->terms, err);
    ids_done(&o.terms);
    cases_done(&o.either);
    if (rc < 0)
        return rc;
    f->never = o.never;
    f->made = true;
    return 0;
}
