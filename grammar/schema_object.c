/* grammar/schema_object.c - the atoms of objects folded into a shape.
 *
 * Every subschema that looks at names (properties, patternProperties and
 * additionalProperties together) gives each name one or more literals; the goal of a name
 * is all of them.  Names that are told apart by none have a label in common. */
#include "grammar/schema_keys.h"

#include "base/mem.h"
#include <string.h>

typedef struct object_fold {
    const ids *atoms;
    uint32_t min, max;
    ids has, lacks; /* names */
    ids looking;    /* nodes of ATOM_PROPS, sorted: the order of the schema */
    bool never;
} object_fold;

static void fold_done(object_fold *f)
{
    ids_done(&f->has);
    ids_done(&f->lacks);
    ids_done(&f->looking);
}

/* Names that must be there because others are. */
static int add_needs(compiler *c, object_fold *f, st_err *err)
{
    int rc = 0;
    for (bool again = true; again && rc == 0;) {
        again = false;
        for (uint32_t i = 0; i < f->atoms->n && rc == 0; i++) {
            atom a = atom_get(c, f->atoms->at[i]);
            if (a.kind != ATOM_NEEDS || !ids_has(&f->has, a.a) || ids_has(&f->has, a.b))
                continue;
            rc = ids_insert(&f->has, a.b, err);
            again = true;
        }
    }
    for (bool again = true; again && rc == 0;) { /* nor can what needs a missing one */
        again = false;
        for (uint32_t i = 0; i < f->atoms->n && rc == 0; i++) {
            atom a = atom_get(c, f->atoms->at[i]);
            if (a.kind != ATOM_NEEDS || !ids_has(&f->lacks, a.b) ||
                ids_has(&f->lacks, a.a))
                continue;
            rc = ids_insert(&f->lacks, a.a, err);
            again = true;
        }
    }
    return rc;
}

static int fold(compiler *c, const ids *atoms, object_fold *f, st_err *err)
{
    *f = (object_fold){.atoms = atoms, .max = LIMIT_NO};
    int rc = 0;
    bool needs = false;
    for (uint32_t i = 0; i < atoms->n && rc == 0; i++) {
        atom a = atom_get(c, atoms->at[i]);
        if (a.kind == ATOM_PROPS)
            rc = ids_insert(&f->looking, a.a, err);
        else if (a.kind == ATOM_HAS)
            rc = ids_insert(&f->has, a.a, err);
        else if (a.kind == ATOM_LACKS)
            rc = ids_insert(&f->lacks, a.a, err);
        needs |= a.kind == ATOM_NEEDS;
        if (a.kind == ATOM_MEMBERS) {
            f->min = a.a > f->min ? a.a : f->min;
            f->max = a.b < f->max ? a.b : f->max;
        }
    }
    if (rc == 0 && needs)
        rc = add_needs(c, f, err);
    for (uint32_t i = 0; i < f->has.n && rc == 0; i++)
        f->never |= ids_has(&f->lacks, f->has.at[i]);
    f->never |= f->min > f->max || f->has.n > f->max;
    if (rc < 0)
        fold_done(f);
    return rc;
}

/* A name as the subschemas see it. */
typedef struct seen {
    uint32_t name;        /* of compiler.names; 0: none that is listed */
    const key_spec *spec; /* which of its parts take it: */
    uint64_t parts;
} seen;

/* Does a pattern take the name? */
static int pattern_takes(compiler *c, const seen *s, uint32_t text, bool *ret,
                         st_err *err)
{
    if (s->spec) {
        uint32_t i = 0;
        while (s->spec->parts.at[i] != text)
            i++;
        *ret = s->parts >> i & 1;
        return 0;
    }
    const dfa *d;
    bool is_free;
    size_t len;
    int rc = text_dfa(c, text, &d, &is_free, err);
    if (rc < 0)
        return rc;
    const char *name = intern_get(&c->names, s->name, &len);
    *ret = d->label[dfa_run(d, d->start, name, len)] != 0;
    return 0;
}

/* Add what properties and patternProperties of a node say of the name; *ret_any: one of
 * them speaks of it, so that additionalProperties does not. */
