/* grammar/schema_rest.c - what unevaluatedProperties and unevaluatedItems leave over.
 *
 * Every alternative below such a node is known to hold or not (node.exact), so the
 * literals of a case say which subschemas looked at the value. */
#include "grammar/schema_priv.h"

#include <string.h>

/* Collect the nodes below `id` that hold and look at the value themselves. */
static int gather(compiler *c, uint32_t id, const ids *literals, bool top, ids *into,
                  st_err *err);

static int gather_if(compiler *c, uint32_t id, const ids *literals, ids *into,
                     st_err *err)
{
    uint32_t literal = literal_of(id, false);
    if (id == NODE_NO || literal_plain(c, &literal) == TRUTH_NEVER ||
        !ids_has(literals, literal))
        return 0;
    return gather(c, literal / 2, literals, false, into, err);
}

static int gather_list(compiler *c, const list *nodes, const ids *literals, ids *into,
                       st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < nodes->n && rc == 0; i++)
        rc = gather_if(c, nodes->at[i], literals, into, err);
    return rc;
}

static int gather(compiler *c, uint32_t id, const ids *literals, bool top, ids *into,
                  st_err *err)
{
    const node *n = &c->nodes[id];
    int rc = 0;
    if (!top && ids_has(into, id))
        return 0;
    if (!top || n->names.n + n->patterns.n + n->prefix.n > 0 ||
        n->additional != NODE_NO || n->rest != NODE_NO)
        rc = ids_insert(into, id, err);
    if (rc == 0)
        rc = gather_list(c, &n->all, literals, into, err);
    for (uint32_t i = 0; i < n->n_any && rc == 0; i++)
        rc = gather_list(c, &n->any[i], literals, into, err);
    if (rc == 0)
        rc = gather_list(c, &n->one, literals, into, err);
    if (rc == 0)
        rc = gather_if(c, n->if_node, literals, into, err);
    if (rc == 0)
        rc = gather_if(c, n->then_node, literals, into, err);
    if (rc == 0)
        rc = gather_if(c, n->else_node, literals, into, err);
    for (uint32_t i = 0; i < n->n_dependents && rc == 0; i++)
        rc = gather_if(c, n->dependents[i].node, literals, into, err);
    return rc;
}

static int contains_check(compiler *c, uint32_t at, const ids *nodes, st_err *err)
{
    for (uint32_t i = 0; i < nodes->n; i++) {
        const node *n = &c->nodes[nodes->at[i]];
        if (n->contains == NODE_NO || c->resources[n->resource].draft < DRAFT_2020)
            continue;
        refuse(c, at, "unevaluatedItems", ST_EUNSUPPORTED, err, "beside contains");
        st_err_hint(err, "use items for what the other items must be");
        return ST_EUNSUPPORTED;
    }
    return 0;
}

/* ATOM_SOME_OTHER: an item behind those that are looked at; two and none where all are.
 */
static atom some_other(const compiler *c, const atom *a, const ids *nodes)
{
    atom k = {ATOM_CONTAINS, literal_of(c->nodes[a->a].other_items, true), 1, LIMIT_NO, 0,
              a->a};
    for (uint32_t i = 0; i < nodes->n; i++) {
        const node *n = &c->nodes[nodes->at[i]];
        k.d = n->prefix.n > k.d ? n->prefix.n : k.d;
        if (n->rest != NODE_NO || (nodes->at[i] != a->a && n->other_items != NODE_NO))
            k.b = 2, k.c = 1;
    }
    return k;
}

/* The atom with its list of nodes. */
static int fill(compiler *c, atom a, const ids *literals, uint32_t *ret, st_err *err)
{
    ids nodes = {0};
    int rc = gather(c, a.a, literals, true, &nodes, err);
    bool items = a.kind == ATOM_OTHERS || a.kind == ATOM_SOME_OTHER;
    if (rc == 0 && items)
        rc = contains_check(c, a.a, &nodes, err);
    if (rc == 0 && items && c->nodes[a.a].contains != NODE_NO)
        rc = contains_check(c, a.a, &(ids){1, 0, &a.a}, err);
    if (rc == 0)
        rc = intern_put(&c->lists, nodes.at ? nodes.at : &a.a, nodes.n * sizeof *nodes.at,
                        &a.b, err);
    if (rc == 0 && a.kind == ATOM_SOME_OTHER)
        a = some_other(c, &a, &nodes);
    if (rc == 0)
        rc = intern_put(&c->atoms, &a, sizeof a, ret, err);
    ids_done(&nodes);
    return rc;
}

int rest_atoms(compiler *c, const ids *atoms, const ids *literals, ids *ret, st_err *err)
{
    ids copy = {0};
    int rc = 0;
    for (uint32_t i = 0; i < atoms->n && rc == 0; i++) {
        uint32_t number = atoms->at[i];
        atom a = atom_get(c, number);
        if (a.kind == ATOM_REST || a.kind == ATOM_OTHERS || a.kind == ATOM_SOME_REST ||
            a.kind == ATOM_SOME_OTHER)
            rc = fill(c, a, literals, &number, err);
        if (rc == 0)
            rc = ids_insert(&copy, number, err);
    }
    if (rc < 0)
        ids_done(&copy);
    else
        *ret = copy;
    return rc;
}
