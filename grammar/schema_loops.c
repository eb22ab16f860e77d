/* grammar/schema_loops.c - subschemas that apply to the same value, followed to the end.
 *
 * A subschema that comes back to itself without going into the value says nothing that
 * can be decided.  On the same way, the alternatives below unevaluatedProperties and
 * unevaluatedItems are marked: which of them hold must be known. */
#include "grammar/schema_priv.h"

#include "base/mem.h"

enum { MAX_DEPTH = 2000 };

typedef enum mark { UNSEEN, OPEN, DONE } mark;

typedef struct follower {
    compiler *c;
    uint8_t *marks;
    uint32_t depth;
    bool exact;
    st_err *err;
} follower;

static int follow(follower *f, uint32_t id);

static int follow_list(follower *f, const list *nodes)
{
    int rc = 0;
    for (uint32_t i = 0; i < nodes->n && rc == 0; i++)
        rc = follow(f, nodes->at[i]);
    return rc;
}

static int follow_all(follower *f, const node *n)
{
    int rc = follow_list(f, &n->all);
    for (uint32_t i = 0; i < n->n_any && rc == 0; i++)
        rc = follow_list(f, &n->any[i]);
    if (rc == 0)
        rc = follow_list(f, &n->one);
    if (rc == 0)
        rc = follow(f, n->not_node);
    if (rc == 0)
        rc = follow(f, n->if_node);
    if (rc == 0)
        rc = follow(f, n->then_node);
    if (rc == 0)
        rc = follow(f, n->else_node);
    for (uint32_t i = 0; i < n->n_dependents && rc == 0; i++)
        rc = follow(f, n->dependents[i].node);
    return rc;
}

static int follow(follower *f, uint32_t id)
{
    if (id == NODE_NO)
        return 0;
    node *n = &f->c->nodes[id];
    if (f->exact) {
        if (n->exact)
            return 0;
        n->exact = true;
        return follow_all(f, n);
    }
    if (f->marks[id] == DONE)
        return 0;
    if (f->marks[id] == OPEN)
        return refuse(f->c, id, "$ref", ST_EFORMAT, f->err,
                      "comes back to itself without going into the value");
    if (++f->depth > MAX_DEPTH)
        return refuse(f->c, id, "$ref", ST_ELIMIT, f->err, "over %d references in a row",
                      MAX_DEPTH);
    f->marks[id] = OPEN;
    int rc = follow_all(f, n);
    f->marks[id] = DONE;
    f->depth--;
    return rc;
}

int loops_check(compiler *c, st_err *err)
{
    follower f = {.c = c, .err = err, .marks = st_zalloc_n(c->n_nodes + 1u, 1)};
    if (!f.marks)
        return st_err_set(err, ST_ENOMEM, "out of memory for a schema");
    int rc = 0;
    for (uint32_t i = 0; i < c->n_nodes && rc == 0; i++)
        rc = follow(&f, i);
    f.exact = true;
    for (uint32_t i = 0; i < c->n_nodes && rc == 0; i++) {
        const node *n = &c->nodes[i];
        if (n->other_props != NODE_NO || n->other_items != NODE_NO)
            rc = follow(&f, i);
    }
    st_free(f.marks);
    return rc;
}