static int look(compiler *c, uint32_t id, const seen *s, ids *literals, bool *ret_any,
                st_err *err)
{
    const node *n = &c->nodes[id];
    int rc = 0;
    *ret_any = false;
    for (uint32_t i = 0; s->name && i < n->names.n; i++) {
        if (n->names.at[i] != s->name)
            continue;
        *ret_any = true;
        if (literals)
            rc = ids_add(literals, literal_of(n->name_nodes.at[i], false), err);
        break;
    }
    for (uint32_t i = 0; i < n->patterns.n && rc == 0; i++) {
        bool takes;
        rc = pattern_takes(c, s, n->patterns.at[i], &takes, err);
        if (rc < 0 || !takes)
            continue;
        *ret_any = true;
        if (literals)
            rc = ids_add(literals, literal_of(n->pattern_nodes.at[i], false), err);
    }
    return rc;
}

/* Does one of the nodes of an ATOM_REST or ATOM_SOME_REST look at the name? */
static int looked_at(compiler *c, const atom *a, const seen *s, bool *ret, st_err *err)
{
    size_t len;
    const uint32_t *nodes = intern_get(&c->lists, a->b, &len);
    int rc = 0;
    *ret = false;
    for (size_t i = 0; i < len / sizeof *nodes && rc == 0 && !*ret; i++) {
        const node *n = &c->nodes[nodes[i]];
        rc = look(c, nodes[i], s, NULL, ret, err);
        *ret |=
            n->additional != NODE_NO || (nodes[i] != a->a && n->other_props != NODE_NO);
    }
    return rc;
}

/* The literals that the atoms give a name's value; *never: the name is not allowed. */
static int name_literals(compiler *c, const object_fold *f, const seen *s, ids *literals,
                         bool *never, st_err *err)
{
    int rc = 0;
    *never = s->name && ids_has(&f->lacks, s->name);
    for (uint32_t i = 0; i < f->looking.n && rc == 0 && !*never; i++) {
        const node *n = &c->nodes[f->looking.at[i]];
        bool any;
        rc = look(c, f->looking.at[i], s, literals, &any, err);
        if (rc == 0 && !any && n->additional != NODE_NO)
            rc = ids_add(literals, literal_of(n->additional, false), err);
        *never |= !any && n->value;
    }
    for (uint32_t i = 0; i < f->atoms->n && rc == 0 && !*never; i++) {
        atom a = atom_get(c, f->atoms->at[i]);
        if (a.kind == ATOM_VALUE && s->name == a.a)
            rc = ids_add(literals, a.b, err);
        if (a.kind != ATOM_REST || a.b == 0)
            continue;
        bool any;
        rc = looked_at(c, &a, s, &any, err);
        if (rc == 0 && !any)
            rc = ids_add(literals, literal_of(c->nodes[a.a].other_props, false), err);
    }
    return rc;
}

static int name_goal(compiler *c, const object_fold *f, const seen *s, uint32_t also,
                     goal_id *ret, st_err *err)
{
    ids literals = {0};
    bool never;
    int rc = name_literals(c, f, s, &literals, &never, err);
    if (rc == 0 && also != LIMIT_NO)
        rc = ids_add(&literals, also, err);
    if (rc == 0 && never)
        *ret = GOAL_NONE;
    else if (rc == 0)
        rc = goal_of(c, &literals, ret, err);
    ids_done(&literals);
    return rc;
}

int object_maybe(compiler *c, const ids *atoms, bool *ret, st_err *err)
{
    object_fold f;
    int rc = fold(c, atoms, &f, err);
    if (rc < 0)
        return rc;
    *ret = !f.never;
    for (uint32_t i = 0; i < f.has.n && rc == 0 && *ret; i++) {
        goal_id g;
        rc = name_goal(c, &f, &(seen){.name = f.has.at[i]}, LIMIT_NO, &g, err);
        if (rc == 0)
            rc = goal_maybe(c, g, ret, err);
    }
    fold_done(&f);
    return rc;
}

typedef struct object_build {
    compiler *c;
    object_fold f;
    key_spec spec;
    uint32_t at; /* a node to name */
    keys keys;
    shape_object o;
    shape_name *names;
    goal_id *label_goal;
    goal_id **exists; /* [n_exists] their `with`; dropped ones are NULL */
    uint32_t n_exists;
    bool never;
    st_err *err;
} object_build;

