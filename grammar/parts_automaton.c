/* grammar/parts_automaton.c - parts put together: the tree, and the graph of leaves made
 * of it.
 *
 * As Glushkov's construction has it: of every part the leaves it may begin with, the
 * leaves it may end with and whether it may be empty; a part that follows another joins
 * the ends of the one to the beginnings of the other.  Counted repetition is written out.
 */
#include "grammar/parts_priv.h"

#include "base/mem.h"
#include <string.h>

/* What a part comes to: leaves as runs of numbers. */
typedef struct ends {
    uint32_t *first, *last;
    uint32_t n_first, n_last;
    bool empty; /* it may be no text at all */
} ends;

static int fail(parts *p, int code, const char *what)
{
    if (p->code == 0)
        p->code = st_err_set(&p->err, code, "%s", what);
    return p->code;
}

int parts_new(parts **ret, st_err *err)
{
    parts *p = st_zalloc_n(1, sizeof *p);
    if (!p)
        return st_err_set(err, ST_ENOMEM, "no memory for a grammar of parts");
    *ret = p;
    return 0;
}

void parts_free(parts *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        st_free(p->nodes[i].text);
        st_free(p->nodes[i].ids);
    }
    for (uint32_t i = 0; i < p->n_subs; i++)
        p->subs[i]->ops->free(p->subs[i]);
    st_free(p->subs);
    st_free(p->nodes);
    st_free(p->leaves);
    st_free(p->follows);
    st_free(p);
}

/* Room for one more element of an array that doubles. */
static void *grown(void *array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return array;
    uint32_t more = *cap ? 2 * *cap : 16;
    void *p = st_realloc_n(array, more, size);
    if (p)
        *cap = more;
    return p;
}

static part_id node_add(parts *p, part_node node)
{
    part_node *nodes = grown(p->nodes, p->n_nodes, &p->cap_nodes, sizeof *nodes);
    if (nodes)
        p->nodes = nodes;
    if (p->code || !nodes) {
        fail(p, ST_ENOMEM, "no memory for a grammar of parts");
        st_free(node.text);
        st_free(node.ids);
        return 0;
    }
    p->nodes[p->n_nodes++] = node;
    return p->n_nodes; /* numbers begin at 1 */
}

part_id part_text(parts *p, const char *text, size_t len)
{
    if (len > UINT32_MAX / 2)
        return (part_id)(fail(p, ST_ELIMIT, "a literal part of over 2 GiB"), 0);
    part_node node = {.kind = PART_TEXT, .n = (uint32_t)len, .text = st_dup(text, len)};
    if (!node.text)
        fail(p, ST_ENOMEM, "no memory for a literal part");
    return node_add(p, node);
}

part_id part_sub(parts *p, automaton *a)
{
    automaton **subs = grown(p->subs, p->n_subs, &p->cap_subs, sizeof(automaton *));
    if (!subs) {
        a->ops->free(a);
        return (part_id)(fail(p, ST_ENOMEM, "no memory for a part"), 0);
    }
    p->subs = subs;
    p->subs[p->n_subs++] = a;
    return node_add(p, (part_node){.kind = PART_SUB, .n = p->n_subs - 1});
}

static part_id group(parts *p, part_kind kind, const part_id *ids, uint32_t n)
{
    part_node node = {.kind = kind, .n = n, .ids = st_alloc_n(n, sizeof *ids)};
    if (!node.ids)
        fail(p, ST_ENOMEM, "no memory for a row of parts");
    else if (n > 0)
        memcpy(node.ids, ids, n * sizeof *ids);
    return node_add(p, node);
}

part_id part_row(parts *p, const part_id *ids, uint32_t n)
{
    return group(p, PART_ROW, ids, n);
}

part_id part_choice(parts *p, const part_id *ids, uint32_t n)
{
    return group(p, PART_CHOICE, ids, n);
}

