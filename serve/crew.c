/* serve/crew.c - a few threads that work off a queue of jobs.
 *
 * Two lists under one lock: jobs that go on, and new ones.  A thread takes from the first
 * while there is any. */
#include "serve/crew.h"

#include "base/mem.h"
#include <pthread.h>

typedef struct job_list {
    crew_job *first;
    crew_job *last;
} job_list;

struct crew {
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    job_list later;
    job_list fresh;
    uint32_t n_fresh;
    uint32_t max_fresh;
    bool held; /* nothing runs yet */
    bool ending;
    unsigned n_threads;
    pthread_t threads[];
};

static void list_add(job_list *l, crew_job *job)
{
    job->next = NULL;
    if (l->last)
        l->last->next = job;
    else
        l->first = job;
    l->last = job;
}

static crew_job *list_take(job_list *l)
{
    crew_job *job = l->first;
    if (job && !(l->first = job->next))
        l->last = NULL;
    return job;
}

/* Under the lock. */
static crew_job *job_take(crew *p)
{
    crew_job *job = list_take(&p->later);
    if (!job && (job = list_take(&p->fresh)))
        p->n_fresh--;
    return job;
}

/* Run what waits until there is nothing; under the lock, which is let go for each. */
static void run_waiting(crew *p)
{
    for (crew_job *job; (job = job_take(p));) {
        pthread_mutex_unlock(&p->lock);
        job->run(job);
        pthread_mutex_lock(&p->lock);
    }
}

static void *crew_thread(void *arg)
{
    crew *p = arg;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        if (!p->held)
            run_waiting(p);
        if (p->ending)
            break;
        pthread_cond_wait(&p->changed, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int crew_new(unsigned n_threads, uint32_t max_waiting, crew **ret_crew, st_err *err)
{
    crew *p = st_zalloc_n(1, sizeof *p + n_threads * sizeof *p->threads);
    if (!p)
        return st_err_set(err, ST_ENOMEM, "no memory for worker threads");
    if (pthread_mutex_init(&p->lock, NULL) != 0) {
        st_free(p);
        return st_err_set(err, ST_ENOMEM, "no memory for a lock");
    }
    if (pthread_cond_init(&p->changed, NULL) != 0) {
        pthread_mutex_destroy(&p->lock);
        st_free(p);
        return st_err_set(err, ST_ENOMEM, "no memory for a lock");
    }
    p->max_fresh = max_waiting;
    p->held = true;
    while (p->n_threads < n_threads) {
        if (pthread_create(&p->threads[p->n_threads], NULL, crew_thread, p) != 0) {
            crew_free(p);
            return st_err_set(err, ST_ENOMEM, "cannot start a worker thread");
        }
        p->n_threads++;
    }
    *ret_crew = p;
    return 0;
}

void crew_go(crew *p)
{
    pthread_mutex_lock(&p->lock);
    p->held = false;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

bool crew_enter(crew *p, crew_job *job)
{
    pthread_mutex_lock(&p->lock);
    bool taken = p->n_fresh < p->max_fresh;
    if (taken) {
        list_add(&p->fresh, job);
        p->n_fresh++;
        pthread_cond_signal(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return taken;
}

void crew_push(crew *p, crew_job *job)
{
    pthread_mutex_lock(&p->lock);
    list_add(&p->later, job);
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

void crew_free(crew *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->held = false;
    p->ending = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    st_free(p);
}
