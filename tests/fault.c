/* tests/fault.c - wrapped allocators that fail on request. */
#include "tests/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *p, size_t bytes);
int __real_posix_memalign(void **ret, size_t align, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
int __wrap_posix_memalign(void **ret, size_t align, size_t bytes);

static _Atomic long seen;
static _Atomic long fail_at; /* 0: never */
static _Atomic int fired;

static int fails(void)
{
    long n = atomic_fetch_add(&seen, 1) + 1;
    if (n != atomic_load(&fail_at))
        return 0;
    atomic_store(&fired, 1);
    return 1;
}

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    return fails() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_realloc(void *p, size_t bytes)
{
    return fails() ? NULL : __real_realloc(p, bytes);
}

int __wrap_posix_memalign(void **ret, size_t align, size_t bytes)
{
    return fails() ? ENOMEM : __real_posix_memalign(ret, align, bytes);
}

void fault_arm(long nth)
{
    atomic_store(&seen, 0);
    atomic_store(&fired, 0);
    atomic_store(&fail_at, nth);
}

long fault_disarm(void)
{
    atomic_store(&fail_at, 0);
    return atomic_load(&seen);
}

int fault_fired(void)
{
    return atomic_load(&fired);
}

long fault_sweep(fault_work *work, void *arg, long step)
{
    long runs = 0;
    for (long nth = 1;; nth += step) {
        fault_arm(nth);
        int rc = work(arg);
        fault_disarm();
        runs++;
        if (!fault_fired()) {
            assert_int_equal(rc, 0);
            return runs;
        }
        if (rc != 0 && rc != ST_ENOMEM)
            fail_msg("allocation %ld failed and the work returned %d", nth, rc);
    }
}
