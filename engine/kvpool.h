/* engine/kvpool.h - fixed-size pages holding the keys and values of tokens.
 *
 * A page covers KV_PAGE_TOKENS positions of every layer.  Pages are counted, so sequences
 * with a common prefix share them; a shared page is read-only.
 *
 * Threads: the engine's owner only.  Memory: all addresses are taken by kvpool_new(), and
 * memory only by pages that were in use; an empty pool gives back what a burst took. */
#ifndef ENGINE_KVPOOL_H
#define ENGINE_KVPOOL_H
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

typedef struct kvpool kvpool;
typedef uint32_t kv_page; /* index in the pool */

#define KV_NO_PAGE UINT32_MAX

/* Make a pool of n_pages pages of page_bytes bytes each.  0, ST_ENOMEM, or ST_EINVAL when
 * there would be no page or no byte. */
ST_NODISCARD int kvpool_new(size_t page_bytes, uint32_t n_pages, kvpool **ret_pool,
                            st_err *err);
void kvpool_free(kvpool *pool); /* NULL allowed; every page must be back */

unsigned char *kvpool_base(kvpool *pool); /* page p starts at base + p * page_bytes */
uint32_t kvpool_n_pages(const kvpool *pool);
uint32_t kvpool_n_free(const kvpool *pool);

/* Take `n` pages with one holder each, all or none.  ST_EBUSY when fewer are free.  Never
 * blocks, never allocates. */
ST_NODISCARD int kvpool_take(kvpool *pool, uint32_t n, kv_page *ret_pages);
void kvpool_ref(kvpool *pool, kv_page page);
void kvpool_unref(kvpool *pool, kv_page page); /* last holder frees it */
uint32_t kvpool_holders(const kvpool *pool, kv_page page);
void kvpool_copy(kvpool *pool, kv_page to, kv_page from); /* `to` has one holder */
#endif
