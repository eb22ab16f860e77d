/* engine/prefix.c - a hash of pages by what they hold and what came before.
 *
 * A node is found by its parent and its tokens; nodes without a parent also by key, pin
 * and adapter, which their children inherit.  So two nodes are the same text of the same
 * key, or one of them does not exist, and a page is in one node at most.
 *
 * The last page of a text need not be full.  Texts that part inside a page share it up to
 * there: whoever goes on otherwise gets the page, and writes into a copy.  The nodes of
 * one parent are also chained for that: among them the one that agrees longest is found.
 *
 * Use moves a path to the front of the list, its deepest node first: a parent is always
 * more recent than its children, and the end of the list is a leaf. */
#include "engine/prefix.h"

#include "base/hash.h"
#include "base/mem.h"
#include <assert.h>
#include <string.h>

#define NO_NODE UINT32_MAX

typedef struct prefix_node {
    uint64_t key;
    uint64_t pin;     /* id, or 0 */
    uint64_t adapter; /* its serial, or 0 */
    uint32_t parent;
    uint32_t n_children;
    uint32_t bucket;
    uint32_t chain; /* the next one of its bucket, or of the free ones */
    uint32_t kin;   /* the next one of the kin's bucket */
    uint32_t newer, older;
    kv_page page;
    uint32_t n; /* tokens; KV_PAGE_TOKENS but for the last page of a text */
    int32_t tokens[KV_PAGE_TOKENS];
} prefix_node;

struct prefix_tree {
    engine *engine;
    uint64_t n_pins;    /* ever made */
    uint32_t n_buckets; /* a power of two */
    uint32_t *buckets;
    uint32_t *kin; /* [n_buckets] by what comes before alone */
    uint32_t free;
    uint32_t newest, oldest;
    prefix_node *nodes; /* one for each page of the pool */
};

int prefix_tree_new(engine *e, prefix_tree **ret_tree, st_err *err)
{
    uint32_t n = kvpool_n_pages(e->pool);
    prefix_tree *t = st_zalloc_n(1, sizeof *t);
    if (!t)
        goto fail;
    t->engine = e;
    for (t->n_buckets = 1; t->n_buckets < n && t->n_buckets < 1u << 31;)
        t->n_buckets *= 2;
    t->buckets = st_alloc_n(t->n_buckets, sizeof *t->buckets);
    t->kin = st_alloc_n(t->n_buckets, sizeof *t->kin);
    t->nodes = st_alloc_n(n, sizeof *t->nodes);
    if (!t->buckets || !t->kin || !t->nodes)
        goto fail;
    memset(t->buckets, 0xFF, t->n_buckets * sizeof *t->buckets);
    memset(t->kin, 0xFF, t->n_buckets * sizeof *t->kin);
    t->newest = t->oldest = t->free = NO_NODE;
    for (uint32_t i = n; i-- > 0; t->free = i)
        t->nodes[i].chain = t->free;
    *ret_tree = t;
    return 0;
fail:
    prefix_tree_free(t);
    return st_err_set(err, ST_ENOMEM, "no memory for the prefixes of %u pages", n);
}

void prefix_tree_free(prefix_tree *t)
{
    if (!t)
        return;
    if (t->nodes && t->buckets && t->kin)
        for (uint32_t i = t->oldest; i != NO_NODE; i = t->nodes[i].newer)
            kvpool_unref(t->engine->pool, t->nodes[i].page);
    st_free(t->nodes);
    st_free(t->kin);
    st_free(t->buckets);
    st_free(t);
}

static void list_remove(prefix_tree *t, uint32_t at)
{
    prefix_node *v = &t->nodes[at];
    *(v->newer == NO_NODE ? &t->newest : &t->nodes[v->newer].older) = v->older;
    *(v->older == NO_NODE ? &t->oldest : &t->nodes[v->older].newer) = v->newer;
}

static void list_push(prefix_tree *t, uint32_t at)
{
    prefix_node *v = &t->nodes[at];
    v->newer = NO_NODE;
    v->older = t->newest;
    *(t->newest == NO_NODE ? &t->oldest : &t->nodes[t->newest].newer) = at;
    t->newest = at;
}

/* A path was used; `at` is its deepest node. */
static void path_touch(prefix_tree *t, uint32_t at)
{
    for (; at != NO_NODE; at = t->nodes[at].parent) {
        list_remove(t, at);
        list_push(t, at);
    }
}