part_id part_repeat(parts *p, part_id item, part_id between, uint32_t max)
{
    const part_id ids[] = {item, between};
    part_id id = group(p, PART_REPEAT, ids, 2);
    if (id)
        p->nodes[id - 1].max = max;
    return id;
}

/* ---- the graph ---- */

static void ends_done(ends *e)
{
    st_free(e->first);
    st_free(e->last);
    *e = (ends){0};
}

static int run_add(parts *p, uint32_t **run, uint32_t *n, const uint32_t *more,
                   uint32_t n_more)
{
    uint32_t *grown_run = st_realloc_n(*run, (size_t)*n + n_more, sizeof *grown_run);
    if (!grown_run)
        return fail(p, ST_ENOMEM, "no memory for a grammar of parts");
    if (n_more > 0)
        memcpy(grown_run + *n, more, n_more * sizeof *more);
    *run = grown_run;
    *n += n_more;
    return 0;
}

static int leaf_make(parts *p, const part_node *node, ends *ret)
{
    if (p->n_leaves >= PARTS_MAX_LEAVES)
        return fail(p, ST_ELIMIT, "the grammar has too many parts");
    part_leaf *leaves = grown(p->leaves, p->n_leaves, &p->cap_leaves, sizeof *leaves);
    if (!leaves)
        return fail(p, ST_ENOMEM, "no memory for a grammar of parts");
    p->leaves = leaves;
    leaves[p->n_leaves] = (part_leaf){.text = node->text, .n = node->n};
    uint32_t leaf = p->n_leaves++;
    int rc = run_add(p, &ret->first, &ret->n_first, &leaf, 1);
    return rc < 0 ? rc : run_add(p, &ret->last, &ret->n_last, &leaf, 1);
}

static int join(parts *p, const uint32_t *last, uint32_t n_last, const uint32_t *first,
                uint32_t n_first)
{
    for (uint32_t i = 0; i < n_last; i++) {
        for (uint32_t j = 0; j < n_first; j++) {
            part_follow *f = grown(p->follows, p->n_follows, &p->cap_follows, sizeof *f);
            if (!f)
                return fail(p, ST_ENOMEM, "no memory for a grammar of parts");
            p->follows = f;
            f[p->n_follows++] = (part_follow){.from = last[i], .to = first[j]};
        }
    }
    return 0;
}

/* `next` comes behind `all`, which becomes the two of them. */
static int append(parts *p, ends *all, const ends *next)
{
    int rc = join(p, all->last, all->n_last, next->first, next->n_first);
    if (rc == 0 && all->empty)
        rc = run_add(p, &all->first, &all->n_first, next->first, next->n_first);
    if (rc == 0 && !next->empty)
        all->n_last = 0;
    if (rc == 0)
        rc = run_add(p, &all->last, &all->n_last, next->last, next->n_last);
    all->empty = all->empty && next->empty;
    return rc;
}

static int compile(parts *p, part_id id, ends *ret);

static int compile_row(parts *p, const part_node *node, ends *ret)
{
    int rc = 0;
    ret->empty = true;
    for (uint32_t i = 0; rc == 0 && i < node->n; i++) {
        ends next = {0};
        rc = compile(p, node->ids[i], &next);
        if (rc == 0)
            rc = append(p, ret, &next);
        ends_done(&next);
    }
    return rc;
}

static int compile_choice(parts *p, const part_node *node, ends *ret)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < node->n; i++) {
        ends one = {0};
        rc = compile(p, node->ids[i], &one);
        if (rc == 0)
            rc = run_add(p, &ret->first, &ret->n_first, one.first, one.n_first);
        if (rc == 0)
            rc = run_add(p, &ret->last, &ret->n_last, one.last, one.n_last);
        ret->empty = ret->empty || one.empty;
        ends_done(&one);
    }
    return rc;
}

