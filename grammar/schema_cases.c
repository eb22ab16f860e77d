/* grammar/schema_cases.c - every way in which a value of one type satisfies a goal.
 *
 * A state holds what is settled (literals and the atoms they lead to) and what is not:
 * groups, of which one alternative each must hold, and exceptions, literals that must not
 * hold.  A group is dropped when one of its alternatives holds already, and settled when
 * only one can; the smallest of the others is split.  When no group is left, an exception
 * that cannot hold beside what is settled is dropped, else its negation is settled, which
 * may bring groups again.  So `oneOf` costs nothing where its branches exclude each other
 * in the company they are in.
 *
 * In a probe the walk ends at the first case that seems possible, and exceptions are left
 * out: a probe may say "maybe" wrongly, never "no". */
#include "grammar/schema_priv.h"

#include "base/mem.h"

typedef struct state {
    ids atoms, literals; /* sorted */
    ids groups, except;
} state;

typedef struct walker {
    compiler *c;
    json_type type;
    bool probe, found;
    cases *out;
    uint32_t at; /* the node to name when there are too many */
    st_err *err;
} walker;

int work_done(compiler *c, uint64_t steps, st_err *err)
{
    c->steps += steps;
    if (c->steps <= SCHEMA_STEPS)
        return 0;
    refuse(c, c->at, "schema", ST_ELIMIT, err, "too many combinations of alternatives");
    st_err_hint(err, "tell the branches of oneOf and anyOf apart by a required property "
                     "with a const");
    return ST_ELIMIT;
}

static void state_done(state *s)
{
    ids_done(&s->atoms);
    ids_done(&s->literals);
    ids_done(&s->groups);
    ids_done(&s->except);
}

static int state_copy(state *to, const state *from, st_err *err)
{
    *to = (state){0};
    int rc = ids_copy(&to->atoms, &from->atoms, err);
    if (rc == 0)
        rc = ids_copy(&to->literals, &from->literals, err);
    if (rc == 0)
        rc = ids_copy(&to->groups, &from->groups, err);
    if (rc == 0)
        rc = ids_copy(&to->except, &from->except, err);
    if (rc < 0)
        state_done(to);
    return rc;
}

/* HAS against LACKS of the same name: the contradiction that is met most. */
static bool opposed(const compiler *c, const ids *atoms, uint32_t number)
{
    atom a = atom_get(c, number);
    if (a.kind != ATOM_HAS && a.kind != ATOM_LACKS)
        return false;
    for (uint32_t i = 0; i < atoms->n; i++) {
        atom b = atom_get(c, atoms->at[i]);
        if (b.kind == (a.kind == ATOM_HAS ? ATOM_LACKS : ATOM_HAS) && b.a == a.a)
            return true;
    }
    return false;
}

/* Settle a term.  *dead: it contradicts what is settled. */
static int settle(walker *w, state *s, term t, bool *dead)
{
    uint32_t number = term_number(t);
    if (term_kind(t) == TERM_GROUP)
        return ids_has(&s->groups, number) ? 0 : ids_add(&s->groups, number, w->err);
    if (term_kind(t) == TERM_ATOM) {
        *dead |= opposed(w->c, &s->atoms, number);
        return ids_insert(&s->atoms, number, w->err);
    }
    if (term_kind(t) == TERM_EXCEPT) {
        *dead |= ids_has(&s->literals, number);
        return ids_has(&s->except, number) ? 0 : ids_add(&s->except, number, w->err);
    }
    if (ids_has(&s->literals, number))
        return 0;
    const formula *f;
    int rc = formula_of(w->c, number, w->type, &f, w->err);
    if (rc < 0)
        return rc;
    *dead |= f->never || ids_has(&s->literals, number ^ 1) || ids_has(&s->except, number);
    rc = ids_insert(&s->literals, number, w->err);
    for (uint32_t i = 0; i < f->terms.n && rc == 0 && !*dead; i++)
        rc = settle(w, s, f->terms.at[i], dead);
    return rc;
}

typedef enum standing { STANDS, FALLS, OPEN } standing;

static int literal_standing(walker *w, const state *s, uint32_t literal, standing *ret)
{
    const formula *f;
    *ret = ids_has(&s->literals, literal) ? STANDS : OPEN;
    if (*ret == STANDS)
        return 0;
    int rc = formula_of(w->c, literal, w->type, &f, w->err);
    if (rc < 0)
        return rc;
    if (f->never || ids_has(&s->literals, literal ^ 1) || ids_has(&s->except, literal))
        *ret = FALLS;
    else if (f->terms.n == 0)
        *ret = STANDS;
    return 0;
}

