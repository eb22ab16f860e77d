/* engine/kvpool.c - counted pages and the stack of the free ones.
 *
 * holders[p] is 0 exactly for the pages on the stack.  The page taken is the one given
 * back last, so that its memory is likely still in a cache.  The memory is not cleared:
 * a page's slots are written before they are read.
 *
 * Memory is the system's until a page is first written.  When the last page comes back
 * after many were in use, all but the first KEEP_BYTES are given to the system again, and
 * the stack is as at first: the lowest page on top. */
#define _DEFAULT_SOURCE /* madvise */
#include "engine/kvpool.h"

#include "base/mem.h"
#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { KEEP_BYTES = 64 << 20 }; /* of an empty pool: the next requests find it ready */

struct kvpool {
    unsigned char *base;
    size_t page_bytes;
    uint32_t n_pages;
    uint32_t n_free;
    uint32_t n_touched; /* pages below were taken since memory was last given back */
    uint32_t *holders;  /* [n_pages] */
    kv_page *stack;     /* [n_pages], the first n_free are free */
};

static void stack_fill(kvpool *pool)
{
    for (uint32_t i = 0; i < pool->n_pages; i++)
        pool->stack[i] = pool->n_pages - 1 - i;
}

/* Every page is free: give back what a burst has touched. */
static void memory_give_back(kvpool *pool)
{
    const size_t touched = pool->n_touched * pool->page_bytes;
    const long unit = sysconf(_SC_PAGESIZE);
    if (touched <= KEEP_BYTES || unit <= 0)
        return;
    uintptr_t begin = (uintptr_t)pool->base + KEEP_BYTES,
              end = (uintptr_t)pool->base + touched;
    begin = (begin + (uintptr_t)unit - 1) / (uintptr_t)unit * (uintptr_t)unit;
    end = end / (uintptr_t)unit * (uintptr_t)unit;
    if (begin < end)
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
    stack_fill(pool);
    pool->n_touched = 0;
}

int kvpool_new(size_t page_bytes, uint32_t n_pages, kvpool **ret_pool, st_err *err)
{
    if (n_pages == 0 || n_pages == KV_NO_PAGE || page_bytes == 0)
        return st_err_set(err, ST_EINVAL, "a pool of %u pages of %zu bytes", n_pages,
                          page_bytes);
    kvpool *pool = st_zalloc_n(1, sizeof *pool);
    if (!pool)
        goto fail;
    pool->page_bytes = page_bytes;
    pool->n_pages = n_pages;
    pool->n_free = n_pages;
    pool->base = st_aligned_n(n_pages, page_bytes);
    pool->holders = st_zalloc_n(n_pages, sizeof *pool->holders);
    pool->stack = st_alloc_n(n_pages, sizeof *pool->stack);
    if (!pool->base || !pool->holders || !pool->stack)
        goto fail;
    stack_fill(pool);
    *ret_pool = pool;
    return 0;
fail:
    kvpool_free(pool);
    st_err_set(err, ST_ENOMEM, "no memory for %u key-value pages of %zu bytes", n_pages,
               page_bytes);
    st_err_hint(err, "a shorter context or fewer sequences need fewer pages");
    return ST_ENOMEM;
}

void kvpool_free(kvpool *pool)
{
    if (!pool)
        return;
    st_free(pool->stack);
    st_free(pool->holders);
    st_free(pool->base);
    st_free(pool);
}

unsigned char *kvpool_base(kvpool *pool)
{
    return pool->base;
}

uint32_t kvpool_n_pages(const kvpool *pool)
{
    return pool->n_pages;
}

uint32_t kvpool_n_free(const kvpool *pool)
{
    return pool->n_free;
}

int kvpool_take(kvpool *pool, uint32_t n, kv_page *ret_pages)
{
    if (n > pool->n_free)
        return ST_EBUSY;
    for (uint32_t i = 0; i < n; i++) {
        kv_page page = pool->stack[--pool->n_free];
        assert(pool->holders[page] == 0);
        pool->holders[page] = 1;
        if (page >= pool->n_touched)
            pool->n_touched = page + 1;
        ret_pages[i] = page;
    }
    return 0;
}

void kvpool_ref(kvpool *pool, kv_page page)
{
    assert(page < pool->n_pages && pool->holders[page] > 0);
    pool->holders[page]++;
}

void kvpool_unref(kvpool *pool, kv_page page)
{
    assert(page < pool->n_pages && pool->holders[page] > 0);
    if (--pool->holders[page] > 0)
        return;
    pool->stack[pool->n_free++] = page;
    if (pool->n_free == pool->n_pages)
        memory_give_back(pool);
}

uint32_t kvpool_holders(const kvpool *pool, kv_page page)
{
    assert(page < pool->n_pages);
    return pool->holders[page];
}

void kvpool_copy(kvpool *pool, kv_page to, kv_page from)
{
    assert(pool->holders[to] == 1 && pool->holders[from] > 0 && to != from);
    memcpy(pool->base + to * pool->page_bytes, pool->base + from * pool->page_bytes,
           pool->page_bytes);
}