/* One time without an end: what follows the item is `between` and then itself. */
static int compile_endless(parts *p, const part_node *node, ends *ret)
{
    ends loop = {0};
    int rc = compile(p, node->ids[0], ret);
    if (rc == 0)
        rc = compile(p, node->ids[1], &loop);
    if (rc == 0)
        rc = join(p, ret->last, ret->n_last, loop.first, loop.n_first);
    if (rc == 0)
        rc = join(p, loop.last, loop.n_last, ret->first, ret->n_first);
    if (rc == 0 && loop.empty)
        rc = join(p, ret->last, ret->n_last, ret->first, ret->n_first);
    ends_done(&loop);
    return rc;
}

/* Every time but the first is left out together with those behind it: all may end here.
 */
static int compile_counted(parts *p, const part_node *node, ends *ret)
{
    ends so_far = {0}, more = {0}, item = {0};
    int rc = compile(p, node->ids[0], ret);
    if (rc == 0)
        rc = run_add(p, &so_far.last, &so_far.n_last, ret->last, ret->n_last);
    for (uint32_t i = 1; rc == 0 && i < node->max; i++) {
        rc = compile(p, node->ids[1], &more);
        if (rc == 0)
            rc = compile(p, node->ids[0], &item);
        if (rc == 0)
            rc = append(p, &more, &item);
        if (rc == 0)
            rc = append(p, &so_far, &more);
        if (rc == 0)
            rc = run_add(p, &ret->last, &ret->n_last, more.last, more.n_last);
        ends_done(&more);
        ends_done(&item);
    }
    ends_done(&so_far);
    return rc;
}

static int compile(parts *p, part_id id, ends *ret)
{
    const part_node *node = &p->nodes[id - 1];
    int rc = 0;
    switch (node->kind) {
    case PART_TEXT:
        ret->empty = node->n == 0;
        return node->n == 0 ? 0 : leaf_make(p, node, ret);
    case PART_SUB:
        /* an automaton that accepts no text at all says so when it runs */
        return leaf_make(p, node, ret);
    case PART_ROW:
        return compile_row(p, node, ret);
    case PART_CHOICE:
        return compile_choice(p, node, ret);
    case PART_REPEAT:
        rc = node->max == 0 ? compile_endless(p, node, ret)
                            : compile_counted(p, node, ret);
        if (rc == 0 && ret->empty)
            rc = fail(p, ST_EINVAL, "a part that may be empty cannot be repeated");
        break;
    }
    return rc;
}

/* Sort the pairs by where they come from: a count and a run for every leaf. */
static int follows_sort(parts *p)
{
    part_follow *sorted = st_alloc_n(p->n_follows, sizeof *sorted);
    if (!sorted)
        return fail(p, ST_ENOMEM, "no memory for a grammar of parts");
    for (uint32_t i = 0; i < p->n_follows; i++)
        p->leaves[p->follows[i].from].n_follows++;
    for (uint32_t i = 0, at = 0; i < p->n_leaves; i++) {
        p->leaves[i].follows = at;
        at += p->leaves[i].n_follows;
        p->leaves[i].n_follows = 0;
    }
    for (uint32_t i = 0; i < p->n_follows; i++) {
        part_leaf *leaf = &p->leaves[p->follows[i].from];
        sorted[leaf->follows + leaf->n_follows++] = p->follows[i];
    }
    st_free(p->follows);
    p->follows = sorted;
    return 0;
}

int parts_graph(parts *p, part_id root, uint32_t **ret_first, uint32_t *ret_n_first,
                bool *ret_empty)
{
    ends all = {0};
    int rc = p->code;
    if (rc == 0)
        rc = compile(p, root, &all);
    if (rc == 0)
        rc = follows_sort(p);
    for (uint32_t i = 0; rc == 0 && i < all.n_last; i++)
        p->leaves[all.last[i]].last = true;
    if (rc == 0) {
        *ret_first = all.first;
        *ret_n_first = all.n_first;
        *ret_empty = all.empty;
        all.first = NULL;
    }
    ends_done(&all);
    return rc;
}
