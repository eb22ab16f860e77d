/* base/workers.c - a few threads that share the chunks of one job at a time.
 *
 * `ticket` holds a generation in its upper half and the next free chunk in its lower
 * half.  A thread reads the ticket, then the job, and claims a chunk by compare-and-swap:
 * when that succeeds the generation did not change in between, so the job it read is the
 * one that the ticket names.  Between two jobs the ticket is CLOSED, so that no thread
 * can claim a chunk of a job that is half written.
 *
 *     closed --workers_run: job written--> open --last chunk claimed--> exhausted
 *       ^                                                                   |
 *       +------------------------- next workers_run -----------------------+
 *
 * All atomics are sequentially consistent: sleeping relies on "announce, then look again"
 * on both sides, and a job is hundreds of microseconds. */
#include "base/workers.h"

#include "base/cpu.h"
#include "base/mem.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum {
    SPINS = 2000,       /* looks before a thread sleeps: some tens of microseconds */
    MAX_THREADS = 256,  /* more only adds contention */
};
#define CLOSED UINT32_MAX /* chunk number that no job reaches */

struct workers {
    _Atomic uint64_t ticket;
    _Atomic uint32_t remaining; /* chunks of the job that have not returned */
    _Atomic uint32_t n_chunks;
    workers_fn *_Atomic fn;
    void *_Atomic arg;
    _Atomic unsigned n_asleep;   /* threads in (or about to enter) the wait for work */
    _Atomic bool caller_asleep;
    _Atomic bool stop;
    _Atomic unsigned n_named;    /* worker numbers given out */
    pthread_mutex_t lock;        /* only for the two condition variables */
    pthread_cond_t work_came;
    pthread_cond_t work_done;
    unsigned n_threads;          /* with the caller */
    unsigned n_started;
    pthread_t threads[];         /* n_threads - 1 */
};

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool has_work(workers *w)
{
    uint64_t ticket = atomic_load(&w->ticket);
    return (uint32_t)ticket != CLOSED && (uint32_t)ticket < atomic_load(&w->n_chunks);
}

/* Run chunks until none is left to claim. */
static void work(workers *w, uint32_t worker)
{
    for (;;) {
        uint64_t ticket = atomic_load(&w->ticket);
        uint32_t chunk = (uint32_t)ticket;
        workers_fn *fn = atomic_load(&w->fn);
        void *arg = atomic_load(&w->arg);
        if (chunk == CLOSED || chunk >= atomic_load(&w->n_chunks))
            return;
        if (!atomic_compare_exchange_strong(&w->ticket, &ticket, ticket + 1))
            continue;
        fn(arg, chunk, worker);
        if (atomic_fetch_sub(&w->remaining, 1) == 1 && atomic_load(&w->caller_asleep)) {
            pthread_mutex_lock(&w->lock);
            pthread_cond_signal(&w->work_done);
            pthread_mutex_unlock(&w->lock);
        }
    }
}

static void wait_for_work(workers *w)
{
    for (int i = 0; i < SPINS; i++) {
        if (has_work(w) || atomic_load(&w->stop))
            return;
        relax();
    }
    pthread_mutex_lock(&w->lock);
    atomic_fetch_add(&w->n_asleep, 1);
    while (!has_work(w) && !atomic_load(&w->stop))
        pthread_cond_wait(&w->work_came, &w->lock);
    atomic_fetch_sub(&w->n_asleep, 1);
    pthread_mutex_unlock(&w->lock);
}

static void *thread_main(void *arg)
{
    workers *w = arg;
    uint32_t worker = atomic_fetch_add(&w->n_named, 1) + 1; /* 0 is the caller */
    while (!atomic_load(&w->stop)) {
        work(w, worker);
        wait_for_work(w);
    }
    return NULL;
}

int workers_new(unsigned n_threads, workers **ret_workers, st_err *err)
{
    if (n_threads == 0)
        n_threads = st_cpu_count();
    if (n_threads > MAX_THREADS)
        n_threads = MAX_THREADS;
    size_t bytes = sizeof(workers) + (n_threads - 1) * sizeof(pthread_t);
    workers *w = st_zalloc_n(1, bytes);
    if (!w)
        return st_err_set(err, ST_ENOMEM, "out of memory for %u threads", n_threads);
    w->n_threads = n_threads;
    atomic_store(&w->ticket, CLOSED);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work_came, NULL);
    pthread_cond_init(&w->work_done, NULL);
    for (; w->n_started < n_threads - 1; w->n_started++) {
        int rc = pthread_create(&w->threads[w->n_started], NULL, thread_main, w);
        if (rc) {
            workers_free(w);
            return st_err_set(err, ST_EIO, "cannot start a thread: %s", strerror(rc));
        }
    }
    *ret_workers = w;
    return 0;
}

void workers_free(workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->stop, true);
    pthread_cond_broadcast(&w->work_came);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->n_started; i++)
        pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->work_done);
    pthread_cond_destroy(&w->work_came);
    pthread_mutex_destroy(&w->lock);
    st_free(w);
}

unsigned workers_count(const workers *w)
{
    return w->n_threads;
}

static void wait_for_end(workers *w)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&w->remaining) == 0)
            return;
        relax();
    }
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->caller_asleep, true);
    while (atomic_load(&w->remaining))
        pthread_cond_wait(&w->work_done, &w->lock);
    atomic_store(&w->caller_asleep, false);
    pthread_mutex_unlock(&w->lock);
}

void workers_run(workers *w, uint32_t n_chunks, workers_fn *fn, void *arg)
{
    if (w->n_threads == 1 || n_chunks <= 1) {
        for (uint32_t i = 0; i < n_chunks; i++)
            fn(arg, i, 0);
        return;
    }
    uint64_t generation = (atomic_load(&w->ticket) >> 32) + 1;
    atomic_store(&w->ticket, generation << 32 | CLOSED);
    atomic_store(&w->fn, fn);
    atomic_store(&w->arg, arg);
    atomic_store(&w->n_chunks, n_chunks);
    atomic_store(&w->remaining, n_chunks);
    atomic_store(&w->ticket, generation << 32);
    if (atomic_load(&w->n_asleep)) {
        pthread_mutex_lock(&w->lock);
        pthread_cond_broadcast(&w->work_came);
        pthread_mutex_unlock(&w->lock);
    }
    work(w, 0);
    wait_for_end(w);
}