static int term_standing(walker *w, const state *s, term t, standing *ret)
{
    uint32_t number = term_number(t);
    *ret = OPEN;
    switch (term_kind(t)) {
    case TERM_GROUP:
        if (ids_has(&s->groups, number))
            *ret = STANDS;
        return 0;
    case TERM_ATOM:
        if (ids_has(&s->atoms, number))
            *ret = STANDS;
        else if (opposed(w->c, &s->atoms, number))
            *ret = FALLS;
        return 0;
    case TERM_LITERAL:
        return literal_standing(w, s, number, ret);
    }
    int rc = literal_standing(w, s, number, ret); /* an exception is its opposite */
    if (*ret != OPEN)
        *ret = *ret == STANDS ? FALLS : STANDS;
    return rc;
}

static int alternative_standing(walker *w, const state *s, const list *alternative,
                                standing *ret)
{
    *ret = STANDS;
    for (uint32_t i = 0; i < alternative->n; i++) {
        standing one;
        int rc = term_standing(w, s, alternative->at[i], &one);
        if (rc < 0)
            return rc;
        if (one == FALLS) {
            *ret = FALLS;
            return 0;
        }
        if (one == OPEN)
            *ret = OPEN;
    }
    return 0;
}

/* How many alternatives of a group are open (and the last of them); *holds: it is
 * satisfied by one that stands. */
static int group_standing(walker *w, const state *s, const group *g, uint32_t *ret_open,
                          uint32_t *ret_last, bool *holds)
{
    *ret_open = 0;
    *holds = false;
    for (uint32_t i = 0; i < g->n && !*holds; i++) {
        standing one;
        int rc = alternative_standing(w, s, &g->alternatives[i], &one);
        if (rc < 0)
            return rc;
        *holds = one == STANDS;
        if (one == OPEN) {
            ++*ret_open;
            *ret_last = i;
        }
    }
    return 0;
}

static int settle_all(walker *w, state *s, const list *terms, bool *dead)
{
    int rc = 0;
    for (uint32_t i = 0; i < terms->n && rc == 0 && !*dead; i++)
        rc = settle(w, s, terms->at[i], dead);
    return rc;
}

static int check(walker *w, const state *s, bool *dead)
{
    bool maybe = true;
    int rc = *dead ? 0 : atoms_maybe(w->c, &s->atoms, w->type, false, &maybe, w->err);
    *dead |= !maybe;
    return rc;
}

/* Settle what has only one way, until every group is open; *smallest: the index of the
 * group with the fewest ways. */
