/* base/mem.h - allocation with checked sizes.
 *
 * Counts are multiplied with overflow checks; running out of memory is an ordinary error
 * that callers return as ST_ENOMEM.  Tests make each allocation fail once by wrapping
 * malloc, calloc, realloc and posix_memalign at link time, so nothing here is hooked.
 *
 * Threads: any. */
#ifndef BASE_MEM_H
#define BASE_MEM_H
#include <stdbool.h>
#include <stddef.h>

void *st_alloc(size_t bytes);                 /* NULL when out of memory; 0: a byte */
void *st_alloc_n(size_t count, size_t size);  /* uninitialised; NULL also on overflow */
void *st_zalloc_n(size_t count, size_t size); /* zeroed */
void *st_realloc_n(void *p, size_t count, size_t size); /* p stays valid when NULL */
void *st_aligned_n(size_t count, size_t size); /* 64-byte aligned, uninitialised */
/* The same for what is large and read all over: from 2 MiB on in large memory pages,
 * where the system has them. */
void *st_large_n(size_t count, size_t size);
void *st_dup(const void *p, size_t bytes); /* copy of the bytes plus one NUL byte */
char *st_strdup(const char *s);
void st_free(void *p); /* NULL allowed */
/* After much was freed that will not be needed again: give it back to the system. */
void st_mem_trim(void);

bool st_mul_ok(size_t a, size_t b, size_t *ret_product); /* false on overflow */
bool st_add_ok(size_t a, size_t b, size_t *ret_sum);     /* false on overflow */
#endif