typedef struct place { /* where a page of text would stand */
    uint64_t key;
    uint64_t pin;
    uint64_t adapter;
    uint32_t parent;
    const int32_t *tokens;
    uint32_t n; /* at most a page of them */
} place;

static place place_first(uint64_t key, const prefix_pin *pin, const seq *s)
{
    return (place){.key = key,
                   .pin = pin ? pin->id : 0,
                   .adapter = adapter_serial(s->adapter),
                   .parent = NO_NODE,
                   .n = KV_PAGE_TOKENS};
}

static uint64_t kin_hash(const place *p)
{
    const uint64_t above[] = {p->key, p->pin, p->adapter, p->parent};
    return st_hash64(above, sizeof above, 0);
}

static uint32_t place_bucket(const prefix_tree *t, const place *p)
{
    uint64_t hash = st_hash64(p->tokens, p->n * sizeof *p->tokens, kin_hash(p));
    return (uint32_t)hash & (t->n_buckets - 1);
}

static uint32_t *kin_first(const prefix_tree *t, const place *p)
{
    return &t->kin[(uint32_t)kin_hash(p) & (t->n_buckets - 1)];
}

static bool is_kin(const prefix_node *v, const place *p)
{
    return v->key == p->key && v->pin == p->pin && v->adapter == p->adapter &&
           v->parent == p->parent;
}

static uint32_t node_find(const prefix_tree *t, const place *p)
{
    uint32_t at = t->buckets[place_bucket(t, p)];
    for (; at != NO_NODE; at = t->nodes[at].chain) {
        const prefix_node *v = &t->nodes[at];
        if (v->n == p->n && is_kin(v, p) &&
            memcmp(v->tokens, p->tokens, p->n * sizeof *p->tokens) == 0)
            break;
    }
    return at;
}

/* The node of this place that agrees with the most of its tokens, if any does. */
static uint32_t node_nearest(const prefix_tree *t, const place *p, uint32_t *ret_n)
{
    uint32_t best = NO_NODE;
    *ret_n = 0;
    for (uint32_t at = *kin_first(t, p); at != NO_NODE; at = t->nodes[at].kin) {
        const prefix_node *v = &t->nodes[at];
        uint32_t n = 0, most = v->n < p->n ? v->n : p->n;
        if (!is_kin(v, p))
            continue;
        while (n < most && v->tokens[n] == p->tokens[n])
            n++;
        if (n > *ret_n) {
            *ret_n = n;
            best = at;
        }
    }
    return best;
}

static uint32_t node_add(prefix_tree *t, const place *p, kv_page page)
{
    uint32_t at = t->free;
    assert(at != NO_NODE);
    prefix_node *v = &t->nodes[at];
    t->free = v->chain;
    v->key = p->key;
    v->pin = p->pin;
    v->adapter = p->adapter;
    v->parent = p->parent;
    v->n_children = 0;
    v->bucket = place_bucket(t, p);
    v->chain = t->buckets[v->bucket];
    v->kin = *kin_first(t, p);
    v->page = page;
    v->n = p->n;
    memcpy(v->tokens, p->tokens, p->n * sizeof *p->tokens);
    t->buckets[v->bucket] = at;
    *kin_first(t, p) = at;
    if (p->parent != NO_NODE)
        t->nodes[p->parent].n_children++;
    kvpool_ref(t->engine->pool, page);
    list_push(t, at);
    return at;
}

static void node_drop(prefix_tree *t, uint32_t at)
{
    prefix_node *v = &t->nodes[at];
    const place p = {v->key, v->pin, v->adapter, v->parent, NULL, 0};
    uint32_t *link = &t->buckets[v->bucket], *kin = kin_first(t, &p);
    while (*link != at)
        link = &t->nodes[*link].chain;
    *link = v->chain;
    while (*kin != at)
        kin = &t->nodes[*kin].kin;
    *kin = v->kin;
    list_remove(t, at);
    if (v->parent != NO_NODE)
        t->nodes[v->parent].n_children--;
    kvpool_unref(t->engine->pool, v->page);
    v->chain = t->free;
    t->free = at;
}

/* The node of a page of a text, made if there is none.  What is the beginning of it alone
 * is not needed beside it. */
static uint32_t node_need(prefix_tree *t, const place *p, kv_page page)
{
    uint32_t n, near = node_nearest(t, p, &n);
    if (n == p->n && (p->n < KV_PAGE_TOKENS || t->nodes[near].n == n))
        return near;
    if (n > 0 && n == t->nodes[near].n)
        node_drop(t, near);
    return node_add(t, p, page);
}

