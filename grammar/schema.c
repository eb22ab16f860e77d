/* grammar/schema.c - a JSON Schema compiled: read, then expanded goal by goal. */
#include "grammar/schema_keys.h"
#include "grammar/schema_priv.h"

#include "base/mem.h"
#include <stdio.h>
#include <string.h>

enum { POOL_BYTES = 64 << 20 };

int schema_keep(schema *s, dfa *d, st_err *err)
{
    int rc = array_room(&s->automata, s->n_automata, &s->cap_automata,
                        sizeof *s->automata, err);
    if (rc == 0)
        s->automata[s->n_automata++] = d;
    else
        dfa_free(d);
    return rc;
}

int shape_add(compiler *c, shape_list *v, const shape *s, st_err *err)
{
    schema *to = c->s;
    int rc = 0;
    if (s->type == JSON_STRING) {
        rc = array_room(&to->texts, to->n_texts, &to->cap_texts, sizeof *to->texts, err);
        text_rule rule = s->string;
        if (rc == 0)
            to->texts[to->n_texts++] = rule;
        else
            text_rule_done(&rule);
    }
    if (rc == 0)
        rc = array_room(&v->at, v->n, &v->cap, sizeof *v->at, err);
    if (rc == 0)
        v->at[v->n++] = *s;
    return rc;
}

static int expand_type(compiler *c, goal_id g, json_type type, shape_list *out,
                       st_err *err)
{
    cases found;
    int rc = cases_of(c, g, type, &found, err);
    if (rc < 0)
        return rc;
    if (type == JSON_NUMBER)
        rc = numbers_shape(c, &found, out, err);
    else if (type == JSON_STRING)
        rc = strings_shape(c, &found, out, err);
    for (uint32_t i = 0; i < found.n && type >= JSON_ARRAY && rc == 0; i++)
        rc = type == JSON_ARRAY ? array_shape(c, &found.at[i], out, err)
                                : object_shape(c, &found.at[i], out, err);
    if (type < JSON_NUMBER && found.n > 0) {
        shape s;
        memset(&s, 0, sizeof s);
        s.type = type;
        rc = shape_add(c, out, &s, err);
    }
    cases_done(&found);
    return rc;
}

static int expand(compiler *c, goal_id g, st_err *err)
{
    shape_list found = {0};
    const ids *literals = &c->goals[g].literals;
    c->at = literals->n ? literals->at[0] / 2 : NODE_NO;
    int rc = 0;
    for (json_type t = JSON_NULL; t <= JSON_OBJECT && rc == 0; t++) {
        shape_list one = {0};
        rc = expand_type(c, g, t, &one, err);
        if (rc == 0 && one.n > SCHEMA_MAX_SHAPES)
            rc = refuse(c, c->at, "schema", ST_ELIMIT, err, "over %d shapes",
                        SCHEMA_MAX_SHAPES);
        for (uint32_t i = 0; i < one.n && rc == 0; i++) {
            rc = array_room(&found.at, found.n, &found.cap, sizeof *found.at, err);
            if (rc == 0)
                found.at[found.n++] = one.at[i];
        }
        st_free(one.at);
    }
    shape *kept = NULL;
    if (rc == 0 && found.n > 0)
        rc = pool_get(&c->s->pool, found.n, sizeof *kept, &kept, err);
    if (rc == 0) {
        if (found.n > 0)
            memcpy(kept, found.at, found.n * sizeof *kept);
        c->goals[g].shapes = (shapes){found.n, kept};
    }
    st_free(found.at);
    return rc;
}

static int want(compiler *c, ids *wanted, goal_id g, st_err *err)
{
    if (g == GOAL_NONE || c->goals[g].expanded)
        return 0;
    c->goals[g].expanded = true;
    return ids_add(wanted, g, err);
}

/* The goals that a shape leads to. */
static int want_below(compiler *c, ids *wanted, const shape *s, st_err *err)
{
    int rc = 0;
    if (s->type == JSON_ARRAY) {
        const shape_array *a = &s->array;
        for (uint32_t i = 0; i < a->n_items && rc == 0; i++)
            rc = want(c, wanted, a->items[i], err);
        if (rc == 0)
            rc = want(c, wanted, a->rest, err);
        for (uint32_t i = 0; i < a->n_contains && rc == 0; i++) {
            rc = want(c, wanted, a->contains[i].with, err);
            if (rc == 0)
                rc = want(c, wanted, a->contains[i].without, err);
        }
    } else if (s->type == JSON_OBJECT) {
        const shape_object *o = &s->object;
        for (uint32_t i = 0; i < o->n_labels && rc == 0; i++) {
            rc = want(c, wanted, o->label_goal[i], err);
            for (uint32_t j = 0; j < o->n_exists && rc == 0; j++)
                rc = want(c, wanted, o->exists[j].with[i], err);
        }
    }
    return rc;
}

