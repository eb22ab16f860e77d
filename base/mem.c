/* base/mem.c - allocation with checked sizes. */
#define _DEFAULT_SOURCE /* madvise */
#include "base/mem.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

bool st_mul_ok(size_t a, size_t b, size_t *ret_product)
{
    return !__builtin_mul_overflow(a, b, ret_product);
}

bool st_add_ok(size_t a, size_t b, size_t *ret_sum)
{
    return !__builtin_add_overflow(a, b, ret_sum);
}

void *st_alloc(size_t bytes)
{
    return malloc(bytes ? bytes : 1);
}

void *st_alloc_n(size_t count, size_t size)
{
    size_t bytes;
    return st_mul_ok(count, size, &bytes) ? st_alloc(bytes) : NULL;
}

void *st_zalloc_n(size_t count, size_t size)
{
    return calloc(count ? count : 1, size ? size : 1);
}

void *st_realloc_n(void *p, size_t count, size_t size)
{
    size_t bytes;
    return st_mul_ok(count, size, &bytes) ? realloc(p, bytes ? bytes : 1) : NULL;
}

void *st_aligned_n(size_t count, size_t size)
{
    size_t bytes;
    void *p;
    if (!st_mul_ok(count, size, &bytes) || posix_memalign(&p, 64, bytes ? bytes : 1))
        return NULL;
    return p;
}

void *st_large_n(size_t count, size_t size)
{
    const size_t page = 2 << 20;
    size_t bytes;
    void *p;
    if (!st_mul_ok(count, size, &bytes) || bytes < page)
        return st_aligned_n(count, size);
    if (posix_memalign(&p, page, bytes))
        return NULL;
    (void)madvise(p, bytes / page * page, MADV_HUGEPAGE);
    return p;
}

void *st_dup(const void *p, size_t bytes)
{
    size_t whole;
    char *copy = st_add_ok(bytes, 1, &whole) ? st_alloc(whole) : NULL;
    if (copy) {
        if (bytes)
            memcpy(copy, p, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

char *st_strdup(const char *s)
{
    return st_dup(s, strlen(s));
}

void st_free(void *p)
{
    free(p);
}

void st_mem_trim(void)
{
    (void)malloc_trim(0);
}
