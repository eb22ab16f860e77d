/* grammar/schema_pool.h - memory that lives as long as a compiled schema, and lists of
 * numbers; private to this room.
 *
 * Threads: one owner.  Memory: pool_done frees everything that came from the pool. */
#ifndef GRAMMAR_SCHEMA_POOL_H
#define GRAMMAR_SCHEMA_POOL_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pool {
    struct pool_block *blocks;
    size_t bytes; /* taken so far */
    size_t limit;
} pool;

/* Zeroed memory, aligned for pointers.  ST_ELIMIT: over the pool's limit. */
ST_NODISCARD int pool_get(pool *p, size_t count, size_t size, void *ret, st_err *err);
void pool_done(pool *p);

/* A list that does not change, in a pool. */
typedef struct list {
    uint32_t n;
    const uint32_t *at;
} list;

/* A list that grows. */
typedef struct ids {
    uint32_t n, cap;
    uint32_t *at;
} ids;

ST_NODISCARD int ids_add(ids *v, uint32_t x, st_err *err);
ST_NODISCARD int ids_copy(ids *to, const ids *from, st_err *err); /* `to` is empty */
bool ids_has(const ids *v, uint32_t x);
/* Into a sorted list, once. */
ST_NODISCARD int ids_insert(ids *v, uint32_t x, st_err *err);
bool ids_within(const ids *a, const ids *b); /* sorted: every one of a is in b */
void ids_done(ids *v);
ST_NODISCARD int pool_list(pool *p, const ids *v, list *ret, st_err *err);

/* Room for one more of `size` bytes in an array of n; *items is moved. */
ST_NODISCARD int array_room(void *items, uint32_t n, uint32_t *cap, size_t size,
                            st_err *err);
#endif