static int expand_all(compiler *c, goal_id root, st_err *err)
{
    ids wanted = {0};
    int rc = want(c, &wanted, GOAL_ANY, err);
    if (rc == 0)
        rc = want(c, &wanted, root, err);
    for (uint32_t i = 0; i < wanted.n && rc == 0; i++) {
        goal_id g = wanted.at[i];
        rc = expand(c, g, err);
        for (uint32_t j = 0; rc == 0 && j < c->goals[g].shapes.n; j++)
            rc = want_below(c, &wanted, &c->goals[g].shapes.shapes[j], err);
    }
    ids_done(&wanted);
    return rc;
}

static int compile(compiler *c, st_err *err)
{
    uint32_t first;
    goal_id any, root;
    if (c->root->type != JSON_OBJECT && c->root->type != JSON_TRUE &&
        c->root->type != JSON_FALSE)
        return st_err_set(err, ST_EFORMAT, "a schema is an object, true or false");
    int rc = refs_index(c, c->root, err);
    if (rc == 0)
        rc = node_of(c, c->root, 0, false, &first, err);
    if (rc == 0)
        rc = nodes_read(c, err);
    if (rc == 0)
        rc = loops_check(c, err);
    if (rc < 0)
        return rc;
    c->formulas = st_zalloc_n(c->n_nodes, 2 * (JSON_OBJECT + 1) * sizeof *c->formulas);
    c->name_at = st_zalloc_n(c->names.n + 1u, sizeof *c->name_at);
    if (!c->formulas || !c->name_at)
        return st_err_set(err, ST_ENOMEM, "out of memory for a schema");
    ids literals = {0};
    rc = goal_of(c, &literals, &any, err);
    uint32_t literal = literal_of(first, false);
    if (rc == 0)
        rc = goal_of(c, &(ids){1, 0, &literal}, &root, err);
    if (rc == 0)
        rc = expand_all(c, root, err);
    if (rc == 0)
        rc = goals_trim(c, root, err);
    if (rc == 0 && c->s->root == GOAL_NONE) {
        st_err_set(err, ST_EINVAL, "no value satisfies the schema");
        st_err_hint(err, "look for types, bounds or names that exclude each other");
        return ST_EINVAL;
    }
    return rc < 0 ? rc : unique_check(c, err);
}

static void compiler_done(compiler *c)
{
    for (uint32_t i = 0; i < c->n_resources; i++)
        st_free(c->resources[i].uri);
    for (uint32_t i = 0; i < c->n_texts; i++)
        dfa_free(c->texts[i].d);
    for (uint32_t i = 1; i <= c->goal_index.n && i < c->cap_goals; i++)
        ids_done(&c->goals[i].literals);
    intern *tables[] = {&c->places,    &c->node_index, &c->names,       &c->text_index,
                        &c->atoms,     &c->lists,      &c->equal_index, &c->goal_index,
                        &c->key_index, &c->meet_index};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        intern_done(tables[i]);
    void *arrays[] = {c->resources, c->anchors, c->place_resource, c->nodes,
                      c->decimals,  c->texts,   c->formulas,       c->groups,
                      c->goals,     c->keys,    c->node_ids,       c->equal_nodes,
                      c->meets,     c->name_at};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        st_free(arrays[i]);
    pool_done(&c->pool);
}

int schema_new(const json *root, schema **ret_schema, schema_refusal *ret_refusal,
               st_err *err)
{
    compiler c = {.root = root, .refusal = ret_refusal};
    st_err own = {0};
    *ret_refusal = (schema_refusal){0};
    c.pool.limit = POOL_BYTES;
    c.s = st_zalloc_n(1, sizeof *c.s);
    if (!c.s)
        return st_err_set(err, ST_ENOMEM, "out of memory for a schema");
    c.s->pool.limit = POOL_BYTES;
    int rc = compile(&c, err ? err : &own);
    compiler_done(&c);
    if (rc < 0)
        schema_free(c.s);
    else
        *ret_schema = c.s;
    return rc;
}

void schema_free(schema *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->n_automata; i++)
        dfa_free(s->automata[i]);
    for (uint32_t i = 0; i < s->n_texts; i++)
        text_rule_done(&s->texts[i]);
    st_free(s->automata);
    st_free(s->texts);
    pool_done(&s->pool);
    st_free(s);
}

goal_id schema_root(const schema *s)
{
    return s->root;
}

shapes schema_shapes(const schema *s, goal_id g)
{
    return g < s->n_goals ? s->goals[g] : (shapes){0};
}

uint32_t schema_n_goals(const schema *s)
{
    return s->n_goals;
}
