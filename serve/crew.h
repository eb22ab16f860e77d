/* serve/crew.h - a few threads that work off a queue of jobs.
 *
 * New jobs enter up to a limit; what goes on with a job that had entered is always taken,
 * and comes before what is new.  Nothing runs before crew_go, so jobs may wait for what
 * they need to be there.
 *
 * Threads: any; a job may push others.  Memory: a job is its owner's, untouched from the
 * call until `run` is called, and may be freed by it. */
#ifndef SERVE_CREW_H
#define SERVE_CREW_H
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct crew crew;
typedef struct crew_job {
    void (*run)(struct crew_job *job);
    struct crew_job *next; /* the crew's */
} crew_job;

ST_NODISCARD int crew_new(unsigned n_threads, uint32_t max_waiting, crew **ret_crew,
                          st_err *err);
void crew_go(crew *p);                   /* twice is allowed */
bool crew_enter(crew *p, crew_job *job); /* false: too many wait */
void crew_push(crew *p, crew_job *job);  /* always taken */
/* Runs what waits, also what that pushes, then joins its threads.  NULL allowed. */
void crew_free(crew *p);
#endif