static int propagate(walker *w, state *s, uint32_t *smallest, bool *dead)
{
    bool again = true;
    while (again && !*dead) {
        again = false;
        uint32_t fewest = UINT32_MAX;
        for (uint32_t i = 0; i < s->groups.n && !*dead;) {
            uint32_t open, last = 0, number = s->groups.at[i];
            bool holds;
            group g = w->c->groups[number]; /* they move when others are made */
            int rc = group_standing(w, s, &g, &open, &last, &holds);
            if (rc < 0)
                return rc;
            if (holds || open < 2)
                s->groups.at[i] = s->groups.at[--s->groups.n];
            if (!holds && open == 0)
                *dead = true;
            if (!holds && open == 1) {
                rc = settle_all(w, s, &g.alternatives[last], dead);
                again = true;
            }
            if (rc < 0)
                return rc;
            if (holds || open < 2)
                continue;
            if (open < fewest) {
                fewest = open;
                *smallest = i;
            }
            i++;
        }
        if (again) {
            int rc = check(w, s, dead);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

static int explore(walker *w, state *s);

static int split(walker *w, const state *s, uint32_t index)
{
    uint32_t number = s->groups.at[index];
    const group g = w->c->groups[number];
    for (uint32_t i = 0; i < g.n && !w->found; i++) {
        const list *alternative = &g.alternatives[i];
        standing one;
        int rc = work_done(w->c, 1, w->err);
        if (rc == 0)
            rc = alternative_standing(w, s, alternative, &one);
        if (rc < 0)
            return rc;
        if (one == FALLS)
            continue;
        state next;
        bool dead = false;
        rc = state_copy(&next, s, w->err);
        if (rc < 0)
            return rc;
        next.groups.at[index] = next.groups.at[--next.groups.n];
        rc = settle_all(w, &next, alternative, &dead);
        if (rc == 0)
            rc = check(w, &next, &dead);
        if (rc == 0 && !dead)
            rc = explore(w, &next);
        state_done(&next);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Can the literal hold beside what is settled? */
static int overlaps(walker *w, const state *s, uint32_t literal, bool *ret)
{
    walker probe = {
        .c = w->c, .type = w->type, .probe = true, .at = w->at, .err = w->err};
    state with;
    bool dead = false;
    int rc = state_copy(&with, s, w->err);
    if (rc < 0)
        return rc;
    with.except.n = 0;
    rc = settle(&probe, &with, term_of(TERM_LITERAL, literal), &dead);
    if (rc == 0)
        rc = check(&probe, &with, &dead);
    if (rc == 0 && !dead)
        rc = explore(&probe, &with);
    state_done(&with);
    *ret = probe.found;
    return rc;
}

static int emit(walker *w, state *s)
{
    if (w->probe)
        return atoms_maybe(w->c, &s->atoms, w->type, true, &w->found, w->err);
    if (w->out->n >= SCHEMA_MAX_SHAPES) {
        refuse(w->c, w->at, "anyOf", ST_ELIMIT, w->err,
               "over %d ways to combine the alternatives", SCHEMA_MAX_SHAPES);
        st_err_hint(w->err, "tell the branches of oneOf and anyOf apart by a required "
                            "property with a const");
        return ST_ELIMIT;
    }
    ids atoms;
    int rc = rest_atoms(w->c, &s->atoms, &s->literals, &atoms, w->err);
    return rc < 0 ? rc : cases_add(w->out, &atoms, w->err);
}

static int explore(walker *w, state *s)
{
    bool dead = false;
    for (;;) {
        uint32_t smallest = 0;
        int rc = work_done(w->c, 1, w->err);
        if (rc == 0)
            rc = propagate(w, s, &smallest, &dead);
        if (rc < 0 || dead)
            return rc;
        if (s->groups.n > 0)
            return split(w, s, smallest);
        if (w->probe || s->except.n == 0)
            return emit(w, s);
        uint32_t literal = s->except.at[--s->except.n];
        bool meet;
        rc = overlaps(w, s, literal, &meet);
        if (rc == 0 && meet)
            rc = settle(w, s, term_of(TERM_LITERAL, literal ^ 1), &dead);
        if (rc == 0 && meet)
            rc = check(w, s, &dead);
        if (rc < 0 || dead)
            return rc;
    }
}

static int walk_goal(walker *w, goal_id g)
{
    state s = {0};
    bool dead = false;
    int rc = 0;
    for (uint32_t i = 0; i < w->c->goals[g].literals.n && rc == 0 && !dead; i++) {
        w->at = w->c->goals[g].literals.at[i] / 2;
        rc = settle(w, &s, term_of(TERM_LITERAL, w->c->goals[g].literals.at[i]), &dead);
    }
    if (rc == 0)
        rc = check(w, &s, &dead);
    if (rc == 0 && !dead)
        rc = explore(w, &s);
    state_done(&s);
    return rc;
}

/* Cases that are not more special than another one. */
static void drop_special(cases *s)
{
    enum { MANY = 1024 }; /* beyond it the comparisons cost more than they save */
    for (uint32_t i = 0; s->n <= MANY && i < s->n; i++) {
        for (uint32_t j = 0; j < s->n;) {
            if (j == i || s->at[j].n < s->at[i].n || !ids_within(&s->at[i], &s->at[j])) {
                j++;
                continue;
            }
            ids_done(&s->at[j]);
            for (uint32_t k = j; k + 1 < s->n; k++)
                s->at[k] = s->at[k + 1];
            s->n--;
            i -= j < i;
        }
    }
}

int cases_of(compiler *c, goal_id g, json_type type, cases *ret, st_err *err)
{
    cases found = {0};
    walker w = {.c = c, .type = type, .out = &found, .err = err};
    int rc = walk_goal(&w, g);
    if (rc < 0) {
        cases_done(&found);
        return rc;
    }
    drop_special(&found);
    *ret = found;
    return 0;
}

int cases_exist(compiler *c, goal_id g, json_type type, bool *ret, st_err *err)
{
    walker w = {.c = c, .type = type, .probe = true, .err = err};
    int rc = walk_goal(&w, g);
    *ret = w.found;
    return rc;
}
