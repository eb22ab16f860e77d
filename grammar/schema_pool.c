/* grammar/schema_pool.c - blocks that are filled one after the other. */
#include "grammar/schema_pool.h"

#include "base/mem.h"
#include <string.h>

enum { BLOCK_BYTES = 32 * 1024, ALIGN = 16 };

struct pool_block {
    struct pool_block *next;
    size_t used, cap;
    _Alignas(ALIGN) unsigned char bytes[];
};

static int more(pool *p, size_t bytes, st_err *err)
{
    size_t cap = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    if (p->limit && cap > p->limit - (p->bytes < p->limit ? p->bytes : p->limit))
        return st_err_set(err, ST_ELIMIT, "the compiled schema takes over %zu MiB",
                          p->limit >> 20);
    struct pool_block *b = st_alloc(sizeof *b + cap);
    if (!b)
        return st_err_set(err, ST_ENOMEM, "out of memory for a schema");
    b->next = p->blocks;
    b->used = 0;
    b->cap = cap;
    p->blocks = b;
    p->bytes += cap;
    return 0;
}

int pool_get(pool *p, size_t count, size_t size, void *ret, st_err *err)
{
    size_t bytes;
    if (!st_mul_ok(count, size, &bytes) || bytes > SIZE_MAX / 4)
        return st_err_set(err, ST_ELIMIT, "a schema of too many parts");
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (!p->blocks || p->blocks->cap - p->blocks->used < bytes) {
        int rc = more(p, bytes, err);
        if (rc < 0)
            return rc;
    }
    void *got = p->blocks->bytes + p->blocks->used;
    p->blocks->used += bytes;
    memset(got, 0, bytes);
    memcpy(ret, &got, sizeof got);
    return 0;
}

void pool_done(pool *p)
{
    for (struct pool_block *b = p->blocks; b;) {
        struct pool_block *next = b->next;
        st_free(b);
        b = next;
    }
    *p = (pool){0};
}

int array_room(void *items, uint32_t n, uint32_t *cap, size_t size, st_err *err)
{
    if (n < *cap)
        return 0;
    void *old;
    memcpy(&old, items, sizeof old);
    uint32_t want = *cap ? *cap * 2 : 16;
    void *grown = n > UINT32_MAX / 4 ? NULL : st_realloc_n(old, want, size);
    if (!grown)
        return st_err_set(err, ST_ENOMEM, "out of memory for a schema");
    memcpy(items, &grown, sizeof grown);
    *cap = want;
    return 0;
}

int ids_add(ids *v, uint32_t x, st_err *err)
{
    int rc = array_room(&v->at, v->n, &v->cap, sizeof *v->at, err);
    if (rc == 0)
        v->at[v->n++] = x;
    return rc;
}

int ids_copy(ids *to, const ids *from, st_err *err)
{
    *to = (ids){0};
    if (from->n == 0)
        return 0;
    to->at = st_alloc_n(from->n, sizeof *to->at);
    if (!to->at)
        return st_err_set(err, ST_ENOMEM, "out of memory for a schema");
    memcpy(to->at, from->at, from->n * sizeof *to->at);
    to->n = to->cap = from->n;
    return 0;
}

bool ids_has(const ids *v, uint32_t x)
{
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->at[i] == x)
            return true;
    }
    return false;
}

int ids_insert(ids *v, uint32_t x, st_err *err)
{
    uint32_t at = v->n;
    while (at > 0 && v->at[at - 1] > x)
        at--;
    if (at > 0 && v->at[at - 1] == x)
        return 0;
    int rc = ids_add(v, x, err);
    if (rc < 0)
        return rc;
    memmove(v->at + at + 1, v->at + at, (v->n - 1 - at) * sizeof *v->at);
    v->at[at] = x;
    return 0;
}

bool ids_within(const ids *a, const ids *b)
{
    uint32_t j = 0;
    for (uint32_t i = 0; i < a->n; i++, j++) {
        while (j < b->n && b->at[j] < a->at[i])
            j++;
        if (j == b->n || b->at[j] != a->at[i])
            return false;
    }
    return true;
}

void ids_done(ids *v)
{
    st_free(v->at);
    *v = (ids){0};
}

int pool_list(pool *p, const ids *v, list *ret, st_err *err)
{
    uint32_t *at = NULL;
    int rc = v->n ? pool_get(p, v->n, sizeof *at, &at, err) : 0;
    if (rc < 0)
        return rc;
    if (v->n)
        memcpy(at, v->at, v->n * sizeof *at);
    *ret = (list){v->n, at};
    return 0;
}