static void seq_append_page(seq *s, kv_page page, uint32_t n_tokens)
{
    kvpool_ref(s->engine->pool, page);
    s->pages[s->n_pages++] = page;
    s->len += n_tokens;
}

void prefix_tree_attach(prefix_tree *t, uint64_t key, const prefix_pin *pin, seq *s,
                        const int32_t *tokens, uint32_t n)
{
    uint32_t whole = pin ? pin->n / KV_PAGE_TOKENS : 0, last = NO_NODE, agreed;
    uint32_t begun = pin ? pin->n % KV_PAGE_TOKENS : 0; /* tokens in a page of the pin */
    place at = place_first(key, pin, s);
    assert(s->len == 0 && s->n_pages == 0);
    for (uint32_t i = 0; i < whole; i++)
        seq_append_page(s, pin->s->pages[i], KV_PAGE_TOKENS);
    while (s->len + KV_PAGE_TOKENS < n) {
        at.tokens = tokens + s->len;
        uint32_t next = node_find(t, &at);
        if (next == NO_NODE)
            break;
        at.parent = last = next;
        begun = 0;
        seq_append_page(s, t->nodes[last].page, KV_PAGE_TOKENS);
    }
    at.tokens = tokens + s->len;
    at.n = n - 1 - s->len < KV_PAGE_TOKENS ? n - 1 - s->len : KV_PAGE_TOKENS;
    uint32_t near = node_nearest(t, &at, &agreed);
    if (agreed > begun) {
        last = near;
        seq_append_page(s, t->nodes[last].page, agreed);
    } else if (begun > 0) {
        seq_append_page(s, pin->s->pages[whole], begun);
    }
    path_touch(t, last);
}

void prefix_tree_keep(prefix_tree *t, uint64_t key, const prefix_pin *pin, const seq *s,
                      const int32_t *tokens, bool tail)
{
    place at = place_first(key, pin, s);
    uint32_t first = pin ? pin->n / KV_PAGE_TOKENS : 0, whole = s->len / KV_PAGE_TOKENS;
    for (uint32_t i = first; i < whole; i++) {
        at.tokens = tokens + i * KV_PAGE_TOKENS;
        at.parent = node_need(t, &at, s->pages[i]);
    }
    at.tokens = tokens + whole * KV_PAGE_TOKENS;
    at.n = s->len % KV_PAGE_TOKENS;
    if (tail && at.n > 0 && s->len > (pin ? pin->n : 0))
        at.parent = node_need(t, &at, s->pages[whole]);
    path_touch(t, at.parent);
}

static bool is_spare(const prefix_tree *t, uint32_t at)
{
    return kvpool_holders(t->engine->pool, t->nodes[at].page) == 1;
}

uint32_t prefix_tree_spare(const prefix_tree *t)
{
    uint32_t n = 0;
    for (uint32_t i = t->oldest; i != NO_NODE; i = t->nodes[i].newer)
        n += is_spare(t, i);
    return n;
}

uint32_t prefix_tree_evict(prefix_tree *t, uint32_t n)
{
    uint32_t freed = 0;
    for (uint32_t i = t->oldest, next; i != NO_NODE && freed < n; i = next) {
        next = t->nodes[i].newer;
        if (is_spare(t, i) && t->nodes[i].n_children == 0) {
            node_drop(t, i);
            freed++;
        }
    }
    return freed;
}

int prefix_pin_new(prefix_tree *t, const adapter *a, const int32_t *tokens, uint32_t n,
                   prefix_pin **ret_pin, st_err *err)
{
    int rc = ST_ENOMEM;
    prefix_pin *pin = st_zalloc_n(1, sizeof *pin);
    if (!pin)
        goto fail;
    pin->n = n;
    pin->tokens = st_dup(tokens, n * sizeof *tokens);
    if (!pin->tokens || (rc = seq_new(t->engine, &pin->s, err)) < 0 ||
        (rc = seq_set_adapter(pin->s, a, err)) < 0)
        goto fail;
    pin->id = ++t->n_pins;
    *ret_pin = pin;
    return 0;
fail:
    prefix_pin_free(pin);
    return st_err_set(err, rc, "no memory for a prefix of %u tokens", n);
}

void prefix_pin_free(prefix_pin *pin)
{
    if (!pin)
        return;
    seq_free(pin->s);
    st_free(pin->tokens);
    st_free(pin);
}

bool prefix_pin_is_full(const prefix_pin *pin)
{
    return seq_len(pin->s) == pin->n;
}
