/* grammar/schema_goal.c - goals: sets of literals, each set one number; and whether
 * anything can satisfy one, as far as is seen without expanding all it leads to. */
#include "grammar/schema_priv.h"

enum { LOOK_AHEAD = 12 }; /* goals below goals; beyond it the answer is "maybe" */

static uint16_t with_integers(uint16_t types)
{
    return types & 1 << JSON_NUMBER ? types | TYPE_INTEGER : types;
}

bool nodes_clash(const compiler *c, uint32_t a, uint32_t b)
{
    enum { COMPARE = 4096 };
    const node *x = &c->nodes[a], *y = &c->nodes[b];
    if (!(with_integers(x->types) & with_integers(y->types)))
        return true;
    if (!x->has_choices || !y->has_choices ||
        (uint64_t)x->n_choices * y->n_choices > COMPARE)
        return false;
    for (uint32_t i = 0; i < x->n_choices; i++) {
        for (uint32_t j = 0; j < y->n_choices; j++) {
            if (json_same(&x->choices[i], &y->choices[j]))
                return false;
        }
    }
    return true;
}

/* Do two of the literals exclude each other, as is seen at once? */
static bool clash(const compiler *c, const ids *literals)
{
    enum { FEW = 8 };
    for (uint32_t i = 0; literals->n <= FEW && i < literals->n; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (!(literals->at[i] & 1) && !(literals->at[j] & 1) &&
                nodes_clash(c, literals->at[i] / 2, literals->at[j] / 2))
                return true;
        }
    }
    return false;
}

int goal_of(compiler *c, const ids *literals, goal_id *ret, st_err *err)
{
    ids plain = {0};
    int rc = 0;
    bool none = false;
    for (uint32_t i = 0; i < literals->n && rc == 0 && !none; i++) {
        uint32_t literal = literals->at[i];
        truth t = literal_plain(c, &literal);
        none = t == TRUTH_NEVER;
        if (t == TRUTH_OPEN)
            rc = ids_insert(&plain, literal, err);
    }
    for (uint32_t i = 0; i + 1 < plain.n; i++)
        none |= plain.at[i] + 1 == plain.at[i + 1] && plain.at[i] % 2 == 0;
    none = none || clash(c, &plain);
    uint32_t known = c->goal_index.n, number = GOAL_NONE;
    if (rc == 0 && !none)
        rc = intern_put(&c->goal_index, plain.at ? plain.at : &number,
                        plain.n * sizeof *plain.at, &number, err);
    if (rc == 0 && number > SCHEMA_GOALS) {
        rc = refuse(c, plain.n ? plain.at[0] / 2 : 0, "schema", ST_ELIMIT, err,
                    "over %d combinations of subschemas", SCHEMA_GOALS);
        st_err_hint(err, "join fewer subschemas by allOf, anyOf and oneOf");
    }
    if (rc == 0 && number > known) {
        rc = array_room(&c->goals, number, &c->cap_goals, sizeof *c->goals, err);
        if (rc == 0) {
            c->goals[number] = (goal){.literals = plain};
            plain = (ids){0};
        }
    }
    ids_done(&plain);
    if (rc == 0)
        *ret = number;
    return rc;
}

int goal_both(compiler *c, goal_id a, goal_id b, goal_id *ret, st_err *err)
{
    if (a == GOAL_NONE || b == GOAL_NONE) {
        *ret = GOAL_NONE;
        return 0;
    }
    ids all;
    int rc = ids_copy(&all, &c->goals[a].literals, err);
    for (uint32_t i = 0; i < c->goals[b].literals.n && rc == 0; i++)
        rc = ids_add(&all, c->goals[b].literals.at[i], err);
    if (rc == 0)
        rc = goal_of(c, &all, ret, err);
    ids_done(&all);
    return rc;
}

int goal_maybe(compiler *c, goal_id g, bool *ret, st_err *err)
{
    *ret = g != GOAL_NONE;
    if (g <= GOAL_ANY || c->goals[g].known == MAYBE || c->goals[g].known == UNDER_WAY)
        return 0;
    *ret = false;
    if (c->goals[g].known == NEVER)
        return 0;
    if (c->depth >= LOOK_AHEAD) {
        *ret = true;
        return 0;
    }
    c->goals[g].known = UNDER_WAY;
    c->depth++;
    int rc = 0;
    for (json_type t = JSON_NULL; t <= JSON_OBJECT && rc == 0 && !*ret; t++)
        rc = cases_exist(c, g, t, ret, err);
    c->depth--;
    c->goals[g].known = *ret ? MAYBE : NEVER;
    return rc;
}

int atoms_maybe(compiler *c, const ids *atoms, json_type type, bool deep, bool *ret,
                st_err *err)
{
    *ret = true;
    switch (type) {
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        return 0;
    case JSON_NUMBER:
        return numbers_maybe(c, atoms, ret, err);
    case JSON_STRING:
        return strings_maybe(c, atoms, deep, ret, err);
    case JSON_ARRAY:
        return array_maybe(c, atoms, ret, err);
    case JSON_OBJECT:
        return object_maybe(c, atoms, ret, err);
    }
    return 0;
}