/* Names are kept apart in c->name_at: index + 1 of those that are listed. */
static int list_name(object_build *b, uint32_t name)
{
    compiler *c = b->c;
    if (c->name_at[name] != 0)
        return 0;
    int rc = ids_add(&b->spec.names, name, b->err);
    if (rc == 0)
        c->name_at[name] = b->spec.names.n;
    return rc;
}

static int list_node(object_build *b, uint32_t id)
{
    const node *n = &b->c->nodes[id];
    int rc = 0;
    for (uint32_t i = 0; i < n->names.n && rc == 0; i++)
        rc = list_name(b, n->names.at[i]);
    for (uint32_t i = 0; i < n->patterns.n && rc == 0; i++) {
        if (!ids_has(&b->spec.parts, n->patterns.at[i]))
            rc = ids_add(&b->spec.parts, n->patterns.at[i], b->err);
    }
    return rc;
}

static int list_all(object_build *b)
{
    int rc = 0;
    for (uint32_t i = 0; i < b->f.looking.n && rc == 0; i++)
        rc = list_node(b, b->f.looking.at[i]);
    for (uint32_t i = 0; i < b->f.has.n && rc == 0; i++)
        rc = list_name(b, b->f.has.at[i]);
    for (uint32_t i = 0; i < b->f.lacks.n && rc == 0; i++)
        rc = list_name(b, b->f.lacks.at[i]);
    for (uint32_t i = 0; i < b->f.atoms->n && rc == 0; i++) {
        atom a = atom_get(b->c, b->f.atoms->at[i]);
        if (a.kind == ATOM_VALUE)
            rc = list_name(b, a.a);
        if (a.kind == ATOM_NEEDS)
            rc = list_name(b, a.a);
        if (a.kind == ATOM_NEEDS && rc == 0)
            rc = list_name(b, a.b);
        if (a.kind == ATOM_SOME)
            rc = list_node(b, a.a);
        if (a.kind == ATOM_NAMES || a.kind == ATOM_SOME_NAME) {
            rc = ids_insert(a.kind == ATOM_NAMES ? &b->spec.within : &b->spec.others, a.a,
                            b->err);
            b->at = a.node;
        }
    }
    return rc;
}

static seen seen_label(const object_build *b, uint32_t label)
{
    const dfa_label *l = &b->keys.labels[label];
    return (seen){l->name < 0 ? 0 : b->spec.names.at[l->name], &b->spec, l->parts};
}

static int make_labels(object_build *b)
{
    uint32_t n = b->keys.n_labels;
    int rc = pool_get(&b->c->s->pool, (size_t)n + 1, sizeof *b->label_goal,
                      &b->label_goal, b->err);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        seen s = seen_label(b, i);
        rc = name_goal(b->c, &b->f, &s, LIMIT_NO, &b->label_goal[i], b->err);
        int32_t name = b->keys.labels[i].name;
        if (rc == 0 && name >= 0)
            b->names[name].goal = b->label_goal[i];
    }
    return rc;
}

static int make_needs(object_build *b, shape_name *name, uint32_t id)
{
    ids needs = {0};
    int rc = 0;
    for (uint32_t i = 0; i < b->f.atoms->n && rc == 0; i++) {
        atom a = atom_get(b->c, b->f.atoms->at[i]);
        uint32_t index = a.kind == ATOM_NEEDS ? b->c->name_at[a.b] - 1 : 0;
        if (a.kind == ATOM_NEEDS && a.a == id && a.b != id && !ids_has(&b->f.has, a.b))
            rc = ids_insert(&needs, index, b->err);
    }
    list kept = {0};
    if (rc == 0)
        rc = pool_list(&b->c->s->pool, &needs, &kept, b->err);
    name->n_needs = kept.n;
    name->needs = kept.at;
    ids_done(&needs);
    return rc;
}

/* The listed properties, without their goals. */
static int make_names(object_build *b)
{
    compiler *c = b->c;
    uint32_t n = b->spec.names.n;
    int rc = pool_get(&c->s->pool, (size_t)n + 1, sizeof *b->names, &b->names, b->err);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        shape_name *to = &b->names[i];
        size_t len;
        const char *text = intern_get(&c->names, b->spec.names.at[i], &len);
        char *kept = NULL;
        rc = pool_get(&c->s->pool, len + 1, 1, &kept, b->err);
        if (rc < 0)
            break;
        memcpy(kept, text, len);
        *to = (shape_name){.name = kept,
                           .len = len,
                           .goal = GOAL_NONE,
                           .required = ids_has(&b->f.has, b->spec.names.at[i])};
        rc = make_needs(b, to, b->spec.names.at[i]);
    }
    return rc;
}

/* Does the label belong to what an ATOM_SOME... speaks of?  Then *also is
 * what its value must satisfy besides. */
static int in_question(object_build *b, const atom *a, const seen *s, bool *ret,
                       uint32_t *also)
{
    *also = LIMIT_NO;
    if (a->kind == ATOM_SOME_NAME) {
        uint32_t i = 0;
        while (b->spec.others.at[i] != a->a)
            i++;
        *ret = s->parts >> (b->spec.parts.n + i) & 1;
        return 0;
    }
    const node *n = &b->c->nodes[a->a];
    if (a->kind == ATOM_SOME_REST) {
        *also = literal_of(n->other_props, true);
        int rc = looked_at(b->c, a, s, ret, b->err);
        *ret = !*ret;
        return rc;
    }
    if (a->b != LIMIT_NO) {
        *also = literal_of(n->pattern_nodes.at[a->b], true);
        return pattern_takes(b->c, s, n->patterns.at[a->b], ret, b->err);
    }
    if (!n->value)
        *also = literal_of(n->additional, true);
    int rc = look(b->c, a->a, s, NULL, ret, b->err);
    *ret = !*ret;
    return rc;
}

static int make_exist(object_build *b, const atom *a, goal_id **ret)
{
    goal_id *with = NULL;
    int rc = pool_get(&b->c->s->pool, (size_t)b->keys.n_labels + 1, sizeof *with, &with,
                      b->err);
    for (uint32_t i = 0; i < b->keys.n_labels && rc == 0; i++) {
        seen s = seen_label(b, i);
        bool in, maybe = false;
        uint32_t also;
        rc = in_question(b, a, &s, &in, &also);
        if (rc == 0 && in)
            rc = name_goal(b->c, &b->f, &s, also, &with[i], b->err);
        if (rc == 0)
            rc = goal_maybe(b->c, with[i], &maybe, b->err);
        if (!maybe)
            with[i] = GOAL_NONE;
    }
    *ret = with;
    return rc;
}

static int make_exists(object_build *b)
{
    uint32_t n = 0;
    int rc = 0;
    for (int fill = 0; fill < 2 && rc == 0; fill++) {
        for (uint32_t i = 0; i < b->f.atoms->n && rc == 0; i++) {
            atom a = atom_get(b->c, b->f.atoms->at[i]);
            if (a.kind != ATOM_SOME && a.kind != ATOM_SOME_NAME &&
                a.kind != ATOM_SOME_REST)
                continue;
            if (fill)
                rc = make_exist(b, &a, &b->exists[b->n_exists++]);
            n += !fill;
        }
        if (!fill && n > 0)
            rc = pool_get(&b->c->pool, n, sizeof *b->exists, &b->exists, b->err);
    }
    return rc;
}

/* Where only one listed property can be the one in question, it is required. */
static int make_required(object_build *b, uint32_t index)
{
    goal_id *with = b->exists[index];
    uint32_t n = 0, last = 0;
    for (uint32_t i = 0; i < b->keys.n_labels; i++) {
        n += with[i] != GOAL_NONE;
        last = with[i] != GOAL_NONE ? i : last;
    }
    b->never |= n == 0;
    if (n != 1 || b->keys.labels[last].name < 0)
        return 0;
    int32_t name = b->keys.labels[last].name;
    int rc = ids_insert(&b->f.has, b->spec.names.at[name], b->err);
    b->names[name].required = true;
    if (rc == 0)
        rc = goal_both(b->c, b->label_goal[last], with[last], &b->label_goal[last],
                       b->err);
    b->names[name].goal = b->label_goal[last];
    b->exists[index] = NULL;
    for (uint32_t i = 0; i < b->n_exists && rc == 0; i++) {
        if (b->exists[i])
            rc = goal_both(b->c, b->exists[i][last], with[last], &b->exists[i][last],
                           b->err);
    }
    return rc;
}

/* Does every value of goal a satisfy goal b, as far as their literals show? */
static bool implies(const compiler *c, goal_id a, goal_id b)
{
    return a == GOAL_NONE ||
           (b != GOAL_NONE && ids_within(&c->goals[b].literals, &c->goals[a].literals));
}

/* Is there such a property anyway: because one must be there that always is one, or by
 * what another one asks? */
static bool is_idle(const object_build *b, uint32_t index)
{
    const goal_id *with = b->exists[index];
    uint32_t n = b->keys.n_labels;
    for (uint32_t i = 0; i < n; i++) {
        int32_t name = b->keys.labels[i].name;
        if (name >= 0 && b->names[name].required &&
            implies(b->c, b->label_goal[i], with[i]))
            return true;
    }
    for (uint32_t i = 0; i < b->n_exists; i++) {
        if (i == index || !b->exists[i])
            continue;
        uint32_t implied = 0;
        while (implied < n && implies(b->c, b->exists[i][implied], with[implied]))
            implied++;
        if (implied == n)
            return true;
    }
    return false;
}

/* Is every property one? */
static bool is_any(const object_build *b, uint32_t index)
{
    for (uint32_t i = 0; i < b->keys.n_labels; i++) {
        if (!implies(b->c, b->label_goal[i], b->exists[index][i]))
            return false;
    }
    return true;
}

static int refuse_exists(object_build *b, const char *keyword, const char *message)
{
    refuse(b->c, b->at, keyword, ST_ELIMIT, b->err, "%s", message);
    st_err_hint(b->err, "tell the branches of oneOf apart by a required property with a "
                        "const");
    return ST_ELIMIT;
}

static int keep_exists(object_build *b)
{
    int rc = 0;
    for (uint32_t i = 0; i < b->n_exists && rc == 0; i++)
        rc = make_required(b, i);
    for (uint32_t i = 0; i < b->n_exists && rc == 0; i++) {
        if (!b->exists[i])
            continue;
        if (is_idle(b, i) || is_any(b, i)) {
            if (is_any(b, i) && b->f.min == 0)
                b->f.min = 1;
            b->exists[i] = NULL;
            continue;
        }
        if (b->o.n_exists == SHAPE_EXISTS)
            return refuse_exists(b, "not",
                                 "too many properties that must be against a "
                                 "rule");
        b->o.exists[b->o.n_exists++] = (shape_exists){b->exists[i]};
    }
    if (rc == 0 && b->o.n_exists > 1 && b->f.max != LIMIT_NO)
        return refuse_exists(b, "maxProperties",
                             "beside properties that must be against "
                             "a rule");
    return rc;
}

static int build(object_build *b, shape_list *out)
{
    int rc = list_all(b);
    if (rc == 0)
        rc = keys_of(b->c, &b->spec, b->at, &b->keys, b->err);
    if (rc == 0)
        rc = make_names(b);
    if (rc == 0)
        rc = make_labels(b);
    if (rc == 0)
        rc = make_exists(b);
    if (rc == 0)
        rc = keep_exists(b);
    if (rc < 0 || b->never)
        return rc;
    shape s;
    memset(&s, 0, sizeof s);
    s.type = JSON_OBJECT;
    b->o.names = b->names;
    b->o.n_names = b->spec.names.n;
    b->o.n_required = b->f.has.n;
    b->o.keys = b->keys.d;
    b->o.labels = b->keys.labels;
    b->o.n_labels = b->keys.n_labels;
    b->o.label_ahead = b->keys.label_ahead;
    b->o.label_goal = b->label_goal;
    b->o.min = b->f.min > b->f.has.n ? b->f.min : b->f.has.n;
    b->o.max = b->f.max;
    s.object = b->o;
    return shape_add(b->c, out, &s, b->err);
}

int object_shape(compiler *c, const ids *atoms, shape_list *out, st_err *err)
{
    object_build b = {.c = c, .err = err, .at = c->at};
    int rc = fold(c, atoms, &b.f, err);
    if (rc < 0)
        return rc;
    if (!b.f.never)
        rc = build(&b, out);
    for (uint32_t i = 0; i < b.spec.names.n; i++)
        c->name_at[b.spec.names.at[i]] = 0;
    key_spec_done(&b.spec);
    fold_done(&b.f);
    return rc;
}
